"""Backtests computed anew: the committed table is of this code, and other seeds say the same."""

import csv
from collections.abc import Sequence

import pytest

from bench.backtests import (
    DEFAULTS,
    TABLE,
    TEST,
    ForecastScore,
    anomaly_lines,
    anomaly_scores,
    forecast_scores,
    joined,
    made,
    precision_and_recall,
    recall_at,
    score_lines,
)
from tests.soak import ROUNDS

FRESH = range(5000, 5000 + 2 * ROUNDS)
"""Neither tuned on nor in the table; `make soak` takes more of them."""

# A last digit may differ between processors, and with it whether a month is inside.
NEARLY = 0.011


@pytest.fixture(scope="module")
def committed() -> dict[tuple[str, ...], float]:
    with TABLE.open() as file:
        return {tuple(row[:4]): float(row[4]) for row in list(csv.reader(file))[1:]}


@pytest.mark.parametrize(("family", "noise"), [("weekday", 0.08), ("step", 0.20), ("spiky", 0.02)])
def test_the_table_is_of_this_forecast(
    committed: dict[tuple[str, ...], float], family: str, noise: float
) -> None:
    score = ForecastScore()
    for seed in TEST:
        score.add(made(family, seed, noise))
    for *names, figure in score_lines(family, f"{noise:.2f}", score):
        assert float(figure) == pytest.approx(committed[tuple(names)], abs=NEARLY)


def test_the_table_is_of_these_anomalies(committed: dict[tuple[str, ...], float]) -> None:
    found = {_named(line): float(line[4]) for line in anomaly_lines(anomaly_scores(TEST))}
    lines = {_named(names): at for names, at in committed.items() if names[0] == "anomalies"}
    assert len(found) == 9
    assert found == pytest.approx(lines, abs=NEARLY)


def _named(names: Sequence[str]) -> tuple[str, str]:
    # The precision at which recalls are compared is a part of the figure's name.
    return names[1], names[3].partition(" of 0.")[0]


@pytest.mark.timeout(300 * ROUNDS)
def test_other_seeds_keep_the_bounds_of_forecasts() -> None:
    whole = joined(forecast_scores(FRESH).values())
    assert 0.72 <= sum(whole.inside) / len(whole.inside) <= 0.88
    assert sum(whole.beaten) / len(whole.beaten) >= 0.70


def test_other_seeds_keep_the_bounds_of_anomalies() -> None:
    scored = anomaly_scores(FRESH)
    precision, recall = precision_and_recall(scored["xops"], DEFAULTS["xops"])
    assert precision >= 0.8
    assert recall > recall_at(scored["2 sigma"], precision)
    assert recall > recall_at(scored["20 % of mean"], precision)
