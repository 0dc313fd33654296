"""`xops k3s trust`: shows the keys of hosts, says what has changed, and pins what is confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from xops.cli.console import question_asked, say, styled, tell
from xops.core.errors import ExitCode, TemporaryError, XopsError
from xops.core.rendering import Terminal
from xops.k3s.cluster_file.cluster import Host
from xops.k3s.ssh import known_hosts
from xops.k3s.ssh.known_hosts import ComparedKey, KeyState, Scanner


@dataclass(frozen=True)
class TrustRow:
    """What was found at a machine, and whether its key was pinned now.

    Attributes:
        machine: a host's name, or a bastion.
        key: what it shows; None if that was not seen.
        pinned: whether it was pinned now.
        error: why it was not seen.
    """

    machine: str
    key: ComparedKey | None = None
    pinned: bool = False
    error: XopsError | None = None

    @property
    def needs_a_look(self) -> bool:
        """Whether its key is another than the pinned one still, or must never be taken."""
        alarming = (KeyState.CHANGED, KeyState.REVOKED)
        return self.key is not None and self.key.state in alarming and not self.pinned

    def to_json(self) -> dict[str, Any]:
        """JSON values only. The state is null where the key was not seen."""
        return {
            "host": self.machine,
            "state": self.key and str(self.key.state),
            "keys": [self.key.fingerprint] if self.key else [],
            "before": list(self.key.pinned) if self.key else [],
            "pinned": self.pinned,
            "error": self.error and self.error.to_json(),
        }


@dataclass
class TrustDialogue:
    """Goes through the keys of hosts with a person, or without one.

    Attributes:
        cluster: as it was named on the command line, for the commands that are proposed.
        scanner: asks hosts for their keys.
        file: where keys are pinned.
        yes: whether all questions are answered.
        replace: whether a key may take the place of another that is pinned.
        quiet: whether nothing is asked, and stdout is left alone.
    """

    cluster: str
    scanner: Scanner
    file: Path
    yes: bool
    replace: bool
    quiet: bool
    rows: dict[str, TrustRow] = field(default_factory=dict)

    def run(self, hosts: Sequence[Host]) -> None:
        """All hosts, and the bastions on the way to them first.

        Raises:
            InputError: the SSH configuration or the file of pinned keys cannot be used.
        """
        while hosts:
            hosts = self._round(hosts)

    def exit_code(self) -> ExitCode:
        """How the command ends: what has changed comes before what was not reached."""
        errors = [row.error for row in self.rows.values() if row.error]
        if any(row.needs_a_look for row in self.rows.values()):
            return ExitCode.FINDINGS
        if all(isinstance(error, TemporaryError) for error in errors):
            return ExitCode.TEMPORARY if errors else ExitCode.DONE
        return ExitCode.FAILED

    def _round(self, hosts: Sequence[Host]) -> list[Host]:
        """One look at hosts; those that can be seen now that the bastion before them is pinned."""
        known, behind = set(self.rows), []
        answers = asyncio.run(self.scanner.scan(hosts))
        for host in hosts:
            answer = answers[host.name]
            if isinstance(answer, XopsError):
                self._add(TrustRow(host.name, error=answer))
                tell("[bold red]{name}[/] {error}", name=host.name, error=_lines(answer))
                continue
            key = known_hosts.compare(self.file, answer)
            if key.machine not in self.rows:
                self._add(self._settled(key))
            if not key.is_of_host and key.machine not in known:
                if self.rows[key.machine].pinned:
                    behind.append(host)
                else:
                    self._add(TrustRow(host.name))
        return behind

    def _add(self, row: TrustRow) -> None:
        self.rows[row.machine] = row

    def _settled(self, key: ComparedKey) -> TrustRow:
        """A key, shown and pinned if that is wanted."""
        self._show(key)
        if key.state is KeyState.NEW and self._is_confirmed("Pin it?"):
            known_hosts.pin(self.file, [key.shown.line])
        elif key.state is KeyState.CHANGED and self.replace and self._is_confirmed("Replace it?"):
            known_hosts.replace_pins(self.file, key.shown.line)
        else:
            return TrustRow(key.machine, key)
        self._speak("pinned in {file}", file=self.file)
        return TrustRow(key.machine, key, pinned=True)

    def _show(self, key: ComparedKey) -> None:
        values = {"name": key.machine, "key": key.fingerprint, "pinned": ", ".join(key.pinned)}
        alarm = styled("bold red", key.state.upper())
        if key.state is KeyState.PINNED:
            self._speak("{name}: {key} is pinned already", **values)
        elif key.state is KeyState.VOUCHED:
            self._speak("{name}: an authority signs its keys: {pinned}", **values)
        elif key.state is KeyState.REVOKED:
            self._speak("{name}: {alarm}: shows {key}", alarm=alarm, **values)
        elif key.state is KeyState.CHANGED:
            self._speak("{name}: {alarm}: pinned {pinned}, shows {key}", alarm=alarm, **values)
            if not self.replace:
                self._propose_replacing(key)
        else:
            self._speak("{name}: {key}", **values)

    def _propose_replacing(self, key: ComparedKey) -> None:
        tell(
            "  Either it was installed anew, or somebody stands in between. Only if its console"
            " shows the same key (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub):"
            " xops k3s trust {cluster} {host} --replace",
            cluster=self.cluster,
            host=key.shown.route.host,
        )

    def _is_confirmed(self, question: str) -> bool:
        if self.yes or self.quiet:
            return self.yes
        with question_asked():
            return typer.confirm(question)

    def _speak(self, template: str, **values: Any) -> None:
        (tell if self.quiet else say)(template, **values)


def _lines(error: XopsError) -> Terminal:
    return Terminal.lines(str(error))
