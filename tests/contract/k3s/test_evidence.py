"""Where a cluster's records go: a real S3 client, through a proxy that is S3 at its other end."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.contract.k3s.hosts_in_memory import World
from tests.contract.k3s.lab import Watched
from tests.http_servers import serving
from tests.k3s_hosts import cluster
from tests.k3s_release import release
from xops.core.errors import CredentialsError
from xops.core.evidence.log import RecordKind
from xops.k3s.operations.bootstrap import K3sSteps

HOST = "records-1.s3.us-east-2.amazonaws.com"


class Bucket(BaseHTTPRequestHandler):
    """A proxy that answers in the place of S3; notes what it is asked to keep."""

    protocol_version = "HTTP/1.1"
    context: ssl.SSLContext
    status: int
    asked: list[tuple[str, dict[str, str], bytes]]

    def do_CONNECT(self) -> None:
        assert self.path == f"{HOST}:443"
        self.send_response(200)
        self.end_headers()
        self.connection = self.context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, dict(self.headers), body))
        self._answer(b"")

    def do_GET(self) -> None:
        refused = b"<Error><Code>AccessDenied</Code></Error>"
        empty = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        self._answer(empty if self.status == HTTPStatus.OK else refused)

    def _answer(self, body: bytes) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def log_message(self, *_: object) -> None:
        pass


def certificate(file: Path) -> None:
    """A certificate of S3's for this test, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "S3 of a test")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + pem)


@contextmanager
def bucket(pem: Path, status: int) -> Iterator[tuple[str, type[Bucket]]]:
    """The proxy's address, and what it notes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    handler = type("Answering", (Bucket,), {"asked": [], "status": status, "context": context})
    with serving(handler) as address:
        yield address, handler


@pytest.fixture
def pem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The certificate, which the shell trusts; its region is another than the bucket's."""
    file = tmp_path / "s3.pem"
    certificate(file)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    # Otherwise the body comes in chunks, with its checksum behind it.
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    return file


@pytest.fixture
def steps() -> K3sSteps:
    kept = {"store": "bucket", "bucket": "records-1", "prefix": "all", "region": "us-east-2"}
    of = cluster(1, evidence=kept)
    return K3sSteps(of, World(of), Watched(), release().lock)


def test_a_record_goes_to_the_bucket_of_the_file_in_its_region(
    steps: K3sSteps, pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket(pem, 200) as (proxy, server):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("https_proxy", proxy)
        record = steps.log.append(RecordKind.APPLY, "0" * 64, {"status": "applied"})
        kept = steps.log.address(record)

    [(path, headers, body)] = server.asked
    assert kept == "s3://records-1/all/k3s/unit/00000001.json"
    assert path == f"/{kept.removeprefix('s3://records-1/')}"
    assert "/us-east-2/s3/" in headers["Authorization"]
    assert headers["If-None-Match"] == "*"
    assert json.loads(body)["status"] == "applied"


def test_a_bucket_that_refuses_is_an_error_with_a_remedy(
    steps: K3sSteps, pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket(pem, 403) as (proxy, _):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(
            CredentialsError, match="listing the records in s3://records-1/all/k3s/unit"
        ):
            steps.log.append(RecordKind.APPLY, "0" * 64, {})
