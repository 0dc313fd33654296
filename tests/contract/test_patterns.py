"""Every pattern that may see text of others takes time in proportion to it.

Python's `re` goes back over what it has matched: a pattern that can match one text in several ways
may take hours for a few thousand characters. So each pattern of the code has an attack here, and
all are tried with every short repetition of what they themselves are made of.

Patterns in pydantic's models (`Field(pattern=...)`) are not here: pydantic-core compiles them with
Rust's `regex`, which is linear by construction, unless a model asks for `python-re`, which none may
(`test_models_keep_the_linear_engine`). Source: pydantic, "Configuration", regex_engine.
"""

import ast
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import product
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from xops.core.files.settings import ROOT

FROM_THE_START = {"match", "fullmatch"}
CALLS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
END = "\x01!"
"""What no pattern ends with: all that was matched is gone back over."""

FAMILIES: dict[str, tuple[str, str, str]] = {
    "xops/ecs/terraform_errors.py": ("xops/ecs/terraform_errors.py", "_CAUSES", "security token "),
    "xops/k3s/state/log_pattern.py": ("xops/k3s/state/diagnosis.py", "PATTERNS", " "),
}
"""Modules that compile the patterns of a table: its module, the table, an attack on all of them."""

BOUNDED = {"xops/k3s/state/diagnosis.py": "_LOOKED_AT"}
"""Modules that cut each line before they look at it: the name of the greatest length."""

MOST_SECONDS = 0.1
"""For one line that was cut."""

ATTACKS: dict[str, dict[str, str]] = {
    "xops/core/evidence/log.py": {"_NUMBERED": "/1", "_EARLIER": "/12345678T1"},
    "xops/core/files/bounded_json.py": {"_HALF": "\\u"},
    "xops/core/files/bounded_yaml.py": {"_QUOTED": "tag"},
    "xops/core/files/reading.py": {"_NOT_TEXT": " "},
    "xops/core/files/settings.py": {"_SECRET": "pas", "_KEY": "a"},
    "xops/core/files/web_address.py": {"_ORIGIN": "a."},
    "xops/core/plan/view.py": {"_PLAIN_KEY": "a"},
    "xops/core/rendering.py": {
        "_INVISIBLE": "\u034f", "_MARKUP": "_", "_MARKUP_FIRST": " ", "_CALLS": "GH", "_RICH": "\\",
        "_TELLING": "s.ke", "(\\s)": " ",
        "_BACKTICKS": "`", "_ADDRESS": "http://a.", "\\](?=[(\\[:])": "]",
    },
    "xops/finops/focus/source.py": {
        "_LINE": "CSV Error on Line: 1", "_WIDTHS": "Expected Number of Columns: 1 Found: ",
        "([\\[*?])": "[",
    },
    "xops/finops/configuration.py": {"_BUCKET": "s3://a."},
    "xops/finops/analysis/queries.py": {"_TAG_KEY": "a"},
    "xops/finops/report/text.py": {"_TIME": "07:00-"},
    "xops/finops/store/exports/deliveries.py": {
        "_DATA": "data/BILLING_PERIOD=2026-05/", "_MANIFEST": "metadata/BILLING_PERIOD=2026-05/",
    },
    "xops/finops/store/ingest_run.py": {"_NOT_OF_A_NAME": "-"},
    "xops/finops/store/partitions.py": {"_MONTH": "2026-05"},
    "xops/finops/pricing/schedules.py": {"_CRON": "cron(1 1 ? * MON,MON,"},
    "xops/decision/coverage.py": {'^run "([^"]+)"': 'run "'},
    "xops/ecs/environment.py": {"[^@\\s]+@[^@\\s]+\\.\\w+": "a@a.", "NAME": "a-"},
    "xops/ecs/references.py": {"_INDEX": '["'},
    "xops/ecs/terraform.py": {"_COLOUR": "\x1b["},
    "xops/ecs/terraform_discovery.py": {
        '"terraform_version":\\s*"([^"]+)"': '"terraform_version": ', "\\d+": "1.",
    },
    "xops/ecs/terraform_errors.py": {"_GO_TIME": "2026-01-01 00:00:00.0"},
    "xops/ecs/terraform_events.py": {"_CHECK_BLOCK": 'check "'},
    "xops/decision/record.py": {"_NUMBER": "1."},
    "xops/cli/github/deliveries.py": {"_GUID": "-0000"},
    "xops/core/database/tables.py": {"_FILE": "a"},
    "xops/github/pull_request/addresses.py": {"_REPOSITORY": "a", "_SHA": "a"},
    "xops/github/pull_request/commands.py": {"_ENVIRONMENT": "-a"},
    "xops/github/pull_request/course.py": {
        "_ENVIRONMENT_FILE": "-a", "_STACK": "terraform/stacks/",
    },
    "xops/github/pull_request/report.py": {"_REPOSITORY": "a/"},
    "xops/github/pull_request/plan_excerpt.py": {"_BACKTICKS": "`"},
    "xops/github/route_rules.py": {"_FIELD": "{a"},
    "xops/github/webhooks/request.py": {"_EVENT": "a", "_GUID": "-0000", "_DIGITS": "1"},
    "xops/github/commits.py": {"_MERGE": "Merge branch", "_SQUASHED": " ", "_OF_GITHUB": "noreply"},
    "xops/github/selection.py": {"_FULL_NAME": "a-"},
    "xops/github/people/identities.py": {"_PRIVATE": "1+", "_CO_AUTHOR": " "},
    "xops/github/people/machines.py": {"_APART": "-", "_SHAPE": "a1"},
    "xops/github/people/mailmap.py": {"_MAILMAP": "<"},
    "xops/github/people/names.py": {"_AND": " and"},
    "xops/local/aws/ecs/images.py": {"EXIT": "xops-exit-"},
    "xops/local/aws/server/signature.py": {"_HASH": "a"},
    "xops/k3s/cluster_file/cluster.py": {"_NAME": "a-"},
    "xops/k3s/cluster_file/field_types.py": {
        "_HOST_NAME": "a-", "_QUALIFIED": "a.", "_SUBDOMAIN": "a-a.", "LOGIN": "a.",
        "HOST_ALIAS": "a:", "_JUMP": "a.", "_CRON_WORDS": "@every 1",
        "(^|\\.)(kubernetes|k8s)\\.io$": ".kubernetes.io", "[\\d.]+": "1.", "\\d{1,2}": "1",
    },
    "xops/k3s/cluster_file/sections.py": {"[a-z0-9]+(-[a-z0-9]+)*\\+?": "a-"},
    "xops/k3s/operations/apply.py": {"_CLUSTER_MARK": "cluster=a", "_MOMENT_MARK": "at=1"},
    "xops/k3s/operations/tokens.py": {"_TOKEN": "!"},
    "xops/k3s/release/images.py": {"_REFERENCE": "a/"},
    "xops/k3s/release/lock_entry.py": {"_CHECKSUM": "a", "VERSION_PATTERN": "1."},
    "xops/k3s/release/sources.py": {
        "_CONTENT_RANGE": "bytes 1", "_CONTENT_LENGTH": "1", "_RETRY_AFTER": "1",
        "https?://[^\\s?#]+": "http://",
    },
    "xops/k3s/ssh/client_config.py": {
        "_LINE": " ", "_WORD": '"a', "_WORDS": 'a "', "_PATTERN": "a", "_SPECIAL": "a",
        "[0-9]{1,5}": "1",
    },
    "xops/k3s/ssh/route.py": {"_JUMP": "a@", "_TIME": "9s", "_TIME_PART": "9"},
    "xops/k3s/ssh/transport.py": {"_BYTES": "1"},
    "xops/k3s/release/behaviour.py": {"_RELEASE": "1."},
    "xops/k3s/state/diagnosis.py": {"_TOKEN": "K10", "_CONTROL": "\x1b[1;"},
    "xops/k3s/state/facts.py": {
        "_COPIED": "copied, 1", "_PORT": "1", "_SHA256": "a", "_TENTHS": "1.",
    },
    "xops/k3s/state/log_pattern.py": {"_HARMLESS": "a"},
    "xops/k3s/state/network_facts.py": {"_HEX": "a", "_NUMBER": "1"},
    "xops/k3s/state/sections.py": {"_SECTION": "@@a"},
    "xops/local/up.py": {"\\[[^][]*\\]": "["},
    "xops/triggers/measure/classification/buckets.py": {
        "_REVERT_TITLE": "revert(", "_REVERT_BRANCH": "revert-1", "_BUMP_BRANCH": "image-updater",
        "_BUMP_TITLE": "bump image a:", "_PULLED": "pull ",
    },
    "xops/triggers/measure/classification/contents.py": {
        "_KEY": "a", "_TALOS_VERSION": "v1alpha", "_COMMENT": "# ",
        "_ARM_SCHEMA": '"$schema": "deployment', "_AWS_TYPE": '"Type" ', "_AZURE_TYPE": '"type" ',
        "_GOOGLE_TYPE": "\n type: ", "_JSON_VERSION": '"apiVersion" ', "_JSON_KIND": '"kind" : "a',
    },
    "xops/triggers/measure/classification/hints.py": {
        "_RESOURCE": "Subnet", "_OF_SPRING": "application-a", "_REGION": "us-gov-aaaa",
        "_TEMPLATE": "aws-", "_STACK": "a-stack.a", "_WORDS": "-", "_HYPHENS": "-",
    },
    "xops/triggers/measure/mandate_record.py": {"_DAY": "1-"},
    "xops/triggers/rule_tests.py": {"_VALUE": "1", "_STATE": "x "},
}  # fmt: skip
"""What is repeated thousands of times: by file, and by the pattern's name there or itself."""


@dataclass(frozen=True)
class Use:
    """A pattern in the code: its file, its name or text, what it compiles to, how it is used."""

    file: str
    name: str
    pattern: re.Pattern[str]
    scans: bool

    def __str__(self) -> str:
        return f"{self.file} {self.name}"


def _files() -> list[Path]:
    return sorted(
        file for top in ("xops", "flows", "blocks") for file in (ROOT / top).rglob("*.py")
    )


@cache
def uses() -> tuple[Use, ...]:
    return tuple(use for file in _files() for use in _uses(file))


def _uses(file: Path) -> Iterator[Use]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    name = str(file.relative_to(ROOT))
    named = {
        id(node.value): node.targets[0].id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_of_re(node.func):
            if name in FAMILIES and not isinstance(node.args[0], ast.Constant):
                yield from _family(name)
            elif id(node) in named:
                known = named[id(node)]
                yield Use(name, known, getattr(_module(name), known), _is_scanned(name, known))
            else:
                yield _inline(name, node)


@cache
def _methods() -> dict[tuple[str, str], set[str]]:
    """What is called of each name in the code: `{("xops/x.py", "_KEY"): {"fullmatch"}}`."""
    found: dict[tuple[str, str], set[str]] = {}
    for file in _files():
        name = file.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found.setdefault(_key(name, node.value.id), set()).add(node.attr)
    return found


def _key(file: str, name: str) -> tuple[str, str]:
    """A private name is its module's own; a public one means the same everywhere."""
    return (file if name.startswith("_") else "", name)


def _is_scanned(file: str, name: str) -> bool:
    """Whether it is looked for at every place of a text, and not at its start only."""
    return not _methods().get(_key(file, name), {"search"}) <= FROM_THE_START


def _is_of_re(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "re"
        and function.attr in CALLS
    )


def _module(file: str) -> Any:
    return import_module(file.removesuffix(".py").replace("/", ".").removesuffix(".__init__"))


def _inline(file: str, node: ast.Call) -> Use:
    written = node.args[0]
    shown = str(written.value) if isinstance(written, ast.Constant) else ast.unparse(written)
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    return Use(file, shown, re.compile(_text(written, file)), method not in FROM_THE_START)


def _text(node: ast.expr, file: str) -> str:
    """A text that stands in the code: a constant, a name of the module, or both in an f-string."""
    if isinstance(node, ast.Name):
        return str(getattr(_module(file), node.id))
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, file) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, file)
    assert isinstance(node, ast.Constant), f"{file}: a pattern is a text of ours"
    return str(node.value)


def _family(file: str) -> Iterator[Use]:
    kept, table, _ = FAMILIES[file]
    for index, row in enumerate(getattr(_module(kept), table)):
        for pattern in row.expressions if hasattr(row, "expressions") else (row.pattern,):
            yield Use(kept, f"{table}[{index}]", re.compile(pattern), scans=True)


def attack_on(use: Use) -> str | None:
    """What is repeated against a pattern; None if nobody has thought of it."""
    for kept, table, attack in FAMILIES.values():
        if use.file == kept and use.name.startswith(f"{table}["):
            return attack
    return ATTACKS.get(use.file, {}).get(use.name)


def test_every_pattern_has_an_attack() -> None:
    missing = sorted(str(use) for use in uses() if attack_on(use) is None)

    assert not missing, "think of the text that makes each go back, and enter it in ATTACKS"


def test_every_attack_has_a_pattern() -> None:
    known = {(use.file, use.name) for use in uses()}
    entered = {(file, name) for file, names in ATTACKS.items() for name in names}

    assert entered <= known


# Time


def seconds(work: Callable[[str], Any], text: str) -> float:
    """Of the processor, the least of three: what other programs do does not count."""
    taken = []
    for _ in range(3):
        started = time.process_time()
        work(text)
        taken.append(time.process_time() - started)
        if not 0.002 < taken[-1] < 0.5:
            break
    return min(taken)


def ways(pattern: re.Pattern[Any], *, scans: bool) -> list[Callable[[str], Any]]:
    """From the start of the text, and, if it is used so, from every place of it."""
    read: Callable[[str], Any] = str.encode if isinstance(pattern.pattern, bytes) else str
    through = [lambda text: pattern.sub(read(""), read(text))] if scans else []
    return [lambda text: pattern.fullmatch(read(text)), *through]


def is_linear(work: Callable[[str], Any], pump: str, size: int = 8_000) -> bool:
    """Whether three times the text takes well below nine times as long.

    A pattern that is quadratic takes tens of milliseconds for 8,000 characters, and a linear one
    some microseconds: most are judged by the first look.
    """
    before = seconds(work, pump * (size // len(pump)) + END)
    if before < 0.004:
        return True
    after = seconds(work, pump * (3 * size // len(pump)) + END)
    return after < 6 * before


def is_soon_done(work: Callable[[str], Any], pump: str, longest: int) -> bool:
    """Whether a text of that length takes no time that anybody notices."""
    return seconds(work, (pump * longest)[:longest]) < MOST_SECONDS


def _tokens(parsed: Any) -> Iterator[str]:
    """What a pattern is made of: its texts, and a character of each of its classes."""
    run = ""
    for code, value in parsed:
        if code is _constants.LITERAL:
            run += chr(value)
            continue
        yield from (run, run[:1])
        run = ""
        if code is _constants.RANGE:
            yield chr(value[0])
        elif code is _constants.IN:
            yield from _tokens(value)
        else:
            for inner in _inner(value):
                yield from _tokens(inner)
    yield from (run, run[:1])


def _inner(value: Any) -> Iterator[Any]:
    """The patterns within a part of one."""
    if isinstance(value, _parser.SubPattern):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _inner(part)


def pumps(pattern: re.Pattern[str], most: int = 12) -> list[str]:
    """Each token of a pattern, and each two of them."""
    found = _tokens(_parser.parse(pattern.pattern, pattern.flags))
    tokens = list(filter(None, dict.fromkeys(["a", "0", " ", "\n", *found])))[:most]
    return [*tokens, *("".join(pair) for pair in product(tokens, tokens))]


@pytest.mark.parametrize("use", uses(), ids=str)
def test_a_pattern_takes_time_in_proportion_to_the_text(use: Use) -> None:
    longest = getattr(_module(use.file), BOUNDED[use.file]) if use.file in BOUNDED else 0
    slow = (
        pump
        for pump in [attack_on(use) or "a", *pumps(use.pattern)]
        for work in ways(use.pattern, scans=use.scans)
        if not (is_soon_done(work, pump, longest) if longest else is_linear(work, pump))
    )

    assert next(slow, None) is None


@pytest.mark.parametrize(
    ("pattern", "pump"),
    [
        (r"^\s*(ID|Path):[ \t]*(.*?)[ \t]*$", "\n"),
        (r"[^\s]+@x", "a"),
        (r"(\\+)(?=\[)", "\\"),
        (r'\[(?:"(?:[^"\\]|\\.)*"|[^\]"]*)\]', "["),
    ],
)
def test_the_measure_finds_what_is_not_linear(pattern: str, pump: str) -> None:
    """Patterns that stood in the code once."""
    compiled = re.compile(pattern, re.MULTILINE)

    assert not all(is_linear(work, pump, 4_000) for work in ways(compiled, scans=True))


# Pydantic's own


def test_models_keep_the_linear_engine() -> None:
    asked = [str(file) for file in _files() if "regex_engine" in file.read_text(encoding="utf-8")]

    assert not asked
