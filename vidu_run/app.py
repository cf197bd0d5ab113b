"""The table of contents of a run: read, check, lock, recover, plan, confirm, act, page."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidu_run import config, ledger, results, show, spend, view
from vidu_run.api.trouble import ApiTrouble, KeyRefused
from vidu_run.compare import Comparison, compare
from vidu_run.console import Console
from vidu_run.difference import Before
from vidu_run.drafts import changed_frames
from vidu_run.errors import AccountTrouble, Exit, Place, Problem, SpecTrouble, StorageTrouble, UsageTrouble
from vidu_run.files import output_folder
from vidu_run.films import Edit, Made, edits, fact, make
from vidu_run.folder import locked, run_lives
from vidu_run.job import Job, Key
from vidu_run.journal import file as state_file
from vidu_run.journal.port import Limits, Sheet
from vidu_run.journal.sqlite import ReadJournal, SqliteJournal
from vidu_run.names import meant, selected
from vidu_run.outlook import Kind, Outlook, kind_of, outlook
from vidu_run.pace import Timing
from vidu_run.picks import picks_file, read_picks
from vidu_run.plan import Action, Found, Plan, Wish, make_plan
from vidu_run.price import Prices
from vidu_run.programme import FACT
from vidu_run.providers.catalogue import LOCAL, choose_provider
from vidu_run.providers.pricing import effective, prices
from vidu_run.quiet import Asked, inputs, remember
from vidu_run.record import Record, State, ledger_record
from vidu_run.recover import ListingFailed
from vidu_run.reply import ENDED_BADLY, Balance
from vidu_run.session import EMBEDDED, Reach, Service
from vidu_run.shelf import present
from vidu_run.siblings import Identity, sibling
from vidu_run.spec.check import MOST_ALIKE, fold
from vidu_run.spec.load import Spec, load
from vidu_run.spec.words import shown
from vidu_run.state import Opening, arrange, finish_moves, open_state
from vidu_run.stop import Stop, signals
from vidu_run.work import Ended, Setting, act, ended, recover, target_of

if TYPE_CHECKING:
    from vidu_run.api.client import Api

ONCE = 1
"""People read a sentence once, however many places it holds of; `check` shows each place."""


@dataclass(frozen=True, slots=True)
class Where:
    """Which provider, host, folder and key, as the command line and the environment say."""

    provider: str | None = None
    base_url: str | None = None
    out: Path | None = None
    key_file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def service(self, spec: Spec) -> Service:
        """Raises UsageTrouble for a bad address or a missing key."""
        address = config.base_url(spec.provider, self.base_url, self.environment)
        key = config.find_key(spec.provider, self.key_file, self.environment)
        quick, manner = config.quick_rendering(self.environment), config.manner(address, self.environment)
        return Service(spec.provider, address, key, quick, manner)

    def folder(self, spec: Spec) -> Path:
        return self.out or output_folder(spec.path, spec.home, spec.provider.name)


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
        stars = _stars(spec)
        journal = await _opened(spec, service, out, wish.opening, stars)
        try:
            setting = _setting(spec, where, out, wish)
            stop = Stop()
            async with Reach(service, out, spec.timing) as reach:
                with signals(stop, console.say):
                    spec = await _recovered(spec, stars, setting, reach, journal, stop, console)
                plan = make_plan(spec.jobs, _found(spec, journal, out, {}), wish.plan)
                _check_extra(plan)
                console.problems(
                    [*_nobody(spec, wish.plan), *_unmeant(plan, spec, ONCE), *fold(_changed(plan, out), ONCE)]
                )
                go = _confirmed(plan, spec, out, wish, console)
                await journal.announce(len(plan.to_buy) if go else 0, setting.limits)
                with signals(stop, console.say):
                    incomplete = ["nothing was sent"]
                    if go:
                        incomplete = await act(plan, setting, reach, journal, stop, console, spec.jobs)
                    incomplete += await _late(setting, reach, journal, stop, console)
            if spec.continues:
                spec = _known(spec, journal.records(), stars)
                plan = plan.now(make_plan(spec.jobs, _found(spec, journal, out, {}), Wish()))
                try:
                    await _plant(spec, journal, out)
                except StorageTrouble as trouble:
                    stop.submits(Exit.STORAGE, str(trouble))
            await _join(spec, journal, out, console)
            end = await ended(plan, setting, journal, stop, incomplete, console, wish.wants_status)
            if end.code == Exit.DONE:
                await remember(journal, out, asked, made_of)
            return end
        finally:
            journal.close()


def film(path: Path, where: Where, settings: Mapping[str, Any]) -> list[tuple[Edit, Made | None]]:
    """Make the films of a spec whose clips are all there, from the files and the state alone, and the page where one
    was made. Never submits.
    """
    spec = load(path, where.provider, settings)
    if not spec.films:
        raise UsageTrouble(f"{path}: it names no films; write `films: [{{name: all, jobs: '*'}}]`")
    out = where.folder(spec)
    with view.read(out) as journal:
        wanted = _edits(_known(spec, journal.records(), _stars(spec)), journal, out)
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
                console.say(show.film_waits(edit.film.name, edit.missing), "yellow")
            elif (made := await asyncio.to_thread(make, edit, out, spec.path.name, spec.provider.name)).anew:
                console.say(show.film_made(made.file, made.sidecar))
    except (UsageTrouble, StorageTrouble) as trouble:
        console.say(f"no film: {trouble}", "yellow")
    except SpecTrouble:
        return


async def fetch(out: Path, where: Where, console: Console, wants_status: bool) -> Ended:
    """Wait for and download what is paid for, from the state alone. Never submits."""
    with locked(out):
        with view.read(out) as state:
            service, setting = _remembered(state, out, where)
        console.greet(service.greeting, service.provider.rehearses)
        lines = ledger.of_origin(ledger.read(out), service.origin)
        journal = SqliteJournal(out)
        try:
            await journal.begin({})
            await journal.adopt_ledger(lines)
            await finish_moves(journal, out)
            await arrange(journal, out)
            stop = Stop()
            async with Reach(service, out, setting.timing) as reach:
                with signals(stop, console.say):
                    await recover((), setting, reach, journal, stop, console)
                    plan = _without_submits(journal, out)
                    await journal.announce(0, setting.limits)
                    incomplete = await act(plan, setting, reach, journal, stop, console)
            return await ended(plan, setting, journal, stop, incomplete, console, wants_status)
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
    lines = ledger.of_origin(ledger.read(out), address or EMBEDDED).values()
    records = {record.key: record for record in map(ledger_record, lines)}
    found = Found(records, present(out, records.values()), sum(line.get("credits") or 0 for line in lines))
    past: dict[Kind, list[float]] = {}
    founded = False
    stars = _stars(spec)
    spec = _known(spec, records.values(), stars)
    if (out / state_file.NAME).exists():
        with view.read(out) as journal:
            spec = _known(spec, [*records.values(), *journal.records()], stars)
            found = _found(spec, journal, out, records)
            past = _past(spec, journal)
            founded = journal.meta("founded") is not None
    made = make_plan(spec.jobs, found, wish.plan)
    table = prices(spec.provider)
    ahead = outlook(made, spec.provider, table, past, wish.concurrency or spec.concurrency)
    identity = Identity(spec.path.name, spec.provider.name, address or EMBEDDED)
    renamed = [] if founded else _renamed(spec, out, identity)
    return Planned(made, spec, ahead, table, [*renamed, *_nobody(spec, wish.plan)], _changed(made, out))


def _renamed(spec: Spec, out: Path, identity: Identity) -> list[Problem]:
    """What a run would stop at before it began."""
    found = sibling(out, identity, spec.jobs, _beside(spec, out))
    if found is None:
        return []
    return [Problem(Place(str(found.folder)), found.told("A run stops here with exit 4.", spec.path), warning=True)]


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


async def cancel(out: Path, names: list[str], where: Where, console: Console) -> int:
    """Cancel tasks that still wait at the API; returns how many jobs were too late or could not be asked about."""
    with locked(out):
        with view.read(out) as state:
            service, setting = _remembered(state, out, where)
        if service.provider.routes.cancel is None:
            raise UsageTrouble(f"{service.provider.name} cannot cancel a task")
        journal = SqliteJournal(out)
        try:
            await journal.begin({})
            chosen = _named(journal, names, {State.SUBMITTED}, "no job whose task is at the API is called")
            async with Reach(service, out, setting.timing) as reach:
                api, _ = await reach.open()
                refused = [await _cancelled(api, journal, sheet, record, console) for sheet, record in chosen]
            return len([sentence for sentence in refused if sentence])
        finally:
            journal.close()


async def _cancelled(api: Api, journal: SqliteJournal, sheet: Sheet, record: Record, console: Console) -> str | None:
    """Why it was not cancelled, if it was not."""
    try:
        await api.cancel(record.task_id or "")
        look = await api.look(record.task_id or "", watermark=False)
    except ApiTrouble as error:
        console.say(f"{sheet.name}: not cancelled ({error})", "yellow")
        return str(error)
    if look.phase not in ENDED_BADLY:
        console.say(f"{sheet.name}: asked for, but the task goes on ({look.word})")
        return look.word
    await journal.note(record, State.FAILED, look, "cancelled by you")
    console.say(f"{sheet.name}: cancelled")
    return None


async def resolve(out: Path, names: list[str], state: State, task_id: str | None, console: Console) -> int:
    """Record the user's word on jobs in doubt; the next run acts on it. Returns how many jobs it was."""
    with locked(out):
        journal = SqliteJournal(out)
        try:
            open_to_it = {State.IN_DOUBT, State.INTENT} | ({State.SUBMITTED} if state is State.ABANDONED else set())
            chosen = _named(journal, names, open_to_it, "no job in doubt is called")
            if task_id is not None and len(chosen) > 1:
                raise UsageTrouble(f"--task names one task, but {len(chosen)} jobs in doubt match")
            if task_id is not None and journal.knows(task_id):
                raise UsageTrouble(f"task {task_id} already belongs to another job")
            await journal.begin({})
            for sheet, record in chosen:
                facts: dict[str, Any] = {"error": "the user's word"} if task_id is None else {"task_id": task_id}
                facts |= {"accepted_at": record.posted_at, "error": None} if task_id is not None else {}
                await journal.decide(record, state, facts)
                console.say(f"{sheet.name}: {_word(state, task_id)}")
            return len(chosen)
        finally:
            journal.close()


async def _late(setting: Setting, reach: Reach, journal: SqliteJournal, stop: Stop, console: Console) -> list[str]:
    """Answers lost in this very run: look for their tasks once more before anybody is asked, and bring them home."""
    if stop.waiting or journal.broken:
        return []
    try:
        found = await recover((), setting, reach, journal, stop, console)
    except (ListingFailed, AccountTrouble) as error:
        return [str(error)]
    return await act(_without_submits(journal, setting.out), setting, reach, journal, stop, console) if found else []


async def _opened(spec: Spec, service: Service, out: Path, opening: Opening, stars: Mapping[Key, int]) -> SqliteJournal:
    """The journal with this spec's jobs in it and every delivered video under its job's present name."""
    identity = Identity(spec.path.name, spec.provider.name, service.origin)
    journal = await open_state(out, spec.path, identity, spec.jobs, _beside(spec, out), opening)
    try:
        await journal.remember(_facts(spec))
        await _plant(_known(spec, journal.records(), stars), journal, out)
    except BaseException:
        journal.close()
        raise
    return journal


async def _plant(spec: Spec, journal: SqliteJournal, out: Path) -> Spec:
    """The jobs and the films of the spec, by the keys that are known now, in the journal and on the disk."""
    await journal.plant(spec.jobs)
    await journal.remember({FACT: fact(spec.films, spec.jobs)})
    await arrange(journal, out)
    return spec


def _known(spec: Spec, records: Iterable[Record], stars: Mapping[Key, int]) -> Spec:
    """The spec with the keys its jobs have by now."""
    return spec.known({record.key: record for record in records}, stars) if spec.continues else spec


def _stars(spec: Spec) -> dict[Key, int]:
    """The picks beside a spec that waits for any. Raises SpecTrouble where they cannot be understood."""
    file = picks_file(spec.path)
    picks = read_picks(file) if spec.picks and file.is_file() else {}
    return {key: pick.stars for key, pick in picks.items() if pick.stars is not None}


async def _recovered(
    spec: Spec,
    stars: Mapping[Key, int],
    setting: Setting,
    reach: Reach,
    journal: SqliteJournal,
    stop: Stop,
    console: Console,
) -> Spec:
    """Look for what was bought and is not known here. What is found tells the keys of jobs that continue it, and so
    more to look for.
    """
    spec = _known(spec, journal.records(), stars)
    while True:
        keyed = [job for job in spec.jobs if all(image.task for image in job.continued)]
        await recover(keyed, setting, reach, journal, stop, console)
        now = _known(spec, journal.records(), stars)
        if now.jobs == spec.jobs or stop.reasons:
            return now
        spec = await _plant(now, journal, setting.out)


def _check_extra(plan: Plan) -> None:
    """Raise UsageTrouble before anything is bought whose continuation could not be made."""
    continuing = [step.job.name for step in plan.to_buy if step.job.continued]
    if continuing and find_spec("av") is None:
        raise UsageTrouble(
            f"{continuing[0]} continues another clip, and taking a frame needs av: pip install 'vidu-run[local]'. "
            "Nothing was sent."
        )


def _beside(spec: Spec, out: Path) -> list[Path]:
    """Where other output folders are."""
    return [spec.folder / "out", out.resolve().parent]


def _facts(spec: Spec) -> dict[str, str]:
    """What `fetch` and the page need where the spec is gone."""
    return {
        "rules": spec.home,
        "timing": json.dumps(asdict(spec.timing)),
        "concurrency": str(spec.concurrency),
        "off_peak_concurrency": str(spec.off_peak_concurrency),
        "notes": "\n".join(() if spec.provider.name == LOCAL else spec.provider.notes),
    }


def _found(spec: Spec, journal: ReadJournal, out: Path, ledger: Mapping[Key, Record]) -> Found:
    known = {**ledger, **{record.key: record for record in journal.records()}}
    old = journal.bought_before({job.key for job in spec.jobs})
    before = {sheet.name: Before(sheet.request, sheet.images) for sheet in old}
    return Found(known, present(out, known.values()), journal.committed(), before)


def _past(spec: Spec, journal: ReadJournal) -> dict[Kind, list[float]]:
    past: dict[Kind, list[float]] = {}
    for request, seconds in journal.took():
        if request.get("model") in spec.provider.models:
            past.setdefault(kind_of(effective(spec.provider, request)), []).append(seconds)
    return past


def _confirmed(plan: Plan, spec: Spec, out: Path, wish: RunWish, console: Console) -> bool:
    local = spec.provider.name == LOCAL
    if not local:
        spend.within_budget(plan, spec.budget, wish.budget)
    spend.within_disk(plan, shutil.disk_usage(out).free)
    table = prices(spec.provider)
    question = "\n".join([show.plan_summary(plan, table, local), *show.estimate_note(plan, table, spec.provider)])
    console.say(question)
    budgeted = spec.budget is not None or wish.budget is not None
    return spend.allowed(plan, local, wish.yes, budgeted, console.interactive, question, console.ask)


def _setting(spec: Spec, where: Where, out: Path, wish: RunWish) -> Setting:
    limits = _limits(wish.concurrency or spec.concurrency, spec.off_peak_concurrency, spec.timing)
    target = target_of(spec.path, out, where.provider, where.out is not None)
    shrink_to = spec.provider.limits.body_bytes if spec.shrink else None
    asks = spec.auto_concurrency and wish.concurrency is None
    return Setting(out, spec.folder, target, spec.timing, limits, wish.waits, shrink_to, asks)


def _limits(concurrency: int, off_peak: int, timing: Timing) -> Limits:
    return Limits(concurrency, off_peak, timing.task_deadline, timing.off_peak_deadline)


def _remembered(state: ReadJournal, out: Path, where: Where) -> tuple[Service, Setting]:
    """Service and setting of the last run, as the state keeps them."""
    name, origin, rules = (state.meta(fact) or "" for fact in ("provider", "origin", "rules"))
    if not name:
        raise StorageTrouble(f"{out}: no run has begun here")
    chosen = choose_provider(rules or LOCAL, name)
    remembered = None if origin == EMBEDDED else origin
    address = config.base_url(chosen, where.base_url or remembered, {})
    key = config.find_key(chosen, where.key_file, where.environment)
    timing = Timing(**json.loads(state.meta("timing") or "{}"))
    limits = _limits(int(state.meta("concurrency") or 4), int(state.meta("off_peak_concurrency") or 100), timing)
    quick, manner = config.quick_rendering(where.environment), config.manner(address, where.environment)
    service = Service(chosen, address, key, quick, manner)
    return service, Setting(out, None, target_of(None, out, None, True), timing, limits)


def _without_submits(journal: SqliteJournal, out: Path) -> Plan:
    records = {record.key: record for record in journal.records()}
    jobs = [_job_of(sheet) for sheet in journal.all_sheets() if sheet.key in records]
    whole = make_plan(jobs, Found(records, present(out, records.values())), Wish())
    return Plan(tuple(step for step in whole.steps if step.action is not Action.SUBMIT), whole.committed)


def _job_of(sheet: Sheet) -> Job:
    return Job(sheet.name, sheet.key, sheet.request, (), sheet.axes, Place(""), sheet.credits)


def _named(journal: SqliteJournal, names: list[str], states: set[State], otherwise: str) -> list[tuple[Sheet, Record]]:
    """The jobs in these states that the user means. Raises UsageTrouble for a name that means none."""
    records = {record.key: record for record in journal.records() if record.state in states}
    open_to_it = [(sheet, records[sheet.key]) for sheet in journal.all_sheets() if sheet.key in records]
    chosen: list[tuple[Sheet, Record]] = []
    for name in names:
        words = meant(name, (sheet.name for sheet, _ in open_to_it))
        pairs = [pair for pair in open_to_it if pair[0].name in words]
        if not pairs:
            raise UsageTrouble(f"{otherwise} {name!r}")
        chosen += [pair for pair in pairs if pair not in chosen]
    return chosen


def _word(state: State, task_id: str | None) -> str:
    return {
        State.SUBMITTED: f"is task {task_id}; the next run fetches it",
        State.NOT_SENT: "was not taken; the next run submits it again",
        State.ABANDONED: "given up",
    }[state]
