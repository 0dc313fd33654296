"""What is relied upon of K3S, held against the source of the releases that are locked.

`source_facts.json` is made by scripts/k3s_source_facts.py from K3S's own repository.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from scripts import k3s_source_facts
from tests.k3s_hosts import all_bare, bare, cluster
from xops.k3s import k3s_keys
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.cluster_file.sections import _OWN_KEYS
from xops.k3s.node import config, effects
from xops.k3s.release import behaviour
from xops.k3s.release.lock import Lock
from xops.k3s.release.source_facts import SourceFacts, source_facts
from xops.k3s.state import topology
from xops.k3s.state.diagnosis import PATTERNS
from xops.k3s.state.network_facts import Route

RELEASES = source_facts()

# What others print within K3S's process or about it: no text of k3s-io/k3s.
OTHERS = {
    "the Go runtime and its packages": {
        "port-in-use", "clock-skew", "certificate-name", "host-unreachable", "name-unknown",
        "server-refuses", "no-programs", "inotify",
    },
    "the kernel and systemd": {"wrong-architecture", "disk-full", "out-of-memory"},
    "etcd": {"etcd-quota", "cluster-id-mismatch", "too-many-learners", "no-quorum", "slow-disk"},
    "kubernetes": {
        "label-refused", "kernel-defaults", "encryption-rejected", "images-missing", "cgroup-v1",
        "networks-changed",
    },
    "flannel": {"wireguard-missing", "no-default-route"},
    # Two values within the text that member-removed finds.
    "k3s, in values": {"member-address"},
}  # fmt: skip

OTHER_EXPRESSIONS = {
    "flag provided but not defined": "urfave/cli and Go's flag",
    "unknown flag": "spf13/pflag, in kubernetes' components",
    "401 Unauthorized": "Go's net/http, after K3S's own address",
    "permanently removed from the cluster": "etcd",
    "can only promote a learner": "etcd",
    "prober detected unhealthy status": "etcd",
}
"""By a part of the expression."""

OLDER = {"Waiting for etcd server to become available": "gone since v1.33 (529e748ac)"}
"""What supported releases print that are older than the locked ones."""


def of_k3s() -> list[str]:
    """The expressions that are to find a text of K3S's own."""
    foreign = {code for codes in OTHERS.values() for code in codes}
    apart = (*OTHER_EXPRESSIONS, *OLDER)
    return [
        text
        for pattern in PATTERNS
        for text in pattern.expressions
        if pattern.code not in foreign and not any(part in text for part in apart)
    ]


def test_every_locked_release_was_looked_at() -> None:
    """Else: `K3S_SOURCE=DIR python scripts/k3s_source_facts.py`, as CONTRIBUTING.md says."""
    assert sorted(RELEASES) == sorted(Lock.load().versions)


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize("expression", of_k3s())
def test_a_pattern_finds_a_text_of_the_locked_release(version: str, expression: str) -> None:
    assert expression in RELEASES[version].texts
    assert RELEASES[version].texts[expression].file.startswith("pkg/")


@pytest.mark.parametrize("version", RELEASES)
def test_what_is_said_to_be_another_s_is_not_k3s_s(version: str) -> None:
    """Else it would not be noticed when K3S changes it."""
    ours = set(of_k3s())
    codes = {text: pattern.code for pattern in PATTERNS for text in pattern.expressions}
    found = {codes[text] for text in RELEASES[version].texts if text not in ours}

    assert found <= {"no-programs", "inotify"}, found
    assert not any(old in text for text in RELEASES[version].texts for old in OLDER)


def test_the_tables_name_patterns_that_there_are() -> None:
    codes = {pattern.code for pattern in PATTERNS}
    texts = [text for pattern in PATTERNS for text in pattern.expressions]

    assert {code for row in OTHERS.values() for code in row} <= codes
    for part in (*OTHER_EXPRESSIONS, *OLDER):
        assert any(part in text for text in texts), part


WHOLE: dict[str, Any] = {
    "endpoint": {"kind": "vip", "address": "10.0.0.10"},
    "registries": {
        "mirrors": {"*": {"endpoint": ["https://mirror"]}},
        "embedded": True,
        "system_default": "mirror.example.com",
    },
    "sites": {"north": {"labels": {"a": "b"}, "taints": ["a=b:NoSchedule"], "low_memory": True}},
    "networks": {"backend": "wireguard-native"},
}


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize("s3", [{"folder": "a"}, {"config_secret": "a"}])
def test_every_key_that_is_written_is_one_of_the_locked_release(
    version: str, s3: dict[str, str]
) -> None:
    of = cluster(
        3,
        agents=1,
        k3s={"version": version, "disable": ["traefik"]},
        snapshots={"s3": {"bucket": "kept", **s3}},
        **WHOLE,
    )
    for host in of.hosts:
        seen = all_bare(of)
        interfaces = {host.internal_address: "eth1"}
        seen[host.name] = bare(host, interfaces=interfaces, routes=(Route("0.0.0.0/0", "eth0"),))
        written = config.config(of, host, seen[host.name], topology.read(of, seen))

        assert set(written) <= RELEASES[version].keys


@pytest.mark.parametrize("version", RELEASES)
def test_the_table_of_keys_names_none_that_the_release_has_not(version: str) -> None:
    """What is refused as misspelt, and what a change of it does, both go by that table."""
    known = {key for key in k3s_keys.KEYS if effects.is_known(key, version)}

    assert len(known) > 100
    assert known <= RELEASES[version].keys


@pytest.mark.parametrize("version", RELEASES)
def test_keys_that_are_xops_own_are_keys(version: str) -> None:
    assert RELEASES[version].keys >= _OWN_KEYS


@pytest.mark.parametrize("version", RELEASES)
def test_the_retention_of_a_bucket_is_a_key_where_it_is_said_to_be(version: str) -> None:
    has_key = "etcd-s3-retention" in RELEASES[version].keys

    assert has_key is behaviour.separates_s3_retention(version)


def test_facts_that_are_none_are_refused() -> None:
    with pytest.raises(ValidationError):
        SourceFacts.model_validate(
            {"commit": "x", "is_release": True, "texts": {}, "settings": {}, "code": "func"}
        )


# The script, on a repository of its own

ETCD = """package etcd
var a = "this server is not a member of the etcd cluster. Found %v, expect: %s"
func d() error { return fmt.Errorf("failed to find %s cgroup (v2)", name) }
"""
SIGNALS = 'package signals\nvar a = logrus.Errorf("Shutdown request received: %q", err)\n'
SERVER = """package cmds
var ServerFlags = []cli.Flag{
	&cli.StringFlag{Name: "cluster-cidr", Usage: "x"},
	&cli.StringFlag{Name: "etcd-s3-retention", Aliases: []string{"s3-retention", "r"}},
}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with a tag, made as K3S's own is laid out."""
    for name, text in {
        "pkg/etcd/etcd.go": ETCD,
        "pkg/etcd/etcd_test.go": 'package etcd\nvar x = "duplicate node name found"\n',
        "pkg/signals/signals.go": SIGNALS,
        "pkg/cli/cmds/server.go": SERVER,
    }.items():
        file = tmp_path / "source" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    git = ["git", "-C", str(tmp_path / "source"), "-c", "user.name=a", "-c", "user.email=a@b"]
    tag = ["tag", "v1.99.0+k3s1"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"], tag):
        subprocess.run([*git, *arguments], check=True)
    return tmp_path / "source"


def test_texts_and_settings_are_found_in_a_source(repository: Path) -> None:
    found = SourceFacts.model_validate(
        k3s_source_facts.facts(str(repository), "v1.99.0+k3s1", None)
    )
    texts = {row.text: row.file for row in found.texts.values()}

    assert found.is_release
    assert len(found.commit) == 40
    assert found.keys == {"cluster-cidr", "etcd-s3-retention", "s3-retention"}
    assert texts == {
        "this server is not a member of the etcd cluster. Found %v, expect: %s": "pkg/etcd/etcd.go",
        "failed to find %s cgroup (v2)": "pkg/etcd/etcd.go",
        "Shutdown request received: %q": "pkg/signals/signals.go",
    }


def test_what_is_known_of_a_release_stays_where_a_source_lacks_it(repository: Path) -> None:
    known = {"commit": "a" * 40}

    assert k3s_source_facts.read(str(repository), "v1.98.0+k3s1", None, known) == known
    for revision, before in ((None, None), ("b" * 40, known)):
        with pytest.raises(SystemExit, match=r"name a commit, v1\.98\.0\+k3s1=COMMIT"):
            k3s_source_facts.read(str(repository), "v1.98.0+k3s1", revision, before)


def test_without_a_source_the_script_says_what_it_wants() -> None:
    script = Path(k3s_source_facts.__file__)
    ran = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env={"PATH": ""}
    )

    assert ran.returncode == 1
    assert "K3S_SOURCE is not set" in ran.stderr


def test_a_cluster_in_the_examples_has_facts() -> None:
    for name in ("onprem", "edge"):
        assert Cluster.load(name, environ={}).k3s.version in RELEASES
