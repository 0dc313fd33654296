"""Which modules a person can reach: those that a flow or a command imports, however deep.

A program that xOps starts as `python -m PACKAGE` is a command as well: its `__main__` is where
imports begin.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("flows", "blocks", "xops")
ENTRIES = ("flows", "xops.cli")


def reached_modules(root: Path) -> frozenset[str]:
    """The modules of the project below `root` that flows and commands lead to."""
    files = {_module(file, root): file for name in PACKAGES for file in (root / name).rglob("*.py")}
    found: set[str] = set()
    waiting = [name for name in files if name.startswith(ENTRIES) or name.endswith(".__main__")]
    while waiting:
        name = waiting.pop()
        if name in files and name not in found:
            found.add(name)
            waiting += imported_modules(files[name])
    return frozenset(found)


def imported_modules(file: Path) -> frozenset[str]:
    """What of the project a file imports: modules, the packages above them, and names in them."""
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    names = {name for node in ast.walk(tree) for name in _names(node)}
    return frozenset(
        above for name in names if name.split(".")[0] in PACKAGES for above in _with_parents(name)
    )


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _module(file: Path, root: Path) -> str:
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
