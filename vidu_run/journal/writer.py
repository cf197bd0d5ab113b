"""One thread that writes to one SQLite file: waiting operations share a commit, and one that fails undoes itself alone.

The first commit that fails poisons the writer: what was promised durable is not, so nothing may follow.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from vidu_run.errors import StorageTrouble

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], Any]
MOST_AT_ONCE = 512

GATHERING = 0.004
"""Seconds between two commits, in which operations gather: an fsync for each of many would cost more than they do."""


class _Waiting:
    """An operation, and the future of the loop that waits for its commit."""

    __slots__ = ("error", "future", "loop", "operation", "result")

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.result: Any = None
        self.error: Exception | None = None

    def resolve(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


def _answer(batch: list[_Waiting]) -> None:
    """One call for each loop: to wake a loop costs more than a commit that many share."""
    for loop in {waiting.loop for waiting in batch}:
        loop.call_soon_threadsafe(_resolve, [waiting for waiting in batch if waiting.loop is loop])


def _resolve(batch: list[_Waiting]) -> None:
    for waiting in batch:
        waiting.resolve()


class Writer:
    def __init__(self, connect: Callable[[], sqlite3.Connection], path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._poison: StorageTrouble | None = None
        self._committed = 0.0
        self._connect = connect
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    @property
    def broken(self) -> bool:
        return self._poison is not None

    async def do(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run `operation` in the writer's thread; returns after its commit. Cancelling the wait undoes nothing.

        It may be run twice, the first time undone, because another one failed.
        """
        if self._poison is not None:
            raise StorageTrouble(str(self._poison))
        waiting = _Waiting(operation)
        self._queue.put(waiting)
        result: T = await waiting.future
        return result

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            db = self._connect()
        except (sqlite3.Error, StorageTrouble) as error:
            self._fail([], error)
            db = None
        while (batch := self._next()) is not None:
            self._commit(db, batch)
        if db is not None:
            db.close()

    def _next(self) -> list[_Waiting] | None:
        first = self._queue.get()
        if first is None:
            return None
        if (early := self._committed + GATHERING - time.monotonic()) > 0:
            time.sleep(early)
        batch = [first]
        while len(batch) < MOST_AT_ONCE and not self._queue.empty():
            more = self._queue.get()
            if more is None:
                self._queue.put(None)
                break
            batch.append(more)
        return batch

    def _commit(self, db: sqlite3.Connection | None, batch: list[_Waiting]) -> None:
        if db is None or self._poison is not None:
            self._fail(batch, self._poison or StorageTrouble(f"{self._path}: not open"))
            return
        try:
            db.execute("BEGIN IMMEDIATE")
            if not self._together(db, batch):
                db.execute("ROLLBACK")
                db.execute("BEGIN IMMEDIATE")
                for waiting in batch:
                    self._savepoint(db, waiting)
            db.execute("COMMIT")
            self._committed = time.monotonic()
        except sqlite3.Error as error:
            self._fail(batch, error)
            return
        _answer(batch)

    @staticmethod
    def _together(db: sqlite3.Connection, batch: list[_Waiting]) -> bool:
        """Whether all of them succeeded: nearly always, and each statement is another turn for the lock that Python's
        threads share, which a savepoint for each would take twice more.
        """
        try:
            for waiting in batch:
                waiting.result = waiting.operation(db)
        except sqlite3.IntegrityError:
            return False
        except sqlite3.DatabaseError:
            raise
        except Exception:
            return False
        return True

    @staticmethod
    def _savepoint(db: sqlite3.Connection, waiting: _Waiting) -> None:
        db.execute("SAVEPOINT one")
        try:
            waiting.result = waiting.operation(db)
        except sqlite3.IntegrityError as error:
            waiting.error = error
            db.execute("ROLLBACK TO one")
        except sqlite3.DatabaseError:
            raise
        except Exception as error:
            waiting.error = error
            db.execute("ROLLBACK TO one")
        db.execute("RELEASE one")

    def _fail(self, batch: list[_Waiting], error: Exception) -> None:
        if self._poison is None:
            self._poison = StorageTrouble(
                f"{self._path}: cannot be written ({error}). Nothing was sent after this; "
                "free the disk or mend the folder, then run the same command again."
            )
        for waiting in batch:
            waiting.error = self._poison
        _answer(batch)
