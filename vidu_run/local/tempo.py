"""How long a believable service takes. Pure arithmetic, for a speed of 1."""

from __future__ import annotations

START = 20.0
EACH_SECOND = {"360p": 4.0, "540p": 6.0, "720p": 10.0, "1080p": 16.0}
"""For each second of video. With START it gives 30 s to 2 minutes for the usual clips: Vidu's example names 30 s a
video, octopusx's sample has 111 s between creation and update, a public client reckons with 96 s."""
OFF_PEAK_WAIT = 600.0
"""Documented is "within 48 hours"; a rehearsal shall show that such a task waits, not for how long."""


def making_seconds(model: str, resolution: str, seconds: int) -> float:
    """Turbo and fast models take half as long."""
    full = START + EACH_SECOND[resolution] * seconds
    return full / 2 if model.endswith(("turbo", "fast")) else full
