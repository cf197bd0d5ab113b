"""The local API's tasks: a JSON file each, their frames and videos beside them; a restart goes on where it stopped."""

from __future__ import annotations

import json
import secrets
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vidu_run.errors import StorageTrouble
from vidu_run.files import write_durably
from vidu_run.providers.rules import Effective

CREATED, PROCESSING, SUCCESS, FAILED = "created", "processing", "success", "failed"
MOST_SEED = 2**31 - 1
TAKING = ".taking-"
"""How the folder begins in which the images of one request lie until they have passed."""


@dataclass(frozen=True, slots=True)
class Task:
    """`request` is the body without its images; `images` are file names in the `inputs` folder. Times: Unix seconds."""

    id: str
    state: str
    request: dict[str, Any]
    images: tuple[str, ...]
    seed: int
    seconds: int
    resolution: str
    audio: bool
    credits: int | None
    created_at: float
    updated_at: float
    error: str = ""


def new_task(request: Mapping[str, Any], images: tuple[str, ...], made: Effective, credits: int | None) -> Task:
    """A seed that is 0 or left out becomes a random one, as at the API."""
    now = time.time()
    return Task(
        id=str(uuid.uuid4()),
        state=CREATED,
        request=dict(request),
        images=images,
        seed=request.get("seed") or 1 + secrets.randbelow(MOST_SEED),
        seconds=made.seconds,
        resolution=made.resolution,
        audio=made.audio,
        credits=credits,
        created_at=now,
        updated_at=now,
    )


class Tasks:
    """All tasks of one folder. Raises StorageTrouble for a folder that cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.inputs = folder / "inputs"
        self._files, self._videos = folder / "tasks", folder / "videos"
        try:
            for part in (self._files, self.inputs, self._videos):
                part.mkdir(parents=True, exist_ok=True)
            self._sweep()
        except OSError as error:
            raise StorageTrouble(f"{folder}: cannot be used ({error.strerror or error})") from None
        self._known = {task.id: task for task in _stored(self._files)}

    def get(self, task_id: str) -> Task | None:
        return self._known.get(task_id)

    def unfinished(self) -> list[Task]:
        """The oldest first."""
        waiting = (task for task in self._known.values() if task.state in (CREATED, PROCESSING))
        return sorted(waiting, key=lambda task: task.created_at)

    def add(self, task: Task) -> None:
        self._store(task)
        self._known[task.id] = task

    def move(self, task: Task, state: str, error: str = "") -> Task:
        """What is told counts from here on, even where the disk refuses it."""
        task = replace(task, state=state, error=error, updated_at=time.time())
        self._known[task.id] = task
        self._store(task)
        return task

    def video(self, task_id: str) -> Path:
        return self._videos / f"{task_id}.mp4"

    def _store(self, task: Task) -> None:
        write_durably(self._files / f"{task.id}.json", json.dumps(asdict(task)).encode())

    def _sweep(self) -> None:
        """Remove what a killed server left half made; nothing whose name it did not give."""
        digit = "[0-9a-f]"
        for half in (*self._files.glob(f".{digit * 16}.new"), *self._videos.glob(f".{digit * 32}.part")):
            half.unlink()
        for half in self.inputs.glob(f"{TAKING}*"):
            shutil.rmtree(half)


def _stored(folder: Path) -> Iterator[Task]:
    for file in sorted(folder.glob("*.json")):
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
            yield Task(**{**raw, "images": tuple(raw["images"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageTrouble(f"{file}: not a task of the local API ({type(error).__name__})") from None
