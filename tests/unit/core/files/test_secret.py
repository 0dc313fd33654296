"""Secrets by reference: read where they are said to be, refused where others may read them."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from xops.core.errors import PermanentError
from xops.core.files.secret import SecretReference

VARIABLE = SecretReference(variable="PASSWORD")
SCHEMA = Draft202012Validator(SecretReference.model_json_schema())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "password"
    made.write_text("canary \n")
    made.chmod(0o600)
    return made


def test_only_the_end_of_the_line_is_no_part_of_it(file: Path) -> None:
    assert SecretReference(file=file).read({}) == "canary "
    assert VARIABLE.read({"PASSWORD": " canary\r\n"}) == " canary"


def test_it_is_read_from_the_process_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "canary")
    assert VARIABLE.read() == "canary"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_what_others_may_read_or_change_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(PermanentError, match=f"chmod 600 {file}") as caught:
        SecretReference(file=file).read({})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("environ", [{}, {"PASSWORD": ""}, {"PASSWORD": " \n"}])
def test_a_variable_that_is_not_set_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(PermanentError, match="the variable PASSWORD: it is unset or empty"):
        VARIABLE.read({**environ, "OTHER": "canary"})


def test_a_file_that_cannot_serve_is_named(file: Path) -> None:
    with pytest.raises(PermanentError, match="the file /none: there is no such file"):
        SecretReference(file=Path("/none")).read({})
    file.write_text("")
    with pytest.raises(PermanentError, match="it is unset or empty"):
        SecretReference(file=file).read({})
    file.write_bytes(b"\xff")
    with pytest.raises(PermanentError, match="it cannot be read: "):
        SecretReference(file=file).read({})


def test_a_reference_says_its_place_and_nothing_else() -> None:
    assert str(VARIABLE) == "variable PASSWORD"
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
