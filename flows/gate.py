"""The gate: a run waits, suspended, until a person has decided on exactly this plan.

The suspension's key carries the plan's digest. A run that is resumed plans again from live facts;
the same digest finds its answer under the same key, another digest is asked about anew.
"""

from __future__ import annotations

from typing import Literal

from prefect import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from xops.core.lifecycle.gate import Approval
from xops.core.plan.model import Plan
from xops.core.plan.view import markdown

WAIT_SECONDS = 24 * 3600


class Decision(RunInput):
    """What the form asks. Prefect has no identities here: the name is the person's own word.

    The server takes no answer without a name.
    """

    decision: Literal["reject", "approve"] = Field(default="reject")
    approver: str = Field(pattern=r"\S", description="Your name, for the evidence.")
    reason: str = Field(default="", description="Why, if there is something to say.")


def ask(plan: Plan) -> Approval:
    """Suspend the run until the plan is decided on; the process ends and a new one resumes."""
    form = Decision.with_initial_data(
        description=f"## Apply this plan?\n\n{markdown(plan)}", decision="reject"
    )
    answer = suspend_flow_run(wait_for_input=form, key=f"apply-{plan.label}", timeout=WAIT_SECONDS)
    return Approval(
        by=answer.approver.strip(),
        how="form in the Prefect UI, self-declared name",
        digest=plan.digest,
        approved=answer.decision == "approve",
        reason=answer.reason,
    )
