"""Asking about tasks: each when its time has come, many in one request where the provider can, never in a burst.

It only reads. What an answer means, and when to ask again, is for those who wait for it.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any

from vidu_run.api.client import ROWS, Api
from vidu_run.api.trouble import ApiTrouble, TooMany, Unavailable
from vidu_run.errors import Exit
from vidu_run.pace import Ceiling, Timing
from vidu_run.reply import Look, Phase
from vidu_run.stop import Gate, Stop, Stopped

PULSE = 0.04
"""Seconds between two times at which something is asked. What has come due in between is asked together: then what
follows, commits and downloads and submits, comes together too, and each wakes the loop once for all of them.
"""

MOST_FAILED = 3
"""Lists in a row that may fail while tasks that are asked about by themselves are answered."""

RUNNING = frozenset({Phase.QUEUED, Phase.RUNNING})


@dataclass(order=True, slots=True)
class _Due:
    """A question: the loop's time at which it is to be asked, and who waits for the answer."""

    at: float
    number: int
    task_id: str = field(compare=False)
    watermark: bool = field(compare=False)
    priced: bool = field(compare=False)
    answer: asyncio.Future[Look] = field(compare=False)

    def answered_by(self, row: Look) -> bool:
        """Whether a row of the list says what the task itself would: that it runs, or where its video is and what it
        took. The documents name a row's links, and not all that it has.
        """
        if row.phase in RUNNING:
            return True
        whole = row.phase is Phase.SUCCEEDED and row.url is not None and (self.priced or row.credits is not None)
        return whole and not self.watermark


class Polls:
    """One for each run. `lists`: the provider's list can be asked for many tasks at once; `once` tells the user."""

    def __init__(
        self, api: Api, gate: Gate, stop: Stop, timing: Timing, lists: bool, once: Callable[[str], None]
    ) -> None:
        self._api = api
        self._gate = gate
        self._stop = stop
        self._timing = timing
        self._lists = lists
        self._once = once
        self._due: list[_Due] = []
        self._alone: deque[_Due] = deque()
        self._failed = 0
        self._listed = False
        self._numbers = count()
        self._ceiling = Ceiling()
        self._free_at = 0.0
        self._waking: asyncio.Future[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()
        self._working: asyncio.Task[None] | None = None

    async def look(self, task_id: str, watermark: bool, priced: bool, pause: float, alone: bool = False) -> Look:
        """One look at a task, `pause` seconds from now or a little later; `priced`: its charge is known; `alone`: at
        once, and not by a list.

        Raises Stopped, or ApiTrouble of any kind.
        """
        if self._stop.waiting or (self._working is not None and self._working.done()):
            raise Stopped
        loop = asyncio.get_running_loop()
        due = _Due(loop.time() + pause, next(self._numbers), task_id, watermark, priced, loop.create_future())
        if alone:
            self._by_itself(due)
        else:
            heappush(self._due, due)
            if self._due[0] is due:
                self._wake()
        if self._working is None:
            self._working = loop.create_task(self._work())
        return await due.answer

    async def close(self) -> None:
        """Nothing is asked any more; who still waits is told that the run has stopped."""
        tasks = [task for task in (self._working, *self._asking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        stopping = asyncio.ensure_future(self._stop.wait())
        stopping.add_done_callback(lambda _: self._wake())
        try:
            while not self._stop.waiting:
                if self._next_at() <= asyncio.get_running_loop().time():
                    await self._gate.through(self._stop)
                    self._ask_some()
                else:
                    await self._sleep()
        except Stopped:
            pass
        except Exception as error:
            self._stop.everything(Exit.BUG, f"a bug in vidu-run: {type(error).__name__}: {error}")
        finally:
            stopping.cancel()
            # They only read, and a host may be silent.
            for asking in self._asking:
                asking.cancel()
            for due in (*self._due, *self._alone):
                _tell(due, Stopped())

    def _next_at(self) -> float:
        """The loop's time at which there is something to ask, and it may be asked."""
        due = -math.inf if self._alone else self._due[0].at if self._due else math.inf
        return max(due, self._free_at)

    def _ask_some(self) -> None:
        """What has come due, as far as the ceiling lets it: one list, and then one by one."""
        now = asyncio.get_running_loop().time()
        gap = self._ceiling.gap(now)
        self._free_at = now + max(PULSE, gap)
        left = 1 if self._gate.shut else max(1, int(PULSE / gap))
        # Of one request at a time each list would leave none for what is asked about by itself.
        self._listed = self._lists and not (left == 1 and self._alone and self._listed)
        if self._listed:
            # What would be due a moment later rides along: a row costs less than a request.
            asked = self._taken(now + self._timing.poll_min / 2, ROWS)
        else:
            asked = self._taken(now, left - len(self._alone))
        if self._listed and len(asked) > 1:
            self._begin(asked, self._ask_all(asked))
            left -= 1
        else:
            self._alone += asked
        while self._alone and left > 0:
            due = self._alone.popleft()
            self._begin([due], self._ask(due))
            left -= 1

    def _taken(self, until: float, most: int) -> list[_Due]:
        found: list[_Due] = []
        while self._due and self._due[0].at <= until and len(found) < most:
            found.append(heappop(self._due))
        return found

    async def _sleep(self) -> None:
        loop = asyncio.get_running_loop()
        self._waking = loop.create_future()
        at = self._next_at()
        timer = None if at == math.inf else loop.call_at(at, self._wake)
        try:
            await self._waking
        finally:
            if timer:
                timer.cancel()

    def _wake(self) -> None:
        if self._waking and not self._waking.done():
            self._waking.set_result(None)

    def _begin(self, asked: list[_Due], asking: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._answered(asked, asking))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _answered(self, asked: list[_Due], asking: Coroutine[Any, Any, None]) -> None:
        """Whatever happens, nobody waits for ever."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            await asking
        except BaseException as error:
            if isinstance(error, TooMany):
                self._ceiling.refused(begun, loop.time())
            for due in asked:
                _tell(due, error if isinstance(error, Exception) else Stopped())
            if not isinstance(error, Exception):
                raise

    async def _ask(self, due: _Due) -> None:
        try:
            look = await self._api.look(due.task_id, due.watermark)
        except Unavailable:
            self._failed = 0
            raise
        _tell(due, look)
        if self._failed >= MOST_FAILED:
            self._leave_lists(f"it failed {self._failed} times in a row")

    async def _ask_all(self, asked: list[_Due]) -> None:
        """By the list; where a row says too little, the task itself is asked."""
        wanted = {due.task_id for due in asked}
        try:
            rows = {row.task_id: row for row in await self._api.listed(sorted(wanted))}
            self._failed = 0
        except TooMany:
            raise
        except Unavailable:
            # Whether it is the list alone, one task by itself tells.
            self._failed += 1
            self._by_itself(asked.pop())
            raise
        except ApiTrouble as error:
            # Also where the key is refused: what a firewall thinks of so long a question is no word on the key.
            rows = {}
            self._leave_lists(str(error))
        if rows.keys() - wanted:
            rows = {}
            self._leave_lists("it shows others than were asked for")
        for due in asked:
            row = rows.get(due.task_id)
            if row is not None and due.answered_by(row):
                _tell(due, row)
            else:
                self._by_itself(due)

    def _by_itself(self, due: _Due) -> None:
        """Asked about next, and not by a list."""
        if self._stop.waiting:
            _tell(due, Stopped())
        else:
            self._alone.append(due)
            self._wake()

    def _leave_lists(self, why: str) -> None:
        self._lists, self._failed = False, 0
        self._once(f"the API's list cannot be asked for many tasks at once ({why}): each is asked about by itself")


def _tell(due: _Due, answer: Look | Exception) -> None:
    if due.answer.done():
        return
    if isinstance(answer, Exception):
        due.answer.set_exception(answer)
    else:
        due.answer.set_result(answer)
