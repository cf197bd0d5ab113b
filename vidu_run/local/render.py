"""Turns two stills into a real MP4 for a rehearsal: a camera move where one is found, else a dissolve.

It runs no model, knows nothing of tasks or HTTP, and keeps nothing between calls.
"""

from __future__ import annotations

import cmath
import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final, TypeAlias
from uuid import uuid4

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image, ImageChops, ImageOps

from vidu_run.local import badge
from vidu_run.local.badge import Planes
from vidu_run.local.camera import Grey, View, depth, estimate, grid

Area: TypeAlias = tuple[int, int, int, int]

FPS: Final = 24
SHORT_SIDES: Final = {"360p": 360, "540p": 540, "720p": 720, "1080p": 1080}
LONGEST_ASPECT: Final = 4
LONGEST_SECONDS: Final = 16
TITLE: Final = "Rehearsal render by vidu-run"
COMMENT: Final = "Made on this machine by vidu-run from two stills, as a rehearsal; not the output of a video model."
CELL: Final = 8  # pixels to a side of the grid on which dissolve weights are worked out
HASTE: Final = 0.18  # stills brought to match may cross over quickly; where they still differ, less of a ghost
FEATHER: Final = 0.06  # of the frame's height
SLIGHT: Final = 0.05  # pixels a turn may move a corner and still pass for none
BT709: Final = 1
BILINEAR: Final = Image.Resampling.BILINEAR
BLACK: Final = (16, 128, 128)  # zeros would be green
UNREADABLE: Final = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)


@dataclass(frozen=True, slots=True)
class Scene:
    first: bytes
    last: bytes
    seconds: int
    resolution: str
    seed: int
    label: str
    quick: bool = False


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
        box = (left, top, left + a * size[0], top + a * size[1])
        if abs(b) * width < SLIGHT and min(box) >= 0 and box[2] <= plane.width and box[3] <= plane.height:
            return plane.resize(size, BILINEAR, box=box)
        lookup = (a, -b, left, b, a, top)
        return plane.transform(size, Image.Transform.AFFINE, lookup, BILINEAR, fillcolor=BLACK[index])

    def plane_size(self, index: int) -> tuple[int, int]:
        width, height = self.size
        return (width // 2, height // 2) if index else (width, height)

    def with_margin(self, margin: int) -> Still:
        """The same still with its own mirror image around it."""
        widths = (margin, margin // 2, margin // 2)
        sides = zip(self.planes, widths, strict=True)
        luma, blue, red = (Image.fromarray(np.pad(np.asarray(plane), wide, "symmetric")) for plane, wide in sides)
        return Still((luma, blue, red), self.size, margin)


@dataclass(frozen=True, slots=True)
class Move:
    """How each still is seen: the first moves from itself to `first`, the last from `last` to itself."""

    first: View
    last: View
    camera: bool = False


def render(scene: Scene, target: Path) -> Rendered:
    """Writes the scene as H.264 in MP4, whole or not at all; the first and last video frame are the two stills.

    Raises ValueError for an image that cannot be read or is longer than 4 to 1, and for a length or resolution
    that does not exist.
    """
    first, last = _stills(scene)
    frames = _frames(scene, first, last)
    part = target.with_name(f".{uuid4().hex}.part")
    try:
        _encode(part, frames, first.size, scene)
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
    try:
        with Image.open(io.BytesIO(data)) as opened:
            opened.draft("RGB", (2160, 2160))
            upright = ImageOps.exif_transpose(opened)
            if upright.has_transparency_data:
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright.convert("RGBA"))
            return upright.convert("RGB")
    except UNREADABLE as error:
        raise ValueError(f"the {which} frame cannot be read as an image: {error}") from error


def _size(picture: Image.Image, short: int) -> tuple[int, int]:
    aspect = max(picture.size) / min(picture.size)
    if aspect > LONGEST_ASPECT:
        raise ValueError(f"the first frame is {picture.width}x{picture.height}: longer than {LONGEST_ASPECT} to 1")
    long = 2 * round(short * aspect / 2)
    return (long, short) if picture.width >= picture.height else (short, long)


def _frames(scene: Scene, first: Image.Image, last: Image.Image) -> Iterator[Planes]:
    """All frames in order; the two outer ones are the stills, untouched, the inner ones carry the badge."""
    look = _look(scene.seed, first)
    move = Move(View(), View()) if scene.quick else _move(scene.seed, first, last)
    mark = badge.draw(scene.label, *first.size)
    if move.camera:
        look = replace(look, start=look.start + HASTE, stop=look.stop - HASTE)
    stills = Still(_planes(first), first.size), Still(_planes(last), first.size)
    margin = 2 * (first.height // 16) if move.camera else 0
    before, after = (still.with_margin(margin) if margin else still for still in stills)
    final = scene.seconds * FPS - 1
    yield stills[0].planes
    for index in range(1, final):
        yield mark.on(_between(before, after, look, move, index / final))
    yield stills[1].planes


def _planes(picture: Image.Image) -> Planes:
    frame = VideoFrame.from_ndarray(np.asarray(picture), format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1
    )
    luma, blue, red = (
        Image.frombytes("L", (plane.width, plane.height), bytes(plane), "raw", "L", plane.line_size, 1)
        for plane in frame.planes
    )
    return luma, blue, red


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
    mask = Image.fromarray(np.rint(weight * 255).astype(np.uint8))
    luma, blue, red = (_blend(first, last, views, mask, index) for index in range(3))
    return luma, blue, red


def _where_seen(weight: Grey, views: tuple[View, View], aspect: float, gone: float) -> Grey:
    """The weights moved towards the still that shows a place, where the other one's edge is near or passed."""
    points = grid(weight.shape[1], weight.shape[0], aspect)
    depths = depth(views[0].at(points), aspect), depth(views[1].at(points), aspect)
    first, last = (
        np.clip(inside / (FEATHER * share + 1e-6), 0, 1) + 1e-6 * np.exp(40 * np.minimum(inside, 0))
        for inside, share in zip(depths, (gone, 1 - gone), strict=True)
    )
    weight = np.clip(weight, 1e-3, 1 - 1e-3)
    moved: Grey = weight * last / (weight * last + (1 - weight) * first)
    return moved


def _blend(first: Still, last: Still, views: tuple[View, View], mask: Image.Image, index: int) -> Image.Image:
    """One plane; each still is looked up only within the bounds of where it shows."""
    mask = mask.resize(first.plane_size(index), BILINEAR)
    blended = Image.new("L", mask.size)
    if area := ImageChops.invert(mask).getbbox():
        blended.paste(first.seen(index, views[0], area), area[:2])
    if area := mask.getbbox():
        blended.paste(last.seen(index, views[1], area), area[:2], mask.crop(area))
    return blended


def _encode(part: Path, frames: Iterator[Planes], size: tuple[int, int], scene: Scene) -> None:
    with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        container.metadata.update(title=TITLE, comment=COMMENT)
        stream = container.add_stream("libx264", rate=FPS, options=_options(scene))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1 if scene.quick else 2
        for tag in ("colorspace", "color_primaries", "color_trc"):
            setattr(stream.codec_context, tag, BT709)
        stream.codec_context.color_range = ColorRange.MPEG
        for index, planes in enumerate(frames):
            container.mux(stream.encode(_frame(planes, index)))
        container.mux(stream.encode(None))


def _options(scene: Scene) -> dict[str, str]:
    final = scene.seconds * FPS - 1
    true_ends = f"zones=0,0,b=2/{final},{final},b=2"
    return {
        "preset": "ultrafast" if scene.quick else "veryfast",
        "crf": "21",
        "g": str(2 * FPS),
        "x264-params": f"stitchable=1:{true_ends}",
    }


def _frame(planes: Planes, index: int) -> VideoFrame:
    width, height = planes[0].size
    joined = np.concatenate([np.asarray(plane).ravel() for plane in planes])
    frame = VideoFrame.from_ndarray(joined.reshape(height * 3 // 2, width), format="yuv420p")
    frame.pts, frame.time_base = index, Fraction(1, FPS)
    frame.colorspace, frame.color_range = BT709, ColorRange.MPEG
    return frame


def _smooth(time: float) -> float:
    return time * time * (3 - 2 * time)


def _levelled(plane: Grey) -> Grey:
    lowest, highest = float(plane.min()), float(plane.max())
    return (plane - lowest) / max(highest - lowest, 1e-6)


def _chance(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed % 2**64)
