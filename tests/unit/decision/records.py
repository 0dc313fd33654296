"""The project's record, and others that differ from it by a few values."""

import copy
from typing import Any

import yaml

from tests.absent import GONE
from xops.decision.record import ADR_005, DecisionRecord

DOCUMENT: dict[str, Any] = yaml.safe_load(ADR_005.read_text())
RECORD = DecisionRecord.model_validate(DOCUMENT)
PUBLISHED = {
    "operational_excellence": "0.25",
    "security": "0.15",
    "reliability": "0.15",
    "performance": "0.15",
    "cost": "0.15",
    "sustainability": "0.15",
}


def changed(values: dict[str, Any]) -> dict[str, Any]:
    """The project's record with these values, by dotted path."""
    document = copy.deepcopy(DOCUMENT)
    for dotted, value in values.items():
        *path, last = dotted.split(".")
        place = document
        for part in path:
            place = place[part]
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    return document


def record(values: dict[str, Any]) -> DecisionRecord:
    """The same, read."""
    return DecisionRecord.model_validate(changed(values))
