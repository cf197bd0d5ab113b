"""A decoded frame as it is meant to be seen: its colours, its proportions, upright. Pure."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from PIL import Image

Plane = npt.NDArray[np.uint8]

HD: Final = 720
"""Pixels of height from which pictures without a colour tag are taken for BT.709, below it for BT.601: what Chromium
does."""

MATRICES: Final = {1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.ITU601}
BT709: Final = 1
FULL: Final = 2
BLACK: Final = (16, 128, 128)


def seen(frame: VideoFrame, shape: Fraction) -> Image.Image:
    """RGB, upright, with square pixels; `shape` is the width of the frame's pixels by their height."""
    rgb = frame.reformat(
        format="rgb24",
        src_colorspace=_matrix(frame),
        src_color_range=_range(frame),
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.BICUBIC,
    )
    picture, size = Image.fromarray(rgb.to_ndarray()), square(frame.width, frame.height, shape)
    picture = picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC)
    return picture.rotate(turn(frame), expand=True) if turn(frame) else picture


def letterboxed(frame: VideoFrame, size: tuple[int, int], shape: Fraction) -> VideoFrame:
    """The whole picture in the middle of a frame of `size`, black beside it: YUV 4:2:0, BT.709, limited range.

    `size` is even both ways; `shape` as above.
    """
    turned = turn(frame)
    natural = square(frame.width, frame.height, shape)
    room = size if turned % 180 == 0 else size[::-1]
    width, height = _fitted(natural, room)
    fitted = frame.reformat(
        width,
        height,
        "yuv420p",
        src_colorspace=_matrix(frame),
        dst_colorspace=Colorspace.ITU709,
        src_color_range=_range(frame),
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.BICUBIC,
    )
    planes = [np.rot90(plane, turned // 90) for plane in _planes(fitted)]
    return _frame([_centred(plane, size, index) for index, plane in enumerate(planes)], size)


def turn(frame: VideoFrame) -> int:
    """Degrees anticlockwise, 0, 90, 180 or 270, by which the frame is to be turned to be upright."""
    return 90 * round(getattr(frame, "rotation", 0) / 90) % 360


def square(width: int, height: int, shape: Fraction) -> tuple[int, int]:
    """The size with square pixels: the smaller side of a pixel is kept."""
    return (round(width * shape), height) if shape >= 1 else (width, round(height / shape))


def _fitted(natural: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    scale = min(Fraction(room[0], natural[0]), Fraction(room[1], natural[1]))
    width, height = (max(2, 2 * round(side * scale / 2)) for side in natural)
    return width, height


def _planes(frame: VideoFrame) -> list[Plane]:
    flat: Plane = frame.to_ndarray().astype(np.uint8, copy=False).ravel()
    luma = frame.width * frame.height
    half = frame.height // 2, frame.width // 2
    blue, red = (flat[start : start + luma // 4].reshape(half) for start in (luma, luma + luma // 4))
    return [flat[:luma].reshape(frame.height, frame.width), blue, red]


def _centred(plane: Plane, size: tuple[int, int], index: int) -> Plane:
    width, height = (side // 2 if index else side for side in size)
    left, top = ((width - plane.shape[1]) // 2, (height - plane.shape[0]) // 2)
    if not index:
        left, top = left // 2 * 2, top // 2 * 2
    whole = np.full((height, width), BLACK[index], np.uint8)
    whole[top : top + plane.shape[0], left : left + plane.shape[1]] = plane
    return whole


def _frame(planes: list[Plane], size: tuple[int, int]) -> VideoFrame:
    joined = np.concatenate([plane.ravel() for plane in planes]).reshape(size[1] * 3 // 2, size[0])
    frame = VideoFrame.from_ndarray(joined, format="yuv420p")
    frame.colorspace, frame.color_range = BT709, ColorRange.MPEG
    return frame


def _matrix(frame: VideoFrame) -> Colorspace:
    guess = Colorspace.ITU709 if min(frame.width, frame.height) >= HD else Colorspace.ITU601
    return MATRICES.get(int(frame.colorspace), guess)


def _range(frame: VideoFrame) -> ColorRange:
    full = frame.color_range == FULL or frame.format.name.startswith("yuvj")
    return ColorRange.JPEG if full else ColorRange.MPEG
