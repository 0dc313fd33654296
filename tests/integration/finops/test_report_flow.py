"""The weekly report on a real Prefect server: what it shows, and what automations are told."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterId
from prefect.client.schemas.objects import State
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.report_costs import CostReportRequest, report_costs
from tests.integration.finops.sample_costs import store_of_actual_costs
from tests.prefect_servers import home
from tests.waiting import Eventually
from xops.core.files import settings
from xops.finops.report.events import ANOMALY, BUDGET_EXCEEDED
from xops.finops.report.sample import make_sample_store
from xops.local.stack import Stack

pytestmark = pytest.mark.xdist_group("prefect")
PNG = "![](data:image/png;base64,iVBOR"
PLOTS = ("budgets", "forecast", "services", "movers", "replicas", "streams", "anomalies")


@pytest.fixture
def prefect(prefect_stack: Stack, tmp_path: Path) -> Iterator[SyncPrefectClient]:
    """The shared Prefect server, and an xOps home of this test's own."""
    signed_in = {PREFECT_API_URL: prefect_stack.api, PREFECT_API_AUTH_STRING: prefect_stack.secret}
    with (
        home(tmp_path / "home"),
        temporary_settings(signed_in),
        get_client(sync_client=True) as client,
    ):
        yield client


def told(prefect: SyncPrefectClient, name: str) -> list[dict[str, Any]]:
    wanted = EventFilter(event=EventNameFilter(name=[name]))
    return [row.payload for row in prefect.read_events(filter=wanted, limit=50).events]


def artifacts(prefect: SyncPrefectClient) -> dict[str, Any]:
    rows = prefect.request("POST", "/artifacts/latest/filter", json={}).json()
    return {row["key"]: row for row in rows if row["key"]}


def notices(prefect: SyncPrefectClient) -> list[str]:
    """The subjects of the runs that an automation has started."""
    deployment = prefect.read_deployment_by_name("notify/notify")
    chosen = FlowFilter(id=FlowFilterId(any_=[deployment.flow_id]))
    runs = prefect.read_flow_runs(flow_filter=chosen, limit=100)
    return [one.parameters["notice"]["subject"] for one in runs]


def run(**values: Any) -> State[Any]:
    done: State[Any] = report_costs(CostReportRequest(**values), return_state=True)
    return done


def today() -> Any:
    return datetime.now(UTC).date()


def test_a_home_without_costs_says_so_and_fails_nothing(prefect: SyncPrefectClient) -> None:
    done = run()
    assert (done.type, done.name) == ("COMPLETED", "Unknown")
    assert "No costs were taken in yet" in str(done.message)


def test_a_run_shows_the_report_and_tells_of_what_is_over(
    prefect: SyncPrefectClient, tmp_path: Path, eventually: Eventually
) -> None:
    store = store_of_actual_costs(tmp_path / "made", today=today())
    shutil.copytree(store.folder, settings.home() / "costs")
    before = len(told(prefect, BUDGET_EXCEEDED)), len(told(prefect, ANOMALY))
    done = run(last_month=True)
    result = done.result()
    assert "over budget: prod" in str(done.message)
    assert result["exit_code"] == 10
    page = Path(result["page"])
    assert page.is_relative_to(settings.home())
    assert "Sample data" not in page.read_text()
    shown = artifacts(prefect)
    assert "| prod |" in shown["costs"]["data"]
    for name in PLOTS:
        assert shown[f"costs-{name}"]["data"].startswith(PNG), name
    eventually(lambda: len(told(prefect, BUDGET_EXCEEDED)) == before[0] + 3)
    eventually(lambda: len(told(prefect, ANOMALY)) > before[1])
    payload = next(row for row in told(prefect, BUDGET_EXCEEDED) if row["environment"] == "prod")
    assert payload["label"] == "actual"
    assert payload["budget"] == "180"
    eventually(lambda: "xOps: budget exceeded: prod" in notices(prefect), 60)
    again = run(environment="prod", last_month=True)
    assert again.result()["events"] > 0
    assert len(told(prefect, BUDGET_EXCEEDED)) == before[0] + 3


def test_made_up_costs_tell_no_automation(prefect: SyncPrefectClient, tmp_path: Path) -> None:
    store = make_sample_store(tmp_path / "made", today())
    shutil.copytree(store.folder, settings.home() / "costs")
    before = len(told(prefect, BUDGET_EXCEEDED))
    done = run(environment="prod")
    assert done.result()["events"] == 0
    assert done.result()["exit_code"] in (10, 11)
    assert "sample" in artifacts(prefect)["costs"]["data"]
    assert len(told(prefect, BUDGET_EXCEEDED)) == before
