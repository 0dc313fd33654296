"""An environment file's rules, one by one, each with the finding that a person would read."""

import copy
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.absent import GONE
from xops.aws.target import Target
from xops.core.errors import InputError
from xops.core.lifecycle.approval_policy import ApprovalPolicy
from xops.core.plan.model import Action, Change, Plan
from xops.ecs import environment
from xops.ecs.environment import Environment

BUDGETS = {"local": 0, "test": 45, "sit": 120, "prod": 180, "peak": 380}
PROD: dict[str, Any] = yaml.safe_load((environment.FOLDER / "prod.yaml").read_text())

Findings = Callable[..., dict[str, str]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """`write("prod", {"budget.amount": "1"})`: the prod file with those values, as a new file."""

    def written(name: str, values: dict[str, Any]) -> Path:
        document = copy.deepcopy(PROD) | {"name": name}
        for dotted, value in values.items():
            *path, last = dotted.split(".")
            place = document
            for part in path:
                place = place[part]
            if value is GONE:
                del place[last]
            else:
                place[last] = value
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(document, sort_keys=False))
        return file

    return written


@pytest.fixture
def findings(write: Callable[..., Path]) -> Findings:
    """What is found wrong with a file that holds these values, by path."""

    def found(name: str, values: dict[str, Any]) -> dict[str, str]:
        file = write(name, values)
        try:
            Environment.load(name, folder=file.parent, environ={})
        except InputError as error:
            return {row.path: row.message for row in error.findings}
        return {}

    return found


# The files of the project


@pytest.mark.parametrize("name", BUDGETS)
def test_every_environment_of_the_project_loads_with_its_budget(name: str) -> None:
    loaded = Environment.load(name, environ={})

    assert loaded.name == name
    assert loaded.region == "ap-southeast-2"
    assert loaded.target is Target.EMBEDDED
    assert loaded.budget.amount == Decimal(BUDGETS[name])
    assert loaded.budget.currency == "USD"
    for service, cpu, memory, percent in [
        (loaded.services.open_webui, 2048, 4096, 70),
        (loaded.services.crew, 1024, 2048, 60),
    ]:
        assert (service.cpu, service.memory, service.cpu_target_percent) == (cpu, memory, percent)


def test_the_environments_are_the_golden_path_s_stages() -> None:
    assert environment.names() == sorted(BUDGETS)


def test_prod_scales_as_the_decision_says() -> None:
    services = Environment.load("prod", environ={}).services

    assert (services.open_webui.replicas.min, services.open_webui.replicas.max) == (2, 6)
    assert (services.crew.replicas.min, services.crew.replicas.max) == (2, 8)


def test_what_is_promised_is_two_and_one_unless_the_file_says_less() -> None:
    found = {name: Environment.load(name, environ={}).promise for name in BUDGETS}

    assert {name: (one.tasks, one.on_demand) for name, one in found.items()} == {
        "local": (1, 1),
        "test": (1, 0),
        "sit": (1, 0),
        "prod": (2, 1),
        "peak": (2, 1),
    }
    assert {str(one.timezone) for one in found.values()} == {"Australia/Sydney"}


def test_nothing_but_local_passes_without_a_person() -> None:
    create = Plan(subject="s", target="aws", changes=(Change(action=Action.CREATE, target="a"),))

    def waits(target: Target) -> dict[str, bool]:
        loaded = {name: Environment.load(name, environ={}, target=target) for name in BUDGETS}
        return {name: bool(of.policy().rules.grounds(create)) for name, of in loaded.items()}

    everywhere = dict.fromkeys(BUDGETS, True)
    assert waits(Target.EMBEDDED) == everywhere | {"local": False}
    assert waits(Target.LOCALSTACK) == everywhere


# The schema for editors


def test_the_schema_that_editors_read_is_the_model_s() -> None:
    committed = (environment.FOLDER / "schema.json").read_text()

    assert committed == environment.schema(), (
        "regenerate it: python -m xops.ecs.environment > deployments/environments/schema.json"
    )


@pytest.mark.parametrize("name", BUDGETS)
def test_every_environment_fits_the_schema_and_names_it(name: str) -> None:
    text = (environment.FOLDER / f"{name}.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=./schema.json\n")

    validator = jsonschema.Draft202012Validator(json.loads(environment.schema()))

    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []


def test_the_schema_refuses_a_misspelt_key() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(environment.schema()))

    [error] = validator.iter_errors(PROD | {"regoin": "x"})

    assert "'regoin' was unexpected" in error.message


# Rules: what is accepted at the edge, and what is found beyond it

SERVICE = "services.crew"
HOURS = {
    "timezone": "Australia/Sydney",
    "min": 2,
    "max": 4,
    "off_hours_min": 1,
    "off_hours_max": 2,
}


def fargate(cpu: int, memory: int) -> dict[str, Any]:
    return {f"{SERVICE}.cpu": cpu, f"{SERVICE}.memory": memory}


@pytest.mark.parametrize(
    "values",
    [
        {"budget": {"amount": "0"}},
        {"budget": {"amount": 1, "notify": ["a@b.cd"]}},
        {"network.cidr": "10.0.0.0/16"},
        {"network.cidr": "192.168.0.0/22"},
        {"network.zones": 2},
        {"network.zones": 3},
        {"domain": None},
        {"domain": {"name": "example.com", "zone": "example.com"}},
        {"services.crew.replicas": {"min": 2, "max": 2}},
        {"services.crew.capacity": {"on_demand_base": 1, "on_demand_weight": 0, "spot_weight": 1}},
        {"services.crew.capacity": {"on_demand_base": 1, "on_demand_weight": 1, "spot_weight": 0}},
        {"services.crew.cpu_target_percent": 10},
        {"services.crew.cpu_target_percent": 90},
        {"services.crew.business_hours": HOURS},
        {"services.crew.business_hours": HOURS | {"days": "SUN"}},
        {"services.crew.business_hours": HOURS | {"start": "00:00", "end": "23:59"}},
        {"services.crew.image": "localhost:5000/crew:1"},
        {"services.crew.image": "crew@sha256:" + "a" * 64},
        fargate(256, 512),
        fargate(256, 2048),
        fargate(512, 1024),
        fargate(512, 4096),
        fargate(1024, 8192),
        fargate(2048, 16384),
        fargate(4096, 30720),
        fargate(8192, 16384),
        fargate(8192, 61440),
        fargate(16384, 32768),
        fargate(16384, 122880),
        {"log_retention_days": 1},
        {"log_retention_days": 1096},
        {"log_retention_days": 3653},
        {"backup.retention_days": 1},
        {"github": None},
        {"promise": {"tasks": 3, "on_demand": 2, "days": "MON-SUN", "start": "00:00"}},
        {"flow_runs": None},
        {"flow_runs": {"cluster": "xops-runs"}},
        {"flow_runs": {"cluster": "xops-prod-runs", "log_group": "/aws/ecs/x.y_z-1#2"}},
        {"approval": {"required_for": ["destroy"]}},
        {"approval": GONE},
        {"region": "us-gov-west-1"},
    ],
    ids=str,
)
def test_accepted(findings: Findings, values: dict[str, Any]) -> None:
    assert findings("prod", values) == {}


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"apiVersion": "xops/v2"}, "apiVersion", "Input should be 'xops/v1'"),
        ({"apiVersion": GONE}, "apiVersion", "Field required"),
        ({"budget.amount": 0.5}, "budget.amount", "write the amount as a quoted decimal"),
        ({"budget.amount": "-1"}, "budget.amount", "greater than or equal to 0"),
        ({"budget.currency": "AUD"}, "budget.currency", "Input should be 'USD' (found 'AUD')"),
        ({"budget.notify": []}, "budget.notify", "a budget above 0 needs at least one address"),
        ({"budget.notify": GONE}, "budget.notify", "a budget above 0 needs at least one address"),
        ({"budget.notify": ["a b@c.de", "x"]}, "budget.notify", "no-address: a b@c.de, x"),
        ({"promise": {"tasks": -1}}, "promise.tasks", "greater than or equal to 0"),
        ({"promise": {"on_demand": 101}}, "promise.on_demand", "less than or equal to 100"),
        ({"promise": {"timezone": "Sydney"}}, "promise.timezone", "is no IANA time zone"),
        ({"promise": {"days": "MON-FUN"}}, "promise.days", "should match pattern"),
        ({"promise": {"end": "07:00"}}, "promise.end", "is not after start (07:00)"),
        ({"promise": {"start": "20:00"}}, "promise.end", "is not after start (20:00)"),
        ({"promise": {"replicas": 2}}, "promise.replicas", "is not a known key"),
        ({"network.cidr": "10.0.0.0/15"}, "network.cidr", "private block between /16 and /22"),
        ({"network.cidr": "10.0.0.0/23"}, "network.cidr", "private block between /16 and /22"),
        ({"network.cidr": "8.8.0.0/16"}, "network.cidr", "private block between /16 and /22"),
        ({"network.cidr": "10.0.0.1/16"}, "network.cidr", "has host bits set"),
        ({"network.cidr": "ten"}, "network.cidr", "'ten'"),
        ({"network.zones": 1}, "network.zones", "greater than or equal to 2 (found 1)"),
        ({"network.zones": 4}, "network.zones", "less than or equal to 3 (found 4)"),
        ({"network.egress": "vpn"}, "network.egress", "'public_ip', 'nat' or 'endpoints'"),
        ({"domain.name": "ai.example.org"}, "domain.zone", "does not lie within this zone"),
        ({"domain.name": "evilexample.com"}, "domain.zone", "does not lie within this zone"),
        ({"domain.zone": "Example.com"}, "domain.zone", "should match pattern"),
        (
            {"services.crew.replicas": {"min": 3, "max": 2}},
            "services.crew.replicas.max",
            "lies below min (3)",
        ),
        (
            {"services.crew.capacity": {"on_demand_weight": 0, "spot_weight": 0}},
            "services.crew.capacity.spot_weight",
            "one of on_demand_weight and spot_weight must be above 0",
        ),
        (
            {"services.crew.capacity": {"on_demand_weight": 0}},
            "services.crew.capacity.spot_weight",
            "one of on_demand_weight and spot_weight must be above 0",
        ),
        ({"services.crew.image": "crew"}, "services.crew.image", "should match pattern"),
        ({"services.crew.image": "crew:latest"}, "services.crew.image", "name a version"),
        ({"services.crew.image": "host:5000/crew"}, "services.crew.image", "match pattern"),
        ({"services.crew.port": 0}, "services.crew.port", "greater than or equal to 1"),
        ({"services.crew.port": 65536}, "services.crew.port", "less than or equal to 65535"),
        ({"services.crew.health_path": "up"}, "services.crew.health_path", "match pattern"),
        ({"services.crew.cpu_target_percent": 9}, "services.crew.cpu_target_percent", "than or eq"),
        ({"services.crew.cpu_target_percent": 91}, "services.crew.cpu_target_percent", "less"),
        (fargate(1000, 2048), "services.crew.cpu", "Fargate has 256, 512, 1024, 2048, 4096, 8192,"),
        (fargate(256, 1536), "services.crew.memory", "256 CPU units go with 512, 1024, 2048 MiB"),
        (fargate(256, 3072), "services.crew.memory", "256 CPU units go with"),
        (fargate(512, 512), "services.crew.memory", "512 CPU units go with 1024, 2048, 3072, 4096"),
        (fargate(1024, 1024), "services.crew.memory", "1024 CPU units go with"),
        (fargate(1024, 9216), "services.crew.memory", "1024 CPU units go with"),
        (fargate(2048, 4097), "services.crew.memory", "2048 CPU units go with"),
        (fargate(8192, 17408), "services.crew.memory", "8192 CPU units go with"),
        (fargate(16384, 36864), "services.crew.memory", "16384 CPU units go with"),
        (
            {"services.crew.business_hours": HOURS | {"timezone": "Sydney"}},
            "services.crew.business_hours.timezone",
            "is no IANA time zone",
        ),
        (
            {"services.crew.business_hours": HOURS | {"start": "24:00"}},
            "services.crew.business_hours.start",
            "should match pattern",
        ),
        (
            {"services.crew.business_hours": HOURS | {"end": 1140}},
            "services.crew.business_hours.end",
            "Input should be a valid string (found 1140)",
        ),
        (
            {"services.crew.business_hours": HOURS | {"days": "MON-ABC"}},
            "services.crew.business_hours.days",
            "should match pattern",
        ),
        (
            {"services.crew.business_hours": HOURS | {"max": 1}},
            "services.crew.business_hours.max",
            "lies below min (2)",
        ),
        (
            {"services.crew.business_hours": HOURS | {"off_hours_min": 3}},
            "services.crew.business_hours.off_hours_max",
            "lies below off_hours_min (3)",
        ),
        ({"services.worker": {}}, "services.worker", "is not a known key"),
        ({"log_retention_days": 2}, "log_retention_days", "CloudWatch keeps logs 1, 3, 5, 7,"),
        ({"log_retention_days": 3654}, "log_retention_days", "CloudWatch keeps logs"),
        ({"backup.retention_days": 0}, "backup.retention_days", "greater than or equal to 1"),
        ({"backup.schedule": "daily"}, "backup.schedule", "should match pattern"),
        ({"github.repository": "platform"}, "github.repository", "should match pattern"),
        ({"flow_runs": {}}, "flow_runs.cluster", "Field required"),
        ({"flow_runs": {"cluster": "xops-prod"}}, "flow_runs", "environment serves from"),
        ({"flow_runs": {"cluster": "*"}}, "flow_runs.cluster", "should match pattern"),
        (
            {"flow_runs": {"cluster": "arn:aws:ecs:ap-southeast-2:123456789012:cluster/runs"}},
            "flow_runs.cluster",
            "should match pattern",
        ),
        (
            {"flow_runs": {"cluster": "xops-runs", "log_group": "/xops/*"}},
            "flow_runs.log_group",
            "should match pattern",
        ),
        ({"evidence.store": "disk"}, "evidence.store", "'folder' or 'bucket'"),
        (
            {"evidence": {"bucket": "x"}},
            "evidence.bucket",
            "goes with store bucket, and store is folder",
        ),
        (
            {"evidence": {"store": "bucket", "prefix": 1}},
            "evidence.prefix",
            "a valid string (found 1)",
        ),
        (
            {"approval.required_for": ["create"]},
            "approval.required_for",
            "'destroy' cannot be left out",
        ),
        (
            {"approval.required_for": ["read"]},
            "approval.required_for.0",
            "'create', 'update', 'destroy'",
        ),
        ({"tags": {"owner": "x"}}, "tags", "cost reports need the tags cost_centre as well"),
        ({"tags": GONE}, "tags", "cost reports need the tags cost_centre, owner as well"),
        ({"region": "Sydney"}, "region", "should match pattern"),
        ({"target": "azure"}, "target", "'embedded', 'localstack' or 'aws'"),
    ],
    ids=str,
)
def test_refused(findings: Findings, values: dict[str, Any], path: str, message: str) -> None:
    found = findings("prod", values)

    assert list(found) == [path]
    assert message.replace("no-address", "not an e-mail address") in found[path]


# What protects data holds in prod and peak, whether the key is written or left out

REDUNDANT = "needs replicas.min >= 2 and capacity.on_demand_base >= 1 in"


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"deletion_protection": False}, "deletion_protection", "must be true in"),
        ({"deletion_protection": GONE}, "deletion_protection", "must be true in"),
        ({"services.crew.replicas.min": 1}, "services", f"crew {REDUNDANT}"),
        ({"services.open_webui.replicas.min": 1}, "services", f"open_webui {REDUNDANT}"),
        ({"services.crew.capacity.on_demand_base": 0}, "services", f"crew {REDUNDANT}"),
    ],
    ids=str,
)
def test_protected_stages(
    findings: Findings, values: dict[str, Any], path: str, message: str
) -> None:
    for name in environment.PROTECTED:
        found = findings(name, values)
        assert list(found) == [path]
        assert f"{message} {name}" in found[path]
    for name in ("local", "test", "sit"):
        assert findings(name, values) == {}


def test_the_lines_are_those_of_the_file(write: Callable[..., Path]) -> None:
    file = write("prod", {"region": "Sydney", "log_retention_days": 2})
    lines = file.read_text().splitlines()

    with pytest.raises(InputError) as caught:
        Environment.load("prod", folder=file.parent, environ={})

    for finding in caught.value.findings:
        assert finding.line is not None
        assert lines[finding.line - 1].startswith(f"{finding.path}:")


# Loading


def test_variables_and_arguments_overlay_the_file() -> None:
    arguments: dict[str, Any] = {"target": "localstack", "services.crew.replicas.max": 5}
    loaded = Environment.load(
        "prod",
        environ={"XOPS_ENVIRONMENT__TARGET": "aws", "XOPS_ENVIRONMENT__BUDGET__AMOUNT": "'200'"},
        **arguments,
    )

    assert loaded.target is Target.LOCALSTACK
    assert loaded.budget.amount == 200
    assert loaded.services.crew.replicas.max == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("APPROVAL__REQUIRED_FOR", "[destroy]"),
        ("DELETION_PROTECTION", "false"),
        ("EVIDENCE__FOLDER", "/tmp/elsewhere"),
        ("PROMISE__TASKS", "0"),
        ("STATE__BUCKET", "another"),
        ("TARGETS", "[aws]"),
    ],
)
def test_policy_is_set_by_the_reviewed_file_alone(name: str, value: str) -> None:
    variable = f"XOPS_ENVIRONMENT__{name}"
    argument: dict[str, Any] = {name.lower().replace("__", "."): value}
    with pytest.raises(InputError, match=f"variable {variable}: .* is policy: only the reviewed"):
        Environment.load("prod", environ={variable: value})
    with pytest.raises(InputError, match="is policy: only the reviewed"):
        Environment.load("prod", environ={}, **argument)


@pytest.mark.parametrize(
    "given", [{"environ": {"XOPS_ENVIRONMENT__TARGET": "aws"}}, {"target": "aws", "environ": {}}]
)
def test_a_target_that_the_file_does_not_permit_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="target: is aws, which the file does not permit"):
        Environment.load("local", **given)


def test_an_unknown_environment_names_those_there_are() -> None:
    with pytest.raises(InputError, match="there are: local, peak, prod, sit, test"):
        Environment.load("production", environ={})


def test_a_folder_without_environments_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are: none"):
        Environment.load("prod", folder=tmp_path, environ={})


def test_a_file_under_another_s_name_is_refused(write: Callable[..., Path]) -> None:
    file = write("prod", {})
    copied = file.with_name("peak.yaml")
    copied.write_text(file.read_text())

    with pytest.raises(InputError, match=r"peak\.yaml: name: .*'prod'.*'peak'"):
        Environment.load("peak", folder=file.parent, environ={})


def test_an_environment_cannot_be_altered() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Environment.load("prod", environ={}).name = "test"


# What Terraform is given


def test_terraform_s_variables_are_json_and_carry_name_and_tags() -> None:
    variables = Environment.load("prod", environ={}).terraform_variables()

    assert json.loads(json.dumps(variables)) == variables
    assert variables["environment"] == "prod"
    assert variables["name"] == "xops-prod"
    assert variables["tags"] == {
        "owner": "platform",
        "cost_centre": "platform-prod",
        "environment": "prod",
        "managed_by": "xops",
    }
    assert variables["budget"]["amount"] == "180"
    assert "promise" not in variables


def test_terraform_hears_of_flow_runs_where_the_file_names_them(
    write: Callable[..., Path],
) -> None:
    file = write("prod", {"flow_runs": {"cluster": "xops-runs"}})

    named = Environment.load("prod", folder=file.parent, environ={}).terraform_variables()

    assert named["flow_runs"] == {"cluster": "xops-runs", "log_group": "/xops/runs"}
    assert Environment.load("prod", environ={}).terraform_variables()["flow_runs"] is None


def test_a_file_cannot_change_the_tags_that_reports_rely_on(write: Callable[..., Path]) -> None:
    tags = {"owner": "a", "cost_centre": "b", "environment": "other", "managed_by": "hand"}
    file = write("prod", {"tags": tags})

    loaded = Environment.load("prod", folder=file.parent, environ={})

    variables = loaded.terraform_variables()
    assert variables["tags"] == tags | {"environment": "prod", "managed_by": "xops"}


# Approval

CREATE, UPDATE, REPLACE, DELETE = (
    Change(action=action, target=str(action))
    for action in (Action.CREATE, Action.UPDATE, Action.REPLACE, Action.DELETE)
)
REVISION = Change(action=Action.REPLACE, target="task definition", disposable=True)


@pytest.mark.parametrize(
    ("required_for", "waits"),
    [
        (["destroy"], [False, False, False, False, True, True, True]),
        (["create", "destroy"], [False, True, False, False, True, True, True]),
        (["update", "destroy"], [False, False, True, True, True, True, True]),
        (["create", "update", "destroy"], [False, True, True, True, True, True, True]),
    ],
)
def test_which_plans_wait_for_a_person(required_for: list[str], waits: list[bool]) -> None:
    plans = [
        (),
        (CREATE,),
        (UPDATE,),
        (REVISION,),
        (REPLACE,),
        (DELETE,),
        (CREATE, UPDATE, DELETE),
    ]
    approval = ApprovalPolicy(required_for=required_for)  # type: ignore[arg-type]

    found = [bool(approval.grounds(Plan(subject="s", target="aws", changes=row))) for row in plans]

    assert found == waits
