"""Keeps connections from piling up: those on which nothing is asked are dropped. Never one with a request in work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

ROUND = 0.5
"""Seconds between two looks."""


class Guard:
    """`idle` seconds a connection may stay without a whole request head; of more than `most` the oldest idle go."""

    def __init__(self, idle: float, most: int) -> None:
        self._idle = idle
        self._most = most
        self._busy: set[Any] = set()
        self._quiet: dict[Any, float] = {}

    @contextmanager
    def working(self, request: BaseRequest) -> Iterator[None]:
        """While this lasts, the request's connection is not idle."""
        self._busy.add(request.protocol)
        try:
            yield
        finally:
            self._busy.discard(request.protocol)
            self._quiet.pop(request.protocol, None)

    def middleware(self) -> Any:
        @web.middleware
        async def watched(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            with self.working(request):
                return await handler(request)

        return watched

    @asynccontextmanager
    async def patrolling(self, runner: web.AppRunner) -> AsyncIterator[None]:
        work = asyncio.create_task(self._patrol(runner))
        try:
            yield
        finally:
            work.cancel()

    async def _patrol(self, runner: web.AppRunner) -> None:
        while True:
            self._look(runner.server.connections if runner.server else [], asyncio.get_running_loop().time())
            await asyncio.sleep(ROUND)

    def _look(self, connections: list[Any], now: float) -> None:
        self._quiet = {one: self._quiet.get(one, now) for one in connections if one not in self._busy}
        oldest = sorted(self._quiet, key=self._quiet.__getitem__)
        too_many = set(oldest[: max(0, len(connections) - self._most)])
        for one in oldest:
            if one in too_many or now - self._quiet[one] > self._idle:
                one.force_close()


class Sending(web.FileResponse):
    """A file that is sent after its handler has ended, and its connection not idle meanwhile."""

    def __init__(self, path: Path, guard: Guard, content_type: str) -> None:
        super().__init__(path, headers={"Content-Type": content_type})
        self._guard = guard

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        with self._guard.working(request):
            return await super().prepare(request)
