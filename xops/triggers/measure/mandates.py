"""Declared mandates: signed records in `deployments/mandates/`, one file each.

A record counts only if it is well-formed and its file's last commit is by an owner whom the policy
allows, with a verified signature where the policy wants one. A record that does not count is
reported with the reason. A malformed one is an error: somebody meant something by it.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Discriminator, Field, RootModel, Tag, ValidationInfo, field_validator

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.files import settings
from xops.core.files.validation import Day, Model, absent
from xops.triggers.facts import Mandate
from xops.triggers.measure.git_log import LastCommit, RepositoryLog
from xops.triggers.policy import Mandates

SCHEMA = settings.ROOT / "deployments" / "mandates" / "schema.json"

Line = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^\S")]


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

    @field_validator("expires")
    @classmethod
    def _lasts(cls, value: date, info: ValidationInfo) -> date:
        start = info.data.get("effective_from")
        if start and value <= start:
            raise ValueError(f"must be after effective_from, {start}")
        return value


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

    def mandate(self, file: str, commit: str, reason: str) -> Mandate:
        """The record as a fact; with a `reason` it does not count."""
        found = self.root
        return Mandate(
            kind=found.kind,
            subject=found.subject,
            who=found.who,
            what=found.what,
            jurisdiction=found.jurisdiction,
            evidence=found.evidence,
            effective_from=found.effective_from,
            expires=found.expires,
            valid=not reason,
            reason=reason,
            file=file,
            commit=commit,
        )


class Log(Protocol):
    """What has to be asked of the history; see `RepositoryLog`."""

    def is_shallow(self) -> bool:
        """Whether history is cut off."""
        ...

    def is_committed(self, file: Path) -> bool:
        """Whether the file is as it was committed."""
        ...

    def last_commit(self, file: Path) -> LastCommit | None:
        """The commit that last changed the file."""
        ...

    def verifies(self, sha: str) -> bool:
        """Whether the commit's signature is accepted."""
        ...


def read_mandates(policy: Mandates, log: Log | None = None) -> tuple[Mandate, ...]:
    """Every mandate of the folder, valid or with the reason why not. No folder is no mandate.

    Args:
        policy: where they are, whose commits declare, and whether these must be signed.
        log: the history; that of the folder by default.

    Raises:
        InputError: everything that is wrong with any of the files, each with path and line.
        PermanentError: the history cannot tell: the mandates are unknown.
    """
    records = _records(policy.folder)
    if not records:
        return ()
    log = log or RepositoryLog(policy.folder)
    if log.is_shallow():
        raise PermanentError(
            f"finding who committed {policy.folder.name}",
            "the clone is shallow: its oldest commit seems to have written every file",
            "Fetch the whole history: `git fetch --unshallow`.",
        )
    return tuple(_to_mandate(file, record, policy, log) for file, record in records)


def _records(folder: Path) -> list[tuple[Path, Record]]:
    records: list[tuple[Path, Record]] = []
    findings: list[Finding] = []
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            records.append((file, _record(file)))
        except InputError as error:
            findings += error.findings
    if findings:
        raise InputError(f"reading the mandates in {folder.name}", findings)
    return records


def _record(file: Path) -> Record:
    if file.is_symlink():  # its own commit would say nothing of what it leads to
        finding = Finding(file.name, "", "is a link: put the record itself here")
        raise InputError(f"reading {file.name}", [finding])
    return settings.load(Record, file, prefix="", environ={}, arguments={})


def _to_mandate(file: Path, record: Record, policy: Mandates, log: Log) -> Mandate:
    commit = log.last_commit(file)
    reason = _reason(file, commit, policy, log)
    return record.mandate(file.name, commit.sha if commit else "", reason)


def _reason(file: Path, commit: LastCommit | None, policy: Mandates, log: Log) -> str:
    """Why a well-formed record does not count; empty if it does."""
    if commit is None:
        return "is not committed"
    if not log.is_committed(file):
        return f"was changed since its last commit, {commit.sha[:12]}"
    owners = {owner.lower() for owner in policy.owners}
    if commit.author not in owners:
        return f"was committed by {commit.author}, who is not among mandates.owners"
    if not policy.signed:
        return ""
    return _unproven(commit, owners, log)


def _unproven(commit: LastCommit, owners: set[str], log: Log) -> str:
    if not log.verifies(commit.sha):
        return f"the signature of commit {commit.sha[:12]} does not verify ({commit.signature})"
    # A key is accepted for somebody: it must be an owner's, not that of anyone Git trusts.
    if _addresses(commit.signer).isdisjoint(owners):
        return f"commit {commit.sha[:12]} is signed by {commit.signer}, not by an owner"
    return ""


def _addresses(signer: str) -> set[str]:
    """The addresses in a key's user id (`Name <address>`), or the principal itself."""
    words = re.split(r"[\s<>,]", signer)
    return {word.lower() for word in words if "@" in word[1:-1]}


def schema() -> str:
    """The JSON schema of the file, as `deployments/mandates/schema.json` holds it for editors."""
    return json.dumps(Record.model_json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
