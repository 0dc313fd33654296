"""Paths and days that a person gives, checked before anything is started.

The functions of paths are the `callback` of an option or argument and hand its value on.
"""

from __future__ import annotations

import os
import stat
import tempfile
from datetime import date
from pathlib import Path

import typer

from xops.core.errors import Finding, InputError

_FIRST, _LAST = date(2000, 1, 1), date(2099, 12, 31)


def parse_day(option: str, text: str) -> date:
    """The day that an option names.

    Raises:
        InputError: it is no date, or one of another century.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        problem = f"{text!r} is no date like 2026-03-16"
    else:
        if _FIRST <= day <= _LAST:
            return day
        problem = f"{text!r} is not between {_FIRST} and {_LAST}"
    raise InputError(f"reading {option}", [Finding(f"argument {option}", "", problem)])


def readable_file(param: typer.CallbackParam, path: Path | None) -> Path | None:
    """A file that is there and may be read.

    Raises:
        InputError: it is not.
    """
    if path is not None and (problem := _not_readable(path, folder=False)):
        raise _wrong(param, path, problem)
    return path


def readable_files(param: typer.CallbackParam, paths: list[Path] | None) -> list[Path] | None:
    """Files that are there and may be read.

    Raises:
        InputError: one is not.
    """
    for path in paths or ():
        readable_file(param, path)
    return paths


def readable_folder(param: typer.CallbackParam, path: Path | None) -> Path | None:
    """A folder that is there and may be read.

    Raises:
        InputError: it is not.
    """
    if path is not None and (problem := _not_readable(path, folder=True)):
        raise _wrong(param, path, problem)
    return path


def writable_file(param: typer.CallbackParam, path: Path | None) -> Path | None:
    """A file that can be written in a folder that is there.

    Raises:
        InputError: it cannot.
    """
    if path is not None and (problem := _not_writable(path, path.absolute().parent)):
        raise _wrong(param, path, problem)
    return path


def writable_file_in_new_folder(param: typer.CallbackParam, path: Path | None) -> Path | None:
    """A file that can be written once the folders above it are made.

    Raises:
        InputError: it cannot, or they cannot.
    """
    if path is None:
        return None
    folder = path.absolute().parent
    while not os.path.lexists(folder):
        folder = folder.parent
    if problem := _not_writable(path, folder):
        raise _wrong(param, path, problem)
    return path


def writable_folder(param: typer.CallbackParam, path: Path | None) -> Path | None:
    """A folder that files can be written to, or that can be made.

    Raises:
        InputError: they cannot, or it cannot.
    """
    if path is None:
        return None
    folder = path.absolute()
    while not os.path.lexists(folder):
        folder = folder.parent
    if problem := _no_folder(path.absolute(), folder) or _no_new_file(folder):
        raise _wrong(param, path, problem)
    return path


def _no_folder(path: Path, there: Path) -> str:
    """Why it is none and can be none, where `there` is the last part of it that there is."""
    try:
        is_folder = stat.S_ISDIR(there.stat().st_mode)
        path.lstat()
    except FileNotFoundError:
        return "" if is_folder else f"cannot be made: {there} is a file"
    except OSError as error:
        return f"cannot be written: {error.strerror}"
    return "" if is_folder else "is a file, not a folder"


def _not_readable(path: Path, *, folder: bool) -> str:
    # Looked at and not opened: what comes through a pipe can be read once only.
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if is_folder is not folder:
        return "is a folder, not a file" if is_folder else "is a file, not a folder"
    return "" if os.access(path, os.R_OK) else "cannot be read: you lack the permission"


def _not_writable(path: Path, folder: Path) -> str:
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return "is a folder, not a file"
        return "" if os.access(path, os.W_OK) else "cannot be written: you lack the permission"
    except FileNotFoundError:
        return _no_new_file(folder)
    except OSError as error:
        return f"cannot be written: {error.strerror}"


def _no_new_file(folder: Path) -> str:
    try:
        # Permissions alone do not tell: they allow root everything, file systems do not.
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"cannot be written: {folder}: {error.strerror}"


def _wrong(param: typer.CallbackParam, path: Path, problem: str) -> InputError:
    is_option = param.param_type_name == "option"
    name = max(param.opts, key=len) if is_option else str(param.name).upper()
    return InputError(f"reading {name}", [Finding(f"argument {name}", "", f"{path} {problem}")])
