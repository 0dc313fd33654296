"""A copy of the project with one environment more: it is known everywhere, by its file alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xops.core.files import settings

PARTS = ("xops", "flows", "blocks", "deployments", "terraform", "prefect.yaml")

EVERYWHERE = """
import json
from blocks import EcsEnvironment
from blocks.__main__ import defaults
from flows.provision_ecs import provision_ecs
from flows.stream1 import EcsRequest
from prefect.utilities.callables import parameter_schema
from xops.ecs import environment

schema = parameter_schema(provision_ecs).model_dump_for_openapi()
variables = environment.Environment.load("staging").terraform_variables()
print(json.dumps({
    "names": environment.names(),
    "request": EcsRequest(environment="staging").environment,
    "form": schema["definitions"]["EcsRequest"]["properties"]["environment"]["enum"],
    "block": EcsEnvironment.model_json_schema()["properties"]["environment"]["enum"],
    "documents": [name for name, block in defaults() if isinstance(block, EcsEnvironment)],
    "opened": EcsEnvironment(environment="staging").environment,
    "variables": [variables["environment"], variables["name"]],
}))
"""
REFUSED = """
from blocks import EcsEnvironment
from flows.stream1 import EcsRequest
for kind in (EcsRequest, EcsEnvironment):
    try:
        kind.model_validate({"environment": "stagin"})
    except ValueError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("project")
    ignored = shutil.ignore_patterns("__pycache__", ".terraform")
    for part in PARTS:
        source = settings.ROOT / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=ignored)
        else:
            shutil.copy(source, copy)
    folder = copy / "deployments" / "environments"
    text = (folder / "sit.yaml").read_text()
    (folder / "staging.yaml").write_text(text.replace("name: sit", "name: staging"))
    (folder / "Not A Name.yaml").write_text(text)
    return copy


def python(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    home = project / ".xops"
    environ = {**os.environ, "PYTHONPATH": str(project), "XOPS_HOME": str(home)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_it_is_known_everywhere(project: Path) -> None:
    done = python(project, "-c", EVERYWHERE)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    everyone = ["local", "peak", "prod", "sit", "staging", "test"]
    assert seen["names"] == seen["form"] == seen["block"] == seen["documents"] == everyone
    assert seen["request"] == seen["opened"] == "staging"
    assert seen["variables"] == ["staging", "xops-staging"]


def test_a_form_that_names_another_is_told_which_there_are(project: Path) -> None:
    done = python(project, "-c", REFUSED)
    listed = "no environment 'stagin'; there are: local, peak, prod, sit, staging, test"
    assert done.stdout.count(listed) == 2


def test_the_command_says_which_there_are(project: Path) -> None:
    done = python(project, "-c", "from xops.cli import main; main()", "ecs", "plan", "-e", "stagin")
    assert done.returncode == 2
    assert "there are: local, peak, prod, sit, staging, test" in done.stderr
