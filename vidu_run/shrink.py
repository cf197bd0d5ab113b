"""Frames too heavy to be sent, made lighter with as little harm as does it. Reads no file and writes none.

The job's identity stays that of the bytes before, so these need not come out alike everywhere; on one machine, with
one Pillow, they do.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from PIL import Image as Pillow

from vidu_run.frames import DAMAGE, EXIF_ORIENTATION, BadFrame

QUALITIES = (95, 92, 88, 85)
"""Tried before pixels are given up. Above 95 a JPEG only stores rounding; below 85 flat areas begin to show blocks."""

LAST_QUALITIES = (80, 75, 70)
"""Tried once the picture may not get smaller; under 70 a video model would start from the artefacts."""

LEAST_SIDE = 1920
"""Long side in pixels: the largest video there is, 1080p, shows no more."""

STEP = 0.85
"""From one size to the next: 0.72 of the pixels, so what fits is missed by little and 16,000 pixels take 14 steps."""

MOST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
"""Pixels: libjpeg's JPEG_MAX_DIMENSION and libwebp's WEBP_MAX_DIMENSION."""

SPACES = {"L": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB ", "CMYK": b"CMYK"}
"""How an ICC profile, in bytes 16 to 19 of its header (ICC.1, 7.2), names the colours of a Pillow mode."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Decoded pixels and what is kept beside them; everything else, such as where a photo was taken, is dropped."""

    pixels: Pillow.Image
    profile: bytes | None
    orientation: bytes

    @property
    def format(self) -> Literal["JPEG", "WEBP"]:
        """JPEG knows no transparency."""
        return "WEBP" if self.pixels.mode == "RGBA" else "JPEG"

    @property
    def long_side(self) -> int:
        return max(self.pixels.size)


class _Heavy(Exception):
    """The encoded picture is growing beyond what it may weigh."""


class _Scale(BytesIO):
    """Stops an encoder as soon as its output is too heavy, so that no copy ever grows beyond `most` bytes."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def write(self, chunk: bytes) -> int:  # type: ignore[override]
        if self.tell() + len(chunk) > self._most:
            raise _Heavy
        return super().write(chunk)


def shares(sizes: Sequence[int], room: int) -> list[int]:
    """How many raw bytes each frame may have, so that together they take at most `room` bytes as base64.

    Base64 makes four characters of every three bytes begun. Small frames keep their size; what they leave is shared
    equally, so the same bytes twice get the same share. Where a frame is cut, the room left over is less than four
    bytes for each frame that is, and four more.
    """
    left = max(0, room) // 4
    for at, size in enumerate(sorted(sizes)):
        level = 3 * (left // (len(sizes) - at))
        if size > level:
            return [min(size, level) for size in sizes]
        left -= (size + 2) // 3
    return list(sizes)


def shrink(content: bytes, most: int) -> bytes:
    """The same picture in at most `most` bytes; content that already fits comes back as it is.

    An opaque picture becomes a JPEG without chroma subsampling, a transparent one a lossy WebP. Quality goes first,
    then size, never under a long side of 1920 pixels, and there the last of the quality. Orientation tag and ICC
    profile stay, the pixels are not turned. Of several pictures the first is taken; 16-bit samples become 8-bit, and
    the one see-through value a 16-bit grey PNG may name is not kept.

    Memory: the decoded pixels (4 bytes each, up to three times that while their mode or size changes) and one encoded
    copy of at most `most` bytes. Raises BadFrame for damaged pixels, for more than Pillow takes for a decompression
    bomb (179 megapixels, as does `frames.measure`), and where nothing fits.
    """
    if len(content) <= most:
        return content
    picture = _decode(content)
    sides = list(_sides(picture))

    def fits(side: int) -> bool:
        return _encode(_scaled(picture, side), _qualities(side)[-1], most) is not None

    # Every step weighs less than the one before, so the first that fits is found without scaling to all of them.
    at = 0 if fits(sides[0]) else bisect_left(sides, True, lo=1, key=fits)
    if at < len(sides):
        return _best(_scaled(picture, sides[at]), _qualities(sides[at]), most)
    raise BadFrame(
        f"cannot be made to fit into {most:,} bytes: with {sides[-1]:,} pixels on the long side and quality "
        f"{LAST_QUALITIES[-1]} it is still heavier"
    )


def _sides(picture: Picture) -> Iterator[int]:
    """The long sides to try, the picture's own first. Only what is larger than the least is ever scaled."""
    side = min(picture.long_side, MOST_SIDE[picture.format])
    while side > LEAST_SIDE:
        yield side
        side = max(LEAST_SIDE, round(side * STEP))
    yield side


def _qualities(side: int) -> tuple[int, ...]:
    return QUALITIES if side > LEAST_SIDE else QUALITIES + LAST_QUALITIES


def _scaled(picture: Picture, side: int) -> Picture:
    if side == picture.long_side:
        return picture
    width, height = (max(1, round(length * side / picture.long_side)) for length in picture.pixels.size)
    # Averaging whole blocks of pixels first is much quicker; with a gap of 3 or more it cannot be told from Lanczos.
    pixels = picture.pixels.resize((width, height), Pillow.Resampling.LANCZOS, reducing_gap=3.0)
    return Picture(pixels, picture.profile, picture.orientation)


def _best(picture: Picture, qualities: Sequence[int], most: int) -> bytes:
    """The highest quality that fits, one of which does."""
    tried = (_encode(picture, quality, most) for quality in qualities)
    return next(encoded for encoded in tried if encoded is not None)


def _encode(picture: Picture, quality: int, most: int) -> bytes | None:
    """Neither progressive nor optimised: for these Pillow would need a buffer as large as the picture."""
    file = _Scale(most)
    try:
        picture.pixels.save(
            file,
            picture.format,
            quality=quality,
            subsampling=0,
            icc_profile=picture.profile,
            exif=picture.orientation,
        )
    except _Heavy:
        return None
    return file.getvalue()


def _decode(content: bytes) -> Picture:
    try:
        with warnings.catch_warnings():
            # As in `frames`: Pillow warns of large pictures and odd EXIF, which would only reach the terminal.
            warnings.simplefilter("ignore")
            image = Pillow.open(BytesIO(content), formats=("PNG", "JPEG", "WEBP"))
            image.load()
            orientation = _orientation(image)
            profile = image.info.get("icc_profile")
            pixels = _plain(image)
    except Pillow.DecompressionBombError:
        raise BadFrame("has too many pixels") from None
    except DAMAGE:
        raise BadFrame("is damaged: its pixels cannot be read") from None
    pixels.info.clear()  # or Pillow carries a JPEG's comment over
    return Picture(pixels, _fitting(profile, pixels.mode), orientation)


def _plain(image: Pillow.Image) -> Pillow.Image:
    """The pixels in a mode that can be encoded: L, RGB or CMYK, or RGBA if something of it shows through."""
    if image.mode.startswith("I"):  # 16 bits; Pillow would clip and not scale them
        return image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if image.has_transparency_data and _shows_through(image):
        return image.convert("RGBA")
    if image.mode in ("1", "LA"):
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _shows_through(image: Pillow.Image) -> bool:
    faintest, _ = image.convert("RGBA").getchannel("A").getextrema()
    return faintest != 255


def _fitting(profile: bytes | None, mode: str) -> bytes | None:
    """A profile belongs to its kind of colours; on others it would be an error in the file."""
    return profile if profile and profile[16:20] == SPACES[mode] else None


def _orientation(image: Pillow.Image) -> bytes:
    """EXIF that holds the orientation tag and nothing else; none if there is none to tell."""
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION)
    except DAMAGE:
        return b""
    if orientation not in range(2, 9):
        return b""
    exif = Pillow.Exif()
    exif[EXIF_ORIENTATION] = orientation
    return exif.tobytes()
