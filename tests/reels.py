"""Small real clips for the tests of films: pans over textured pictures, and tones, encoded by FFmpeg's libraries."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image
from test_render import world

SIZE = (160, 96)
RATE = 48_000
LIKE_THE_RENDERER = {"preset": "veryfast", "crf": "21", "g": "48", "x264-params": "stitchable=1"}

Samples = npt.NDArray[np.float32]


def pan(seed: int, count: int, start: float = 0, step: float = 2, size: tuple[int, int] = SIZE) -> list[Image.Image]:
    """`count` views over a picture, `step` pixels from one another."""
    width, height = size
    ground = world(seed, width + 200, height + 8)
    return [
        ground.transform(size, Image.Transform.AFFINE, (1, 0, 4 + at, 0, 1, 4), Image.Resampling.BICUBIC)
        for at in (start + step * index for index in range(count))
    ]


def bursts(seconds: float, at: Sequence[float] = (0.0,)) -> Samples:
    """Stereo silence with a loud tone of 60 ms at each time."""
    samples = np.zeros((2, round(seconds * RATE)), np.float32)
    for time in at:
        start = round(time * RATE)
        tone = 0.8 * np.sin(np.arange(RATE * 6 // 100) * (2 * np.pi * 1000 / RATE))
        room = samples[:, start : start + len(tone)]
        room[:] = tone[: room.shape[1]]
    return samples


def reel(
    target: Path,
    pictures: Iterable[Image.Image],
    rate: int = 24,
    codec: str = "libx264",
    sound: Samples | None = None,
    turn: int = 0,
    tags: tuple[int, int] | None = None,
    **options: str,
) -> Path:
    """H.264 with B-frames as the local renderer writes it; `options` are the encoder's, `tags` matrix and range."""
    shown = list(pictures)
    with av.open(str(target), "w", options={"movflags": "+faststart"}) as container:
        chosen = LIKE_THE_RENDERER | options if codec == "libx264" else options
        video = container.add_stream(codec, rate=rate, options=chosen)
        video.width, video.height, video.pix_fmt = *shown[0].size, "yuv420p"
        video.thread_count = 1
        if tags:
            video.codec_context.colorspace, video.codec_context.color_range = tags
        voice = container.add_stream("aac", rate=RATE, layout="stereo") if sound is not None else None
        for index, picture in enumerate(shown):
            container.mux(video.encode(_frame(picture, index, rate, tags)))
        container.mux(video.encode(None))
        if voice is not None and sound is not None:
            frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            container.mux(voice.encode(frame))
            container.mux(voice.encode(None))
    if turn:
        _lay_on_its_side(target, turn)
    return target


def _lay_on_its_side(clip: Path, turn: int) -> None:
    """Sets the matrix in the header of the video track, which stands 40 bytes behind the name of its box."""
    cosine, sine = round(np.cos(np.radians(turn))), round(np.sin(np.radians(turn)))
    data = bytearray(clip.read_bytes())
    at = data.index(b"tkhd") + 44
    data[at : at + 20] = struct.pack(">5i", *(entry << 16 for entry in (cosine, sine, 0, -sine, cosine)))
    clip.write_bytes(data)


def _frame(picture: Image.Image, index: int, rate: int, tags: tuple[int, int] | None) -> av.VideoFrame:
    frame = av.VideoFrame.from_image(picture)
    if tags:
        frame = frame.reformat(format="yuv420p", dst_colorspace=tags[0], dst_color_range=tags[1])
    frame.pts, frame.time_base = index, Fraction(1, rate)
    return frame


def shown(path: Path) -> list[tuple[int, str]]:
    """When each frame is shown, in ticks, and what it is."""
    with av.open(str(path)) as container:
        return [(frame.pts or 0, digest(frame)) for frame in container.decode(video=0)]


def digest(frame: av.VideoFrame) -> str:
    return hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()


def digests(path: Path) -> list[str]:
    return [found for _, found in shown(path)]


def onsets(path: Path) -> list[float]:
    """Seconds at which the sound grows loud after at least a tenth of a second of quiet."""
    heard = np.zeros(0, np.float32)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            at = round(float(frame.time or 0) * RATE)
            heard = np.pad(heard[:at], (0, max(0, at - len(heard))))
            heard = np.concatenate([heard, frame.to_ndarray()[0]])
    loud = np.flatnonzero(np.abs(heard) > 0.3)
    return [float(time) / RATE for time in loud[np.diff(loud, prepend=-RATE) > RATE / 10]]
