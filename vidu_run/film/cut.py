"""Where every clip begins and ends in the film, and whether its packets can stay as they are. Pure.

A film can be copied where all its clips are coded alike; times are exact, in seconds, until they become ticks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final, TypeVar

from vidu_run.film.clip import Clip, Coding, Sound
from vidu_run.film.twins import are_twins

T = TypeVar("T")

FINEST: Final = 10_000
"""FFmpeg's MP4 writer doubles a coarser clock until it has this many ticks a second."""

COPIED: Final = "h264"


@dataclass(frozen=True, slots=True)
class Part:
    """A clip in the film, from `start` to `end` in seconds; without its last frame where `hides`."""

    clip: Clip
    start: Fraction
    end: Fraction
    hides: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """`why` the pictures are encoded anew, None where they are copied; `clock` is ticks a second of the film."""

    parts: tuple[Part, ...]
    size: tuple[int, int]
    rate: Fraction
    clock: int
    why: str | None

    @property
    def seconds(self) -> Fraction:
        return self.parts[-1].end

    @property
    def hidden(self) -> int:
        return sum(part.hides for part in self.parts)

    @property
    def frames(self) -> int:
        if self.why is not None:
            return round(self.seconds * self.rate)
        return sum(part.clip.timing.shown for part in self.parts) - self.hidden


def cut(clips: Sequence[Clip]) -> Cut:
    hides = [*(_may_lose_its_last(a) and are_twins(a.ends, b.ends) for a, b in pairwise(clips)), False]
    rate = most_common([clip.coding.rate for clip in clips], lambda rate: rate)
    why = _why_not_copied(clips)
    if why is None:
        clock = _clock(clips[0].coding)
        parts = _copied(clips, hides, Fraction(1, clock))
        why = _why_out_of_step(parts, Fraction(1, clock))
        if why is None:
            return Cut(parts, clips[0].coding.size, rate, clock, None)
    size = most_common([clip.coding.upright for clip in clips], lambda size: size[0] * size[1])
    even = size[0] + size[0] % 2, size[1] + size[1] % 2
    return Cut(_encoded(clips, hides, rate), even, rate, _finer(rate.numerator), why)


def why_not_copied(parts: Sequence[Part]) -> str | None:
    """Why the sound cannot stay as it is; a sentence about the first clip that forbids it. Some clip has sound."""
    sounds = [part.clip.sound for part in parts]
    usual = next(sound for sound in sounds if sound)
    for part, sound in zip(parts, sounds, strict=True):
        name = part.clip.file.name
        if sound is None:
            return f"{name} has no sound"
        if (sound.codec, sound.samples > 0, sound.steady) != ("aac", True, True):
            return f"the sound of {name} is not AAC without gaps"
        if _voice(sound) != _voice(usual):
            return f"the sound of {name} is coded in another way"
        if sound.start > sound.samples // 2 or (part is not parts[-1] and _falls_short(sound, part)):
            return f"the sound of {name} does not last as long as its pictures"
    return None


def _falls_short(sound: Sound, part: Part) -> bool:
    """Copied frames follow one another without gaps, so a clip has to fill its own time."""
    return sound.frames * sound.samples < (part.end - part.start) * sound.rate


def _voice(sound: Sound) -> tuple[int, str, bytes, int]:
    return sound.rate, sound.layout, sound.headers, sound.samples


def _may_lose_its_last(clip: Clip) -> bool:
    return clip.timing.shown > 1


def _copied(clips: Sequence[Clip], hides: Sequence[bool], tick: Fraction) -> tuple[Part, ...]:
    """A frame that is hidden stays for one tick: other frames may need it, and none can be taken out."""
    parts, start = [], Fraction(0)
    for clip, hidden in zip(clips, hides, strict=True):
        end = start + (clip.shortened + tick if hidden else clip.length)
        parts.append(Part(clip, start, end, hidden))
        start = end
    return tuple(parts)


def _encoded(clips: Sequence[Clip], hides: Sequence[bool], rate: Fraction) -> tuple[Part, ...]:
    """Every clip begins with a frame of the film, and the rounding does not add up."""
    parts, exact, start = [], Fraction(0), 0
    for clip, hidden in zip(clips, hides, strict=True):
        exact += clip.shortened if hidden else clip.length
        end = max(start + 1, round(exact * rate))
        parts.append(Part(clip, start / rate, end / rate, hidden))
        start = end
    return tuple(parts)


def _why_not_copied(clips: Sequence[Clip]) -> str | None:
    first = clips[0]
    for clip in clips:
        name = clip.file.name
        if clip.coding.codec != COPIED or clip.coding.headers[:1] != b"\1":
            return f"{name} is {clip.coding.codec}, not H.264"
        if clip.timing.cut:
            return f"{name} holds frames that are not shown"
        if clip.coding.turn:
            return f"{name} lies on its side"
        if clip.coding != first.coding:
            return _difference(clip, first)
    return None


def _difference(clip: Clip, first: Clip) -> str:
    for one, other in zip(_described(clip.coding), _described(first.coding), strict=True):
        if one != other:
            return f"{clip.file.name} is {one}, {first.file.name} is {other}"
    return f"{clip.file.name} is encoded with other settings than {first.file.name}"


def _described(coding: Coding) -> tuple[str, ...]:
    return f"{coding.size[0]}x{coding.size[1]}", coding.format, f"{float(coding.rate):g} frames a second"


def _why_out_of_step(parts: Sequence[Part], tick: Fraction) -> str | None:
    """Decoding times must rise across a seam, too."""
    for before, after in pairwise(parts):
        last = before.start + (before.clip.timing.decode_last - before.clip.timing.start) * before.clip.coding.tick
        first = after.start + (after.clip.timing.decode_start - after.clip.timing.start) * after.clip.coding.tick
        if first < last + tick:
            return f"{after.clip.file.name} is decoded in another order than {before.clip.file.name}"
    return None


def _clock(coding: Coding) -> int:
    return _finer(coding.tick.denominator)


def _finer(ticks: int) -> int:
    while ticks < FINEST:
        ticks *= 2
    return ticks


def most_common(values: Sequence[T], larger: Callable[[T], Any]) -> T:
    """Of those that are as common the largest."""
    counts = Counter(values)
    return max(counts, key=lambda value: (counts[value], larger(value)))
