"""The tree of commands, found by walking it, and `xops` run in this process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import typer

from xops import cli

ROOT: Any = typer.main.get_command(cli.app)


@dataclass(frozen=True)
class Command:
    """A command or group, by the words that lead to it."""

    words: tuple[str, ...]
    node: Any

    @property
    def is_group(self) -> bool:
        return hasattr(self.node, "commands")

    @property
    def takes_any_number(self) -> bool:
        return any(param.nargs == -1 for param in self.node.params)

    def __str__(self) -> str:
        return " ".join(("xops", *self.words))


def tree(node: Any = ROOT, words: tuple[str, ...] = ()) -> Iterator[Command]:
    """Every group and command, `xops` itself first."""
    yield Command(words, node)
    for name, inner in getattr(node, "commands", {}).items():
        yield from tree(inner, (*words, name))


GROUPS = [command for command in tree() if command.is_group]
COMMANDS = [command for command in tree() if not command.is_group]


def spelling(param: Any) -> str:
    """An option by its longest flag, an argument in capitals, as messages name them."""
    is_option = param.param_type_name == "option"
    return str(max(param.opts, key=len)) if is_option else str(param.name).upper()


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


class Shell:
    """Runs `xops`; whatever leaves it but its exit fails the test, as a traceback would."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def run(self, words: Sequence[str]) -> Ended:
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        code = ended.value.code
        said = self._capture.readouterr()
        return Ended(code if isinstance(code, int) else 0, said.out, said.err)
