"""A pinned key is replaced, and every other line of the file stays what it was."""

import tempfile
from pathlib import Path

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xops.core.errors import InputError
from xops.k3s.ssh.known_hosts import pin, replace_pins

OLD, NEW, OTHER = (
    " ".join(asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()[:2])
    for _ in range(3)
)
NAME = "10.0.0.1"
SALTED_10_0_0_1 = "|1|c2FsdHNhbHRzYWx0c2FsdHNhbHQ=|DKCd2aZ6N8wHVulOBaAUxyEqlEE="


def replaced(folder: Path, text: str, name: str = NAME) -> str:
    file = folder / "pins"
    file.write_text(text)
    replace_pins(file, f"{name} {NEW}")
    return file.read_text()


@pytest.mark.parametrize(
    ("before", "left"),
    [
        (f"{NAME} {OLD}\n", ""),
        (f"{NAME} {OLD} root@old", ""),
        (f"{NAME} {OLD}\n{NAME} {OTHER}\n", ""),
        (f"10.0.0.2,{NAME},b {OLD} me\n", f"10.0.0.2,b {OLD} me\n"),
        (f"# ours\n\n10.0.0.11 {OLD}\n[{NAME}]:23 {OLD}\n", None),
        (f"@cert-authority * {OLD}\n@revoked {NAME} {OTHER}\n", None),
        (f"*.example.com,!a {OLD}\n", None),
    ],
    ids=["alone", "no line end", "two keys", "with others", "at a port", "marked", "a pattern"],
)
def test_only_the_machine_s_own_keys_go(tmp_path: Path, before: str, left: str | None) -> None:
    kept = before if left is None else left
    assert replaced(tmp_path, before) == f"{kept}{NAME} {NEW}\n"


def test_a_machine_at_another_port_is_another(tmp_path: Path) -> None:
    text = f"{NAME} {OLD}\n[{NAME}]:2222 {OLD}\n"
    after = replaced(tmp_path, text, f"[{NAME}]:2222")
    assert after == f"{NAME} {OLD}\n[{NAME}]:2222 {NEW}\n"


def test_a_hashed_name_goes(tmp_path: Path) -> None:
    assert replaced(tmp_path, f"{SALTED_10_0_0_1} {OLD}\n") == f"{NAME} {NEW}\n"


@pytest.mark.parametrize("names", ["10.0.0.*", f"{NAME},10.0.0.?", "*"])
def test_a_pattern_that_counts_for_others_is_left_to_the_person(tmp_path: Path, names: str) -> None:
    text = f"# ours\n{names} {OLD}\n"
    with pytest.raises(InputError, match=r"pins:2: pins a key for 10\.0\.0\.1 and for others"):
        replaced(tmp_path, text)
    assert (tmp_path / "pins").read_text() == text


@given(st.lists(st.sampled_from(["a", "b", "[a]:23", "a,b", "10.0.0.1,c", "10.0.0.1"]), max_size=8))
def test_no_other_machine_s_keys_change(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        after = replaced(Path(folder), "".join(f"{each} {OLD}\n" for each in names))
    for machine in ("a", "b", "c", "[a]:23"):
        before = sum(machine in each.split(",") for each in names)
        keys, *_ = asyncssh.import_known_hosts(after).match(machine, "", None)
        assert len(keys) == before
    keys, *_ = asyncssh.import_known_hosts(after).match(NAME, "", None)
    assert [key.export_public_key().decode().strip() for key in keys] == [NEW]


def test_a_link_stays_one_and_others_may_read(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.touch(0o600)
    link.symlink_to(real)
    pin(link, [f"{NAME} {OLD}"])
    replace_pins(link, f"{NAME} {NEW}")
    assert (link.is_symlink(), real.read_text()) == (True, f"{NAME} {NEW}\n")
    assert real.stat().st_mode & 0o777 == 0o644
    assert {file.name for file in tmp_path.iterdir()} == {"real", "link"}
