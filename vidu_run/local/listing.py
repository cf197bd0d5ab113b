"""The list of tasks: what a query asks for, and the page that answers it. Pure: reads no file, knows no reply."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from vidu_run.local.refused import Refused
from vidu_run.local.tasks import STATES, Task

WINDOW = 7 * 86400.0
"""Seconds back that a list goes when nothing else is asked for (platform.vidu.com/docs/tasks-list)."""
USUAL_ROWS, MOST_ROWS = 10, 100
MOST_PAGE = 10**9
SPELLINGS = ("pager", "paper")
"""The documents print both; the first one that is given counts."""

VERSION = re.compile(r"q?\d.*")
"""What the documents call a model's version: q2-pro, 2.0."""
FILTERS = ("states", "task_ids", "model_versions", "resolutions", "templates")

Filters = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Asked:
    """`since` and `until` in Unix seconds; `after` is the (microsecond, id) of the last row that is known already.
    An empty filter lets everything through."""

    since: float
    until: float | None
    filters: Filters
    page: int
    rows: int
    after: tuple[int, str] | None


def asked(query: Sequence[tuple[str, str]], now: float) -> Asked:
    """Raises Refused with the field that makes no sense."""
    given = dict(reversed(query))
    since = _moment("created_at.from", given)
    wanted = {name: _several(name, query) for name in FILTERS}
    if unknown := wanted["states"] - set(STATES):
        raise Refused("FieldInvalid", f"states: {min(unknown)[:40]!r} is none of {', '.join(STATES)}")
    return Asked(
        since=now - WINDOW if since is None else since,
        until=_moment("created_at.to", given),
        filters=wanted,
        page=_whole("page", given, 0, 0, MOST_PAGE),
        rows=_whole("pagesz", given, USUAL_ROWS, 1, MOST_ROWS),
        after=_token(given),
    )


def page(tasks: Iterable[Task], wanted: Asked) -> tuple[list[Task], str]:
    """The rows, newest first, and the token of the page behind them, empty where there is none."""
    found = sorted((task for task in tasks if _fits(task, wanted)), key=_place, reverse=True)
    if wanted.after is not None:
        found = [task for task in found if _place(task) < wanted.after]
    start = 0 if wanted.after is not None else wanted.page * wanted.rows
    rows = found[start : start + wanted.rows]
    more = len(found) > start + wanted.rows
    return rows, "{}-{}".format(*_place(rows[-1])) if more else ""


def _fits(task: Task, wanted: Asked) -> bool:
    shown = {
        "states": {task.state},
        "task_ids": {task.id},
        "model_versions": {task.model, *VERSION.findall(task.model)},
        "resolutions": {task.resolution},
        "templates": {""},
    }
    in_time = wanted.since <= task.created_at and (wanted.until is None or task.created_at <= wanted.until)
    return in_time and all(not wanted.filters[name] or wanted.filters[name] & shown[name] for name in shown)


def _place(task: Task) -> tuple[int, str]:
    return int(task.created_at * 1e6), task.id


def _several(name: str, query: Sequence[tuple[str, str]]) -> frozenset[str]:
    """A list is the name again and again, or one value with commas."""
    found = (part.strip() for key, value in query if key in (name, f"{name}[]") for part in value.split(","))
    return frozenset(filter(None, found))


def _moment(name: str, given: Mapping[str, str]) -> float | None:
    # An unescaped + of an offset arrives as a blank.
    text = given.get(name, "").replace(" ", "+")
    if not text:
        return None
    try:
        if text.isascii() and text.isdigit():
            return float(text[:12])
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Refused("FieldInvalid", f"{name} is no time such as 2026-11-22T08:00:00Z") from None


def _whole(name: str, given: Mapping[str, str], usual: int, least: int, most: int) -> int:
    text = next((given[f"{word}.{name}"] for word in SPELLINGS if f"{word}.{name}" in given), str(usual))
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(most)) else -1
    if not least <= number <= most:
        raise Refused("FieldInvalid", f"pager.{name} is no whole number from {least} to {most}")
    return number


def _token(given: Mapping[str, str]) -> tuple[int, str] | None:
    text = next((given[name] for name in (f"{word}.page_token" for word in SPELLINGS) if given.get(name)), "")
    if not text:
        return None
    moment, _, task_id = text.partition("-")
    if not (moment.isascii() and moment.isdigit() and len(moment) < 20 and task_id):
        raise Refused("FieldInvalid", "pager.page_token is none that this list gave")
    return int(moment), task_id
