"""Application Auto Scaling: ListTagsForResource, TagResource, UntagResource, tags at registration.

AWS: a scalable target is a taggable resource, named by its ARN. ListTagsForResource answers
`{"Tags": {key: value}}`; TagResource merges and allows 50 tags (TooManyTagsException);
UntagResource drops keys. RegisterScalableTarget takes `Tags` for a new target. An ARN that names no
scalable target is ResourceNotFoundException (400) in all three.

moto 5.2.5 has none of them and ignores `Tags`. Terraform's provider lists the tags after every
read of a target, takes the server error for a passing one and retries it for minutes.

Source: https://docs.aws.amazon.com/autoscaling/application/APIReference/API_ListTagsForResource.html
"""

import json
from typing import cast

from moto.applicationautoscaling import urls
from moto.applicationautoscaling.models import (
    ApplicationAutoscalingBackend,
    applicationautoscaling_backends,
)
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.core.exceptions import JsonRESTError

from xops.local.aws.extension import substitute

MAXIMUM_TAGS = 50


class ResourceNotFoundException(JsonRESTError):  # noqa: N818 - the name of the error in AWS's model
    """No scalable target has this ARN."""

    code = 400

    def __init__(self, resource_arn: str):
        super().__init__(
            "ResourceNotFoundException",
            f"No scalable target found for resource ARN: {resource_arn}",
        )


class TooManyTagsException(JsonRESTError):  # noqa: N818 - the name of the error in AWS's model
    """A scalable target would carry more tags than AWS allows."""

    code = 400

    def __init__(self) -> None:
        super().__init__(
            "TooManyTagsException", f"A resource can have at most {MAXIMUM_TAGS} user-applied tags."
        )


class TaggedTargetsBackend(ApplicationAutoscalingBackend):
    """moto's Application Auto Scaling with tags on scalable targets."""

    def __init__(self, region_name: str, account_id: str):
        super().__init__(region_name, account_id)
        self.target_tags: dict[str, dict[str, str]] = {}

    def list_tags_for_resource(self, resource_arn: str) -> dict[str, str]:
        """Answer the tags of a scalable target, by key."""
        self._require_target(resource_arn)
        return dict(self.target_tags.get(resource_arn, {}))

    def tag_resource(self, resource_arn: str, tags: dict[str, str]) -> None:
        """Add tags to a scalable target, replacing values of keys it has."""
        merged = self.list_tags_for_resource(resource_arn) | tags
        if len(merged) > MAXIMUM_TAGS:
            raise TooManyTagsException
        self.target_tags[resource_arn] = merged

    def untag_resource(self, resource_arn: str, tag_keys: list[str]) -> None:
        """Drop tags of a scalable target; a key it does not have is no error."""
        kept = self.list_tags_for_resource(resource_arn)
        self.target_tags[resource_arn] = {k: v for k, v in kept.items() if k not in tag_keys}

    def deregister_scalable_target(self, namespace: str, r_id: str, dimension: str) -> None:
        """Forget the target and its tags."""
        target = self.targets.get(dimension, {}).get(r_id)
        super().deregister_scalable_target(namespace, r_id, dimension)
        if target:
            self.target_tags.pop(target.arn, None)

    def _require_target(self, resource_arn: str) -> None:
        known = (target.arn for targets in self.targets.values() for target in targets.values())
        if resource_arn not in known:
            raise ResourceNotFoundException(resource_arn)


class TaggedTargetsResponse(ApplicationAutoScalingResponse):
    """The response methods of the calls above."""

    @property
    def applicationautoscaling_backend(self) -> TaggedTargetsBackend:
        """The backend of the request's account and region."""
        return cast(TaggedTargetsBackend, super().applicationautoscaling_backend)

    def register_scalable_target(self) -> str:
        """Register as moto does, then keep the tags of the request."""
        answer = super().register_scalable_target()
        if tags := self._get_param("Tags"):
            arn = json.loads(answer)["ScalableTargetARN"]
            self.applicationautoscaling_backend.tag_resource(arn, tags)
        return answer

    def list_tags_for_resource(self) -> str:
        """Answer ListTagsForResource."""
        backend = self.applicationautoscaling_backend
        return json.dumps({"Tags": backend.list_tags_for_resource(self._get_param("ResourceARN"))})

    def tag_resource(self) -> str:
        """Answer TagResource."""
        self.applicationautoscaling_backend.tag_resource(
            self._get_param("ResourceARN"), self._get_param("Tags", {})
        )
        return json.dumps({})

    def untag_resource(self) -> str:
        """Answer UntagResource."""
        self.applicationautoscaling_backend.untag_resource(
            self._get_param("ResourceARN"), self._get_param("TagKeys", [])
        )
        return json.dumps({})


def install() -> None:
    """Put this extension in the place of moto's own Application Auto Scaling."""
    substitute(applicationautoscaling_backends, urls, TaggedTargetsBackend, TaggedTargetsResponse)
