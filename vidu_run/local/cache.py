"""Keeps rendered videos by what is in their scenes, so that the same scene is rendered once.

It lives in one folder of a bounded size. A video's name is the scene's digest and the video's own, so one rename puts
both in place, and a file that has been damaged since is not taken.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from filelock import Timeout

from vidu_run.files import file_digest
from vidu_run.local.render import RENDER_VERSION, Abandoned, Scene, render
from vidu_run.lock import os_lock

MOST_BYTES: Final = 2 * 10**9
ABANDONED_AFTER: Final = 3600  # seconds: a file still under a name of its own was left by a kill
ASKING: Final = 0.2  # seconds between two questions whether to stop waiting


def drawn(
    scene: Scene, target: Path, cache: Path, stopped: Callable[[], bool] = lambda: False, most: int = MOST_BYTES
) -> None:
    """Puts the scene's video at `target`, whole or not at all: from the cache, or rendered and then kept there.

    The target may be a hard link to the kept file. Whoever asks for a scene that is being rendered waits for it.
    `most` is how many bytes are kept; the videos not asked for the longest go first. Raises what `render` raises.
    """
    cache.mkdir(parents=True, exist_ok=True)
    key = fingerprint(scene)
    with _turn(cache / f"{key[:2]}.lock", stopped):
        if not _taken(cache, key, target):
            render(scene, target, stopped)
            with suppress(OSError):
                _keep(cache, key, target)
                _shrink(cache, most)


def fingerprint(scene: Scene) -> str:
    """SHA-256 of all of the scene's fields and the renderer's version, in hexadecimal digits."""
    digest = hashlib.sha256()
    for piece in _pieces((RENDER_VERSION, scene)):
        digest.update(b"%d:" % len(piece))
        digest.update(piece)
    return digest.hexdigest()


def _pieces(value: object) -> Iterator[bytes]:
    """The kind of a value before its content, and how many parts it has, so that no two values read alike."""
    yield type(value).__name__.encode()
    if is_dataclass(value):
        yield from _pieces(tuple((field.name, getattr(value, field.name)) for field in fields(value)))
    elif isinstance(value, tuple):
        yield b"%d" % len(value)
        for part in value:
            yield from _pieces(part)
    else:
        yield value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@contextmanager
def _turn(path: Path, stopped: Callable[[], bool]) -> Iterator[None]:
    """One at a time for scenes whose digests begin alike, across threads and processes."""
    lock = os_lock(path)
    while True:
        if stopped():
            raise Abandoned
        with suppress(Timeout):
            lock.acquire(timeout=ASKING)
            break
    try:
        yield
    finally:
        lock.release()


def _taken(cache: Path, key: str, target: Path) -> bool:
    """Whether a sound video of that scene was there and now is the target's too; a damaged one is removed."""
    for kept in cache.glob(f"{key}.*.mp4"):
        part = target.with_name(f".{uuid4().hex}.part")
        try:
            _link(kept, part)
            if file_digest(part) == kept.name.split(".")[1]:
                os.utime(kept, ns=(time.time_ns(), kept.stat().st_mtime_ns))
                part.replace(target)
                return True
            kept.unlink()
        except FileNotFoundError:
            continue
        finally:
            # After a rename too: between two links of one file a rename does nothing, by POSIX.
            part.unlink(missing_ok=True)
    return False


def _keep(cache: Path, key: str, video: Path) -> None:
    part = cache / f".{uuid4().hex}.part"
    try:
        _link(video, part)
        part.replace(cache / f"{key}.{file_digest(part)}.mp4")
    finally:
        part.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _shrink(cache: Path, most: int) -> None:
    """Removes the videos longest unused until the rest fits, and what a kill left behind."""
    stale = time.time() - ABANDONED_AFTER
    for part in cache.glob(".*.part"):
        with suppress(FileNotFoundError):
            if part.stat().st_mtime < stale:
                part.unlink()
    kept = sorted(((path.stat(), path) for path in cache.glob("*.mp4")), key=lambda one: one[0].st_atime_ns)
    total = sum(stat.st_size for stat, _ in kept)
    for stat, path in kept:
        if total <= most:
            return
        path.unlink(missing_ok=True)
        total -= stat.st_size
