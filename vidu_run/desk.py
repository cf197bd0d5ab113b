"""What one run works with: the API, the journal, the slots, and the flags that stop it. Decides nothing about money."""

from __future__ import annotations

import shlex
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vidu_run.api.client import Api
from vidu_run.api.download import Downloads
from vidu_run.arrivals import Arrivals
from vidu_run.caution import Caution
from vidu_run.journal.port import Limits
from vidu_run.journal.sqlite import SqliteJournal
from vidu_run.pace import Timing, Usual
from vidu_run.polls import Polls
from vidu_run.posters import Posters
from vidu_run.relay import Relay
from vidu_run.slots import Slots
from vidu_run.stop import Gate, Stop
from vidu_run.tally import Kind


@dataclass(slots=True)
class Desk:
    """`out` is the output folder, `source` the spec's (None where only the state is left), `target` how the user names
    the state on a command line. `tell(name, state, text)` shows what happened to a job; `waits` False leaves accepted
    tasks to a later run; `shrink_to` is what a body may have in bytes where frames are made lighter; `incomplete` says
    what this run gave up on though it may still come good.
    """

    journal: SqliteJournal
    api: Api
    downloads: Downloads
    out: Path
    source: Path | None
    timing: Timing
    limits: Limits
    tell: Callable[[str, str, str], None]
    stop: Stop
    relay: Relay
    target: str
    waits: bool = True
    shrink_to: int | None = None
    started: float = field(default_factory=time.time)
    incomplete: list[str] = field(default_factory=list)
    said: set[str] = field(default_factory=set)
    caution: Caution = field(default_factory=Caution)
    usual: defaultdict[Kind, Usual] = field(default_factory=lambda: defaultdict(Usual))
    gate: Gate = field(init=False)
    polls: Polls = field(init=False)
    arrivals: Arrivals = field(init=False)
    posters: Posters = field(init=False)
    slots: Slots = field(init=False)
    off_peak_slots: Slots = field(init=False)

    def __post_init__(self) -> None:
        self.gate = Gate(self.timing.backoff)
        self.polls = Polls(self.api, self.gate, self.stop, self.timing, self.api.can_list, self.once)
        self.arrivals = Arrivals(self.out)
        self.posters = Posters(self.out)
        self.slots = Slots(self.limits.slots, self.waits)
        self.off_peak_slots = Slots(self.limits.off_peak_slots, self.waits)

    @property
    def store(self) -> Path:
        return self.out / "frames"

    def slots_of(self, off_peak: bool) -> Slots:
        return self.off_peak_slots if off_peak else self.slots

    def once(self, text: str) -> None:
        """Tell something that holds for the whole run, once."""
        if text not in self.said:
            self.said.add(text)
            self.tell("", "note", text)

    def gave_up(self, name: str, why: str) -> None:
        self.tell(name, "left", why)
        self.incomplete.append(f"{name}: {why}")

    def giving_up(self, name: str) -> str:
        """How the user gives a task up that is paid for and does not come."""
        return f"`vidu-run resolve {self.target} --abandon {shlex.quote(name)}` gives it up"

    def taking(self, name: str, task_id: str) -> str:
        """How the user takes a task that is at the API and not in the state."""
        return f"`vidu-run resolve {self.target} --task {task_id} {shlex.quote(name)}` takes it"

    def doubt_counts(self, off_peak: bool) -> float:
        """Seconds after its POST for which a task in doubt may be at the API."""
        return self.limits.off_peak_doubt_counts if off_peak else self.limits.doubt_counts
