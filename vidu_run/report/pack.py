"""The data of the page, packed: what many jobs share stands in it once, and what few people look at is a line of text
that the page's script reads when somebody does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

HIDDEN = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"

PLAIN = ("name", "task_id", "credits", "charged", "duration", "took", "bytes", "sha256", "history")
SHARED = ("prompt", "model", "resolution", "error", "hint")
USUAL = 1
"""For a file that stands where its job's name or its bytes' hash says: most of twenty thousand do."""
WHOLE = ("spec", "provider", "rehearsal", "usd", "aspect", "picks_file", "picks", "promote")
"""Facts of the document that go in as they are."""

UNSAFE = re.compile(f"[<>&{HIDDEN}]")

compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

FIELDS = [*PLAIN, *SHARED, "seed", "asked", "file", "poster", "first", "last", "request"]


@dataclass(frozen=True, slots=True)
class Packed:
    """`head` is read as the page opens; `rows` are the encoded lines of the jobs, in the order of the spec."""

    head: dict[str, Any]
    rows: list[bytes]


class _Table:
    """Distinct values by their numbers, in the order they were first met."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.values: list[Any] = []

    def number(self, value: Any, shown: Callable[[Any], Any] | None = None) -> int | None:
        """Of None there is none. What is `shown` of a value is made once."""
        if value is None:
            return None
        known = value if isinstance(value, str) else compact(value)
        if known not in self._numbers:
            self._numbers[known] = len(self.values)
            self.values.append(shown(value) if shown else value)
        return self._numbers[known]


def page_data(document: Mapping[str, Any]) -> Packed:
    """What the script reads. Each row is one list, its parts named by `fields`; texts, stills and labels that jobs
    share are numbers into `texts`, `stills` and each axis's `labels`. What all jobs are asked for as the page begins
    is in the head: `keys`, `states`, the `places` of each axis. Seeds are text: numbers beyond 2**53 would be rounded.
    """
    texts, stills, models = _Table(), _Table(), _Table()
    axes = {axis: _Table() for axis in document["axes"]}
    places: dict[str, list[int | None]] = {axis: [] for axis in axes}
    keys, states, drafts, rows = list[str](), list[int | None](), dict[int, Any](), list[bytes]()
    for number, job in enumerate(document["jobs"]):
        keys.append(job["key"])
        states.append(texts.number(job["state"]))
        models.number(job["model"])
        for axis, table in axes.items():
            places[axis].append(table.number(job["axes"].get(axis)))
        if job["draft"] is not None:
            drafts[number] = _draft(job["draft"])
        rows.append(script_json(_row(job, texts, stills)).encode("utf-8", "replace"))
    head = {
        **{name: document[name] for name in WHOLE},
        "failures": document["failures"],
        "axes": [{"name": axis, "labels": table.values, "places": places[axis]} for axis, table in axes.items()],
        "keys": " ".join(keys),
        "states": states,
        "models": models.values,
        "drafts": drafts,
        "texts": texts.values,
        "stills": stills.values,
        "fields": FIELDS,
        **_films(document, keys),
    }
    return Packed(head, rows)


def _films(document: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Of each film its segments: rows of the takes, the row of the one in the file, the second at which it begins.
    `absent` are rows of takes whose clip is not in the folder. Nothing where the spec has no films.
    """
    films = document.get("films", ())
    if not films:
        return {}
    rows = {key: number for number, key in enumerate(keys)}
    takes = [take for film in films for segment in film["segments"] for take in segment["takes"]]
    told = [
        {
            **{name: film[name] for name in ("name", "seconds", "frames", "same_cut")},
            "file": _link(film["file"]),
            "segments": [
                [[rows[take["key"]] for take in segment["takes"]], rows.get(segment["made"]), segment["start"]]
                for segment in film["segments"]
            ],
        }
        for film in films
    ]
    absent = sorted({rows[take["key"]] for take in takes if not take["here"]})
    return {"films": told, "film": document["film"], "absent": absent}


def _row(job: Mapping[str, Any], texts: _Table, stills: _Table) -> list[Any]:
    request, seed = job["request"], job["seed"]
    asked = request.get("seed")
    return [
        *(job[name] for name in PLAIN),
        *(texts.number(job[name]) for name in SHARED),
        None if seed is None else str(seed),
        None if asked is None else compact(asked),
        USUAL if job["file"] == f"videos/{job['name']}.mp4" else _link(job["file"]),
        USUAL if job["poster"] == f"posters/{(job['sha256'] or '')[:24]}.webp" else _link(job["poster"]),
        stills.number(_still(job["first"])),
        stills.number(_still(job["last"])),
        texts.number(request if asked is None else {**request, "seed": None}, shown_json),
    ]


def _draft(draft: Mapping[str, Any]) -> dict[str, Any]:
    seed = draft["seed"]
    return {
        **draft,
        "file": _link(draft["file"]),
        "poster": _link(draft["poster"]),
        "seed": None if seed is None else str(seed),
    }


def _link(path: str | None) -> str | None:
    return path and href(path)


def _still(still: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A frame on the web is a link, and never a picture: the page loads nothing from there."""
    if still is None:
        return None
    local = _link(still["file"])
    remote = still["name"] if still["name"].lower().startswith("https://") else None
    return {"name": still["name"], "href": local or remote, "image": _link(still["picture"]) or local}


def href(path: str) -> str:
    """A relative path as a link; it starts with ./ so that no name is taken for a scheme or a host."""
    return "./" + quote(path.encode("utf-8", "surrogateescape"))


def script_json(value: Any) -> str:
    """JSON that can stand inside a script element: nothing in it can end the element or turn the source around."""
    return UNSAFE.sub(_escaped, compact(value))


def shown_json(value: Any) -> str:
    """Indented JSON for reading; characters that steer text direction stand as escapes."""
    return re.sub(f"[{HIDDEN}]", _escaped, json.dumps(value, ensure_ascii=False, indent=2))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
