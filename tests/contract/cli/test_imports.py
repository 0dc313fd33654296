"""Help is cheap: what a command needs is imported when the command runs, not before."""

import subprocess
import sys

import pytest

from tests.contract.cli.shell import GROUPS, Command

# Each of them costs more than the whole of the help.
HEAVY = {
    "asyncssh",
    "boto3",
    "botocore",
    "githubkit",
    "httpx",
    "kubernetes",
    "matplotlib",
    "moto",
    "numpy",
    "pandas",
    "prefect",
    "psutil",
    "scipy",
    "sqlalchemy",
}
# The help of all commands needs no settings, no model and no step either.
NOTHING_BUT_TYPER = HEAVY | {"pydantic", "yaml", "xops.aws", "xops.ecs", "xops.k3s", "xops.local"}

LISTED = (
    "import sys; from xops.cli import main\ntry: main(sys.argv[1:])\nfinally: print(*sys.modules)"
)


def imported_by(*words: str) -> set[str]:
    """The modules that a fresh interpreter has after `xops` with these words."""
    ran = subprocess.run(
        [sys.executable, "-c", LISTED, *words], capture_output=True, text=True, check=True
    )
    return set(ran.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("words", [("--help",), ("--version",)])
def test_the_command_alone_imports_no_step(words: tuple[str, ...]) -> None:
    assert imported_by(*words) & NOTHING_BUT_TYPER == set()


@pytest.mark.parametrize("group", [row for row in GROUPS if row.words], ids=str)
def test_the_help_of_a_group_imports_nothing_heavy(group: Command) -> None:
    modules = imported_by(*group.words, "--help")
    assert f"xops.cli.{group.words[0]}" in modules
    assert modules & HEAVY == set()
