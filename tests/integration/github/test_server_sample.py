"""The GitHub that a person starts to try pull requests on: `python -m tests.github_server`."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import github_sample as sample
from tests.github_server import TOKEN, GitHubServer
from tests.http_servers import serving
from tests.integration.github.test_server_deliveries import Receiver
from tests.waiting import look_until_found
from xops.github.policy import GitHubPolicy

SECRET = "0123456789abcdef" * 4
ROOT = Path(__file__).parents[3]


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The process and what it says until the pull request is open."""
    command = [sys.executable, "-m", "tests.github_server", "--port", "0", "--sample", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "is open" in line:
                break
        yield process, lines
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        if process.stdout is not None:
            process.stdout.close()


def do(url: str, name: str, /, **arguments: Any) -> Any:
    answer = httpx.post(f"{url}/xops/{name}", json=arguments, trust_env=False)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


def test_a_person_plays_a_pull_request_through_with_curl(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    receiver = Receiver()
    with serving(receiver.handler()) as address:
        options = ("--hook", address, "--secret-file", str(secret), "--settings", str(tmp_path))
        with started(*options) as (_, said):
            url = said[0].rpartition(" ")[2]
            assert f"export XOPS_GITHUB_TOKEN={TOKEN}" in said
            mine = {"name": sample.NAME, "number": 1}
            do(url, "review", **mine, state="APPROVED", by="bob")
            made = do(url, "comment", **mine, body="xops plan", by="carol")
            do(url, "merge", **mine, by="bob")
            (comment,) = httpx.get(f"{url}/xops/comments", trust_env=False).json()
            assert (comment["body"], comment["id"]) == ("xops plan", made["id"])
            look_until_found(lambda: len(receiver.came) == 6)
            rows = httpx.get(f"{url}/xops/deliveries", trust_env=False).json()
            do(url, "redeliver", id=rows[-1]["id"])
            look_until_found(lambda: len(receiver.came) == 7)
            _check_settings(tmp_path, url)
    events = [headers["x-github-event"] for headers, _ in receiver.came]
    assert events == [
        "push", "pull_request", "pull_request_review", "issue_comment", "pull_request", "push",
        "push",
    ]  # fmt: skip
    assert receiver.guids[0] == receiver.guids[6]
    assert SECRET not in " ".join(said)


def _check_settings(folder: Path, url: str) -> None:
    policy = GitHubPolicy.load(folder / "github.yaml", environ={})
    assert (policy.api_url, policy.hook_of) == (url, "acme")
    assert policy.allows(sample.NAME)
    assert (folder / "secrets.yaml").stat().st_mode & 0o777 == 0o600


def test_what_is_asked_wrongly_is_answered_with_how_to_ask(github: GitHubServer) -> None:
    sample.fill(github)
    answer = httpx.post(f"{github.url}/xops/review", json={"name": "x"}, trust_env=False)
    assert answer.status_code == 422
    assert re.search(r"review\(name.*missing a required argument", answer.text)
    missing = {"name": sample.NAME, "number": 9, "by": "bob"}
    answer = httpx.post(f"{github.url}/xops/merge", json=missing, trust_env=False)
    assert (answer.status_code, "no pull request 9" in answer.text) == (422, True)
    assert httpx.post(f"{github.url}/xops/nothing", json={}, trust_env=False).status_code == 404


def test_the_repository_holds_this_project_and_names_its_approvers(github: GitHubServer) -> None:
    repository = sample.fill(github)
    main = repository.heads["main"]
    files = repository.objects.files(repository.objects.revisions[main].tree)
    assert {"terraform/README.md", sample.CHANGED, "deployments/github.yaml"} <= files.keys()
    assert any(path.endswith(".terraform.lock.hcl") for path in files)
    assert not any("/.terraform/" in path for path in files)
    text = repository.objects.text(main, "deployments/github.yaml")
    assert text is not None
    assert "approvers: {teams: [acme/platform]}" in text


def test_its_pull_request_changes_one_line_of_one_environment(github: GitHubServer) -> None:
    sample.fill(github)
    one = sample.open_change(github)
    (change,) = one.changes
    assert (change.path, change.additions, change.deletions) == (sample.CHANGED, 1, 1)
    assert json.dumps(change.patch)


def test_a_hook_goes_with_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sample.main(["--hook", "http://127.0.0.1:9/github"])
    assert "--hook goes with --secret-file" in capsys.readouterr().err
