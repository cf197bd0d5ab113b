"""Makes the local API misbehave on request, by chance and repeatably. It decides what goes wrong; it makes no task."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from vidu_run.local import shapes
from vidu_run.providers.catalogue import PROVIDER_NAMES, provider

ROUTES = [provider(name).routes for name in PROVIDER_NAMES]
SUBMITS = {routes.submit for routes in ROUTES}
LISTS = {routes.list for routes in ROUTES if routes.list}
FILES = "/files/"

SLOW = 3.0
LAG = 5.0
"""Seconds that `slow` holds an answer back, and that `list-lag` keeps a task out of the list."""
GLANCE = 0.5
"""Seconds between looks whether a client that gets no answer is still there."""
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends a reset."""
HTML = "<!doctype html><title>Gateway</title><p>The service is warming up.</p>"
FORBIDDEN = "<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"


class MadeToFail(Exception):
    """A task was chosen by `fail`."""


class Dice:
    """A generator for each fault: how often one is asked about changes nothing for the others."""

    def __init__(self, chances: Mapping[str, float], seed: int | None) -> None:
        self._chances = chances
        self.seed = secrets.randbelow(1_000_000) if seed is None else seed
        self._generators = {name: random.Random(f"{self.seed}/{name}") for name in chances}

    def __bool__(self) -> bool:
        return bool(self._chances)

    def hits(self, name: str) -> bool:
        return name in self._chances and self._generators[name].random() < self._chances[name]

    def first(self, *names: str) -> str | None:
        """The first that hits; all are asked, so that each draws once for each request."""
        return next(iter([name for name in names if self.hits(name)]), None)


class Faults:
    """`video` names the file of a task. Each fault that happens is one line on standard error."""

    def __init__(self, chances: Mapping[str, float], seed: int | None, video: Callable[[str], Path]) -> None:
        self._dice = Dice(chances, seed)
        self._video = video
        self._seen: set[str] = set()
        self._listed_from: dict[str, float] = {}
        if self._dice:
            told = ",".join(f"{name}={chance:g}" for name, chance in chances.items())
            _tell(f"faults: {told}, seed {self._dice.seed}")

    async def at_the_start(self, task_id: str) -> None:
        """Returns never for a task that is `stuck`."""
        if self._dice.hits("stuck"):
            _happened("stuck", task_id)
            await asyncio.Event().wait()

    def at_the_end(self, task_id: str) -> None:
        """Raises MadeToFail."""
        if self._dice.hits("fail"):
            _happened("fail", task_id)
            raise MadeToFail("the service could not make this video (a fault on request)")

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def faulty(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._dice:
                return await handler(request)
            if request.path.startswith(FILES):
                return await self._download(request, handler)
            return await self._call(request, handler)

        return faulty

    async def _call(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        submit = request.method == "POST" and request.path in SUBMITS
        early = self._dice.first("reset", "500", "429", *(["moderation"] if submit else []))
        late = self._dice.first("lost-reply", "500-accepted", "html", "timeout") if submit else None
        slow = self._dice.hits("slow")
        if early:
            _happened(early, _place(request))
            return _instead(early, request)
        answer = await handler(request)
        if submit and answer.status == 200:
            answer = await self._accepted(late, request, answer)
        elif request.method == "GET" and request.path in LISTS and answer.status == 200:
            answer = self._without_the_latest(answer)
        if slow:
            _happened("slow", _place(request))
            await asyncio.sleep(SLOW)
        return answer

    async def _accepted(
        self, fault: str | None, request: web.Request, answer: web.StreamResponse
    ) -> web.StreamResponse:
        task_id = _document(answer)["task_id"]
        if self._dice.hits("list-lag"):
            self._listed_from[task_id] = time.monotonic() + LAG
        if fault is None:
            return answer
        _happened(fault, task_id)
        if fault == "timeout":
            await _gone(request)
        return _instead(fault, request)

    def _without_the_latest(self, answer: web.StreamResponse) -> web.StreamResponse:
        document = _document(answer)
        now = time.monotonic()
        late = {row["id"] for row in document["tasks"] if self._listed_from.get(row["id"], now) > now}
        if not late:
            return answer
        for task_id in sorted(late):
            _happened("list-lag", task_id)
        return web.json_response({**document, "tasks": [row for row in document["tasks"] if row["id"] not in late]})

    async def _download(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        task_id = request.match_info.get("id", "")
        answer = await handler(request)
        if answer.status != 200 or request.method != "GET":
            return answer
        first = task_id not in self._seen
        self._seen.add(task_id)
        if first and self._dice.hits("bad-link"):
            _happened("bad-link", task_id)
            return web.Response(status=403, text=FORBIDDEN, content_type="application/xml")
        if self._dice.hits("cut-video"):
            _happened("cut-video", task_id)
            return await _half(request, await asyncio.to_thread(self._video(task_id).read_bytes))
        return answer


def _instead(fault: str, request: web.Request) -> web.Response:
    """What goes out in place of the answer."""
    match fault:
        case "500" | "500-accepted":
            return _problem(500, shapes.FAULT, "internal service failure")
        case "429":
            return _problem(429, "TooManyRequests", "too frequent", {"Retry-After": "1"})
        case "moderation":
            return _problem(400, "TaskPromptPolicyViolation", "the prompt was refused")
        case "html":
            return web.Response(text=HTML, content_type="text/html")
        case _:
            _cut(request, fault == "reset")
            return web.Response()


def _problem(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    envelope = shapes.envelope(status, code, f"{message} (a fault on request)", secrets.token_hex(16))
    return web.json_response(envelope, status=status, headers=headers)


def _cut(request: web.Request, reset: bool) -> None:
    if request.transport is None:
        return
    plain = request.transport.get_extra_info("socket")
    if reset and plain is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    request.transport.abort()


async def _gone(request: web.Request) -> None:
    while True:
        await asyncio.sleep(GLANCE)
        if request.transport is None or request.transport.is_closing():
            return


async def _half(request: web.Request, content: bytes) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "video/mp4", "Content-Length": str(len(content))})
    await answer.prepare(request)
    await answer.write(content[: len(content) // 2])
    if request.transport is not None:
        request.transport.close()
    return answer


def _document(answer: web.StreamResponse) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.text or "") if isinstance(answer, web.Response) else {}
    return found


def _place(request: web.Request) -> str:
    return f"{request.method} {request.rel_url.raw_path}"


def _happened(fault: str, where: str) -> None:
    _tell(f"fault: {fault}, {where if ' ' in where else f'task {where}'}")


def _tell(line: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(f"vidu-run: {line}\n")
        sys.stderr.flush()
