"""What a run would do with every job, and what it would cost: pure data, acted on by others.

Jobs that continue the clips of others are held against these: what can be made in this run comes after them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from vidu_run.difference import Before, before, difference
from vidu_run.graph import Leaning, in_order
from vidu_run.job import Continued, Job, Key
from vidu_run.names import selected
from vidu_run.record import Record, State


class Action(StrEnum):
    """`after`: bought in this run, when the clip it continues is there; `held`: that clip will not be there; `pick`:
    nobody has said which clip that is.
    """

    SUBMIT = "submit"
    AFTER = "after"
    WAIT = "wait"
    FETCH = "fetch"
    SKIP = "skip"
    HELD = "held"
    PICK = "pick"
    ASK = "needs your word"


@dataclass(frozen=True, slots=True)
class Aim:
    """What is still needed of a step at the end of a run, so that its job can leave the memory; `picks`: what nobody
    chose.
    """

    name: str
    key: Key
    action: Action
    lost: bool
    picks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One job, what is to be done with it, and why. `credits` is what the step adds; None where no price is known.
    `after` names the job whose clip it waits for; `lost`: that clip will never be, as things are.
    """

    job: Job
    action: Action
    reason: str
    credits: int | None = 0
    after: str | None = None
    lost: bool = False

    @property
    def word(self) -> str:
        """What the user reads."""
        if self.action is Action.PICK:
            return Action.ASK.value
        return f"after {self.after}" if self.after is not None else self.action.value

    @property
    def aim(self) -> Aim:
        picks = tuple(image.of for image in self.job.continued if image.job is None)
        return Aim(self.job.name, self.job.key, self.action, self.lost, picks)


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
    outside: int = 0
    """Paid tasks of jobs that have left the spec, whose clips are not here."""

    @property
    def aims(self) -> list[Aim]:
        return [step.aim for step in self.steps]

    def of(self, *actions: Action) -> list[Step]:
        return [step for step in self.steps if step.action in actions]

    @property
    def to_buy(self) -> list[Step]:
        return self.of(Action.SUBMIT, Action.AFTER)

    @property
    def credits(self) -> int:
        return sum(step.credits or 0 for step in self.to_buy)

    @property
    def held_credits(self) -> int:
        """What the jobs would cost that wait for more than this run can do."""
        return sum(step.job.credits or 0 for step in self.of(Action.HELD, Action.PICK))

    @property
    def unpriced(self) -> list[Step]:
        return [step for step in self.to_buy if step.credits is None]

    def now(self, later: Plan) -> Plan:
        """The same jobs, each with the step that a later plan of the whole spec says."""
        steps = {step.job.name: step for step in later.steps}
        return Plan(tuple(steps[step.job.name] for step in self.steps), later.committed, later.outside)

    @property
    def in_turn(self) -> list[Step]:
        """What is to be bought in the order in which a limit counts it."""
        return _to_buy(self.steps)

    def affordable(self, credits: int) -> int:
        """The highest limit that stays within `credits`."""
        spent = 0
        for count, step in enumerate(self.in_turn):
            spent += step.credits or 0
            if spent > credits:
                return count
        return len(self.to_buy)


def make_plan(jobs: Sequence[Job], found: Found, wish: Wish) -> Plan:
    """One step a job, in the order of the spec; `wish.limit` bounds the submits, the jobs behind it drop out."""
    steps: list[Step] = []
    for job in selected(jobs, wish.only):
        record = found.records.get(job.key)
        steps.append(_new(job, found) if record is None else _step(job, record, job.key in found.present, wish))
    if any(step.action is Action.SUBMIT and step.job.continued for step in steps):
        steps = _after(steps, in_order(jobs, Leaning(job.name for job in jobs)), found)
    if wish.limit is not None:
        dropped = {step.job.name for step in _to_buy(steps)[wish.limit :]}
        steps = [step for step in steps if step.job.name not in dropped]
    spec = {job.key for job in jobs}
    outside = sum(one.state in (State.SUBMITTED, State.READY) for one in found.records.values() if one.key not in spec)
    return Plan(tuple(steps), found.committed, outside)


def _to_buy(steps: Sequence[Step]) -> list[Step]:
    """What can go now, in the order of the spec; then what waits for it, each behind what it continues."""
    waiting = {step.job.name: step for step in steps if step.action is Action.AFTER}
    jobs = in_order([step.job for step in waiting.values()], Leaning(waiting))
    return [*(step for step in steps if step.action is Action.SUBMIT), *(waiting[job.name] for job in jobs)]


def _after(steps: Sequence[Step], jobs: Sequence[Job], found: Found) -> list[Step]:
    """Of the jobs to be bought, those that continue a clip wait for it; `jobs` are in the order of the graph."""
    made = {step.job.name: step for step in steps}
    now: dict[str, Step] = {}
    for job in jobs:
        if job.name not in made:
            continue
        step = made[job.name]
        for image in job.continued if step.action is Action.SUBMIT else ():
            waits = _waits(made[job.name], image, now, found)
            if waits is not None and step.action in (Action.SUBMIT, Action.AFTER):
                step = waits
        now[job.name] = step
    return [now[step.job.name] for step in steps]


def _waits(step: Step, image: Continued, now: Mapping[str, Step], found: Found) -> Step | None:
    """What the step becomes for this frame's sake; None where its clip is here."""
    if image.job is None or image.key is None:
        return Step(step.job, Action.PICK, f"waits for your pick of {image.of}")
    record, upstream = found.records.get(image.key), now.get(image.job)
    if record is not None and record.state is State.DONE and image.key in found.present:
        return None
    if upstream is None:
        return _held(step.job, image, f"{image.job} is not part of this run")
    match upstream.action:
        case Action.SUBMIT | Action.AFTER | Action.WAIT | Action.FETCH:
            return Step(step.job, Action.AFTER, f"continues the {image.source}", step.credits, image.job)
        case Action.SKIP if record is not None and record.state is State.DONE:
            return _held(step.job, image, f"the video of {image.job} is not here: {upstream.reason}")
        case Action.SKIP:
            return _held(step.job, image, f"{image.job}: {upstream.reason}", lost=True)
        case Action.PICK:
            return _held(step.job, image, f"{image.job} {upstream.reason}")
        case Action.ASK:
            return _held(step.job, image, f"{image.job} needs your word")
    return _held(step.job, image, upstream.reason, lost=upstream.lost)


def _held(job: Job, image: Continued, why: str, lost: bool = False) -> Step:
    return Step(job, Action.HELD, why, 0, image.job, lost)


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
