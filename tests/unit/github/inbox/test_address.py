"""Where the inbox is kept."""

from pathlib import Path

import pytest

from xops.github.inbox.address import address


def test_the_variable_names_the_database() -> None:
    given = {"XOPS_GITHUB_DATABASE": "postgresql://xops@/xops", "XOPS_HOME": "/home"}
    assert address(given) == "postgresql://xops@/xops"


@pytest.mark.parametrize("given", [{}, {"XOPS_GITHUB_DATABASE": ""}])
def test_without_it_a_file_in_the_home_is_used(given: dict[str, str], tmp_path: Path) -> None:
    assert address({**given, "XOPS_HOME": str(tmp_path)}) == f"sqlite:///{tmp_path}/github/inbox.db"


def test_the_home_of_the_process_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path))
    monkeypatch.delenv("XOPS_GITHUB_DATABASE", raising=False)
    assert address() == address({}) == f"sqlite:///{tmp_path}/github/inbox.db"
