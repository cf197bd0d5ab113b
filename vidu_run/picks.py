"""`<spec>.picks.yaml`: what somebody thought of the clips. The page writes it; it decides no purchase."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidu_run.errors import Problem, SpecTrouble
from vidu_run.files import spec_stem
from vidu_run.job import Key
from vidu_run.providers.catalogue import read_schema
from vidu_run.spec.check import check_structure
from vidu_run.spec.read import Document, parse_yaml, read_yaml


@dataclass(frozen=True, slots=True)
class Pick:
    """A verdict on one job: `stars` from 1 to 5, 0 where it was rejected, None where there is only a note."""

    key: Key
    name: str
    stars: int | None = None
    note: str = ""


Picks = Mapping[Key, Pick]


def picks_file(spec: Path) -> Path:
    """Where the picks of a spec stand: beside it, `jobs.picks.yaml` for `jobs.yaml`."""
    return spec.with_name(f"{spec_stem(spec.name)}.picks.yaml")


def read_picks(path: Path) -> dict[Key, Pick]:
    """By key, in the order of the file. Raises SpecTrouble with every problem of the file."""
    return _checked(read_yaml(path, path.as_posix()))


def picks_of(spec: Path) -> dict[Key, Pick]:
    """Those beside a spec, none where there is no file. Raises SpecTrouble."""
    path = picks_file(spec)
    return read_picks(path) if path.is_file() else {}


def parse_picks(text: str, shown: str) -> dict[Key, Pick]:
    """As `read_picks`, of a text; `shown` names it in messages."""
    return _checked(parse_yaml(text, shown))


def _checked(document: Document) -> dict[Key, Pick]:
    check_structure(document, read_schema("picks.schema.json"), "a file of picks")
    entries: list[dict[str, Any]] = document.data["picks"]
    if twice := list(_twice(document, entries)):
        raise SpecTrouble(twice)
    return {Key(entry["key"]): _pick(entry) for entry in entries}


def _pick(entry: Mapping[str, Any]) -> Pick:
    stars = entry.get("stars")
    return Pick(Key(entry["key"]), entry["name"], None if stars is None else int(stars), entry.get("note", ""))


def _twice(document: Document, entries: list[dict[str, Any]]) -> Iterator[Problem]:
    """Two verdicts on one job: most often a merge of two people's files."""
    first: dict[str, int] = {}
    for number, entry in enumerate(entries):
        before = first.setdefault(entry["key"], number)
        if before != number:
            line = document.place(("picks", before)).line
            yield Problem(
                document.place(("picks", number)), f"{entry['name']}: picked in line {line} already; keep one of them"
            )
