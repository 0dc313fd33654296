"""Everything that listens in a running stack stands in the table of SECURITY.md."""

import json
import re
from collections.abc import Iterator

import psutil
import pytest

from tests.e2e.prefect_api import PrefectApi
from tests.e2e.stack import ROOT, SEVERAL_APPLIES, Embedded

pytestmark = pytest.mark.timeout(SEVERAL_APPLIES)

TABLE = (ROOT / "SECURITY.md").read_text().partition("## What listens")[2].partition("\n## ")[0]


def processes(stack: Embedded) -> Iterator[psutil.Process]:
    """The stack's servers and all that they have started, sessions of their own included."""
    for file in (stack.home / "services").glob("*.json"):
        top = psutil.Process(json.loads(file.read_text())["pid"])
        yield from (top, *top.children(recursive=True))


def listeners(stack: Embedded) -> Iterator[tuple[str, str]]:
    """The name of each process that listens, and where."""
    for process in processes(stack):
        try:
            name, connections = process.name(), process.net_connections("all")
        except psutil.NoSuchProcess:  # it ended between the two looks
            continue
        for row in connections:
            if row.status == psutil.CONN_LISTEN:
                yield _role(process, name), f"{row.laddr.ip}:{row.laddr.port}"
            elif isinstance(row.laddr, str) and row.laddr:
                yield name, row.laddr


def _role(process: psutil.Process, name: str) -> str:
    return "worker" if process.cmdline()[1:5] == ["-m", "prefect", "worker", "start"] else name


def is_in_the_table(stack: Embedded, name: str, where: str) -> bool:
    if where == f"127.0.0.1:{stack.prefect_port}":
        return "| Prefect server of the embedded stack | `127.0.0.1:4200`" in TABLE
    if where == f"127.0.0.1:{stack.aws_port}":
        return "| embedded AWS | `127.0.0.1:4577`" in TABLE
    if where == f"127.0.0.1:{stack.github_port}":
        return "| receiver of GitHub's deliveries | `127.0.0.1:4580`" in TABLE
    if re.search(r"/\.s\.PGSQL\.\d+$", where):
        return "| embedded PostgreSQL | a unix socket" in TABLE
    if name == "worker":
        loopback = where.startswith("127.0.0.1:")
        return loopback and "| Prefect worker | a free port of `127.0.0.1`" in TABLE
    if name.startswith("terraform"):
        return where.startswith("/") and "| Terraform's providers, while a run goes on |" in TABLE
    return False


def test_whatever_listens_is_in_the_table(stack: Embedded) -> None:
    prefect = PrefectApi(stack)
    run = prefect.start("detect-ecs-drift/detect-ecs-drift", {"request": {"environment": "local"}})
    seen: set[tuple[str, str]] = set()
    while prefect.run(run)["state_type"] not in ("COMPLETED", "FAILED", "CRASHED"):
        seen |= set(listeners(stack))
    assert {where for _, where in seen} >= {
        f"127.0.0.1:{stack.prefect_port}",
        f"127.0.0.1:{stack.aws_port}",
        f"127.0.0.1:{stack.github_port}",
    }
    assert any(name.startswith("terraform") for name, _ in seen), "no run was looked at"
    assert {row for row in seen if not is_in_the_table(stack, *row)} == set()
