"""What receiver and dispatcher are told, and where the inbox is."""

from pathlib import Path

import pytest

from xops.core.files.settings import ROOT
from xops.github.inbox.address import VARIABLE
from xops.local import database, home, postgresql, webhooks
from xops.local.stack import stack

CANARY = "canary-5d1c"
SHELL = {
    "PATH": "/somewhere/bin",
    "HOME": "/srv/person",
    "LANG": "C.UTF-8",
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "AWS_PROFILE": CANARY,
    "GITHUB_TOKEN": CANARY,
    "XOPS_GITHUB_TOKEN": CANARY,
    "XOPS_GITHUB_APP_KEY": CANARY,
    "PREFECT_API_AUTH_STRING": CANARY,
    "XOPS_DATABASE_URL": f"postgresql://xops:{CANARY}@db.example.com/prefect",
    "SSH_AUTH_SOCK": CANARY,
}
"""What a person may have in the shell that starts the stack."""
WITHOUT_DATABASE = {k: v for k, v in SHELL.items() if k != "XOPS_DATABASE_URL"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path))
    return tmp_path


def test_the_receiver_is_told_the_inbox_and_nothing_of_others() -> None:
    """It faces the network."""
    told = stack(SHELL).receiver.environ
    assert set(told) == {"PATH", "HOME", "LANG", "XOPS_HOME", VARIABLE}
    assert CANARY not in str(told)


def test_the_dispatcher_is_told_prefect_s_secret_and_no_other(folder: Path) -> None:
    found = stack(SHELL).dispatcher
    assert CANARY not in str(found.environ)
    assert [name for name in found.environ if name.startswith(("AWS", "XOPS"))] == [
        "XOPS_HOME",
        VARIABLE,
    ]
    assert found.secrets() == {
        "PREFECT_API_AUTH_STRING": (folder / "prefect-secret").read_text()[:-1]
    }


def test_the_worker_is_told_the_inbox_and_github_s_token_as_ever() -> None:
    told = stack(WITHOUT_DATABASE).worker.environ
    assert told[VARIABLE] == stack(WITHOUT_DATABASE).inbox
    assert told["XOPS_GITHUB_TOKEN"] == CANARY


def test_the_prefect_server_is_told_nothing_of_the_inbox() -> None:
    assert VARIABLE not in stack(WITHOUT_DATABASE).server.environ


def test_files_are_named_by_whole_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A service works in the project's folder, whatever the shell's is."""
    monkeypatch.chdir(tmp_path)
    told = stack({**SHELL, "XOPS_GITHUB_FILE": "mine.yaml", "XOPS_SECRETS": "../secrets.yaml"})
    for service in (told.receiver, told.dispatcher, told.worker):
        assert service.environ["XOPS_GITHUB_FILE"] == str(tmp_path / "mine.yaml")
        assert service.environ["XOPS_SECRETS"] == str(tmp_path.parent / "secrets.yaml")


def test_a_secret_that_the_file_names_reaches_the_receiver_alone(tmp_path: Path) -> None:
    file = tmp_path / "github.yaml"
    file.write_text(
        "apiVersion: xops/v1\nwebhook:\n"
        "  secret: {variable: XOPS_SECRET_WEBHOOK}\n"
        "  previous_secret: {variable: XOPS_SECRET_BEFORE}\n"
    )
    environ = {
        "XOPS_GITHUB_FILE": str(file),
        "XOPS_SECRET_WEBHOOK": "w" * 32,
        "XOPS_SECRET_OTHER": CANARY,
    }
    found = stack(environ)
    assert found.receiver.secrets() == {"XOPS_SECRET_WEBHOOK": "w" * 32}
    assert "w" * 32 not in str(found.dispatcher.environ)


def test_the_secret_is_made_once_for_its_owner_alone(folder: Path) -> None:
    first = webhooks.load_or_create_webhook_secret(folder)
    assert len(bytes.fromhex(first)) == 32
    assert webhooks.load_or_create_webhook_secret(folder) == first
    assert (folder / webhooks.KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert webhooks.KEY_FILE in home.KEPT, "GitHub has the same: `xops clean` leaves it"


def test_who_only_looks_makes_no_secret(folder: Path) -> None:
    stack(SHELL)
    assert not (folder / webhooks.KEY_FILE).exists()


def test_the_inbox_is_beside_prefect_s_database_or_a_file_or_where_a_person_says(
    folder: Path,
) -> None:
    embedded = database.choose({}, folder)
    own = database.choose({database.VARIABLE: "postgresql://u:p@db/prefect"}, folder)
    named = {VARIABLE: "postgresql://inbox@db.example.com/inbox"}
    inside = webhooks.inbox_address({}, embedded, folder)
    assert inside == postgresql.inbox_url(folder)
    assert webhooks.is_embedded(inside, folder)
    assert webhooks.inbox_address({}, own, folder) == f"sqlite:///{folder}/github/inbox.db"
    assert webhooks.inbox_address(named, embedded, folder) == named[VARIABLE]
    assert not webhooks.is_embedded(named[VARIABLE], folder)


def test_both_are_started_as_the_command_that_people_know() -> None:
    found = stack({"XOPS_GITHUB_PORT": "4581"})
    assert found.receiver.argv[1:] == ["-m", "xops.cli", "github", "serve", "--port", "4581"]
    assert found.dispatcher.argv[1:] == ["-m", "xops.cli", "github", "dispatch"]
    assert found.receiver.port == 4581
    assert (ROOT / "xops" / "cli" / "__main__.py").exists()
