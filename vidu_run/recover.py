"""Find what may have been bought: tasks at the API that carry one of our markers. It only ever finds.

Not found is never proof: lists lag, and pages are cut. What is not found stays in doubt, held for the user's word.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vidu_run.api.trouble import ApiTrouble, KeyRefused, Missing, TooMany, Unavailable
from vidu_run.errors import AccountTrouble, Exit, NeedsWord, Trouble
from vidu_run.job import Job, Key
from vidu_run.journal.port import Sheet
from vidu_run.journal.sqlite import SqliteJournal
from vidu_run.key import carries, marker_of
from vidu_run.pace import LONGEST_PAUSE, Timing, backoff, not_before, retry_after
from vidu_run.reply import ENDED_BADLY, Look
from vidu_run.session import Reach
from vidu_run.stop import Stop, Stopped

if TYPE_CHECKING:
    from vidu_run.api.client import Api

EARLIER = 60.0
"""Seconds before the first doubtful POST at which the search begins: clocks differ."""

FARTHEST = 30 * 86400.0
"""Seconds that are looked back for a job of which nothing is known. Without a beginning the list goes back for a week
(platform.vidu.com, docs/tasks-list, 23 November 2026); how far it goes with one nobody says.
"""

FAR_PAGES, MOST_PAGES = 100, 1_000
"""Of 100 tasks each, for the long window and for any other."""

MOST_THROTTLED = 5
AT_ONCE = 8
COMPARED = ("model", "prompt", "duration", "resolution")
"""Fields a row of the list may show; one that differs from every job of ours is not read."""


class ListingFailed(Trouble):
    """The list could not be read to its end: nothing can be concluded, so nothing may be sent."""

    code = Exit.INCOMPLETE


class _Refused(Exception):
    """A window of the list that the API does not give, or that has no end."""


@dataclass(frozen=True, slots=True)
class Sought:
    """A job whose task may be at the API, created after `since` (None: whenever). A list is given until `settles` to
    show it; Unix seconds. `doubtful`: an attempt of it is in doubt, else nothing is known of the job."""

    job: Job | Sheet
    since: float | None
    settles: float = 0.0

    @property
    def doubtful(self) -> bool:
        return self.settles > 0


async def recover(
    jobs: Sequence[Job],
    reach: Reach,
    journal: SqliteJournal,
    timing: Timing,
    stop: Stop,
    tell: Callable[[str], None],
    target: str,
) -> int:
    """Look for submissions whose answer was lost, and for `jobs` that this state does not know; returns how many were
    found. Does nothing where the provider cannot list its tasks, or where there is nothing to look for. `target` is how
    the user names the state on a command line.

    Raises ListingFailed, AccountTrouble, NeedsWord.
    """
    if reach.service.provider.routes.list is None:
        return 0
    begun = time.time()
    doubtful, unknown = seekers(jobs, journal, timing.settle)
    if not doubtful and not unknown:
        return 0
    api, _ = await reach.open()
    search = Search(api, journal, [*doubtful, *unknown], timing, stop.sleep, tell, target)
    try:
        found = await stop.unless(search.run())
    except Stopped:
        return 0
    await journal.searched([one.job.key for one in unknown], begun)
    return found


def seekers(jobs: Sequence[Job], journal: SqliteJournal, settle: float) -> tuple[list[Sought], list[Sought]]:
    """Attempts in doubt; and jobs without a record, since an earlier state may have bought them and be lost.

    What this state bought of a job since its last search for it is known, unless the state is a copy from before,
    which then remembers an earlier search.
    """
    searched, known = journal.searches(), journal.known()
    return (
        [Sought(sheet, record.posted_at, record.posted_at + settle) for sheet, record in journal.doubtful()],
        [Sought(job, searched.get(job.key)) for job in jobs if job.key not in known],
    )


@dataclass(slots=True)
class Search:
    """Adopts every task of ours that the API's list shows. Raises ListingFailed, AccountTrouble, NeedsWord.

    `read` are tasks that need not be read again, `others` what was found of a job that could not become its task,
    `late` the rows of tasks that cannot be read yet, `said` what was told.
    """

    api: Api
    journal: SqliteJournal
    sought: Sequence[Sought]
    timing: Timing
    sleep: Callable[[float], Awaitable[None]]
    tell: Callable[[str], None]
    target: str
    left: dict[Key, Sought] = field(init=False)
    read: set[str] = field(default_factory=set)
    others: dict[Key, str] = field(default_factory=dict)
    late: list[Look] = field(default_factory=list)
    said: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.left = {one.job.key: one for one in self.sought}

    async def run(self) -> int:
        """Looks again until everything is found or has had its time to settle: a list may lag. How many were found."""
        patience = max(one.settles for one in self.sought)
        while True:
            for look in sorted(await self._patiently(), key=lambda look: look.phase in ENDED_BADLY):
                await self._adopt(look)
            if not self.left or (time.time() >= patience and not self._is_lagging()):
                break
            pause = self.timing.settle / 8
            await self.sleep(min(self.timing.poll_max, max(self.timing.poll_min, pause)))
        for key, told in self.others.items():
            if key in self.left and not self.left[key].doubtful:
                raise NeedsWord(told)
        return len(self.sought) - len(self.left)

    def _is_lagging(self) -> bool:
        """A task that may be ours, so young that it may still become readable."""
        made = [row.created_at for row in self.late if row.created_at is not None]
        return any(abs(time.time() - moment) < self.timing.settle for moment in made)

    async def _patiently(self) -> list[Look]:
        """Look again after a 429, when the API says; after some of them the list has failed."""
        for tries in range(MOST_THROTTLED):
            try:
                return await self._candidates()
            except TooMany as error:
                asked = retry_after(error.retry_after, time.time())
                if asked is not None and asked > LONGEST_PAUSE:
                    raise ListingFailed(f"{not_before(time.time() + asked)}; run again") from None
                if tries + 1 < MOST_THROTTLED:
                    await self.sleep(asked if asked is not None else backoff(self.timing, tries, 0.5))
        raise ListingFailed("the API answers 429 to questions about its tasks; run again")

    async def _adopt(self, look: Look) -> None:
        """The first task found for a job becomes its task; more of them are told, they cannot be given back."""
        marker = marker_of(look.payload)
        one = next((one for one in self.sought if marker and carries(marker, one.job.key)), None)
        if one is None or marker is None:
            return
        if one.job.key not in self.left:
            self._once(f"{one.job.name}: task {look.task_id} is there as well, a second purchase of the same job")
        elif await self.journal.adopt(one.job, marker, look, look.created_at or time.time()):
            self.tell(f"{one.job.name}: found at the API as task {look.task_id}")
            del self.left[one.job.key]
        else:
            told = f"{one.job.name}: task {look.task_id} at the API is of an attempt that the state knows otherwise"
            self.others[one.job.key] = told
            if one.doubtful:
                name = shlex.quote(one.job.name)
                self._once(f"{told}; `vidu-run resolve {self.target} --task {look.task_id} {name}` takes it")

    async def _candidates(self) -> list[Look]:
        """Tasks that could be ours, with their payloads."""
        rows = await self._rows()
        fresh = [row for row in rows if row.task_id not in self.read and _may_be_ours(row, self.left.values())]
        wanted = [row for row in fresh if not self.journal.knows(row.task_id or "")]
        # An empty payload may be no more than a field that the list leaves empty.
        told = [row for row in wanted if row.payload]
        unread = [row for row in wanted if not row.payload]
        self.late = []
        for start in range(0, len(unread), AT_ONCE):
            told += filter(None, await asyncio.gather(*map(self._read, unread[start : start + AT_ONCE])))
        # A task without a payload is nobody's; one with a payload is known for good after it was read.
        self.read.update(look.task_id for look in told if look.task_id)
        return told

    async def _read(self, row: Look) -> Look | None:
        """The task of a row; None where it cannot be read yet."""
        try:
            look = await self.api.look(row.task_id or "", watermark=False)
        except Missing:
            self.late.append(row)
            return None
        except TooMany:
            raise
        except ApiTrouble as error:
            raise ListingFailed(f"task {row.task_id} could not be read ({error}); run again") from None
        return look if look.task_id == row.task_id else row

    async def _rows(self) -> list[Look]:
        """What the list shows since the first that is sought may have been bought."""
        times = [one.since for one in self.left.values()]
        known = [moment for moment in times if moment is not None]
        if len(known) == len(times):
            return await self._whole(min(known) - EARLIER)
        try:
            return await self._window(time.time() - FARTHEST, FAR_PAGES)
        except _Refused as error:
            self._once(f"tasks are looked for in what the list shows by itself, and no further back ({error})")
            return await self._whole(None)

    async def _whole(self, since: float | None) -> list[Look]:
        try:
            return await self._window(since, MOST_PAGES)
        except _Refused as error:
            raise ListingFailed(f"the API's list of tasks could not be read ({error}); run again") from None

    async def _window(self, since: float | None, most: int) -> list[Look]:
        """Every row of the window, page by page until one brings nothing new: a short page proves nothing."""
        found: dict[str, Look] = {}
        token: str | None = None
        for page in range(most):
            try:
                rows, token = await self.api.tasks(since, page, token)
            except KeyRefused as error:
                raise AccountTrouble(str(error)) from None
            except TooMany:
                raise
            except Unavailable as error:
                raise ListingFailed(f"the API's list of tasks could not be read ({error}); run again") from None
            except ApiTrouble as error:
                raise _Refused(str(error)) from None
            fresh = {row.task_id: row for row in rows if row.task_id and row.task_id not in found}
            found |= fresh
            if not fresh:
                if rows:
                    self._once(f"the API's list repeats its first {len(rows)} tasks: older ones cannot be looked up")
                return list(found.values())
        raise _Refused(f"it goes on behind {len(found):,} tasks")

    def _once(self, text: str) -> None:
        """A sentence that holds for the whole search."""
        if text not in self.said:
            self.said.add(text)
            self.tell(text)


def _may_be_ours(row: Look, sought: Iterable[Sought]) -> bool:
    return any(all(_agrees(row, one.job, name) for name in COMPARED) for one in sought)


def _agrees(row: Look, job: Job | Sheet, name: str) -> bool:
    shown, asked = getattr(row, name), job.request.get(name)
    if name == "prompt" and isinstance(shown, str) and isinstance(asked, str):
        # With `is_rec` the service writes a prompt of its own; blanks it may have set anew.
        return job.request.get("is_rec") is True or not shown or shown.split() == asked.split()
    return shown is None or asked is None or shown == "" or bool(shown == asked)
