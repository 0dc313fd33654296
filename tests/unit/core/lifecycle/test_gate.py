"""Who let a plan pass."""

from xops.core.lifecycle.gate import who


def test_who_did_it_is_a_person_at_a_machine() -> None:
    assert who().count("@") == 1
