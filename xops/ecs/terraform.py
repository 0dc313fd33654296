"""The one adapter to Terraform: typed verbs over its command line.

`python-terraform` builds the argument lists; the processes are run by `xops.core.process`,
because that library cannot stream, gives no process its own environment, turns the exit code 2
of `plan` into an exception and leaves variable files behind when killed (ADR-0003).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import python_terraform
from python_terraform import IsFlagged

from xops.core import process
from xops.core.errors import StalePlanError, XopsError
from xops.core.files import settings
from xops.core.files.tree import hash_file
from xops.ecs import run_folder
from xops.ecs.isolation import Confinement
from xops.ecs.terraform_discovery import AWS_PROVIDER, Binary, base_environment
from xops.ecs.terraform_errors import COMMAND, Diagnostic, classify
from xops.ecs.terraform_events import (
    EventStream,
    ProgressHandler,
    diagnostic,
    failed_checks,
    in_one_order,
)

_SHORT = 120.0
_PLAN = 900.0
_APPLY = 3600.0

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class SavedPlan:
    """A plan file with the SHA-256 it had when it was made.

    `has_changes` is Terraform's word; `steps` is how many resource operations an apply will do;
    `warnings` are Terraform's and the `check` blocks that do not hold, in one order.
    """

    path: Path
    sha256: str
    has_changes: bool
    destroy: bool
    steps: int
    warnings: tuple[Diagnostic, ...] = ()

    def with_checks(self, document: Mapping[str, Any]) -> SavedPlan:
        """With the `check` blocks that the plan's JSON says do not hold among the warnings."""
        warnings = in_one_order([*self.warnings, *failed_checks(document)])
        return replace(self, warnings=warnings)


@dataclass(frozen=True)
class Terraform:
    """Terraform's verbs on one stack in one working folder.

    Attributes:
        binary: which Terraform.
        stack: the folder with the root module.
        work: a folder of this run's own, mode 0700: plan files and logs.
        data: Terraform's data folder (providers, modules, which backend). May be kept from run
            to run; a plan says when it no longer fits.
        environ: variables for the tool beyond the base set: credentials, endpoint, region.
        mirror: a provider mirror, or None to use the registry.
        lock_timeout: seconds to wait for the state's lock.
        command: the command line that messages name, as `terraform_errors.COMMAND`.
        confinement: how it is started on a branch that nobody has reviewed; None: as it is.
        secrets: values kept out of every line.
    """

    binary: Binary
    stack: Path
    work: Path
    data: Path
    environ: Mapping[str, str]
    mirror: Path | None = None
    lock_timeout: int = 60
    command: str = COMMAND
    confinement: Confinement | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def init(self, backend: Mapping[str, str]) -> None:
        """Prepare providers and backend; the lock file must already fit (`-lockfile=readonly`)."""
        argv = self._argv(
            "init",
            input=False,
            no_color=IsFlagged,
            reconfigure=IsFlagged,
            lockfile="readonly",
            backend_config=dict(backend),
        )
        finished = self._run(argv, "init", _PLAN)
        if finished.returncode != 0:
            raise self._error("terraform init", [_plain(finished.text)])

    def validate(self) -> None:
        """Check the configuration without touching state or cloud."""
        argv = self._argv("validate", json=IsFlagged)
        finished = self._run(argv, "validate", _SHORT)
        report = _json_in(finished.text)
        found = [diagnostic(row) for row in report.get("diagnostics", [])]
        if not report.get("valid"):
            errors = [row for row in found if row.severity == "error"]
            raise self._error("terraform validate", errors)

    def plan(
        self, variables: Path, *, destroy: bool = False, on_progress: ProgressHandler | None = None
    ) -> SavedPlan:
        """Plan into a file of mode 0600; exit code 2 (changes) is a result, not an error."""
        path = self.work / ("destroy.tfplan" if destroy else "apply.tfplan")
        argv = self._argv(
            "plan",
            json=IsFlagged,
            input=False,
            lock_timeout=f"{self.lock_timeout}s",
            detailed_exitcode=IsFlagged,
            destroy=IsFlagged if destroy else None,
            var_file=str(variables),
            out=str(path),
        )
        stream = EventStream(on_progress)
        code = self._stream(argv, "plan", _PLAN, (0, 2), stream)
        path.chmod(0o600)
        warnings = in_one_order(stream.warnings)
        return SavedPlan(path, hash_file(path), code == 2, destroy, stream.total or 0, warnings)

    def show(self, plan: SavedPlan) -> dict[str, Any]:
        """The plan as Terraform's JSON (format version 1.x). Holds secrets: never log it."""
        argv = self._argv("show", str(plan.path), json=IsFlagged, no_color=IsFlagged)
        finished = self._run(argv, "show", _SHORT, keep_log=False)
        if finished.returncode != 0:
            raise self._error("terraform show", [_plain(finished.text)])
        return _json_in(finished.text)

    def apply(self, plan: SavedPlan, on_progress: ProgressHandler | None = None) -> None:
        """Apply exactly this plan file.

        Raises:
            StalePlanError: the file is not the one that was planned, or the state has moved.
        """
        if not plan.path.is_file() or hash_file(plan.path) != plan.sha256:
            raise StalePlanError(
                f"applying {plan.path.name}",
                "the plan file is gone, or is not the one that was made and approved"
                " (its SHA-256 differs)",
                "Plan again.",
            )
        argv = self._argv(
            "apply",
            str(plan.path),
            json=IsFlagged,
            input=False,
            lock_timeout=f"{self.lock_timeout}s",
        )
        stream = EventStream(on_progress, plan.steps)
        self._stream(argv, "destroy" if plan.destroy else "apply", _APPLY, (0,), stream)

    def output(self) -> dict[str, Any]:
        """The stack's outputs by name; empty where nothing was applied yet."""
        argv = self._argv("output", json=IsFlagged, no_color=IsFlagged)
        finished = self._run(argv, "output", _SHORT, keep_log=False)
        if finished.returncode != 0:
            raise self._error("terraform output", [_plain(finished.text)])
        return {name: row["value"] for name, row in _json_in(finished.text).items()}

    def state_list(self) -> list[str]:
        """The addresses in the state; empty where there is no state yet."""
        finished = self._run(self._argv("state list"), "state", _SHORT)
        if finished.returncode != 0 and "No state file was found" not in finished.text:
            raise self._error("terraform state list", [_plain(finished.text)])
        return [line for line in finished.lines if finished.returncode == 0 and line]

    def state_push(self, state: Path) -> None:
        """Write this state over the one in the backend.

        Terraform itself refuses a state of another line, and one that is older; xOps never forces
        it.
        """
        argv = self._argv("state push", str(state), lock=True, lock_timeout=f"{self.lock_timeout}s")
        finished = self._run(argv, "state-push", _SHORT)
        if finished.returncode != 0:
            raise self._error("terraform state push", [_plain(finished.text)])

    def force_unlock(self, lock_id: str) -> None:
        """Clear one lock that a person has named; xOps never calls this by itself."""
        argv = self._argv("force-unlock", lock_id, force=IsFlagged, no_color=IsFlagged)
        finished = self._run(argv, "force-unlock", _SHORT)
        if finished.returncode != 0:
            raise self._error("terraform force-unlock", [_plain(finished.text)])

    def _error(self, attempted: str, diagnostics: Sequence[Diagnostic]) -> XopsError:
        return classify(attempted, diagnostics, datetime.now(UTC), self.command)

    def _argv(self, verb: str, *arguments: str, **options: object) -> list[str]:
        builder = python_terraform.Terraform(str(self.work), terraform_bin_path="terraform")
        built: list[str] = builder.generate_cmd_string(verb, *arguments, **options)
        return [*self.binary.argv, *built[1:]]

    def _prepare_environment(self) -> dict[str, str]:
        self._write_configuration()
        environment = base_environment(
            {
                **self.environ,
                "TF_DATA_DIR": str(self.data),
                "TF_CLI_CONFIG_FILE": str(self.work / "terraform.rc"),
            }
        )
        return self.confinement.environ(environment) if self.confinement else environment

    def _run(
        self,
        argv: list[str],
        name: str,
        deadline: float,
        *,
        on_line: process.LineHandler | None = None,
        keep_log: bool = True,
    ) -> process.Finished:
        log = self.work / "logs" / f"{name}.log"
        environment = self._prepare_environment()
        if self.confinement:
            argv = self.confinement.argv(argv, self.stack)
        try:
            with run_folder.terraform_lock(self.work) as lock:
                command = process.Command(
                    argv,
                    cwd=self.stack,
                    env=environment,
                    deadline=deadline,
                    log=log,
                    secrets=self.secrets,
                    inherits=(lock,),
                )
                return process.run(command, on_line)
        finally:
            if not keep_log:  # it holds values that Terraform prints unmasked
                log.unlink(missing_ok=True)

    def _stream(
        self,
        argv: list[str],
        name: str,
        deadline: float,
        accepted: tuple[int, ...],
        stream: EventStream,
    ) -> int:
        finished = self._run(argv, name, deadline, on_line=stream.feed)
        if finished.returncode in accepted and not stream.errors:
            return finished.returncode
        errors = stream.errors or [_plain(finished.text or f"exit code {finished.returncode}")]
        raise self._error(f"terraform {name}", errors)

    def _write_configuration(self) -> None:
        if (configuration := self.work / "terraform.rc").exists():
            return
        self.work.mkdir(parents=True, exist_ok=True, mode=0o700)
        lines = ["disable_checkpoint = true"]
        if self.confinement is None:  # what a branch puts into the cache would run in other runs
            cache = settings.home() / "terraform-plugins"
            cache.mkdir(parents=True, exist_ok=True)
            lines.append(f'plugin_cache_dir = "{cache}"')
        if self.mirror is not None:
            lines += [
                "provider_installation {",
                f'  filesystem_mirror {{ path = "{self.mirror}"\n include = ["{AWS_PROVIDER}"] }}',
                f'  direct {{ exclude = ["{AWS_PROVIDER}"] }}',
                "}",
            ]
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _plain(text: str) -> Diagnostic:
    """Terraform's box-drawn text of a command without -json, as one diagnostic."""
    lines = [line.strip("│╷╵ \t") for line in _COLOUR.sub("", text).splitlines()]
    kept = [line for line in lines if line]
    return Diagnostic("error", "\n".join(kept) or "no output")


def _json_in(text: str) -> dict[str, Any]:
    """The JSON object in an output that may have warnings around it."""
    for line in text.splitlines():
        if line.startswith("{") and line.endswith("}"):
            with suppress(ValueError, RecursionError):
                found: dict[str, Any] = json.loads(line)
                return found
    try:
        whole: dict[str, Any] = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except (ValueError, RecursionError):
        raise classify("reading Terraform's JSON", [_plain(text)], datetime.now(UTC)) from None
    return whole
