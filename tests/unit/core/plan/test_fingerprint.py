"""One key for an installation, with which a plan notices a changed secret and tells none."""

import hashlib
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given

from tests.plans import JSON, KEY
from tests.soak import examples
from xops.core.errors import PermanentError
from xops.core.plan.fingerprint import (
    FILE_VARIABLE,
    NAME,
    VARIABLE,
    FingerprintKey,
    load_or_create_key,
)
from xops.core.plan.values import fingerprint_of, is_hidden, is_same

GIVEN = "0123456789abcdef0123456789abcdef"


def test_an_installation_makes_its_key_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = load_or_create_key(home, {})

    assert stat.S_IMODE((home / NAME).stat().st_mode) == 0o600
    assert len((home / NAME).read_text().strip()) == 64
    assert load_or_create_key(home, {}) == made


def test_two_installations_have_two_keys(tmp_path: Path) -> None:
    one, other = (load_or_create_key(tmp_path / name, {}) for name in "ab")

    assert one.id != other.id
    assert one.hide("hunter2") != other.hide("hunter2")


def test_runs_that_make_the_key_at_the_same_moment_have_one(tmp_path: Path) -> None:
    together, found = threading.Barrier(8), []

    def run() -> None:
        together.wait()
        found.append(load_or_create_key(tmp_path, {}))

    runs = [threading.Thread(target=run) for _ in range(8)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()

    assert len(found) == 8
    assert len({key.secret for key in found}) == 1
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_a_variable_holds_the_key_where_no_disk_lasts(tmp_path: Path) -> None:
    """A run that is suspended in one container and resumed in another asks nothing."""
    first, second = (load_or_create_key(tmp_path / name, {VARIABLE: GIVEN}) for name in "ab")

    assert first == second == FingerprintKey(GIVEN)
    assert not list(tmp_path.iterdir())


def test_a_named_file_holds_the_key(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{GIVEN}\n")
    file.chmod(0o600)

    assert load_or_create_key(tmp_path / "home", {FILE_VARIABLE: str(file)}).secret == GIVEN
    assert not (tmp_path / "home").exists()


def test_a_named_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Another key would ask for every approval anew, without a word of why."""
    with pytest.raises(PermanentError, match="no such file") as error:
        load_or_create_key(tmp_path, {FILE_VARIABLE: str(tmp_path / "lost")})
    assert f"file {tmp_path / 'lost'}" in error.value.attempted


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    load_or_create_key(tmp_path, {})
    (tmp_path / NAME).chmod(0o644)

    with pytest.raises(PermanentError, match="others may read it"):
        load_or_create_key(tmp_path, {})


@pytest.mark.parametrize("secret", ["short", GIVEN[:-1], f"{GIVEN[:-1]}\n"])
def test_a_key_that_is_too_short_is_refused_and_not_shown(secret: str, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="32 are the least") as error:
        load_or_create_key(tmp_path, {VARIABLE: secret})
    assert secret.strip() not in str(error.value)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_end_of_the_line_alone_is_no_part_of_a_key(end: str, tmp_path: Path) -> None:
    for secret in (f"{GIVEN}X", f"{GIVEN} "):
        assert load_or_create_key(tmp_path, {VARIABLE: f"{secret}{end}"}).secret == secret


@pytest.mark.parametrize(
    ("secret", "found"),
    [("", "it is unset or empty"), ("short", "it has 5 characters, 32 are the least")],
)
def test_where_the_key_that_is_none_was_read_and_how_to_make_one_is_said(
    secret: str, found: str, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_text(secret or "-")
    (tmp_path / NAME).chmod(0o600)
    environs = [{VARIABLE: secret}]
    if secret:
        environs += [{FILE_VARIABLE: str(tmp_path / NAME)}, {}]
    for environ in environs:
        with pytest.raises(PermanentError) as error:
            load_or_create_key(tmp_path, environ)
        place = f"variable {VARIABLE}" if VARIABLE in environ else f"file {tmp_path / NAME}"
        assert error.value.attempted == f"reading the fingerprint key from the {place}"
        assert error.value.found == found
        assert error.value.remedy == "Make one with `openssl rand -hex 32` and put it there."


@pytest.mark.parametrize("empty", ["", "\n"])
def test_an_empty_variable_is_no_key(empty: str, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="unset or empty"):
        load_or_create_key(tmp_path, {VARIABLE: empty})


def test_a_home_that_takes_no_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")

    with pytest.raises(PermanentError, match=FILE_VARIABLE):
        load_or_create_key(tmp_path / "home", {})


def test_the_key_is_not_shown() -> None:
    assert KEY.secret not in repr(KEY)
    assert KEY.secret not in KEY.id
    assert len(KEY.id) == 12


@examples(30)
@given(JSON, JSON)
def test_equal_fingerprints_stand_for_equal_values(one: object, other: object) -> None:
    assert (KEY.hide(one) == KEY.hide(other)) is is_same(one, other)
    assert is_hidden(KEY.hide(one))


def test_a_fingerprint_is_no_hash_that_could_be_found_by_trying() -> None:
    fingerprint = fingerprint_of(KEY.hide("hunter2"))

    assert len(fingerprint) == 64
    plain = {hashlib.sha256(text.encode()).hexdigest() for text in ("hunter2", '"hunter2"')}
    assert fingerprint not in plain
