"""From picks to the next spec: one plain job for each clip that somebody liked, checked before it gets its name.

It reads the state of the drafts and their frames, writes one new file beside the spec, and buys nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidu_run.choice import Choice, check_changes, chosen, named
from vidu_run.continuity import Shots, films_of, is_continued
from vidu_run.difference import Seen, seen
from vidu_run.drafts import SEEDS
from vidu_run.errors import Place, Problem, SpecTrouble, UsageTrouble
from vidu_run.files import give_name, held_aside, spec_stem
from vidu_run.frames import BadFrame, inside, measure
from vidu_run.job import Image
from vidu_run.journal.port import Sheet
from vidu_run.journal.reader import ReadJournal
from vidu_run.key import plain
from vidu_run.picks import Pick
from vidu_run.plan import Found, Plan, Wish, make_plan
from vidu_run.price import Prices
from vidu_run.providers.catalogue import LOCAL, choose_provider, read_schema, request_schema, validator
from vidu_run.providers.pricing import prices
from vidu_run.record import Record, State, seed_of
from vidu_run.spec.check import fold
from vidu_run.spec.item import MAX_JOBS
from vidu_run.spec.judge import MOST_SHRUNK
from vidu_run.spec.load import Spec, load
from vidu_run.spec.read import read_yaml
from vidu_run.spec.template import BadTemplate
from vidu_run.spec.words import shown
from vidu_run.spec.write import Written, literal, spec_text

KEPT = ("concurrency", "off_peak_concurrency", "timing", "shrink")
"""Settings of the drafts' spec that the new one has too. A budget is a decision of its own."""

NEW_TAKE = frozenset({"model", "resolution", "duration"})
"""What makes another video of the same seed."""

FINAL = re.compile(r"(?P<stem>.*\.final)(?P<number>[0-9]*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the drafts are: their spec, its output folder, and the provider named in place of the spec's."""

    spec: Path
    out: Path
    provider: str | None = None

    @property
    def folder(self) -> Path:
        return self.spec.parent

    @property
    def final_provider(self) -> str | None:
        """Of the new spec: what was rehearsed is meant to be bought."""
        return None if self.provider == LOCAL else self.provider


@dataclass(frozen=True, slots=True)
class Final:
    """A draft, and what its job is to be in the new spec: its name, and its images as they are written there."""

    draft: Sheet
    name: str
    images: Sequence[Any]
    record: Record | None

    @property
    def continues(self) -> bool:
        return any(map(is_continued, self.images))

    @property
    def frozen(self) -> bool:
        """It keeps a frame that was taken from the clip of a draft."""
        asked = self.draft.request.get("images") or ()
        return any(is_continued(one) and not is_continued(now) for one, now in zip(asked, self.images, strict=False))

    @property
    def has_clip(self) -> bool:
        return self.record is not None and self.record.state in (State.READY, State.DONE)


@dataclass(frozen=True, slots=True)
class Promoted:
    """The new spec, and what it costs where nothing of it is bought yet."""

    spec: Spec
    plan: Plan
    prices: Prices
    source: Source
    strangers: int = 0
    """Picks of jobs that the state does not know: of the rehearsal, where the paid clips are promoted."""
    earlier: tuple[str, ...] = ()
    """Names of the jobs whose drafts are no part of the present spec."""
    new_takes: bool = False
    continuing: int = 0
    """Jobs that begin or end with a frame of another one's new clip."""
    frozen: int = 0
    """Jobs that begin or end with a frame of a draft's clip, as it was made."""
    clipless: tuple[str, ...] = ()
    """Names of the jobs whose drafts have no clip."""
    films_left: tuple[str, ...] = ()
    """Films that are not taken over, and why."""


def promote(source: Source, journal: ReadJournal, picks: Sequence[Pick], told: str, choice: Choice) -> Promoted:
    """Write the spec of the clips that were picked; `told` names where the picks stand.

    Raises SpecTrouble or UsageTrouble with every reason that can be seen at once, and then nothing is written.
    """
    target = choice.target or final_file(source.spec)
    settings = _settings(source.spec)
    head, known = _head(settings, source, journal)
    drafts, strangers = chosen(journal.all_sheets(), picks, told, choice)
    check_changes(choice.changes, known, drafts)
    finals = _finals(drafts, picks, source, journal)
    jobs = [_job(final, choice, known) for final in finals]
    problems = [*_taken(target, source.spec), *(_stranger(pick, source, told) for pick in strangers if not drafts)]
    problems += [problem for job in jobs for problem in _unwritable(job, choice, source)]
    problems += _changed_frames(finals, source)
    problems += _rehearsed_frames(finals, source) if head["provider"] != LOCAL else ()
    if problems:
        raise SpecTrouble(fold(problems))
    head |= {"max_jobs": len(jobs)} if len(jobs) > MAX_JOBS else {}
    films, films_left = films_of(settings.get("films") or (), [job.name for job in jobs])
    head |= {"films": films} if films else {}
    new_takes = not NEW_TAKE.isdisjoint(choice.changes)
    spec = _written(source, target, spec_text(_remarks(source, new_takes), head, jobs), jobs, finals)
    return Promoted(
        spec,
        make_plan(spec.jobs, Found({}), Wish()),
        prices(spec.provider),
        source,
        strangers=len(strangers),
        earlier=tuple(final.name for final in finals if final.draft.position is None),
        new_takes=new_takes,
        continuing=sum(final.continues for final in finals),
        frozen=sum(final.frozen for final in finals),
        clipless=tuple(final.name for final in finals if not final.has_clip),
        films_left=tuple(films_left),
    )


def final_file(spec: Path) -> Path:
    """`jobs.final.yaml` for `jobs.yaml`; of a spec that is final already the next one, `jobs.final2.yaml`."""
    stem = spec_stem(spec.name)
    if found := FINAL.fullmatch(stem):
        return spec.with_name(f"{found['stem']}{int(found['number'] or 1) + 1}.yaml")
    return spec.with_name(f"{stem}.final.yaml")


def _head(
    settings: Mapping[str, Any], source: Source, journal: ReadJournal
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """The new spec's settings, and the schemas of the request fields that its provider knows."""
    home = str(settings.get("provider") or journal.meta("rules") or LOCAL)
    known: Mapping[str, Any] = request_schema(choose_provider(home, source.provider))["properties"]
    return {"version": 1, "provider": home, **{name: settings[name] for name in KEPT if name in settings}}, known


def _settings(spec: Path) -> dict[str, Any]:
    """What is sound of the settings of the drafts' spec, which may have changed since, or be gone."""
    try:
        data = read_yaml(spec, spec.as_posix()).data
    except SpecTrouble:
        return {}
    fields = read_schema("spec.schema.json")["properties"]
    told = {"provider": LOCAL, **plain(data)} if isinstance(data, dict) else {}
    wanted = [name for name in ("provider", "films", *KEPT) if name in told]
    return {name: told[name] for name in wanted if validator(fields[name]).is_valid(told[name])}


def _finals(drafts: Sequence[Sheet], picks: Sequence[Pick], source: Source, journal: ReadJournal) -> list[Final]:
    records = {record.key: record for record in journal.records()}
    shots = Shots(drafts, {pick.key: pick.stars for pick in picks if pick.stars is not None})
    store = (Path(os.path.relpath(source.out, source.folder)) / "frames").as_posix()
    return [Final(draft, name, shots.images(draft, store), records.get(draft.key)) for draft, name in named(drafts)]


def _rehearsed_frames(finals: Sequence[Final], source: Source) -> Iterator[Problem]:
    """What a rehearsal drew in the place of a clip must not become a frame that is paid for."""
    for final in finals if source.provider == LOCAL else ():
        if final.frozen:
            told = "continues a clip that was only rehearsed, and has a stand-in's frame: promote that clip as well"
            yield Problem(Place(source.spec.as_posix()), told, final.name)


def _job(final: Final, choice: Choice, known: Mapping[str, Any]) -> Written:
    """The draft's request with the seed that was used, else the one that was asked for."""
    seed = seed_of(final.record, final.draft.request)
    fields = plain({**final.draft.request, "images": final.images, "seed": seed, **choice.changes})
    request = {field: value for field, value in fields.items() if field in known}
    extra = {field: fields[field] for field in fields if field not in known}
    return Written(final.name, final.draft.key, request, extra)


def _taken(target: Path, spec: Path) -> Iterator[Problem]:
    place = Place(target.as_posix())
    if target.parent.resolve() != spec.parent.resolve():
        yield Problem(place, f"must stand beside {spec}: the paths of its frames would not hold elsewhere")
    elif spec_stem(target.name) == spec_stem(spec.name):
        yield Problem(place, f"would share the output folder of {spec}: give another --to FILE")
    else:
        twins = (target, *(target.with_name(spec_stem(target.name) + ending) for ending in (".yaml", ".yml")))
        if there := next((twin for twin in twins if twin.exists() or twin.is_symlink()), None):
            yield _exists(target, there)


def _exists(target: Path, there: Path) -> Problem:
    also = "" if there == target else f", as {there.name},"
    return Problem(Place(target.as_posix()), f"is there already{also} and is never overwritten: give another --to FILE")


def _stranger(pick: Pick, source: Source, told: str) -> Problem:
    hint = "" if source.provider == LOCAL else " (picks of a rehearsal: --provider local)"
    return Problem(
        Place(told), f"{source.out} knows no such job: the pick is of another state or spec{hint}", pick.name
    )


def _unwritable(job: Written, choice: Choice, source: Source) -> Iterator[Problem]:
    """A seed that nobody knows, and texts that no spec can say."""
    place = Place(source.spec.as_posix())
    if "seed" not in job.request and "seed" not in choice.changes:
        yield Problem(place, "the seed it was made with is not known: give one with --with seed=N", job.name)
    for field, value in [("name", job.name), *job.request.items(), *job.extra.items()]:
        try:
            literal(value)
        except BadTemplate as error:
            yield Problem(place, f"{field} {error}", job.name)


def _changed_frames(finals: Sequence[Final], source: Source) -> Iterator[Problem]:
    """Frames that are not the ones the drafts were made of; each is read once."""
    looked: dict[str, str | BadFrame] = {}
    for final in finals:
        for image, (_, stored) in zip(final.images, final.draft.images, strict=False):
            if stored is None or is_continued(image):
                continue
            if image not in looked:
                looked[image] = _store_name(image, source)
            if looked[image] != stored:
                place = Place((source.folder / image).as_posix())
                yield Problem(place, _changed(looked[image], stored, source), final.name)


def _store_name(image: str, source: Source) -> str | BadFrame:
    try:
        return measure(inside(source.folder, image), image, MOST_SHRUNK).store_name
    except BadFrame as error:
        return error


def _changed(found: str | BadFrame, stored: str, source: Source) -> str:
    wrong = str(found) if isinstance(found, BadFrame) else "is not the picture of the draft any more"
    kept = source.out / "frames" / stored
    return f"{wrong}; as it was it is kept in {kept}" if kept.is_file() else wrong


def _remarks(source: Source, new_takes: bool) -> list[str]:
    return [
        f"Made by vidu-run promote from {shown(source.spec.name)}: one job for each pick. Edit it like any spec.",
        *([f"{SEEDS[0].upper()}{SEEDS[1:]}."] if new_takes else []),
        "`from` is the key of the draft that was picked; it is no part of the request.",
    ]


def _written(source: Source, target: Path, text: str, jobs: Sequence[Written], finals: Sequence[Final]) -> Spec:
    """The file under its name, once it has been read as any spec is and says what was meant."""
    with held_aside(target, text.encode()) as aside:
        try:
            spec = load(aside, source.final_provider)
        except SpecTrouble as trouble:
            raise SpecTrouble([_of_target(problem, aside, target) for problem in trouble.problems]) from None
        for job, wanted, final in zip(spec.jobs, jobs, finals, strict=True):
            if (job.name, job.draft, job.request) != (wanted.name, wanted.draft, {**wanted.request, **wanted.extra}):
                raise RuntimeError(f"the spec written for {wanted.name} reads as another request")
            if not all(map(_is_as_drafted, job.images, final.images, final.draft.images)):
                raise UsageTrouble(f"a frame of {job.name} changed at this moment: nothing was written, promote again")
        if not give_name(aside, target):
            raise SpecTrouble([_exists(target, target)])
    return replace(spec, path=target)


def _is_as_drafted(image: Image, written: Any, drafted: Seen) -> bool:
    return is_continued(written) or seen(image) == (written, drafted[1])


def _of_target(problem: Problem, aside: Path, target: Path) -> Problem:
    """A file that was not written has no lines to look at."""
    spots = re.compile(re.escape(aside.as_posix()) + r"(:\d+:\d+)?")
    message = spots.sub(lambda _: target.as_posix(), problem.message)
    return replace(problem, place=Place(target.as_posix()), message=message)
