"""Terraform's own tests of the modules and stacks, all on one running provider.

`terraform test` starts the provider about three times a `run` block, which costs more than the test
does; attached to one that runs already (Terraform's TF_REATTACH_PROVIDERS) it takes a third. What
the provider answers is the same: every file mocks it, so nothing is configured and nothing kept.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.waiting import look_until_found
from xops.core import process
from xops.core.files import settings
from xops.ecs import terraform_discovery

ROOT = settings.ROOT / "terraform"
TESTED = sorted({file.parent.parent for file in ROOT.glob("**/tests/*.tftest.hcl")})
PROVIDER_START = 180.0

Terraform = Callable[..., None]

pytestmark = pytest.mark.xdist_group("terraform-test")


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of all sources, with a cache for providers where there is no mirror of them."""
    folder = tmp_path_factory.mktemp("terraform-test")
    shutil.copytree(ROOT, folder / "terraform", ignore=shutil.ignore_patterns(".terraform"))
    mirror = terraform_discovery.find_mirror(os.environ)
    place = f'filesystem_mirror {{ path = "{mirror}" }}' if mirror else "direct {}"
    cache = folder / "cache"
    cache.mkdir()
    (folder / "terraform.rc").write_text(
        f'plugin_cache_dir = "{cache}"\nprovider_installation {{\n  {place}\n}}\n'
    )
    return folder


@pytest.fixture(scope="session")
def terraform(work: Path) -> Terraform:
    """`terraform(folder, verb, *options, **environ)`; Terraform's own words when it fails."""
    binary = terraform_discovery.find_binary(os.environ)

    def run(folder: Path, *arguments: str, **environ: str) -> None:
        given = {"TF_CLI_CONFIG_FILE": str(work / "terraform.rc"), **environ}
        command = process.Command(
            [*binary.argv, *arguments, "-no-color"],
            cwd=work / "terraform" / folder.relative_to(ROOT),
            env=terraform_discovery.base_environment(given),
            deadline=600,
        )
        finished = process.run(command)
        assert finished.returncode == 0, finished.text

    return run


@pytest.fixture(scope="session")
def prepared(terraform: Terraform) -> None:
    """Every folder has its providers, by its lock file where it has one."""
    for module in TESTED:
        terraform(module, "init", "-backend=false", "-input=false")


@pytest.fixture(scope="session")
def provider(work: Path, prepared: None) -> Iterator[str]:
    """A provider that runs; yields how Terraform reaches it."""
    pattern = f".terraform/providers/{terraform_discovery.AWS_PROVIDER}/*/*/terraform-provider-aws*"
    program = next((work / "terraform" / TESTED[0].relative_to(ROOT)).glob(pattern))
    log = work / "provider.log"
    command = process.Command([str(program), "-debug"], work, dict(os.environ), 60.0, log=log)
    running = process.start_service(command)
    try:
        reattach = re.compile(r"TF_REATTACH_PROVIDERS='(.+)'")
        yield look_until_found(lambda: reattach.findall(log.read_text()), PROVIDER_START)[0]
    finally:
        running.stop()


# The whole stack computes for 40 s on an idle machine, beside two other workers for longer.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("module", TESTED, ids=lambda path: str(path.relative_to(ROOT)))
def test_terraform_test_passes(module: Path, terraform: Terraform, provider: str) -> None:
    terraform(module, "test", TF_REATTACH_PROVIDERS=provider)
