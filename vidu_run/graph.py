"""Which jobs continue the clips of others: in what order they can be made, and which key each has by now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter

from vidu_run.job import Continued, Image, Job, Key
from vidu_run.key import key_of
from vidu_run.names import meant
from vidu_run.record import Record, State

MADE = frozenset({State.SUBMITTED, State.READY, State.DONE})
"""States in which a task makes the clip, or made it."""


class Circle(ValueError):
    """Jobs that wait for one another; the names of those in the circle, joined by arrows."""


class Leaning:
    """Which jobs of a spec a continued frame may be of; each pattern is looked up once."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._known = frozenset(self._names)
        self._patterns: dict[str, list[str]] = {}

    def of(self, image: Continued) -> list[str]:
        """Their names in the order of the spec: of a pick all that it may be; none where no job is called so."""
        if image.of in self._known:
            return [image.of]
        if image.picked and image.of not in self._patterns:
            chosen = meant(image.of, self._known)
            self._patterns[image.of] = [name for name in self._names if name in chosen]
        return self._patterns.get(image.of, [])

    def under(self, job: Job) -> list[str]:
        return [name for image in job.continued for name in self.of(image)]


def in_order(jobs: Sequence[Job], leaning: Leaning) -> list[Job]:
    """Those first whose clips others continue. Raises Circle."""
    named = {job.name: job for job in jobs}
    sorter = TopologicalSorter({job.name: leaning.under(job) for job in jobs})
    try:
        return [named[name] for name in sorter.static_order()]
    except CycleError as error:
        raise Circle(" → ".join(reversed(error.args[1]))) from None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The stars that were given, 0 for a rejection. `unasked`: where none were, the first that was not rejected is
    taken, as in a rehearsal, which is to show the whole of it.
    """

    stars: Mapping[Key, int] = field(default_factory=dict)
    unasked: bool = False

    def of(self, clips: Sequence[Job]) -> Job | None:
        """The one with the most stars, the first of them; None where nobody has chosen."""
        best = max(clips, key=lambda clip: self.stars.get(clip.key, 0), default=None)
        if best is not None and self.stars.get(best.key, 0) > 0:
            return best
        return next((clip for clip in clips if self.stars.get(clip.key) != 0), None) if self.unasked else None


def settled(
    provider: str, jobs: Sequence[Job], records: Mapping[Key, Record], chosen: Chosen | None = None
) -> tuple[Job, ...]:
    """The same jobs in the same order; those that continue others with what is known of these by now, and the key that
    follows from it. Raises Circle.
    """
    if not any(job.continued for job in jobs):
        return tuple(jobs)
    leaning = Leaning(job.name for job in jobs)
    now: dict[str, Job] = {}
    for job in in_order(jobs, leaning):
        now[job.name] = _settled(provider, job, leaning, now, records, chosen or Chosen()) if job.continued else job
    return tuple(now[job.name] for job in jobs)


def _settled(
    provider: str,
    job: Job,
    leaning: Leaning,
    now: Mapping[str, Job],
    records: Mapping[Key, Record],
    chosen: Chosen,
) -> Job:
    def known(image: Image) -> Image:
        if not isinstance(image, Continued):
            return image
        clips = [now[name] for name in leaning.of(image)]
        return with_clip(image, chosen.of(clips) if image.picked else next(iter(clips), None), records)

    return with_images(provider, job, tuple(known(image) for image in job.images))


def with_clip(image: Continued, clip: Job | None, records: Mapping[Key, Record]) -> Continued:
    """The frame as that of this job's clip, with the task that makes it, if there is one."""
    if clip is None:
        return replace(image, job=None, key=None, task=None)
    record = records.get(clip.key)
    task = record.task_id if record is not None and record.state in MADE else None
    return replace(image, job=clip.name, key=clip.key, task=task)


def with_images(provider: str, job: Job, images: tuple[Image, ...]) -> Job:
    return replace(job, images=images, key=key_of(provider, job.request, images))
