"""Hosts in memory for every test here."""

from pathlib import Path

import pytest

from tests.contract.k3s.lab import LabMaker, MakeLab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeLab:
    """`lab(3, 2)`: three servers and two agents without K3S; more keys of the file by name."""
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    return LabMaker(tmp_path)
