"""registries.yaml."""

from typing import Any

import yaml

from xops.k3s.cluster_file.sections import Registries
from xops.k3s.node import registries


def written(environ: dict[str, str] | None = None, **values: Any) -> Any:
    made = registries.file(Registries.model_validate(values), environ or {})
    return None if made is None else yaml.safe_load(made.content)


def test_without_registries_there_is_no_file() -> None:
    assert written() is None
    assert written(system_default="registry.example.com") is None


def test_mirrors_and_logins_stand_as_k3s_reads_them() -> None:
    auth = {"username": "robot", "password": {"variable": "XOPS_SECRET_REGISTRY"}}
    mirror = {"endpoint": ["https://r.example.com:5000"], "rewrite": {"^rancher/(.*)": "k3s/$1"}}
    found = written(
        {"XOPS_SECRET_REGISTRY": "canary:#'\""},
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
