"""Signed mandates against real keys: GnuPG's, OpenSSH's, and one that stands for GitHub's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.triggers.working_copy import (
    AZURE,
    GITHUB,
    GPG,
    KEYGEN,
    MALLORY,
    OWNER,
    Key,
    KeyMaker,
    SSHKey,
    WorkingCopy,
    call,
    key_maker,
)
from xops.triggers.measure.git_log import open_log
from xops.triggers.measure.mandates import read_mandates

OCTOCAT = "1234+octocat@users.noreply.github.com"


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    return WorkingCopy(tmp_path / "work", tmp_path / "home")


@pytest.fixture(scope="module")
def key_for() -> Iterator[KeyMaker]:
    with key_maker() as made:
        yield made


def test_a_signature_by_an_owner_s_key_counts_once_the_key_is_known(
    copy: WorkingCopy, key_for: KeyMaker
) -> None:
    key = key_for(f"Platform <{OWNER.upper()}>")
    copy.commit(key=key)
    assert "(E: its key is not known here)" in copy.reason(signed=True)
    copy.trust(key)
    assert copy.reason(signed=True) == ""
    assert copy.reason(signed=True, signing_keys=[key.fingerprint]) == ""
    assert "not among mandates.signing_keys" in copy.reason(signed=True, signing_keys=["A" * 40])
    copy.commit("# by hand\n" + AZURE)
    assert copy.reason(signed=True) == ""  # what the owner signed stands
    copy.commit(None)
    assert "was deleted by" in copy.reason(signed=True)
    assert "(N: there is none)" in copy.reason(signed=True)


@pytest.mark.parametrize(
    "user_id",
    [
        f"{OWNER} <{MALLORY}>",
        f"Platform ({OWNER}) <{MALLORY}>",
        f"Platform <x{OWNER}>",
        f"Platform <{OWNER}.evil.com>",
        f"Platform <{OWNER.replace('a', chr(0x430))}>",
        f"Platform <\u212a{OWNER}>",
        f"Platform {OWNER}",
    ],
)
def test_a_key_that_only_looks_like_an_owner_s_does_not_count(
    copy: WorkingCopy, key_for: KeyMaker, user_id: str
) -> None:
    key = key_for(user_id)
    copy.trust(key)
    copy.commit(key=key)
    assert "signed by " in copy.reason(signed=True)
    assert copy.reason(signed=True).endswith("not by an owner")


def test_each_user_id_of_a_key_is_for_one_address(copy: WorkingCopy, key_for: KeyMaker) -> None:
    key = key_for("Personal <me@home.example>", f"Platform <{OWNER}>", "Nickname")
    copy.trust(key)
    copy.commit(key=key)
    assert copy.reason(signed=True) == ""
    key.gpg("--quick-revoke-uid", key.fingerprint, f"Platform <{OWNER}>")
    copy.trust(key)
    assert "signed by " in copy.reason(signed=True)


def test_a_key_that_has_expired_does_not_count(copy: WorkingCopy, key_for: KeyMaker) -> None:
    key = key_for(f"Platform <{OWNER}>", at="20200101T000000", lasts="30d")
    copy.trust(key)
    copy.commit(key=key)
    assert "(Y: its key has expired)" in copy.reason(signed=True)


def test_a_key_that_was_revoked_does_not_count(copy: WorkingCopy, key_for: KeyMaker) -> None:
    key = key_for(f"Platform <{OWNER}>")
    copy.trust(key)
    copy.commit(key=key)
    assert copy.reason(signed=True) == ""
    file = copy.home / "revocation.asc"
    file.write_text(key.revocation())
    call(GPG, "--batch", "--import", str(file), environ=copy.environ)
    assert "(R: its key is revoked)" in copy.reason(signed=True)


def test_how_far_a_key_must_be_trusted_is_for_who_evaluates_to_say(
    copy: WorkingCopy, key_for: KeyMaker
) -> None:
    key = key_for(f"Platform <{OWNER}>")
    copy.trust(key)
    copy.commit(key=key)
    copy.git("config", "gpg.minTrustLevel", "undefined")  # the repository's own does not matter
    copy.configure("gpg.minTrustLevel", "fully")
    assert "(U: nobody here vouches for its key)" in copy.reason(signed=True)
    trust = copy.home / "trust"
    trust.write_text(f"{key.fingerprint}:6:\n")
    call(GPG, "--batch", "--import-ownertrust", str(trust), environ=copy.environ)
    assert copy.reason(signed=True) == ""


def test_a_user_id_that_was_added_later_is_nobody_s_while_others_of_the_key_are_vouched_for(
    copy: WorkingCopy, key_for: KeyMaker, tmp_path: Path
) -> None:
    mallory, administrator = key_for(f"Mallory <{MALLORY}>"), key_for("A <admin@example.com>")
    file = tmp_path / "key.asc"
    file.write_text(mallory.gpg("--armor", "--export", mallory.fingerprint))
    administrator.gpg("--import", str(file))
    administrator.gpg("--quick-sign-key", mallory.fingerprint)
    file.write_text(administrator.gpg("--armor", "--export", mallory.fingerprint))
    mallory.gpg("--quick-add-uid", mallory.fingerprint, f"Platform <{OWNER}>")
    copy.trust(administrator, mallory)
    copy.commit(key=mallory)
    assert copy.reason(signed=True) == ""  # this account vouches for no key, as the page says
    call(GPG, "--batch", "--import", str(file), environ=copy.environ)
    file.write_text(f"{administrator.fingerprint}:6:\n")
    call(GPG, "--batch", "--import-ownertrust", str(file), environ=copy.environ)
    assert "a user id for which nobody here vouches" in copy.reason(signed=True)
    assert copy.reason(signed=True, owners=[OWNER, MALLORY]) == ""


def test_a_key_s_subkey_signs_for_the_key(copy: WorkingCopy, key_for: KeyMaker) -> None:
    key = key_for(f"Platform <{OWNER}>")
    key.gpg("--quick-add-key", key.fingerprint, "ed25519", "sign")
    listed = key.gpg("--with-colons", "--list-keys").splitlines()
    subkey = [line.split(":")[9] for line in listed if line.startswith("fpr")][1]
    copy.trust(key)
    copy.commit(key=Key(key.home, subkey))
    assert copy.reason(signed=True, signing_keys=[key.fingerprint]) == ""


def test_a_signed_tag_is_no_signature_of_its_commit(copy: WorkingCopy, key_for: KeyMaker) -> None:
    key = key_for(f"Platform <{OWNER}>")
    copy.trust(key)
    copy.commit()
    copy.git(*key.settings(), "tag", "-s", "declared", "-m", "x", signer=str(key.home))
    assert "(N: there is none)" in copy.reason(signed=True)


def test_a_forged_signature_does_not_count(copy: WorkingCopy, key_for: KeyMaker) -> None:
    key = key_for(f"Platform <{OWNER}>")
    copy.trust(key)
    copy.commit(key=key)
    text = copy.git("cat-file", "commit", "HEAD").replace("Declare", "Forged!") + "\n"
    (copy.folder / "forged").write_text(text)
    forged = copy.git("hash-object", "-t", "commit", "-w", "forged")
    copy.git("reset", "-q", "--hard", forged)
    assert "(B: it is forged" in copy.reason(signed=True)


def test_an_ssh_key_counts_by_its_principal(copy: WorkingCopy, tmp_path: Path) -> None:
    key, other = SSHKey.make(tmp_path / "key"), SSHKey.make(tmp_path / "other")
    signers = tmp_path / "signers"
    copy.commit(key=key)
    assert "allowedSignersFile needs to be configured" in copy.reason(signed=True)
    copy.configure("gpg.ssh.allowedSignersFile", str(signers))
    for line, words in (
        ("", "whose signature does not verify"),
        (f"{MALLORY} {key.public}", f"signed by {MALLORY}, not by an owner"),
        (f"*@example.com {key.public}", "signed by *@example.com, not by an owner"),
        (f"x{OWNER} {key.public}", "not by an owner"),
        (f"{OWNER} {other.public}", "whose signature does not verify"),
        (f"{OWNER.upper()} {key.public}", ""),
        (f"{OWNER},board@example.com {key.public}", ""),
        (f'{OWNER} namespaces="file" {key.public}', "whose signature does not verify"),
        (f'{OWNER} valid-before="20200101" {key.public}', "whose signature does not verify"),
    ):
        signers.write_text(f"{line}\n")
        found = copy.reason(signed=True)
        assert words in found, line
        assert bool(words) == bool(found), line
    signers.write_text(f"{OWNER} {key.public}\n")
    assert copy.reason(signed=True, signing_keys=[key.fingerprint]) == ""
    assert "not among mandates.signing_keys" in copy.reason(
        signed=True, signing_keys=[other.fingerprint]
    )
    revoked = tmp_path / "revoked"
    revoked.write_text(f"{key.public}\n")
    copy.configure("gpg.ssh.revocationFile", str(revoked))
    assert "(B: it is forged, or its key is revoked)" in copy.reason(signed=True)


@pytest.mark.parametrize(
    ("principals", "line", "words"),
    [
        (OWNER, "*@example.com cert-authority", ""),
        (f"{OWNER},board@example.com", '* cert-authority,namespaces="git"', ""),
        ("mallory@example.com", "*@example.com cert-authority", "signed by mallory@example.com"),
        (OWNER, f"!{OWNER},*@example.com cert-authority", "whose signature does not verify"),
        (OWNER, f"{OWNER}", "whose signature does not verify"),
    ],
)
def test_an_ssh_certificate_counts_by_the_principals_that_the_authority_wrote_into_it(
    copy: WorkingCopy, tmp_path: Path, principals: str, line: str, words: str
) -> None:
    key, authority = SSHKey.make(tmp_path / "key"), SSHKey.make(tmp_path / "authority")
    argv = ["-q", "-s", str(authority.file), "-I", "id", "-n", principals, f"{key.file}.pub"]
    call(KEYGEN, *argv, environ=copy.environ)
    (copy.home / "signers").write_text(f"{line} {authority.public}\n")
    copy.configure("gpg.ssh.allowedSignersFile", "~/signers")
    copy.commit(key=SSHKey(tmp_path / "key-cert.pub"))
    found = copy.reason(signed=True)
    assert words in found
    assert bool(words) == bool(found)


def test_a_file_of_allowed_signers_that_came_with_the_repository_is_not_read(
    copy: WorkingCopy, tmp_path: Path
) -> None:
    key = SSHKey.make(tmp_path / "key")
    (copy.folder / "signers").write_text(f"{OWNER} {key.public}\n")
    copy.configure("gpg.ssh.allowedSignersFile", "signers")
    copy.commit(key=key)
    copy.git("verify-commit", "HEAD")  # the trap works
    assert "whose signature does not verify" in copy.reason(signed=True)


def test_the_settings_of_who_evaluates_may_be_elsewhere(copy: WorkingCopy, tmp_path: Path) -> None:
    key = SSHKey.make(tmp_path / "key")
    (tmp_path / "git").mkdir()
    (tmp_path / "signers").write_text(f"{OWNER} {key.public}\n")
    line = f'[gpg "ssh"]\n\tallowedSignersFile = {tmp_path / "signers"}\n'
    (tmp_path / "git" / "config").write_text(line)
    copy.commit(key=key)
    for name, value in (
        ("XDG_CONFIG_HOME", str(tmp_path)),
        ("GIT_CONFIG_GLOBAL", str(tmp_path / "git" / "config")),
    ):
        with open_log(copy.mandates, environ=copy.environ | {name: value}) as log:
            assert [row.valid for row in read_mandates(copy.policy(signed=True), log)] == [True]


def begin(copy: WorkingCopy) -> None:
    """A first commit on main, and a branch of an owner that leaves from it."""
    (copy.folder / "README.md").write_text("x")
    copy.git("add", "-A")
    copy.git("commit", "-qm", "Begin", author=MALLORY)
    copy.git("switch", "-qc", "declare")


def test_a_merge_commit_by_github_keeps_the_owner_s_own(
    copy: WorkingCopy, key_for: KeyMaker
) -> None:
    owner, github = key_for(f"Platform <{OWNER}>"), key_for(f"GitHub <{GITHUB}>")
    copy.trust(owner, github)
    begin(copy)
    declared = copy.commit(key=owner)
    copy.git("switch", "-q", "main")
    copy.record(
        "merge", "-q", "--no-ff", "-m", "Merge", "declare",
        author=MALLORY, committer=GITHUB, key=github,
    )  # fmt: skip
    (found,) = copy.read(signed=True)
    assert (found.valid, found.commit) == (True, declared)


def test_a_squash_merge_by_github_counts_by_its_author_if_the_policy_says_so(
    copy: WorkingCopy, key_for: KeyMaker
) -> None:
    github, other = key_for(f"GitHub <{GITHUB}>"), key_for(f"GitHub <{GITHUB}>")
    copy.trust(github, other)
    rules = {"signed": True, "owners": [OCTOCAT], "github_keys": [github.fingerprint]}
    begin(copy)
    copy.git("switch", "-q", "main")
    copy.commit(author=OCTOCAT, committer=GITHUB, key=github)
    assert copy.reason(**rules) == ""
    assert "not by an owner" in copy.reason(**rules | {"github_keys": []})
    assert "not by an owner" in copy.reason(**rules | {"github_keys": [other.fingerprint]})
    assert "who is not among" in copy.reason(**rules | {"owners": ["1" + OCTOCAT]})
    # An account's own key does not sign for GitHub, whatever its user id says.
    copy.commit(AZURE.replace("2027", "2037"), author=OCTOCAT, committer=GITHUB, key=other)
    assert [row.valid for row in copy.read(**rules)] == [False, False]
    # Who is somebody else on GitHub deletes nothing.
    copy.commit(None, author="999+mallory@users.noreply.github.com", committer=GITHUB, key=github)
    assert "was deleted by 999+mallory@" in copy.reason(**rules)


def test_a_rebase_merge_by_github_loses_the_signature(copy: WorkingCopy, key_for: KeyMaker) -> None:
    owner, github = key_for(f"Platform <{OWNER}>"), key_for(f"GitHub <{GITHUB}>")
    copy.trust(owner, github)
    begin(copy)
    copy.commit(key=owner)
    copy.git("switch", "-q", "main")
    copy.git("commit", "-q", "--allow-empty", "-m", "Meanwhile", author=MALLORY)
    copy.git("cherry-pick", "declare", author=OWNER, committer=GITHUB)  # as GitHub makes it anew
    rules = {"signed": True, "github_keys": [github.fingerprint]}
    assert "(N: there is none)" in copy.reason(**rules)
