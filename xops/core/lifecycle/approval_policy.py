"""Which changes wait for people: policy in the file of what is changed. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from xops.core.files.validation import Model
from xops.core.plan.model import Action, Plan

Ground = Literal[
    "create", "update", "destroy", "over_budget",
    "service_addition", "module_addition", "architecture_change",
]  # fmt: skip
"""Why a plan waits for a person."""

VERIFIED_WAYS = ("review on GitHub",)
"""Ways of approving that verify who approves. A form and the command line take a person's own
word, so under a policy that counts verified people they only say where to go instead."""


class ApprovalPolicy(Model):
    """Which changes wait for a person. Anything that destroys always does."""

    # A tuple and no set: it is written out in one order, in the schema and in the evidence.
    required_for: tuple[Ground, ...] = ("create", "update", "destroy")
    approvals: Annotated[
        int, Field(ge=1, le=10, description="How many people; more than one must be verified.")
    ] = 1
    not_the_author: Annotated[
        bool, Field(description="Whether the author of the change counts; needs verified people.")
    ] = False
    valid_hours: Annotated[
        int, Field(ge=1, le=168, description="How long an approval may be used.")
    ] = 24
    each_stage: Annotated[
        bool, Field(description="Whether each stage of an apply is approved by itself.")
    ] = False

    @field_validator("required_for")
    @classmethod
    def _destroy_always(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "destroy" not in value:
            raise ValueError("'destroy' cannot be left out: what is lost is always approved first")
        return value

    @property
    def needs_verified(self) -> bool:
        """Whether only people whose identity is verified count."""
        return self.approvals > 1 or self.not_the_author

    def strict(self) -> ApprovalPolicy:
        """The same without the exemption of creates, updates and what is over the budget."""
        known = (*get_args(Ground)[:4], *self.required_for)
        return self.model_copy(update={"required_for": tuple(dict.fromkeys(known))})

    def grounds(self, plan: Plan) -> tuple[Ground, ...]:
        """Why this plan waits for a person; empty if it does not."""
        found = dict.fromkeys(_grounds(plan))
        return tuple(ground for ground in found if ground in self.required_for)


def _grounds(plan: Plan) -> Iterator[Ground]:
    if plan.destroys:
        yield "destroy"
    for change in plan.changes:
        yield "create" if change.action is Action.CREATE else "update"
    if plan.cost and plan.cost.excess:
        yield "over_budget"
    if plan.classification:
        yield plan.classification
