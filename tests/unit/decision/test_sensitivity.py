"""How firm ADR-005 is; the random draws against probabilities that are known exactly."""

from fractions import Fraction
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from tests.unit.decision.records import PUBLISHED, RECORD, record
from xops.decision import outputs
from xops.decision.sensitivity import SEED, Sensitivity, draw_weightings, sensitivity


@pytest.fixture(scope="module")
def found() -> Sensitivity:
    return sensitivity(RECORD)


def of(values: dict[str, Any]) -> Sensitivity:
    return sensitivity(record(values), draws=100)


def test_the_hybrid_wins_under_equal_weights(found: Sensitivity) -> None:
    assert found.winner == "C"
    assert found.scores == {"A": Fraction(175, 2), "B": Fraction(365, 6), "C": 90}


def test_the_smallest_change_that_flips_it(found: Sensitivity) -> None:
    assert found.flip is not None
    assert found.flip.challenger == "A"
    assert found.flip.distance == Fraction(10, 27)


def test_which_weight_alone_flips_it_and_where(found: Sensitivity) -> None:
    flips = {row.criterion: row.at for row in found.singles}

    # Where the ECS option leads by 2: w * -2 + (1 - w) * 17/5 = 0.
    assert flips == {
        "operational_excellence": Fraction(17, 27),
        "security": Fraction(17, 27),
        "reliability": None,
        "performance": None,
        "cost": Fraction(17, 27),
        "sustainability": None,
    }
    assert [row.criterion for row in found.smallest_singles] == [
        name for name, at in flips.items() if at
    ]


def test_k3s_alone_wins_under_no_weights(found: Sensitivity) -> None:
    assert found.can_win == {"A": True, "B": False, "C": True}
    assert found.draws.wins["B"].count == 0


def test_ten_thousand_draws_agree_with_the_exact_probability(found: Sensitivity) -> None:
    # A wins if 2 G >= 2 X + 7 Y + 12 Z, with G of Gamma(3, 1) and X, Y, Z of Exp(1), since
    # Dirichlet weights are exponentials over their sum. With M(s) = 1/(1+s)(1+3.5s)(1+6s) the
    # probability is M(1) - M'(1) + M''(1)/2.
    logarithmic = -sum(c / (1 + c) for c in (1, 3.5, 6))
    second = logarithmic**2 + sum((c / (1 + c)) ** 2 for c in (1, 3.5, 6))
    exact = (1 - logarithmic + second / 2) / 63

    assert found.draws.count == 10_000
    share = found.draws.wins["A"]
    assert abs(share.share - exact) < 4 * share.standard_error


def test_weights_are_said_to_be_published_only_where_they_are(found: Sensitivity) -> None:
    published = of({"pillars.weights": PUBLISHED})

    for each, basis in ((found, "assumed equal"), (published, "published")):
        weights: Any = each.to_json()["weights"]
        assert weights["basis"] == basis


def test_the_same_seed_gives_the_same_answer_and_is_said(found: Sensitivity) -> None:
    again = sensitivity(RECORD)

    assert again.to_json() == found.to_json()
    assert f"seed {SEED}" in outputs.text(outputs.sensitivity_sections(found))
    assert sensitivity(RECORD, seed=1).draws.wins != found.draws.wins


def test_the_agents_consensus_against_the_next_best(found: Sensitivity) -> None:
    consensus = found.consensus

    assert consensus is not None
    assert (consensus.next_best, str(consensus.next_score)) == ("A", "83.3")
    assert consensus.flip is not None
    assert consensus.flip.weights[0] > Fraction("0.47")  # more of PO, who scored it lowest
    assert 0.8 < consensus.stays_above.share < 1


def test_a_consensus_that_is_below_another_option_has_no_lead_to_lose() -> None:
    assert of({"options.A.score": "99"}).consensus is None


def test_a_dominant_option_is_never_flipped() -> None:
    found = of(
        {f"pillars.scores.{name}.ecs": 1 for name in RECORD.pillars.criteria}
        | {"pillars.plain_average.ecs": "1"}
    )

    assert found.flip is None
    assert found.smallest_singles == ()
    assert found.to_json()["nearest_flip"] is None
    assert "No weights of the pillars give another winner." in outputs.text(
        outputs.sensitivity_sections(found)
    )


@examples(20)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_with_two_criteria_the_share_is_a_length(first: int, second: int, seed: int) -> None:
    # One option scores only in the first criterion, one in the second: it is a cut of a line.
    scores = [(Fraction(first), Fraction(0)), (Fraction(0), Fraction(second))]
    exact = first / (first + second)
    draws = draw_weightings(["x", "y"], scores, 2000, seed)

    assert abs(draws.wins["x"].share - exact) < 6 * sqrt(exact * (1 - exact) / 2000)
    assert sum(share.count for share in draws.wins.values()) + draws.ties == 2000


def test_equal_options_tie_always() -> None:
    draws = draw_weightings(["x", "y"], [(Fraction(1), Fraction(2))] * 2, 50, 0)

    assert draws.ties == 50
    assert [share.count for share in draws.wins.values()] == [0, 0]
