"""A value of the spec with its templates compiled, and what is shared while a spec is expanded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vidu_run.errors import Place, Problem
from vidu_run.spec.axes import (
    Axis,
)
from vidu_run.spec.read import MOST_DEPTH, MOST_NODES, Document, Path_
from vidu_run.spec.template import BadTemplate, Template, compile_template, is_template

MOST_PARTS = MOST_NODES
"""Values that all vars may render to, and that any part of a spec may: as many as may be written."""

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


class Cell:
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
            self._parts([Cell(work, item, (*way, number)) for number, item in enumerate(value)], list)
        elif isinstance(value, dict):
            names = list(value)
            cells = [Cell(work, item, (*way, name)) for name, item in value.items()]
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

    def _parts(self, cells: Sequence[Cell], build: Callable[[list[Any]], Any]) -> None:
        self.reads = frozenset().union(*(cell.reads for cell in cells))
        self.broken = any(cell.broken for cell in cells)
        self.live = any(cell.live for cell in cells)
        if self.live:
            self._make = lambda scope: weighed(build([cell.render(scope) for cell in cells]))

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


def weigh(value: Any, most: int) -> int:
    """How many values it holds, itself among them; what stands in it twice counts twice, as it will be sent.

    Raises BadTemplate for more than `most`, and for what is nested too deeply.
    """
    waiting = [(value, 0)]
    seen = 0
    while waiting:
        part, depth = waiting.pop()
        seen += 1
        if depth > MOST_DEPTH:
            raise BadTemplate(f"renders to what is nested deeper than {MOST_DEPTH}")
        if seen > most:
            raise BadTemplate("renders to too many values: lists of lists that are written out again and again")
        if isinstance(part, dict):
            waiting += [(item, depth + 1) for item in part.values()]
        elif isinstance(part, list):
            waiting += [(item, depth + 1) for item in part]
    return seen


def weighed(value: Any) -> Any:
    """The value. Raises BadTemplate where it is too much."""
    weigh(value, MOST_PARTS)
    return value


def _dig(data: Any, way: Path_) -> Any:
    for step in way:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data
