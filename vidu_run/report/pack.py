"""The data of the page, packed: what many jobs share stands in it once. The page's script unpacks it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

HIDDEN = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"

PLAIN = ("name", "key", "task_id", "credits", "charged", "duration", "took", "bytes", "sha256", "history")
SHARED = ("state", "prompt", "model", "resolution", "error", "hint")
USUAL = 1
"""For a file that stands where its job's name or its bytes' hash says: most of twenty thousand do."""
WHOLE = ("spec", "provider", "rehearsal", "usd", "aspect", "picks_file", "picks", "promote")
"""Facts of the document that go in as they are."""

FIELDS = [*PLAIN, *SHARED, "seed", "asked", "file", "poster", "first", "last", "request", "axes", "draft"]
KEY = FIELDS.index("key")


class _Table:
    """Distinct values by their numbers, in the order they were first met."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.values: list[Any] = []

    def number(self, value: Any) -> int | None:
        if value is None:
            return None
        known = value if isinstance(value, str) else json.dumps(value)
        if known not in self._numbers:
            self._numbers[known] = len(self.values)
            self.values.append(value)
        return self._numbers[known]


def page_data(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the script reads. `rows` has one list a job, its parts named by `fields`; texts, stills and labels that
    jobs share are numbers into `texts`, `stills` and each axis's `labels`. Seeds are text: numbers beyond 2**53 would
    be rounded.
    """
    texts, stills = _Table(), _Table()
    axes = {axis: _Table() for axis in document["axes"]}
    rows = [_row(job, texts, stills, axes) for job in document["jobs"]]
    return {
        **{name: document[name] for name in WHOLE},
        "failures": document["failures"],
        "axes": [{"name": axis, "labels": table.values} for axis, table in axes.items()],
        "texts": texts.values,
        "stills": stills.values,
        "fields": FIELDS,
        "rows": rows,
        **_films(document, {row[KEY]: number for number, row in enumerate(rows)}),
    }


def _films(document: Mapping[str, Any], rows: Mapping[str, int]) -> dict[str, Any]:
    """Of each film its segments: rows of the takes, the row of the one in the file, the second at which it begins.
    `absent` are rows of takes whose clip is not in the folder. Nothing where the spec has no films.
    """
    films = document.get("films", ())
    if not films:
        return {}
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


def _row(job: Mapping[str, Any], texts: _Table, stills: _Table, axes: Mapping[str, _Table]) -> list[Any]:
    request, seed = job["request"], job["seed"]
    asked = request.get("seed")
    return [
        *(job[name] for name in PLAIN),
        *(texts.number(job[name]) for name in SHARED),
        None if seed is None else str(seed),
        None if asked is None else json.dumps(asked),
        USUAL if job["file"] == f"videos/{job['name']}.mp4" else _link(job["file"]),
        USUAL if job["poster"] == f"posters/{(job['sha256'] or '')[:24]}.webp" else _link(job["poster"]),
        stills.number(_still(job["first"])),
        stills.number(_still(job["last"])),
        texts.number(shown_json(request if asked is None else {**request, "seed": None})),
        [table.number(job["axes"].get(axis)) for axis, table in axes.items()],
        _draft(job["draft"]),
    ]


def _draft(draft: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if draft is None:
        return None
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
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub(f"[<>&{HIDDEN}]", _escaped, text)


def shown_json(value: Any) -> str:
    """Indented JSON for reading; characters that steer text direction stand as escapes."""
    return re.sub(f"[{HIDDEN}]", _escaped, json.dumps(value, ensure_ascii=False, indent=2))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
