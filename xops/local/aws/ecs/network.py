"""What a task holds in other services: a network interface, and places in target groups."""

from dataclasses import dataclass, field
from typing import Any

from moto.ec2.models import EC2Backend
from moto.elbv2.models import ELBv2Backend

from xops.local.aws.services.elbv2 import TargetHealthBackend

AwsVpc = dict[str, Any]


@dataclass(frozen=True)
class Interface:
    """The elastic network interface of a Fargate task."""

    id: str
    subnet_id: str
    mac_address: str
    private_dns_name: str
    private_address: str

    def details(self) -> list[dict[str, str]]:
        """Answer the details of a task's ElasticNetworkInterface attachment."""
        return [
            {"name": "subnetId", "value": self.subnet_id},
            {"name": "networkInterfaceId", "value": self.id},
            {"name": "macAddress", "value": self.mac_address},
            {"name": "privateDnsName", "value": self.private_dns_name},
            {"name": "privateIPv4Address", "value": self.private_address},
        ]


def attach(ec2: EC2Backend, vpc: AwsVpc, turn: int, task_arn: str) -> Interface:
    """Create a task's interface in one of the subnets, which take turns as zones do in AWS."""
    subnet = ec2.get_subnet(vpc["subnets"][turn % len(vpc["subnets"])])
    # moto keeps the instance that has an address; a task is none, and nothing asks for it.
    address = subnet.get_available_subnet_ip(None)  # type: ignore[arg-type]
    interface = ec2.create_network_interface(
        subnet=subnet,
        private_ip_address=address,
        group_ids=vpc.get("securityGroups") or None,
        description=f"{task_arn} (embedded)",
    )
    interface.status = "in-use"
    return Interface(
        interface.id,
        subnet.id,
        interface.mac_address,
        f"ip-{address.replace('.', '-')}.{ec2.region_name}.compute.internal",
        address,
    )


def detach(ec2: EC2Backend, interface: Interface) -> None:
    """Delete a task's interface, unless someone did, and give the address back."""
    if interface.id in ec2.enis:
        ec2.delete_network_interface(interface.id)
    for subnets in ec2.subnets.values():
        if subnet := subnets.get(interface.subnet_id):
            subnet.del_subnet_ip(interface.private_address)


@dataclass(frozen=True)
class Target:
    """A task in a target group."""

    group: str
    address: str
    port: int
    unhealthy: bool


@dataclass
class Registrations:
    """The targets one service has registered, so that only its own are taken away again."""

    current: set[Target] = field(default_factory=set)

    def become(self, wanted: set[Target], elbv2: ELBv2Backend) -> None:
        """Register what is new and deregister what is gone; a deleted group is no error."""
        for target in self.current - wanted:
            if group := elbv2.target_groups.get(target.group):
                group.targets.pop(target.address, None)
            _mark(elbv2, target, unhealthy=False)
        for target in wanted - self.current:
            if group := elbv2.target_groups.get(target.group):
                group.register([{"Id": target.address, "Port": target.port}])
                _mark(elbv2, target, unhealthy=target.unhealthy)
        self.current = wanted


def _mark(elbv2: ELBv2Backend, target: Target, unhealthy: bool) -> None:
    if isinstance(elbv2, TargetHealthBackend):
        elbv2.set_target_health(target.group, target.address, unhealthy=unhealthy)
