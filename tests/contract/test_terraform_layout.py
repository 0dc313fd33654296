"""Terraform of Stream 1: its layout, its fit to the environment files."""

import re
from pathlib import Path

import pytest

from xops.core.files import settings
from xops.ecs import environment

ROOT = settings.ROOT / "terraform"
STACK = ROOT / "stacks" / "stream1"
FILES = sorted(ROOT.glob("**/*.tf"))


def blocks(folder: Path, kind: str) -> dict[str, str]:
    """The bodies of the top-level blocks of one kind in a formatted module, by name."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.tf")))
    return dict(re.findall(rf'^{kind} "(\w+)" {{\n(.*?)^}}', text, re.MULTILINE | re.DOTALL))


def modules() -> list[Path]:
    return sorted({file.parent for file in FILES})


@pytest.mark.parametrize("name", environment.names())
def test_an_environment_file_gives_the_stack_what_it_asks_for(name: str) -> None:
    given = environment.Environment.load(name).terraform_variables()

    declared = blocks(STACK, "variable")
    required = {name for name, body in declared.items() if "\n  default " not in f"\n{body}"}

    assert given.keys() <= declared.keys(), "Terraform drops an undeclared variable with a warning"
    assert required <= given.keys()


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(ROOT)))
@pytest.mark.parametrize("kind", ["variable", "output"])
def test_variables_and_outputs_say_what_they_are(module: Path, kind: str) -> None:
    silent = [name for name, body in blocks(module, kind).items() if "  description" not in body]

    assert not silent


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_pins_terraform_and_the_provider(module: Path) -> None:
    versions = (module / "versions.tf").read_text(encoding="utf-8")

    assert 'required_version = ">= 1.11"' in versions
    assert re.search(r'source  = "hashicorp/aws"\n\s+version = "5\.100\.0"', versions)


def test_the_lock_holds_for_every_published_platform() -> None:
    lock = (STACK / ".terraform.lock.hcl").read_text(encoding="utf-8")

    # 14 builds of 5.100.0, and their archives' checksums with that of the release's own list.
    assert len(set(re.findall(r'"h1:[\w+/]{43}="', lock))) == 14
    assert len(set(re.findall(r'"zh:[0-9a-f]{64}"', lock))) == 15


def test_no_resource_brings_a_secret_into_the_state() -> None:
    keepers = re.compile(
        r'resource "(aws_secretsmanager_secret_version|aws_iam_access_key|random_password'
        r'|aws_ssm_parameter|tls_private_key)"'
    )

    assert [file for file in FILES if keepers.search(file.read_text(encoding="utf-8"))] == []
