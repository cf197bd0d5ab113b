"""From drafts to jobs: every rendered request held against the provider's rules, named, known by its key, priced.

What repeats is looked at once: a sweep of a hundred thousand jobs has a few hundred different values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vidu_run.errors import Place, Problem
from vidu_run.graph import Circle, Leaning, in_order, settled
from vidu_run.job import Continued, Image, Job
from vidu_run.key import NOT_PIXELS, fragment, images_fragment, key_from
from vidu_run.providers.catalogue import request_schema
from vidu_run.providers.pricing import credits_for, effective, prices
from vidu_run.providers.rules import Provider
from vidu_run.spec.axes import picker
from vidu_run.spec.caveats import continued_caveats, image_caveats, request_caveats, seed_caveat
from vidu_run.spec.check import (
    FREE,
    Finding,
    ImageRules,
    RequestChecker,
    field_size,
    image_findings,
    images_size,
    name_finding,
    size_findings,
)
from vidu_run.spec.columns import Part
from vidu_run.spec.item import Draft, Item
from vidu_run.spec.pictures import Pictures, as_checked
from vidu_run.spec.words import one_line, shown

MOST_SHRUNK = 256 << 20
"""Bytes of a frame's file that is to be made lighter: room for 16 bits a channel of 40 million pixels."""


@dataclass(frozen=True, slots=True)
class _Field:
    """What there is to say of one value. `text` is its canonical JSON, "" where it is left out; `size` its bytes in
    the body; `broken`: it could not be rendered, which has been said.
    """

    findings: list[Finding] = field(default_factory=list)
    text: str = ""
    size: int = 0
    images: tuple[Image, ...] = ()
    caveats: list[Finding] = field(default_factory=list)
    broken: bool = False


@dataclass(frozen=True, slots=True)
class _Rest:
    """What there is to say of the fields whose rules depend on one another, and what such a clip costs."""

    findings: list[Finding]
    credits: int | None = None
    caveats: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Shape:
    """Of the fields of one item: which to pick for which question."""

    rest: Callable[[Sequence[Part]], Any]
    keyed: tuple[int, ...]
    """The positions of the fields that decide the pixels, by name."""
    images: int | None
    seed: int | None
    has_extra: bool

    @staticmethod
    def of(item: Item) -> _Shape:
        fields = item.fields
        named = sorted((field_.removeprefix("extra."), at) for at, field_ in enumerate(fields))
        return _Shape(
            rest=picker([at for at, field_ in enumerate(fields) if field_ not in FREE]),
            keyed=tuple(at for name, at in named if name not in NOT_PIXELS),
            images=fields.index("images") if "images" in fields else None,
            seed=fields.index("seed") if "seed" in fields else None,
            has_extra=any(field_.startswith("extra.") for field_ in fields),
        )


class Judge:
    """`rules` is the name of the provider whose rules the requests are held against; `problems` are added to.

    `caveats` are what the jobs that passed may not mean, by place and sentence. `assumed` credits are counted for a
    clip without a known price. `shrinks`: frames too heavy to be sent will be made lighter.
    """

    def __init__(
        self,
        provider: Provider,
        rules: str,
        folder: Path,
        problems: list[Problem],
        assumed: int | None,
        shrinks: bool,
    ) -> None:
        limits = provider.limits
        self.problems = problems
        self.caveats: dict[tuple[Place, str], list[Job]] = {}
        self._assumed = assumed
        self._shrinks = shrinks
        self._provider = provider
        self._prices = prices(provider)
        self._checker = RequestChecker(request_schema(provider), rules)
        self._pictures = Pictures(folder, MOST_SHRUNK if shrinks else limits.file_bytes)
        self._rules = ImageRules.of(limits)
        self._fields: dict[Part, _Field] = {}
        self._rests: dict[tuple[Item, Any], _Rest] = {}

    def jobs(self, drafts: list[Draft]) -> list[Job]:
        """Takes the drafts out of their list: a million of them beside their jobs are 200 MB."""
        self._check_names(drafts)
        names = [draft.name for draft in drafts]
        made: list[Job] = []
        items: list[Item] = []
        continuing: list[tuple[Job, Draft]] = []
        item, shape = None, None
        drafts.reverse()
        while drafts:
            draft = drafts.pop()
            if draft.item is not item or shape is None:
                item, shape = draft.item, _Shape.of(draft.item)
            if (job := self._job(draft, shape)) is not None:
                made.append(job)
                items.append(item)
                if job.continued:
                    continuing.append((job, draft))
        if continuing:
            made = self._check_graph(made, continuing, Leaning(names))
        self._check_keys(made, items)
        return made

    def _job(self, draft: Draft, shape: _Shape) -> Job | None:
        parts = draft.parts
        known = self._fields
        fields = [known.get(part) or self._field(part) for part in parts]
        rest = self._rests.get((draft.item, shape.rest(parts))) or self._rest(draft, shape)
        findings, size, broken = rest.findings, 0, False
        for one in fields:
            if one.findings:
                findings = findings + one.findings
            size += one.size
            broken |= one.broken
        heavy = size_findings(size, self._rules)
        findings = findings or ([] if self._shrinks else heavy)
        if findings or broken:
            self._report(draft, findings)
            return None
        job = Job(
            name=draft.name,
            key=key_from(self._provider.name, [text for at in shape.keyed if (text := fields[at].text)]),
            request=_request(parts, shape.has_extra),
            images=() if shape.images is None else fields[shape.images].images,
            axes=draft.axes,
            place=draft.place,
            credits=self._assumed if rest.credits is None else rest.credits,
            draft=draft.item.draft,
        )
        seed = seed_caveat(None if shape.seed is None else parts[shape.seed].value)
        caveats = rest.caveats if seed is None else [*rest.caveats, seed]
        if shape.images is not None:
            caveats = caveats + fields[shape.images].caveats
        if heavy:
            caveats = [*caveats, (("images",), "too heavy to be sent as they are: the frames will be made lighter")]
        for way, message in caveats:
            self.caveats.setdefault((draft.locate(way), message), []).append(job)
        return job

    def _field(self, part: Part) -> _Field:
        self._fields[part] = made = self._looked_at(part)
        return made

    def _looked_at(self, part: Part) -> _Field:
        name, value = part.field.removeprefix("extra."), part.value
        if value is None:
            return _Field(broken=part.error is not None)
        extra = part.field != name
        checked = as_checked(value) if name == "images" else value
        findings = self._checker.extra_findings(name) if extra else self._checker.field_findings(name, checked)
        if name != "images" or extra:
            text = "" if findings else fragment(name, value)
            return _Field(findings, text, field_size(text))
        images, wrong = self._pictures.of(value)
        findings = findings + wrong
        if findings:
            return _Field(findings)
        findings = image_findings(images, self._rules)
        caveats = list(image_caveats(images, self._rules))
        return _Field(findings, images_fragment(images), images_size(images), images, caveats)

    def _rest(self, draft: Draft, shape: _Shape) -> _Rest:
        parts = [part for part in draft.parts if part.field not in FREE and not part.field.startswith("extra.")]
        request = {part.field: part.value for part in parts if part.value is not None}
        findings = self._checker.findings(request)
        if shape.images is None or draft.parts[shape.images].value is None:
            findings = [*findings, (("images",), "images is missing")]
        rest = _Rest(findings)
        if not findings and all(part.error is None for part in parts):
            made = effective(self._provider, request)
            caveats = list(request_caveats(self._provider, self._prices, request, made))
            rest = _Rest(findings, credits_for(self._provider, self._prices, request), caveats)
        self._rests[draft.item, shape.rest(draft.parts)] = rest
        return rest

    def _report(self, draft: Draft, findings: Sequence[Finding]) -> None:
        broken = {part.field for part in draft.parts if part.error is not None}
        for way, message in findings:
            if not way or way[0] not in broken:
                self.problems.append(Problem(draft.locate(way), message, draft.name))

    def _check_names(self, drafts: Sequence[Draft]) -> None:
        seen: dict[str, Draft] = {}
        for draft in drafts:
            if wrong := name_finding(draft.name):
                self.problems.append(Problem(draft.place, wrong, draft.name))
            first = seen.setdefault(draft.name.casefold(), draft)
            if first is not draft:
                self.problems.append(Problem(draft.place, _same_name(first, draft), draft.name))

    def _check_graph(self, jobs: list[Job], continuing: Sequence[tuple[Job, Draft]], leaning: Leaning) -> list[Job]:
        """Every frame of a clip is one of a job's; then each job has a key that tells it from the others."""
        said = len(self.problems)
        drafts = {job.name: draft for job, draft in continuing}
        seconds = {job.name: effective(self._provider, job.request).seconds for job in jobs}
        for job, draft in continuing:
            for number, image in enumerate(job.images):
                if isinstance(image, Continued) and (wrong := _no_frame(image, leaning, seconds)):
                    self.problems.append(Problem(draft.locate(("images", number)), wrong, job.name))
        try:
            keyed = settled(self._provider.name, jobs, {})
        except Circle as circle:
            first = next(draft for job, draft in continuing if job.name == str(circle).split(" → ")[0])
            self.problems.append(Problem(first.locate(("images",)), f"these jobs wait for one another: {circle}"))
            return []
        if not self.problems:
            for job, told in continued_caveats(in_order(jobs, leaning), leaning, self._rules):
                self.caveats.setdefault((drafts[job.name].locate(("images",)), told), []).append(job)
        return [] if len(self.problems) > said else list(keyed)

    def _check_keys(self, made: Sequence[Job], items: Sequence[Item]) -> None:
        """`items` are those that the jobs were made of."""
        if len({job.key for job in made}) == len(made):
            return
        seen: dict[str, Job] = {}
        for job, item in zip(made, items, strict=True):
            first = seen.setdefault(job.key, job)
            if first is job:
                continue
            told = f"the same request as job {one_line(first.name)} at {first.place}: {_why_same(first, job, item)}"
            self.problems.append(Problem(job.place, told, job.name))


def _no_frame(image: Continued, leaning: Leaning, seconds: Mapping[str, int]) -> str | None:
    """Why this is no frame of a clip of the spec, if it is none."""
    names = leaning.of(image)
    if not names:
        near = get_close_matches(image.of, seconds, n=1)
        return f"no job is called {shown(image.of)}" + (f"; did you mean {shown(near[0])}?" if near else "")
    shortest = min((seconds[name] for name in names if name in seconds), default=None)
    if shortest is not None and isinstance(image.position, int | float) and image.position > shortest:
        return f"{image.of} has no frame at {image.position:g} s: its clip is {shortest} s long"
    return None


def _request(parts: Sequence[Part], has_extra: bool) -> dict[str, Any]:
    """What is sent, less what is left out."""
    if has_extra:
        return {part.field.removeprefix("extra."): part.value for part in parts if part.value is not None}
    return {part.field: part.value for part in parts if part.value is not None}


def _why_same(first: Job, job: Job, item: Item) -> str:
    if item.unread:
        return f"no field of the request reads the axis {' or '.join(item.unread)}"
    for axis, label in job.axes.items():
        if axis in first.axes and first.axes[axis] != label:
            return f"{shown(first.axes[axis])} and {shown(label)} of the axis {axis} come to the same"
    return "both ask for the same video"


def _same_name(first: Draft, second: Draft) -> str:
    differing = [axis for axis, label in second.axes.items() if first.axes.get(axis) != label]
    advice = f"; add {' or '.join('{{ ' + axis + ' }}' for axis in differing)} to it" if differing else ""
    return f"the name {shown(second.name)} is also that of the job at {first.place}{advice}"
