"""States that Terraform could not write: kept, compared with the state, put back on request.

When the state cannot be uploaded (credentials that ran out, a network that broke, a full disk),
Terraform leaves it as `errored.tfstate` in the folder that it ran in. Nothing else knows then what
the apply has made, and a plan without it would make all of that a second time. The run that sees
it moves it into the state's bucket, beside the state; where that is not possible either, or where
the run was killed, it stays in the run's folder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from xops.core.errors import PermanentError, XopsError
from xops.ecs import run_folder
from xops.ecs.state_bucket import StateBucket

_SHOWN = 5
_DUMP = b'"Emergency state dump"'


class Standing(StrEnum):
    """How a state that was kept compares with the state as it is now."""

    NEWER = "newer than the state"
    SAME = "the state itself"
    OLDER = "older than the state"
    OTHER = "not of the same line as the state"
    DAMAGED = "no whole state"


class UnsavedStateError(PermanentError):
    """An earlier run could not write its state; nothing is planned before that is settled."""


@dataclass(frozen=True)
class StateVersion:
    """One version of a state: its line (a UUID), its number in it, and all that it holds."""

    lineage: str
    serial: int
    content: Any

    @classmethod
    def parse(cls, body: bytes) -> StateVersion | None:
        """The version in a state file of format 4; None if it holds none."""
        try:
            found = json.loads(body)
            return cls(str(found["lineage"]), int(found["serial"]), found)
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def addresses(self) -> frozenset[str]:
        """The resources in it, without the index of an instance."""
        rows = [row for row in self.content.get("resources", []) if row.get("mode") == "managed"]
        return frozenset(
            ".".join(part for part in (row.get("module"), row["type"], row["name"]) if part)
            for row in rows
        )


@dataclass(frozen=True)
class UnsavedState:
    """A state that was kept.

    Attributes:
        run: the name of the run that made it.
        body: the file.
        file: where it is, in a run's folder.
        key: where it is, in the state's bucket.
    """

    run: str
    body: bytes
    file: Path | None = None
    key: str | None = None

    @property
    def version(self) -> StateVersion | None:
        """What is in it."""
        return StateVersion.parse(self.body)

    def standing(self, current: StateVersion | None) -> Standing:
        """How it compares with the state as it is now, if there is one."""
        kept = self.version
        if kept is None:
            return Standing.DAMAGED
        if current is None:
            return Standing.NEWER
        if kept.lineage != current.lineage:
            return Standing.OTHER
        if kept.serial == current.serial:
            return Standing.SAME if kept.content == current.content else Standing.OTHER
        return Standing.NEWER if kept.serial > current.serial else Standing.OLDER

    def describe(self, current: StateVersion | None, where: str) -> str:
        """Where it is, how it compares, and which resources it alone knows."""
        kept = self.version
        number = "" if kept is None else f"serial {kept.serial}, "
        now = "there is none" if current is None else f"serial {current.serial}"
        alone = kept.addresses - (current.addresses if current else frozenset()) if kept else ()
        names = sorted(alone)
        only = f"; it alone knows {', '.join(names[:_SHOWN])}" if names else ""
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"{where} ({number}{self.standing(current)}: {now}{only}{more})"


@dataclass(frozen=True)
class UnsavedStates:
    """Where the states of one environment are kept that could not be written.

    Attributes:
        bucket: the state's.
        key: the state's.
        own: the folder of this run; those of the environment's others lie beside it.
        command: the command line that settles one; `{verb}` is `push` or `drop`.
    """

    bucket: StateBucket
    key: str
    own: Path
    command: str

    def refuse(self, subject: str, *, bucket_exists: bool) -> None:
        """Refuse to plan over a state that was kept, unless it is the state itself.

        Raises:
            UnsavedStateError: names each of them and the command that settles it.
        """
        found = self.find(bucket_exists=bucket_exists)
        if not found:
            return
        current = self.current()
        left = [state for state in found if state.standing(current) is not Standing.SAME]
        if left:
            listed = "; ".join(state.describe(current, self.where(state)) for state in left)
            raise UnsavedStateError(
                f"planning {subject}",
                f"an earlier run could not write its state, which is kept: {listed}",
                self.remedy(left[-1], current),
            )

    def remedy(self, state: UnsavedState, current: StateVersion | None) -> str:
        """The command that settles it."""
        if state.standing(current) is Standing.NEWER:
            return (
                f"Put it back: `{self.command.format(verb='push')} --run {state.run}`, then run"
                " this again. A plan without it would make a second time what that run has made."
            )
        return (
            "Look at it: what it alone knows may be in the account and in no state; import that or"
            f" delete it by hand. Then `{self.command.format(verb='drop')} --run {state.run}`"
            " removes it."
        )

    def find(self, *, bucket_exists: bool) -> list[UnsavedState]:
        """All that are kept, oldest run first."""
        kept = self._in_bucket() if bucket_exists else []
        return sorted([*self._in_folders(), *kept], key=lambda state: state.run)

    def current(self) -> StateVersion | None:
        """The state as it is now; None if there is none.

        Raises:
            PermanentError: what lies there is no state.
        """
        body = self.bucket.read(self.key)
        if body is None:
            return None
        address = f"s3://{self.bucket.name}/{self.key}"
        if (version := StateVersion.parse(body)) is None:
            raise PermanentError(
                f"reading the state {address}",
                "it is no state file of format 4",
                "Restore an earlier version of that object; the bucket keeps them.",
            )
        return version

    def where(self, state: UnsavedState) -> str:
        """Its address."""
        return str(state.file or f"s3://{self.bucket.name}/{state.key}")

    def keep(self, folder: Path, say: run_folder.Say) -> None:
        """Move what a run could not write into the bucket, beside the state.

        Its folder may go with its container. Where S3 does not let us it stays there, and says so:
        why the apply failed is what its caller must hear.
        """
        for state in self._in_folder(folder):
            key = f"{self._prefix}{state.run}.tfstate"
            try:
                self.bucket.put_new(key, state.body)
            except XopsError as error:
                say(f"the state could not be written and stays in {self.where(state)}: {error}")
                continue
            self.remove(state)
            say(f"the state could not be written; it is kept as s3://{self.bucket.name}/{key}")

    def remove(self, state: UnsavedState) -> None:
        """Forget one; in the bucket its versions stay for as long as those of the state."""
        if state.file is not None:
            state.file.unlink()
        if state.key is not None:
            self.bucket.delete(state.key)

    @property
    def _prefix(self) -> str:
        return f"{self.key}.unsaved/"

    def _in_bucket(self) -> list[UnsavedState]:
        found = []
        for key in self.bucket.keys(self._prefix):
            body = self.bucket.read(key)
            run = key.removeprefix(self._prefix).removesuffix(".tfstate")
            found += [UnsavedState(run, body, key=key)] if body is not None else []
        return found

    def _in_folders(self) -> list[UnsavedState]:
        return [
            state
            for folder in run_folder.folders(self.own.parent)
            if run_folder.of_one_state(folder, self.own)
            for state in self._in_folder(folder)
        ]

    def _in_folder(self, folder: Path) -> list[UnsavedState]:
        files = folder.glob(f"terraform/stacks/stream1/{run_folder.ERRORED_STATE}")
        return [UnsavedState(folder.name, _rescued(file, folder), file=file) for file in files]


def _rescued(file: Path, folder: Path) -> bytes:
    """What Terraform has written into this file or, where the disk was full, into its log."""
    body = file.read_bytes()
    if StateVersion.parse(body) is None:
        for log in folder.glob("logs/*.log"):
            for line in log.read_bytes().splitlines():
                if _DUMP in line and (state := _dumped(line)) is not None:
                    body = state
    return body


def _dumped(line: bytes) -> bytes | None:
    try:
        return json.dumps(json.loads(line)["state"], indent=2).encode()
    except (ValueError, KeyError, TypeError):  # the log was cut off as well
        return None
