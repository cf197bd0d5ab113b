"""What the journal knows of a job: the states of an attempt, and the arrows between them as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vidu_run.job import Key


class State(StrEnum):
    """`intent` and `not_sent` belong to attempts alone; the user sees them as submitted (or in_doubt) and planned."""

    PLANNED = "planned"
    INTENT = "intent"
    NOT_SENT = "not_sent"
    IN_DOUBT = "in_doubt"
    SUBMITTED = "submitted"
    READY = "ready"
    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"
    ABANDONED = "abandoned"


ARROWS: dict[State, frozenset[State]] = {
    State.INTENT: frozenset({State.SUBMITTED, State.NOT_SENT, State.REJECTED, State.IN_DOUBT}),
    State.IN_DOUBT: frozenset({State.SUBMITTED, State.NOT_SENT, State.REJECTED, State.ABANDONED}),
    State.SUBMITTED: frozenset({State.READY, State.FAILED, State.ABANDONED}),
    State.READY: frozenset({State.DONE, State.FAILED, State.ABANDONED}),
    State.DONE: frozenset({State.READY}),
    State.NOT_SENT: frozenset({State.SUBMITTED}),
    State.FAILED: frozenset(),
    State.REJECTED: frozenset(),
    State.ABANDONED: frozenset({State.SUBMITTED, State.NOT_SENT}),
}
"""From each state of an attempt, where it may go. A new attempt is the only way out of a state without arrows.

`not_sent` can prove wrong: the user's word that a POST was not taken, and then its task is found after all. So can
`abandoned`, which the user takes back.
"""

LIVE = frozenset({State.INTENT, State.IN_DOUBT, State.SUBMITTED, State.READY, State.DONE})
"""While an attempt of a key is in one of these, no second one may begin."""

ENDED = frozenset({State.FAILED, State.REJECTED, State.ABANDONED})
"""Without a video, for good."""


def ledger_counts(latest: str | None) -> bool:
    """Whether a job that the ledger lists is what the ledger says: `latest` is the state of its latest attempt here
    that was sent, None where there is none.
    """
    return latest is None or latest in ENDED


BILLED = frozenset({State.INTENT, State.IN_DOUBT, State.SUBMITTED, State.READY, State.DONE, State.FAILED})
"""Counted against a budget: failed too, until the provider says it charged 0."""

ELSEWHERE = "delivered elsewhere, and not here"
"""What is said of a clip that stands in another copy of the folder."""

TAKEN_BACK = "cancelled by you"
"""Why a task failed that the user cancelled, as its record says."""


@dataclass(frozen=True, slots=True)
class Record:
    """The latest attempt of a key that counts, as the journal holds it.

    Times are Unix seconds. `file` is relative to the output folder; `elsewhere` marks a job that the ledger says was
    delivered into another copy of this folder. `charged` is in credits, as the API said; `estimated` as we reckoned.
    `resumed`: the task had ended before a run looked again, and `finished_at` is that look.
    """

    key: Key
    attempt: int
    state: State
    marker: str
    posted_at: float
    off_peak: bool = False
    task_id: str | None = None
    accepted_at: float | None = None
    finished_at: float | None = None
    url: str | None = None
    seed: int | None = None
    estimated: int | None = None
    charged: int | None = None
    error: str | None = None
    file: str | None = None
    sha256: str | None = None
    size: int | None = None
    resumed: int | None = None
    elsewhere: bool = False


def seed_of(record: Record | None, request: Mapping[str, Any]) -> int | None:
    """The seed a clip was made with: the one the API told, else the one that was asked for. 0 asks for a random one,
    which nobody knows.
    """
    return (record.seed if record else None) or request.get("seed") or None


def ledger_record(line: Mapping[str, Any]) -> Record:
    """What a line of `results.jsonl` says: delivered, by an earlier state or into another copy of the folder."""
    return Record(
        key=Key(line["key"]),
        attempt=0,
        state=State.DONE,
        marker="",
        posted_at=0.0,
        task_id=line.get("task_id"),
        seed=line.get("seed"),
        estimated=line.get("credits"),
        file=line.get("file"),
        sha256=line.get("sha256"),
        size=line.get("bytes"),
        elsewhere=True,
    )
