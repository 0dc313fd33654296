"""Where a credential may be sent, and what kind it is."""

import pytest

from xops.core.errors import InputError
from xops.github.access import Access, credential_kind


@pytest.mark.parametrize(
    "url",
    ["https://ghe.example/api/v3", "http://127.0.0.1:1", "http://localhost", "http://[::1]:1"],
)
def test_a_credential_goes_over_https_or_nowhere_else(url: str) -> None:
    assert Access(api_url=url).api_url == url


@pytest.mark.parametrize("url", ["http://ghe.example/api/v3", "http://10.0.0.1"])
def test_not_in_the_clear(url: str) -> None:
    with pytest.raises(InputError, match="in the clear"):
        Access(api_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "https://api.github.com@evil.example",
        "https://canary:x@api.github.com",
        "https://evil.example\\@api.github.com",
        "https://api.github.com\n.evil.example",
        "https://api.github.com\u3002evil.example",
        "//evil.example",
        "",
    ],
)
def test_an_address_that_programs_read_differently_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="no plain address") as caught:
        Access(api_url=url)
    assert "canary" not in str(caught.value)


def test_the_kind_of_a_token_is_seen_by_its_prefix() -> None:
    kinds = [credential_kind(text) for text in ("github_pat_x", "ghp_x", "ghs_x", "x")]
    assert kinds == ["fine-grained token", "classic token", "installation token", "token"]
