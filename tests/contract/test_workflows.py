"""What GitHub runs for us: actions by commit, no right without a reason, no script spliced."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from xops.core.files.settings import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.y*ml"))
FILES = [*WORKFLOWS, *sorted(GITHUB.glob("actions/*/action.y*ml"))]
USES = re.compile(r"^ *(?:- )?uses: *(\S+)(?: +# *(\S+))?.*$", re.MULTILINE)
BY_COMMIT = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
IMAGE = re.compile(r"[\w./-]+(?::[\w.-]+)?@sha256:[0-9a-f]{64}")
RELEASE = GITHUB / "workflows" / "release.yml"


def named(file: Path) -> str:
    return str(file.relative_to(GITHUB))


def read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(file.read_text())
    return document


def jobs(file: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read(file)["jobs"]
    return found


def steps(file: Path) -> Iterator[dict[str, Any]]:
    document = read(file)
    for job in document.get("jobs", {"": document.get("runs")}).values():
        yield from job["steps"]


each_file = pytest.mark.parametrize("file", FILES, ids=named)
each_workflow = pytest.mark.parametrize("file", WORKFLOWS, ids=named)


@each_file
def test_what_others_wrote_is_used_by_its_commit_and_says_its_version(file: Path) -> None:
    text = file.read_text()
    asked = [step["uses"] for step in steps(file) if "uses" in step]
    found = USES.findall(text)
    assert [action for action, _ in found] == asked
    for action, version in found:
        if not action.startswith("./"):
            assert BY_COMMIT.fullmatch(action), action
            assert re.fullmatch(r"v\d+\.\d+\.\d+", version), f"{action}: say the version behind it"


def test_an_action_is_used_at_one_commit() -> None:
    found = {use for file in FILES for use in USES.findall(file.read_text()) if "@" in use[0]}
    commits = dict(use[0].split("@") for use in found)
    assert len(found) == len(commits)


@each_workflow
def test_a_token_may_read_the_code_and_nothing_else_unless_a_job_says_why(file: Path) -> None:
    assert read(file)["permissions"] in ({}, {"contents": "read"})
    given: list[str] = []
    for name, job in jobs(file).items():
        rights: Mapping[str, str] = job.get("permissions", {})
        assert isinstance(rights, dict), f"{name}: {rights}"
        given += [f"{right}: {kind}" for right, kind in rights.items()]
    with_reason = re.findall(r"^ {6}([a-z-]+: (?:read|write)) # \S", file.read_text(), re.MULTILINE)
    assert sorted(given) == sorted(with_reason)


@each_workflow
def test_a_job_ends_and_keeps_no_credentials_in_its_checkout(file: Path) -> None:
    for name, job in jobs(file).items():
        assert job["timeout-minutes"] <= 90, name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


@each_file
def test_nothing_is_spliced_into_a_script(file: Path) -> None:
    """A value comes to a script in the environment, where the shell takes it for no program."""
    for step in steps(file):
        assert "${{" not in step.get("run", ""), step["run"]


@each_file
def test_an_image_that_is_run_is_named_by_its_digest(file: Path) -> None:
    text = file.read_text()
    values = re.findall(r"^ +(?:[A-Z_]+|image|container): *([^\s$]+)$", text, re.MULTILINE)
    references = [value for value in values if "/" in value and re.search("[:@]", value)]
    assert [value for value in references if not IMAGE.fullmatch(value)] == []
    # In a script it stands in a variable, of which that is true or which was built before.
    for asked in re.findall(r"docker (?:pull|run|create) [^|>\n]*", text.replace("\\\n", "")):
        plain = [word for word in asked.split() if re.fullmatch(r"\w[\w./-]*[/:]\w[\w./-]*", word)]
        assert plain == [], asked


def test_who_publishes_runs_nothing_of_the_repository() -> None:
    """The job with the right to publish and to sign takes what others built, and builds nothing."""
    publishing = {
        name: job
        for name, job in jobs(RELEASE).items()
        if {"contents", "id-token", "attestations"}
        & {right for right, kind in job.get("permissions", {}).items() if kind == "write"}
    }
    [job] = publishing.values()
    asked = [step["uses"].split("@")[0] for step in job["steps"] if "uses" in step]
    assert set(asked) == {"actions/download-artifact", "actions/attest"}
    scripts = "\n".join(step.get("run", "") for step in job["steps"])
    assert not re.search(r"\b(make|python|pip|uv|bash|sh|docker (build|run))\b", scripts)
    assert job["environment"] == "release"
    assert set(job["needs"]) == set(jobs(RELEASE)) - set(publishing)


def test_every_part_of_a_release_is_attested_with_what_is_in_it() -> None:
    asked = [step for step in steps(RELEASE) if step.get("uses", "").startswith("actions/attest@")]
    attested = [step["with"] for step in asked]
    subjects = {row.get("subject-path") or row["subject-digest"] for row in attested}
    boms = [row["sbom-path"] for row in attested if "sbom-path" in row]
    assert subjects == {
        "release/*",
        "release/xops-${{ env.VERSION }}.tar.gz",
        *(f"${{{{ steps.index.outputs.{each} }}}}" for each in ("digest", "amd64", "arm64")),
    }
    assert len(boms) == len(set(boms)) == 3
    built = "\n".join(step.get("run", "") for step in steps(RELEASE))
    for bom in boms:
        name = bom.replace("${{ env.VERSION }}", "$VERSION").replace("amd64", "$ARCHITECTURE")
        assert name.replace("arm64", "$ARCHITECTURE") in built, bom
