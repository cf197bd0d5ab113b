"""What `check` says of specs: every problem of all of them, for a person, a script or GitHub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidu_run.errors import Problem, SpecTrouble
from vidu_run.spec.load import load
from vidu_run.wording import counted


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check` found: the problems of all specs, and how many jobs the sound ones have."""

    problems: tuple[Problem, ...]
    jobs: int
    specs: int

    @property
    def errors(self) -> int:
        return sum(not problem.warning for problem in self.problems)

    @property
    def summary(self) -> str:
        specs = counted(self.specs, "spec")
        if self.errors:
            return f"{specs}, {counted(self.errors, 'problem')}. Nothing was sent."
        warnings = len(self.problems)
        more = f", {counted(warnings, 'warning')}" if warnings else ""
        return f"{specs}, {counted(self.jobs, 'job')}, no problem{more}"

    @property
    def document(self) -> dict[str, Any]:
        problems = [
            {
                "file": p.place.file,
                "line": p.place.line,
                "column": p.place.column,
                "level": "warning" if p.warning else "error",
                "message": p.message,
                "job": p.job,
            }
            for p in self.problems
        ]
        return {"problems": problems, "errors": self.errors, "jobs": self.jobs}

    @property
    def annotations(self) -> list[str]:
        """Workflow commands that GitHub shows beside the lines of a pull request."""
        return [_annotation(problem) for problem in self.problems]


def check_all(specs: Sequence[Path], provider: str | None, settings: Mapping[str, Any]) -> Checked:
    problems: list[Problem] = []
    jobs = 0
    for path in specs:
        try:
            spec = load(path, provider, settings)
        except SpecTrouble as trouble:
            problems += trouble.problems
        else:
            problems += spec.warnings()
            jobs += len(spec.jobs)
    return Checked(tuple(problems), jobs, len(specs))


def _annotation(problem: Problem) -> str:
    place = problem.place
    where = f"file={_escaped(place.file, True)}" + (f",line={place.line},col={place.column}" if place.line else "")
    message = problem.message + (f"; job {problem.job}" if problem.job else "")
    return f"::{'warning' if problem.warning else 'error'} {where}::{_escaped(message, False)}"


def _escaped(text: str, is_property: bool) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if is_property else text
