"""The secrets of the webhook: which are there, and when they are read again."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.webhooks import policy
from xops.core.errors import InputError, PermanentError
from xops.github.webhooks.hook_secrets import FILE, LOOK_SECONDS, Secrets

LONG, OTHER = "a" * 32, "b" * 64


class Home:
    """xOps' home, and a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds = 0.0
        (folder / "secrets").mkdir(parents=True)

    def write(self, name: str, text: str) -> str:
        """Write a file as an exchange does: a new one in place of the old one."""
        file, partial = self.folder / name, self.folder / f"{name}.partial"
        partial.write_text(text + "\n")
        partial.chmod(0o600)
        partial.replace(file)
        return str(file)

    def read(self, **webhook: Any) -> Secrets:
        environ = {**os.environ, "XOPS_HOME": str(self.folder)}
        return Secrets.read(policy(webhook=webhook), environ, lambda: self.seconds)

    def later(self) -> None:
        self.seconds += 2 * LOOK_SECONDS


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XOPS_SECRETS", raising=False)
    return Home(tmp_path / "home")


def test_the_installation_has_a_secret_of_its_own(home: Home) -> None:
    home.write(FILE, LONG)
    assert home.read().keys() == (LONG.encode(),)


def test_without_one_it_does_not_start(home: Home) -> None:
    with pytest.raises(PermanentError, match="no such file"):
        home.read()


@pytest.mark.parametrize("length", [1, 31])
def test_one_that_could_be_guessed_is_refused_and_not_shown(home: Home, length: int) -> None:
    home.write(FILE, "q" * length)
    with pytest.raises(InputError, match="less than 32 bytes") as caught:
        home.read()
    assert "q" * length not in str(caught.value) or length == 1
    assert "openssl rand" in str(caught.value)


def test_one_that_others_may_read_is_refused(home: Home) -> None:
    Path(home.write(FILE, LONG)).chmod(0o644)
    with pytest.raises(PermanentError, match="others may read it"):
        home.read()


def test_the_policy_names_others(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XOPS_SECRET_HOOK", OTHER)
    file = home.write("secrets/hook", LONG)
    assert home.read(secret={"file": file}).keys() == (LONG.encode(),)
    assert home.read(secret={"variable": "XOPS_SECRET_HOOK"}).keys() == (OTHER.encode(),)


def test_the_previous_one_counts_while_it_is_there(home: Home) -> None:
    home.write(FILE, LONG)
    file = home.write("secrets/previous", OTHER)
    found = home.read(previous_secret={"file": file})
    assert found.keys() == (LONG.encode(), OTHER.encode())
    Path(file).unlink()
    home.later()
    assert found.keys() == (LONG.encode(),)
    assert home.read(previous_secret={"variable": "XOPS_SECRET_NONE"}).keys() == (LONG.encode(),)


def test_a_previous_one_that_is_too_short_is_refused(home: Home) -> None:
    home.write(FILE, LONG)
    with pytest.raises(InputError):
        home.read(previous_secret={"file": home.write("secrets/previous", "short")})


def test_an_exchange_needs_no_restart(home: Home) -> None:
    home.write(FILE, LONG)
    previous = str(home.folder / "secrets" / "previous")
    found = home.read(previous_secret={"file": previous})
    home.write("secrets/previous", LONG)
    home.write(FILE, OTHER)
    home.later()
    assert found.keys() == (OTHER.encode(), LONG.encode())


def test_files_are_looked_at_once_a_second(home: Home) -> None:
    home.write(FILE, LONG)
    found = home.read()
    found.keys()
    home.write(FILE, OTHER)
    assert found.keys() == (LONG.encode(),)
    home.later()
    assert found.keys() == (OTHER.encode(),)


@pytest.mark.parametrize("text", ["", "short"])
def test_what_cannot_be_used_changes_nothing_and_is_reported_once(
    home: Home, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    home.write(FILE, LONG)
    found = home.read()
    home.write(FILE, text)
    for _ in range(3):
        home.later()
        assert found.keys() == (LONG.encode(),)
    assert len(caplog.records) == 1
    assert "stay as they were" in caplog.text
    home.write(FILE, OTHER)
    home.later()
    assert found.keys() == (OTHER.encode(),)
