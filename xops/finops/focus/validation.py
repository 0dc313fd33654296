"""Holding a dataset against the rules: one pass over its rows counts what breaks each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import duckdb

from xops.core.errors import Finding, InputError
from xops.finops.focus.applicability import Waiver, waivers
from xops.finops.focus.columns import FOCUS_COLUMNS, Kind, Version
from xops.finops.focus.group_rules import SUMS
from xops.finops.focus.outcome import Checked, Example, State, Validation
from xops.finops.focus.requirement import (
    CHARGES,
    CHARGES_AND_TEXTS,
    CRITERIA,
    INVOICES,
    MANDATORY,
    Criterion,
    GroupRule,
    Names,
    Presence,
    Requirement,
    RowRule,
    Rule,
)
from xops.finops.focus.rules import rules_of
from xops.finops.focus.source import FILE, ROW, Export, open_exports, text_of

_SINCE = {column.name: column.since for column in FOCUS_COLUMNS}
_JSON = frozenset(column.name for column in FOCUS_COLUMNS if column.kind is Kind.JSON)
_MOST_TEXT = 80


@dataclass(frozen=True)
class Case:
    """What is asked.

    Attributes:
        version: of FOCUS; None: the one whose columns the files have.
        without: what the dataset does not support.
        invoices: what invoices come to, by id; None: not given.
        waive: whether gaps that the provider names itself are told apart.
        only: the columns, or the ids of the rules, that are asked for; empty: all.
    """

    files: Sequence[Path]
    version: Version | None = None
    without: frozenset[Criterion] = frozenset()
    invoices: Mapping[str, Decimal] | None = field(default=None, hash=False)
    waive: bool = True
    only: frozenset[str] = frozenset()

    def rules_of(self, version: Version) -> list[Rule]:
        """The rules that are asked for.

        Raises:
            InputError: something is asked for that the version has no rule of.
        """
        rules = [*rules_of(version)]
        if self.invoices is not None:
            # Who gives totals asks for the sums, of data too that has no invoices in its version.
            rules += [one for one in rules_of(Version.V1_2) if one.id == SUMS and one not in rules]
        known = {name for rule in rules for name in (rule.id, rule.column)}
        if unknown := sorted(self.only - known):
            findings = [
                Finding("argument --only", "", f"{name!r} is no column or rule of {version}")
                for name in unknown
            ]
            raise InputError("choosing rules of FOCUS", findings)
        return [rule for rule in rules if not self.only or self.only & {rule.id, rule.column}]

    def supports(self, criteria: Iterable[Criterion]) -> bool:
        """Whether the dataset supports all of them."""
        lacks = self.without
        if self.invoices is None:
            lacks |= {Criterion.INVOICE_TOTALS}
        return lacks.isdisjoint(criteria)


def validate(case: Case) -> Validation:
    """Hold files against the rules of FOCUS, all of them as one dataset.

    Raises:
        InputError: a file cannot be read to its end.
    """
    with open_exports(list(case.files)) as (engine, exports):
        version = case.version or guess_version(exports)
        sorted_rules = _Sorting(case, exports).sort(case.rules_of(version))
        if case.invoices is not None:
            _add_invoices(engine, case.invoices)
        rows, counts, of_groups = _ask_all(engine, sorted_rules)
        checked = list(sorted_rules.told)
        if rows:
            waived = waivers() if case.waive else {}
            checked += _check_rows(engine, sorted_rules.of_rows, counts, waived)
            checked += of_groups
        else:
            left = (*sorted_rules.of_rows, *sorted_rules.of_groups)
            checked += [Checked(rule, State.NOT_RUN, why="there are no rows") for rule in left]
    return Validation(
        tuple(str(file) for file in case.files),
        rows,
        version,
        case.version is None,
        tuple(sorted(checked, key=lambda one: (one.rule.column, one.rule.id))),
    )


def guess_version(exports: Sequence[Export]) -> Version:
    """The first version whose datasets may have all the columns that the files have."""
    named = {name for export in exports for name in export.names}
    return max((_SINCE[name] for name in named & _SINCE.keys()), default=Version.V1_0)


@dataclass
class _Sorting:
    """What can be told of a rule without its rows, and which are to be asked of the engine."""

    case: Case
    exports: Sequence[Export]
    told: list[Checked] = field(default_factory=list)
    of_rows: list[RowRule] = field(default_factory=list)
    of_groups: list[GroupRule] = field(default_factory=list)

    def sort(self, rules: Iterable[Rule]) -> _Sorting:
        for rule in rules:
            match rule:
                case Presence():
                    self.told.append(self._tell_presence(rule))
                case Names():
                    self.told.append(self._tell_names(rule))
                case RowRule() | GroupRule():
                    self._sort(rule)
        return self

    def _sort(self, rule: RowRule | GroupRule) -> None:
        missing = [name for name in (rule.column, *rule.needs) if self._lacking(name)]
        if not self.case.supports(rule.criteria):
            self.told.append(_not_applicable(rule, rule.criteria, self.case))
        elif missing:
            required = [name for name in missing if self._is_required(name)]
            why = f"there is no {', '.join(required or missing)}"
            state = State.NOT_RUN if required else State.NOT_APPLICABLE
            self.told.append(Checked(rule, state, why=why))
        elif isinstance(rule, RowRule):
            self._sort_of_rows(rule)
        else:
            self.of_groups.append(rule)

    def _sort_of_rows(self, rule: RowRule) -> None:
        if rule.of_text and not any(rule.column in export.as_text for export in self.exports):
            # Stored in its type: there is no text that could be wrong.
            self.told.append(Checked(rule, State.HELD))
        else:
            self.of_rows.append(rule)

    def _tell_presence(self, rule: Presence) -> Checked:
        lacking = self._lacking(rule.column)
        if lacking and not self.case.supports(rule.criteria):
            return _not_applicable(rule, rule.criteria, self.case)
        if not lacking:
            return Checked(rule, State.HELD)
        first = Example(str(lacking[0].file))
        return Checked(rule, State.VIOLATED, len(lacking), "files", first)

    def _tell_names(self, rule: Names) -> Checked:
        odd = [
            (export, name)
            for export in self.exports
            for name in export.names
            if name not in _SINCE and not name.startswith("x_")
        ]
        if not odd:
            return Checked(rule, State.HELD)
        first = Example(str(odd[0][0].file), value=odd[0][1][:_MOST_TEXT])
        return Checked(rule, State.VIOLATED, len(odd), "columns", first)

    def _lacking(self, column: str) -> list[Export]:
        return [export for export in self.exports if column not in export.names]

    def _is_required(self, column: str) -> bool:
        if column == "InvoiceId" and self.case.invoices is not None:
            return True
        criteria = CRITERIA.get(column)
        return column in MANDATORY or (criteria is not None and self.case.supports(criteria))


def _not_applicable(rule: Requirement, criteria: Iterable[Criterion], case: Case) -> Checked:
    lacks = sorted(one for one in criteria if not case.supports([one]))
    return Checked(rule, State.NOT_APPLICABLE, why=f"not supported: {', '.join(lacks)}")


def _add_invoices(engine: duckdb.DuckDBPyConnection, totals: Mapping[str, Decimal]) -> None:
    engine.execute("CREATE TABLE invoices (InvoiceId VARCHAR, payable DECIMAL(38, 12))")
    if totals:
        engine.executemany(
            "INSERT INTO invoices VALUES (?, ?)", [list(one) for one in totals.items()]
        )
    # An invoice whose charges are not there adds up to nothing, which is not its total.
    joined = f"FROM invoices LEFT JOIN {CHARGES} USING (InvoiceId)"
    engine.execute(f"CREATE VIEW {INVOICES} AS SELECT InvoiceId, payable, BilledCost {joined}")


def _check_rows(
    engine: duckdb.DuckDBPyConnection,
    rules: Sequence[RowRule],
    counts: Mapping[str, int],
    waived: Mapping[str, tuple[Waiver, ...]],
) -> Iterator[Checked]:
    broken = {rule: count for rule, count in counts.items() if count}
    rules_broken = [rule for rule in rules if rule.id in broken]
    known = _count_waived(engine, rules_broken, waived)
    first = _find_first(engine, rules_broken)
    for rule in rules:
        if rule.id not in broken:
            yield Checked(rule, State.HELD)
            continue
        left = broken[rule.id] - known.get(rule.id, 0)
        yield Checked(
            rule,
            State.VIOLATED if left else State.WAIVED,
            left,
            "rows",
            first[rule.id],
            waived=known.get(rule.id, 0),
            waivers=waived.get(rule.id, ()) if known.get(rule.id) else (),
        )


def _ask_all(
    engine: duckdb.DuckDBPyConnection, rules: _Sorting
) -> tuple[int, dict[str, int], list[Checked]]:
    """How many rows there are, how many break each rule, and what became of those of groups.

    The look at all rows is the long one; the short ones are asked beside it.
    """
    of_each = [rule for rule in rules.of_rows if not rule.decided_by]
    of_values = [rule for rule in rules.of_rows if rule.decided_by]
    with ThreadPoolExecutor(2) as threads:
        each = threads.submit(_count_rows, engine.cursor(), of_each)
        values = threads.submit(_count_values, engine.cursor(), of_values)
        groups = threads.submit(_check_groups, engine.cursor(), rules.of_groups)
        rows, counts = each.result()
        return rows, counts | values.result(), groups.result()


def _count_rows(
    engine: duckdb.DuckDBPyConnection, rules: Sequence[RowRule]
) -> tuple[int, dict[str, int]]:
    """How many rows there are, and how many break each rule, in one look at all of them."""
    rows, *found = _ask(engine, ["count(*)", *(_counted(rule.violation) for rule in rules)])
    return rows, dict(zip((rule.id for rule in rules), found, strict=True))


def _count_values(engine: duckdb.DuckDBPyConnection, rules: Sequence[RowRule]) -> dict[str, int]:
    """How many rows break each rule, by a look at the few values that decide them."""
    counts: dict[str, int] = {}
    for together in _by_columns(rules):
        columns = ", ".join(sorted({name for rule in together for name in rule.decided_by}))
        values = f"(SELECT {columns}, count(*) AS number FROM {CHARGES} GROUP BY ALL)"  # noqa: S608
        summed = [f"coalesce(sum(number) FILTER (WHERE {rule.violation}), 0)" for rule in together]
        sums = _ask(engine, summed, values)
        counts |= {rule.id: int(count) for rule, count in zip(together, sums, strict=True)}
    return counts


def _by_columns(rules: Iterable[RowRule]) -> list[list[RowRule]]:
    """Rules whose columns are looked at together: those of a JSON column have it for themselves."""
    found: dict[str, list[RowRule]] = {}
    for rule in rules:
        found.setdefault(rule.column if rule.column in _JSON else "", []).append(rule)
    return list(found.values())


def _counted(condition: str) -> str:
    # As count(*) FILTER (WHERE ...), in a third of its time.
    return f"count_if({condition})"


def _ask(
    engine: duckdb.DuckDBPyConnection, questions: Sequence[str], table: str = CHARGES_AND_TEXTS
) -> tuple[int, ...]:
    if not questions:
        return ()
    query = f"SELECT {', '.join(questions)} FROM {table}"  # noqa: S608
    return tuple(engine.execute(query).fetchall()[0])


def _count_waived(
    engine: duckdb.DuckDBPyConnection,
    rules: Sequence[RowRule],
    waived: Mapping[str, tuple[Waiver, ...]],
) -> dict[str, int]:
    with_waivers = [rule for rule in rules if rule.id in waived]
    questions = []
    for rule in with_waivers:
        providers = ", ".join(f"'{one.provider}'" for one in waived[rule.id])
        counted = _counted(f"({rule.violation}) AND ProviderName IN ({providers})")
        questions.append(f"coalesce({counted}, 0)")  # null where no row has a provider
    counts = _ask(engine, questions)
    return dict(zip((rule.id for rule in with_waivers), counts, strict=True))


def _find_first(engine: duckdb.DuckDBPyConnection, rules: Sequence[RowRule]) -> dict[str, Example]:
    """The first row that breaks each rule, and what it has there."""
    if not rules:
        return {}
    questions = []
    for rule in rules:
        value = f"left(coalesce({text_of(rule.column)}, {rule.column}::VARCHAR), {_MOST_TEXT})"
        place = f"{{'file': {FILE}, 'row': {ROW}, 'value': {value}}}"
        questions.append(f"min({place}) FILTER (WHERE {rule.violation})")
    query = f"SELECT {', '.join(questions)} FROM {CHARGES_AND_TEXTS}"  # noqa: S608
    found = engine.execute(query).fetchall()[0]
    return {
        rule.id: Example(one["file"], one["row"], one["value"])
        for rule, one in zip(rules, found, strict=True)
    }


def _check_groups(engine: duckdb.DuckDBPyConnection, rules: Sequence[GroupRule]) -> list[Checked]:
    """Rules of the same groups are asked of them together."""
    together: dict[tuple[str, tuple[str, ...]], list[GroupRule]] = {}
    for rule in rules:
        together.setdefault((rule.source, rule.keys), []).append(rule)
    return [
        checked
        for (table, keys), same in together.items()
        for checked in _check_same_groups(engine, same, table, keys)
    ]


def _check_same_groups(
    engine: duckdb.DuckDBPyConnection,
    rules: Sequence[GroupRule],
    table: str,
    keys: tuple[str, ...],
) -> Iterator[Checked]:
    named = ", ".join(keys)
    known = " AND ".join(f"{key} IS NOT NULL" for key in keys)
    told = ", ".join(
        f"CASE WHEN {rule.violation} THEN concat_ws(', ', {named}) || ': ' || "
        f"coalesce({rule.value}, '') END"
        f" AS broken{number}"
        for number, rule in enumerate(rules)
    )
    groups = f"(SELECT {told} FROM {table} WHERE {known} GROUP BY {named})"  # noqa: S608
    asked = ", ".join(f"count(broken{one}), min(broken{one})" for one in range(len(rules)))
    found = engine.execute(f"SELECT {asked} FROM {groups}").fetchall()[0]  # noqa: S608
    for rule, count, first in zip(rules, found[::2], found[1::2], strict=True):
        if count:
            example = Example(value=first[: 2 * _MOST_TEXT])
            yield Checked(rule, State.VIOLATED, count, "groups", example)
        else:
            yield Checked(rule, State.HELD)
