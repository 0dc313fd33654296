"""Declared mandates: records in `deployments/mandates/`, one file each.

A mandate counts if it stands in the folder as an owner, whom the policy names, committed it last,
with a verified signature where the policy wants one. What a record says is compared, not how it
is written: who reformats or renames the file changes nothing. Commits of others neither make a
mandate nor end one: what they change is reported as not valid, with the reason, and so are records
that they deleted. A malformed record makes all mandates unknown: somebody meant something by it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xops.core.errors import Finding, InputError, PermanentError
from xops.core.files import settings
from xops.core.files.canonical_json import digest_of
from xops.core.files.reading import UnusableTextError, read_text
from xops.triggers.facts import Facts, Mandate
from xops.triggers.measure.git_log import open_log
from xops.triggers.measure.mandate_history import History, Judged, Log, as_mandate, is_record, plain
from xops.triggers.measure.mandate_record import Declarable, Record, read_record
from xops.triggers.policy import Mandates

SCHEMA = settings.ROOT / "deployments" / "mandates" / "schema.json"


class MalformedMandatesError(PermanentError):
    """Some of the records cannot be read, so nobody knows which mandates there are.

    Attributes:
        findings: everything that is wrong, each with file and line.
    """

    def __init__(self, folder: Path, findings: Sequence[Finding]) -> None:
        listed = "; ".join(map(str, findings))
        remedy = "Correct each of them; `xops triggers mandate check` shows whether they count."
        super().__init__(f"reading the mandates in {settings.display(folder)}", listed, remedy)
        self.findings = tuple(findings)


@dataclass(frozen=True)
class Judgement:
    """All records of the folder, and those that owners declared and that are no longer in it.

    Attributes:
        records: the well-formed ones, by file.
        findings: what is wrong with the others.
    """

    records: tuple[Judged, ...]
    findings: tuple[Finding, ...] = ()


def read_mandates(policy: Mandates, log: Log | None = None) -> tuple[Mandate, ...]:
    """Every mandate that owners declared or that stands in the folder; none is an empty tuple.

    Those that are not as an owner committed them are not valid, each with the reason.

    Args:
        policy: where they are, whose commits declare, and whether these must be signed.
        log: the history; that of the folder by default.

    Raises:
        MalformedMandatesError: everything that is wrong with any of the files.
        PermanentError: the folder or its history cannot be read: the mandates are unknown.
    """
    found = judge(policy, log)
    if found.findings:
        raise MalformedMandatesError(policy.folder, found.findings)
    return tuple(one.mandate for one in found.records)


def judge(policy: Mandates, log: Log | None = None) -> Judgement:
    """As `read_mandates`, with what to do, and with the records beside malformed ones.

    Raises:
        PermanentError: the folder or its history cannot be read: the mandates are unknown.
    """
    records: dict[str, Declarable] = {}
    findings: list[Finding] = []
    for file in _files(policy.folder):
        try:
            records[file.name] = read_record(file)
        except InputError as error:
            findings += error.findings
    findings += _misplaced(policy.folder)
    if not policy.owners:
        judged = [Judged(as_mandate(row, name, "", _NO_OWNER), _NAME_OWNERS)
                  for name, row in records.items()]  # fmt: skip
    elif log is not None:
        judged = list(History(policy, log).judged(records))
    else:
        with open_log(policy.folder) as found:
            judged = list(History(policy, found).judged(records))
    return Judgement(tuple(judged), tuple(findings))


_NO_OWNER = "cannot count: mandates.owners of the policy names nobody who may declare"
_NAME_OWNERS = "Name who may declare mandates in mandates.owners of the policy."


def _files(folder: Path) -> list[Path]:
    """The files of the folder that are to hold records."""
    attempted = f"reading the mandates in {settings.display(folder)}"
    try:
        if folder.is_symlink():  # its own commits would say nothing of what it leads to
            raise PermanentError(attempted, "it is a link", "Let mandates.folder name the folder.")
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError as error:
        raise PermanentError(
            attempted,
            error.strerror or str(error),
            "Correct mandates.folder of the policy. If there are no mandates, make the folder, with"
            " a README: Git keeps no empty one.",
        ) from None
    return [folder / name for name in names if is_record(name)]


def _misplaced(folder: Path) -> Iterator[Finding]:
    """Records that would not count for where they are, or for what they are called."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in (Path(place, name) for name in sorted(names)):
            placed = file.parent == folder and is_record(file.name)
            if not placed and file.suffix.lower() in (".yaml", ".yml") and _holds_record(file):
                yield Finding(settings.display(file), "", _MISPLACED)


_MISPLACED = "holds a record that does not count here: put it into the folder itself, as NAME.yaml"


def _holds_record(file: Path) -> bool:
    try:
        # The folder may be a whole repository: what is certainly none is not parsed.
        return "effective_from" in read_text(file) and bool(read_record(file))
    except (UnusableTextError, InputError):
        return False


def mandates_digest(policy: Mandates) -> str:
    """Hash of the rules by which mandates count; where their folder is does not matter."""
    return digest_of(
        {
            "owners": sorted({plain(owner) for owner in policy.owners}),
            "signed": policy.signed,
            "signing_keys": sorted(set(policy.signing_keys)),
            "github_keys": sorted(set(policy.github_keys)),
        }
    )


_CLAIMED = "the facts file says which there are, and mandates.signed wants signatures: it has none"
_UNCHECKED = "mandates are as the facts file says: nobody checked who committed them"


def from_facts_file(facts: Facts, policy: Mandates, log: Log | None = None) -> Facts:
    """The facts of a file, with what may be believed of its mandates.

    Where signatures are wanted, those that the file brings are unknown: it proves none. Else they
    hold, with a note. Where the file says nothing of mandates, not even why, those of the folder
    count.

    Args:
        facts: as the file says.
        policy: as for `read_mandates`.
        log: as for `read_mandates`.
    """
    if facts.mandates is None and facts.mandates_reason:
        return facts
    if facts.mandates is None:
        return _with_mandates_of_folder(facts, policy, log)
    if policy.signed:
        return facts.model_copy(update={"mandates": None, "mandates_reason": _CLAIMED})
    return _noted(facts, _UNCHECKED) if facts.mandates else facts


def _with_mandates_of_folder(facts: Facts, policy: Mandates, log: Log | None) -> Facts:
    try:
        found = read_mandates(policy, log)
    except PermanentError as error:
        return facts.model_copy(update={"mandates_reason": f"{error.attempted}: {error.found}"})
    note = f"the facts file says nothing of mandates: those of {policy.folder.name} count"
    return _noted(facts.model_copy(update={"mandates": found}), note)


def _noted(facts: Facts, note: str) -> Facts:
    completeness = facts.completeness
    notes = (*completeness.notes, note)
    return facts.model_copy(
        update={"completeness": completeness.model_copy(update={"notes": notes})}
    )


def schema() -> str:
    """The JSON schema of the file, as `deployments/mandates/schema.json` holds it for editors."""
    return json.dumps(Record.model_json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
