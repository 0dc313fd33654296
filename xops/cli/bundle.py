"""`xops bundle`: a K3S release as one file, for hosts without internet access."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xops.cli.console import AsJson, Show, bar, print_json, print_row, say
from xops.cli.inputs import (
    readable_file,
    readable_files,
    readable_folder,
    writable_file_in_new_folder,
)
from xops.core.errors import Finding, InputError

if TYPE_CHECKING:
    from xops.k3s.release.bundle_layout import Manifest
    from xops.k3s.release.lock import Architecture
    from xops.k3s.release.sources import Origin

app = typer.Typer()

Version = Annotated[str, typer.Option("--k3s", help="The release, for example v1.35.8+k3s1.")]
Arch = Annotated[list[str] | None, typer.Option("--arch", help="amd64, arm64; may be repeated.")]
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        callback=readable_folder,
        help="A folder with the release's files, instead of a download.",
    ),
]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        "--images",
        callback=readable_files,
        help="An archive of images that no release has, as `docker save` writes it, for example"
        " kube-vip's; may be repeated.",
    ),
]
LockFile = Annotated[
    Path | None,
    typer.Option(
        "--lock", callback=readable_file, help="Instead of deployments/clusters/k3s.lock.yaml."
    ),
]


def _origin(folder: Path | None) -> Origin:
    from xops.k3s.release import sources

    return sources.Folder(folder) if folder else sources.Release.configured(os.environ)


def _architectures(given: list[str] | None) -> list[Architecture]:
    from xops.k3s.release.lock import ARCHITECTURES

    asked = given or ARCHITECTURES
    wrong = [name for name in asked if name not in ARCHITECTURES]
    if wrong:
        found = f"{', '.join(wrong)}: there are {' and '.join(ARCHITECTURES)}"
        raise InputError("reading --arch", [Finding("argument --arch", "", found)])
    return [arch for arch in ARCHITECTURES if arch in asked]


def _meter(show: Show) -> Callable[[str, int, int], None]:
    def moved(name: str, done: int, total: int) -> None:
        show(f"{name} {done >> 20}/{total >> 20} MiB", 100.0 * done / max(total, 1))

    return moved


@app.command()
def build(
    version: Version,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", callback=writable_file_in_new_folder, help="The file to write."
        ),
    ],
    arch: Arch = None,
    folder: From = None,
    images: Images = None,
    lock: LockFile = None,
    as_json: AsJson = False,
) -> None:
    """Write one archive with binaries and images, each compared with the lock file."""
    from xops.k3s.release import bundle
    from xops.k3s.release.lock import FILE, Lock

    locked, archs = Lock.load(lock or FILE), _architectures(arch)
    with bar(f"bundle {version}") as show:
        building = bundle.build(
            version,
            archs,
            _origin(folder),
            locked,
            output,
            _meter(show),
            extra_images=images or (),
        )
        made = asyncio.run(building)
    _print(made, output, as_json=as_json)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(callback=readable_file, help="The bundle.")],
    lock: Annotated[
        Path | None,
        typer.Option("--lock", callback=readable_file, help="Compare with this lock file as well."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare every byte with the manifest and report all defects at once."""
    from xops.k3s.release import bundle
    from xops.k3s.release.lock import Lock

    locked = Lock.load(lock) if lock else None
    with bar(f"verify {file.name}") as show:
        found = bundle.verify(file, locked, _meter(show))
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
    say("[bold green]Every byte is as its manifest says.[/]")


@app.command()
def lock(
    version: Version,
    folder: From = None,
    images: Images = None,
    file: LockFile = None,
    as_json: AsJson = False,
) -> None:
    """Write a release's hashes, from its own checksum files, into the lock file, for review.

    With --images the version is locked already, and gets these archives besides.
    """
    from xops.k3s.release import lock_entry, sources
    from xops.k3s.release.lock import FILE, Lock

    target = file or FILE
    locked = Lock.load(target)  # a wrong file must be known before anything is downloaded
    if images:
        entry = lock_entry.with_extra_images(locked.entry(version), images)
    else:
        entry = asyncio.run(sources.read_entry(_origin(folder), version))
    changed = lock_entry.write_entry(target, version, entry)
    if as_json:
        print_json({"file": str(target), "version": version, "changed": changed})
    else:
        state = "is written: review it" if changed else "is there already"
        say("{file}: {version} {state}", file=target, version=version, state=state)
