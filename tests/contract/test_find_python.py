"""Which Python `make install` takes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xops.core.files import settings

Find = Callable[..., subprocess.CompletedProcess[str]]

PYENV = 'echo "pyenv: $(basename "$0"): command not found" >&2; exit 127'
OLD = "exit 1"  # what the question answers in a Python that is too old


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """Ask with these folders in PATH, each with programs of that name: a text, or this Python."""

    def run(*folders: dict[str, str], **environ: str) -> subprocess.CompletedProcess[str]:
        places = [tmp_path / str(number) for number in range(len(folders))]
        for place, programs in zip(places, folders, strict=True):
            place.mkdir()
            for name, text in programs.items():
                (place / name).write_text(f"#!/bin/sh\n{text or f'exec {sys.executable} "$@"'}\n")
                (place / name).chmod(0o755)
        return subprocess.run(
            ["/bin/bash", settings.ROOT / "scripts" / "find-python"],
            env={"PATH": os.pathsep.join(map(str, places)), **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_behind_a_shim_that_refuses_the_next_one_is_found(find: Find, tmp_path: Path) -> None:
    shims = dict.fromkeys(["python3.13", "python3.12", "python3"], PYENV)

    found = find(shims, {"python3.13": ""})

    assert (found.returncode, found.stdout) == (0, f"{tmp_path}/1/python3.13\n")
    assert found.stderr == ""


def test_the_newest_name_wins_over_the_first_folder(find: Find, tmp_path: Path) -> None:
    assert find({"python3": ""}, {"python3.12": ""}).stdout == f"{tmp_path}/1/python3.12\n"


def test_the_one_that_is_named_comes_first(find: Find, tmp_path: Path) -> None:
    own = f"{tmp_path}/1/own"

    assert find({"python3.13": ""}, {"own": ""}, PYTHON=own).stdout == f"{own}\n"


def test_where_none_fits_it_says_what_to_do(find: Find) -> None:
    found = find({"python3.13": PYENV, "python3": OLD})

    assert (found.returncode, found.stdout) == (2, "")
    assert "make install PYTHON=/path/to/python3.13" in found.stderr
