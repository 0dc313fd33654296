"""The k3s program that goes onto test hosts: the test distribution, or a real release."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

from tests.rig import builds
from tests.rig.engine import cache_folder, run

SOURCES = Path(__file__).with_name("k3s")
VERSION = "v1.34.1+k3s1"
"""The version that tests use unless they need several."""

NEXT = "v1.34.2+k3s1"
"""The version that tests upgrade to."""

_DAY = 86_400.0


def real_programs() -> list[Path]:
    """Real K3S releases to test with, from XOPS_TEST_K3S: paths with a colon between them."""
    return [Path(path) for path in os.environ.get("XOPS_TEST_K3S", "").split(os.pathsep) if path]


def version_of(program: Path) -> str:
    """What `k3s --version` says, such as v1.34.1+k3s1."""
    return run([program, "--version"]).stdout.split()[2]


def real_program(version: str) -> Path | None:
    """The real release of that version; the first stands for `VERSION`, the second for `NEXT`."""
    programs = real_programs()
    same = [program for program in programs if version_of(program) == version]
    stand_ins = {VERSION: programs[:1], NEXT: programs[1:2]}
    return next(iter(same or stand_ins.get(version, [])), None)


def build(version: str) -> Path:
    """The test distribution, which says that it is `version`; built once for its sources.

    Raises:
        RigError: the build failed or got no further; the compiler's words are in it.
    """
    folder = cache_folder() / "k3s"
    folder.mkdir(exist_ok=True)

    def compile_it(to: Path) -> None:
        _forget_old(folder)
        builds.run_build(["bash", SOURCES / "build.sh", version, to], folder / "build.log")

    program = builds.kept(folder / f"{version}-{_key(version)}", compile_it)
    os.utime(program)
    return program


def _forget_old(folder: Path) -> None:
    """Programs of earlier sources; a day is longer than any session that may still use one."""
    for program in folder.glob("v*"):
        if time.time() - program.stat().st_mtime > _DAY:
            program.unlink()


def _key(version: str) -> str:
    """Differs whenever another program would come out."""
    digest = hashlib.sha256(version.encode())
    digest.update(_compiler().encode())
    for path in sorted(SOURCES.rglob("*")):
        if path.is_file() and path.suffix != ".md":
            digest.update(str(path.relative_to(SOURCES)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _compiler() -> str:
    return run(["go", "version"]).stdout


if __name__ == "__main__":
    for each in (VERSION, NEXT):
        sys.stdout.write(f"built {build(each).name}\n")
