"""Which repositories are measured: those named one by one, and those that selections find.

What a selection found is remembered, so that a repository that came since, or no longer belongs to
it, is told. The memory can be deleted at any time: nothing is counted by it.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from xops.core.errors import Finding, InputError, XopsError
from xops.core.files.bounded_json import parse_json
from xops.core.files.private_file import write_private
from xops.core.files.reading import read_bytes
from xops.core.files.validation import Moment
from xops.github import selection
from xops.github.client import Client
from xops.github.repositories import OF_ONE_REPOSITORY
from xops.triggers.identity import selection_text
from xops.triggers.policy import GitHub, Selection

logger = logging.getLogger(__name__)

_MOST_BYTES = 16 << 20

_TOLD = timedelta(days=7)
"""For how long a change is told: by every evaluation of a week, whichever of them is recorded."""


class _Belonging(BaseModel):
    """One repository in what is remembered of a selection.

    Attributes:
        since: when it was first seen; None if it was there when the memory began.
        formerly: its name before the last change of it, which was seen at `renamed`.
        until: when it was first seen no more, and `why`.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    since: Moment | None = None
    formerly: str = ""
    renamed: Moment | None = None
    until: Moment | None = None
    why: str = ""


class _Memory(BaseModel):
    """What a selection found. `repositories` are by GitHub's id."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    owner_id: str = ""
    repositories: dict[str, _Belonging] = {}


class Memories:
    """The files of all selections, below one folder.

    Args:
        folder: where they are.
        api_url: selections of another GitHub have other files.
    """

    def __init__(self, folder: Path, api_url: str) -> None:
        self._folder = folder
        self._api_url = api_url

    def open(self, wanted: Selection) -> _Memory:
        """What is remembered of a selection; nothing if it is new, or its file is unusable."""
        file = self._file(wanted)
        if not file.exists():
            return _Memory()
        try:
            return _Memory.model_validate(parse_json(read_bytes(file, _MOST_BYTES)))
        except (ValueError, ArithmeticError) as error:  # ValidationError is one
            logger.warning("%s is unusable, it begins anew: %s", file.name, type(error).__name__)
            return _Memory()

    def keep(self, wanted: Selection, memory: _Memory) -> None:
        """Write a selection's file, whole or not at all."""
        write_private(self._file(wanted), memory.model_dump_json())

    def _file(self, wanted: Selection) -> Path:
        text = f"{self._api_url}\n{wanted.model_dump_json()}".lower()
        digest = hashlib.sha256(text.encode()).hexdigest()
        return self._folder / f"{wanted.organisation}-{digest[:12]}.json"


@dataclass
class Scope:
    """What is to be read.

    Attributes:
        names: owner/name of every repository, those that the policy names first, each once.
        refused: by selection (as people read it) why its repositories are not known.
        renamed: of selected repositories, the name they had to the name of today.
        notes: what changed in the selections.
        selections: each as it stands in the facts' origin.
    """

    names: list[str]
    refused: dict[str, XopsError] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    selections: list[str] = field(default_factory=list)


def find_repositories(
    client: Client, github: GitHub, memories: Memories, since: datetime, now: datetime
) -> Scope:
    """The repositories that the policy names, and those that its selections find today.

    Args:
        client: the connection.
        github: what the policy names.
        memories: what its selections found before.
        since: from here on merged pull requests are counted.
        now: this machine's clock.

    Raises:
        InputError: a selection finds nothing.
        AccessError, LimitError: nothing more can be asked.
    """
    scope = Scope(list(github.repositories))
    selector = selection.Selector(client, since)
    findings: list[Finding] = []
    for index, wanted in enumerate(github.select):
        memory = memories.open(wanted)
        try:
            found = selector.select(_asked(wanted))
        except OF_ONE_REPOSITORY as error:
            scope.refused[str(_asked(wanted))] = error
        else:
            if not found.repositories:
                findings.append(_finds_nothing(index, wanted, found))
                continue
            _remember(memory, found, now)
            memories.keep(wanted, memory)
            _take(scope, found)
            _tell(scope, memory, str(_asked(wanted)), now)
        scope.selections.append(described(wanted, memory.owner_id))
    if findings:
        raise InputError("finding the repositories to measure", findings)
    return scope


def remembered(github: GitHub, memories: Memories) -> list[str]:
    """The selections as they stand in an origin, without asking GitHub."""
    return [described(wanted, memories.open(wanted).owner_id) for wanted in github.select]


def described(wanted: Selection, owner_id: str) -> str:
    """A selection as it stands in an origin, with the owner's id where it is known."""
    parts = [f"team={wanted.team}"] if wanted.team else []
    parts += [f"topic={wanted.topic}"] if wanted.topic else []
    parts.append(f"name={wanted.name.lower()}")
    parts += ["archived"] * wanted.archived + ["forks"] * wanted.forks
    return selection_text(wanted.organisation.lower(), owner_id, " ".join(parts))


def _asked(wanted: Selection) -> selection.Selection:
    return selection.Selection(
        owner=wanted.organisation,
        team=wanted.team,
        topic=wanted.topic,
        name=wanted.name,
        archived=wanted.archived,
        forks=wanted.forks,
    )


def _finds_nothing(index: int, wanted: Selection, found: selection.Selected) -> Finding:
    some = list(dict.fromkeys(found.left_out.values()))[:3]
    reasons = f": {'; '.join(some)}" if some else ""
    text = (
        f"{_asked(wanted)} matches none of the {len(found.left_out)} repositories that the"
        f" credential sees there{reasons}"
    )
    return Finding("deployments/triggers.yaml", f"github.select.{index}", text)


def _take(scope: Scope, found: selection.Selected) -> None:
    known = {name.lower() for name in scope.names}
    scope.names += [one.name for one in found.repositories if one.name.lower() not in known]


def _remember(memory: _Memory, found: selection.Selected, now: datetime) -> None:
    new = not memory.repositories
    memory.owner_id = found.owner_id or memory.owner_id
    for one in found.repositories:
        known = memory.repositories.get(one.id)
        if known is None or known.until is not None:  # it came, or it came back
            known = _Belonging(name=one.name, since=None if new else now)
        elif known.name != one.name:
            known.formerly, known.renamed, known.name = known.name, now, one.name
        memory.repositories[one.id] = known
    present = {one.id for one in found.repositories}
    for gone, known in memory.repositories.items():
        if gone not in present and known.until is None:
            known.until = now
            known.why = found.left_out.get(
                gone, "is listed no more: transferred, deleted, or hidden from the credential"
            )


def _tell(scope: Scope, memory: _Memory, title: str, now: datetime) -> None:
    """What changed within the last days."""
    for one in sorted(memory.repositories.values(), key=lambda one: one.name.lower()):
        if _lately(one.until, now):
            scope.notes.append(
                f"{one.name} belongs to the selection {title} no more since"
                f" {one.until:%Y-%m-%d}: it {one.why}"
            )
        elif _lately(one.since, now) and one.until is None:
            scope.notes.append(
                f"{one.name} is new in the selection {title} since {one.since:%Y-%m-%d}"
            )
        if _lately(one.renamed, now) and one.until is None:
            scope.renamed[one.formerly] = one.name


def _lately(at: datetime | None, now: datetime) -> bool:
    return at is not None and now - at <= _TOLD
