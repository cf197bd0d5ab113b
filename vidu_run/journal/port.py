"""What the rest of the program may ask of the journal, and what it promises. No storage here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vidu_run.job import Key
from vidu_run.record import State


class Refused(Exception):
    """The journal does not let this POST begin. Never an OSError, see `StorageTrouble`."""


class Busy(Refused):
    """Every slot is taken by a task, or by one that may exist."""


class AlreadyLive(Refused):
    """This key has a live attempt, or had one in this run: a second one would buy it twice."""


class Fenced(Refused):
    """A later run has taken over this state."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many tasks may be at the API at once; one in doubt counts for `doubt_counts` seconds after its POST."""

    slots: int
    off_peak_slots: int
    doubt_counts: float
    off_peak_doubt_counts: float


@dataclass(frozen=True, slots=True)
class Delivered:
    """A verified file: its path relative to the output folder, sha256, size in bytes."""

    file: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Sheet:
    """A job as the journal keeps it, so that `status`, `report` and `fetch` need neither spec nor frames.

    `position` is the place in the present spec, None where it is not in it. `images` are pairs of what the spec wrote
    and the name in the frame store (None for a link). `draft` is the key of the job it was promoted from.
    """

    name: str
    key: Key
    position: int | None
    axes: dict[str, Any]
    request: dict[str, Any]
    images: tuple[tuple[str, str | None], ...]
    credits: int | None
    draft: Key | None = None

    @property
    def off_peak(self) -> bool:
        return self.request.get("off_peak") is True


@dataclass(frozen=True, slots=True)
class Asked:
    """A job of the present spec, in short. `request`: of its fields those that say how long a clip may take."""

    key: Key
    name: str
    credits: int | None
    request: dict[str, Any]


Standing = tuple[str, State, str, bool]
"""Where a job of the present spec stands: its name, its state, its error, else its video, else its task; and whether
it is the ledger that says so.
"""


@dataclass(frozen=True, slots=True)
class Going:
    """What the run of this epoch told when it began: how many jobs it is to submit, how many at once, when."""

    jobs: int
    slots: int
    off_peak_slots: int
    at: float


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far an attempt has come; times are Unix seconds."""

    key: Key
    state: State
    posted_at: float
    accepted_at: float | None
    finished_at: float | None
    error: str | None
    file: str | None
    resumed: int | None

    @property
    def changed_at(self) -> float:
        """The latest time that is known of it; that of a download is not."""
        return self.finished_at or self.accepted_at or self.posted_at


@dataclass(frozen=True, slots=True)
class Move:
    """A delivered file that belongs under another name now. Paths are relative to the output folder."""

    key: Key
    source: str
    target: str
