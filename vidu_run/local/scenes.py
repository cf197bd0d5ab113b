"""From a task to the scene that is rendered for it: what each field of the request does to the video."""

from __future__ import annotations

from pathlib import Path

from vidu_run.local.mark import BOTTOM_RIGHT, DEFAULT_TEXT, Mark
from vidu_run.local.render import Scene
from vidu_run.local.tasks import Task


def scene_of(task: Task, inputs: Path, quick: bool) -> Scene:
    """The images are files in `inputs`. Raises OSError where one is gone."""
    first, last = ((inputs / name).read_bytes() for name in task.images)
    return Scene(
        first=first,
        last=last,
        seconds=task.seconds,
        resolution=task.resolution,
        seed=task.seed,
        label=f"rehearsal · seed {task.seed}",
        quick=quick,
        sound=task.audio,
        music=task.music,
        mark=_mark(task, inputs),
        facts=_facts(task),
    )


def _mark(task: Task, inputs: Path) -> Mark | None:
    if task.request.get("watermark") is not True:
        return None
    picture = (inputs / task.mark).read_bytes() if task.mark else None
    return Mark(DEFAULT_TEXT, picture, task.request.get("wm_position") or BOTTOM_RIGHT)


def _facts(task: Task) -> tuple[tuple[str, str], ...]:
    """What the file says of itself. `meta_data` is the user's own label, as it was sent."""
    told = {
        "model": task.model,
        "seed": str(task.seed),
        "prompt": task.request.get("prompt", ""),
        "meta_data": task.request.get("meta_data", ""),
    }
    return tuple((name, text) for name, text in told.items() if text)
