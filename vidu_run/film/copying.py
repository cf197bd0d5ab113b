"""Packets of clips as packets of a film: moved in time, otherwise as they are."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from vidu_run.film.cut import Cut, Part
from vidu_run.film.source import Source


class CopiedPictures:
    """Decoded frames are the clips', bit for bit."""

    def __init__(self, film: OutputContainer, cut: Cut, like: Source) -> None:
        self._stream = film.add_stream_from_template(like.video)
        self._stream.time_base = self._tick = Fraction(1, cut.clock)

    def begin(self, part: Part, source: Source) -> None:
        self._part = part
        self._source = source
        self._finer = int(source.tick / self._tick)
        self._offset = round(part.start / self._tick)

    def take(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        if packet.dts is None or packet.pts is None or not packet.size:
            return
        timing = self._part.clip.timing
        hidden = self._part.hides and packet.pts == timing.last
        packet.duration = 1 if hidden else (packet.duration or 0) * self._finer
        packet.pts = self._offset + (packet.pts - timing.start) * self._finer
        packet.dts = self._offset + (packet.dts - timing.start) * self._finer
        packet.time_base = self._tick
        packet.stream = self._stream
        yield packet

    def finish(self) -> Iterator[Packet[Any]]:
        yield from ()

    def flush(self) -> Iterator[Packet[Any]]:
        yield from ()


class CopiedSound:
    """Frames of the clips without a gap, each clip's from the one that is nearest to its first picture.

    A clip's sound is so at most half a frame (11 ms at 48 kHz) early or late, and clips do not add to one another's
    error. The last frame ends with the film.
    """

    def __init__(self, film: OutputContainer, cut: Cut, like: Source) -> None:
        assert like.audio is not None
        self._stream: AudioStream = film.add_stream_from_template(like.audio)
        self._rate = like.audio.codec_context.sample_rate
        self._stream.time_base = Fraction(1, self._rate)
        self._film_end = round(cut.seconds * self._rate)
        self._next: int | None = None

    def begin(self, part: Part, source: Source) -> None:
        assert part.clip.sound is not None
        assert source.audio is not None
        self._size = part.clip.sound.samples
        self._end = round(part.end * self._rate)
        self._zero = part.clip.timing.start * source.tick
        self._tick = Fraction(source.audio.time_base or 1)

    def take(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        if packet.pts is None or not packet.size:
            return
        at = round((packet.pts * self._tick - self._zero) * self._rate)
        if self._next is None:
            self._next = at
        elif self._next > 0 and at + self._size // 2 <= 0:
            return
        left = self._end - self._next
        if left <= (0 if self._end == self._film_end else self._size // 2):
            return
        packet.pts = packet.dts = self._next
        packet.duration = min(self._size, self._film_end - self._next)
        packet.time_base = Fraction(1, self._rate)
        packet.stream = self._stream
        self._next += self._size
        yield packet

    def finish(self) -> Iterator[Packet[Any]]:
        yield from ()

    def flush(self) -> Iterator[Packet[Any]]:
        yield from ()
