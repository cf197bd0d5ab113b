"""What a state leaves in its folder to be looked at: the ledger, the page, the table, the contact sheets."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidu_run import __version__, films, ledger
from vidu_run.drafts import SEEDS, Draft, drafts
from vidu_run.errors import Problem, SpecTrouble, StorageTrouble
from vidu_run.files import output_folder
from vidu_run.job import Key
from vidu_run.journal.file import SHOWN
from vidu_run.journal.port import Sheet
from vidu_run.journal.reader import ReadJournal
from vidu_run.picks import Pick, Picks, picks_file, picks_of
from vidu_run.price import Prices
from vidu_run.programme import FACT, programme, reels
from vidu_run.providers.catalogue import LOCAL, choose_provider
from vidu_run.providers.pricing import effective, prices
from vidu_run.providers.rules import Effective, Provider
from vidu_run.record import Record, State
from vidu_run.report import table
from vidu_run.report.data import POSTERS, Pictures, Seen, Survey, page_document, picture_name, survey
from vidu_run.shelf import present
from vidu_run.wording import counted

if TYPE_CHECKING:
    from vidu_run.journal.sqlite import SqliteJournal

Say = Callable[[str, str], None]
"""Tells the user a line in a colour."""

Warn = Callable[[Sequence[Problem]], None]

PAGE = "report.html"

PICTURES_AT_ONCE = 64

PROVIDER_NOTES = 3
"""Of what a provider's data has to say, the first of which concern every user; the others stand in the documents."""

MODEL = re.compile(r"vidu[a-z]*[0-9][a-z0-9.-]*[a-z0-9]|vidu[a-z]*[0-9]")

HINTS = {
    "in_doubt": "A submission left and its answer was lost. Look for it in the provider's console: {traits}.\n"
    "If it is there:\nvidu-run resolve {spec} --task TASK_ID {name}\nIf it surely is not:\n"
    "vidu-run resolve {spec} --resubmit {name}\nTo give it up:\nvidu-run resolve {spec} --abandon {name}",
    "submitted": "Its task is at the API. The same command looks again.",
    "ready": "Finished and paid for. The same command fetches it.",
    "failed": "The API could not make it. Another try is bought by\nvidu-run run {spec} --retry-failed",
    "rejected": "The API refused the request. Change the spec, or try again with\nvidu-run run {spec} --retry-failed",
    "cancelled": "You took it back before it began, and it cost nothing. It is bought again by\n"
    "vidu-run run {spec} --retry-failed",
    "elsewhere": "Delivered into another copy of this folder, and not here. Copy its video to {file}, or buy it anew:\n"
    "vidu-run run {spec} --rebuy --only {name}",
    "moderation": "Moderation judged the input: change the frame or the prompt. Input that is refused again and again "
    "can get an account suspended.",
}


@dataclass(frozen=True, slots=True)
class Sheets:
    """The jobs of the present spec in its order, read whenever they are gone through: a hundred thousand at a time
    would be 250 MB.
    """

    journal: ReadJournal
    keys: Sequence[Key]

    def __iter__(self) -> Iterator[Sheet]:
        return self.journal.each_sheet(self.keys)


@dataclass(frozen=True, slots=True)
class Held:
    """What a state holds, for everything that is written of it, as long as its journal is open."""

    out: Path
    spec: str
    provider: str
    home: str
    rules: Provider
    sheets: Sheets
    records: Mapping[Key, Record]
    survey: Survey
    retold: Mapping[Key, Sequence[Record]]
    films: Mapping[str, Any]
    prices: Prices
    picks: Picks
    drafts: Mapping[Key, Draft]
    notes: tuple[str, ...]
    run_lives: bool

    def made(self, sheet: Sheet) -> Effective:
        return effective(self.rules, sheet.request)

    @property
    def is_rehearsal(self) -> bool:
        return self.provider == LOCAL

    @property
    def target(self) -> str:
        """How the user names this state on a command line, in the spec's folder."""
        words = [shlex.quote(self.spec), *(["--provider", self.provider] if self.provider != self.home else [])]
        here, usual = self.out.resolve(), output_folder(Path(self.spec), self.home, self.provider)
        if here.parts[-2:] != usual.parts[-2:]:
            # Where the spec stands nobody knows; beside it most often.
            words += ["--out", shlex.quote("/".join(here.parts[-2:]) if here.parent.name == "out" else str(here))]
        return " ".join(words)


def hold(
    journal: ReadJournal, out: Path, picks: Picks, run_lives: bool, records: Mapping[Key, Record] | None = None
) -> Held:
    """`records` where they were read already."""
    names = journal.names()
    sheets = Sheets(journal, (*names,))
    if records is None:
        records = {record.key: record for record in journal.records()}
    spec = journal.meta("spec") or ""
    provider, home = journal.meta("provider") or "", journal.meta("rules") or LOCAL
    rules = choose_provider(home, provider)
    surveyed = survey(sheets, records, run_lives)
    return Held(
        out=out,
        spec=spec,
        provider=provider,
        home=home,
        rules=rules,
        sheets=sheets,
        records=records,
        survey=surveyed,
        retold=journal.retold(),
        films=programme(journal.meta(FACT), names, records, picks, out),
        prices=prices(rules),
        picks=picks,
        drafts=drafts(out, surveyed.promoted),
        notes=tuple(note for note in (journal.meta("notes") or "").split("\n") if note),
        run_lives=run_lives,
    )


def picks_beside(journal: ReadJournal, out: Path, spec: Path | None) -> dict[Key, Pick]:
    """The picks that stand beside the spec; where nobody names it, beside the one of the last run, which stood above
    the output folder. Raises SpecTrouble where they cannot be understood.
    """
    return picks_of(spec or out.resolve().parent.parent / (journal.meta("spec") or "spec"))


def readable_picks(journal: ReadJournal, out: Path, spec: Path | None, warn: Warn) -> dict[Key, Pick]:
    """As `picks_beside`; where they cannot be understood there are none, and it is told as warnings."""
    try:
        return picks_beside(journal, out, spec)
    except SpecTrouble as trouble:
        warn([replace(problem, warning=True) for problem in trouble.problems])
        return {}


async def write_all(journal: SqliteJournal, records: Mapping[Key, Record], out: Path, picks: Picks, say: Say) -> None:
    """Rewrite the ledger, the page and the table from the journal and its records, where they are not what they would
    be. Raises StorageTrouble; for a ledger that cannot be read or written when the others stand.
    """
    shown = _shown(journal, out, picks)
    if shown == journal.meta(SHOWN) and all((out / name).exists() for name in (PAGE, POSTERS, table.NAME, ledger.NAME)):
        return
    unlisted: StorageTrouble | None = None
    try:
        ledger.write(out, journal.meta("origin") or "", journal.each_sheet, records, journal.ledger())
    except StorageTrouble as trouble:
        unlisted = trouble
    held = hold(journal, out, picks, run_lives=False, records=records)
    write_page(held)
    written = write_table(held, say)
    if unlisted is not None:
        raise unlisted
    if written and not held.drafts:
        # A journal that fails only now has been told of already, or nothing was lost with it.
        with suppress(StorageTrouble):
            await journal.remember({SHOWN: shown})


def _shown(journal: ReadJournal, out: Path, picks: Picks) -> str:
    """All that the page shows beside the jobs; drafts, which another state holds, are not among it."""
    facts = [journal.meta(fact) for fact in ("spec", "provider", "rules", "notes", FACT)]
    rules = choose_provider(journal.meta("rules") or LOCAL, journal.meta("provider") or "")
    verdicts = [[pick.key, pick.name, pick.stars, pick.note] for pick in picks.values()]
    standing = [[name, asdict(film)] for name, film in reels(out).items()]
    told = [__version__, facts, str(prices(rules).usd(1)), verdicts, _earlier(out), standing]
    return sha256(json.dumps(told).encode()).hexdigest()


def _earlier(out: Path) -> int:
    earlier = out / "videos" / "earlier"
    return sum(1 for _ in earlier.rglob("*.mp4")) if earlier.is_dir() else 0


def write_page(held: Held) -> Path:
    from vidu_run.report.page import write_page as write
    from vidu_run.report.poster import shape_of

    pictures = _pictures(held)
    spent = held.survey.charged or held.survey.estimated
    facts: dict[str, Any] = {
        "spec": held.spec,
        "provider": held.provider,
        "counts": held.survey.counts,
        "credits": held.survey.credits,
        "axes": held.survey.axes,
        **held.films,
        "rehearsal": held.is_rehearsal,
        "generated_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "version": __version__,
        "money": f"${held.prices.usd(spent):.2f}",
        "usd": float(held.prices.usd(1)),
        "aspect": shape_of(held.out / picture for picture in _shown_pictures(held, pictures)),
        "notes": _notes(held),
        "picks_file": picks_file(Path(held.spec)).name,
        "picks": [[pick.key, pick.name, pick.stars, pick.note] for pick in held.picks.values()],
        "promote": f"vidu-run promote {held.target}",
        "film": f"vidu-run film {held.target}",
    }
    told = {key: draft.told(pictures.of(draft.sha256)) for key, draft in held.drafts.items()}
    elsewhere = not_here(held.out, held.records)
    seen = Seen(pictures, held.made, HINTS, held.target, held.run_lives, held.retold, told, elsewhere)
    write(page_document(held.sheets, held.records, seen, facts), held.out / PAGE)
    return held.out / PAGE


def write_table(held: Held, say: Say) -> bool:
    """`results.csv`; False where a spreadsheet holds it open, which costs a line on the screen and nothing else."""
    try:
        rows = table.table_rows(
            held.sheets, held.records, held.survey.axes, held.made, held.prices, held.picks, held.run_lives
        )
        table.write_table(rows, held.out / table.NAME)
    except StorageTrouble as trouble:
        say(f"{trouble}. Is it open in a spreadsheet? `vidu-run report` writes it anew.", "yellow")
        return False
    return True


def write_sheets(held: Held, form: str, column: str | None) -> list[Path]:
    """The contact sheets, as WebP or PNG. Raises UsageTrouble for a column that is no axis."""
    from vidu_run.report import contact, grid

    pictures = _pictures(held)
    boards = grid.boards(held.spec, [*held.sheets], held.records, pictures, held.picks, column, held.run_lives)
    return contact.write_sheets(boards, contact.Origin(held.provider, held.is_rehearsal), held.out, form)


def not_here(out: Path, records: Mapping[Key, Record]) -> frozenset[Key]:
    """Jobs that were delivered into another copy of the folder, and whose videos are not in this one."""
    listed = [record for record in records.values() if record.elsewhere]
    return frozenset(record.key for record in listed) - present(out, listed)


def _notes(held: Held) -> list[str]:
    shown = {film["name"] for film in held.films.get("films", ())}
    notes = [*films.told(held.out, shown), *_expiring(held), *_other_seeds(held), *_promoted(held), *_of_provider(held)]
    if count := _earlier(held.out):
        notes.append(f"{counted(count, 'earlier video')} of edited jobs: in videos/earlier")
    return notes


def _of_provider(held: Held) -> list[str]:
    """Without what concerns a model, or a family of them, that no job uses."""

    def concerns(note: str) -> bool:
        return all(any(model.startswith(name) for model in held.survey.models) for name in MODEL.findall(note))

    return [note for note in held.notes if concerns(note)][:PROVIDER_NOTES]


def _promoted(held: Held) -> list[str]:
    return [f"Promoted from drafts: {SEEDS}."] if held.survey.promoted else []


def _expiring(held: Held) -> list[str]:
    """Of what is paid for and not here yet."""
    records = (held.records.get(key) for key in held.sheets.keys)
    ready = [record.finished_at for record in records if record and record.state is State.READY]
    if not ready:
        return []
    hours = held.rules.limits.link_lifetime_hours
    clips = f"{counted(len(ready), 'finished clip is', 'finished clips are')} not here yet"
    ended = min((moment for moment in ready if moment is not None), default=None)
    if ended is not None and hours is not None:
        until = time.strftime("%d %b, %H:%M UTC", time.gmtime(ended + hours * 3600)).removeprefix("0")
        clips += f"; their links expire {hours} h after the end, the first on {until}"
    return [f"{clips}: vidu-run fetch {held.target}"]


def _other_seeds(held: Held) -> list[str]:
    """The API says which seed it took; where that is not the one that was asked for, a sweep of seeds is none."""
    other = held.survey.other_seeds
    if not other:
        return []
    return [f"The API used another seed than the one asked for in {counted(other, 'job')}."]


Wanted = tuple[str, Callable[[Path, Path], bool], str]
"""The hash that names a small picture, what makes it, and out of which file, relative to the output folder."""


def _pictures(held: Held) -> Pictures:
    """Small pictures, made once: of each video and each stored frame by its bytes."""
    from vidu_run.report.poster import names_in

    folder = held.out / POSTERS
    there = names_in(folder)
    missing = _missing(held, there)
    with ThreadPoolExecutor(2) as pool:
        while some := list(islice(missing, PICTURES_AT_ONCE)):
            made = pool.map(lambda wanted: wanted[1](held.out / wanted[2], folder / picture_name(wanted[0])), some)
            there |= {picture_name(digest) for (digest, _, _), ok in zip(some, made, strict=True) if ok}
    return Pictures(POSTERS, there)


def _missing(held: Held, there: set[str]) -> Iterator[Wanted]:
    asked = set[str]()
    for wanted in _wanted(held):
        name = picture_name(wanted[0])
        if name not in there and name not in asked:
            asked.add(name)
            yield wanted


def _wanted(held: Held) -> Iterator[Wanted]:
    from vidu_run.report.poster import frame_thumbnail, make_poster

    for key in held.sheets.keys:
        record = held.records.get(key)
        if record and record.state is State.DONE and record.file and record.sha256:
            yield record.sha256, make_poster, record.file
    for stored in held.sheets.journal.frames():
        yield stored, frame_thumbnail, f"frames/{stored}"
    for draft in held.drafts.values():
        yield draft.sha256, make_poster, draft.file


def _shown_pictures(held: Held, pictures: Pictures) -> Iterator[str]:
    return (picture for digest, _, _ in _wanted(held) if (picture := pictures.of(digest)))
