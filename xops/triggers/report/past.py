"""The past of triggers for a terminal: a character a week, and what other thresholds would do."""

from __future__ import annotations

from collections.abc import Iterator

from xops.triggers.machine import Phase
from xops.triggers.replay import Line, Replay

_MARKS = {Phase.INACTIVE: "·", Phase.PENDING: "+", Phase.ACTIVE: "█", Phase.COOLING: "▒"}


def ribbon(line: Line) -> str:
    """A trigger's past, a character a week; `?` is a week in which its state was kept."""
    return "".join("?" if p.insufficient else _MARKS[p.phase] for p in line.points)


def replay_lines(replay: Replay) -> Iterator[str]:
    """The past of each trigger, and what other thresholds would have made of it."""
    yield f"{' ' * 14}· inactive  + pending  █ active  ▒ cooling  ? unknown, kept"
    for line in replay.lines:
        yield f"{line.trigger:<14}{ribbon(line)}"
        counts = f"{_times(line.flips, 'flip')}, {_times(line.active_weeks, 'week')} active"
        yield f"{'':<14}{counts}, {line.unknown_weeks} unknown, now {line.states[-1]}"
    for line in replay.lines:
        yield from _variants(line)


def _variants(line: Line) -> Iterator[str]:
    if not line.variants:
        return
    windows = list(dict.fromkeys((v.weeks, v.of) for v in line.variants))
    yield f"\n{line.trigger}: flips (weeks active) by threshold and window; [] is the policy"
    yield f"{'':>8}" + "".join(f"{f'{weeks} of {of}':>12}" for weeks, of in windows)
    for above in sorted({v.above for v in line.variants}):
        row = [v for v in line.variants if v.above == above]
        cells = [f"{v.flips} ({v.active_weeks})" for v in row]
        marked = [f"[{c}]" if v.current else c for v, c in zip(row, cells, strict=True)]
        yield f"{f'> {above}':>8}" + "".join(f"{cell:>12}" for cell in marked)


def _times(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
