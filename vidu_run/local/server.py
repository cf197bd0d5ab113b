"""The local API over HTTP: routes, checks, and a few render threads. Listens on loopback alone."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from vidu_run.errors import StorageTrouble
from vidu_run.local import shapes
from vidu_run.local.inspect import Refused, body_checker, check_body, take_images
from vidu_run.local.render import Scene, render
from vidu_run.local.tasks import FAILED, PROCESSING, SUCCESS, Task, Tasks
from vidu_run.price import Prices
from vidu_run.providers.catalogue import provider, request_schema
from vidu_run.providers.pricing import credits_for, effective, prices
from vidu_run.providers.rules import Provider

HOST = "127.0.0.1"
RENDER_THREADS = 2
MOST_SEED = 2**31 - 1
READ_TIMEOUT = 120.0
"""Seconds for a whole request body."""

Shape = Callable[[Task, str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Rules:
    provider: Provider
    checker: Any
    prices: Prices
    reply: Callable[[Task], dict[str, Any]]


class LocalApi:
    """`folder` keeps tasks, frames and videos; `quick` renders with the least effort, for tests."""

    def __init__(self, folder: Path, quick: bool = False) -> None:
        self._tasks = Tasks(folder)
        self._quick = quick
        self._pool = ThreadPoolExecutor(RENDER_THREADS, thread_name_prefix="render")
        self._rendering: set[asyncio.Task[None]] = set()
        self._closing = False

    def application(self) -> web.Application:
        app = web.Application(middlewares=[_refusals], client_max_size=1 << 10)
        gateway, official = self._rules("octopusx", shapes.gateway_submit), self._rules("vidu", shapes.official_submit)
        app.router.add_post(gateway.provider.routes.submit, self._submit(gateway))
        app.router.add_post(official.provider.routes.submit, self._submit(official))
        app.router.add_get("/vidu/ent/v2/task/{id}/creations", self._query(shapes.gateway_query))
        app.router.add_get("/v1/video/query", self._query(shapes.gateway_unified))
        app.router.add_get("/ent/v2/tasks/{id}/creations", self._query(shapes.official_query))
        app.router.add_get("/files/{id}.mp4", self._file)
        app.on_startup.append(self._resume)
        app.on_cleanup.append(self._close)
        return app

    @staticmethod
    def _rules(name: str, reply: Callable[[Task], dict[str, Any]]) -> _Rules:
        found = provider(name)
        return _Rules(found, body_checker(request_schema(found)), prices(found), reply)

    def _submit(self, rules: _Rules) -> Callable[[web.Request], Awaitable[web.Response]]:
        limits = rules.provider.limits

        async def handler(request: web.Request) -> web.Response:
            if request.content_type != "application/json":
                raise Refused("BadRequest", "the content type must be application/json")
            body = check_body(await _read(request, limits.body_bytes), rules.checker)
            images = body.pop("images")
            frames = await asyncio.to_thread(take_images, images, self._tasks.folder / "inputs", limits)
            made = effective(rules.provider, body)
            task = self._tasks.create(
                body,
                tuple(frame.store_name for frame in frames),
                body.get("seed") or 1 + secrets.randbelow(MOST_SEED),
                made.seconds,
                made.resolution,
                credits_for(rules.provider, rules.prices, body),
            )
            self._start(task)
            return web.json_response(rules.reply(task))

        return handler

    def _query(self, shape: Shape) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(request: web.Request) -> web.Response:
            task = self._tasks.get(request.match_info.get("id") or request.query.get("id", ""))
            if task is None:
                return _problem(404, "TaskNotFound", "no such task")
            return web.json_response(shape(task, f"{request.scheme}://{request.host}/files/{task.id}.mp4"))

        return handler

    async def _file(self, request: web.Request) -> web.StreamResponse:
        task = self._tasks.get(request.match_info["id"])
        if task is None or task.state != SUCCESS:
            return _problem(404, "CreationNotFound", "no such file")
        return web.FileResponse(self._tasks.video(task.id), headers={"Content-Type": "video/mp4"})

    async def _resume(self, app: web.Application) -> None:
        for task in self._tasks.unfinished():
            self._start(task)

    async def _close(self, app: web.Application) -> None:
        self._closing = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for work in self._rendering:
            work.cancel()

    def _start(self, task: Task) -> None:
        work = asyncio.create_task(self._render(task))
        self._rendering.add(work)
        work.add_done_callback(self._rendering.discard)

    async def _render(self, task: Task) -> None:
        loop = asyncio.get_running_loop()
        task = self._tasks.move(task, PROCESSING)
        try:
            await loop.run_in_executor(self._pool, self._draw, task)
            self._tasks.move(task, SUCCESS)
        except (ValueError, OSError, StorageTrouble) as error:
            if not self._closing:
                self._tasks.move(task, FAILED, str(error))

    def _draw(self, task: Task) -> None:
        first, last = (self._tasks.input(name).read_bytes() for name in task.images)
        label = f"rehearsal · seed {task.seed}"
        target = self._tasks.video(task.id)
        target.parent.mkdir(parents=True, exist_ok=True)
        render(Scene(first, last, task.seconds, task.resolution, task.seed, label, self._quick), target)


async def _read(request: web.Request, most: int) -> bytes:
    """The body, refused while it is read as soon as it is too large."""
    content = bytearray()
    async with asyncio.timeout(READ_TIMEOUT):
        async for chunk in request.content.iter_any():
            content += chunk
            if len(content) > most:
                raise web.HTTPRequestEntityTooLarge(most, len(content))
    return bytes(content)


@web.middleware
async def _refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refusal:
        return _problem(400, refusal.code, str(refusal))
    except web.HTTPRequestEntityTooLarge:
        return _problem(413, "BadRequest", "the body is larger than the API takes")
    except TimeoutError:
        return _problem(408, "BadRequest", "the body did not arrive in time")
    except StorageTrouble as error:
        return _problem(500, "InternalServiceFailure", str(error))
    except web.HTTPException as error:
        return _problem(error.status, "NotFound" if error.status == 404 else "BadRequest", error.reason)


def _problem(status: int, code: str, message: str) -> web.Response:
    return web.json_response(shapes.envelope(status, code, message, secrets.token_hex(16)), status=status)


@asynccontextmanager
async def serving(folder: Path, port: int = 0, quick: bool = False) -> AsyncIterator[str]:
    """Run the API on the present loop; yields its base URL. `port` 0 takes a free one."""
    runner = web.AppRunner(LocalApi(folder, quick).application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        host, bound = runner.addresses[0][:2]
        yield f"http://{host}:{bound}"
    finally:
        await runner.cleanup()
