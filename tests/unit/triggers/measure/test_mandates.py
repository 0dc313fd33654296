"""Declared mandates: what is well-formed, and whose declaration counts."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.soak import examples
from xops.core.errors import PermanentError
from xops.triggers.facts import Facts, Mandate
from xops.triggers.measure import mandates
from xops.triggers.measure.git_log import Change, Commit, Signature, address_of
from xops.triggers.measure.mandate_history import plain
from xops.triggers.measure.mandates import (
    MalformedMandatesError,
    from_facts_file,
    judge,
    mandates_digest,
    read_mandates,
)
from xops.triggers.policy import Mandates

OWNER, OTHER, MALLORY = "platform@example.com", "board@example.com", "mallory@example.com"
KEY, GITHUB_KEY = "A" * 40, "B" * 40
AZURE = """\
apiVersion: xops/v1
cloud: azure
who: Example Bank
what: A second region outside AWS.
jurisdiction: AU
evidence: https://example.com/contract
effective_from: 2026-07-01
expires: 2027-07-01
"""
PROLONGED = AZURE.replace("2027-07-01", "2037-07-01")
REFORMATTED = "# by a formatter\n" + AZURE.replace("who: Example Bank", 'who: "Example Bank"')
EDGE = AZURE.replace("cloud: azure", "site: Plant 7")
WRONG = AZURE.replace("cloud", "colour")

UNSIGNED = Signature("N: there is none")


def sha(number: int) -> str:
    """The name of a commit: telling, and as long as Git's."""
    return f"c{number:039d}"


@dataclass
class Past:
    """A history as Git would tell it, made step by step; it has no tool of its own to be wrong."""

    made: list[Commit] = field(default_factory=list)
    trees: dict[str, dict[str, str]] = field(default_factory=dict)
    blobs: dict[str, str] = field(default_factory=dict)
    signatures: dict[str, Signature] = field(default_factory=dict)

    def commit(
        self,
        author: str,
        files: Mapping[str, str | None],
        *parents: str,
        signature: Signature = UNSIGNED,
        committer: str = "",
    ) -> str:
        """Commit texts (None deletes) on top of the last commit, or of those that are named."""
        tip = tuple(parents) or ((self.made[-1].sha,) if self.made else ())
        tree = dict(self.trees[tip[0]]) if tip else {}
        for name, text in files.items():
            tree.pop(name, None)
            if text is not None:
                blob = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
                self.blobs[blob], tree[name] = text, blob
        before = [self.trees[parent] for parent in tip] or [{}]
        changes = [
            Change(name, tree.get(name, ""), tuple(old.get(name, "") for old in before))
            for name in sorted({*tree, *(name for old in before for name in old)})
            if all(old.get(name, "") != tree.get(name, "") for old in before)
        ]
        name = sha(len(self.made) + 1)
        self.made.append(Commit(name, tip, author, committer or author, tuple(changes)))
        self.trees[name], self.signatures[name] = tree, signature
        return name

    def write(self, folder: Path) -> None:
        """Make the folder as it was committed last."""
        for file in folder.iterdir():
            file.unlink()
        for name, blob in self.head().items():
            (folder / name).write_text(self.blobs[blob])

    def commits(self) -> Sequence[Commit]:
        """Those that the last one is made of."""
        reached = {self.made[-1].sha} if self.made else set()
        for one in reversed(self.made):
            reached |= set(one.parents) if one.sha in reached else set()
        return [one for one in self.made if one.sha in reached]

    def head(self) -> Mapping[str, str]:
        return self.trees[self.made[-1].sha] if self.made else {}

    def files(self, name: str) -> Mapping[str, str]:
        return self.trees[name]

    def text(self, blob: str) -> str:
        return self.blobs[blob]

    def signature(self, name: str) -> Signature:
        return self.signatures[name]


@pytest.fixture
def past() -> Past:
    return Past()


@pytest.fixture
def policy(tmp_path: Path) -> Mandates:
    return Mandates(folder=tmp_path, owners=(OWNER.upper(), OTHER))


def read(policy: Mandates, past: Past) -> tuple[Mandate, ...]:
    past.write(policy.folder)
    return read_mandates(policy, past)


def reason(policy: Mandates, past: Past) -> str:
    (found,) = read(policy, past)
    assert found.valid == (not found.reason)
    return found.reason


def signed_by(*addresses: str, key: str = KEY) -> Signature:
    return Signature("", key, f"Somebody <{', '.join(addresses)}>", frozenset(addresses))


def test_a_record_by_an_owner_counts(policy: Mandates, past: Past) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE, "edge.yml": EDGE, "README.md": "x"})
    cloud, edge = read(policy, past)
    assert (cloud.kind, cloud.subject, cloud.valid) == ("second_cloud", "azure", True)
    assert (edge.kind, edge.subject, edge.file) == ("edge", "Plant 7", "edge.yml")
    assert cloud.commit == sha(1)


def test_it_is_in_force_from_its_first_day_up_to_its_last(policy: Mandates, past: Past) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE})
    (found,) = read(policy, past)
    days = [date(2026, 6, 30), date(2026, 7, 1), date(2027, 6, 30), date(2027, 7, 1)]
    assert [found.in_force(day) for day in days] == [False, True, True, False]


def test_an_empty_folder_is_no_mandate(policy: Mandates, past: Past) -> None:
    assert read_mandates(policy, past) == ()


def test_a_folder_that_is_not_there_is_not_known_to_be_empty(policy: Mandates, past: Past) -> None:
    for wrong, words in (("none", "No such file"), ("file", "Not a directory"), ("link", "a link")):
        (policy.folder / "file").touch()
        if wrong == "link":
            (policy.folder / "link").symlink_to(policy.folder)
        misspelt = policy.model_copy(update={"folder": policy.folder / wrong})
        with pytest.raises(PermanentError, match=words) as error:
            read_mandates(misspelt, past)
        assert "mandates.folder" in error.value.remedy


@pytest.mark.parametrize("others", [MALLORY, "Platform@example.com.evil.com", "x" + OWNER, ""])
def test_a_record_of_somebody_else_does_not_count(
    policy: Mandates, past: Past, others: str
) -> None:
    past.commit(others, {"azure.yaml": AZURE})
    assert reason(policy, past) == (
        f"was committed by {others} in {sha(1)[:12]}, who is not among mandates.owners"
    )


def test_addresses_are_compared_in_small_letters_of_a_to_z_alone(
    past: Past, tmp_path: Path
) -> None:
    policy = Mandates(folder=tmp_path, owners=("Kim@Example.com",))
    past.commit("kIM@example.COM", {"a.yaml": AZURE})
    assert reason(policy, past) == ""
    # The sign for kelvin has the small letter k, and the Cyrillic a looks like another one.
    for look_alike in ("\u212aim@example.com", "kim@ex\u0430mple.com"):
        other = Past()
        other.commit(look_alike, {"a.yaml": AZURE})
        assert look_alike.encode("ascii", "backslashreplace").decode() in reason(policy, other)


def test_who_reformats_a_record_changes_nothing(policy: Mandates, past: Past) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE})
    past.commit(MALLORY, {"azure.yaml": REFORMATTED})
    assert reason(policy, past) == ""


def test_who_renames_a_record_changes_nothing(policy: Mandates, past: Past) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE})
    past.commit(MALLORY, {"azure.yaml": None, "bank.yaml": AZURE})
    (found,) = read(policy, past)
    assert (found.valid, found.file, found.commit) == (True, "bank.yaml", sha(1))


def test_an_owner_changes_and_ends_a_record_that_somebody_renamed(
    policy: Mandates, past: Past
) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE})
    past.commit(MALLORY, {"azure.yaml": None, "bank.yaml": REFORMATTED})
    past.commit(OWNER, {"bank.yaml": PROLONGED})
    (found,) = read(policy, past)
    assert (found.valid, found.expires.year) == (True, 2037)
    past.commit(OTHER, {"bank.yaml": None})
    assert read(policy, past) == ()


def test_a_copy_of_a_record_is_not_a_second_mandate(policy: Mandates, past: Past) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE})
    past.commit(MALLORY, {"copy.yaml": AZURE})
    (found,) = read(policy, past)
    assert found.valid


def test_what_somebody_else_changed_is_in_doubt_before_and_after(
    policy: Mandates, past: Past
) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE})
    past.commit(MALLORY, {"azure.yaml": PROLONGED})
    after, before = read(policy, past)
    assert (after.valid, before.valid) == (False, False)
    assert (after.expires.year, before.expires.year) == (2037, 2027)
    assert f"was committed by {MALLORY} in {sha(2)[:12]}" in after.reason
    assert f"was changed by {MALLORY} in {sha(2)[:12]}, who is not among" in before.reason
    past.commit(OTHER, {"azure.yaml": "# agreed\n" + PROLONGED})
    (agreed,) = read(policy, past)
    assert (agreed.valid, agreed.expires.year) == (True, 2037)


def test_a_record_that_somebody_else_deleted_is_in_doubt_and_an_owner_s_deletion_ends_it(
    policy: Mandates, past: Past
) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE})
    past.commit(MALLORY, {"azure.yaml": None})
    assert reason(policy, past) == (
        f"was deleted by {MALLORY} in {sha(2)[:12]}, who is not among mandates.owners"
    )
    (judged,) = judge(policy, past).records
    assert f"git checkout {sha(1)[:12]} -- azure.yaml" in judged.remedy
    past.commit(MALLORY, {"azure.yaml": AZURE})  # restored as it was: nothing was lost
    assert reason(policy, past) == ""
    past.commit(OWNER, {"azure.yaml": None})
    assert read(policy, past) == ()


def test_deleting_twice_is_no_way_to_end_a_mandate(policy: Mandates, past: Past) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE})
    for text in (None, PROLONGED, None):
        past.commit(MALLORY, {"azure.yaml": text})
    assert "was deleted by" in reason(policy, past)


def test_a_change_that_is_not_committed_leaves_it_in_doubt(policy: Mandates, past: Past) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE})
    past.write(policy.folder)
    file = policy.folder / "azure.yaml"
    file.write_text(REFORMATTED)
    assert [row.valid for row in read_mandates(policy, past)] == [True]
    file.write_text(PROLONGED)
    assert [row.reason for row in read_mandates(policy, past)] == [
        f"was changed since its last commit, {sha(1)[:12]}",
        "was changed or deleted here without a commit",
    ]
    file.unlink()
    (gone,) = read_mandates(policy, past)
    assert gone.reason == "was changed or deleted here without a commit"
    (policy.folder / "new.yaml").write_text(EDGE)
    assert read_mandates(policy, past)[0].reason == "is not committed"


def test_records_without_an_owner_say_what_to_configure(policy: Mandates, past: Past) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE})
    nobodys = policy.model_copy(update={"owners": ()})
    assert "mandates.owners of the policy names nobody" in reason(nobodys, past)
    (judged,) = judge(nobodys, past).records
    assert "Name who may declare" in judged.remedy


def test_a_merge_can_neither_bring_an_older_version_back_nor_drop_one(
    policy: Mandates, past: Past
) -> None:
    old = past.commit(OWNER, {"azure.yaml": AZURE})
    new = past.commit(OWNER, {"azure.yaml": PROLONGED})
    past.commit(MALLORY, {"azure.yaml": AZURE}, old, new)  # git merge -s ours
    restored, dropped = read(policy, past)
    assert restored.reason == "is not what an owner committed last: a merge brought it"
    assert dropped.reason == "was changed in a merge that is no owner's"
    none = past.commit(MALLORY, {"azure.yaml": None, "README.md": "x"}, old)
    past.commit(MALLORY, {"azure.yaml": None}, new, none)
    (dropped,) = read(policy, past)
    assert dropped.reason == (
        f"was deleted by {MALLORY} in {none[:12]}, who is not among mandates.owners"
    )


def test_what_an_owner_ended_stays_ended_whatever_is_merged(policy: Mandates, past: Past) -> None:
    old = past.commit(OWNER, {"azure.yaml": AZURE})
    ended = past.commit(OWNER, {"azure.yaml": None})
    past.commit(MALLORY, {"azure.yaml": AZURE}, ended, old)
    assert reason(policy, past) == "is not what an owner committed last: a merge brought it"


def test_an_owner_s_commit_counts_by_whomever_it_is_merged(policy: Mandates, past: Past) -> None:
    base = past.commit(MALLORY, {"README.md": "x"})
    declared = past.commit(OWNER, {"azure.yaml": AZURE}, base)
    past.commit(MALLORY, {"azure.yaml": AZURE}, base, declared)
    (found,) = read(policy, past)
    assert (found.valid, found.commit) == (True, declared)


def test_owners_who_contradict_each_other_leave_it_in_doubt_until_one_decides(
    policy: Mandates, past: Past
) -> None:
    base = past.commit(OWNER, {"azure.yaml": AZURE})
    ended = past.commit(OWNER, {"azure.yaml": None}, base)
    renewed = past.commit(OTHER, {"azure.yaml": PROLONGED}, base)
    past.commit(MALLORY, {"azure.yaml": PROLONGED}, ended, renewed)
    assert reason(policy, past).startswith("is disputed: owners said different things")
    past.commit(MALLORY, {"azure.yaml": None}, ended, renewed)
    assert reason(policy, past).startswith("is disputed")
    past.commit(OWNER, {"azure.yaml": None}, ended, renewed)  # the owner merges, and decides
    assert read(policy, past) == ()


def test_an_owner_s_commit_of_no_record_says_nothing(policy: Mandates, past: Past) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE})
    past.commit(OWNER, {"azure.yaml": WRONG})
    past.commit(MALLORY, {"azure.yaml": None})
    assert "was deleted by" in reason(policy, past)


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        (signed_by(OWNER), ""),
        (signed_by(MALLORY, OWNER), ""),
        (signed_by(OWNER.upper()), ""),
        (UNSIGNED, "whose signature does not verify (N: there is none)"),
        (Signature("Y: its key has expired", KEY), "its key has expired"),
        (signed_by(MALLORY), f"signed by Somebody <{MALLORY}>, not by an owner"),
        (signed_by(f"x{OWNER}"), "not by an owner"),
        (signed_by("\u0440latform@example.com"), "signed by Somebody <\\u0440latform@example.com>"),
        (signed_by(key=GITHUB_KEY), "not by an owner"),
    ],
)
def test_where_signatures_are_wanted_an_owner_s_must_verify(
    policy: Mandates, past: Past, signature: Signature, words: str
) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE}, signature=signature)
    found = reason(policy.model_copy(update={"signed": True}), past)
    assert words in found
    assert bool(words) == bool(found)


def test_where_signatures_are_wanted_deleting_needs_one_as_well(
    policy: Mandates, past: Past
) -> None:
    signed = policy.model_copy(update={"signed": True})
    past.commit(OWNER, {"azure.yaml": AZURE}, signature=signed_by(OWNER))
    past.commit(OWNER, {"azure.yaml": None})
    assert "was deleted by" in reason(signed, past)
    assert "whose signature does not verify (N: there is none)" in reason(signed, past)


def test_only_the_keys_that_are_named_count_where_some_are(policy: Mandates, past: Past) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE}, signature=signed_by(OWNER))
    pinned = {"signed": True, "signing_keys": ("C" * 40,)}
    assert f"the key {KEY}, which is not among mandates.signing_keys" in reason(
        policy.model_copy(update=pinned), past
    )
    assert reason(policy.model_copy(update={"signed": True, "signing_keys": (KEY,)}), past) == ""


@pytest.mark.parametrize(
    ("author", "key", "counts"),
    [
        ("1234+octocat@users.noreply.github.com", GITHUB_KEY, True),
        (OWNER, GITHUB_KEY, True),
        ("12345+octocat@users.noreply.github.com", GITHUB_KEY, False),
        ("octocat@users.noreply.github.com", GITHUB_KEY, False),
        ("1234+octodog@users.noreply.github.com", GITHUB_KEY, False),
        (MALLORY, GITHUB_KEY, False),
        ("1234+octocat@users.noreply.github.com", "C" * 40, False),
    ],
)
def test_a_squash_merge_counts_by_its_author_where_github_s_key_is_named(
    policy: Mandates, past: Past, author: str, key: str, counts: bool
) -> None:
    owners = (OWNER, "1234+Octocat@users.noreply.github.com")
    rules = {"signed": True, "owners": owners, "github_keys": (GITHUB_KEY,)}
    by_github = signed_by("noreply@github.com", key=key)
    past.commit(author, {"a.yaml": AZURE}, signature=by_github, committer="noreply@github.com")
    assert (reason(policy.model_copy(update=rules), past) == "") == counts


def test_a_merge_by_github_that_proves_nothing_says_which_does(
    policy: Mandates, past: Past
) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE}, committer="noreply@github.com")
    past.write(policy.folder)
    (judged,) = judge(policy.model_copy(update={"signed": True}), past).records
    assert "mandates.github_keys" in judged.remedy


def test_everything_wrong_with_every_file_comes_at_once(policy: Mandates, past: Past) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE})
    past.write(policy.folder)
    (policy.folder / "both.yaml").write_text(AZURE + "site: x\n")
    wrong = AZURE.replace("https:", "http:").replace("2027-07-01", "2026-07-01")
    (policy.folder / "wrong.yaml").write_text(wrong + "colour: red\n")
    (policy.folder / "link.yaml").symlink_to(policy.folder / "azure.yaml")
    with pytest.raises(MalformedMandatesError) as error:
        read_mandates(policy, past)
    found = {(Path(f.source).name, f.path, f.line) for f in error.value.findings}
    assert found == {
        ("both.yaml", "site", 9), ("link.yaml", "", None), ("wrong.yaml", "colour", 9),
        ("wrong.yaml", "evidence", 6), ("wrong.yaml", "expires", 8),
    }  # fmt: skip
    assert "wrong.yaml:9: colour" in error.value.found
    assert [row.mandate.valid for row in judge(policy, past).records] == [True]


@pytest.mark.parametrize(
    "day",
    [
        "2026-07-01T00:00:00+10:00", "2026-07-01T00:00:00Z", "2026-07-01 00:00", "1782864000",
        "20260701", "2026-7-1", "1.7.2026", "yes", "[2026-07-01]",
    ],
)  # fmt: skip
def test_a_day_has_no_time_and_no_zone(policy: Mandates, past: Past, day: str) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE.replace("2026-07-01", day)})
    past.write(policy.folder)
    with pytest.raises(MalformedMandatesError, match="write a day like 2026-07-01"):
        read_mandates(policy, past)


def _steps(*names: str) -> st.SearchStrategy[list[tuple[str, str, str | None]]]:
    step = st.tuples(
        st.sampled_from([OWNER, OTHER, MALLORY]),
        st.sampled_from(names),
        st.sampled_from([None, AZURE, PROLONGED, EDGE, REFORMATTED, WRONG]),
    )
    return st.lists(step, max_size=12)


def _last_words(steps: Sequence[tuple[str, str, str | None]]) -> Iterator[str]:
    """What owners said last about each file, in the plainest way: of a history without branches."""
    for name in ("a.yaml", "b.yaml"):
        said = [text for author, file, text in steps if file == name and author != MALLORY]
        words = [text for text in said if text != WRONG]
        if words and words[-1] is not None:
            yield AZURE if words[-1] == REFORMATTED else words[-1]


def _told(row: Mandate) -> tuple[str, str]:
    """Its lines of subject and end."""
    key = "cloud" if row.kind == "second_cloud" else "site"
    return f"{key}: {row.subject}", f"expires: {row.expires}"


@examples(60)
@given(steps=st.one_of(_steps("a.yaml"), _steps("a.yaml", "b.yaml")))
def test_the_commits_of_others_neither_make_nor_end_a_mandate(
    steps: list[tuple[str, str, str | None]],
) -> None:
    # A file that an owner touches without effect is no commit: Git has nothing to tell of it.
    past, effective = Past(), []
    for author, name, text in steps:
        tree = past.head()
        if text != (past.blobs[tree[name]] if name in tree else None):
            past.commit(author, {name: text})
            effective.append((author, name, text))
    with TemporaryDirectory() as folder:
        policy = Mandates(folder=Path(folder), owners=(OWNER, OTHER))
        past.write(policy.folder)
        rows = [row.mandate for row in judge(policy, past).records]
    declared = {tuple(text.splitlines()[1::6]) for text in _last_words(effective)}
    listed = {_told(row) for row in rows}
    valid = {_told(row) for row in rows if row.valid}
    assert valid <= declared
    # A record moved by somebody else and then changed by an owner is ended under its old name.
    moved = len({name for _, name, _ in effective}) > 1
    assert moved or declared <= listed


BRANCHES = st.lists(
    st.tuples(
        st.sampled_from([OWNER, OTHER, MALLORY]),
        st.sampled_from([None, AZURE, PROLONGED, REFORMATTED, WRONG]),
        st.integers(0, 9),
        st.one_of(st.none(), st.integers(0, 9)),
    ),
    min_size=1,
    max_size=10,
)


def _newest_words(past: Past) -> set[str | None]:
    """What owners said of the file that no later one of them knew, by looking at all pairs."""
    commits = past.commits()
    known: dict[str, set[str]] = {}
    for one in commits:
        known[one.sha] = {old for up in one.parents for old in (up, *known[up])}
    said = {
        one.sha: past.blobs.get(one.changes[0].blob)
        for one in commits
        if one.author != MALLORY and one.changes
    }
    words = {name: text for name, text in said.items() if text != WRONG}
    newest = [name for name in words if not any(name in known[other] for other in words)]
    return {AZURE if words[name] == REFORMATTED else words[name] for name in newest}


@examples(60)
@given(steps=BRANCHES)
def test_what_counts_is_what_owners_said_last_however_branches_were_merged(
    steps: list[tuple[str, str | None, int, int | None]],
) -> None:
    past = Past()
    for author, text, first, second in steps:
        earlier = [one.sha for one in past.made]
        picked = [earlier[at % len(earlier)] for at in (first, second)
                  if earlier and at is not None]  # fmt: skip
        parents = list(dict.fromkeys(picked))
        # Merges are Mallory's, who takes either side, or neither.
        past.commit(MALLORY if len(parents) > 1 else author, {"a.yaml": text}, *parents)
    with TemporaryDirectory() as folder:
        policy = Mandates(folder=Path(folder), owners=(OWNER, OTHER))
        past.write(policy.folder)
        rows = [row.mandate for row in judge(policy, past).records]
    words = _newest_words(past)
    texts = {row.expires.year: row.valid for row in rows}
    here = past.blobs.get(past.head().get("a.yaml", ""))
    agreed = words == {AZURE if here == REFORMATTED else here} and here != WRONG
    assert any(texts.values()) == (agreed and here is not None)
    declared = {2037 if word == PROLONGED else 2027 for word in words if word is not None}
    assert declared <= set(texts)


@pytest.mark.parametrize(
    ("user_id", "address"),
    [
        ("Platform <platform@example.com>", "platform@example.com"),
        ("platform@example.com", "platform@example.com"),
        ("<platform@example.com>", "platform@example.com"),
        ("platform@example.com <mallory@evil.com>", "mallory@evil.com"),
        ("A <platform@example.com> <mallory@evil.com>", ""),
        ("A <platform@example.com> mallory@evil.com", ""),
        ("A <platform@example.com", ""),
        ("A <platform@example.com,mallory@evil.com>", ""),
        ("A <platform@example.com mallory@evil.com>", ""),
        ("A <a@b@c>", ""),
        ("A <platform@example.com\u200b>", ""),
        ("platform@example.com mallory@evil.com", ""),
        ("no address", ""),
        ("", ""),
    ],
)
def test_a_user_id_is_for_the_address_in_its_brackets_alone(user_id: str, address: str) -> None:
    assert address_of(user_id) == address


@given(name=st.text(max_size=30), address=st.emails())
def test_no_name_makes_an_address(name: str, address: str) -> None:
    assert address_of(f"{name} <{address}>") in {address, ""}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"owners": ["Platform <a@example.com>"]}, "is no e-mail address"),
        ({"owners": ["a"]}, "is no e-mail address"),
        ({"owners": ["octocat@users.noreply.github.com"]}, "ID+login@users.noreply.github.com"),
        ({"owners": ["+octocat@Users.noreply.github.com"]}, "may become somebody else's"),
        ({"signed": True, "signing_keys": ["1234"]}, "is no fingerprint"),
        ({"signed": True, "github_keys": ["SHA256:abc"]}, "is no fingerprint"),
        ({"signing_keys": [KEY]}, "goes with signed: true"),
        ({"github_keys": [KEY]}, "goes with signed: true"),
    ],
)
def test_a_policy_that_would_prove_less_than_it_seems_is_refused(
    values: dict[str, object], words: str
) -> None:
    with pytest.raises(ValidationError, match=words.replace("+", r"\+")):
        Mandates.model_validate(values)


def test_fingerprints_may_be_written_as_programs_print_them() -> None:
    ssh = "SHA256:" + "a" * 43
    spaced = "968479a1 aff927e3 7d1a566b b5690eee bb952194"
    read = Mandates(signed=True, signing_keys=(ssh,), github_keys=(spaced,))
    assert read.signing_keys == (ssh,)
    assert read.github_keys == (spaced.replace(" ", "").upper(),)


def test_the_digest_is_of_what_counts_and_not_of_where_it_is(policy: Mandates) -> None:
    digest = mandates_digest(policy)
    same = {"folder": Path("elsewhere"), "owners": (OTHER.upper(), OWNER)}
    assert mandates_digest(policy.model_copy(update=same)) == digest
    for other in (
        {"owners": (OWNER,)},
        {"signed": True},
        {"signing_keys": (KEY,)},
        {"github_keys": (KEY,)},
    ):
        assert mandates_digest(policy.model_copy(update=other)) != digest


def facts(mandates: list[dict[str, object]] | None, why: str = "") -> Facts:
    return Facts.model_validate(
        {"apiVersion": "xops/v1", "generated_at": datetime(2026, 7, 6, tzinfo=UTC), "weeks": [],
         "as_of": date(2026, 7, 6), "timezone": "Australia/Sydney", "source": "a test",
         "mandates": mandates, "mandates_reason": why}
    )  # fmt: skip


CLAIM = {
    "kind": "edge", "subject": "Plant 7", "who": "A", "what": "B", "jurisdiction": "AU",
    "evidence": "https://example.com", "effective_from": "2026-01-01", "expires": "2027-01-01",
    "valid": True,
}  # fmt: skip


@pytest.mark.parametrize("claims", [[CLAIM], []])
def test_a_facts_file_proves_no_signature(
    policy: Mandates, past: Past, claims: list[dict[str, object]]
) -> None:
    found = from_facts_file(facts(claims), policy.model_copy(update={"signed": True}), past)
    assert found.mandates is None
    assert "mandates.signed" in found.mandates_reason


def test_what_a_facts_file_says_of_mandates_is_noted_as_unchecked(
    policy: Mandates, past: Past
) -> None:
    found = from_facts_file(facts([CLAIM]), policy, past)
    assert found.mandates is not None
    assert "nobody checked who committed them" in found.completeness.notes[-1]
    assert from_facts_file(facts([]), policy, past) == facts([])


def test_where_a_facts_file_says_nothing_of_mandates_those_of_the_folder_count(
    policy: Mandates, past: Past
) -> None:
    past.commit(OWNER, {"azure.yaml": AZURE})
    past.write(policy.folder)
    found = from_facts_file(facts(None), policy.model_copy(update={"signed": False}), past)
    assert [row.subject for row in found.mandates or ()] == ["azure"]
    assert "says nothing of mandates" in found.completeness.notes[-1]
    unknown = facts(None, "the clone was shallow")
    assert from_facts_file(unknown, policy, past) == unknown
    misspelt = policy.model_copy(update={"folder": policy.folder / "none"})
    assert "No such file" in from_facts_file(facts(None), misspelt, past).mandates_reason


def test_letters_without_another_form_are_compared_as_they_are() -> None:
    assert plain("\u212a\u0130A") == "\u212a\u0130a"


def test_the_committed_schema_is_that_of_the_code() -> None:
    assert mandates.SCHEMA.read_text() == mandates.schema()
