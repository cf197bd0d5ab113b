"""The fields of an item's jobs, each rendered once for all jobs whose axes it reads stand alike."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vidu_run.key import plain_value
from vidu_run.spec.axes import Axis, Combination, picker
from vidu_run.spec.cell import AlreadySaid, Cell, Expansion
from vidu_run.spec.template import BadTemplate, compile_template, is_template, text_of
from vidu_run.spec.words import shown


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One field as rendered, made once for all jobs whose axes it reads stand alike: a part is known by being itself.

    `value` is plain, None where the field is left out. `error` is what kept it from being rendered.
    """

    field: str
    value: Any = None
    error: BadTemplate | None = None


class Columns:
    """What makes the fields of the jobs. `read_by_files` are the axes that the texts of prompt files read, as far as
    they were rendered; `all_files_read` is false once one could not be.
    """

    def __init__(self, work: Expansion, axes: Sequence[Axis]) -> None:
        self.read_by_files: set[str] = set()
        self.all_files_read = True
        self._work = work
        self._axes = axes
        self._names = tuple(axis.name for axis in axes)

    def scope(self, combination: Combination) -> Mapping[str, Any]:
        values = {axis.name: axis.values[at] for axis, at in zip(self._axes, combination, strict=True)}
        return ChainMap(values, self._work.vars)

    def of(self, field: str, cell: Cell) -> Callable[[Combination], Part]:
        """Makes a field of each job, rendered once for each combination of the axes that it reads."""
        picked = picker([at for at, name in enumerate(self._names) if name in cell.reads])
        made: dict[Any, Part] = {}

        def part(combination: Combination) -> Part:
            key = picked(combination)
            if (known := made.get(key)) is None:
                known = made[key] = self._rendered(field, lambda: cell.render(self.scope(combination)))
            return known

        return self._from_files(cell, part) if field == "prompt" else part

    def _rendered(self, field: str, render: Callable[[], Any]) -> Part:
        try:
            value = render()
        except BadTemplate as error:
            return Part(field, error=error)
        return Part(field, None if value is None else plain_value(field, value))

    def _from_files(self, cell: Cell, column: Callable[[Combination], Part]) -> Callable[[Combination], Part]:
        """A prompt that names a file is what the file says, rendered for the axes that its text reads."""
        made: dict[Any, Part] = {}

        def part(combination: Combination) -> Part:
            named = column(combination)
            if not isinstance(named.value, dict) or "file" not in named.value:
                return named
            source = named.value["file"]
            if not isinstance(source, str) or len(named.value) > 1:
                return Part(
                    "prompt", error=BadTemplate(f"a prompt is a text or {{file: PATH}}, not {shown(named.value)}")
                )
            reads = self._read_by(source)
            key = (source, *(at for name, at in zip(self._names, combination, strict=True) if name in reads))
            if key not in made:
                made[key] = self._rendered("prompt", lambda: self._file_text(source, cell, combination))
            return made[key]

        return part

    def _read_by(self, source: str) -> frozenset[str]:
        """The axes that the text of a prompt file reads; none where it cannot be read, which is told later."""
        try:
            text = self._work.text(source)
            return compile_template(text).reads if is_template(text) else frozenset()
        except ValueError:
            return frozenset()

    def _file_text(self, source: str, cell: Cell, combination: Combination) -> str:
        """What a prompt file says for this job. Raises BadTemplate."""
        try:
            text = self._work.text(source)
            if not is_template(text):
                return text
            template = compile_template(text)
            if template.reads & self._work.broken:
                raise AlreadySaid
            self.read_by_files |= template.reads
            return text_of(template.render(self.scope(combination)))
        except AlreadySaid:
            self.all_files_read = False
            raise
        except ValueError as error:
            self.all_files_read = False
            said = f"in the prompt file {shown(source)}: {error}"
            wrong = BadTemplate(said if isinstance(error, BadTemplate) else f"the prompt file {shown(source)} {error}")
            wrong.way = (*cell.way, "file")
            raise wrong from None
