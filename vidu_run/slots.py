"""How many tasks are at the API at once, as this process sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from vidu_run.stop import Stop


class NoSlots(Exception):
    """Every slot is held by tasks that this run has given up waiting for."""


class Slots:
    """How many tasks may be at the API at once, as this process sees it; the journal counts them again."""

    def __init__(self, limit: int, waits: bool = True) -> None:
        """`waits` False: places of tasks in doubt come free too late for this run."""
        self._waits = waits
        self._limit = limit
        self._used = 0
        self._lost = 0
        self._held: dict[object, float] = {}
        self._freed = asyncio.Event()

    async def take(self, stop: Stop, blocked: Callable[[int, float], None]) -> Slot:
        """Wait for a slot; `blocked` hears how many tasks in doubt hold all of them, and the seconds until one comes
        free. Raises NoSlots when none will come, Stopped when the run is not to submit any more.
        """
        while self._used >= self._limit:
            if self._lost + (0 if self._waits else len(self._held)) >= self._limit:
                raise NoSlots
            if self._held and not self.open:
                blocked(len(self._held), min(self._held.values()) - asyncio.get_running_loop().time())
            stop.check_submit()
            self._freed.clear()
            await _at_most(self._freed.wait(), 1.0)
        stop.check_submit()
        return self.occupied()

    def occupied(self) -> Slot:
        """A slot for a task that is at the API already, also above the limit."""
        self._used += 1
        return Slot(self)

    def halve(self) -> None:
        """The account is full: half as many tasks at once for the rest of this run, but one at least. While more are
        there than that, another refusal tells nothing new.
        """
        if self._used <= self._limit:
            self._limit = max(1, self._limit // 2)

    @property
    def open(self) -> int:
        """So many at once, without the places of tasks in doubt and of those that are waited for no longer."""
        return max(0, self._limit - len(self._held) - self._lost)

    def _free_in(self, seconds: float) -> None:
        loop, place = asyncio.get_running_loop(), object()
        self._held[place] = loop.time() + max(0.0, seconds)
        loop.call_at(self._held[place], self._free_held, place)

    def _free_held(self, place: object) -> None:
        del self._held[place]
        self._free()

    def _free(self) -> None:
        self._used -= 1
        self._freed.set()

    def _lose(self) -> None:
        self._lost += 1
        self._freed.set()


class Slot:
    """One task's place at the API. Leaving the `with` frees it, unless it was said when it will be free instead."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._kept = False

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._kept:
            self._slots._free()

    def free_in(self, seconds: float) -> None:
        self._kept = True
        self._slots._free_in(seconds)

    def lose(self) -> None:
        """Its task is still at the API and this run waits for it no longer."""
        self._kept = True
        self._slots._lose()


async def _at_most(waiting: Awaitable[object], seconds: float) -> None:
    try:
        await asyncio.wait_for(waiting, seconds)
    except TimeoutError:
        return
