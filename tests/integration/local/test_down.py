"""`xops down` while a run applies: it is cancelled and waited for, and Terraform loses nothing."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from prefect.client.schemas.objects import FlowRun

from tests.prefect_servers import free_ports, home
from tests.waiting import look_until_found
from xops.core.errors import ExitCode
from xops.core.files.settings import ROOT
from xops.ecs import run_folder
from xops.local import postgresql
from xops.local.down import stop_servers
from xops.local.services import read_record
from xops.local.stack import POOL, Stack, stack
from xops.prefect_server import runs

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.timeout(300)]

PATIENCE = 90.0
ENTRYPOINT = "tests/integration/local/applying_flow.py:applying"


class Installation:
    """An installation of this test's own, with a run that applies."""

    def __init__(self, folder: Path) -> None:
        self.home, self.folder = folder / "home", folder / "applied"
        self.folder.mkdir()
        self.ports = free_ports()
        with home(self.home, **self.ports):
            self.stack: Stack = stack()

    def start(self, *services: str) -> None:
        with home(self.home, **self.ports):
            for service in self.stack.services:
                if service.name in services:
                    service.launch()
                    service.wait()
                    if service.name == "postgresql":
                        postgresql.create_inbox(self.home)  # as `xops up` does

    def run(self) -> UUID:
        """A run that has come to the slow resource of its apply, unless that is released."""
        with home(self.home), runs.client(self.stack.profile) as prefect:
            step = "prefect.deployments.steps.set_working_directory"
            deployment = prefect.create_deployment(
                prefect.create_flow_from_name("applying"),
                name="test",
                entrypoint=ENTRYPOINT,
                work_pool_name=POOL,
                pull_steps=[{step: {"directory": str(ROOT)}}],
                parameters={"folder": str(self.folder)},
            )
            return prefect.create_flow_run_from_deployment(deployment).id

    def applying(self) -> UUID:
        (self.folder / "waiting").unlink(missing_ok=True)
        identity = self.run()
        look_until_found((self.folder / "waiting").exists, PATIENCE)
        return identity

    def state_of(self, identity: UUID) -> FlowRun:
        with home(self.home), runs.client(self.stack.profile) as prefect:
            return prefect.read_flow_run(identity)

    def down(self, *, patience: str = "60") -> subprocess.Popen[str]:
        with home(self.home, XOPS_DOWN_WAIT=patience):
            return subprocess.Popen(
                [sys.executable, "-c", "from xops.cli import main; main()", "down", "--json"],
                env=dict(os.environ),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )

    def process(self, name: str) -> int:
        record = read_record(self.home / "services", name)
        assert record is not None
        return record.process.pid

    @property
    def signals(self) -> list[str]:
        file = self.folder / "signals"
        return file.read_text().split() if file.exists() else []

    def resources(self) -> dict[str, str]:
        """What Terraform's state says of each: made, or made half-way."""
        state = json.loads((self.folder / "terraform.tfstate").read_text())
        return {
            row["name"]: row["instances"][0].get("status", "made") for row in state["resources"]
        }

    def running(self) -> set[str]:
        every = (*self.stack.services, self.stack.postgresql)
        return {service.name for service in every if service.process() is not None}

    @property
    def terraforms(self) -> list[int]:
        folders = run_folder.folders(self.home / "runs" / "local")
        return [
            holder.process.pid
            for folder in folders
            for holder in run_folder.terraform_holders(folder)
            if holder.leads
        ]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    try:
        yield made
    finally:
        (made.folder / "release").touch()
        look_until_found(lambda: not made.terraforms, PATIENCE)
        with home(made.home):
            stop_servers(made.stack)


def test_terraform_is_interrupted_once_and_waited_for_and_the_next_run_goes_on(
    installation: Installation,
) -> None:
    installation.start("postgresql", "prefect", "worker")
    identity = installation.applying()

    down = installation.down()
    out, err = down.communicate(timeout=PATIENCE)

    assert (down.returncode, installation.signals) == (ExitCode.DONE, ["INT"]), err
    assert json.loads(out) == {"stopped": ["worker", "prefect", "postgresql"]}
    assert f"cancelling run {identity}" in err
    assert installation.resources() == {"first": "made", "slow": "tainted"}
    assert installation.running() == set()

    (installation.folder / "release").touch()
    installation.start("postgresql", "prefect", "worker")
    assert installation.state_of(identity).state_name == "Cancelled"
    again = installation.run()
    look_until_found(lambda: installation.state_of(again).state_name == "Completed", PATIENCE)
    assert installation.resources() == {"first": "made", "slow": "made", "last": "made"}


def test_a_server_that_hangs_and_a_terraform_that_does_not_end_hold_nothing_up(
    installation: Installation,
) -> None:
    installation.start("aws", "postgresql", "prefect", "worker")
    (installation.folder / "stubborn").touch()
    installation.applying()
    server = installation.process("prefect")

    # Ctrl-C ends the wait and nothing else.
    down = installation.down()
    assert down.stderr is not None
    assert any("cancelling run" in line for line in down.stderr)
    down.send_signal(signal.SIGINT)
    down.communicate(timeout=PATIENCE)
    assert down.returncode == ExitCode.INTERRUPTED
    look_until_found(lambda: installation.signals == ["INT"], PATIENCE)
    assert installation.running() == {"aws", "postgresql", "prefect", "worker"}

    os.kill(server, signal.SIGSTOP)
    down = installation.down(patience="5")
    out, err = down.communicate(timeout=PATIENCE)

    [terraform] = installation.terraforms
    assert down.returncode == ExitCode.TEMPORARY, err
    assert installation.running() == {"aws"}
    found = json.loads(out)
    assert (found["error"], found["stopped"]) == (
        "StillAtWorkError",
        ["worker", "prefect", "postgresql"],
    )
    assert "environment local: terraform apply of run" in found["left"][0]
    assert f"(process {terraform}, since " in found["left"][0]
    assert installation.signals == ["INT"]

    (installation.folder / "release").touch()
    down = installation.down()
    out, err = down.communicate(timeout=PATIENCE)
    assert (down.returncode, json.loads(out)) == (ExitCode.DONE, {"stopped": ["aws"]}), err
    assert installation.resources() == {"first": "made", "slow": "made", "last": "made"}


def test_a_worker_without_a_record_or_a_server_is_found_and_ended(
    installation: Installation,
) -> None:
    installation.start("postgresql", "prefect", "worker")
    worker = installation.process("worker")
    os.kill(installation.process("prefect"), signal.SIGKILL)
    (installation.home / "services" / "worker.json").write_text('{"pid": "none"}')

    out, err = installation.down().communicate(timeout=PATIENCE)

    assert json.loads(out) == {"stopped": ["worker", "postgresql"]}, err
    assert not psutil.pid_exists(worker) or psutil.Process(worker).status() == "zombie"
