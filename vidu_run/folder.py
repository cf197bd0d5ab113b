"""The output folder of a spec: where it is, and the lock that lets one run at a time work in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from vidu_run.errors import HeldElsewhere, StorageTrouble
from vidu_run.files import make_folder, output_folder
from vidu_run.journal import file as state_file
from vidu_run.journal.reader import ReadJournal
from vidu_run.lock import os_lock
from vidu_run.spec.read import read_yaml

LOCK = "run.lock"
PATIENCE = 1.0
"""Seconds to wait for the lock: `status` may hold it for an instant, to see whether a run lives."""


def folder_of(spec: Path, provider: str | None) -> Path:
    """The output folder of a spec of which only its provider need be readable."""
    data = read_yaml(spec, spec.as_posix()).data
    home = str(data.get("provider", "local")) if isinstance(data, dict) else "local"
    return output_folder(spec, home, provider or home)


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the folder, or raise HeldElsewhere naming the run that does. The lock dies with its process."""
    try:
        make_folder(out)
        lock = os_lock(out.resolve() / LOCK)
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise HeldElsewhere(f"{out}: another run works here{_holder(out)}. Nothing was sent.") from None
    except OSError as error:
        raise StorageTrouble(f"{out}: cannot be written ({error.strerror or error}). Nothing was sent.") from None
    try:
        yield
    finally:
        lock.release()


def run_lives(out: Path) -> bool:
    """Whether a run holds the folder at this moment."""
    if not (out / LOCK).exists():
        return False
    lock = os_lock(out.resolve() / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _holder(out: Path) -> str:
    try:
        journal = _read(out)
    except StorageTrouble:
        return ""
    return f" (process {journal[0]} on {journal[1]}, since {journal[2]})" if all(journal) else ""


def _read(out: Path) -> tuple[str | None, ...]:
    if not (out / state_file.NAME).exists():
        return (None,)
    journal = ReadJournal(out)
    try:
        return tuple(journal.meta(name) for name in ("pid", "host", "started"))
    finally:
        journal.close()
