"""From a spec's plain data to drafts: every combination of the axes, every template rendered. Checks no request."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from vidu_run.errors import Place, Problem, SpecTrouble
from vidu_run.spec.axes import Axis, BadAxis, Combination, combinations, count, matches, range_values
from vidu_run.spec.read import Document, Path_
from vidu_run.spec.template import BadTemplate, Template, compile_template, is_template

MAX_JOBS = 10_000


@dataclass(frozen=True, slots=True)
class Draft:
    """A job rendered and not yet checked. `locate(way)` says where a part of its request stands in the spec."""

    name: str
    request: dict[str, Any]
    extra: dict[str, Any]
    axes: dict[str, Any]
    unread: tuple[str, ...]
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

    def problem(self, place: Place, message: str, job: str | None = None) -> None:
        self.problems.append(Problem(place, message, job))


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
                work.settings[name] if name in work.settings else _Cell(work, value, way).render(work.vars)
            )
        except BadTemplate as error:
            work.problem(work.document.place(way), str(error))
            work.vars[name] = None
    for name in work.settings.keys() - work.vars.keys():
        near = get_close_matches(name, work.vars, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        work.problem(Place(work.document.file), f"--set {name}: the spec has no such name in vars{hint}")


class _Cell:
    """A value of the spec with its templates compiled: what it reads, and what it renders to."""

    __slots__ = ("_make", "_work", "reads", "template", "way")

    def __init__(self, work: Expansion, value: Any, way: Path_) -> None:
        self._work = work
        self.way = way
        self.template: Template | None = None
        self.reads: frozenset[str] = frozenset()
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
        return self._make(scope)

    def place(self, way: Path_, axes: Mapping[str, tuple[Axis, int]]) -> Place:
        """Where a rendered part stands: the value itself, or what its template looks up in an axis."""
        template = self._template_at(way)
        if template and template.way and template.way[0] in axes:
            axis, number = axes[template.way[0]]
            return axis.locate(number, template.way[1:])
        return self._work.document.place((*self.way, *way))

    def _text(self, text: str) -> None:
        if not is_template(text):
            return
        try:
            self.template = compile_template(text)
        except BadTemplate as error:
            self._work.problem(self._work.document.place(self.way), str(error))
            return
        self.reads = self.template.reads
        self._make = self.template.render

    def _parts(self, cells: Sequence[_Cell], build: Callable[[list[Any]], Any]) -> None:
        self.reads = frozenset().union(*(cell.reads for cell in cells))
        if self.reads:
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
        self.axes = self._axes()
        self.cells = self._cells()
        self.name = _Cell(work, self.data["name"], (*self.way, "name")) if "name" in self.data else None
        self._memo: dict[tuple[str, Combination], Any] = {}
        self._positions = {axis.name: number for number, axis in enumerate(self.axes)}
        self.unread = self._unread_by_request()

    def drafts(self, most: int) -> Iterator[Draft]:
        zipped = self._zipped()
        try:
            total = count(self.axes, zipped)
            exclude = self._exclude(zipped)
            if total > most and not exclude:
                raise SpecTrouble([Problem(self._place(), _too_many(total))])
            chosen = combinations(self.axes, zipped, exclude)
        except BadAxis as error:
            self.work.problem(self._place("zip"), str(error))
            return
        for made, combination in enumerate(chosen):
            if made >= most:
                raise SpecTrouble([Problem(self._place(), _too_many(total))])
            if (draft := self._draft(combination)) is not None:
                yield draft

    def _axes(self) -> list[Axis]:
        made = []
        for name, value in self.data.get("matrix", {}).items():
            way = (*self.way, "matrix", name)
            try:
                if name in self.work.vars:
                    raise BadAxis(f"the axis {name} has the name of a var")
                made.append(self._axis(name, value, way))
            except BadAxis as error:
                self.work.problem(self.work.document.place((*way, *error.way)), str(error))
            except BadTemplate as error:
                self.work.problem(self.work.document.place(way), str(error))
        return made

    def _axis(self, name: str, value: Any, way: Path_) -> Axis:
        document = self.work.document
        if isinstance(value, list):
            values = [_Cell(self.work, item, (*way, at)).render(self.work.vars) for at, item in enumerate(value)]
            axis = Axis(name, values, lambda number, rest: document.place((*way, number, *rest)))
        elif "range" in value:
            bounds = _Cell(self.work, value["range"], (*way, "range")).render(self.work.vars)
            axis = Axis(name, range_values(bounds), lambda number, rest: document.place((*way, "range")))
        else:
            axis = self.work.sources(name, _Cell(self.work, value, way).render(self.work.vars), way)
        if name == "seed" and any(type(seed) is int and seed == 0 for seed in axis.values):
            raise BadAxis("0 in a seed axis: at the API 0 means a random seed, so the job could not be repeated")
        return axis

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

    def _exclude(self, zipped: Sequence[str]) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.data.get("exclude", [])
        sound = []
        for number, raw in enumerate(entries):
            way = (*self.way, "exclude", number)
            entry = _Cell(self.work, raw, way).render(self.work.vars)
            unknown = [name for name in entry if name not in self._positions]
            for name in unknown:
                self.work.problem(self.work.document.place((*way, name), of_key=True), self._no_axis(name))
            if not unknown and not self._removes(entry, zipped):
                self.work.problem(self.work.document.place(way), f"exclude {entry} removes nothing")
            elif not unknown:
                sound.append(entry)
        return sound

    def _removes(self, entry: Mapping[str, Any], zipped: Sequence[str]) -> bool:
        """Whether any combination matches: of the named axes alone, the others cannot matter."""
        named = [axis for axis in self.axes if axis.name in entry]
        rows = combinations(named, [name for name in zipped if name in entry], [])
        return any(
            matches(entry, {axis.name: axis.values[at] for axis, at in zip(named, row, strict=True)}) for row in rows
        )

    def _no_axis(self, name: str) -> str:
        near = get_close_matches(name, self._positions, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(self._positions) or 'none'}"
        return f"there is no axis {name!r}; {hint}"

    def _unread_by_request(self) -> tuple[str, ...]:
        """Axes that no field reads; an error at once where the name does not read them either."""
        read = frozenset().union(*(cell.reads for cell in self.cells.values()))
        named = self.name.reads if self.name else frozenset()
        for axis in self._positions:
            if axis not in read | named:
                place = self.work.document.place((*self.way, "matrix", axis), of_key=True)
                self.work.problem(place, f"no template reads the axis {axis}: it would only make the same jobs again")
        return tuple(axis for axis in self._positions if axis not in read)

    def _draft(self, combination: Combination) -> Draft | None:
        scope = dict(self.work.vars)
        scope |= {axis.name: axis.values[at] for axis, at in zip(self.axes, combination, strict=True)}
        labels = {axis.name: axis.label(at) for axis, at in zip(self.axes, combination, strict=True)}
        at_values = {axis.name: (axis, at) for axis, at in zip(self.axes, combination, strict=True)}
        name = self._name(scope, labels, combination)
        rendered = {field: self._render(field, combination, scope, name, at_values) for field in self.cells}
        if name is None:
            return None
        request = {field: value for field, value in rendered.items() if not field.startswith("extra.")}
        extra = {field[6:]: value for field, value in rendered.items() if field.startswith("extra.")}

        def locate(way: Path_) -> Place:
            cell = self.cells.get(str(way[0])) if way else None
            return cell.place(way[1:], at_values) if cell else self._place()

        return Draft(name, request, extra, labels, self.unread, self._place("name"), locate)

    def _name(self, scope: Mapping[str, Any], labels: Mapping[str, Any], combination: Combination) -> str | None:
        if self.name is None:
            return "-".join(str(label) for label in labels.values()) or "job"
        try:
            value = self._memoised("name", self.name, combination, scope)
        except BadTemplate as error:
            self.work.problem(self.work.document.place(self.name.way), str(error))
            return None
        return unicodedata.normalize("NFC", str(value).strip())

    def _render(
        self,
        field: str,
        combination: Combination,
        scope: Mapping[str, Any],
        name: str | None,
        at_values: Mapping[str, tuple[Axis, int]],
    ) -> Any:
        cell = self.cells[field]
        try:
            value = self._memoised(field, cell, combination, scope)
            return self._prompt_file(value, cell, scope) if field == "prompt" else value
        except (BadTemplate, ValueError) as error:
            self.work.problem(cell.place((), at_values), str(error), name)
            return None

    def _prompt_file(self, value: Any, cell: _Cell, scope: Mapping[str, Any]) -> Any:
        if not isinstance(value, dict) or "file" not in value:
            return value
        text = self.work.read_text(str(value["file"]))
        return compile_template(text).render(scope) if is_template(text) else text

    def _memoised(self, field: str, cell: _Cell, combination: Combination, scope: Mapping[str, Any]) -> Any:
        """A field is rendered once for each combination of the axes that it reads."""
        if not cell.reads:
            return cell.render(scope)
        read = tuple(at for axis, at in zip(self.axes, combination, strict=True) if axis.name in cell.reads)
        if (field, read) not in self._memo:
            self._memo[field, read] = cell.render(scope)
        return self._memo[field, read]

    def _place(self, inner: str | None = None) -> Place:
        return self.work.document.place((*self.way, inner) if inner else self.way)


def _too_many(total: int) -> str:
    return f"{total:,} jobs; more than max_jobs allows ({MAX_JOBS:,} unless the spec says otherwise)"


def _dig(data: Any, way: Path_) -> Any:
    for step in way:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data
