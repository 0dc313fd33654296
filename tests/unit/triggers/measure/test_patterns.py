"""Path patterns of a policy are checked when the policy is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from xops.core.errors import InputError
from xops.triggers.measure.classification import Classifier
from xops.triggers.patterns import problem_of, wrong_kinds
from xops.triggers.policy import FILE, Policy


@pytest.mark.parametrize("pattern", ["*.tf", "!*.tf", "a/**/b", "docs/", "/x", "v[a-c].tf", "y*ml"])
def test_patterns_of_gitignore_and_their_negations_are_allowed(pattern: str) -> None:
    assert problem_of(pattern) == ""


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("", "is no pattern"),
        ("!", "is no pattern"),
        ("!!x", "is no pattern"),
        ("# x", "is no pattern"),
        ("{a,b}/**", "no braces"),
        ("!{a,b}/**", "no braces"),
        ("*a*a*a*b", "more than two"),
        ("x/*-*-*.tf", "more than two"),
        ("**/a/**/b/**/c", "more than two"),
        ("[z-a]", "no pattern of .gitignore"),
        ("a[", "matches nothing"),
        ("/", "matches nothing"),
        ("!/", "matches nothing"),
        ("a\nb", "one line"),
    ],
)
def test_what_is_wrong_with_a_pattern_is_said(pattern: str, problem: str) -> None:
    assert problem in problem_of(pattern)


def test_a_kind_of_negations_only_is_refused() -> None:
    """It would match nothing, and so switch the kind off by mistake."""
    ((loc, text),) = wrong_kinds({"helm": ["!charts/old/**"]})
    assert loc == ("helm",)
    assert "negations only" in text


def test_an_empty_kind_is_switched_off_on_purpose() -> None:
    assert list(wrong_kinds({"helm": []})) == []
    assert Classifier({"helm": []}).infrastructure("charts/web/values.yaml") is None


POLICY_OF_PATTERNS = """
github:
  repositories: [acme/infra]
  kinds:
    helm:
      - charts/**
      - "{a,b}/**"
    lock_file: ["*.lock"]
  exclude:
    - examples/
    - "*a*a*a*"
"""


def test_wrong_patterns_of_a_policy_are_found_as_it_is_read(tmp_path: Path) -> None:
    kept = FILE.read_text().split("\ngithub:")[0]
    file = tmp_path / "triggers.yaml"
    file.write_text(kept + POLICY_OF_PATTERNS)
    with pytest.raises(InputError) as error:
        Policy.load(file, environ={})
    lines = file.read_text().splitlines()
    found = {finding.path: finding for finding in error.value.findings}
    assert set(found) == {"github.kinds.helm.1", "github.kinds.lock_file", "github.exclude.1"}
    for path, text in (
        ("github.kinds.helm.1", "{a,b}/**"),
        ("github.kinds.lock_file", "lock_file"),
        ("github.exclude.1", "*a*a*a*"),
    ):
        line = found[path].line
        assert line is not None
        assert text in lines[line - 1]


@given(st.text(max_size=60))
@examples(100)
def test_every_text_is_refused_or_can_be_used(pattern: str) -> None:
    if not problem_of(pattern):
        Classifier(exclude=[pattern]).judge("a/b.tf")
