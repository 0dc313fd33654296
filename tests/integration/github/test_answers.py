"""Whatever a server answers that should be GitHub: xOps' own errors, within bounds."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.github_data import Person
from tests.github_server import TOKEN, GitHubServer
from tests.secret_sources import NAME, allowing
from tests.soak import examples
from tests.unit.triggers.samples import policy
from xops.core.errors import XopsError
from xops.github.access import Access
from xops.github.client import Client
from xops.github.issues import IssueDraft, publish
from xops.github.records import Store
from xops.github.repositories import Reader
from xops.triggers.measure.collect import collect

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
KEYS = [
    "data", "errors", "message", "type", "path", "rateLimit", "limit", "cost", "remaining",
    "r0", "s0", "id", "nameWithOwner", "defaultBranchRef", "name", "target", "oid", "history",
    "nodes", "pageInfo", "hasNextPage", "endCursor", "pullRequests", "updatedAt", "mailmap", "text",
    "repository", "author", "login", "body", "title", "number", "html_url", "state", "filename",
    "token", "expires_at", "issueCount", "resetAt",
]  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "x", "2026-11-17T00:00:00Z", "9999-12-31T23:59:59Z", "\u202e"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    ),
    max_leaves=25,
)
BODIES = st.one_of(
    st.binary(max_size=60),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8).map(
        lambda value: json.dumps({"data": value}).encode()
    ),
    st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8), max_size=3).map(
        lambda value: json.dumps(value).encode()
    ),
)


def _ask(client: Client) -> None:
    query = "query Probe { rateLimit { limit cost remaining resetAt } }"
    client.graphql(query, {}, "probing").complete("probing")


def _publish(client: Client) -> None:
    publish(client, "a/b", IssueDraft("key", "title", "body", ("label",)))


def _read(client: Client) -> None:
    Reader(client, Store(None, "x")).read(["octo/web"], SINCE)


def _collect(client: Client) -> None:
    rules = policy(github={"repositories": ["octo/web"], "weeks": 1})
    with TemporaryDirectory() as kept:
        collect(rules, date(2026, 11, 23), client, folder=Path(kept))


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.get("/x", "getting"),
        lambda client: list(client.pages("/x", "listing")),
        _ask,
        _publish,
        _read,
        _collect,
    ],
    ids=["get", "pages", "graphql", "publish", "read", "collect"],
)
@settings(
    examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(body=BODIES)
def test_any_answer(github: GitHubServer, use: Callable[[Client], Any], body: bytes) -> None:
    github.raw_answer = (body, {"content-type": "application/json"})
    access = Access(github.url)
    given_token = {NAME: TOKEN}
    with (
        Client(
            access, environ=given_token, sleep=lambda _: None, sources=allowing(github.url)
        ) as client,
        suppress(XopsError),
    ):
        use(client)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = dict(enumerate(value)) if isinstance(value, list) else value
    if not isinstance(inner, dict):
        return [path]
    return [path, *(place for key in inner for place in _places(inner[key], (*path, key)))]


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    made = list(value) if isinstance(value, list) else dict(value)
    made[path[0]] = _replaced(made[path[0]], path[1:], new)
    return made


@settings(
    examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(at=st.floats(0, 0.999), new=st.one_of(SCALARS, VALUES), skip=st.integers(0, 6))
def test_a_right_answer_with_something_else_in_it(at: float, new: Any, skip: int) -> None:
    with GitHubServer() as github:
        web = github.add("octo/web")
        merged = datetime(2026, 11, 17, tzinfo=UTC)
        web.merge(merged, "a.tf", reviews=[("bob", merged)])
        web.merge(merged, *[f"f{n}.tf" for n in range(120)])
        web.commit(Person("Dave", "dave@example.com", "dave"), merged, "Change")
        answered = 0

        def change(body: Any) -> Any:
            nonlocal answered
            answered += 1
            if answered <= skip:
                return body
            places = _places(body)
            return _replaced(body, places[int(at * len(places))], new)

        github.change = change
        with (
            Client(
                Access(github.url),
                environ={NAME: TOKEN},
                sleep=lambda _: None,
                sources=allowing(github.url),
            ) as client,
            suppress(XopsError),
        ):
            _collect(client)


def test_a_list_without_end_is_left(github: GitHubServer) -> None:
    github.raw_answer = (b"[{}]", {"link": f'<{github.url}/x>; rel="next"'})
    with Client(Access(github.url), environ={NAME: TOKEN}, sources=allowing(github.url)) as client:
        client._asked = 49_900
        with pytest.raises(XopsError, match="lead on and on"):
            list(client.pages("/x", "listing"))
