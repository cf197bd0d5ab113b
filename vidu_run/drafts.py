"""The clips that promoted jobs came from, found in the output folders beside this one. It looks, and changes nothing;
a folder that cannot be read has none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidu_run.errors import Problem, StorageTrouble, UsageTrouble
from vidu_run.job import Frame, Job, Key
from vidu_run.journal import file as state_file
from vidu_run.journal.port import Sheet
from vidu_run.providers.catalogue import LOCAL, choose_provider
from vidu_run.providers.pricing import effective
from vidu_run.providers.rules import Effective
from vidu_run.record import State, seed_of
from vidu_run.view import read

SEEDS = "the same seed with another model, resolution or length does not give the same video: each is a new take"


@dataclass(frozen=True, slots=True)
class Draft:
    """A delivered clip of another output folder. `file` is relative to the folder that asks; `sha256` of its bytes."""

    sheet: Sheet
    made: Effective
    file: str
    sha256: str
    seed: int | None

    def told(self, poster: str | None) -> dict[str, Any]:
        """What the page says of it."""
        return {
            "name": self.sheet.name,
            "model": self.made.model,
            "resolution": self.made.resolution,
            "duration": self.made.seconds,
            "seed": self.seed,
            "credits": self.sheet.credits,
            "prompt": self.sheet.request.get("prompt"),
            "file": self.file,
            "poster": poster,
        }


def drafts(out: Path, promoted: Sequence[Sheet | Job]) -> dict[Key, Draft]:
    """By the key of the job that was promoted, for those whose draft's video is still there."""
    wanted = {job.draft for job in promoted if job.draft is not None}
    found: dict[Key, Draft] = {}
    for folder in sorted(out.resolve().parent.glob("*")) if wanted else ():
        if folder != out.resolve() and (folder / state_file.NAME).is_file():
            found |= dict(_of(folder, wanted - found.keys(), os.path.relpath(folder, out.resolve())))
    return {job.key: found[job.draft] for job in promoted if job.draft in found}


def changed_frames(out: Path, jobs: Sequence[Job]) -> Iterator[Problem]:
    """Frames of promoted jobs that have other bytes under their name than when the draft was made; not an image that
    the job itself names anew.
    """
    found = drafts(out, jobs)
    for job in (job for job in jobs if job.key in found):
        for image, (source, stored) in zip(job.images, found[job.key].sheet.images, strict=False):
            if isinstance(image, Frame) and image.source == source and image.store_name != stored:
                yield Problem(job.place, f"{source} is not the picture of the draft any more", job.name, warning=True)


def _of(folder: Path, wanted: set[Key], way: str) -> Iterator[tuple[Key, Draft]]:
    try:
        with read(folder) as journal:
            rules = choose_provider(journal.meta("rules") or LOCAL, journal.meta("provider") or LOCAL)
            records = {record.key: record for record in journal.records(wanted)}
            sheets = journal.sheets_of(records)
    except (StorageTrouble, UsageTrouble):
        return
    for sheet in sheets:
        record = records[sheet.key]
        if record.state is State.DONE and record.file and record.sha256 and (folder / record.file).is_file():
            made = effective(rules, sheet.request)
            seed = seed_of(record, sheet.request)
            yield sheet.key, Draft(sheet, made, f"{way}/{record.file}", record.sha256, seed)
