"""Two versions of a spec side by side: what the change would buy. Pure."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from vidu_run.difference import before, difference
from vidu_run.graph import Leaning, in_order
from vidu_run.job import Job, Key


@dataclass(frozen=True, slots=True)
class Change:
    """A job that one of two versions of a spec has: `what` is new, changed or gone, `why` says what changed; `bought`:
    its video is paid for already.
    """

    what: str
    job: Job
    why: str = ""
    bought: bool = False

    @property
    def credits(self) -> int | None:
        """What it would take; None where no price is known."""
        return 0 if self.bought or self.what == "gone" else self.job.credits


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions of a spec, compared by key: what a state that has all of the old one would be asked to buy.

    `gone` and `same` count jobs; one whose name another has taken is gone, and the other among the `coming`.
    """

    changes: tuple[Change, ...]
    gone: int
    same: int

    @property
    def coming(self) -> list[Change]:
        return [change for change in self.changes if change.what != "gone"]

    @property
    def to_buy(self) -> list[Change]:
        return [change for change in self.coming if not change.bought]

    def count(self, what: str) -> int:
        return sum(change.what == what for change in self.changes)

    @property
    def credits(self) -> int:
        return sum(change.credits or 0 for change in self.to_buy)

    @property
    def unpriced(self) -> int:
        return sum(change.credits is None for change in self.to_buy)


def compare(new: Sequence[Job], old: Sequence[Job], bought: Container[str]) -> Comparison:
    """A job is new or gone by its key; one that took the place of another of its name is changed. `bought` names jobs
    of the new version that are paid for.
    """
    have, other = {job.key for job in new}, _others(new, {job.key for job in old})
    lost = {job.name: job for job in old if job.key not in have}
    like = {job.key: job for job in old}
    coming = [job for job in new if job.name in other]
    changes = [_change(job, lost.get(job.name) or like.get(job.key), job.name in bought) for job in coming]
    changes += [Change("gone", job) for name, job in lost.items() if name not in other]
    return Comparison(tuple(changes), len(lost), len(new) - len(other))


def _others(new: Sequence[Job], had: Container[Key]) -> set[str]:
    """The names of the jobs that are others now, and of those that continue a pick of which each take is another."""
    names = {job.name for job in new if job.key not in had}
    leaning = Leaning(job.name for job in new)
    for job in in_order(new, leaning) if names and any(job.continued for job in new) else ():
        clips = [leaning.of(image) for image in job.continued]
        if any(takes and names.issuperset(takes) for takes in clips):
            names.add(job.name)
    return names


def _change(job: Job, old: Job | None, bought: bool) -> Change:
    if old is None:
        return Change("new", job, bought=bought)
    return Change("changed", job, difference(before(old), before(job)) or "the clip that it continues", bought)
