"""A harbour before sunrise: one large painting, of which a camera takes the frames."""

from __future__ import annotations

import numpy as np

from .paint import Colour, Field, Pen, Sheet, crest, fbm, glow, grid, linear, mixed, over, ramp, sample, smoothstep

WIDTH, HEIGHT, HORIZON = 2304, 1296, 0.5
LEVEL = int(HORIZON * HEIGHT)
SEED = 1881
DAWN = 0.4

SKY = [(0, "#122650"), (0.14, "#2b4878"), (0.27, "#6b6d9f"), (0.37, "#c2889f"), (0.44, "#f2ab8e"), (0.5, "#ffd59b")]
FIRST_LIGHT, LAMP, WOOD = "#ffbf8a", "#ffa94a", "#0d1229"
WALLS = ("#494567", "#5c4d69", "#6d5367", "#3e4567", "#775c6a", "#57516f")
ROOFS = ("#2b2845", "#3a2a46", "#4c3148", "#272c4a")
PANES = ("#ff9d3c", "#ffb85c", "#ffd28a", "#ffa64a")


def paint() -> Field:
    rng = np.random.default_rng(SEED)
    shore = town(headland(hills(sky(rng), rng), rng), rng)
    picture = mist(water(shore, fleet(-1), rng), rng)
    picture = fleet(1).onto(moon(picture))
    return glow(picture, 0.9, [(4, 0.4), (20, 0.22), (80, 0.12)])


def near_dawn(width: float) -> Field:
    """1 where the sun will rise, less to both sides; (1, WIDTH)."""
    x, _ = grid(WIDTH, HEIGHT)
    nearness: Field = np.exp(-(((x - DAWN) / width) ** 2))
    return nearness


def sky(rng: np.random.Generator) -> Field:
    _, y = grid(WIDTH, HEIGHT)
    drift = 0.03 * (fbm(rng, WIDTH, HEIGHT, (1300, 260), 4) - 0.5)
    picture = ramp(y + drift - 0.03 * near_dawn(0.3), SKY)
    streaks = fbm(rng, WIDTH, HEIGHT, (1000, 80), 7) + 0.4 * (fbm(rng, WIDTH, HEIGHT, (260, 26), 5) - 0.5)
    thick = smoothstep(0.47, 0.75, streaks) * smoothstep(0.02, 0.16, y) * smoothstep(0.5, 0.4, y)
    lit = smoothstep(0.0, 0.42, y) * near_dawn(0.42)
    cloud = ramp(lit, [(0, "#3d4f80"), (0.35, "#9a7396"), (0.7, "#f08e80"), (1, "#ffc486")])
    glowing: Field = near_dawn(0.13) * np.exp(-(((y - HORIZON) / 0.085) ** 2))
    return over(picture + linear("#ffc070") * (0.75 * glowing)[..., None], cloud, 0.75 * thick)


def moon(picture: Field) -> Field:
    """A thin crescent, lit from where the sun is, and the morning star."""
    x, y = grid(WIDTH, HEIGHT)
    x = x * (WIDTH / HEIGHT)
    disc = np.hypot(x - 0.62, y - 0.13)
    crescent = smoothstep(0.0215, 0.0205, disc) * smoothstep(0.0195, 0.022, np.hypot(x - 0.617, y - 0.1185))
    star = np.exp(-((np.hypot(x - 0.78, y - 0.19) / 0.0016) ** 2))
    halo: Field = linear("#cdd8ff") * (0.1 * np.exp(-disc / 0.05))[..., None]
    bright: Field = linear("#fff1d8") * (1.3 * crescent + 1.2 * star)[..., None]
    return picture + halo + bright


def rising(line: Field) -> Field:
    """What stands on the horizon under a ridge line."""
    _, y = grid(WIDTH, HEIGHT)
    land: Field = np.clip((y - line) * HEIGHT + 0.5, 0, 1) * np.clip((HORIZON - y) * HEIGHT + 0.5, 0, 1)
    return land


def hills(picture: Field, rng: np.random.Generator) -> Field:
    x, y = grid(WIDTH, HEIGHT)
    sunk = np.broadcast_to(0.75 * smoothstep(0.09, 0, HORIZON - y), (HEIGHT, WIDTH))
    ranges = [(0.45, 0.1, 520), (0.474, 0.09, 420), (0.483, 0.06, 300), (0.49, 0.045, 200)]
    for nearness, (foot, height, cell) in enumerate(ranges):
        tall = height * (0.25 + 2.4 * np.abs(x[0] - 0.45))
        line = foot - 0.015 * np.abs(x[0] - DAWN) - tall * crest(rng, WIDTH, cell, ridged=True)
        colour = ramp(nearness / 4, [(0, "#d79a9c"), (0.5, "#8a7396"), (1, "#39456f")])
        hazy = over(np.broadcast_to(colour, picture.shape), linear("#f3b294"), sunk)
        picture = over(picture, hazy, rising(line))
    return picture


def headland(picture: Field, rng: np.random.Generator) -> Field:
    x, _ = grid(WIDTH, HEIGHT)
    rocks = 0.03 * smoothstep(0.262, 0.235, x[0]) * crest(rng, WIDTH, 90)
    line = HORIZON - 0.12 * smoothstep(0.25, 0.0, x[0]) - rocks
    picture = over(picture, linear("#27305a"), rising(line))
    sheet = Sheet.blank(WIDTH, HEIGHT)
    lighthouse(Pen(sheet, 0.165 * WIDTH, line[int(0.165 * WIDTH)] * HEIGHT + 4, 1.15))
    return sheet.onto(picture)


def lighthouse(pen: Pen) -> None:
    pen.shape("-15,0 15,0 9,118 -9,118", "#8d86a4")
    pen.shape("-15,0 -10,0 -6,118 -9,118", "#d9a89c")
    pen.shape("4,0 15,0 9,118 3,118", "#5f5a82")
    for low, half in [(22, 13.9), (68, 11.5)]:
        pen.shape([(-half, low), (half, low), (half - 1.2, low + 22), (1.2 - half, low + 22)], "#8d3f4c")
    pen.box(-13, 118, 26, 4, "#2a2745")
    pen.box(-7, 122, 14, 16, "#ffe2a0", 9)
    pen.shape("-10,138 10,138 0,150", "#3b2a46")
    pen.box(-62, -20, 44, 38, "#4a4465")
    pen.shape("-66,18 -14,18 -24,34 -56,34", "#2f2745")
    pen.box(-46, 2, 7, 9, LAMP, 3)


def town(picture: Field, rng: np.random.Generator) -> Field:
    x, _ = grid(WIDTH, HEIGHT)
    rise = 0.2 * smoothstep(0.5, 0.86, x[0]) + 0.03 * smoothstep(0.4, 0.95, x[0])
    line = HORIZON - rise - 0.012 * crest(rng, WIDTH, 70) * smoothstep(0.5, 0.56, x[0])
    picture = over(picture, linear("#453f66"), rising(line))
    sheet = Sheet.blank(WIDTH, HEIGHT)
    church(Pen(sheet, 0.865 * WIDTH, line[int(0.865 * WIDTH)] * HEIGHT + 16, 1.25))
    for row in range(8):
        street(sheet, rng, line, row / 7)
    quay(Pen(sheet, 0, LEVEL), rng)
    return sheet.onto(picture)


def street(sheet: Sheet, rng: np.random.Generator, line: Field, down: float) -> None:
    """One row of houses across the hill; `down` is 0 at the top and 1 at the water."""
    column = WIDTH * (0.56 - 0.02 * down) + rng.uniform(0, 40)
    while column < WIDTH + 40:
        top = line[min(int(column), WIDTH - 1)] * HEIGHT + 12
        wide = rng.uniform(34, 58) * (0.75 + 0.35 * down)
        pen = Pen(sheet, column, top + (LEVEL - 12 - top) * down, wide / 40)
        if rng.random() < 0.16 - 0.1 * down:
            tree(pen, rng, down)
        else:
            house(pen, rng, (1 - down) * 0.42)
        column += wide * rng.uniform(0.8, 1.25)


def house(pen: Pen, rng: np.random.Generator, haze: float) -> None:
    tall = rng.uniform(30, 58)
    wall, roof = (mixed(str(rng.choice(shades)), "#a97d93", haze) for shades in (WALLS, ROOFS))
    pen.box(0, -30, 40, tall + 30, wall)
    pen.box(0, -30, 7, tall + 30, mixed(wall, FIRST_LIGHT, 0.32))
    gable = rng.random() < 0.5
    ridge = [(20, tall + 20)] if gable else [(4, tall + 17), (37, tall + 17)]
    pen.shape([(-3, tall - 1), *ridge, (43, tall - 1)], roof)
    pen.line([(-3, tall - 1), *ridge], mixed(roof, FIRST_LIGHT, 0.48), 1.5)
    if gable:
        pen.shape([(1.5, tall - 1), (38.5, tall - 1), (20, tall + 16)], mixed(wall, roof, 0.15))
    if rng.random() < 0.6:
        pen.box(27, tall + 6, 5, 17, mixed(roof, wall, 0.5))
    for floor in range(int(tall / 16)):
        windows(pen, rng, tall - 14 - 16 * floor, mixed(wall, "#1d2144", 0.55))


def windows(pen: Pen, rng: np.random.Generator, height: float, dark: Colour) -> None:
    for across in (10, 19.5, 29):
        if rng.random() < 0.3:
            pen.box(across, height, 5, 8, str(rng.choice(PANES)), rng.uniform(0.8, 3.5))
        else:
            pen.box(across, height, 5, 8, dark)


def tree(pen: Pen, rng: np.random.Generator, down: float) -> None:
    colour = mixed("#8a6f8e", "#22284a", 0.35 + 0.6 * down)
    for _ in range(16):
        shade = mixed(colour, "#c08a90", rng.uniform(0, 0.14))
        pen.disc(20 + rng.normal(0, 9), rng.uniform(0, 32), rng.uniform(6, 11), shade)


def church(pen: Pen) -> None:
    wall, roof = "#8a7593", "#55466c"
    pen.box(-64, -20, 66, 62, wall)
    pen.shape("-70,42 0,42 -4,74 -62,74", roof)
    pen.box(0, -20, 30, 130, wall)
    pen.box(0, -20, 7, 130, mixed(wall, FIRST_LIGHT, 0.45))
    pen.shape("-4,110 34,110 15,196", roof)
    pen.line("-4,110 15,196", mixed(roof, FIRST_LIGHT, 0.5), 2)
    pen.line("15,190 15,214", roof, 1.6)
    pen.disc(15, 88, 7, "#ffd9a0", 1.2)
    for across in (-54, -38, -22):
        pen.box(across, 8, 7, 20, "#ffb35e", 1.0)


def quay(pen: Pen, rng: np.random.Generator) -> None:
    pen.shape([(0.475 * WIDTH, 0), (WIDTH, 0), (WIDTH, 17), (0.49 * WIDTH, 15)], "#2b2a4c")
    pen.line([(0.49 * WIDTH, 15), (WIDTH, 17)], "#80667e", 2)
    pen.box(0.4855 * WIDTH, 12, 7, 26, "#8d3f4c")
    pen.disc(0.487 * WIDTH, 42, 4.5, "#ff5a4a", 6)
    for column in range(int(0.525 * WIDTH), WIDTH, 96):
        x = column + rng.uniform(-14, 14)
        pen.line([(x, 14), (x, 52)], "#1d1c38", 2.6)
        pen.disc(x, 55, 4.2, LAMP, 8)


def water(shore: Field, boats: Sheet, rng: np.random.Generator) -> Field:
    """The mirrored shore and boats, broken up by waves that grow towards the eye."""
    x, y = grid(WIDTH, HEIGHT)
    mirror = boats.onto(np.concatenate([shore[:LEVEL], shore[:LEVEL][::-1]]))[LEVEL:]
    depth = (y[LEVEL:] - HORIZON) / (1 - HORIZON)
    swell, chop, ripple = (waves(rng, x, depth, fineness) for fineness in (0.4, 1.4, 5))
    reach = (2.5 + 60 * depth) * np.minimum(1, 14 * depth + 0.2)
    across = x * WIDTH - 0.5 + reach * (0.7 * (chop - 0.5) + 0.3 * (ripple - 0.5))
    down = np.clip(depth * LEVEL + reach * (1.3 * swell + chop + 0.9 * ripple - 1.6), 0, LEVEL - 1)
    near = np.minimum(1, 2.5 * depth)
    slope = 0.5 * swell + chop - 0.75 + (ripple - 0.5) * near
    steep = np.clip(0.16 + 0.45 * depth + 1.15 * slope * np.minimum(1, 6 * depth), 0, 0.9)
    seen = over(0.92 * sample(mirror, across, down), linear("#0c1a36"), steep)
    path = np.exp(-(((x - DAWN) / (0.07 + 0.16 * depth)) ** 2)) * (1 - smoothstep(0.1, 0.62, depth))
    glint = path * smoothstep(0.56, 0.72, 0.3 * swell + 0.35 * chop + 0.38 * ripple)
    return np.concatenate([shore[:LEVEL], seen + linear("#ffb98a") * (0.9 * glint)[..., None]])


def waves(rng: np.random.Generator, x: Field, depth: Field, fineness: float) -> Field:
    texture = fbm(rng, 1024, 1024, (64, 64), 5)
    distance = 1 / (depth + 0.035)
    return sample(texture, (x - 0.5) * distance * 420 * fineness, distance * 700 * fineness + 0 * x)


def mist(picture: Field, rng: np.random.Generator) -> Field:
    _, y = grid(WIDTH, HEIGHT)
    band = np.exp(-(((y - HORIZON - 0.004) / np.where(y < HORIZON, 0.03, 0.022)) ** 2))
    wisps = smoothstep(0.25, 0.8, fbm(rng, WIDTH, HEIGHT, (500, 36), 6))
    return over(picture, ramp(near_dawn(0.3), [(0, "#cf959c"), (1, "#ffcf9c")]), 0.6 * band * wisps)


def fleet(up: int) -> Sheet:
    """Everything that stands in the water, or with `up` -1 its mirror image."""
    sheet = Sheet.blank(WIDTH, HEIGHT)

    def afloat(x: float, y: float, unit: float) -> Pen:
        return Pen(sheet, x * WIDTH, y * HEIGHT, unit, up)

    for x, y, unit in [(0.31, 0.514, 0.5), (0.365, 0.52, 0.6), (0.45, 0.517, 0.55)]:
        sloop(afloat(x, y, unit), "#56507a", "#b78f9c")
    sloop(afloat(0.86, 0.555, 1.1), "#2e2c50", "#8a7288")
    trawler(afloat(0.655, 0.575, 1.5))
    sloop(afloat(0.475, 0.61, 2.0), "#1d2143", "#8f7080")
    rowing_boat(afloat(0.79, 0.7, 1.7))
    jetty(afloat(0, 0.92, 1))
    return sheet


def sloop(pen: Pen, hull: Colour, edge: Colour) -> None:
    for stay in ("58,16 2,148", "-52,12 2,148", "20,13 2,104", "-14,12 2,104"):
        pen.line(stay, mixed(hull, edge, 0.2), 0.7)
    pen.line("2,10 2,150", hull, 2.2)
    pen.shape("-26,11 -22,21 12,21 20,12", mixed(hull, edge, 0.25))
    pen.box(-17, 14, 6, 4, LAMP, 5)
    pen.box(-7, 14, 6, 4, LAMP, 5)
    pen.shape("2,30 -48,27 -48,31 -24,35 2,37", mixed(edge, "#e8c9bd", 0.45))
    pen.line("4,28 -50,26", hull, 1.8)
    pen.shape("-54,12 -48,-3 40,-3 60,17 30,11 -20,9", hull)
    pen.line("-54,12 -20,9 30,11 60,17", edge, 1.3)
    pen.disc(2, 151, 1.5, "#fff0c8", 7)


def trawler(pen: Pen) -> None:
    for stay in ("74,32 14,122", "-66,18 14,122", "-62,18 -40,84"):
        pen.line(stay, "#1b1c38", 0.9)
    pen.line("14,20 14,124", "#17182f", 2.6)
    pen.line("14,40 -40,86", "#17182f", 1.9)
    pen.box(16, 16, 34, 32, "#4a3f5e")
    pen.box(16, 16, 5, 32, mixed("#4a3f5e", FIRST_LIGHT, 0.3))
    pen.box(12, 48, 42, 4, "#211f3e")
    for across in (20, 30, 40):
        pen.box(across, 33, 7, 10, LAMP, 6)
    pen.shape("-74,20 -64,-4 62,-4 82,36 52,22 -10,14", "#18223f")
    pen.shape("-69,8 -67.5,4 66,4 68,8", "#7c3540")
    pen.line("-74,20 -10,14 52,22 82,36", "#a4748a", 1.8)
    pen.disc(14, 127, 2.6, "#ffe6b0", 9)
    pen.disc(-40, 80, 2.2, LAMP, 8)


def rowing_boat(pen: Pen) -> None:
    pen.shape("-40,13 -32,-2 30,-2 42,16 20,10 -20,9", "#1b1d3c")
    pen.line("-40,13 -20,9 20,10 42,16", "#9a7383", 1.5)
    pen.line("-12,10 -46,-1", "#2a2748", 1.3)


def jetty(pen: Pen) -> None:
    """A wooden pier with a lantern, and someone with a fishing rod at its end."""
    for column in range(10, 540, 100):
        pen.box(column, -30, 15, 96, WOOD)
        pen.box(column, -30, 3, 96, mixed(WOOD, "#7d5f76", 0.3))
    pen.box(-10, 50, 530, 17, WOOD)
    pen.line("-10,67 520,67", "#7d5f76", 2)
    for column, tall in [(40, 50), (250, 46), (496, 54)]:
        pen.box(column, 50, 13, tall, WOOD)
    pen.box(347, 60, 6, 190, WOOD)
    pen.line("350,246 372,262 384,250", WOOD, 4)
    pen.shape("374,248 394,248 390,222 378,222", "#ffb65a", 9)
    pen.shape("370,246 398,246 384,260", WOOD)
    pen.shape("441,67 467,67 464,104 457,112 447,110 440,92", WOOD)
    pen.disc(456, 121, 9, WOOD)
    pen.shape("442,123 471,122 463,128 459,134 449,134", WOOD)
    pen.line("461,76 485,76 488,42", WOOD, 9)
    pen.line("459,98 479,90", WOOD, 6)
    pen.line("475,88 560,162 593,176", WOOD, 1.8)
    pen.line("593,176 598,-4", "#6a5a78", 0.8)
