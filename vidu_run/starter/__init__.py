"""`vidu-run init`: a starter folder a person would keep. Overwrites nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

from vidu_run.errors import UsageTrouble
from vidu_run.providers.catalogue import schema_file

FILES = Path(__file__).parent / "files"
SCHEMA = "spec.schema.json"


def make_starter(folder: Path) -> list[Path]:
    """Copy the starter into `folder`; returns what was made. Raises UsageTrouble where a file would be replaced."""
    sources = {_name(file): file for file in sorted(FILES.rglob("*")) if file.is_file()}
    sources[SCHEMA] = schema_file(SCHEMA)
    taken = [name for name in sources if (folder / name).exists()]
    if taken:
        raise UsageTrouble(f"{folder / taken[0]} exists: nothing was written")
    try:
        for name, source in sources.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    except OSError as error:
        raise UsageTrouble(f"{folder}: cannot be written ({error.strerror or error})") from None
    return [folder / name for name in sorted(sources)]


def _name(file: Path) -> str:
    """A `.gitignore` in this package would hide its neighbours from git."""
    return file.relative_to(FILES).as_posix().replace("gitignore.txt", ".gitignore")
