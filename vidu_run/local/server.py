"""The local API over HTTP: routes, refusals, and two threads that render. Listens on loopback alone."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from filelock import Timeout

from vidu_run.errors import HeldElsewhere, StorageTrouble, UsageTrouble
from vidu_run.files import sync
from vidu_run.local import shapes
from vidu_run.local.inspect import Refused, body_checker, check_body, take_images
from vidu_run.local.render import Scene, render
from vidu_run.local.tasks import FAILED, PROCESSING, SUCCESS, Task, Tasks, new_task
from vidu_run.lock import os_lock
from vidu_run.price import Prices
from vidu_run.providers.catalogue import provider, request_schema
from vidu_run.providers.pricing import credits_for, effective, prices
from vidu_run.providers.rules import Provider

HOST = "127.0.0.1"
LOCK = "serve.lock"
RENDER_THREADS = 2
PARTING = 1.0
"""Seconds that a request or a render on the way gets when the server ends."""

Shape = Callable[[Task, str], dict[str, Any]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """`body_seconds` for a whole request body; `unfinished` tasks at once, as many as the usage page lets one submit
    (platform.vidu.com/docs/usage-and-limits)."""

    body_seconds: float = 120.0
    unfinished: int = 1000


USUAL = Bounds()


@dataclass(frozen=True, slots=True)
class _Rules:
    provider: Provider
    checker: Any
    prices: Prices
    reply: Callable[[Task], dict[str, Any]]


class LocalApi:
    """`folder` keeps tasks, frames and videos; `quick` renders with the least effort, for tests."""

    def __init__(self, folder: Path, quick: bool = False, bounds: Bounds = USUAL) -> None:
        self._tasks = Tasks(folder)
        self._quick = quick
        self._bounds = bounds
        self._threads = asyncio.Semaphore(RENDER_THREADS)
        self._works: set[asyncio.Task[None]] = set()

    def application(self) -> web.Application:
        app = web.Application(middlewares=[_refusals])
        for name, reply in (("octopusx", shapes.gateway_submit), ("vidu", shapes.official_submit)):
            rules = self._rules(name, reply)
            app.router.add_post(rules.provider.routes.submit, self._submit(rules))
        app.router.add_get("/vidu/ent/v2/task/{id}/creations", self._query(shapes.gateway_query))
        app.router.add_get("/v1/video/query", self._query(shapes.gateway_unified))
        app.router.add_get("/ent/v2/tasks/{id}/creations", self._query(shapes.official_query))
        app.router.add_get("/files/{id}.mp4", self._file)
        app.on_startup.append(self._resume)
        app.on_cleanup.append(self._leave)
        return app

    @staticmethod
    def _rules(name: str, reply: Callable[[Task], dict[str, Any]]) -> _Rules:
        found = provider(name)
        return _Rules(found, body_checker(request_schema(found)), prices(found), reply)

    def _submit(self, rules: _Rules) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            if request.content_type != "application/json":
                raise Refused("BadRequest", "the content type must be application/json")
            if len(self._works) >= self._bounds.unfinished:
                raise Refused("QuotaExceeded", f"{len(self._works)} tasks are unfinished", 429)
            body = await _read(request, rules.provider.limits.body_bytes, self._bounds.body_seconds)
            task = await asyncio.to_thread(self._accept, body, rules)
            self._start(task)
            return web.json_response(rules.reply(task))

        return handler

    def _accept(self, body: bytes, rules: _Rules) -> Task:
        request = check_body(body, rules.checker)
        images = take_images(request.pop("images"), self._tasks.inputs, rules.provider.limits)
        charge = credits_for(rules.provider, rules.prices, request)
        task = new_task(request, images, effective(rules.provider, request), charge)
        self._tasks.add(task)
        return task

    def _query(self, shape: Shape) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            task = self._tasks.get(request.match_info.get("id") or request.query.get("id", ""))
            if task is None:
                raise Refused("TaskNotFound", "no such task", 404)
            return web.json_response(shape(task, f"{request.scheme}://{request.host}/files/{task.id}.mp4"))

        return handler

    async def _file(self, request: web.Request) -> web.StreamResponse:
        task = self._tasks.get(request.match_info["id"])
        if task is None or task.state != SUCCESS or not self._tasks.video(task.id).is_file():
            raise Refused("CreationNotFound", "no such file", 404)
        return web.FileResponse(self._tasks.video(task.id), headers={"Content-Type": "video/mp4"})

    async def _resume(self, app: web.Application) -> None:
        for task in self._tasks.unfinished():
            self._start(task)

    async def _leave(self, app: web.Application) -> None:
        for work in self._works:
            work.cancel()
        await asyncio.gather(*self._works, return_exceptions=True)

    def _start(self, task: Task) -> None:
        work = asyncio.create_task(self._make(task))
        self._works.add(work)
        work.add_done_callback(self._works.discard)

    async def _make(self, task: Task) -> None:
        async with self._threads:
            try:
                task = self._tasks.move(task, PROCESSING)
                await _in_thread(partial(self._draw, task))
                self._tasks.move(task, SUCCESS)
            except Exception as error:  # a task that cannot be made has failed, whatever the reason
                with suppress(StorageTrouble):
                    self._tasks.move(task, FAILED, str(error) or type(error).__name__)

    def _draw(self, task: Task, stopped: Callable[[], bool]) -> None:
        first, last = ((self._tasks.inputs / name).read_bytes() for name in task.images)
        target = self._tasks.video(task.id)
        label = f"rehearsal · seed {task.seed}"
        scene = Scene(first, last, task.seconds, task.resolution, task.seed, label, self._quick)
        render(scene, target, stopped)
        sync(target)
        sync(target.parent)


async def _in_thread(work: Callable[[Callable[[], bool]], None]) -> None:
    """Like `asyncio.to_thread`, but cancelling ends the work too: a render can take a minute, and a process waits for
    its threads. `work` gets a function that says whether to stop."""
    leaving = Event()
    done = asyncio.ensure_future(asyncio.to_thread(work, leaving.is_set))
    try:
        await asyncio.shield(done)
    except asyncio.CancelledError:
        leaving.set()
        await asyncio.wait({done}, timeout=PARTING)
        done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        raise


async def _read(request: web.Request, most: int, seconds: float) -> bytes:
    """The body, refused as soon as it is, or says it will be, too large; unzipped if it came zipped."""
    content = bytearray()
    length = request.content_length or 0
    try:
        async with asyncio.timeout(seconds):
            while length <= most and (chunk := await request.content.readany()):
                content += chunk
                length = max(length, len(content))
    except TimeoutError:
        raise Refused("BadRequest", "the body did not arrive in time", 408) from None
    except (ConnectionError, web.RequestPayloadError):
        raise Refused("BadRequest", "the body did not arrive whole") from None
    if length > most:
        raise Refused("BadRequest", f"the body has more than the {most:,} bytes the API takes", 413)
    return bytes(content)


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refusal:
        return _problem(refusal.status, refusal.code, str(refusal))
    except (StorageTrouble, OSError) as error:
        return _problem(500, shapes.FAULT, str(error))
    except web.HTTPException as error:
        answer = _problem(error.status, "NotFound" if error.status == 404 else "BadRequest", error.reason)
        answer.headers.update({name: value for name, value in error.headers.items() if name == "Allow"})
        return answer


def _problem(status: int, code: str, message: str) -> web.Response:
    return web.json_response(shapes.envelope(status, code, message, secrets.token_hex(16)), status=status)


def _is_ours(record: logging.LogRecord) -> bool:
    """What a client does to its own connection is no news; what goes wrong in a handler is."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | web.RequestPayloadError | ConnectionError)


LOG = logging.getLogger(__name__)
LOG.addFilter(_is_ours)


@asynccontextmanager
async def serving(folder: Path, port: int = 0, quick: bool = False, bounds: Bounds = USUAL) -> AsyncIterator[str]:
    """Run the API on the present loop; yields its base URL. `port` 0 takes a free one.

    Raises StorageTrouble for the folder, HeldElsewhere where another server works in it, UsageTrouble for the port.
    """
    with _held(folder):
        app = LocalApi(folder, quick, bounds).application()
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=PARTING, logger=LOG)
        try:
            await runner.setup()
            await _listen(runner, port)
            host, bound = runner.addresses[0][:2]
            yield f"http://{host}:{bound}"
        finally:
            await runner.cleanup()


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Two servers in one folder would make each other's videos. The lock dies with its process."""
    lock = os_lock(folder.absolute() / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise HeldElsewhere(f"{folder}: another local API works in this folder") from None
    except OSError as error:
        raise StorageTrouble(f"{folder}: cannot be used ({error.strerror or error})") from None
    try:
        yield
    finally:
        lock.release()


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, HOST, port).start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise UsageTrouble(f"cannot listen on {HOST}:{port} ({reason}); --port 0 takes a free port") from None
