"""A walk over the boxes of an MP4 file: is it whole? Pure; knows nothing of codecs.

A body cut short without Content-Length looks like a success to an HTTP client, so the container has to say it.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

HEADER = 8
LARGE_HEADER = 16
LOOK = 24
"""Bytes that are looked at where a box begins: its header, and enough to show what is no video."""

MOST_BOXES = 100_000
NEEDED = (b"ftyp", b"moov", b"mdat")


class NotAVideo(ValueError):
    """The bytes are not a whole MP4; the sentence says why."""


class Walk:
    """The top-level boxes one after another: they begin with `ftyp`, end exactly with the file, and hold moov and mdat.
    All methods raise NotAVideo.

    `feed` takes the bytes as they come, in pieces of any size.
    """

    def __init__(self) -> None:
        self.next = 0
        """Where the next box begins."""
        self._endless = False
        self._boxes = 0
        self._kinds: set[bytes] = set()
        self._came = 0
        self._held = b""

    def feed(self, piece: bytes) -> None:
        begins = self._came - len(self._held)
        known = self._held + piece
        self._came += len(piece)
        while self.reaches(self._came - LOOK + 1):
            at = self.next - begins
            self.box(known[at : at + LOOK])
        self._held = b"" if self._endless else known[max(0, self.next - begins) :]

    def fed(self) -> None:
        """That was all."""
        while self.reaches(self._came):
            self.box(self._held[self.next - self._came :])
        self.end(self._came)

    def box(self, header: bytes) -> None:
        """The box that begins at `next`, by its first bytes: LOOK of them, or all that there are."""
        if len(header) < HEADER:
            raise NotAVideo("cut short inside a box header")
        length, kind = struct.unpack_from(">I4s", header)
        if not self._boxes and kind != b"ftyp":
            raise NotAVideo(f"not an MP4 file: it begins with {header.decode('ascii', 'replace')!r}")
        least, endless = HEADER, length == 0
        if length == 1:
            if len(header) < LARGE_HEADER:
                raise NotAVideo("cut short inside a box header")
            (length,) = struct.unpack_from(">Q", header, HEADER)
            least = LARGE_HEADER
        if length < least and not endless:
            raise NotAVideo(f"not an MP4 file: a box of {length} bytes")
        self._boxes += 1
        if self._boxes > MOST_BOXES:
            raise NotAVideo(f"not an MP4 file: more than {MOST_BOXES} boxes")
        self._kinds.add(kind)
        self._endless = endless
        self.next += length

    def reaches(self, size: int) -> bool:
        """Whether another box begins before `size`."""
        return self.next < size and not self._endless

    def end(self, size: int) -> None:
        """The file ends after so many bytes."""
        if not size:
            raise NotAVideo("empty")
        if self.next > size:
            raise NotAVideo(f"cut short: {size} bytes here, its boxes need {self.next}")
        for needed in NEEDED:
            if needed not in self._kinds:
                raise NotAVideo(f"not a whole MP4 file: no {needed.decode()} box")


def verify(file: BinaryIO, size: int) -> None:
    """Raise NotAVideo unless the file is a whole MP4 of so many bytes. Reads where boxes begin and nothing else."""
    walk = Walk()
    while walk.reaches(size):
        file.seek(walk.next)
        walk.box(file.read(LOOK))
    walk.end(size)
