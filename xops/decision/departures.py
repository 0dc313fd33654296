"""Where this software does not say what a record says: added to it, changed, or left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from xops.core.files.validation import Model, ValidationIssue


class _Departure(Model):
    by: Annotated[Literal["xops"], Field(description="Who departs from the record.")]
    why: Annotated[str, Field(min_length=1)]
    keys: Annotated[
        tuple[str, ...], Field(description="Where it stands in this file, as dotted paths.")
    ] = ()


class Addition(_Departure):
    """Something that stands here and that the record does not say."""

    kind: Literal["added"]
    here: Annotated[str, Field(min_length=1, description="What stands here.")]
    record: Annotated[
        str | None, Field(min_length=1, description="What the record says nearest to it.")
    ] = None


class Alteration(_Departure):
    """Something that the record says otherwise."""

    kind: Literal["changed"]
    here: Annotated[str, Field(min_length=1, description="What stands here instead.")]
    record: Annotated[str, Field(min_length=1, description="What the record says.")]


class Omission(_Departure):
    """Something that the record says and that is not used here."""

    kind: Literal["left_out"]
    here: None = None
    record: Annotated[str, Field(min_length=1, description="What the record says.")]


Departure = Annotated[Addition | Alteration | Omission, Field(discriminator="kind")]
"""Where this software does not say what the record says."""


def unknown_keys(
    departures: Mapping[str, Departure], document: Mapping[str, Any]
) -> Iterator[ValidationIssue]:
    """The keys that departures name and a document does not have, each at its place."""
    for name, departure in departures.items():
        for index, path in enumerate(departure.keys):
            if not _leads_somewhere(document, path.split(".")):
                yield (name, "keys", index), f"there is nothing at {path}"


def _leads_somewhere(place: Any, steps: Iterable[str]) -> bool:
    for step in steps:
        if not isinstance(place, Mapping | Model):
            return False
        place = (place if isinstance(place, Mapping) else vars(place)).get(step)
    return place is not None
