"""The same hall on a summer morning, long after: a glasshouse full of palms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from . import hall
from .hall import BAY, END, FOCAL, HALF, HEIGHT, LAMPS_X, LAMPS_Y, WIDTH, Hit, at, bars
from .paint import Colour, Field, Point, Sheet, blur, crest, fbm, glow, grid, linear, mixed, over, ramp, sample
from .paint import smoothstep as step

SEED = 1848
PATH_LEFT, PATH_RIGHT = -2.7, 4.6
AIR, DEEP, BRIGHT = "#f6f2cf", "#0b2a26", "#d3e06a"
GREENS = ("#173f2b", "#1f5233", "#2f6a38", "#43803a", "#5f9440", "#3b7a55")
PETALS = ("#ff8f70", "#ffd166", "#f7f1dc", "#ef6f8f", "#c98be0")
PALMS_LEFT = ((-5.3, 8.6, 4.6), (-6.3, 15.0, 5.8), (-5.0, 22.0, 4.8), (-6.0, 31.0, 5.0), (-5.6, 42.0, 5.0))
PALMS_RIGHT = ((6.4, 12.5, 5.2), (5.8, 19.0, 4.4), (6.5, 26.0, 5.6), (6.0, 37.0, 5.0))
ALONG = np.linspace(0, 1, 8)
SWELL = np.sin(np.pi * ALONG**0.8)


def paint() -> Field:
    rng = np.random.default_rng(SEED)
    x, z, cover = hall.floor()
    picture = over(outside(hall.cast(1), rng), path(x, z, rng), cover)
    shadow = hall.shade([(0.85, 10.7), (1.8, 10.7), (0.6, 7.2), (0.1, 6.9), (-0.4, 7.2)])
    picture = garden(rng).onto(picture * (1 - 0.6 * shadow)[..., None])
    picture = over(sunshine(picture, rng), *close_leaves(rng))
    return glow(picture, 0.9, [(5, 0.2), (30, 0.18), (110, 0.12)])


def hazy(colour: Colour, z: float) -> Colour:
    return mixed(colour, AIR, 0.94 * (1 - float(np.exp(-max(0.0, z - 6) / 30))))


def outside(hit: Hit, rng: np.random.Generator) -> Field:
    """Sky and trees beyond the glass, its bars, and the bright open end."""
    x, y = grid(WIDTH, HEIGHT)
    from_sun = np.hypot(x - 0.8, 0.7 * (y - 0.02))
    sky = ramp(from_sun, [(0, "#fffbe8"), (0.25, "#d6ece8"), (0.55, "#8cc6de"), (0.9, "#5fa3cf")])
    sky = over(sky, linear("#fdfbf0"), 0.6 * step(0.48, 0.72, fbm(rng, WIDTH, HEIGHT, (420, 210), 6)))
    crowns = 4 + 3.2 * fbm(rng, WIDTH, HEIGHT, (150, 150), 5)
    leaves = ramp(fbm(rng, WIDTH, HEIGHT, (60, 60), 5), [(0.2, "#4f8a5c"), (0.5, "#86b46c"), (0.8, "#cfdc93")])
    seen = over(sky, leaves, 0.8 * step(0.7, -0.7, hit.y - crowns))
    across = np.where(hit.y < hall.SPRING, bars(hit.y, 1.5, 0.06), bars(hit.turn, 1 / 24, 0.0035))
    seen = over(seen, linear("#5d8c86"), 0.6 * np.maximum(bars(hit.z, 1.5, 0.08), across))
    seen = over(seen, linear(AIR), 0.9 * (1 - np.exp(-hit.z / 55)))
    return over(seen, linear("#fffbe6") * 1.5, step(END - 0.5, END, hit.z))


def path(x: Field, z: Field, rng: np.random.Generator) -> Field:
    """Old paving, mossy at its edges, in the light that leaves and arches let through."""
    texture = fbm(rng, 1024, 1024, (96, 96), 6)
    worn = sample(texture, x * 150, z * 150)
    stone = ramp(worn, [(0.25, "#b3a48e"), (0.5, "#d6c7ab"), (0.8, "#ebdfc8")])
    joints = np.maximum(bars(z, 1.1, 0.05), bars(x + 0.45 * (np.floor(z / 1.1) % 2), 0.9, 0.05))
    stone = over(stone, linear("#6f7f48"), np.clip(0.75 * joints + 0.5 * step(0.5, 0.7, worn), 0, 0.85))
    middle, half = (PATH_LEFT + PATH_RIGHT) / 2, (PATH_RIGHT - PATH_LEFT) / 2
    edge = np.abs(x - middle) - half + 1.1 * (sample(texture, x * 90 + 500, z * 90) - 0.5)
    stone = over(stone, linear("#55753a"), step(-0.9, 0.1, edge))
    dapple = step(0.46, 0.58, 0.55 * sample(texture, (x - 0.5 * z) * 55 + 200, z * 48) + 0.45 * worn + 0.06)
    light = (dapple * (1 - 0.55 * bars(z + 0.9 * x + 2, BAY, 0.5)))[..., None]
    lit = stone * (linear("#5f7a80") * 0.9 * (1 - light) + linear("#fff0c4") * 1.35 * light)
    return over(lit, linear(AIR), 0.9 * (1 - np.exp(-np.maximum(z - 4, 0) / 30)))


def garden(rng: np.random.Generator) -> Sheet:
    """Everything that grows, from far to near, with the iron arches and the traveller between."""
    sheet = Sheet.blank(WIDTH, HEIGHT)
    rows: list[tuple[float, Callable[[float], None]]] = []
    rows += [(bay * BAY, partial(arch, sheet, rng)) for bay in range(1, int(END / BAY))]
    rows += [(z, partial(bed, sheet, rng)) for z in (60 * 0.942 ** np.arange(48)).tolist()]
    rows += [(z, partial(palm, sheet, rng, x, tall)) for x, z, tall in PALMS_LEFT + PALMS_RIGHT]
    rows += [(10.5, lambda _: hall.traveller(sheet, "#262f2c", "#f4d68c", "#a8432f"))]
    for z, grow in sorted(rows, key=lambda row: -row[0]):
        grow(z)
    return sheet


def arch(sheet: Sheet, rng: np.random.Generator, z: float) -> None:
    hall.rib(sheet, z, hazy("#3d7465", z), hazy("#f3f6d8", z))
    for x in (-LAMPS_X, LAMPS_X):
        basket(sheet, rng, x, z)


def bed(sheet: Sheet, rng: np.random.Generator, z: float) -> None:
    """One row of planting on both sides: big leaves now and then, shrubs, ferns and flowers along the path."""
    for side, inner in ((-1, -PATH_LEFT), (1, PATH_RIGHT)):
        if rng.random() < 0.5:
            banana(sheet, rng, side * rng.uniform(inner + 0.8, HALF - 0.6), z, rng.uniform(1.6, 3.0))
        for _ in range(3):
            shrub(sheet, rng, side * rng.uniform(inner + 0.5, HALF - 0.4), z, rng.uniform(0.8, 1.8))
        for _ in range(2):
            fern(sheet, rng, side * (inner + rng.uniform(-0.1, 0.5)), z, rng.uniform(0.5, 0.95))


def leaf(sheet: Sheet, base: Point, tip: Point, z: float, width: float, sag: float, colour: Colour) -> None:
    """One leaf in the plane at z: a curved lens in two tones, lighter on its upper half."""
    start, end = complex(*base), complex(*tip)
    spine = start * (1 - ALONG) ** 2 + ((start + end) / 2 + sag * 1j) * 2 * ALONG * (1 - ALONG) + end * ALONG**2
    away = 1j * (end - start) / (abs(end - start) + 1e-6)
    swell = SWELL * (width * away * (1 if away.imag >= 0 else -1))
    for edge, tone, share in [(spine - swell, DEEP, 0.38), (spine + swell, BRIGHT, 0.24)]:
        outline = np.concatenate([edge, spine[::-1]]).tolist()
        sheet.polygon([at(p.real, p.imag, z) for p in outline], hazy(mixed(colour, tone, share), z))


def green(rng: np.random.Generator, sun: float) -> Colour:
    return mixed(GREENS[rng.integers(len(GREENS))], BRIGHT, min(0.85, max(0.0, sun + rng.normal(0, 0.12))))


def shrub(sheet: Sheet, rng: np.random.Generator, x: float, z: float, size: float) -> None:
    for _ in range(26):
        turn, reach = rng.uniform(0, np.pi), size * rng.uniform(0.35, 1)
        base = (x + 0.75 * reach * np.cos(turn), 0.2 + 0.9 * reach * np.sin(turn))
        point, long = turn + rng.normal(0, 0.5), rng.uniform(0.25, 0.5)
        tip = (base[0] + long * np.cos(point), base[1] + long * np.sin(point))
        leaf(sheet, base, tip, z, 0.07 + 0.04 * size, 0.05, green(rng, 0.3 * reach * np.sin(turn)))


def fern(sheet: Sheet, rng: np.random.Generator, x: float, z: float, size: float) -> None:
    for turn in np.linspace(0.15, 0.85, 9) * np.pi + rng.normal(0, 0.1, 9):
        reach = size * rng.uniform(0.8, 1.2)
        tip = (x + reach * np.cos(turn), 0.05 + 0.75 * reach * np.sin(turn))
        leaf(sheet, (x, 0.0), tip, z, 0.05, 0.22 * reach, green(rng, 0.28))
    if rng.random() < 0.55:
        flowers(sheet, rng, x, z, hazy(PETALS[rng.integers(len(PETALS))], z))


def flowers(sheet: Sheet, rng: np.random.Generator, x: float, z: float, petal: Colour) -> None:
    pen = hall.standing(sheet, x, z)
    for _ in range(13):
        px, py, size = rng.normal(0, 0.22), rng.uniform(0.2, 0.7), rng.uniform(0.016, 0.03)
        for turn in np.arange(5) * 0.4 * np.pi:
            pen.disc(px + size * np.cos(turn), py + size * np.sin(turn), 0.75 * size, petal)
        pen.disc(px, py, 0.5 * size, hazy("#b5651d", z))


def banana(sheet: Sheet, rng: np.random.Generator, x: float, z: float, size: float) -> None:
    for turn in np.linspace(0.1, 0.9, 8) * np.pi + rng.normal(0, 0.12, 8):
        reach = size * rng.uniform(0.6, 0.95)
        tip = (x + 0.8 * reach * np.cos(turn), 0.45 * size + 0.75 * reach * np.sin(turn))
        leaf(sheet, (x, 0.3 * size), tip, z, 0.13 * size, 0.35 * reach, green(rng, 0.3))


def palm(sheet: Sheet, rng: np.random.Generator, x: float, tall: float, z: float) -> None:
    pen, lean = hall.standing(sheet, x, z), rng.normal(0, 0.3)
    trunk = [(lean * t * t, tall * t) for t in np.linspace(0, 1, 12).tolist()]
    pen.line(trunk, hazy("#5d4a38", z), 0.26)
    pen.line([(px + 0.08, py) for px, py in trunk], hazy("#b3926a", z), 0.07)
    for turn in rng.permutation(np.linspace(-0.28, 1.28, 17)) * np.pi:
        frond(sheet, rng, complex(x + lean, tall), float(turn), rng.uniform(1.7, 2.5), z)


def frond(sheet: Sheet, rng: np.random.Generator, crown: complex, turn: float, reach: float, z: float) -> None:
    colour, t = green(rng, 0.22 + 0.28 * float(np.sin(turn))), np.linspace(0, 1, 26)
    spine = crown + reach * t * np.exp(1j * turn) + 0.25j * t - 0.75j * reach * t * t
    ahead = np.gradient(spine) / np.abs(np.gradient(spine))
    long = 0.33 * reach * np.sin(np.pi * (0.14 + 0.8 * t))
    for side, tone, share in [(-1, DEEP, 0.5), (1, BRIGHT, 0.12)]:
        tips = spine + long * (ahead * np.exp(0.75j * side) - 0.35j)
        shade = hazy(mixed(colour, tone, share), z)
        for leaflet in np.stack([spine - 0.036 * ahead, tips, spine + 0.036 * ahead], 1).tolist():
            sheet.polygon([at(p.real, p.imag, z) for p in leaflet], shade)
    sheet.line([at(p.real, p.imag, z) for p in spine.tolist()], hazy("#8c9a4c", z), 0.045 * FOCAL / z)


def basket(sheet: Sheet, rng: np.random.Generator, x: float, z: float) -> None:
    """Leaves and trailing vines, where the station has its lamps."""
    hall.standing(sheet, x, z).line([(0, 9.6), (0, LAMPS_Y)], hazy("#4f6f5f", z), 0.03)
    for turn in rng.uniform(0, 2 * np.pi, 34):
        base = (x + rng.uniform(0, 0.3) * np.cos(turn), LAMPS_Y + 0.25 * rng.random() * np.sin(turn))
        leaf(sheet, base, (base[0] + 0.4 * np.cos(turn), base[1] + 0.3 * np.sin(turn)), z, 0.07, 0.08, green(rng, 0.3))
    for start in rng.normal(x, 0.28, 7).tolist():
        for y in np.arange(LAMPS_Y, LAMPS_Y - rng.uniform(0.6, 1.7), -0.12).tolist():
            aside = 0.14 if rng.random() < 0.5 else -0.14
            leaf(sheet, (start, y), (start + aside, y - 0.1), z, 0.045, 0.02, green(rng, 0.32))


def sunshine(picture: Field, rng: np.random.Generator) -> Field:
    """Shafts from the upper right, and dust that floats in them."""
    x, y = grid(WIDTH, HEIGHT)
    across = 1.1 * (x - 0.95) + 0.78 * (y + 0.15)
    shafts = step(0.46, 0.78, np.interp(900 * across + 1000, np.arange(2048), crest(rng, 2048, 150, 4)))
    fade = step(1.05, 0.1, y) * step(1.25, 0.1, np.hypot(x - 0.85, y))
    dust = np.zeros((HEIGHT, WIDTH), np.float32)
    dust[rng.integers(0, HEIGHT, 900), rng.integers(0, WIDTH, 900)] = rng.uniform(1, 9, 900)
    motes = (blur(dust, 1.2) + 3 * blur(dust * (dust > 8), 3)) * (0.15 + shafts)
    light = linear("#ffeeb0") * (0.28 * shafts)[..., None] + linear("#fff3c4") * motes[..., None]
    return picture + light * fade[..., None]


def close_leaves(rng: np.random.Generator) -> tuple[Field, Field]:
    """Dark leaves right before the eye, out of focus: they frame the view."""
    sheet = Sheet.blank(WIDTH, HEIGHT, 1)
    for corner, low, high in [((-2.3, -0.5), 0.1, 0.75), ((2.5, -0.4), 0.35, 0.95)]:
        for turn in np.linspace(low, high, 9) * np.pi + rng.normal(0, 0.06, 9):
            reach = rng.uniform(0.7, 1.35)
            tip = (corner[0] + reach * np.cos(turn), corner[1] + reach * np.sin(turn))
            leaf(sheet, corner, tip, 3.0, 0.13, 0.3, mixed("#0f3326", "#3f7a3c", rng.uniform(0, 0.6)))
    colour, cover = sheet.layers()
    soft = blur(cover, 4.0)
    return blur(colour * cover[..., None], 4.0) / np.maximum(soft, 1e-3)[..., None], soft
