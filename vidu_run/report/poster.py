"""Small WebP pictures for the page: a poster out of a video, a thumbnail of a still, each in two sizes.

It never changes the picture it reads; where a picture cannot be made the page does without.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from vidu_run.errors import StorageTrouble
from vidu_run.files import write_durably

UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    StorageTrouble,
    EOFError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

TALLEST, WIDEST = 0.5, 2.4
"""Width to height that the cells of the page are given at most; what is beyond has bars."""


WIDTH, SMALL_WIDTH = 480, 240
"""Pixels. A browser keeps about a thousand decoded pictures: of the small ones 130 MB, of the others 520."""

SMALL = "small"


def small(picture: Path) -> Path:
    """Where a picture's smaller version is."""
    return picture.parent / SMALL / picture.name


def names_in(folder: Path) -> set[str]:
    """The pictures that are in a folder, with their smaller versions, which are made last."""
    try:
        return set(os.listdir(folder / SMALL))  # noqa: PTH208
    except OSError:
        return set()


def make_poster(video: Path, target: Path, width: int = WIDTH) -> bool:
    """Write a WebP of the frame a third into the video, at most `width` pixels wide, and its smaller version; False
    where it cannot.
    """
    try:
        import av
    except ImportError:
        return False
    unreadable = (*UNREADABLE, av.FFmpegError, ImportError)
    return _attempt(lambda: _frame_at_a_third(video, width), target, width, unreadable)


def frame_thumbnail(image: Path, target: Path, width: int = WIDTH) -> bool:
    """Write an upright WebP of a still, at most `width` pixels wide, and its smaller version; False where it cannot."""
    return _attempt(lambda: _upright(image, width), target, width, UNREADABLE)


def shape_of(pictures: Iterable[Path]) -> float:
    """Width to height of the first that can be read, within what a page of clips can show well; else 16:9."""
    for path in pictures:
        try:
            with Image.open(path) as picture:
                return round(min(WIDEST, max(TALLEST, picture.width / picture.height)), 4)
        except UNREADABLE:
            continue
    return round(16 / 9, 4)


def _attempt(
    read: Callable[[], Image.Image | None], target: Path, width: int, unreadable: tuple[type[BaseException], ...]
) -> bool:
    try:
        picture = read()
        if picture is None:
            return False
        write_durably(target, _webp(picture, width))
        write_durably(small(target), _webp(picture, min(width, SMALL_WIDTH)))
    except unreadable:
        return False
    return True


def _webp(picture: Image.Image, width: int) -> bytes:
    buffer = BytesIO()
    _narrowed(picture, width).save(buffer, "WEBP", quality=80, method=4)
    return buffer.getvalue()


def _narrowed(picture: Image.Image, width: int) -> Image.Image:
    size = _within(width, picture.width, picture.height)
    return picture if picture.width <= width else picture.resize(size, Image.Resampling.LANCZOS)


def _within(most: int, width: int, height: int) -> tuple[int, int]:
    """A size of the same shape that is at most so wide."""
    return min(most, width), max(1, round(height * min(most, width) / width))


def _upright(image: Path, width: int) -> Image.Image:
    with Image.open(image) as opened:
        opened.draft("RGB", (2 * width, 2 * width))
        ImageOps.exif_transpose(opened, in_place=True)
        # A copy of a frame as large as the API takes is 120 MB.
        mode = "RGBA" if opened.has_transparency_data else "RGB"
        return _narrowed(opened if opened.mode == mode else opened.convert(mode), width).copy()


def _frame_at_a_third(video: Path, width: int) -> Image.Image | None:
    import av

    with av.open(str(video)) as container:
        if not container.streams.video:
            return None
        # Frames that no other refers to are often every second: they need not be decoded to come near a third.
        container.streams.video[0].codec_context.skip_frame = "NONREF"
        third = (container.duration or 0) / av.time_base / 3
        found = None
        for found in container.decode(video=0):
            if found.time is not None and found.time >= third:
                break
        if found is None:
            return None
        # Made small by the decoder's own library: the whole picture in RGB and numpy take 26 MB more.
        narrow, low = _within(width, found.width, found.height)
        picture: Image.Image = found.to_image(width=narrow, height=low, interpolation="LANCZOS")  # type: ignore[no-untyped-call]
        return picture
