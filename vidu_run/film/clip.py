"""What has to be known of a clip before it is joined: how it is coded, when its frames are shown, how it ends.

A walk over its packets and a look at four frames; nothing of it is kept open.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from av.audio.stream import AudioStream
from av.video.frame import VideoFrame

from vidu_run.film.picture import seen, square, turn
from vidu_run.film.source import FilmTrouble, Source, first_frames, last_frames, opened
from vidu_run.film.twins import Ends, look


@dataclass(frozen=True, slots=True)
class Coding:
    """How the pictures are stored. `turn` in degrees, `shape` and `tick` as a source's, `headers` are the decoder's."""

    codec: str
    size: tuple[int, int]
    format: str
    turn: int
    shape: Fraction
    rate: Fraction
    tick: Fraction
    headers: bytes

    @property
    def upright(self) -> tuple[int, int]:
        width, height = square(*self.size, self.shape)
        return (height, width) if self.turn % 180 else (width, height)


@dataclass(frozen=True, slots=True)
class Timing:
    """In ticks on the clip's own clock: when the first frame is shown, when the last, when that ends; when the first
    and the last are decoded. `cut` where the file holds frames of which it says that they are not to be shown.
    """

    shown: int
    start: int
    last: int
    end: int
    decode_start: int
    decode_last: int
    cut: bool


@dataclass(frozen=True, slots=True)
class Sound:
    """`frames` of `samples` each, the first at `start` samples from the first picture; not those ahead that only wake
    the decoder. `steady` where one follows the other without a gap.
    """

    codec: str
    rate: int
    layout: str
    headers: bytes
    samples: int
    start: int
    frames: int
    steady: bool


class _Times(NamedTuple):
    shown: int
    decoded: int
    lasts: int
    hidden: bool


@dataclass(frozen=True, slots=True)
class Clip:
    file: Path
    title: str
    coding: Coding
    timing: Timing
    sound: Sound | None
    ends: Ends

    @property
    def length(self) -> Fraction:
        """Seconds from the first frame until the last one ends."""
        return (self.timing.end - self.timing.start) * self.coding.tick

    @property
    def shortened(self) -> Fraction:
        """Seconds without the last frame."""
        return (self.timing.last - self.timing.start) * self.coding.tick


def survey(file: Path, title: str) -> Clip:
    """Raises FilmTrouble for a clip that cannot be joined."""
    first, last = first_frames(file, 2), last_frames(file, 2)
    with opened(file) as source:
        timing, sound = walk(source)
        ends = _ends(first, last, source.shape)
        return Clip(file, title, _coding(source, turn(first[0])), timing, sound, ends)


def walk(source: Source) -> tuple[Timing, Sound | None]:
    """Reads all packets and decodes none. Raises FilmTrouble."""
    pictures: list[_Times] = []
    heard: list[_Times] = []
    for packet in source.packets(sound=True):
        if packet.dts is None or not packet.size:
            continue
        if packet.is_corrupt or packet.pts is None:
            raise FilmTrouble(f"{source.path}: is damaged")
        times = _Times(packet.pts, packet.dts, packet.duration or 0, packet.is_discard)
        (pictures if packet.stream.index == source.video.index else heard).append(times)
    timing = _timing(source, pictures)
    heard = [times for times in heard if not times.hidden]
    return timing, _sound(source.audio, heard, timing.start * source.tick) if source.audio and heard else None


def _timing(source: Source, pictures: list[_Times]) -> Timing:
    shown = sorted(times for times in pictures if not times.hidden)
    if not shown:
        raise FilmTrouble(f"{source.path}: has no pictures")
    usual = round(1 / (_rate(source) * source.tick))
    return Timing(
        shown=len(shown),
        start=shown[0].shown,
        last=shown[-1].shown,
        end=shown[-1].shown + (shown[-1].lasts or usual),
        decode_start=pictures[0].decoded,
        decode_last=pictures[-1].decoded,
        cut=len(shown) < len(pictures),
    )


def _sound(audio: AudioStream, heard: list[_Times], start: Fraction) -> Sound:
    codec, tick = audio.codec_context, Fraction(audio.time_base or 1)
    starts = [round(times.shown * tick * codec.sample_rate) for times in heard]
    return Sound(
        codec.name,
        codec.sample_rate,
        codec.layout.name,
        codec.extradata or b"",
        codec.frame_size,
        starts[0] - round(start * codec.sample_rate),
        len(starts),
        all(after - before == codec.frame_size for before, after in pairwise(starts)),
    )


def _coding(source: Source, turned: int) -> Coding:
    codec = source.video.codec_context
    return Coding(
        codec.name,
        (codec.width, codec.height),
        codec.pix_fmt or "",
        turned,
        source.shape,
        _rate(source),
        source.tick,
        codec.extradata or b"",
    )


def _rate(source: Source) -> Fraction:
    """Frames a second. The average of a short clip is a little off where one frame stays longer."""
    average, base = Fraction(source.video.average_rate or 24), Fraction(source.video.base_rate or 24)
    return base if abs(average - base) < base / 100 else average


def _ends(first: list[VideoFrame], last: list[VideoFrame], shape: Fraction) -> Ends:
    looks = [look(seen(frame, shape)) for frame in (first[0], first[-1], last[0], last[-1])]
    return Ends(*looks)
