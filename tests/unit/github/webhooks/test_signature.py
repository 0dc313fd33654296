"""Whether GitHub sent a body."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xops.github.webhooks.signature import is_authentic, signature_of

SECRET, BODY = b"It's a Secret to Everybody", b"Hello, World!"
KNOWN = b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
OTHER = b"x" * 32


def test_the_answer_that_github_documents_is_right() -> None:
    assert signature_of(BODY, SECRET) == KNOWN
    assert is_authentic(BODY, KNOWN, [SECRET])


def test_the_previous_secret_counts_as_well() -> None:
    assert is_authentic(BODY, KNOWN, [OTHER, SECRET])
    assert is_authentic(BODY, KNOWN, [SECRET, OTHER])


@pytest.mark.parametrize(
    "given_",
    [
        b"", b"sha256=", KNOWN[7:], KNOWN.upper(), KNOWN + b"0", KNOWN[:-1], b" " + KNOWN,
        b"sha1=" + KNOWN[7:], b"sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59",
        "sha256=\u0661\u0662".encode(), b"sha256=\xff\xfe", b"\x00" * 71, KNOWN.replace(b"=", b":"),
    ],
)  # fmt: skip
def test_any_other_header_is_wrong(given_: bytes) -> None:
    assert not is_authentic(BODY, given_, [SECRET, OTHER])


def test_without_secrets_nothing_is_authentic() -> None:
    assert not is_authentic(BODY, KNOWN, [])


@given(st.integers(0, len(KNOWN) - 1), st.integers(1, 255))
def test_one_byte_of_the_signature_that_differs_is_enough(place: int, change: int) -> None:
    wrong = bytearray(KNOWN)
    wrong[place] ^= change
    assert not is_authentic(BODY, bytes(wrong), [SECRET])


@given(st.binary(min_size=1, max_size=50), st.data())
def test_one_byte_of_the_body_that_differs_is_enough(body: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(body) - 1))
    wrong = bytearray(body)
    wrong[place] ^= data.draw(st.integers(1, 255))
    assert is_authentic(body, signature_of(body, SECRET), [SECRET])
    assert not is_authentic(bytes(wrong), signature_of(body, SECRET), [SECRET])
