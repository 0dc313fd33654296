"""Whatever happens between and during readings: what was read is what there is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.github_data import Person, Refusal, Repository
from tests.github_server import TOKEN, GitHubServer
from tests.secret_sources import NAME, allowing
from tests.soak import examples
from xops.github.access import Access
from xops.github.client import Client
from xops.github.errors import LimitError
from xops.github.records import Store
from xops.github.repositories import Reader, RepositorySnapshot

START = datetime(2026, 11, 23, tzinfo=UTC)
SINCE = START - timedelta(days=30)
PEOPLE = [Person(name, f"{name}@example.com") for name in ("alice", "bob")]

STEPS = st.one_of(
    st.tuples(st.just("merge"), st.integers(1, 9)),
    st.tuples(st.just("review"), st.integers(0, 30)),
    st.tuples(st.just("commit"), st.integers(1, 9)),
    st.tuples(st.just("push away"), st.integers(1, 6)),
    st.tuples(st.just("wait"), st.sampled_from([1, 30, 3600, 90_000, 2_000_000])),
    st.tuples(st.just("refuse"), st.integers(1, 8)),
    st.tuples(st.just("limit"), st.integers(0, 5)),
    st.tuples(st.just("rename"), st.integers(0, 9)),
    st.tuples(st.just("read"), st.just(0)),
)


class Course:
    """A repository, what happens to it, and readings of it."""

    def __init__(self, github: GitHubServer, folder: Path) -> None:
        self.github = github
        self.repository: Repository = github.add("octo/web")
        self.store = Store(folder, github.url)
        self.now = START
        self.repository.commit(PEOPLE[0], SINCE, "first")

        self.steps: dict[str, Callable[[int], object]] = {
            "merge": self.merge,
            "review": self.review,
            "commit": self.commit,
            "push away": self.push_away,
            "wait": self.wait,
            "refuse": self.refuse,
            "limit": lambda skip: github.fail(kind="secondary", retry_after=1, skip=skip),
            "rename": lambda n: github.rename(self.repository.name, f"octo/web{n}"),
        }

    def merge(self, count: int) -> None:
        for _ in range(count):
            self.repository.merge(self.now, "main.tf")

    def commit(self, count: int) -> None:
        for n in range(count):
            self.repository.commit(PEOPLE[n % 2], self.now, str(n))

    def push_away(self, count: int) -> None:
        self.repository.force_push(max(1, len(self.repository.commits) - count))

    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    def refuse(self, above: int) -> None:
        self.repository.refusal = Refusal(above, above, above)

    def review(self, value: int) -> None:
        requests = self.repository.pull_requests
        if requests:
            request = requests[value % len(requests)]
            request.reviews = [*request.reviews, (f"r{value}", self.now)]
            request.updated_at = self.now

    def read(self) -> RepositorySnapshot | None:
        """One reading with a client that does not wait; None if it met a limit."""
        access = Access(self.github.url, patience_seconds=0)
        client = Client(access, environ={NAME: TOKEN}, sources=allowing(self.github.url))
        with client:
            try:
                reader = Reader(client, self.store, lambda: self.now)
                (found,) = reader.read([self.repository.name], SINCE)
            except LimitError:
                return None
        return found

    def expect(self, found: RepositorySnapshot) -> None:
        assert found.problem is None
        assert found.people_problem is None
        known = found.records.pull_requests.values()
        assert {one.number: sorted(r.who.login for r in one.reviews) for one in known} == {
            one.number: sorted(login for login, _ in one.reviews)
            for one in self.repository.pull_requests
        }
        reachable = {one.oid for one in self.repository.commits if one.at >= SINCE}
        assert found.records.commits.keys() == reachable
        assert not found.records.pending


@settings(examples(20), deadline=None)
@given(st.lists(STEPS, min_size=3, max_size=14))
def test_what_was_read_is_what_there_is(steps: list[tuple[str, Any]]) -> None:
    with GitHubServer() as github, TemporaryDirectory() as folder:
        course = Course(github, Path(folder))
        for step, value in [*steps, ("read", 0)]:
            if step != "read":
                course.steps[step](value)
            elif found := course.read():
                course.expect(found)
