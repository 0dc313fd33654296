"""`xops github`: what it lists, what it has dispatched again, and what its processes hold."""

import asyncio
import json
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.contract.cli.shell import Shell
from xops.core.errors import ExitCode
from xops.github.delivery import Delivery
from xops.github.inbox.connection import open_inbox
from xops.github.inbox.inbox import DeliveryState

ONE, OTHER = "0b989ba4-242f-11e5-81e1-c7b6966d2516", "1b989ba4-242f-11e5-81e1-c7b6966d2516"
HOSTILE = "[bold]\x1b[2J"


@pytest.fixture(autouse=True)
def database(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XOPS_GITHUB_DATABASE", f"sqlite:///{home}/github/inbox.db")
    monkeypatch.delenv("XOPS_GITHUB_FILE", raising=False)


def keep(*arrived: tuple[str, DeliveryState, str]) -> None:
    async def add() -> None:
        now = datetime.now(UTC)
        async with open_inbox() as inbox:
            rows = [
                (
                    Delivery(
                        id=guid, event="pull_request", action="opened", number=7, sender="ann",
                        repository="acme/platform", body_sha256="0" * 64, received_at=now,
                    ),
                    state,
                    reason,
                )
                for guid, state, reason in arrived
            ]  # fmt: skip
            await inbox.add(rows)
            await inbox.note_run(arrived[0][0], "handle-pull-request/handle-pull-request", "run-1")

    asyncio.run(add())


def test_no_delivery_yet(shell: Shell) -> None:
    ended = shell.run(["github", "deliveries"])
    assert (ended.code, ended.out) == (ExitCode.DONE, "No delivery has come yet.\n")


def test_deliveries_are_listed_with_their_states_and_runs(shell: Shell) -> None:
    keep((ONE, DeliveryState.RECEIVED, ""), (OTHER, DeliveryState.IGNORED, f"no route {HOSTILE}"))
    listed = json.loads(shell.run(["github", "deliveries", "--json"]).out)
    rows = {row["id"]: row for row in listed["deliveries"]}
    assert set(rows[ONE]) >= {
        "id", "event", "action", "repository", "number", "state", "attempts", "reason", "runs"
    }  # fmt: skip
    assert rows[ONE]["runs"] == {"handle-pull-request/handle-pull-request": "run-1"}
    assert (rows[ONE]["state"], rows[OTHER]["state"]) == ("received", "ignored")
    assert listed["counts"]["received"] == 1
    assert listed["oldest_waiting"] == rows[ONE]["received_at"]
    ignored = json.loads(shell.run(["github", "deliveries", "--state", "ignored", "--json"]).out)
    assert [row["id"] for row in ignored["deliveries"]] == [OTHER]


def test_text_of_others_is_shown_as_text(shell: Shell) -> None:
    keep((ONE, DeliveryState.IGNORED, HOSTILE))
    said = shell.run(["github", "deliveries"]).out
    assert "[bold]\\x1b[2J" in said
    assert f"{ONE} ignored" in said
    assert "pull_request.opened acme/platform#7" in said


def test_a_delivery_is_dispatched_again(shell: Shell) -> None:
    keep((ONE, DeliveryState.DEAD, "no such deployment"))
    ended = shell.run(["github", "replay", ONE.upper(), "--json"])
    assert ended.code == ExitCode.DONE
    replayed = json.loads(ended.out)
    assert (replayed["state"], replayed["replays"]) == ("received", 1)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["replay", OTHER], "no delivery of this id is known"),
        (["replay", "latest"], "is no id like"),
        (["deliveries", "--state", "lost"], "none of received, dispatched, ignored, dead"),
        (["serve", "--port", "0"], "greater than or equal to 1"),
        (["setup", "--address", "http://xops.example.com/github"], "https"),
        (["poll", "--once"], "names no hook"),
    ],
)
def test_what_cannot_be_done_is_bad_input(shell: Shell, words: list[str], found: str) -> None:
    ended = shell.run(["github", *words])
    assert ended.code == ExitCode.BAD_INPUT
    assert found in ended.err


def test_a_database_that_is_none_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XOPS_GITHUB_DATABASE", "mysql://db/x?password=canary")
    ended = shell.run(["github", "deliveries"])
    assert ended.code == ExitCode.BAD_INPUT
    assert "XOPS_GITHUB_DATABASE" in ended.err
    assert "canary" not in ended.err


def test_without_a_variable_it_is_that_of_this_installation(
    shell: Shell, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XOPS_GITHUB_DATABASE")
    (home / "postgresql" / "18").mkdir(parents=True)
    ended = shell.run(["github", "deliveries"])
    assert ended.code == ExitCode.FAILED
    assert "the embedded stack, which is down" in ended.err


def test_nothing_that_should_be_compared_is_no_finding(shell: Shell) -> None:
    ended = shell.run(["github", "reconcile", "--json"])
    assert ended.code == ExitCode.DONE
    assert "names no hook_id" in json.loads(ended.out)["note"]


LISTED = """
import sys
from xops.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sys.modules)
"""
CREDENTIALS = {"prefect", "boto3", "botocore", "githubkit"}


def held_by(*words: str) -> set[str]:
    """The modules of a process that went as far as it could."""
    ran = subprocess.run(
        [sys.executable, "-c", LISTED, *words], capture_output=True, text=True, check=False
    )
    return set(ran.stdout.splitlines()[-1].split())


def test_the_receiver_holds_neither_prefect_nor_a_client_of_aws_or_github(home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "webhook-secret").touch(mode=0o600)
    (home / "webhook-secret").write_text("7" * 64)
    with socket.create_server(("127.0.0.1", 0)) as taken:  # it listens last
        modules = held_by("github", "serve", "--port", str(taken.getsockname()[1]))
    assert {"uvicorn", "xops.github.webhooks.receiver", "sqlalchemy"} <= modules
    assert modules & CREDENTIALS == set()


def test_the_dispatcher_holds_neither_prefect_nor_a_client_of_aws_or_github() -> None:
    modules = held_by("github", "dispatch")  # without an address it ends at once
    assert "xops.github.dispatch.dispatcher" in modules
    assert modules & CREDENTIALS == set()
