"""A lock that dies with its process: never one whose mere existence counts, and its file is never unlinked."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock


def os_lock(path: Path) -> FileLock:
    return FileLock(path, fallback_to_soft=False, preserve_lock_file=True, thread_local=False)
