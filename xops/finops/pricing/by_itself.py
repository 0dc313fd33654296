"""What a resource costs that needs no other one to be priced. Pure.

A rule gives usages, or says in words what is not known: that is unpriced and never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from xops.core.money import HOURS_A_MONTH
from xops.finops.pricing.assumptions import Assumptions
from xops.finops.pricing.planned_state import Resource
from xops.finops.pricing.ranged import RangedUsage

Usages = Iterator[RangedUsage | str]

_MONTH = Decimal(HOURS_A_MONTH)

_FREE_GP3_IOPS, _FREE_GP3_MBPS = 3000, 125
"""Of a gp3 disk, within the price of its size. Source: EBS price page."""

_ENGINES = {"redis": "Redis OSS", "valkey": "Valkey"}


# Network


def _nat_gateway(_: Resource, assume: Assumptions) -> Usages:
    """Hours and what goes through."""
    yield RangedUsage.always("nat gateway", _MONTH)
    yield RangedUsage.assumed("nat gateway data", assume.nat_gb)


def _address(_: Resource, __: Assumptions) -> Usages:
    """An elastic address costs the same in use and idle."""
    yield RangedUsage.always("public ipv4 address", _MONTH)


def _internet_gateway(_: Resource, assume: Assumptions) -> Usages:
    """It costs nothing; what goes out of its VPC, and between its zones, does."""
    yield RangedUsage.assumed("transfer to internet", assume.internet_gb)
    yield RangedUsage.assumed("transfer between zones", assume.between_zones_gb)


# Machines


def _instance(resource: Resource, _: Assumptions) -> Usages:
    """A virtual machine with its disks, and its public address."""
    kind = resource.get("instance_type")
    if kind is None:
        yield "its instance type is not known"
        return
    if resource.get("instance_market_options", 0, "market_type") == "spot":
        yield "it is bought on Spot, whose price moves"
    else:
        yield RangedUsage.always(f"ec2 {kind}", _MONTH)
    yield from _disk(resource.get("root_block_device", 0, default={}))
    for more in resource.get("ebs_block_device", default=()):
        yield from _disk(more)
    if resource.get("associate_public_ip_address"):
        yield RangedUsage.always("public ipv4 address", _MONTH)


def _volume(resource: Resource, _: Assumptions) -> Usages:
    """A disk of its own."""
    yield from _disk(resource.values)


def _disk(values: Any) -> Usages:
    size = values.get("volume_size", values.get("size")) if hasattr(values, "get") else None
    if size is None:
        yield "the size of its disk is not known"
        return
    kind = values.get("volume_type") or values.get("type") or "gp2"
    yield RangedUsage.always(f"ebs {kind}", Decimal(str(size)))
    if kind == "gp3":
        for item, key, free in (
            ("ebs gp3 iops", "iops", _FREE_GP3_IOPS),
            ("ebs gp3 throughput", "throughput", _FREE_GP3_MBPS),
        ):
            more = int(values.get(key) or 0) - free
            if more > 0:
                yield RangedUsage.always(item, Decimal(more))


# Databases and caches, as options that Stream 1 may have


def _database(resource: Resource, _: Assumptions) -> Usages:
    """An instance of PostgreSQL and its storage, in one zone or two; other engines have no row."""
    engine, kind = resource.get("engine"), resource.get("instance_class")
    if engine != "postgres" or kind is None:
        yield f"no price is known of RDS with {engine or 'an engine that is not known'}"
        return
    zones = "Multi-AZ" if resource.get("multi_az") else "Single-AZ"
    yield RangedUsage.always(f"rds postgresql {kind} {zones}", _MONTH)
    size, storage = resource.get("allocated_storage"), resource.get("storage_type", default="gp2")
    if size is None:
        yield "the size of its storage is not known"
    else:
        yield RangedUsage.always(f"rds postgresql {storage} storage {zones}", Decimal(str(size)))


def _cache(resource: Resource, _: Assumptions) -> Usages:
    """Nodes of Redis OSS or Valkey."""
    engine = str(resource.get("engine", default="redis"))
    kind = resource.get("node_type")
    count = resource.get("num_cache_clusters", default=resource.get("num_cache_nodes"))
    if kind is None or count is None or engine not in _ENGINES:
        yield f"no price is known of ElastiCache with {engine}, or its nodes are not known"
        return
    yield RangedUsage.always(f"elasticache {_ENGINES[engine]} {kind} node", _MONTH * int(count))


# What is paid by the piece, or as it is used


def _file_system(resource: Resource, assume: Assumptions) -> Usages:
    """Storage, in one zone or in all; elastic throughput by use, which no plan says."""
    kind = "one zone" if resource.get("availability_zone_name") else "standard"
    yield RangedUsage.assumed(f"efs {kind}", assume.file_system_gb)
    mode = resource.get("throughput_mode")
    if mode == "provisioned":
        yield "no price is known of its provisioned throughput"
    if mode != "elastic":
        return
    read, written = assume.file_system_read_gb, assume.file_system_written_gb
    if read is None or written is None:
        yield "what is read and written is counted by use, which nobody has assumed"
        return
    yield RangedUsage.assumed("efs elastic read", read)
    yield RangedUsage.assumed("efs elastic write", written)


def _backup_vault(_: Resource, assume: Assumptions) -> Usages:
    """Storage of backups."""
    yield RangedUsage.assumed("backup efs", assume.backup_gb)


def _log_group(_: Resource, assume: Assumptions) -> Usages:
    """What is taken in, and its first month of storage."""
    yield RangedUsage.assumed("logs ingest", assume.log_group_gb)
    yield RangedUsage.assumed("logs storage", assume.log_group_gb)


def _bucket(_: Resource, assume: Assumptions) -> Usages:
    """Storage."""
    yield RangedUsage.assumed("s3 standard", assume.bucket_gb)


def _repository(_: Resource, assume: Assumptions) -> Usages:
    """Images."""
    yield RangedUsage.assumed("ecr storage", assume.repository_gb)


def _key(_: Resource, assume: Assumptions) -> Usages:
    """The key and its requests."""
    yield RangedUsage.always("kms key")
    yield RangedUsage.assumed("kms requests", assume.key_10k_requests)


def _secret(_: Resource, assume: Assumptions) -> Usages:
    """The secret and its calls."""
    yield RangedUsage.always("secret")
    yield RangedUsage.assumed("secret calls", assume.secret_10k_calls)


def _zone(_: Resource, assume: Assumptions) -> Usages:
    """The zone and its queries."""
    yield RangedUsage.always("route53 zone")
    yield RangedUsage.assumed("route53 queries", assume.zone_million_queries)


def _firewall(resource: Resource, assume: Assumptions) -> Usages:
    """The list, each of its rules, and what it looks at."""
    yield RangedUsage.always("waf acl")
    rules = resource.get("rule")
    if rules is None:
        yield "how many rules it has is not known"
    else:
        yield RangedUsage.always("waf rule", Decimal(len(rules)))
    yield RangedUsage.assumed("waf requests", assume.firewall_million_requests)


def _web(_: Resource, assume: Assumptions) -> Usages:
    """What goes to people, and what they ask."""
    yield RangedUsage.assumed("cloudfront transfer", assume.web_gb)
    yield RangedUsage.assumed("cloudfront https requests", assume.web_10k_requests)


def _alarm(_: Resource, __: Assumptions) -> Usages:
    """An alarm."""
    yield RangedUsage.always("cloudwatch alarm")


def _cluster(resource: Resource, assume: Assumptions) -> Usages:
    """Nothing but for Container Insights, which counts by metrics that no plan says."""
    settings = resource.get("setting", default=[])
    if not any(
        one.get("name") == "containerInsights" and one.get("value") != "disabled"
        for one in settings
    ):
        return
    if assume.insights_metrics is None:
        yield "metrics of Container Insights are counted by use, which nobody has assumed"
    else:
        yield RangedUsage.assumed("cloudwatch metric", assume.insights_metrics)


BY_ITSELF: dict[str, Callable[[Resource, Assumptions], Usages]] = {
    "aws_backup_vault": _backup_vault,
    "aws_cloudfront_distribution": _web,
    "aws_cloudwatch_log_group": _log_group,
    "aws_cloudwatch_metric_alarm": _alarm,
    "aws_db_instance": _database,
    "aws_ebs_volume": _volume,
    "aws_ecr_repository": _repository,
    "aws_ecs_cluster": _cluster,
    "aws_efs_file_system": _file_system,
    "aws_eip": _address,
    "aws_elasticache_cluster": _cache,
    "aws_elasticache_replication_group": _cache,
    "aws_instance": _instance,
    "aws_internet_gateway": _internet_gateway,
    "aws_kms_key": _key,
    "aws_nat_gateway": _nat_gateway,
    "aws_route53_zone": _zone,
    "aws_s3_bucket": _bucket,
    "aws_secretsmanager_secret": _secret,
    "aws_wafv2_web_acl": _firewall,
}
"""The rules by Terraform's types."""
