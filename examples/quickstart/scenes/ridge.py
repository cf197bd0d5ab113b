"""A mountain range with a lookout: one landscape, painted by moonlight or at sunrise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .paint import Colour, Field, Pen, Point, Sheet, blur, crest, fbm, glow, grid, linear, over, ramp, resized, sample
from .paint import smoothstep as step

WIDTH, HEIGHT = 1920, 1080
LAND = 4711
PEAK = 0.63


@dataclass(frozen=True, slots=True)
class Light:
    """All that differs between the two hours: where the light stands, and the colours it gives."""

    sky: Sequence[tuple[float, Colour]]
    place: Point
    disc: Colour
    radius: float
    power: float
    halo: Sequence[tuple[float, float]]
    aura: Colour
    near: Colour
    middle: Colour
    far: Colour
    mist: Colour
    lit: Colour
    shaded: Colour
    rays: float
    stars: float
    lamp: float


NIGHT = Light(
    sky=[(0, "#0a1230"), (0.25, "#15265a"), (0.45, "#2a4a86"), (0.6, "#4f86ad"), (0.72, "#9cc3c6")],
    place=(0.785, 0.17),
    disc="#f4f1e0",
    radius=0.023,
    power=1.9,
    halo=[(0.03, 0.55), (0.15, 0.14)],
    aura="#b9cdf0",
    near="#050a1c",
    middle="#24406f",
    far="#456793",
    mist="#7ba4c4",
    lit="#b4cff2",
    shaded="#1b3468",
    rays=0.0,
    stars=1.0,
    lamp=9.0,
)
SUNRISE = Light(
    sky=[(0, "#3d6b96"), (0.2, "#7ea2ae"), (0.38, "#e2c9a0"), (0.5, "#ffc078"), (0.62, "#ff9f5c"), (0.75, "#f98a5a")],
    place=(0.33, 0.47),
    disc="#ffedb0",
    radius=0.036,
    power=3.0,
    halo=[(0.03, 2.2), (0.09, 1.1), (0.3, 0.4)],
    aura="#ffa64e",
    near="#170c22",
    middle="#804e68",
    far="#e39b78",
    mist="#eeb59c",
    lit="#ffd7a8",
    shaded="#6d4a80",
    rays=0.5,
    stars=0.0,
    lamp=1.0,
)


def paint(light: Light) -> Field:
    picture = sky(light)
    land = np.random.default_rng(LAND)
    cover = np.zeros((HEIGHT, WIDTH), np.float32)
    for layer in (far_range, massif, shoulders, forest, near_hill):
        colour, mask = layer(light, land)
        picture, cover = over(picture, colour, mask), np.maximum(cover, mask)
    picture = sunbeams(picture, cover, light)
    return glow(picture, 0.85, [(6, 0.25), (28, 0.18), (90, 0.12)])


def sky(light: Light) -> Field:
    rng = np.random.default_rng(LAND + 1)
    x, y = grid(WIDTH, HEIGHT)
    distance = np.hypot((x - light.place[0]) * WIDTH / HEIGHT, y - light.place[1])
    picture = ramp(y + 0.02 * fbm(rng, WIDTH, HEIGHT, (900, 200), 3), light.sky)
    if light.stars:
        picture = picture + starlight()
    for reach, strength in light.halo:
        picture = picture + linear(light.aura) * (strength * np.exp(-distance / reach))[..., None]
    picture = clouds(picture, light, rng, distance)
    edge = step(light.radius + 0.0012, light.radius - 0.0012, distance)
    seas = 1 - 0.3 * light.stars * step(0.45, 0.7, fbm(rng, WIDTH, HEIGHT, (45, 45), 4))
    return over(picture, linear(light.disc) * light.power * seas[..., None], edge)


def starlight() -> Field:
    """Stars, and the haze of the Milky Way in which they are densest."""
    rng = np.random.default_rng(LAND + 2)
    x, y = grid(WIDTH, HEIGHT)
    dust = fbm(rng, WIDTH, HEIGHT, (330, 330), 7)
    band = np.exp(-(((y - 0.6 + 0.75 * x) / 0.2) ** 2)) * step(0.3, 0.72, dust)
    across, down = rng.integers(2, WIDTH - 2, 5200), rng.integers(2, int(0.62 * HEIGHT), 5200)
    seen = rng.random(5200) < 0.25 + 1.2 * band[down, across]
    points = np.zeros((HEIGHT, WIDTH), np.float32)
    points[down[seen], across[seen]] = np.minimum(6, 0.3 * rng.pareto(1.75, int(seen.sum())))
    shining = 2.6 * blur(points, 0.75) + 2.5 * blur(np.maximum(points - 2.5, 0), 2.2)
    light = linear("#dfe9ff") * shining[..., None] + linear("#9aa4f0") * (0.55 * band * band)[..., None]
    return light * (1 - step(0.2, 0.58, y))[..., None]


def clouds(picture: Field, light: Light, rng: np.random.Generator, distance: Field) -> Field:
    _, y = grid(WIDTH, HEIGHT)
    streaks = fbm(rng, WIDTH, HEIGHT, (900, 75), 7) + 0.35 * fbm(rng, WIDTH, HEIGHT, (300, 22), 5) - 0.17
    thick = step(0.5, 0.78, streaks) * step(0.06, 0.2, y) * (1 - step(0.45, 0.6, y))
    warm = linear(light.aura) * np.exp(-2.2 * distance)[..., None] * (1.6 - light.stars)
    return over(picture, 0.75 * linear(light.mist) + warm, thick * (0.8 - 0.68 * light.stars))


def mountains(rng: np.random.Generator, base: float, height: float, cell: float, octaves: int = 7) -> Field:
    """A ridge line: for each column the row, as a fraction of the picture, where the ridge begins."""
    return base - height * crest(rng, WIDTH, cell, octaves, ridged=True)


def below(line: Field) -> Field:
    _, y = grid(WIDTH, HEIGHT)
    return np.clip((y - line) * HEIGHT + 0.5, 0, 1)


def bump(centre: float, width: float) -> Field:
    x, _ = grid(WIDTH, HEIGHT)
    hump: Field = np.exp(-(((x[0] - centre) / width) ** 2))
    return hump


def tint(light: Light, nearness: float) -> Field:
    return ramp(nearness, [(0, light.far), (0.45, light.middle), (1, light.near)])


def misty(colour: Field, line: Field, light: Light, rng: np.random.Generator, depth: float, strength: float) -> Field:
    """The colour of a slope, sinking into the valley's fog below its ridge line."""
    x, y = grid(WIDTH, HEIGHT)
    wisps = fbm(rng, WIDTH, HEIGHT, (520, 90), 6)
    fog = step(0.15, 1.25, (y - line) / depth + 0.9 * (wisps - 0.5)) * strength
    sunward = np.exp(-np.abs(x - light.place[0]) * 2.5) * (1 - light.stars)
    warm = linear(light.mist) + linear(light.aura) * 0.5 * sunward[..., None]
    return over(np.broadcast_to(colour, (HEIGHT, WIDTH, 3)), warm, fog)


def far_range(light: Light, rng: np.random.Generator) -> tuple[Field, Field]:
    line = mountains(rng, 0.66, 0.17, 330)
    return misty(tint(light, 0.05), line, light, rng, 0.13, 0.9), below(line)


def massif(light: Light, rng: np.random.Generator) -> tuple[Field, Field]:
    x, y = grid(WIDTH, HEIGHT)
    summit = np.maximum(0, 1 - np.abs(x[0] - PEAK) / 0.3) ** 1.25 * 0.34
    flank = np.maximum(0, 1 - np.abs(x[0] - 0.87) / 0.2) ** 1.3 * 0.17
    line = mountains(rng, 0.74, 0.21, 210, 8) - np.maximum(summit, flank)
    relief = rock(rng, line)
    slope = 95 * np.gradient(blur(relief, 1.2), axis=1) + 260 * np.gradient(blur(relief, 7), axis=1)
    sunny = step(-0.75, 0.85, slope * (1 if light.place[0] < PEAK else -1) + 0.1)
    stone = linear(light.middle) * (0.72 + 1.15 * sunny * (0.6 + 0.6 * relief))[..., None]
    white = linear(light.shaded) + (linear(light.lit) - linear(light.shaded)) * sunny[..., None]
    snow = step(0.42, 0.62, 1.1 - (y - 0.22) * 1.9 + 0.75 * (relief - 0.6))
    return misty(over(stone, white, snow), line, light, rng, 0.4, 0.97), below(line)


def rock(rng: np.random.Generator, line: Field) -> Field:
    """A relief of gullies that fan out downhill from the summit, about 0 to 1."""
    x, y = grid(WIDTH, HEIGHT)
    texture = fbm(rng, 1536, 1536, (150, 300), 8, ridged=True)
    drift = fbm(rng, WIDTH, HEIGHT, (240, 240), 5) - 0.5
    drop = np.maximum(y - line, 0)
    u = (x - PEAK) / (1 + 1.4 * drop) * WIDTH + 170 * drift + 700
    return sample(texture, u, 0.9 * drop * HEIGHT + 60 * drift + 200)


def shoulders(light: Light, rng: np.random.Generator) -> tuple[Field, Field]:
    x, _ = grid(WIDTH, HEIGHT)
    line = mountains(rng, 0.72, 0.14, 300) + 0.1 * bump(0.42, 0.2) + 0.07 * x[0]
    shade = tint(light, 0.42) * (0.75 + 0.5 * fbm(rng, WIDTH, HEIGHT, (90, 160), 6, ridged=True))[..., None]
    return misty(shade, line, light, rng, 0.17, 0.9), below(line)


def forest(light: Light, rng: np.random.Generator) -> tuple[Field, Field]:
    line = mountains(rng, 0.9, 0.1, 420, 4) + 0.05 * bump(0.5, 0.18)
    trees = firs(rng, line, 520, (14, 40))
    return misty(tint(light, 0.72), line - 0.03, light, rng, 0.17, 0.8), np.maximum(below(line), trees)


def near_hill(light: Light, rng: np.random.Generator) -> tuple[Field, Field]:
    x, y = grid(WIDTH, HEIGHT)
    bank = 0.93 - 0.2 * step(0.62, 1.05, x[0]) - 0.1 * step(0.3, -0.1, x[0]) + 0.075 * np.sin(x[0] * 9) ** 2
    line = bank - 0.04 * crest(rng, WIDTH, 160)
    trees = np.maximum(firs(rng, line, 130, (50, 150), clearing=(0.6, 0.83)), below(line))
    colour, cabin = lookout(light, line)
    ground = tint(light, 0.97) * (1 + 0.5 * (1 - step(0, 0.12, y - line)))[..., None]
    return over(ground, colour, cabin), np.maximum(trees, cabin)


def firs(rng: np.random.Generator, line: Field, count: int, sizes: Point, clearing: Point | None = None) -> Field:
    sheet = Sheet.blank(WIDTH, HEIGHT)
    clumps = crest(rng, WIDTH, 260, 4)
    for column in rng.integers(0, WIDTH, count).tolist():
        size = rng.uniform(*sizes) * (0.55 + 0.9 * float(clumps[column]))
        if clearing and (clearing[0] < column / WIDTH < clearing[1] or clumps[column] < 0.42):
            size *= 0.35
        fir(Pen(sheet, column, line[column] * HEIGHT + size * 0.12, size), rng, 6 + int(size / 9))
    return sheet.layers()[1]


def fir(pen: Pen, rng: np.random.Generator, tiers: int) -> None:
    """One tree, one unit tall."""
    lean = rng.normal(0, 0.02)
    sides: list[list[Point]] = []
    for side in (-1, 1):
        edge = [(lean, 1.0)]
        for tier in (np.arange(1, tiers + 1) / tiers).tolist():
            high, reach = 1 - 0.94 * tier**1.1, side * 0.19 * tier**0.8 * rng.uniform(0.6, 1.2)
            edge += [(reach, high - 0.022), (0.5 * reach, high + 0.004)]
        sides.append(edge)
    pen.shape([*sides[0], (0, 0), *reversed(sides[1])], "#000")
    pen.line("0,0.5 0,-0.1", "#000", 0.025)


def lookout(light: Light, line: Field) -> tuple[Field, Field]:
    """The fire lookout on its legs; by night somebody is in."""
    sheet, dark = Sheet.blank(WIDTH, HEIGHT), light.near
    pen = Pen(sheet, 0.735 * WIDTH, line[int(0.735 * WIDTH)] * HEIGHT + 14, 1.5)
    for side in (-1, 1):
        pen.line([(side * 34, 0), (side * 22, 120)], dark, 3.2)
    for storey in range(4):
        low, high, half = 6 + 29 * storey, 35 + 29 * storey, 33 - 3 * storey
        pen.line([(-half, low), (half - 3, high)], dark, 1.4)
        pen.line([(half, low), (3 - half, high)], dark, 1.4)
        pen.line([(3 - half, high), (half - 3, high)], dark, 1.8)
    pen.box(-40, 118, 80, 5, dark)
    pen.box(-27, 123, 54, 34, dark)
    for pane in (-19.5, -6.5, 6.5, 19.5):
        pen.box(pane - 5.2, 134, 10.4, 17, "#ffb45a", light.lamp)
    for post in range(-4, 5):
        pen.line([(post * 9.6, 122), (post * 9.6, 134)], dark, 1.2)
    pen.line("-39,134 39,134", dark, 1.5)
    pen.shape("-38,155 0,177 38,155", dark)
    pen.line("0,170 0,205", dark, 1.3)
    return sheet.layers()


def sunbeams(picture: Field, cover: Field, light: Light) -> Field:
    """Light that leaks past the ridges, smeared away from the sun in ever longer steps."""
    width, height = WIDTH // 4, HEIGHT // 4
    x, y = light.place[0] * width, light.place[1] * height
    beam = np.clip(resized(picture * (1 - cover)[..., None], width, height), 0, 1.2)
    for share in (0.985, 0.97, 0.94, 0.88, 0.78):
        nearer = (x * (1 - share), y * (1 - share), x + (width - x) * share, y + (height - y) * share)
        beam = (beam + resized(beam, width, height, nearer)) / 2
    strength = 0.6 * light.rays * (0.25 + cover)
    return picture + resized(beam, WIDTH, HEIGHT) * linear(light.aura) * strength[..., None]
