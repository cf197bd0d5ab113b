"""One vaulted iron hall in perspective, with a traveller in it: the shape that the station and the palm house share.

Lengths are metres: x to the right of the eye's line, y above the floor, z away from the eye.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .paint import Colour, Field, Pen, Point, Sheet, blur, grid

WIDTH, HEIGHT = 1600, 900
CENTRE, LEVEL, FOCAL = 0.47 * WIDTH, int(0.6 * HEIGHT), 0.6 * WIDTH
EYE, HALF, SPRING, RISE, END, BAY = 1.6, 9.0, 4.5, 6.5, 84.0, 6.0
LAMPS_X, LAMPS_Y = 4.0, 5.0


@dataclass(frozen=True, slots=True)
class Hit:
    """Where each pixel's ray meets the hall: `turn` is the share of the way over the vault, 0 or 1 on a wall."""

    x: Field
    y: Field
    z: Field
    turn: Field


def at(x: float, y: float, z: float) -> Point:
    """Metres to pixels."""
    return CENTRE + FOCAL * x / z, LEVEL - FOCAL * (y - EYE) / z


def standing(sheet: Sheet, x: float, z: float, up: int = 1) -> Pen:
    """A pen in metres that faces the eye, its foot on the floor; with `up` -1 it draws the floor's reflection."""
    return Pen(sheet, *at(x, 0, z), FOCAL / z, up)


def rays() -> tuple[Field, Field]:
    x, y = grid(WIDTH, HEIGHT)
    return (x * WIDTH - CENTRE) / FOCAL, (LEVEL - y * HEIGHT) / FOCAL


def floor() -> tuple[Field, Field, Field]:
    """x and z of the floor under each pixel, and how much of the pixel is floor."""
    dx, dy = rays()
    z = np.minimum(EYE / np.maximum(-dy, 1e-4), END) + 0 * dx
    before_end, within = (-dy * END - EYE) * FOCAL / END, (HALF - np.abs(dx * z)) * FOCAL / z
    return dx * z, z, np.clip(before_end + 0.5, 0, 1) * np.clip(within, 0, 1)


def cast(up: int, left: float = HALF, left_height: float = 0) -> Hit:
    """The walls, vault and open end; with `up` -1 as the floor mirrors them, from the horizon's row down.

    `left` is a lower wall inside the hall.
    """
    dx, dy = rays()
    dy, eye = up * dy[LEVEL if up < 0 else 0 :], up * EYE
    z = np.minimum(HALF / np.maximum(np.abs(dx), 1e-4) + 0 * dy, END)
    z = np.where(eye + dy * z > SPRING, np.minimum(_to_vault(dx, dy, eye), END), z)
    near = left / np.maximum(-dx, 1e-4)
    z = np.where((near < z) & (eye + dy * near < left_height), near, z)
    x, y = dx * z, eye + dy * z
    return Hit(x, y, z, np.arctan2(np.maximum(y - SPRING, 0) / RISE, x / HALF) / np.pi)


def _to_vault(dx: Field, dy: Field, eye: float) -> Field:
    low = (eye - SPRING) / RISE
    a, b, c = (dx / HALF) ** 2 + (dy / RISE) ** 2, 2 * dy * low / RISE, low**2 - 1
    distance: Field = (np.sqrt(b * b - 4 * a * c) - b) / (2 * np.maximum(a, 1e-7))
    return distance


def bars(coordinate: Field, period: float, width: float) -> Field:
    """Bars at each multiple of the period, as smooth as the pixels are small there."""
    away = np.abs((coordinate + period / 2) % period - period / 2)
    reach = np.hypot(*np.gradient(coordinate)) + 1e-6
    sharp = np.clip((width / 2 - away) / reach + 0.5, 0, 1) * np.clip(width / reach, 0, 1)
    covered: Field = sharp + (width / period - sharp) * np.clip(reach / period * 2 - 0.5, 0, 1)
    return covered


def rib(sheet: Sheet, z: float, iron: Colour, edge: Colour, up: int = 1) -> None:
    """One iron arch: two rings and the lattice between them."""
    _ring(sheet, z, 0, 0.34, iron, up)
    _ring(sheet, z, 0.62, 0.78, iron, up)
    _ring(sheet, z, 0.75, 0.78, edge, up)
    for turn in np.linspace(0.03, 0.97, 38).tolist():
        top = _arch(turn, 0.3, z, up)
        sheet.line([top, _arch(turn, 0.66, z, up)], iron, 0.07 * FOCAL / z)
        sheet.line([top, _arch(turn + 0.013, 0.66, z, up)], iron, 0.05 * FOCAL / z)


def _arch(turn: float, inset: float, z: float, up: int) -> Point:
    x, y = np.cos(turn * np.pi), np.sin(turn * np.pi)
    return at((HALF - inset) * x, up * (SPRING + (RISE - inset) * y), z)


def _ring(sheet: Sheet, z: float, outer: float, inner: float, colour: Colour, up: int) -> None:
    outline: list[Point] = []
    for inset, direction in ((outer, 1), (inner, -1)):
        over = [_arch(turn, inset, z, up) for turn in np.linspace(0, 1, 73).tolist()]
        outline += [at(HALF - inset, 0, z), *over, at(inset - HALF, 0, z)][::direction]
    sheet.polygon(outline, colour)


def traveller(sheet: Sheet, coat: Colour, edge: Colour, accent: Colour, up: int = 1) -> None:
    """Someone with a hat, a long coat, a scarf and a suitcase, seen from behind."""
    pen = standing(sheet, 1.15, 10.5, up)
    pen.shape("-.17,0 -.03,-.02 -.02,.5 -.16,.5", coat)
    pen.shape(".05,.05 .18,.03 .16,.5 .02,.5", coat)
    pen.shape("-.3,.33 -.05,.3 .3,.35 .22,.9 .28,1.36 .1,1.49 -.1,1.49 -.27,1.36 -.2,.9", coat)
    pen.shape(".2,1.42 .3,1.32 .36,.98 .37,.66 .28,.66 .24,1", coat)
    pen.shape("-.2,1.42 -.29,1.32 -.36,1 -.22,.8 -.16,.9", coat)
    pen.shape("-.11,1.45 .11,1.45 .115,1.64 .07,1.76 -.07,1.76 -.115,1.64", coat)
    pen.shape("-.23,1.67 0,1.65 .23,1.68 .13,1.73 .1,1.86 0,1.84 -.1,1.87 -.13,1.73", coat)
    pen.shape("-.13,1.43 .13,1.43 .12,1.54 -.12,1.54", accent)
    pen.shape("-.12,1.5 -.02,1.5 -.06,1.08 -.15,1.1", accent)
    pen.box(0.12, 0.1, 0.5, 0.42, accent)
    pen.shape(".28,.52 .32,.66 .4,.66 .46,.52 .42,.52 .39,.61 .34,.61 .32,.52", coat)
    pen.shape(".2,1.42 .3,1.32 .36,.98 .37,.66 .345,.66 .325,.98 .27,1.3", edge)
    pen.shape(".23,1.68 .13,1.73 .1,1.86 .07,1.855 .1,1.715", edge)
    pen.shape(".115,1.64 .07,1.76 .045,1.76 .085,1.64", edge)


def shade(*patches: Sequence[Point]) -> Field:
    """Soft shadow on the floor, 0 to 1, over patches given by their corners' x and z."""
    sheet = Sheet.blank(WIDTH, HEIGHT, 1)
    for patch in patches:
        sheet.polygon([at(x, 0, z) for x, z in patch], "#000")
    return blur(sheet.layers()[1], 4)
