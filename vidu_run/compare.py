"""Two versions of a spec side by side: what the change would buy. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vidu_run.difference import before, difference
from vidu_run.job import Job


@dataclass(frozen=True, slots=True)
class Change:
    """A job that one of two versions of a spec has: `what` is new, changed or gone, `why` says what changed."""

    what: str
    job: Job
    why: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions of a spec, compared by key: what a state that has all of the old one would be asked to buy.

    `gone` and `same` count jobs; one whose name another has taken is gone, and the other among the `to_buy`.
    """

    changes: tuple[Change, ...]
    gone: int
    same: int

    @property
    def to_buy(self) -> list[Change]:
        return [change for change in self.changes if change.what != "gone"]

    def count(self, what: str) -> int:
        return sum(change.what == what for change in self.changes)

    @property
    def credits(self) -> int:
        return sum(change.job.credits or 0 for change in self.to_buy)

    @property
    def unpriced(self) -> int:
        return sum(change.job.credits is None for change in self.to_buy)


def compare(new: Sequence[Job], old: Sequence[Job]) -> Comparison:
    """A job is new or gone by its key; one that took the place of another of its name is changed."""
    had, have = {job.key for job in old}, {job.key for job in new}
    lost = {job.name: job for job in old if job.key not in have}
    changes = [_change(job, lost.get(job.name)) for job in new if job.key not in had]
    taken = {change.job.name for change in changes}
    changes += [Change("gone", job) for name, job in lost.items() if name not in taken]
    return Comparison(tuple(changes), len(lost), len(have & had))


def _change(job: Job, old: Job | None) -> Change:
    if old is None:
        return Change("new", job)
    return Change("changed", job, difference(before(old), before(job)) or "the clip that it continues")
