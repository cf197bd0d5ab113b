"""What `status --json`, `plan --json` and the page show of a run: plain data from sheets and records."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vidu_run.compare import Comparison
from vidu_run.job import Key
from vidu_run.journal.port import Sheet
from vidu_run.plan import Plan
from vidu_run.providers.rules import Effective
from vidu_run.record import TAKEN_BACK, Record, State
from vidu_run.report.failures import Failure, failures


def public_state(record: Record | None, run_lives: bool) -> State:
    """An intent is a submission on its way while its run lives; afterwards nobody knows what became of it."""
    return State.PLANNED if record is None else public(record.state, run_lives)


def public(state: State, run_lives: bool) -> State:
    if state is State.INTENT:
        return State.SUBMITTED if run_lives else State.IN_DOUBT
    return State.PLANNED if state is State.NOT_SENT else state


def job_line(sheet: Sheet, record: Record | None, run_lives: bool) -> dict[str, Any]:
    asked = sheet.request.get("seed")
    seed = record.seed if record and record.seed is not None else asked if isinstance(asked, int) and asked else None
    charged = record.charged if record else None
    return {
        "name": sheet.name,
        "key": sheet.key,
        "state": public_state(record, run_lives).value,
        "task_id": record.task_id if record else None,
        "seed": seed,
        "credits": charged if charged is not None else sheet.credits,
        "file": record.file if record else None,
        "sha256": record.sha256 if record else None,
        "error": record.error if record else None,
        "axes": sheet.axes,
    }


@dataclass(frozen=True, slots=True)
class Survey:
    """What the jobs of the present spec come to, gathered in one look at each. `estimated` credits are by the price
    list, `charged` as the API said, None where it never says. `other_seeds` counts the jobs it made with another seed
    than the one asked for; `promoted` are those that say which draft they come from.
    """

    counts: Mapping[str, int]
    estimated: int
    charged: int | None
    axes: tuple[str, ...]
    models: frozenset[str]
    promoted: tuple[Sheet, ...]
    other_seeds: int

    @property
    def credits(self) -> dict[str, int | None]:
        return {"estimated": self.estimated, "charged": self.charged}


def survey(sheets: Iterable[Sheet], records: Mapping[Key, Record], run_lives: bool) -> Survey:
    states, estimated, charged, axes = list[str](), 0, list[int](), dict[str, None]()
    models, promoted, other_seeds = set[str](), list[Sheet](), 0
    for sheet in sheets:
        record, asked = records.get(sheet.key), sheet.request.get("seed")
        states.append(public_state(record, run_lives).value)
        estimated += sheet.credits or 0
        if record and record.charged is not None:
            charged.append(record.charged)
        axes |= dict.fromkeys(sheet.axes)
        models.add(sheet.request["model"])
        if sheet.draft is not None:
            promoted.append(sheet)
        other_seeds += bool(asked and record and record.seed and record.seed != asked)
    total = sum(charged) if charged else None
    return Survey(counts_of(states), estimated, total, (*axes,), frozenset(models), (*promoted,), other_seeds)


def status(
    spec: str, provider: str, sheets: Sequence[Sheet], records: Mapping[Key, Record], run_lives: bool
) -> dict[str, Any]:
    """The object of `status --json`."""
    found = survey(sheets, records, run_lives)
    jobs = [job_line(sheet, records.get(sheet.key), run_lives) for sheet in sheets]
    return {"spec": spec, "provider": provider, "counts": found.counts, "credits": found.credits, "jobs": jobs}


def counts_of(states: Iterable[str]) -> dict[str, int]:
    """How many there are of each state that occurs, in the order of a job's life."""
    counted = Counter(states)
    return {state.value: counted[state.value] for state in State if counted[state.value]}


def plan_document(plan: Plan, usd: float, seconds: float | None, off_peak: int | None) -> dict[str, Any]:
    """The object of `plan --json`; `usd` and `seconds` are of the submits, `off_peak` their credits if moved there."""
    jobs = [
        {
            "name": step.job.name,
            "key": step.job.key,
            "step": step.word,
            "reason": step.reason,
            "credits": step.credits,
        }
        for step in plan.steps
    ]
    steps = Counter(step.action.value for step in plan.steps)
    return {
        "jobs": jobs,
        "totals": {
            "jobs": len(jobs),
            "steps": dict(steps),
            "credits": plan.credits,
            "usd": usd,
            "unpriced": len(plan.unpriced),
            "committed": plan.committed,
            "held_credits": plan.held_credits,
            "seconds": seconds,
            "off_peak_credits": off_peak,
        },
    }


def comparison_document(found: Comparison, usd: float) -> dict[str, Any]:
    """The object of `plan --against --json`."""
    changes = [
        {
            "name": change.job.name,
            "key": change.job.key,
            "change": change.what,
            "what": change.why,
            "credits": None if change.what == "gone" else change.credits,
            "bought": change.bought,
        }
        for change in found.changes
    ]
    totals = {"new": len(found.coming), "gone": found.gone, "same": found.same, "credits": found.credits, "usd": usd}
    bought = len(found.coming) - len(found.to_buy)
    return {"jobs": changes, "totals": {**totals, "unpriced": found.unpriced, "bought": bought}}


@dataclass(frozen=True, slots=True)
class Pictures:
    """The small pictures there are, by name: of a video or a stored frame, after the beginning of its bytes' hash."""

    folder: str
    names: Collection[str]

    def of(self, digest: str | None) -> str | None:
        """Relative to the output folder; None where there is none."""
        name = picture_name(digest or "")
        return f"{self.folder}/{name}" if name in self.names else None


POSTERS = "posters"
"""The folder of the small pictures, inside the output folder."""


def picture_name(digest: str) -> str:
    return f"{digest[:24]}.webp"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the page shows beside the status. `made` says what the API makes of a request whose fields were left out;
    `hints` are what to do, by state (for refusals by moderation and what the user cancelled, by these words), with
    places for the `spec` (as a command line names it, `target`), for `name` and `file` of the job, and for its
    `traits`; `retold` has the attempts of a job that has others than the one that counts, `drafts` the clip that a job
    was promoted from, `elsewhere` the jobs that were delivered into another copy of the folder and are not here.
    """

    pictures: Pictures
    made: Callable[[Sheet], Effective]
    hints: Mapping[str, str]
    target: str
    run_lives: bool
    retold: Mapping[Key, Sequence[Record]] = field(default_factory=dict)
    drafts: Mapping[Key, Mapping[str, Any]] = field(default_factory=dict)
    elsewhere: frozenset[Key] = frozenset()


def page_document(
    sheets: Iterable[Sheet], records: Mapping[Key, Record], seen: Seen, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The object of the page: for each job what a person wants to see beside its video. `facts` go in as they are.
    `jobs` can be read once: a hundred thousand of them at a time would take 300 MB.
    """
    groups = [_failure(group, seen) for group in failures(sheets, records)]
    return {**facts, "failures": groups, "jobs": _jobs(sheets, records, seen)}


def _jobs(sheets: Iterable[Sheet], records: Mapping[Key, Record], seen: Seen) -> Iterator[dict[str, Any]]:
    for sheet in sheets:
        record, made = records.get(sheet.key), seen.made(sheet)
        line = job_line(sheet, record, seen.run_lives)
        history = seen.retold.get(sheet.key) or ([record] if record and not record.elsewhere else [])
        first, last = sheet.images[:2] if len(sheet.images) == 2 else ((None, None), (None, None))
        request = {**sheet.request, "images": [source for source, _ in sheet.images]}
        ending = "elsewhere" if sheet.key in seen.elsewhere else _ending(line["state"], line["error"])
        yield {
            **line,
            "axes": {axis: str(label) for axis, label in sheet.axes.items()},
            "poster": seen.pictures.of(line["sha256"]) if line["state"] == State.DONE else None,
            "first": _still(first, seen.pictures),
            "last": _still(last, seen.pictures),
            "prompt": request.get("prompt"),
            "model": made.model,
            "duration": made.seconds,
            "resolution": made.resolution,
            "took": took(record),
            "request": request,
            "file": None if ending == "elsewhere" else line["file"],
            "hint": _hint(seen.hints.get(ending), seen.target, sheet, record),
            "bytes": record.size if record else None,
            "charged": record is not None and record.charged is not None,
            "history": [_attempt(attempt, record) for attempt in history],
            "draft": seen.drafts.get(sheet.key),
        }


def _failure(group: Failure, seen: Seen) -> dict[str, Any]:
    hint = seen.hints["moderation" if group.is_moderation else _ending(group.state.value, group.cause)]
    return {
        "state": group.state.value,
        "cause": group.cause,
        "shared": group.shared,
        "advice": hint.format(spec=seen.target),
        "jobs": group.jobs,
    }


def _ending(state: str, why: str | None) -> str:
    """What hints are found by."""
    return "cancelled" if state == State.FAILED and why == TAKEN_BACK else state


def _attempt(attempt: Record, latest: Record | None) -> list[Any]:
    """State, Unix seconds of its POST and of its end, task, error; what the job itself says is left out."""
    known = latest is not None and latest.attempt == attempt.attempt
    ended = attempt.finished_at and round(attempt.finished_at)
    told = (None, None) if known else (attempt.task_id, attempt.error)
    return [attempt.state.value, round(attempt.posted_at), ended, *told]


def _still(image: tuple[str | None, str | None], pictures: Pictures) -> dict[str, str | None] | None:
    """What the spec calls the frame, its file in the store once it is there (when its job is submitted), and its small
    picture; `file` is None for a link."""
    source, stored = image
    picture = pictures.of(stored)
    if source is None or (stored is not None and picture is None):
        return None
    return {"name": source, "file": stored and f"frames/{stored}", "picture": picture}


def _hint(text: str | None, target: str, sheet: Sheet, record: Record | None) -> str | None:
    if text is None or record is None:
        return None
    sent = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(record.posted_at))
    told = ", ".join([f"sent {sent}", *traits(sheet, record)])
    return text.format(spec=target, name=shlex.quote(sheet.name), file=record.file, traits=told)


def traits(sheet: Sheet, record: Record) -> list[str]:
    """What tells the task of a job in doubt from others in a provider's console, but for its time and prompt."""
    asked = sheet.request
    shown = {"seed": asked.get("seed"), "duration": asked.get("duration"), "payload": record.marker}
    model = [str(asked["model"])] if asked.get("model") else []
    return [*model, *(f"{name} {value}" for name, value in shown.items() if value is not None)]


def took(record: Record | None) -> float | None:
    """Seconds from acceptance to the end, where both are known."""
    if record is None or record.accepted_at is None or record.finished_at is None or record.resumed:
        return None
    return round(record.finished_at - record.accepted_at, 1)


def axes_of(sheets: Iterable[Sheet]) -> list[str]:
    """The axes that any of the jobs has, in the order in which they are met."""
    return list(dict.fromkeys(axis for sheet in sheets for axis in sheet.axes))
