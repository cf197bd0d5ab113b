"""The local API over HTTP: routes, refusals, and two threads that render. Listens on loopback alone."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from aiohttp import web
from filelock import Timeout

from vidu_run.errors import HeldElsewhere, StorageTrouble, UsageTrouble
from vidu_run.files import sync
from vidu_run.local import openapi, shapes
from vidu_run.local.account import USUAL as ANY_KEY
from vidu_run.local.account import Account, Accounts, Terms
from vidu_run.local.cache import drawn
from vidu_run.local.faults import Faults
from vidu_run.local.guard import Guard, Sending
from vidu_run.local.inspect import body_checker, check_body, check_cancel, mark_source, take_images, take_mark
from vidu_run.local.links import Links
from vidu_run.local.listing import asked, page
from vidu_run.local.manner import PLAIN, Manner
from vidu_run.local.queue import Queue
from vidu_run.local.refused import Refused
from vidu_run.local.scenes import scene_of
from vidu_run.local.tasks import FAILED, PROCESSING, SUCCESS, USUAL_ROOM, Room, Task, Tasks, new_task
from vidu_run.local.tempo import OFF_PEAK_WAIT, making_seconds
from vidu_run.local.wire import LOG, Handler, read_body, refusals
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
MOST_CANCEL = 65_536
"""Bytes of a body that says which task to cancel."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`body_seconds` for a whole request body; `unfinished` tasks of an account at once, as many as the usage page lets
    one submit (platform.vidu.com/docs/usage-and-limits), and of all accounts together no more than `unfinished_bytes`;
    `idle_seconds` for a connection on which nothing is asked, and `connections` before the oldest of those go."""

    body_seconds: float = 120.0
    unfinished: int = 1000
    unfinished_bytes: int = 256_000_000
    idle_seconds: float = 60.0
    connections: int = 500
    room: Room = USUAL_ROOM


USUAL = Bounds()


@dataclass(frozen=True, slots=True)
class _Rules:
    provider: Provider
    checker: Any
    prices: Prices
    reply: Callable[[Task], dict[str, Any]]


class LocalApi:
    """`folder` keeps tasks, frames and videos; `quick` renders with the least effort, for tests."""

    def __init__(
        self, folder: Path, quick: bool = False, bounds: Bounds = USUAL, terms: Terms = ANY_KEY, manner: Manner = PLAIN
    ) -> None:
        self._tasks = Tasks(folder, bounds.room)
        self._accounts = Accounts(terms, self._tasks.spent)
        self._cache = folder / "cache"
        self._quick = quick
        self._bounds = bounds
        self._speed = terms.speed
        self._links = Links(manner.links)
        self._faults = Faults(manner.faults, manner.seed, self._tasks.video)
        self.guard = Guard(bounds.idle_seconds, bounds.connections)
        self._threads = asyncio.Semaphore(RENDER_THREADS)
        self._queue = Queue(self._make, terms.concurrency, OFF_PEAK_WAIT / terms.speed if terms.speed else 0.0)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.guard.middleware(), self._faults.middleware, refusals])
        for name, reply in (("octopusx", shapes.gateway_submit), ("vidu", shapes.official_submit)):
            rules = self._rules(name, reply)
            app.router.add_post(rules.provider.routes.submit, self._submit(rules))
        app.router.add_get("/vidu/ent/v2/task/{id}/creations", self._query(shapes.gateway_query))
        app.router.add_get("/v1/video/query", self._query(shapes.gateway_unified))
        app.router.add_get("/ent/v2/tasks/{id}/creations", self._query(shapes.official_query))
        app.router.add_post("/ent/v2/tasks/{id}/cancel", self._cancel)
        app.router.add_get("/ent/v2/tasks", self._list)
        app.router.add_get("/ent/v2/credits", self._credits)
        app.router.add_get("/files/{id}.mp4", self._file)
        app.router.add_get(openapi.PATH, self._describe)
        app.on_startup.append(self._resume)
        app.on_cleanup.append(self._leave)
        return app

    @staticmethod
    def _rules(name: str, reply: Callable[[Task], dict[str, Any]]) -> _Rules:
        found = provider(name)
        return _Rules(found, body_checker(request_schema(found)), prices(found), reply)

    def _account(self, request: web.Request) -> Account:
        account = self._accounts.of(request.headers.get("Authorization"))
        account.ask(asyncio.get_running_loop().time())
        return account

    def _submit(self, rules: _Rules) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            account = self._account(request)
            if request.content_type != "application/json":
                raise Refused("BadRequest", "the content type must be application/json")
            self._check_quota(account)
            body = await read_body(request, rules.provider.limits.body_bytes, self._bounds.body_seconds)
            wanted = await asyncio.to_thread(check_body, body, rules.checker)
            del body
            links = [*wanted["images"], *mark_source(wanted)]
            fetched = await self._links.fetched(links, rules.provider.limits.file_bytes)
            task, size = await self._paid(account, wanted, fetched, rules)
            self._tasks.hold(task, size)
            self._start(task)
            return web.json_response(rules.reply(task))

        return handler

    async def _paid(
        self, account: Account, wanted: dict[str, Any], fetched: Mapping[str, bytes], rules: _Rules
    ) -> tuple[Task, int]:
        """Charge for a task, and store it; what could not be stored is given back."""
        charge = credits_for(rules.provider, rules.prices, wanted)
        self._check_quota(account)
        account.charge(charge or 0)
        account.coming += 1
        try:
            return await asyncio.to_thread(self._accept, wanted, fetched, rules, charge, account.name)
        except BaseException:
            account.give_back(charge or 0)
            raise
        finally:
            account.coming -= 1

    def _check_quota(self, account: Account) -> None:
        here = self._queue.running(account.name) + self._queue.waiting(account.name) + account.coming
        if here >= self._bounds.unfinished:
            raise Refused("QuotaExceeded", f"{here} tasks are unfinished", 429)
        if self._tasks.held_bytes >= self._bounds.unfinished_bytes:
            raise Refused("SystemThrottling", "the unfinished tasks fill the memory they may have", 429)

    def _accept(
        self, request: dict[str, Any], fetched: Mapping[str, bytes], rules: _Rules, charge: int | None, account: str
    ) -> tuple[Task, int]:
        inputs, limits = self._tasks.inputs, rules.provider.limits
        images = take_images(request.pop("images"), inputs, limits, fetched)
        mark = take_mark(request, inputs, limits, fetched)
        made = effective(rules.provider, request)
        music = request.get("bgm") is True and "bgm" not in rules.provider.models[made.model].ignores
        task = new_task(request, images, made, charge, account, music, mark)
        return task, self._tasks.store(task)

    def _query(self, shape: Shape) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            return web.json_response(shape(task := self._own(request), _link(request, task)))

        return handler

    def _own(self, request: web.Request) -> Task:
        """The task that is asked about, if it is one of the asking account."""
        account = self._account(request)
        task = self._tasks.get(request.match_info.get("id") or request.query.get("id", ""))
        if task is None or task.account != account.name:
            raise Refused("TaskNotFound", "no such task", 404)
        return task

    async def _cancel(self, request: web.Request) -> web.Response:
        task = self._own(request)
        body = await read_body(request, MOST_CANCEL, self._bounds.body_seconds)
        check_cancel(body, task.id)
        if not self._queue.take_out(task):
            state = (self._tasks.get(task.id) or task).state
            raise Refused("BadRequest", f"task state is {state}, can not cancel")
        self._accounts.named(task.account).give_back(task.charge)
        self._tasks.move(task, FAILED, "cancelled by the user", shapes.CANCELLED)
        return web.json_response({})

    async def _list(self, request: web.Request) -> web.Response:
        account = self._account(request)
        wanted = asked(list(request.query.items()), time.time())
        rows, token = page(self._tasks.held(account.name), wanted)
        shown = [shapes.official_row(task, _link(request, task)) for task in rows]
        return web.json_response({"next_page_token": token, "tasks": shown})

    async def _credits(self, request: web.Request) -> web.Response:
        account = self._account(request)
        running, waiting = self._queue.running(account.name), self._queue.waiting(account.name)
        detail = request.query.get("show_detail", "").lower() == "true"
        return web.json_response(shapes.official_credits(account, running, waiting, detail))

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """Without a key, as behind any result link: the task's id is the secret."""
        task = self._tasks.get(request.match_info["id"])
        if task is None or task.state != SUCCESS or not self._tasks.video(task.id).is_file():
            raise Refused("CreationNotFound", "no such file", 404)
        return Sending(self._tasks.video(task.id), self.guard, "video/mp4")

    @staticmethod
    async def _describe(request: web.Request) -> web.Response:
        return web.json_response(openapi.document())

    async def _resume(self, app: web.Application) -> None:
        for task in self._tasks.unfinished():
            self._start(task)

    async def _leave(self, app: web.Application) -> None:
        await self._queue.close()

    def _start(self, task: Task) -> None:
        if not self._queue.put(task):
            self._tasks.queue(task)

    async def _make(self, task: Task) -> None:
        begun = asyncio.get_running_loop().time()
        try:
            task = self._tasks.move(task, PROCESSING)
            await self._faults.at_the_start(task.id)
            async with self._threads:
                await _in_thread(partial(self._draw, task))
            await self._until(task, begun)
            self._faults.at_the_end(task.id)
            self._tasks.move(task, SUCCESS)
        except Exception as error:  # a task that cannot be made has failed, whatever the reason
            self._accounts.named(task.account).give_back(task.charge)
            with suppress(StorageTrouble):
                self._tasks.move(task, FAILED, str(error) or type(error).__name__)

    async def _until(self, task: Task, begun: float) -> None:
        """Nothing is ready sooner than a service would have it."""
        if self._speed is not None:
            whole = making_seconds(task.model, task.resolution, task.seconds) / self._speed
            await asyncio.sleep(max(0.0, begun + whole - asyncio.get_running_loop().time()))

    def _draw(self, task: Task, stopped: Callable[[], bool]) -> None:
        target = self._tasks.video(task.id)
        drawn(scene_of(task, self._tasks.inputs, self._quick), target, self._cache, stopped)
        sync(target)
        sync(target.parent)


def _link(request: web.Request, task: Task) -> str:
    return f"{request.scheme}://{request.host}/files/{task.id}.mp4"


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


@asynccontextmanager
async def serving(
    folder: Path,
    port: int = 0,
    quick: bool = False,
    bounds: Bounds = USUAL,
    terms: Terms = ANY_KEY,
    manner: Manner = PLAIN,
) -> AsyncIterator[str]:
    """Run the API on the present loop; yields its base URL. `port` 0 takes a free one.

    Raises StorageTrouble for the folder, HeldElsewhere where another server works in it, UsageTrouble for the port.
    """
    with _held(folder):
        api = LocalApi(folder, quick, bounds, terms, manner)
        runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=PARTING, logger=LOG)
        try:
            await runner.setup()
            await _listen(runner, port)
            host, bound = runner.addresses[0][:2]
            async with api.guard.patrolling(runner):
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
