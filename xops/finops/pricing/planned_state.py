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
        if not isinstance(document, dict) or "planned_values" not in document:
            raise ValueError("is no plan of Terraform's: it has no planned_values")
        version = document.get("format_version")
        if not isinstance(version, str) or not version.startswith(_FORMAT):
            raise ValueError(f"has the format {version!r}; known is 1.x")
        prior = document.get("prior_state") or {}
        return cls(
            tuple(_resources(prior.get("values") if isinstance(prior, dict) else None)),
            tuple(_resources(document["planned_values"])),
        )


def _resources(values: Any) -> Iterator[Resource]:
    if isinstance(values, dict):
        yield from _of_module(values.get("root_module"), "")


def _of_module(module: Any, address: str) -> Iterator[Resource]:
    if not isinstance(module, dict):
        return
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


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    yield from (row for row in value if isinstance(row, dict)) if isinstance(value, list) else ()
