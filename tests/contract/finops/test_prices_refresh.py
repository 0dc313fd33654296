"""`xops costs prices refresh` as a person and a machine see it, on a price list of the test's."""

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.price_list_server import REGION, PriceList, price_list, product
from xops.cli import main
from xops.core.errors import ExitCode
from xops.finops.prices.book import FILE, Confidence, PriceBook, own_file, to_csv

ARM = "APS2-Fargate-ARM-vCPU-Hours:perCPU"


@pytest.fixture(autouse=True)
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PriceList]:
    """One that answers as the packaged book does; nothing else can be reached."""
    with price_list() as running:
        monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        for name, value in running.environ.items():
            monkeypatch.setenv(name, value)
        yield running


def refresh(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["costs", "prices", "refresh", *words])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def told(out: str) -> dict[str, dict[str, Any]]:
    return {row["item"]: row for row in json.loads(out)["prices"]}


def budget(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    with pytest.raises(SystemExit):
        main(["costs", "budget", "-e", "prod", "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_what_was_read_is_written_and_counts_from_then_on(
    capsys: pytest.CaptureFixture[str], served: PriceList
) -> None:
    usage_type = "APS2-WarmStorage-ByteHrs-EFS"
    served.products[usage_type] = [
        product(usage_type, "0.0600000000", service="AWSBackup", operation="Storage")
    ]
    before = budget(capsys)

    code, out, _ = refresh(capsys, "--json")

    assert code == ExitCode.DONE
    assert told(out)["backup efs"]["outcome"] == "new"
    assert told(out)["fargate spot arm64 vCPU"]["after"] == "0.0125"
    assert json.loads(out)["file"] == str(own_file())
    after = budget(capsys)
    assert len(after["own_plan"]["unpriced"]) == len(before["own_plan"]["unpriced"]) - 1
    added = Decimal(after["own_plan"]["total"]) - Decimal(before["own_plan"]["total"])
    assert round(added, 2) == Decimal("0.60")
    minimum = after["scenarios"][0]
    assert minimum["total"] == before["scenarios"][0]["total"]
    assert minimum["confidence"] == "price list"
    assert minimum["old_prices"] == []


def test_a_second_time_confirms_what_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    refresh(capsys)
    first = own_file().read_text()
    code, out, _ = refresh(capsys, "--json")
    assert code == ExitCode.DONE
    assert {row["outcome"] for row in told(out).values()} <= {"confirmed", "absent"}
    assert own_file().read_text() == first


def test_old_and_new_are_shown(capsys: pytest.CaptureFixture[str], served: PriceList) -> None:
    served.products[ARM] = [product(ARM, "0.0399000000")]
    _, out, err = refresh(capsys)
    (line,) = (line for line in out.splitlines() if "fargate arm64 vCPU " in line)
    assert line.split() == [
        "changed", "fargate", "arm64", "vCPU", REGION, "0.03885", "->", "0.0399",
    ]  # fmt: skip
    assert f"rows to {own_file()}" in out
    assert "looking up 68 prices of ap-southeast-2" in err


def test_another_file_may_be_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "new" / "book.csv"
    refresh(capsys, "--out", str(file))
    found = PriceBook.load(file).find("alb", REGION)
    assert found is not None
    assert found.confidence is Confidence.PRICE_LIST
    assert not own_file().exists()


def test_a_row_of_a_day_to_come_gives_way_to_what_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "book.csv"
    row = PriceBook.load(FILE).find_row("alb", REGION)
    assert row is not None
    wrong = row.model_copy(update={"seen_on": date(2099, 1, 1), "usd": Decimal("0.02")})
    file.write_text(to_csv(PriceBook((wrong,))))
    refresh(capsys, "--out", str(file))
    read = PriceBook.load(file).find_row("alb", REGION)
    assert read is not None
    assert read.usd == row.usd


def test_rows_of_other_regions_stay(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "book.csv"
    file.write_text(FILE.read_text())
    refresh(capsys, "--out", str(file))
    written = PriceBook.load(file)
    for row in PriceBook.load(FILE).rows:
        kept = written.find_row(row.item, row.region)
        assert kept is not None
        assert kept == row or row.region in (REGION, "global", "australia-new-zealand")


def test_what_is_to_be_looked_at_ends_as_a_finding_and_is_kept(
    capsys: pytest.CaptureFixture[str], served: PriceList
) -> None:
    del served.products[ARM]
    served.products["APS2-NatGateway-Hours"] *= 2
    code, out, _ = refresh(capsys, "--json")
    assert code == ExitCode.FINDINGS
    assert told(out)["fargate arm64 vCPU"]["outcome"] == "gone"
    assert told(out)["nat gateway"]["outcome"] == "ambiguous"
    kept = PriceBook.load().find("fargate arm64 vCPU", REGION)
    assert kept is not None
    assert kept.usd == Decimal("0.03885")


def test_nothing_is_written_where_a_question_fails(
    capsys: pytest.CaptureFixture[str], served: PriceList
) -> None:
    served.products[ARM] = [product(ARM, "no number")]
    code, _, err = refresh(capsys)
    assert code == ExitCode.FAILED
    assert "asking the price list for fargate arm64 vCPU of ap-southeast-2" in err
    assert not own_file().exists()


def test_with_partial_the_others_are_written_and_the_answer_is_incomplete(
    capsys: pytest.CaptureFixture[str], served: PriceList
) -> None:
    served.products[ARM] = [product(ARM, "no number")]
    code, out, _ = refresh(capsys, "--partial", "--json")
    assert code == ExitCode.INCOMPLETE
    assert told(out)["fargate arm64 vCPU"]["outcome"] == "not read"
    assert "no number of USD" in told(out)["fargate arm64 vCPU"]["said"]
    written = PriceBook.load(own_file())
    assert written.find("alb", REGION) is not None
    assert written.find("fargate arm64 vCPU", REGION) is None


def test_who_may_not_ask_is_told_what_to_do(
    capsys: pytest.CaptureFixture[str], served: PriceList
) -> None:
    served.failing = ["AccessDeniedException"]
    code, _, err = refresh(capsys, "--partial")
    assert code == ExitCode.FAILED
    assert "AccessDeniedException" in err
    assert not own_file().exists()


def test_a_feed_that_fails_is_no_reason_to_write_nothing(
    capsys: pytest.CaptureFixture[str], served: PriceList
) -> None:
    served.feed = None
    code, out, _ = refresh(capsys, "--json")
    assert code == ExitCode.INCOMPLETE
    assert told(out)["fargate spot arm64 vCPU"]["outcome"] == "not read"
    assert own_file().exists()


def test_the_feed_is_left_out_where_its_address_is_empty(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = refresh(capsys, "--spot-feed", "", "--json")
    assert code == ExitCode.DONE
    assert "fargate spot arm64 vCPU" not in told(out)


def test_a_region_without_known_usage_types_is_refused(
    capsys: pytest.CaptureFixture[str], served: PriceList
) -> None:
    code, _, err = refresh(capsys, "--region", "eu-west-1")
    assert code == ExitCode.BAD_INPUT
    assert "there are: ap-southeast-2, us-east-1" in err
    assert not served.asked


def test_a_file_of_one_s_own_that_is_damaged_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    own_file().parent.mkdir(parents=True)
    own_file().write_text("item,usd\nalb,1\n")
    code, _, err = refresh(capsys)
    assert code == ExitCode.BAD_INPUT
    assert f"{own_file()}:2" in err


@pytest.mark.parametrize(
    "words",
    [["--region", "us-east-1"], ["--partial"], ["--spot-feed", ""], ["--out", "prices.csv"]],
    ids=lambda words: words[0],
)
def test_what_goes_with_refresh_alone_is_refused_without_it(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["costs", "prices", *words])
    assert ended.value.code == ExitCode.BAD_INPUT
    assert f"argument {words[0]}: goes with `refresh`, which is missing" in capsys.readouterr().err
