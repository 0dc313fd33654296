"""AWS under its own names on this machine: what asks sts.ap-southeast-2.amazonaws.com is answered.

A proxy of this machine (HTTPS_PROXY) ends each TLS connection with a certificate for the name that
was asked for, signed by an authority of the test's own (AWS_CA_BUNDLE), and hands the request to
moto's server. So `target: aws` is tried as it is, with nothing redirected inside of it.
"""

import http.client
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from moto.server import ThreadedMotoServer


@dataclass(frozen=True)
class Call:
    """One request that reached AWS: to which name, and what was asked."""

    host: str
    action: str


@dataclass(frozen=True)
class AwsByName:
    """What a process needs in its environment, and what was asked of AWS since."""

    environ: dict[str, str]
    calls: list[Call] = field(default_factory=list)

    def actions(self, host: str = "sts") -> list[str]:
        """What was asked of the names that begin so."""
        return [call.action for call in self.calls if call.host.startswith(host)]


class Authority:
    """Signs a certificate for each name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._lock = threading.Lock()
        self.bundle = folder / "authority.pem"
        own = self._certificate(self._name, self._key.public_key(), None)
        self.bundle.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def context(self, host: str) -> ssl.SSLContext:
        """A server's TLS for this name."""
        with self._lock:
            file = self._folder / f"{host}.pem"
            if not file.exists():
                file.write_bytes(self._pair(host))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(file)
            return context

    def _pair(self, host: str) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        certificate = self._certificate(name, key.public_key(), host)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return private + certificate.public_bytes(serialization.Encoding.PEM)

    def _certificate(self, name: x509.Name, key: Any, host: str | None) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        )
        if host is not None:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


class Proxy(ThreadingHTTPServer):
    """Ends TLS, notes what is asked, and asks moto."""

    daemon_threads = True

    def __init__(self, authority: Authority, behind: tuple[str, int], calls: list[Call]) -> None:
        self.authority = authority
        self.behind = behind
        self.calls = calls
        super().__init__(("127.0.0.1", 0), Tunnel)


class Tunnel(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        host = self.path.partition(":")[0]
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        try:
            inside = self.server.authority.context(host).wrap_socket(
                self.connection, server_side=True
            )
        except (ssl.SSLError, OSError):  # who connected does not trust us, or has gone
            self.close_connection = True
            return
        self.connection = inside
        self.rfile = inside.makefile("rb")
        self.wfile = inside.makefile("wb", buffering=0)  # type: ignore[assignment]

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        host = self.headers["Host"].partition(":")[0]
        self.server.calls.append(Call(host, action(self.headers, body)))
        asked = http.client.HTTPConnection(*self.server.behind, timeout=30)
        try:
            asked.request(self.command, self.path, body, dict(self.headers.items()))
            answer = asked.getresponse()
            content = answer.read()
        finally:
            asked.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _forward  # noqa: N815

    def finish(self) -> None:
        """Close what was put over the connection, too: the server knows only what is below it."""
        super().finish()
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def action(headers: Any, body: bytes) -> str:
    """The name of the operation, where the protocol has it in the request; else empty."""
    target = str(headers.get("X-Amz-Target", "")).rpartition(".")[2]
    if target or "form-urlencoded" not in headers.get("Content-Type", ""):
        return target
    return parse_qs(body.decode()).get("Action", [""])[0]


@contextmanager
def running() -> Iterator[AwsByName]:
    """Both servers, until the end of the block."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    calls: list[Call] = []
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        host, port = moto.get_host_and_port()
        proxy = Proxy(authority, (host, port), calls)
        threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
        try:
            environ = {
                "HTTPS_PROXY": f"http://127.0.0.1:{proxy.server_port}",
                "NO_PROXY": "127.0.0.1,localhost",
                "AWS_CA_BUNDLE": str(authority.bundle),
            }
            yield AwsByName(environ, calls)
        finally:
            proxy.shutdown()
            proxy.server_close()
            moto.stop()


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
