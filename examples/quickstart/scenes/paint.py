"""The paintbox: noise, gradients, blur, light, and sheets of smooth-edged shapes.

Pictures are (height, width, 3) arrays in linear light, where 1.0 is paper white and lamps may be brighter.
Nothing here knows a scene; randomness comes only from generators that the caller has seeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

Field = NDArray[np.floating[Any]]
Colour = str
Point = tuple[float, float]
Outline = str | Sequence[Point]

GAMMA = 2.2


@cache
def _channels(colour: Colour) -> tuple[int, int, int]:
    red, green, blue, *_ = ImageColor.getrgb(colour)
    return red, green, blue


def linear(colour: Colour) -> Field:
    return ((np.array(_channels(colour)) / 255) ** GAMMA).astype(np.float32)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    (r, g, b), (red, green, blue) = _channels(first), _channels(second)
    return f"#{round(r + (red - r) * share):02x}{round(g + (green - g) * share):02x}{round(b + (blue - b) * share):02x}"


def grid(width: int, height: int) -> tuple[Field, Field]:
    """Pixel positions as fractions of the picture, (1, width) and (height, 1)."""
    x = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / width
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height
    return x, y


def smoothstep(low: float, high: float, value: Field) -> Field:
    t: Field = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def ramp(position: Field | float, stops: Sequence[tuple[float, Colour]]) -> Field:
    """Colours along a gradient; mixed as the eye sees them, returned in linear light."""
    places = [place for place, _ in stops]
    shades = np.array([_channels(colour) for _, colour in stops]) / 255
    table = np.linspace(places[0], places[-1], 2048)
    channels = [np.interp(table, places, shades[:, i]) ** GAMMA for i in range(3)]
    return np.stack([np.interp(position, table, channel) for channel in channels], -1).astype(np.float32)


def over(picture: Field, colour: Field, mask: Field | NDArray[np.bool_]) -> Field:
    """The picture with `colour` (one or one for each pixel) laid over it as thickly as the mask says."""
    return picture + (colour - picture) * mask[..., None]


def resized(picture: Field, width: int, height: int, box: tuple[float, float, float, float] | None = None) -> Field:
    if picture.ndim == 3:
        return np.stack([resized(picture[..., i], width, height, box) for i in range(3)], -1)
    image = Image.fromarray(np.ascontiguousarray(picture, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box), np.float32)


def blur(picture: Field, sigma: float) -> Field:
    """Gaussian blur; a wide one is done on a smaller copy."""
    height, width = picture.shape[:2]
    shrink = max(1.0, sigma / 3)
    small = resized(picture, max(2, round(width / shrink)), max(2, round(height / shrink))) if shrink > 1 else picture
    reach = int(3 * sigma / shrink) + 1
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) * shrink / sigma) ** 2).astype(np.float32)
    for axis in (0, 1):
        small = _convolved(small, weights / weights.sum(), axis)
    return resized(small, width, height) if shrink > 1 else small


def _convolved(picture: Field, weights: Field, axis: int) -> Field:
    reach, length = len(weights) // 2, picture.shape[axis]
    pads = [(reach, reach) if i == axis else (0, 0) for i in range(picture.ndim)]
    padded, total = np.pad(picture, pads, mode="edge"), np.zeros_like(picture)
    for i, weight in enumerate(weights):
        total += weight * np.take(padded, range(i, i + length), axis)
    return total


def fbm(
    rng: np.random.Generator, width: int, height: int, cell: tuple[float, float], octaves: int = 6, ridged: bool = False
) -> Field:
    """Fractal noise, about 0 to 1, whose coarsest features are `cell` pixels wide and high."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        noise = _lattice(rng, width, height, cell[0] / 2**octave, cell[1] / 2**octave)
        total += 0.5**octave * (1 - 2 * np.abs(noise - 0.5) if ridged else noise)
    return total / (2 - 2 * 0.5**octaves)


def crest(rng: np.random.Generator, width: int, cell: float, octaves: int = 6, ridged: bool = False) -> Field:
    """One line of fractal noise, as of a mountain's edge."""
    line: Field = fbm(rng, width, 4, (cell, 1e6), octaves, ridged)[0]
    return line


def _lattice(rng: np.random.Generator, width: int, height: int, cell_x: float, cell_y: float) -> Field:
    across, down = max(width / max(cell_x, 1), 0.01), max(height / max(cell_y, 1), 0.01)
    values = rng.random((int(down) + 5, int(across) + 5), dtype=np.float32)
    noise: Field = np.clip(resized(values, width, height, (1, 1, 1 + across, 1 + down)) * 1.2 - 0.1, 0, 1)
    return noise


def sample(texture: Field, u: Field, v: Field) -> Field:
    """The texture read at pixel positions u, v, smoothly between pixels; past an edge it comes back mirrored."""
    height, width = texture.shape[0] - 1, texture.shape[1] - 1
    u, v = width - np.abs(u % (2 * width) - width), height - np.abs(v % (2 * height) - height)
    x0, y0 = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    x1, y1 = np.minimum(x0 + 1, width), np.minimum(y0 + 1, height)
    du, dv = (u - x0).astype(np.float32), (v - y0).astype(np.float32)
    if texture.ndim == 3:
        du, dv = du[..., None], dv[..., None]
    upper: Field = texture[y0, x0] * (1 - du) + texture[y0, x1] * du
    lower: Field = texture[y1, x0] * (1 - du) + texture[y1, x1] * du
    return upper * (1 - dv) + lower * dv


def glow(picture: Field, threshold: float, layers: Sequence[tuple[float, float]]) -> Field:
    """Bloom: what is brighter than the threshold spreads, once for each (sigma in pixels, strength)."""
    bright = np.maximum(picture - threshold, 0)
    for sigma, strength in layers:
        picture = picture + strength * blur(bright, sigma)
    return picture


def develop(picture: Field, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """To 8-bit sRGB: highlights rolled off, corners darkened, film grain, and dither so that no gradient bands."""
    x, y = grid(width, height)
    shown = resized(np.clip(_rolled_off(picture), 0, 1) ** (1 / GAMMA), width, height)
    shown *= (1 - 0.3 * smoothstep(0.45, 1.25, np.hypot((x - 0.5) * 1.75, (y - 0.5) * 1.55)))[..., None]
    grain = 0.013 * blur(rng.standard_normal((height, width), np.float32), 0.65)
    shown += (grain * (0.35 + 0.65 * np.sin(np.pi * np.clip(shown.mean(-1), 0, 1))))[..., None]
    dither = rng.random((height, width, 3), np.float32) - rng.random((height, width, 3), np.float32)
    return Image.fromarray(np.clip(np.rint(shown * 255 + 0.6 * dither), 0, 255).astype(np.uint8))


def _rolled_off(picture: Field, knee: float = 0.55) -> Field:
    peak: Field = picture.max(-1, keepdims=True)
    rolled = np.where(peak > knee, knee + (1 - knee) * np.tanh((peak - knee) / (1 - knee)), peak)
    scaled: Field = picture * (rolled / np.maximum(peak, 1e-6))
    return scaled + (rolled - scaled) * smoothstep(0.9, 5.0, peak)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A transparent sheet, painted finer than it is laid down; `light` holds how brightly each spot shines."""

    paint: Image.Image
    light: Image.Image
    fine: int

    @classmethod
    def blank(cls, width: int, height: int, fine: int = 2) -> Sheet:
        size = (width * fine, height * fine)
        return cls(Image.new("RGBA", size), Image.new("L", size), fine)

    def polygon(self, points: Sequence[Point], colour: Colour, shine: float = 0) -> None:
        scaled = [(x * self.fine, y * self.fine) for x, y in points]
        ImageDraw.Draw(self.paint).polygon(scaled, colour)
        ImageDraw.Draw(self.light).polygon(scaled, round(shine * 16))

    def line(self, points: Sequence[Point], colour: Colour, width: float, shine: float = 0) -> None:
        scaled, thick = [(x * self.fine, y * self.fine) for x, y in points], max(1, round(width * self.fine))
        ImageDraw.Draw(self.paint).line(scaled, colour, thick, "curve")
        ImageDraw.Draw(self.light).line(scaled, round(shine * 16), thick, "curve")

    def layers(self) -> tuple[Field, Field]:
        """Colour in linear light, with its shine, and how much it covers (0 to 1)."""
        values = np.asarray(self.paint.reduce(self.fine), np.float32) / 255
        shine = np.asarray(self.light.reduce(self.fine), np.float32) / 16
        return values[..., :3] ** GAMMA * (1 + shine[..., None]), values[..., 3]

    def onto(self, picture: Field) -> Field:
        return over(picture, *self.layers())


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws in units of its own, up from a foot point; with `up` -1 what water or a wet floor mirrors below it.

    An outline is points, or text such as "0,0 4,0 2,3".
    """

    sheet: Sheet
    x: float
    y: float
    unit: float = 1
    up: int = 1

    def at(self, outline: Outline) -> list[Point]:
        if isinstance(outline, str):
            pairs = (pair.split(",") for pair in outline.split())
            outline = [(float(x), float(y)) for x, y in pairs]
        return [(self.x + x * self.unit, self.y - self.up * y * self.unit) for x, y in outline]

    def shape(self, outline: Outline, colour: Colour, shine: float = 0) -> None:
        self.sheet.polygon(self.at(outline), colour, shine)

    def line(self, outline: Outline, colour: Colour, width: float, shine: float = 0) -> None:
        self.sheet.line(self.at(outline), colour, width * self.unit, shine)

    def box(self, x: float, y: float, wide: float, tall: float, colour: Colour, shine: float = 0) -> None:
        self.shape([(x, y), (x + wide, y), (x + wide, y + tall), (x, y + tall)], colour, shine)

    def disc(self, x: float, y: float, radius: float, colour: Colour, shine: float = 0) -> None:
        turns = np.linspace(0, 2 * np.pi, 28, endpoint=False).tolist()
        self.shape([(x + radius * np.cos(t), y + radius * np.sin(t)) for t in turns], colour, shine)
