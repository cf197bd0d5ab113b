"""Turns two stills into a real MP4 for a rehearsal: a camera move where one is found, else a dissolve.

It runs no model, knows nothing of tasks or HTTP, and keeps nothing between calls.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias
from uuid import uuid4

import numpy as np
from PIL import Image, ImageChops, ImageOps

from vidu_run.local import badge, mark, sound
from vidu_run.local.badge import Badge
from vidu_run.local.camera import Grey, View, depth, estimate, grid
from vidu_run.local.encode import FPS, Facts, Film, encode
from vidu_run.local.mark import Mark, Stamp
from vidu_run.local.pictures import Planes, on_white, read, to_planes
from vidu_run.local.sound import Glimpse, Samples

Area: TypeAlias = tuple[int, int, int, int]

RENDER_VERSION: Final = 1
"""Raised with every change after which the same scene looks or sounds different."""

SHORT_SIDES: Final = {"360p": 360, "540p": 540, "720p": 720, "1080p": 1080}
LONGEST_ASPECT: Final = 4
LONGEST_SECONDS: Final = 16
CELL: Final = 8  # pixels to a side of the grid on which dissolve weights are worked out
HASTE: Final = 0.18  # stills brought to match may cross over quickly; where they still differ, less of a ghost
SHARPER: Final = 0.4
FEATHER: Final = 0.06  # of the frame's height
SLIGHT: Final = 0.05  # pixels a turn may move a corner and still pass for none
BILINEAR: Final = Image.Resampling.BILINEAR
AFFINE: Final = Image.Transform.AFFINE
BLACK: Final = (16, 128, 128)  # zeros would be green


@dataclass(frozen=True, slots=True)
class Scene:
    """A pair of encoded images and how to show it.

    `seconds` is 1 to 16; `resolution` a key of SHORT_SIDES, the aspect being the first frame's; the same scene and seed
    give the same video. `label` goes into the badge on the inner frames. `quick` is for tests: a plain dissolve.
    `sound` follows the pictures, `music` is a bed of chords; without either there is no audio stream. `mark` is a
    watermark on every frame; `facts` are names and texts for the file's metadata.
    """

    first: bytes
    last: bytes
    seconds: int
    resolution: str
    seed: int
    label: str
    quick: bool = False
    sound: bool = False
    music: bool = False
    mark: Mark | None = None
    facts: Facts = ()


@dataclass(frozen=True, slots=True)
class Rendered:
    width: int
    height: int
    frames: int
    fps: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Look:
    """What a seed decides: the pace, and where and how softly the first still gives way to the last."""

    bend: float
    start: float
    stop: float
    softness: float
    order: Grey  # 0 gives way first, 1 last

    def travelled(self, time: float) -> float:
        return _smooth(time**self.bend)

    def given_way(self, time: float) -> Grey:
        progress = _smooth(min(1.0, max(0.0, (time**self.bend - self.start) / (self.stop - self.start))))
        share = np.clip((progress * (1 + self.softness) - self.order) / self.softness, 0, 1)
        return share * share * (3 - 2 * share)


@dataclass(frozen=True, slots=True)
class Still:
    planes: Planes
    size: tuple[int, int]
    margin: int = 0  # luma pixels mirrored around the planes, for what a camera sees beside the still
    chroma_scale: int = 1

    def seen(self, index: int, view: View, area: Area) -> Image.Image:
        """An area of plane 0, 1 or 2 as it is shown through a view; area and result in that plane's pixels."""
        plane = self.planes[index]
        if view == View():
            return plane.crop(area)
        (width, height), margin = self.plane_size(index), self.margin // (2 if index else 1)
        across, down = area[0] - width / 2, area[1] - height / 2
        a, b = view.turn.real, view.turn.imag
        left = a * across - b * down + view.shift.real * height + width / 2 + margin
        top = b * across + a * down + view.shift.imag * height + height / 2 + margin
        size = (area[2] - area[0], area[3] - area[1])
        if index and self.chroma_scale > 1:
            lookup = tuple(self.chroma_scale * entry for entry in (a, -b, left, b, a, top))
            return plane.transform(size, AFFINE, lookup, Image.Resampling.NEAREST, fillcolor=BLACK[index])
        box = (left, top, left + a * size[0], top + a * size[1])
        if abs(b) * width < SLIGHT and min(box) >= 0 and box[2] <= plane.width and box[3] <= plane.height:
            return plane.resize(size, BILINEAR, box=box)
        return plane.transform(size, AFFINE, (a, -b, left, b, a, top), BILINEAR, fillcolor=BLACK[index])

    def plane_size(self, index: int) -> tuple[int, int]:
        width, height = self.size
        return (width // 2, height // 2) if index else (width, height)

    def for_camera(self, view: View) -> Still:
        """The same still with its mirror image around it, and ready to be turned.

        Turned chroma is taken from the nearest pixel of a plane twice as fine: a tenth of the cost of interpolating.
        """
        margin = 2 * (self.size[1] // 16)
        scale = 1 if abs(view.turn.imag) * self.size[0] < SLIGHT else 2
        luma, blue, red = self.planes
        around = _mirrored(luma, margin, 1), _mirrored(blue, margin // 2, scale), _mirrored(red, margin // 2, scale)
        return Still(around, self.size, margin, scale)


@dataclass(frozen=True, slots=True)
class Move:
    """How each still is seen: the first moves from itself to `first`, the last from `last` to itself."""

    first: View
    last: View
    camera: bool = False


class Abandoned(Exception):
    """Nobody waits for this video any more."""


def render(scene: Scene, target: Path, stopped: Callable[[], bool] = lambda: False) -> Rendered:
    """Writes the scene as MP4, whole or not at all; the first and last video frame are the two stills.

    Raises ValueError for an image that cannot be read or is longer than 4 to 1, and for a length, resolution or
    place of the watermark that does not exist; Abandoned once `stopped`, which is asked before each frame.
    """
    first, last = _stills(scene)
    stamp = mark.draw(scene.mark, *first.size) if scene.mark else None
    glimpses: list[Glimpse] = []
    frames = _dressed(_frames(scene, first, last, glimpses), scene, _badge(scene.label, first.size, stamp), stamp)
    track = partial(_track, scene, glimpses) if scene.sound or scene.music else None
    part = target.with_name(f".{uuid4().hex}.part")
    try:
        encode(part, Film(first.size, scene.seconds, scene.quick, scene.facts), _until(stopped, frames), track)
        size = part.stat().st_size
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return Rendered(first.width, first.height, scene.seconds * FPS, FPS, size)


def _stills(scene: Scene) -> tuple[Image.Image, Image.Image]:
    if scene.resolution not in SHORT_SIDES:
        raise ValueError(f"{scene.resolution} is not one of {', '.join(SHORT_SIDES)}")
    if not 1 <= scene.seconds <= LONGEST_SECONDS:
        raise ValueError(f"{scene.seconds} s is not between 1 and {LONGEST_SECONDS} s")
    first = _picture(scene.first, "first")
    size = _size(first, SHORT_SIDES[scene.resolution])
    first = ImageOps.fit(first, size, Image.Resampling.LANCZOS)
    return first, ImageOps.fit(_picture(scene.last, "last"), size, Image.Resampling.LANCZOS)


def _picture(data: bytes, which: str) -> Image.Image:
    return on_white(read(data, f"{which} frame"))


def _size(picture: Image.Image, short: int) -> tuple[int, int]:
    aspect = max(picture.size) / min(picture.size)
    if aspect > LONGEST_ASPECT:
        raise ValueError(f"the first frame is {picture.width}x{picture.height}: longer than {LONGEST_ASPECT} to 1")
    long = 2 * round(short * aspect / 2)
    return (long, short) if picture.width >= picture.height else (short, long)


def _frames(scene: Scene, first: Image.Image, last: Image.Image, glimpses: list[Glimpse]) -> Iterator[Planes]:
    """All frames in order, nothing on them yet; what a sound would follow is added to `glimpses` on the way."""
    for planes in _pictures(scene, first, last):
        if scene.sound:
            glimpses.append(sound.glimpse(planes[0]))
        yield planes


def _pictures(scene: Scene, first: Image.Image, last: Image.Image) -> Iterator[Planes]:
    look = _look(scene.seed, first)
    move = Move(View(), View()) if scene.quick else _move(scene.seed, first, last)
    if move.camera:
        look = replace(look, start=look.start + HASTE, stop=look.stop - HASTE, softness=look.softness * SHARPER)
    stills = Still(to_planes(first), first.size), Still(to_planes(last), first.size)
    before, after = (still.for_camera(move.first) if move.camera else still for still in stills)
    final = scene.seconds * FPS - 1
    yield stills[0].planes
    for index in range(1, final):
        yield _between(before, after, look, move, index / final)
    yield stills[1].planes


def _dressed(frames: Iterator[Planes], scene: Scene, pill: Badge, stamp: Stamp | None) -> Iterator[Planes]:
    """The mark goes on every frame, the badge on the inner ones: the two outer ones are the stills."""
    final = scene.seconds * FPS - 1
    for index, planes in enumerate(frames):
        if 0 < index < final:
            pill.stamp(planes)
        yield stamp.on(planes) if stamp else planes


def _badge(label: str, size: tuple[int, int], stamp: Stamp | None) -> Badge:
    """Lower left, or upper left where a mark stands in the way: a mark below never reaches that far up."""
    usual = badge.draw(label, *size)
    return badge.draw(label, *size, at_top=True) if stamp and _overlap(usual.box, stamp.box) else usual


def _overlap(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _track(scene: Scene, glimpses: list[Glimpse]) -> Samples:
    parts = [sound.follow(glimpses, FPS, scene.seed)] if scene.sound else []
    return sound.mix([*parts, sound.bed(scene.seconds, scene.seed)] if scene.music else parts)


def _look(seed: int, first: Image.Image) -> Look:
    chance = _chance(seed)
    width, height = -(-first.width // CELL), -(-first.height // CELL)
    points = grid(width, height, first.width / first.height)
    angle, heart = chance.uniform(0, math.tau), complex(chance.uniform(-0.5, 0.5), chance.uniform(-0.3, 0.3))
    light = np.asarray(first.convert("L").resize((24, 24)).resize((width, height), Image.Resampling.BICUBIC), float)
    shapes = (
        points.real * math.cos(angle) + points.imag * math.sin(angle),
        np.abs(points - heart) * chance.choice((-1, 1)),
        light * chance.choice((-1, 1)),
    )
    clouds = Image.fromarray(chance.integers(0, 256, (5, 8), dtype=np.uint8))
    drifting = np.asarray(clouds.resize((width, height), Image.Resampling.BICUBIC), float)
    order = _levelled(_levelled(shapes[seed % 3]) + 0.3 * _levelled(drifting))
    return Look(
        bend=chance.uniform(0.8, 1.25),
        start=chance.uniform(0.06, 0.18),
        stop=chance.uniform(0.82, 0.94),
        softness=chance.uniform(0.6, 1.2),
        order=order,
    )


def _move(seed: int, first: Image.Image, last: Image.Image) -> Move:
    camera = estimate(first.convert("L"), last.convert("L"))
    if camera is not None:
        return Move(camera, camera.inverse(), camera=True)
    chance = _chance(seed)
    heart = cmath.rect(0.35, chance.uniform(0, math.tau))
    return Move(_closer(heart, chance.uniform(0.05, 0.1)), _closer(-heart, chance.uniform(0.05, 0.1)))


def _closer(heart: complex, share: float) -> View:
    """The still enlarged about a point, so that nothing beside it comes into view."""
    return View(complex(1 - share), heart * share)


def _between(first: Still, last: Still, look: Look, move: Move, time: float) -> Planes:
    gone = look.travelled(time)
    views = move.first.power(gone), move.last.power(1 - gone)
    weight = look.given_way(time)
    if move.camera:
        weight = _where_seen(weight, views, first.size[0] / first.size[1], gone)
    shares = Image.fromarray(np.rint(weight * 255).astype(np.uint8))
    fine, coarse = (shares.resize(first.plane_size(index), BILINEAR) for index in (0, 1))
    luma, blue, red = (_blend(first, last, views, mask, index) for index, mask in enumerate((fine, coarse, coarse)))
    return luma, blue, red


def _where_seen(weight: Grey, views: tuple[View, View], aspect: float, gone: float) -> Grey:
    """The weights moved towards the still that shows a place, where the other one's edge is near or passed."""
    points = grid(weight.shape[1], weight.shape[0], aspect)
    depths = depth(views[0].at(points), aspect), depth(views[1].at(points), aspect)
    first, last = (
        np.clip(inside / (FEATHER * share + 1e-6), 0, 1) for inside, share in zip(depths, (gone, 1 - gone), strict=True)
    )
    near_first, near_last = (1e-6 * np.exp(40 * np.minimum(inside, 0)) for inside in depths)
    beside_both = (last + near_last) / (first + near_first + last + near_last)
    return np.where(first + last < 1, beside_both, np.clip(weight, 1 - first, last))


def _blend(first: Still, last: Still, views: tuple[View, View], mask: Image.Image, index: int) -> Image.Image:
    """One plane; each still is looked up only within the bounds of where it shows."""
    blended = Image.new("L", mask.size)
    if area := ImageChops.invert(mask).getbbox():
        blended.paste(first.seen(index, views[0], area), area[:2])
    if area := mask.getbbox():
        blended.paste(last.seen(index, views[1], area), area[:2], mask.crop(area))
    return blended


def _until(stopped: Callable[[], bool], frames: Iterator[Planes]) -> Iterator[Planes]:
    for planes in frames:
        if stopped():
            raise Abandoned
        yield planes


def _mirrored(plane: Image.Image, margin: int, scale: int) -> Image.Image:
    wide = Image.fromarray(np.pad(np.asarray(plane), margin, "symmetric"))
    return wide.resize((wide.width * scale, wide.height * scale), Image.Resampling.BICUBIC)


def _smooth(time: float) -> float:
    return time * time * (3 - 2 * time)


def _levelled(plane: Grey) -> Grey:
    """From 0 to 1; a few very dark or light places do not set the scale."""
    lowest, highest = np.percentile(plane, (3, 97))
    levelled: Grey = np.clip((plane - lowest) / max(highest - lowest, 1e-6), 0, 1)
    return levelled


def _chance(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed % 2**64)
