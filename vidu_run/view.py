"""A state to look at: found, opened for reading, told as the object of `status --json`. Buys and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidu_run.errors import UsageTrouble
from vidu_run.files import file_digest, folder_parts, spec_stem
from vidu_run.job import Key
from vidu_run.journal import file as state_file
from vidu_run.journal.reader import ReadJournal
from vidu_run.ledger import NAME as LEDGER
from vidu_run.programme import FACT, programme
from vidu_run.record import ELSEWHERE, Record, State
from vidu_run.report.data import counts_of, public, status

if TYPE_CHECKING:
    from vidu_run.picks import Picks

Row = tuple[str, str, str]
"""A job's state and name, and what there is to say of it: its error, its video, or its task."""


@contextmanager
def read(out: Path, begun: bool = True) -> Iterator[ReadJournal]:
    """The state of a folder at one moment, to look at; raises UsageTrouble where there is none, or one that no run has
    `begun` to write: a run that was refused as it opened leaves such a one.
    """
    require(out)
    journal = ReadJournal(out)
    try:
        with journal.steady():
            if begun and journal.meta("founded") is None:
                raise _nothing_in(out)
            yield journal
    finally:
        journal.close()


def require(out: Path) -> None:
    """Raises UsageTrouble where there is no state: a lock would make the folder that was only mistyped."""
    if not (out / state_file.NAME).exists():
        raise _nothing_in(out)


def _nothing_in(out: Path) -> UsageTrouble:
    rehearsal = out.with_name(f"{out.name}.local")
    there = (rehearsal / state_file.NAME).exists()
    hint = f"; a rehearsal is in {rehearsal}: add --provider local" if there else ""
    if not hint and (orphan := _orphan(out)) is not None:
        hint = f"; {orphan} belongs to a spec that is not there any more: if that was renamed, add --out {orphan}"
    if not hint and (out / LEDGER).exists():
        hint = f", but {LEDGER} lists what was delivered: `plan` and `run` read it"
    return UsageTrouble(f"{out}: nothing has been run here yet{hint}")


def _orphan(out: Path) -> Path | None:
    """Where the jobs of a renamed spec are, it may be: a folder beside this one with a state, and no spec any more."""
    if out.parent.name != "out":
        return None
    specs = {spec_stem(path.name) for path in out.parent.parent.glob("*.y*ml")}
    for folder in sorted(out.parent.glob("*")):
        stem, ending = folder_parts(folder.name)
        alike = folder != out and ending == folder_parts(out.name)[1]
        if alike and stem not in specs and (folder / state_file.NAME).exists():
            return folder
    return None


def status_of(journal: ReadJournal, out: Path, run_lives: bool, picks: Picks, verify: bool = False) -> dict[str, Any]:
    """The object of `status --json`, with the takes of films by `picks` and the credits that a budget counts; with
    `verify` a delivered file whose bytes differ is told as an error.
    """
    sheets = journal.sheets()
    records: Mapping[Key, Record] = {record.key: record for record in journal.records(sheet.key for sheet in sheets)}
    if verify:
        records = {key: _verified(record, out) for key, record in records.items()}
    spec, provider = journal.meta("spec") or "", journal.meta("provider") or ""
    films = programme(journal.meta(FACT), {sheet.key: sheet.name for sheet in sheets}, records, picks, out)
    document = status(spec, provider, sheets, records, run_lives)
    return {**document, "credits": {**document["credits"], "committed": journal.committed()}, **films}


def has_films(journal: ReadJournal) -> bool:
    return (journal.meta(FACT) or "[]") != "[]"


def brief(journal: ReadJournal, out: Path, run_lives: bool) -> tuple[dict[str, Any], list[Row]]:
    """Of the object of `status --json` what a person is shown: the requests and axes of many jobs take a while."""
    shown = {state: public(state, run_lives).value for state in State}
    rows = [
        (shown[state], name, ELSEWHERE if listed and not (out / text).is_file() else text)
        for name, state, text, listed in journal.standings()
    ]
    spec, provider = journal.meta("spec") or "", journal.meta("provider") or ""
    counts, credits = counts_of(state for state, _, _ in rows), {"committed": journal.committed()}
    return {"spec": spec, "provider": provider, "counts": counts, "credits": credits}, rows


def rows_of(document: Mapping[str, Any]) -> list[Row]:
    """The same of a whole object."""
    return [
        (job["state"], job["name"], job["error"] or job["file"] or job["task_id"] or "") for job in document["jobs"]
    ]


def _verified(record: Record, out: Path) -> Record:
    if record.state is not State.DONE or record.file is None:
        return record
    path = out / record.file
    if not path.is_file():
        return replace(record, error=ELSEWHERE if record.elsewhere else "its file is missing")
    return record if file_digest(path) == record.sha256 else replace(record, error="its file has changed")
