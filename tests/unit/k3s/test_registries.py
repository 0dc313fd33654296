"""registries.yaml, and where its passwords are read from."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from xops.core.errors import PermanentError
from xops.k3s import registries
from xops.k3s.sections import Registries, SecretReference


def written(environ: dict[str, str] | None = None, **values: Any) -> Any:
    text = registries.file(Registries.model_validate(values), environ or {})
    return None if text is None else yaml.safe_load(text)


def test_without_registries_there_is_no_file() -> None:
    assert written() is None
    assert written(system_default="registry.example.com") is None


def test_mirrors_and_logins_stand_as_k3s_reads_them() -> None:
    auth = {"username": "robot", "password": {"variable": "REGISTRY_PASSWORD"}}
    mirror = {"endpoint": ["https://r.example.com:5000"], "rewrite": {"^rancher/(.*)": "k3s/$1"}}
    found = written(
        {"REGISTRY_PASSWORD": "canary:#'\""},
        mirrors={"docker.io": mirror, "*": {}},
        configs={
            "r.example.com:5000": {"auth": auth, "tls": {"ca_file": "/etc/ssl/r.pem"}},
            "plain.example.com": {"tls": {"insecure_skip_verify": True}},
        },
    )

    assert found == {
        "mirrors": {"*": {}, "docker.io": mirror},
        "configs": {
            "plain.example.com": {"tls": {"insecure_skip_verify": True}},
            "r.example.com:5000": {
                "auth": {"username": "robot", "password": "canary:#'\""},
                "tls": {"ca_file": "/etc/ssl/r.pem"},
            },
        },
    }


def test_the_order_in_the_cluster_file_does_not_matter() -> None:
    one = Registries.model_validate({"mirrors": {"a": {}, "b": {}}})
    other = Registries.model_validate({"mirrors": {"b": {}, "a": {}}})

    assert registries.file(one, {}) == registries.file(other, {})


# Secrets


def test_a_secret_is_read_from_a_file_of_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("canary \n")
    file.chmod(0o600)

    assert registries.read_secret(SecretReference(file=file), {}) == "canary "


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "password"
    file.write_text("canary")
    file.chmod(mode)

    with pytest.raises(PermanentError, match="chmod 600") as caught:
        registries.read_secret(SecretReference(file=file), {})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("environ", [{}, {"PASSWORD": ""}])
def test_a_variable_that_is_not_set_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(PermanentError, match="PASSWORD: it is unset or empty"):
        registries.read_secret(SecretReference(variable="PASSWORD"), environ)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="no such file"):
        registries.read_secret(SecretReference(file=tmp_path / "none"), {})
