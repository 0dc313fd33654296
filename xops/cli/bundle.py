"""`xops bundle`: a K3S release as one file, for hosts without a way out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from xops.cli.console import AsJson, Show, bar, out, print_json, print_row
from xops.core.errors import Finding, InputError
from xops.k3s.release import bundle, sources
from xops.k3s.release import lock as artifacts
from xops.k3s.release.bundle_layout import Manifest
from xops.k3s.release.lock import Architecture, Lock
from xops.k3s.release.sources import Origin

bundles = typer.Typer(no_args_is_help=True, help="A K3S release as one file, without a way out.")

Version = Annotated[str, typer.Option("--k3s", help="The release, for example v1.35.8+k3s1.")]
Arch = Annotated[list[str] | None, typer.Option("--arch", help="amd64, arm64; may be repeated.")]
From = Annotated[
    Path | None,
    typer.Option("--from", help="A folder with the release's files, instead of the release."),
]
LockFile = Annotated[Path, typer.Option("--lock", help="The lock file.", dir_okay=False)]


def _origin(folder: Path | None) -> Origin:
    return sources.Folder(folder) if folder else sources.Release.configured(os.environ)


def _architectures(given: list[str] | None) -> list[Architecture]:
    known = get_args(Architecture.__value__)
    wrong = [name for name in given or [] if name not in known]
    if wrong:
        found = f"{', '.join(wrong)}: there are {' and '.join(known)}"
        raise InputError("reading --arch", [Finding("argument --arch", "", found)])
    return [cast("Architecture", name) for name in given or known]


def _meter(show: Show) -> Callable[[str, int, int], None]:
    def moved(name: str, done: int, total: int) -> None:
        show(f"{name} {done >> 20}/{total >> 20} MiB", 100.0 * done / max(total, 1))

    return moved


@bundles.command()
def build(
    version: Version,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    arch: Arch = None,
    folder: From = None,
    lock: LockFile = artifacts.FILE,
    as_json: AsJson = False,
) -> None:
    """Write one archive with binaries and images, each compared with the lock file."""
    with bar(f"bundle {version}") as show:
        made = asyncio.run(
            bundle.build(
                version,
                _architectures(arch),
                _origin(folder),
                Lock.load(lock),
                output,
                _meter(show),
            )
        )
    _print(made, output, as_json=as_json)


@bundles.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The bundle.")],
    lock: Annotated[
        Path | None, typer.Option("--lock", help="Also compare with this lock file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare every byte with the manifest; all defects at once."""
    with bar(f"verify {file.name}") as show:
        found = bundle.verify(file, Lock.load(lock) if lock else None, _meter(show))
    _print(found, file, as_json=as_json)


def _print(manifest: Manifest, file: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {"file": str(file), "digest": manifest.digest, **manifest.model_dump(mode="json")}
        )
        return
    print_row("bundle", f"{file}: K3S {manifest.k3s_version}, digest {manifest.digest[:12]}")
    for row in manifest.files:
        print_row("file", f"{row.name} {row.size >> 20} MiB sha256 {row.sha256[:12]}")
    out.print("[bold green]Every byte is as its manifest says.[/]")


@bundles.command()
def lock(
    version: Version,
    folder: From = None,
    file: Annotated[Path, typer.Option("--lock", help="The lock file.")] = artifacts.FILE,
) -> None:
    """Write a release's hashes, from its own checksum files, into the lock file, for review."""
    entry = asyncio.run(sources.read_entry(_origin(folder), version))
    changed = artifacts.write_entry(file, version, entry)
    out.print(f"{file}: {version} {'is written: review it' if changed else 'is there already'}")
