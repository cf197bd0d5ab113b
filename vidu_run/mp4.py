"""A walk over the boxes of an MP4 file: is it whole? Pure; knows nothing of codecs.

A body cut short without Content-Length looks like a success to an HTTP client, so the container has to say it.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

HEADER = 8
LARGE_HEADER = 16
MOST_BOXES = 100_000


class NotAVideo(ValueError):
    """The bytes are not a whole MP4; the sentence says why."""


def verify(file: BinaryIO, size: int) -> None:
    """Raise NotAVideo unless the top-level boxes begin with `ftyp`, end exactly at `size`, and hold moov and mdat."""
    seen: list[bytes] = []
    position = 0
    while position < size:
        kind, length = _box(file, position, size)
        if not seen and kind != b"ftyp":
            raise NotAVideo(f"not an MP4 file: it begins with {_shown(file)}")
        seen.append(kind)
        position += length
        if position > size or len(seen) > MOST_BOXES:
            raise NotAVideo(f"cut short: {size} bytes here, its boxes need {position}")
    for needed in (b"ftyp", b"moov", b"mdat"):
        if needed not in seen:
            raise NotAVideo(f"not a whole MP4 file: no {needed.decode()} box" if size else "empty")


def _box(file: BinaryIO, position: int, size: int) -> tuple[bytes, int]:
    file.seek(position)
    header = file.read(LARGE_HEADER)
    if len(header) < HEADER:
        raise NotAVideo("cut short inside a box header")
    length, kind = struct.unpack_from(">I4s", header)
    if length == 0:
        return kind, size - position
    if length == 1:
        if len(header) < LARGE_HEADER:
            raise NotAVideo("cut short inside a box header")
        (length,) = struct.unpack_from(">Q", header, HEADER)
    if length < HEADER:
        raise NotAVideo(f"not an MP4 file: it begins with {_shown(file)}")
    return kind, length


def _shown(file: BinaryIO) -> str:
    file.seek(0)
    return repr(file.read(24).decode("ascii", "replace"))
