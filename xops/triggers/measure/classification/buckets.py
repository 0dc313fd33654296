"""Where a merged pull request is counted: one place each.

Bots come first, then reverts, then image bumps; what is left was made by people. A repository that
Argo CD or Flux writes to merges dozens of image bumps a week, which say nothing about people.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from xops.github.people.directory import Directory
from xops.github.records import MergedPullRequest
from xops.triggers.facts import Bucket
from xops.triggers.measure.classification.kinds import Kind

# GitHub's button writes the title `Revert "..."` and the branch revert-NUMBER-...; others write
# the type of Conventional Commits.
_REVERT_TITLE = re.compile(r'Revert "|(?i:revert)(\([^)]*\))?!?: ')
_REVERT_BRANCH = re.compile(r"revert-\d+-")

_BUMP_BRANCH = re.compile(
    r"(argocd-)?image-updater[-/]|flux-image-updates?|(renovate|dependabot)/docker"
)
# What is bumped is the image itself or its tag: `image` is followed by nothing, by its tag, or by
# where it goes. "Update image pull policy" is a person's change of something else.
_BUMP_TITLE = re.compile(
    r"""
    ^build:\ automatic\ update\ of\                  # Argo CD Image Updater
    | ^Update\ from\ image\ update\ automation       # Flux
    | \b(bump|update|upgrade|promote|deploy)\b.{0,256}\b(
        docker\ tags?
        | images?(\ (tags?|versions?|digests?))?
          (?=\s*$ | \s{0,2}[:@(\[,;#] | \s{1,2}v?\d | \s{1,2}sha[-:@\d]
            | \s{1,2}[\w./-]{1,99}([:@]\w | \s\([\w.+-]{1,64}\s?(➔|→|->))  # Renovate: 1 ➔ 2
            | \s{1,2}(to|from|for|in|of|on|across|and)\b)
      )\b
    | \b(images?|docker\ tags?)\b(?!\ (pull|size|regist|repos|secret|polic|limit|cache|scan|qualit))
      .{0,256}\bto\ v?\d
    """,
    re.IGNORECASE | re.VERBOSE,
)
_PULLED = re.compile(r"\bpull[ -]?(policy|secrets?)\b", re.IGNORECASE)

_CARRY_IMAGES: Final = frozenset[str](
    {Kind.HELM, Kind.KUSTOMIZE, Kind.KUBERNETES, Kind.ARGO, Kind.FLUX}
)


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
    replaced = request.additions == request.deletions
    return replaced and _CARRY_IMAGES.issuperset(kinds) and _says_so(request)


def _says_so(request: MergedPullRequest) -> bool:
    if _BUMP_BRANCH.match(request.head):
        return True
    title = request.title
    return bool(_BUMP_TITLE.search(title)) and not _PULLED.search(title)


def deciding_paths(matched: Mapping[str, str], most: int = 5) -> tuple[str, ...]:
    """A few of the paths that decided, for evidence; one of each kind first."""
    first_of_kind = {kind: path for path, kind in reversed(list(matched.items()))}
    return tuple(dict.fromkeys([*first_of_kind.values(), *matched]))[:most]
