"""What the form of a run shows: titles, and an order that stays.

Prefect gives a parameter its own name for a title, and a database that keeps JSON by the length of
its keys (PostgreSQL's jsonb) gives back the fields of a model in another order. The UI sorts by
`position`, which Prefect sets for parameters and not for the fields below them.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


def in_order(schema: dict[str, Any]) -> None:
    """Number the fields of a model's schema as they stand in the code."""
    for position, field in enumerate(schema.get("properties", {}).values()):
        field["position"] = position


def titled(title: str) -> Any:
    """A title to annotate a flow's parameter with. Prefect overwrites all but extra keys."""
    return Field(json_schema_extra={"title": title})


class Form(BaseModel):
    """What a flow asks of whoever starts it."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=in_order)


Apply = Annotated[bool, titled("Apply the plan")]
"""Whether a flow that changes something does: a plan is all that is made unless it is told."""
