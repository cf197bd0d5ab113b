"""Files that are whole or not there: the one way this program writes anything but its journal."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from vidu_run.errors import StorageTrouble


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(path: Path) -> None:
    """A folder and those above it, each with its entry on the disk: what is synced inside a folder that a power cut
    takes away is gone too. Raises OSError.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)


def write_durably(target: Path, content: bytes) -> None:
    """Write a whole file or none: aside, synced, renamed. Raises StorageTrouble."""
    aside = target.with_name(f".{secrets.token_hex(8)}.new")
    try:
        make_folder(target.parent)
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
        sync(target.parent)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise StorageTrouble(f"{target}: cannot be written ({error.strerror or error})") from None


def sync(path: Path) -> None:
    """fsync of a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
