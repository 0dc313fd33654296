"""EC2: descriptions of security group rules that name a prefix list or another group.

AWS: a rule of a security group has a description whatever its source is; DescribeSecurityGroupRules
answers it.

moto 5.2.5 keeps the description of CIDR rules only, so that every plan of Terraform wants to add it
again.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SecurityGroupRule.html
"""

from collections.abc import Iterator
from typing import Any

from moto.ec2 import urls
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.security_groups import SecurityGroupRule

from xops.local.aws.extension import substitute

Source = dict[str, str]


class DescribedRule(SecurityGroupRule):
    """A rule whose description does not depend on the kind of its source."""

    source_description: str | None = None

    @property
    def description(self) -> str | None:
        """The description, None without one."""
        return super().description or self.source_description


class DescribedRulesBackend(EC2Backend):
    """moto's EC2 with descriptions on all security group rules."""

    def _iterate_security_rules(
        self,
        ip_protocol: str,
        group_id: str,
        from_port: str,
        to_port: str,
        ip_ranges: list[Any],
        source_groups: list[Source],
        prefix_list_ids: list[Source],
        is_egress: bool = False,
        tags: dict[str, str] | None = None,
    ) -> Iterator[SecurityGroupRule]:
        sources: list[tuple[Source | None, Source | None, Source | None]] = [
            *((ip_range, None, None) for ip_range in ip_ranges),
            *((None, group, None) for group in source_groups),
            *((None, None, prefix_list) for prefix_list in prefix_list_ids),
        ]
        for source in sources:
            rule = DescribedRule(
                self, ip_protocol, group_id, from_port, to_port, *source, is_egress, tags or {}
            )
            rule.source_description = next(s for s in source if s is not None).get("Description")
            yield rule


def install() -> None:
    """Put this extension in the place of moto's own EC2."""
    substitute(ec2_backends, urls, DescribedRulesBackend)
