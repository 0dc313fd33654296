"""EC2: descriptions of security group rules, and the life of an instance's interface and disks.

AWS: a rule of a security group has a description whatever its source is; DescribeSecurityGroupRules
answers it. RunInstances takes termination protection and a volume's throughput. A terminated
instance lets go of its network interfaces.

moto 5.2.5 keeps the description of CIDR rules only, drops DisableApiTermination and a volume's
Throughput, so that every plan of Terraform wants to set them again, and leaves interfaces attached
to terminated instances, so that they can never be deleted.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SecurityGroupRule.html,
API_RunInstances.html and API_TerminateInstances.html there.
"""

from collections.abc import Iterator
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2 import urls
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.instances import Instance
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses import EC2Response

from xops.local.aws.extension import substitute

Source = dict[str, str]


class DescribedRule(SecurityGroupRule):
    """A rule whose description does not depend on the kind of its source."""

    source_description: str | None = None

    @property
    def description(self) -> str | None:
        """The description, None without one."""
        return super().description or self.source_description


class ExtendedEC2Backend(EC2Backend):
    """moto's EC2 with described rules, and interfaces that outlive their instance."""

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

    def terminate_instances(self, instance_ids: list[str]) -> list[tuple[Instance, Any]]:
        """Terminate as moto does, and detach the interfaces that are not deleted along."""
        answers = super().terminate_instances(instance_ids)
        for instance, _ in answers:
            for interface in instance.nics.values():
                # Seen from the interface only: moto reads a terminated instance's address from it.
                interface.instance, interface.attachment_id = None, None
                interface.attach_time, interface.status = None, "available"
        return answers


class InstancesResponse(EC2Response):
    """moto's answers, with what RunInstances is asked for kept on the instance and its volumes."""

    def run_instances(self) -> ActionResult:
        """Answer RunInstances as moto does, once the new instances are as they were asked for."""
        answer = super().run_instances()
        mappings = self._get_param("BlockDeviceMappings", [])
        for instance in answer.result.instances:  # type: ignore[attr-defined]
            instance.disable_api_termination = bool(self._get_param("DisableApiTermination"))
            _keep_throughput(instance, mappings)
        return answer


def _keep_throughput(instance: Instance, mappings: list[dict[str, Any]]) -> None:
    for mapping in mappings:
        device = instance.block_device_mapping.get(mapping["DeviceName"])
        throughput = mapping.get("Ebs", {}).get("Throughput")
        if device is not None and throughput is not None:
            instance.ec2_backend.get_volume(device.volume_id).throughput = int(throughput)


def install() -> None:
    """Put this extension in the place of moto's own EC2."""
    substitute(ec2_backends, urls, ExtendedEC2Backend, InstancesResponse)
