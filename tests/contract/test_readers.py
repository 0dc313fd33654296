"""Whatever stands in a file or in an answer: it is read, or refused with what is wrong with it.

A target for each reader. Nothing but xOps' own errors may come out of one, no input may take more
than 200 MiB, and none more than a second a megabyte. `make soak` tries many more.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.soak import examples
from xops.core.errors import InputError, XopsError
from xops.core.evidence.log import EvidenceLog, verify_chain
from xops.core.evidence.stores import FolderStore
from xops.core.evidence.waiting import WaitingFolder
from xops.core.files import settings as files
from xops.core.files.secret_sources import SecretSources
from xops.core.files.settings import ROOT
from xops.decision.record import DecisionRecord
from xops.ecs.environment import Environment
from xops.ecs.terraform_events import EventStream
from xops.finops.configuration import CostConfiguration
from xops.finops.report.memory import Memory
from xops.finops.store.cost_explorer.answers import Answers
from xops.finops.store.partitions import read_manifest_file
from xops.github.delivery import project
from xops.github.dispatch import routes
from xops.github.people.aliases import Aliases
from xops.github.policy import GitHubPolicy
from xops.github.records import Store
from xops.k3s.cluster_file.cluster import Cluster
from xops.k3s.release.lock import Lock
from xops.local.services import read_record
from xops.prefect_server.automations import AutomationFile
from xops.triggers import rule_tests
from xops.triggers.evaluation import evaluate
from xops.triggers.facts import Facts
from xops.triggers.measure import mandate_record
from xops.triggers.policy import Policy

DEPLOYMENTS = ROOT / "deployments"
MOST_KIB = 200 << 10
MANDATE = {
    "apiVersion": "xops/v1", "who": "x", "what": "x", "jurisdiction": "AU", "cloud": "azure",
    "evidence": "https://example.com", "effective_from": "2026-01-01", "expires": "2027-01-01",
}  # fmt: skip
RECORD = {
    "id": "x", "kind": "plan", "digest": "x", "recorded_at": "2026-01-01T00:00:00+00:00",
    "sequence": 1, "previous": None, "open": {}, "subject": "s", "opens": False, "closes": [],
    "last_intent": None,
}  # fmt: skip
TOTAL = {"currency": "USD", "rows": 1, "billed": "1.5", "effective": "1.5"}
PARTITION = {
    "export_id": "aws", "month": "2026-05", "address": "s3://x/y", "label": "actual",
    "content": "a", "files": [{"name": "x", "seen_as": "1", "content": "a"}],
    "parts": ["part-0123456789abcdef-0001.parquet"], "totals": [TOTAL],
    "taken_in_at": "2026-05-20T00:00:00Z",
}  # fmt: skip
GROUP = {"keys": ["EC2", "environment$prod"], "currency": "USD", "unblended": "1", "amortized": "1"}
ANSWERS = {"days": {"2026-05-01": {"asked_at": "2026-05-09T00:00:00Z", "groups": [GROUP]}}}
DELIVERY = {
    "action": "opened", "number": 7, "repository": {"full_name": "acme/platform"},
    "sender": {"login": "ann", "type": "User"},
    "ref": "refs/heads/main", "commits": [{"added": ["a"]}],
    "pull_request": {
        "number": 7, "merged": False, "head": {"sha": "a" * 40},
        "base": {"ref": "main", "sha": "b" * 40},
    },
    "comment": {"body": "xops plan"}, "issue": {"number": 7, "pull_request": {"url": "x"}},
    "review": {"id": 1, "state": "approved", "commit_id": "a" * 40},
}  # fmt: skip
SERVICE = {"pid": 2**22 + 1, "created": 1.0, "port": 1}


def _good(file: Path) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)


def _facts(file: Path) -> None:
    facts = Facts.load(file)
    evaluate(Policy.load(environ={}), facts, facts.as_of)


def _policy(file: Path) -> None:
    policy = Policy.load(file, environ={})
    policy.all_components(tuple(policy.components))
    facts = Facts.load(DEPLOYMENTS / "facts.example.json")
    evaluate(policy, facts, facts.as_of)


def _rule_tests(file: Path) -> None:
    rule_tests.run(Policy.load(environ={}), rule_tests.RuleTests.load(file))


def _decision(file: Path) -> None:
    DecisionRecord.load(file).pillar_scores()


def _evidence(file: Path) -> None:
    log = EvidenceLog(FolderStore(file.parent.parent), file.parent.name)
    verify_chain(log)
    for record in log.newest_first():
        assert record.recorded_at.tzinfo
        assert f"{record.id} {record.kind} {record.digest}"
        assert record.sequence >= 0
    log.find_open()


def _waiting(file: Path) -> None:
    store = FolderStore(file.parent / "none")
    log = EvidenceLog(store, "s", (WaitingFolder(file.parent.parent, file.parent.name),))
    list(log.newest_first())
    log.find_open()


def _service(file: Path) -> None:
    read_record(file.parent, file.stem)


def _automation(file: Path) -> None:
    files.load(AutomationFile, file, prefix="", environ={}, arguments={})


def _store(file: Path) -> None:
    class Kept(Store):
        def _file(self, key: str, shown: str) -> Path | None:
            return file

    kept = Kept(file.parent, "https://api.github.com")
    kept.open("a/b")  # reads which repository the name leads to
    kept.open_id("R_1", "a/b")


def _answers(file: Path) -> None:
    Answers(file.parent, file.stem).usable([date(2026, 5, 1)], datetime(2026, 5, 9, tzinfo=UTC))


def _sources(file: Path) -> None:
    with suppress(OSError):
        file.chmod(0o600)
    SecretSources.configured({"XOPS_SECRETS": str(file)})


def _delivery(file: Path) -> None:
    guid, now = "0b989ba4-242f-11e5-81e1-c7b6966d2516", datetime(2026, 5, 9, tzinfo=UTC)
    policy = GitHubPolicy.load(environ={})
    for event in ("pull_request", "pull_request_review", "issue_comment"):
        routes.wanted(policy, project(event, guid, 1, file.read_bytes(), now))


def _terraform(file: Path) -> None:
    stream = EventStream(lambda step: None)
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        stream.feed(line)


@dataclass(frozen=True, repr=False)
class Reader:
    """What reads, the name of the file that it reads, and the values of one that is right."""

    name: str
    read: Callable[[Path], object]
    file: str
    good: Mapping[str, Any]
    as_json: bool = False

    def __repr__(self) -> str:
        return self.name

    def write(self, folder: Path, body: bytes) -> Path:
        file = folder / self.name.replace(" ", "-") / self.file
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(body)
        return file

    def dump(self, values: Any) -> bytes:
        if self.as_json:
            return json.dumps(values, default=str).encode("utf-8", "surrogatepass")
        return yaml.dump(values, Dumper=yaml.CSafeDumper, sort_keys=False).encode()


READERS = (
    Reader(
        "environment",
        lambda file: Environment.load(file.stem, folder=file.parent, environ={}),
        "prod.yaml",
        _good(DEPLOYMENTS / "environments" / "prod.yaml"),
    ),
    Reader(
        "cluster",
        lambda file: Cluster.load(file, environ={}),
        "onprem.yaml",
        _good(DEPLOYMENTS / "clusters" / "onprem.yaml"),
    ),
    Reader("facts", _facts, "facts.json", _good(DEPLOYMENTS / "facts.example.json"), as_json=True),
    Reader("facts in YAML", _facts, "facts.yaml", _good(DEPLOYMENTS / "facts.example.json")),
    Reader("policy", _policy, "triggers.yaml", _good(DEPLOYMENTS / "triggers.yaml")),
    Reader(
        "GitHub file",
        lambda file: GitHubPolicy.load(file, environ={}),
        "github.yaml",
        {**_good(DEPLOYMENTS / "github.yaml"), "repositories": ["acme/*"]},
    ),
    Reader("a delivery", _delivery, "delivery.json", DELIVERY, as_json=True),
    Reader("mandates", mandate_record.read_record, "azure.yaml", MANDATE),
    Reader("rule tests", _rule_tests, "x.yaml", _good(DEPLOYMENTS / "triggers.test.yaml")),
    Reader(
        "decision record",
        _decision,
        "record.yaml",
        _good(ROOT / "docs" / "adr" / "0005-hybrid-platform.yaml"),
    ),
    Reader("K3S lock", Lock.load, "lock.yaml", _good(DEPLOYMENTS / "clusters" / "k3s.lock.yaml")),
    Reader(
        "aliases",
        Aliases.load,
        "aliases.yaml",
        {"apiVersion": "xops/v1", "people": [{"name": "A", "logins": ["a"], "emails": ["a@b.c"]}]},
    ),
    Reader("automations", _automation, "x.yaml", _good(DEPLOYMENTS / "automations" / "drift.yaml")),
    Reader("evidence", _evidence, "00000001.json", RECORD, as_json=True),
    Reader("evidence that waits", _waiting, "x.json", RECORD, as_json=True),
    Reader("service records", _service, "prefect.json", SERVICE, as_json=True),
    Reader("GitHub's records", _store, "x.json", {"version": 1, "name": "a/b"}, as_json=True),
    Reader(
        "costs",
        lambda file: CostConfiguration.load(file, {}),
        "costs.yaml",
        {
            **_good(DEPLOYMENTS / "costs.yaml"),
            "exports": [{"name": "aws", "location": "s3://costs/exports/focus"}],
        },
    ),
    Reader(
        "a month of the store of costs",
        read_manifest_file,
        "manifest.json",
        {"version": 1, "month": "2026-05", "partitions": [PARTITION]},
        as_json=True,
    ),
    Reader(
        "what was reported",
        Memory.load,
        "reported.json",
        {"said": [{"month": "2026-05", "billed": "1.5", "currency": "USD", "on": "2026-06-03"}]},
        as_json=True,
    ),
    Reader("answers of Cost Explorer", _answers, "usage.json", ANSWERS, as_json=True),
    Reader(
        "secret sources", _sources, "secrets.yaml", {"sources": [{"variable": "A", "hosts": ["b"]}]}
    ),
    Reader(
        "Terraform's events",
        _terraform,
        "x.json",
        {
            "type": "diagnostic",
            "diagnostic": {"severity": "error", "summary": "x", "snippet": {"context": "y"}},
            "hook": {"action": "create", "resource": {"addr": "x"}},
            "changes": {"operation": "plan", "add": 1, "change": 0, "remove": 0},
        },
        as_json=True,
    ),
)
each_reader = pytest.mark.parametrize("reader", READERS, ids=str)
OF_ONE_FILE = [
    reader for reader in READERS if reader.read not in (_delivery, _evidence, _terraform)
]
"""A store lists its files itself, Terraform's output comes through a pipe, a delivery by HTTP."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as made:
        yield Path(made)


def attempt(reader: Reader, folder: Path, body: bytes) -> XopsError | None:
    """Read it; the error by which it was refused. Anything else that comes out fails the test."""
    try:
        reader.read(reader.write(folder, body))
    except XopsError as error:
        found = error
    else:
        return None
    assert str(found)
    assert json.dumps(found.to_json())
    return found


@each_reader
def test_a_file_that_is_right_is_read(reader: Reader, folder: Path) -> None:
    assert attempt(reader, folder, reader.dump(reader.good)) is None


# Anything


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.dates(),
    st.sampled_from(
        [
            "", " ", "~nosuchuser/x", "\x00", "\ud800", "1x400000000", "9" * 5000, "1e-999999",
            "0001-01-01", "9999-12-31", "9999-12-31T23:59:59-12:00", "../../../etc/passwd", "-0",
            "a" * 10_000, "/dev/zero", "://@", "[", "*a", "NaN", "Infinity", "xops/v1", "\u202e",
            "x.y" * 3000, [], {}, [[]], [{}], [None],
            2**63, -(2**63), 10**39, 1e308, -1, date(1, 1, 1), date(9999, 12, 31),
            datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, tzinfo=UTC),
        ]
    ),
)  # fmt: skip


def _values(keys: list[str]) -> st.SearchStrategy[Any]:
    key = st.one_of(st.sampled_from(keys), st.text(max_size=8))
    return st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(key, inner, max_size=6)
        ),
        max_leaves=20,
    )


def _keys(values: Any) -> Iterator[str]:
    if isinstance(values, Mapping):
        for key, inner in values.items():
            yield str(key)
            yield from _keys(inner)
    elif isinstance(values, list):
        for inner in values:
            yield from _keys(inner)


def _places(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    inner = dict(enumerate(values)) if isinstance(values, list) else values
    if isinstance(inner, Mapping):
        for key, value in inner.items():
            yield from _places(value, (*path, key))


def changed(values: Any, path: tuple[Any, ...], to: Any) -> Any:
    """The same values with another at that place."""
    made = deepcopy(values)
    inner = made
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = to
    return made


def _dumped(reader: Reader, values: Any) -> bytes:
    try:
        return reader.dump(values)
    except (ValueError, yaml.YAMLError):  # what cannot be written
        return b""


fuzzed = settings(
    examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@each_reader
@fuzzed
@given(body=st.binary(max_size=300))
def test_any_bytes(reader: Reader, folder: Path, body: bytes) -> None:
    attempt(reader, folder, body)


@each_reader
@fuzzed
@given(data=st.data())
def test_any_structure_of_known_keys(reader: Reader, folder: Path, data: st.DataObject) -> None:
    keys = sorted(set(_keys(reader.good)))
    values = data.draw(st.dictionaries(st.sampled_from(keys), _values(keys), max_size=8))
    attempt(reader, folder, _dumped(reader, values))


@each_reader
@fuzzed
@given(data=st.data())
def test_a_right_file_with_something_else_at_places(
    reader: Reader, folder: Path, data: st.DataObject
) -> None:
    values: Any = deepcopy(dict(reader.good))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(sorted(_places(values), key=str)))
        values = changed(values, path, data.draw(_values(sorted(set(_keys(reader.good))))))
    attempt(reader, folder, _dumped(reader, values))


@each_reader
@fuzzed
@given(at=st.floats(0, 1), length=st.integers(0, 40), new=st.binary(max_size=12))
def test_a_right_file_that_is_damaged(
    reader: Reader, folder: Path, at: float, length: int, new: bytes
) -> None:
    body = reader.dump(reader.good)
    place = int(at * len(body))
    attempt(reader, folder, body[:place] + new + body[place + length :])


# What is found is not shown where it may be a secret.


@each_reader
def test_a_secret_written_in_place_of_its_reference_is_not_shown(
    reader: Reader, folder: Path
) -> None:
    telling = ("password", "secret", "token", "credential", "access_key", "config_secret")
    for path in _places(reader.good):
        if any(word in str(part).lower() for part in path for word in telling):
            for wrong in ("canary of hunter2", ["canary"], {"canary": "canary"}, [["canary"]]):
                error = attempt(reader, folder, reader.dump(changed(reader.good, path, wrong)))
                assert "canary" not in str(error), path


OTHER_FILES: dict[str, str | bytes] = {
    "passwd and shadow": "canary:$6$canary:19000:0:99999:7:::\ncanary2:*:19000:0:99999:7:::\n",
    "netrc": "machine canary login canary password canary\n",
    "a private key": "-----BEGIN CANARY-----\ncanary\n-----END CANARY-----\n",
    "dotenv": "CANARY=canary\n",
    "ini": "[canary]\naws_secret_access_key = canary\n",
    "git's credentials": "https://canary:canary@example.com\n",
    "one word": "canary",
    "a mapping": "canary: canary\n",
    "a mapping of mappings": "canary: {canary: [canary]}\n",
    "a list": "- canary\n",
    "a tag": "!canary {canary: canary}\n",
    "an alias": "*canary\n",
    "JSON": '{"canary": "canary", "canary": "canary"}',
    "damaged JSON": '{"canary": "canary',
    "a tab": "canary:\n\tcanary: canary\n",
    "an escape": '"\\canary"\n',
    "latin-1": b"canary: \xe9 canary\n",
}


@each_reader
@pytest.mark.parametrize("kind", OTHER_FILES)
def test_nothing_of_a_file_of_another_kind_is_shown(
    reader: Reader, folder: Path, kind: str
) -> None:
    content = OTHER_FILES[kind]
    body = content if isinstance(content, bytes) else content.encode()
    error = attempt(reader, folder, body)
    assert "canary" not in str(error).lower()
    assert error is None or "canary" not in json.dumps(error.to_json()).lower()


# Bombs


def bombs() -> dict[str, bytes]:
    """Few bytes that stand for many, or for much work."""
    letters = "abcdefgh"
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in pairwise(letters)
    )
    merged = "a: &a {k: 1}\n" + "".join(
        f"{name}: &{name} {{<<: [{','.join([f'*{before}'] * 9)}]}}\n"
        for before, name in pairwise(letters)
    )
    long = "a: &a '" + "x" * 500_000 + "'\nb: [" + "*a," * 40_000 + "]\n"
    return {
        "a billion laughs": laughs.encode(),
        "merged": merged.encode(),
        "a long text again and again": long.encode(),
        "itself": b"a: &a [*a]\n",
        "itself, merged": b"a: &a {<<: *a}\n",
        "brackets": b"[" * 1_000_000,
        "braces": b'{"a":' * 200_000,
        "dashes": b"- " * 500_000,
        "questions": b"? " * 500_000,
        "keys of lists": b"? [" * 300_000,
        "digits": b"a: " + b"9" * 1_000_000,
        "digits in JSON": b'{"a": ' + b"9" * 1_000_000 + b"}",
        "hexadecimal": b"a: 0x" + b"f" * 1_000_000,
        "minutes": b"a: 1" + b":59" * 300_000,
        "many keys": b"".join(b"k%d: 1\n" % n for n in range(90_000)),
        "many values in JSON": b'{"weeks": [' + b"[]," * 900_000 + b"[]]}",
        "many wrong values": b"cases: [" + b"1," * 500_000 + b"]",
        "documents": b"---\n" * 250_000,
        "anchors": b"".join(b"- &a%d x\n" % n for n in range(80_000)),
        "comments": b"#\n" * 500_000,
        "escapes": b'a: "' + b"\\x41" * 250_000 + b'"',
        "one line": b"a" * 1_000_000,
        "spaces": b"a:" + b" " * 1_000_000 + b"b",
        "lines": b"\n" * 1_000_000,
        "large": b"a: " + b"x" * (80 << 20),
        "repeated weeks": b"apiVersion: xops/v1\ncases: [{name: a, trigger: iac_prs,"
        b" values: 1x400000000, states: active x400000000}]\n",
    }


def _used_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def explode() -> None:
    """Read every bomb by every reader, and print what each took."""
    with TemporaryDirectory() as made:
        for reader in READERS:
            attempt(reader, Path(made), reader.dump(reader.good))
        exploding = bombs()
        idle = _used_kib()
        for name, body in exploding.items():
            for reader in READERS:
                if reader.read is _terraform and len(body) > 2 << 20:
                    continue  # lines of a program are cut where they are read
                before = time.process_time()
                error = attempt(reader, Path(made), body)
                taken = time.process_time() - before
                row = [name, reader.name, round(taken, 3), len(body), type(error).__name__]
                sys.stdout.write(json.dumps([*row, _used_kib() - idle]) + "\n")


@pytest.mark.timeout(300)
def test_a_bomb_is_refused_at_little_cost() -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.contract.test_readers"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row[0] for row in rows} == set(bombs())
    slow = [row for row in rows if row[2] > 1 + 2 * row[3] / (1 << 20)]
    large = next((row for row in rows if row[5] > MOST_KIB), None)
    assert not slow
    assert large is None


# What is no file


@pytest.mark.parametrize(
    "kind", ["a pipe", "a folder", "/dev/zero", "/dev/tty", "a link in a circle"]
)
@pytest.mark.parametrize("reader", OF_ONE_FILE, ids=str)
def test_what_is_no_file_is_neither_waited_for_nor_read(
    reader: Reader, folder: Path, kind: str
) -> None:
    file = reader.write(folder, b"")
    file.unlink()
    try:
        if kind == "a pipe":
            os.mkfifo(file)
        elif kind == "a folder":
            file.mkdir()
        else:
            file.symlink_to(file if kind == "a link in a circle" else kind)
        with suppress(XopsError):
            reader.read(file)
    finally:
        file.rmdir() if kind == "a folder" else file.unlink()


def test_a_wrong_kind_is_told_from_a_wrong_value() -> None:
    with pytest.raises(InputError, match="none of its keys"):
        rule_tests.RuleTests.load(DEPLOYMENTS / "automations" / "drift.yaml")


if __name__ == "__main__":
    explode()
