"""What ends a run, or makes it wait: the flags that stop it, and the gate before a host that does not answer."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """The run is ending: no new POST, no further wait."""


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

    async def unless(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` comes to; as soon as the run is to end it is cancelled, and Stopped raised."""
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise Stopped
        finally:
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    async def sleep(self, seconds: float, to_submit: bool = False) -> None:
        """Sleep, or raise Stopped as soon as the run is to end; `to_submit`: as soon as it may submit no more."""
        stopped = self._submitting if to_submit else self._waiting
        if not stopped.is_set():
            try:
                await asyncio.wait_for(stopped.wait(), seconds)
            except TimeoutError:
                return
        raise Stopped


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


@contextmanager
def signals(stop: Stop, tell: Callable[[str], None]) -> Iterator[None]:
    """First signal: no new POST, drain, write, leave. Second: leave at once; the journal is sound at any instant."""
    loop = asyncio.get_running_loop()

    def received(number: signal.Signals) -> None:
        if stop.signalled:
            os._exit(128 + number)
        stop.signalled = True
        stop.everything(128 + number, f"stopped by {number.name}")
        tell(f"{number.name}: nothing new is sent; finishing what is on its way (again to leave)")

    for number in SIGNALS:
        loop.add_signal_handler(number, received, number)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
