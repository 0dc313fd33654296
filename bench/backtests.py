"""How good forecasts and anomalies are, on families of made series: `python -m bench.backtests`.

It writes `docs/reference/cost-backtests.csv`. What was tuned was tuned on `TUNING` seeds; the table
is of `TEST` seeds, which nothing was chosen by. `tests/` computes a part of it anew.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xops.finops.analysis.baseline import Sensitivity, baseline
from xops.finops.analysis.forecast import Forecast, forecast_month
from xops.finops.analysis.periods import Period
from xops.finops.analysis.series import DailySeries

TABLE = Path(__file__).parents[1] / "docs" / "reference" / "cost-backtests.csv"
TUNING = range(100, 106)
TEST = range(900, 912)

FAMILIES = (
    "flat", "weekday", "trend", "step", "spiky", "growth", "schedule", "autocorrelated",
)  # fmt: skip
NOISES = (0.02, 0.08, 0.20)
_DAYS = 210
_WARM_UP = 56
_LABELLED_FROM = 45
_AS_OF = (4, 8, 12, 16, 20, 24, 28)
"""Days of a month on which a forecast is made; the two days before are not delivered whole."""
_DELAY = 2

Floats = NDArray[np.float64]
Window = tuple[int, int]


@dataclass(frozen=True)
class Case:
    """One made series; `events` are the days that are odd in it, each from and up to."""

    family: str
    noise: float
    start: date
    costs: Floats
    events: list[Window] = field(default_factory=list)


def cases(seeds: Iterable[int], make: Callable[[str, int, float], Case]) -> Iterator[Case]:
    """Every family at every noise for every seed."""
    for family, noise, seed in product(FAMILIES, NOISES, seeds):
        yield make(family, seed, noise)


def made(family: str, seed: int, noise: float) -> Case:
    """A series of 30 weeks; equal arguments give equal series."""
    random = np.random.default_rng([seed, FAMILIES.index(family), round(noise * 1000)])
    start = date(2024, 1, 1) + timedelta(days=int(random.integers(0, 700)))
    level = np.full(_DAYS, float(np.exp(random.uniform(np.log(2), np.log(60)))))
    of_week = (start.weekday() + np.arange(_DAYS)) % 7
    costs, events = _shape(family, random, level, of_week >= 5)
    costs = costs * np.exp(_noise(family, random, noise) - noise**2 / 2)
    if family == "spiky":
        costs, events = _spikes(random, costs)
    return Case(family, noise, start, np.round(costs, 2), events)


def _shape(
    family: str, random: np.random.Generator, level: Floats, weekend: NDArray[np.bool_]
) -> tuple[Floats, list[Window]]:
    day = np.arange(_DAYS)
    if family in ("weekday", "spiky", "growth", "autocorrelated"):
        level = np.where(weekend, level * random.uniform(0.3, 0.9), level)
    if family == "schedule":
        level = np.where(weekend, level * random.uniform(0.0, 0.1), level)
    if family == "trend":
        level = level * (1 + random.uniform(-0.4, 1.2) * day / _DAYS)
    if family == "growth":
        season = np.sin(2 * np.pi * (day + random.uniform(0, 365)) / random.uniform(60, 120))
        growth = np.exp(random.uniform(0.01, 0.1) * day / 30)
        level = level * growth * (1 + random.uniform(0.02, 0.1) * season)
    if family == "step":
        at = int(random.integers(60, _DAYS - 10))
        change = random.choice([random.uniform(0.3, 0.75), random.uniform(1.3, 2.5)])
        level = np.where(day >= at, level * change, level)
        return level, [(at, at + 3)]
    return level, []


def _noise(family: str, random: np.random.Generator, noise: float) -> Floats:
    found = random.normal(0, noise, _DAYS)
    if family == "autocorrelated":
        for day in range(1, _DAYS):
            found[day] = 0.7 * found[day - 1] + found[day] * np.sqrt(1 - 0.7**2)
    return found


def _spikes(random: np.random.Generator, costs: Floats) -> tuple[Floats, list[Window]]:
    hit = random.random(_DAYS) < 0.04
    costs = np.where(hit, costs * random.uniform(2, 5, _DAYS), costs)
    return costs, _runs(hit)


def with_odd_days(family: str, seed: int, noise: float) -> Case:
    """The series with rises by 25 to 150 % and drops to 0 to 60 % planted, for 1 to 3 days each."""
    case = made(family, seed, noise)
    random = np.random.default_rng([seed, FAMILIES.index(family), 77])
    costs, events = case.costs.copy(), list(case.events)
    day = _LABELLED_FROM + int(random.integers(10, 40))
    while day < _DAYS - 4:
        length = int(random.integers(1, 4))
        rises = random.random() < 0.7
        costs[day : day + length] *= random.uniform(1.25, 2.5) if rises else random.uniform(0, 0.6)
        events.append((day, day + length))
        day += length + 3 + int(random.integers(10, 40))
    return Case(family, noise, case.start, np.round(costs, 2), events)


@dataclass
class ForecastScore:
    """How forecasts of some series did."""

    inside: list[bool] = field(default_factory=list)
    beaten: list[bool] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    naive_errors: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)

    def add(self, case: Case) -> None:
        """All of a series' months, at all of their days."""
        tried = [one for one in _tried(case) if one is not None]
        errors, naive = [one.error for one in tried], [one.naive for one in tried]
        self.inside += [one.inside for one in tried]
        self.widths += [one.width for one in tried]
        self.beaten.append(float(np.mean(errors)) < float(np.mean(naive)))
        self.errors += errors
        self.naive_errors += naive


@dataclass(frozen=True)
class _Tried:
    inside: bool
    width: float
    error: float
    naive: float


def _tried(case: Case) -> Iterator[_Tried | None]:
    first_of_next = Period.month(case.start + timedelta(days=_WARM_UP)).end
    while (month := Period.month(first_of_next)).end <= case.start + timedelta(days=_DAYS):
        for day in _AS_OF:
            yield _try(case, month, day)
        first_of_next = month.end


def _try(case: Case, month: Period, day: int) -> _Tried | None:
    first = (month.start - case.start).days
    complete = first + day - 1 - _DELAY
    if complete <= first:
        return None
    found = forecast_month(_known(case, complete), month)
    if not isinstance(found, Forecast):
        return None
    truth = float(case.costs[first : first + month.length].sum())
    naive = float(case.costs[first:complete].mean()) * month.length
    low, expected, high = map(float, (found.low, found.expected, found.high))
    return _Tried(
        low <= truth <= high, (high - low) / truth, abs(expected - truth) / truth,
        abs(naive - truth) / truth,
    )  # fmt: skip


def _known(case: Case, complete: int) -> DailySeries:
    """What was delivered then: 70 % of the day before yesterday and 20 % of yesterday."""
    costs = tuple(Decimal(f"{cost:.2f}") for cost in case.costs[:complete])
    partly = case.costs[complete : complete + _DELAY] * np.array([0.7, 0.2])[:_DELAY]
    return DailySeries(case.start, costs, tuple(Decimal(f"{cost:.2f}") for cost in partly))


Scores = tuple[Floats, list[Window]]
"""How odd each day of a series is, and the days that are odd."""


def robust(case: Case) -> Floats:
    """xOps' score, 0 where the deviation is below its least share."""
    expected, scores = baseline(case.costs, Sensitivity())
    far = np.abs(case.costs - expected) > Sensitivity().least_share * expected
    return np.where(far, np.nan_to_num(scores), 0.0)


def sigmas(case: Case) -> Floats:
    """Standard deviations from the mean of the 30 days before, as some tools do by default."""
    return _by_window(case, lambda day, before: (day - before.mean()) / (before.std(ddof=1) + 1e-9))


def shares(case: Case) -> Floats:
    """The difference from the mean of the 30 days before, as a share of it."""
    return _by_window(case, lambda day, before: day / (before.mean() + 1e-9) - 1)


def _by_window(case: Case, score: Callable[[float, Floats], float]) -> Floats:
    found = np.zeros(len(case.costs))
    for day in range(30, len(found)):
        found[day] = score(float(case.costs[day]), case.costs[day - 30 : day])
    return found


METHODS: dict[str, Callable[[Case], Floats]] = {
    "xops": robust, "2 sigma": sigmas, "20 % of mean": shares,
}  # fmt: skip
DEFAULTS = {"xops": Sensitivity().deviations, "2 sigma": 2.0, "20 % of mean": 0.20}


def precision_and_recall(scored: Sequence[Scores], threshold: float) -> tuple[float, float]:
    """Of events: consecutive days over the threshold, against planted ones that they overlap."""
    right = found = planted = hit = 0
    for scores, events in scored:
        odd = np.abs(scores) > threshold
        odd[:_LABELLED_FROM] = False
        events = [event for event in events if event[0] >= _LABELLED_FROM]
        said = _runs(odd)
        found += len(said)
        planted += len(events)
        right += sum(any(_overlap(one, event) for event in events) for one in said)
        hit += sum(any(_overlap(one, event) for one in said) for event in events)
    return right / found if found else 1.0, hit / planted


def recall_at(scored: Sequence[Scores], precision: float) -> float:
    """The highest recall of any threshold whose precision is at least that."""
    values = np.concatenate([np.abs(scores) for scores, _ in scored])
    thresholds = np.quantile(values[values > 0], np.linspace(0.5, 0.9999, 120))
    reached = (precision_and_recall(scored, float(one)) for one in thresholds)
    return max((recall for right, recall in reached if right >= precision), default=0.0)


def _runs(odd: NDArray[np.bool_]) -> list[Window]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], odd.astype(int), [0]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _overlap(one: Window, other: Window) -> bool:
    return one[0] < other[1] and other[0] < one[1]


COLUMNS = ("what", "family", "noise", "figure", "value")
Line = tuple[str, str, str, str, str]


def forecast_scores(seeds: Iterable[int]) -> dict[tuple[str, float], ForecastScore]:
    """By family and noise."""
    found: dict[tuple[str, float], ForecastScore] = {}
    for case in cases(seeds, made):
        found.setdefault((case.family, case.noise), ForecastScore()).add(case)
    return found


def joined(scores: Iterable[ForecastScore]) -> ForecastScore:
    """All of them as one."""
    whole = ForecastScore()
    for score in scores:
        for name, values in vars(score).items():
            getattr(whole, name).extend(values)
    return whole


def forecast_lines(scores: dict[tuple[str, float], ForecastScore]) -> Iterator[Line]:
    """The part of the table that is about forecasts, the whole of it last."""
    for (family, noise), score in scores.items():
        yield from score_lines(family, f"{noise:.2f}", score)
    yield from score_lines("all", "all", joined(scores.values()))


def score_lines(family: str, noise: str, score: ForecastScore) -> Iterator[Line]:
    """The lines of one family at one noise."""
    figures = {
        "series": str(len(score.beaten)),
        "forecasts": str(len(score.inside)),
        "inside the 80 % interval": _rounded(score.inside),
        "width of the interval": _rounded(score.widths),
        "mean absolute error": _rounded(score.errors),
        "mean absolute error of the run rate": _rounded(score.naive_errors),
        "share of series that beat the run rate": _rounded(score.beaten),
    }
    for figure, value in figures.items():
        yield "forecast", family, noise, figure, value


def _rounded(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f}"


def anomaly_scores(seeds: Iterable[int]) -> dict[str, list[Scores]]:
    """By method, of every series."""
    found = list(cases(seeds, with_odd_days))
    return {name: [(score(case), case.events) for case in found]
            for name, score in METHODS.items()}  # fmt: skip


def anomaly_lines(scored: dict[str, list[Scores]]) -> Iterator[Line]:
    """The part of the table that is about anomalies."""
    equal, _ = precision_and_recall(scored["xops"], DEFAULTS["xops"])
    for name, scores in scored.items():
        precision, recall = precision_and_recall(scores, DEFAULTS[name])
        figures = {
            "precision by default": precision,
            "recall by default": recall,
            f"recall at a precision of {equal:.3f}": recall_at(scores, equal),
        }
        for figure, value in figures.items():
            yield "anomalies", name, "all", figure, f"{value:.3f}"


def table(seeds: Iterable[int]) -> str:
    """The whole table, as CSV."""
    seeds = list(seeds)
    lines = [*forecast_lines(forecast_scores(seeds)), *anomaly_lines(anomaly_scores(seeds))]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(lines)
    return buffer.getvalue()


if __name__ == "__main__":
    TABLE.write_text(table(TEST))
