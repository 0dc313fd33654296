"""Secrets by reference: read where they are said to be, refused where others may read them."""

import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from xops.core.errors import InputError, PermanentError
from xops.core.files import settings
from xops.core.files.secret import SecretReference
from xops.core.files.validation import Model

VARIABLE = SecretReference(variable="XOPS_SECRET_PASSWORD")
SCHEMA = Draft202012Validator(SecretReference.model_json_schema())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of the test's own, whose operator has configured nothing."""
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XOPS_SECRETS", raising=False)
    folder = tmp_path / "home" / "secrets"
    folder.mkdir(parents=True)
    return folder.parent


@pytest.fixture
def file(home: Path) -> Path:
    made = home / "secrets" / "password"
    made.write_text("canary \n")
    made.chmod(0o600)
    return made


def test_only_the_end_of_the_line_is_no_part_of_it(file: Path) -> None:
    assert SecretReference(file=file).read({}) == "canary "
    assert VARIABLE.read({"XOPS_SECRET_PASSWORD": " canary\r\n"}) == " canary"


def test_it_is_read_from_the_process_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XOPS_SECRET_PASSWORD", "canary")
    assert VARIABLE.read() == "canary"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_what_others_may_read_or_change_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(PermanentError, match=f"chmod 600 {file}") as caught:
        SecretReference(file=file).read({})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "environ", [{}, {"XOPS_SECRET_PASSWORD": ""}, {"XOPS_SECRET_PASSWORD": " \n"}]
)
def test_a_variable_that_is_not_set_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(
        PermanentError, match="the variable XOPS_SECRET_PASSWORD: it is unset or empty"
    ):
        VARIABLE.read({**environ, "OTHER": "canary"})


def test_a_file_that_cannot_serve_is_named(file: Path) -> None:
    with pytest.raises(PermanentError, match=r"the file .*/none: there is no such file"):
        SecretReference(file=file.with_name("none")).read({})
    file.write_text("")
    with pytest.raises(PermanentError, match="it is unset or empty"):
        SecretReference(file=file).read({})
    file.write_bytes(b"\xff")
    with pytest.raises(PermanentError, match="cannot be read: it is no text"):
        SecretReference(file=file).read({})


def test_a_reference_says_its_place_and_nothing_else() -> None:
    assert str(VARIABLE) == "variable XOPS_SECRET_PASSWORD"
    assert str(SecretReference(file=Path("key.pem"))) == "file key.pem"


@pytest.mark.parametrize("wrong", [{}, {"file": "a", "variable": "A"}, {"variable": "not-one"}])
def test_one_place_is_named(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SecretReference.model_validate(wrong)
    assert not SCHEMA.is_valid(wrong)


@pytest.mark.parametrize(
    "right", [{"file": "a"}, {"variable": "A"}, {"file": None, "variable": "A"}]
)
def test_the_schema_says_that_it_is_one_place(right: dict[str, str]) -> None:
    SCHEMA.validate(right)
    assert SecretReference.model_validate(right)


# What a reviewed file may name.


@pytest.mark.parametrize(
    "variable",
    ["AWS_SECRET_ACCESS_KEY", "XOPS_FINGERPRINT_KEY", "PATH", "XOPS_SECRET", "XOPS_SECRETS"],
)
def test_a_variable_of_no_source_is_not_read(variable: str) -> None:
    with pytest.raises(InputError, match="it is of no configured source") as caught:
        SecretReference(variable=variable).read({variable: "canary"})
    assert "secrets.yaml" in caught.value.remedy
    assert "canary" not in str(caught.value)


def planted(home: Path, way: str) -> Path:
    """A path that begins in the folder of secrets and ends at a file that is none of them."""
    victim = home.parent / "ssh" / "id_ed25519"
    victim.parent.mkdir()
    victim.write_text("canary")
    victim.chmod(0o600)
    folder = home / "secrets"
    if way == "link":
        (folder / "key").symlink_to(victim)
        return folder / "key"
    if way == "link to its folder":
        (folder / "more").symlink_to(victim.parent)
        return folder / "more" / "id_ed25519"
    if way == "folder that begins alike":
        alike = home / "secrets-of-others"
        victim.parent.rename(alike)
        return alike / "id_ed25519"
    if way == "folder that is a link":
        folder.rmdir()
        folder.symlink_to(victim.parent)
        return folder / "id_ed25519"
    return folder / ".." / ".." / "ssh" / "id_ed25519" if way == "dots" else victim


@pytest.mark.parametrize(
    "way",
    ["link", "link to its folder", "folder that begins alike", "folder that is a link", "dots", ""],
)
def test_a_file_of_no_source_is_not_read(home: Path, way: str) -> None:
    path = planted(home, way)
    assert path.read_text() == "canary"
    with pytest.raises(InputError, match="it is of no configured source") as caught:
        SecretReference(file=path).read({})
    assert "canary" not in str(caught.value)


def test_a_link_within_the_folder_is_followed(home: Path, file: Path) -> None:
    (home / "secrets" / "now").symlink_to(file)
    assert SecretReference(file=home / "secrets" / "now").read({}) == "canary "


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_not_waited_for(home: Path, kind: str) -> None:
    path = home / "secrets" / "x"
    path.mkdir() if kind == "folder" else os.mkfifo(path, 0o600)
    with pytest.raises(PermanentError, match=f"is a {kind}, not a file"):
        SecretReference(file=path).read({})


# To whom it may be sent.


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example",
        "https://api.github.com:8443",
        "https://api.github.com.",
        "https://api.github.com.evil.example",
        "http://api.github.com",
        "http://127.0.0.1:80",
        "https://api.github.com@evil.example",
        "https://evil.example\\@api.github.com",
    ],
)
def test_a_secret_is_not_sent_elsewhere(address: str) -> None:
    token = SecretReference(variable="XOPS_GITHUB_TOKEN")
    with pytest.raises(InputError, match="sent to") as caught:
        token.read_for(address, {"XOPS_GITHUB_TOKEN": "canary"})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["https://api.github.com", "https://API.github.com:443/", "https://api.github.com/x"]
)
def test_the_default_token_goes_to_github(address: str) -> None:
    token = SecretReference(variable="XOPS_GITHUB_TOKEN")
    assert token.read_for(address, {"XOPS_GITHUB_TOKEN": "canary"}) == "canary"


def test_other_secrets_are_sent_to_nobody_by_a_command_that_reads(file: Path) -> None:
    with pytest.raises(InputError, match="allows it to no host"):
        VARIABLE.read_for("https://api.github.com", {"XOPS_SECRET_PASSWORD": "canary"})
    with pytest.raises(InputError, match="allows it to no host"):
        SecretReference(file=file).read_for("https://api.github.com")


# A secret written where its place should stand.


class Login(Model):
    """A section of a file."""

    password: SecretReference


@pytest.mark.parametrize(
    "written",
    [
        "password: canary",
        "password: [canary]",
        "password: {canary: x}",
        "password: {file: canary, variable: canary}",
        "password: {variable: canary}",
        "password: {variable: [canary]}",
        "password: {file: {canary: canary}}",
        "password: {file: x, canary: {canary: canary}}",
        "password: {file: ~canary/x}",
    ],
)
def test_what_is_written_in_the_place_of_a_reference_is_never_shown(
    tmp_path: Path, written: str
) -> None:
    file = tmp_path / "login.yaml"
    file.write_text(written)
    with pytest.raises(InputError, match="password") as caught:
        settings.load(Login, file, prefix="", environ={}, arguments={})
    assert "canary" not in str(caught.value) + json.dumps(caught.value.to_json())
