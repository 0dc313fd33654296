"""Terraform's JSON plan as a `Plan`. Pure.

Source of the format: developer.hashicorp.com/terraform/internals/json-format, version 1.x.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from xops.core.plan import Action, Change, Json, Plan

UNKNOWN = "(known after apply)"
SENSITIVE = "(sensitive)"

_ACTIONS = {
    ("create",): Action.CREATE,
    ("update",): Action.UPDATE,
    ("delete",): Action.DELETE,
    ("delete", "create"): Action.REPLACE,
    ("create", "delete"): Action.REPLACE,
}

# Replacing these loses nothing: revisions of a task definition are immutable and are kept.
_DISPOSABLE = frozenset({"aws_ecs_task_definition"})


def from_terraform(
    document: Mapping[str, Any], subject: str, target: str, before: Iterable[Change] = ()
) -> Plan:
    """The plan of one stack.

    Args:
        document: what `terraform show -json PLANFILE` printed.
        subject: for example `ecs/prod`.
        target: embedded, localstack or aws.
        before: changes that are made before Terraform's (the state's bucket).
    """
    drifted = {row["address"] for row in document.get("resource_drift", [])}
    rows = document.get("resource_changes", [])
    resources = list(_resources(rows, drifted))
    # Outputs follow the resources; only where they change alone does a person need to see them.
    changes = [*before, *(resources or _outputs(document))]
    return Plan(subject=subject, target=target, changes=tuple(changes))


def _resources(rows: Iterable[Mapping[str, Any]], drifted: set[str]) -> Iterator[Change]:
    for row in rows:
        action = _ACTIONS.get(tuple(row["change"]["actions"]))
        if action is not None:  # the others, "no-op" and "read", change nothing
            yield _resource(row, action, row["address"] in drifted)


def _resource(row: Mapping[str, Any], action: Action, drifted: bool) -> Change:
    change = row["change"]
    before = _masked(change["before"], change.get("before_sensitive"), {})
    after = _masked(change.get("after"), change.get("after_sensitive"), change.get("after_unknown"))
    if action in (Action.UPDATE, Action.REPLACE):
        before, after = _differing(before, after)
    return Change(
        action=action,
        target=row["address"],
        before=before,
        after=after,
        reason=_reason(row, drifted),
        disposable=row["type"] in _DISPOSABLE,
    )


def _reason(row: Mapping[str, Any], drifted: bool) -> str:
    parts = []
    if paths := row["change"].get("replace_paths"):
        parts.append("cannot be changed in place: " + ", ".join(_dotted(path) for path in paths))
    elif why := row.get("action_reason"):
        parts.append(why.replace("_", " "))
    if drifted:
        parts.append("changed outside Terraform")
    return "; ".join(parts)


def _dotted(path: Iterable[object]) -> str:
    return ".".join(str(part) for part in path)


def _masked(value: Json, sensitive: Json, unknown: Json) -> Json:
    """`value` without nulls, secrets replaced, and what only the apply will tell marked so."""
    if sensitive is True:
        return SENSITIVE
    if unknown is True:
        return UNKNOWN
    if isinstance(value, dict) or isinstance(unknown, dict):
        return _masked_mapping(value or {}, sensitive, unknown)
    if isinstance(value, list):
        return [
            _masked(item, _at(sensitive, index), _at(unknown, index))
            for index, item in enumerate(value)
        ]
    return value


def _masked_mapping(value: Mapping[str, Json], sensitive: Json, unknown: Json) -> Json:
    unknown = unknown if isinstance(unknown, dict) else {}
    keys = {key for key, item in value.items() if item is not None}
    keys |= {key for key, item in unknown.items() if item}
    sensitive = sensitive if isinstance(sensitive, dict) else {}
    return {
        key: _masked(value.get(key), sensitive.get(key), unknown.get(key)) for key in sorted(keys)
    }


def _at(marks: Json, index: int) -> Json:
    return marks[index] if isinstance(marks, list) and index < len(marks) else None


def _differing(before: Json, after: Json) -> tuple[Json, Json]:
    """Only the attributes whose values differ, so that a person sees what changes."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return before, after
    keys = [key for key in sorted(before | after) if before.get(key) != after.get(key)]
    # Secrets look equal when masked: an update that shows nothing else changes one of them.
    if not keys:
        keys = [key for key in sorted(after) if SENSITIVE in str(after[key])]
    return (
        {key: before[key] for key in keys if key in before},
        {key: after[key] for key in keys if key in after},
    )


def _outputs(document: Mapping[str, Any]) -> Iterator[Change]:
    for name, change in sorted(document.get("output_changes", {}).items()):
        action = _ACTIONS.get(tuple(change["actions"]))
        if action is not None:
            yield Change(
                # An output is a view of the state: when it goes, nothing is lost.
                action=Action.UPDATE if action is Action.DELETE else action,
                target=f"output.{name}",
                before=_masked(change.get("before"), change.get("before_sensitive"), False),
                after=_masked(
                    change.get("after"), change.get("after_sensitive"), change.get("after_unknown")
                ),
            )
