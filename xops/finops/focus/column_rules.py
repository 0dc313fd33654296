"""The rules that follow from what a column is: there, of its type, in its format, null or not.

Source: FOCUS 1.2, the list of requirements of every column, and the attributes Numeric Format,
Date/Time Format, Currency Format, Unit Format, Key-Value Format, String Handling, Null Handling.
"""

from __future__ import annotations

from collections.abc import Iterator

from xops.finops.focus.columns import FOCUS_COLUMNS, Column, Kind, Level
from xops.finops.focus.currencies import NATIONAL_CURRENCIES
from xops.finops.focus.requirement import (
    CRITERIA,
    Keyword,
    Names,
    Presence,
    RowRule,
    Rule,
)
from xops.finops.focus.source import mistyped, text_of

MUST, SHOULD = Keyword.MUST, Keyword.SHOULD

DATASET = "(dataset)"
"""Stands for a column where the rule is about all of them."""

NUMBER = r"-?[0-9]*\.?[0-9]+([eE]-?[0-9]+)?"
MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z"
CURRENCY = "[A-Z]{3}"

_SIZES = "[KMGTPE]?[bB]|[KMGTPE]i[bB]"
_TIME = "Year|Month|Day|Hour|Minute|Second"
_TIMES = "(Year|Month|Day|Hour|Minute|Second)s"
_COUNT = "[A-Za-z][A-Za-z0-9]*( [A-Za-z][A-Za-z0-9]*)*"
_UNIT = f"({_SIZES}|{_COUNT})"
UNIT = f"([0-9]+ )?{_UNIT}|{_UNIT}-{_TIMES}|{_UNIT}/({_TIME})|{_UNIT}/[0-9]+ {_TIMES}"
"""What the Unit Format lets stand: a unit, by or over a time, with a whole number before either."""

_JSON_TEXT = r'"(\\.|[^"\\])*"'
_LAX = r",\s*[}\]]|(?i:nan|inf)"

PLACEHOLDERS = ("Not Applicable", "N/A")

FREE_TEXT = tuple(
    column.name for column in FOCUS_COLUMNS if column.kind is Kind.STRING and not column.allowed
)
"""The columns whose values the provider chooses."""

UNITS = ("CommitmentDiscountUnit", "ConsumedUnit", "PricingUnit")


def column_rules() -> Iterator[Rule]:
    """All of them, column by column."""
    yield Names(
        f"{DATASET}.custom-names",
        DATASET,
        MUST,
        "a column that FOCUS does not have begins with x_",
    )
    for column in FOCUS_COLUMNS:
        yield _presence(column)
        yield from _type(column)
        yield from _format(column)
        yield from _values(column)


def _presence(column: Column) -> Presence:
    keyword = SHOULD if column.level is Level.RECOMMENDED else MUST
    text = "the dataset has the column"
    criteria = CRITERIA.get(column.name, frozenset())
    return Presence(f"{column.name}.present", column.name, keyword, text, criteria)


def _row(column: str, check: str, text: str, violation: str, keyword: Keyword = MUST) -> RowRule:
    return RowRule(f"{column}.{check}", column, keyword, text, violation=violation)


def _by_value(
    column: str, check: str, text: str, violation: str, keyword: Keyword = MUST
) -> RowRule:
    return RowRule(
        f"{column}.{check}", column, keyword, text, violation=violation, decided_by=(column,)
    )


def _of_text(column: str, check: str, text: str, violation: str) -> RowRule:
    return RowRule(f"{column}.{check}", column, MUST, text, violation=violation, of_text=True)


def _type(column: Column) -> Iterator[RowRule]:
    name, text = column.name, text_of(column.name)
    stored = mistyped(name)
    if column.kind is Kind.STRING:
        yield _of_text(name, "type", "the values are strings", stored)
    elif column.kind in {Kind.DECIMAL, Kind.DATETIME}:
        kind = "decimal numbers" if column.kind is Kind.DECIMAL else "points in time"
        unreadable = f"{text} IS NOT NULL AND {name} IS NULL"
        yield _of_text(name, "type", f"the values are {kind}", f"({unreadable}) OR {stored}")


def _format(column: Column) -> Iterator[RowRule]:
    name, text = column.name, text_of(column.name)
    if column.kind is Kind.DECIMAL:
        yield _of_text(
            name,
            "format",
            "a number has digits, a point, E and a minus only",
            _unlike(text, NUMBER),
        )
    if column.kind is Kind.DATETIME:
        yield _of_text(
            name, "format", "a time is written YYYY-MM-DDTHH:mm:ssZ, in UTC", _unlike(text, MOMENT)
        )
    if column.kind is Kind.JSON:
        yield _by_value(
            name,
            "format",
            "an object of JSON whose values are no objects and no lists",
            _no_pairs(name),
        )
    if name.endswith("Currency"):
        yield _by_value(
            name, "format", "a currency is three capital letters", _unlike(name, CURRENCY)
        )
    if name in UNITS:
        yield _by_value(
            name,
            "format",
            "a unit is written as the Unit Format has it",
            _unlike(name, UNIT),
            SHOULD,
        )
    if name in FREE_TEXT:
        # Only what is empty or begins with a blank sorts before an exclamation mark.
        blank = f"{name} < '!' AND trim({name}) = ''"
        yield _row(
            name,
            "no-placeholder",
            "what there is not is null and no empty or other text",
            f"({blank}) OR {name} IN {_listed(PLACEHOLDERS)}",
        )


def _values(column: Column) -> Iterator[RowRule]:
    name = column.name
    if not column.nullable:
        yield _row(name, "not-null", "no value is null", _null(column))
    if column.allowed:
        yield _by_value(
            name,
            "allowed",
            f"one of {len(column.allowed)} values that FOCUS names",
            f"{name} IS NOT NULL AND {name} NOT IN {_listed(column.allowed)}",
        )
    if name == "BillingCurrency":
        yield _by_value(
            name,
            "national",
            "a national currency of ISO 4217",
            f"{name} NOT IN {_listed(sorted(NATIONAL_CURRENCIES))}",
        )
    if name.endswith("UnitPrice"):
        yield _row(name, "not-negative", "a price is 0 or more", f"{name} < 0")


def _null(column: Column) -> str:
    # A text that is no number has been told by its type.
    if column.kind in {Kind.DECIMAL, Kind.DATETIME}:
        stored = f"({text_of(column.name)} IS NOT NULL OR {mistyped(column.name)})"
        return f"{column.name} IS NULL AND NOT {stored}"
    return f"{column.name} IS NULL"


def _unlike(name: str, pattern: str) -> str:
    return f"{name} IS NOT NULL AND NOT regexp_full_match({name}, '{pattern}')"


def _no_pairs(name: str) -> str:
    keys = f"json_keys({name})"
    nested = (
        f"len(list_filter(json_extract({name}, '$.*'), "
        "lambda one: json_type(one) IN ('OBJECT', 'ARRAY'))) > 0"
    )
    # The brackets are looked for first: few objects hold any, and taking one apart takes long.
    may_nest = f"contains({name}, '[') OR contains(substr({name}, 2), '{{')"
    # What the engine lets pass and JSON does not: a comma before the end, and what is no number.
    without_texts = f"regexp_replace({name}, '{_JSON_TEXT}', '', 'g')"
    lax = f"regexp_matches({name}, '{_LAX}') AND regexp_matches({without_texts}, '{_LAX}')"
    # Of what is no JSON, nothing else may be asked: CASE alone keeps to its order.
    return (
        f"CASE WHEN {name} IS NULL THEN false WHEN NOT json_valid({name}) THEN true "
        f"WHEN json_type({name}) <> 'OBJECT' OR {lax} THEN true "
        f"WHEN len({keys}) <> len(list_distinct({keys})) THEN true "
        f"WHEN {may_nest} THEN {nested} ELSE false END"
    )


def _listed(values: tuple[str, ...] | list[str]) -> str:
    return "(" + ", ".join("'" + value.replace("'", "''") + "'" for value in values) + ")"
