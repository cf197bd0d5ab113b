"""Other output folders that hold the jobs of a spec, most often since it was renamed. Looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidu_run import ledger
from vidu_run.errors import StorageTrouble
from vidu_run.files import folder_parts
from vidu_run.job import Job, Key
from vidu_run.journal import file as state_file
from vidu_run.journal.reader import ReadJournal
from vidu_run.picks import picks_file
from vidu_run.record import LIVE


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose state this is: a rehearsal on this machine must never satisfy a paid job."""

    spec: str
    provider: str
    origin: str


@dataclass(frozen=True, slots=True)
class Sibling:
    """An output folder that holds jobs of a spec, or may: one that cannot be read may. `held` says which, `spec` is
    what the spec is called that it belongs to.
    """

    folder: Path
    held: str
    spec: str

    def told(self, outcome: str, spec: Path) -> str:
        """What there is to do about it, and about the picks that still have the old name; `outcome` is a sentence."""
        lines = [
            f"{self.held}, done or on their way. Was the spec renamed? {outcome}",
            f"  go on there:        --out {self.folder}",
            "  buy them here too:  --fresh",
        ]
        old, new = picks_file(spec.with_name(self.spec)), picks_file(spec)
        if old != new and old.is_file() and not new.exists():
            lines.append(f"  its picks go along: rename {old.name} to {new.name}")
        return "\n".join(lines)


def sibling(out: Path, identity: Identity, jobs: Sequence[Job], folders: Sequence[Path]) -> Sibling | None:
    """The first of the output folders in `folders`, but for `out`, that holds any of these jobs."""
    keys = frozenset(job.key for job in jobs)
    for path in _others(out, folders):
        try:
            held = f"holds {count} of these jobs" if (count := _held_there(path, identity, keys)) else ""
        except StorageTrouble as trouble:
            held = f"may hold these jobs and cannot be read ({trouble})"
        if held:
            return Sibling(path, held, _spec_of(path))
    return None


def _others(out: Path, folders: Sequence[Path]) -> Iterator[Path]:
    met = {out.resolve()}
    for path in (path for folder in folders for path in sorted(folder.glob("*")) if path.is_dir()):
        if path.resolve() not in met:
            met.add(path.resolve())
            yield path


def _held_there(folder: Path, identity: Identity, keys: frozenset[Key]) -> int:
    listed = ledger.of_origin(ledger.read(folder), identity.origin)
    held = {Key(key) for key in listed} & keys
    if (folder / state_file.NAME).exists():
        other = ReadJournal(folder)
        try:
            if other.meta("provider") == identity.provider and other.meta("origin") == identity.origin:
                held |= {record.key for record in other.records(keys) if record.state in LIVE}
        finally:
            other.close()
    return len(held)


def _spec_of(folder: Path) -> str:
    """By the name of the folder: also where its state is lost."""
    return f"{folder_parts(folder.name)[0]}.yaml"
