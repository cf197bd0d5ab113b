"""`results.jsonl`: the portable list of what was delivered, one line a job. Read by a fresh state before it buys."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vidu_run.errors import StorageTrouble
from vidu_run.files import write_if_other
from vidu_run.job import Key
from vidu_run.journal.port import Sheet
from vidu_run.record import Record, seed_of

NAME = "results.jsonl"
HEX = frozenset("0123456789abcdef")


def write(
    out: Path,
    origin: str,
    sheets: Callable[[Sequence[Key]], Iterator[Sheet]],
    records: Mapping[Key, Record],
    adopted: Mapping[Key, Mapping[str, Any]],
) -> None:
    """A line for each delivered job beside the lines that are there; whole or not at all, in the order of keys.

    `seed` is the one that was used, as far as anybody said; `credits` the charge, or the estimate where none was told.
    A line is never dropped: another copy of this folder may have written it, and it is all that says what was bought.
    `sheets` gives those of these keys that there are, in their order; `adopted` are the lines that the journal took
    over earlier.
    """
    delivered = {key for key, record in records.items() if record.sha256 is not None and not record.elsewhere}
    lines = {key: _written(line) for key, line in adopted.items() if key not in delivered}
    lines |= {line["key"]: _written(line) for line in _lines(out) if line["key"] not in delivered}
    for key, record in records.items():
        if record.elsewhere:
            # Its file may have been renamed with its job since.
            lines[key] = _written({**json.loads(lines[key]), "file": record.file})
    if keys := sorted(lines.keys() | delivered):
        wanted = sorted(delivered)
        own = _of_delivered(wanted, sheets(wanted), records, origin)
        write_if_other(out / NAME, (lines.get(key) or next(own) for key in keys))


def _of_delivered(
    keys: Sequence[Key], sheets: Iterator[Sheet], records: Mapping[Key, Record], origin: str
) -> Iterator[bytes]:
    """A line for each of these keys; a sheet may be missing."""
    sheet = next(sheets, None)
    for key in keys:
        if sheet is None or sheet.key != key:
            yield _written(_line(records[key], None, origin))
        else:
            yield _written(_line(records[key], sheet, origin))
            sheet = next(sheets, None)


def _written(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _line(record: Record, sheet: Sheet | None, origin: str) -> dict[str, Any]:
    return {
        "key": record.key,
        "name": _name_of(sheet, record.file or ""),
        "task_id": record.task_id,
        "seed": seed_of(record, sheet.request if sheet else {}),
        "credits": record.charged if record.charged is not None else record.estimated,
        "sha256": record.sha256,
        "bytes": record.size,
        "file": record.file,
        "origin": origin,
    }


def _name_of(sheet: Sheet | None, file: str) -> str:
    """The present name; for a job that has left the spec, that of its file."""
    if sheet is not None and sheet.position is not None:
        return sheet.name
    return PurePosixPath(file).relative_to("videos").with_suffix("").as_posix()


def read(out: Path, known: Container[str] = ()) -> dict[str, dict[str, Any]]:
    """Lines by key, without those of keys that are known. Raises StorageTrouble for a line that is not one of ours:
    guessing could buy a video again.
    """
    return {line["key"]: line for line in _lines(out) if line["key"] not in known}


def _lines(out: Path) -> Iterator[dict[str, Any]]:
    try:
        with (out / NAME).open(encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                if text.strip():
                    yield _understood(text, f"{out / NAME}:{number}")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise StorageTrouble(f"{out / NAME}: cannot be read ({error})") from None


def _understood(text: str, place: str) -> dict[str, Any]:
    line = _parsed(text)
    if line is None:
        raise StorageTrouble(f"{place}: not a line of the ledger (a merge conflict?). Mend or remove it.")
    return line


def of_origin(lines: Mapping[str, Mapping[str, Any]], origin: str) -> dict[str, Mapping[str, Any]]:
    """The lines that this origin wrote, or that do not say: a rehearsal never satisfies a paid job."""
    return {key: line for key, line in lines.items() if line.get("origin") in (None, origin)}


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
        text.encode()
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or not _is_key(line.get("key")) or not _is_inside(line.get("file")):
        return None
    texts = all(isinstance(line.get(name), str | None) for name in ("name", "task_id", "sha256", "origin"))
    numbers = all(type(line.get(name)) in (int, type(None)) for name in ("seed", "credits", "bytes"))
    return line if texts and numbers else None


def _is_key(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and HEX.issuperset(value)


def _is_inside(value: Any) -> bool:
    """Its files are moved when jobs are renamed, so a line must not lead out of the folder."""
    if not isinstance(value, str):
        return False
    parts = [part for part in value.split("/") if part not in ("", ".")]
    fits = value.isprintable() and all(len(part.encode()) <= 255 for part in parts)
    return fits and len(parts) > 1 and parts[0] == "videos" and ".." not in parts and not value.startswith("/")
