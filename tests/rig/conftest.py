"""Test hosts, and the k3s program for them. Nothing of it runs after the session."""

import functools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn, Protocol

import pytest

from tests.rig import engine as engines
from tests.rig import image, k3s_program, watchers
from tests.rig.access import Access, SshKey, new_key
from tests.rig.clusters import TestCluster
from tests.rig.hosts import Pods, Rig


def pytest_configure(config: pytest.Config) -> None:
    """Know the mark that keeps the rig in one worker also where pytest-xdist is not installed."""
    config.addinivalue_line("markers", "xdist_group(name): tests that run in one worker")


@contextmanager
def time_limit_stands_still() -> Iterator[None]:
    """For what is made once in minutes: that ends by `builds.Patience`, not by a test's limit."""
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)


def leave_out(reason: str) -> NoReturn:
    """Skip for this reason, or fail where every suite has to run."""
    if os.environ.get("XOPS_REQUIRE_ALL"):
        pytest.fail(reason)
    pytest.skip(reason)


class MakeRig(Protocol):
    """`make_rig(servers=3, agents=1, internal=False)`: booted hosts server-1.., agent-1..

    With `pods="real"` the real kubelet runs on each of them.
    """

    def __call__(
        self,
        servers: int = 3,
        agents: int = 1,
        *,
        internal: bool = False,
        pods: Pods = "pretended",
    ) -> Rig: ...


@pytest.fixture(scope="session")
def engine() -> Iterator[engines.Engine]:
    """A container engine, or the reason why there is none as this suite's skip."""
    if reason := engines.why_not():
        leave_out(reason)
    with engines.running_engine() as running:
        yield running


@pytest.fixture(scope="session")
def host_image(engine: engines.Engine) -> str:
    """The image of a test host. Making it takes minutes once; then it is in the cache folder."""
    with time_limit_stands_still():
        return image.host_image(engine)


@pytest.fixture(scope="session")
def ssh_key() -> SshKey:
    """The key pair of this session, with which one logs in to every test host."""
    return new_key("xops-rig")


@pytest.fixture(scope="session")
def k3s_binary() -> Callable[..., Path]:
    """`k3s_binary(version)`: the program, built if need be (minutes, the first time).

    With XOPS_TEST_K3S it is the real release of that version, and the test is skipped if there
    is none among those named.
    """

    @functools.cache
    def binary(version: str = k3s_program.VERSION) -> Path:
        if not k3s_program.real_programs():
            with time_limit_stands_still():
                return k3s_program.build(version)
        if (program := k3s_program.real_program(version)) is None:
            pytest.skip(f"XOPS_TEST_K3S names no k3s {version}")
        return program

    return binary


@pytest.fixture
def make_rig(engine: engines.Engine, host_image: str, ssh_key: SshKey) -> Iterator[MakeRig]:
    """Makes rigs that are removed after the test."""
    with ExitStack() as stack:
        yield _maker(stack, engine, host_image, ssh_key)


@pytest.fixture(scope="module")
def make_shared_rig(engine: engines.Engine, host_image: str, ssh_key: SshKey) -> Iterator[MakeRig]:
    """Makes rigs that the tests of a module share."""
    with ExitStack() as stack:
        yield _maker(stack, engine, host_image, ssh_key)


class MakeCluster(Protocol):
    """`make_cluster(rig, **values)`: a cluster file for a rig, and `xops` to run on it."""

    def __call__(self, rig: Rig, **values: Any) -> TestCluster: ...


@pytest.fixture(scope="module")
def make_cluster(
    tmp_path_factory: pytest.TempPathFactory, k3s_binary: Callable[..., Path]
) -> MakeCluster:
    """Writes cluster files; nothing is installed."""

    def make(rig: Rig, **values: Any) -> TestCluster:
        folder = tmp_path_factory.mktemp("cluster")
        return TestCluster(folder, rig, rig.give_access(folder), k3s_binary(), values)

    return make


def _maker(stack: ExitStack, engine: engines.Engine, host_image: str, key: SshKey) -> MakeRig:
    def make(
        servers: int = 3, agents: int = 1, *, internal: bool = False, pods: Pods = "pretended"
    ) -> Rig:
        if pods == "real" and (reason := watchers.why_too_few(servers, agents)):
            leave_out(reason)
        rig = stack.enter_context(Rig(engine, host_image, key, internal=internal, pods=pods))
        names = [f"server-{n + 1}" for n in range(servers)]
        rig.add(*names, *(f"agent-{n + 1}" for n in range(agents)))
        return rig

    return make


@pytest.fixture
def give_access(tmp_path: Path) -> Callable[[Rig], Access]:
    """`give_access(rig)`: a private key file and a known_hosts file for its hosts."""

    def give(rig: Rig) -> Access:
        folder = tmp_path / rig.network
        folder.mkdir(exist_ok=True)
        return rig.give_access(folder)

    return give
