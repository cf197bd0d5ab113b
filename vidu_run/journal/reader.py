"""What a state tells: all that `status`, `report` and a plan read of it, also beside a running run."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from vidu_run.errors import StorageTrouble
from vidu_run.job import Key, key_in
from vidu_run.journal import file as state_file
from vidu_run.journal.port import Asked, Going, Move, Progressed, Sheet, Standing
from vidu_run.record import BILLED, Record, State, ledger_counts, ledger_record

RUN = "run"
"""The fact that says what the latest run is to do, after its epoch."""

RETOLD = """
    SELECT key FROM attempts GROUP BY key HAVING count(*) > 1 OR max(state = 'not_sent') UNION SELECT key FROM ledger
"""

AT_ONCE = 500
"""Sheets that are read by one query."""

NAMED = {"attempt": "id AS attempt", "url": "(SELECT url FROM links WHERE attempt = id) AS url"}
RECORD = ", ".join(NAMED.get(field.name, field.name) for field in fields(Record) if field.name != "elsewhere")
"""The columns of an attempt, as a record has them."""

STATES = {state.value: state for state in State}
"""A look into it takes a tenth of what an enumeration's own does; a word that is no state raises KeyError."""

PACING = ("model", "resolution", "duration", "off_peak")
"""What of a request says how long its clip takes."""

ENOUGH = 20
"""Clips that say how heavy the next ones are."""

MOST_PAST = 500
"""Clips whose durations are looked at."""


class ReadJournal:
    """A state as it is at each question. It writes nothing."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / state_file.NAME
        state_file.check(self.path)
        self._reader = state_file.reader(self.path)

    def close(self) -> None:
        self._reader.close()

    @contextmanager
    def steady(self) -> Iterator[None]:
        """All that is read herein is of one moment, whatever a run beside it writes."""
        self._all("BEGIN")
        try:
            yield
        finally:
            self._all("ROLLBACK")

    def meta(self, name: str) -> str | None:
        row = self._one("SELECT value FROM meta WHERE name = ?", name)
        return None if row is None else str(row["value"])

    def sheets(self) -> list[Sheet]:
        """The jobs of the present spec, in its order."""
        return self._sheets("WHERE position IS NOT NULL ORDER BY position")

    def sheet(self, key: Key) -> Sheet:
        with self._sound():
            (sheet,) = self._sheets("WHERE key = ?", key)
        return sheet

    def each_sheet(self, keys: Sequence[Key]) -> Iterator[Sheet]:
        """The sheets of these jobs in this order, read as they are gone through; one that is gone is left out."""
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            found = {sheet.key: sheet for sheet in self._sheets(f"WHERE {among(some)}", *some)}
            yield from (found[key] for key in some if key in found)

    def frames(self) -> Iterator[str]:
        """The names in the store of the frames that the jobs of the present spec have, each once, in its order."""
        found = self._each(
            "SELECT images FROM sheets WHERE position IS NOT NULL GROUP BY images ORDER BY min(position)"
        )
        with self._sound():
            yield from dict.fromkeys(stored for row in found for _, stored in _images(row["images"]) if stored)

    def all_sheets(self) -> list[Sheet]:
        """Also the jobs that earlier versions of the spec had, before the others."""
        return self._sheets("ORDER BY position, key")

    def sheets_of(self, keys: Collection[Key]) -> list[Sheet]:
        """The sheets of these jobs, in the order of `all_sheets`."""
        found = self.each_sheet([*keys])
        return sorted(found, key=lambda sheet: (sheet.position is not None, sheet.position, sheet.key))

    def names(self) -> dict[Key, str]:
        """What the jobs of the present spec are called."""
        rows = self._each("SELECT key, name FROM jobs WHERE position IS NOT NULL ORDER BY position")
        with self._sound():
            return {key_in(row["key"]): row["name"] for row in rows}

    def _sheets(self, which: str, *values: Any) -> list[Sheet]:
        rows = self._all(f"SELECT * FROM sheets {which}", *values)
        with self._sound():
            return [_sheet(row) for row in rows]

    def bought_before(self, keys: Container[Key]) -> list[Sheet]:
        """The sheets of jobs that an attempt was made of, and that have none of these keys; the latest last."""
        rows = self._each(
            "SELECT key, max(id) AS latest FROM attempts WHERE state != 'not_sent' GROUP BY key ORDER BY latest"
        )
        return [sheet for row in rows if row[0] not in keys for sheet in self._sheets("WHERE key = ?", row[0])]

    def took(self) -> list[tuple[dict[str, Any], float]]:
        """The requests of the latest clips whose end was seen as it came, and the seconds from acceptance to end."""
        rows = self._all(
            "SELECT request, finished_at - accepted_at AS seconds FROM attempts JOIN sheets USING (key)"
            " WHERE state IN ('ready', 'done') AND finished_at > accepted_at AND resumed IS NULL AND off_peak = 0"
            f" ORDER BY attempts.id DESC LIMIT {MOST_PAST}"
        )
        return [(json.loads(row["request"]), row["seconds"]) for row in rows]

    def heaviest(self) -> dict[tuple[str | None, str | None], float]:
        """Bytes that a second of the heaviest delivered clip takes, by model and resolution as they were asked for;
        without those of which fewer than ENOUGH are here.
        """
        rows = self._all(
            "SELECT json_extract(form, '$.model') AS model, json_extract(form, '$.resolution') AS resolution,"
            " max(size * 1.0 / coalesce(json_extract(form, '$.duration'), 5)) AS most"
            " FROM attempts JOIN sheets USING (key) WHERE state = 'done' GROUP BY 1, 2 HAVING count(*) >= ?",
            ENOUGH,
        )
        return {(row["model"], row["resolution"]): row["most"] for row in rows if row["most"] is not None}

    def searches(self) -> dict[Key, float]:
        """Jobs whose tasks were looked for at the API before they were bought, and when that was last."""
        rows = self._all("SELECT key, searched_at FROM jobs WHERE searched_at IS NOT NULL")
        return {Key(row["key"]): row["searched_at"] for row in rows}

    def records(self, keys: Iterable[Key] | None = None) -> Iterator[Record]:
        """The latest attempt of each key that counts; for a key without one, what the ledger says."""
        wanted = None if keys is None else frozenset(keys)
        attempts = self._each(f"SELECT {RECORD} FROM attempts WHERE state != 'not_sent' ORDER BY id")
        with self._sound():
            found = {record.key: record for record in map(_record, attempts)}
            for row in self._each("SELECT * FROM ledger"):
                if ledger_counts(found[row["key"]].state if row["key"] in found else None):
                    found[row["key"]] = ledger_record(json.loads(row["line"]))
        return (record for record in found.values() if wanted is None or record.key in wanted)

    def known(self) -> set[Key]:
        """Jobs that have a record."""
        rows = self._each("SELECT key FROM attempts WHERE state != 'not_sent' UNION SELECT key FROM ledger")
        return {Key(row["key"]) for row in rows}

    def doubtful(self) -> list[tuple[Sheet, Record]]:
        """Jobs whose submission nobody knows the end of, also those that have left the spec."""
        rows = self._all(f"SELECT {RECORD} FROM attempts WHERE state = 'in_doubt' ORDER BY id")
        with self._sound():
            records = {record.key: record for record in map(_record, rows)}
        return [(sheet, records[sheet.key]) for sheet in self.sheets_of(records)]

    def retold(self) -> dict[Key, list[Record]]:
        """Of jobs that have others than the one that counts, every attempt in their order, also those not sent."""
        found: dict[Key, list[Record]] = {}
        rows = self._all(f"SELECT {RECORD} FROM attempts WHERE key IN ({RETOLD}) ORDER BY id")
        with self._sound():
            for record in map(_record, rows):
                found.setdefault(record.key, []).append(record)
        return found

    def record(self, key: Key) -> Record | None:
        row = self._one(
            f"SELECT {RECORD} FROM attempts WHERE key = ? AND state != 'not_sent' ORDER BY id DESC LIMIT 1", key
        )
        line = self._one("SELECT * FROM ledger WHERE key = ?", key)
        with self._sound():
            if line is not None and ledger_counts(None if row is None else row["state"]):
                return ledger_record(json.loads(line["line"]))
            return None if row is None else _record(row)

    def committed(self) -> int:
        """Credits this folder has spent or possibly spent, over all attempts: what the API charged where it told, else
        the estimate; and what the ledger says of jobs without an attempt."""
        states = ", ".join(f"'{state}'" for state in sorted(BILLED))
        spent = self._one(
            f"SELECT total(coalesce(charged, estimated, 0)) AS sum FROM attempts WHERE state IN ({states})"
            " OR (state IN ('abandoned', 'not_sent') AND task_id IS NOT NULL)"
        )
        lines = self.ledger()
        sent = "SELECT DISTINCT key FROM attempts WHERE state != 'not_sent'"
        own = {row["key"] for row in self._all(sent)} if lines else set()
        before = (line.get("credits") or 0 for key, line in lines.items() if key not in own)
        return int(spent["sum"] if spent else 0) + sum(before)

    def charged(self) -> int | None:
        """Credits the API said it took, over all attempts; None where it never said."""
        row = self._one("SELECT sum(charged) AS sum FROM attempts")
        return None if row is None or row["sum"] is None else int(row["sum"])

    def started(self) -> str:
        """Another text for every run, and once more when it has told what it is to do."""
        return f"{self.meta('epoch')} {self.meta(RUN)}"

    def going(self) -> Going | None:
        """What the latest run told of itself; None where it has not come to that."""
        epoch, _, told = (self.meta(RUN) or "").partition(" ")
        if not told or epoch != self.meta("epoch"):
            return None
        with self._sound():
            return Going(**json.loads(told))

    def jobs(self) -> list[Asked]:
        """The jobs of the present spec in its order, without what a look at the pace does not need."""
        fields = ", ".join(f"json_extract(form, '$.{name}') AS {name}" for name in PACING)
        rows = self._all(
            f"SELECT key, name, credits, {fields} FROM sheets WHERE position IS NOT NULL ORDER BY position"
        )
        return [Asked(Key(r["key"]), r["name"], r["credits"], {name: r[name] for name in PACING}) for r in rows]

    def standings(self) -> list[Standing]:
        """The jobs of the present spec in its order, in short."""
        attempts = self._tuples(
            "SELECT key, state, coalesce(nullif(error, ''), file, task_id, ''), 0 FROM attempts"
            " WHERE state != 'not_sent' ORDER BY id"
        )
        found = {row[0]: row for row in attempts}
        with self._sound():
            for key, line in self.ledger().items():
                if ledger_counts(found[key][1] if key in found else None):
                    found[key] = (key, State.DONE, line.get("file") or line.get("task_id") or "", True)
            names = self._tuples("SELECT key, name FROM jobs WHERE position IS NOT NULL ORDER BY position")
            return [
                (name, STATES[row[1]], row[2], bool(row[3]))
                if (row := found.get(key))
                else (name, State.PLANNED, "", False)
                for key, name in names
            ]

    def progress(self) -> list[Progressed]:
        """The attempts that were sent, the oldest first."""
        rows = self._all(
            "SELECT key, state, posted_at, accepted_at, finished_at, error, file, resumed FROM attempts"
            " WHERE state != 'not_sent' ORDER BY id"
        )
        with self._sound():
            return [Progressed(Key(row[0]), State(row[1]), *row[2:]) for row in rows]

    def delivered_keys(self) -> set[Key]:
        """Jobs, of any spec, that were delivered into this folder."""
        return {Key(row[0]) for row in self._each("SELECT key FROM attempts WHERE state = 'done'")}

    def all_delivered(self) -> bool:
        """Whether every job of the present spec was delivered into this folder, and nothing is on its way."""
        left = self._one(
            "SELECT 1 FROM jobs WHERE position IS NOT NULL"
            " AND key NOT IN (SELECT key FROM attempts WHERE state = 'done') UNION ALL"
            " SELECT 1 FROM attempts WHERE state IN ('intent', 'in_doubt', 'submitted', 'ready') LIMIT 1"
        )
        return left is None

    def delivered_files(self) -> list[tuple[str, int]]:
        """The videos of the present spec, relative to the output folder, and their sizes in bytes."""
        rows = self._all(
            "SELECT file, size FROM attempts WHERE state = 'done'"
            " AND key NOT IN (SELECT key FROM jobs WHERE position IS NULL)"
        )
        return [(row[0], row[1]) for row in rows]

    def listed(self) -> set[Key]:
        """Jobs that the ledger says were delivered elsewhere."""
        return {Key(row["key"]) for row in self._all("SELECT key FROM ledger")}

    def knows(self, task_id: str) -> bool:
        return self._one("SELECT 1 FROM attempts WHERE task_id = ?", task_id) is not None

    def ledger(self) -> dict[Key, dict[str, Any]]:
        rows = self._all("SELECT * FROM ledger ORDER BY key")
        with self._sound():
            return {Key(row["key"]): json.loads(row["line"]) for row in rows}

    def moves(self) -> list[Move]:
        return [Move(Key(r["key"]), r["source"], r["target"]) for r in self._all("SELECT * FROM moves ORDER BY key")]

    def _all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        return self._fetched(self._reader.cursor(), query, values)

    def _each(self, query: str, *values: Any) -> Iterator[sqlite3.Row]:
        """As `_all`, read as they are gone through: a row takes as much as what is made of it."""
        try:
            yield from self._reader.execute(query, values)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._unreadable(error) from None

    def _tuples(self, query: str) -> list[Any]:
        """Of many rows: a tuple takes half the time of a row that knows its columns."""
        cursor = self._reader.cursor()
        cursor.row_factory = None
        return self._fetched(cursor, query, ())

    def _fetched(self, cursor: sqlite3.Cursor, query: str, values: Sequence[Any]) -> list[Any]:
        try:
            return cursor.execute(query, values).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> StorageTrouble:
        return StorageTrouble(f"{self.path}: cannot be read ({error}). It was left as it is.")

    @contextmanager
    def _sound(self) -> Iterator[None]:
        """What is not as it was written can raise in many ways, and always means that the file is damaged."""
        try:
            yield
        except (LookupError, TypeError, ValueError) as error:
            raise StorageTrouble(
                f"{self.path}: damaged ({error}). It was left as it is; restore it from a copy, or move it away: "
                "results.jsonl still says what was delivered."
            ) from None

    def _one(self, query: str, *values: Any) -> sqlite3.Row | None:
        return next(iter(self._all(query, *values)), None)


def among(keys: Sequence[str]) -> str:
    """That a row is of one of these, as SQL."""
    return f"key IN ({', '.join('?' * len(keys))})"


@lru_cache(maxsize=1024)
def _images(text: str) -> tuple[tuple[str, str | None], ...]:
    """Many jobs of a sweep ask for the same few."""
    return tuple((source, stored) for source, stored in json.loads(text))


def _sheet(row: sqlite3.Row) -> Sheet:
    return Sheet(
        name=row["name"],
        key=Key(row["key"]),
        position=row["position"],
        axes=json.loads(row["axes"]),
        request=json.loads(row["request"]),
        images=_images(row["images"]),
        credits=row["credits"],
        draft=row["draft"],
    )


def _record(row: sqlite3.Row) -> Record:
    key, attempt, state, marker, posted_at, off_peak, *rest = row
    return Record(key_in(key), attempt, STATES[state], marker, posted_at, bool(off_peak), *rest)
