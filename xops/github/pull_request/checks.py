"""The checks of a commit: check runs where an App asks, commit statuses where a token does.

Only an App can write check runs. Both are known by a name, and a rule of the branch may require
that name. Of check runs success, neutral and skipped let a merge pass; of statuses only success
does. So neither is ever told by a state of its own (`action_required`, say): what waits is pending,
as it is with both, and a name that is required is reported for every head commit.

A completed check run keeps its state, whatever is sent to it: what changes after is a new run of
the same name, and the newest counts. Sources: GitHub, "REST API endpoints for check runs", "... for
commit statuses", "About status checks"; Mergify and Atlantis found that the first is so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from xops.github.pull_request.addresses import repository_path
from xops.github.pull_request.rows import Row
from xops.github.pull_request.writing import needing, write_once

if TYPE_CHECKING:  # githubkit takes a second to import
    from xops.github.client import Client

State = Literal["pending", "success", "failure"]

DESCRIPTION_LIMIT = 140
"""Characters of a commit status. Source: GitHub's answers to longer ones."""

SUMMARY_LIMIT = 65_535
"""Characters of a check run's summary. Source: GitHub, "Create a check run"."""

TITLE_LIMIT = 255
"""Characters of a check run's title; GitHub names no limit, and people read one line."""

_CUT = "\n\nand more: it is too long for a check"
_CONTEXTS = 100


class Checks(Protocol):
    """Where states of a commit are told."""

    def report(
        self, sha: str, name: str, state: State, title: str, summary: str = "", url: str = ""
    ) -> bool:
        """See to it that the check says this now. What it says already is not written again.

        Args:
            sha: the commit.
            name: of the check, `xops/plan`.
            state: whether it waits, lets a merge pass, or does not.
            title: one line; what is too long for GitHub is cut.
            summary: Markdown; commit statuses have no place for it.
            url: where more is to be read; none if empty.

        Returns:
            Whether anything was written.

        Raises:
            AccessError, NotVisibleError, LimitError, UnavailableError, RefusedError.
        """


def checks_for(client: Client, repository: str) -> Checks:
    """Check runs if the client's credential is an App's, commit statuses otherwise."""
    if client.access.app is None:
        return CommitStatuses(client, repository)
    return CheckRuns(client, repository, client.access.app.app_id)


class _Status(Row):
    context: str
    state: str
    description: str | None = None
    target_url: str | None = None


class _Combined(Row):
    statuses: tuple[_Status, ...]


class CommitStatuses:
    """Commit statuses, for tokens. GitHub takes 1,000 of one name for a commit.

    Args:
        client: with a credential that may write commit statuses.
        repository: owner/name.
    """

    def __init__(self, client: Client, repository: str) -> None:
        self._client = client
        self._path = repository_path(repository)
        self._repository = repository

    def report(
        self, sha: str, name: str, state: State, title: str, summary: str = "", url: str = ""
    ) -> bool:
        """As `Checks.report`."""
        attempted = f"reporting {name} for {sha[:12]} of {self._repository}"
        wanted = _Status(
            context=name,
            state=state,
            description=_shortened(title, DESCRIPTION_LIMIT),
            target_url=url or None,
        )
        body = {key: value for key, value in wanted.model_dump().items() if value}

        def found() -> bool | None:
            return True if wanted in self._latest(sha, attempted) else None

        def send() -> bool:
            self._client.write("POST", f"{self._path}/statuses/{sha}", body, attempted)
            return True

        with needing("Commit statuses: write"):
            return False if found() else write_once(send, found)

    def _latest(self, sha: str, attempted: str) -> tuple[_Status, ...]:
        """The last status of each name; of the first hundred names."""
        answer = self._client.get(
            f"{self._path}/commits/{sha}/status", attempted, per_page=_CONTEXTS
        )
        with self._client.translate_errors(attempted):
            rows = _Combined.of(answer).statuses
        return tuple(row.model_copy(update={"target_url": row.target_url or None}) for row in rows)


class _Output(Row):
    title: str | None = None
    summary: str | None = None


class _Run(Row):
    class App(Row):
        id: int

    id: int
    name: str
    status: str
    conclusion: str | None = None
    details_url: str | None = None
    output: _Output
    app: App | None = None


class _Runs(Row):
    check_runs: tuple[_Run, ...]


class CheckRuns:
    """Check runs, for Apps.

    Args:
        client: with the credential of an App that may write checks.
        repository: owner/name.
        app_id: the App's; a check run of another App by that name is none of ours.
    """

    def __init__(self, client: Client, repository: str, app_id: int) -> None:
        self._client = client
        self._path = repository_path(repository)
        self._repository = repository
        self._app_id = app_id

    def report(
        self, sha: str, name: str, state: State, title: str, summary: str = "", url: str = ""
    ) -> bool:
        """As `Checks.report`."""
        attempted = f"reporting {name} for {sha[:12]} of {self._repository}"
        body = _body(state, title, summary, url)
        with needing("Checks: write"):
            last = self._last(sha, name, attempted)
            if last is not None and _says(last, body):
                return False
            if last is None or last.status == "completed":
                self._create(sha, name, body, attempted)
            else:
                self._update(last, body, attempted)
            return True

    def _create(self, sha: str, name: str, body: dict[str, Any], attempted: str) -> None:
        def find() -> object:
            last = self._last(sha, name, attempted)
            return last if last is not None and _says(last, body) else None

        new = {"name": name, "head_sha": sha, **body}
        path = f"{self._path}/check-runs"
        write_once(lambda: self._client.write("POST", path, new, attempted), find)

    def _update(self, last: _Run, body: dict[str, Any], attempted: str) -> None:
        path = f"{self._path}/check-runs/{last.id}"
        # To send the same once more is harmless.
        write_once(lambda: self._client.write("PATCH", path, body, attempted), lambda: None)

    def _last(self, sha: str, name: str, attempted: str) -> _Run | None:
        answer = self._client.get(
            f"{self._path}/commits/{sha}/check-runs",
            attempted,
            check_name=name,
            app_id=self._app_id,
            filter="latest",
            per_page=100,
        )
        with self._client.translate_errors(attempted):
            rows = _Runs.of(answer).check_runs
        own = [row for row in rows if row.name == name and row.app and row.app.id == self._app_id]
        return max(own, key=lambda row: row.id, default=None)


def _body(state: State, title: str, summary: str, url: str) -> dict[str, Any]:
    done = {"status": "completed", "conclusion": state}
    shown = {"title": _shortened(title, TITLE_LIMIT), "summary": _cut(summary or title)}
    return {
        **({"status": "in_progress"} if state == "pending" else done),
        **({"details_url": url} if url else {}),
        "output": shown,
    }


def _says(run: _Run, body: dict[str, Any]) -> bool:
    """Whether a check run says what the body would."""
    output = {"title": run.output.title, "summary": _plain(run.output.summary or "")}
    wanted = {**body["output"], "summary": _plain(body["output"]["summary"])}
    # Without an address of ours GitHub gives the App's.
    same_url = run.details_url == body.get("details_url", run.details_url)
    same_state = (run.status, run.conclusion) == (body["status"], body.get("conclusion"))
    return output == wanted and same_url and same_state


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").rstrip()


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _cut(text: str) -> str:
    if len(text) <= SUMMARY_LIMIT:
        return text
    room = SUMMARY_LIMIT - len(_CUT)
    # At the end of a line: half of an escape or of a link would be markup.
    return f"{text[: max(0, text.rfind('\n', 0, room))]}{_CUT}"
