"""From a spec's path to checked jobs, or to every problem at once. Reads the spec and its frames; sends nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vidu_run.errors import Place, Problem, SpecTrouble
from vidu_run.frames import BadFrame, inside, measure
from vidu_run.job import Image, Job, Link
from vidu_run.key import key_of, plain
from vidu_run.pace import Timing
from vidu_run.providers.catalogue import local_like, provider, request_schema, schema_file
from vidu_run.providers.pricing import credits_for, prices
from vidu_run.providers.rules import Provider
from vidu_run.spec.axes import Axis, BadAxis
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
from vidu_run.spec.expand import Draft, expand
from vidu_run.spec.read import Path_, read_yaml

LOCAL = "local"
LOCAL_RULES = "octopusx"
"""Whose rules the local API follows where a spec names no other provider."""

MOST_PROMPT_FILE = 1 << 20
SIGNATURES = ("signature", "x-amz-signature", "sig", "expires", "x-goog-signature", "key-pair-id", "token")


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
    provider: Provider
    folder: Path
    problems: list[Problem] = field(default_factory=list)
    frames: dict[str, Image | str] = field(default_factory=dict)


def load(path: Path, provider_name: str | None = None, settings: Mapping[str, Any] | None = None) -> Spec:
    """Raises SpecTrouble with every problem of the spec, or UnknownProvider for `provider_name`."""
    shown = path.as_posix()
    document = read_yaml(path, shown)
    problems = [*document.problems, *structure(document, _spec_schema())]
    if problems:
        raise SpecTrouble(fold(problems))
    home = document.data.get("provider", LOCAL)
    chosen = choose_provider(home, provider_name)
    drafts, problems = expand(document, _no_sources, lambda source: _prompt_text(path.parent, source), settings or {})
    gathering = _Gathering(chosen, path.parent, problems)
    jobs = _checked(drafts, gathering)
    if gathering.problems:
        raise SpecTrouble(fold(gathering.problems))
    data = document.data
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


def _no_sources(name: str, source: Mapping[str, Any], way: Path_) -> Axis:
    raise BadAxis(f"the axis {name} is read from files, which this version does not do yet")


def _prompt_text(folder: Path, source: str) -> str:
    try:
        path = inside(folder, source)
        if path.stat().st_size > MOST_PROMPT_FILE:
            raise ValueError(f"the prompt file {source} is too large")
        return path.read_text(encoding="utf-8")
    except BadFrame as error:
        raise ValueError(f"the prompt file {source} {error}") from None
    except OSError as error:
        raise ValueError(f"the prompt file {source} cannot be read ({error.strerror})") from None


def _checked(drafts: Sequence[Draft], work: _Gathering) -> list[Job]:
    checker = RequestChecker(request_schema(work.provider), work.provider.name)
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
        findings += image_problems
        if not findings:
            findings += image_findings(images, rules) + size_findings(request, images, rules)
        _report(draft, findings, work)
        if findings:
            continue
        request |= plain(draft.extra)
        key = key_of(work.provider.name, request, images)
        credits = credits_for(work.provider, table, request)
        jobs.append(Job(draft.name, key, request, images, draft.axes, draft.place, credits))
    _check_names(drafts, work)
    _check_keys(jobs, drafts, work)
    return jobs


def _report(draft: Draft, findings: Sequence[Finding], work: _Gathering) -> None:
    for way, message in findings:
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
    try:
        return measure(inside(work.folder, source), source, work.provider.limits.file_bytes)
    except BadFrame as error:
        return f"{source!r} {error}{_near_file(work.folder, source)}"


def _near_file(folder: Path, source: str) -> str:
    parent = (folder / source).parent
    if (folder / source).exists() or not parent.is_dir() or not parent.resolve().is_relative_to(folder.resolve()):
        return ""
    near = get_close_matches(Path(source).name, [file.name for file in parent.iterdir()], n=1)
    return f"; did you mean {(Path(source).parent / near[0]).as_posix()!r}?" if near else ""


def _link(source: str) -> Link | str:
    parts = urlsplit(source)
    if parts.scheme != "https" or not parts.hostname:
        return f"{source!r} is not an https URL"
    if parts.username or parts.password:
        return "an image URL with a user name or password in it: the spec is no place for a secret"
    if any(pair.split("=")[0].lower() in SIGNATURES for pair in parts.query.split("&")):
        return f"{source[:60]!r}… looks signed: it will expire, and each signature would be another job"
    if not source.isascii() or not source.isprintable() or " " in source or '"' in source or "\\" in source:
        return f"{source!r} holds characters that must be percent-encoded in a URL"
    return Link(source)


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
    return f"the name {second.name!r} is also that of the job at {first.place}{advice}"


def _check_keys(jobs: Sequence[Job], drafts: Sequence[Draft], work: _Gathering) -> None:
    unread = {draft.name: draft.unread for draft in drafts}
    seen: dict[str, Job] = {}
    for job in jobs:
        first = seen.setdefault(job.key, job)
        if first is job:
            continue
        axes = unread.get(job.name, ())
        why = f"no field of the request reads the axis {' or '.join(axes)}" if axes else "both ask for the same video"
        place = Place(job.place.file, job.place.line, job.place.column)
        work.problems.append(Problem(place, f"the same request as job {first.name} at {first.place}: {why}", job.name))
