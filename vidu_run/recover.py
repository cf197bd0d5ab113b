"""Find what may have been bought: tasks at the API that carry one of our markers. It only ever finds.

Not found is never proof: lists lag, and pages are cut. What is not found stays in doubt, held for the user's word.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidu_run.api.trouble import ApiTrouble, KeyRefused, Missing, TooMany
from vidu_run.errors import AccountTrouble, Exit, NeedsWord, Trouble
from vidu_run.job import Job, Key
from vidu_run.journal.port import Sheet
from vidu_run.journal.sqlite import SqliteJournal
from vidu_run.key import carries, marker_of
from vidu_run.pace import LONGEST_PAUSE, Timing, backoff, not_before, retry_after
from vidu_run.reply import ENDED_BADLY, Look

if TYPE_CHECKING:
    from vidu_run.api.client import Api

EARLIER = 60.0
"""Seconds before the first doubtful POST at which the search begins: clocks differ."""

MOST_PAGES = 100
MOST_THROTTLED = 5
AT_ONCE = 8
COMPARED = ("model", "prompt", "duration", "resolution")
"""Fields a row of the list may show; one that differs from every job of ours is not read."""


class ListingFailed(Trouble):
    """The list could not be read to its end: nothing can be concluded, so nothing may be sent."""

    code = Exit.INCOMPLETE


@dataclass(frozen=True, slots=True)
class Sought:
    """A job whose task may be at the API, created after `since` (None: whenever). A list is given until `settles` to
    show it; Unix seconds."""

    job: Job | Sheet
    since: float | None
    settles: float = 0.0


async def reconcile(
    api: Api,
    journal: SqliteJournal,
    sought: Sequence[Sought],
    timing: Timing,
    tell: Callable[[str], None],
    sleep: Callable[[float], Awaitable[None]],
) -> int:
    """Adopt every task of ours that the API's list shows; returns how many jobs have found theirs.

    Looks again until everything is found or has had its time to settle: a list may lag.
    Raises ListingFailed, KeyRefused.
    """
    left = {one.job.key: one for one in sought}
    read: set[str] = set()
    patience = max(one.settles for one in sought)
    while True:
        found = await _patiently(lambda: _candidates(api, journal, list(left.values()), read, tell), timing, sleep)
        for look in sorted(found, key=lambda look: look.phase in ENDED_BADLY):
            await _adopt(journal, sought, left, look, tell)
        if not left or time.time() >= patience:
            return len(sought) - len(left)
        await sleep(min(timing.poll_max, max(timing.poll_min, timing.settle / 8)))


async def _patiently(
    look: Callable[[], Awaitable[list[Look]]], timing: Timing, sleep: Callable[[float], Awaitable[None]]
) -> list[Look]:
    """Look again after a 429, when the API says; after some of them the list has failed."""
    for tries in range(MOST_THROTTLED):
        try:
            return await look()
        except TooMany as error:
            asked = retry_after(error.retry_after, time.time())
            if asked is not None and asked > LONGEST_PAUSE:
                raise ListingFailed(f"{not_before(time.time() + asked)}. Nothing was sent; run again.") from None
            await sleep(asked if asked is not None else backoff(timing, tries, 0.5))
    raise ListingFailed("the API answers 429 to questions about its tasks. Nothing was sent; run again.")


async def _adopt(
    journal: SqliteJournal, sought: Sequence[Sought], left: dict[Key, Sought], look: Look, tell: Callable[[str], None]
) -> None:
    """The first task found for a job becomes its task; more of them are told, they cannot be given back."""
    marker = marker_of(look.payload)
    one = next((one for one in sought if marker and carries(marker, one.job.key)), None)
    if one is None or marker is None:
        return
    if one.job.key not in left:
        tell(f"{one.job.name}: task {look.task_id} is there as well, a second purchase of the same job")
    elif await journal.adopt(one.job, marker, look, look.created_at or time.time()):
        tell(f"{one.job.name}: found at the API as task {look.task_id}")
        del left[one.job.key]
    else:
        raise NeedsWord(
            f"{one.job.name}: task {look.task_id} at the API is its own, but the state knows that attempt otherwise. "
            "Nothing was sent."
        )


async def _candidates(
    api: Api, journal: SqliteJournal, sought: Sequence[Sought], read: set[str], tell: Callable[[str], None]
) -> list[Look]:
    """Tasks that could be ours, with their payloads. `read` grows by those that need not be read again."""
    times = [one.since for one in sought]
    since = None if None in times else min(time for time in times if time is not None) - EARLIER
    rows = await _rows(api, since, tell)
    fresh = [row for row in rows if row.task_id and row.task_id not in read and _may_be_ours(row, sought)]
    wanted = [row for row in fresh if not journal.knows(row.task_id or "")]
    unread = [row for row in wanted if row.payload is None]
    told = [row for row in wanted if row.payload is not None]
    for start in range(0, len(unread), AT_ONCE):
        told += await asyncio.gather(*(_read(api, row) for row in unread[start : start + AT_ONCE]))
    # A task without a payload is nobody's; one with a payload is known for good after it was read.
    read.update(look.task_id for look in told if look.task_id)
    return told


async def _read(api: Api, row: Look) -> Look:
    try:
        look = await api.look(row.task_id or "", watermark=False)
    except Missing:
        return row
    except TooMany:
        raise
    except ApiTrouble as error:
        raise ListingFailed(f"task {row.task_id} could not be read ({error}). Nothing was sent; run again.") from None
    return look if look.task_id == row.task_id else row


async def _rows(api: Api, since: float | None, tell: Callable[[str], None]) -> list[Look]:
    """Every row of the window, page by page until one brings nothing new: a short page proves nothing."""
    found: dict[str, Look] = {}
    token: str | None = None
    for page in range(MOST_PAGES):
        try:
            rows, token = await api.tasks(since, page, token)
        except KeyRefused as error:
            raise AccountTrouble(f"{error}. Nothing was sent.") from None
        except TooMany:
            raise
        except ApiTrouble as error:
            why = f"the API's list of tasks could not be read ({error}). Nothing was sent; run again."
            raise ListingFailed(why) from error
        fresh = {row.task_id: row for row in rows if row.task_id and row.task_id not in found}
        found |= fresh
        if not fresh:
            if rows:
                tell(f"the API's list repeats its first {len(rows)} tasks: older ones cannot be looked up")
            break
    return list(found.values())


def _may_be_ours(row: Look, sought: Iterable[Sought]) -> bool:
    return any(all(_agrees(row, one.job, field) for field in COMPARED) for one in sought)


def _agrees(row: Look, job: Job | Sheet, field: str) -> bool:
    shown, asked = getattr(row, field), job.request.get(field)
    return shown is None or asked is None or shown == "" or bool(shown == asked)
