"""Synthesises a quiet sound track: a rush that follows the pictures, a bed of soft chords, or both.

Same pictures and seed, same samples. It reads no recording and writes no file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

Glimpse: TypeAlias = npt.NDArray[np.float32]
"""A frame's luma as 18 rows of 32 means, 16 to 235."""

Samples: TypeAlias = npt.NDArray[np.float32]
"""Left and right: an array of 2 by RATE x seconds, within -1 and 1."""

Curve: TypeAlias = npt.NDArray[np.float64]

RATE: Final = 48_000
GLIMPSE: Final = (32, 18)
LEVEL: Final = 0.035  # RMS of a side; the two together measure about -26 LUFS
HIGHEST: Final = 0.7  # a peak of any sample, with room for what AAC adds
FADE: Final = (0.04, 0.12)  # seconds, in and out
HUSH: Final = 0.12  # loudness of pictures that stand still, 1 being the clip's greatest change
SLIGHT: Final = 0.002  # of full brightness a frame: a change no greater stands for none
BANDS: Final = (160.0, 640.0, 2560.0)  # Hz: what dark, middling and bright pictures sound like
HUM: Final = 0.5  # of the rush
CHORDS: Final = ((0, 4, 7, 12), (9, 12, 16, 21), (5, 9, 12, 17), (7, 11, 14, 19))  # semitones: I, vi, IV, V
OVERTONES: Final = (1.0, 0.3, 0.12)
CHORD_SECONDS: Final = 2.0
DETUNED: Final = (0.9985, 1.0015)


def glimpse(luma: Image.Image) -> Glimpse:
    """What the ear keeps of a frame: means over samples of it, which cost a twentieth of means over all of it."""
    sampled = luma.resize((4 * GLIMPSE[0], 4 * GLIMPSE[1]), Image.Resampling.NEAREST)
    return np.asarray(sampled.resize(GLIMPSE, Image.Resampling.BOX), dtype=np.float32)


def follow(glimpses: Sequence[Glimpse], fps: int, seed: int) -> Samples:
    """A rush and a hum: louder the more a half of the picture changes, higher the brighter it is."""
    chance = np.random.default_rng((1, seed % 2**64))
    length = len(glimpses) * RATE // fps
    loudness, brightness = _loudness(glimpses), _brightness(glimpses)
    bands, base = _bands(chance, length), chance.uniform(70, 130)
    sides = []
    for side in (0, 1):
        light = _spread(brightness[side], length)
        rush = sum(np.roll(band, side * 1009) * share for band, share in zip(bands, _shares(light), strict=True))
        hum = np.sin(2 * math.pi * np.cumsum(base * DETUNED[side] * 2**light) / RATE)
        sides.append(_spread(loudness[side], length) * (rush + HUM * hum))
    return np.asarray(sides, dtype=np.float32)


def bed(seconds: int, seed: int) -> Samples:
    """Soft chords of about two seconds, the clip's length shared evenly between at least two of them."""
    chance = np.random.default_rng((2, seed % 2**64))
    count = max(2, round(seconds / CHORD_SECONDS))
    root, start = 220 * 2 ** (chance.integers(-8, 4) / 12), int(chance.integers(len(CHORDS)))
    length = seconds * RATE
    heard = np.zeros((2, length))
    for number in range(count):
        begin = number * length // count
        chord = _chord(root, CHORDS[(start + number) % len(CHORDS)], length // count, chance.uniform(0.6, 1.0, 4))
        room = min(chord.shape[1], length - begin)
        heard[:, begin : begin + room] += chord[:, :room]
    return heard.astype(np.float32)


def mix(parts: Sequence[Samples]) -> Samples:
    """The parts, equally loud, as one quiet track that fades in and out. Parts are of one length."""
    total: Curve = np.zeros(parts[0].shape)
    for part in parts:
        total += part / max(_rms(part), 1e-9)
    total *= _fade(parts[0].shape[1])
    gain = min(LEVEL / max(_rms(total), 1e-9), HIGHEST / max(float(np.abs(total).max()), 1e-9))
    return (total * gain).astype(np.float32)


def _halves(pictures: npt.NDArray[np.float32]) -> Curve:
    """Means of the left and the right half of each picture, 0 to 1: an array of 2 by pictures."""
    middle = GLIMPSE[0] // 2
    halves = (pictures[:, :, :middle], pictures[:, :, middle:])
    return np.stack([half.mean(axis=(1, 2), dtype=np.float64) / 255 for half in halves])


def _brightness(glimpses: Sequence[Glimpse]) -> Curve:
    return _halves(np.stack(glimpses))


def _loudness(glimpses: Sequence[Glimpse]) -> Curve:
    pictures = np.stack(glimpses)
    change = _halves(np.abs(np.diff(pictures, axis=0, prepend=pictures[:1])))
    change = np.stack([np.convolve(side, (0.25, 0.5, 0.25), "same") for side in change])
    return HUSH + (1 - HUSH) * change / max(float(change.max()), SLIGHT)


def _spread(curve: Curve, length: int) -> Curve:
    """A value a frame drawn out to one a sample, each frame's own in its middle."""
    frame = length / len(curve)
    return np.interp(np.arange(length), (np.arange(len(curve)) + 0.5) * frame, curve)


def _bands(chance: np.random.Generator, length: int) -> list[Curve]:
    """One noise heard through three filters an octave wide, each of RMS 1."""
    spectrum = np.fft.rfft(chance.standard_normal(length))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(length, 1 / RATE), 1))
    heard = (np.fft.irfft(spectrum * np.exp(-((octaves - math.log2(centre)) ** 2)), length) for centre in BANDS)
    return [band / _rms(band) for band in heard]


def _shares(light: Curve) -> list[Curve]:
    """How much of each band a brightness lets through; their squares add up to 1."""
    at = light * (len(BANDS) - 1)
    return [np.sqrt(np.clip(1 - np.abs(at - number), 0, 1)) for number in range(len(BANDS))]


def _chord(root: float, steps: Sequence[int], length: int, weights: Curve) -> Samples:
    """Rings half as long again as its turn, so that one chord goes over into the next."""
    times = np.arange(length + length // 2, dtype=np.float32) / np.float32(RATE)
    heard = np.zeros((2, len(times)), np.float32)
    for step, weight in zip(steps, weights, strict=True):
        for number, strength in enumerate(OVERTONES, 1):
            for side, detuned in enumerate(DETUNED):
                turns = np.float32(2 * math.pi * root * 2 ** (step / 12) * number * detuned)
                heard[side] += np.float32(weight * strength) * np.sin(turns * times)
    return heard * _ringing(times / times[-1], float(times[-1]))


def _ringing(share: Samples, seconds: float) -> Samples:
    """How loud a chord is after a share of its time: a swell of a quarter second at most, then less and less."""
    swell = np.minimum(1, share / min(0.25 / seconds, 1 / 6))
    ending = np.minimum(1, (1 - share) * 3)
    loud: Samples = (_smooth(swell) * np.exp(-1.2 * share) * _smooth(ending)).astype(np.float32)
    return loud


def _fade(length: int) -> Curve:
    at = (np.arange(length) + 0.5) / RATE
    return _smooth(np.minimum(1, at / FADE[0])) * _smooth(np.minimum(1, (length / RATE - at) / FADE[1]))


def _smooth(share: Curve) -> Curve:
    return share * share * (3 - 2 * share)


def _rms(samples: Samples | Curve) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
