"""The local API's tasks: a JSON file each, their frames and videos beside them; a restart goes on where it stopped."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vidu_run.files import write_durably

CREATED, PROCESSING, SUCCESS, FAILED = "created", "processing", "success", "failed"


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
    credits: int | None
    created_at: float
    updated_at: float
    error: str = ""


class Tasks:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known = {task.id: task for task in _stored(folder / "tasks")}

    def get(self, task_id: str) -> Task | None:
        return self._known.get(task_id)

    def unfinished(self) -> list[Task]:
        return sorted(
            (task for task in self._known.values() if task.state in (CREATED, PROCESSING)), key=lambda t: t.created_at
        )

    def create(
        self,
        request: Mapping[str, Any],
        images: tuple[str, ...],
        seed: int,
        seconds: int,
        resolution: str,
        credits: int | None,
    ) -> Task:
        now = time.time()
        task = Task(str(uuid.uuid4()), CREATED, dict(request), images, seed, seconds, resolution, credits, now, now)
        self._store(task)
        return task

    def move(self, task: Task, state: str, error: str = "") -> Task:
        task = replace(task, state=state, error=error, updated_at=time.time())
        self._store(task)
        return task

    def video(self, task_id: str) -> Path:
        return self.folder / "videos" / f"{task_id}.mp4"

    def input(self, name: str) -> Path:
        return self.folder / "inputs" / name

    def _store(self, task: Task) -> None:
        write_durably(self.folder / "tasks" / f"{task.id}.json", json.dumps(asdict(task)).encode())
        self._known[task.id] = task


def _stored(folder: Path) -> Iterator[Task]:
    for file in sorted(folder.glob("*.json")):
        raw = json.loads(file.read_text(encoding="utf-8"))
        yield Task(**{**raw, "images": tuple(raw["images"])})
