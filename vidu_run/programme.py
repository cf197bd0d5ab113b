"""What status and page tell of a state's films: their segments, the take of each, what stands on the disk.

It reads the journal's list of films and the films' sidecars; it makes no film and never looks at the spec.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidu_run.job import Key
from vidu_run.record import Record
from vidu_run.shelf import present
from vidu_run.wording import counted

if TYPE_CHECKING:
    from vidu_run.picks import Picks

FACT = "films"
"""The journal's name for the films of the present spec: JSON, a list of {name, audio, segments: [[key of a take]]}."""

FOLDER = "films"


@dataclass(frozen=True, slots=True)
class Part:
    """A clip in a film that was made: where it begins, in seconds; None where its maker did not say."""

    key: str
    sha256: str
    start: float | None


@dataclass(frozen=True, slots=True)
class Reel:
    """A film that stands on the disk, by its sidecar."""

    file: str
    seconds: float
    frames: int | None
    audio: bool
    parts: tuple[Part, ...]


def chosen(takes: Sequence[Key], picks: Picks) -> tuple[int, str]:
    """Which of them stands for their segment, and why: the most stars; without any, the first that was not rejected."""
    given = [(picks[key].stars if key in picks else None) for key in takes]
    best = max(range(len(takes)), key=lambda at: given[at] or 0)
    if given[best]:
        return best, counted(given[best] or 0, "star")
    first = next((at for at, stars in enumerate(given) if stars != 0), None)
    if first is None:
        return 0, "rejected, as all of them are"
    return first, f"the first of {len(takes)}" if len(takes) > 1 else "the only one"


def programme(
    fact: str | None, names: Mapping[Key, str], records: Mapping[Key, Record], picks: Picks, out: Path
) -> dict[str, Any]:
    """`{"films": [...]}` for `status --json` and the page; nothing where the spec has no films.

    `same_cut`: the file has a take of each of these segments, in this order, with the sound as asked; `current`: and
    those takes are the chosen ones. `waits` names the chosen ones whose clip is not there. Of a segment `made` is its
    take in the file, where that clip still has the same bytes, and `start` where it begins there, in seconds. `names`
    are those of the jobs of the present spec.
    """
    wanted = json.loads(fact or "[]")
    if not wanted:
        return {}
    keys = {key for film in wanted for takes in film["segments"] for key in takes if key in names}
    records = {key: records[key] for key in keys if key in records}
    here = present(out, records.values())
    told = [_told(film, names, records, here, picks, reel(out, film["name"])) for film in wanted]
    return {"films": found} if (found := [film for film in told if film["segments"]]) else {}


def _told(
    film: Mapping[str, Any],
    names: Mapping[Key, str],
    records: Mapping[Key, Record],
    here: frozenset[Key],
    picks: Picks,
    made: Reel | None,
) -> dict[str, Any]:
    segments = [takes for keys in film["segments"] if (takes := [key for key in keys if key in names])]
    same_cut = made is not None and made.audio == film["audio"] and _same_segments(made.parts, segments)
    parts = {part.key: part for part in made.parts} if made else {}
    told = [_segment(takes, names, records, here, picks, parts) for takes in segments]
    return {
        "name": film["name"],
        "file": made.file if made else None,
        "seconds": made.seconds if made else None,
        "frames": made.frames if made else None,
        "current": same_cut and all(segment["made"] == segment["chosen"] for segment in told),
        "same_cut": same_cut,
        "waits": [names[segment["chosen"]] for segment in told if segment["chosen"] not in here],
        "segments": told,
    }


def _same_segments(parts: Sequence[Part], segments: Sequence[Sequence[Key]]) -> bool:
    return len(parts) == len(segments) and all(part.key in takes for part, takes in zip(parts, segments, strict=True))


def _segment(
    takes: Sequence[Key],
    names: Mapping[Key, str],
    records: Mapping[Key, Record],
    here: frozenset[Key],
    picks: Picks,
    parts: Mapping[str, Part],
) -> dict[str, Any]:
    at, why = chosen(takes, picks)
    there = next((key for key in takes if key in parts), None)
    part = parts[there] if there else None
    record = records.get(there) if there else None
    return {
        "takes": [{"name": names[key], "key": key, "here": key in here} for key in takes],
        "chosen": takes[at],
        "why": why,
        "made": there if part and record and record.sha256 == part.sha256 else None,
        "start": part.start if part else None,
    }


def reel(out: Path, name: str) -> Reel | None:
    """A film as it stands in an output folder, if it does."""
    file = f"{FOLDER}/{name}.mp4"
    film = read_sidecar((out / file).with_suffix(".json"))
    if film is None or not (out / file).is_file() or not isinstance(film.get("seconds"), float):
        return None
    takes = [take for take in _list(film.get("takes")) if isinstance(take, dict)]
    starts = [start if isinstance(start, float) else None for start in _list(film.get("starts"))]
    starts += [None] * (len(takes) - len(starts))
    parts = [Part(str(take.get("key")), str(take.get("sha256")), at) for take, at in zip(takes, starts, strict=False)]
    frames = film.get("frames")
    return Reel(
        file, film["seconds"], frames if isinstance(frames, int) else None, film.get("audio") is True, (*parts,)
    )


def reels(out: Path) -> dict[str, Reel]:
    """The films that stand in an output folder, by name."""
    names = sorted(sidecar.stem for sidecar in (out / FOLDER).glob("*.json"))
    return {name: found for name in names if (found := reel(out, name))}


def read_sidecar(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
