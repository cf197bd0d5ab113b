"""One entry of `jobs`: its axes, its request laid over the defaults, and the drafts they make."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, NamedTuple

from vidu_run.errors import Place, Problem, SpecTrouble
from vidu_run.job import Key
from vidu_run.spec.axes import (
    MOST_COMBINATIONS,
    MOST_TESTS,
    Axis,
    BadAxis,
    Combination,
    Excluded,
    combinations,
    count,
    range_values,
    removes,
    understand,
)
from vidu_run.spec.cell import Cell, Expansion
from vidu_run.spec.columns import Columns, Part
from vidu_run.spec.read import Path_
from vidu_run.spec.template import BadTemplate, compile_template, is_template, text_of
from vidu_run.spec.words import shown

MAX_JOBS = 10_000


class Draft(NamedTuple):
    """A job rendered and not yet checked; `parts` stand as the fields of its item do."""

    item: Item
    combination: Combination
    name: str
    parts: tuple[Part, ...]

    @property
    def axes(self) -> dict[str, Any]:
        """Each axis with the label of this job's value, in the order written."""
        item = self.item
        return {name: labels[at] for name, labels, at in zip(item.names, item.labels, self.combination, strict=True)}

    @property
    def place(self) -> Place:
        return self.item.place

    def locate(self, way: Path_) -> Place:
        """Where a part of the request stands in the spec; `extra` under names no field has."""
        return self.item.locate(self.combination, way)


class Item:
    """One entry of `jobs`: its axes and the cells of its request, laid over the defaults."""

    def __init__(self, work: Expansion, number: int) -> None:
        self.work = work
        self.way: Path_ = ("jobs", number)
        self.data: dict[str, Any] = work.document.data["jobs"][number]
        said = len(work.problems)
        self.axes = self._axes()
        self.whole = len(work.problems) == said
        self.cells = self._cells()
        self.fields = tuple(self.cells)
        self.name = Cell(work, self.data["name"], (*self.way, "name")) if "name" in self.data else None
        self.names = tuple(axis.name for axis in self.axes)
        self.labels = [_Labels(axis) for axis in self.axes]
        self.place = self._place("name")
        self.draft = Key(self.data["from"]) if "from" in self.data else None
        self.unread: tuple[str, ...] = ()
        """Axes that no field reads; known once all drafts are made."""
        self._columns = Columns(work, self.axes)
        self._keys: dict[str, frozenset[str]] = {}
        self._positions = {name: number for number, name in enumerate(self.names)}

    def drafts(self, most: int) -> list[Draft]:
        """Empty where an axis is missing: all that reads it would only be wrong once more."""
        if not self.whole:
            return []
        zipped = self._zipped()
        try:
            total = count(self.axes, zipped)
        except BadAxis as error:
            self.work.problem(self._place("zip"), str(error))
            return []
        self._bound(total, most)
        drafts: list[Draft] = []
        name = self._namer()
        columns = [self._columns.of(field, cell) for field, cell in self.cells.items()]
        left = False
        for combination in combinations(self.axes, zipped, self._exclude(zipped)):
            left = True
            if len(drafts) >= most:
                raise self._too_many(total, most)
            called = name(combination)
            parts = tuple([column(combination) for column in columns])
            for part in parts:
                if part.error is not None:
                    self._blame(part.error, self.cells[part.field], combination, called)
            if called is not None:
                drafts.append(Draft(self, combination, called, parts))
        if total and not left:
            self.work.problem(self._place("exclude"), "every combination is excluded: there is no job left")
        self.unread = self._unread_by_request()
        return drafts

    def locate(self, combination: Combination, way: Path_) -> Place:
        cell = self.cells.get(str(way[0])) if way else None
        return cell.place(way[1:], self._values(combination)) if cell else self._place("request")

    def _bound(self, total: int, most: int) -> None:
        entries = len(self.data.get("exclude", []))
        if total > most and not entries:
            raise self._too_many(total, most)
        if total > MOST_COMBINATIONS or total * entries > MOST_TESTS:
            message = f"{total:,} combinations, each held against {entries:,} of exclude: too many to look at"
            raise SpecTrouble([Problem(self._place("matrix"), message)])

    def _too_many(self, total: int, most: int) -> SpecTrouble:
        limit = int(self.work.document.data.get("max_jobs", MAX_JOBS))
        message = f"{limit - most + total:,} jobs, more than the {limit:,} that max_jobs allows"
        return SpecTrouble([Problem(self._place(), message)])

    def _axes(self) -> list[Axis]:
        made = []
        for name, value in self.data.get("matrix", {}).items():
            way = (*self.way, "matrix", name)
            try:
                if name in self.work.vars or name in self.work.broken:
                    raise BadAxis(f"the axis {name} has the name of a var")
                made.append(self._axis(name, value, way))
            except BadAxis as error:
                place = error.place or self.work.document.place((*way, *error.way), of_key=error.of_key)
                self.work.problem(place, str(error))
            except BadTemplate as error:
                self.work.blame(error, self.work.document.place(error.way or way))
        return made

    def _axis(self, name: str, value: Any, way: Path_) -> Axis:
        document = self.work.document
        if isinstance(value, list):
            values = [Cell(self.work, item, (*way, at)).render(self.work.vars) for at, item in enumerate(value)]
            axis = Axis(name, values, lambda number, rest: document.place((*way, number, *rest)))
        elif "range" in value:
            axis = Axis(name, range_values(value["range"]), lambda number, rest: document.place((*way, "range")))
        else:
            axis = self.work.sources(name, Cell(self.work, value, way).render(self.work.vars), way)
            if "csv" in value:
                axis = replace(axis, values=[self._filed(axis, number) for number in range(len(axis.values))])
        if name == "seed":
            _no_zero(axis)
        return axis

    def _filed(self, axis: Axis, number: int) -> dict[str, Any]:
        """A row of a CSV file; its texts are templates as those in the spec are."""
        value: dict[str, Any] = dict(axis.values[number])
        for name, text in value.items():
            if not isinstance(text, str) or not is_template(text):
                continue
            try:
                value[name] = compile_template(text).render(self.work.vars)
            except BadTemplate as error:
                raise BadAxis(str(error), place=axis.locate(number, (name,))) from None
        return value

    def _cells(self) -> dict[str, Cell]:
        """Field by field, the request's over the defaults'; `extra` under names no field has."""
        found: dict[str, Cell] = {}
        for name, value in self.work.document.data.get("defaults", {}).items():
            found[name] = Cell(self.work, value, ("defaults", name))
        for name, value in self.data["request"].items():
            found[name] = Cell(self.work, value, (*self.way, "request", name))
        for name, value in self.data.get("extra", {}).items():
            found[f"extra.{name}"] = Cell(self.work, value, (*self.way, "extra", name))
        return found

    def _zipped(self) -> list[str]:
        zipped: list[str] = self.data.get("zip", [])
        for number, name in enumerate(zipped):
            if name not in self._positions:
                self.work.problem(self.work.document.place((*self.way, "zip", number)), self._no_axis(name))
        return [name for name in zipped if name in self._positions]

    def _exclude(self, zipped: Sequence[str]) -> list[Excluded]:
        found = (self._excluded(raw, number, zipped) for number, raw in enumerate(self.data.get("exclude", [])))
        return [excluded for excluded in found if excluded is not None]

    def _excluded(self, raw: Mapping[str, Any], number: int, zipped: Sequence[str]) -> Excluded | None:
        way = (*self.way, "exclude", number)
        unknown = [name for name in raw if name not in self._positions]
        for name in unknown:
            self.work.problem(self.work.document.place((*way, name), of_key=True), self._no_axis(name))
        if unknown:
            return None
        try:
            entry = Cell(self.work, raw, way).render(self.work.vars)
        except BadTemplate as error:
            self.work.blame(error, self.work.document.place(error.way or way))
            return None
        excluded = understand(entry, self.axes)
        if not removes(excluded, self.axes, zipped):
            self.work.problem(self.work.document.place(way), f"exclude {shown(entry)} removes nothing")
            return None
        return excluded

    def _no_axis(self, name: str) -> str:
        near = get_close_matches(name, self._positions, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(self._positions) or 'none'}"
        return f"there is no axis {shown(name)}; {hint}"

    def _unread_by_request(self) -> tuple[str, ...]:
        """Axes that no field reads; an error at once where the name does not read them either."""
        cells = [*self.cells.values(), *([self.name] if self.name else [])]
        if not self._columns.all_files_read or any(cell.broken for cell in cells):
            return ()
        read = frozenset().union(self._columns.read_by_files, *(cell.reads for cell in self.cells.values()))
        named = self.name.reads if self.name else frozenset()
        for axis in self._positions:
            if axis not in read | named:
                place = self.work.document.place((*self.way, "matrix", axis), of_key=True)
                self.work.problem(place, f"no template reads the axis {axis}: it would only make the same jobs again")
        return tuple(axis for axis in self._positions if axis not in read)

    def _values(self, combination: Combination) -> dict[str, tuple[Axis, int]]:
        return {axis.name: (axis, at) for axis, at in zip(self.axes, combination, strict=True)}

    def _blame(self, error: BadTemplate, cell: Cell, combination: Combination, name: str | None) -> None:
        """At the row that lacks what its neighbours have; else, as for a slip of the pen, at the template."""
        axes = self._values(combination)
        way = error.way or cell.way
        inner = way[len(cell.way) :]
        axis, *rest = (*cell.looks_up(inner), "")
        lacks = axis in axes and rest[0] not in self._keys_of(axes[axis][0])
        self.work.blame(error, self.work.document.place(way) if lacks else cell.place(inner, axes), name)

    def _keys_of(self, axis: Axis) -> frozenset[str]:
        if axis.name not in self._keys:
            rows = (value for value in axis.values if isinstance(value, dict))
            self._keys[axis.name] = frozenset(key for row in rows for key in row)
        return self._keys[axis.name]

    def _namer(self) -> Callable[[Combination], str | None]:
        """Makes the name of each job; None where that is wrong."""
        cell, labels = self.name, self.labels
        if cell is None:
            return lambda numbers: (
                _tidy("-".join([str(axis[at]) for axis, at in zip(labels, numbers, strict=True)])) or "job"
            )

        def rendered(combination: Combination) -> str | None:
            try:
                return _tidy(text_of(cell.render(self._columns.scope(combination))))
            except BadTemplate as error:
                self.work.blame(error, self.work.document.place(cell.way))
                return None

        return rendered

    def _place(self, inner: str | None = None) -> Place:
        return self.work.document.place((*self.way, inner) if inner else self.way)


class _Labels(dict[int, Any]):
    """The labels of an axis by the number of the value, each made when it is first wanted."""

    def __init__(self, axis: Axis) -> None:
        super().__init__()
        self._axis = axis

    def __missing__(self, number: int) -> Any:
        label = self[number] = self._axis.label(number)
        return label


def _tidy(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip())


def _no_zero(axis: Axis) -> None:
    zero = next((number for number, seed in enumerate(axis.values) if type(seed) in (int, float) and seed == 0), None)
    if zero is not None:
        message = "0 in a seed axis: at the API 0 means a random seed, so the job could not be repeated"
        raise BadAxis(message, place=axis.locate(zero, ()))
