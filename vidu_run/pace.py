"""When to ask again: pure decisions about time. Someone else sleeps."""

from __future__ import annotations

import email.utils
import math
import time
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

LONGEST_PAUSE = 600.0
"""Seconds a run sleeps for a Retry-After before it rather ends with exit 3 and names the date."""

OFF_PEAK_DEADLINE = 49 * 3600.0
"""Off-peak tasks end within 48 h by the API's word; one hour of grace."""


MOST_A_SECOND = 500.0
"""Questions; our own choice, since no provider publishes a limit."""

QUIET = 60.0
"""Seconds without a 429 after which twice as much is asked again."""

LATEST = 200
"""Tasks of a kind whose lengths are remembered: a service is faster at night."""

FEW = 5
"""Tasks of a kind that have to end before anything is concluded."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The `timing:` section of a spec, all in seconds."""

    poll_min: float = 2.0
    poll_max: float = 15.0
    submit_timeout: float = 120.0
    settle: float = 60.0
    drain: float = 30.0
    backoff: float = 1.0
    task_deadline: float = 3600.0
    download_timeout: float = 60.0
    off_peak_deadline: float = OFF_PEAK_DEADLINE

    @staticmethod
    def of(section: Mapping[str, float]) -> Timing:
        """A named `task_deadline` counts for off-peak tasks too: the user's word over our patience."""
        known = {field.name for field in fields(Timing)}
        named = {name: float(value) for name, value in section.items() if name in known}
        if "task_deadline" in named:
            named.setdefault("off_peak_deadline", named["task_deadline"])
        return Timing(**named)

    def deadline(self, off_peak: bool) -> float:
        return self.off_peak_deadline if off_peak else self.task_deadline


def poll_interval(timing: Timing, age: float) -> float:
    """A quarter of the task's age, between `poll_min` and `poll_max`: old tasks are asked less often."""
    return min(timing.poll_max, max(timing.poll_min, age / 4))


@dataclass(slots=True)
class Usual:
    """When tasks of one kind end, learned from those of this run: for each of the latest, its age in seconds when it
    was last seen running. That is never later than its end, so what is learned moves towards the earliest end.
    """

    ages: list[float] = field(default_factory=list)
    _order: deque[float] = field(default_factory=deque)

    def ended(self, ran: float | None, seen: float) -> None:
        """A task ended between these two ages. `ran` is None where the first look came too late: then nobody knows how
        much, and what is learned goes back by a fifth.
        """
        age = seen * 0.8 if ran is None else ran
        insort(self.ages, age)
        self._order.append(age)
        if len(self._order) > LATEST:
            del self.ages[bisect_right(self.ages, self._order.popleft()) - 1]

    def pause(self, timing: Timing, age: float) -> float:
        """Seconds until a task of this age is worth a look: the first when one in fifty would have ended, then each
        twentieth of its age.
        """
        known = len(self.ages)
        if known < FEW:
            return poll_interval(timing, age)
        earliest = self.ages[known // 50]
        return earliest - age if age < earliest else min(timing.poll_max, max(timing.poll_min, age / 20))


@dataclass(slots=True)
class Ceiling:
    """How long to wait between two questions, in seconds: what a 429 doubles, and each quiet minute halves again."""

    _gap: float = 1 / MOST_A_SECOND
    _since: float = -math.inf

    def gap(self, now: float) -> float:
        while self._gap > 1 / MOST_A_SECOND and now - self._since > QUIET:
            self._gap /= 2
            self._since += QUIET
        return max(self._gap, 1 / MOST_A_SECOND)

    def refused(self, asked: float, now: float) -> None:
        """A question of the moment `asked` was answered with a 429. Those that went out together count as one."""
        if asked >= self._since:
            self._gap = min(1.0, self.gap(now) * 2)
            self._since = now


def backoff(timing: Timing, tries: int, chance: float) -> float:
    """Doubling from `timing.backoff` up to a minute, spread by `chance` in [0, 1) so that many do not come at once."""
    return float(min(60.0, timing.backoff * 2 ** min(tries, 16)) * (0.5 + chance / 2))


def not_before(moment: float) -> str:
    """What is said of a Retry-After that no run waits for; `moment` in Unix seconds."""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(min(moment, 2**33)))
    return f"the API asks for no requests before {when}"


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds asked for by a Retry-After header, given in seconds or as a date; None where absent or nonsense."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - now
        except (ValueError, OverflowError, OSError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
