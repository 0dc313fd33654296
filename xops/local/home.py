"""What lies in an installation's folder: what can be made again, what cannot, and who may look.

`xops clean` removes the former, `xops forget` the latter.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from xops.core.errors import PermanentError
from xops.ecs import run_folder
from xops.local import postgresql

SAMPLE_REPORT = "sample-report"

REMADE = {
    "aws": "profiles of AWS, without keys",
    "cache": "downloads of K3S, unpacked bundles, answers of GitHub",
    "embedded-aws-key": "the key to the embedded AWS",
    "github": "deliveries of GitHub where they are in SQLite; GitHub has them for some days",
    "postgresql": "the Prefect server's database: runs, logs, questions that wait for an answer;"
    " deliveries of GitHub, locks of environments and shown plans, which runs read anew",
    "prefect": "Prefect's own folder: results of runs, its database where that is SQLite",
    "prefect-secret": "the secret of the Prefect server",
    SAMPLE_REPORT: "cost reports on made-up data",
    "services": "logs of the servers",
    "terraform": "providers and the addresses of states, as `terraform init` writes them",
    "terraform-plugins": "downloads of Terraform",
    "up.lock": "the lock of `xops up`",
    "watch": "what the watch of the embedded stack has told already",
}
"""What can be made again, or belongs to the embedded stack alone."""

KEPT = {
    "clusters": "tokens, kubeconfigs and host keys of clusters",
    "costs": "what was spent, as exports and Cost Explorer have told",
    "evidence": "the records of what was planned, approved and done",
    "evidence-waiting": "records that their evidence store has not taken yet",
    "fingerprint-key": "the key of the fingerprints in approved plans",
    "prices.csv": "prices as `xops costs prices refresh` has found them",
    "reports": "cost reports of runs",
    "runs": "what runs on real accounts have left, states among it that are nowhere else",
    "triggers": "the history of the triggers' verdicts",
    "webhook-secret": "what GitHub signs deliveries with: it has the same",
}
"""The state of real systems. What is in neither list is nobody's to remove but a person's."""


def remade(home: Path) -> list[Path]:
    """What `xops clean` removes from a home; runs on the embedded AWS among it."""
    named = [home / name for name in REMADE]
    outside = postgresql.data_folder(home).parent
    found = [*named, *([] if outside.is_relative_to(home) else [outside]), *_runs_on_embedded(home)]
    return [path for path in found if path.exists(follow_symlinks=False)]


def kept(home: Path) -> dict[Path, str]:
    """What `xops clean` leaves, and what it is."""
    if not home.is_dir():
        return {}
    found = sorted(path for path in home.iterdir() if path.name not in REMADE)
    return {path: KEPT.get(path.name, "not known to xOps") for path in found}


def forgettable(home: Path) -> dict[Path, str]:
    """The state of real systems that `xops forget` removes: what of `kept` xOps has made."""
    return {path: what for path, what in kept(home).items() if path.name in KEPT}


def remove(home: Path, paths: Iterable[Path]) -> None:
    """Remove files and folders; of a link only the link.

    Raises:
        PermanentError: a run is at work, and may need them.
    """
    busy = [folder for folder in run_folders(home) if run_folder.in_use(folder)]
    if busy:
        raise PermanentError(
            "removing state",
            f"a run is at work in {busy[0]}",
            "Let it end, or end it with `xops down`, then run this again.",
        )
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def make_private(home: Path) -> None:
    """Close what xOps has made in a home to all but its owner; the home too, if this makes it.

    What earlier releases made went by the shell's umask. The home itself may be a folder that a
    person has named and that holds other things: it loses no more than that everybody may write,
    which would let others put folders of theirs in the place of ours.

    Raises:
        PermanentError: it cannot be made.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise PermanentError(
            f"making xOps' home {home}",
            error.strerror or str(error),
            "Name a folder that can be made in XOPS_HOME.",
        ) from error
    if not home.stat().st_mode & stat.S_ISVTX:
        _take_away(home, 0o002)
    for path in (home / name for name in (*REMADE, *KEPT)):
        if path.is_dir() and not path.is_symlink():
            _take_away(path, 0o077)


def _take_away(folder: Path, bits: int) -> None:
    # Through a descriptor: what a name leads to may change between a look and a `chmod`.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & bits:
            os.fchmod(handle, mode & ~bits)
    finally:
        os.close(handle)


def _runs_on_embedded(home: Path) -> Iterator[Path]:
    """The folders of runs whose state was in the embedded AWS, which forgets it when it ends."""
    for folder in run_folders(home):
        if is_embedded(folder, otherwise=False) and not run_folder.needed(folder):
            yield folder


def run_folders(home: Path) -> Iterator[Path]:
    """The folders of all runs of an installation."""
    for parent in sorted(home.glob("runs/[!.]*/")):
        yield from run_folder.folders(parent)


def is_embedded(folder: Path, *, otherwise: bool) -> bool:
    """Whether a run works on the embedded AWS; `otherwise` where its folder does not say."""
    try:
        facts = json.loads((folder / run_folder.FACTS).read_text())
        return bool(facts["target"] == "embedded")
    except (FileNotFoundError, ValueError, TypeError, LookupError):
        return otherwise
