"""The plan: what would change, as a value that can be shown, hashed, stored and approved.

Terraform, K3S, Helm and activation plans all become a `Plan`. Its digest is what a person
approves, what is checked again before anything is applied, and what the evidence names.
"""

from __future__ import annotations

import json
from collections import Counter
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, computed_field

from xops.core.files.canonical_json import digest_of
from xops.core.money import Money

Json = Any
"""A JSON value: None, bool, int, float, str, or lists and dicts of them."""

DIGEST_LABEL = 12
"""How many characters of a digest people are shown and gate keys carry."""


class Action(StrEnum):
    """What happens to one target."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"


# The order in which a person should read a plan: what is lost comes first.
_READING_ORDER = [Action.DELETE, Action.REPLACE, Action.UPDATE, Action.CREATE]


class Change(BaseModel):
    """One target's change. `before` is None for a create, `after` for a delete.

    `disposable` says that replacing the target loses nothing (a task definition's revision, say),
    so that it does not count as a destroy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Action
    target: str
    before: Json = None
    after: Json = None
    reason: str = ""
    disposable: bool = False

    @property
    def destroys(self) -> bool:
        """Whether something that exists now, and may hold data or traffic, will be gone."""
        return self.action is Action.DELETE or (
            self.action is Action.REPLACE and not self.disposable
        )


def _reading_order(change: Change) -> tuple[int, str, str]:
    # The values come last so that two changes of one target stand in one order, too.
    values = json.dumps(change.model_dump(mode="json"), sort_keys=True)
    return _READING_ORDER.index(change.action), change.target, values


class CostEffect(BaseModel):
    """What the plan does to the monthly cost. A missing price makes it `incomplete`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: Money
    after: Money
    incomplete: bool = False


class Plan(BaseModel):
    """All changes to one subject (for example `ecs/prod`), in the order a person reads them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    subject: str
    target: str
    changes: tuple[Change, ...] = ()
    cost: CostEffect | None = None

    def model_post_init(self, _context: object) -> None:
        """Bring the changes into reading order, so that equal plans have equal digests."""
        ordered = sorted(self.changes, key=_reading_order)
        object.__setattr__(self, "changes", tuple(ordered))

    @computed_field  # type: ignore[prop-decorator]
    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical form: sorted keys, no spaces, no digest in it."""
        return digest_of(self.model_dump(mode="json", exclude={"digest"}))

    @property
    def label(self) -> str:
        """The digest's first characters, for people and for gate keys."""
        return self.digest[:DIGEST_LABEL]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changes

    @property
    def destroys(self) -> tuple[Change, ...]:
        """The changes after which something that exists now is gone."""
        return tuple(change for change in self.changes if change.destroys)

    def counts(self) -> dict[Action, int]:
        """Changes by action, every action present."""
        found = Counter(change.action for change in self.changes)
        return {action: found[action] for action in Action}

    def summary(self) -> str:
        """One line: counts by action and the digest's label."""
        if self.is_empty:
            return f"{self.subject}: nothing to change (digest {self.label})"
        parts = ", ".join(f"{count} to {action}" for action, count in self.counts().items())
        return f"{self.subject}: {parts} (digest {self.label})"
