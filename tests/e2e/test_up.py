"""The newcomer's path: `make run ONCE=1`, and once more."""

import json
import re
from decimal import Decimal
from pathlib import Path

import boto3
import httpx

from tests.e2e.stack import Embedded, FirstRun

SERVERS = ("aws", "postgresql", "prefect", "receiver", "dispatcher", "worker", "watch")


def service_records(stack: Embedded) -> dict[str, object]:
    folder = stack.home / "services"
    return {file.stem: json.loads(file.read_text()) for file in folder.glob("*.json")}


def test_the_summary_says_what_was_created_where_to_look_and_how_to_end_it(
    first_run: FirstRun,
) -> None:
    created = re.search(r"Created (\d+) resources: (.+)", first_run.output)
    assert created is not None, first_run.output
    assert int(created[1]) > 56
    assert "2 aws_ecs_service" in created[2]
    evidence = re.search(r"Evidence: +(\S+)", first_run.output)
    assert evidence is not None
    record = json.loads(Path(evidence[1]).read_text())
    assert record["status"] == "applied"
    assert record["target"] == "embedded"
    assert record["plan"]["cost"]["is_emulated"]
    report = re.search(r"Cost report: +(\S+) \(sample data: made up\)", first_run.output)
    assert report is not None
    assert "made up" in Path(report[1]).read_text()
    ui = re.search(r"Prefect UI: +(\S+)", first_run.output)
    assert ui is not None
    assert httpx.get(ui[1], headers={"Accept": "text/html"}).is_success
    assert "make down" in first_run.output


def test_progress_is_shown_while_terraform_applies(first_run: FirstRun) -> None:
    shown = re.findall(r"^(\d+)/(\d+) module\.", first_run.output, flags=re.MULTILINE)
    assert len(shown) > 5
    assert len({total for _, total in shown}) == 1
    assert "plan: ecs/local: " in first_run.output
    assert "services: crew: 1/1 running" in first_run.output


def test_both_services_run_on_the_embedded_aws(stack: Embedded) -> None:
    ecs = boto3.client(
        "ecs",
        endpoint_url=stack.aws,
        region_name="ap-southeast-2",
        **stack.aws_credentials(),
    )
    arns = ecs.list_services(cluster="xops-local")["serviceArns"]
    found = ecs.describe_services(cluster="xops-local", services=arns)["services"]
    assert {service["serviceName"] for service in found} == {"open-webui", "crew"}
    assert all(service["runningCount"] == service["desiredCount"] == 1 for service in found)


def test_a_second_run_finds_everything_changes_nothing_and_says_so(stack: Embedded) -> None:
    before = service_records(stack)
    done = stack.xops("up", "--once")
    assert done.returncode == 0, done.stderr
    assert "Nothing to change" in done.stdout
    assert [name for name in SERVERS if f"found {name}" not in done.stderr] == []
    assert service_records(stack) == before
    assert stack.evidence()[-1]["status"] == "unchanged"


def test_the_doctor_finds_everything_running(stack: Embedded) -> None:
    checks = {check["name"]: check for check in stack.json("doctor")}
    for name in (
        "python",
        "terraform",
        "database",
        *(f"service {name}" for name in SERVERS),
        "secrets",
    ):
        assert checks[name]["verdict"] == "ok", checks[name]


def test_the_plan_of_prod_lists_every_change_with_a_digest(stack: Embedded) -> None:
    planned = stack.json("ecs", "plan", "--environment", "prod")
    plan = planned["plan"]
    assert planned["status"] == "planned"
    assert planned["target"] == "embedded"
    assert re.fullmatch("[0-9a-f]{64}", plan["digest"])
    assert len(plan["changes"]) > 100
    assert all(change["target"] and change["action"] == "create" for change in plan["changes"])
    cost = plan["cost"]
    assert cost["is_emulated"]
    assert (cost["before"]["expected"]["amount"], cost["budget"]["amount"]) == ("0", "180")
    assert f"{Decimal(cost['after']['expected']['amount']):.2f}" == "313.07"
    assert any("backup" in line for line in cost["unpriced"])
    again = stack.json("ecs", "plan", "--environment", "prod")
    assert again["plan"]["digest"] == plan["digest"]
