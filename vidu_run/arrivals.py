"""Videos that are whole get their names, as many in one errand as wait for it: a sync of their folder serves all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vidu_run.errors import StorageTrouble
from vidu_run.files import sync, writing
from vidu_run.shelf import place


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A download beside its final name, the name inside the output folder, and who waits until it is durable there."""

    part: Path
    file: str
    sha256: str
    placed: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Arrivals:
    """One for each run."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._waiting: list[_Arrival] = []
        self._working: asyncio.Task[None] | None = None

    async def place(self, part: Path, file: str, sha256: str) -> None:
        """Sync a verified download and give it its name, durable on return. Raises StorageTrouble; then `part` is gone
        where it has no name.
        """
        arrival = _Arrival(part, file, sha256)
        self._waiting.append(arrival)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        try:
            await arrival.placed
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            ends: Sequence[Exception | None]
            try:
                ends = await asyncio.to_thread(_placed, self._out, batch)
            except Exception as error:
                ends = [error] * len(batch)
            for arrival, end in zip(batch, ends, strict=True):
                if arrival.placed.done():
                    continue
                if end is None:
                    arrival.placed.set_result(None)
                else:
                    arrival.placed.set_exception(end)


def _placed(out: Path, batch: Sequence[_Arrival]) -> list[Exception | None]:
    """What kept each from its name; None where it has it for good."""
    folders: dict[Path, Exception | None] = {}
    ends: list[Path | Exception] = []
    for arrival in batch:
        try:
            folder = place(out, arrival.part, arrival.file, arrival.sha256)
        except Exception as error:
            ends.append(error)
        else:
            folders[folder] = None
            ends.append(folder)
    for folder in folders:
        try:
            with writing(folder):
                sync(folder)
        except StorageTrouble as error:
            folders[folder] = error
    return [end if isinstance(end, Exception) else folders[end] for end in ends]
