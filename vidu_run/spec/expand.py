"""From a spec's plain data to drafts: every combination of the axes, every template rendered. Checks no request."""

from __future__ import annotations

import math
import unicodedata
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from vidu_run.errors import Place, Problem, SpecTrouble
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
from vidu_run.spec.read import Document, Path_
from vidu_run.spec.template import BadTemplate, Template, compile_template, is_template, text_of
from vidu_run.spec.words import shown

MAX_JOBS = 10_000


@dataclass(frozen=True, slots=True)
class Draft:
    """A job rendered and not yet checked. `locate(way)` says where a part of its request stands in the spec.

    `broken` are the fields that could not be rendered; what is wrong with them has been said.
    """

    name: str
    request: dict[str, Any]
    extra: dict[str, Any]
    axes: dict[str, Any]
    unread: tuple[str, ...]
    broken: frozenset[str]
    place: Place
    locate: Callable[[Path_], Place]


Sources = Callable[[str, Mapping[str, Any], Path_], Axis]
"""Reads an axis that stands in files (`pairs`, `chain`, `csv`); raises BadAxis."""

ReadText = Callable[[str], str]
"""The text of a prompt file; raises ValueError with a sentence."""


@dataclass(slots=True)
class Expansion:
    document: Document
    sources: Sources
    read_text: ReadText
    settings: Mapping[str, Any]
    problems: list[Problem] = field(default_factory=list)
    vars: dict[str, Any] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)

    def problem(self, place: Place, message: str, job: str | None = None) -> None:
        self.problems.append(Problem(place, message, job))

    def blame(self, error: Exception, place: Place, job: str | None = None) -> None:
        if not isinstance(error, AlreadySaid):
            self.problem(place, str(error), job)

    def text(self, source: str) -> str:
        if source not in self.texts:
            self.texts[source] = self.read_text(source)
        return self.texts[source]


class AlreadySaid(BadTemplate):
    """What broke this has its own message: a second one would lead the reader astray."""


def expand(
    document: Document, sources: Sources, read_text: ReadText, settings: Mapping[str, Any]
) -> tuple[list[Draft], list[Problem]]:
    """Every job of a spec whose structure is sound, and what is wrong with them. `settings` is `--set`, over vars.

    Raises SpecTrouble when there are too many jobs to look at.
    """
    work = Expansion(document, sources, read_text, settings)
    _render_vars(work)
    most = document.data.get("max_jobs", MAX_JOBS)
    drafts: list[Draft] = []
    for number in range(len(document.data["jobs"])):
        drafts += _Item(work, number).drafts(most - len(drafts))
    return drafts, work.problems


def _render_vars(work: Expansion) -> None:
    for name, value in work.document.data.get("vars", {}).items():
        way: Path_ = ("vars", name)
        try:
            work.vars[name] = (
                _setting(name, work.settings[name])
                if name in work.settings
                else _Cell(work, value, way).render(work.vars)
            )
        except BadTemplate as error:
            work.blame(error, work.document.place(error.way or way))
            work.broken.add(name)
    for name in sorted(work.settings.keys() - work.vars.keys() - work.broken):
        near = get_close_matches(name, work.vars, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        work.problem(Place(work.document.file), f"--set {shown(name)}: the spec has no such name in vars{hint}")


def _setting(name: str, value: Any) -> Any:
    """A command line may hold what no spec can: bytes that are no text, and a number without end."""
    if isinstance(value, float) and not math.isfinite(value):
        raise BadTemplate(f"--set {name}: too large a number")
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        raise BadTemplate(f"--set {name}: is not UTF-8 text")
    return value


class _Cell:
    """A value of the spec with its templates compiled: what it reads, and what it renders to."""

    __slots__ = ("_make", "_work", "broken", "live", "reads", "template", "way")

    def __init__(self, work: Expansion, value: Any, way: Path_) -> None:
        self._work = work
        self.way = way
        self.template: Template | None = None
        self.reads: frozenset[str] = frozenset()
        self.live = self.broken = False
        self._make: Callable[[Mapping[str, Any]], Any] = lambda scope: value
        if isinstance(value, str):
            self._text(value)
        elif isinstance(value, list):
            self._parts([_Cell(work, item, (*way, number)) for number, item in enumerate(value)], list)
        elif isinstance(value, dict):
            names = list(value)
            cells = [_Cell(work, item, (*way, name)) for name, item in value.items()]
            self._parts(cells, lambda items: dict(zip(names, items, strict=True)))

    def render(self, scope: Mapping[str, Any]) -> Any:
        """Raises BadTemplate with the way to where it stands."""
        if self.broken or self.reads & self._work.broken:
            raise AlreadySaid
        try:
            return self._make(scope)
        except BadTemplate as error:
            error.way = error.way or self.way
            raise

    def place(self, way: Path_, axes: Mapping[str, tuple[Axis, int]]) -> Place:
        """Where a rendered part stands: the value itself, or what its template looks up in an axis or a var."""
        for cut in range(len(way), -1, -1):
            template = self._template_at(way[:cut])
            if template is None or template.way is None:
                continue
            name, rest = template.way[0], (*template.way[1:], *way[cut:])
            if name in axes:
                axis, number = axes[name]
                return axis.locate(number, rest)
            if name in self._work.vars and name not in self._work.settings:
                return self._work.document.place(("vars", name, *rest))
        return self._work.document.place((*self.way, *way))

    def looks_up(self, way: Path_) -> tuple[str, ...]:
        """The look-up that the template at this part is, if it is nothing else."""
        template = self._template_at(way)
        return (template.way or ()) if template else ()

    def _text(self, text: str) -> None:
        if not is_template(text):
            return
        try:
            self.template = compile_template(text)
        except BadTemplate as error:
            self._work.problem(self._work.document.place(self.way), str(error))
            self.broken = True
            return
        self.live = True
        self.reads = self.template.reads
        self._make = self.template.render

    def _parts(self, cells: Sequence[_Cell], build: Callable[[list[Any]], Any]) -> None:
        self.reads = frozenset().union(*(cell.reads for cell in cells))
        self.broken = any(cell.broken for cell in cells)
        self.live = any(cell.live for cell in cells)
        if self.live:
            self._make = lambda scope: build([cell.render(scope) for cell in cells])

    def _template_at(self, way: Path_) -> Template | None:
        if not way:
            return self.template
        value = _dig(self._work.document.data, (*self.way, *way))
        if not isinstance(value, str) or not is_template(value):
            return None
        try:
            return compile_template(value)
        except BadTemplate:
            return None


class _Item:
    """One entry of `jobs`: its axes and the cells of its request, laid over the defaults."""

    def __init__(self, work: Expansion, number: int) -> None:
        self.work = work
        self.way: Path_ = ("jobs", number)
        self.data: dict[str, Any] = work.document.data["jobs"][number]
        said = len(work.problems)
        self.axes = self._axes()
        self.whole = len(work.problems) == said
        self.cells = self._cells()
        self.name = _Cell(work, self.data["name"], (*self.way, "name")) if "name" in self.data else None
        self._read_by_files: set[str] = set()
        self._all_files_read = True
        self._keys: dict[str, frozenset[str]] = {}
        self._memo: dict[tuple[str, Combination], Any] = {}
        self._positions = {axis.name: number for number, axis in enumerate(self.axes)}

    def drafts(self, most: int) -> list[Draft]:
        """None where an axis is missing: all that reads it would only be wrong once more."""
        if not self.whole:
            return []
        zipped = self._zipped()
        try:
            total = count(self.axes, zipped)
        except BadAxis as error:
            self.work.problem(self._place("zip"), str(error))
            return []
        self._bound(total, most)
        too_many = self._too_many(total, most)
        drafts: list[Draft] = []
        for combination in combinations(self.axes, zipped, self._exclude(zipped)):
            if len(drafts) >= most:
                raise too_many
            if (draft := self._draft(combination)) is not None:
                drafts.append(draft)
        unread = self._unread_by_request()
        return [replace(draft, unread=unread) for draft in drafts] if unread else drafts

    def _bound(self, total: int, most: int) -> None:
        entries = len(self.data.get("exclude", []))
        if total > most and not entries:
            raise self._too_many(total, most)
        if total > MOST_COMBINATIONS or total * entries > MOST_TESTS:
            message = f"{total:,} combinations, each held against {entries:,} of exclude: too many to look at"
            raise SpecTrouble([Problem(self._place("matrix"), message)])

    def _too_many(self, total: int, most: int) -> SpecTrouble:
        limit = self.work.document.data.get("max_jobs", MAX_JOBS)
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
                self.work.problem(error.place or self.work.document.place((*way, *error.way)), str(error))
            except BadTemplate as error:
                self.work.blame(error, self.work.document.place(error.way or way))
        return made

    def _axis(self, name: str, value: Any, way: Path_) -> Axis:
        document = self.work.document
        if isinstance(value, list):
            values = [_Cell(self.work, item, (*way, at)).render(self.work.vars) for at, item in enumerate(value)]
            axis = Axis(name, values, lambda number, rest: document.place((*way, number, *rest)))
        elif "range" in value:
            axis = Axis(name, range_values(value["range"]), lambda number, rest: document.place((*way, "range")))
        else:
            read = self.work.sources(name, _Cell(self.work, value, way).render(self.work.vars), way)
            axis = replace(read, values=[self._filed(read, number) for number in range(len(read.values))])
        if name == "seed":
            _no_zero(axis)
        return axis

    def _filed(self, axis: Axis, number: int) -> dict[str, Any]:
        """A value read from files; its texts are templates as those in the spec are."""
        value: dict[str, Any] = dict(axis.values[number])
        for name, text in value.items():
            if not isinstance(text, str) or not is_template(text):
                continue
            try:
                value[name] = compile_template(text).render(self.work.vars)
            except BadTemplate as error:
                raise BadAxis(str(error), place=axis.locate(number, (name,))) from None
        return value

    def _cells(self) -> dict[str, _Cell]:
        """Field by field, the request's over the defaults'; `extra` under names no field has."""
        found: dict[str, _Cell] = {}
        for name, value in self.work.document.data.get("defaults", {}).items():
            found[name] = _Cell(self.work, value, ("defaults", name))
        for name, value in self.data["request"].items():
            found[name] = _Cell(self.work, value, (*self.way, "request", name))
        for name, value in self.data.get("extra", {}).items():
            found[f"extra.{name}"] = _Cell(self.work, value, (*self.way, "extra", name))
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
            entry = _Cell(self.work, raw, way).render(self.work.vars)
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
        if not self._all_files_read or any(cell.broken for cell in cells):
            return ()
        read = frozenset().union(self._read_by_files, *(cell.reads for cell in self.cells.values()))
        named = self.name.reads if self.name else frozenset()
        for axis in self._positions:
            if axis not in read | named:
                place = self.work.document.place((*self.way, "matrix", axis), of_key=True)
                self.work.problem(place, f"no template reads the axis {axis}: it would only make the same jobs again")
        return tuple(axis for axis in self._positions if axis not in read)

    def _draft(self, combination: Combination) -> Draft | None:
        at_values = {axis.name: (axis, at) for axis, at in zip(self.axes, combination, strict=True)}
        scope = ChainMap({name: axis.values[at] for name, (axis, at) in at_values.items()}, self.work.vars)
        labels = {name: axis.label(at) for name, (axis, at) in at_values.items()}
        name = self._name(scope, labels, combination)
        rendered = {}
        for field_, cell in self.cells.items():
            try:
                rendered[field_] = self._render(field_, cell, combination, scope)
            except BadTemplate as error:
                self.work.blame(error, self._blamed(error, cell, at_values), name)
        if name is None:
            return None

        def locate(way: Path_) -> Place:
            cell = self.cells.get(str(way[0])) if way else None
            return cell.place(way[1:], at_values) if cell else self._place("request")

        return Draft(
            name=name,
            request={field_: value for field_, value in rendered.items() if not field_.startswith("extra.")},
            extra={field_[6:]: value for field_, value in rendered.items() if field_.startswith("extra.")},
            axes=labels,
            unread=(),
            broken=frozenset(self.cells.keys() - rendered.keys()),
            place=self._place("name"),
            locate=locate,
        )

    def _blamed(self, error: BadTemplate, cell: _Cell, axes: Mapping[str, tuple[Axis, int]]) -> Place:
        """The row that lacks what its neighbours have; else, as for a slip of the pen, the template."""
        way = error.way or cell.way
        inner = way[len(cell.way) :]
        name, *rest = (*cell.looks_up(inner), "")
        if name in axes and rest[0] not in self._keys_of(axes[name][0]):
            return self.work.document.place(way)
        return cell.place(inner, axes)

    def _keys_of(self, axis: Axis) -> frozenset[str]:
        if axis.name not in self._keys:
            rows = (value for value in axis.values if isinstance(value, dict))
            self._keys[axis.name] = frozenset(key for row in rows for key in row)
        return self._keys[axis.name]

    def _name(self, scope: Mapping[str, Any], labels: Mapping[str, Any], combination: Combination) -> str | None:
        if self.name is None:
            return unicodedata.normalize("NFC", "-".join(str(label) for label in labels.values()).strip()) or "job"
        try:
            value = text_of(self._memoised("name", self.name, combination, scope))
        except BadTemplate as error:
            self.work.blame(error, self.work.document.place(self.name.way))
            return None
        return unicodedata.normalize("NFC", value.strip())

    def _render(self, name: str, cell: _Cell, combination: Combination, scope: Mapping[str, Any]) -> Any:
        value = self._memoised(name, cell, combination, scope)
        if name != "prompt" or not isinstance(value, dict) or "file" not in value:
            return value
        try:
            return self._file_text(str(value["file"]), scope)
        except BadTemplate as error:
            self._all_files_read = False
            error.way = (*cell.way, "file")
            raise

    def _file_text(self, source: str, scope: Mapping[str, Any]) -> str:
        """What a prompt file says for this job. Raises BadTemplate."""
        try:
            text = self.work.text(source)
            if not is_template(text):
                return text
            template = compile_template(text)
            if template.reads & self.work.broken:
                raise AlreadySaid
            self._read_by_files |= template.reads
            return text_of(template.render(scope))
        except AlreadySaid:
            raise
        except BadTemplate as error:
            raise BadTemplate(f"in the prompt file {shown(source)}: {error}") from None
        except ValueError as error:
            raise BadTemplate(f"the prompt file {shown(source)} {error}") from None

    def _memoised(self, name: str, cell: _Cell, combination: Combination, scope: Mapping[str, Any]) -> Any:
        """A field is rendered once for each combination of the axes that it reads."""
        if not cell.reads:
            return cell.render(scope)
        read = tuple(at for axis, at in zip(self.axes, combination, strict=True) if axis.name in cell.reads)
        if (name, read) not in self._memo:
            self._memo[name, read] = cell.render(scope)
        return self._memo[name, read]

    def _place(self, inner: str | None = None) -> Place:
        return self.work.document.place((*self.way, inner) if inner else self.way)


def _no_zero(axis: Axis) -> None:
    zero = next((number for number, seed in enumerate(axis.values) if type(seed) in (int, float) and seed == 0), None)
    if zero is not None:
        message = "0 in a seed axis: at the API 0 means a random seed, so the job could not be repeated"
        raise BadAxis(message, place=axis.locate(zero, ()))


def _dig(data: Any, way: Path_) -> Any:
    for step in way:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data
