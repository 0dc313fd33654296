"""Where a cluster's records go: a real S3 client, and a server that notes what it is asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.contract.k3s.hosts_in_memory import World
from tests.contract.k3s.test_operations import Watched
from tests.k3s_hosts import cluster
from tests.k3s_release import release
from xops.core.errors import CredentialsError
from xops.k3s.operations.bootstrap import K3sSteps


class Bucket(BaseHTTPRequestHandler):
    """Answers every PUT with one status; notes path, headers and body."""

    asked: list[tuple[str, dict[str, str], bytes]]
    status: int

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, dict(self.headers), body))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def bucket(status: int) -> Iterator[tuple[str, type[Bucket]]]:
    handler = type("Answering", (Bucket,), {"asked": [], "status": status})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> K3sSteps:
    """A cluster with a bucket in another region than the shell's."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    kept = {"store": "bucket", "bucket": "records-1", "prefix": "all", "region": "us-east-2"}
    of = cluster(1, evidence=kept)
    return K3sSteps(of, World(of), Watched(), release().lock)


def test_a_record_goes_to_the_bucket_of_the_file_in_its_region(
    steps: K3sSteps, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket(200) as (address, server):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        kept = steps.record("apply", "0" * 64, {"status": "applied"})

    [(path, headers, body)] = server.asked
    assert kept.startswith("s3://records-1/all/k3s/unit/")
    assert path == f"/{kept.removeprefix('s3://')}"
    assert "/us-east-2/s3/" in headers["Authorization"]
    assert headers["If-None-Match"] == "*"
    assert json.loads(body)["status"] == "applied"


def test_a_bucket_that_refuses_is_an_error_with_a_remedy(
    steps: K3sSteps, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket(403) as (address, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        with pytest.raises(
            CredentialsError, match="keeping the record s3://records-1/all/k3s/unit"
        ):
            steps.record("apply", "0" * 64, {})
