"""Terraform's JSON plan as a `Plan`. Pure.

Source of the format: developer.hashicorp.com/terraform/internals/json-format, version 1.x.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from xops.core.errors import PermanentError
from xops.core.plan.model import Action, Change, Json, Plan

UNKNOWN = "(known after apply)"
SENSITIVE = "(sensitive)"

_ACTIONS = {
    ("create",): Action.CREATE,
    ("update",): Action.UPDATE,
    ("delete",): Action.DELETE,
    ("delete", "create"): Action.REPLACE,
    ("create", "delete"): Action.REPLACE,
    ("create", "forget"): Action.REPLACE,
    # It stays in the cloud, but nothing manages it any longer.
    ("forget",): Action.UPDATE,
}
_PASSIVE = {("no-op",), ("read",)}

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
    shown = resources or list(_outputs(document))
    secrets = _secrets(document)
    changes = [*before, *(_without(change, secrets) for change in shown)]
    return Plan(subject=subject, target=target, changes=tuple(changes))


def _resources(rows: Iterable[Mapping[str, Any]], drifted: set[str]) -> Iterator[Change]:
    for row in rows:
        action = _action(row)
        if action is not None:
            yield _resource(row, action, row["address"] in drifted)


def _action(row: Mapping[str, Any]) -> Action | None:
    """What happens to the resource; None where nothing does, not even in the state.

    Raises:
        PermanentError: an action that this format's version 1.2 does not know.
    """
    actions = tuple(row["change"]["actions"])
    if actions in _PASSIVE:
        recorded_anew = "previous_address" in row or "importing" in row["change"]
        return Action.UPDATE if recorded_anew else None
    if actions not in _ACTIONS:
        raise PermanentError(
            "reading Terraform's plan",
            f"{row['address']} has the unknown action {'+'.join(actions)}",
            "Use a Terraform between 1.11 and 1.15, or teach `xops/ecs/changes.py` this action.",
        )
    return _ACTIONS[actions]


def _resource(row: Mapping[str, Any], action: Action, drifted: bool) -> Change:
    change = row["change"]
    before = _masked(change["before"], change.get("before_sensitive"), {})
    after = _masked(change.get("after"), change.get("after_sensitive"), change.get("after_unknown"))
    if action in (Action.UPDATE, Action.REPLACE):
        before, after = _differing(before, after)
    return Change(
        action=action,
        target=_target(row),
        before=before,
        after=after,
        reason=_reason(row, drifted),
        disposable=row["type"] in _DISPOSABLE,
    )


def _target(row: Mapping[str, Any]) -> str:
    # What is left over of an earlier, half-finished replacement bears its successor's address.
    deposed = row.get("deposed")
    return f"{row['address']} (deposed {deposed})" if deposed else str(row["address"])


def _reason(row: Mapping[str, Any], drifted: bool) -> str:
    parts = []
    if "previous_address" in row:
        parts.append(f"moved from {row['previous_address']}")
    if imported := row["change"].get("importing"):
        parts.append(f"imported from {imported.get('id', 'its identity')}")
    if "forget" in row["change"]["actions"]:
        parts.append("leaves the state, the object itself stays")
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
    if value is None and not unknown:
        return None
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


def _secrets(document: Mapping[str, Any]) -> frozenset[str]:
    """Every text that Terraform marks as sensitive anywhere in the plan.

    A provider may echo a secret in a computed attribute, which Terraform does not mark.
    """
    rows = [row["change"] for row in document.get("resource_changes", [])]
    rows += document.get("output_changes", {}).values()
    return frozenset(
        text
        for change in rows
        for side in ("before", "after")
        for text in _marked(change.get(side), change.get(f"{side}_sensitive"))
    )


def _marked(value: Json, sensitive: Json) -> Iterator[str]:
    if sensitive is True and isinstance(value, str) and value:
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _marked(item, _inner(sensitive, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _marked(item, sensitive is True or _at(sensitive, index))


def _inner(marks: Json, key: str) -> Json:
    return marks.get(key) if isinstance(marks, dict) else marks is True


def _without(change: Change, secrets: frozenset[str]) -> Change:
    hidden = {"before": _hidden(change.before, secrets), "after": _hidden(change.after, secrets)}
    return change.model_copy(update=hidden)


def _hidden(value: Json, secrets: frozenset[str]) -> Json:
    if isinstance(value, dict):
        return {key: _hidden(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item, secrets) for item in value]
    return SENSITIVE if isinstance(value, str) and value in secrets else value


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
