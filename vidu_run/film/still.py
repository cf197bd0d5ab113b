"""One shown frame of a clip as a picture: the first, the very last, or the one on screen at a time."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from vidu_run.film.clip import walk
from vidu_run.film.picture import seen
from vidu_run.film.source import FilmTrouble, first_frames, frame_at, last_frames, opened


def still_of(video: Path, position: str | float) -> Image.Image:
    """RGB, upright, with square pixels. `position` is `first`, `last`, or seconds from the first frame; at the very end
    that is the last.

    Raises FilmTrouble for a file that is no whole video, and for a time outside it.
    """
    with opened(video) as source:
        timing, _ = walk(source)
        tick, shape = source.tick, source.shape
    if position == "first":
        return seen(first_frames(video, 1)[0], shape)
    length = (timing.end - timing.start) * tick
    if position == "last" or position == float(length):
        return seen(last_frames(video, 1)[0], shape)
    if isinstance(position, str) or not 0 <= position <= length:
        raise FilmTrouble(f"{video}: has no picture at {position} s, it is {float(length):g} s long")
    return seen(frame_at(video, timing.start + int(position / float(tick) + 1e-6)), shape)
