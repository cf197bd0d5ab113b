"""Carry a plan out and say how it ended: the part that `run` and `fetch` share."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidu_run import results, show, view
from vidu_run.api.trouble import ApiTrouble
from vidu_run.console import Console, Progress, Spent
from vidu_run.errors import Exit, StorageTrouble, exit_order
from vidu_run.job import Job, Key
from vidu_run.journal.port import Limits
from vidu_run.journal.sqlite import SqliteJournal
from vidu_run.pace import Timing
from vidu_run.picks import Picks
from vidu_run.plan import Action, Aim, Plan
from vidu_run.record import Record, State
from vidu_run.report.data import counts_of, public_state
from vidu_run.session import Reach
from vidu_run.shelf import present
from vidu_run.stop import Stop
from vidu_run.tally import Kind, Part, Tally, by_kind, kind_of
from vidu_run.wording import counted

if TYPE_CHECKING:
    from vidu_run.api.client import Api
    from vidu_run.desk import Desk

SHOWN = {
    Action.SUBMIT: State.PLANNED,
    Action.AFTER: State.PLANNED,
    Action.HELD: State.PLANNED,
    Action.PICK: State.PLANNED,
    Action.WAIT: State.SUBMITTED,
    Action.FETCH: State.READY,
    Action.ASK: State.IN_DOUBT,
}
"""The state in which a job is shown before its step is taken; one that is skipped is shown in its own."""

BOUGHT = (Action.SUBMIT, Action.AFTER)

TICK = 0.5
"""Seconds between two looks at the clock for the screen."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and how a run works. `source`: the spec's folder, None where only the state is left. `target`: how the
    user names this state on a command line. `shrink_to`: bytes of a body for which frames are made lighter.
    `asks_limit`: the account is asked how many tasks it may run at once.
    """

    out: Path
    source: Path | None
    target: str
    timing: Timing
    limits: Limits
    waits: bool = True
    shrink_to: int | None = None
    asks_limit: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One invocation that holds the output folder: what each part of it works with."""

    setting: Setting
    journal: SqliteJournal
    reach: Reach
    console: Console
    stop: Stop = field(default_factory=Stop)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: the exit code, and every reason with the code it asks for. `said` are those that the `counts`
    of the spec's jobs by their state do not tell; `status` is there where it was asked for.
    """

    code: int
    reasons: tuple[tuple[int, str], ...]
    said: tuple[str, ...]
    counts: Mapping[str, int]
    page: Path
    status: Mapping[str, Any] | None


async def act(run: Run, plan: Plan, jobs: Sequence[Job] = ()) -> list[str]:
    """Take every step, and bring home what was bought for jobs outside the plan; returns what this run gave up on.
    `jobs` are all of the spec: one of the plan may continue the clip of one that is not in it.

    With nothing to do it contacts nobody.
    """
    setting, reach, journal, stop = run.setting, run.reach, run.journal, run.stop
    records = {record.key: record for record in journal.records()}
    at_api = [record for record in records.values() if record.state is State.SUBMITTED]
    missing = [records[step.job.key] for step in plan.of(Action.FETCH)]
    fetch = {record.key: record for record in [*records.values(), *missing] if record.state is State.READY}
    fetch |= {record.key: record for record in missing}
    if not (plan.to_buy or at_api or fetch):
        return []
    # Only now: what follows loads an HTTP library, which takes longer than all that was done so far.
    from vidu_run.batch import Batch
    from vidu_run.desk import Desk
    from vidu_run.relay import Relay

    _warn_of_links(list(fetch.values()), reach.service.provider.limits.link_lifetime_hours, run.console)
    api, downloads = await reach.open()
    limits = setting.limits
    if setting.asks_limit and plan.to_buy and reach.service.provider.routes.credits is not None:
        limits = await _room(api, limits, len(at_api), run.console)
    tally = _tally(plan, records, journal, limits)
    count = len({*(step.job.key for step in plan.to_buy), *(record.key for record in at_api), *fetch})
    waiting = [step.job for step in plan.of(Action.AFTER)]
    hold = [record for record in records.values() if record.state is State.IN_DOUBT]
    # Those of a sweep that is resumed take tens of megabytes.
    del records

    def spent() -> Spent:
        return journal.committed(), journal.charged()

    with run.console.progress(tally, count, spent, lambda: stop.reasons, time.monotonic) as progress:
        desk = Desk(
            journal=journal,
            api=api,
            downloads=downloads,
            out=setting.out,
            source=setting.source,
            target=setting.target,
            timing=setting.timing,
            limits=limits,
            waits=setting.waits,
            shrink_to=setting.shrink_to,
            tell=progress.tell,
            stop=stop,
            relay=Relay(jobs, waiting, reach.service.provider, journal, setting.out),
        )
        ticking = asyncio.create_task(_tick(progress, tally, desk))
        try:
            await Batch(desk).run(
                buy=[step.job for step in plan.of(Action.SUBMIT)],
                look=at_api,
                fetch=_soonest_first(list(fetch.values())),
                hold=hold,
            )
        finally:
            ticking.cancel()
            await asyncio.to_thread(desk.posters.close)
    return desk.incomplete


def _tally(plan: Plan, records: Mapping[Key, Record], journal: SqliteJournal, limits: Limits) -> Tally:
    """The jobs of the plan as they stand, on the monotonic clock."""
    now, clock = time.monotonic(), time.time()
    tally = Tally(now, (limits.slots, limits.off_peak_slots), by_kind(journal.took()))
    kinds: dict[Kind, Kind] = {}
    for step in plan.steps:
        record = records.get(step.job.key)
        state = public_state(record, run_lives=True) if step.action is Action.SKIP else SHOWN[step.action]
        at = record.accepted_at if record and step.action is Action.WAIT else None
        since = None if at is None else now - max(0.0, clock - at)
        kind = kind_of(step.job.request)
        tally.put(step.job.name, Part(state, kinds.setdefault(kind, kind), step.action in BOUGHT, since))
    return tally


async def _tick(progress: Progress, tally: Tally, desk: Desk) -> None:
    with suppress(StorageTrouble):
        while True:
            tally.slots = (desk.slots.open, desk.off_peak_slots.open)
            tally.offline = desk.gate.shut
            progress.tick()
            await asyncio.sleep(TICK)


async def _room(api: Api, limits: Limits, ours: int, console: Console) -> Limits:
    """As many tasks as the account may run, less those of others; at least one, and as before where it does not say."""
    try:
        told = await api.balance()
    except ApiTrouble as error:
        console.say(f"the account does not say its limit ({error}): {limits.slots} tasks at once", "yellow")
        return limits
    if told.concurrency is None:
        return limits
    slots = max(1, told.concurrency - max(0, (told.running or 0) - ours))
    console.say(f"the account may run {told.concurrency} tasks at once: {slots} for this run")
    return replace(limits, slots=slots)


def _soonest_first(records: Sequence[Record]) -> list[Record]:
    """Those whose links expire soonest; the clock of a link starts when its task ends."""
    return sorted(records, key=lambda record: record.finished_at or 0.0)


def _warn_of_links(fetch: Sequence[Record], lifetime: int | None, console: Console) -> None:
    known = [record.finished_at for record in fetch if record.finished_at is not None]
    if lifetime is None or not known:
        return
    left = lifetime - (time.time() - min(known)) / 3600
    words = f"the first in {left:.0f} h" if left > 0 else "the first may have already"
    videos = counted(len(fetch), "finished video is", "finished videos are")
    console.say(f"{videos} not here yet; links expire {lifetime} h after the end, {words}")


async def ended(run: Run, aims: Sequence[Aim], incomplete: Sequence[str], wants_status: bool) -> Ended:
    """Write the ledger and the page, say what is in doubt, and reckon the exit code."""
    setting, journal, console = run.setting, run.journal, run.console
    records = {record.key: record for record in journal.records()}
    here = present(setting.out, records.values())
    whole = [*run.stop.reasons, *((int(Exit.INCOMPLETE), text) for text in incomplete)]
    single = []
    for aim in aims:
        record = records.get(aim.key)
        if (code := job_code(aim, record, here)) is not Exit.DONE:
            single.append((int(code), f"{aim.name}: {public_state(record, run_lives=False)}"))
    whole += [(int(Exit.NEEDS_WORD), text) for text in show.picks_wanted(aims)]
    if gone := sum(aim.key in records and records[aim.key].elsewhere and aim.key not in here for aim in aims):
        console.say(show.elsewhere_text(gone, setting.target), "yellow")
    picks = _picks(run)
    page = setting.out / results.PAGE
    try:
        await results.write_all(journal, records, setting.out, picks, console.say)
    except StorageTrouble as trouble:
        whole.append((int(Exit.STORAGE), str(trouble)))
    names = journal.names()
    states = {key: public_state(records.get(key), run_lives=False) for key in {**names, **records}}
    if State.IN_DOUBT in states.values():
        # Also jobs that have left the spec: they may have been paid for.
        doubtful = journal.sheets_of([key for key, state in states.items() if state is State.IN_DOUBT])
        whole.append((int(Exit.NEEDS_WORD), f"{len(doubtful)} in doubt"))
        console.say(show.doubt_text(doubtful, records, setting.target), "magenta")
    reasons = (*whole, *single)
    return Ended(
        code=exit_order([code for code, _ in reasons]),
        reasons=reasons,
        said=tuple(text for _, text in whole),
        counts=counts_of(states[key].value for key in names),
        page=page,
        # Now: once this journal is closed, another look would leave its log beside it.
        status=view.status_of(journal, setting.out, False, picks) if wants_status else None,
    )


def _picks(run: Run) -> Picks:
    """A file of picks that cannot be read is no reason to leave a run without its page."""
    spec = run.setting.source and run.setting.source / (run.journal.meta("spec") or "spec")
    return results.readable_picks(run.journal, run.setting.out, spec, run.console.problems)


def job_code(aim: Aim, record: Record | None, here: frozenset[Key]) -> Exit:
    """What one selected job asks the run to end with."""
    state = public_state(record, run_lives=False)
    if state in (State.FAILED, State.REJECTED, State.ABANDONED):
        return Exit.SOME_FAILED
    if state is State.IN_DOUBT:
        return Exit.NEEDS_WORD
    if record is not None and state is State.DONE and (aim.key in here or record.elsewhere):
        return Exit.DONE
    if aim.action is Action.PICK:
        return Exit.NEEDS_WORD
    if aim.lost:
        return Exit.SOME_FAILED
    return Exit.INCOMPLETE


def target_of(spec: Path | None, out: Path, provider: str | None, chosen_out: bool) -> str:
    """How the user names this state on a command line."""
    if spec is None:
        return f"--state {shlex.quote(str(out))}"
    words = [shlex.quote(str(spec))]
    words += ["--provider", provider] if provider else []
    words += ["--out", shlex.quote(str(out))] if chosen_out else []
    return " ".join(words)
