"""The cluster's kubeconfig, and how it comes into a person's own."""

import base64
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates import self_signed
from xops.core.errors import InputError, PermanentError
from xops.core.files.reading import UnusableTextError
from xops.k3s.operations import kubeconfig

URL = "https://10.0.0.10:6443"


def encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def pem_of(key: Any) -> bytes:
    form = serialization.PrivateFormat
    kind = form.PKCS8 if isinstance(key, ed25519.Ed25519PrivateKey) else form.TraditionalOpenSSL
    pem: bytes = key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
    return pem


@cache
def material() -> tuple[bytes, bytes]:
    """A certificate and its key, in PEM."""
    certificate, key = self_signed("k3s-server-ca")
    return certificate, pem_of(key)


def of_a_server() -> dict[str, Any]:
    """As K3S writes it."""
    certificate, key = map(encoded, material())
    return {
        "apiVersion": "v1",
        "clusters": [
            {
                "name": "default",
                "cluster": {
                    "certificate-authority-data": certificate,
                    "server": "https://127.0.0.1:6443",
                },
            }
        ],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
        "current-context": "default",
        "kind": "Config",
        "preferences": {},
        "users": [
            {
                "name": "default",
                "user": {"client-certificate-data": certificate, "client-key-data": key},
            }
        ],
    }


def addressed(document: Any) -> dict[str, Any]:
    text = document if isinstance(document, str) else yaml.safe_dump(document)
    values: dict[str, Any] = yaml.safe_load(kubeconfig.addressed(text, "onprem", URL))
    return values


def written(file: Path, document: Any) -> Path:
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return file


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return written(tmp_path / "own", addressed(of_a_server()))


EXPECTED = {"apiVersion", "kind", "clusters", "users", "contexts", "current-context"}


def holds_nothing_else(values: dict[str, Any]) -> None:
    certificate, key = map(encoded, material())
    assert set(values) == EXPECTED
    assert values["current-context"] == "onprem"
    assert values["contexts"] == [
        {"name": "onprem", "context": {"cluster": "onprem", "user": "onprem"}}
    ]
    cluster = {"certificate-authority-data": certificate, "server": URL}
    assert values["clusters"] == [{"name": "onprem", "cluster": cluster}]
    user = {"client-certificate-data": certificate, "client-key-data": key}
    assert values["users"] == [{"name": "onprem", "user": user}]


def test_a_server_s_kubeconfig_is_addressed_to_the_cluster() -> None:
    holds_nothing_else(addressed(of_a_server()))
    assert kubeconfig.addressed(
        yaml.safe_dump(addressed(of_a_server())), "onprem", URL
    ) == kubeconfig.addressed(yaml.safe_dump(of_a_server()), "onprem", URL)


# What a host that means harm writes


def user(**more: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values["users"][0]["user"].update(more)


def cluster(**more: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values["clusters"][0]["cluster"].update(more)


def more(kind: str, *rows: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values[kind].extend(rows)


EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", "id"]}

ADDITIONS: dict[str, Callable[[dict[str, Any]], None]] = {
    "exec": user(exec=EXEC),
    "auth-provider": user(**{"auth-provider": {"name": "gcp", "config": {"cmd-path": "/bin/sh"}}}),
    "token": user(token="x"),
    "token file": user(tokenFile="/etc/shadow"),
    "password": user(username="a", password="b"),
    "impersonation": user(**{"as": "admin", "as-groups": ["system:masters"]}),
    "key file": user(**{"client-key": "/etc/ssh/ssh_host_rsa_key"}),
    "certificate file": user(**{"client-certificate": "/etc/passwd"}),
    "authority file": cluster(**{"certificate-authority": "/etc/passwd"}),
    "proxy": cluster(**{"proxy-url": "http://evil.example"}),
    "no check": cluster(**{"insecure-skip-tls-verify": True}),
    "another name": cluster(**{"tls-server-name": "evil.example"}),
    "another server": cluster(server="https://evil.example"),
    "extensions": cluster(extensions=[{"name": "client.authentication.k8s.io/exec"}]),
    "more clusters": more("clusters", {"name": "prod", "cluster": {"server": "https://evil"}}),
    "more users": more("users", {"name": "me", "user": {"exec": EXEC}}),
    "more contexts": more("contexts", {"name": "prod", "context": {"cluster": "prod"}}),
    "another context": lambda values: values.update({"current-context": "prod"}),
    "names": lambda values: values["users"][0].update(name="prod"),
    "preferences": lambda values: values.update(preferences={"colors": True}, extensions=[1]),
    "text around": lambda values: values["clusters"][0]["cluster"].update(
        {"certificate-authority-data": encoded(b"exec: x\n" + material()[0] + b"\nexec: y\n")}
    ),
}


@pytest.mark.parametrize("added", ADDITIONS)
def test_of_a_host_s_kubeconfig_nothing_else_is_taken(added: str, tmp_path: Path) -> None:
    document = of_a_server()
    ADDITIONS[added](document)
    holds_nothing_else(addressed(document))
    # Nor from one that an earlier xOps has kept.
    kept = written(tmp_path / "kept", {**document, "current-context": "onprem"})
    kubeconfig.merge(kept, tmp_path / "config")
    values = yaml.safe_load((tmp_path / "config").read_text())
    server = document["clusters"][0]["cluster"]["server"]
    assert values.pop("clusters")[0]["cluster"]["server"] == server
    assert {row["name"] for kind in ("users", "contexts") for row in values[kind]} == {"onprem"}
    assert set(values["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{before}'] * 9)}]\n"
    for before, after in pairwise("abcdefghi")
)


def test_aliases_are_followed_and_tags_are_not() -> None:
    certificate, key = map(encoded, material())
    text = f"""
clusters: [{{cluster: {{certificate-authority-data: &it {certificate}}}}}]
users: [{{user: {{client-certificate-data: *it, client-key-data: {key}}}}}]
"""
    holds_nothing_else(addressed(text))
    for hostile in (
        "a: &a [*a]\n" + text,
        text.replace("&it", "!!python/object/apply:os.system"),
        LAUGHS + text,
    ):
        with pytest.raises(UnusableTextError):
            addressed(hostile)


def without(kind: str, inner: str, key: str) -> Callable[[dict[str, Any]], None]:
    return lambda values: values[kind][0][inner].pop(key)


def key_of(key: Any) -> Callable[[dict[str, Any]], None]:
    return user(**{"client-key-data": encoded(pem_of(key))})


WRONG: dict[str, Any] = {
    "nothing": "",
    "no mapping": "[]",
    "a number": "5",
    "not YAML": "a: [",
    "deep": "[" * 10_000,
    "a control character": "a: \x00",
    "large": f"a: {'x' * kubeconfig.LARGEST}",
    "no clusters": lambda values: values.update(clusters=[]),
    "clusters of another kind": lambda values: values.update(clusters={"a": 1}),
    "a cluster of another kind": lambda values: values.update(clusters=["a"]),
    "no cluster in it": lambda values: values.update(clusters=[{"name": "a"}]),
    "a cluster that is null": lambda values: values.update(clusters=[{"cluster": None}]),
    "no users": lambda values: values.pop("users"),
    "users of another kind": lambda values: values.update(users=7),
    "no authority": without("clusters", "cluster", "certificate-authority-data"),
    "no certificate": without("users", "user", "client-certificate-data"),
    "no key": without("users", "user", "client-key-data"),
    "an authority that is no text": cluster(**{"certificate-authority-data": 5}),
    "an authority that is a list": cluster(**{"certificate-authority-data": ["a"]}),
    "an empty authority": cluster(**{"certificate-authority-data": ""}),
    "no base64": cluster(**{"certificate-authority-data": "%%%"}),
    "base64 with spaces": cluster(**{"certificate-authority-data": "Q0 E="}),
    "base64 of something else": cluster(**{"certificate-authority-data": "Q0E="}),
    "a key for an authority": lambda values: cluster(
        **{"certificate-authority-data": values["users"][0]["user"]["client-key-data"]}
    )(values),
    "a certificate for a key": lambda values: user(
        **{"client-key-data": values["users"][0]["user"]["client-certificate-data"]}
    )(values),
    "a long authority": cluster(**{"certificate-authority-data": "A" * 40_000}),
    "a locked key": user(
        **{
            "client-key-data": encoded(
                ec.generate_private_key(ec.SECP256R1()).private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.BestAvailableEncryption(b"x"),
                )
            )
        }
    ),
    "a key of another kind": key_of(ed25519.Ed25519PrivateKey.generate()),
    "a certificate of nothing": cluster(
        **{
            "certificate-authority-data": encoded(
                b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
            )
        }
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_kubeconfig_is_refused(wrong: str) -> None:
    document: Any = WRONG[wrong]
    if callable(document):
        change, document = document, of_a_server()
        change(document)
    with pytest.raises(UnusableTextError):
        addressed(document)


def test_a_key_of_rsa_is_one_too() -> None:
    key = rsa.generate_private_key(65537, 2048)
    document = of_a_server()
    key_of(key)(document)
    assert addressed(document)["users"][0]["user"]["client-key-data"] == encoded(pem_of(key))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
PLACES = (
    ("clusters",), ("users",), ("clusters", 0), ("users", 0), ("clusters", 0, "cluster"),
    ("users", 0, "user"), ("users", 0, "user", "client-key-data"),
    ("clusters", 0, "cluster", "certificate-authority-data"),
)  # fmt: skip


@given(st.sampled_from(PLACES), JSON)
def test_any_value_in_any_place_is_taken_or_refused(place: tuple[Any, ...], value: Any) -> None:
    document = inner = of_a_server()
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with suppress(UnusableTextError):
        holds_nothing_else(addressed(document))


@given(st.text())
def test_any_text_is_taken_or_refused(text: str) -> None:
    with suppress(UnusableTextError):
        kubeconfig.addressed(text, "onprem", URL)


@given(st.binary())
def test_any_bytes_in_pem_are_taken_or_refused(content: bytes) -> None:
    for label in ("CERTIFICATE", "EC PRIVATE KEY", "RSA PRIVATE KEY", "PRIVATE KEY"):
        body = base64.encodebytes(content).decode()
        pem = encoded(f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode())
        for change in (
            cluster(**{"certificate-authority-data": pem}),
            user(**{"client-key-data": pem}),
        ):
            document = of_a_server()
            change(document)
            with suppress(UnusableTextError):
                addressed(document)


# In a person's own


def test_it_becomes_a_person_s_first_one(own: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "config"

    assert kubeconfig.merge(own, target) == "onprem"
    values = yaml.safe_load(target.read_text())
    assert values["current-context"] == "onprem"
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_a_link(own: Path, tmp_path: Path, is_there: bool) -> None:
    real, link = tmp_path / "dotfiles" / "config", tmp_path / "config"
    if is_there:
        real.parent.mkdir()
        real.touch()
    link.symlink_to(real)
    kubeconfig.merge(own, link)
    assert link.is_symlink()
    assert yaml.safe_load(real.read_text())["current-context"] == "onprem"


@pytest.mark.parametrize("empty", ["", "apiVersion: v1\nkind: Config\nclusters: null\n"])
def test_an_empty_one_is_filled(own: Path, tmp_path: Path, empty: str) -> None:
    target = written(tmp_path / "config", empty)
    kubeconfig.merge(own, target)

    assert [row["name"] for row in yaml.safe_load(target.read_text())["clusters"]] == ["onprem"]


def test_others_and_the_current_context_stay(own: Path, tmp_path: Path) -> None:
    other = {"name": "work", "cluster": {"server": "https://work.example.com"}}
    old = {"name": "onprem", "cluster": {"server": "https://10.0.0.99:6443"}}
    target = written(
        tmp_path / "config",
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "work",
            "clusters": [other, old],
            "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
            "users": [{"name": "me", "user": {"token": "mine"}}],
            "preferences": {"colors": True},
        },
    )
    kubeconfig.merge(own, target)
    first = target.read_text()
    values = yaml.safe_load(first)

    assert values["current-context"] == "work"
    assert values["preferences"] == {"colors": True}
    assert values["clusters"][0] == other
    assert values["clusters"][1]["cluster"]["server"] == "https://10.0.0.10:6443"
    assert [row["name"] for row in values["users"]] == ["me", "onprem"]
    assert [row["name"] for row in values["contexts"]] == ["work", "onprem"]

    kubeconfig.merge(own, target)
    assert target.read_text() == first


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "[[a, b]]",
        "clusters: 5",
        "clusters: {a: b}",
        "users: [a]",
        "users: [{user: {}}]",
        "contexts: [{name: [1]}]",
        "a: [",
        "a: &a [*a]",
        "[" * 5000,
    ],
)
def test_a_person_s_file_of_another_form_is_a_finding(own: Path, tmp_path: Path, text: str) -> None:
    target = written(tmp_path / "config", text)
    with pytest.raises(InputError, match="is no kubeconfig"):
        kubeconfig.merge(own, target)
    assert target.read_text() == text


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.update({"current-context": ["a"]}),
        lambda values: values.pop("current-context"),
        cluster(server="http://10.0.0.1"),
        cluster(server=5),
        without("clusters", "cluster", "server"),
        without("users", "user", "client-key-data"),
        lambda values: values.update(clusters=None),
    ],
)
def test_one_that_is_kept_and_unusable_says_what_to_do(
    own: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    document = yaml.safe_load(own.read_text())
    change(document)
    written(own, document)
    for use in (
        lambda: kubeconfig.merge(own, tmp_path / "config"),
        lambda: kubeconfig.api_probe(own),
    ):
        with pytest.raises(PermanentError, match="fetches it anew"):
            use()
