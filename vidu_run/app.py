"""The table of contents of a run: read, check, lock, recover, plan, confirm, act, page."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vidu_run import config, ledger, results, show, spend, view
from vidu_run.api.trouble import ApiTrouble, KeyRefused
from vidu_run.compare import Comparison, compare
from vidu_run.console import Console
from vidu_run.drafts import changed_frames
from vidu_run.errors import AccountTrouble, Exit, NeedsWord, Place, Problem, SpecTrouble, StorageTrouble, UsageTrouble
from vidu_run.films import Edit, Made, edits, make
from vidu_run.folder import locked, run_lives
from vidu_run.footing import (
    Where,
    beside,
    check_twins,
    found_in,
    known,
    limits_of,
    opened,
    plant,
    recovered,
    remembered,
    stars_of,
)
from vidu_run.job import Job, Key
from vidu_run.journal import file as state_file
from vidu_run.journal.port import Sheet
from vidu_run.journal.reader import ReadJournal
from vidu_run.journal.sqlite import SqliteJournal
from vidu_run.names import selected
from vidu_run.outlook import Kind, Outlook, kind_of, outlook
from vidu_run.plan import Action, Aim, Found, Plan, Wish, make_plan
from vidu_run.price import Prices
from vidu_run.providers.catalogue import LOCAL
from vidu_run.providers.pricing import effective, prices
from vidu_run.quiet import Asked, inputs, remember
from vidu_run.record import Record, ledger_record
from vidu_run.recover import ListingFailed, recover
from vidu_run.reply import Balance
from vidu_run.session import EMBEDDED, Reach, Service
from vidu_run.shelf import present
from vidu_run.siblings import Identity, sibling
from vidu_run.spec.check import MOST_ALIKE, fold
from vidu_run.spec.load import Spec, load
from vidu_run.spec.words import shown
from vidu_run.state import Opening, arrange, finish_moves
from vidu_run.stop import Stop, signals
from vidu_run.work import Ended, Setting, act, ended, target_of

ONCE = 1
"""People read a sentence once, however many places it holds of; `check` shows each place."""


@dataclass(frozen=True, slots=True)
class RunWish:
    """What the user asked of `run`, or of the `plan` of one."""

    plan: Wish
    settings: Mapping[str, Any] = field(default_factory=dict)
    assume_credits: int | None = None
    concurrency: int | None = None
    budget: int | None = None
    yes: bool = False
    waits: bool = True
    opening: Opening = field(default_factory=Opening)
    wants_status: bool = False


async def run(path: Path, where: Where, wish: RunWish, console: Console) -> Ended:
    """Raises Trouble where nothing was sent; what happens from the first POST on is told in `Ended`."""
    began = time.time()
    spec = load(path, where.provider, wish.settings, wish.assume_credits)
    asked = Asked(path, where.provider, wish.settings, wish.assume_credits, where.environment)
    made_of = inputs(spec, asked, began)
    service = where.service(spec)
    out = where.folder(spec)
    console.greet(service.greeting, spec.provider.rehearses)
    with locked(out):
        stars = stars_of(spec)
        journal = await opened(spec, service, out, wish.opening, stars)
        try:
            setting, stop = _setting(spec, where, out, wish), Stop()
            aims, incomplete = await _carried_out(spec, stars, service, setting, wish, journal, stop, console)
            # The jobs go before the records come: of a hundred thousand either takes 80 MB.
            del spec
            end = await ended(aims, setting, journal, stop, incomplete, console, wish.wants_status)
            if end.code == Exit.DONE:
                await remember(journal, out, asked, made_of)
            return end
        finally:
            journal.close()


async def _carried_out(
    spec: Spec,
    stars: Mapping[Key, int],
    service: Service,
    setting: Setting,
    wish: RunWish,
    journal: SqliteJournal,
    stop: Stop,
    console: Console,
) -> tuple[list[Aim], list[str]]:
    """Recover, plan, confirm, act, join films: what the jobs were to come to, and what this run gave up on."""
    out = setting.out
    async with Reach(service, out, spec.timing) as reach:
        with signals(stop, console.say):
            spec = await recovered(spec, stars, setting, reach, journal, stop, console)
        check_twins(spec)
        plan = make_plan(spec.jobs, found_in(spec, journal, out, {}), wish.plan)
        _check_extra(plan)
        console.problems([*_nobody(spec, wish.plan), *_unmeant(plan, spec, ONCE), *fold(_changed(plan, out), ONCE)])
        # A signal during the search: nobody is asked for money any more.
        go = not stop.reasons and _confirmed(plan, spec, journal, out, wish, console)
        await journal.announce(len(plan.to_buy) if go else 0, setting.limits)
        with signals(stop, console.say):
            incomplete = ["nothing was sent"]
            if go:
                incomplete = await act(plan, setting, reach, journal, stop, console, spec.jobs)
            incomplete += await _late(setting, reach, journal, stop, console)
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
            stop = Stop()
            async with Reach(service, out, setting.timing) as reach:
                with signals(stop, console.say):
                    await recover((), reach, journal, setting.timing, stop, console.found)
                    plan = _without_submits(journal, out)
                    await journal.announce(0, setting.limits)
                    incomplete = await act(plan, setting, reach, journal, stop, console)
            aims = plan.aims
            # As in `run`: before the records come.
            del plan
            return await ended(aims, setting, journal, stop, incomplete, console, wants_status)
        finally:
            journal.close()


@dataclass(frozen=True, slots=True)
class Planned:
    """What `plan` has to say of one spec."""

    plan: Plan
    spec: Spec
    outlook: Outlook
    prices: Prices
    mistaken: Sequence[Problem] = ()
    changed: Sequence[Problem] = ()

    def warnings(self, most_places: int = MOST_ALIKE) -> list[Problem]:
        """A sentence that holds of many places is told of the first `most_places`."""
        return [*self.mistaken, *_unmeant(self.plan, self.spec, most_places), *fold(self.changed, most_places)]


def plan(path: Path, where: Where, wish: RunWish) -> Planned:
    """What `run` would do, from the files and the journal alone: no lock, nothing sent, nothing written."""
    spec = load(path, where.provider, wish.settings, wish.assume_credits)
    out = where.folder(spec)
    address = config.base_url(spec.provider, where.base_url, where.environment)
    identity = Identity(spec.path.name, spec.provider.name, address or EMBEDDED)
    past: dict[Kind, list[float]] = {}
    founded = False
    origin = None
    stars = stars_of(spec)
    if (out / state_file.NAME).exists():
        with view.read(out, begun=False) as journal:
            listed = _listed(out, identity.origin, journal.known())
            spec = known(spec, lambda: [*listed.values(), *journal.records()], stars)
            found = found_in(spec, journal, out, listed)
            past = _past(spec, journal)
            founded = journal.meta("founded") is not None
            origin = journal.meta("origin") if founded else None
    else:
        listed = _listed(out, identity.origin)
        spec = known(spec, listed.values, stars)
        spent = sum(record.estimated or 0 for record in listed.values())
        found = Found(listed, present(out, listed.values()), spent)
    check_twins(spec)
    made = make_plan(spec.jobs, found, wish.plan)
    table = prices(spec.provider)
    ahead = outlook(made, spec.provider, table, past, wish.concurrency or spec.concurrency)
    stops = _other_host(out, origin, identity) if founded else _renamed(spec, out, identity)
    mistaken = [*stops, *_nobody(spec, wish.plan), *_beyond_budget(made, spec)]
    return Planned(made, spec, ahead, table, mistaken, _changed(made, out))


def _listed(out: Path, origin: str, but: Container[Key] = ()) -> dict[Key, Record]:
    """What the ledger says of jobs but these."""
    lines = ledger.of_origin(ledger.read(out, but), origin).values()
    return {record.key: record for record in map(ledger_record, lines)}


def _beyond_budget(plan: Plan, spec: Spec) -> list[Problem]:
    """What a run would stop at; a rehearsal is free."""
    if spec.provider.rehearses:
        return []
    try:
        spend.within_budget(plan, spec.budget, None)
    except (AccountTrouble, UsageTrouble) as trouble:
        told = str(trouble).removesuffix(" Nothing was sent.")
        return [Problem(Place(str(spec.path)), f"{told} A run stops here with exit {trouble.code}.", warning=True)]
    return []


def _renamed(spec: Spec, out: Path, identity: Identity) -> list[Problem]:
    """What a run would stop at before it began."""
    found = sibling(out, identity, spec.jobs, beside(spec, out))
    if found is None:
        return []
    return [Problem(Place(str(found.folder)), found.told("A run stops here with exit 4.", spec.path), warning=True)]


def _other_host(out: Path, origin: str | None, identity: Identity) -> list[Problem]:
    """As `_renamed`: its jobs went to one host, and a run would go to another."""
    if origin in (None, identity.origin):
        return []
    told = f"its jobs went to {origin}, and a run to {identity.origin} stops here with exit 2: give --base-url {origin}"
    return [Problem(Place(str(out)), told, warning=True)]


def _nobody(spec: Spec, wish: Wish) -> list[Problem]:
    """A name that means no job is most often a slip of the pen."""
    if wish.only is None or not spec.jobs or selected(spec.jobs, wish.only):
        return []
    message = f"no job of {spec.path} is called {shown(wish.only)}; the first is {shown(spec.jobs[0].name)}"
    return [Problem(Place("--only"), message, warning=True)]


def _unmeant(plan: Plan, spec: Spec, most_places: int) -> list[Problem]:
    return spec.warnings({step.job.name for step in plan.to_buy}, most_places)


def _changed(plan: Plan, out: Path) -> list[Problem]:
    return list(changed_frames(out, [step.job for step in plan.to_buy]))


def against(path: Path, base: Path, where: Where, wish: RunWish) -> tuple[Comparison, Spec]:
    """What a change of a spec would buy: this version beside another one, by key; no state is read."""
    spec = load(path, where.provider, wish.settings, wish.assume_credits)
    return compare(spec.jobs, load(base, where.provider, wish.settings, wish.assume_credits).jobs), spec


async def balance(spec: Spec, where: Where) -> Balance:
    """What the account has left. Raises UsageTrouble where the provider cannot tell, or does not."""
    if spec.provider.routes.credits is None:
        raise UsageTrouble(f"{spec.provider.name} tells no balance")
    async with Reach(where.service(spec), where.folder(spec), spec.timing) as reach:
        api, _ = await reach.open()
        try:
            return await api.balance()
        except KeyRefused as error:
            raise AccountTrouble(str(error)) from None
        except ApiTrouble as error:
            raise UsageTrouble(f"{spec.provider.name} does not tell its balance now ({error})") from None


async def _late(setting: Setting, reach: Reach, journal: SqliteJournal, stop: Stop, console: Console) -> list[str]:
    """Answers lost in this very run: look for their tasks once more before anybody is asked, and bring them home."""
    if stop.waiting or journal.broken:
        return []
    try:
        found = await recover((), reach, journal, setting.timing, stop, console.found)
    except (ListingFailed, AccountTrouble, NeedsWord) as error:
        stop.submits(error.code, str(error))
        return []
    return await act(_without_submits(journal, setting.out), setting, reach, journal, stop, console) if found else []


def _check_extra(plan: Plan) -> None:
    """Raise UsageTrouble before anything is bought whose continuation could not be made."""
    continuing = [step.job.name for step in plan.to_buy if step.job.continued]
    if continuing and find_spec("av") is None:
        raise UsageTrouble(
            f"{continuing[0]} continues another clip, and taking a frame needs av: pip install 'vidu-run[local]'. "
            "Nothing was sent."
        )


def _past(spec: Spec, journal: ReadJournal) -> dict[Kind, list[float]]:
    past: dict[Kind, list[float]] = {}
    for request, seconds in journal.took():
        if request.get("model") in spec.provider.models:
            past.setdefault(kind_of(effective(spec.provider, request)), []).append(seconds)
    return past


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
