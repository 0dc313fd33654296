"""What an issue may say."""

import pytest

from xops.core.errors import InputError
from xops.github.issues import BODY_LIMIT, IssueDraft


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
        ("k", "b" * BODY_LIMIT, ("l",)),
    ],
)
def test_what_could_not_be_found_again_or_is_too_long_is_refused(
    key: str, body: str, labels: tuple[str, ...]
) -> None:
    with pytest.raises(InputError):
        IssueDraft(key, "Title", body, labels)
