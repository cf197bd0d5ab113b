"""Which clips share a contact sheet, in which order, and what its file is called. It draws and writes nothing."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vidu_run.errors import UsageTrouble
from vidu_run.files import spec_stem
from vidu_run.job import Key
from vidu_run.journal.port import Sheet
from vidu_run.record import Record, State
from vidu_run.report.data import Pictures, axes_of, public_state
from vidu_run.report.layout import MOST_CLIPS
from vidu_run.report.table import Verdict

SEED = "seed"

MOST_BYTES = 120
"""Of a file's name without its ending."""

UNSAFE = re.compile(r'[\s<>:"/\\|?*-]+')
DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
"""Names that Windows keeps for itself, whatever their ending."""


@dataclass(frozen=True, slots=True)
class Row:
    """Jobs that differ in one axis alone, in the order of the spec; `labels` say what they have in common."""

    labels: tuple[str, ...]
    jobs: tuple[Sheet, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """A job on a sheet: what tells it from its neighbours, and its pictures, relative to the output folder."""

    label: str
    state: State
    poster: str | None = None
    first: str | None = None
    last: str | None = None
    stars: int | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """One contact sheet. `prompt`, `first` and `last` are there where all its jobs share them.

    `file` is its name without the ending; `newest` is when its last clip was finished, in Unix seconds.
    """

    file: str
    title: str
    prompt: str
    first: str | None
    last: str | None
    tiles: tuple[Tile, ...]
    newest: float | None


def boards(
    spec: str,
    sheets: Sequence[Sheet],
    records: Mapping[Key, Record],
    pictures: Pictures,
    verdicts: Mapping[Key, Verdict],
    column: str | None,
    run_lives: bool,
) -> list[Board]:
    """A row's sheets follow one another. `pictures` are as for the page. Raises UsageTrouble for an unknown column."""
    axis = column_axis(sheets, column)
    pages = [(row, list(_pages(row.jobs))) for row in rows(sheets, axis)]
    names = iter(file_names([("-".join(row.labels) or spec_stem(spec), len(parts)) for row, parts in pages]))
    made = []
    for row, parts in pages:
        for number, jobs in enumerate(parts, 1):
            counted = f"{number} of {len(parts)}" if len(parts) > 1 else ""
            title = " · ".join(filter(None, (spec, *row.labels, counted)))
            tiles = [_tile(job, records.get(job.key), pictures, verdicts.get(job.key), axis, run_lives) for job in jobs]
            made.append(_board(next(names), title, jobs, tiles, records))
    return made


def column_axis(sheets: Sequence[Sheet], wanted: str | None) -> str | None:
    """The axis along which a row runs: the one wanted, else the seeds, else the last; None where there are no axes."""
    axes = axes_of(sheets)
    if wanted is not None and wanted not in axes:
        there = f"there are {', '.join(axes)}" if axes else "this spec has none"
        raise UsageTrouble(f"--columns {wanted}: no axis is called so; {there}")
    return wanted or (SEED if SEED in axes else axes[-1] if axes else None)


def rows(sheets: Sequence[Sheet], column: str | None) -> list[Row]:
    """By what is left of a job's axes without the column and those that advance together with it.

    Where two items of a spec make jobs with the same labels, each item has a row: it holds no label twice.
    """
    across = {column, *(axis for axis in axes_of(sheets) if column and _together(sheets, column, axis))}
    found: dict[tuple[Any, ...], list[Sheet]] = {}
    seen: Counter[tuple[Any, ...]] = Counter()
    for sheet in sheets:
        others = tuple((axis, str(label)) for axis, label in sheet.axes.items() if axis not in across)
        cell = (others, str(sheet.axes[column])) if column in sheet.axes else None
        if cell:
            seen[cell] += 1
        found.setdefault((others, seen[cell] if cell else 0), []).append(sheet)
    return [Row(tuple(spoken(*item) for item in key[0]), tuple(jobs)) for key, jobs in found.items()]


def _together(sheets: Sequence[Sheet], one: str, other: str) -> bool:
    """Whether two axes advance together, as zipped ones do: each label of one stands with one label of the other, and
    some pair of labels comes again. (Where each job has its own, the axes only happen to.)
    """
    pairs = {(str(sheet.axes.get(one)), str(sheet.axes.get(other))) for sheet in sheets}
    ones, others = (len(set(side)) for side in zip(*pairs, strict=True))
    return len(sheets) > len(pairs) == ones == others > 1


def spoken(axis: str, label: Any) -> str:
    """`seed 3`, but `harbour`: a value that holds no word is told with its axis."""
    text = str(label)
    return text if any(map(str.isalpha, text)) and text not in ("true", "false") else f"{axis} {text}"


def file_names(rows: Sequence[tuple[str, int]]) -> list[str]:
    """For each row, of which its name and its number of sheets are given, the names of its files without the ending.

    Fit for every file system, at most `MOST_BYTES` long, and unique whatever the case of letters counts.
    """
    taken: set[str] = set()
    names = []
    for row, count in rows:
        number = 0
        for _ in range(count):
            number += 1
            while _folded(name := _numbered(row, number)) in taken:
                number += 1
            taken.add(_folded(name))
            names.append(name)
    return names


def _numbered(row: str, number: int) -> str:
    ending = f"-{number}" if number > 1 else ""
    text = "".join(char if char.isprintable() else "-" for char in unicodedata.normalize("NFC", row))
    plain = UNSAFE.sub("-", text).strip("-. ") or "sheet"
    safe = f"_{plain}" if DEVICE.fullmatch(plain) else plain
    return safe.encode()[: MOST_BYTES - len(ending)].decode("utf-8", "ignore").rstrip("-. ") + ending


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _pages(jobs: Sequence[Sheet]) -> Iterator[Sequence[Sheet]]:
    for start in range(0, len(jobs), MOST_CLIPS):
        yield jobs[start : start + MOST_CLIPS]


def _tile(
    job: Sheet,
    record: Record | None,
    pictures: Pictures,
    verdict: Verdict | None,
    column: str | None,
    run_lives: bool,
) -> Tile:
    state = public_state(record, run_lives)
    label = spoken(column, job.axes[column]) if column is not None and column in job.axes else job.name
    poster = pictures.of(record.sha256) if record and state is State.DONE else None
    first, last = (pictures.of(stored) for stored in _pair(job))
    return Tile(label, state, poster, first, last, verdict.stars if verdict else None)


def _board(file: str, title: str, jobs: Sequence[Sheet], tiles: Sequence[Tile], records: Mapping[Key, Record]) -> Board:
    prompts = {str(job.request.get("prompt") or "") for job in jobs}
    shared = len({job.images for job in jobs}) == 1
    finished = [record.finished_at for job in jobs if (record := records.get(job.key)) and record.state is State.DONE]
    return Board(
        file,
        title,
        prompts.pop() if len(prompts) == 1 else "",
        tiles[0].first if shared else None,
        tiles[0].last if shared else None,
        tuple(tiles),
        max(filter(None, finished), default=None),
    )


def _pair(job: Sheet) -> tuple[str | None, str | None]:
    """The names of both frames in the frame store; None for links."""
    stored = [name for _, name in job.images]
    return (stored[0], stored[1]) if len(stored) == 2 else (None, None)
