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
    return _attempt(lambda: _frame_at_a_third(video), target, width, unreadable)


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
    height = max(1, round(picture.height * width / picture.width))
    small = picture if picture.width <= width else picture.resize((width, height), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    small.save(buffer, "WEBP", quality=80, method=4)
    return buffer.getvalue()


def _upright(image: Path, width: int) -> Image.Image:
    with Image.open(image) as opened:
        opened.draft("RGB", (2 * width, 2 * width))
        upright = ImageOps.exif_transpose(opened)
        return upright.convert("RGBA" if upright.has_transparency_data else "RGB")


def _frame_at_a_third(video: Path) -> Image.Image | None:
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
        return Image.fromarray(found.to_ndarray(format="rgb24")) if found is not None else None
