"""The reckoning of a run under way: counts, credits, pace, the time left, the last error.

Fed with what happened and when; has no clock, no terminal and no journal of its own.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from statistics import median

Kind = tuple[str, str, str, bool]
"""Model, resolution, seconds as the request asks for them, and whether off-peak: what decides how long a clip takes."""

ORDER = ("done", "ready", "submitted", "planned", "in_doubt", "failed", "rejected", "abandoned")
BAD = frozenset({"in_doubt", "failed", "rejected", "left"})
AT_API = "submitted"
LEFT = "left"
"""What this run gave up on for now; the job stays what it was."""

WINDOW = 300.0
"""Seconds over which the pace is counted."""

LEAST_SPAN = 5.0
"""Seconds after which a pace means something."""

LATEST = 50
"""So many clips of a kind say how long the next one takes."""

MOST_DEALT = 400
"""Up to so many waiting jobs are dealt to the slots one by one; for more the mean is as good."""

ALMOST = 0.1
"""What is left, as a part of its usual time, of a clip that has outlasted it."""


def kind_of(request: Mapping[str, object]) -> Kind:
    model, resolution, seconds = (str(request.get(name) or "") for name in ("model", "resolution", "duration"))
    return model, resolution, seconds, bool(request.get("off_peak"))


def by_kind(took: Iterable[tuple[Mapping[str, object], float]]) -> dict[Kind, list[float]]:
    """The seconds that clips have taken, each told with its request."""
    past: dict[Kind, list[float]] = {}
    for request, seconds in took:
        past.setdefault(kind_of(request), []).append(seconds)
    return past


@dataclass(slots=True)
class Part:
    """A job of the run. `awaited`: this run is to submit it; `since`: when the API accepted it."""

    state: str
    kind: Kind
    awaited: bool = False
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What there is to say at one moment. `committed` and `charged` are credits, `left` and `elapsed` seconds; None
    where nobody can tell. `error`: the job and the sentence.
    """

    counts: Mapping[str, int]
    total: int
    elapsed: float | None
    committed: int | None = None
    charged: int | None = None
    per_minute: float | None = None
    left: float | None = None
    stopping: bool = False
    resting: bool = False
    offline: bool = False
    error: tuple[str, str] | None = None
    rehearses: bool = False

    @property
    def finished(self) -> int:
        return sum(count for state, count in self.counts.items() if state not in ("planned", AT_API, "ready"))


@dataclass(slots=True)
class Tally:
    """`begun` and every `at` and `now` are seconds of one clock. `slots`: tasks at once, usually and off-peak;
    `past`: the seconds that earlier clips took, by kind. `stopping`: nothing new is sent; `resting`: no run goes on;
    `offline`: the host does not answer; `rehearses`: the credits are those of a rehearsal, which takes none.
    """

    begun: float
    slots: tuple[int, int] = (1, 1)
    past: Mapping[Kind, Sequence[float]] = field(default_factory=dict)
    committed: int | None = None
    charged: int | None = None
    stopping: bool = False
    resting: bool = False
    offline: bool = False
    error: tuple[str, str] | None = None
    rehearses: bool = False
    _parts: dict[str, Part] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    _waiting: Counter[Kind] = field(default_factory=Counter)
    _running: set[str] = field(default_factory=set)
    _took: dict[Kind, deque[float]] = field(default_factory=dict)
    _done: deque[float] = field(default_factory=deque)

    def put(self, name: str, part: Part) -> None:
        """A job as it stands before anything is heard of it."""
        if name in self._parts:
            self._uncount(name)
        self._parts[name] = part
        self._count(name)

    def hear(self, at: float, name: str, state: str, text: str = "") -> None:
        """A job has come to a state; one that nobody has put counts from now on. A note has no name."""
        if not name:
            return
        if state in BAD or (state == "planned" and text):
            self.error = (name, text)
        part = self._parts.setdefault(name, Part("", ("", "", "", False)))
        self._uncount(name)
        if state == LEFT:
            part.awaited = False
        else:
            self._learn(part, state, at)
            part.state = state
        self._count(name)

    def took(self, kind: Kind, seconds: float) -> None:
        """A clip of this run from its acceptance to its end; a clock that was set back tells nothing."""
        if seconds > 0:
            self._took.setdefault(kind, deque(maxlen=LATEST)).append(seconds)

    def came(self, at: float) -> None:
        """A clip of this run is here."""
        self._done.append(at)

    def reckon(self, now: float) -> Reckoning:
        return Reckoning(
            counts={state: self._counts[state] for state in ORDER if self._counts[state]},
            total=len(self._parts),
            elapsed=None if self.resting else max(0.0, now - self.begun),
            committed=self.committed,
            charged=self.charged,
            per_minute=None if self.resting else self._pace(now),
            left=None if self.resting else self._left(now),
            stopping=self.stopping,
            resting=self.resting,
            offline=self.offline,
            error=self.error,
            rehearses=self.rehearses,
        )

    def _learn(self, part: Part, state: str, at: float) -> None:
        if state == AT_API and part.state != AT_API:
            part.since = at
        # Of a task of an earlier run nobody knows when it ended: perhaps while none was there.
        if part.state == AT_API and state in ("ready", "done") and part.since is not None and part.since >= self.begun:
            self.took(part.kind, at - part.since)
        if state == "done" and part.state != "done":
            self.came(at)
        if state not in ("planned", AT_API):
            part.awaited = False

    def _count(self, name: str, by: int = 1) -> None:
        part = self._parts[name]
        if part.state:
            self._counts[part.state] += by
        if part.awaited and part.state == "planned":
            self._waiting[part.kind] += by
        if part.state == AT_API:
            (self._running.add if by > 0 else self._running.discard)(name)

    def _uncount(self, name: str) -> None:
        self._count(name, -1)

    def _pace(self, now: float) -> float | None:
        """Clips a minute over the last minutes; None before there are two of them."""
        while self._done and self._done[0] < now - WINDOW:
            self._done.popleft()
        span = min(WINDOW, now - self.begun)
        return 60 * len(self._done) / span if span >= LEAST_SPAN and len(self._done) > 1 else None

    def _left(self, now: float) -> float | None:
        """Seconds until the last clip is made; None where a kind of clip is unknown, or nothing is on its way."""
        lanes = [self._lane(off_peak) for off_peak in (False, True)]
        ends = [self._end(now, *lane, slots) for lane, slots in zip(lanes, self.slots, strict=True) if any(lane)]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) else None

    def _lane(self, off_peak: bool) -> tuple[list[Part], dict[Kind, int]]:
        """The tasks that share slots: those at the API, and how many of which kind wait for one."""
        running = [part for part in map(self._parts.__getitem__, self._running) if part.kind[3] is off_peak]
        waiting = {} if self.stopping else {k: n for k, n in self._waiting.items() if n and k[3] is off_peak}
        return running, waiting

    def _end(self, now: float, running: Sequence[Part], waiting: Mapping[Kind, int], slots: int) -> float | None:
        if waiting and not slots:
            return None
        usual: dict[Kind, float] = {}
        for kind in {*waiting, *(part.kind for part in running)}:
            if (seconds := self._usual(kind)) is None:
                return None
            usual[kind] = seconds
        ahead = [_rest(usual[part.kind], now - (part.since if part.since is not None else now)) for part in running]
        return _last_end(ahead, [(usual[kind], count) for kind, count in waiting.items()], slots)

    def _usual(self, kind: Kind) -> float | None:
        """As long as the clips of this run took, else the earlier ones, else those of the other kinds."""
        for known in (self._took, self.past):
            if known.get(kind):
                return median(known[kind])
        others = {**self.past, **self._took}
        medians = [median(times) for other, times in others.items() if times and other[3] is kind[3]]
        return median(medians) if medians else None


def _rest(usual: float, age: float) -> float:
    return max(usual - max(0.0, age), usual * ALMOST)


def _last_end(ahead: Sequence[float], waiting: Sequence[tuple[float, int]], slots: int) -> float:
    """When the last task ends if each waiting one begins as soon as one before it has ended. `waiting`: length and
    how many.
    """
    if sum(count for _, count in waiting) > MOST_DEALT:
        return (sum(ahead) + sum(length * count for length, count in waiting)) / max(1, slots)
    return _dealt(ahead, (length for length, count in waiting for _ in range(count)), max(1, slots))


def _dealt(ahead: Sequence[float], waiting: Iterable[float], slots: int) -> float:
    # Of more tasks than slots the first to end make no room.
    free = sorted(ahead)[max(0, len(ahead) - slots) :]
    free = [*free, *[0.0] * (slots - len(free))]
    heapify(free)
    for length in waiting:
        heappush(free, heappop(free) + length)
    return max([*free, *ahead])
