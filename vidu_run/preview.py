"""What a run would do and cost, from the files and the state alone: no lock, nothing written, nothing bought.

Only `balance` asks the API.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidu_run import config, ledger, spend, view
from vidu_run.api.trouble import ApiTrouble, KeyRefused
from vidu_run.compare import Comparison, compare
from vidu_run.drafts import changed_frames
from vidu_run.errors import AccountTrouble, Place, Problem, UsageTrouble
from vidu_run.footing import Where, beside, check_twins, found_in, known, stars_of
from vidu_run.job import Key
from vidu_run.journal import file as state_file
from vidu_run.journal.reader import ReadJournal
from vidu_run.names import selected
from vidu_run.outlook import Kind, Outlook, kind_of, outlook
from vidu_run.plan import Found, Plan, Wish, make_plan
from vidu_run.price import Prices
from vidu_run.providers.pricing import effective, prices
from vidu_run.record import LIVE, Record, ledger_record
from vidu_run.reply import Balance
from vidu_run.session import EMBEDDED, Reach
from vidu_run.shelf import present
from vidu_run.siblings import Identity, sibling
from vidu_run.spec.check import MOST_ALIKE, fold
from vidu_run.spec.load import Spec, load
from vidu_run.spec.words import shown
from vidu_run.state import Opening

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
        return [*self.mistaken, *unmeant(self.plan, self.spec, most_places), *fold(self.changed, most_places)]


def plan(path: Path, where: Where, wish: RunWish) -> Planned:
    """What `run` would do. Asks nobody."""
    spec = load(path, where.provider, wish.settings, wish.assume_credits)
    out = where.folder(spec)
    identity = _identity(spec, where)
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
    mistaken = [*stops, *nobody(spec, wish.plan), *_beyond_budget(made, spec)]
    return Planned(made, spec, ahead, table, mistaken, changed(made, out))


def _identity(spec: Spec, where: Where) -> Identity:
    address = config.base_url(spec.provider, where.base_url, where.environment)
    return Identity(spec.path.name, spec.provider.name, address or EMBEDDED)


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


def nobody(spec: Spec, wish: Wish) -> list[Problem]:
    """A name that means no job is most often a slip of the pen."""
    if wish.only is None or not spec.jobs or selected(spec.jobs, wish.only):
        return []
    message = f"no job of {spec.path} is called {shown(wish.only)}; the first is {shown(spec.jobs[0].name)}"
    return [Problem(Place("--only"), message, warning=True)]


def unmeant(plan: Plan, spec: Spec, most_places: int) -> list[Problem]:
    return spec.warnings({step.job.name for step in plan.to_buy}, most_places)


def changed(plan: Plan, out: Path) -> list[Problem]:
    return list(changed_frames(out, [step.job for step in plan.to_buy]))


def against(path: Path, base: Path, where: Where, wish: RunWish) -> tuple[Comparison, Spec]:
    """What a change of a spec would buy: this version beside another one, by key. A state or a ledger need not be
    there; what they have is not bought again.
    """
    spec = load(path, where.provider, wish.settings, wish.assume_credits)
    old = load(base, where.provider, wish.settings, wish.assume_credits)
    return compare(spec.jobs, old.jobs, _bought(spec, where)), spec


def _bought(spec: Spec, where: Where) -> set[str]:
    """The names of the jobs that are made, or on their way."""
    out, identity = where.folder(spec), _identity(spec, where)
    stars = stars_of(spec)
    if (out / state_file.NAME).exists():
        with view.read(out, begun=False) as journal:
            records = _listed(out, identity.origin, journal.known())
            records |= {record.key: record for record in journal.records()}
    else:
        records = _listed(out, identity.origin)
    live = {record.key for record in records.values() if record.state in LIVE}
    return {job.name for job in known(spec, records.values, stars).jobs if job.key in live}


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


def _past(spec: Spec, journal: ReadJournal) -> dict[Kind, list[float]]:
    past: dict[Kind, list[float]] = {}
    for request, seconds in journal.took():
        if request.get("model") in spec.provider.models:
            past.setdefault(kind_of(effective(spec.provider, request)), []).append(seconds)
    return past
