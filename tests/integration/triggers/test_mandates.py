"""`xops triggers mandate`: a record from its draft to the day on which it counts."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.integration.triggers.working_copy import AZURE, MALLORY, OWNER, WorkingCopy
from tests.soak import examples
from tests.unit.triggers.samples import POLICY
from xops.cli.triggers.mandate import app
from xops.core.errors import ExitCode, InputError, PermanentError, XopsError
from xops.triggers.measure.mandate_record import draft, read_record, write_draft

TODAY = datetime.now(UTC).date()
PAST, FUTURE = TODAY - timedelta(days=90), TODAY + timedelta(days=365)
RECORD = {
    "--who": "Example Bank: AU", "--what": "A second region # outside AWS.",
    "--jurisdiction": "NO", "--evidence": "https://example.com/contract",
    "--from": str(PAST), "--until": str(FUTURE), "--cloud": "azure",
}  # fmt: skip


class Shell:
    """The command on one working copy with its policy."""

    def __init__(self, copy: WorkingCopy) -> None:
        self.copy = copy
        self.policy = copy.mandates.parent / "triggers.yaml"
        self.govern(owners=[OWNER])

    def govern(self, **rules: Any) -> None:
        self.policy.write_text(yaml.safe_dump({**POLICY, "mandates": rules}))

    def run(self, *words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*words, "--policy", str(self.policy)])
        if isinstance(result.exception, XopsError):
            raise result.exception
        return result.exit_code, result.stdout

    def draft(self, **others: str | None) -> tuple[int, str]:
        """The options of `RECORD`, with others (None: without it)."""
        options = RECORD | {f"--{name}": value for name, value in others.items()}
        given = [word for name, value in options.items() if value is not None
                 for word in (name, value)]  # fmt: skip
        return self.run("draft", *given)

    def check(self, *files: Path) -> tuple[int, Any]:
        code, output = self.run("check", *map(str, files), "--json")
        return code, json.loads(output)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    copy = WorkingCopy(tmp_path / "work", tmp_path / "home")
    monkeypatch.setenv("HOME", str(copy.home))
    monkeypatch.delenv("GNUPGHOME", raising=False)
    return Shell(copy)


def test_a_draft_counts_once_an_owner_has_committed_it(shell: Shell) -> None:
    assert shell.check() == (0, {**shell.check()[1], "records": [], "unknown": None})
    code, output = shell.draft()
    assert code == 0
    file = shell.copy.mandates / "example-bank-au-azure.yaml"
    assert "Wrote:" in output
    assert OWNER in output
    assert read_record(file).who == "Example Bank: AU"
    code, found = shell.check()
    assert (code, found["records"][0]["status"]) == (ExitCode.FINDINGS, "does not count")
    assert found["records"][0]["reason"] == "is not committed"
    (shell.copy.mandates / "README.md").write_text("Git keeps no empty folder.\n")
    shell.copy.git("add", "-A")
    shell.copy.git("commit", "-qm", "Declare")
    code, found = shell.check(file)
    assert (code, found["records"][0]["status"]) == (0, "counts")
    code, output = shell.run("check")
    assert f"{PAST} up to, not including, {FUTURE}" in output
    shell.copy.git("rm", "-q", str(file))
    shell.copy.git("commit", "-qm", "Delete", author=MALLORY)
    code, output = shell.run("check", str(file))
    assert code == ExitCode.FINDINGS
    assert f"why: was deleted by {MALLORY}" in output
    assert "do:  Restore it: `git checkout" in output


def test_a_draft_replaces_nothing(shell: Shell) -> None:
    shell.draft(file="a.yaml")
    before = (shell.copy.mandates / "a.yaml").read_bytes()
    with pytest.raises(InputError, match="is there already"):
        shell.draft(file="a.yaml", who="Somebody else")
    assert (shell.copy.mandates / "a.yaml").read_bytes() == before
    assert [file.name for file in shell.copy.mandates.iterdir()] == ["a.yaml"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"site": "Plant 7"}, "name a cloud or a site"),
        ({"cloud": None}, "arguments --cloud and --site"),
        ({"cloud": "aws"}, "argument --cloud"),
        ({"evidence": "http://example.com"}, "argument --evidence"),
        ({"until": str(PAST)}, "argument --until: must be after effective_from"),
        ({"from": "soon"}, "argument --from"),
        ({"who": ""}, "argument --who"),
        ({"file": "../a.yaml"}, "argument --file"),
        ({"file": "a.txt"}, "argument --file"),
    ],
)
def test_a_draft_that_would_be_wrong_names_the_option(
    shell: Shell, options: dict[str, str | None], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        shell.draft(**options)
    assert list(shell.copy.mandates.iterdir()) == []


def test_the_name_of_a_draft_comes_from_who_and_what(shell: Shell) -> None:
    shell.draft(cloud=None, site="Plant 7/\u00fc", who="\u4e2d/../B\u00e4nk & Co")
    (file,) = shell.copy.mandates.iterdir()
    assert file.name == "b-nk-co-plant-7\u00fc.yaml"
    shell.draft(cloud=None, site="/..", who="\u4e2d")
    assert (shell.copy.mandates / "mandate.yaml").is_file()


def test_a_draft_needs_the_folder(shell: Shell) -> None:
    shell.govern(owners=[OWNER], folder="none")
    with pytest.raises(PermanentError, match=r"mandates\.folder"):
        shell.draft()


def test_what_nobody_can_tell_is_neither_none_nor_wrong(shell: Shell) -> None:
    shell.govern(owners=[OWNER], folder="misspelt")
    code, found = shell.check()
    assert (code, found["records"]) == (ExitCode.INCOMPLETE, [])
    assert "No such file" in found["unknown"]["found"]
    code, output = shell.run("check")
    assert code == ExitCode.INCOMPLETE
    assert output.startswith("unknown reading the mandates")


def test_a_malformed_record_is_shown_with_its_lines_beside_the_others(shell: Shell) -> None:
    shell.copy.commit(AZURE.replace("2027-07-01", str(FUTURE)))
    (shell.copy.mandates / "wrong.yaml").write_text(AZURE.replace("https", "http"))
    code, found = shell.check()
    assert code == ExitCode.FINDINGS
    counts, wrong = found["records"]
    assert counts["status"] == "counts"
    assert "wrong.yaml:6: evidence" in wrong["reason"]
    assert shell.check(shell.copy.file)[0] == 0


def test_a_record_that_is_over_or_will_count_is_nothing_to_act_on(shell: Shell) -> None:
    day = str(TODAY + timedelta(days=30))
    shell.draft(file="later.yaml", **{"from": day})
    shell.draft(file="over.yaml", until=str(PAST + timedelta(days=1)))
    shell.copy.git("add", "-A")
    shell.copy.git("commit", "-qm", "Declare")
    code, found = shell.check()
    assert code == 0
    assert [row["status"] for row in found["records"]] == ["will count", "is over"]
    (shell.copy.mandates / "over.yaml").unlink()
    assert shell.check()[0] == 0


def test_without_owners_it_says_what_to_configure(shell: Shell) -> None:
    shell.copy.commit(AZURE.replace("2027-07-01", str(FUTURE)))
    shell.govern(owners=[])
    code, output = shell.run("check")
    assert code == ExitCode.FINDINGS
    assert "do:  Name who may declare mandates in mandates.owners" in output


def test_only_records_of_the_folder_can_be_checked(shell: Shell, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only there it counts"):
        shell.check(tmp_path / "azure.yaml")
    with pytest.raises(InputError, match="holds no record"):
        shell.check(shell.copy.mandates / "none.yaml")


def test_a_reason_is_printed_as_it_is_and_not_acted_upon(shell: Shell) -> None:
    shell.copy.commit(AZURE.replace("2027-07-01", str(FUTURE)), author="\x1b[31m[bold]@evil.com")
    _, output = shell.run("check")
    assert "\x1b[31m" not in output
    assert "[bold]@evil.com" in output


TEXT = st.text(min_size=1, max_size=40).filter(lambda text: not text[0].isspace())


@examples(60)
@given(who=TEXT, what=TEXT, site=TEXT)
@example(who="0", what="0\x85", site="0\u2028")
def test_any_draft_that_is_written_is_read_as_it_was_meant(
    tmp_path_factory: pytest.TempPathFactory, who: str, what: str, site: str
) -> None:
    values = {"who": who, "what": what, "jurisdiction": "EU", "evidence": "https://example.com",
              "effective_from": PAST, "expires": FUTURE, "site": site}  # fmt: skip
    file = tmp_path_factory.mktemp("drafts") / "a.yaml"
    try:
        write_draft(file, draft(values))
    except (ValueError, InputError):  # characters that no text file may hold
        assert not file.exists()
        return
    found = read_record(file)
    assert (found.who, found.what, found.subject) == (who, what, site)
