"""The films of a spec: which take stands for each segment, and the joined file. It submits nothing and changes no clip.

A film is made when all of its clips are there, and made again when one of its takes is another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from vidu_run import __version__
from vidu_run.errors import UsageTrouble
from vidu_run.files import write_durably
from vidu_run.graph import Leaning, in_order
from vidu_run.job import Continued, Frame, Image, Job, Key
from vidu_run.key import NOT_PIXELS
from vidu_run.names import meant
from vidu_run.picks import Picks
from vidu_run.programme import FOLDER, chosen, read_sidecar, reels
from vidu_run.record import ELSEWHERE, ENDED, Record, State, seed_of
from vidu_run.spec.load import Film
from vidu_run.wording import counted

NO_SHOT = frozenset({"seed", "images"}) | NOT_PIXELS
"""Fields of a request that do not make it another shot; its images are compared by their bytes."""


@dataclass(frozen=True, slots=True)
class Take:
    """A job that stands for a segment, and why: its stars, or that it is the first of so many."""

    job: Job
    record: Record
    why: str


@dataclass(frozen=True, slots=True)
class Edit:
    """What a film is to be made of. `missing` are jobs whose clip is not there; `ended` those of them that will have
    none by themselves, with what became of them.
    """

    film: Film
    takes: tuple[Take, ...]
    missing: tuple[str, ...]
    ended: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Made:
    """A film that stands on the disk. `anew` is False where it was there already, of the same takes."""

    file: Path
    sidecar: Mapping[str, Any]
    anew: bool


def edits(
    films: Iterable[Film], jobs: Sequence[Job], records: Mapping[Key, Record], picks: Picks, here: frozenset[Key]
) -> list[Edit]:
    """`jobs` in the order of the spec; `here` are keys whose video is there."""
    shots = shots_of(jobs)
    return [_edit(film, segments(film, jobs, shots), records, picks, here) for film in films]


def _edit(
    film: Film, segments: Sequence[Sequence[Job]], records: Mapping[Key, Record], picks: Picks, here: frozenset[Key]
) -> Edit:
    takes, missing, ended = [], [], {}
    for segment in segments:
        at, why = chosen([take.key for take in segment], picks)
        record = records.get(segment[at].key)
        if record is None or record.state is not State.DONE or segment[at].key not in here:
            missing.append(segment[at].name)
            if record is not None and (record.state in ENDED or record.elsewhere):
                ended[segment[at].name] = ELSEWHERE if record.elsewhere else record.state
        else:
            takes.append(Take(segment[at], record, why))
    return Edit(film, tuple(takes), tuple(missing), ended)


def segments(film: Film, jobs: Sequence[Job], shots: Mapping[str, str]) -> list[list[Job]]:
    """The takes of each segment: jobs that differ in their seed alone, in the order in which the film names them."""
    names = [job.name for job in jobs]
    found: dict[str, dict[Key, Job]] = {}
    for pattern in film.jobs:
        wanted = meant(pattern, names)
        for job in (job for job in jobs if job.name in wanted):
            found.setdefault(shots[job.name], {}).setdefault(job.key, job)
    return [list(takes.values()) for takes in found.values()]


def fact(films: Sequence[Film], jobs: Sequence[Job]) -> str:
    """What the journal remembers of a spec's films: `programme.FACT`."""
    shots = shots_of(jobs) if films else {}
    told = [
        {
            "name": film.name,
            "audio": film.audio,
            "segments": [[take.key for take in takes] for takes in segments(film, jobs, shots)],
        }
        for film in films
    ]
    return json.dumps(told, ensure_ascii=False)


def make(edit: Edit, out: Path, spec: str, provider: str) -> Made:
    """Join the clips, unless the film of these very takes is there. Raises UsageTrouble, naming the clip, where they
    cannot be joined, and StorageTrouble; then a film that was there is as it was.
    """
    target = out / FOLDER / f"{edit.film.name}.mp4"
    sidecar = target.with_suffix(".json")
    takes = [_told(take) for take in edit.takes]
    known = read_sidecar(sidecar)
    asked = {"takes": takes, "audio": edit.film.audio}
    if known is not None and target.is_file() and _cut(known) == _cut(asked):
        if known.get("takes") != takes:
            known = {**known, **asked}
            _write(sidecar, known)
        return Made(target, known, anew=False)
    try:
        from vidu_run.film.join import Segment, join
    except ImportError as error:
        raise UsageTrouble(f"films need {error.name or 'more libraries'}: pip install 'vidu-run[local]'") from None
    clips = [Segment(out / (take.record.file or ""), take.job.name) for take in edit.takes]
    joined = join(clips, target, _tags(edit, spec, provider), edit.film.audio, sidecar)
    document = {
        "name": edit.film.name,
        "spec": spec,
        "provider": provider,
        "version": __version__,
        "frames": joined.frames,
        "seconds": float(joined.seconds),
        "way": joined.way,
        "why": joined.why,
        "hidden": joined.hidden,
        "starts": [float(start) for start in joined.starts],
        "sound": joined.audio,
        "sound_why": joined.audio_why,
        **asked,
    }
    _write(sidecar, document)
    return Made(target, document, anew=True)


def _cut(film: Mapping[str, Any]) -> tuple[Any, Any]:
    """What makes a film the one it is: its takes, whyever they were chosen, and whether they sound."""
    takes = film.get("takes")
    if isinstance(takes, list):
        takes = [{**take, "chosen": None} if isinstance(take, dict) else take for take in takes]
    return takes, film.get("audio")


def _write(sidecar: Path, film: Mapping[str, Any]) -> None:
    write_durably(sidecar, (json.dumps(film, ensure_ascii=False, indent=2) + "\n").encode())


def _told(take: Take) -> dict[str, Any]:
    record, request = take.record, take.job.request
    return {
        "name": take.job.name,
        "key": take.job.key,
        "model": request.get("model"),
        "seed": seed_of(record, request),
        "file": record.file,
        "sha256": record.sha256,
        "chosen": take.why,
    }


def _tags(edit: Edit, spec: str, provider: str) -> dict[str, str]:
    """Where the film comes from, to be read by any player."""
    lines = [f"{one['name']}: {one['model']}, seed {one['seed']}, {one['key']}" for one in map(_told, edit.takes)]
    comment = "\n".join([f"{spec}, {provider}, vidu-run {__version__}", *lines])
    return {"title": edit.film.name, "comment": comment}


def shots_of(jobs: Sequence[Job]) -> dict[str, str]:
    """By the name of a job what it shares with its other takes; what continues takes of one shot is one shot too."""
    shots: dict[str, str] = {}
    for job in in_order(jobs, Leaning(job.name for job in jobs)):
        request = {name: value for name, value in job.request.items() if name not in NO_SHOT}
        told = json.dumps([request, [_shown_by(image, shots) for image in job.images]], sort_keys=True)
        shots[job.name] = sha256(told.encode()).hexdigest()
    return shots


def _shown_by(image: Image, shots: Mapping[str, str]) -> str:
    if isinstance(image, Continued):
        return f"{image.position} of {image.of if image.picked else shots[image.of]}"
    return image.sha256 if isinstance(image, Frame) else image.source


def told(out: Path, besides: Iterable[str] = ()) -> list[str]:
    """The films that stand in an output folder, a line each; without those of these names."""
    lines = []
    for name, film in reels(out).items():
        if name not in besides:
            lines.append(f"Film {name}: {film.file}, {film.seconds:.1f} s of {counted(len(film.parts), 'clip')}")
    return lines
