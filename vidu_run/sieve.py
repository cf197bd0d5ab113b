"""Which of a run's events are worth a line, and when the counts are: a log of 10,000 jobs is for reading. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

SMALL_LOG = 20
"""Up to so many jobs a log has a line for each that ends."""

SMALL_SCREEN = 200
"""Up to so many jobs a terminal shows every event."""

MOST_ALIKE = 5
"""In a larger run: so many lines with the same words."""

MOST_LINES = 100
"""In a larger run: so many lines about single jobs."""

ENOUGH = "more like these are counted, not listed; `vidu-run status` lists them all"

LEAST_PAUSE = 30.0
"""Seconds between two lines of counts."""

MOST_SILENCE = 300.0
"""Seconds after which a log says that the run goes on: some CI services end a job that is silent."""

ENDED = frozenset({"done", "failed", "rejected", "abandoned"})
URGENT = frozenset({"failed", "rejected", "abandoned", "in_doubt", "left", "note", "stopping"})


@dataclass(slots=True)
class Sieve:
    """`live`: a block on a terminal carries the counts, so no line has to."""

    jobs: int
    live: bool
    _alike: Counter[str] = field(default_factory=Counter)
    _shown: int = 0
    _told: bool = False

    def passes(self, state: str, text: str) -> bool:
        urgent = state in URGENT or (state == "planned" and bool(text))
        if self.jobs <= (SMALL_SCREEN if self.live else SMALL_LOG):
            return self.live or urgent or state in ENDED
        if state in ("note", "stopping"):
            return True
        if not urgent or self._shown >= MOST_LINES:
            return False
        self._alike[f"{state} {text}"] += 1
        if self._alike[f"{state} {text}"] > MOST_ALIKE:
            return False
        self._shown += 1
        return True

    def enough(self) -> bool:
        """Whether to say, this once, that some are not listed."""
        cut = self._shown >= MOST_LINES or any(count > MOST_ALIKE for count in self._alike.values())
        first, self._told = cut and not self._told, self._told or cut
        return first


class Pulse:
    """When a log gets a line of counts: at each tenth of the jobs, not too often; and after a long silence."""

    def __init__(self, now: float, finished: int, total: int) -> None:
        self._last = now
        self._tenth = _tenth(finished, total)

    def due(self, now: float, finished: int, total: int) -> bool:
        since, tenth = now - self._last, _tenth(finished, total)
        if not ((tenth != self._tenth and since >= LEAST_PAUSE) or since >= MOST_SILENCE):
            return False
        self._last, self._tenth = now, tenth
        return True


def _tenth(finished: int, total: int) -> int:
    return 10 * finished // max(1, total)
