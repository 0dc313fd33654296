"""The documents against the code: generated pages, commands, quoted remedies, links, ADR-005."""

import ast
import functools
import re
import runpy
import shlex
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from xops import cli
from xops.core.errors import ExitCode
from xops.core.files.settings import ROOT
from xops.github.pull_request.commands import Verb

DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    ROOT / "terraform" / "README.md",
    *sorted(DOCS.rglob("*.md")),
]
REFERENCE = runpy.run_path(str(ROOT / "scripts" / "reference.py"))
ADR_005: dict[str, Any] = yaml.safe_load((DOCS / "adr" / "0005-hybrid-platform.yaml").read_text())

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:xops|make) [^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
VARIABLE = re.compile(r"[A-Z_]+=\S+ +")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=named)


@pytest.mark.parametrize("name", REFERENCE["pages"]())
def test_generated_pages_are_up_to_date(name: str) -> None:
    committed = (DOCS / "reference" / name).read_text()
    assert committed == REFERENCE["pages"]()[name], "run scripts/reference.py"


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "reference" / "cli.md"], ids=named)
def test_the_exit_codes_are_those_of_the_code(page: Path) -> None:
    table = page.read_text().partition("| exit code | means |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", table, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == {
        int(code): code.meaning for code in ExitCode
    }


@every_page
def test_a_page_names_no_other_exit_code(page: Path) -> None:
    named_codes = re.findall(
        r"exit codes? (?:is |of \w+ is )?(\d+)", page.read_text(), re.IGNORECASE
    )
    known = {int(code) for code in ExitCode}
    assert {int(code) for code in named_codes} <= known


def commands(text: str) -> Iterator[str]:
    """Every `xops` and `make` command line, in code blocks and in the running text."""
    lines = [line for _, block in FENCE.findall(text) for line in block.splitlines()]
    for line in lines:
        bare = VARIABLE.sub("", line.strip().removeprefix(".venv/bin/"))
        if bare.startswith(("xops ", "make ")):
            yield bare.partition("#")[0]
    yield from INLINE.findall(FENCE.sub("", text))


@every_page
def test_every_command_exists(page: Path) -> None:
    for command in commands(page.read_text()):
        program, *words = shlex.split(re.sub(r"[\[\]]", " ", command))
        problem = {"xops": wrong_xops, "make": wrong_make}[program](words)
        assert not problem, f"{named(page)}: {command!r}: {problem}"


def wrong_xops(words: list[str]) -> str:
    if words[0] in tuple(Verb) and len(words) <= 2 and not words[-1].startswith("-"):
        return ""  # what people write on a pull request
    command: Any = typer.main.get_command(cli.app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    if getattr(command, "commands", None) and words[:1] not in (["--help"], ["--version"]):
        return f"there is no such command: {words}"
    known = {opt for param in command.params for opt in param.opts} | {"--help"}
    unknown = [word for word in words if word.startswith("-") and word not in known]
    return f"unknown options: {unknown}" if unknown else ""


def wrong_make(words: list[str]) -> str:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    unknown = [word for word in words if "=" not in word and word not in targets]
    return f"unknown targets: {unknown}" if unknown else ""


@pytest.mark.parametrize("words", [["ecs", "paln"], ["ecs", "plan", "--enviroment"], ["ecs"]])
def test_a_wrong_command_would_be_noticed(words: list[str]) -> None:
    assert wrong_xops(words)


@functools.cache
def known_texts() -> list[re.Pattern[str]]:
    """Every text of the library; what is filled in matches anything."""
    return [re.compile(text) for text in texts()]


def texts() -> Iterator[str]:
    for file in (ROOT / "xops").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.escape(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [v.value if isinstance(v, ast.Constant) else None for v in node.values]
                if sum(len(str(part)) for part in parts if part) > 20:
                    yield "".join(".*" if part is None else re.escape(str(part)) for part in parts)


@every_page
def test_quoted_remedies_are_those_of_the_code(page: Path) -> None:
    blocks = "\n".join(block for _, block in FENCE.findall(page.read_text()))
    for quoted in re.findall(r"^\s*-> (.+)$", blocks, re.MULTILINE):
        assert any(text.fullmatch(quoted) for text in known_texts()), f"{named(page)}: {quoted}"


@every_page
def test_every_relative_link_resolves(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if not re.match(r"[a-z]+:", target):
            path = target.partition("#")[0]
            assert (page.parent / path).exists(), f"{named(page)}: {target}"


# A registry's address differs between networks, a machine's path between machines.
FOREIGN = re.compile(r"registry\.[a-z]+\.(io|org|com)|pypi\.|/work/|/root/|/home/\w|[a-z]:\\", re.I)


@every_page
def test_nothing_foreign_is_named(page: Path) -> None:
    assert not FOREIGN.findall(page.read_text())


def test_every_decision_is_in_the_index() -> None:
    index = (DOCS / "adr" / "index.md").read_text()
    pages = {page.name for page in (DOCS / "adr").glob("0*.md")}
    assert set(re.findall(r"^\| \[\d+\]\(([^)]+)\)", index, re.MULTILINE)) == pages


def mean(values: Any) -> Decimal:
    numbers = [Decimal(str(value)) for value in values]
    return (sum(numbers, Decimal(0)) / len(numbers)).quantize(Decimal("0.01"))


def test_adr_005_averages_follow_from_its_scores() -> None:
    pillars = ADR_005["pillars"]
    for option, stated in pillars["plain_average"].items():
        assert mean(row[option] for row in pillars["scores"].values()) == Decimal(stated)
    agents = ADR_005["agents"]
    assert mean(agents["scores"].values()) == Decimal(agents["plain_average"])
    assert round(Decimal(agents["plain_average"]), 1) == Decimal(agents["stated_consensus"])


def test_adr_005_stated_averages_do_not_follow() -> None:
    pillars = ADR_005["pillars"]
    for option, stated in pillars["stated_average"].items():
        assert round(Decimal(pillars["plain_average"][option]), 1) != Decimal(stated)


def test_adr_005_weights_are_not_made_up() -> None:
    assert ADR_005["pillars"]["weights"] == ADR_005["agents"]["weights"] == "unknown"


def test_adr_005_thresholds_are_strict() -> None:
    counted = [row for row in ADR_005["triggers"].values() if "above" in row]
    assert [row["fires_from"] - row["above"] for row in counted] == [1, 1]


def month(service: Mapping[str, int], rates: Mapping[str, str], hours: int) -> Decimal:
    cpu, memory = Decimal(rates["vcpu_hour"]), Decimal(rates["gb_hour"])
    return (service["vcpu"] * cpu + service["gb"] * memory) * hours * service["replicas"]


def test_adr_005_budget_does_not_follow_from_its_inputs() -> None:
    check = ADR_005["budget_check"]
    lines = [month(row, check["rates"], check["hours"]) for row in check["compute"].values()]
    compute = sum(lines, Decimal(0)).quantize(Decimal("0.01"))
    fixed = sum(map(Decimal, check["fixed"].values()), Decimal(0))
    assert compute == Decimal(check["compute_month"])
    assert fixed == Decimal(check["fixed_month"])
    assert compute + fixed == Decimal(check["month"]) > Decimal(check["stated_budget"])


def test_environments_have_the_budgets_of_adr_005() -> None:
    for name, amount in ADR_005["budgets"]["stream1"].items():
        file = ROOT / "deployments" / "environments" / f"{name}.yaml"
        assert yaml.safe_load(file.read_text())["budget"]["amount"] == amount
