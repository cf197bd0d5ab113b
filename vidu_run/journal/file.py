"""The state file as a file: is it ours, how it comes into being, how it is opened. No tables are read here."""

from __future__ import annotations

import os
import sqlite3
import struct
from pathlib import Path

from vidu_run.errors import StorageTrouble
from vidu_run.files import file_size, make_folder, sync

NAME = "state.db"
APPLICATION = 1448236593
VERSION = 5
STEPS = {
    1: "ALTER TABLE jobs ADD COLUMN searched_at REAL",
    2: "ALTER TABLE jobs ADD COLUMN draft TEXT",
    # The column of links stays, empty: SQLite takes columns away since 3.35 alone.
    3: """
        CREATE TABLE forms (id INTEGER PRIMARY KEY, request TEXT NOT NULL, images TEXT NOT NULL);
        INSERT INTO forms SELECT row_number() OVER (ORDER BY key), request, images FROM jobs;
        CREATE TABLE shorter (
          key TEXT PRIMARY KEY, name TEXT NOT NULL, position INTEGER, axes TEXT NOT NULL, form INTEGER NOT NULL,
          seed INTEGER, credits INTEGER, searched_at REAL, draft TEXT
        ) WITHOUT ROWID;
        INSERT INTO shorter SELECT key, name, position, axes, row_number() OVER (ORDER BY key), NULL, credits,
          searched_at, draft FROM jobs;
        DROP TABLE jobs;
        ALTER TABLE shorter RENAME TO jobs;
        CREATE TABLE links (attempt INTEGER PRIMARY KEY, url TEXT NOT NULL);
        INSERT INTO links SELECT id, url FROM attempts WHERE url IS NOT NULL AND state = 'ready';
        UPDATE attempts SET url = NULL
    """,
    4: "ALTER TABLE attempts ADD COLUMN resumed INTEGER",
}
"""What brings a state of an earlier format to the next one."""

SHEETS = """
    CREATE TEMP VIEW sheets AS SELECT key, name, position, axes, credits, draft, images, request AS form,
      CASE WHEN seed IS NULL THEN request ELSE json_replace(request, '$.seed', seed) END AS request
    FROM jobs JOIN forms ON forms.id = jobs.form
"""
"""Each job with its request and its frames: `form` is the request, perhaps without its seed."""

EARLIER_SHEETS = """
    CREATE TEMP VIEW sheets AS SELECT key, name, position, axes, credits, {draft}, images, request AS form, request
    FROM jobs;
    CREATE TEMP TABLE links (attempt INTEGER PRIMARY KEY, url TEXT)
"""
EARLIER_ATTEMPTS = "CREATE TEMP VIEW attempts AS SELECT *, NULL AS resumed FROM main.attempts"
"""A state of an earlier format is read as it is: only a run brings it up to date."""

SHOWN = "shown"
"""The fact that says which page shows the jobs as they are; every change of one takes it away (`UNSHOW`)."""

ON_THE_PAGE = (
    "INSERT ON attempts",
    "UPDATE ON attempts",
    "INSERT ON ledger",
    "UPDATE ON ledger",
    "INSERT ON jobs",
    "DELETE ON jobs",
    "UPDATE OF name, position, axes, form, seed, credits, draft ON jobs",
)
UNSHOW = "".join(
    f"CREATE TEMP TRIGGER unshow_{number} AFTER {change} BEGIN DELETE FROM meta WHERE name = '{SHOWN}'; END;"
    for number, change in enumerate(ON_THE_PAGE)
)
"""Whatever changes what the page shows takes that fact away, in its own commit."""

HEADER_SIZE = 100


def create(folder: Path) -> None:
    """Build the state aside and rename it: a kill leaves either nothing or a whole state."""
    target, building = folder / NAME, folder / f"{NAME}.new"
    # An empty one is left by whoever only read.
    if file_size(f"{target}-wal"):
        raise StorageTrouble(
            f"{target}: is gone, but its log {NAME}-wal is there. Put {NAME} back, or move the log away too; "
            "nothing was sent."
        )
    try:
        make_folder(folder)
        for leftover in ("", "-journal", "-wal", "-shm"):
            (folder / f"{NAME}.new{leftover}").unlink(missing_ok=True)
        schema = (Path(__file__).parent / "schema.sql").read_text(encoding="utf-8")
        db = sqlite3.connect(building)
        db.executescript(f"BEGIN;\n{schema}\nCOMMIT;")
        # Not later: a kill during this change leaves a file that readers cannot open any more.
        if db.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
            raise sqlite3.OperationalError("no write-ahead log is possible here")
        db.close()
        sync(building)
        building.replace(target)
        sync(folder)
        sync(folder.parent)
    except (OSError, sqlite3.Error) as error:
        raise StorageTrouble(f"{target}: cannot be created ({error}). Nothing was sent.") from None


def check(path: Path) -> None:
    """Raise StorageTrouble, leaving the file untouched, unless it is a state this version can read."""
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_SIZE)
    except OSError as error:
        raise StorageTrouble(f"{path}: cannot be read ({error.strerror})") from None
    if len(header) < HEADER_SIZE or not header.startswith(b"SQLite format 3\0"):
        raise StorageTrouble(f"{path}: not a state file. It was left as it is; move it away or give another --out.")
    version, application = struct.unpack_from(">I", header, 60)[0], struct.unpack_from(">I", header, 68)[0]
    if application != APPLICATION:
        raise StorageTrouble(f"{path}: another program's database. It was left as it is; give another --out.")
    if version > VERSION:
        raise StorageTrouble(f"{path}: written by a newer vidu-run (format {version}). Update vidu-run to read it.")


def upgrade(path: Path) -> None:
    """Bring a state of an earlier format up to this one; needs the lock. Raises StorageTrouble."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        while (step := STEPS.get(version := db.execute("PRAGMA user_version").fetchone()[0])) is not None:
            # Now: what is copied comes out sound, and what was lost would never be heard of.
            if (verdict := db.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
                raise StorageTrouble(f"{path}: damaged ({verdict}). It was left as it is; restore it from a copy.")
            db.executescript(f"BEGIN; {step}; PRAGMA user_version = {version + 1}; COMMIT;")
    except sqlite3.Error as error:
        raise StorageTrouble(f"{path}: cannot be brought to format {VERSION} ({error}). Nothing was sent.") from None
    finally:
        db.close()


def connect(path: Path) -> sqlite3.Connection:
    """A writing connection whose commits are on the disk when they return."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    mode = db.execute("PRAGMA journal_mode=WAL").fetchone()
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA fullfsync=1")
    db.executescript(UNSHOW)
    if mode != ("wal",) or db.execute("PRAGMA synchronous").fetchone() != (2,):
        raise StorageTrouble(f"{path}: this SQLite does not sync its commits; nothing can be bought safely here.")
    return db


def _is_read_only(path: Path) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def reader(path: Path) -> sqlite3.Connection:
    """A reading connection, also beside a running run."""
    try:
        # SQLite wants to make files beside a state, which a read-only disk forbids; there nobody changes it either.
        still = _is_read_only(path) and not file_size(f"{path}-wal")
        way = "immutable=1" if still else "mode=ro"
        db = sqlite3.connect(f"{path.absolute().as_uri()}?{way}", uri=True, check_same_thread=False, timeout=10)
        (version,) = db.execute("PRAGMA user_version").fetchone()
        db.execute("PRAGMA temp_store = MEMORY")
        earlier = EARLIER_SHEETS.format(draft="NULL AS draft" if version < 3 else "draft")
        db.executescript(SHEETS if version > 3 else earlier)
        if version < VERSION:
            db.executescript(EARLIER_ATTEMPTS)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise StorageTrouble(f"{path}: cannot be read ({error})") from None
    db.row_factory = sqlite3.Row
    return db
