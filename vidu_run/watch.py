"""`status --watch`: a run as another terminal sees it, from the journal alone. Reads for an instant, holds nothing."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidu_run import view
from vidu_run.console import Console, Progress, Spent
from vidu_run.folder import run_lives
from vidu_run.job import Key
from vidu_run.journal import file as state_file
from vidu_run.journal.port import Asked, Going, Progressed
from vidu_run.journal.reader import ReadJournal
from vidu_run.providers.catalogue import LOCAL
from vidu_run.record import State, ledger_counts
from vidu_run.show import counts_text
from vidu_run.tally import BAD, Kind, Part, Tally, by_kind, kind_of

PERIOD = 1.0
"""Seconds between two looks."""

PART = 20
"""A look that takes long is followed by a pause of so many times its length."""

LIFE = 3.0
"""Seconds between two questions whether a run lives: to ask, the lock is taken for an instant."""

RECENT = 5
"""Changes from before that are shown at the beginning."""

INTERRUPTS = (signal.SIGINT,)
ON_ITS_WAY = (State.SUBMITTED, State.READY)
MADE = (State.READY, State.DONE)


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a job is: its state as a user sees it, when that was, and what there is to say."""

    name: str
    state: State
    at: float = 0.0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Ground:
    """What stays as it is while one run goes on. `run` tells runs apart; `estimated`: credits of the present spec's
    jobs by the price list.
    """

    run: str
    spec: str
    provider: str
    going: Going | None
    jobs: Sequence[Asked]
    kinds: Mapping[Key, Kind]
    past: Mapping[Kind, Sequence[float]]
    listed: Container[Key]
    estimated: int


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look at the journal showed."""

    ground: Ground
    lives: bool
    stands: Mapping[Key, Stand]
    attempts: Sequence[Progressed]
    committed: int
    charged: int | None

    @property
    def counts(self) -> dict[str, int]:
        counts = Counter(stand.state for stand in self.stands.values())
        return {str(state): counts[state] for state in State if counts[state]}

    @property
    def over(self) -> bool:
        return not self.lives and not any(stand.state in ON_ITS_WAY for stand in self.stands.values())


def look(journal: ReadJournal, lives: bool, before: Sight | None = None) -> Sight:
    """Reads the specs' part only when another run has begun."""
    run = journal.started()
    ground = before.ground if before and before.ground.run == run else _ground(journal, run)
    attempts = journal.progress()
    stands = _stands(ground, attempts, lives)
    return Sight(ground, lives, stands, attempts, journal.committed(), journal.charged())


def _ground(journal: ReadJournal, run: str) -> Ground:
    jobs = journal.jobs()
    return Ground(
        run=run,
        spec=journal.meta("spec") or "",
        provider=journal.meta("provider") or "",
        going=journal.going(),
        jobs=jobs,
        kinds={job.key: kind_of(job.request) for job in jobs},
        past=by_kind(journal.took()),
        listed=journal.listed(),
        estimated=sum(job.credits or 0 for job in jobs),
    )


def tallied(sight: Sight) -> Tally:
    """The reckoning of what was seen, on the clock of the journal."""
    ground, going = sight.ground, sight.ground.going
    tally = Tally(going.at if going else 0.0, past=ground.past, committed=sight.committed, charged=sight.charged)
    tally.resting, tally.rehearses = not sight.lives, ground.provider == LOCAL
    left = _to_send(sight)
    at_api = {False: 0, True: 0}
    for job in ground.jobs:
        stand, kind = sight.stands[job.key], ground.kinds[job.key]
        awaited = stand.state is State.PLANNED and left > 0
        left -= awaited
        since = stand.at if stand.state is State.SUBMITTED else None
        at_api[kind[3]] += since is not None
        tally.put(job.name, Part(stand.state, kind, awaited, since))
    for attempt in sight.attempts:
        if attempt.state in MADE and attempt.key in ground.kinds and (attempt.finished_at or -1.0) >= tally.begun:
            _made(tally, attempt, ground.kinds[attempt.key])
    at_once = (going.slots, going.off_peak_slots) if going else (1, 1)
    tally.slots = (max(at_once[0], at_api[False]), max(at_once[1], at_api[True]))
    bad = [stand for stand in sight.stands.values() if stand.state in BAD and stand.at >= tally.begun]
    if bad:
        latest = max(bad, key=lambda stand: stand.at)
        tally.error = (latest.name, latest.text)
    return tally


def changes(old: Sight | None, new: Sight) -> list[Stand]:
    """What is different now, the latest last; at the beginning the latest that there is."""
    if old is None:
        return sorted((stand for stand in new.stands.values() if stand.at), key=lambda stand: stand.at)[-RECENT:]
    known = {key: (stand.state, stand.text) for key, stand in old.stands.items()}
    changed = [stand for key, stand in new.stands.items() if known.get(key) != (stand.state, stand.text)]
    return sorted(changed, key=lambda stand: stand.at)


def document(sight: Sight, changed: Sequence[Stand]) -> dict[str, Any]:
    """A line of `status --watch --json`: as `status --json`, with what has changed instead of every job."""
    return {
        "spec": sight.ground.spec,
        "provider": sight.ground.provider,
        "running": sight.lives,
        "counts": sight.counts,
        "credits": {"estimated": sight.ground.estimated, "committed": sight.committed, "charged": sight.charged},
        "changed": [{"name": one.name, "state": str(one.state), "text": one.text} for one in changed],
    }


def watch(out: Path, as_json: bool, console: Console) -> None:
    """Until the run that is followed has ended; where none lives, until nothing is on its way. Raises StorageTrouble
    for a state that cannot be read.
    """
    sights = _sights(out, console)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        if as_json:
            _as_lines(sights, console)
        else:
            _as_block(sights, console)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _pause(seconds: float) -> None:
    """The only place where a Ctrl-C is heard: never in the middle of a drawing, which would then stay there."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    time.sleep(seconds)
    signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)


def _as_lines(sights: Iterator[Sight | None], console: Console) -> None:
    before: Sight | None = None
    for sight in sights:
        if sight is None or (before and document(before, ()) == document(sight, ()) and not changes(before, sight)):
            continue
        console.raw(json.dumps(document(sight, changes(before, sight) if before else ()), ensure_ascii=False))
        before = sight


def _as_block(sights: Iterator[Sight | None], console: Console) -> None:
    sight = next(one for one in sights if one is not None)

    def spent() -> Spent:
        return sight.committed, sight.charged

    with console.progress(tallied(sight), len(sight.stands), spent, tuple, time.time) as told:
        _show(told, changes(None, sight))
        told.tick()
        for now in sights:
            if now is not None:
                told.follow(tallied(now), len(now.stands))
                _show(told, changes(sight, now))
                sight = now
            told.tick()
    console.answer(f"no run is going on: {counts_text(sight.counts)}")


def _show(told: Progress, changed: Sequence[Stand]) -> None:
    for stand in changed:
        told.show(stand.at, stand.name, stand.state, stand.text)


def _sights(out: Path, console: Console) -> Iterator[Sight | None]:
    """A sight whenever the state has changed, None whenever it has not; ends when there is nothing to wait for."""
    waiting, lives, asked, seen, last = False, False, -LIFE, None, None
    followed = False
    while True:
        begun = time.monotonic()
        stamp = _stamp(out)
        # A commit by nobody: a run has begun since it was asked last.
        if begun - asked >= LIFE or (stamp is not None and not lives and seen != (stamp, lives)):
            # Once may be another's question: that takes the lock for an instant too.
            lived, lives, asked = lives, run_lives(out), begun
            followed = followed or (lived and lives)
        if stamp is None and not waiting:
            console.say(f"{out}: nothing has been run here yet; waiting for a run")
        waiting = stamp is None
        sight = None
        if stamp is not None and (stamp, lives) != seen:
            with view.read(out, begun=False) as journal:
                sight = last = look(journal, lives, last)
            seen = stamp, lives
        if stamp is not None:
            yield sight
        if sight is not None and (sight.over or (followed and not lives)):
            return
        _pause(max(PERIOD, PART * (time.monotonic() - begun)))


def _stamp(out: Path) -> tuple[object, ...] | None:
    """Differs after every commit; None while there is no state. No connection stays open from one look to the next:
    the last one of a run could not bring its log home.
    """
    found: list[object] = []
    for name in (state_file.NAME, f"{state_file.NAME}-wal"):
        try:
            told = (out / name).stat()
            found += [told.st_ino, told.st_size, told.st_mtime_ns]
        except OSError:
            found.append(None)
    return tuple(found) if found[0] is not None else None


def _stands(ground: Ground, attempts: Sequence[Progressed], lives: bool) -> dict[Key, Stand]:
    latest = {attempt.key: attempt for attempt in attempts}
    return {job.key: _stand(job, latest.get(job.key), job.key in ground.listed, lives) for job in ground.jobs}


def _stand(job: Asked, attempt: Progressed | None, listed: bool, lives: bool) -> Stand:
    if listed and ledger_counts(None if attempt is None else attempt.state):
        return Stand(job.name, State.DONE)
    if attempt is None:
        return Stand(job.name, State.PLANNED)
    open_state = State.SUBMITTED if lives else State.IN_DOUBT
    state = open_state if attempt.state is State.INTENT else attempt.state
    return Stand(job.name, state, attempt.changed_at, attempt.error or attempt.file or "")


def _to_send(sight: Sight) -> int:
    """How many jobs the run that lives has still to submit, as far as it told."""
    going = sight.ground.going
    if going is None or not sight.lives:
        return 0
    return going.jobs - len({one.key for one in sight.attempts if one.posted_at >= going.at})


def _made(tally: Tally, attempt: Progressed, kind: Kind) -> None:
    assert attempt.finished_at is not None
    tally.came(attempt.finished_at)
    if attempt.accepted_at is not None and not attempt.resumed:
        tally.took(kind, attempt.finished_at - attempt.accepted_at)
