"""What a run would do with every job, and what it would cost: pure data, acted on by others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from vidu_run.difference import Before, before, difference
from vidu_run.job import Job, Key
from vidu_run.names import selected
from vidu_run.record import Record, State


class Action(StrEnum):
    SUBMIT = "submit"
    WAIT = "wait"
    FETCH = "fetch"
    SKIP = "skip"
    ASK = "needs your word"


@dataclass(frozen=True, slots=True)
class Step:
    """One job, what is to be done with it, and why. `credits` is what the step adds; None where no price is known."""

    job: Job
    action: Action
    reason: str
    credits: int | None = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked of this run."""

    only: str | None = None
    limit: int | None = None
    retry_failed: bool = False
    rebuy: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What is known before planning: records by key, keys whose delivered file is there and whole, credits spent or
    possibly spent.
    """

    records: Mapping[Key, Record]
    present: frozenset[Key] = frozenset()
    committed: int = 0
    before: Mapping[str, Before] = field(default_factory=dict)
    """By name: jobs that were bought here and are not in the spec any more."""


@dataclass(frozen=True, slots=True)
class Plan:
    steps: tuple[Step, ...]
    committed: int = 0
    """Credits this output folder has already committed."""

    def of(self, *actions: Action) -> list[Step]:
        return [step for step in self.steps if step.action in actions]

    @property
    def to_buy(self) -> list[Step]:
        return self.of(Action.SUBMIT)

    @property
    def credits(self) -> int:
        return sum(step.credits or 0 for step in self.to_buy)

    @property
    def unpriced(self) -> list[Step]:
        return [step for step in self.to_buy if step.credits is None]

    def affordable(self, credits: int) -> int:
        """How many of the submits, in order, stay within `credits`."""
        spent = 0
        for count, step in enumerate(self.to_buy):
            spent += step.credits or 0
            if spent > credits:
                return count
        return len(self.to_buy)


def make_plan(jobs: Sequence[Job], found: Found, wish: Wish) -> Plan:
    """One step a job, in the order of the spec; `wish.limit` bounds the submits, the jobs behind it drop out."""
    steps: list[Step] = []
    submits = 0
    for job in selected(jobs, wish.only):
        record = found.records.get(job.key)
        step = _new(job, found) if record is None else _step(job, record, job.key in found.present, wish)
        if step.action is Action.SUBMIT:
            submits += 1
            if wish.limit is not None and submits > wish.limit:
                continue
        steps.append(step)
    return Plan(tuple(steps), found.committed)


def _new(job: Job, found: Found) -> Step:
    old = found.before.get(job.name)
    changes = difference(old, before(job)) if old else ""
    return Step(job, Action.SUBMIT, f"changed: {changes}" if changes else "new", job.credits)


def _step(job: Job, record: Record, present: bool, wish: Wish) -> Step:
    match record.state:
        case State.INTENT | State.IN_DOUBT:
            return Step(job, Action.ASK, f"in doubt: {record.error or 'the run ended while it was being sent'}")
        case State.SUBMITTED:
            return Step(job, Action.WAIT, "waiting at the API")
        case State.READY:
            return Step(job, Action.FETCH, "finished at the API")
        case State.DONE:
            return _delivered(job, record, present, wish)
        case State.FAILED | State.REJECTED | State.ABANDONED:
            return _ended(job, record, wish)
    return Step(job, Action.SUBMIT, "new", job.credits)


def _delivered(job: Job, record: Record, present: bool, wish: Wish) -> Step:
    if present:
        return Step(job, Action.SKIP, "done")
    if not record.elsewhere:
        return Step(job, Action.FETCH, "its file is missing or changed")
    if wish.rebuy:
        return Step(job, Action.SUBMIT, "done elsewhere, bought again on request", job.credits)
    return Step(job, Action.SKIP, "done elsewhere")


def _ended(job: Job, record: Record, wish: Wish) -> Step:
    why = f"{record.state} before" + (f": {record.error}" if record.error else "")
    if wish.retry_failed and record.state is not State.ABANDONED:
        return Step(job, Action.SUBMIT, why, job.credits)
    return Step(job, Action.SKIP, why)
