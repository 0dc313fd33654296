"""The price book: what is in it, and looking its prices up anew."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xops.cli.console import AsJson, print_json, print_row, say, styled, tell
from xops.cli.inputs import writable_file_in_new_folder
from xops.core.errors import ExitCode, Finding, InputError, PermanentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xops.finops.prices.book import Price, PriceBook
    from xops.finops.prices.refresh import LookedUp

_REGION = "ap-southeast-2"
_STYLES = {
    "new": "green",
    "changed": "green",
    "gone": "red",
    "ambiguous": "red",
    "far off": "red",
    "not read": "yellow",
}


class Verb(StrEnum):
    """What is done with the book, other than showing it."""

    REFRESH = "refresh"


def prices(
    verb: Annotated[
        Verb | None,
        typer.Argument(metavar="refresh", help="Look prices up in AWS's Price List."),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option("--region", help="Whose prices to look up. Default: ap-southeast-2."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            callback=writable_file_in_new_folder,
            help="Where to write them. Default: prices.csv in $XOPS_HOME, which lies over the price"
            " book from then on.",
        ),
    ] = None,
    spot_feed: Annotated[
        str | None,
        typer.Option(
            "--spot-feed",
            help="Address of Fargate Spot's prices; empty: not asked. Default:"
            " $XOPS_FARGATE_SPOT_FEED, or the one that AWS's price page reads.",
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Write what was read although a question failed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the price book, or look its prices up anew (`xops costs prices refresh`).

    Exit code 10: rows are to be looked up anew, since nobody has seen them for 90 days, or their
    day is not known. Looking them up needs credentials that allow pricing:GetProducts, in any
    account; the calls cost nothing. Unless --partial, nothing is written where a question fails. A
    price that the list no longer has is kept, and one with two answers is not taken. Exit code 10
    after that: something is to be looked at. 11: something was not read.
    """
    if verb is Verb.REFRESH:
        _refresh(region or _REGION, out, spot_feed, partial=partial, as_json=as_json)
        return
    given = {
        "--region": region is not None,
        "--out": out is not None,
        "--spot-feed": spot_feed is not None,
        "--partial": partial,
    }
    if stray := [name for name, is_given in given.items() if is_given]:
        problem = "goes with `refresh`, which is missing"
        findings = [Finding(f"argument {name}", "", problem) for name in stray]
        raise InputError("reading the options", findings)
    _list(as_json=as_json)


def _refresh(
    region: str, out: Path | None, feed: str | None, *, partial: bool, as_json: bool
) -> None:
    from xops.finops.prices.book import PriceBook, own_file

    _refuse_unknown(region)
    file = out or own_file()
    found = _look_up(region, PriceBook.load(), feed, partial=partial)
    written = _write(file, found)
    if as_json:
        told = [one.to_json() for one in found]
        print_json({"file": str(file), "written": written, "prices": told})
    else:
        for one in found:
            _print_looked_up(one)
        print_row("written", f"{written} rows to {file}" if written else "nothing")
    _exit_by(found)


def _refuse_unknown(region: str) -> None:
    from xops.finops.prices import products

    if region not in (known := products.regions()):
        problem = f"no usage types are known of {region!r}; there are: {', '.join(known)}"
        raise InputError("reading --region", [Finding("argument --region", "", problem)])


def _look_up(
    region: str, before: PriceBook, feed: str | None, *, partial: bool
) -> Sequence[LookedUp]:
    from functools import partial as bound

    from xops.finops.prices import price_list, products
    from xops.finops.prices import refresh as looking
    from xops.finops.prices import spot_feed as spot

    today = datetime.now(UTC).date()
    questions = products.questions(region)
    tell("looking up {count} prices of {region}", count=len(questions), region=region)
    ask = bound(price_list.ask, price_list.open_client(os.environ))
    found = list(looking.look_up(questions, ask, before, today, partial=partial))
    address = os.environ.get(spot.VARIABLE, spot.ADDRESS) if feed is None else feed
    return [*found, *(looking.read_spot(address, region, before, today) if address else ())]


def _write(file: Path, found: Sequence[LookedUp]) -> int:
    from xops.core.files.private_file import write_private
    from xops.finops.prices.book import PriceBook, to_csv
    from xops.finops.prices.refresh import read_rows

    read = read_rows(found)
    if not read.rows:
        return 0
    kept = PriceBook.load(file) if file.exists() else PriceBook(())
    try:
        fresh = {(row.item, row.region) for row in read.rows}
        others = (row for row in kept.rows if (row.item, row.region) not in fresh)
        write_private(file, to_csv(PriceBook((*others, *read.rows))))
    except OSError as error:
        attempted = f"writing the prices to {file}"
        remedy = "Make room or choose another place with --out; the file is as it was."
        raise PermanentError(attempted, str(error.strerror), remedy) from None
    return len(read.rows)


def _print_looked_up(one: LookedUp) -> None:
    say(
        "{outcome} {item} {region} {before} -> {after} {said}",
        outcome=styled(_STYLES.get(one.outcome, "dim"), f"{one.outcome:<10}"),
        item=f"{one.item:<44}",
        region=f"{one.region:<22}",
        before=f"{one.before.usd if one.before else 'no price'!s:>12}",
        after=f"{one.after.usd if one.after else 'no price'!s:<12}",
        said=one.said,
    )


def _exit_by(found: Sequence[LookedUp]) -> None:
    from xops.finops.prices.refresh import TO_LOOK_AT, Outcome

    if any(one.outcome is Outcome.NOT_READ for one in found):
        raise typer.Exit(ExitCode.INCOMPLETE)
    if any(one.outcome in TO_LOOK_AT for one in found):
        raise typer.Exit(ExitCode.FINDINGS)


def _list(*, as_json: bool) -> None:
    from xops.finops.prices.book import PriceBook

    book = PriceBook.load()
    old = book.old(datetime.now(UTC).date())
    if as_json:
        rows = [row.model_dump(mode="json") for row in book.rows]
        print_json({"prices": rows, "old": [[row.item, row.region] for row in old]})
    else:
        for row in book.rows:
            _print_price(row, is_old=row in old)
        print_row("rows", str(len(book.rows)))
        print_row("old", f"{len(old)}: seen over 90 days ago, or on no known day")
    if old:
        raise typer.Exit(ExitCode.FINDINGS)


def _print_price(row: Price, *, is_old: bool) -> None:
    say(
        "{item} {region} {usd} {unit} {seen} {confidence}{old}",
        item=f"{row.item:<40}",
        region=f"{row.region:<22}",
        usd=f"{row.usd:>12}",
        unit=f"{row.unit:<18}",
        seen=f"{row.seen_on or 'no day'!s:<11}",
        confidence=row.confidence,
        old=styled("yellow", "  old") if is_old else "",
    )
