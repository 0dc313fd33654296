"""The plan: what would change, as a value that can be shown, hashed, stored and approved.

Terraform, K3S, Helm and activation plans all become a `Plan`. Its digest is what a person
approves, what is checked again before anything is applied, and what the evidence names: it covers
everything that an apply would write or run, in the order of the work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, computed_field
from pydantic_core import to_jsonable_python

from xops.core.files.canonical_json import digest_of
from xops.core.plan.cost import CostEffect
from xops.core.plan.values import Json

Classification = Literal["service_addition", "module_addition", "architecture_change"]
"""What kind of step for the platform a plan is."""

Value = Annotated[Json, AfterValidator(to_jsonable_python)]
"""A value of a plan as it comes back from a record: plain lists, dicts and texts."""

DIGEST_LABEL = 12
"""How many characters of a digest people are shown. Keys and records carry all 64."""


class Action(StrEnum):
    """What happens to one target."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"


class Change(BaseModel):
    """One target's change. `before` is None for a create, `after` for a delete.

    Attributes:
        action, target: what happens to what.
        before, after: JSON values with markers (`xops.core.plan.values`).
        reason: why, for people.
        disposable: whether replacing the target loses nothing (a task definition's revision, say),
            so that it does not count as a destroy.
        stage: the stage of the apply that makes the change; empty where there is only one.
        turn: which of the stage's turns makes it, from 1: the changes of one turn are made at the
            same time. 0 where a tool has an order of its own.
        effect: what it does to what runs, in a step's own words; empty where it says nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Action
    target: str
    before: Value = None
    after: Value = None
    reason: str = ""
    disposable: bool = False
    stage: str = ""
    turn: int = 0
    effect: str = ""

    @property
    def destroys(self) -> bool:
        """Whether something that exists now, and may hold data or traffic, will be gone."""
        return self.action is Action.DELETE or (
            self.action is Action.REPLACE and not self.disposable
        )

    def bound(self) -> dict[str, Any]:
        """What the digest covers. Keys that came later are left out where they say nothing."""
        values = dict(self)
        for key in ("stage", "turn", "effect"):
            if not values[key]:
                del values[key]
        return values


class Plan(BaseModel):
    """All changes to one subject (for example `ecs/prod`), in the order of the work.

    Attributes:
        subject: what is changed.
        target: where it is.
        changes: in the order in which an apply makes them; by address where a tool has an order of
            its own, which then follows from the inputs.
        follows: changes that follow from the others by what the inputs say (Terraform's outputs);
            bound, and not shown beside the others.
        inputs: what an apply would use beyond the changes, by name: a SHA-256, or the value itself.
        key: which installation's key the fingerprints of hidden values were made with.
        warnings: what the tool warns of; shown and recorded, not bound.
        cost: what the plan does to the monthly cost; shown and judged, not bound, so that a new
            price asks for no new approval.
        classification: what kind of step for the platform it is, where a step says so; judged.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    subject: str
    target: str
    changes: tuple[Change, ...] = ()
    follows: tuple[Change, ...] = ()
    inputs: Mapping[str, str] = {}
    key: str | None = None
    warnings: tuple[str, ...] = ()
    cost: CostEffect | None = None
    classification: Classification | None = None

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical form: sorted keys, no spaces, no digest in it."""
        # `cost` was bound once; records of that time are verified with it.
        bound: dict[str, Any] = {"subject": self.subject, "target": self.target, "cost": None}
        bound["changes"] = [change.bound() for change in self.changes]
        if self.follows:
            bound["follows"] = [change.bound() for change in self.follows]
        if self.inputs:
            bound["inputs"] = dict(self.inputs)
        return digest_of(bound)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, with a digest of its own: a copy takes over what was computed."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("digest", None)
        return copied

    @property
    def label(self) -> str:
        """The digest's first characters, for people."""
        return self.digest[:DIGEST_LABEL]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changes

    @property
    def destroys(self) -> tuple[Change, ...]:
        """The changes after which something that exists now is gone."""
        return tuple(change for change in self.changes if change.destroys)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that have something to do, in the order of the work."""
        return tuple(dict.fromkeys(change.stage for change in self.changes))

    def of_stage(self, stage: str) -> Plan:
        """The part of one stage, as a plan that can be approved by itself."""
        changes = tuple(change for change in self.changes if change.stage == stage)
        return self.model_copy(update={"changes": changes})

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
