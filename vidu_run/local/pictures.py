"""Reads encoded images and turns pictures into the YUV 4:2:0 planes of a video. It knows nothing of scenes or files."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Final, TypeAlias

from PIL import Image, ImageOps, UnidentifiedImageError

Planes: TypeAlias = tuple[Image.Image, Image.Image, Image.Image]

TO_BT709: Final = (
    *(0.1826, 0.6142, 0.0620, 16.0),  # luma, 16 to 235
    *(-0.1006, -0.3386, 0.4392, 128.0),  # the chroma planes, 16 to 240
    *(0.4392, -0.3989, -0.0403, 128.0),
)
BROKEN: Final = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is laid on the planes of a frame; `corner` is left and top in luma pixels, which are even, as are width and
    height.
    """

    corner: tuple[int, int]
    opacity: Image.Image
    half_opacity: Image.Image  # at the size of the chroma planes

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in luma pixels."""
        (left, top), (width, height) = self.corner, self.opacity.size
        return left, top, left + width, top + height


def read(data: bytes, name: str) -> Image.Image:
    """The image upright, in RGB, or in RGBA where some of it is transparent; ValueError names what cannot be read."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            opened.draft("RGB", (2160, 2160))
            upright = ImageOps.exif_transpose(opened)
            return upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    except UnidentifiedImageError as error:
        raise ValueError(f"the {name} cannot be read: it is not an image of a known kind") from error
    except BROKEN as error:
        raise ValueError(f"the {name} cannot be read as an image: {error}") from error


def on_white(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def to_planes(picture: Image.Image) -> Planes:
    luma, blue, red = picture.convert("RGB", TO_BT709).split()
    half = (picture.width // 2, picture.height // 2)
    return luma, blue.resize(half, Image.Resampling.BOX), red.resize(half, Image.Resampling.BOX)
