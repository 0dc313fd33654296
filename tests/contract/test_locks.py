"""What is installed: every package pinned with its hash, also what builds one from source."""

import re
from pathlib import Path

import pytest

from xops.core.files.settings import ROOT

LOCKS = sorted(ROOT.glob("requirements*.lock"))
PINNED = re.compile(
    r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)[^\n]*\\\n(?:    --hash=sha256:\w{64})", re.MULTILINE
)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_is_pinned_and_hashed(lock: Path) -> None:
    text = lock.read_text()
    rows = [line for line in text.splitlines() if line and line[0] not in " #"]
    assert len(rows) == len(PINNED.findall(text)) > 0


def test_what_builds_a_package_from_source_is_pinned_and_hashed_as_well() -> None:
    """python-terraform has no wheel: its build fetched a setuptools of any version."""
    [install] = re.findall(r"uv pip sync .*\n.*", (ROOT / "Makefile").read_text())
    assert "--require-hashes" in install
    assert "--build-constraints requirements-build.lock" in install
    assert re.search(r"^setuptools==", (ROOT / "requirements-build.lock").read_text(), re.MULTILINE)
