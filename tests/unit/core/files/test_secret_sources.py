"""The operator's list of secret sources: whose word it is, and what it may say."""

import shutil
import subprocess
from pathlib import Path

import pytest

from xops.core.errors import InputError
from xops.core.files.secret import SecretReference
from xops.core.files.secret_sources import SecretSources

LISTED = """
apiVersion: xops/v1
sources:
- {variable: TEAM_*_TOKEN, hosts: [ghe.example:8443, "http://127.0.0.1:8080"]}
- {folder: keys, hosts: [api.github.com]}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of the test's own."""
    monkeypatch.setenv("XOPS_HOME", str(tmp_path))
    monkeypatch.delenv("XOPS_SECRETS", raising=False)
    return tmp_path


def write(home: Path, text: str = LISTED, mode: int = 0o600) -> Path:
    file = home / "secrets.yaml"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_the_operator_s_list_replaces_the_defaults(home: Path) -> None:
    write(home)
    given = {"TEAM_X_TOKEN": "canary", "XOPS_SECRET_X": "other"}

    assert SecretReference(variable="TEAM_X_TOKEN").read(given) == "canary"
    with pytest.raises(InputError, match="no configured source"):
        SecretReference(variable="XOPS_SECRET_X").read(given)


def test_a_folder_is_found_from_the_list_s_own_place(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = home / "etc"
    (elsewhere / "keys").mkdir(parents=True)
    key = elsewhere / "keys" / "app.pem"
    key.write_text("canary")
    key.chmod(0o600)
    monkeypatch.setenv("XOPS_SECRETS", str(write(home).rename(elsewhere / "sources.yaml")))

    assert SecretReference(file=key).read_for("https://api.github.com/x") == "canary"


@pytest.mark.parametrize("address", ["https://ghe.example:8443/api/v3", "http://127.0.0.1:8080"])
def test_hosts_count_with_their_port(home: Path, address: str) -> None:
    write(home)
    token = SecretReference(variable="TEAM_X_TOKEN")

    assert token.read_for(address, {"TEAM_X_TOKEN": "canary"}) == "canary"
    for other in ("https://ghe.example/api/v3", "https://127.0.0.1:8080", "http://127.0.0.1:81"):
        with pytest.raises(InputError, match="may not be sent"):
            token.read_for(other, {"TEAM_X_TOKEN": "canary"})


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_list_that_others_may_write_is_refused(home: Path, mode: int) -> None:
    write(home, mode=mode)

    with pytest.raises(InputError, match="others may write it"):
        SecretSources.configured()


def test_a_list_that_others_may_only_read_serves(home: Path) -> None:
    write(home, mode=0o644)

    assert len(SecretSources.configured().sources) == 2


def test_a_list_that_is_named_and_not_there_is_an_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defaults would allow what the operator did not mean to."""
    monkeypatch.setenv("XOPS_SECRETS", str(home / "none.yaml"))

    with pytest.raises(InputError, match="No such file"):
        SecretSources.configured()


@pytest.mark.parametrize(
    "row",
    [
        "{variable: '*'}",
        "{variable: aws}",
        "{folder: ~nosuchuser/x}",
        "{variable: A, hosts: ['http://ghe.example']}",
        "{variable: A, hosts: ['https://ghe.example/api']}",
        "{variable: A, hosts: ['user@ghe.example']}",
        "{variable: A, hosts: ['*.example']}",
        "{variable: A, folder: x}",
        "{hosts: [a]}",
    ],
)
def test_what_is_no_source_is_refused(home: Path, row: str) -> None:
    write(home, f"sources: [{row}]")

    with pytest.raises(InputError, match=r"sources\.0"):
        SecretSources.configured()


# The list is never a part of what is reviewed.


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a home in its own folder, as it is by default."""
    project = tmp_path / "project"
    (project / ".xops").mkdir(parents=True)
    monkeypatch.setenv("XOPS_HOME", str(project / ".xops"))
    git(project, "init", "-q")
    return project


def git(folder: Path, *arguments: str) -> None:
    program = shutil.which("git") or "git"
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run([program, *who, "-C", str(folder), *arguments], check=True, capture_output=True)


def test_a_list_that_came_with_the_project_is_refused(checkout: Path) -> None:
    write(checkout / ".xops")
    assert SecretSources.configured(project=checkout)
    git(checkout, "add", "-f", ".xops/secrets.yaml")

    with pytest.raises(InputError, match="is in the project's folder"):
        SecretSources.configured(project=checkout)


def test_a_link_to_a_list_in_the_project_is_refused(checkout: Path) -> None:
    write(checkout)
    git(checkout, "add", "secrets.yaml")
    (checkout / ".xops" / "secrets.yaml").symlink_to(checkout / "secrets.yaml")

    with pytest.raises(InputError, match="is in the project's folder"):
        SecretSources.configured(project=checkout)


def test_where_git_cannot_tell_a_list_stands_outside_of_the_project(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    write(checkout / ".xops")

    with pytest.raises(InputError, match="is in the project's folder"):
        SecretSources.configured(project=checkout)
