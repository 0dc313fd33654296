"""The log of one subject: records in one order, each of which names the one before by its hash.

A record's key is its number, and a store refuses a key that is taken, so that of two runs that
write at the same moment one notices and looks again: that is what lets an approval be used once.
Records that a release before this one has kept stand below keys of another form; they are read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain, islice
from typing import Any, Protocol
from uuid import uuid4

from xops.core.errors import PermanentError, StalePlanError, TemporaryError
from xops.core.evidence.stores import EvidenceStore, RecordExistsError
from xops.core.files.bounded_json import parse_json
from xops.core.files.reading import UnusableTextError

_NUMBERED = re.compile(r"/(\d{8})\.json$")
_EARLIER = re.compile(r"/\d{8}T[\d.]+Z-[0-9a-f]{12}-([a-z]+)\.json$")
_CONTENDERS = 20
"""How many other runs may take the next number before writing a record is given up."""

_LOOKED_THROUGH = 20
"""How many of the last records are searched for one that had waited, before it is kept again."""


class RecordKind(StrEnum):
    """What a record tells."""

    PLAN = "plan"
    """A plan was made and shown."""
    QUESTION = "question"
    """A person was asked to approve a plan; open until there is an answer."""
    APPROVAL = "approval"
    """A person has approved a plan; open until it is used up."""
    INTENT = "intent"
    """An apply begins; open until its outcome is known."""
    APPLY = "apply"
    """How an apply ended."""
    DESTROY = "destroy"
    """How a destroy ended."""
    REFUSED = "refused"
    """An apply or a destroy was refused before anything was changed: by whom or what."""
    DRIFT = "drift"
    """How a subject compares with its configuration."""
    STATE_PUSH = "state-push"
    """A state that a run could not write was put back."""
    STATE_DROP = "state-drop"
    """A state that a run could not write was removed, since nobody needed it."""
    CLOSED = "closed"
    """What was open was found ended, and how."""


@dataclass(frozen=True)
class Record:
    """One record, as it is kept."""

    key: str
    body: Mapping[str, Any]
    sha256: str

    @classmethod
    def parse(cls, key: str, content: bytes) -> Record:
        """The record in an object's content.

        Raises:
            UnreadableRecordError: it holds none.
        """
        return cls(key, _parse(key, content), hashlib.sha256(content).hexdigest())

    @property
    def id(self) -> str:
        """What other records name it by."""
        return str(self.body.get("id", self.key))

    @property
    def sequence(self) -> int:
        """Its number in the log; 0 for one of an earlier release."""
        return int(self.body.get("sequence", 0))

    @property
    def kind(self) -> str:
        """What it tells; a `RecordKind`."""
        return str(self.body["kind"])

    @property
    def digest(self) -> str:
        """The digest of the plan that it is about."""
        return str(self.body["digest"])

    @property
    def recorded_at(self) -> datetime:
        """When that happened, in UTC."""
        return datetime.fromisoformat(self.body["recorded_at"])

    @property
    def open(self) -> Mapping[str, int]:
        """The records that are open once this one is kept: id to number."""
        found: Mapping[str, int] = self.body.get("open", {})
        return found

    @property
    def last_intent(self) -> int | None:
        """The number of the newest intent once this one is kept."""
        found: int | None = self.body.get("last_intent")
        return found


class UnreadableRecordError(PermanentError):
    """What is kept under a record's key is no record."""


_TEXTS = ("kind", "digest", "recorded_at")


def _parse(name: str, content: str | bytes) -> dict[str, Any]:
    """A record's values, as far as the log itself relies on them.

    Raises:
        UnreadableRecordError: they are none of a record.
    """
    try:
        values = parse_json(content)
        problem = _problem(values)
    except UnusableTextError as error:
        problem = error.problem
    if problem:
        raise UnreadableRecordError(
            f"reading the record {name}",
            f"it is no record: {problem}",
            "Look who has written it: xOps writes records whole, and changes none.",
        )
    found: dict[str, Any] = values
    return found


def _problem(values: Any) -> str:
    if not isinstance(values, dict):
        return "it holds no mapping"
    rules: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(_TEXTS, lambda value: isinstance(value, str)),
        "recorded_at": _is_moment,
        "id": lambda value: isinstance(value, str),
        "sequence": _is_number,
        "open": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
        "opens": lambda value: isinstance(value, bool),
        "closes": lambda value: isinstance(value, list) and all(isinstance(x, str) for x in value),
        "last_intent": lambda value: value is None or _is_number(value),
    }
    wrong = (
        key
        for key, is_right in rules.items()
        if (key in values or key in _TEXTS) and not is_right(values.get(key))
    )
    key = next(wrong, None)
    return "" if key is None else f"its {key} is missing, or none"


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9


def _is_moment(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


Guard = Callable[[Record | None], bool]
"""Whether a record may follow the one that is the last."""


class WaitingRecords(Protocol):
    """Where records wait for a store that did not take them."""

    def keep(self, name: str, content: str) -> str:
        """Keep one; where, for people."""
        ...

    def read(self) -> Mapping[str, str]:
        """Those that wait: name to content, oldest first."""
        ...

    def remove(self, name: str) -> None:
        """One of them is in the store."""


def utc_now() -> datetime:
    """The clock's."""
    return datetime.now(UTC)


@dataclass
class EvidenceLog:
    """The records about one subject.

    Attributes:
        store: where they are kept.
        subject: for example `ecs/prod`.
        waiting: where they wait while the store takes none.
        clock: tells the moment of a record.
    """

    store: EvidenceStore
    subject: str
    waiting: Sequence[WaitingRecords] = ()
    clock: Callable[[], datetime] = utc_now
    _read: dict[str, Record] = field(default_factory=dict, repr=False)
    _entries: dict[str, dict[str, Any]] | None = field(default=None, repr=False)

    def list_keys(self) -> list[str]:
        """The keys of all records, oldest first: those of earlier releases, then by number."""
        found = self.store.keys(f"{self.subject}/")
        earlier = [key for key in found if _EARLIER.search(key)]
        return earlier + [key for key in found if _NUMBERED.search(key)]

    def read(self, key: str) -> Record:
        """One record. It never changes, so it is fetched once."""
        if key not in self._read:
            self._read[key] = Record.parse(key, self.store.read(key))
        return self._read[key]

    def last(self) -> Record | None:
        """The newest numbered record."""
        numbered = [key for key in self.list_keys() if _NUMBERED.search(key)]
        return self.read(numbered[-1]) if numbered else None

    def newest_first(self, *kinds: RecordKind) -> Iterator[Record]:
        """Records from the newest on, of some kinds or of all; fetched as they are asked for.

        Those that wait for the store come first.
        """
        waiting = map(_as_record, reversed(self._waiting().values()))
        for record in chain(waiting, self._stored_newest_first()):
            if not kinds or record.kind in kinds:
                yield record

    def _stored_newest_first(self) -> Iterator[Record]:
        return map(self.read, reversed(self.list_keys()))

    def find_open(self, *kinds: RecordKind) -> list[Record]:
        """Records that nothing has ended, oldest first; those that wait for the store last."""
        last = self.last()
        numbers = sorted(last.open.values()) if last else []
        found = [self.read(self._key(number)) for number in numbers]
        waiting = list(self._waiting().values())
        ended = {name for entry in waiting for name in entry.get("closes", ())}
        found += [_as_record(entry) for entry in waiting if entry.get("opens")]
        return [
            record
            for record in found
            if record.id not in ended and (not kinds or record.kind in kinds)
        ]

    def append(
        self,
        kind: RecordKind,
        digest: str,
        facts: Mapping[str, Any],
        *,
        opens: bool = False,
        closes: Iterable[str] = (),
        guard: Guard = lambda _: True,
    ) -> Record:
        """Keep one record at the end of the log.

        Args:
            kind: what it tells.
            digest: the plan's that it is about; empty where none could be made.
            facts: JSON values.
            opens: whether something must end it.
            closes: ids of the records that it ends.
            guard: whether it may still follow the record that is the last one as it is kept.

        Raises:
            StalePlanError: the guard says no.
            TemporaryError, PermanentError: it is not kept.
        """
        return self._append(self._entry(kind, digest, facts, opens, closes), guard)

    def wait(
        self,
        kind: RecordKind,
        digest: str,
        facts: Mapping[str, Any],
        *,
        opens: bool = False,
        closes: Iterable[str] = (),
    ) -> tuple[Record, str]:
        """Keep one record where it waits for the store; it, and where that is, for people.

        Raises:
            PermanentError: it cannot wait there either.
        """
        entry = self._entry(kind, digest, facts, opens, closes)
        # Counted, too: a clock may tell the same moment twice.
        name = f"{self.clock():%Y%m%dT%H%M%S.%fZ}-{len(self._waiting()):04d}-{entry['id']}"
        content = json.dumps(entry, sort_keys=True)
        places = [place.keep(name, content) for place in self.waiting]
        self._waiting()[name] = entry
        return _as_record(entry), ", ".join(places)

    def store_waiting(self) -> list[Record]:
        """Bring what waits into the store, oldest first; what was brought.

        Raises:
            TemporaryError, PermanentError: the store takes none still.
        """
        stored = []
        for name, entry in sorted(self._waiting().items()):
            record = self._find_stored(entry["id"]) or self._append(entry, lambda _: True)
            for place in self.waiting:
                place.remove(name)
            del self._waiting()[name]
            stored.append(record)
        return stored

    def address(self, record: Record) -> str:
        """Where a person finds a record."""
        return self.store.address(record.key) if record.key else "waits for the store"

    def _waiting(self) -> dict[str, dict[str, Any]]:
        """What waits, by name, in one place or several; read once."""
        if self._entries is None:
            found: dict[str, str] = {}
            for place in self.waiting:
                found |= place.read()
            self._entries = {name: _parse(name, text) for name, text in sorted(found.items())}
        return self._entries

    def _find_stored(self, identity: str) -> Record | None:
        """A record that a killed run had stored, and not yet taken from where it waits."""
        newest = islice(self._stored_newest_first(), _LOOKED_THROUGH)
        return next((record for record in newest if record.id == identity), None)

    def _entry(
        self,
        kind: RecordKind,
        digest: str,
        facts: Mapping[str, Any],
        opens: bool,
        closes: Iterable[str],
    ) -> dict[str, Any]:
        # The record's own identity comes last: no fact of the same name may stand in for it.
        return {
            **facts,
            "id": uuid4().hex,
            "recorded_at": self.clock().astimezone(UTC).isoformat(),
            "subject": self.subject,
            "kind": str(kind),
            "digest": digest,
            "opens": opens,
            "closes": list(closes),
        }

    def _append(self, entry: Mapping[str, Any], guard: Guard) -> Record:
        for _ in range(_CONTENDERS):
            last = self.last()
            if not guard(last):
                raise self._overtaken(entry)
            number = last.sequence + 1 if last else 1
            content = _content(entry, number, last)
            try:
                self.store.put(self._key(number), content)
            except RecordExistsError:
                continue  # another run has taken this number: look again
            return self._read.setdefault(
                self._key(number), Record.parse(self._key(number), content)
            )
        raise TemporaryError(
            f"keeping a record about {self.subject}",
            f"other runs took the next {_CONTENDERS} numbers of its log",
            "It is tried again after a pause.",
        )

    def _overtaken(self, entry: Mapping[str, Any]) -> StalePlanError:
        return StalePlanError(
            f"recording the {entry['kind']} of {self.subject}",
            "another run has acted on it since it was planned",
            "It is planned again; look at what is left.",
            retry_after=0,
        )

    def _key(self, number: int) -> str:
        return f"{self.subject}/{number:08d}.json"


def _content(entry: Mapping[str, Any], number: int, last: Record | None) -> bytes:
    ended = set(entry["closes"])
    still_open = {name: n for name, n in (last.open if last else {}).items() if name not in ended}
    if entry["opens"]:
        still_open[entry["id"]] = number
    chained = {
        "sequence": number,
        "previous": last.sha256 if last else None,
        "open": still_open,
        "last_intent": number if entry["kind"] == RecordKind.INTENT else last and last.last_intent,
    }
    return json.dumps({**entry, **chained}, indent=2, sort_keys=True, default=str).encode()


def _as_record(entry: Mapping[str, Any]) -> Record:
    """A record that waits: it has no number and no key yet."""
    return Record("", entry, "")


@dataclass(frozen=True)
class ChainFault:
    """Something in a log that is not as it was written."""

    key: str
    found: str


def verify_chain(log: EvidenceLog) -> list[ChainFault]:
    """Whether each record names the one before by its hash, and none is missing.

    The last record of a log can be taken away without a trace in the log itself: keep what
    `xops evidence export` prints, or use a bucket with object lock.
    """
    faults = []
    previous: Record | None = None
    for key in (key for key in log.list_keys() if _NUMBERED.search(key)):
        try:
            record = log.read(key)
        except UnreadableRecordError as error:
            faults.append(ChainFault(key, error.found))
            continue
        number = previous.sequence + 1 if previous else 1
        if record.sequence != number or not key.endswith(f"/{record.sequence:08d}.json"):
            faults.append(ChainFault(key, f"number {number} is missing before it"))
        elif record.body.get("previous") != (previous.sha256 if previous else None):
            faults.append(ChainFault(key, "the record before it is not the one that was there"))
        if record.body.get("subject") != log.subject:
            faults.append(ChainFault(key, f"is about {record.body.get('subject')}"))
        previous = record
    return faults
