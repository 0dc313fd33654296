"""What a merged pull request counts as: which of its paths are infrastructure code, and whose work.

A path is of the first kind that matches, in the order of `Kind`; patterns are those of .gitignore.
What is `Excluded` (lock files, documents) is none of them, wherever it lies: a lock file follows
from a change, and a document about infrastructure changes nothing. Only paths are looked at: GitHub
lists them reliably, other than the contents of large changes.

A pull request is counted in one place. Bots come first, then reverts, then image bumps; what is
left was made by people. A repository that Argo CD or Flux writes to merges dozens of image bumps a
week, which say nothing about people.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from pathspec import GitIgnoreSpec

from xops.core.errors import Finding, InputError
from xops.github.people import Directory
from xops.github.records import MergedPullRequest
from xops.triggers.facts import Bucket


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


class Excluded(StrEnum):
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

EXCLUDED: Final[Mapping[str, tuple[str, ...]]] = {
    Excluded.LOCK_FILE: (
        ".terraform.lock.hcl", "Chart.lock", "requirements.lock", "*.lock", "*.lock.yaml",
        "package-lock.json", "pnpm-lock.yaml", "go.sum",
    ),
    Excluded.DOCUMENT: ("docs/", "*.md", "*.mdx", "*.rst", "*.adoc", "LICENSE", "CODEOWNERS"),
}  # fmt: skip
"""What is excluded. It is looked at before the kinds."""


class Classifier:
    """Says of paths which kind of infrastructure code they are.

    Args:
        kinds: patterns by kind which replace the built-in ones of that kind; names that are not
            in `Kind` are further kinds, tried last.

    Raises:
        InputError: a pattern is none, or a negation, which `Excluded` is for.
    """

    def __init__(self, kinds: Mapping[str, Sequence[str]] | None = None) -> None:
        chosen = {**PATTERNS, **(kinds or {})}
        _refuse_wrong(chosen)
        groups = [*EXCLUDED.items(), *chosen.items()]
        self._specs = [(str(name), GitIgnoreSpec.from_lines(lines)) for name, lines in groups]
        self._excluded = frozenset[str](EXCLUDED)

    def kind(self, path: str) -> str | None:
        """The kind (or what it is excluded as) of one path; None is neither.

        Args:
            path: as Git writes it: relative to the repository, with `/`.
        """
        return next((name for name, spec in self._specs if spec.match_file(path)), None)

    def infrastructure(self, path: str) -> str | None:
        """The kind of one path; None where it is no infrastructure code, or excluded from it."""
        kind = self.kind(path)
        return None if kind in self._excluded else kind

    def matched(self, paths: Iterable[str]) -> dict[str, str]:
        """The paths that are infrastructure code, each with its kind."""
        return {path: kind for path in paths if (kind := self.infrastructure(path))}


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
    if any(segment.count("*") > 2 for segment in pattern.split("/")) or pattern.count("**") > 2:
        return f"{pattern!r} has more than two stars in a part, or more than two **"
    if "{" in pattern:
        return f"{pattern!r}: .gitignore knows no braces, write a pattern for each"
    try:
        (compiled,) = GitIgnoreSpec.from_lines([pattern]).patterns
    except ValueError as error:
        return f"{pattern!r} is no pattern of .gitignore: {error}"
    return f"{pattern!r} matches nothing" if compiled.regex is None else ""


# GitHub's button writes the title `Revert "..."` and the branch revert-NUMBER-...; others write
# the type of Conventional Commits.
_REVERT_TITLE = re.compile(r'Revert "|(?i:revert)(\([^)]*\))?!?: ')
_REVERT_BRANCH = re.compile(r"revert-\d+-")

_BUMP_BRANCH = re.compile(
    r"(argocd-)?image-updater[-/]|flux-image-updates?|(renovate|dependabot)/docker"
)
_BUMP_TITLE = re.compile(
    r"""
    ^build:\ automatic\ update\ of\                  # Argo CD Image Updater
    | ^Update\ from\ image\ update\ automation       # Flux
    | \b(bump|update|upgrade|promote|deploy)\b.{0,256}\b(image|images|image\ tag|docker\ tag)\b
    | \b(image|images|docker\ tag)\b.{0,256}\bto\ v?\d
    """,
    re.IGNORECASE | re.VERBOSE,
)

_CARRY_IMAGES = frozenset[str]({Kind.HELM, Kind.KUSTOMIZE, Kind.KUBERNETES, Kind.ARGO, Kind.FLUX})


def bucket(request: MergedPullRequest, kinds: Collection[str], directory: Directory) -> Bucket:
    """Where it is counted.

    Args:
        request: merged, and known to touch infrastructure code.
        kinds: of which kinds.
        directory: tells bots from people.
    """
    if directory.is_bot(request.author):
        return Bucket.BOT
    if _REVERT_TITLE.match(request.title) or _REVERT_BRANCH.match(request.head):
        return Bucket.REVERT
    return Bucket.IMAGE_BUMP if _is_image_bump(request, kinds) else Bucket.COUNTED


def _is_image_bump(request: MergedPullRequest, kinds: Collection[str]) -> bool:
    """Whether it says so, and does nothing else: lines replaced one by one, where images stand."""
    says_so = _BUMP_BRANCH.match(request.head) or _BUMP_TITLE.search(request.title)
    replaced = request.additions == request.deletions
    return bool(says_so) and replaced and _CARRY_IMAGES.issuperset(kinds)


def deciding_paths(matched: Mapping[str, str], most: int = 5) -> tuple[str, ...]:
    """A few of the paths that decided, for evidence; one of each kind first."""
    first_of_kind = {kind: path for path, kind in reversed(list(matched.items()))}
    return tuple(dict.fromkeys([*first_of_kind.values(), *matched]))[:most]
