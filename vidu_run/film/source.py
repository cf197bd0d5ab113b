"""Opens a clip and reads its packets and shown frames; whatever is wrong with it is one sentence that names the file.

It reads MP4 only, by that name: a file that is something else is never guessed at. It never writes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.frame import Frame
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidu_run.errors import UsageTrouble
from vidu_run.mp4 import NotAVideo, verify


class FilmTrouble(UsageTrouble):
    """A clip that cannot be used, or a wish that cannot be met: one sentence that names the file."""


@dataclass(frozen=True, slots=True)
class Source:
    """An open clip; `audio` is None where it has no sound."""

    path: Path
    container: InputContainer
    video: VideoStream
    audio: AudioStream | None

    @property
    def tick(self) -> Fraction:
        """Seconds."""
        return Fraction(self.video.time_base or Fraction(1, av.time_base))

    @property
    def shape(self) -> Fraction:
        """Width by height of a pixel; 1 where the clip says nothing."""
        return Fraction(self.video.sample_aspect_ratio or 1)

    def packets(self, sound: bool = False) -> Iterator[Packet[Any]]:
        """Those of the video and, if wanted, of the audio, as they lie in the file, and an empty one for each at the
        end, which brings a decoder's last frames. Raises FilmTrouble.
        """
        streams = [self.video, self.audio] if sound and self.audio else [self.video]
        try:
            yield from self.container.demux(*streams)
        except (av.FFmpegError, ValueError) as error:
            raise damaged(self.path, error) from None

    def decoded(self, packet: Packet[Any]) -> list[VideoFrame]:
        """The frames to be shown which a packet completes. Raises FilmTrouble."""
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError) as error:
            raise damaged(self.path, error) from None
        return [frame for frame in frames if isinstance(frame, VideoFrame) and frame.pts is not None]

    def heard(self, packet: Packet[Any]) -> list[AudioFrame]:
        """The sound that a packet brings. Raises FilmTrouble."""
        try:
            frames: list[Frame] = [*packet.decode()]
        except (av.FFmpegError, ValueError) as error:
            raise damaged(self.path, error) from None
        return [frame for frame in frames if isinstance(frame, AudioFrame) and frame.pts is not None]


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Raises FilmTrouble for a file that is missing, empty, cut short, no MP4, or without pictures."""
    _check(path)
    try:
        container = av.open(str(path.absolute()), format="mp4", metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise damaged(path, error) from None
    with container:
        video = container.streams.best("video")
        if not isinstance(video, VideoStream):
            raise FilmTrouble(f"{path}: has no pictures")
        audio = container.streams.best("audio")
        yield Source(path, container, video, audio if isinstance(audio, AudioStream) else None)


def shown(path: Path, since: int | None = None) -> Iterator[VideoFrame]:
    """Its frames in the order they are shown; `since` in ticks: from the key frame before. Raises FilmTrouble."""
    with opened(path) as source:
        if since is not None:
            try:
                source.container.seek(since, stream=source.video)
            except av.FFmpegError as error:
                raise damaged(path, error) from None
        for packet in source.packets():
            yield from source.decoded(packet)


def first_frames(path: Path, count: int) -> list[VideoFrame]:
    """Up to `count` frames, at least one. Raises FilmTrouble."""
    return _some(path, list(islice(shown(path), count)))


def last_frames(path: Path, count: int) -> list[VideoFrame]:
    """The last `count` that are shown, or all if there are fewer. Raises FilmTrouble.

    Only the end is decoded where that can be trusted: where decoding began at a key frame and gave frames enough.
    """
    with opened(path) as source:
        end = source.video.duration and source.video.duration + (source.video.start_time or 0)
    if end:
        frames = deque(_trusted(shown(path, end)), count)
        if len(frames) == count:
            return list(frames)
    return _some(path, list(deque(shown(path), count)))


def frame_at(path: Path, ticks: int) -> VideoFrame:
    """The frame on screen at a time on the clip's own clock, the first one before it begins. Raises FilmTrouble."""
    found = None
    for frame in _trusted(shown(path, ticks)):
        if (frame.pts or 0) > ticks:
            break
        found = frame
    if found is not None:
        return found
    for frame in shown(path):
        if found is not None and (frame.pts or 0) > ticks:
            break
        found = frame
    return _some(path, [found] if found is not None else [])[0]


def damaged(path: Path, error: Exception) -> FilmTrouble:
    return FilmTrouble(f"{path}: cannot be read as a video ({getattr(error, 'strerror', None) or error})")


def _trusted(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """None of them after a seek into the middle of things, and none when reading fails."""
    try:
        first = next(frames, None)
        if first is None or not first.key_frame or first.is_corrupt:
            return
        yield first
        yield from frames
    except FilmTrouble:
        return


def _some(path: Path, frames: list[VideoFrame]) -> list[VideoFrame]:
    if not frames:
        raise FilmTrouble(f"{path}: has no pictures that can be decoded")
    return frames


def _check(path: Path) -> None:
    try:
        with path.open("rb") as file:
            verify(file, path.stat().st_size)
    except FileNotFoundError:
        raise FilmTrouble(f"{path}: is not there") from None
    except OSError as error:
        raise FilmTrouble(f"{path}: cannot be read ({error.strerror or error})") from None
    except NotAVideo as error:
        raise FilmTrouble(f"{path}: {error}") from None
