"""The least that buys videos and keeps what it bought: what `bare.py` leaves out of durability, and nothing else.

An intent is committed before each POST, which has a connection of its own; its answer, the end and the delivery are
committed too, with an fsync that all share who wait for it; tasks are asked about a hundred at a time; each video is
synced before it has its name. No checks, no adapting, no second chance, no page. What a run costs above this is
vidu-run's own; what this costs above `bare.py` is the price of durability on this stack.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sqlite3
import threading
import time
from pathlib import Path

import aiohttp
from bare import parser, requests

TABLE = """
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE attempts (id INTEGER PRIMARY KEY, state TEXT, task TEXT UNIQUE, at REAL, url TEXT, size INTEGER)
"""
INTEND = "INSERT INTO attempts (id, state) VALUES (?, 'intent')"
SETTLE = "UPDATE attempts SET state = 'submitted', task = ?, at = ? WHERE id = ?"
READY = "UPDATE attempts SET state = 'ready', url = ? WHERE id = ?"
DONE = "UPDATE attempts SET state = 'done', url = NULL, size = ? WHERE id = ?"

Waiting = tuple[str, tuple[object, ...], asyncio.Future[None]]


class State:
    """One thread that writes; what waits while it syncs goes into the next commit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    async def write(self, statement: str, *values: object) -> None:
        done: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((statement, values, done))
        await done

    def _work(self) -> None:
        db = sqlite3.connect(self._path, isolation_level=None)
        db.executescript(TABLE)
        while True:
            batch = [self._queue.get()]
            time.sleep(0.004)
            while not self._queue.empty():
                batch.append(self._queue.get())
            db.execute("BEGIN IMMEDIATE")
            for statement, values, _ in batch:
                db.execute(statement, values)
            db.execute("COMMIT")
            self._loop.call_soon_threadsafe(self._answer, batch)

    @staticmethod
    def _answer(batch: list[Waiting]) -> None:
        for _, _, done in batch:
            done.set_result(None)


class Lists:
    """Asks about all tasks that may have ended, a hundred in a request; `usual` is how long one takes."""

    def __init__(self, session: aiohttp.ClientSession, url: str, usual: float) -> None:
        self._session = session
        self._url = url
        self._usual = usual
        self._due: dict[str, float] = {}
        self._waiting: dict[str, asyncio.Future[str]] = {}

    async def link(self, task: str) -> str:
        self._due[task] = time.monotonic() + self._usual
        self._waiting[task] = asyncio.get_running_loop().create_future()
        return await self._waiting[task]

    async def work(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            now = time.monotonic()
            due = [task for task, at in self._due.items() if at <= now]
            for start in range(0, len(due), 100):
                await self._ask(due[start : start + 100], now + 0.1)

    async def _ask(self, tasks: list[str], again: float) -> None:
        async with self._session.get(f"{self._url}?pagesz=100&task_ids={','.join(tasks)}") as reply:
            rows = json.loads(await reply.read())["tasks"]
        for row in rows:
            self._due[row["id"]] = again
            if row["state"] == "success":
                del self._due[row["id"]]
                self._waiting.pop(row["id"]).set_result(row["creations"][0]["url"])


def give_name(part: Path, target: Path) -> None:
    descriptor = os.open(part, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    part.replace(target)


async def main() -> None:
    words = parser(__doc__)
    words.add_argument("--usual", type=float, default=2.0)
    wish = words.parse_args()
    slots, downloads = asyncio.Semaphore(wish.concurrency), asyncio.Semaphore(8)
    state = State(wish.out / "state.db")
    once = aiohttp.TCPConnector(force_close=True, limit=0)

    async def job(number: int, request: dict[str, object]) -> None:
        part = wish.out / f"{number}.mp4.part"
        async with slots:
            await state.write(INTEND, number)
            async with posts.post(f"{wish.url}/ent/v2/start-end2video", json=request) as reply:
                task = (await reply.json())["task_id"]
            await state.write(SETTLE, task, time.time(), number)
            link = await lists.link(task)
            await state.write(READY, link, number)
        async with downloads, queries.get(link) as reply:
            part.write_bytes(await reply.read())
        await asyncio.to_thread(give_name, part, part.with_suffix(""))
        await state.write(DONE, part.with_suffix("").stat().st_size, number)

    async with aiohttp.ClientSession() as queries, aiohttp.ClientSession(connector=once) as posts:
        lists = Lists(queries, f"{wish.url}/ent/v2/tasks", wish.usual)
        asking = asyncio.create_task(lists.work())
        await asyncio.gather(*(job(*asked) for asked in requests(wish.frame, wish.jobs)))
        asking.cancel()


if __name__ == "__main__":
    asyncio.run(main())
