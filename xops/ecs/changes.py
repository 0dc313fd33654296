"""Terraform's JSON plan as a `Plan`. Pure.

Source of the format: developer.hashicorp.com/terraform/internals/json-format, version 1.x.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from xops.core.errors import PermanentError
from xops.core.plan.fingerprint import FingerprintKey
from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.values import Json, escape, is_hidden, is_same, unknown
from xops.ecs.references import References

STAGE = "terraform"
"""The stage of an apply in which Terraform works."""

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

# Terraform does not wait until its edges have a distribution: that goes on after the apply.
_SETTLING = {
    "aws_cloudfront_distribution": frozenset(
        {"etag", "in_progress_validation_batches", "last_modified_time", "status"}
    )
}

_TELLING = 8
"""A secret must be this long to be taken for one within another text."""


def from_terraform(
    document: Mapping[str, Any],
    subject: str,
    target: str,
    key: FingerprintKey,
    *,
    before: Iterable[Change] = (),
    inputs: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
) -> Plan:
    """The plan of one stack, in the order of addresses: Terraform's own order follows from them.

    Args:
        document: what `terraform show -json PLANFILE` printed.
        subject: for example `ecs/prod`.
        target: embedded, localstack or aws.
        key: marks what is not shown.
        before: changes that are made before Terraform's (the state's bucket), in their order.
        inputs: what the apply would use beyond the changes.
        warnings: what Terraform warns of.
    """
    drifted = {row["address"] for row in document.get("resource_drift", []) if _is_drift(row)}
    masking = _Masking(key, References(document, key), _find_secrets(document))
    rows = sorted(document.get("resource_changes", []), key=_row_order)
    resources = [*before, *masking.resources(rows, drifted)]
    outputs = list(masking.outputs(document))
    # Outputs follow the resources; only where they change alone does a person need to see them.
    return Plan(
        subject=subject,
        target=target,
        changes=tuple(resources or outputs),
        follows=tuple(outputs) if resources else (),
        inputs=inputs or {},
        key=key.id,
        warnings=tuple(warnings),
    )


def _is_drift(row: Mapping[str, Any]) -> bool:
    """Whether somebody has changed it: what AWS does to it by itself while it settles is none."""
    change = row.get("change") or {}
    before, after = change.get("before") or {}, change.get("after") or {}
    keys = before.keys() | after.keys()
    differing = {key for key in keys if before.get(key) != after.get(key)}
    return not differing or not differing <= _SETTLING.get(row.get("type", ""), frozenset())


def _row_order(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["address"], row.get("deposed") or ""


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
    if row["change"]["actions"][:2] == ["create", "delete"]:
        parts.append("its successor is made first")
    if paths := row["change"].get("replace_paths"):
        parts.append("cannot be changed in place: " + ", ".join(_dotted(path) for path in paths))
    elif why := row.get("action_reason"):
        parts.append(why.replace("_", " "))
    if drifted:
        parts.append("changed outside Terraform")
    return "; ".join(parts)


def _dotted(path: Iterable[object]) -> str:
    return ".".join(str(part) for part in path)


@dataclass(frozen=True)
class _Masking:
    """Changes with markers in the place of secrets and of what only the apply will tell.

    Attributes:
        key: makes the markers.
        references: what values are made from.
        secrets: texts that Terraform marks as sensitive anywhere: a provider may repeat one in a
            computed attribute, which Terraform does not mark.
    """

    key: FingerprintKey
    references: References = field(repr=False)
    secrets: frozenset[str] = field(repr=False)

    def resources(self, rows: Iterable[Mapping[str, Any]], drifted: set[str]) -> Iterator[Change]:
        for row in rows:
            action = _action(row)
            if action is not None:
                yield self._resource(row, action, row["address"] in drifted)

    def _resource(self, row: Mapping[str, Any], action: Action, drifted: bool) -> Change:
        change, address = row["change"], row["address"]
        before = self._masked(change["before"], change.get("before_sensitive"), None, ())
        after = self._masked(
            change.get("after"), change.get("after_sensitive"), change.get("after_unknown"), address
        )
        if action is Action.UPDATE:  # what is replaced is lost, and made anew, as a whole
            before, after = _differing(before, after)
        return Change(
            action=action,
            target=_target(row),
            before=before,
            after=after,
            reason=_reason(row, drifted),
            disposable=row["type"] in _DISPOSABLE,
            stage=STAGE,
        )

    def outputs(self, document: Mapping[str, Any]) -> Iterator[Change]:
        for name, change in sorted(document.get("output_changes", {}).items()):
            action = _ACTIONS.get(tuple(change["actions"]))
            if action is not None:
                yield Change(
                    # An output is a view of the state: when it goes, nothing is lost.
                    action=Action.UPDATE if action is Action.DELETE else action,
                    target=f"output.{name}",
                    before=self._masked(
                        change.get("before"), change.get("before_sensitive"), None, ()
                    ),
                    after=self._masked(
                        change.get("after"),
                        change.get("after_sensitive"),
                        change.get("after_unknown"),
                        self.references.of_output(name),
                    ),
                    stage=STAGE,
                )

    def _masked(
        self, value: Json, sensitive: Json, unknown_at: Json, made_from: str | tuple[str, ...]
    ) -> Json:
        """`value` without nulls; `made_from` is the address whose attributes are looked up, or
        what all of it is made from."""
        if unknown_at is True:
            return unknown(made_from if isinstance(made_from, tuple) else ())
        if value is None and not unknown_at:
            return None
        shape = unknown_at if value is None else value
        if isinstance(shape, Mapping):
            return self._masked_mapping(value or {}, sensitive, unknown_at, made_from)
        if isinstance(shape, list):
            # Items at the end that are not known yet may be left out of the value.
            rows = zip_longest(value or [], unknown_at if isinstance(unknown_at, list) else [])
            return [
                self._masked(item, _at(sensitive, index), is_unknown, made_from)
                for index, (item, is_unknown) in enumerate(rows)
            ]
        return self.key.hide(value) if sensitive is True or self._tells(value) else value

    def _tells(self, value: Json) -> bool:
        """Whether it is a secret, or a text around one that is too long to be there by chance."""
        if not isinstance(value, str) or value in self.secrets:
            return isinstance(value, str)
        return any(len(secret) >= _TELLING and secret in value for secret in self.secrets)

    def _masked_mapping(
        self,
        value: Mapping[str, Json],
        sensitive: Json,
        unknown_at: Json,
        made_from: str | tuple[str, ...],
    ) -> Json:
        unknown_at = unknown_at if isinstance(unknown_at, Mapping) else {}
        keys = {key for key, item in value.items() if item is not None}
        keys |= {key for key, item in unknown_at.items() if item}

        def source(key: str) -> tuple[str, ...]:
            if isinstance(made_from, tuple):
                return made_from
            return self.references.of(made_from, key)

        return {
            escape(key): self._masked(
                value.get(key), _inner(sensitive, key), unknown_at.get(key), source(key)
            )
            for key in sorted(keys)
        }


def _find_secrets(document: Mapping[str, Any]) -> frozenset[str]:
    """Every text that Terraform marks as sensitive anywhere in the plan, or in what it has read.

    A data source stands among no changes, and its secret may be repeated where nothing marks it.
    """
    rows = [row["change"] for row in document.get("resource_changes", [])]
    rows += document.get("output_changes", {}).values()
    return frozenset(
        text
        for change in rows
        for side in ("before", "after")
        for text in _marked(change.get(side), change.get(f"{side}_sensitive"))
    ) | frozenset(_secrets_read(document))


def _secrets_read(document: Mapping[str, Any]) -> Iterator[str]:
    before = document.get("prior_state", {}).get("values", {})
    waiting = [
        values.get("root_module", {}) for values in (before, document.get("planned_values", {}))
    ]
    while waiting:
        module = waiting.pop()
        waiting += module.get("child_modules", [])
        for row in module.get("resources", []):
            yield from _marked(row.get("values"), row.get("sensitive_values"))


def _marked(value: Json, sensitive: Json) -> Iterator[str]:
    if sensitive is True and isinstance(value, str) and value:
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _marked(item, _inner(sensitive, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _marked(item, _at(sensitive, index))


def _inner(marks: Json, key: str) -> Json:
    return marks.get(key) if isinstance(marks, Mapping) else marks is True


def _at(marks: Json, index: int) -> Json:
    if isinstance(marks, list):
        return marks[index] if index < len(marks) else None
    return marks is True


def _differing(before: Json, after: Json) -> tuple[Json, Json]:
    """Only the attributes whose values differ, so that a person sees what changes."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping) or is_hidden(after):
        return before, after
    keys = [
        key
        for key in sorted(before.keys() | after.keys())
        if not is_same(before.get(key), after.get(key))
    ]
    return (
        {key: before[key] for key in keys if key in before},
        {key: after[key] for key in keys if key in after},
    )
