"""Axes that stand in files: frames paired or chained by their names, rows of a CSV file. It opens no frame.

Everything it looks at stands in the spec's folder; `*` stands for any part of one file's or folder's name.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vidu_run.errors import Place
from vidu_run.frames import BadFrame, inside, small_text
from vidu_run.spec.axes import Axis, BadAxis
from vidu_run.spec.links import linked, place_of, written
from vidu_run.spec.read import Document, Path_, json_scalar
from vidu_run.spec.words import shown

MOST_CSV = 16 << 20
MOST_ROWS = 100_000
MOST_FILES = 100_000
MOST_LISTED = 10
"""Bytes and rows of a CSV file, files a pattern may match, names a message lists."""

Matched = dict[tuple[str, ...], str]
"""What the stars of a pattern stood for -> the path, relative to the spec's folder."""


class FileAxes:
    """Reads the `pairs`, `chain` and `csv` axes of one spec. Raises BadAxis.

    `looked` are the files and folders, relative to the spec's folder, that what it said hangs on; also missing ones.
    """

    def __init__(self, folder: Path, document: Document) -> None:
        self.looked: set[str] = set()
        self._folder = folder
        self._document = document

    def __call__(self, name: str, source: Mapping[str, Any], way: Path_) -> Axis:
        ((kind, value),) = source.items()
        if kind == "csv":
            return self._rows(name, value)
        here = (*way, kind)
        if kind == "pairs":
            halves = [self._matched(value[half], (kind, half)) for half in ("first", "last")]
            return Axis(name, _paired(*halves), lambda _, rest: self._document.place((*here, *rest)))
        if isinstance(value, str):
            matched = self._matched(value, (kind,))
            frames = [matched[stood] for stood in sorted(matched, key=_natural)]
            if len(frames) < 2:
                raise BadAxis(f"{shown(value)} matches {len(frames)} of the two files that a chain needs", (kind,))
            return Axis(name, linked((frame, {}) for frame in frames), lambda _, rest: self._document.place(here))
        return Axis(
            name, linked(written(value)), lambda number, rest: self._document.place((*here, *place_of(number, rest)))
        )

    def _matched(self, pattern: Any, way: Path_) -> Matched:
        parts = _pattern_parts(pattern, way)
        found: list[tuple[tuple[str, ...], str]] = [((), "")]
        try:
            for part in parts:
                found = [step for stood, at in found for step in self._steps(stood, at, part)]
                if len(found) > MOST_FILES:
                    raise BadAxis(f"{shown(pattern)} matches more than {MOST_FILES:,} files", way)
            files = [(stood, path) for stood, path in found if self._is_file(path)]
        except BadFrame as error:
            raise BadAxis(f"{shown(pattern)} {error}", way) from None
        except OSError as error:
            raise BadAxis(f"{shown(pattern)} cannot be looked up ({error.strerror})", way) from None
        if not files:
            raise BadAxis(f"{shown(pattern)} matches no file", way)
        return _without_doubles(files, way)

    def _steps(self, stood: tuple[str, ...], at: str, part: str) -> Iterator[tuple[tuple[str, ...], str]]:
        """One level down: the folder's names that the part of the pattern matches."""
        if "*" not in part:
            yield stood, f"{at}{part}/"
            return
        self.looked.add(at)
        folder = inside(self._folder, at)
        if not folder.is_dir():
            return
        pieces = unicodedata.normalize("NFC", part).split("*")
        for name in (file.name for file in folder.iterdir()):
            stars = _stars(pieces, unicodedata.normalize("NFC", name))
            if stars is None or (name.startswith(".") and part.startswith("*")):
                continue
            if not name.isprintable():
                raise BadFrame(f"matches the file {name!a}, whose name is no plain text")
            yield (*stood, *stars), f"{at}{name}/"

    def _is_file(self, path: str) -> bool:
        """Also a link that leads nowhere: it has its own message."""
        self.looked.add(path.rstrip("/"))
        file = self._folder / path.rstrip("/")
        return os.path.lexists(file) and not file.is_dir()

    def _rows(self, name: str, source: Any) -> Axis:
        if not isinstance(source, str):
            raise BadAxis(f"csv must be the path of a file, not {shown(source)}", ("csv",))
        self.looked.add(source)
        try:
            text = small_text(inside(self._folder, source), MOST_CSV)
        except BadFrame as error:
            raise BadAxis(f"{shown(source)} {error}", ("csv",)) from None
        file = (Path(self._document.file).parent / source).as_posix()
        values, lines = _read_rows(text, file)
        return Axis(name, values, lambda number, _: Place(file, lines[number], 1))


def _pattern_parts(pattern: Any, way: Path_) -> tuple[str, ...]:
    if not isinstance(pattern, str) or "*" not in pattern or "**" in pattern:
        raise BadAxis(f"{shown(pattern)} is no pattern: * stands for a part of a name, as in frames/*-a.png", way)
    path = PurePosixPath(pattern)
    if path.is_absolute() or ".." in path.parts or "\0" in pattern:
        raise BadAxis(f"{shown(pattern)} leads out of the spec's folder", way)
    return path.parts


def _stars(pieces: Sequence[str], name: str) -> tuple[str, ...] | None:
    """What each star stood for, as short as possible from the left; None where the name does not match.

    No regular expression: with many stars one could take for ever.
    """
    first, *middle, last = pieces
    at, end = len(first), len(name) - len(last)
    if end < at or not name.startswith(first) or not name.endswith(last):
        return None
    stood = []
    for piece in middle:
        found = name.find(piece, at, end)
        if found < 0:
            return None
        stood.append(name[at:found])
        at = found + len(piece)
    return (*stood, name[at:end])


def _without_doubles(files: Iterable[tuple[tuple[str, ...], str]], way: Path_) -> Matched:
    matched: Matched = {}
    for stood, path in files:
        if stood in matched:
            raise BadAxis(f"two files read the same: {shown(matched[stood])} and {shown(path.rstrip('/'))}", way)
        matched[stood] = path.rstrip("/")
    return matched


def _paired(first: Matched, last: Matched) -> list[dict[str, Any]]:
    alone = [first[stood] for stood in sorted(first.keys() - last.keys(), key=_natural)]
    alone += [last[stood] for stood in sorted(last.keys() - first.keys(), key=_natural)]
    if alone:
        more = f" and {len(alone) - MOST_LISTED:,} more" if len(alone) > MOST_LISTED else ""
        raise BadAxis(f"frames without their other half: {', '.join(alone[:MOST_LISTED])}{more}", ("pairs",))
    return [
        {"name": "-".join(stood), "index": index, "first": first[stood], "last": last[stood]}
        for index, stood in enumerate(sorted(first, key=_natural), 1)
    ]


def _natural(stood: tuple[str, ...]) -> list[tuple[list[tuple[int, str]], str]]:
    """Numbers by their value, the rest by its letters: k2 stands before k10."""
    return [([_counted(piece) for piece in re.split(r"([0-9]+)", part)], part) for part in stood]


def _counted(piece: str) -> tuple[int, str]:
    return (int(piece), "") if piece.isdecimal() and piece.isascii() else (-1, piece.casefold())


def _read_rows(text: str, file: str) -> tuple[list[dict[str, Any]], list[int]]:
    """The rows as mappings, and the line in which each begins."""
    values: list[dict[str, Any]] = []
    lines: list[int] = []
    names: list[str] | None = None
    for line, cells in _lines(text, file):
        if names is None:
            names = _names(cells, Place(file, line, 1))
            continue
        values.append(_row(names, cells, Place(file, line, 1)))
        lines.append(line)
        if len(values) > MOST_ROWS:
            raise BadAxis(f"more than {MOST_ROWS:,} rows", place=Place(file))
    if not values:
        raise BadAxis("no row under the names of the columns", place=Place(file))
    return values, lines


def _lines(text: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold anything, each with the line it begins in."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    line = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield line, stripped
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadAxis(f"not CSV: {error}", place=Place(file, line, 1)) from None


def _names(cells: Sequence[str], place: Place) -> list[str]:
    doubles = [name for number, name in enumerate(cells) if name and name in cells[:number]]
    if doubles:
        raise BadAxis(f"two columns are called {shown(doubles[0])}", place=place)
    if len(cells) == 1 and (";" in cells[0] or "\t" in cells[0]):
        raise BadAxis(f"one column called {shown(cells[0])}: cells are separated by commas", place=place)
    return list(cells)


def _row(names: Sequence[str], cells: Sequence[str], place: Place) -> dict[str, Any]:
    row = {}
    for number, cell in enumerate(cells):
        if not cell:
            continue
        if number >= len(names) or not names[number]:
            raise BadAxis(f"{shown(cell)} has no column: a text with a comma needs quotes", place=place)
        value = json_scalar(cell)
        if isinstance(value, float) and not math.isfinite(value):
            raise BadAxis(f"{shown(cell)} is too large a number", place=place)
        row[names[number]] = value
    return row
