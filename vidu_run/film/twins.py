"""Do two clips meet in the same picture? Small pictures of the frames around a seam, compared. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

Look = npt.NDArray[np.float32]

WIDTH: Final = 40
"""Pixels to which frames are shrunk: coding noise averages out, and a motion of a whole pixel of the clip becomes one
of a fraction, so that two steps of the same motion still resemble one another."""

FARTHEST: Final = 0.1
"""Root mean square of the difference by the contrast (standard deviation) of the picture. One still encoded twice, x264
at CRF 18 to 32, textured, grainy, soft and flat pictures: 0.075 at most. Neighbours in a pan or beside a moving thing,
5 % of the width a frame: 0.18 and more."""

LEVEL: Final = 0.75
"""Levels of 255 that are no difference, however little contrast a picture has."""

GOING_ON: Final = 0.42
"""How much of the step before or behind the seam is in the step across it. A difference alone cannot tell: coding one
still twice changes it by as much as a slow pan does. Twins, as above: 0.36 at most; neighbours in pans, zooms,
dissolves and beside a moving thing, from 0.3 % of the width (or of the contrast) a frame: 0.49 and more, in clips of
320 pixels or wider. Of those half as fast a third is taken for twins, of still slower ones most: a frame of theirs is
not missed."""


@dataclass(frozen=True, slots=True)
class Ends:
    """The two frames at either end of a clip; of one frame they are all the same."""

    first: Look
    second: Look
    last_but_one: Look
    last: Look


def look(picture: Image.Image) -> Look:
    width = min(WIDTH, picture.width)
    size = width, max(1, round(picture.height * width / picture.width))
    return np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BOX), np.float32)


def are_twins(before: Ends, after: Ends) -> bool:
    """Is the first frame of the clip after the last one of the clip before?"""
    if before.last.shape != after.first.shape:
        return False
    step = after.first - before.last
    if _size(step) > FARTHEST * float(before.last.std()) + LEVEL:
        return False
    return max(_share(step, before.last - before.last_but_one), _share(step, after.second - after.first)) < GOING_ON


def _size(difference: Look) -> float:
    return float(np.sqrt(np.mean(difference**2)))


def _share(step: Look, of: Look) -> float:
    power = float(np.sum(of**2))
    return float(np.sum(step * of)) / power if power else 0.0
