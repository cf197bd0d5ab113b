"""A reckoning in words and colours, cut to the width of a terminal. Pure: text out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from vidu_run.tally import AT_API, ORDER, Reckoning
from vidu_run.wording import counted

COLOURS = {
    "done": "green",
    "ready": "cyan",
    "submitted": "blue",
    "planned": "bright_black",
    "in_doubt": "magenta",
    "failed": "red",
    "rejected": "red",
    "abandoned": "bright_black",
    "left": "yellow",
    "stopping": "yellow",
}
FAINT = "bright_black"
BETWEEN = " · "
FULL, UNDERWAY, EMPTY = "━", "╍", "─"
WIDEST_BAR = 40

WORTH = {"done": 0, "in_doubt": 1, "failed": 2, "rejected": 3, "submitted": 4, "ready": 5, "planned": 6}
"""Which counts stay on a narrow terminal: the lower, the longer."""

Said = tuple[int, str, str]
"""How dispensable, the words, their style."""


def duration(seconds: float) -> str:
    """As a clock: 0:42, 12:03, 3:07:12."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def time_left(seconds: float) -> str:
    """As a person would say it: no more exact than it can be known."""
    if seconds < 20:
        return "a few seconds left"
    if seconds < 90:
        return f"about {round(seconds / 10) * 10} s left"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"about {minutes} min left"
    hours, minutes = divmod(round(minutes / 10) * 10, 60)
    return f"about {hours} h {minutes:02} min left" if hours < 10 else f"about {round(seconds / 3600)} h left"


def pace(per_minute: float) -> str:
    if per_minute < 0.5:
        return f"{per_minute * 60:.1f} clips/h"
    return f"{per_minute:.1f} clips/min" if per_minute < 20 else f"{per_minute:.0f} clips/min"


def block(found: Reckoning, width: int) -> list[Text]:
    """Up to three lines, none wider than `width` cells."""
    lines = [_head(found, width), _fitting(_facts(found), width)]
    if found.error is not None:
        lines.append(_error(*found.error, width))
    return lines


def summary(found: Reckoning) -> str:
    """One line for a log."""
    said = [words for _, words, _ in [*_counts(found), *_facts(found)]]
    return BETWEEN.join(said)


def _head(found: Reckoning, width: int) -> Text:
    counts = _counts(found)
    room = width - sum(cell_len(words) + len(BETWEEN) for _, words, _ in counts)
    line = _bar(found, max(min(WIDEST_BAR, room), min(WIDEST_BAR, width // 4)))
    line.append(" ")
    return line.append_text(_fitting(counts, width - cell_len(line.plain)))


def _bar(found: Reckoning, width: int) -> Text:
    """A piece for each state, as wide as its part; what is there at all is seen."""
    line = Text()
    begun = [state for state in ORDER if state != "planned" and found.counts.get(state)]
    shares = {state: max(1, found.counts[state] * width // max(1, found.total)) for state in begun}
    while sum(shares.values()) > width and max(shares.values()) > 1:
        widest = max(shares, key=lambda state: shares[state])
        shares[widest] -= 1
    if begun and not found.counts.get("planned"):
        shares[begun[0]] += max(0, width - sum(shares.values()))
    for state, cells in shares.items():
        line.append((UNDERWAY if state == AT_API else FULL) * cells, style=COLOURS[state])
    line.append(EMPTY * (width - len(line)), style=FAINT)
    line.truncate(width)
    return line


def _counts(found: Reckoning) -> list[Said]:
    said: list[Said] = [(WORTH["done"], f"{found.counts.get('done', 0):,} of {found.total:,} done", COLOURS["done"])]
    for state in ORDER[1:]:
        if count := found.counts.get(state):
            said.append((WORTH.get(state, len(ORDER)), f"{count:,} {state.replace('_', ' ')}", COLOURS[state]))
    return said


def _facts(found: Reckoning) -> list[Said]:
    said: list[Said] = []
    if found.stopping:
        said.append((0, "stopping", COLOURS["stopping"]))
    if found.resting:
        said.append((0, "no run is going on", COLOURS["stopping"]))
    if found.offline:
        said.append((0, "no connection, trying again", COLOURS["stopping"]))
    if found.left is not None:
        said.append((1, time_left(found.left), "bold"))
    if found.per_minute is not None:
        said.append((4, pace(found.per_minute), ""))
    if found.committed is not None:
        what = "rehearsed, none spent" if found.rehearses else "committed"
        said.append((3, f"{counted(found.committed, 'credit')} {what}", ""))
    if found.charged is not None and not found.rehearses:
        said.append((5, f"{found.charged:,} charged", ""))
    if found.elapsed is not None:
        said.append((2, duration(found.elapsed), FAINT))
    return said


def _fitting(said: Sequence[Said], width: int) -> Text:
    """As much of it as fits, the least dispensable first, in the order given."""
    kept: list[Said] = []
    room = width + len(BETWEEN)
    for one in sorted(said, key=lambda said: said[0]):
        if (needed := cell_len(one[1]) + len(BETWEEN)) <= room:
            kept.append(one)
            room -= needed
    line = Text()
    for one in said:
        if one in kept:
            line.append(BETWEEN if line else "", style=FAINT).append(one[1], style=one[2])
    return line


def _error(name: str, why: str, width: int) -> Text:
    line = Text()
    if width >= 72:
        line.append("last error ", style=FAINT)
    line.append(name, style="red").append(f"  {why}" if why else "")
    line.truncate(width, overflow="ellipsis")
    return line
