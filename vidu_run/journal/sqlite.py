"""The journal of a run, on SQLite: `state.db` in the output folder."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from vidu_run.job import Frame, Image, Job, Key
from vidu_run.journal import file as state_file
from vidu_run.journal.intent import intend
from vidu_run.journal.port import Delivered, Going, Limits, Move, Sheet
from vidu_run.journal.reader import AT_ONCE, RUN, ReadJournal, among
from vidu_run.outcome import Accepted, AccountStop, InDoubt, NotSent, Outcome, Rejected, Throttled
from vidu_run.record import ARROWS, Record, State
from vidu_run.reply import Look

T = TypeVar("T")

OWN_ATTEMPT = """
    SELECT id FROM attempts WHERE key = :key AND (marker = :marker OR state = 'in_doubt')
    ORDER BY marker = :marker DESC LIMIT 1
"""
PLANTED = "key, name, position, axes, form, seed, credits, draft"
PLANT = f"""
    INSERT INTO jobs ({PLANTED}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET name = excluded.name, position = excluded.position, axes = excluded.axes,
        form = excluded.form, seed = excluded.seed, credits = excluded.credits, draft = excluded.draft
"""
FORMS = "INSERT INTO forms (id, request, images) VALUES (?, ?, ?)"
UNUSED_FORMS = "DELETE FROM forms WHERE id NOT IN (SELECT form FROM jobs)"
FORM = PLANTED.split(", ").index("form")

Stored = list[tuple[str, str | None]]
"""Frames as the spec has them, and their names in the store, None for a link."""

MOVED_ASIDE = "moves_set_aside"
"""The fact that every file on the list of moves has left its old name."""

encoded = json.JSONEncoder(ensure_ascii=False).encode
"""`json.dumps` makes an encoder anew for each text."""

BEFORE = {
    state: ", ".join(f"'{before}'" for before, after in ARROWS.items() if state is before or state in after)
    for state in ARROWS
}
"""From where each state can be come to, and that it can be stayed in, as SQL has it."""

INTERRUPTED = "the run ended while it was being sent"


class SqliteJournal(ReadJournal):
    """One run's journal. Opening it begins a new epoch: whatever an earlier run still sends is fenced off."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        state_file.check(folder / state_file.NAME)
        state_file.upgrade(folder / state_file.NAME)
        super().__init__(folder)
        self._check_integrity()
        self._clock = clock
        # Only now: it loads asyncio, which takes longer than all that a reader does.
        from vidu_run.journal.writer import Writer

        self._writer = Writer(lambda: state_file.connect(self.path), self.path)
        self.epoch = 0

    @property
    def broken(self) -> bool:
        return self._writer.broken

    def close(self) -> None:
        # The last connection brings the log home, and only a writing one can: afterwards `state.db` is all there is.
        super().close()
        self._writer.close()

    async def begin(self, facts: Mapping[str, str]) -> None:
        """Start an epoch, remember the run's facts, and hold every attempt that an earlier run left open."""

        def operation(db: sqlite3.Connection) -> int:
            row = db.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
            epoch = int(row[0]) + 1 if row else 1
            _remember(db, {**facts, "epoch": str(epoch)})
            db.execute(
                "UPDATE attempts SET state = 'in_doubt', error = coalesce(error, ?) WHERE state = 'intent'",
                (INTERRUPTED,),
            )
            return epoch

        self.epoch = await self._writer.do(operation)

    async def remember(self, facts: Mapping[str, str]) -> None:
        await self._writer.do(lambda db: _remember(db, facts))

    async def announce(self, jobs: int, limits: Limits) -> None:
        """Tell whoever watches what this run is to do: that is nowhere else, since `--limit` is no part of the spec."""
        going = Going(jobs, limits.slots, limits.off_peak_slots, self._clock())
        await self.remember({RUN: f"{self.epoch} {json.dumps(asdict(going))}"})

    async def plant(self, jobs: Sequence[Job]) -> None:
        """Make these the jobs of the present spec; what is the same as it was is not written again."""
        known = {row["id"]: (row["request"], row["images"]) for row in self._all("SELECT * FROM forms")}
        forms = {form: number for number, form in known.items()}
        first = max(known, default=0) + 1
        rows = []
        for start in range(0, len(jobs), AT_ONCE):
            before = self._planted(jobs[start : start + AT_ONCE])
            for position, job in enumerate(jobs[start : start + AT_ONCE], start):
                request, seed = _without_seed(job)
                images = _stored(job.images)
                if job.continued and job.key in before:
                    images = _with_taken(images, known[before[job.key][FORM]][1])
                form = forms.setdefault((request, encoded(images)), first)
                first += form == first
                row = _job_row(position, job, form, seed)
                if before.get(job.key) != row:
                    rows.append(row)
        keys = {job.key for job in jobs}
        gone = [row for row in self._each("SELECT key FROM jobs WHERE position IS NOT NULL") if row[0] not in keys]
        if not rows and not gone:
            return
        new = [(number, *form) for form, number in forms.items() if number not in known]

        def operation(db: sqlite3.Connection) -> None:
            db.executemany("UPDATE jobs SET position = NULL WHERE key = ?", [tuple(row) for row in gone])
            db.executemany(FORMS, new)
            db.executemany(PLANT, rows)
            db.execute(UNUSED_FORMS)

        await self._writer.do(operation)

    def _planted(self, jobs: Sequence[Job]) -> dict[str, tuple[Any, ...]]:
        """What stands of these jobs, also from an earlier spec, by their keys."""
        keys = [job.key for job in jobs]
        rows = self._all(f"SELECT {PLANTED} FROM jobs WHERE {among(keys)}", *keys)
        return {row["key"]: tuple(row) for row in rows}

    async def continues(self, before: Key, job: Job, frames: Sequence[Image]) -> None:
        """A job of the present spec that continues others has its own key, and its frames are in the store; `before`
        it had a key that nothing is bought under.
        """

        def operation(db: sqlite3.Connection) -> None:
            (position,) = db.execute("SELECT position FROM jobs WHERE key = ?", (before,)).fetchone()
            db.execute("DELETE FROM jobs WHERE key = ? AND key != ?", (before, job.key))
            request, seed = _without_seed(job)
            form = db.execute(FORMS, (None, request, encoded(_stored(frames)))).lastrowid
            db.execute(PLANT, _job_row(position, job, form or 0, seed))

        await self._writer.do(operation)

    async def searched(self, keys: Iterable[Key], at: float) -> None:
        """The API's list was read to its end for tasks of these jobs, at Unix second `at`."""
        rows = [(at, key) for key in keys]
        await self._writer.do(lambda db: db.executemany("UPDATE jobs SET searched_at = ? WHERE key = ?", rows) and None)

    async def intent(self, job: Job, marker: str, limits: Limits) -> Record:
        return await self._writer.do(lambda db: intend(db, job, marker, limits, self.epoch, self._clock()))

    async def settle(self, intent: Record, outcome: Outcome) -> Record:
        """The record of the attempt as it then is."""

        def operation(db: sqlite3.Connection) -> Record:
            state, facts = _settled(outcome)
            if state is State.SUBMITTED:
                facts["accepted_at"] = self._clock()
            try:
                _move(db, intent.attempt, state, facts)
            except sqlite3.IntegrityError:
                state, facts = State.IN_DOUBT, {"error": "the reply names a task of another attempt"}
                _move(db, intent.attempt, state, facts)
            return replace(intent, state=state, **facts)

        return await self._writer.do(operation)

    async def note(
        self, record: Record, state: State, look: Look | None, error: str | None = None, resumed: bool = False
    ) -> Record:
        """The record as it then is. `resumed`: nobody watched the task when it ended."""
        facts = _seen(look) if look else {}
        if state in (State.READY, State.FAILED) and record.finished_at is None:
            facts |= {"finished_at": self._clock(), "resumed": 1 if resumed else None}
        facts["error"] = error
        await self._writer.do(lambda db: _move(db, record.attempt, state, facts))
        return replace(record, state=state, **facts)

    async def delivered(self, record: Record, file: Delivered) -> None:
        facts = {"file": file.file, "sha256": file.sha256, "size": file.size, "error": None}
        await self._writer.do(lambda db: _move(db, record.attempt, State.DONE, facts))

    async def decide(self, record: Record, state: State, facts: Mapping[str, Any]) -> None:
        """The user's word on an attempt."""
        await self._writer.do(lambda db: _move(db, record.attempt, state, dict(facts)))

    async def adopt(self, job: Sheet | Job, marker: str, look: Look, posted_at: float) -> bool:
        """A task at the API that carries one of our markers becomes the attempt of its job; False where the job has
        a task already, or the task another job."""
        facts = {"task_id": look.task_id, "accepted_at": posted_at, "error": None, **_seen(look)}

        def operation(db: sqlite3.Connection) -> bool:
            row = db.execute(OWN_ATTEMPT, {"key": job.key, "marker": marker}).fetchone()
            try:
                if row:
                    _move(db, row[0], State.SUBMITTED, facts)
                else:
                    found = {"key": job.key, "marker": marker, "state": State.SUBMITTED, "epoch": self.epoch} | facts
                    found |= {"off_peak": job.off_peak, "posted_at": posted_at, "estimated": job.credits}
                    found.pop("url", None)
                    names = ", ".join(found)
                    holders = ", ".join(f":{name}" for name in found)
                    made = db.execute(f"INSERT INTO attempts ({names}) VALUES ({holders})", found)
                    _link(db, made.lastrowid, look.url)
            except (sqlite3.IntegrityError, ValueError):
                return False
            return True

        return await self._writer.do(operation)

    async def adopt_ledger(self, lines: Mapping[str, Mapping[str, Any]]) -> None:
        held = self.listed() if lines else ()
        rows = [(key, json.dumps(line, ensure_ascii=False)) for key, line in lines.items() if key not in held]
        if not rows:
            return
        await self._writer.do(lambda db: db.executemany("INSERT OR IGNORE INTO ledger VALUES (?, ?)", rows) and None)

    async def plan_moves(self, moves: Sequence[Move]) -> None:
        """Write down all moves together; none is begun before this returns."""
        rows = [(move.key, move.source, move.target) for move in moves]
        await self._writer.do(lambda db: db.executemany("INSERT INTO moves VALUES (?, ?, ?)", rows) and None)

    async def moved(self, moves: Sequence[Move]) -> None:
        """All files stand under their new names: the records follow, the list is cleared."""

        def operation(db: sqlite3.Connection) -> None:
            for move in moves:
                db.execute(
                    "UPDATE attempts SET file = ? WHERE key = ? AND state IN ('done', 'ready')", (move.target, move.key)
                )
                row = db.execute("SELECT line FROM ledger WHERE key = ?", (move.key,)).fetchone()
                if row:
                    line = json.dumps({**json.loads(row[0]), "file": move.target}, ensure_ascii=False)
                    db.execute("UPDATE ledger SET line = ? WHERE key = ?", (line, move.key))
            db.execute("DELETE FROM moves")
            _remember(db, {MOVED_ASIDE: ""})

        await self._writer.do(operation)

    def _check_integrity(self) -> None:
        """Before anything is bought: the whole check, since a key that lost a bit would be a job never heard of."""
        with self._sound():
            verdict = self._all("PRAGMA integrity_check(1)")[0][0]
            if verdict != "ok":
                raise ValueError(verdict)
            int(self.meta("epoch") or 0)


def _remember(db: sqlite3.Connection, facts: Mapping[str, str]) -> None:
    db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(facts.items()))


def _move(db: sqlite3.Connection, attempt: int, state: State, facts: Mapping[str, Any]) -> None:
    columns = "".join(f", {name} = :{name}" for name in facts if name != "url")
    moved = db.execute(
        f"UPDATE attempts SET state = :state{columns} WHERE id = :id AND state IN ({BEFORE[state]})",
        {**facts, "state": state, "id": attempt},
    )
    if moved.rowcount != 1:
        (present,) = db.execute("SELECT state FROM attempts WHERE id = ?", (attempt,)).fetchone()
        raise ValueError(f"attempt {attempt}: no arrow from {present} to {state}")
    _link(db, attempt, facts.get("url"))
    if state is State.DONE:
        db.execute("DELETE FROM links WHERE attempt = ?", (attempt,))


def _link(db: sqlite3.Connection, attempt: int | None, url: str | None) -> None:
    if url is not None:
        db.execute("INSERT OR REPLACE INTO links VALUES (?, ?)", (attempt, url))


def _settled(outcome: Outcome) -> tuple[State, dict[str, Any]]:
    match outcome:
        case Accepted(task_id, look):
            return State.SUBMITTED, {"task_id": task_id, "error": None, **_seen(look)}
        case NotSent(why) | AccountStop(why) | Throttled(why=why):
            return State.NOT_SENT, {"error": why}
        case Rejected(why):
            return State.REJECTED, {"error": why}
        case InDoubt(why):
            return State.IN_DOUBT, {"error": why}


def _seen(look: Look) -> dict[str, Any]:
    told = {"seed": look.seed, "charged": look.credits, "url": look.url}
    return {name: value for name, value in told.items() if value is not None}


def _stored(images: Sequence[Image]) -> Stored:
    """Each with its name in the store, where it is a frame."""
    return [(image.source, image.store_name if isinstance(image, Frame) else None) for image in images]


def _with_taken(images: Stored, held: str) -> Stored:
    """Where the frames of other clips are in the store already."""
    return [(source, name or was) for (source, name), (_, was) in zip(images, json.loads(held), strict=True)]


def _without_seed(job: Job) -> tuple[str, int | None]:
    """The request with null in the place of its seed, and the seed, where SQLite can hold the number."""
    seed = job.request.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool) or not -(2**63) <= seed < 2**63:
        return encoded(dict(job.request)), None
    return encoded({**job.request, "seed": None}), seed


def _job_row(position: int, job: Job, form: int, seed: int | None) -> tuple[Any, ...]:
    return (job.key, job.name, position, encoded(dict(job.axes)), form, seed, job.credits, job.draft)
