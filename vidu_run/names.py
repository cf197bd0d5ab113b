"""What a word of the user's means among the names of jobs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from vidu_run.job import Job


def meant(pattern: str, names: Iterable[str]) -> set[str]:
    """The names a word of the user's means: the one it spells, else those it matches as a glob."""
    known = set(names)
    return {pattern} if pattern in known else {name for name in known if fnmatchcase(name, pattern)}


def selected(jobs: Sequence[Job], only: str | None) -> list[Job]:
    chosen = meant(only, (job.name for job in jobs)) if only is not None else None
    return [job for job in jobs if chosen is None or job.name in chosen]
