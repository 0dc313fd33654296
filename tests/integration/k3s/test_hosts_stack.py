"""terraform/stacks/k3s_hosts for real: one apply on the embedded AWS, and what xOps makes of it."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.embedded_aws import client, endpoint, reaching
from xops.aws.access import Aws
from xops.aws.target import Target
from xops.core.money import Money
from xops.core.plan.cost import BudgetVerdict
from xops.core.plan.fingerprint import FingerprintKey
from xops.core.plan.model import Plan
from xops.ecs.changes import from_terraform
from xops.ecs.stream1 import SOURCE, copy_source, use_local_backend
from xops.ecs.terraform import Terraform
from xops.ecs.terraform_discovery import find_binary, find_mirror
from xops.finops.pricing.pricer import TerraformPricer
from xops.k3s.cluster_file.cluster import Cluster

__all__ = ["client", "endpoint"]

REGION = "ap-southeast-2"
NAME = "xops-k3s-test"
VARIABLES = {
    "environment": "test",
    "target": "embedded",
    "region": REGION,
    "name": NAME,
    "tags": {"owner": "platform", "cost_centre": "platform-test"},
    "ssh": {"cidrs": ["203.0.113.7/32"]},
    "deletion_protection": False,
}


@pytest.fixture(scope="module")
def terraform(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    folder = tmp_path_factory.mktemp("hosts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XOPS_HOME", str(folder / "home"))
        stack = copy_source(folder) / "stacks" / "k3s_hosts"
        use_local_backend(stack)
        aws = Aws(Target.EMBEDDED, REGION, reaching(endpoint))
        made = Terraform(
            binary=find_binary(os.environ),
            stack=stack,
            work=folder / "work",
            data=folder / "data",
            environ=aws.terraform_environ(),
            mirror=find_mirror(os.environ),
        )
        made.init({})
        (made.work / "vars.json").write_text(json.dumps(VARIABLES))
        yield made


@dataclass(frozen=True)
class Applied:
    """The one apply of this module: its plan as Terraform shows it, and the outputs."""

    plan: dict[str, Any]
    outputs: dict[str, Any]


@pytest.fixture(scope="module")
def applied(terraform: Terraform) -> Applied:
    saved = terraform.plan(terraform.work / "vars.json")
    shown = terraform.show(saved)
    terraform.apply(saved)
    return Applied(shown, terraform.output())


@pytest.fixture(scope="module")
def outputs(applied: Applied) -> dict[str, Any]:
    return applied.outputs


@pytest.fixture(scope="module")
def instances(outputs: dict[str, Any], client: Callable[..., Any]) -> list[dict[str, Any]]:
    """The servers as EC2 describes them, in the order of their names."""
    filters = [{"Name": "tag:stack", "Values": [NAME]}]
    reservations = client("ec2").describe_instances(Filters=filters)["Reservations"]
    found = [one for reservation in reservations for one in reservation["Instances"]]
    return sorted(found, key=lambda one: tags(one["Tags"])["Name"])


KEY = FingerprintKey("k" * 32)


def test_its_plan_is_priced_by_the_month(applied: Applied) -> None:
    budget = Money(amount=Decimal(190))
    effect = TerraformPricer.load().price(
        applied.plan, region=REGION, budget=budget, is_emulated=True
    )
    assert effect.before.expected.amount == 0
    assert f"{effect.after.expected.amount:.2f}" == "131.90"
    assert effect.unpriced == ("aws_lb.api: nlb lcu has no price",)
    assert effect.verdict is BudgetVerdict.UNKNOWN


def tags(rows: list[dict[str, str]]) -> dict[str, str]:
    return {row["Key"]: row["Value"] for row in rows}


def test_a_second_plan_is_empty(terraform: Terraform, outputs: dict[str, Any]) -> None:
    again = terraform.plan(terraform.work / "vars.json")

    plan: Plan = from_terraform(terraform.show(again), "k3s/test", "embedded", KEY)
    assert plan.changes == ()
    assert not again.has_changes


def test_hosts_are_the_machines_that_run(
    outputs: dict[str, Any], instances: list[dict[str, Any]], client: Callable[..., Any]
) -> None:
    subnets = client("ec2").describe_subnets(SubnetIds=[one["SubnetId"] for one in instances])
    zones = {one["SubnetId"]: one["AvailabilityZone"] for one in subnets["Subnets"]}
    seen = [
        {
            "name": tags(one["Tags"])["Name"],
            "address": one["PublicIpAddress"],
            "private_address": one["PrivateIpAddress"],
            "arch": one["Architecture"],
            "zone": zones[one["SubnetId"]],
            "role": "server",
            "user": "ec2-user",
        }
        for one in instances
    ]

    assert outputs["hosts"] == seen
    assert len({host["zone"] for host in seen}) == 3
    assert {one["InstanceType"] for one in instances} == {"t4g.medium"}


def test_costs_can_be_told_apart(instances: list[dict[str, Any]]) -> None:
    for one in instances:
        expected = {
            "environment": "test",
            "stack": NAME,
            "service": "k3s-server",
            "owner": "platform",
            "cost_centre": "platform-test",
        }
        assert expected.items() <= tags(one["Tags"]).items()


def test_machines_want_imdsv2_and_have_encrypted_disks(
    instances: list[dict[str, Any]], client: Callable[..., Any]
) -> None:
    volumes = [one["BlockDeviceMappings"][0]["Ebs"]["VolumeId"] for one in instances]
    disks = client("ec2").describe_volumes(VolumeIds=volumes)["Volumes"]

    assert {one["MetadataOptions"]["HttpTokens"] for one in instances} == {"required"}
    assert [(disk["Encrypted"], disk["VolumeType"]) for disk in disks] == [(True, "gp3")] * 3


def test_the_load_balancer_leads_to_every_server(
    outputs: dict[str, Any], instances: list[dict[str, Any]], client: Callable[..., Any]
) -> None:
    balancing = client("elbv2")
    [balancer] = balancing.describe_load_balancers(Names=[NAME])["LoadBalancers"]
    [group] = balancing.describe_target_groups(Names=[NAME])["TargetGroups"]
    answers = balancing.describe_target_health(TargetGroupArn=group["TargetGroupArn"])

    assert (balancer["Type"], balancer["Scheme"]) == ("network", "internal")
    assert balancer["DNSName"] == outputs["endpoint"]
    targets = {
        (row["Target"]["Id"], row["Target"]["Port"]) for row in answers["TargetHealthDescriptions"]
    }
    assert targets == {(one["InstanceId"], 6443) for one in instances}


def test_nobody_but_the_named_reach_a_server(
    instances: list[dict[str, Any]], client: Callable[..., Any]
) -> None:
    groups = [one["NetworkInterfaces"][0]["Groups"] for one in instances]
    [group] = {row["GroupId"] for rows in groups for row in rows}
    filters = [{"Name": "group-id", "Values": [group]}]
    rules = client("ec2").describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    ingress = [rule for rule in rules if not rule["IsEgress"]]

    from_addresses = {rule["CidrIpv4"]: rule["FromPort"] for rule in ingress if "CidrIpv4" in rule}
    assert from_addresses == {"203.0.113.7/32": 22}
    among_servers = {
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"])
        for rule in ingress
        if rule.get("ReferencedGroupInfo", {}).get("GroupId") == group
    }
    assert among_servers == {
        ("tcp", 6443, 6443),
        ("tcp", 2379, 2380),
        ("tcp", 10250, 10250),
        ("udp", 8472, 8472),
    }


def test_a_snapshot_that_was_deleted_can_be_brought_back(
    outputs: dict[str, Any], client: Callable[..., Any]
) -> None:
    store, name = client("s3"), outputs["snapshots_bucket"]

    store.put_object(Bucket=name, Key="on-demand-1", Body=b"etcd")
    store.delete_object(Bucket=name, Key="on-demand-1")
    versions = store.list_object_versions(Bucket=name, Prefix="on-demand-1")["Versions"]

    assert len(versions) == 1
    block = store.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert all(block.values())
    [rule] = store.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"


@pytest.mark.parametrize("form", ["outputs", "inventory"])
def test_a_cluster_file_takes_its_hosts_from_the_outputs(
    outputs: dict[str, Any], tmp_path: Path, form: str
) -> None:
    file = tmp_path / "cloud.yaml"
    file.write_text(
        "apiVersion: xops/v1\nname: cloud\nk3s: {version: v1.34.1+k3s1}\n"
        "source: {kind: terraform, outputs: outputs.json}\nendpoint: {kind: dns}\n"
        "snapshots: {s3: {}}\n"
    )
    given = json.loads(outputs["inventory"]) if form == "inventory" else outputs

    cluster = Cluster.load(file, environ={}).with_outputs(given)

    assert [host.name for host in cluster.servers] == [f"{NAME}-{number}" for number in (1, 2, 3)]
    assert {(host.arch, host.user) for host in cluster.hosts} == {("arm64", "ec2-user")}
    assert outputs["endpoint"] in cluster.tls_sans
    assert cluster.snapshots.s3 is not None
    assert cluster.snapshots.s3.bucket == outputs["snapshots_bucket"]
    assert outputs["networks"] == cluster.networks.model_dump(include=set(outputs["networks"]))


def test_the_lock_is_stream_1_s_own() -> None:
    """One provider for both stacks: a mirror that serves one serves the other."""
    stacks = SOURCE / "stacks"

    locks = {
        (stacks / name / ".terraform.lock.hcl").read_bytes() for name in ("stream1", "k3s_hosts")
    }
    assert len(locks) == 1
