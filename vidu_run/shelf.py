"""Where videos stand in the output folder. A name may come to mean another video; no video is ever overwritten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from vidu_run.files import file_digest, file_size, make_folder, sync, writing
from vidu_run.job import Job, Key
from vidu_run.journal.port import Move, Sheet
from vidu_run.record import Record

VIDEOS = "videos"
EARLIER = "videos/earlier"
ASIDE = "videos/.moving"


def video_name(job: str) -> str:
    return f"{VIDEOS}/{job}.mp4"


def shelf_name(job: Job | Sheet) -> str:
    """Where a video goes: under its name, or among the earlier ones when its job has left the spec."""
    name = video_name(job.name)
    return earlier_name(name, job.key) if isinstance(job, Sheet) and job.position is None else name


def present(out: Path, records: Iterable[Record]) -> frozenset[Key]:
    """Keys whose delivered file stands where it should, with the size it had; a ledger's line counts only with the very
    bytes it names. `status --verify` reads the bytes of all.
    """
    return frozenset(record.key for record in records if record.file and _stands(f"{out}/{record.file}", record))


def moves(names: Mapping[Key, str], records: Iterable[Record]) -> list[Move]:
    """What must move so that every name in the spec is free for its own video, and every video has its name.

    A video whose job has another name now takes it; one whose name now means another job goes to `videos/earlier`.
    """
    claimed = {video_name(name).casefold() for name in names.values()}
    wanted = []
    for record in records:
        if record.file is None:
            continue
        if record.key in names:
            target = video_name(names[record.key])
        elif record.file.casefold() in claimed:
            target = earlier_name(record.file, record.key)
        else:
            continue
        if target != record.file:
            wanted.append(Move(record.key, record.file, target))
    return wanted


def earlier_name(file: str, key: Key) -> str:
    inner = PurePosixPath(file).relative_to(VIDEOS)
    return f"{EARLIER}/{inner.with_suffix('')}.{key[:8]}.mp4"


def set_aside(out: Path, listed: Sequence[Move]) -> None:
    """First half: every file that moves leaves its name. Can be repeated after a kill: nothing is in place yet."""
    for move in listed:
        if (out / move.source).exists() and not _aside(out, move).exists():
            _rename(out / move.source, _aside(out, move))


def put_in_place(out: Path, listed: Sequence[Move]) -> None:
    """Second half: every file takes its new name. Can be repeated after a kill."""
    for move in listed:
        if _aside(out, move).exists():
            make_room(out, move.target)
            _rename(_aside(out, move), out / move.target)
    with suppress(OSError):
        (out / ASIDE).rmdir()


def place(out: Path, part: Path, file: str, sha256: str) -> Path:
    """Give a verified download its final name; what stands there and is not the same video makes room.

    Returns the folder, which is still to be synced. Raises StorageTrouble.
    """
    target = out / file
    with writing(target):
        sync(part)
        if target.exists() and file_digest(target) != sha256:
            make_room(out, file)
        part.replace(target)
    return target.parent


def make_room(out: Path, file: str) -> None:
    """Whatever has this name and is not on our list is kept under `videos/earlier`, by the hash of its bytes."""
    target = out / file
    if target.exists():
        inner = PurePosixPath(file).relative_to(VIDEOS)
        _rename(target, out / f"{EARLIER}/{inner.with_suffix('')}.found-{file_digest(target)[:8]}.mp4")


def _aside(out: Path, move: Move) -> Path:
    return out / ASIDE / f"{move.key}.mp4"


def _rename(source: Path, target: Path) -> None:
    with writing(target):
        make_folder(target.parent)
        source.replace(target)
        sync(target.parent)


def _stands(path: str, record: Record) -> bool:
    if record.sha256 is None or file_size(path) != record.size:
        return False
    return not record.elsewhere or (Path(path).is_file() and file_digest(Path(path)) == record.sha256)
