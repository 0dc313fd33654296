"""The connection against a real HTTP server: credentials, limits, errors, what is kept."""

import gzip
import resource
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.certificates import self_signed
from tests.github_server import (
    APP_ID,
    CLASSIC_TOKEN,
    INSTALLATION_ID,
    TOKEN,
    GitHubServer,
)
from tests.http_servers import serving
from tests.secret_sources import allowing
from xops.core.errors import InputError, PermanentError, XopsError
from xops.core.files.secret import SecretReference
from xops.github.access import Access, App
from xops.github.client import Client
from xops.github.errors import (
    AccessError,
    ForbiddenError,
    LimitError,
    NotVisibleError,
    PartialAnswerError,
    RefusedError,
    UnavailableError,
)
from xops.github.refusals import credential_name

QUERY = """
query Probe($owner: String!, $name: String!) {
  rateLimit { limit cost remaining resetAt }
  repository(owner: $owner, name: $name) { nameWithOwner }
}
"""
HERE = {"owner": "octo", "name": "web"}
FILES = "/repos/octo/web/pulls/1/files"

MakeClient = Callable[..., Client]


@pytest.fixture(autouse=True)
def repository(github: GitHubServer) -> Any:
    made = github.add("octo/web")
    made.merge(datetime(2026, 11, 17, tzinfo=UTC), *[f"f{n}.tf" for n in range(250)])
    return made


def probe(client: Client) -> Any:
    return client.graphql(QUERY, HERE, "probing").complete("probing")["repository"]


def test_a_query_is_answered_and_its_cost_counted(client: Client) -> None:
    assert probe(client) == {"nameWithOwner": "octo/web"}
    assert (client.usage.queries, client.usage.points) == (1, 1)
    assert client.usage.remaining_points == 4999


def test_lists_are_read_to_their_end(client: Client) -> None:
    assert len(list(client.pages(FILES, "listing"))) == 250
    assert client.usage.rest_calls == 3


@pytest.mark.parametrize(("token", "kind"), [(TOKEN, "fine-grained"), (CLASSIC_TOKEN, "classic")])
def test_both_kinds_of_token_are_taken(connect: MakeClient, token: str, kind: str) -> None:
    assert probe(connect(token))
    assert kind in credential_name(connect(token).access, token)


@pytest.mark.parametrize("token", ["ca nary", "canary\nsecond", "canary\x00", "canary\u00f6"])
def test_what_cannot_be_sent_as_a_token_is_named_and_not_shown(
    connect: MakeClient, token: str
) -> None:
    with pytest.raises(AccessError, match="variable XOPS_GITHUB_TOKEN holds no token") as error:
        connect(token)
    assert "nary" not in f"{error.value!r}{error.value.__cause__!r}{error.value.__context__!r}"


def test_a_refused_credential_is_named_and_not_shown(connect: MakeClient) -> None:
    client = connect("ghp_wrong_one")
    asks: list[Callable[[], Any]] = [
        lambda: probe(client),
        lambda: client.get("/repos/octo/web/pulls", "listing"),
    ]
    for ask in asks:
        with pytest.raises(AccessError, match="401: Bad credentials") as error:
            ask()
        assert "Renew the classic token in variable XOPS_GITHUB_TOKEN" in str(error.value)
        assert "wrong_one" not in str(error.value)
        assert "wrong_one" not in repr(error.value.__cause__)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (
            {"status": 403, "message": "Resource not accessible"},
            ForbiddenError,
            "Pull requests: read",
        ),
        ({"status": 403, "message": "SAML enforcement"}, ForbiddenError, "under SAML authorise"),
        ({"status": 404, "message": "Not Found"}, NotVisibleError, "Correct the name"),
        ({"status": 451, "message": "Blocked"}, NotVisibleError, "451"),
        ({"status": 422, "message": "Wrong"}, RefusedError, "422: Wrong"),
        ({"status": 407, "message": ""}, RefusedError, "proxy answered 407"),
        (
            {"status": 403, "message": "the `acme` organization has an IP allow list enabled"},
            ForbiddenError,
            "added to the organisation's IP allow list",
        ),
        ({"kind": "html"}, RefusedError, "cannot be read"),
        ({"status": 503, "times": 9}, UnavailableError, "503"),
        ({"kind": "drop", "times": 9}, UnavailableError, "Run it again later"),
    ],
)
def test_each_refusal_says_what_to_do(
    github: GitHubServer, client: Client, fault: dict[str, Any], kind: type[XopsError], words: str
) -> None:
    github.fail(operation="GET .*", **fault)
    with pytest.raises(kind, match=words):
        client.get(FILES, "listing the files of octo/web#1")


@pytest.mark.parametrize("fault", [{"status": 502}, {"status": 503}, {"kind": "drop"}])
def test_what_passes_is_asked_again(
    github: GitHubServer, client: Client, slept: list[float], fault: dict[str, Any]
) -> None:
    github.fail(operation="Probe", times=2, **fault)
    assert probe(client)
    assert slept == [2.0, 4.0]


def test_a_slow_answer_is_given_up(github: GitHubServer, connect: MakeClient) -> None:
    github.fail(operation="Probe", kind="delay", delay_seconds=0.3, times=9)
    with pytest.raises(UnavailableError, match="Timeout"):
        probe(connect(timeout_seconds=0.05))


def test_a_secondary_limit_is_waited_for_as_long_as_github_says(
    github: GitHubServer, client: Client, slept: list[float]
) -> None:
    github.fail(operation="Probe", kind="secondary", retry_after=30)
    github.fail(operation="GET .*", kind="secondary")
    assert probe(client)
    assert client.get(FILES, "listing")
    assert slept == [31.0, 60.0]
    assert client.usage.waited_seconds == 91.0


@pytest.mark.parametrize(
    ("fault", "low", "high"),
    [
        ({"status": 429}, 60, 60),
        ({"status": 429, "retry_after": 7}, 8, 8),
        ({"kind": "secondary", "retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1, 1),
        ({"kind": "secondary", "retry_after": "Wed, 21 Oct 2099 07:28:00 GMT"}, 10**9, 10**10),
        ({"kind": "secondary", "retry_after": "Wed, 21 Oct 2099 07:28:00"}, 10**9, 10**10),
        ({"kind": "secondary", "retry_after": "soon"}, 61, 61),
        ({"kind": "secondary", "status": 429}, 60, 60),
        ({"status": 403, "message": "You have triggered an abuse detection mechanism"}, 60, 60),
    ],
)
def test_every_shape_of_a_limit_is_waited_for(
    github: GitHubServer,
    connect: MakeClient,
    slept: list[float],
    fault: dict[str, Any],
    low: float,
    high: float,
) -> None:
    client = connect(patience_seconds=10.0**10)
    for operation in ("Probe", "GET .*"):
        github.fail(operation=operation, **fault)
    assert probe(client)
    assert client.get(FILES, "listing")
    assert len(slept) == 2
    assert all(low <= seconds <= high for seconds in slept)


@pytest.mark.parametrize(
    ("fault", "low", "high"),
    [
        ({"message": "You have exceeded a secondary rate limit. Wait a few minutes."}, 60, 60),
        ({"message": "You have exceeded a secondary rate limit.", "retry_after": 9}, 10, 10),
        ({"message": "API rate limit exceeded for user ID 1", "error": "RATE_LIMITED"}, 3590, 3601),
        ({"message": "API rate limit exceeded for user ID 1", "error": "RATE_LIMIT"}, 3590, 3601),
        ({"message": "API rate limit exceeded for user ID 1"}, 60, 60),
    ],
)
def test_a_limit_within_an_answer_of_200_is_waited_for(
    github: GitHubServer,
    connect: MakeClient,
    slept: list[float],
    fault: dict[str, Any],
    low: float,
    high: float,
) -> None:
    github.fail(operation="Probe", kind="in_answer", **fault)
    assert probe(connect(patience_seconds=4000))
    (seconds,) = slept
    assert low <= seconds <= high


def test_a_limit_of_what_nothing_depends_on_is_not_waited_for(
    github: GitHubServer, client: Client, slept: list[float]
) -> None:
    github.fail(operation="Probe", kind="secondary", retry_after=1)
    with pytest.raises(LimitError):
        client.graphql(QUERY, HERE, "probing", await_limits=False)
    github.points_left = 40
    probe(client)
    with pytest.raises(LimitError, match="39 points are left"):
        client.graphql(QUERY, HERE, "probing", await_limits=False)
    assert slept == []


def test_large_questions_that_fail_are_no_outage(github: GitHubServer, client: Client) -> None:
    github.fail(operation="Probe", times=20)
    for _ in range(20):
        with pytest.raises(UnavailableError):
            client.graphql(QUERY, HERE, "probing", patient=False)
    assert probe(client)
    github.fail(times=99)
    for _ in range(60):
        with pytest.raises(UnavailableError):
            client.graphql(QUERY, HERE, "probing", patient=False)
    # 20 that fail, one that answers, the question; then 20 and one, and nothing more.
    assert len(github.requests) == 22 + 21


def test_the_hourly_limit_is_waited_for_until_it_comes_back(
    github: GitHubServer, client: Client, slept: list[float]
) -> None:
    github.fail(operation="GET .*", kind="primary", retry_after=100)
    assert client.get(FILES, "listing")
    assert 90 < slept[0] <= 101


def test_patience_ends(github: GitHubServer, connect: MakeClient, slept: list[float]) -> None:
    github.fail(operation="Probe", kind="secondary", retry_after=30, times=9)
    with pytest.raises(LimitError, match="goes on from there") as error:
        probe(connect(patience_seconds=70))
    assert slept == [31.0, 31.0]
    assert error.value.retry_after == 31.0


def test_a_used_up_graphql_limit_is_a_limit(github: GitHubServer, client: Client) -> None:
    github.points_left = 0
    with pytest.raises(LimitError, match="hourly limit"):
        probe(client)


def test_some_points_are_left_to_others(github: GitHubServer, client: Client) -> None:
    github.points_left = 40
    probe(client)
    with pytest.raises(LimitError, match="39 points are left"):
        probe(client)
    assert github.points_left == 39


@pytest.mark.parametrize(
    "wrong", [{"cost": -3}, {"cost": 1.5}, {"cost": "1"}, {"remaining": "9"}, {"remaining": -1}]
)
def test_a_limit_that_counts_no_points_is_refused(
    github: GitHubServer, client: Client, wrong: dict[str, Any]
) -> None:
    def change(body: Any) -> Any:
        body["data"]["rateLimit"] |= wrong
        return body

    github.change = change
    with pytest.raises(RefusedError, match="cannot be read"):
        probe(client)
    assert client.usage.points == 0 or "remaining" in wrong


def test_a_server_without_limits_has_none(github: GitHubServer, client: Client) -> None:
    github.limits_enabled = False
    github.points_left = 0
    assert probe(client)
    assert probe(client)


def test_enterprise_has_its_interfaces_elsewhere(github: GitHubServer, connect: MakeClient) -> None:
    client = connect(api_url=f"{github.url}/api/v3")
    assert probe(client)
    assert client.get(FILES, "listing")
    assert [request.path.partition("?")[0] for request in github.requests] == [
        "/api/graphql", f"/api/v3{FILES}",
    ]  # fmt: skip


def test_a_renamed_repository_is_followed(github: GitHubServer, client: Client) -> None:
    github.rename("octo/web", "octo/site")
    assert len(list(client.pages(FILES, "listing"))) == 250
    assert probe(client) == {"nameWithOwner": "octo/site"}


def test_what_is_written_goes_to_a_renamed_repository_once(
    github: GitHubServer, client: Client
) -> None:
    github.rename("octo/web", "octo/site")
    made = client.write("POST", "/repos/octo/web/issues/1/comments", {"body": "x"}, "writing")
    (comment,) = github.repositories["octo/site"].comments[1]
    assert comment["id"] == made["id"]


def test_an_answer_without_a_body_is_none(github: GitHubServer, client: Client) -> None:
    made = github.act.comment("octo/web", 1, "x", by="xops-bot")
    path = f"/repos/octo/web/issues/comments/{made['id']}"
    assert client.write("DELETE", path, {}, "deleting") is None
    assert github.repositories["octo/web"].comments[1] == []


def test_rest_is_asked_in_the_version_that_is_read(github: GitHubServer, client: Client) -> None:
    assert "merge_commit_sha" in client.get("/repos/octo/web/pulls/1", "reading")
    list(client.pages(FILES, "listing"))
    client.write("POST", "/repos/octo/web/issues/1/comments", {"body": "x"}, "writing")
    assert {request.version for request in github.requests} == {"2022-11-28"}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"error": "FORBIDDEN"}, ForbiddenError),
        ({"error": "NOT_FOUND"}, NotVisibleError),
        (
            {"error": "NOT_FOUND", "message": "Could not resolve to 'acme/timeout-502'."},
            NotVisibleError,
        ),
        ({"message": "Something went wrong while executing your query."}, UnavailableError),
        ({"error": "undefinedField"}, RefusedError),
    ],
)
def test_errors_without_data_have_a_meaning(
    github: GitHubServer, client: Client, fault: dict[str, Any], kind: type[XopsError]
) -> None:
    github.fail(operation="Probe", kind="refused", times=9, **fault)
    with pytest.raises(kind):
        probe(client)


def test_an_answer_in_part_is_no_answer(github: GitHubServer, client: Client) -> None:
    github.fail(operation="Part", kind="partial", field="pullRequests")
    query = QUERY.replace("Probe", "Part").replace(
        "nameWithOwner", "nameWithOwner pullRequests(first: 1) { totalCount }"
    )
    with pytest.raises(PartialAnswerError, match=r"at repository.pullRequests"):
        client.graphql(query, HERE, "probing").complete("probing")


def test_a_wrong_query_is_refused_as_github_does(client: Client) -> None:
    with pytest.raises(RefusedError, match="colour"):
        client.graphql(QUERY.replace("nameWithOwner", "colour"), HERE, "probing")


def test_an_unchanged_answer_costs_nothing_and_holds_no_credential(
    github: GitHubServer, connect: MakeClient, tmp_path: Path
) -> None:
    first = list(connect(folder=tmp_path / "etags").pages(FILES, "listing"))
    left = github.rest_left
    again = connect(folder=tmp_path / "etags")
    assert list(again.pages(FILES, "listing")) == first
    assert again.usage.unchanged == 3
    assert github.rest_left == left
    kept = list((tmp_path / "etags").iterdir())
    assert {oct(file.stat().st_mode & 0o777) for file in kept} == {"0o600"}
    assert not any(TOKEN in file.read_text() for file in kept)


@pytest.mark.parametrize("kept", [False, True])
def test_a_list_that_leaves_something_out_is_no_list(
    github: GitHubServer, connect: MakeClient, tmp_path: Path, kept: bool
) -> None:
    github.partial_lists = True
    for _ in range(2):
        client = connect(folder=tmp_path if kept else None)
        with pytest.raises(ForbiddenError, match="organisations with SAML") as error:
            list(client.pages(FILES, "listing"))
        assert "Authorise the fine-grained token" in error.value.remedy


def test_a_damaged_answer_is_asked_for_anew(connect: MakeClient, tmp_path: Path) -> None:
    list(connect(folder=tmp_path).pages(FILES, "listing"))
    for file in tmp_path.iterdir():
        file.write_text("{")
    again = connect(folder=tmp_path)
    assert len(list(again.pages(FILES, "listing"))) == 250
    assert again.usage.unchanged == 0


def test_an_answer_that_cannot_be_kept_is_no_fault_of_the_credential(
    connect: MakeClient, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    client = connect(folder=tmp_path / "file" / "below")
    with pytest.raises(PermanentError, match="Not a directory") as error:
        list(client.pages(FILES, "listing"))
    assert "XOPS_GITHUB_TOKEN" not in str(error.value)
    assert "XOPS_HOME" in error.value.remedy


def test_a_changed_answer_is_the_new_one(
    repository: Any, connect: MakeClient, tmp_path: Path
) -> None:
    list(connect(folder=tmp_path).pages(FILES, "listing"))
    repository.pull_requests[0].files = repository.pull_requests[0].files[:7]
    assert len(list(connect(folder=tmp_path).pages(FILES, "listing"))) == 7


@pytest.mark.parametrize("installation", [INSTALLATION_ID, None])
def test_an_app_works_with_tokens_of_an_hour(
    github: GitHubServer, app_key: tuple[Path, str], installation: int | None
) -> None:
    key, github.app_public_key = app_key
    access = Access(github.url, SecretReference(file=key), App(APP_ID, installation))
    allowed = allowing(github.url, key.parent)
    with Client(access, installed_on="octo/web", environ={}, sources=allowed) as client:
        assert probe(client)
        assert probe(client)
    tokens = [one.path for one in github.requests if one.path.endswith("access_tokens")]
    assert len(tokens) == 1


def test_nothing_is_kept_for_an_app_whose_token_lives_an_hour(
    github: GitHubServer, app_key: tuple[Path, str], tmp_path: Path
) -> None:
    key, github.app_public_key = app_key
    access = Access(github.url, SecretReference(file=key), App(APP_ID, INSTALLATION_ID))
    allowed = allowing(github.url, key.parent)
    folder = tmp_path / "etags"
    with Client(access, folder=folder, environ={}, sources=allowed) as client:
        assert client.get(FILES, "listing")
        assert client.usage.unchanged == 0
    assert not folder.exists()


def test_an_etag_is_bound_to_the_token_it_was_given_to(connect: MakeClient, tmp_path: Path) -> None:
    list(connect(TOKEN, folder=tmp_path).pages(FILES, "listing"))
    renewed = connect(CLASSIC_TOKEN, folder=tmp_path)
    assert len(list(renewed.pages(FILES, "listing"))) == 250
    assert renewed.usage.unchanged == 0


@pytest.mark.parametrize(
    ("app", "words"),
    [(App(1, INSTALLATION_ID), "401"), (App(APP_ID, 1), "404"), (App(1, None), "401")],
)
def test_an_app_that_is_not_installed_is_told(
    github: GitHubServer, app_key: tuple[Path, str], app: App, words: str
) -> None:
    key, github.app_public_key = app_key
    with (
        pytest.raises((AccessError, NotVisibleError), match=words),
        Client(
            Access(github.url, SecretReference(file=key), app),
            installed_on="octo/web",
            sources=allowing(github.url, key.parent),
        ) as client,
    ):
        probe(client)


@pytest.mark.parametrize("where", ["octo", "person"])
def test_an_app_is_found_on_an_organisation_or_a_person(
    github: GitHubServer, app_key: tuple[Path, str], where: str
) -> None:
    key, github.app_public_key = app_key
    github.organisation("octo")
    github.add("person/site")
    access = Access(github.url, SecretReference(file=key), App(APP_ID, None))
    allowed = allowing(github.url, key.parent)
    with Client(access, installed_on=where, environ={}, sources=allowed) as client:
        assert probe(client)
    with pytest.raises(NotVisibleError):
        Client(access, installed_on="nobody", environ={}, sources=allowed)


def test_an_app_asks_as_itself_for_what_belongs_to_no_installation(
    github: GitHubServer, app_key: tuple[Path, str]
) -> None:
    key, github.app_public_key = app_key
    access = Access(github.url, SecretReference(file=key), App(APP_ID, None))
    sources = allowing(github.url, key.parent)
    with Client(access, as_app=True, environ={}, sources=sources) as client:
        assert client.get("/app", "asking")["id"] == APP_ID
        assert list(client.pages("/app/hook/deliveries", "listing")) == []
    assert not [one.path for one in github.requests if "installation" in one.path]


def test_a_token_cannot_ask_as_an_app(github: GitHubServer) -> None:
    with pytest.raises(InputError, match="name the App's number and its key"):
        Client(Access(github.url), as_app=True)


def test_a_damaged_key_is_named_and_not_shown(
    github: GitHubServer, app_key: tuple[Path, str], tmp_path: Path
) -> None:
    damaged = tmp_path / "key.pem"
    damaged.write_text("-----BEGIN RSA PRIVATE KEY-----\ns3cret\n-----END RSA PRIVATE KEY-----\n")
    damaged.chmod(0o600)
    access = Access(github.url, SecretReference(file=damaged), App(APP_ID, INSTALLATION_ID))
    allowed = allowing(github.url, tmp_path)
    with Client(access, environ={}, sources=allowed) as client, pytest.raises(XopsError) as error:
        probe(client)
    assert "key.pem" in str(error.value)
    assert "s3cret" not in str(error.value)


# Where the credential goes.


@pytest.fixture
def stranger() -> Iterator[GitHubServer]:
    """Another server, which notes who asks and with what."""
    with GitHubServer() as server:
        yield server


def test_a_credential_goes_to_no_host_that_the_operator_did_not_name(
    github: GitHubServer, stranger: GitHubServer
) -> None:
    access = Access(stranger.url)
    with pytest.raises(InputError, match="may not be sent") as error:
        Client(access, environ={"XOPS_GITHUB_TOKEN": TOKEN}, sources=allowing(github.url))
    assert "secrets.yaml" in error.value.remedy
    assert TOKEN not in str(error.value)
    with pytest.raises(InputError, match="may not be sent"):
        Client(access, environ={"XOPS_GITHUB_TOKEN": TOKEN})
    assert not stranger.requests


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_server_is_not_followed(
    github: GitHubServer, stranger: GitHubServer, client: Client, status: int
) -> None:
    github.lead_to(f"{stranger.url}{FILES}", status)
    with pytest.raises(RefusedError, match="leads to another server"):
        client.get(FILES, "listing")
    assert not stranger.requests


def test_the_next_page_of_a_list_is_on_the_same_server(
    github: GitHubServer, stranger: GitHubServer, client: Client
) -> None:
    github.next_page = f"{stranger.url}{FILES}?page=2"
    with pytest.raises(RefusedError, match="leads to another server"):
        list(client.pages(FILES, "listing"))
    assert not stranger.requests


def test_the_key_of_an_app_goes_nowhere_else_either(
    github: GitHubServer, stranger: GitHubServer, app_key: tuple[Path, str]
) -> None:
    key, github.app_public_key = app_key
    github.lead_to(f"{stranger.url}/repos/octo/web/installation", 307)
    with pytest.raises(XopsError, match="leads to another server"):
        Client(
            Access(github.url, SecretReference(file=key), App(APP_ID, None)),
            installed_on="octo/web",
            sources=allowing(github.url, key.parent),
        )
    assert not stranger.requests


def test_the_environment_s_proxy_is_the_way_and_no_proxy_names_exceptions(
    github: GitHubServer, connect: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forwarding_proxy() as (address, forwarded):
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("no_proxy", "")
        assert probe(connect())["nameWithOwner"] == "octo/web"
        assert forwarded == [f"{github.url}/graphql"]

        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert probe(connect())["nameWithOwner"] == "octo/web"
        assert len(forwarded) == 1


@pytest.mark.parametrize("address", ["http://[::", "socks5://127.0.0.1:1", "gopher://127.0.0.1:1"])
def test_a_proxy_that_cannot_be_used_is_bad_input(
    connect: MakeClient, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("http_proxy", address)
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(InputError, match="variable HTTP_PROXY: names no proxy"):
        connect()


def test_a_proxy_that_wants_a_password_is_told_from_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            self.send_error(407)

        def log_message(self, format: str, *args: Any) -> None: ...

    with serving(Proxy) as address:
        monkeypatch.setenv("https_proxy", address)
        monkeypatch.setenv("no_proxy", "")
        with pytest.raises(RefusedError, match="407") as error:
            of_enterprise("https://github.example").get("/user", "reading")
    assert "HTTPS_PROXY" in error.value.remedy


def test_a_certificate_of_nobody_known_is_told_from_an_outage(tmp_path: Path) -> None:
    certificate, key = self_signed("127.0.0.1", [x509.IPAddress(ip_address("127.0.0.1"))])
    file = tmp_path / "server.pem"
    no_password = serialization.NoEncryption()
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(certificate + key.private_bytes(encoding, form, no_password))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        address = f"https://127.0.0.1:{server.server_port}"
        with pytest.raises(RefusedError, match="CERTIFICATE_VERIFY_FAILED") as error:
            of_enterprise(address).get("/user", "reading")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert "SSL_CERT_FILE" in error.value.remedy


def of_enterprise(address: str) -> Client:
    return Client(
        Access(api_url=address, credential=SecretReference(variable="XOPS_GITHUB_TOKEN")),
        environ={"XOPS_GITHUB_TOKEN": TOKEN},
        sleep=lambda _: None,
        sources=allowing(address),
    )


@contextmanager
def forwarding_proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy as companies have one: it is told the whole address, and asks there."""
    forwarded: list[str] = []

    class Forward(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            forwarded.append(self.path)
            body = self.rfile.read(int(self.headers["content-length"]))
            hop = {"host", "proxy-connection", "connection", "accept-encoding"}
            headers = {k: v for k, v in self.headers.items() if k.lower() not in hop}
            answer = httpx.post(self.path, content=body, headers=headers, trust_env=False)
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None: ...

    with serving(Forward) as address:
        yield address, forwarded


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"[" * 100_000, ""),
        (b'{"a": 1, "a": 2}', ""),
        (gzip.compress(bytes(300 << 20), 9), "gzip"),
        (b"x" * (33 << 20), ""),
        (b"{}", "br"),
        (b"not gzip", "gzip"),
        (b"\xff\xfe", ""),
        (b"9" * 5000, ""),
    ],
    ids=["deep", "key twice", "bomb", "large", "not asked for", "damaged", "no text", "digits"],
)
def test_an_answer_is_taken_within_bounds(
    github: GitHubServer, client: Client, body: bytes, encoding: str
) -> None:
    github.raw_answer = (body, {"content-encoding": encoding} if encoding else {})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(XopsError):
        client.get(FILES, "listing")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


def test_faults_are_asked_for_over_http_as_well(github: GitHubServer, client: Client) -> None:
    fault = [{"operation": "Probe", "status": 500}]
    assert httpx.post(f"{github.url}/xops/faults", json=fault).json()[0]["times"] == 1
    assert probe(client)
    assert httpx.get(f"{github.url}/xops/faults").json() == []
