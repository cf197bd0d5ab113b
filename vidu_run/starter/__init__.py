"""`vidu-run init`: a starter folder a person would keep. Overwrites nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from vidu_run.errors import UsageTrouble
from vidu_run.files import write_new
from vidu_run.providers.catalogue import schema_file

FILES = Path(__file__).parent / "files"
SCHEMA = "spec.schema.json"

ELSEWHERE = {
    "gitattributes.txt": ".gitattributes",
    "gitignore.txt": ".gitignore",
    "workflow.yml": ".github/workflows/vidu-run.yml",
}
"""Where files go that would be obeyed in this package: a `.gitignore` here would hide its neighbours from git."""


def make_starter(folder: Path) -> list[Path]:
    """Copy the starter into `folder`; returns what was made. Raises UsageTrouble where a file would be replaced."""
    contents = _contents()
    if (taken := _in_the_way(folder, contents)) is not None:
        raise UsageTrouble(f"{taken} exists: nothing was written")
    made: list[Path] = []
    try:
        for name, content in contents.items():
            made.append(_made(folder / name, content))
    except OSError as error:
        for path in made:
            path.unlink(missing_ok=True)
        raise UsageTrouble(f"{folder}: cannot be written ({error.strerror or error})") from None
    return made


def _contents() -> dict[str, bytes]:
    """Bytes by path inside the folder; the schema is the installed one's."""
    found = {file.relative_to(FILES).as_posix(): file for file in FILES.rglob("*") if file.is_file()}
    named = {ELSEWHERE.get(name, name): file.read_bytes() for name, file in found.items()}
    return dict(sorted({**named, SCHEMA: schema_file(SCHEMA).read_bytes()}.items()))


def _in_the_way(folder: Path, contents: Mapping[str, bytes]) -> Path | None:
    """What stands where a file is to be written, links that lead nowhere too, or a folder is to be."""
    for name in contents:
        above = [folder / part for part in reversed(PurePosixPath(name).parents)]
        for path in above:
            if os.path.lexists(path) and not path.is_dir():
                return path
        if os.path.lexists(folder / name):
            return folder / name
    return None


def _made(target: Path, content: bytes) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    write_new(target, content)
    return target
