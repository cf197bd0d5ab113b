"""What makes a job another one than the job that had its name before, in the words of the spec. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vidu_run.job import Frame, Image, Job, Request
from vidu_run.key import NOT_PIXELS

MOST_SHOWN = 3
CLEAR_ENOUGH = 24
"""Characters of a text that is shown whole."""

ENDS = ("first frame", "last frame")
Seen = tuple[str, str | None]
"""An image as the spec wrote it, and what its bytes are known by; None for a link."""


@dataclass(frozen=True, slots=True)
class Before:
    """A job that had the name: its request and its images."""

    request: Request
    images: tuple[Seen, ...]


def before(job: Job) -> Before:
    return Before(job.request, tuple(seen(image) for image in job.images))


def seen(image: Image) -> Seen:
    return image.source, image.store_name if isinstance(image, Frame) else None


def difference(old: Before, new: Before) -> str:
    """As `duration 5→8, bytes of frames/a.png`; "" where only what decides no pixel differs."""
    changes = [*_fields(old.request, new.request), *_images(old.images, new.images)]
    more = f" and {len(changes) - MOST_SHOWN} more" if len(changes) > MOST_SHOWN else ""
    return ", ".join(changes[:MOST_SHOWN]) + more


def _fields(old: Request, new: Request) -> Iterator[str]:
    for name in [*new, *(name for name in old if name not in new)]:
        was, now = old.get(name), new.get(name)
        if name == "images" or name in NOT_PIXELS or (was == now and type(was) is type(now)):
            continue
        short = all(len(str(value)) <= CLEAR_ENOUGH for value in (was, now))
        yield f"{name} {_word(was)}→{_word(now)}" if short else name


def _images(old: Sequence[Seen], new: Sequence[Seen]) -> Iterator[str]:
    for end, (was, held), (now, holds) in zip(ENDS, old, new, strict=False):
        if (held == holds) if holds is not None else (was == now):
            continue
        yield f"bytes of {now}" if was == now else f"{end} {was}→{now}"


def _word(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
