"""Which changed path is infrastructure code, and of which kind. Patterns are those of .gitignore.

A path is of the first kind that matches, in the order of `Kind`. What is `Apart` (lock files,
documents) is none of them, wherever it lies: a lock file follows from a change, and a document
about infrastructure changes nothing.

Only paths are looked at. GitHub lists them reliably, other than the contents of large changes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from pathspec import GitIgnoreSpec

from xops.core.errors import Finding, InputError


class Kind(StrEnum):
    """A kind of infrastructure code. The order decides: what is more telling comes first."""

    TERRAGRUNT = "terragrunt"
    OPENTOFU = "opentofu"
    TERRAFORM = "terraform"
    KUSTOMIZE = "kustomize"
    ARGO = "argo"
    FLUX = "flux"
    ANSIBLE = "ansible"
    CLOUDFORMATION = "cloudformation"
    CDK = "cdk"
    PULUMI = "pulumi"
    HELM = "helm"
    KUBERNETES = "kubernetes"


class Apart(StrEnum):
    """What lies among infrastructure code and is none."""

    LOCK_FILE = "lock_file"
    DOCUMENT = "document"


PATTERNS: Final[Mapping[str, tuple[str, ...]]] = {
    Kind.TERRAGRUNT: ("terragrunt.hcl", "terragrunt.*.hcl", "*.terragrunt.hcl"),
    Kind.OPENTOFU: ("*.tofu", "*.tofu.json", "*.tofutest.hcl"),
    Kind.TERRAFORM: ("*.tf", "*.tf.json", "*.tfvars", "*.tfvars.json", "*.hcl"),
    Kind.KUSTOMIZE: ("kustomization.y*ml", "Kustomization"),
    Kind.ARGO: (
        "argocd/**", "**/argocd/**/*.y*ml", "argo-cd/**", "**/argo-cd/**/*.y*ml",
    ),
    Kind.FLUX: ("flux/**/*.y*ml", "**/flux-system/**/*.y*ml"),
    Kind.ANSIBLE: ("ansible/**", "**/ansible/**/*.y*ml", "ansible.cfg", "playbooks/**/*.y*ml"),
    Kind.CLOUDFORMATION: (
        "cloudformation/**", "**/cloudformation/**", "*.cfn.y*ml", "*.cfn.json",
    ),
    Kind.CDK: ("cdk.json", "cdk/**"),
    Kind.PULUMI: ("Pulumi*.yaml", "Pulumi*.yml", "pulumi/**"),
    Kind.HELM: (
        "charts/**", "Chart.yaml", "values*.yaml", "values*.yml", "helmfile*.y*ml",
        "**/helm/**/*.y*ml", "**/templates/**/*.tpl",
    ),
    Kind.KUBERNETES: (
        "k8s/**/*.y*ml", "manifests/**/*.y*ml", "deploy/**/*.y*ml", "clusters/**/*.y*ml",
        "apps/**/*.y*ml", "**/k8s/**/*.y*ml", "**/kubernetes/**/*.y*ml", "**/manifests/**/*.y*ml",
    ),
}  # fmt: skip
"""The patterns of each kind. One without a slash matches at any depth."""

APART: Final[Mapping[str, tuple[str, ...]]] = {
    Apart.LOCK_FILE: (
        ".terraform.lock.hcl", "Chart.lock", "requirements.lock", "*.lock", "*.lock.yaml",
        "package-lock.json", "pnpm-lock.yaml", "go.sum",
    ),
    Apart.DOCUMENT: ("docs/", "*.md", "*.mdx", "*.rst", "*.adoc", "LICENSE", "CODEOWNERS"),
}  # fmt: skip
"""What is apart. It is looked at before the kinds."""

_WILD = re.compile(r"[*?\[\\]")

_Matches = Callable[[str], object]
_Entry = tuple[int, str, _Matches]
"""Rank (unique, so that nothing else is compared), kind, and the pattern's `match`."""

_NONE: Final[list[_Entry]] = []
_FOLDERS_REMEMBERED = 50_000


class Classifier:
    """Says of paths which kind of infrastructure code they are.

    Patterns are translated by pathspec, Git's rules to the letter. Before one is tried, a word that
    it needs (a whole segment, an extension, what stands before the first dot) is looked for among
    the path's words, so that of a hundred patterns one or two are tried.

    Args:
        kinds: patterns by kind which replace the built-in ones of that kind; names that are not
            in `Kind` are further kinds, tried last.

    Raises:
        InputError: a pattern is none, or a negation, which `Apart` is for.
    """

    def __init__(self, kinds: Mapping[str, Sequence[str]] | None = None) -> None:
        chosen = {**PATTERNS, **(kinds or {})}
        _refuse_wrong(chosen)
        groups = [*APART.items(), *chosen.items()]
        self._apart = frozenset[str](APART)
        self._by_word: dict[str, list[_Entry]] = {}
        listed = ((str(name), pattern) for name, patterns in groups for pattern in patterns)
        for rank, (name, pattern) in enumerate(listed):
            entry = (rank, name, _regex(pattern).match)
            self._by_word.setdefault(_needed_word(pattern), []).append(entry)
        self._anywhere = self._by_word.pop("", [])
        self._by_folder: dict[str, list[_Entry]] = {}

    def kind(self, path: str) -> str | None:
        """The kind (or what it is apart as) of one path; None is neither.

        Args:
            path: as Git writes it: relative to the repository, with `/`.
        """
        folder, _, name = path.rpartition("/")
        candidates = self._by_folder.get(folder)
        if candidates is None:
            candidates = self._remembered(folder)
        if own := self._candidates(name):
            candidates = sorted(candidates + own) if candidates else own
        for _, kind, matches in candidates:
            if matches(path):
                return kind
        return None

    def _remembered(self, folder: str) -> list[_Entry]:
        if len(self._by_folder) >= _FOLDERS_REMEMBERED:
            self._by_folder.clear()
        found = set(self._anywhere)
        for segment in folder.split("/"):
            found.update(self._candidates(segment))
        self._by_folder[folder] = sorted(found)
        return self._by_folder[folder]

    def _candidates(self, segment: str) -> list[_Entry]:
        """The patterns that need this segment, its extension or what stands before its dot."""
        by_word = self._by_word
        whole = by_word.get(segment, _NONE)
        dot = segment.find(".")
        if dot < 0:
            return whole
        extension = by_word.get(segment[segment.rfind(".") :], _NONE)
        stem = by_word.get(segment[: dot + 1], _NONE)
        if whole or stem:
            return sorted(whole + extension + stem)
        return extension

    def infrastructure(self, path: str) -> str | None:
        """The kind of one path; None where it is no infrastructure code, or apart from it."""
        kind = self.kind(path)
        return None if kind in self._apart else kind

    def matched(self, paths: Iterable[str]) -> dict[str, str]:
        """The paths that are infrastructure code, each with its kind."""
        return {path: kind for path in paths if (kind := self.infrastructure(path))}


@functools.cache
def _regex(pattern: str) -> re.Pattern[str]:
    compiled = GitIgnoreSpec.from_lines([pattern]).patterns[0].regex
    if compiled is None:
        raise ValueError(f"{pattern!r} matches nothing")
    return re.compile(compiled.pattern)


def _needed_word(pattern: str) -> str:
    """A word without which the pattern cannot match; empty where there is none.

    `Chart.yaml` needs that segment, `*.tf` a segment that ends in `.tf`, `Pulumi.*` one that
    begins with `Pulumi.`. A pattern that matches a folder matches all below it, hence any segment.
    """
    segments = [segment for segment in pattern.split("/") if segment not in ("", "**")]
    literal = [segment for segment in segments if not _WILD.search(segment)]
    if literal:
        return max(literal, key=len)
    for segment in segments:
        tail = _WILD.split(segment)[-1]
        if "]" not in tail and "." in tail and "\\" not in segment:
            return "." + tail.rpartition(".")[2]
        head = _WILD.split(segment)[0]
        if "." in head:
            return head.partition(".")[0] + "."
    return ""


def _refuse_wrong(kinds: Mapping[str, Sequence[str]]) -> None:
    findings = [
        Finding("github.kinds", f"{kind}.{index}", problem)
        for kind, patterns in kinds.items()
        for index, pattern in enumerate(patterns)
        if (problem := _problem(pattern))
    ]
    if findings:
        raise InputError("reading the patterns of infrastructure code", findings)


def _problem(pattern: str) -> str:
    if pattern.startswith("!"):
        return f"{pattern!r} is a negation: write patterns that match only what is meant"
    if not pattern.strip() or pattern.startswith("#"):
        return f"{pattern!r} is no pattern"
    if "{" in pattern:
        return f"{pattern!r}: .gitignore knows no braces, write a pattern for each"
    try:
        _regex(pattern)
    except ValueError as error:
        return f"{pattern!r} is no pattern of .gitignore: {error}"
    return ""
