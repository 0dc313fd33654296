"""Runs and events of deliveries on a real Prefect server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.github.dispatch.conftest import Server
from tests.waiting import Eventually
from xops.core.errors import CredentialsError, PermanentError, UnreachableError
from xops.github.delivery import Delivery
from xops.github.dispatch import events
from xops.github.dispatch.runs_protocol import NotThereError
from xops.prefect_server.profile import AUTH_VARIABLE, Profile
from xops.prefect_server.webhook_runs import (
    PrefectEvents,
    PrefectRuns,
    PrefectServer,
)

pytestmark = [pytest.mark.xdist_group("dispatch"), pytest.mark.anyio]


@asynccontextmanager
async def runs_on(profile: Profile) -> AsyncIterator[PrefectRuns]:
    async with PrefectServer(profile) as connected:
        yield PrefectRuns(connected)


async def test_one_key_gives_one_run_however_often_and_at_once_it_is_asked_for(
    server: Server,
) -> None:
    deployment = server.deploy("one-key", "first")
    async with runs_on(server.profile) as runs:
        made = await asyncio.gather(
            *(runs.create("one-key/first", {"number": n}, "gh:1:first") for n in range(8))
        )
        again = await runs.create("one-key/first", {"number": 9}, "gh:1:first")
    assert {*made, again} == {row["id"] for row in server.runs(deployment)}
    assert len(server.runs(deployment)) == 1


async def test_a_key_belongs_to_a_flow_so_that_the_deployment_must_be_in_it(server: Server) -> None:
    first, second = server.deploy("shared", "first"), server.deploy("shared", "second")
    async with runs_on(server.profile) as runs:
        same = [await runs.create(f"shared/{n}", {"number": 1}, "k") for n in ("first", "second")]
        keys = ("gh:1:shared/first", "gh:1:shared/second")
        for name, key in zip(("first", "second"), keys, strict=True):
            await runs.create(f"shared/{name}", {"number": 1}, key)
    assert same[0] == same[1], "Prefect has other keys now: the rule can be simpler"
    assert [len(server.runs(each)) for each in (first, second)] == [2, 1]


@pytest.mark.parametrize("parameters", [{"number": "no number"}, {}, {"number": None}])
async def test_parameters_that_do_not_fit_are_refused_for_good_with_what_is_wrong(
    server: Server, parameters: dict[str, Any]
) -> None:
    deployment = server.deploy("strict", "strict")
    async with runs_on(server.profile) as runs:
        with pytest.raises(PermanentError, match=r"Prefect answers 409: .*number"):
            await runs.create("strict/strict", parameters, "gh:2:strict")
    assert server.runs(deployment) == []


async def test_parameters_that_are_too_large_are_refused_for_good(server: Server) -> None:
    server.deploy("large", "large")
    async with runs_on(server.profile) as runs:
        with pytest.raises(PermanentError, match="Prefect answers 422"):
            await runs.create("large/large", {"number": 1, "more": "x" * 600_000}, "k")


@pytest.mark.parametrize("name", ["nobody/nothing", "a%2Fb/../x", "no/thing?x=1"])
async def test_a_deployment_that_is_not_there_is_named(server: Server, name: str) -> None:
    async with runs_on(server.profile) as runs:
        with pytest.raises(NotThereError, match="404"):
            await runs.create(name, {}, "k")


async def test_a_deployment_that_was_made_anew_is_found_by_its_name(server: Server) -> None:
    old = server.deploy("anew", "anew")
    async with runs_on(server.profile) as runs:
        await runs.create("anew/anew", {"number": 1}, "gh:1:anew")
        server.api.delete(f"/deployments/{old}").raise_for_status()
        new = server.deploy("anew", "anew")
        await runs.create("anew/anew", {"number": 1}, "gh:2:anew")
        assert len(server.runs(new)) == 1
        server.api.delete(f"/deployments/{new}").raise_for_status()
        with pytest.raises(NotThereError):
            await runs.create("anew/anew", {"number": 1}, "gh:3:anew")


async def test_a_text_of_a_stranger_is_no_template_for_the_server(server: Server) -> None:
    deployment = server.deploy("texts", "texts")
    hostile = {"number": 1, "ref": "{{ prefect.variables.secret }}", "x": "{% raw %}"}
    async with runs_on(server.profile) as runs:
        await runs.create("texts/texts", hostile, "gh:1:texts")
    [run] = server.runs(deployment)
    assert run["parameters"] == hostile


async def test_a_wrong_secret_is_told_as_that_and_not_as_a_fault_of_the_delivery(
    server: Server,
) -> None:
    stranger = replace(server.profile, environ={AUTH_VARIABLE: "xops:wrong"})
    async with runs_on(stranger) as runs:
        with pytest.raises(CredentialsError, match="401"):
            await runs.create("any/any", {}, "k")


async def test_a_server_that_is_not_there_is_tried_again_later() -> None:
    nowhere = Profile("http://127.0.0.1:9/api", "", {})
    async with runs_on(nowhere) as runs:
        with pytest.raises(UnreachableError):
            await runs.create("any/any", {}, "k")


def an_event(number: int = 1) -> events.Posted:
    delivery = Delivery(
        id=str(uuid4()), event="pull_request", action="opened", repository="acme/platform",
        sender="ada", number=number, body_sha256="0" * 64, received_at=datetime.now(UTC),
    )  # fmt: skip
    run, key = str(uuid4()), f"gh:{delivery.id}:plan/plan"
    return events.run_created(delivery, "plan/plan", run, key, datetime.now(UTC))


async def test_events_arrive_under_their_ids_and_one_that_is_sent_again_is_the_same(
    server: Server, eventually: Eventually
) -> None:
    (identity, body), (other, more) = an_event(12), an_event(13)
    async with PrefectServer(server.profile) as connected:
        await PrefectEvents(connected).emit([body, more])
        await PrefectEvents(connected).emit([body])
    found = await asyncio.to_thread(eventually, lambda: server.event(identity))
    assert found is not None
    assert found["event"] == "github.pull_request.opened"
    assert found["payload"] == json.loads(body)["payload"]
    assert [row["prefect.resource.role"] for row in found["related"]] == [
        "pull-request", "sender", "flow-run",
    ]  # fmt: skip
    assert await asyncio.to_thread(eventually, lambda: server.event(other))


async def test_an_event_that_prefect_would_drop_is_refused_here(server: Server) -> None:
    _, body = an_event()
    long = json.dumps({**json.loads(body), "payload": {"text": "x" * 1_600_000}})
    async with PrefectServer(server.profile) as connected:
        with pytest.raises(PermanentError, match="allowed"):
            await PrefectEvents(connected).emit([long])
        without_id = json.dumps({**json.loads(body), "resource": {}})
        with pytest.raises(PermanentError, match="422"):
            await PrefectEvents(connected).emit([without_id])
