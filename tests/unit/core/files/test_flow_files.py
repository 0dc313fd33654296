"""Which files a flow's parameter may name."""

from pathlib import Path

import pytest

from xops.core.errors import InputError
from xops.core.files.flow_files import flow_file
from xops.core.files.settings import ROOT


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XOPS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XOPS_FLOW_FILES", raising=False)
    (tmp_path / "home" / "inputs").mkdir(parents=True)
    return tmp_path / "home"


def test_files_of_the_project_and_of_the_home_s_inputs(home: Path) -> None:
    facts = ROOT / "deployments" / "facts.example.json"
    assert flow_file("deployments/facts.example.json", "facts") == facts
    assert flow_file(str(facts), "facts") == facts
    assert flow_file(str(home / "inputs" / "x.json"), "facts") == home / "inputs" / "x.json"


def test_folders_that_the_operator_names_stand_instead_of_the_home_s(tmp_path: Path) -> None:
    environ = {"XOPS_FLOW_FILES": f"{tmp_path}/one:{tmp_path}/two"}
    assert flow_file(f"{tmp_path}/two/x", "facts", environ) == tmp_path / "two" / "x"
    with pytest.raises(InputError, match="names no file below"):
        flow_file(f"{tmp_path}/home/inputs/x", "facts", environ)


@pytest.mark.parametrize(
    "text",
    [
        "/etc/shadow",
        "../../etc/shadow",
        "deployments/../../../../etc/shadow",
        "deployments/../pyproject.toml",
        "deployments-of-others/x",
        "~/.ssh/id_ed25519",
        "/proc/self/environ",
        "deployments/x\0y",
        "link",
    ],
)
def test_any_other_file_is_refused_alike_whether_it_is_there_or_not(home: Path, text: str) -> None:
    (home / "inputs" / "link").symlink_to("/etc/passwd")
    path = str(home / "inputs" / "link") if text == "link" else text
    with pytest.raises(InputError) as caught:
        flow_file(path, "facts")
    assert [row.message.partition(" below")[0] for row in caught.value.findings] == [
        "names no file"
    ]
    assert "XOPS_FLOW_FILES" in caught.value.remedy
