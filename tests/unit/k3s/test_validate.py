"""A cluster file is checked with all that it refers to on this machine, and nobody is asked."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from xops.core.errors import InputError
from xops.core.files.secret_sources import SecretSources
from xops.k3s.release.lock import Lock
from xops.k3s.validate import Validation, validate

VERSION = next(iter(Lock.load().versions))
LAB: dict[str, Any] = {
    "apiVersion": "xops/v1",
    "name": "lab",
    "k3s": {"version": VERSION},
    "hosts": [
        {"name": "server-1", "address": "10.0.0.11", "role": "server"},
        {"name": "agent-1", "address": "10.0.0.21", "role": "agent", "arch": "arm64"},
    ],
}
MIRROR = {"mirror:5000": {"auth": {"username": "u", "password": {"file": "keys/mirror"}}}}
S3 = {
    "bucket": "b-1", "config_secret": "s3", "access_key": {"variable": "XOPS_SECRET_ACCESS"},
    "secret_key": {"variable": "XOPS_SECRET_KEY"},
}  # fmt: skip

Check = Callable[..., Validation]
Wrong = Callable[..., list[tuple[str, int | None, str]]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lab.yaml"


@pytest.fixture
def check(file: Path, tmp_path: Path) -> Check:
    """Validates the lab's file with these sections; secrets are in its folder `keys`."""
    keys = tmp_path / "keys"
    keys.mkdir()
    sources = SecretSources.model_validate(
        {"sources": [{"folder": str(keys)}, {"variable": "XOPS_SECRET_*"}]}
    )

    def checked(
        values: dict[str, Any] | None = None, lock: Path | None = None, **environ: str
    ) -> Validation:
        file.write_text(yaml.safe_dump(copy.deepcopy(LAB) | (values or {}), sort_keys=False))
        return validate(file, lock, environ=environ, sources=sources)

    return checked


@pytest.fixture
def wrong(check: Check) -> Wrong:
    """What is found, as path, line and message."""

    def found(*arguments: Any, **more: Any) -> list[tuple[str, int | None, str]]:
        with pytest.raises(InputError) as error:
            check(*arguments, **more)
        return [(row.path, row.line, row.message) for row in error.value.findings]

    return found


def test_a_file_that_is_right_says_what_was_looked_at(check: Check, tmp_path: Path) -> None:
    key = tmp_path / "keys" / "mirror"
    key.write_text("hidden-value")
    key.chmod(0o600)
    found = check(
        {"registries": {"configs": MIRROR}, "snapshots": {"s3": S3}},
        XOPS_SECRET_ACCESS="hidden-value",
        XOPS_SECRET_KEY="hidden-value",
    ).to_json()
    assert found == {
        "cluster": "lab",
        "version": VERSION,
        "servers": ["server-1"],
        "agents": ["agent-1"],
        "secrets": [f"file {key}", "variable XOPS_SECRET_ACCESS", "variable XOPS_SECRET_KEY"],
        "unchecked": [],
    }
    assert "hidden-value" not in json.dumps(found)


def test_what_is_wrong_in_file_lock_and_secrets_is_told_at_once(
    wrong: Wrong, tmp_path: Path
) -> None:
    key = tmp_path / "keys" / "mirror"
    key.write_text("hidden-value")
    key.chmod(0o644)
    values = {
        "k3s": {"version": "v1.34.99+k3s1"},
        "colour": "blue",
        "registries": {"configs": MIRROR},
        "snapshots": {"s3": S3 | {"secret_key": {"variable": "PATH"}}},
    }
    found = {path: (line, message) for path, line, message in wrong(values, PATH="hidden-value")}
    password = "registries.configs.mirror:5000.auth.password"
    assert set(found) == {
        "colour", "k3s.version", password, "snapshots.s3.access_key", "snapshots.s3.secret_key",
    }  # fmt: skip
    assert "looking up K3S v1.34.99+k3s1 in the lock" in found["k3s.version"][1]
    assert "others may read it" in found[password][1]
    assert "it is unset or empty" in found["snapshots.s3.access_key"][1]
    assert "of no configured source" in found["snapshots.s3.secret_key"][1]
    assert all(line for line, _ in found.values())
    assert "hidden-value" not in str(found)


def test_a_section_that_is_wrong_keeps_only_itself_from_being_looked_at(wrong: Wrong) -> None:
    values = {"k3s": {"version": "latest"}, "snapshots": {"s3": S3}}
    assert {path for path, _, _ in wrong(values)} == {
        "k3s.version", "snapshots.s3.access_key", "snapshots.s3.secret_key",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kept", "air_gap", "said"),
    [("amd64", False, "for arm64"), ("arm64", False, "for amd64"), ("amd64", True, "for arm64")],
)
def test_every_architecture_of_the_hosts_is_locked(
    wrong: Wrong, tmp_path: Path, kept: str, air_gap: bool, said: str
) -> None:
    entry = Lock.load().versions[VERSION]
    lock = tmp_path / "lock.yaml"
    rows = {VERSION: {kept: entry[kept].model_dump()}}  # type: ignore[index]
    lock.write_text(yaml.safe_dump({"versions": rows}))
    values = {"air_gap": {"bundle": "b.tar"}} if air_gap else {}
    [(path, line, message)] = wrong(values, lock)
    assert (path, line) == ("k3s.version", 4)
    assert said in message


def test_a_lock_that_is_wrong_is_told_beside_the_file(wrong: Wrong, tmp_path: Path) -> None:
    lock = tmp_path / "lock.yaml"
    lock.write_text("versions: {latest: {}}\n")
    found = wrong({"colour": "blue"}, lock)
    assert {path for path, _, _ in found} >= {"colour"}
    assert any("latest" in path for path, _, _ in found)


def test_outputs_that_are_not_there_yet_are_unknown_and_no_error(check: Check) -> None:
    values = {"source": {"kind": "terraform", "outputs": "out.json"}, "hosts": []}
    found = check(values)
    assert "there is no" in found.unchecked[0]
    assert "out.json" in found.unchecked[0]


def test_outputs_that_are_there_are_held_against_the_file(wrong: Wrong, tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text("{}")
    values = {"source": {"kind": "terraform", "outputs": "out.json"}, "hosts": []}
    assert "not the outputs of stacks/k3s_hosts" in wrong(values)[0][2]


def test_variables_lie_over_the_file_here_as_well(wrong: Wrong) -> None:
    [(path, _, message)] = wrong(XOPS_CLUSTER__K3S__VERSION="v1.34.99+k3s1")
    assert path == "k3s.version"
    assert "v1.34.99+k3s1" in message


@pytest.mark.parametrize("text", ["", "[]", "a: [", "a: &a [*a]", "\0", "k3s: 5", "hosts: {}"])
def test_any_text_is_an_answer(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError) as error:
        validate(file, environ={})
    assert error.value.findings
