"""Clips that differ as one film: pictures encoded once more into one size and rate, sound into one voice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from vidu_run.film.cut import Cut, Part, most_common
from vidu_run.film.picture import BT709, letterboxed
from vidu_run.film.source import FilmTrouble, Source

Samples = npt.NDArray[np.float32]

QUALITY: Final = {"preset": "veryfast", "crf": "18"}
MOST_THREADS: Final = 4  # each holds frames of its own
AUDIO_BITS: Final = 192_000  # a second
FADE: Final = 200  # parts of a second: two sounds that meet without it click


class EncodedPictures:
    """Every moment of the film shows the frame that is nearest in time; the whole picture, black beside it."""

    def __init__(self, film: OutputContainer, cut: Cut) -> None:
        self._size, self._rate = cut.size, cut.rate
        self._stream = film.add_stream("libx264", rate=cut.rate, options=dict(QUALITY))
        self._stream.width, self._stream.height = cut.size
        self._stream.pix_fmt = "yuv420p"
        self._stream.thread_count = min(MOST_THREADS, os.cpu_count() or 1)
        codec = self._stream.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        codec.color_range = ColorRange.MPEG

    def begin(self, part: Part, source: Source) -> None:
        self._part, self._source = part, source
        self._start, self._end = round(part.start * self._rate), round(part.end * self._rate)
        self._next = self._start
        self._frame: VideoFrame | None = None

    def take(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        timing = self._part.clip.timing
        for frame in self._source.decoded(packet):
            pts = frame.pts or 0
            if self._part.hides and pts >= timing.last:
                continue
            reached = self._start + (pts - timing.start) * self._source.tick * self._rate - Fraction(1, 2)
            while self._frame is not None and self._next <= reached and self._next < self._end:
                yield from self._show(self._frame)
            self._frame = frame

    def finish(self) -> Iterator[Packet[Any]]:
        if self._frame is None:
            raise FilmTrouble(f"{self._source.path}: has no pictures that can be decoded")
        while self._next < self._end:
            yield from self._show(self._frame)
        self._frame = None

    def flush(self) -> Iterator[Packet[Any]]:
        yield from self._stream.encode(None)

    def _show(self, frame: VideoFrame) -> Iterator[Packet[Any]]:
        whole = letterboxed(frame, self._size, self._source.shape)
        whole.pts, whole.time_base = self._next, 1 / self._rate
        self._next += 1
        yield from self._stream.encode(whole)


class EncodedSound:
    """Every clip's sound begins with its first picture, to the sample, and ends with its last; where a clip has none or
    too little there is silence.
    """

    def __init__(self, film: OutputContainer, parts: Sequence[Part]) -> None:
        sounds = [part.clip.sound for part in parts if part.clip.sound]
        self._rate = most_common([sound.rate for sound in sounds], lambda rate: rate)
        self._layout = "mono" if all(sound.layout == "mono" for sound in sounds) else "stereo"
        self._channels = 1 if self._layout == "mono" else 2
        self._stream: AudioStream = film.add_stream("aac", rate=self._rate, layout=self._layout)
        self._stream.bit_rate = AUDIO_BITS
        self._written = 0

    def begin(self, part: Part, source: Source) -> None:
        self._source = source
        self._start, self._end = round(part.start * self._rate), round(part.end * self._rate)
        self._zero = part.clip.timing.start * source.tick
        self._resampler = AudioResampler(format="fltp", layout=self._layout, rate=self._rate)
        self._early: int | None = None

    def take(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        for frame in self._source.heard(packet):
            if self._early is None:
                late = round((Fraction(frame.pts or 0) * Fraction(frame.time_base or 1) - self._zero) * self._rate)
                yield from self._silence(self._start + late)
                self._early = max(0, -late)
            for resampled in self._resampler.resample(frame):
                yield from self._put(resampled.to_ndarray().astype(np.float32))

    def finish(self) -> Iterator[Packet[Any]]:
        if self._early is not None:
            for resampled in self._resampler.resample(None):
                yield from self._put(resampled.to_ndarray().astype(np.float32))
        yield from self._silence(self._end)

    def flush(self) -> Iterator[Packet[Any]]:
        yield from self._stream.encode(None)

    def _put(self, samples: Samples) -> Iterator[Packet[Any]]:
        skipped = min(self._early or 0, samples.shape[1])
        self._early = (self._early or 0) - skipped
        samples = samples[:, skipped : skipped + self._end - self._written]
        if samples.shape[1]:
            at = np.arange(self._written, self._written + samples.shape[1])
            edge = np.minimum(at - self._start, self._end - at) * FADE / self._rate
            yield from self._encode(samples * np.minimum(1, edge).astype(np.float32))

    def _silence(self, until: int) -> Iterator[Packet[Any]]:
        while self._written < min(until, self._end):
            count = min(self._rate, min(until, self._end) - self._written)
            yield from self._encode(np.zeros((self._channels, count), np.float32))

    def _encode(self, samples: Samples) -> Iterator[Packet[Any]]:
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._written, Fraction(1, self._rate)
        self._written += samples.shape[1]
        yield from self._stream.encode(frame)
