"""Which task is made next: each account's own line, off-peak tasks behind the others. Knows no files and no replies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from vidu_run.local.tasks import Task


@dataclass(slots=True)
class _Line:
    """Tasks by their ids, in order of arrival: those at once, those off-peak, and those whose off-peak has not come."""

    now: dict[str, Task] = field(default_factory=dict)
    off_peak: dict[str, Task] = field(default_factory=dict)
    later: dict[str, Task] = field(default_factory=dict)
    running: int = 0

    def next(self) -> Task | None:
        waiting = self.now or self.off_peak
        return waiting.pop(next(iter(waiting))) if waiting else None


class Queue:
    """`make` is one task's whole work; `concurrency` works of an account run at once. An off-peak task waits at least
    `off_peak_wait` seconds, and until no other task of its account waits."""

    def __init__(self, make: Callable[[Task], Awaitable[None]], concurrency: int, off_peak_wait: float = 0.0) -> None:
        self._make = make
        self._concurrency = concurrency
        self._off_peak_wait = off_peak_wait
        self._lines: dict[str, _Line] = {}
        self._works: set[asyncio.Task[None]] = set()

    def put(self, task: Task) -> bool:
        """Whether it is being made at once."""
        line = self._line(task.account)
        if not task.off_peak:
            line.now[task.id] = task
        elif self._off_peak_wait:
            line.later[task.id] = task
            asyncio.get_running_loop().call_later(self._off_peak_wait, self._comes, line, task)
        else:
            line.off_peak[task.id] = task
        self._advance(line)
        return not any(task.id in waiting for waiting in (line.now, line.off_peak, line.later))

    def take_out(self, task: Task) -> bool:
        """Whether it still waited; then it will not be made."""
        line = self._line(task.account)
        return any(waiting.pop(task.id, None) for waiting in (line.now, line.off_peak, line.later))

    def running(self, account: str) -> int:
        return self._line(account).running

    def waiting(self, account: str) -> int:
        line = self._line(account)
        return len(line.now) + len(line.off_peak) + len(line.later)

    async def close(self) -> None:
        """Break off what is being made; what waits is not begun."""
        for line in self._lines.values():
            line.now, line.off_peak, line.later = {}, {}, {}
        works = list(self._works)
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    def _line(self, account: str) -> _Line:
        return self._lines.setdefault(account, _Line())

    def _comes(self, line: _Line, task: Task) -> None:
        if line.later.pop(task.id, None):
            line.off_peak[task.id] = task
            self._advance(line)

    def _advance(self, line: _Line) -> None:
        while line.running < self._concurrency and (task := line.next()):
            line.running += 1
            work = asyncio.create_task(self._worked(line, task))
            self._works.add(work)
            work.add_done_callback(self._works.discard)

    async def _worked(self, line: _Line, task: Task) -> None:
        try:
            await self._make(task)
        finally:
            line.running -= 1
        self._advance(line)
