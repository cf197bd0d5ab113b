"""What a run has learned not to try: inputs that were refused by moderation, and failures that repeat. Pure memory."""

from __future__ import annotations

import re
from collections import Counter

from vidu_run.job import Frame, Job
from vidu_run.wording import ends

EQUAL_FAILURES = 5
"""So many jobs in a row that end in the same words: the next would too."""

MODERATION_REFUSALS = 2
"""After so many that share a frame or a prompt, other jobs with that input wait: repeated flagged input can get an
account suspended."""

MOST_SHOWN = 90
"""Characters of an input that a sentence about it shows."""

PASSING = re.compile(r" \(trace [^)]*\)|\b(?=[\w-]*\d)[\w-]{8,}")


class Caution:
    def __init__(self) -> None:
        self._endings: dict[str, list[str]] = {}
        self._refused: Counter[str] = Counter()

    def succeeded(self, stage: str) -> None:
        self._endings.pop(stage, None)

    def ended_badly(self, job: Job, stage: str, why: str, moderation: bool) -> str | None:
        """Remember how a stage of a job ended (its submit, its task); a sentence when the run should submit no more."""
        if moderation:
            self._refused.update(inputs(job))
            return None
        endings = self._endings[stage] = [*self._endings.get(stage, []), lasting(why)][-EQUAL_FAILURES:]
        alike = len(endings) == EQUAL_FAILURES and len(set(endings)) == 1
        return f"{EQUAL_FAILURES} jobs in a row ended alike: {why}" if alike else None

    def holds(self, job: Job) -> str | None:
        """Why this job should wait, if it should."""
        flagged = sorted(given for given in inputs(job) if self._refused[given] >= MODERATION_REFUSALS)
        if not flagged:
            return None
        return f"held back: moderation refused {self._refused[flagged[0]]} jobs with {ends(flagged[0], MOST_SHOWN)}"


def lasting(why: str) -> str:
    """The words of an ending without what is of that one alone: its trace, and whatever looks like an id."""
    return PASSING.sub("…", why)


def inputs(job: Job) -> frozenset[str]:
    """What moderation judges: each image, and the prompt."""
    images = {f"frame {image.source}" if isinstance(image, Frame) else image.source for image in job.images}
    prompt = {f"the prompt {job.request['prompt']!r}"} if job.request.get("prompt") else set()
    return frozenset(images | prompt)
