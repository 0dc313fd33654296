"""What is left of an approved plan needs no second approval. Everything else does."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.plans import CHANGES, KEY, PLANS, VALUES
from tests.soak import examples
from xops.core.plan.coverage import find_uncovered
from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.values import Json, hidden, is_hidden, is_same, is_unknown, unknown

CREATE = Change(action=Action.CREATE, target="a", after={"cpu": 1, "id": unknown(["net.id"])})
UPDATE = Change(
    action=Action.UPDATE,
    target="b",
    before={"cpu": 1, "tags": {"x": 1}, "gone": 1},
    after={"cpu": 2, "tags": {"x": 2}, "arn": unknown()},
)
REPLACE = Change(
    action=Action.REPLACE,
    target="c",
    before={"id": "old", "cpu": 1},
    after={"id": unknown(), "cpu": 2},
)
DELETE = Change(action=Action.DELETE, target="d", before={"id": "d", "cpu": 1})
OUTPUT = Change(action=Action.CREATE, target="output.x", after=unknown(["net.id"]))
PLAN = Plan(
    subject="ecs/prod",
    target="aws",
    changes=(CREATE, UPDATE, REPLACE, DELETE),
    follows=(OUTPUT,),
    inputs={"main.tf": "0" * 64, "region": "x"},
    key=KEY.id,
)


def nothing(_references: tuple[str, ...], _value: Json) -> bool:
    return False


def net(references: tuple[str, ...], value: Json) -> bool:
    """The network that was made meanwhile."""
    return references == ("net.id",) and value == "net-1"


def left(*changes: Change, **values: Any) -> Plan:
    return PLAN.model_copy(update={"changes": changes, **values})


def why(now: Plan, approved: Plan = PLAN) -> list[str]:
    return [str(row) for row in find_uncovered(approved, now, net)]


def changed(change: Change, **values: Any) -> Change:
    return change.model_copy(update=values)


# What is covered


@examples(50)
@given(PLANS)
def test_a_plan_covers_itself(plan: Plan) -> None:
    assert find_uncovered(plan, plan, nothing) == ()
    again = Plan.model_validate_json(plan.model_dump_json())
    assert find_uncovered(again, plan.model_copy(update={"cost": None}), nothing) == ()


@examples(50)
@given(PLANS, st.data())
def test_any_part_of_it_is_covered(plan: Plan, data: st.DataObject) -> None:
    # Another digest, so that the parts are compared.
    approved = plan.model_copy(update={"changes": (*plan.changes, changed(DELETE, target="more"))})
    part = tuple(change for change in plan.changes if data.draw(st.booleans()))
    follows = tuple(change for change in plan.follows if data.draw(st.booleans()))

    now = plan.model_copy(update={"changes": part, "follows": follows})

    assert find_uncovered(approved, now, nothing) == ()


def test_what_follows_may_be_all_that_is_left() -> None:
    """Outputs are shown as changes where nothing else changes."""
    known = changed(OUTPUT, action=Action.UPDATE, before="net-0", after="net-1")

    assert why(left(known, follows=())) == []
    assert why(left(OUTPUT, follows=())) == []
    (said,) = why(left(changed(known, after="net-2"), follows=()))
    assert said == "output.x: was not part of the approved plan"


def test_attributes_that_have_their_value_by_now_are_left_out_of_an_update() -> None:
    rest = changed(UPDATE, before={"tags": {"x": 1}}, after={"tags": {"x": 2}})
    gone = changed(UPDATE, before={"gone": 1}, after={})

    assert why(left(rest)) == []
    assert why(left(gone)) == []
    assert why(left(changed(UPDATE, after={**UPDATE.after, "arn": unknown()}))) == []


def test_an_attribute_that_turned_out_to_be_null_was_unknown() -> None:
    after = {key: value for key, value in UPDATE.after.items() if key != "arn"}

    assert why(left(changed(UPDATE, after=after))) == []
    assert why(left(changed(CREATE, after={"cpu": 1}))) == []
    moves = changed(UPDATE, before={"arn": "old"}, after={"arn": unknown()})
    assert why(left(changed(moves, after={})), left(moves)) == []


def test_an_unknown_value_is_what_its_references_have_by_now() -> None:
    def with_id(value: Json) -> Plan:
        return left(changed(CREATE, after={**CREATE.after, "id": value}))

    assert why(with_id("net-1")) == []
    assert why(with_id("net-2")) == ["a: has other values than those approved"]
    assert why(with_id(unknown(["other.id"]))) == ["a: has other values than those approved"]
    assert find_uncovered(PLAN, with_id("net-1"), nothing)


@pytest.mark.parametrize(
    ("approved", "now", "other"),
    [
        (unknown(["net.id"]), "net-1", "net-2"),
        ([unknown(["net.id"]), 1], ["net-1", 1], ["net-2", 1]),
        ([unknown(["net.id"]), 1], ["net-1", 1], ["net-1", 2]),
        ({"net": unknown(["net.id"])}, {"net": "net-1"}, {"net": "net-2"}),
    ],
    ids=str,
)
def test_so_it_is_wherever_it_stands(approved: Json, now: Json, other: Json) -> None:
    update = changed(UPDATE, after={**UPDATE.after, "net": approved})
    replace = changed(REPLACE, after={"net": approved})
    create = changed(replace, action=Action.CREATE, before=None)
    output = changed(OUTPUT, after=approved)
    plan = left(update, replace, follows=(output,))

    def rest(value: Json) -> list[Plan]:
        return [
            left(changed(update, after={**update.after, "net": value}), follows=()),
            left(changed(create, after={"net": value}), follows=()),
            left(follows=(changed(output, after=value),)),
        ]

    assert [why(each, plan) for each in rest(now)] == [[], [], []]
    assert all(why(each, plan) for each in rest(other))


def test_a_change_may_follow_from_others_by_now() -> None:
    known = changed(CREATE, after={"cpu": 1, "id": "net-1"})

    assert why(left(follows=(known,))) == []
    assert why(left(follows=(changed(known, after={"cpu": 1, "id": "net-2"}),))) == [
        "a: follows from something else than what was approved"
    ]


def test_a_replacement_whose_old_object_is_gone_is_still_the_approved_one() -> None:
    create = changed(REPLACE, action=Action.CREATE, before=None)

    assert why(left(create)) == []
    assert why(left(changed(create, after={**REPLACE.after, "cpu": 3}))) == [
        "c: is to create and was approved to replace"
    ]


def test_a_replacement_that_made_its_successor_first_removes_the_old_object() -> None:
    deposed = Change(action=Action.DELETE, target="c (deposed 99b27cbc)", before=REPLACE.before)

    assert why(left(deposed)) == []
    for other in (
        changed(deposed, before={**REPLACE.before, "id": "another"}),
        changed(deposed, target="b (deposed 99b27cbc)"),
        changed(deposed, target="c"),
        changed(deposed, action=Action.UPDATE, after={}),
    ):
        assert why(left(other)), other


# What is not


def test_a_half_made_resource_asks_and_says_why() -> None:
    tainted = changed(
        CREATE,
        action=Action.REPLACE,
        before={"id": "half"},
        reason="replace because tainted",
    )

    assert why(left(tainted)) == [
        "a: was made by half, and is to be replaced (replace because tainted)"
    ]
    again = changed(REPLACE, before={"id": "half"}, reason="replace because tainted")
    assert why(left(again)) == ["c: has other values than those approved (replace because tainted)"]


def test_what_was_not_in_the_plan_is_named() -> None:
    assert why(left(CREATE, changed(CREATE, target="z"))) == [
        "z: was not part of the approved plan"
    ]
    assert why(left(CREATE, follows=(changed(OUTPUT, target="output.y"),))) == [
        "output.y: follows from something else than what was approved"
    ]


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"subject": "ecs/test"}, "subject: is ecs/test and was ecs/prod"),
        ({"target": "embedded"}, "target: is embedded and was aws"),
        ({"inputs": {**PLAN.inputs, "main.tf": "1"}}, "main.tf: is not what was approved"),
        ({"inputs": {"region": "x"}}, "main.tf: is not what was approved"),
        ({"inputs": {**PLAN.inputs, "more.tf": "1"}}, "more.tf: is not what was approved"),
    ],
)
def test_another_subject_place_or_input_is_said(field: dict[str, Any], said: str) -> None:
    assert why(left(CREATE, **field)) == [said]


@pytest.mark.parametrize("key", ["another", None])
def test_a_key_that_was_lost_is_said(key: str | None) -> None:
    here, there = PLAN, left(UPDATE, key=key)
    cannot = "hidden values cannot be compared (the key was lost, or this is another installation)"

    assert why(there, here) == [
        f"fingerprint key: is {key or 'none'} and was {KEY.id}: {cannot}",
    ]
    assert why(here, there) == [
        f"fingerprint key: is {KEY.id} and was {key or 'none'}: {cannot}",
    ]


def test_what_is_to_be_done_and_what_was_approved_are_named() -> None:
    for row, action in ((CREATE, Action.UPDATE), (UPDATE, Action.REPLACE), (DELETE, Action.UPDATE)):
        (said,) = why(left(changed(row, action=action, before=1, after=2)))
        assert said == f"{row.target}: is to {action} and was approved to {row.action}"


@pytest.mark.parametrize("marker", [hidden("f"), unknown()], ids=["hidden", "unknown"])
@pytest.mark.parametrize("other", [{}, None, "text"], ids=str)
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_side_that_is_hidden_or_unknown_has_no_attributes_that_may_be_left_out(
    marker: Json, other: Json, side: str
) -> None:
    row = changed(UPDATE, before={"cpu": 1}, after={"cpu": 2})
    whole = changed(row, **{side: marker})
    may_be_null = (marker, other, side) == (unknown(), None, "after")

    said = why(left(changed(row, **{side: other})), left(whole))

    assert (said == []) is may_be_null
    assert why(left(whole), left(row))
    assert why(left(changed(row, **{side: other})), left(row))


def test_what_is_there_before_is_none_of_what_an_apply_tells() -> None:
    row = changed(UPDATE, before={"net": unknown(["net.id"])}, after={"net": "net-2"})

    assert why(left(changed(row, before={"net": "net-1"})), left(row))


# One leaf that is otherwise


def leaves(value: Json, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    is_marker = is_hidden(value) or is_unknown(value)
    if isinstance(value, dict) and not is_marker:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))


def with_leaf(value: Json, path: tuple[Any, ...], new: Json) -> Json:
    if not path:
        return new
    first, *rest = path
    copied = list(value) if isinstance(value, list) else dict(value)
    copied[first] = with_leaf(value[first], tuple(rest), new)
    return copied


def at(value: Json, path: tuple[Any, ...]) -> Json:
    for key in path:
        value = value[key]
    return value


@examples(100)
@given(CHANGES, st.sampled_from(["before", "after"]), VALUES, st.data())
def test_no_value_that_is_otherwise_is_covered(
    change: Change, side: str, new: Json, data: st.DataObject
) -> None:
    value = getattr(change, side)
    path = data.draw(st.sampled_from(list(leaves(value))))
    old = at(value, path)
    assume(not _may_have_become(old, new))
    assume(path or not (isinstance(old, dict) and isinstance(new, dict)))
    now = changed(change, **{side: with_leaf(value, path, new)})

    assert find_uncovered(left(change), left(now), nothing)


def _may_have_become(old: Json, new: Json) -> bool:
    """Whether all is the same but values that were unknown, which may be null or missing now."""
    if is_same(old, new) or (is_unknown(old) and new is None):
        return True
    if isinstance(old, dict) and isinstance(new, dict):
        return new.keys() <= old.keys() and all(
            _may_have_become(old[key], new.get(key)) for key in old
        )
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return all(map(_may_have_become, old, new))
    return False


@examples(50)
@given(CHANGES, st.text(min_size=1, max_size=3), VALUES, st.sampled_from(["before", "after"]))
def test_no_key_that_was_added_is_covered(change: Change, key: str, new: Json, side: str) -> None:
    value = getattr(change, side)
    assume(isinstance(value, dict) and not is_hidden(value) and not is_unknown(value))
    assume(key not in value and not key.startswith("$"))
    other = changed(change, **{side: {**value, key: new}})

    assert find_uncovered(left(change), left(other), nothing)


@pytest.mark.parametrize("change", [CREATE, UPDATE, REPLACE, DELETE], ids=lambda row: row.action)
@pytest.mark.parametrize(
    "field",
    [{"action": action} for action in Action]
    + [{"disposable": True}, {"stage": "later"}, {"target": "z"}],
    ids=str,
)
def test_nothing_that_is_done_otherwise_is_covered(change: Change, field: dict[str, Any]) -> None:
    other = changed(change, **field)
    if other == change:
        assert why(left(change, other)) == []
    else:
        assert why(left(other))


def test_an_attribute_that_would_go_is_none_that_would_be_set() -> None:
    """Approved was another value; nothing in its place is not that."""
    assert why(left(changed(UPDATE, before={"cpu": 1}, after={}))) != []
    assert why(left(changed(UPDATE, before={}, after={"cpu": 2}))) != []
    assert why(left(changed(DELETE, before={"id": "d"}))) != []


# Order


TURNS = Plan(
    subject="k3s/prod",
    target="hosts",
    changes=tuple(
        CREATE.model_copy(update={"target": target, "stage": stage, "turn": turn})
        for target, stage, turn in (
            ("a", "servers", 1), ("b", "servers", 2), ("c", "servers", 2), ("d", "agents", 1),
        )
    ),
)  # fmt: skip


def in_turns(*places: tuple[int, int]) -> Plan:
    """Changes of `TURNS` by their index, each in that turn."""
    rows = (TURNS.changes[index].model_copy(update={"turn": turn}) for index, turn in places)
    return TURNS.model_copy(update={"changes": tuple(rows)})


@pytest.mark.parametrize(
    "places",
    [
        ((0, 1), (1, 2), (2, 2), (3, 1)),
        ((1, 1), (2, 1), (3, 1)),
        ((0, 1), (2, 2)),
        ((3, 1),),
        ((0, 1), (2, 2), (1, 3)),  # fewer at the same time than were approved
    ],
)
def test_turns_that_are_left_are_counted_anew(places: tuple[tuple[int, int], ...]) -> None:
    assert why(in_turns(*places), TURNS) == []


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (((1, 1), (0, 2)), "a: was approved to be done before others, and comes later"),
        (((0, 1), (1, 1)), "b: was approved to be done after others, and comes sooner"),
        (((3, 1), (0, 1)), "a: was approved to be done before others, and comes later"),
    ],
)
def test_another_order_asks_again(places: tuple[tuple[int, int], ...], said: str) -> None:
    assert why(in_turns(*places), TURNS) == [said]


def test_the_order_and_what_is_done_together_are_in_the_digest() -> None:
    same = in_turns((0, 1), (1, 2), (2, 2), (3, 1))
    others = [in_turns((1, 2), (0, 1), (2, 2), (3, 1)), in_turns((0, 1), (1, 2), (2, 3), (3, 1))]

    assert same.digest == TURNS.digest
    assert TURNS.digest not in {each.digest for each in others}
    assert len({each.digest for each in others}) == 2
