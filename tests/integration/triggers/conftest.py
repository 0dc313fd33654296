"""A GitHub to collect from, and a PostgreSQL server for the history."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.github_data import Repository
from tests.github_server import TOKEN, GitHubServer
from tests.integration.triggers.collecting import AS_OF, NAME, POLICY, SYDNEY, Collect
from tests.secret_sources import allowing
from xops.github.client import Client
from xops.triggers.connection import access
from xops.triggers.facts import Facts
from xops.triggers.measure.collect import collect
from xops.triggers.policy import Policy


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        yield server


@pytest.fixture
def web(github: GitHubServer) -> Repository:
    return github.add(NAME)


@pytest.fixture
def policy(github: GitHubServer, tmp_path: Path) -> Callable[..., Policy]:
    """`policy(*repositories, weeks=1, zone=, select=, more="  branches: [...]")` reads one."""

    def written(
        *names: str, weeks: int = 1, zone: str = SYDNEY.key, select: str = "", more: str = ""
    ) -> Policy:
        file = tmp_path / "triggers.yaml"
        listed = ", ".join(names or (() if select else (NAME,)))
        values = {"url": github.url, "repositories": f"[{listed}]", "weeks": weeks, "zone": zone}
        more = f"  select: {select}\n{more}" if select else more
        file.write_text(POLICY.format(**values, more=more))
        return Policy.load(file, environ={})

    return written


@pytest.fixture
def read(github: GitHubServer, tmp_path: Path, policy: Callable[..., Policy]) -> Iterator[Collect]:
    """`read(*names, as_of=..., token=..., **policy)` collects facts, as a new process would."""
    with ExitStack() as stack:

        def once(
            *names: str, as_of: date = AS_OF, token: str = TOKEN, cross_check: bool = False,
            patience: float = 900, now: datetime | None = None, folder: str = "cache",
            **given: Any,
        ) -> Facts:  # fmt: skip
            chosen = policy(*names, **given)
            assert chosen.github
            reached = access(chosen.github)
            client = Client(
                type(reached)(reached.api_url, reached.credential, patience_seconds=patience),
                environ={"XOPS_GITHUB_TOKEN": token},
                sources=allowing(github.url),
                sleep=lambda _: None,
            )
            stack.enter_context(client)
            return collect(
                chosen, as_of, client, folder=tmp_path / folder, cross_check=cross_check,
                now=lambda: now or datetime.now(UTC),
            )  # fmt: skip

        yield once
