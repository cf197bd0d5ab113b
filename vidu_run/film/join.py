"""Clips in their order as one film: a whole file or none, and an account of what was done.

Clips that are coded alike are copied, bit for bit; else their pictures or their sound are encoded once more, and why is
said. The clips themselves are never changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import av
from av.container import OutputContainer
from av.packet import Packet

from vidu_run.errors import StorageTrouble
from vidu_run.files import make_folder, sync
from vidu_run.film.clip import survey
from vidu_run.film.copying import CopiedPictures, CopiedSound
from vidu_run.film.cut import Cut, cut, why_not_copied
from vidu_run.film.encoding import EncodedPictures, EncodedSound
from vidu_run.film.source import FilmTrouble, opened
from vidu_run.mp4 import NotAVideo, verify

Way: TypeAlias = Literal["remuxed", "encoded"]
Audio: TypeAlias = Literal["kept", "dropped", "none"]
Track: TypeAlias = CopiedPictures | EncodedPictures | CopiedSound | EncodedSound

COMMON_TAGS: Final = {"title", "artist", "album", "comment", "copyright", "date", "description", "genre"}
LONGEST_TITLE: Final = 255  # bytes: the length of a chapter's title is stored in one


@dataclass(frozen=True, slots=True)
class Segment:
    """A clip, and the title of its chapter."""

    file: Path
    title: str


@dataclass(frozen=True, slots=True)
class Joined:
    """`frames` are those that are seen; `hidden` of the clips' are not, as they were the same as the ones behind them.

    `why` the pictures, and `audio_why` the sound, were encoded anew; None where they are the clips' own. `audio_why` is
    also why sound was dropped. `chapters` is False where this PyAV cannot write them (before 16). `starts` are
    the seconds at which the clips begin.
    """

    frames: int
    seconds: Fraction
    way: Way
    why: str | None
    hidden: int
    audio: Audio
    audio_why: str | None
    chapters: bool
    starts: tuple[Fraction, ...]


def join(
    segments: Sequence[Segment],
    target: Path,
    tags: Mapping[str, str],
    keep_audio: bool = True,
    sidecar: Path | None = None,
) -> Joined:
    """Write the film; an older one stays until the new one is whole. A `sidecar` that tells of the older one goes
    before the new one takes its name: a film never stands beside an account of another.

    `tags` are names and texts for the file's metadata. Raises FilmTrouble for a clip that is missing, damaged or has no
    pictures, before anything is written where that can be seen without decoding it all; StorageTrouble where the film
    cannot be written.
    """
    if not segments:
        raise FilmTrouble(f"{target}: a film needs at least one clip")
    edit = cut([survey(segment.file, segment.title) for segment in segments])
    sound = _Sound.of(edit, keep_audio)
    with _whole_or_not(target, sidecar) as part:
        chapters = _write(part, edit, sound, tags)
    way: Way = "remuxed" if edit.why is None else "encoded"
    starts = tuple(part.start for part in edit.parts)
    return Joined(edit.frames, edit.seconds, way, edit.why, edit.hidden, sound.audio, sound.why, chapters, starts)


@dataclass(frozen=True, slots=True)
class _Sound:
    audio: Audio
    why: str | None

    @classmethod
    def of(cls, edit: Cut, keep: bool) -> _Sound:
        if not any(part.clip.sound for part in edit.parts):
            return cls("none", None)
        return cls("kept", why_not_copied(edit.parts)) if keep else cls("dropped", "no sound was wanted")


def _write(target: Path, edit: Cut, sound: _Sound, tags: Mapping[str, str]) -> bool:
    options = _container_options(edit, tags)
    with av.open(str(target.absolute()), "w", format="mp4", options=options) as film:
        film.metadata.update({_clean(name): _clean(text) for name, text in tags.items()})
        chapters = _set_chapters(film, edit)
        pictures, voices = _tracks(film, edit, sound)
        for part in edit.parts:
            with opened(part.clip.file) as source:
                tracks: dict[int, Track] = {source.video.index: pictures}
                if voices is not None:
                    tracks |= {source.audio.index: voices} if source.audio else {-1: voices}
                for track in tracks.values():
                    track.begin(part, source)
                for packet in source.packets(sound=voices is not None):
                    _mux(film, tracks[packet.stream.index].take(packet))
                for track in tracks.values():
                    _mux(film, track.finish())
        for last in (pictures, voices) if voices else (pictures,):
            _mux(film, last.flush())
    return chapters


def _mux(film: OutputContainer, packets: Iterator[Packet[Any]]) -> None:
    for packet in packets:
        film.mux(packet)


def _tracks(
    film: OutputContainer, edit: Cut, sound: _Sound
) -> tuple[CopiedPictures | EncodedPictures, CopiedSound | EncodedSound | None]:
    """Where packets are copied the first clip says what they are."""
    with opened(edit.parts[0].clip.file) as first:
        pictures = CopiedPictures(film, edit, first) if edit.why is None else EncodedPictures(film, edit)
        if sound.audio != "kept":
            return pictures, None
        return pictures, CopiedSound(film, edit, first) if sound.why is None else EncodedSound(film, edit.parts)


def _container_options(edit: Cut, tags: Mapping[str, str]) -> dict[str, str]:
    """The film's clock is its pictures', so that chapters and the end are exact. Any name of a tag is kept only with
    `use_metadata_tags`; a tag called `timecode` would otherwise become a track.
    """
    known = {name.lower() for name in tags} <= COMMON_TAGS
    flags = "+faststart" if known else "+faststart+use_metadata_tags"
    return {"movflags": flags, "write_tmcd": "0", "movie_timescale": str(edit.clock)}


def _set_chapters(film: OutputContainer, edit: Cut) -> bool:
    if not hasattr(film, "set_chapters"):
        return False
    film.set_chapters(
        [
            {
                "id": number,
                "start": round(part.start * edit.clock),
                "end": round(part.end * edit.clock),
                "time_base": Fraction(1, edit.clock),
                "metadata": {"title": _short(_clean(part.clip.title))},
            }
            for number, part in enumerate(edit.parts)
        ]
    )
    return True


def _clean(text: str) -> str:
    """FFmpeg reads up to the first NUL, and UTF-8 has no lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _short(title: str) -> str:
    return title.encode("utf-8")[:LONGEST_TITLE].decode("utf-8", "ignore")


def _forget(part: Path) -> None:
    with suppress(OSError):
        part.unlink(missing_ok=True)


@contextmanager
def _whole_or_not(target: Path, sidecar: Path | None) -> Iterator[Path]:
    """A name beside the target to write to; what is there at the end is looked over, synced and given its name."""
    part = target.with_name(f"{target.name}.part")
    with ExitStack() as stack:
        try:
            make_folder(target.parent)
            stack.callback(_forget, part)
            yield part
            with part.open("rb") as file:
                verify(file, os.fstat(file.fileno()).st_size)
                os.fsync(file.fileno())
            if sidecar:
                sidecar.unlink(missing_ok=True)
                sync(target.parent)
            part.replace(target)
            sync(target.parent)
        except (OSError, av.FFmpegError, NotAVideo) as error:
            raise StorageTrouble(f"{target}: cannot be written ({getattr(error, 'strerror', None) or error})") from None
