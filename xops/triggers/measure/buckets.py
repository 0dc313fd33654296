"""Where a merged pull request that touches infrastructure code is counted: one place each.

Bots come first, then reverts, then image bumps; what is left was made by people. A repository that
Argo CD or Flux writes to merges dozens of image bumps a week, which say nothing about people.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from xops.github.people import Directory
from xops.github.records import MergedPullRequest
from xops.triggers.facts import Bucket
from xops.triggers.measure.paths import Kind

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
    | \b(bump|update|upgrade|promote|deploy)\b.*\b(image|images|image\ tag|docker\ tag)\b
    | \b(image|images|docker\ tag)\b.*\bto\ v?\d
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
