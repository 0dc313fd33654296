"""The gate: a run waits, suspended, until a person has decided on exactly this plan.

The suspension's key carries the whole digest and the question's own number in the evidence: a run
that is resumed plans again from live facts, and the same plan finds its answer; another plan, and
another attempt at the same one, are asked about anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from prefect import suspend_flow_run
from prefect.input import RunInput
from pydantic import ConfigDict, Field, ValidationError

from flows.form import in_order
from xops.core.lifecycle.gate import Decision, IdentityKind, Question
from xops.core.plan.view import markdown, wrapped
from xops.core.rendering import Markdown

WAIT_SECONDS = 24 * 3600

FORM_WIDTH = 50
"""Characters of a line that the form has room for in either UI; one of them cuts off the rest."""


class Answer(RunInput):
    """What the form asks. Prefect has no identities here: the name is the person's own word.

    The server takes no answer without a name.
    """

    model_config = ConfigDict(json_schema_extra=in_order)

    decision: Literal["reject", "approve"] = Field(
        default="reject",
        title="Decision",
        description="Approve lets the run apply exactly this plan. Reject ends it, and nothing is"
        " changed.",
    )
    approver: str = Field(
        pattern=r"\S",
        title="Your name",
        description="It goes into the evidence as your own word.",
    )
    reason: str = Field(
        default="", title="Reason", description="It goes into the evidence as well."
    )


def ask(question: Question, *, wait_seconds: int = WAIT_SECONDS) -> Sequence[Decision]:
    """Suspend the run until the plan is decided on; the process ends and a new one resumes.

    Returns:
        The decision; nothing where the run goes on without one: its time was over, or a person has
        rescheduled it.
    """
    form = Answer.with_initial_data(description=_description(question))
    key = f"apply-{question.plan.digest}-{question.id}"
    try:
        answer = suspend_flow_run(wait_for_input=form, key=key, timeout=wait_seconds)
    except ValidationError:  # nobody has answered under this key
        return ()
    decision = Decision(
        by=answer.approver.strip(),
        how="form in the Prefect UI",
        identity=IdentityKind.SELF_DECLARED,
        approved=answer.decision == "approve",
        reason=answer.reason,
    )
    return (decision,)


def _description(question: Question) -> Markdown:
    parts = [Markdown("## Apply this plan?"), markdown(question.plan, FORM_WIDTH)]
    if question.plan.cost and question.plan.cost.excess:
        excess = Markdown.of("**{excess}**", excess=question.plan.cost.excess)
        parts.insert(1, excess)
    if question.reasons:
        why = Markdown("### Asked again, since an earlier approval does not cover it")
        parts[1:1] = [why, Markdown.block(wrapped(question.reasons, FORM_WIDTH))]
    return Markdown.joined("\n\n", parts)
