"""No name leads out of its place in GitHub's interface."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xops.core.errors import InputError
from xops.github.pull_request.addresses import branch_name, object_id, repository_path


def test_a_repository_s_address_is_its_name() -> None:
    assert repository_path("octo/plat.form_1-x") == "/repos/octo/plat.form_1-x"


@pytest.mark.parametrize(
    "name",
    ["", "octo", "octo/", "octo/..", "octo/.", "../orgs", "octo/a/b", "octo/a?b", "octo/a#b",
     "octo/a%2f", "octo/a\n", "öcto/a", "octo/a b"],
)  # fmt: skip
def test_what_is_no_name_of_a_repository_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is no owner/name"):
        repository_path(name)


@pytest.mark.parametrize("sha", ["", "main", "a" * 39, "a" * 41, "A" * 40, "a" * 40 + "\n"])
def test_what_is_no_id_of_a_commit_is_refused(sha: str) -> None:
    with pytest.raises(InputError, match="40 or 64"):
        object_id(sha)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_branch_is_one_part_of_an_address_whatever_its_name(name: str) -> None:
    assert set(branch_name(f"x{name}")) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%"
    )


def test_a_branch_is_named_with_or_without_its_prefix() -> None:
    assert branch_name("refs/heads/release/1.2") == branch_name("release/1.2") == "release%2F1.2"


@pytest.mark.parametrize("name", ["", "refs/heads/", "x" * 1_001])
def test_what_is_no_name_of_a_branch_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no name of a branch"):
        branch_name(name)
