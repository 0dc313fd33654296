"""A week counted the plain way, by REST and a call for each pull request, to compare with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from tests.github_server import TOKEN


@dataclass
class Baseline:
    """What it took: calls, seconds, and how many pull requests were found to be infrastructure."""

    calls: int
    seconds: float
    found: int


class RestBaseline:
    """Lists closed pull requests, then asks for the files and the reviews of each.

    Args:
        url: of the server.
        is_infrastructure: whether a path is infrastructure code.
    """

    def __init__(self, url: str, is_infrastructure: Callable[[str], object]) -> None:
        headers = {"authorization": f"token {TOKEN}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=60)
        self._is_infrastructure = is_infrastructure
        self._calls = 0

    def week(self, names: Sequence[str], start: datetime, end: datetime) -> Baseline:
        """Count the pull requests that were merged in [start, end)."""
        self._calls, began = 0, time.perf_counter()
        with self._http:
            found = sum(
                self._decides(name, number)
                for name in names
                for number in self._merged(name, start, end)
            )
        return Baseline(self._calls, time.perf_counter() - began, found)

    def _decides(self, name: str, number: int) -> bool:
        files = self._get(f"/repos/{name}/pulls/{number}/files?per_page=100")
        self._get(f"/repos/{name}/pulls/{number}/reviews?per_page=100")
        return any(self._is_infrastructure(file["filename"]) for file in files)

    def _merged(self, name: str, start: datetime, end: datetime) -> Iterator[int]:
        page = 1
        while True:
            query = f"state=closed&sort=updated&direction=desc&per_page=100&page={page}"
            rows = self._get(f"/repos/{name}/pulls?{query}")
            for row in rows:
                if datetime.fromisoformat(row["updated_at"]) < start:
                    return
                at = row["merged_at"] and datetime.fromisoformat(row["merged_at"])
                if at and start <= at < end:
                    yield row["number"]
            if len(rows) < 100:
                return
            page += 1

    def _get(self, path: str) -> Any:
        self._calls += 1
        return self._http.get(path).raise_for_status().json()
