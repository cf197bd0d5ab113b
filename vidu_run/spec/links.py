"""The links of a chain: from each frame to the next, with what an entry of the list says of the way between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from vidu_run.spec.axes import BadAxis
from vidu_run.spec.read import Path_
from vidu_run.spec.words import shown, unnameable

FRAME = "frame"
OWN = ("name", "index", "first", "last")

Entry = tuple[str, Mapping[str, Any]]
"""A frame of a chain, and the fields of the clip that leaves it."""


def linked(frames: Iterable[Entry]) -> list[dict[str, Any]]:
    """The values of the axis."""
    return [
        {"name": f"{_stem(first)}-{_stem(last)}", "index": index, "first": first, "last": last, **fields}
        for index, ((first, fields), (last, _)) in enumerate(pairwise(frames), 1)
    ]


def written(entries: Any) -> list[Entry]:
    """The frames of a list, its templates rendered. Raises BadAxis."""
    if not isinstance(entries, list) or len(entries) < 2:
        raise BadAxis(f"a chain is a pattern, or a list of two frames or more, not {shown(entries)}", ("chain",))
    frames = [_entry(entry, ("chain", number)) for number, entry in enumerate(entries)]
    for field in frames[-1][1]:
        message = f"{field} leads nowhere: a frame's fields are those of the clip that leaves it, and this is the last"
        raise BadAxis(message, ("chain", len(frames) - 1, field), of_key=True)
    return frames


def place_of(number: int, way: Path_) -> Path_:
    """The way from the list to what a part of a link's value was read from."""
    if way[:1] in (("first",), ("last",)):
        return (number + (way[0] == "last"), FRAME)
    return (number, *way)


def unfit_field(field: str) -> str | None:
    """What keeps a field of this name from standing beside a frame."""
    if field in OWN:
        return f"{field} is the item's own: {', '.join(OWN[:-1])} and {OWN[-1]} follow from the frames"
    return unnameable(field)


def _entry(entry: Any, way: Path_) -> Entry:
    if isinstance(entry, str):
        return entry, {}
    if not isinstance(entry, dict) or FRAME not in entry:
        raise BadAxis(f"an entry of a chain is a frame, or a mapping with {FRAME}, not {shown(entry)}", way)
    if not isinstance(entry[FRAME], str):
        raise BadAxis(f"{FRAME} must be text, not {shown(entry[FRAME])}", (*way, FRAME))
    for field in entry:
        if why := unfit_field(field):
            raise BadAxis(why, (*way, field), of_key=True)
    return entry[FRAME], {name: value for name, value in entry.items() if name != FRAME and value is not None}


def _stem(frame: str) -> str:
    return PurePosixPath(frame).stem
