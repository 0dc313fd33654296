"""What a Terraform plan holds before and after it: resources with the values that are known.

Read from `terraform show -json`, offline. Source: Terraform's JSON output format, 1.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xops.core.errors import Finding, InputError
from xops.core.files.bounded_json import parse_json
from xops.core.files.reading import UnusableTextError, read_text

MOST_BYTES = 64 << 20
"""Of a plan: one of 5,000 resources has about ten megabytes."""

_FORMAT = "1."


@dataclass(frozen=True)
class Resource:
    """One managed resource.

    Attributes:
        address: as Terraform writes it, with its index.
        module: the address of its module; empty for the root.
        values: what is known; a value that is not known until the apply is missing.
    """

    address: str
    module: str
    type: str
    values: Mapping[str, Any]

    @property
    def index(self) -> str:
        """Its count or its key of for_each, as it is written; empty without one."""
        return self.address.removeprefix(f"{self.module}.").partition("[")[2]

    def get(self, *path: str | int, default: Any = None) -> Any:
        """The value there; the default where it is not known, or null."""
        found: Any = self.values
        for key in path:
            try:
                found = found[key]
            except (KeyError, IndexError, TypeError):
                return default
        return default if found is None else found


@dataclass(frozen=True)
class PlannedState:
    """All managed resources as they are, and as they would be."""

    before: tuple[Resource, ...]
    after: tuple[Resource, ...]

    @classmethod
    def load(cls, file: Path) -> PlannedState:
        """Read `terraform show -json PLAN > file`.

        Raises:
            InputError: it is no such document.
        """
        attempted = f"reading the plan {file}"
        try:
            return cls.of(parse_json(read_text(file, MOST_BYTES)))
        except UnusableTextError as error:
            found = Finding(str(file), "", error.problem, error.line)
        except ValueError as error:
            found = Finding(str(file), "", str(error))
        raise InputError(attempted, [found], "Write it with `terraform show -json PLAN`.")

    @classmethod
    def of(cls, document: Any) -> PlannedState:
        """From the document.

        Raises:
            ValueError: it is none of Terraform's plans, or of a format that is not known.
        """
        if not isinstance(document, dict) or document.get("planned_values") is None:
            raise ValueError("is no plan of Terraform's: it has no planned_values")
        version = document.get("format_version")
        if not isinstance(version, str) or not version.startswith(_FORMAT):
            raise ValueError(f"has the format {version!r}; known is 1.x")
        if document.get("errored"):
            raise ValueError("is of a plan that failed, so that it is not whole")
        prior = document.get("prior_state") or {}
        before = tuple(_resources(prior.get("values") if isinstance(prior, dict) else None))
        planned = tuple(_resources(document["planned_values"]))
        gone = _deleted(document) | {one.address for one in planned}
        # `-target` and `-refresh-only` plan nothing for the others: they stay, and cost.
        return cls(before, (*planned, *(one for one in before if one.address not in gone)))


def _deleted(document: Mapping[str, Any]) -> set[str]:
    """Addresses; one that Terraform only forgets runs on."""
    changes = [
        (row.get("address"), row.get("change")) for row in _dicts(document.get("resource_changes"))
    ]
    return {
        str(address)
        for address, change in changes
        if isinstance(change, dict) and "delete" in (change.get("actions") or ())
    }


def _resources(values: Any) -> Iterator[Resource]:
    if values is not None:
        yield from _of_module(_dicts([values])[0].get("root_module"), "")


def _of_module(module: Any, address: str) -> Iterator[Resource]:
    if module is None:
        return
    (module,) = _dicts([module])
    for row in _dicts(module.get("resources")):
        if row.get("mode") == "managed":
            values = row.get("values")
            yield Resource(
                str(row.get("address")),
                address,
                str(row.get("type")),
                values if isinstance(values, dict) else {},
            )
    for child in _dicts(module.get("child_modules")):
        yield from _of_module(child, str(child.get("address")))


def _dicts(value: Any) -> list[dict[str, Any]]:
    """What is left out here would cost nothing, so nothing is."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ValueError("is damaged: one of its resources, modules or changes is no object")
    return value
