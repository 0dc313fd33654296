"""The cluster's kubeconfig, and how it comes into a person's own."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from xops.k3s.operations import kubeconfig

OF_A_SERVER = """
apiVersion: v1
clusters:
- cluster: {certificate-authority-data: Q0E=, server: https://127.0.0.1:6443}
  name: default
contexts:
- context: {cluster: default, user: default}
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: default
  user: {client-certificate-data: QQ==, client-key-data: QQ==}
"""


def written(file: Path, document: Any) -> Path:
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return file


@pytest.fixture
def own(tmp_path: Path) -> Path:
    text = kubeconfig.addressed(OF_A_SERVER, "onprem", "https://10.0.0.10:6443")
    return written(tmp_path / "own", text)


def test_a_server_s_kubeconfig_is_addressed_to_the_cluster() -> None:
    text = kubeconfig.addressed(OF_A_SERVER, "onprem", "https://10.0.0.10:6443")
    values = yaml.safe_load(text)

    assert values["current-context"] == "onprem"
    assert values["contexts"] == [
        {"name": "onprem", "context": {"cluster": "onprem", "user": "onprem"}}
    ]
    assert values["clusters"] == [
        {
            "name": "onprem",
            "cluster": {
                "certificate-authority-data": "Q0E=",
                "server": "https://10.0.0.10:6443",
            },
        }
    ]
    assert [row["name"] for row in values["users"]] == ["onprem"]
    assert kubeconfig.addressed(OF_A_SERVER, "onprem", "https://10.0.0.10:6443") == text


def test_it_becomes_a_person_s_first_one(own: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "config"

    assert kubeconfig.merge(own, target) == "onprem"
    values = yaml.safe_load(target.read_text())
    assert values["current-context"] == "onprem"
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("empty", ["", "apiVersion: v1\nkind: Config\nclusters: null\n"])
def test_an_empty_one_is_filled(own: Path, tmp_path: Path, empty: str) -> None:
    target = written(tmp_path / "config", empty)
    kubeconfig.merge(own, target)

    assert [row["name"] for row in yaml.safe_load(target.read_text())["clusters"]] == ["onprem"]


def test_others_and_the_current_context_stay(own: Path, tmp_path: Path) -> None:
    other = {"name": "work", "cluster": {"server": "https://work.example.com"}}
    old = {"name": "onprem", "cluster": {"server": "https://10.0.0.99:6443"}}
    target = written(
        tmp_path / "config",
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "work",
            "clusters": [other, old],
            "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
            "users": [{"name": "me", "user": {"token": "mine"}}],
            "preferences": {"colors": True},
        },
    )
    kubeconfig.merge(own, target)
    first = target.read_text()
    values = yaml.safe_load(first)

    assert values["current-context"] == "work"
    assert values["preferences"] == {"colors": True}
    assert values["clusters"][0] == other
    assert values["clusters"][1]["cluster"]["server"] == "https://10.0.0.10:6443"
    assert [row["name"] for row in values["users"]] == ["me", "onprem"]
    assert [row["name"] for row in values["contexts"]] == ["work", "onprem"]

    kubeconfig.merge(own, target)
    assert target.read_text() == first
