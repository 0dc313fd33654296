"""The file of a mandate: what a person writes down."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import Discriminator, Field, RootModel, Tag, field_validator

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.files import settings
from xops.core.files.validation import Day, Model, absent
from xops.triggers.facts import check_lasts

Line = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^\S")]


_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_ONE_OF_TWO = "name a cloud or a site, one of the two"


class _Record(Model):
    """One mandate as a person declares it."""

    api_version: Annotated[Literal["xops/v1"], Field(alias="apiVersion")]
    who: Annotated[Line, Field(description="Who demands it: the regulator, the customer.")]
    what: Annotated[Line, Field(description="What is demanded, in a sentence.")]
    jurisdiction: Annotated[Line, Field(description="Whose law or contract it is: AU, EU, ...")]
    evidence: Annotated[
        str, Field(pattern=r"^https://\S+$", description="Link to the document itself.")
    ]
    effective_from: Annotated[Day, Field(description="The first day on which it binds.")]
    expires: Annotated[Day, Field(description="The first day on which it no longer binds.")]

    @field_validator("effective_from", "expires", mode="before")
    @classmethod
    def _is_a_day(cls, value: object) -> object:
        # A time in another zone may be on another day, and numbers would be seconds since 1970.
        written = isinstance(value, str) and _DAY.fullmatch(value)
        if not written and type(value) is not date:
            raise ValueError("write a day like 2026-07-01, without a time or a zone")
        return value

    _lasts = field_validator("expires")(check_lasts)


class CloudRecord(_Record):
    """A mandate for a second cloud."""

    kind: ClassVar[Literal["second_cloud"]] = "second_cloud"
    cloud: Annotated[
        Literal["azure", "gcp"], Field(description="The second cloud that is demanded.")
    ]
    site: Annotated[None, absent(_ONE_OF_TWO)] = None

    @property
    def subject(self) -> str:
        """The cloud."""
        return self.cloud


class SiteRecord(_Record):
    """A mandate for a site on premises or at the edge."""

    kind: ClassVar[Literal["edge"]] = "edge"
    site: Annotated[Line, Field(description="The site on premises or at the edge.")]
    cloud: None = None

    @property
    def subject(self) -> str:
        """The site."""
        return self.site


Declarable = CloudRecord | SiteRecord
"""What one file declares."""


def _kind_of_record(value: Any) -> str | None:
    given = value if isinstance(value, dict) else vars(value) if isinstance(value, _Record) else {}
    if given.get("cloud") is not None:
        return "of a cloud"
    return None if given.get("site") is None else "of a site"


class Record(
    RootModel[
        Annotated[
            Annotated[CloudRecord, Tag("of a cloud")] | Annotated[SiteRecord, Tag("of a site")],
            Discriminator(
                _kind_of_record,
                custom_error_type="kind_of_record",
                custom_error_message=_ONE_OF_TWO,
            ),
        ]
    ]
):
    """One mandate as a person declares it, a file of its own."""


def read_record(file: Path) -> Declarable:
    """The record in a file.

    Raises:
        InputError: everything that is wrong with it, each with path and line.
    """
    if file.is_symlink():  # its own commit would say nothing of what it leads to
        finding = Finding(settings.display(file.parent / file.name), "", _IS_LINK)
        raise InputError(f"reading {file.name}", [finding])
    return settings.load(Record, file, prefix="", environ={}, arguments={}).root


_IS_LINK = "is a link: put the record itself here"


_FIRST = ("apiVersion", "cloud", "site")


def draft(values: Mapping[str, object]) -> str:
    """The text of a file that declares those values, by key.

    Raises:
        ValidationError: they are no record; its locations are the keys.
    """
    record = Record.model_validate({"apiVersion": "xops/v1", **values}).root
    found = record.model_dump(by_alias=True, exclude_none=True)
    written = {name: found[name] for name in (*_FIRST, *found) if name in found}
    # YAML takes these three for line breaks and reads them as a space: escapes keep them.
    breaks = any(mark in str(value) for value in written.values() for mark in "\x85\u2028\u2029")
    text = yaml.safe_dump(written, sort_keys=False, allow_unicode=not breaks, width=1000)
    return f"# yaml-language-server: $schema=./schema.json\n{text}"


def write_draft(file: Path, text: str) -> None:
    """Write a new record, and nothing if it would not be read as one.

    Raises:
        InputError: it would not, or there is such a file.
        PermanentError: it cannot be written.
    """
    attempted = f"writing {settings.display(file)}"
    try:
        with TemporaryDirectory(prefix=".draft-", dir=file.parent) as folder:
            partial = Path(folder) / file.name
            partial.write_text(text, encoding="utf-8")
            read_record(partial)
            os.link(partial, file)  # unlike a rename, a link refuses to replace
    except FileExistsError:
        finding = Finding(settings.display(file), "", "is there already")
        raise InputError(attempted, [finding], "Name another file: `--file NAME`.") from None
    except OSError as error:
        remedy = "Make the folder that mandates.folder of the policy names, or correct it."
        raise PermanentError(attempted, error.strerror or str(error), remedy) from None
