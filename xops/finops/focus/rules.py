"""Every rule that a dataset is held against, in the order of the columns."""

from __future__ import annotations

from functools import cache

from xops.finops.focus.charge_rules import charge_rules
from xops.finops.focus.column_rules import column_rules
from xops.finops.focus.columns import FOCUS_COLUMNS, Version
from xops.finops.focus.group_rules import group_rules
from xops.finops.focus.requirement import Rule

_SINCE = {column.name: column.since for column in FOCUS_COLUMNS}

LATER: dict[str, Version] = {
    "RegionName.null-without-RegionId": Version.V1_2,
    "RegionName.with-RegionId": Version.V1_2,
    "ResourceName.null-without-ResourceId": Version.V1_2,
    "ServiceName.one-ServiceCategory": Version.V1_2,
    "SubAccountName.with-SubAccountId": Version.V1_2,
}
"""What FOCUS asks of a column only since a later version than that which has the column first."""


@cache
def rules_of(version: Version) -> tuple[Rule, ...]:
    """The rules of a version: those of 1.2 about its columns, but for what was asked later.

    One wording is 1.2's for all: the unused part of a commitment has no consumed quantity.
    """
    all_rules = sorted(
        (*column_rules(), *charge_rules(), *group_rules()), key=lambda rule: rule.column
    )
    return tuple(rule for rule in all_rules if _is_of(rule, version))


def _is_of(rule: Rule, version: Version) -> bool:
    columns = (rule.column, *rule.needs)
    has_columns = all(_SINCE.get(name, version) <= version for name in columns)
    return has_columns and LATER.get(rule.id, version) <= version
