"""Open the state of an output folder: found it, know it again, read what other states and the ledger know."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidu_run import ledger, shelf
from vidu_run.errors import NeedsWord, UsageTrouble
from vidu_run.job import Job
from vidu_run.journal import file as state_file
from vidu_run.journal.reader import ReadJournal
from vidu_run.journal.sqlite import MOVED_ASIDE, SqliteJournal
from vidu_run.siblings import Identity, sibling


@dataclass(frozen=True, slots=True)
class Opening:
    """What the user said about opening: `fresh` buys what a sibling state holds, `moved_to` accepts a new origin."""

    fresh: bool = False
    moved_to: bool = False


def check_siblings(
    out: Path, spec: Path, identity: Identity, jobs: Sequence[Job], siblings: Sequence[Path], how: Opening
) -> None:
    """Raise NeedsWord where a first run would buy what another output folder holds. Needs no lock: that would leave a
    folder.
    """
    if how.fresh or _founded(out):
        return
    found = sibling(out, identity, jobs, siblings)
    if found is not None:
        raise NeedsWord(f"{found.folder}: {found.told('Nothing was sent.', spec)}")


def _founded(out: Path) -> bool:
    if not (out / state_file.NAME).exists():
        return False
    journal = ReadJournal(out)
    try:
        return journal.meta("founded") is not None
    finally:
        journal.close()


async def open_state(out: Path, identity: Identity, how: Opening) -> SqliteJournal:
    """The journal of this folder, ready for a run. Needs the lock. Raises Trouble before anything is sent."""
    if not (out / state_file.NAME).exists():
        state_file.create(out)
    journal = SqliteJournal(out)
    try:
        lines = ledger.read(out, journal.delivered_keys())
        _check_identity(journal, out, identity, how)
        await journal.begin(
            {
                "founded": journal.meta("founded") or _now(),
                "spec": identity.spec,
                "provider": identity.provider,
                "origin": identity.origin,
                "pid": str(os.getpid()),
                "host": socket.gethostname(),
                "started": _now(),
            }
        )
        ours = lines if how.moved_to else ledger.of_origin(lines, identity.origin)
        await journal.adopt_ledger(ours)
        await finish_moves(journal, out)
    except BaseException:
        journal.close()
        raise
    return journal


async def arrange(journal: SqliteJournal, out: Path) -> None:
    """Give every delivered video the name its job has now."""
    records = [record for record in journal.records() if not record.elsewhere or shelf.present(out, [record])]
    wanted = shelf.moves(journal.names(), records)
    if wanted:
        await journal.plan_moves(wanted)
        await finish_moves(journal, out)


async def finish_moves(journal: SqliteJournal, out: Path) -> None:
    """Also what a killed run left half done."""
    listed = journal.moves()
    if not listed:
        return
    if not journal.meta(MOVED_ASIDE):
        shelf.set_aside(out, listed)
        await journal.remember({MOVED_ASIDE: "yes"})
    shelf.put_in_place(out, listed)
    await journal.moved(listed)


def _check_identity(journal: SqliteJournal, out: Path, identity: Identity, how: Opening) -> None:
    provider, origin = journal.meta("provider"), journal.meta("origin")
    if provider is not None and provider != identity.provider:
        raise UsageTrouble(
            f"{out}: its jobs went to the provider {provider}, not {identity.provider}. Give another --out; "
            "nothing was sent."
        )
    if origin is not None and origin != identity.origin and not how.moved_to:
        raise UsageTrouble(
            f"{out}: its jobs went to {origin}, not {identity.origin}. Give another --out, or --moved-to if the same "
            "service has a new address; nothing was sent."
        )


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z")
