"""Nothing is lost and nothing is run twice, whatever is killed."""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.embedded_aws import free_port
from tests.github_server import TOKEN, GitHubServer
from tests.integration.github.dispatch.conftest import Server
from tests.integration.github.dispatch.load_and_kill import (
    DEPLOYMENTS,
    LONG,
    REPOSITORY,
    SCHEMA,
    SHORT,
    Result,
    Run,
    Size,
    argv_of,
    environ_of,
    kept,
    write_policy,
)
from tests.secret_sources import write_sources
from tests.soak import ROUNDS
from xops.core.files.private_file import write_private
from xops.github.inbox.connection import open_inbox
from xops.local import postgresql
from xops.local.stack import Stack
from xops.prefect_server.profile import API_VARIABLE, AUTH_VARIABLE

pytestmark = [
    pytest.mark.xdist_group("dispatch"),
    pytest.mark.anyio,
    pytest.mark.timeout(7200 if ROUNDS > 1 else 180, func_only=True),
]

SECRET = "a-secret-of-the-hook-of-these-tests-0123456789"


def size_of(request: pytest.FixtureRequest) -> Size:
    """The long form once, in the first of several rounds; the short one in all others."""
    rounds = getattr(request.node, "callspec", None)
    number = rounds.params.get("soak_round", 0) if rounds else 0
    return LONG if ROUNDS > 1 and number == 0 else SHORT


@asynccontextmanager
async def prepared(
    size: Size, github: GitHubServer, stack: Stack, server: Server, folder: Path
) -> AsyncIterator[Run]:
    """GitHub with a hook, the deployments, an inbox in PostgreSQL, and both processes."""
    port = free_port()
    repository = github.add(REPOSITORY)
    hook = github.hooks.add(
        REPOSITORY, "repository", repository.number, f"http://127.0.0.1:{port}/github",
        secret=SECRET, events=["*"], content_type="json",
    )  # fmt: skip
    seed = random.randrange(1 << 32)  # noqa: S311
    flow = f"of-deliveries-{seed}"  # of this round: the server is shared
    for name in DEPLOYMENTS:
        server.deploy(flow, name, SCHEMA)
    write_private(folder / "webhook-secret", SECRET)
    postgresql.create_inbox(stack.home)
    inbox = stack.inbox
    policy = write_policy(folder, github, hook, flow)
    prefect = {API_VARIABLE: stack.profile.api, AUTH_VARIABLE: stack.secret}
    environ = environ_of(folder, policy, inbox, {})
    asking = {**environ, "XOPS_GITHUB_TOKEN": TOKEN}
    async with AsyncExitStack() as open_:
        opened = await open_.enter_async_context(open_inbox(environ))
        processes = {
            name: open_.enter_context(
                kept(
                    argv,
                    environ | (prefect if name == "dispatcher" else {}),
                    folder / f"{name}.log",
                )
            )
            for name, argv in argv_of(port, size).items()
        }
        chance = random.Random(seed)  # noqa: S311
        run = Run(
            size,
            github,
            hook,
            opened,
            server,
            flow,
            processes,
            asking,
            chance,
            Result(size, seed=seed),
        )
        await run.until_receiving()
        yield run


@pytest.mark.soak
async def test_deliveries_under_kills_are_each_kept_and_each_run_once(
    request: pytest.FixtureRequest,
    bare_stack: Stack,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    size = size_of(request)
    with GitHubServer() as github:
        monkeypatch.setenv("XOPS_SECRETS", write_sources(tmp_path, github.url))
        async with prepared(size, github, bare_stack, server, tmp_path) as run:
            result = await run.go()
    with capsys.disabled():
        sys.stdout.write(f"\n{result.summary()}\n")
    assert (result.lost, result.twice) == (0, 0), result.summary()
    assert (result.absent, result.strange, result.unsent) == (0, 0, 0), result.summary()
    assert result.kills.total() == size.kills
    assert result.states["dead"] == 0
