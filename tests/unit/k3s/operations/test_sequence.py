"""In which order agents that run are restarted."""

import pytest

from xops.k3s.operations.sequence import batches


@pytest.mark.parametrize(
    ("agents", "sizes"),
    [
        (0, []),
        (1, [1]),
        (2, [1, 1]),
        (4, [1, 1, 1, 1]),
        (19, [1] * 19),
        (20, [1, *[2] * 9, 1]),
        (21, [1, *[2] * 10]),
        (100, [1, *[10] * 9, 9]),
        (256, [1, *[25] * 10, 5]),
    ],
)
def test_one_alone_then_at_most_a_tenth_at_a_time(agents: int, sizes: list[int]) -> None:
    names = [f"agent-{number}" for number in range(agents)]
    found = list(batches(names))

    assert [len(batch) for batch in found] == sizes
    assert [name for batch in found for name in batch] == names
