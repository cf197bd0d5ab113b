"""From a spec's path to checked jobs, or to every problem at once. Reads the spec and its frames; sends nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from vidu_run.errors import Problem, SpecTrouble
from vidu_run.frames import BadFrame, inside, measure, small_text
from vidu_run.job import Image, Job, Link
from vidu_run.key import key_of, plain
from vidu_run.pace import Timing
from vidu_run.providers.catalogue import local_like, provider, request_schema, schema_file
from vidu_run.providers.pricing import credits_for, prices
from vidu_run.providers.rules import Provider
from vidu_run.spec.check import (
    Finding,
    ImageRules,
    RequestChecker,
    fold,
    image_findings,
    name_finding,
    size_findings,
    structure,
)
from vidu_run.spec.expand import expand
from vidu_run.spec.item import Draft
from vidu_run.spec.read import read_yaml
from vidu_run.spec.sources import FileAxes
from vidu_run.spec.words import one_line, shown

LOCAL = "local"
LOCAL_RULES = "octopusx"
"""Whose rules the local API follows where a spec names no other provider."""

MOST_PROMPT_FILE = 1 << 20
SIGNING = ("sig", "sign", "expires", "token", "key-pair-id", "policy")
"""Names of query parameters that come and go with a signed link, beside all that hold `signature` or `credential`."""

MOST_HINTS = 20
MOST_NEIGHBOURS = 1_000
"""Likely names are looked for so many times, among so many files: each look reads a folder."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A checked spec. `provider` is where its jobs go; `home` the provider the file names, whose rules apply."""

    path: Path
    provider: Provider
    home: str
    jobs: tuple[Job, ...]
    concurrency: int
    off_peak_concurrency: int
    budget: int | None
    timing: Timing
    warnings: tuple[Problem, ...] = ()

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(".yaml").removesuffix(".yml")

    @property
    def folder(self) -> Path:
        return self.path.parent


@dataclass(slots=True)
class _Gathering:
    """`rules` is the name of the provider whose rules the requests are held against."""

    provider: Provider
    rules: str
    folder: Path
    problems: list[Problem] = field(default_factory=list)
    frames: dict[str, Image | str] = field(default_factory=dict)
    hints: int = MOST_HINTS


def load(path: Path, provider_name: str | None = None, settings: Mapping[str, Any] | None = None) -> Spec:
    """Raises SpecTrouble with every problem of the spec, or UnknownProvider for `provider_name`."""
    document = read_yaml(path, path.as_posix())
    told = {problem.place for problem in document.problems}
    shape = structure(document, _spec_schema())
    if problems := [*document.problems, *(problem for problem in shape if problem.place not in told)]:
        raise SpecTrouble(fold(problems))
    data = plain(document.data)
    home = data.get("provider", LOCAL)
    chosen = choose_provider(home, provider_name)
    sources = FileAxes(path.parent, document)
    drafts, problems = expand(document, sources, lambda source: _prompt_text(path.parent, source), settings or {})
    rules = LOCAL_RULES if home == chosen.name == LOCAL else home if chosen.name == LOCAL else chosen.name
    gathering = _Gathering(chosen, rules, path.parent, problems)
    jobs = _checked(drafts, gathering)
    if gathering.problems:
        raise SpecTrouble(fold(gathering.problems))
    return Spec(
        path=path,
        provider=chosen,
        home=home,
        jobs=tuple(jobs),
        concurrency=data["concurrency"] if isinstance(data.get("concurrency"), int) else 4,
        off_peak_concurrency=data.get("off_peak_concurrency", 100),
        budget=data.get("budget"),
        timing=Timing.of(data.get("timing", {})),
    )


def choose_provider(home: str, override: str | None) -> Provider:
    """`local` takes the rules of the spec's own provider, so that a rehearsal checks and prices as the run will."""
    name = override or home
    if name != LOCAL:
        return provider(name)
    return local_like(provider(LOCAL_RULES if home == LOCAL else home))


def _spec_schema() -> dict[str, Any]:
    import json

    schema: dict[str, Any] = json.loads(schema_file("spec.schema.json").read_text(encoding="utf-8"))
    return schema


def _prompt_text(folder: Path, source: str) -> str:
    """Raises BadFrame, a sentence about the file."""
    return small_text(inside(folder, source), MOST_PROMPT_FILE)


def _checked(drafts: Sequence[Draft], work: _Gathering) -> list[Job]:
    checker = RequestChecker(request_schema(work.provider), work.rules)
    limits = work.provider.limits
    rules = ImageRules(
        limits.aspect_min, limits.aspect_max, limits.closeness_min, limits.closeness_max, limits.body_bytes
    )
    table = prices(work.provider)
    jobs = []
    for draft in drafts:
        request = plain(draft.request)
        findings = checker.findings(request)
        images, image_problems = _images(request.get("images"), work)
        findings += image_problems + checker.extra_findings(draft.extra)
        request |= plain(draft.extra)
        if not findings:
            findings += image_findings(images, rules) + size_findings(request, images, rules)
        _report(draft, findings, work)
        if findings or draft.broken:
            continue
        key = key_of(work.provider.name, request, images)
        credits = credits_for(work.provider, table, request)
        jobs.append(Job(draft.name, key, request, images, draft.axes, draft.place, credits))
    _check_names(drafts, work)
    _check_keys(jobs, drafts, work)
    return jobs


def _report(draft: Draft, findings: Sequence[Finding], work: _Gathering) -> None:
    for way, message in findings:
        if way and way[0] in draft.broken:
            continue
        work.problems.append(Problem(draft.locate(way), message, draft.name))


def _images(sources: Any, work: _Gathering) -> tuple[tuple[Image, ...], list[Finding]]:
    if not isinstance(sources, list):
        return (), []
    images: list[Image] = []
    findings: list[Finding] = []
    for number, source in enumerate(sources):
        if not isinstance(source, str) or not source:
            continue
        found = _image(source, work)
        if isinstance(found, str):
            findings.append((("images", number), found))
        else:
            images.append(found)
    return tuple(images), findings


def _image(source: str, work: _Gathering) -> Image | str:
    """The image, or a sentence about it; each source is looked at once."""
    if source not in work.frames:
        work.frames[source] = _look_at(source, work)
    return work.frames[source]


def _look_at(source: str, work: _Gathering) -> Image | str:
    if "://" in source:
        return _link(source)
    if source.startswith("data:"):
        return f"{shown(source)} is image data: put the image into a file beside the spec"
    try:
        return measure(inside(work.folder, source), source, work.provider.limits.file_bytes)
    except BadFrame as error:
        return f"{shown(source)} {error}{_near_file(work, source)}"


def _near_file(work: _Gathering, source: str) -> str:
    """Costs a look into the folder, so only the first missing files get it."""
    if work.hints <= 0:
        return ""
    work.hints -= 1
    try:
        wanted = inside(work.folder, source)
        if wanted.exists():
            return ""
        names = [file.name for file in islice(inside(work.folder, str(Path(source).parent)).iterdir(), MOST_NEIGHBOURS)]
    except (OSError, BadFrame):
        return ""
    near = get_close_matches(wanted.name, names, n=1)
    return f"; did you mean {shown((Path(source).parent / near[0]).as_posix())}?" if near else ""


def _link(source: str) -> Link | str:
    try:
        parts = urlsplit(source)
        host = parts.hostname
    except ValueError:
        return f"{shown(source)} is not a URL"
    if "@" in parts.netloc:
        return "an image URL with a user name or password in it: the spec is no place for a secret"
    if parts.scheme != "https" or not host:
        return f"{shown(source)} is not an https URL"
    if any(_signs(name.lower()) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        bare = shown(parts._replace(query="", fragment="").geturl())
        return f"{bare} with a query that looks signed: it will expire, and each signature would be another job"
    if not source.isascii() or not source.isprintable() or any(char in source for char in ' "\\<>'):
        return f"{shown(source)} holds characters that must be percent-encoded in a URL"
    return Link(source)


def _signs(name: str) -> bool:
    return name in SIGNING or "signature" in name or "credential" in name


def _check_names(drafts: Sequence[Draft], work: _Gathering) -> None:
    seen: dict[str, Draft] = {}
    for draft in drafts:
        if wrong := name_finding(draft.name):
            work.problems.append(Problem(draft.place, wrong, draft.name))
        first = seen.setdefault(draft.name.casefold(), draft)
        if first is not draft:
            work.problems.append(Problem(draft.place, _same_name(first, draft), draft.name))


def _same_name(first: Draft, second: Draft) -> str:
    differing = [axis for axis, label in second.axes.items() if first.axes.get(axis) != label]
    advice = f"; add {' or '.join('{{ ' + axis + ' }}' for axis in differing)} to it" if differing else ""
    return f"the name {shown(second.name)} is also that of the job at {first.place}{advice}"


def _check_keys(jobs: Sequence[Job], drafts: Sequence[Draft], work: _Gathering) -> None:
    unread = {draft.name: draft.unread for draft in drafts}
    seen: dict[str, Job] = {}
    for job in jobs:
        first = seen.setdefault(job.key, job)
        if first is job:
            continue
        axes = unread.get(job.name, ())
        why = f"no field of the request reads the axis {' or '.join(axes)}" if axes else "both ask for the same video"
        work.problems.append(
            Problem(job.place, f"the same request as job {one_line(first.name)} at {first.place}: {why}", job.name)
        )
