"""Writes frames, and a sound track where there is one, as H.264 and AAC in an MP4 with its metadata.

It decides nothing about what is shown or heard.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, TypeAlias

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from vidu_run.local.pictures import Planes
from vidu_run.local.sound import RATE, Samples
from vidu_run.wording import cut

Facts: TypeAlias = tuple[tuple[str, str], ...]

FPS: Final = 24
MOST_THREADS: Final = 2
QUANTISERS: Final = (18, 14)  # of the first and last frame: 36 dB or more even for noise
BT709: Final = 1
AUDIO_BITS: Final = 128_000  # a second; the fast coder takes a quarter of the time and a little more room
TITLE: Final = "Rehearsal render by vidu-run"
COMMENT: Final = "Made on this machine by vidu-run from two stills, as a rehearsal; not the output of a video model."
MOST_FACTS: Final = 64
LONGEST_NAME: Final = 64  # characters
LONGEST_FACT: Final = 4_000


@dataclass(frozen=True, slots=True)
class Film:
    """`facts` are names and texts for the metadata; `quick` trades size for time."""

    size: tuple[int, int]
    seconds: int
    quick: bool
    facts: Facts


def encode(target: Path, film: Film, frames: Iterator[Planes], track: Callable[[], Samples] | None) -> None:
    """All frames, then the track, which is asked for once the last frame has been seen; None is no audio stream."""
    with av.open(str(target), "w", format="mp4", options=_container_options(film, track is not None)) as container:
        container.metadata.update(metadata(film.facts))
        video = _video_stream(container, film)
        audio = _audio_stream(container) if track else None
        for index, planes in enumerate(frames):
            container.mux(video.encode(_frame(planes, index)))
        container.mux(video.encode(None))
        if track and audio:
            container.mux(audio.encode(_heard(track())))
            container.mux(audio.encode(None))


def metadata(facts: Facts) -> dict[str, str]:
    """What the file says of itself. A title or comment among the facts stands behind the one that names a rehearsal.

    At most 64 facts; a name is cut at 64 characters, a text at 4,000; what is blank is left out.
    """
    said = {"title": TITLE, "comment": COMMENT}
    for name, text in facts[:MOST_FACTS]:
        name, text = _bounded(" ".join(name.split()).lower(), LONGEST_NAME), _bounded(text, LONGEST_FACT)
        if name and text:
            said[name] = f"{said[name]}\n{text}" if name in ("title", "comment") else text
    return said


def _bounded(text: str, most: int) -> str:
    """FFmpeg reads up to the first NUL, and UTF-8 has no lone surrogates."""
    text = text.replace("\0", "").encode("utf-8", "replace").decode("utf-8").strip()
    return cut(text, most)


def _container_options(film: Film, heard: bool) -> dict[str, str]:
    """Any name is kept only with `use_metadata_tags`; a fact called `timecode` would otherwise become a track."""
    free = {"movflags": "+faststart+use_metadata_tags", "write_tmcd": "0"}
    plain = {"movflags": "+faststart"}
    waiting = {"max_interleave_delta": "0"}  # the pictures wait for the sound, however long the clip
    return (free if film.facts else plain) | (waiting if heard else {})


def _video_stream(container: OutputContainer, film: Film) -> VideoStream:
    final = film.seconds * FPS - 1
    true_ends = f"zones=0,0,q={QUANTISERS[0]}/{final},{final},q={QUANTISERS[1]}"
    options = {
        "preset": "ultrafast" if film.quick else "veryfast",
        "crf": "21",
        "g": str(2 * FPS),
        "x264-params": f"stitchable=1:{true_ends}",
    }
    stream = container.add_stream("libx264", rate=FPS, options=options)
    stream.width, stream.height = film.size
    stream.pix_fmt = "yuv420p"
    stream.thread_count = 1 if film.quick else min(MOST_THREADS, os.cpu_count() or 1)
    codec = stream.codec_context
    codec.colorspace = codec.color_primaries = codec.color_trc = BT709
    codec.color_range = ColorRange.MPEG
    return stream


def _audio_stream(container: OutputContainer) -> AudioStream:
    stream = container.add_stream("aac", rate=RATE, layout="stereo", options={"aac_coder": "fast"})
    stream.bit_rate = AUDIO_BITS
    return stream


def _frame(planes: Planes, index: int) -> VideoFrame:
    width, height = planes[0].size
    joined = np.concatenate([np.asarray(plane).ravel() for plane in planes])
    frame = VideoFrame.from_ndarray(joined.reshape(height * 3 // 2, width), format="yuv420p")
    frame.pts, frame.time_base = index, Fraction(1, FPS)
    frame.colorspace, frame.color_range = BT709, ColorRange.MPEG
    return frame


def _heard(samples: Samples) -> AudioFrame:
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
    return frame
