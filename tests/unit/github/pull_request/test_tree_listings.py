"""A listing of all below a tree gives each folder what its id says."""

from hypothesis import given
from hypothesis import strategies as st

from tests.github_git import FOLDER, Entry, ObjectStore
from xops.github.pull_request import git_objects
from xops.github.pull_request.git_objects import tree_id
from xops.github.pull_request.tree import _concerns, _folders, _is_within, _Listing, _parts

NAME = st.text(alphabet="ab.-_0é", min_size=1, max_size=3).filter(
    lambda name: name not in ("", ".")
)
PATHS = st.lists(st.lists(NAME, min_size=1, max_size=4).map("/".join), max_size=12, unique=True)


def without_conflicts(paths: list[str]) -> list[str]:
    """Those of which none is a folder of another."""
    return [one for one in paths if not any(other.startswith(f"{one}/") for other in paths)]


@given(PATHS, st.sampled_from(["100644", "100755"]))
def test_each_folder_of_a_listing_has_the_id_that_it_is_listed_by(
    paths: list[str], mode: str
) -> None:
    store = ObjectStore()
    files = {path: Entry(mode, store.put("blob", path.encode())) for path in paths}
    root = store.tree({path: files[path] for path in without_conflicts(paths)})
    rows = [
        {
            "path": path,
            "mode": entry.mode.zfill(6),
            "type": "tree" if entry.mode == FOLDER else "blob",
            "sha": entry.oid,
        }
        for path, entry in store.walk(root)
    ]
    found = _folders(root, _Listing.of({"tree": rows, "truncated": False}))
    assert root in found
    assert all(tree_id(entries, id) == id for id, entries in found.items())


@given(PATHS, PATHS)
def test_what_is_within_a_wanted_path_concerns_it_and_so_do_the_folders_above(
    paths: list[str], wanted: list[str]
) -> None:
    split = [tuple(one.split("/")) for one in wanted]
    for path in (tuple(one.split("/")) for one in paths):
        if _is_within(path, split):
            assert all(_concerns(path[:end], split) for end in range(1, len(path) + 1))
        if not _concerns(path, split):
            assert not _is_within((*path, "below"), split)


@given(st.lists(st.one_of(st.none(), st.integers(0, 200_000)), max_size=300))
def test_each_short_file_is_asked_for_once_and_no_question_is_too_long(
    sizes: list[int | None],
) -> None:
    files = [git_objects.Entry(str(n), "100644", f"{n:040x}", size) for n, size in enumerate(sizes)]
    parts = list(_parts(files))
    asked = [entry for part in parts for entry in part]
    assert asked == [e for e in files if e.size is not None and e.size <= 100_000]
    for part in parts:
        assert 1 <= len(part) <= 100
        assert sum(entry.size or 0 for entry in part) <= 1 << 20
