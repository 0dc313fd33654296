"""Groups of commands whose modules are imported when one of their commands is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar, cast

import typer
from typer.core import TyperGroup


class _Commands(Mapping[str, Any]):
    """The commands of a module's `app`; looking at any of them imports the module."""

    def __init__(self, module: str) -> None:
        self._module = module

    @cached_property
    def _imported(self) -> Mapping[str, Any]:
        app = cast("typer.Typer", import_module(self._module).app)
        return typer.main.get_group(app).commands

    def __getitem__(self, name: str) -> Any:
        return self._imported[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._imported)

    def __len__(self) -> int:
        return len(self._imported)


class _LateGroup(TyperGroup):
    module: ClassVar[str]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": _Commands(self.module)})


def late_group(module: str, summary: str) -> typer.Typer:
    """The commands of `module.app` as a group that costs nothing until it is used.

    Args:
        module: its full name; `app` in it holds the commands.
        summary: the group's line in the help, given here because the help must not import it.
    """
    group = type("LateGroup", (_LateGroup,), {"module": module})
    return typer.Typer(cls=group, help=summary, no_args_is_help=True)
