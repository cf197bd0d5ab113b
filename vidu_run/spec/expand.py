"""From a spec's plain data to drafts: every combination of the axes, every template rendered. Checks no request."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from vidu_run.errors import Place, Problem
from vidu_run.files import is_text
from vidu_run.spec.cell import MOST_PARTS, Cell, Expansion, ReadText, Sources, weigh
from vidu_run.spec.item import MAX_JOBS, Draft, Item
from vidu_run.spec.read import Document, Path_
from vidu_run.spec.template import BadTemplate
from vidu_run.spec.words import shown


def expand(
    document: Document, sources: Sources, read_text: ReadText, settings: Mapping[str, Any]
) -> tuple[list[Draft], list[Problem]]:
    """Every job of a spec whose structure is sound, and what is wrong with them. `settings` is `--set`, over vars.

    Raises SpecTrouble when there are too many jobs to look at.
    """
    work = Expansion(document, sources, read_text, settings)
    _render_vars(work)
    most = int(document.data.get("max_jobs", MAX_JOBS))
    drafts: list[Draft] = []
    for number in range(len(document.data["jobs"])):
        drafts += Item(work, number).drafts(most - len(drafts))
    return drafts, work.problems


def _render_vars(work: Expansion) -> None:
    parts = 0
    for name, value in work.document.data.get("vars", {}).items():
        way: Path_ = ("vars", name)
        try:
            work.vars[name] = (
                _setting(name, work.settings[name])
                if name in work.settings
                else Cell(work, value, way).render(work.vars)
            )
            parts += weigh(work.vars[name], MOST_PARTS - parts)
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
    if isinstance(value, str) and not is_text(value):
        raise BadTemplate(f"--set {name}: is not UTF-8 text")
    return value
