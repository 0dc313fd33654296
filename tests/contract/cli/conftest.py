from pathlib import Path

import pytest

from tests.contract.cli.shell import Shell


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No command finds or leaves anything outside the test's own folder."""
    folder = tmp_path / "home"
    monkeypatch.setenv("XOPS_HOME", str(folder))
    monkeypatch.delenv("XOPS_TRIGGERS_HISTORY", raising=False)
    return folder


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)
