"""A run with nothing to do, known without expanding its spec: all that its jobs are made of is as it was when a run
left every one of them delivered, and so is the state. It reads, and neither sends nor writes; where it is not sure, the
whole run looks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidu_run import __version__, config, show
from vidu_run.console import Console
from vidu_run.errors import Exit, StorageTrouble
from vidu_run.files import file_size, output_folder, spec_stem
from vidu_run.job import Frame, Link
from vidu_run.journal import file as state_file
from vidu_run.journal.reader import ReadJournal
from vidu_run.providers.catalogue import LOCAL, choose_provider
from vidu_run.providers.pricing import prices_file
from vidu_run.session import Service, service_at
from vidu_run.wording import counted

if TYPE_CHECKING:
    from vidu_run.journal.sqlite import SqliteJournal
    from vidu_run.spec.load import Spec

QUIET = "quiet"
"""The fact that says of which epoch, command line and files it holds that all is delivered."""

RACE = 2.0
"""Seconds that a file must have been left alone to be known by its times: some file systems count in twos."""

USUAL = ("only", "limit", "retry_failed", "rebuy", "fresh", "moved_to")
"""Options of `run` under which it may have something to do, or to tell."""

Stamp = list[int] | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, as far as it decides the jobs."""

    spec: Path
    provider: str | None
    settings: Mapping[str, Any]
    assumed: int | None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def told(self) -> list[Any]:
        prices = str(prices_file(self.environment))
        return [__version__, str(self.spec.absolute()), self.provider, dict(self.settings), self.assumed, prices]


def inputs(spec: Spec, asked: Asked, began: float) -> dict[str, Stamp] | None:
    """Every file and folder that this spec was made of, as they were at Unix second `began`, when reading it began.

    None where one has changed since or just before, so that its times do not tell its bytes; and where more than
    files decides what is to be done.
    """
    # Jobs share their pairs: a set of images would hash each frame once a job.
    pairs = {id(job.images): job.images for job in spec.jobs}.values()
    images = [image for pair in pairs for image in pair]
    if spec.films or not all(isinstance(image, Frame | Link) for image in images):
        return None
    frames = {image.source for image in images if isinstance(image, Frame)}
    looked = {spec.path.name, f"{spec_stem(spec.path.name)}.picks.yaml"} | spec.looked | frames
    stamps = _stamps([*(spec.folder / name for name in looked), prices_file(asked.environment)])
    fresh = (began - RACE) * 1e9
    return None if any(stamp and max(stamp[2:]) > fresh for stamp in stamps.values()) else stamps


async def remember(journal: SqliteJournal, out: Path, asked: Asked, stamps: Mapping[str, Stamp] | None) -> None:
    """At the end of a run: the next one may be quiet, if there is nothing left of this one."""
    if (
        stamps is None
        or journal.meta(state_file.SHOWN) is None
        or (out / "films").exists()
        or not journal.all_delivered()
    ):
        return
    folders = [folder for folder, _, _ in os.walk(out / "videos/earlier")]
    written = [out / name for name in ("report.html", "results.csv", "results.jsonl", "posters", "films", *folders)]
    fact = {"epoch": journal.epoch, "asked": asked.told, "files": {**stamps, **_stamps(written)}}
    # A journal that fails only now has kept all that matters.
    with suppress(StorageTrouble):
        await journal.remember({QUIET: json.dumps(fact)})


def look(options: Mapping[str, Any], asked: Asked, console: Console) -> bool:
    """Whether a run with these options has nothing to do; then all that it says is said."""
    if any(options[name] not in (None, False) for name in USUAL):
        return False
    given, named = options["out"], asked.provider
    for out in [given] if given else {output_folder(asked.spec, home, named or home) for home in (LOCAL, named or "")}:
        if (out / state_file.NAME).exists() and _is_quiet(out, options, asked, console):
            return True
    return False


def _is_quiet(out: Path, options: Mapping[str, Any], asked: Asked, console: Console) -> bool:
    try:
        journal = ReadJournal(out)
    except StorageTrouble:
        return False
    try:
        fact = json.loads(journal.meta(QUIET) or "null")
        if not fact or str(fact["epoch"]) != journal.meta("epoch") or fact["asked"] != asked.told:
            return False
        if _stamps(map(Path, fact["files"])) != fact["files"]:
            return False
        service, origin = _service(journal, options, asked), journal.meta("origin")
        videos = journal.delivered_files()
    except (StorageTrouble, ValueError, LookupError, TypeError):
        return False
    finally:
        journal.close()
    if service.origin != origin or not all(file_size(f"{out}/{file}") == size for file, size in videos):
        return False
    console.greet(service.greeting, service.provider.rehearses)
    count = len(videos)
    console.say(f"{counted(count, 'job')}: {count:,} done")
    for line in show.end_lines(Exit.DONE, (), {"done": count}, out / "report.html"):
        console.say(line)
    return True


def _service(journal: ReadJournal, options: Mapping[str, Any], asked: Asked) -> Service:
    """As a run would make it. Raises UsageTrouble as a run would: for a bad address."""
    chosen = choose_provider(journal.meta("rules") or LOCAL, journal.meta("provider") or LOCAL)
    address = config.base_url(chosen, options["base_url"], asked.environment)
    return service_at(chosen, address, options["key_file"], asked.environment)


def _stamps(paths: Iterable[Path]) -> dict[str, Stamp]:
    return {str(path): _stamp(path) for path in paths}


def _stamp(path: Path) -> Stamp:
    """What changes with the bytes of a file and the names in a folder; None for what cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
