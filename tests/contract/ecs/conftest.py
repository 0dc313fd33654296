"""An exact stand-in for the `terraform` program: it records how it was called and answers."""

import json
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from xops.ecs.terraform import Terraform
from xops.ecs.terraform_discovery import Binary

# It finds its answers beside itself: its environment is what the tests look at.
PROGRAM = """#!{python} -S
import json, os, sys
from pathlib import Path

folder = Path(__file__).parent
verb = sys.argv[1]
call = {{"argv": sys.argv[1:], "environ": dict(os.environ), "cwd": os.getcwd()}}
with (folder / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(call) + "\\n")
for argument in sys.argv:
    if argument.startswith("-out="):
        Path(argument.removeprefix("-out=")).write_bytes(b"a plan")
answer = folder / "answers" / (verb + ".json")
output, code = json.loads(answer.read_text()) if answer.exists() else ("", 0)
sys.stdout.write(output)
sys.exit(code)
"""


@dataclass(frozen=True)
class FakeTool:
    """The program, what it is to answer, and the calls it has had."""

    program: Path

    def answer(self, verb: str, output: str = "", code: int = 0) -> None:
        file = self.program.parent / "answers" / f"{verb}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps([output, code]))

    @property
    def calls(self) -> list[dict[str, Any]]:
        lines = (self.program.parent / "calls.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    @property
    def last(self) -> list[str]:
        argv: list[str] = self.calls[-1]["argv"]
        return argv


@pytest.fixture
def tool(tmp_path: Path) -> FakeTool:
    program = tmp_path / "bin" / "terraform"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return FakeTool(program)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))


@pytest.fixture
def make(tool: FakeTool, tmp_path: Path) -> Callable[..., Terraform]:
    """Terraform on that program, in `work`, with its stack in `stack`."""
    (tmp_path / "stack").mkdir()

    def made(**values: Any) -> Terraform:
        given: dict[str, Any] = {
            "binary": Binary((str(tool.program),), "1.11.4", "test"),
            "stack": tmp_path / "stack",
            "work": tmp_path / "work",
            "data": tmp_path / "data",
            "environ": {"AWS_REGION": "ap-southeast-2"},
        }
        return Terraform(**{**given, **values})

    return made
