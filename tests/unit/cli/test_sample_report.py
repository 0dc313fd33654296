"""The sample report of `xops up`: written beside the provisioning, and no reason for it to fail."""

import errno
from concurrent.futures import Future
from pathlib import Path

import pytest

from xops.cli.local import _sample_page
from xops.core.errors import DiskFullError


def test_the_page_is_the_one_that_was_written() -> None:
    report: Future[Path] = Future()
    report.set_result(Path("index.html"))
    assert _sample_page(report) == Path("index.html")


@pytest.mark.parametrize(
    "error",
    [
        DiskFullError("writing the report to [bold]", "No space left", "Make room."),
        OSError(errno.ENOSPC, "No space left", "[bold]"),
    ],
)
def test_a_report_that_is_not_written_is_told_and_ends_nothing(
    capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    report: Future[Path] = Future()
    report.set_exception(error)
    assert _sample_page(report) is None
    said = capsys.readouterr().err
    assert "the sample cost report was not written" in said
    assert "No space left" in said
    assert "[bold]" in said
