"""A plan as a person reads it: all of it, what is lost first, and no two plans alike."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import pairwise, zip_longest
from time import process_time
from typing import Any

import pytest
from hypothesis import given

from tests.plans import CHANGES, PLANS, VALUES
from tests.soak import examples
from xops.core.money import Money
from xops.core.plan.cost import CostEffect, CostRange, PriceBasis
from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.values import Json, hidden, is_hidden, is_same, is_unknown, unknown
from xops.core.plan.view import details, mark, markdown, sections, terminal_lines, wrapped
from xops.core.rendering import visible


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def created(after: Json, target: str = "a", **values: Any) -> Change:
    return Change(action=Action.CREATE, target=target, after=after, **values)


def updated(before: Json, after: Json, target: str = "a", **values: Any) -> Change:
    return Change(action=Action.UPDATE, target=target, before=before, after=after, **values)


def plan(*changes: Change, **values: Any) -> Plan:
    return Plan(subject="ecs/prod", target="aws", changes=changes, **values)


def lines(*changes: Change, **values: Any) -> list[str]:
    """As in a terminal, below the summary."""
    return [str(line) for line in terminal_lines(plan(*changes, **values))][1:]


# No two plans look alike


MISSING = object()


def essence(before: Any, after: Any) -> Json:
    """What differs between two values; what stays as it is is not shown."""
    if before is MISSING or after is MISSING:
        return [None if side is MISSING else [side] for side in (before, after)]
    if _has_keys(before) and _has_keys(after):
        entries = {
            key: (before.get(key, MISSING), after.get(key, MISSING))
            for key in before.keys() | after.keys()
        }
        found = {key: essence(*sides) for key, sides in entries.items()}
        return {key: value for key, value in found.items() if value is not None} or None
    if isinstance(before, list) and isinstance(after, list):
        return _essence_of_rows(zip_longest(before, after, fillvalue=MISSING))
    return None if is_same(before, after) else [before, after]


def _essence_of_rows(rows: Iterable[tuple[Any, Any]]) -> Json:
    found = {str(index): essence(*sides) for index, sides in enumerate(rows)}
    left = {key: value for key, value in found.items() if value is not None}
    return ["rows", left] if left else None


def _has_keys(value: Json) -> bool:
    return isinstance(value, dict) and not is_hidden(value) and not is_unknown(value)


def told(change: Change) -> str:
    """All that two changes must have in common to be shown alike."""
    values = [change.before, change.after]
    if change.action in (Action.UPDATE, Action.REPLACE):
        values = [essence(*values)]
    return json.dumps([change.action, change.target, values], sort_keys=True)


def shown(change: Change) -> tuple[str, ...]:
    whole = plan(change.model_copy(update={"reason": "", "disposable": False, "stage": ""}))
    return tuple(list(terminal_lines(whole))[1:])


@examples(100)
@given(CHANGES, CHANGES)
def test_two_changes_that_differ_never_look_alike(one: Change, other: Change) -> None:
    if told(one) != told(other):
        assert shown(one) != shown(other)


@examples(100)
@given(VALUES, VALUES, VALUES)
def test_two_values_in_one_place_never_look_alike(first: Json, one: Json, other: Json) -> None:
    pairs = [
        [created({"x": one}), created({"x": other})],
        [Change(action=Action.DELETE, target="a", before=each) for each in (one, other)],
        [updated({"x": first}, {"x": one}), updated({"x": first}, {"x": other})],
        [updated(one, first), updated(other, first)],
    ]
    for left, right in pairs:
        if told(left) != told(right):
            assert shown(left) != shown(right)


PAIRS = [
    ("1", 1), (1, True), (1, 1.0), (None, "null"), ("", None), ([], {}), ([], "[]"),
    ('{"a":1}', {"a": 1}), ('{"a":1}', '{"a": 1}'), ('{"a":1}', '{"a":2,"a":1}'),
    ("a: 1\n", "a: 1 # note\n"), ("a: 1\nb: 2\n", "b: 2\na: 1\n"), ("a: 1\n", {"a": 1}),
    ("a: yes\n", "a: true\n"), ("a: 1\na: 2\n", "a: 2\n"), ("\x1b", "\\x1b"), ("\n\x1b", "\n\\x1b"),
    ("a\n", "a"), ("a\nb", "a\nb "), ("a\r\nb", "a\nb"), ("a\tb", "a\\tb"), ("a\n\tb", "a\n\\tb"),
    ("\u202ea", "\\u202ea"), ("\na\u202e", "\na\\u202e"), ("\u200b", ""), ("a\u2028b", "a\nb"),
    ("\n\x1b\\x1b", "\n\\x1b\x1b"), ({"a.b": 1}, {"a b": 1}),
    (hidden("f" * 64), hidden("f" * 63 + "e")), (hidden("f"), '{"$hidden":"f"}'),
    (hidden("f"), "(hidden, f)"), (unknown(), "(known after apply)"), (unknown(), unknown(["a"])),
    ('{"a":{"$hidden":"f"}}', {"a": hidden("f")}), ({"$$hidden": "f"}, hidden("f")),
    ({"a.b": 1}, {"a": {"b": 1}}), ({"a": [1]}, {"a[0]": 1}), ({"": 1}, {"a": 1}),
    ("x" * 3000 + "a", "x" * 3000 + "b"), ("\n" + "x" * 3000 + "a", "\n" + "x" * 3000 + "b"),
    ("a\n" * 5000 + "a", "a\n" * 5000 + "b"), (list(range(5000)), [*range(4999), 0]),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda value: ascii(value)[:20])
def test_these_never_look_alike(one: Json, other: Json) -> None:
    for left, right in (
        (created(one), created(other)),
        (created({"x": one}), created({"x": other})),
        (updated(0, one), updated(0, other)),
        (updated({"x": one}, {}), updated({"x": other}, {})),
    ):
        assert shown(left) != shown(right)
    assert list(details(updated({"x": one}, {"x": other})))


def test_a_target_cannot_pass_for_another_line() -> None:
    odd = ["a\n- b", "a ", '"a"', "\x1b[2K", "a\u202e", ""]
    odd += ["a\n", "a\\n", '"a\\n"', '"a "']

    seen = [tuple(lines(created(1, target=name))) for name in [*odd, "a", *map(repr, odd)]]

    assert len(set(seen)) == len(seen)
    assert all(len(each) == 2 for each in seen)


# All of it


def test_creates_and_deletes_show_their_content() -> None:
    content = {"name": "backdoor", "policy": {"Action": ["*"], "n": None}}

    assert lines(created(content)) == [
        "+ a",
        '  name: "backdoor"',
        '  policy.Action[0]: "*"',
        "  policy.n: null",
    ]
    assert lines(Change(action=Action.DELETE, target="a", before=content))[1:] == [
        '  name: "backdoor"',
        '  policy.Action[0]: "*"',
        "  policy.n: null",
    ]


def test_container_definitions_are_told_key_by_key() -> None:
    """The commonest change there is: both sides were cut to the same 59 characters once."""
    environment = [{"name": "DATA_DIR", "value": "/data"}]
    one, other = (
        json.dumps([{"environment": environment, "image": image}], separators=(",", ":"))
        for image in ("acme/crew:1.0", "evil/crew:1.0")
    )

    assert lines(updated({"container_definitions": one}, {"container_definitions": other})) == [
        "~ a",
        '  container_definitions[0].image: "acme/crew:1.0" -> "evil/crew:1.0"',
        f"  container_definitions: text, {len(one)} characters, sha256 {sha256(one)}"
        f" -> {len(other)} characters, sha256 {sha256(other)}",
    ]


def test_yaml_is_told_key_by_key() -> None:
    one, other = "cluster-cidr: 10.42.0.0/16\ntls-san:\n- a\n", "cluster-cidr: x\ntls-san:\n- a\n"

    changed, whole = list(details(updated({"content": one}, {"content": other})))

    assert changed == '  content.cluster-cidr: "10.42.0.0/16" -> "x"'
    assert sha256(one) in whole
    assert sha256(other) in whole


def test_what_is_there_on_one_side_only_is_told_from_null() -> None:
    assert list(details(updated({"a": None}, {"b": None}))) == [
        "  a: null -> (none)",
        "  b: (none) -> null",
    ]
    assert list(details(updated([1], [1, None]))) == ["  [1]: (none) -> null"]
    assert list(details(updated([1, None], [1]))) == ["  [1]: null -> (none)"]


@pytest.mark.parametrize("action", Action)
def test_a_change_with_two_sides_shows_both(action: Action) -> None:
    change = Change(action=action, target="a", before=[1, 2], after=[1, 3])

    assert list(details(change)) == ["  [1]: 2 -> 3"]


def test_a_list_is_told_by_its_rows() -> None:
    assert list(details(created([1]))) == ["  [0]: 1"]
    assert list(details(Change(action=Action.DELETE, target="a", before=[1]))) == ["  [0]: 1"]


def test_values_with_parts_are_shown_one_after_the_other() -> None:
    assert list(details(updated({"x": [1]}, {"x": "text"}))) == [
        "  x: was",
        "    [0]: 1",
        '  x: becomes "text"',
    ]
    assert list(details(updated({"x": 1}, {"x": {"k": [2]}}))) == [
        "  x: was 1",
        "  x: becomes",
        "    k[0]: 2",
    ]
    assert list(details(updated(None, "a\nb"))) == [
        "  was null",
        "  becomes",
        "    text:",
        "      | a",
        "      | b",
    ]
    assert list(details(updated({"x": {"k": 1}}, None))) == [
        "  was",
        "    x.k: 1",
        "  becomes null",
    ]


def test_one_line_that_becomes_several_is_a_diff() -> None:
    assert list(details(updated("a", "a\nb"))) == [
        "  text:",
        "    @@ -1,1 +1,2 @@",
        "     | a",
        "    +| b",
    ]
    assert list(details(updated("a\nb", "a"))) == [
        "  text:",
        "    @@ -1,2 +1,1 @@",
        "     | a",
        "    -| b",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a":1}', ["a: 1"]),
        ("[1]", ["[0]: 1"]),
        ("{a: 1}\n", ["a: 1"]),
        ("a: 1\nb: [2]", ["a: 1", "b[0]: 2"]),
    ],
)
def test_text_with_structure_is_told_by_its_keys_and_as_a_whole(text: str, told: list[str]) -> None:
    assert list(details(created(text))) == [
        *[f"  {line}" for line in told],
        f"  text, {len(text)} characters, sha256 {sha256(text)}",
    ]
    assert list(details(created({"x": text})))[-1] == (
        f"  x: text, {len(text)} characters, sha256 {sha256(text)}"
    )


def test_a_key_of_a_text_makes_no_marker() -> None:
    text = '{"a":{"$hidden":"f"}}'

    assert next(details(created(text))) == '  a."$$hidden": "f"'


def test_a_text_is_taken_apart_down_to_a_depth() -> None:
    for levels, told in ((40, f"{'.'.join('a' * 40)}: 1"), (41, None)):
        text = deep(levels, '{"a":', "}").replace('"a":}', '"a":1}')
        assert next(details(created(text))) == f"  {told or json.dumps(text)}"


def test_a_text_that_is_a_list_of_yaml_is_told_line_by_line() -> None:
    assert list(details(created("- a: 1\n- b"))) == ["  text:", "    | - a: 1", "    | - b"]


@pytest.mark.parametrize("text", ["a: 1", "[abc]", "{}", "[", "{a: 1"])
def test_one_line_without_structure_is_told_as_it_is(text: str) -> None:
    assert list(details(created(text))) == [f'  "{text}"']
    assert list(details(updated(text, "b: 2"))) == [f'  "{text}" -> "b: 2"']


def test_text_is_told_as_a_unified_diff() -> None:
    one = "\n".join(f"line {number}" for number in range(50)) + "\n"
    other = one.replace("line 30\n", "other \nmore\n")

    assert list(details(updated({"content": one}, {"content": other}))) == [
        "  content:",
        "    @@ -29,5 +29,6 @@",
        "     | line 28",
        "     | line 29",
        "    -| line 30",
        r"    +\ other\x20",
        "    +| more",
        "     | line 31",
        "     | line 32",
    ]


def patched(before: str, shown_lines: Iterable[str]) -> str:
    """What a unified diff makes of a text, as `patch` does: each line must be where it says."""
    old, new, taken = before.split("\n"), list[str](), 0
    left = Counter[str]()
    for line in shown_lines:
        if line.startswith("@@"):
            assert not any(left.values())
            start, left["-"], new_start, left["+"] = map(int, re.findall(r"\d+", line))
            new += old[taken : start - 1]
            taken = start - 1
            assert new_start == len(new) + 1
            continue
        sign, text = line[0], line[1:].removeprefix("| ")
        if sign in " -":
            assert old[taken] == text
            taken += 1
        if sign in " +":
            new.append(text)
        left.subtract(sign.replace(" ", "-+"))
    assert not any(left.values())
    return "\n".join([*new, *old[taken:]])


ROWS = [
    "a b c d e f", "f e d c b a", "a b", "b a", "a b c x e f", "a b x d e f",
    "x b c d e f", "a b c d e x", "b c d e f", "a b c d e", "a a a a", "a a b a a",
    "a x b y c z d e f", "a b c d e f g h i j k l", "x b c d e f g h i j k y",
    "a b a b a b a b", "c b b b b",
]  # fmt: skip


@pytest.mark.parametrize("end", ["", "\n"], ids=["open", "closed"])
@pytest.mark.parametrize("before", ROWS)
def test_a_diff_makes_one_text_of_the_other(before: str, end: str) -> None:
    one = before.replace(" ", "\n") + end
    for after in set(ROWS) - {before}:
        other = after.replace(" ", "\n") + end
        label, *shown_lines = details(updated({"x": one}, {"x": other}))

        assert label == "  x:"
        assert patched(one, (line.removeprefix("    ") for line in shown_lines)) == other


def test_texts_with_little_in_common_are_told_line_by_line_from_where_they_differ() -> None:
    one, other = (
        "\n".join([*["same"] * 9, *[f"{name} {number}" for number in range(lines_of)]])
        for name, lines_of in (("a", 100), ("b", 9_900))
    )

    label, head, *shown_lines = details(updated({"x": one}, {"x": other}))

    assert (label, head) == ("  x:", "    @@ -8,102 +8,9902 @@")
    assert shown_lines[:102] == ["    -| same"] * 2 + [f"    -| a {n}" for n in range(100)]
    assert shown_lines[102:-1] == ["    +| same"] * 2 + [f"    +| b {n}" for n in range(294)]


def test_what_nobody_sees_in_a_line_is_shown_by_its_code() -> None:
    assert list(details(created("\nboX \n\\x1b\\\x1b \n\\"))) == [
        "  text:",
        "    | ",
        r"    \ boX\x20",
        r"    \ \\x1b\\\x1b\x20",
        "    | \\",
    ]


def test_new_text_is_told_line_by_line() -> None:
    assert list(details(created({"content": "#!/bin/sh\nrm -r /\n"}))) == [
        "  content:",
        "    | #!/bin/sh",
        "    | rm -r /",
        "    | ",
    ]


def test_what_is_hidden_or_unknown_is_said() -> None:
    after = {"password": hidden("f" * 64), "arn": unknown(["lb.arn", "lb.id"]), "id": unknown()}

    assert lines(created(after))[1:] == [
        f"  password: (hidden, {'f' * 64})",
        "  arn: (known after apply, from lb.arn, lb.id)",
        "  id: (known after apply)",
    ]


def test_a_long_value_is_cut_with_its_length_and_the_hash_of_all_of_it() -> None:
    text = "x" * 5000

    (line,) = details(created({"x": text}))

    assert line.startswith('  x: "xxx')
    assert line.endswith(f"... (5002 characters, sha256 {sha256(json.dumps(text))})")
    assert len(line) < 2200
    assert list(details(created("x" * 1998))) == [f'  "{"x" * 1998}"']
    assert "(2001 characters, " in next(details(created("x" * 1999)))


def test_a_long_text_that_no_encoding_takes_is_cut_all_the_same() -> None:
    (line,) = details(created("\ud800" * 3000))

    assert "(3002 characters, sha256 " in line


def test_a_long_change_is_cut_with_its_number_of_lines_and_the_hash_of_all_of_it() -> None:
    rows = [f"row {number}" for number in range(5000)]

    shown_lines = list(details(created(rows)))

    assert len(shown_lines) == 401
    assert shown_lines[-1] == (
        "  ... 4600 more lines, which `--json` and the record show;"
        f" all of it has sha256 {sha256(json.dumps([None, rows]))}"
    )
    assert list(details(created(rows[:400]))) == [
        f'  [{number}]: "{row}"' for number, row in enumerate(rows[:400])
    ]


def test_the_hash_of_all_of_a_long_change_is_the_same_in_every_order_of_keys() -> None:
    keys = {f"k{number}": number for number in range(500)}
    one, other = (list(details(created(each)))[-1] for each in (keys, dict(reversed(keys.items()))))

    assert one == other


@examples(30)
@given(PLANS)
def test_every_change_is_shown_and_every_line_is_one(of: Plan) -> None:
    text = list(terminal_lines(of))

    assert all(line.isprintable() for line in text)
    heads = [line for line in text[1:] if not line.startswith(" ") and not line.endswith(":")]
    assert len(heads) >= len(of.changes) - 4


# In which order, and how often


def test_what_is_lost_comes_first_and_is_marked() -> None:
    rows = [
        created(1, target="new"),
        updated(1, 2, target="other"),
        Change(action=Action.REPLACE, target="task", before=1, after=2, disposable=True),
        Change(action=Action.REPLACE, target="db", before=1, after=2),
        Change(action=Action.DELETE, target="old", before=1),
    ]

    found = list(sections(plan(*rows)))

    assert [section.title for section in found] == ["Destroyed by this plan (2)", "Changes"]
    heads = [line for section in found for line in section.lines if not line.startswith(" ")]
    assert heads == ["- old", "-/+ db", "-/+ task", "~ other", "+ new"]
    assert [mark(action) for action in Action] == ["+", "~", "-/+", "-"]


def test_many_equal_rows_are_folded_with_all_their_targets() -> None:
    rows = [updated({"v": 1}, {"v": 2}, target=f"host-{n}: k3s", reason="r") for n in range(5)]
    other = updated({"v": 1}, {"v": 3}, target="host-9: k3s", reason="r")

    assert lines(*rows, other) == [
        "~ 5 that are alike (r)",
        *[f"  host-{n}: k3s" for n in range(5)],
        "  v: 1 -> 2",
        "~ host-9: k3s (r)",
        "  v: 1 -> 3",
    ]
    assert "alike" not in "".join(lines(*rows[:4], other))


def test_rows_that_look_alike_and_are_not_are_not_folded() -> None:
    """Each differs in what is cut off."""
    rows = [created({"v": "x" * 3000 + str(n)}, target=f"t{n}") for n in range(6)]

    assert "alike" not in "".join(lines(*rows))


def test_a_folded_target_cannot_pass_for_a_line() -> None:
    rows = [created({"v": 1}, target=f"a{n}\n- b") for n in range(5)]

    assert [line for line in lines(*rows) if line.startswith("-")] == []


# What else a person needs


def test_warnings_come_first_and_cannot_pass_for_changes() -> None:
    found = lines(created(1), warnings=("Check block assertion failed\n- aws_db.x\x1b[2K",))

    assert found == [
        "Warnings:",
        "  Check block assertion failed",
        r"  - aws_db.x\x1b[2K",
        "+ a",
        "  1",
    ]


def test_the_monthly_cost_is_shown_with_what_has_no_price() -> None:
    def month(expected: int) -> CostRange:
        amounts = (Money(amount=Decimal(value)) for value in (40, expected, 380))
        return CostRange(**dict(zip(("low", "expected", "high"), amounts, strict=True)))

    cost = CostEffect(
        before=month(45), after=month(200), unpriced=("nat",), unpriced_before=("vault",),
        budget=Money(amount=Decimal(180)),
    )  # fmt: skip

    assert lines(created(1), cost=cost)[2:] == [
        "Monthly cost:",
        "  45.00 USD (40.00 USD to 380.00 USD) -> 200.00 USD (40.00 USD to 380.00 USD),"
        " budget 180.00 USD: over",
        "  200.00 USD a month is 20.00 USD over the budget of 180.00 USD",
        "  no price: nat",
        "  no price before it, so that no saving is known: vault",
    ]
    emulated = cost.model_copy(
        update={
            "is_emulated": True,
            "basis": PriceBasis(confidence="seen"),
            "unpriced": (),
            "unpriced_before": (),
        }
    )
    assert lines(created(1), cost=emulated)[2:] == [
        "Monthly cost:",
        "  actual: 0, aws is an emulator; on AWS it would be",
        "  45.00 USD (40.00 USD to 380.00 USD) -> 200.00 USD (40.00 USD to 380.00 USD),"
        " budget 180.00 USD: over",
        "  prices: seen at the weakest, one of them of no known day",
    ]
    assert lines(created(1), cost=CostEffect(before=month(45), after=month(200)))[2:] == [
        "Monthly cost:",
        "  45.00 USD (40.00 USD to 380.00 USD) -> 200.00 USD (40.00 USD to 380.00 USD)",
    ]


def test_what_an_apply_uses_is_shown_and_files_as_one() -> None:
    files = {"terraform/a.tf": "1", "terraform/b/c.tf": "2"}
    found = lines(created(1), inputs={"region": "x", **files})[2:]

    assert found[:2] == ["Applied with:", "  region: x"]
    assert found[2].startswith("  terraform/: 2 files, together sha256 ")
    other = lines(created(1), inputs={"region": "x", **files, "terraform/a.tf": "2"})[2:]
    assert found[2] != other[2]
    assert found == lines(created(1), inputs={**dict(reversed(files.items())), "region": "x"})[2:]


def test_an_empty_plan_says_so() -> None:
    empty = plan(inputs={"region": "x"})

    assert list(terminal_lines(empty)) == [empty.summary()]
    assert "nothing to change" in markdown(empty)


def test_the_artifact_has_the_whole_digest_and_all_lines() -> None:
    of = plan(created({"x": "a```b"}), warnings=("w",))
    text = markdown(of)

    assert f"`{of.digest[:32]}` `{of.digest[32:]}`" in text
    assert '````diff\n+ a\n  x: "a```b"\n````' in text
    assert "### Warnings" in text


def test_the_artifact_begins_with_what_would_be_done_where() -> None:
    of, empty = plan(created(1), updated(1, 2)), plan()

    def digest(each: Plan) -> str:
        return f"Digest `{each.digest[:32]}` `{each.digest[32:]}`"

    assert str(markdown(of)) == (
        "**ecs/prod** on `aws`: 1 to create · 1 to update · 0 to replace · 0 to delete\n\n"
        f"{digest(of)}\n\n### Changes\n\n```diff\n~ a\n  1 -> 2\n+ a\n  1\n```"
    )
    assert str(markdown(empty)) == f"**ecs/prod** on `aws`: nothing to change.\n\n{digest(empty)}"


# Nothing stops it


def deep(levels: int, opening: str, closing: str) -> str:
    return opening * levels + closing * levels


def bombs() -> Iterator[tuple[str, str]]:
    aliases = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    names = "abcdefghij"
    for one, other in pairwise(names):
        aliases.append(f"{other}: &{other} [{','.join([f'*{one}'] * 9)}]")
    yield "aliases", "\n".join(aliases)
    yield "itself", "a: &a [*a]\nb: 1\n"
    yield "deep JSON", deep(100_000, "[", "]")
    yield "deep JSON objects", deep(50_000, '{"a":', "}")
    yield "deep YAML", f"a: 1\nb: {deep(900, '[', ']')}\n"
    yield "deep YAML blocks", "a:\n " + "- " * 20_000 + "x\n"
    yield "not quite deep", deep(39, "[", "]").replace("[]", "[1]")
    yield "keys that are no texts", "1: a\ntrue: b\nnull: c\n"
    yield "keys within that are no texts", "a:\n  1: x\n  ? [1, 2]\n  : y\n"
    yield "types of YAML's own", "a: 2026-01-01\nb: !!binary aGk=\nc: !!set {x, y}\n"
    yield "python", "a: !!python/object/apply:os.system [id]\n"
    yield "numbers", '{"a":1e999,"b":NaN,"c":-Infinity}'
    yield "a long number", "[" + "9" * 10_000 + "]"
    yield "one long line", "x" * 2_000_000
    yield "many lines", "a: 1\n" * 300_000
    yield "a long list", "[" + "1," * 200_000 + "1]"
    yield "nearly a bomb", "[" * 10
    yield "a lone surrogate", "a: \ud800\n"
    yield "half a megabyte of lines that recur", "".join(f"{n % 50}\n" for n in range(150_000))


BOMBS = dict(bombs())


@pytest.mark.parametrize("name", BOMBS)
def test_no_value_stops_it(name: str) -> None:
    value = BOMBS[name]
    other = value[: len(value) // 2] + "y" + value[len(value) // 2 :]
    started = process_time()

    for change in (created({"x": value}), updated({"x": value}, {"x": other})):
        assert 1 <= len(list(details(change))) <= 401

    assert process_time() - started < 5, name


def test_texts_that_have_little_in_common_do_not_take_long() -> None:
    one = "\n".join(f"{n * 7 % 1000}" for n in range(20_000))
    other = "\n".join(f"{n * 11 % 1000}" for n in range(20_000))
    started = process_time()

    assert len(list(details(updated(one, other)))) == 401

    assert process_time() - started < 5


def test_what_a_form_would_cut_off_goes_on_in_the_next_line() -> None:
    lines = ["short", "x" * 120, "y" * 50, "\x1b" * 30]
    shown = list(wrapped(lines, 50))
    assert max(map(len, shown)) <= 50
    assert "".join(row.removeprefix("    … ") for row in shown) == "".join(map(visible, lines))
    change = Change(action=Action.CREATE, target="t", after={"key": "z" * 300})
    form = markdown(Plan(subject="s", target="t", changes=(change,)), 50)
    fenced = form.split("```diff\n")[1].split("\n```")[0]
    assert max(map(len, fenced.splitlines())) <= 50


def test_what_has_turns_is_shown_in_the_order_of_the_work() -> None:
    def row(target: str, action: Action, stage: str, turn: int, effect: str) -> Change:
        before, after = (None, {"a": 1}) if action is Action.CREATE else ({"a": 1}, {"a": 2})
        return Change(
            action=action, target=target, before=before, after=after,
            stage=stage, turn=turn, effect=effect,
        )  # fmt: skip

    plan = Plan(
        subject="k3s/unit",
        target="hosts",
        changes=(
            row("b: k3s", Action.CREATE, "servers", 1, "join"),
            row("a: k3s", Action.UPDATE, "servers", 2, "restart"),
            *(row(f"c{number}: k3s", Action.UPDATE, "agents", 1, "restart") for number in range(5)),
            row("d: k3s", Action.UPDATE, "agents", 2, ""),
        ),
    )
    shown = [str(line) for line in terminal_lines(plan)]

    assert [line for line in shown if line[0] in "~+"] == [
        "+ b: k3s [servers 1: join]",
        "~ a: k3s [servers 2: restart]",
        "~ 5 that are alike [agents 1: restart]",
        "~ d: k3s [agents 2]",
    ]
