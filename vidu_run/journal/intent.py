"""The intent: the row that stands, committed and synced, before the first byte of a POST leaves.

One statement checks the run's epoch and the free slots, and that this run has not bought the key yet, and writes the
row; the partial unique index `one_live_attempt` forbids a second live attempt of the same key.
"""

from __future__ import annotations

import sqlite3

from vidu_run.job import Job
from vidu_run.journal.port import AlreadyLive, Busy, Fenced, Limits
from vidu_run.record import Record, State

# A doubtful POST from the future tells of a clock that was wrong, not of a task. The three states together are those of
# the index `attempts_in_flight`: it is read then, instead of every attempt there ever was.
IN_FLIGHT = """
    SELECT count(*) FROM attempts WHERE off_peak = :off_peak AND state IN ('intent', 'in_doubt', 'submitted')
      AND (state != 'in_doubt' OR posted_at BETWEEN :now - :doubt_counts AND :now + 60)
"""

# Also one that has failed: what is to be bought again is a new run's to say.
BOUGHT = "SELECT 1 FROM attempts WHERE key = :key AND epoch = :epoch AND state != 'not_sent'"

INTEND = f"""
    INSERT INTO attempts (key, marker, state, epoch, off_peak, posted_at, estimated)
    SELECT :key, :marker, 'intent', :epoch, :off_peak, :now, :estimated
    WHERE :epoch = (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'epoch')
      AND :slots > ({IN_FLIGHT})
      AND NOT EXISTS ({BOUGHT})
"""


def intend(db: sqlite3.Connection, job: Job, marker: str, limits: Limits, epoch: int, now: float) -> Record:
    """Write the intent inside the caller's transaction, or raise Fenced, Busy or AlreadyLive and write nothing.

    Once that is committed, the record is the permission to send one POST.
    """
    values = {
        "key": job.key,
        "marker": marker,
        "epoch": epoch,
        "off_peak": job.off_peak,
        "now": now,
        "estimated": job.credits,
        "slots": limits.off_peak_slots if job.off_peak else limits.slots,
        "doubt_counts": limits.off_peak_doubt_counts if job.off_peak else limits.doubt_counts,
    }
    try:
        written = db.execute(INTEND, values)
    except sqlite3.IntegrityError:
        raise AlreadyLive(f"{job.name} already has an attempt that may have been paid for") from None
    if written.rowcount == 1:
        attempt = int(written.lastrowid or 0)
        return Record(job.key, attempt, State.INTENT, marker, now, job.off_peak, estimated=job.credits)
    if db.execute("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'epoch'").fetchone() != (epoch,):
        raise Fenced("another run has taken over this state")
    if db.execute(BOUGHT, values).fetchone():
        raise AlreadyLive(f"{job.name} was submitted in this run already")
    raise Busy("all slots are taken")
