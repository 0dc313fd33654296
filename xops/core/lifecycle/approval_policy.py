"""Which changes wait for a person: policy in the file of what is changed. Pure."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from xops.core.files.validation import Model
from xops.core.plan.model import Action, Plan


class ApprovalPolicy(Model):
    """Which changes wait for a person. Anything that destroys always does."""

    # A tuple and no set: it is written out in one order, in the schema and in the evidence.
    required_for: tuple[Literal["create", "update", "destroy"], ...] = (
        "create", "update", "destroy",
    )  # fmt: skip

    @field_validator("required_for")
    @classmethod
    def _destroy_always(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "destroy" not in value:
            raise ValueError("'destroy' cannot be left out: what is lost is always approved first")
        return value

    def needed(self, plan: Plan) -> bool:
        """Whether this plan waits for a person."""
        if plan.destroys:
            return True
        kinds = {"create" if c.action is Action.CREATE else "update" for c in plan.changes}
        return not kinds.isdisjoint(self.required_for)
