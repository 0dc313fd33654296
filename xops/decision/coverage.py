"""Which claims of a record something executable watches over, and whether that something exists.

A claim is covered if every check it names is found where it says, and checks something that a
person can run: a test of code that no command and no flow reaches covers nothing. Whether the check
passes is told by running it: `make test` and `make lint` run all of them.
"""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

from xops.core.files import settings
from xops.decision.figures import number
from xops.decision.reached import imported_modules, reached_modules
from xops.decision.record import (
    Check,
    CheckByContract,
    CheckByPolicy,
    CheckByTest,
    DecisionRecord,
)
from xops.decision.trigger_policy import Difference, TriggerPolicy, differences
from xops.decision.triggers import Trigger

POLICY = Path("deployments", "triggers.yaml")
_HOME_OF_TESTS = {".py": Path("tests"), ".hcl": Path("terraform")}


class CheckStatus(StrEnum):
    """What was found where a check should be."""

    FOUND = "found"
    MISSING = "missing"
    DIFFERS = "differs"
    """The trigger's policy says something else than the record."""
    UNREACHED = "unreached"
    """It is a test of code that no command and no flow reaches: nobody can run what it checks."""
    UNKNOWN = "unknown"
    """It could not be looked for: an installation without the tests cannot tell."""


_BROKEN = frozenset({CheckStatus.MISSING, CheckStatus.DIFFERS, CheckStatus.UNREACHED})


@dataclass(frozen=True)
class CheckResult:
    """One check and what was found; `why` says more where it was not found as it should be."""

    check: Check
    status: CheckStatus
    why: str = ""
    differences: tuple[Difference, ...] = ()
    """Of a trigger's policy, each thing that it says otherwise than the record."""

    def to_json(self) -> dict[str, object]:
        """The check for machines."""
        return {
            "kind": self.check.kind,
            "name": self.check.name,
            "status": self.status,
            "why": self.why,
            "differences": [difference.to_json() for difference in self.differences],
        }


@dataclass(frozen=True)
class CheckedClaim:
    """A claim with its checks as they were found; `unchecked` says why there are none."""

    name: str
    says: str
    checks: tuple[CheckResult, ...]
    unchecked: str | None

    @property
    def is_covered(self) -> bool | None:
        """Whether every check is there; None if that cannot be told, False without any check."""
        statuses = {result.status for result in self.checks}
        if statuses & _BROKEN or not statuses:
            return False
        return None if CheckStatus.UNKNOWN in statuses else True

    def to_json(self) -> dict[str, object]:
        """The claim for machines."""
        return {
            "name": self.name,
            "says": self.says,
            "covered": self.is_covered,
            "checks": [result.to_json() for result in self.checks],
            "unchecked": self.unchecked,
        }


@dataclass(frozen=True)
class Coverage:
    """The share of a record's claims that have an executable check."""

    claims: tuple[CheckedClaim, ...]

    @property
    def covered(self) -> int:
        """How many claims are known to be covered."""
        return sum(claim.is_covered is True for claim in self.claims)

    @property
    def unknown(self) -> int:
        """Of how many claims it cannot be told."""
        return sum(claim.is_covered is None for claim in self.claims)

    @property
    def share(self) -> Fraction | None:
        """Covered claims of all claims; None without claims, or if one of them is unknown."""
        if not self.claims or self.unknown:
            return None
        return Fraction(self.covered, len(self.claims))

    @property
    def broken(self) -> tuple[tuple[str, CheckResult], ...]:
        """Checks that a claim names but that are not there, or check something else."""
        return tuple(
            (claim.name, result)
            for claim in self.claims
            for result in claim.checks
            if result.status in _BROKEN
        )

    def to_json(self) -> dict[str, object]:
        """The coverage for machines; a share that is not known is null."""
        return {
            "claims": len(self.claims),
            "covered": self.covered,
            "unknown": self.unknown,
            "share": None if self.share is None else number(self.share),
            "rows": [claim.to_json() for claim in self.claims],
        }


class Checkout:
    """The project's files, in which checks are looked for."""

    def __init__(self, root: Path = settings.ROOT) -> None:
        self._root = root

    def coverage(self, record: DecisionRecord) -> Coverage:
        """Look for every check of every claim.

        Raises:
            InputError: deployments/triggers.yaml cannot be read.
        """
        return Coverage(tuple(self._claims(record)))

    def _claims(self, record: DecisionRecord) -> Iterator[CheckedClaim]:
        for name, claim in record.claims.items():
            results = tuple(self._examine(check, record.triggers) for check in claim.checks)
            yield CheckedClaim(name, claim.says, results, claim.unchecked)

    def _examine(self, check: Check, triggers: Mapping[str, Trigger]) -> CheckResult:
        match check:
            case CheckByTest():
                return self._test(check)
            case CheckByPolicy():
                return self._trigger(check, triggers)
            case CheckByContract():
                return self._contract(check)

    def _test(self, check: CheckByTest) -> CheckResult:
        place, _, name = check.test.partition("::")
        if not (self._root / _HOME_OF_TESTS[Path(place).suffix]).is_dir():
            return CheckResult(check, CheckStatus.UNKNOWN, "this installation has no tests")
        file = self._root / place
        if not file.is_file():
            return CheckResult(check, CheckStatus.MISSING, f"there is no file {place}")
        if name.partition("[")[0] not in _tests(file):
            return CheckResult(check, CheckStatus.MISSING, f"{place} has no test of this name")
        if unreached := self._unreached(file):
            why = f"no command and no flow reaches {', '.join(unreached)}"
            return CheckResult(check, CheckStatus.UNREACHED, why)
        return CheckResult(check, CheckStatus.FOUND)

    def _unreached(self, file: Path) -> list[str]:
        """The modules that a test imports and that nothing a person can run imports."""
        if file.suffix != ".py":
            return []
        modules = {name for name in imported_modules(file) if self._is_module(name)}
        return sorted(modules - self._reached)

    def _is_module(self, name: str) -> bool:
        place = self._root.joinpath(*name.split("."))
        return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()

    def _trigger(self, check: CheckByPolicy, triggers: Mapping[str, Trigger]) -> CheckResult:
        if self._policy is None:
            return CheckResult(check, CheckStatus.UNKNOWN, f"there is no {POLICY}")
        if check.trigger not in self._policy.triggers:
            return CheckResult(check, CheckStatus.MISSING, f"{POLICY} has no trigger of this name")
        found = tuple(differences(triggers[check.trigger], self._policy, check.trigger))
        status = CheckStatus.DIFFERS if found else CheckStatus.FOUND
        return CheckResult(check, status, "; ".join(map(str, found)), found)

    def _contract(self, check: CheckByContract) -> CheckResult:
        if self._contracts is None:
            return CheckResult(check, CheckStatus.UNKNOWN, "there is no pyproject.toml")
        if check.import_contract in self._contracts:
            return CheckResult(check, CheckStatus.FOUND)
        return CheckResult(
            check, CheckStatus.MISSING, "pyproject.toml has no contract of this name"
        )

    @functools.cached_property
    def _reached(self) -> frozenset[str]:
        return reached_modules(self._root)

    @functools.cached_property
    def _policy(self) -> TriggerPolicy | None:
        file = self._root / POLICY
        if not file.is_file():
            return None
        return settings.load(TriggerPolicy, file, prefix="", environ={}, arguments={})

    @functools.cached_property
    def _contracts(self) -> frozenset[str] | None:
        file = self._root / "pyproject.toml"
        if not file.is_file():
            return None
        tools = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
        rows = tools.get("importlinter", {}).get("contracts", ())
        return frozenset(row["name"] for row in rows)


@functools.cache
def _tests(file: Path) -> frozenset[str]:
    """The names of a file's tests, those in classes as `Class::test`."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".hcl":
        return frozenset(re.findall(r'^run "([^"]+)"', text, re.MULTILINE))
    return frozenset(_functions(ast.parse(text, str(file)).body))


def _functions(body: list[ast.stmt], within: str = "") -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{within}{node.name}::")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{within}{node.name}"
