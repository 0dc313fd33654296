"""SQS: attributes of a queue as AWS keeps and answers them.

AWS answers a redrive policy as JSON without blanks, and SetQueueAttributes changes the attributes
that it names and no others.

moto 5.2.5 answers it with blanks, so that Terraform finds the queue changed after each apply, and
forgets a queue's access policy when any other attribute is set.

Source: https://docs.aws.amazon.com/cli/latest/reference/sqs/get-queue-attributes.html and
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
"""

import json
from typing import Any

from moto.sqs import urls
from moto.sqs.models import Queue, SQSBackend, sqs_backends

from xops.local.aws.extension import substitute


class AttributeBackend(SQSBackend):
    """moto's SQS with such attributes."""

    def get_queue_attributes(self, queue_name: str, attribute_names: list[str]) -> dict[str, Any]:
        """Answer as moto does, but for the blanks in the redrive policy."""
        attributes: dict[str, Any] = super().get_queue_attributes(queue_name, attribute_names)
        if policy := attributes.get("RedrivePolicy"):
            compact = json.dumps(json.loads(policy), separators=(",", ":"))
            attributes = {**attributes, "RedrivePolicy": compact}
        return attributes

    def set_queue_attributes(self, queue_name: str, attributes: dict[str, Any]) -> Queue:
        """Set attributes as moto does; the access policy stays unless it is among them."""
        kept = {"Policy": self.get_queue(queue_name).policy}
        return super().set_queue_attributes(queue_name, {**kept, **attributes})


def install() -> None:
    """Put this extension in the place of moto's own SQS."""
    substitute(sqs_backends, urls, AttributeBackend)
