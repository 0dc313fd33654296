"""k3d's configuration, and how k3d is called: the k3d here is a script that notes it."""

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from xops.core.errors import InputError, PermanentError
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.k3d import K3d, k3d_config

LAPTOP = {
    "apiVersion": "xops/v1",
    "name": "laptop",
    "k3s": {"version": "v1.35.8+k3s1", "disable": ["traefik", "servicelb"]},
    "source": {"kind": "k3d", "servers": 3, "agents": 2, "api_port": 6551},
    "hardening": {"profile": "none"},
}


def laptop(**values: Any) -> Cluster:
    return Cluster.model_validate(LAPTOP | values)


def test_the_whole_configuration() -> None:
    servers = ["server:*"]

    assert k3d_config(laptop()) == {
        "apiVersion": "k3d.io/v1alpha5",
        "kind": "Simple",
        "metadata": {"name": "laptop"},
        "servers": 3,
        "agents": 2,
        "image": "rancher/k3s:v1.35.8-k3s1",
        "subnet": "auto",
        "kubeAPI": {"hostIP": "127.0.0.1", "hostPort": "6551"},
        "options": {
            "k3d": {"wait": True, "timeout": "300s", "disableRollback": False},
            "k3s": {
                "extraArgs": [
                    {"arg": "--disable=traefik", "nodeFilters": servers},
                    {"arg": "--disable=servicelb", "nodeFilters": servers},
                ]
            },
            "kubeconfig": {"updateDefaultKubeconfig": False, "switchCurrentContext": False},
        },
    }


def arguments(cluster: Cluster) -> list[str]:
    return [row["arg"] for row in k3d_config(cluster)["options"]["k3s"]["extraArgs"]]


def test_what_differs_from_k3s_s_defaults_becomes_an_argument() -> None:
    k3s = {
        "version": "v1.35.8+k3s1",
        "config": {"etcd-arg+": ["a=b", "c=d"], "debug": True, "v": 2},
    }
    networks = {"cluster": "10.50.0.0/16", "service": "10.51.0.0/16", "backend": "host-gw"}

    assert arguments(laptop(k3s=k3s, networks=networks)) == [
        "--cluster-cidr=10.50.0.0/16",
        "--service-cidr=10.51.0.0/16",
        "--cluster-dns=10.51.0.10",
        "--flannel-backend=host-gw",
        "--etcd-arg=a=b",
        "--etcd-arg=c=d",
        "--debug=true",
        "--v=2",
    ]


def test_image_archives_are_mounted_into_every_node(tmp_path: Path) -> None:
    volumes = k3d_config(laptop(), tmp_path)["volumes"]

    assert volumes == [
        {
            "volume": f"{tmp_path}:/var/lib/rancher/k3s/agent/images",
            "nodeFilters": ["server:*", "agent:*"],
        }
    ]


def test_mirrors_are_handed_on() -> None:
    mirrors = {"docker.io": {"endpoint": ["http://mirror:5000"]}}
    config = k3d_config(laptop(registries={"mirrors": mirrors}))["registries"]["config"]

    assert yaml.safe_load(config) == {"mirrors": mirrors}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"registries": {"configs": {"m": {}}}}, r"registries\.configs: k3d's configuration would"),
        ({"k3s": LAPTOP["k3s"] | {"config": {"etcd-arg": ["$HOME"]}}}, r"k3s\.config: k3d would"),  # type: ignore[operator]
        (
            {
                "source": {"kind": "given"},
                "hosts": [{"name": "a", "address": "10.0.0.1", "role": "server"}],
            },
            r"source\.kind: is given, not k3d",
        ),
    ],
    ids=str,
)
def test_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        k3d_config(laptop(**values))


@pytest.mark.parametrize("name", ["a$b", "a:b"])
def test_a_path_that_k3d_would_read_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"air_gap\.bundle: k3d reads"):
        k3d_config(laptop(), tmp_path / name)


# Running k3d


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def found(tmp_path: Path, script: str) -> K3d:
    """A k3d that notes its arguments in `calls` and then does as the script says."""
    program(tmp_path, "docker", "exit 1")
    program(tmp_path, "k3d", f'echo "$*" >> {tmp_path}/calls\n{script}')
    return K3d.find({"PATH": f"{tmp_path}:/usr/bin:/bin"})


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines()


@pytest.mark.parametrize("present", [[], ["k3d"], ["docker"]])
def test_without_k3d_or_docker_it_is_said(tmp_path: Path, present: list[str]) -> None:
    for name in present:
        program(tmp_path, name, "exit 0")
    missing = ", ".join(name for name in ("k3d", "docker") if name not in present)

    with pytest.raises(PermanentError, match=f"not on PATH: {missing}") as error:
        K3d.find({"PATH": str(tmp_path)})
    assert "source.kind given" in error.value.remedy


def test_a_new_cluster_is_created_and_its_kubeconfig_kept(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    k3d = found(tmp_path, 'test "$1 $2" = "cluster list" && echo "other  1/1  0/0  true"; exit 0')

    assert k3d.create(laptop(secrets={"folder": secrets}))

    kubeconfig, config = secrets / "kubeconfig", secrets / "k3d.yaml"
    assert calls(tmp_path) == [
        "cluster list --no-headers",
        f"cluster create --config {config}",
        "kubeconfig merge laptop --kubeconfig-switch-context=false"
        f" --output {kubeconfig} --overwrite",
    ]
    assert yaml.safe_load(config.read_text()) == k3d_config(laptop())
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600


def test_a_cluster_that_is_there_is_left_alone(tmp_path: Path) -> None:
    k3d = found(tmp_path, 'test "$1 $2" = "cluster list" && echo "laptop  3/3  2/2  true"; exit 0')

    assert not k3d.create(laptop(secrets={"folder": tmp_path / "secrets"}))

    assert not any(call.startswith("cluster create") for call in calls(tmp_path))


def test_deleting_says_whether_there_was_one(tmp_path: Path) -> None:
    k3d = found(tmp_path, 'test "$1 $2" = "cluster list" && echo "laptop  3/3  2/2  true"; exit 0')

    assert k3d.delete("laptop")
    assert not k3d.delete("other")
    assert calls(tmp_path).count("cluster delete laptop") == 1


def test_a_failure_has_k3d_s_last_words(tmp_path: Path) -> None:
    k3d = found(tmp_path, "echo 'FATA[0000] Cannot connect to the Docker daemon'; exit 1")

    with pytest.raises(PermanentError, match=r"exit code 1: FATA.* Cannot connect"):
        k3d.names()
