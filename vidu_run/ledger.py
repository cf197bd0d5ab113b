"""`results.jsonl`: the portable list of what was delivered, one line a job. Read by a fresh state before it buys."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vidu_run.errors import StorageTrouble
from vidu_run.files import write_durably
from vidu_run.job import Key
from vidu_run.journal.port import Sheet
from vidu_run.record import Record, State

NAME = "results.jsonl"
HEX = frozenset("0123456789abcdef")


def write(
    out: Path, sheets: Sequence[Sheet], records: Iterable[Record], ledger: Mapping[Key, Mapping[str, Any]]
) -> None:
    """One line for each delivered job, earlier lines of the ledger kept; whole or not at all, in the order of keys.

    `seed` is the one that was used, as far as anybody said; `credits` the charge, or the estimate where none was told.
    """
    known = {sheet.key: sheet for sheet in sheets}
    lines: dict[Key, Mapping[str, Any]] = dict(ledger)
    for record in records:
        if record.state is State.DONE and not record.elsewhere:
            lines[record.key] = {
                "key": record.key,
                "name": _name_of(known.get(record.key), record.file or ""),
                "task_id": record.task_id,
                "seed": record.seed or _asked_seed(known.get(record.key)),
                "credits": record.charged if record.charged is not None else record.estimated,
                "sha256": record.sha256,
                "bytes": record.size,
                "file": record.file,
            }
    text = "".join(json.dumps(lines[key], ensure_ascii=False) + "\n" for key in sorted(lines))
    if lines and text != _present(out):
        write_durably(out / NAME, text.encode())


def _name_of(sheet: Sheet | None, file: str) -> str:
    """The present name; for a job that has left the spec, that of its file."""
    if sheet is not None and sheet.position is not None:
        return sheet.name
    return PurePosixPath(file).relative_to("videos").with_suffix("").as_posix()


def _asked_seed(sheet: Sheet | None) -> int | None:
    return sheet.request.get("seed") if sheet else None


def read(out: Path) -> dict[str, dict[str, Any]]:
    """Lines by key. Raises StorageTrouble for a line that is not one of ours: guessing could buy a video again."""
    lines: dict[str, dict[str, Any]] = {}
    for number, text in enumerate((_present(out) or "").splitlines(), 1):
        if not text.strip():
            continue
        line = _parsed(text)
        if line is None:
            raise StorageTrouble(
                f"{out / NAME}:{number}: not a line of the ledger (a merge conflict?). "
                "Mend or remove it; nothing was sent."
            )
        lines[line["key"]] = line
    return lines


def _present(out: Path) -> str | None:
    try:
        return (out / NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageTrouble(f"{out / NAME}: cannot be read ({error})") from None


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or not _is_key(line.get("key")) or not _is_inside(line.get("file")):
        return None
    return line


def _is_key(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and HEX.issuperset(value)


def _is_inside(value: Any) -> bool:
    """Its files are moved when jobs are renamed, so a line must not lead out of the folder."""
    if not isinstance(value, str):
        return False
    parts = PurePosixPath(value).parts
    return len(parts) > 1 and parts[0] == "videos" and ".." not in parts
