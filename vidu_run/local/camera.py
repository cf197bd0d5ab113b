"""Finds the one camera move (zoom, turn, shift) that leads from a still to another, if there is one.

Works on two grey pictures of the same size. It never touches colour, files or video.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from PIL import Image

Grey = npt.NDArray[np.float64]
Points = npt.NDArray[np.complex128]

COARSE, MIDDLE, FINE = 40, 80, 160  # short sides, in pixels
ZOOMS = tuple(1.1**-step for step in range(10))
TURNS = tuple(math.radians(degrees) for degrees in range(-12, 13, 4))
CANDIDATES = 4
WORTH_A_LOOK = 0.4
LEAST_MATCH = 0.6
LEAST_GAIN = 0.6  # of the mismatch without a move may be left with it
LEAST_OVERLAP = 0.4


@dataclass(frozen=True, slots=True)
class View:
    """Where a point of the picture shown is looked up in a still: `turn * point + shift`.

    Points are complex, x + iy, from the middle of the frame, x to the right, y down; the unit is the frame's height.
    """

    turn: complex = 1 + 0j
    shift: complex = 0j

    def power(self, share: float) -> View:
        """This view reached by a share of the way: 0 is the still itself, 1 this view, at an even pace between."""
        turn = cmath.exp(share * cmath.log(self.turn))
        away = self.turn - 1
        return View(turn, self.shift * ((turn - 1) / away if abs(away) > 1e-6 else share))

    def inverse(self) -> View:
        return View(1 / self.turn, -self.shift / self.turn)

    def at(self, points: Points) -> Points:
        return self.turn * points + self.shift


def grid(width: int, height: int, aspect: float) -> Points:
    """The middles of width x height equal cells of a frame, as points."""
    x = ((np.arange(width) + 0.5) / width - 0.5) * aspect
    y = (np.arange(height) + 0.5) / height - 0.5
    return x[None, :] + 1j * y[:, None]


def depth(points: Points, aspect: float) -> Grey:
    """How far inside the still each point lies, in frame heights; negative outside."""
    return np.minimum(aspect / 2 - np.abs(points.real), 0.5 - np.abs(points.imag))


def estimate(first: Image.Image, last: Image.Image) -> View | None:
    """The view of `first` that shows `last`, or None where no single move explains the pair.

    Accepted when the details of the two correlate above 0.6 under the move, and clearly better than without it.
    """
    aspect = first.width / first.height
    coarse, middle, fine = ((_small(first, side), _small(last, side)) for side in (COARSE, MIDDLE, FINE))
    refined = [_refine(guess, *coarse, aspect) for guess in _guesses(*coarse, aspect)]
    best = max(refined, key=lambda view: _match(view, *coarse, aspect))
    if _match(best, *coarse, aspect) < WORTH_A_LOOK:
        return None
    view = _refine(_refine(best, *middle, aspect), *fine, aspect)
    found, still = _match(view, *fine, aspect), _match(View(), *fine, aspect)
    if found <= LEAST_MATCH or 1 - found >= LEAST_GAIN * (1 - still):
        return None
    level = View(complex(abs(view.turn)), view.shift)
    return level if _match(level, *fine, aspect) > found - 0.005 else view


def _small(picture: Image.Image, short: int) -> Grey:
    scale = short / min(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    return np.asarray(picture.resize(size, Image.Resampling.BOX), dtype=np.float64) / 255


def _guesses(first: Grey, last: Grey, aspect: float) -> list[View]:
    """The most promising moves of a coarse search, each looked for where the smaller picture lies in the larger."""
    inwards = ((score, view.inverse()) for score, view in _search(first, last, aspect))
    scored = sorted([*_search(last, first, aspect), *inwards], key=lambda found: -found[0])
    return [view for _, view in scored[:CANDIDATES]]


def _search(outer: Grey, inner: Grey, aspect: float) -> Iterator[tuple[float, View]]:
    """For each zoom and turn that shrinks `inner` into `outer`: the best correlation and the view of `inner`."""
    height, width = outer.shape
    size = (-(-2 * height // 16) * 16, -(-2 * width // 16) * 16)
    points = grid(width, height, aspect)
    detail = _detail(outer)
    spectra = [np.fft.rfft2(plane, size) for plane in (detail, detail**2, np.ones_like(detail))]
    for zoom, turn in product(ZOOMS, TURNS):
        view = View(cmath.rect(1 / zoom, turn))
        looked_up = view.at(points)
        mask = (depth(looked_up, aspect) > 0).astype(np.float64)
        shrunk = _detail(_sample(inner, looked_up, aspect)) * mask
        score, (down, right) = _best_shift(spectra, shrunk, mask, size)
        step = complex(right * aspect / width, down / height)
        yield score, View(view.turn, -view.turn * step)


def _best_shift(
    spectra: list[npt.NDArray[np.complex128]], shrunk: Grey, mask: Grey, size: tuple[int, int]
) -> tuple[float, tuple[int, int]]:
    plane, square, everywhere = spectra
    of_mask = np.conj(np.fft.rfft2(mask, size))
    common = np.fft.irfft2(plane * np.conj(np.fft.rfft2(shrunk, size)), size)
    energy_outer = np.fft.irfft2(square * of_mask, size)
    energy_inner = np.fft.irfft2(everywhere * np.conj(np.fft.rfft2(shrunk**2, size)), size)
    overlap = np.fft.irfft2(everywhere * of_mask, size)
    floor = 1e-6 * mask.sum()
    score = common / np.sqrt(np.maximum(energy_outer, floor) * np.maximum(energy_inner, floor))
    score[overlap < LEAST_OVERLAP * mask.sum()] = -1
    down, right = np.unravel_index(np.argmax(score), score.shape)
    return float(score[down, right]), (_signed(int(down), size[0]), _signed(int(right), size[1]))


def _signed(index: int, length: int) -> int:
    """A shift found by a circular correlation: the upper half of the indices are shifts the other way."""
    return index if index < length // 2 else index - length


def _refine(view: View, first: Grey, last: Grey, aspect: float, rounds: int = 8) -> View:
    """Gauss-Newton on the grey difference, with gain and offset free and outliers weighed down."""
    height, width = first.shape
    points = grid(width, height, aspect)
    down, right = np.gradient(first)
    slopes = (right * (width / aspect), down * height)
    for _ in range(rounds):
        step = _step(view, first, last, slopes, points, aspect)
        view = View(view.turn + step.turn, view.shift + step.shift)
        if not 0.3 < abs(view.turn) < 3.3 or abs(view.shift) > 2:
            return View()
        if abs(step.turn) + abs(step.shift) < 1e-5:
            break
    return view


def _step(view: View, first: Grey, last: Grey, slopes: tuple[Grey, Grey], points: Points, aspect: float) -> View:
    looked_up = view.at(points)
    inside = depth(looked_up, aspect) > 0
    if np.count_nonzero(inside) < 100:
        return View(0j, 4 + 0j)
    shown, looked_up, z = last[inside], looked_up[inside], points[inside]
    grey, right, down = (_sample(plane, looked_up, aspect) for plane in (first, *slopes))
    along = (right * z.real + down * z.imag, down * z.real - right * z.imag, right, down)
    columns = np.stack([*along, grey, np.ones_like(grey)])
    off = shown - grey
    spread = 2 * float(np.median(np.abs(off - np.median(off)))) + 1e-3
    weighted = columns / (1 + (off / spread) ** 2)
    found = np.linalg.lstsq(np.einsum("ik,jk", weighted, columns), np.einsum("ik,k", weighted, shown), rcond=1e-10)[0]
    gain = found[4] if found[4] > 0.2 else 1.0
    return View(complex(found[0], found[1]) / gain, complex(found[2], found[3]) / gain)


def _match(view: View, first: Grey, last: Grey, aspect: float) -> float:
    """Correlation (-1 to 1) of the details of `last` with those of `first` seen through the view; -1 for no overlap."""
    looked_up = view.at(grid(last.shape[1], last.shape[0], aspect))
    inside = depth(looked_up, aspect) > 0
    if inside.mean() < LEAST_OVERLAP * min(1, abs(view.turn) ** -2):
        return -1.0
    seen = _detail(_sample(first, looked_up, aspect))[inside]
    shown = _detail(last)[inside]
    return float((seen * shown).sum() / (math.sqrt((seen**2).sum() * (shown**2).sum()) + 1e-9))


def _sample(plane: Grey, points: Points, aspect: float) -> Grey:
    """The plane looked up at points, bilinear; outside it the nearest edge."""
    height, width = plane.shape
    x = np.clip((points.real / aspect + 0.5) * width - 0.5, 0, width - 1.001)
    y = np.clip((points.imag + 0.5) * height - 0.5, 0, height - 1.001)
    left, top = x.astype(np.intp), y.astype(np.intp)
    x, y = x - left, y - top
    flat, corner = plane.ravel(), top * width + left
    upper = flat[corner] * (1 - x) + flat[corner + 1] * x
    lower = flat[corner + width] * (1 - x) + flat[corner + width + 1] * x
    mixed: Grey = upper * (1 - y) + lower * y
    return mixed


def _detail(plane: Grey) -> Grey:
    """The plane without its broad light and shade, which alike skies share with unlike pictures."""
    radius = min(plane.shape) // 8
    side = 2 * radius + 1
    table = np.pad(plane, ((radius + 1, radius), (radius + 1, radius)), mode="edge").cumsum(0).cumsum(1)
    sums: Grey = table[side:, side:] - table[:-side, side:] - table[side:, :-side] + table[:-side, :-side]
    detail: Grey = plane - sums / side**2
    return detail
