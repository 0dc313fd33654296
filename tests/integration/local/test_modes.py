"""All that a real stack and a real run make is for their owner alone, whatever the umask."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.local.test_down import PATIENCE, Installation
from tests.integration.local.test_killed_servers import SERVERS
from tests.prefect_servers import home
from tests.waiting import look_until_found
from xops.core.errors import ExitCode
from xops.core.files.settings import ROOT
from xops.local.down import stop_servers

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.timeout(400)]


def xops(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from xops.cli import main; main()", *words],
        env=dict(os.environ),
        umask=0o000,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )


def open_to_others(folder: Path) -> list[str]:
    return [
        f"{stat.filemode(found.st_mode)} {path}"
        for path in (folder, *folder.rglob("*"))
        if (found := path.lstat()).st_mode & 0o077 and not stat.S_ISLNK(found.st_mode)
    ]


def test_nothing_in_the_home_is_open_to_others(tmp_path: Path) -> None:
    """A run that ends for want of Terraform, then one that applies."""
    installation = Installation(tmp_path)
    (installation.folder / "release").touch()
    try:
        with home(installation.home, **installation.ports, XOPS_TERRAFORM="/no/terraform"):
            up = xops("up", "--once")
        assert "/no/terraform" in up.stderr
        every = {*SERVERS}
        assert installation.running() == every, up.stderr
        run = installation.run()
        look_until_found(lambda: installation.state_of(run).state_name == "Completed", PATIENCE)
        assert open_to_others(installation.home) == []
        with home(installation.home, **installation.ports):
            down = xops("down")
        assert down.returncode == ExitCode.DONE, down.stderr
        assert open_to_others(installation.home) == []
        made = {path.name for path in installation.home.iterdir()}
        assert made >= {"postgresql", "prefect", "runs", "services", "terraform-plugins"}
    finally:
        with home(installation.home):
            stop_servers(installation.stack)
