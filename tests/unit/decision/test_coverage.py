"""A claim is covered if every check that it names is really there."""

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.unit.decision.records import RECORD, record
from xops.core.errors import InputError
from xops.core.files.settings import ROOT
from xops.decision.coverage import Checkout, CheckResult, CheckStatus, Coverage

POLICY = """
components: {k3s: {}, k3s_edge: {requires: [k3s]}, atlantis: {requires: [k3s]}}
triggers:
  iac_prs:
    metric: iac_prs
    enter: {above: 5}
    action: {summary: Atlantis on K3S, components: [atlantis]}
    classification: Service Addition
  edge:
    mandate: edge
    action: {summary: "K3S edge nodes, ARM64, air-gapped", components: [k3s_edge]}
    classification: Module Addition
"""
TESTS = """
class TestIt:
    async def test_inside(self): ...
def test_there(): ...
"""
PROJECT = """
[[tool.importlinter.contracts]]
name = "one way"
"""

Examine = Callable[[dict[str, str]], CheckResult]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "deployments/triggers.yaml": POLICY,
        "tests/test_a.py": TESTS,
        "tests/test_k3d.py": "from xops.k3d import start\ndef test_start(): ...",
        "tests/test_up.py": "from xops.up import start\ndef test_start(): ...",
        "tests/test_flow.py": "import flows.daily\nfrom xops.parts import Part\ndef test_it(): ...",
        "xops/__init__.py": "",
        "xops/k3d.py": "",
        "xops/up.py": "",
        "xops/parts/__init__.py": "class Part: ...",
        "xops/cli/__init__.py": "def main():\n    from xops.up import start",
        "flows/daily.py": "from xops import parts",
        "terraform/a/tests/a.tftest.hcl": 'run "it_holds" {\n}\n',
        "pyproject.toml": PROJECT,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def examine(root: Path) -> Examine:
    return lambda check: examined(root, check)


def coverage_of(root: Path, *checks: dict[str, str]) -> Coverage:
    claims: Any = {"it": {"says": "It is so.", "checks": list(checks)}}
    return Checkout(root).coverage(record({"claims": claims}))


def examined(root: Path, check: dict[str, str]) -> CheckResult:
    return coverage_of(root, check).claims[0].checks[0]


@pytest.mark.parametrize(
    "check",
    [
        {"test": "tests/test_a.py::test_there"},
        {"test": "tests/test_a.py::test_there[one case]"},
        {"test": "tests/test_a.py::TestIt::test_inside"},
        {"test": "terraform/a/tests/a.tftest.hcl::it_holds"},
        {"test": "tests/test_up.py::test_start"},
        {"test": "tests/test_flow.py::test_it"},
        {"trigger": "iac_prs"},
        {"import_contract": "one way"},
    ],
)
def test_found(examine: Examine, check: dict[str, str]) -> None:
    found = examine(check)

    assert (found.status, found.why) == (CheckStatus.FOUND, "")


@pytest.mark.parametrize(
    ("check", "status", "why"),
    [
        ({"test": "tests/test_a.py::test_inside"}, CheckStatus.MISSING, "no test of this name"),
        ({"test": "tests/test_b.py::test_there"}, CheckStatus.MISSING, "no file tests/test_b.py"),
        ({"test": "terraform/a/tests/a.tftest.hcl::it"}, CheckStatus.MISSING, "no test of this"),
        ({"test": "tests/test_k3d.py::test_start"}, CheckStatus.UNREACHED, "reaches xops.k3d"),
        ({"import_contract": "two ways"}, CheckStatus.MISSING, "no contract of this name"),
        ({"trigger": "edge"}, CheckStatus.DIFFERS, "the policy Module Addition"),
        ({"trigger": "team_size"}, CheckStatus.MISSING, "no trigger of this name"),
    ],
)
def test_not_as_the_claim_says(
    examine: Examine, check: dict[str, str], status: CheckStatus, why: str
) -> None:
    found = examine(check)

    assert found.status is status
    assert why in found.why


def test_a_trigger_without_a_policy_is_missing(root: Path) -> None:
    (root / "deployments" / "triggers.yaml").write_text("triggers: {}")

    assert examined(root, {"trigger": "edge"}).status is CheckStatus.MISSING


def test_a_policy_that_cannot_be_read_is_an_error(root: Path) -> None:
    (root / "deployments" / "triggers.yaml").write_text("triggers: [")

    with pytest.raises(InputError, match="not YAML"):
        examined(root, {"trigger": "edge"})


@pytest.mark.parametrize(
    ("gone", "check"),
    [
        ("tests", {"test": "tests/test_a.py::test_there"}),
        ("deployments", {"trigger": "edge"}),
        ("pyproject.toml", {"import_contract": "one way"}),
    ],
)
def test_an_installation_without_the_files_cannot_tell(
    root: Path, gone: str, check: dict[str, str]
) -> None:
    place = root / gone
    place.unlink() if place.is_file() else shutil.rmtree(place)
    coverage = coverage_of(root, check)

    assert coverage.claims[0].is_covered is None
    assert (coverage.covered, coverage.unknown, coverage.share) == (0, 1, None)
    assert not coverage.broken


def test_one_missing_check_leaves_the_claim_uncovered(root: Path) -> None:
    there, gone = {"trigger": "iac_prs"}, {"import_contract": "two ways"}

    assert coverage_of(root, there).share == 1
    assert coverage_of(root, there, gone).share == 0
    assert [name for name, _ in coverage_of(root, there, gone).broken] == ["it"]


def test_every_check_of_the_record_is_there() -> None:
    coverage = Checkout(ROOT).coverage(RECORD)

    assert coverage.broken == ()
    assert coverage.unknown == 0
    without = [claim for claim in coverage.claims if not claim.is_covered]
    assert all(claim.unchecked for claim in without)
    assert (coverage.covered, coverage.share) == (10, Fraction(10, 18))
    assert {"local_cluster", "local_services"} <= {claim.name for claim in without}


def test_a_test_of_what_nobody_can_run_leaves_the_claim_uncovered(root: Path) -> None:
    coverage = coverage_of(root, {"test": "tests/test_k3d.py::test_start"})

    assert coverage.covered == 0
    assert [name for name, _ in coverage.broken] == ["it"]
