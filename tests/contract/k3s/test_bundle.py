"""The agreement between who builds a bundle and who verifies it: every byte counts."""

from pathlib import Path

from tests.k3s_bundle import PROGRAM, is_seen, small_bundle


def test_every_single_byte_counts(tmp_path: Path) -> None:
    """Each byte of a bundle is changed in turn, of its empty end each 50th; none goes unseen."""
    path = small_bundle(tmp_path)
    whole = path.read_bytes()
    end = whole.index(PROGRAM) + 512 + 1024
    places = [*range(end), *range(end, len(whole), 50), len(whole) - 1]

    assert [place for place in places if not is_seen(path, place)] == []
    assert path.read_bytes() == whole
