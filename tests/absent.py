"""A mark for "this key is not in the file", in tables of changed documents."""

from enum import Enum


class Absent(Enum):
    """An enum, since its text goes into the ids of tests: those must be equal in every process."""

    KEY = "left out"

    def __repr__(self) -> str:
        return "GONE"


GONE = Absent.KEY
"""Stands for a key that is left out of the file."""
