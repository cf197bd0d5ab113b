"""What went wrong, by cause and by the input that the jobs share. Pure: sheets and records in, groups out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vidu_run.caution import lasting
from vidu_run.job import Key
from vidu_run.journal.port import Sheet
from vidu_run.outcome import is_moderation
from vidu_run.record import Record, State
from vidu_run.wording import ends

NUMBER = re.compile(r"[0-9]+")

MOST_SHOWN = 80
"""Characters of a prompt in the name of an input."""

MOST_GROUPS = 30

Input = tuple[str, str]
"""What a job was given: the kind of it, and which."""

BAD = frozenset({State.FAILED, State.REJECTED})


@dataclass(frozen=True, slots=True)
class Failure:
    """Jobs that ended alike. `jobs` are their places in the sheets; `shared` the inputs that every one of them has and
    that no job has which went well; `cause` the words of the first.
    """

    state: State
    cause: str
    jobs: tuple[int, ...]
    shared: tuple[str, ...]

    @property
    def is_moderation(self) -> bool:
        return is_moderation(self.cause)


def failures(sheets: Iterable[Sheet], records: Mapping[Key, Record]) -> list[Failure]:
    """The largest first; at most MOST_GROUPS."""
    if not any(record.state in BAD for record in records.values()):
        return []
    causes: dict[tuple[State, str], list[int]] = defaultdict(list)
    fine: set[Input] = set()
    inputs: dict[int, tuple[Input, ...]] = {}
    words: dict[int, str] = {}
    for number, sheet in enumerate(sheets):
        record = records.get(sheet.key)
        if record is None:
            continue
        if record.state in BAD:
            inputs[number] = _inputs(sheet)
            words[number] = record.error or "no reason was given"
            causes[record.state, NUMBER.sub("…", lasting(record.error or ""))].append(number)
        elif record.state in (State.DONE, State.READY):
            fine.update(_inputs(sheet))
    groups = [
        Failure(state, words[jobs[0]], tuple(jobs), shared)
        for (state, _), alike in causes.items()
        for jobs, shared in _by_input(alike, inputs, fine)
    ]
    return sorted(groups, key=lambda group: -len(group.jobs))[:MOST_GROUPS]


def _inputs(sheet: Sheet) -> tuple[Input, ...]:
    first, last, *_ = [*(source for source, _ in sheet.images), "", ""]
    prompt, model = sheet.request.get("prompt"), sheet.request.get("model")
    kinds = {"the first frame": first, "the last frame": last, "the model": model, "the prompt": prompt}
    return tuple((kind, value) for kind, value in kinds.items() if value)


def _named(given: Input) -> str:
    kind, value = given
    return f"{kind} {ends(repr(value), MOST_SHOWN) if kind == 'the prompt' else value}"


def _by_input(
    jobs: list[int], inputs: Mapping[int, tuple[Input, ...]], fine: set[Input]
) -> list[tuple[list[int], tuple[str, ...]]]:
    """Split at the inputs under which nothing went well, the one with the most jobs first; the rest stays together."""
    found = []
    left = list(jobs)
    while len(left) > 1:
        holders: dict[Input, list[int]] = defaultdict(list)
        for number in left:
            for given in inputs[number]:
                if given not in fine:
                    holders[given].append(number)
        best = max(holders.values(), key=len, default=[])
        if len(best) < 2:
            break
        found.append((best, tuple(_named(given) for given in inputs[best[0]] if holders[given] == best)))
        left = [number for number in left if number not in set(best)]
    return [*found, (left, ())] if left else found
