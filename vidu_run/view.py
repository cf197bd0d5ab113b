"""What a state looks like to people and scripts: the status, the ledger, the page. Reads the journal, buys nothing."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidu_run import __version__, ledger
from vidu_run.errors import UsageTrouble
from vidu_run.files import file_digest
from vidu_run.job import Key
from vidu_run.journal import file as state_file
from vidu_run.journal.port import Sheet
from vidu_run.journal.sqlite import ReadJournal
from vidu_run.picks import Pick, Picks, picks_file, read_picks
from vidu_run.providers.pricing import effective, prices
from vidu_run.record import Record, State
from vidu_run.report.data import Seen, page_document, status
from vidu_run.spec.load import LOCAL, choose_provider

PAGE = "report.html"
POSTERS = "posters"

PROVIDER_NOTES = 3
"""Of what a provider's data has to say, the first of which concern every user; the others stand in the documents."""

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


@contextmanager
def read(out: Path) -> Iterator[ReadJournal]:
    """The state of a folder, to look at; raises UsageTrouble where there is none."""
    if not (out / state_file.NAME).exists():
        raise UsageTrouble(f"{out}: nothing has been run here yet")
    journal = ReadJournal(out)
    try:
        yield journal
    finally:
        journal.close()


def status_of(journal: ReadJournal, out: Path, run_lives: bool, verify: bool = False) -> dict[str, Any]:
    """The object of `status --json`; with `verify` a delivered file whose bytes differ is told as an error."""
    sheets, records = _known(journal)
    if verify:
        records = {key: _verified(record, out) for key, record in records.items()}
    spec, provider = journal.meta("spec") or "", journal.meta("provider") or ""
    return status(spec, provider, sheets, records, run_lives)


def write_results(journal: ReadJournal, out: Path, picks: Picks) -> Path:
    """Rewrite the ledger and the page from the journal; returns the page."""
    ledger.write(out, journal.meta("origin") or "", journal.all_sheets(), journal.records(), journal.ledger())
    return write_page(journal, out, picks, run_lives=False)


def picks_beside(journal: ReadJournal, out: Path, source: Path | None) -> dict[Key, Pick]:
    """The picks that stand beside the spec; `source` is its folder, taken from where the output folder stands when
    nobody says. Raises SpecTrouble where they cannot be understood.
    """
    folder = source or out.resolve().parent.parent
    path = picks_file(folder / (journal.meta("spec") or "spec"))
    return read_picks(path) if path.is_file() else {}


def write_page(journal: ReadJournal, out: Path, picks: Picks, run_lives: bool) -> Path:
    from vidu_run.report.page import write_page as write
    from vidu_run.report.poster import shape_of

    sheets, records = _known(journal)
    document = status_of(journal, out, run_lives)
    rules = choose_provider(journal.meta("rules") or LOCAL, document["provider"])
    table = prices(rules)
    spent = document["credits"]["charged"] or document["credits"]["estimated"]
    target = _target(journal, document)
    pictures = _pictures(out, sheets, records)
    facts = {
        "rehearsal": document["provider"] == LOCAL,
        "generated_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "version": __version__,
        "money": f"${table.usd(spent):.2f}",
        "usd": float(table.usd(1)),
        "aspect": shape_of(out / picture for picture in pictures.values()),
        "notes": _notes(journal, out),
        "picks_file": picks_file(Path(document["spec"])).name,
        "picks": [[pick.key, pick.name, pick.stars, pick.note] for pick in picks.values()],
        "promote": f"vidu-run promote {target}",
    }
    seen = Seen(
        pictures=pictures,
        made={sheet.key: effective(rules, sheet.request) for sheet in sheets},
        hints={state: text.replace("SPEC", target) for state, text in HINTS.items()},
        history=journal.attempts(),
    )
    write(page_document(document, sheets, records, seen, facts), out / PAGE)
    return out / PAGE


def _target(journal: ReadJournal, document: Mapping[str, Any]) -> str:
    """How the user names this state on a command line, in the spec's folder."""
    provider, home = document["provider"], journal.meta("rules") or LOCAL
    return shlex.quote(document["spec"]) + (f" --provider {provider}" if provider != home else "")


def _known(journal: ReadJournal) -> tuple[list[Sheet], dict[Key, Record]]:
    sheets = journal.sheets()
    return sheets, {record.key: record for record in journal.records(sheet.key for sheet in sheets)}


def _verified(record: Record, out: Path) -> Record:
    if record.state is not State.DONE or record.file is None:
        return record
    path = out / record.file
    if not path.is_file():
        return replace(record, error="its file is missing")
    return record if file_digest(path) == record.sha256 else replace(record, error="its file has changed")


def _notes(journal: ReadJournal, out: Path) -> list[str]:
    notes = [note for note in (journal.meta("notes") or "").split("\n") if note][:PROVIDER_NOTES]
    if (earlier := out / "videos" / "earlier").is_dir() and (count := sum(1 for _ in earlier.rglob("*.mp4"))):
        notes.append(f"{count} earlier video{'' if count == 1 else 's'} of edited jobs: in videos/earlier")
    return notes


def _pictures(out: Path, sheets: Sequence[Sheet], records: Mapping[Key, Record]) -> dict[str, str]:
    """Small pictures for the page, made once: of each video by its bytes, of each stored frame by its name."""
    from vidu_run.report.poster import frame_thumbnail, make_poster

    wanted: dict[str, tuple[Any, Path, Path]] = {}
    for sheet in sheets:
        record = records.get(sheet.key)
        if record and record.state is State.DONE and record.file and record.sha256:
            target = out / POSTERS / f"{record.sha256[:24]}.webp"
            wanted[record.file] = (make_poster, out / record.file, target)
        for _, stored in sheet.images:
            if stored:
                target = out / POSTERS / f"{Path(stored).stem[:24]}.webp"
                wanted[stored] = (frame_thumbnail, out / "frames" / stored, target)
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda item: item[2].exists() or item[0](item[1], item[2]), wanted.values())
        return {name: f"{POSTERS}/{item[2].name}" for (name, item), ok in zip(wanted.items(), made, strict=True) if ok}
