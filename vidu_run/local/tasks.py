"""The local API's tasks: a JSON file each, their frames and videos beside them; a restart goes on where it stopped."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from vidu_run.errors import StorageTrouble
from vidu_run.files import write_durably
from vidu_run.providers.rules import Effective

STATES = ("created", "queueing", "processing", "success", "failed")
CREATED, QUEUEING, PROCESSING, SUCCESS, FAILED = STATES
ENDED = (SUCCESS, FAILED)
MOST_SEED = 2**31 - 1
TAKING = ".taking-"
"""How the folder begins in which the images of one request lie until they have passed."""
TASK_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
RECOMMENDED = (
    "The camera moves slowly from the first view to the last, the light stays soft.",
    "A calm transition: what is in the picture moves as it would by itself.",
    "A slow push in; the air moves, the colours change gently into those of the end.",
    "One long take, steady and smooth, that ends exactly where the last frame begins.",
)
"""What the system writes when it is asked to (`is_rec`); the seed says which."""


@dataclass(frozen=True, slots=True)
class Room:
    """What is held in memory: the oldest ended tasks beyond it are read from their files when somebody asks."""

    tasks: int = 10_000
    bytes: int = 64_000_000


USUAL_ROOM = Room()


@dataclass(frozen=True, slots=True)
class Task:
    """`request` is the body without its images; `images` are file names in the `inputs` folder. Times: Unix seconds.
    `account` is the name of the account that pays, `code` the API's word for why it failed. `mark` is the file of a
    watermark's picture, "" where it is the usual text or none."""

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
    code: str = ""
    account: str = ""
    music: bool = False
    mark: str = ""

    @property
    def model(self) -> str:
        return str(self.request["model"])

    @property
    def off_peak(self) -> bool:
        return self.request.get("off_peak") is True

    @property
    def charge(self) -> int:
        """Credits it holds: none where it has failed, or has no known price."""
        return 0 if self.state == FAILED else self.credits or 0


def new_task(
    request: Mapping[str, Any],
    images: tuple[str, ...],
    made: Effective,
    credits: int | None,
    account: str = "",
    music: bool = False,
    mark: str = "",
) -> Task:
    """A seed that is 0 or left out becomes a random one, as at the API; with `is_rec` the prompt is the system's."""
    now = time.time()
    seed = request.get("seed") or 1 + secrets.randbelow(MOST_SEED)
    recommended = {"prompt": RECOMMENDED[seed % len(RECOMMENDED)]} if request.get("is_rec") is True else {}
    return Task(
        id=str(uuid.uuid4()),
        state=CREATED,
        request={**request, **recommended},
        images=images,
        seed=seed,
        seconds=made.seconds,
        resolution=made.resolution,
        audio=made.audio,
        credits=credits,
        created_at=now,
        updated_at=now,
        account=account,
        music=music,
        mark=mark,
    )


class Tasks:
    """All tasks of one folder. Raises StorageTrouble for a folder that cannot be used.

    What the accounts have spent stands in the tasks themselves: no crash can part the two.
    """

    def __init__(self, folder: Path, room: Room = USUAL_ROOM) -> None:
        self.inputs = folder / "inputs"
        self._files, self._videos = folder / "tasks", folder / "videos"
        self._room = room
        self._known: dict[str, Task] = {}
        self._ended: list[tuple[float, str]] = []
        self._sizes: dict[str, int] = {}
        self._held = 0
        self.spent: Counter[str] = Counter()
        """Credits by account, as the files told at the start."""
        try:
            for part in (self._files, self.inputs, self._videos):
                part.mkdir(parents=True, exist_ok=True)
            self._sweep()
        except OSError as error:
            raise StorageTrouble(f"{folder}: cannot be used ({error.strerror or error})") from None
        for file in sorted(self._files.glob("*.json")):
            task, size = _stored(file)
            self.spent[task.account] += task.charge
            self.hold(task, size)

    @property
    def held_bytes(self) -> int:
        return self._held

    def get(self, task_id: str) -> Task | None:
        """Also one that is no longer held in memory."""
        if task_id in self._known or not TASK_ID.fullmatch(task_id):
            return self._known.get(task_id)
        file = self._files / f"{task_id}.json"
        return _stored(file)[0] if file.is_file() else None

    def held(self, account: str) -> list[Task]:
        """Those of an account that are in memory."""
        return [task for task in self._known.values() if task.account == account]

    def unfinished(self) -> list[Task]:
        """The oldest first."""
        waiting = (task for task in self._known.values() if task.state not in ENDED)
        return sorted(waiting, key=lambda task: task.created_at)

    def store(self, task: Task) -> int:
        """Write its file, from any thread; returns its size for `hold`."""
        content = json.dumps(asdict(task)).encode()
        write_durably(self._files / f"{task.id}.json", content)
        return len(content)

    def hold(self, task: Task, size: int) -> None:
        """Keep a stored task in memory; the oldest ended ones make room."""
        self._held += size - self._sizes.get(task.id, 0)
        self._known[task.id], self._sizes[task.id] = task, size
        if task.state in ENDED:
            heappush(self._ended, (task.updated_at, task.id))
        while self._ended and (len(self._known) > self._room.tasks or self._held > self._room.bytes):
            _, oldest = heappop(self._ended)
            if self._known.pop(oldest, None):
                self._held -= self._sizes.pop(oldest)

    def queue(self, task: Task) -> None:
        """It waits; a restart need not know, so nothing is written."""
        self._known[task.id] = replace(task, state=QUEUEING)

    def move(self, task: Task, state: str, error: str = "", code: str = "") -> Task:
        """What is told counts from here on, even where the disk refuses it."""
        task = replace(task, state=state, error=error, code=code, updated_at=time.time())
        self.hold(task, self._sizes.get(task.id, 0))
        self.store(task)
        return task

    def video(self, task_id: str) -> Path:
        return self._videos / f"{task_id}.mp4"

    def _sweep(self) -> None:
        """Remove what a killed server left half made; nothing whose name it did not give."""
        digit = "[0-9a-f]"
        for half in (*self._files.glob(f".{digit * 16}.new"), *self._videos.glob(f".{digit * 32}.part")):
            half.unlink()
        for half in self.inputs.glob(f"{TAKING}*"):
            shutil.rmtree(half)


def _stored(file: Path) -> tuple[Task, int]:
    """The task, and the bytes of its file."""
    try:
        content = file.read_bytes()
        raw = json.loads(content)
        return Task(**{**raw, "images": tuple(raw["images"])}), len(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageTrouble(f"{file}: not a task of the local API ({type(error).__name__})") from None
