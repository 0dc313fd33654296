"""How long to wait before something is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

_MOST_DOUBLINGS = 30


@dataclass(frozen=True)
class Backoff:
    """Waits that double up to a ceiling. Each is shortened by chance, by half at most, so that
    those who failed together do not come back together.

    Attributes:
        first: seconds after the first failure.
        ceiling: seconds that no wait exceeds, whatever the other side asks for.
        chance: gives the shortening.
    """

    first: float = 1.0
    ceiling: float = 60.0
    chance: random.Random = field(default_factory=random.Random, repr=False)

    def seconds(self, failures: int, asked: float = 0.0) -> float:
        """The wait after so many failures in a row.

        Args:
            failures: one or more.
            asked: seconds that the other side wants to be left alone.
        """
        doublings = min(max(failures, 1) - 1, _MOST_DOUBLINGS)
        longest = min(self.ceiling, self.first * 2**doublings)
        wait: float = longest * self.chance.uniform(0.5, 1.0)
        return min(self.ceiling, max(wait, asked))
