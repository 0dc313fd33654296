"""Write which log texts and settings each locked K3S release has, from K3S's own source.

`K3S_SOURCE=DIR python scripts/k3s_source_facts.py` reads the git repository DIR (k3s-io/k3s) at the
tag of every locked release. Where a clone lacks a tag, `v1.36.4+k3s1=COMMIT` names a commit of the
release's line in its place; what was written before of a release that it lacks stays. The outcome
is held against diagnosis and configuration by tests/contract/k3s/test_source_facts.py; no code is
copied.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xops.k3s.release import source_facts
from xops.k3s.release.lock import Lock
from xops.k3s.state.diagnosis import PATTERNS

FILE = Path(source_facts.__file__).with_name(source_facts.FILE)
SETTINGS = tuple(f"pkg/cli/cmds/{name}.go" for name in ("agent", "config", "log", "root", "server"))
# What stands for a value in a text: one of these, so that an expression that wants a flag, an
# address or another error's words finds them.
VALUES = (
    "x", "--flag", "memory", "cpuset", "s1-00000001=https://10.0.0.1:2380", "kubelet exited: why",
    "10.0.0.1:2380", "5",
)  # fmt: skip

_LITERAL = re.compile(r'"((?:[^"\\\n]|\\.){8,400})"')
_VERB = re.compile(r"%[+#]?[sdvqw]")
_NAME = re.compile(r'\bName:\s+"([a-z0-9-]+)(?:,[^"]*)?"')
_ALIASES = re.compile(r"\bAliases:\s+\[\]string\{([^}]*)\}")


def main(named: list[str]) -> None:
    """Write the file; `named` are releases with the commit that is read for them."""
    folder = os.environ.get("K3S_SOURCE")
    if not folder:
        sys.exit("K3S_SOURCE is not set: name a git repository of k3s-io/k3s")
    revisions = dict(row.split("=", 1) for row in named)
    known = json.loads(FILE.read_text())["releases"]
    releases = {
        version: read(folder, version, revisions.get(version), known.get(version))
        for version in Lock.load().versions
    }
    FILE.write_text(json.dumps({"releases": releases}, indent=2, sort_keys=True) + "\n")


def read(
    folder: str, version: str, revision: str | None, known: dict[str, Any] | None
) -> dict[str, Any]:
    """The facts of a release; those of before where this repository does not have it."""
    try:
        return facts(folder, version, revision)
    except subprocess.CalledProcessError:
        if revision or known is None:
            sys.exit(f"{folder} has no {revision or version}: name a commit, {version}=COMMIT")
        return known


def facts(folder: str, version: str, revision: str | None) -> dict[str, Any]:
    """What the source of one release says."""
    commit = _git(folder, "rev-parse", f"{revision or version}^{{commit}}").decode().strip()
    files = dict(_sources(folder, commit))
    return {
        "commit": commit,
        "is_release": revision is None,
        "texts": _texts(files),
        "settings": {name: _keys(files[name]) for name in SETTINGS if _keys(files.get(name, ""))},
    }


def _git(folder: str, *arguments: str) -> bytes:
    command = ["git", "-C", folder, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def _sources(folder: str, commit: str) -> Iterator[tuple[str, str]]:
    """Every Go file of the program, in the order of its name."""
    archive = _git(folder, "archive", commit, "pkg")
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        for member in sorted(packed.getmembers(), key=lambda member: member.name):
            content = packed.extractfile(member) if member.isfile() else None
            if content and member.name.endswith(".go") and not member.name.endswith("_test.go"):
                yield member.name, content.read().decode()


def _texts(files: Mapping[str, str]) -> dict[str, dict[str, str]]:
    expressions = [text for pattern in PATTERNS for text in pattern.expressions]
    found: dict[str, dict[str, str]] = {}
    for file, source in files.items():
        for literal in _LITERAL.findall(source):
            for expression in expressions:
                if expression not in found and any(
                    re.search(expression, shown) for shown in rendered(literal)
                ):
                    found[expression] = {"text": literal, "file": file}
    return found


def rendered(literal: str) -> Iterator[str]:
    """A text as it is printed, with each of the values in turn."""
    plain = literal.replace('\\"', '"')
    for value in VALUES if _VERB.search(plain) else ("",):
        quoted = f'\\"{value}\\"'  # as logrus prints a quoted value within its own quotes
        yield _VERB.sub(lambda found: quoted if found[0] == "%q" else value, plain)  # noqa: B023


def _keys(source: str) -> list[str]:
    names = _NAME.findall(source)
    for aliases in _ALIASES.findall(source):
        names += re.findall(r'"([a-z0-9-]{2,})"', aliases)
    return sorted(set(names))


if __name__ == "__main__":
    main(sys.argv[1:])
