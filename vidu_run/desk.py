"""What one run works with: the API, the journal, the slots, and the flags that stop it. Decides nothing about money."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from vidu_run.api.client import Api
from vidu_run.api.download import Downloads
from vidu_run.caution import Caution
from vidu_run.journal.port import Limits
from vidu_run.journal.sqlite import SqliteJournal
from vidu_run.pace import Timing


class Stopped(Exception):
    """The run is ending: no new POST, no further wait."""


class NoSlots(Exception):
    """Every slot is held by tasks that this run has given up waiting for."""


class Stop:
    """Two flags, each set once: `submitting` (keep fetching what is paid for) and `waiting` (drain and leave).

    `reasons` are exit codes with a sentence each, in the order they came.
    """

    def __init__(self) -> None:
        self.reasons: list[tuple[int, str]] = []
        self.signalled = False
        self._submitting = asyncio.Event()
        self._waiting = asyncio.Event()

    @property
    def waiting(self) -> bool:
        return self._waiting.is_set()

    async def wait(self) -> None:
        await self._waiting.wait()

    def submits(self, code: int, why: str) -> None:
        if (code, why) not in self.reasons:
            self.reasons.append((code, why))
        self._submitting.set()

    def everything(self, code: int, why: str) -> None:
        self.submits(code, why)
        self._waiting.set()

    def check_submit(self) -> None:
        if self._submitting.is_set():
            raise Stopped

    async def sleep(self, seconds: float, to_submit: bool = False) -> None:
        """Sleep, or raise Stopped as soon as the run is to end; `to_submit`: as soon as it may submit no more."""
        stopped = self._submitting if to_submit else self._waiting
        if not stopped.is_set():
            try:
                await asyncio.wait_for(stopped.wait(), seconds)
            except TimeoutError:
                return
        raise Stopped


class Slots:
    """How many tasks may be at the API at once, as this process sees it; the journal counts them again."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._lost = 0
        self._held = 0
        self._freed = asyncio.Event()

    async def take(self, stop: Stop) -> Slot:
        """Wait for a slot. Raises NoSlots when none will come, Stopped when the run is not to submit any more."""
        while self._used >= self._limit:
            if self._lost >= self._limit:
                raise NoSlots
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
        """The account is full: half as many tasks at once for the rest of this run, but one at least."""
        self._limit = max(1, self._limit // 2)

    @property
    def open(self) -> int:
        """So many at once, without the places of tasks in doubt and of those that are waited for no longer."""
        return max(1, self._limit - self._held - self._lost)

    def _free_in(self, seconds: float) -> None:
        self._held += 1
        asyncio.get_running_loop().call_later(max(0.0, seconds), self._free_held)

    def _free_held(self) -> None:
        self._held -= 1
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


class Gate:
    """While the host does not answer, one request a second in all, however many tasks wait for it."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._next = 0.0
        self.shut = False

    async def through(self, stop: Stop) -> None:
        loop = asyncio.get_running_loop()
        while self.shut and loop.time() < self._next:
            await stop.sleep(self._next - loop.time())
        self._next = loop.time() + self._pause


async def _at_most(waiting: Awaitable[object], seconds: float) -> None:
    try:
        await asyncio.wait_for(waiting, seconds)
    except TimeoutError:
        return


@dataclass(slots=True)
class Desk:
    """`out` is the output folder, `source` the spec's (None where only the state is left). `tell(name, state, text)`
    shows what happened to a job; `waits` False leaves accepted tasks to a later run; `shrink_to` is what a body may
    have in bytes where frames are made lighter; `incomplete` says what this run gave up on though it may still come
    good.
    """

    journal: SqliteJournal
    api: Api
    downloads: Downloads
    out: Path
    source: Path | None
    timing: Timing
    limits: Limits
    tell: Callable[[str, str, str], None]
    stop: Stop
    waits: bool = True
    shrink_to: int | None = None
    started: float = field(default_factory=time.time)
    incomplete: list[str] = field(default_factory=list)
    said: set[str] = field(default_factory=set)
    caution: Caution = field(default_factory=Caution)
    gate: Gate = field(init=False)
    slots: Slots = field(init=False)
    off_peak_slots: Slots = field(init=False)

    def __post_init__(self) -> None:
        self.gate = Gate(self.timing.backoff)
        self.slots = Slots(self.limits.slots)
        self.off_peak_slots = Slots(self.limits.off_peak_slots)

    @property
    def store(self) -> Path:
        return self.out / "frames"

    def slots_of(self, off_peak: bool) -> Slots:
        return self.off_peak_slots if off_peak else self.slots

    def once(self, text: str) -> None:
        """Tell something that holds for the whole run, once."""
        if text not in self.said:
            self.said.add(text)
            self.tell("", "note", text)

    def gave_up(self, name: str, why: str) -> None:
        self.tell(name, "left", why)
        self.incomplete.append(f"{name}: {why}")

    def doubt_counts(self, off_peak: bool) -> float:
        """Seconds after its POST for which a task in doubt may be at the API."""
        return self.limits.off_peak_doubt_counts if off_peak else self.limits.doubt_counts
