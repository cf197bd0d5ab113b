"""The hall as a railway station, late on a wet night."""

from __future__ import annotations

import numpy as np

from . import hall
from .hall import BAY, END, LAMPS_X, LAMPS_Y, Hit, at, bars
from .paint import Colour, Field, Pen, Sheet, blur, fbm, glow, grid, linear, mixed, over, ramp, sample, smoothstep

SEED = 923
TRAIN_X, TRAIN_TOP = 2.9, 3.9
AMBER, IRON, CREAM = "#ffab52", "#0a0f22", "#d9b678"
BOTTLES = ("#6a2f1e", "#a04a24", "#3f4a3c", "#7b2b34")


def paint() -> Field:
    rng = np.random.default_rng(SEED)
    walls = surfaces(1)
    mirror = furniture(-1).onto(np.concatenate([walls[: hall.LEVEL], surfaces(-1)]))
    x, z, cover = hall.floor()
    picture = over(walls, wet_floor(mirror, x, z, rng), cover * (x > -TRAIN_X))
    feet = [(0.8, 10.2), (1.85, 10.2), (1.85, 10.9), (0.8, 10.9)]
    shadow = hall.shade(feet, [(4.9, 11.2), (10, 11.2), (10, 12), (4.9, 18)])
    picture = furniture(1).onto(picture * (1 - 0.75 * shadow)[..., None]) + beams()
    return glow(picture, 0.8, [(3, 0.4), (16, 0.25), (70, 0.16)])


def surfaces(up: int) -> Field:
    hit = hall.cast(up, TRAIN_X, TRAIN_TOP)
    picture = over(glass(hit), wall(hit), (hit.y < hall.SPRING) & (hit.z < END))
    picture = over(picture, *(layer[-len(picture) :] for layer in ribs(up).layers()))
    picture = over(picture, train(hit), (np.abs(hit.x + TRAIN_X) < 0.01) & (hit.y < TRAIN_TOP))
    low = 0.5 * np.exp(-((hit.y - 2) ** 2) / 14)
    air = over(np.broadcast_to(linear("#23406e"), picture.shape), linear("#c46a8c"), low)
    picture = over(picture, air, 1 - np.exp(-np.maximum(hit.z - 8, 0) / 60))
    return over(picture, city(hit), smoothstep(END - 0.5, END, hit.z))


def lamplight(x: Field, y: Field, z: Field) -> Field:
    along = (z + BAY / 2) % BAY - BAY / 2
    squared = along**2 + (np.abs(x) - LAMPS_X) ** 2 + (y - LAMPS_Y) ** 2
    return 1 / (1 + squared / 1.6)


def scatter(*cells: Field) -> Field:
    """A fixed random value, 0 to 1, for each cell of a lattice."""
    total = np.full(1, 7, np.uint32)
    for cell in cells:
        total = (total ^ np.floor(cell).astype(np.int32).view(np.uint32)) * np.uint32(0x9E3779B1)
        total ^= total >> np.uint32(15)
    return ((total * np.uint32(0x85EBCA6B)) >> np.uint32(8)).astype(np.float32) / 2**24


def glass(hit: Hit) -> Field:
    side = np.abs(hit.turn - 0.5) * 2
    night = ramp(side, [(0, "#061026"), (0.5, "#0f2a55"), (0.85, "#2a4180"), (1, "#5a4080")])
    panes = 0.75 + 0.5 * scatter(hit.z / 1.5, hit.turn * 24)
    lit = night * panes[..., None] + linear(AMBER) * (0.38 * lamplight(hit.x, hit.y, hit.z) * panes)[..., None]
    return over(lit, linear("#070b1c"), 0.85 * np.maximum(bars(hit.z, 1.5, 0.09), bars(hit.turn, 1 / 24, 0.004)))


def wall(hit: Hit) -> Field:
    courses = 0.85 + 0.3 * scatter(hit.z / 0.5 + 0.5 * (np.floor(hit.y / 0.25) % 2), hit.y / 0.25)
    stone = linear("#3b3350") * (courses * (0.3 + 2.2 * lamplight(hit.x, hit.y, hit.z)))[..., None]
    window = bars(hit.z + BAY / 2, BAY, 2.8) * smoothstep(0.9, 1.0, hit.y) * smoothstep(3.9, 3.8, hit.y)
    shop = ramp(hit.y, [(0.9, "#8a3f2c"), (2.2, "#f09a4a"), (3.9, "#ffcf83")])
    shop = shop * (0.5 + 0.7 * scatter(hit.z / 0.7))[..., None]
    frame = np.maximum(bars(hit.z, 0.7, 0.07), bars(hit.y - 2.9, 9, 0.08))
    return over(stone, over(shop, linear("#1b1526"), frame), window)


def train(hit: Hit) -> Field:
    panels = [(0, "#04080f"), (0.35, "#0a1a26"), (0.4, "#123744"), (1.4, "#17495a"), (3.1, "#1c4a5c"), (3.2, "#0d1c2c")]
    body = ramp(hit.y, [*panels, (3.9, "#1b2a44")])
    body = body * (0.5 + 3.2 * lamplight(hit.x - 0.8, hit.y + 1.2, hit.z))[..., None]
    body = over(body, linear(CREAM) * 0.6, bars(hit.y - 1.28, 9, 0.07))
    body = over(body, linear(CREAM) * 0.4, bars(hit.y - 3.12, 9, 0.05))
    body = over(body, linear("#02050a"), np.maximum(bars(hit.z - 0.4, 9.6, 0.09), bars(hit.z - 8.2, 9.6, 0.09)))
    frame = bars(hit.z - 1.2, 2.4, 1.95) * smoothstep(1.5, 1.54, hit.y) * smoothstep(2.94, 2.9, hit.y)
    pane = bars(hit.z - 1.2, 2.4, 1.75) * smoothstep(1.6, 1.64, hit.y) * smoothstep(2.84, 2.8, hit.y)
    return over(over(body, linear("#050c14"), frame), compartment(hit), pane)


def compartment(hit: Hit) -> Field:
    """Behind the train's windows: lamps along the ceiling, seats, and here and there a passenger."""
    along, who = hit.z % 2.4 - 1.2, scatter(hit.z / 2.4)
    light = ramp(hit.y, [(1.5, "#6b2d18"), (2.2, "#e08337"), (2.62, "#ffc470"), (2.68, "#fff0c8"), (2.8, "#fff0c8")])
    light = light * (0.7 + 0.8 * scatter(hit.z / 9.6 + 3) + 0.3 * np.exp(-((along / 0.5) ** 2)))[..., None]
    light = over(light, linear("#7c3f22"), 0.8 * bars(hit.y - 2.5, 9, 0.05))
    seats = smoothstep(0.34, 0.32, np.abs(np.abs(along) - 0.75)) * smoothstep(2.1, 2.07, hit.y)
    across = (along - 0.7 + 1.4 * (who > 0.7)) * 0.62
    head = smoothstep(0.145, 0.135, np.hypot(across, hit.y - 2.16))
    body = smoothstep(0.32, 0.3, np.hypot(across, hit.y - 1.72))
    dark = np.maximum(seats, np.maximum(head, body) * (who > 0.45))
    return over(1.25 * light, linear("#3b1612"), 0.93 * dark)


def city(hit: Hit) -> Field:
    """What the open end of the hall lets in: a glow, and towers in front of it."""
    sky = ramp(hit.y, [(0, "#ffc39a"), (3, "#f08a86"), (6.5, "#8f5f9e"), (11, "#3c4588")])
    for nearer, (height, colour) in enumerate([(4.6, "#b0708f"), (3.2, "#5d4a80")]):
        tops = height * (0.35 + 0.9 * scatter(hit.x / (1.3 - 0.4 * nearer) + 40 * nearer))
        lights = 0.7 * (scatter(hit.x / 0.22, hit.y / 0.3) > 0.86)
        block = over(np.broadcast_to(linear(colour), sky.shape), linear("#ffd08a"), lights)
        sky = over(sky, block, hit.y < tops)
    return 1.1 * sky


def wet_floor(mirror: Field, x: Field, z: Field, rng: np.random.Generator) -> Field:
    _, dy = hall.rays()
    texture = fbm(rng, 1024, 1024, (96, 96), 6)
    puddles = smoothstep(0.42, 0.6, sample(texture, x * 60 + 300, z * 60))
    ripple = (sample(texture, x * 420, z * 420) - 0.5) * np.minimum(1, 14 / z)
    rows = np.minimum(np.arange(hall.HEIGHT)[:, None] + 30 * ripple, hall.HEIGHT - 1)
    sharp = sample(mirror, np.arange(hall.WIDTH)[None, :] + 14 * ripple, rows)
    smeared = np.repeat(blur(sharp[:, ::6], 9.0), 6, axis=1)[:, : hall.WIDTH]
    shown = over(smeared, sharp, 0.25 + 0.6 * puddles)
    sheen = (0.14 + 0.75 * np.exp(-3.4 * np.abs(dy))) * (0.62 + 0.38 * puddles)
    wet = ground(x, z) * (1 - 0.5 * sheen)[..., None] + shown * sheen[..., None]
    return over(wet, linear("#8d5f8a"), 0.5 * (1 - np.exp(-z / 60)))


def ground(x: Field, z: Field) -> Field:
    """The platform's tiles and its yellow line, under the lamps and the train's windows."""
    tiles = linear("#2c2f4a") * (0.7 + 0.5 * scatter(x / 0.9, z / 0.9))[..., None]
    tiles = over(tiles, linear("#0a0d1c"), 0.8 * np.maximum(bars(x, 0.9, 0.035), bars(z, 0.9, 0.035)))
    tiles = over(tiles, linear("#d8a63c"), 0.8 * bars(x + 2.15, 40, 0.22))
    windows = bars(z - 1.2, 2.4, 1.7) * np.exp(-(x + TRAIN_X) / 0.9)
    light = 0.2 + 2.6 * lamplight(x, 0 * x + LAMPS_Y - 1.2, z) + 1.2 * windows
    colour = over(np.broadcast_to(linear("#9fb0ff"), tiles.shape), linear("#ffc48a"), smoothstep(0.25, 0.8, light))
    lit: Field = tiles * colour * light[..., None]
    return lit


def far_off(colour: Colour, z: float) -> Colour:
    return mixed(colour, "#6a5484", 1 - float(np.exp(-z / 60)))


def bays() -> list[float]:
    """The distances of the arches, from far to near."""
    return [bay * BAY for bay in range(int(END / BAY), 0, -1)]


def ribs(up: int) -> Sheet:
    sheet = Sheet.blank(hall.WIDTH, hall.HEIGHT)
    for z in bays():
        hall.rib(sheet, z, far_off("#121829", z), far_off("#7f83ad", z), up)
    return sheet


def furniture(up: int) -> Sheet:
    sheet = Sheet.blank(hall.WIDTH, hall.HEIGHT)
    for z in bays()[:-1]:
        for x in (-LAMPS_X, LAMPS_X):
            lamp(hall.standing(sheet, x, z, up), far_off(IRON, z))
    clock(hall.standing(sheet, 2.0, 3 * BAY, up))
    kiosk_side(sheet, up)
    kiosk(hall.standing(sheet, 5.0, 11.5, up))
    neon(hall.standing(sheet, 6.6, 11.5, up))
    hall.traveller(sheet, "#070916", "#d0925a", "#6d1f2c", up)
    return sheet


def lamp(pen: Pen, iron: Colour) -> None:
    pen.line([(0, 9.6), (0, LAMPS_Y + 0.5)], iron, 0.04)
    pen.shape([(x, LAMPS_Y + y) for x, y in [(-0.42, 0.12), (-0.2, 0.4), (0.2, 0.4), (0.42, 0.12)]], iron)
    turns = np.linspace(np.pi, 2 * np.pi, 14).tolist()
    pen.shape([(0.34 * np.cos(t), LAMPS_Y + 0.14 + 0.26 * np.sin(t)) for t in turns], "#ffc777", 6)


def clock(pen: Pen) -> None:
    pen.line("0,10 0,5.6", IRON, 0.06)
    pen.disc(0, 5.6, 0.66, IRON)
    pen.disc(0, 5.6, 0.56, "#fff0d0", 0.6)
    pen.line("0,5.6 .2,5.84", "#1a1626", 0.07)
    pen.line("0,5.6 -.1,6.02", "#1a1626", 0.05)


def kiosk_side(sheet: Sheet, up: int) -> None:
    def panel(near: float, far: float, low: float, high: float, colour: Colour, shine: float = 0) -> None:
        corners = [(near, low), (far, low), (far, high), (near, high)]
        sheet.polygon([at(5.0, up * y, z) for z, y in corners], colour, shine)

    panel(11.5, 17, 0, 3.1, "#33203a")
    for z in (12.0, 13.7, 15.4):
        panel(z, z + 1.3, 1.1, 2.5, "#e0823c")
        panel(z, z + 1.3, 1.75, 2.5, "#ffb65e", 0.5)
        panel(z + 0.6, z + 0.7, 1.1, 2.5, "#33203a")


def kiosk(pen: Pen) -> None:
    """The front of a small café: planks, a lit hatch with its barista, a menu, an awning."""
    rng = np.random.default_rng(SEED + 1)
    pen.box(0, 0, 4.6, 3.1, "#1c1630")
    for plank in range(15):
        pen.box(0.31 * plank, 0, 0.03, 1.05, "#2d2140")
    pen.box(0.3, 1.12, 3, 1.38, "#c96a30")
    pen.box(0.3, 1.55, 3, 0.95, "#f29a4a", 0.2)
    pen.box(0.3, 2.0, 3, 0.5, "#ffc777", 0.6)
    for shelf in (1.62, 2.0):
        pen.box(0.3, shelf, 3, 0.035, "#5a2a1c")
        for bottle in range(25):
            pen.box(0.4 + 0.115 * bottle, shelf, 0.075, rng.uniform(0.1, 0.28), str(rng.choice(BOTTLES)))
    pen.shape("1.2,1.2 1.24,1.6 1.42,1.72 1.45,1.8 1.61,1.8 1.64,1.72 1.82,1.6 1.86,1.2", "#2a1420")
    pen.disc(1.53, 1.91, 0.12, "#2a1420")
    pen.box(0.15, 1.05, 3.3, 0.15, "#56301f")
    pen.box(3.65, 1.1, 0.7, 1.4, "#0f0d20")
    for line in range(6):
        pen.box(3.75, 1.35 + 0.17 * line, rng.uniform(0.25, 0.5), 0.04, "#8f8aa8")
    pen.box(-0.2, 3.1, 5, 0.18, "#0d0b1c")
    for stripe in range(12):
        pen.box(-0.1 + 0.3 * stripe, 2.5, 0.3, 0.52, "#8c2f4c" if stripe % 2 else "#cf9a92")


def neon(pen: Pen) -> None:
    pen.line("-.42,4 -.36,3.6 -.22,3.5 .22,3.5 .36,3.6 .42,4 -.42,4", "#ff4fa0", 0.05, 3.5)
    pen.line(".4,3.92 .58,3.88 .56,3.68 .36,3.64", "#ff4fa0", 0.05, 3.5)
    for x in (-0.2, 0, 0.2):
        steam = [(x + 0.06 * np.sin(9 * y), 4.12 + y) for y in np.linspace(0, 0.42, 12).tolist()]
        pen.line(steam, "#4fe3ff", 0.05, 3.5)


def beams() -> Field:
    """The cones of light that hang in the damp air under the lamps."""
    _, y = grid(hall.WIDTH, hall.HEIGHT)
    sheet = Sheet.blank(hall.WIDTH, hall.HEIGHT, 1)
    for z in bays()[-5:-1]:
        for x in (-LAMPS_X, LAMPS_X):
            hall.standing(sheet, x, z).shape("-.25,5 .25,5 2.1,0 -2.1,0", "#fff")
    cones = blur(sheet.layers()[1], 10) * smoothstep(0.72, 0.25, y)
    return linear(AMBER) * (0.05 * cones)[..., None]
