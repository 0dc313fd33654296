"""deployments/costs.yaml: what it may say, and what is wrong with it, all at once."""

from decimal import Decimal
from pathlib import Path

import pytest

from xops.aws.target import Target
from xops.core.errors import InputError
from xops.finops.configuration import CostConfiguration

HEAD = "apiVersion: xops/v1\n"


def load(tmp_path: Path, text: str, **environ: str) -> CostConfiguration:
    file = tmp_path / "costs.yaml"
    file.write_text(HEAD + text)
    return CostConfiguration.load(file, environ)


def wrong(tmp_path: Path, text: str) -> list[tuple[str, str, int | None]]:
    with pytest.raises(InputError) as refused:
        load(tmp_path, text)
    return [(one.path, one.message, one.line) for one in refused.value.findings]


def test_what_is_not_set_is_not_made_up(tmp_path: Path) -> None:
    found = load(tmp_path, "")
    assert (found.exchange, found.labour, found.exports, dict(found.accounts)) == (
        None, None, (), {},
    )  # fmt: skip
    assert found.timezone == "Australia/Sydney"
    assert found.target is Target.AWS
    assert found.gst_percent == Decimal(10)
    assert found.cost_explorer.most_usd_a_run == Decimal("0.10")


def test_every_key_is_read(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """
timezone: UTC
target: embedded
region: us-east-1
tags: {environment: stage, service: app, owner: team}
exports:
  - {name: aws, location: s3://my-costs/exports/focus}
  - {name: local, location: ~/costs, format: focus}
currencies: apart
cost_explorer: {most_usd_a_run: "0.05"}
accounts: {"123456789012": prod}
exchange: {currency: AUD, rate: "1.52", seen_on: 2026-05-01, source: RBA}
labour: {hours_a_month: {ecs: "2", k3s: "8"}, usd_an_hour: "60"}
gst_percent: "0"
""",
    )
    assert [one.location for one in found.exports] == ["s3://my-costs/exports/focus", "~/costs"]
    assert found.exchange is not None
    assert found.exchange.rate == Decimal("1.52")
    assert found.labour is not None
    assert found.labour.hours_a_month.k3s == 8
    assert found.tags.environment == "stage"


def test_a_variable_comes_before_the_file(tmp_path: Path) -> None:
    found = load(tmp_path, "timezone: UTC", XOPS_COSTS_TIMEZONE="Asia/Tokyo")
    assert found.timezone == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("timezone: Sydney", "timezone", "is no IANA time zone"),
        ("exports: [{name: aws, location: http://x/y}]", "exports.0.location", "is neither a fold"),
        ("exports: [{name: aws, location: s3://A/b}]", "exports.0.location", "is neither a folder"),
        ("exports: [{name: aws, location: ' '}]", "exports.0.location", "is no path of a folder"),
        ("exports: [{name: A W S, location: x}]", "exports.0.name", "should match pattern"),
        ("exports: [{name: ../x, location: x}]", "exports.0.name", "should match pattern"),
        ("exports: [{name: cost-explorer, location: x}]", "exports.0.name", "is kept for Cost Exp"),
        (
            "exports: [{name: a, location: x}, {name: a, location: y}]",
            "exports.1.name",
            "'a' is given twice",
        ),
        ("cost_explorer: {most_usd_a_run: 0.1}", "cost_explorer.most_usd_a_run", "quoted decimal"),
        ("cost_explorer: {most_usd_a_run: '1000'}", "cost_explorer.most_usd_a_run", "less than or"),
        ("exchange: {currency: AUD, rate: '0', seen_on: 2026-05-01, source: x}", "exchange.rate",
         "greater than 0"),
        ("exchange: {currency: AUD, rate: '1.5'}", "exchange.seen_on", "Field required"),
        ("accounts: {'12': prod}", "accounts.12", "should match pattern"),
        ("exportz: []", "exportz", "is not a known key"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, text: str, path: str, message: str) -> None:
    found = {where: said for where, said, _ in wrong(tmp_path, text)}
    assert path in found, found
    assert message in found[path]


def test_all_that_is_wrong_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    found = wrong(tmp_path, "timezone: Sydney\nregion: nowhere\ngst_percent: '-1'")
    assert [line for _, _, line in found] == [2, 3, 4]
