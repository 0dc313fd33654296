"""Where a credential is read from, and where it may be sent."""

import logging
from pathlib import Path

import pytest

from xops.core.errors import InputError
from xops.github.access import Access, SecretReference, credential_kind
from xops.github.errors import AccessError


def test_a_secret_is_read_from_where_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    file.chmod(0o600)
    assert SecretReference(file=file).read({}) == "s3cret"
    assert SecretReference(variable="TOKEN").read({"TOKEN": " s3cret "}) == "s3cret"


@pytest.mark.parametrize(
    "reference",
    [SecretReference(variable="TOKEN"), SecretReference(file=Path("/none")), SecretReference()],
)
def test_a_missing_secret_is_named_not_shown(reference: SecretReference) -> None:
    with pytest.raises(AccessError, match=r"Set it, or name another place"):
        reference.read({"TOKEN": "  ", "OTHER": "s3cret"})


def test_a_file_that_everybody_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret")
    file.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        SecretReference(file=file).read({})
    assert "chmod 600" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    "url",
    ["https://ghe.example/api/v3", "http://127.0.0.1:1", "http://localhost", "http://[::1]:1"],
)
def test_a_credential_goes_over_https_or_nowhere_else(url: str) -> None:
    assert Access(api_url=url).api_url == url


@pytest.mark.parametrize("url", ["http://ghe.example/api/v3", "http://10.0.0.1", "ftp://x"])
def test_not_in_the_clear(url: str) -> None:
    with pytest.raises(InputError, match="in the clear"):
        Access(api_url=url)


def test_the_kind_of_a_token_is_seen_by_its_prefix() -> None:
    kinds = [credential_kind(text) for text in ("github_pat_x", "ghp_x", "ghs_x", "x")]
    assert kinds == ["fine-grained token", "classic token", "installation token", "token"]
