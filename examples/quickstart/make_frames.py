"""Paints the quickstart's six frames into `frames/` beside this file. Needs Pillow and numpy.

Every random number is seeded: the same library versions paint the same pixels again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from scenes import harbour, palm_house, ridge, station
from scenes.paint import Field, develop

FRAMES = Path(__file__).resolve().parent / "frames"
SIZE = (1280, 720)
PUSH_IN = np.s_[205:1114, 604:2220]

Painter = Callable[[], Mapping[str, Field]]


def harbour_frames() -> dict[str, Field]:
    """One painting, seen whole and then 1.43 times nearer."""
    painting = harbour.paint()
    return {"harbour-first": painting, "harbour-last": painting[PUSH_IN]}


def ridge_frame(name: str, light: ridge.Light) -> dict[str, Field]:
    return {name: ridge.paint(light)}


def station_frames() -> dict[str, Field]:
    return {"station-first": station.paint()}


def palm_house_frames() -> dict[str, Field]:
    return {"station-last": palm_house.paint()}


PAINTERS: tuple[Painter, ...] = (
    harbour_frames,
    palm_house_frames,
    station_frames,
    partial(ridge_frame, "ridge-first", ridge.NIGHT),
    partial(ridge_frame, "ridge-last", ridge.SUNRISE),
)


def write(painter: Painter) -> None:
    for name, picture in painter().items():
        image = develop(picture, np.random.default_rng(len(name)), *SIZE)
        image.save(FRAMES / f"{name}.jpg", quality=90, subsampling=0, optimize=True)


def main() -> None:
    FRAMES.mkdir(exist_ok=True)
    with ProcessPoolExecutor(max_workers=2) as pool:
        list(pool.map(write, PAINTERS))


if __name__ == "__main__":
    main()
