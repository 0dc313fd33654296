"""The map against the code: the documents name every package, deployment, event and artifact."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from xops.core.files.settings import ROOT
from xops.core.lifecycle.steps import OutcomeStatus

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
EVENTS = (ROOT / "docs" / "reference" / "events-and-artifacts.md").read_text()
INDEX = (ROOT / "docs" / "index.md").read_text()
SOURCES = [file for top in ("flows", "blocks", "xops") for file in (ROOT / top).rglob("*.py")]

EVENT = re.compile(r"xops\.((costs|ecs|k3s|trigger)\.[a-z_]+|github\.deliver(y|ies)_[a-z]+)")
STREAMS = ("ecs", "k3s")
ARTIFACT_MAKERS = re.compile(r"create_(markdown|table|image|progress|link)_artifact")
SHOWN = re.compile(r"show_(markdown|table|png)")
"""The same by way of flows/progress.py, with the key first."""


def packages() -> list[str]:
    folders = {file.parent.relative_to(ROOT) for file in SOURCES}
    return sorted(".".join(folder.parts) for folder in folders if str(folder) != "xops")


def deployments() -> list[str]:
    rows = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    return [f"{flow_name(row['entrypoint'])}/{row['name']}" for row in rows]


def flow_name(entrypoint: str) -> str:
    return Path(entrypoint.partition(":")[0]).stem.replace("_", "-")


def calls(pattern: re.Pattern[str]) -> Iterator[ast.Call]:
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and pattern.fullmatch(ast.unparse(node.func)):
                yield node


def events() -> set[str]:
    """Names that stand whole in the code, and those that a subject's outcome makes."""
    texts = (
        node.value
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    whole = {text for text in texts if EVENT.fullmatch(text) and not is_module(text)}
    return whole | {f"xops.{stream}.{what}" for stream in STREAMS for what in OutcomeStatus}


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


def emitted() -> set[str]:
    """The literal second arguments of `emit`."""
    literals = (call.args[1] for call in calls(re.compile(r"emit")))
    return {str(node.value) for node in literals if isinstance(node, ast.Constant)}


def artifact_keys() -> set[str]:
    """Keys as patterns: what is filled in matches a placeholder such as <environment>."""
    found = set()
    for call in calls(ARTIFACT_MAKERS):
        key = next(word.value for word in call.keywords if word.arg == "key")
        if not (isinstance(key, ast.Name) and key.id == "key"):
            found.add(pattern_of(key))
    return found | {pattern_of(call.args[0]) for call in calls(SHOWN)}


def pattern_of(key: ast.expr) -> str:
    if isinstance(key, ast.Constant):
        return re.escape(str(key.value))
    if isinstance(key, ast.JoinedStr):
        parts = (v.value if isinstance(v, ast.Constant) else None for v in key.values)
        return "".join("[a-z0-9<>-]+" if part is None else re.escape(str(part)) for part in parts)
    return "[a-z]+-[a-z0-9]+-<[a-z]+>"  # a variable, made of a subject


@pytest.mark.parametrize("package", packages())
def test_every_package_is_on_the_map(package: str) -> None:
    assert f"| `{package}` |" in ARCHITECTURE


def test_the_map_names_no_package_that_is_gone() -> None:
    named = set(re.findall(r"^\| `((?:xops|flows|blocks)[\w.]*)` \|", ARCHITECTURE, re.MULTILINE))
    assert named == set(packages())


@pytest.mark.parametrize("deployment", deployments())
def test_every_deployment_is_on_the_map(deployment: str) -> None:
    assert f"| `{deployment}` |" in ARCHITECTURE


@pytest.mark.parametrize("event", sorted(events()))
def test_every_event_is_described(event: str) -> None:
    assert f"| `{event}` |" in EVENTS


def test_every_word_that_is_emitted_makes_a_described_event() -> None:
    assert emitted() >= {"planned", "drifted"}
    for what in emitted():
        assert re.search(rf"\| `xops\.(ecs|k3s)\.{what}` \|", EVENTS), what


def test_no_event_is_described_that_nothing_emits() -> None:
    described = set(re.findall(r"^\| `(xops\.[a-z0-9]+\.[a-z_]+)` \|", EVENTS, re.MULTILINE))
    known = events() | {f"xops.{stream}.{what}" for stream in STREAMS for what in emitted()}
    assert described <= known


@pytest.mark.parametrize("key", sorted(artifact_keys()))
def test_every_artifact_is_described(key: str) -> None:
    assert re.search(rf"^\| `{key}` \|", EVENTS, re.MULTILINE)


@pytest.mark.parametrize("folder", ["how-to", "runbooks", "reference"])
def test_every_page_is_reached_from_the_index(folder: str) -> None:
    pages = {f"{folder}/{page.name}" for page in (ROOT / "docs" / folder).glob("*.md")}
    assert pages - set(re.findall(r"\]\(([^)#]+)", INDEX)) == set()
