"""The daily run on a real Prefect server: what it takes in, shows and tells."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.ingest_costs import IngestRequest, ingest_costs
from tests.cost_explorer_server import Told, cost_explorer
from tests.cost_exports import charge, charges, deliver
from tests.prefect_servers import home
from tests.waiting import Eventually
from xops.core.errors import CredentialsError, InputError
from xops.finops.store.cost_store import CostStore
from xops.local.stack import Stack

pytestmark = pytest.mark.xdist_group("prefect")
RESTATED = "xops.costs.restated"


@pytest.fixture
def prefect(prefect_stack: Stack, tmp_path: Path) -> Iterator[SyncPrefectClient]:
    """The shared server, and a home of the test's own."""
    reached = {PREFECT_API_URL: prefect_stack.api, PREFECT_API_AUTH_STRING: prefect_stack.secret}
    with (
        home(tmp_path / "home"),
        temporary_settings(reached),
        get_client(sync_client=True) as client,
    ):
        yield client


@pytest.fixture
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that flows may read."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    monkeypatch.setenv("XOPS_FLOW_FILES", str(folder))
    return folder


def shown(prefect: SyncPrefectClient) -> str:
    rows = prefect.request("POST", "/artifacts/latest/filter", json={}).json()
    return str(next(row["data"] for row in rows if row["key"] == "costs-ingested"))


def restated(prefect: SyncPrefectClient) -> list[dict[str, Any]]:
    wanted = EventFilter(event=EventNameFilter(name=[RESTATED]))
    return [row.payload for row in prefect.read_events(filter=wanted, limit=50).events]


def test_a_run_takes_in_shows_and_tells_of_restatements(
    prefect: SyncPrefectClient, exports: Path, eventually: Eventually
) -> None:
    top = deliver(exports, {"2026-01": charges("2026-01")})
    done = ingest_costs(IngestRequest(export=str(top)))
    assert done["exports"][0]["months"][0]["rows"] == 3
    assert "| 2026-01 | focus | 3 | 3.00 USD | actual |" in shown(prefect)
    hostile = charge("2026-01", cost="2", ServiceName="<img src=x>|")
    deliver(exports, {"2026-01": [*charges("2026-01"), hostile]})
    again = ingest_costs(IngestRequest(export=str(top)))
    assert again["restated"] == ["2026-01"]
    assert "restated by +2.00, was 3.00" in shown(prefect)
    told = eventually(lambda: restated(prefect))
    assert told[0]["delta"] == {"USD": "2.000000000000"}
    assert CostStore.open().partitions()[0].rows == 4


def test_a_folder_that_the_operator_has_not_configured_is_not_read(
    prefect: SyncPrefectClient, exports: Path, tmp_path: Path
) -> None:
    other = deliver(tmp_path / "other", {"2026-01": charges("2026-01")})
    with pytest.raises(InputError, match="names no file below"):
        ingest_costs(IngestRequest(export=str(other)))
    assert CostStore.open().months() == []


def test_before_the_file_names_an_export_there_is_nothing_to_read(
    prefect: SyncPrefectClient, exports: Path
) -> None:
    done = ingest_costs(IngestRequest())
    assert (done["exports"], done["errors"]) == ([], [])


def test_an_export_that_cannot_be_read_fails_the_run_and_hinders_no_other(
    prefect: SyncPrefectClient, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = deliver(exports, {"2026-01": charges("2026-01")})
    named = f"[{{name: bad, location: {exports}/none}}, {{name: good, location: {good}}}]"
    monkeypatch.setenv("XOPS_COSTS_EXPORTS", named)
    with pytest.raises(InputError, match="none: is no folder and no file"):
        ingest_costs(IngestRequest())
    assert [one.export_id for one in CostStore.open().partitions()] == ["good"]
    assert "not taken in" in shown(prefect)


def test_what_was_restated_is_told_where_cost_explorer_does_not_answer(
    prefect: SyncPrefectClient,
    exports: Path,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next run finds the month unchanged: nobody would ever hear of it."""
    top = deliver(exports, {"2026-02": charges("2026-02")})
    ingest_costs(IngestRequest(export=str(top)))
    deliver(exports, {"2026-02": charges("2026-02", cost="5")})
    with cost_explorer(Told(refusals=[(400, "AccessDeniedException")])) as url:
        monkeypatch.setenv("XOPS_COSTS_TARGET", "localstack")
        monkeypatch.setenv("XOPS_AWS_ENDPOINT", url)
        with pytest.raises(CredentialsError, match="AccessDeniedException"):
            ingest_costs(IngestRequest(export=str(top), cost_explorer=True))
    assert "restated by +12.00" in shown(prefect)
    assert "cost-explorer" in shown(prefect)
    assert eventually(lambda: [one for one in restated(prefect) if one["month"] == "2026-02"])
