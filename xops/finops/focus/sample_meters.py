"""What a sample account uses: the services of Stream 1, as AWS's exports name them.

How much is used is made up. What a unit costs is the price book's, so that sample and plan agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

TEST, SIT, PROD = "test", "sit", "prod"
ENVIRONMENTS = (TEST, SIT, PROD)
OPEN_WEBUI, CREW = "open_webui", "crew"

type Daily = tuple[float, float, float]
"""How many units a day in each of `ENVIRONMENTS`."""


class Shape(StrEnum):
    """How the use of a meter goes over the week."""

    STEADY = "steady"
    """The same every hour: what is provisioned."""
    OFFICE = "office"
    """What people cause: little at weekends."""
    WORKDAYS = "workdays"
    """Runs on working days only."""


@dataclass(frozen=True)
class Service:
    """A service of AWS as its FOCUS exports name it; `code` is their x_ServiceCode."""

    name: str
    code: str
    category: str
    subcategory: str


@dataclass(frozen=True)
class Meter:
    """One line that a day and an environment have on the bill.

    Attributes:
        item: of the price book.
        usage_type: with the code of the region, as in x_UsageType and SkuMeter.
        unit: as AWS's exports write it.
        tagged: which of the platform's services the resource is tagged with; None: has no tags.
    """

    item: str
    service: Service
    usage_type: str
    operation: str
    unit: str
    daily: Daily
    shape: Shape
    resource: str
    tagged: str | None


_ECS = Service("Amazon Elastic Container Service", "AmazonECS", "Compute", "Containers")
_ELB = Service("Elastic Load Balancing", "AWSELB", "Networking", "Application Networking")
_VPC = Service("Amazon Virtual Private Cloud", "AmazonVPC", "Networking", "Network Infrastructure")
_EC2 = Service("Amazon Elastic Compute Cloud", "AmazonEC2", "Networking", "Network Infrastructure")
_EFS = Service("Amazon Elastic File System", "AmazonEFS", "Storage", "File Storage")
_LOGS = Service(
    "AmazonCloudWatch", "AmazonCloudWatch", "Management and Governance", "Observability"
)
_SECRETS = Service("AWS Secrets Manager", "AWSSecretsManager", "Security", "Secret Management")
_KMS = Service("AWS Key Management Service", "awskms", "Security", "Secret Management")
_RDS = Service(
    "Amazon Relational Database Service", "AmazonRDS", "Databases", "Relational Databases"
)

_VCPU = ("fargate arm64 vCPU", "APS2-Fargate-ARM-vCPU-Hours:perCPU", "vCPU-Hours")
_MEMORY = ("fargate arm64 memory", "APS2-Fargate-ARM-GB-Hours", "GB-Hours")
_SPOT_VCPU = (
    "fargate spot arm64 vCPU", "APS2-SpotUsage-Fargate-ARM-vCPU-Hours:perCPU", "vCPU-Hours",
)  # fmt: skip
_SPOT_MEMORY = ("fargate spot arm64 memory", "APS2-SpotUsage-Fargate-ARM-GB-Hours", "GB-Hours")


def _tasks(tag: str, kind: tuple[str, str, str], daily: Daily, shape: Shape) -> Meter:
    item, usage_type, unit = kind
    return Meter(item, _ECS, usage_type, "FargateTask", unit, daily, shape, "ecs:task", tag)


METERS: tuple[Meter, ...] = (
    _tasks(OPEN_WEBUI, _VCPU, (24, 48, 96), Shape.STEADY),
    _tasks(OPEN_WEBUI, _MEMORY, (48, 96, 192), Shape.STEADY),
    _tasks(OPEN_WEBUI, _SPOT_VCPU, (0, 24, 48), Shape.WORKDAYS),
    _tasks(OPEN_WEBUI, _SPOT_MEMORY, (0, 48, 96), Shape.WORKDAYS),
    _tasks(CREW, _VCPU, (12, 24, 48), Shape.STEADY),
    _tasks(CREW, _MEMORY, (24, 48, 96), Shape.STEADY),
    _tasks(CREW, _SPOT_VCPU, (0, 12, 36), Shape.WORKDAYS),
    _tasks(CREW, _SPOT_MEMORY, (0, 24, 72), Shape.WORKDAYS),
    Meter(
        "alb", _ELB, "APS2-LoadBalancerUsage", "LoadBalancing:Application", "Hours",
        (24, 24, 24), Shape.STEADY, "elasticloadbalancing:loadbalancer", OPEN_WEBUI,
    ),
    Meter(
        "alb lcu", _ELB, "APS2-LCUUsage", "LoadBalancing:Application", "LCU-Hours",
        (2, 6, 30), Shape.OFFICE, "elasticloadbalancing:loadbalancer", OPEN_WEBUI,
    ),
    Meter(
        "nat gateway", _VPC, "APS2-NatGateway-Hours", "NatGateway", "Hours",
        (0, 24, 24), Shape.STEADY, "ec2:natgateway", None,
    ),
    Meter(
        "nat gateway data", _VPC, "APS2-NatGateway-Bytes", "NatGateway", "GB",
        (0, 3, 14), Shape.OFFICE, "ec2:natgateway", CREW,
    ),
    Meter(
        "public ipv4 address", _VPC, "APS2-PublicIPv4:InUseAddress", "PublicIPv4:InUseAddress",
        "Hours", (48, 72, 72), Shape.STEADY, "ec2:network-interface", None,
    ),
    Meter(
        "transfer to internet", _EC2, "APS2-DataTransfer-Out-Bytes", "PublicIP-Out", "GB",
        (0.2, 1, 9), Shape.OFFICE, "ec2:network-interface", None,
    ),
    Meter(
        "efs standard", _EFS, "APS2-TimedStorage-ByteHrs", "Storage", "GB-Months",
        (0.1, 0.2, 0.6), Shape.STEADY, "elasticfilesystem:file-system", OPEN_WEBUI,
    ),
    Meter(
        "logs ingest", _LOGS, "APS2-DataProcessing-Bytes", "PutLogEvents", "GB",
        (0.2, 0.4, 1.8), Shape.OFFICE, "logs:log-group", CREW,
    ),
    Meter(
        "secret", _SECRETS, "APS2-AWSSecretsManager-Secrets", "Secret", "Months",
        (0.16, 0.16, 0.16), Shape.STEADY, "secretsmanager:secret", OPEN_WEBUI,
    ),
    Meter(
        "kms key", _KMS, "APS2-KMS-Keys", "CreateKey", "Keys",
        (0.033, 0.033, 0.033), Shape.STEADY, "kms:key", None,
    ),
)  # fmt: skip

NEW_METER = Meter(
    "rds postgresql db.t4g.small Single-AZ", _RDS, "APS2-InstanceUsage:db.t4g.small",
    "CreateDBInstance:0014", "Hours", (0, 24, 0), Shape.STEADY, "rds:db", OPEN_WEBUI,
)  # fmt: skip
"""What is used for the first time shortly before the end."""
