"""The table of contents of a run: read, check, lock, recover, plan, confirm, act, page."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vidu_run import ledger, results, show, spend, view
from vidu_run.console import Console
from vidu_run.errors import AccountTrouble, Exit, NeedsWord, Place, SpecTrouble, StorageTrouble, UsageTrouble
from vidu_run.films import Edit, Made, edits, make
from vidu_run.folder import locked, run_lives
from vidu_run.footing import (
    Where,
    check_twins,
    check_unheld,
    found_in,
    known,
    limits_of,
    opened,
    plant,
    recovered,
    remembered,
    search,
    stars_of,
)
from vidu_run.job import Job, Key
from vidu_run.journal import file as state_file
from vidu_run.journal.port import Sheet
from vidu_run.journal.reader import ReadJournal
from vidu_run.journal.sqlite import SqliteJournal
from vidu_run.plan import Action, Aim, Found, Plan, Wish, make_plan
from vidu_run.preview import ONCE, RunWish, changed, nobody, unmeant
from vidu_run.providers.catalogue import LOCAL
from vidu_run.providers.pricing import prices
from vidu_run.quiet import Asked, inputs, remember
from vidu_run.recover import ListingFailed
from vidu_run.session import Reach
from vidu_run.shelf import present
from vidu_run.spec.check import fold
from vidu_run.spec.load import Spec, load
from vidu_run.state import arrange, finish_moves
from vidu_run.stop import signals
from vidu_run.work import Ended, Run, Setting, act, ended, target_of


async def run(path: Path, where: Where, wish: RunWish, console: Console) -> Ended:
    """Raises Trouble where nothing was sent; what happens from the first POST on is told in `Ended`."""
    began = time.time()
    spec = load(path, where.provider, wish.settings, wish.assume_credits)
    asked = Asked(path, where.provider, wish.settings, wish.assume_credits, where.environment)
    made_of = inputs(spec, asked, began)
    service = where.service(spec)
    out = where.folder(spec)
    if not (out / state_file.NAME).exists():
        service.require_key()
    console.greet(service.greeting, spec.provider.rehearses)
    check_unheld(spec, service, out, wish.opening)
    with locked(out):
        stars = stars_of(spec)
        journal = await opened(spec, service, out, wish.opening, stars)
        try:
            reach = Reach(service, out, spec.timing)
            this = Run(_setting(spec, where, out, wish), journal, reach, console)
            aims, incomplete = await _carried_out(this, spec, stars, wish)
            # The jobs go before the records come: of a hundred thousand either takes 80 MB.
            del spec
            end = await ended(this, aims, incomplete, wish.wants_status)
            if end.code == Exit.DONE:
                await remember(journal, out, asked, made_of)
            return end
        finally:
            journal.close()


async def _carried_out(run: Run, spec: Spec, stars: Mapping[Key, int], wish: RunWish) -> tuple[list[Aim], list[str]]:
    """Recover, plan, confirm, act, join films: what the jobs were to come to, and what this run gave up on."""
    out, journal, stop, console = run.setting.out, run.journal, run.stop, run.console
    async with run.reach:
        with signals(stop, console.say):
            spec = await recovered(run, spec, stars)
        check_twins(spec)
        plan = make_plan(spec.jobs, found_in(spec, journal, out, {}), wish.plan)
        _check_extra(plan)
        console.problems([*nobody(spec, wish.plan), *unmeant(plan, spec, ONCE), *fold(changed(plan, out), ONCE)])
        if plan.to_buy:
            run.reach.service.require_key()
        # A signal during the search: nobody is asked for money any more.
        go = not stop.reasons and _confirmed(plan, spec, journal, out, wish, console)
        await journal.announce(len(plan.to_buy) if go else 0, run.setting.limits)
        with signals(stop, console.say):
            incomplete = ["nothing was sent"]
            if go:
                incomplete = await act(run, plan, spec.jobs)
            incomplete += await _late(run)
    if spec.continues:
        spec = known(spec, journal.records, stars)
        plan = plan.now(make_plan(spec.jobs, found_in(spec, journal, out, {}), Wish()))
        try:
            await plant(spec, journal, out)
        except StorageTrouble as trouble:
            stop.submits(Exit.STORAGE, str(trouble))
    await _join(spec, journal, out, console)
    return plan.aims, incomplete


def film(path: Path, where: Where, settings: Mapping[str, Any]) -> list[tuple[Edit, Made | None]]:
    """Make the films of a spec whose clips are all there, from the files and the state alone, and the page where one
    was made. Never submits.
    """
    spec = load(path, where.provider, settings)
    if not spec.films:
        raise UsageTrouble(f"{path}: it names no films; write `films: [{{name: all, jobs: '*'}}]`")
    out = where.folder(spec)
    with view.read(out) as journal:
        wanted = _edits(known(spec, journal.records, stars_of(spec)), journal, out)
    found = [(edit, None if edit.missing else make(edit, out, spec.path.name, spec.provider.name)) for edit in wanted]
    if any(made and made.anew for _, made in found):
        with view.read(out) as journal:
            picks = results.picks_beside(journal, out, spec.path)
            results.write_page(results.hold(journal, out, picks, run_lives(out)))
    return found


def _edits(spec: Spec, journal: ReadJournal, out: Path) -> list[Edit]:
    records = {record.key: record for record in journal.records()}
    picks = results.picks_beside(journal, out, spec.path)
    return edits(spec.films, spec.jobs, records, picks, present(out, records.values()))


async def _join(spec: Spec, journal: ReadJournal, out: Path, console: Console) -> None:
    """The films whose clips are all there; one that cannot be made is no reason to end otherwise."""
    try:
        for edit in _edits(spec, journal, out) if spec.films else ():
            if edit.missing:
                console.say(show.film_waits(edit.film.name, edit.missing, edit.ended), "yellow")
            elif (made := await asyncio.to_thread(make, edit, out, spec.path.name, spec.provider.name)).anew:
                console.say(show.film_made(made.file, made.sidecar))
    except (UsageTrouble, StorageTrouble) as trouble:
        console.say(f"no film: {trouble}", "yellow")
    except SpecTrouble:
        return


async def fetch(out: Path, where: Where, console: Console, wants_status: bool) -> Ended:
    """Wait for and download what is paid for, from the state alone. Never submits."""
    view.require(out)
    with locked(out):
        with view.read(out) as state:
            service, setting = remembered(state, out, where)
        console.greet(service.greeting, service.provider.rehearses)
        journal = SqliteJournal(out)
        try:
            lines = ledger.of_origin(ledger.read(out, journal.delivered_keys()), service.origin)
            await journal.begin({})
            await journal.adopt_ledger(lines)
            await finish_moves(journal, out)
            await arrange(journal, out)
            run = Run(setting, journal, Reach(service, out, setting.timing), console)
            async with run.reach:
                with signals(run.stop, console.say):
                    await search(run)
                    plan = _without_submits(journal, out)
                    await journal.announce(0, setting.limits)
                    incomplete = await act(run, plan)
            aims = plan.aims
            # As in `run`: before the records come.
            del plan
            return await ended(run, aims, incomplete, wants_status)
        finally:
            journal.close()


async def _late(run: Run) -> list[str]:
    """Answers lost in this very run: look for their tasks once more before anybody is asked, and bring them home."""
    if run.stop.waiting or run.journal.broken:
        return []
    try:
        found = await search(run)
    except (ListingFailed, AccountTrouble, NeedsWord) as error:
        run.stop.submits(error.code, str(error))
        return []
    return await act(run, _without_submits(run.journal, run.setting.out)) if found else []


def _check_extra(plan: Plan) -> None:
    """Raise UsageTrouble before anything is bought whose continuation could not be made."""
    continuing = [step.job.name for step in plan.to_buy if step.job.continued]
    if continuing and find_spec("av") is None:
        raise UsageTrouble(
            f"{continuing[0]} continues another clip, and taking a frame needs av: pip install 'vidu-run[local]'. "
            "Nothing was sent."
        )


def _confirmed(plan: Plan, spec: Spec, journal: ReadJournal, out: Path, wish: RunWish, console: Console) -> bool:
    local = spec.provider.name == LOCAL
    if not local:
        spend.within_budget(plan, spec.budget, wish.budget)
    if plan.to_buy:
        spend.within_disk(plan, shutil.disk_usage(out).free, journal.heaviest())
    table = prices(spec.provider)
    question = "\n".join([show.plan_summary(plan, table, local), *show.estimate_note(plan, table, spec.provider)])
    console.say(question)
    budgeted = spec.budget is not None or wish.budget is not None
    return spend.allowed(plan, local, wish.yes, budgeted, console.interactive, question, console.ask)


def _setting(spec: Spec, where: Where, out: Path, wish: RunWish) -> Setting:
    limits = limits_of(wish.concurrency or spec.concurrency, spec.off_peak_concurrency, spec.timing)
    target = target_of(spec.path, out, where.provider, where.out is not None)
    shrink_to = spec.provider.limits.body_bytes if spec.shrink else None
    asks = spec.auto_concurrency and wish.concurrency is None
    return Setting(out, spec.folder, target, spec.timing, limits, wish.waits, shrink_to, asks)


def _without_submits(journal: SqliteJournal, out: Path) -> Plan:
    records = {record.key: record for record in journal.records()}
    jobs = [_job_of(sheet) for sheet in journal.sheets_of(records)]
    whole = make_plan(jobs, Found(records, present(out, records.values())), Wish())
    return Plan(tuple(step for step in whole.steps if step.action is not Action.SUBMIT), whole.committed)


def _job_of(sheet: Sheet) -> Job:
    return Job(sheet.name, sheet.key, sheet.request, (), sheet.axes, Place(""), sheet.credits)
