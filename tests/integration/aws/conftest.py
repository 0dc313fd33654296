"""AWS by its own names, as `target: aws` reaches it, with the files of a home of the test's own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import aws_by_name
from tests.aws_by_name import AwsByName
from tests.embedded_aws import endpoint
from tests.integration.ecs.conftest import aws, fault
from xops.aws.access import Aws
from xops.aws.target import Target

__all__ = ["aws", "endpoint", "fault"]

Access = Callable[..., Aws]

KEYS = "[operations]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = example\n"


@pytest.fixture(scope="session")
def servers() -> Iterator[AwsByName]:
    with aws_by_name.running() as servers:
        yield servers


@pytest.fixture
def by_name(servers: AwsByName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AwsByName:
    """The process's environment has the way to it, and no credentials but a file's."""
    for name, value in servers.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    servers.calls.clear()
    return servers


@pytest.fixture
def access(by_name: AwsByName, tmp_path: Path) -> Access:
    """`access(config)`: AWS through the profile `operations`, with this in its section."""

    def make(config: str = "", target: Target = Target.AWS, **environ: str) -> Aws:
        credentials, file = tmp_path / "credentials", tmp_path / "config"
        credentials.write_text(KEYS)
        file.write_text(config)
        given = {
            "AWS_PROFILE": "operations",
            "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
            "AWS_CONFIG_FILE": str(file),
        }
        return Aws(target, "ap-southeast-2", {**by_name.environ, **given, **environ})

    return make
