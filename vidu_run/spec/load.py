"""From a spec's path to checked jobs, or to every problem at once. Reads the spec and its frames; sends nothing."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vidu_run.errors import Place, Problem, SpecTrouble
from vidu_run.files import spec_stem
from vidu_run.frames import inside, small_text
from vidu_run.graph import Chosen, settled
from vidu_run.job import Job, Key
from vidu_run.key import plain
from vidu_run.names import meant
from vidu_run.pace import Timing
from vidu_run.providers.catalogue import LOCAL, LOCAL_RULES, choose_provider, read_schema
from vidu_run.providers.rules import Provider
from vidu_run.record import Record
from vidu_run.spec.check import MOST_ALIKE, check_structure, fold, name_finding
from vidu_run.spec.expand import expand
from vidu_run.spec.judge import Judge
from vidu_run.spec.read import Document, read_yaml
from vidu_run.spec.sources import FileAxes
from vidu_run.spec.words import shown

USUAL_CONCURRENCY = 4
"""Tasks at the API at once where nobody says otherwise: below the five of Vidu's smallest package."""

MOST_PROMPT_FILE = 1 << 20


@dataclass(frozen=True, slots=True)
class Film:
    """A film as the spec asks for it: names of jobs, or patterns of them, in their order."""

    name: str
    jobs: tuple[str, ...]
    audio: bool = True


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
    shrink: bool = False
    auto_concurrency: bool = False
    """`concurrency` is a guess: the account may say what its limit is."""
    films: tuple[Film, ...] = ()
    looked: frozenset[str] = frozenset()
    """Files and folders beside the frames that were looked at, relative to the spec's folder; also missing ones."""
    caveats: Mapping[tuple[Place, str], list[Job]] = field(default_factory=dict)
    """What is risky or without effect: where and what, and the jobs it was met in."""

    @property
    def name(self) -> str:
        return spec_stem(self.path.name)

    def warnings(self, names: Container[str] | None = None, most_places: int = MOST_ALIKE) -> list[Problem]:
        """What the user may not mean, folded; of the jobs with these names alone, each at the first `most_places`."""
        met = [
            Problem(place, message, job.name, warning=True)
            for (place, message), jobs in self.caveats.items()
            for job in jobs
            if names is None or job.name in names
        ]
        return fold(met, most_places)

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def continues(self) -> bool:
        """Whether any job begins or ends with a frame of another one's clip."""
        return any(job.continued for job in self.jobs)

    @property
    def picks(self) -> bool:
        """Whether any job waits for the user's pick."""
        return any(image.picked for job in self.jobs for image in job.continued)

    def known(self, records: Mapping[Key, Record], stars: Mapping[Key, int]) -> Spec:
        """Its jobs with the keys they have by now: those that continue clips, by what is recorded of these and by the
        picks; a rehearsal waits for none.
        """
        chosen = Chosen(stars, unasked=self.provider.rehearses)
        return replace(self, jobs=settled(self.provider.name, self.jobs, records, chosen))


def load(
    path: Path,
    provider_name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    assume_credits: int | None = None,
) -> Spec:
    """Raises SpecTrouble with every problem of the spec, or UnknownProvider for `provider_name`.

    `assume_credits` are counted for a clip without a known price.
    """
    document = read_yaml(path, path.as_posix())
    check_structure(document, read_schema("spec.schema.json"))
    data = plain(document.data)
    home = data.get("provider", LOCAL)
    chosen = choose_provider(home, provider_name)
    sources = FileAxes(path.parent, document)
    texts: set[str] = set()

    def read_text(source: str) -> str:
        texts.add(source)
        return _prompt_text(path.parent, source)

    drafts, problems = expand(document, sources, read_text, settings or {})
    rules = LOCAL_RULES if home == chosen.name == LOCAL else home if chosen.name == LOCAL else chosen.name
    shrink = data.get("shrink", False)
    judge = Judge(chosen, rules, path.parent, problems, assume_credits, shrink)
    jobs = judge.jobs(drafts)
    films, amiss = _films(document, [job.name for job in jobs], whole=not judge.problems)
    if judge.problems or amiss:
        raise SpecTrouble(fold([*judge.problems, *amiss]))
    return Spec(
        path=path,
        provider=chosen,
        home=home,
        jobs=tuple(jobs),
        concurrency=data["concurrency"] if isinstance(data.get("concurrency"), int) else USUAL_CONCURRENCY,
        auto_concurrency=data.get("concurrency") == "auto",
        off_peak_concurrency=data.get("off_peak_concurrency", 100),
        budget=data.get("budget"),
        timing=Timing.of(data.get("timing", {})),
        shrink=shrink,
        films=films,
        looked=frozenset(sources.looked | texts),
        caveats=judge.caveats,
    )


def _films(document: Document, names: Sequence[str], whole: bool) -> tuple[tuple[Film, ...], list[Problem]]:
    """`whole`: every job is there; else a film may mean one that has a mistake of its own."""
    films, problems, known = [], [], set[str]()
    for number, asked in enumerate(plain(document.data).get("films", ())):
        wanted = (asked["jobs"],) if isinstance(asked["jobs"], str) else tuple(asked["jobs"])
        films.append(Film(asked["name"], wanted, asked.get("audio", True)))
        if asked["name"].casefold() in known:
            problems.append(Problem(document.place(("films", number, "name")), f"a second film {asked['name']!r}"))
        elif wrong := name_finding(f"films/{asked['name']}"):
            problems.append(Problem(document.place(("films", number, "name")), wrong))
        known.add(asked["name"].casefold())
        for at, pattern in enumerate(wanted):
            way = ("films", number, "jobs") if isinstance(asked["jobs"], str) else ("films", number, "jobs", at)
            if pattern in wanted[:at]:
                told = f"{shown(pattern)} stands here twice: a clip has one place in a film"
                problems.append(Problem(document.place(way), told))
            elif whole and not meant(pattern, names):
                problems.append(Problem(document.place(way), f"no job is called {pattern!r}"))
    return tuple(films), problems


def _prompt_text(folder: Path, source: str) -> str:
    """Raises BadFrame, a sentence about the file."""
    return small_text(inside(folder, source), MOST_PROMPT_FILE)
