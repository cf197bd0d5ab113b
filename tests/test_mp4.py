"""Whether the boxes of an MP4 end where its bytes do, whichever way they are looked at."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vidu_run.mp4 import NotAVideo, Walk, verify


def box(kind: bytes, content: int = 0, large: bool = False) -> bytes:
    if large:
        return struct.pack(">I4sQ", 1, kind, 16 + content) + bytes(content)
    return struct.pack(">I4s", 8 + content, kind) + bytes(content)


FTYP, MOOV, MDAT = box(b"ftyp", 24), box(b"moov", 300), box(b"mdat", 5000)
WHOLE = FTYP + MOOV + MDAT


def over_a_file(content: bytes) -> str:
    try:
        verify(io.BytesIO(content), len(content))
    except NotAVideo as why:
        return str(why)
    return ""


def in_pieces(content: bytes, sizes: list[int]) -> str:
    walk, at = Walk(), 0
    try:
        for size in [*sizes, len(content)]:
            walk.feed(content[at : at + size])
            at += size
        walk.fed()
    except NotAVideo as why:
        return str(why)
    return ""


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (WHOLE, ""),
        (box(b"ftyp", 8) + box(b"mdat", 3, large=True) + MOOV + box(b"free"), ""),
        (FTYP + MOOV + struct.pack(">I4s", 0, b"mdat") + b"to the end of the file", ""),
        (b"", "empty"),
        (b"<html>expired</html>", "it begins with '<html>expired</html>'"),
        (WHOLE[:-1], "cut short: 5347 bytes here, its boxes need 5348"),
        (WHOLE + b"\0\0\0", "cut short inside a box header"),
        (WHOLE + struct.pack(">I4s", 1, b"free"), "cut short inside a box header"),
        (WHOLE + struct.pack(">I4s", 7, b"free"), "a box of 7 bytes"),
        (WHOLE + struct.pack(">I4sQ", 1, b"free", 0), "a box of 0 bytes"),
        (WHOLE + struct.pack(">I4sQ", 1, b"free", 2**64 - 1), "cut short"),
        (FTYP + MDAT, "no moov box"),
        (FTYP + MOOV, "no mdat box"),
        (MOOV + FTYP + MDAT, "it begins with"),
        (WHOLE + box(b"free") * 100_000, "more than 100000 boxes"),
    ],
)
def test_a_file_is_a_whole_video_or_it_is_said_why_not(content: bytes, why: str) -> None:
    assert why in over_a_file(content)
    assert bool(over_a_file(content)) is bool(why)


PIECES = st.lists(st.integers(0, 400), max_size=40)
BOXES = st.builds(box, st.sampled_from([b"ftyp", b"moov", b"mdat", b"free"]), st.integers(0, 60), st.booleans())
ENDS = st.one_of(st.just(b""), st.binary(max_size=30), st.just(struct.pack(">I4s", 0, b"mdat") + bytes(50)))


@given(st.lists(BOXES, max_size=8), ENDS, PIECES)
@example([FTYP, MOOV, MDAT], b"", [1] * 40)
@example([FTYP, MOOV, MDAT], box(b"free"), [8, 24, 7, 1])
def test_bytes_that_come_in_pieces_are_judged_as_the_file_that_they_make(
    boxes: list[bytes], end: bytes, sizes: list[int]
) -> None:
    content = b"".join([FTYP, *boxes, end])

    assert in_pieces(content, sizes) == over_a_file(content)
