"""What a state leaves in its folder to be looked at: the ledger, the page, the table, the contact sheets."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from vidu_run import __version__, films, ledger
from vidu_run.drafts import SEEDS, Draft, drafts
from vidu_run.errors import Problem, SpecTrouble, StorageTrouble
from vidu_run.job import Key
from vidu_run.journal.port import Sheet
from vidu_run.journal.sqlite import SHOWN, ReadJournal, SqliteJournal
from vidu_run.picks import Pick, Picks, picks_file, picks_of
from vidu_run.price import Prices
from vidu_run.programme import FACT, programme, reels
from vidu_run.providers.catalogue import LOCAL, choose_provider
from vidu_run.providers.pricing import effective, prices
from vidu_run.providers.rules import Effective
from vidu_run.record import Record, State
from vidu_run.report import table
from vidu_run.report.data import Seen, page_document, status
from vidu_run.view import known

Say = Callable[[str, str], None]
"""Tells the user a line in a colour."""

Warn = Callable[[Sequence[Problem]], None]

PAGE = "report.html"
POSTERS = "posters"

PROVIDER_NOTES = 3
"""Of what a provider's data has to say, the first of which concern every user; the others stand in the documents."""

MODEL = re.compile(r"vidu[a-z]*[0-9][a-z0-9.-]*[a-z0-9]|vidu[a-z]*[0-9]")

HINTS = {
    "in_doubt": "A submission left and its answer was lost. Look for it in the provider's console, then record your "
    "word:\nvidu-run resolve SPEC NAME --task TASK_ID\nvidu-run resolve SPEC NAME --resubmit",
    "submitted": "Its task is at the API. The same command looks again.",
    "ready": "Finished and paid for. The same command fetches it.",
    "failed": "The API could not make it. Another try is bought by\nvidu-run run SPEC --retry-failed",
    "rejected": "The API refused the request. Change the spec, or try again with\nvidu-run run SPEC --retry-failed",
    "moderation": "Moderation judged the input: change the frame or the prompt. Input that is refused again and again "
    "can get an account suspended.",
}


@dataclass(frozen=True, slots=True)
class Held:
    """What a state holds, read once for everything that is written of it."""

    out: Path
    spec: str
    provider: str
    home: str
    sheets: Sequence[Sheet]
    records: Mapping[Key, Record]
    history: Mapping[Key, Sequence[Record]]
    made: Mapping[Key, Effective]
    prices: Prices
    picks: Picks
    drafts: Mapping[Key, Draft]
    notes: tuple[str, ...]
    link_hours: int | None
    run_lives: bool
    status: Mapping[str, Any]

    @property
    def is_rehearsal(self) -> bool:
        return self.provider == LOCAL

    @property
    def target(self) -> str:
        """How the user names this state on a command line, in the spec's folder."""
        return shlex.quote(self.spec) + (f" --provider {self.provider}" if self.provider != self.home else "")


def hold(journal: ReadJournal, out: Path, picks: Picks, run_lives: bool) -> Held:
    sheets, records = known(journal)
    spec = journal.meta("spec") or ""
    provider, home = journal.meta("provider") or "", journal.meta("rules") or LOCAL
    rules = choose_provider(home, provider)
    return Held(
        out=out,
        spec=spec,
        provider=provider,
        home=home,
        sheets=sheets,
        records=records,
        history=journal.attempts(),
        made={sheet.key: effective(rules, sheet.request) for sheet in sheets},
        prices=prices(rules),
        picks=picks,
        drafts=drafts(out, sheets),
        notes=tuple(note for note in (journal.meta("notes") or "").split("\n") if note),
        link_hours=rules.limits.link_lifetime_hours,
        run_lives=run_lives,
        status={
            **status(spec, provider, sheets, records, run_lives),
            **programme(journal.meta(FACT), sheets, records, picks, out),
        },
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


async def write_all(journal: SqliteJournal, out: Path, picks: Picks, say: Say) -> Path:
    """Rewrite the ledger, the page and the table from the journal, where they are not what they would be; returns the
    page.
    """
    shown = _shown(journal, out, picks)
    if shown == journal.meta(SHOWN) and all((out / name).exists() for name in (PAGE, POSTERS, table.NAME, ledger.NAME)):
        return out / PAGE
    ledger.write(out, journal.meta("origin") or "", journal.all_sheets(), journal.records(), journal.ledger())
    held = hold(journal, out, picks, run_lives=False)
    page = write_page(held)
    if write_table(held, say) and not held.drafts:
        # A journal that fails only now has been told of already, or nothing was lost with it.
        with suppress(StorageTrouble):
            await journal.remember({SHOWN: shown})
    return page


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

    document = held.status
    pictures = _pictures(held)
    spent = document["credits"]["charged"] or document["credits"]["estimated"]
    facts: dict[str, Any] = {
        "rehearsal": held.is_rehearsal,
        "generated_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "version": __version__,
        "money": f"${held.prices.usd(spent):.2f}",
        "usd": float(held.prices.usd(1)),
        "aspect": shape_of(held.out / picture for picture in pictures.values()),
        "notes": _notes(held),
        "picks_file": picks_file(Path(held.spec)).name,
        "picks": [[pick.key, pick.name, pick.stars, pick.note] for pick in held.picks.values()],
        "promote": f"vidu-run promote {held.target}",
        "film": f"vidu-run film {held.target}",
    }
    hints = {state: text.replace("SPEC", held.target) for state, text in HINTS.items()}
    told = {key: draft.told(pictures.get(draft.file)) for key, draft in held.drafts.items()}
    seen = Seen(pictures, held.made, hints, held.history, told)
    write(page_document(document, held.sheets, held.records, seen, facts), held.out / PAGE)
    return held.out / PAGE


def write_table(held: Held, say: Say) -> bool:
    """`results.csv`; False where a spreadsheet holds it open, which costs a line on the screen and nothing else."""
    try:
        rows = table.table_rows(held.sheets, held.records, held.made, held.prices, held.picks, held.run_lives)
        table.write_table(rows, held.out / table.NAME)
    except StorageTrouble as trouble:
        say(f"{trouble}. Is it open in a spreadsheet? `vidu-run report` writes it anew.", "yellow")
        return False
    return True


def write_sheets(held: Held, form: str, column: str | None) -> list[Path]:
    """The contact sheets, as WebP or PNG. Raises UsageTrouble for a column that is no axis."""
    from vidu_run.report import contact, grid

    pictures = _pictures(held)
    boards = grid.boards(held.spec, held.sheets, held.records, pictures, held.picks, column, held.run_lives)
    return contact.write_sheets(boards, contact.Origin(held.provider, held.is_rehearsal), held.out, form)


def _notes(held: Held) -> list[str]:
    shown = {film["name"] for film in held.status.get("films", ())}
    notes = [*films.told(held.out, shown), *_expiring(held), *_other_seeds(held), *_promoted(held), *_of_provider(held)]
    if count := _earlier(held.out):
        notes.append(f"{count} earlier video{'' if count == 1 else 's'} of edited jobs: in videos/earlier")
    return notes


def _of_provider(held: Held) -> list[str]:
    """Without what concerns a model, or a family of them, that no job uses."""
    models = {made.model for made in held.made.values()}

    def concerns(note: str) -> bool:
        return all(any(model.startswith(name) for model in models) for name in MODEL.findall(note))

    return [note for note in held.notes if concerns(note)][:PROVIDER_NOTES]


def _promoted(held: Held) -> list[str]:
    return [f"Promoted from drafts: {SEEDS}."] if any(sheet.draft for sheet in held.sheets) else []


def _expiring(held: Held) -> list[str]:
    """Of what is paid for and not here yet."""
    ready = [record.finished_at for record in held.records.values() if record.state is State.READY]
    if not ready:
        return []
    clips = f"{len(ready)} finished clip{' is' if len(ready) == 1 else 's are'} not here yet"
    ended = min((moment for moment in ready if moment is not None), default=None)
    if ended is not None and held.link_hours is not None:
        until = time.strftime("%d %b, %H:%M UTC", time.gmtime(ended + held.link_hours * 3600)).removeprefix("0")
        clips += f"; their links expire {held.link_hours} h after the end, the first on {until}"
    return [f"{clips}: vidu-run fetch {held.target}"]


def _other_seeds(held: Held) -> list[str]:
    """The API says which seed it took; where that is not the one that was asked for, a sweep of seeds is none."""
    asked = ((sheet.request.get("seed"), held.records.get(sheet.key)) for sheet in held.sheets)
    other = sum(bool(seed and record and record.seed and record.seed != seed) for seed, record in asked)
    if not other:
        return []
    return [f"The API used another seed than the one asked for in {other} job{'' if other == 1 else 's'}."]


def _pictures(held: Held) -> dict[str, str]:
    """Small pictures, made once: of each video by its bytes, of each stored frame by its name."""
    from vidu_run.report.poster import frame_thumbnail, make_poster, small

    out, wanted = held.out, dict[str, tuple[Any, Path, Path]]()
    for sheet in held.sheets:
        record = held.records.get(sheet.key)
        if record and record.state is State.DONE and record.file and record.sha256:
            target = out / POSTERS / f"{record.sha256[:24]}.webp"
            wanted[record.file] = (make_poster, out / record.file, target)
        for _, stored in sheet.images:
            if stored:
                target = out / POSTERS / f"{Path(stored).stem[:24]}.webp"
                wanted[stored] = (frame_thumbnail, out / "frames" / stored, target)
    for draft in held.drafts.values():
        target = out / POSTERS / f"{draft.sha256[:24]}.webp"
        wanted[draft.file] = (make_poster, out / draft.file, target)
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda item: small(item[2]).exists() or item[0](item[1], item[2]), wanted.values())
        return {name: f"{POSTERS}/{item[2].name}" for (name, item), ok in zip(wanted.items(), made, strict=True) if ok}
