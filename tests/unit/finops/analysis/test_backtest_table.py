"""The committed table of backtests holds what is asked of forecasts and of anomalies."""

import csv

from bench.backtests import COLUMNS, FAMILIES, METHODS, NOISES, TABLE, TEST, TUNING

with TABLE.open() as _file:
    ROWS = list(csv.DictReader(_file))


def value(what: str, family: str, figure: str) -> float:
    [found] = [
        row["value"]
        for row in ROWS
        if (row["what"], row["family"], row["noise"]) == (what, family, "all")
        and row["figure"].startswith(figure)
    ]
    return float(found)


def test_nothing_was_tuned_on_the_seeds_of_the_table() -> None:
    assert not set(TUNING) & set(TEST)


def test_the_table_has_every_family_and_method() -> None:
    assert tuple(ROWS[0]) == COLUMNS
    found = {(row["family"], row["noise"]) for row in ROWS if row["what"] == "forecast"}
    assert found == {(family, f"{noise:.2f}") for family in FAMILIES for noise in NOISES} | {
        ("all", "all")
    }
    assert {row["family"] for row in ROWS if row["what"] == "anomalies"} == set(METHODS)
    assert value("forecast", "all", "series") == len(FAMILIES) * len(NOISES) * len(TEST)


def test_the_interval_of_80_percent_holds_72_to_88_percent() -> None:
    assert 0.72 <= value("forecast", "all", "inside") <= 0.88


def test_the_forecast_beats_the_run_rate_on_at_least_70_percent_of_the_series() -> None:
    assert value("forecast", "all", "share of series") >= 0.70
    mine, naive = "mean absolute error", "mean absolute error of the run rate"
    errors = {row["figure"]: float(row["value"]) for row in ROWS if row["family"] == "all"}
    assert errors[mine] < errors[naive] / 2


def test_at_equal_precision_more_anomalies_are_found_than_by_the_baselines() -> None:
    mine = value("anomalies", "xops", "recall at")
    assert mine > value("anomalies", "2 sigma", "recall at")
    assert mine > value("anomalies", "20 % of mean", "recall at")


def test_the_page_says_what_the_table_says() -> None:
    page = TABLE.with_name("cost-analysis.md").read_text()
    shares = [value("forecast", "all", "inside"), value("forecast", "all", "share of series")]
    shares += [
        value("anomalies", method, figure)
        for method in METHODS
        for figure in ("precision by", "recall by", "recall at")
    ]
    assert [share for share in shares if f"{share:.1%}".replace("%", " %") not in page] == []
