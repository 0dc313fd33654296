"""What an issue may say."""

import pytest

from xops.core.errors import InputError
from xops.github.issues import BODY_LIMIT, TITLE_LIMIT, IssueDraft


def test_the_mark_is_hidden_and_at_the_end() -> None:
    notice = IssueDraft("trigger/iac_prs/2026-11-02", "Title", "Body\n\n", ("xops-trigger",))
    assert notice.marked == "Body\n\n<!-- xops:trigger/iac_prs/2026-11-02 -->\n"


@pytest.mark.parametrize(
    ("key", "body", "labels"),
    [
        ("two words", "b", ("l",)),
        ("", "b", ("l",)),
        ("a-->", "b", ("l",)),
        ("k", "b", ()),
    ],
)
def test_what_could_not_be_found_again_is_refused(
    key: str, body: str, labels: tuple[str, ...]
) -> None:
    with pytest.raises(InputError):
        IssueDraft(key, "Title", body, labels)


@pytest.mark.parametrize("line", ["&#64;" * 500, "b" * 70_000, "x"])
def test_what_is_too_long_for_github_is_cut_between_lines_and_keeps_its_mark(line: str) -> None:
    body = "\n".join([line] * (BODY_LIMIT // len(line) + 2))
    notice = IssueDraft("k", "T" * 300, body, ("l",))
    assert len(notice.marked) <= BODY_LIMIT
    assert notice.marked.endswith(f"too long for an issue\n\n{notice.mark}\n")
    lines = notice.marked.splitlines()
    assert set(lines[:-4]) <= {line, ""}
    assert len(notice.headline) == TITLE_LIMIT


def test_what_just_fits_is_left_as_it_is() -> None:
    room = BODY_LIMIT - len(IssueDraft("k", "T", "", ("l",)).marked)
    notice = IssueDraft("k", "T" * TITLE_LIMIT, "b" * room, ("l",))
    assert len(notice.marked) == BODY_LIMIT
    assert notice.marked.startswith("b" * room)
    assert notice.headline == notice.title
