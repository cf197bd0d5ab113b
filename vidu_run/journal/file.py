"""The state file as a file: is it ours, how it comes into being, how it is opened. No tables are read here."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

from vidu_run.errors import StorageTrouble
from vidu_run.files import make_folder, sync

NAME = "state.db"
APPLICATION = 1448236593
VERSION = 3
STEPS = {
    1: "ALTER TABLE jobs ADD COLUMN searched_at REAL",
    2: "ALTER TABLE jobs ADD COLUMN draft TEXT",
}
"""What brings a state of an earlier format to the next one."""

HEADER_SIZE = 100


def create(folder: Path) -> None:
    """Build the state aside and rename it: a kill leaves either nothing or a whole state."""
    target, building = folder / NAME, folder / f"{NAME}.new"
    if (folder / f"{NAME}-wal").exists():
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
    if mode != ("wal",) or db.execute("PRAGMA synchronous").fetchone() != (2,):
        raise StorageTrouble(f"{path}: this SQLite does not sync its commits; nothing can be bought safely here.")
    return db


def reader(path: Path) -> sqlite3.Connection:
    """A reading connection, also beside a running run."""
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, timeout=10)
        db.execute("SELECT count(*) FROM meta")
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise StorageTrouble(f"{path}: cannot be read ({error})") from None
    db.row_factory = sqlite3.Row
    return db
