"""What a spec stands on: its state opened, its jobs under the keys that are known by now, what was bought looked for.
And where only the state is left, the service and the setting of its last run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vidu_run import config
from vidu_run.access import on_loopback
from vidu_run.difference import Before
from vidu_run.errors import AccountTrouble, NeedsWord, Problem, SpecTrouble, StorageTrouble, UsageTrouble
from vidu_run.files import output_folder
from vidu_run.films import fact
from vidu_run.job import Job, Key
from vidu_run.journal.port import Limits
from vidu_run.journal.reader import ReadJournal
from vidu_run.journal.sqlite import SqliteJournal
from vidu_run.pace import Timing
from vidu_run.picks import picks_of
from vidu_run.plan import Found
from vidu_run.programme import FACT
from vidu_run.providers.catalogue import LOCAL, choose_provider
from vidu_run.record import Record
from vidu_run.recover import ListingFailed, recover
from vidu_run.session import EMBEDDED, Service, service_at
from vidu_run.shelf import present
from vidu_run.siblings import Identity
from vidu_run.spec.load import Spec
from vidu_run.state import Opening, arrange, check_siblings, open_state
from vidu_run.work import Run, Setting, target_of


@dataclass(frozen=True, slots=True)
class Where:
    """Which provider, host, folder and key, as the command line and the environment say."""

    provider: str | None = None
    base_url: str | None = None
    out: Path | None = None
    key_file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def service(self, spec: Spec) -> Service:
        """Raises UsageTrouble for a bad address."""
        address = config.base_url(spec.provider, self.base_url, self.environment)
        return service_at(spec.provider, address, self.key_file, self.environment)

    def folder(self, spec: Spec) -> Path:
        return self.out or output_folder(spec.path, spec.home, spec.provider.name)


def check_unheld(spec: Spec, service: Service, out: Path, opening: Opening) -> None:
    """See `check_siblings`."""
    check_siblings(out, spec.path, _identity(spec, service), spec.jobs, beside(spec, out), opening)


def _identity(spec: Spec, service: Service) -> Identity:
    return Identity(spec.path.name, spec.provider.name, service.origin)


async def opened(spec: Spec, service: Service, out: Path, opening: Opening, stars: Mapping[Key, int]) -> SqliteJournal:
    """The journal with this spec's jobs in it and every delivered video under its job's present name."""
    journal = await open_state(out, _identity(spec, service), opening)
    try:
        await journal.remember(_facts(spec))
        await plant(known(spec, journal.records, stars), journal, out)
    except BaseException:
        journal.close()
        raise
    return journal


async def recovered(run: Run, spec: Spec, stars: Mapping[Key, int]) -> Spec:
    """Look for what was bought and is not known here. What is found tells the keys of jobs that continue it, and so
    more to look for. Raises ListingFailed, AccountTrouble, NeedsWord.
    """
    spec = known(spec, run.journal.records, stars)
    while True:
        keyed = [job for job in spec.jobs if all(image.task for image in job.continued)]
        try:
            await search(run, keyed)
        except (ListingFailed, AccountTrouble, NeedsWord) as trouble:
            raise type(trouble)(f"{trouble}. Nothing was sent.") from None
        now = known(spec, run.journal.records, stars)
        if now.jobs == spec.jobs or run.stop.reasons:
            return now
        spec = await plant(now, run.journal, run.setting.out)


async def search(run: Run, jobs: Sequence[Job] = ()) -> int:
    """See `recover`."""
    setting = run.setting
    return await recover(jobs, run.reach, run.journal, setting.timing, run.stop, run.console.found, setting.target)


async def plant(spec: Spec, journal: SqliteJournal, out: Path) -> Spec:
    """The jobs and the films of the spec, by the keys that are known now, in the journal and on the disk."""
    await journal.plant(spec.jobs)
    await journal.remember({FACT: fact(spec.films, spec.jobs)})
    await arrange(journal, out)
    return spec


def known(spec: Spec, read: Callable[[], Iterable[Record]], stars: Mapping[Key, int]) -> Spec:
    """The spec with the keys its jobs have by now; the records are read only where a job continues another."""
    return spec.known({record.key: record for record in read()}, stars) if spec.continues else spec


def check_twins(spec: Spec) -> None:
    """Raise SpecTrouble where jobs that continue others turn out to ask for the same video."""
    seen: dict[Key, str] = {}
    problems = []
    for job in spec.jobs if spec.continues else ():
        if (first := seen.setdefault(job.key, job.name)) != job.name:
            clips = ", ".join(image.source for image in job.continued)
            message = f"the same request as job {first}, now that it is known which clip is meant: {clips}"
            problems.append(Problem(job.place, message, job.name))
    if problems:
        raise SpecTrouble(problems)


def stars_of(spec: Spec) -> dict[Key, int]:
    """The picks beside a spec that waits for any. Raises SpecTrouble where they cannot be understood."""
    picks = picks_of(spec.path) if spec.picks else {}
    return {key: pick.stars for key, pick in picks.items() if pick.stars is not None}


def found_in(spec: Spec, journal: ReadJournal, out: Path, ledger: Mapping[Key, Record]) -> Found:
    """What a plan is made from; `ledger` are records that the state does not have."""
    records = {**ledger, **{record.key: record for record in journal.records()}}
    old = journal.bought_before({job.key for job in spec.jobs})
    before = {sheet.name: Before(sheet.request, sheet.images) for sheet in old}
    return Found(records, present(out, records.values()), journal.committed(), before)


def _facts(spec: Spec) -> dict[str, str]:
    """What `fetch` and the page need where the spec is gone."""
    return {
        "rules": spec.home,
        "timing": json.dumps(asdict(spec.timing)),
        "concurrency": str(spec.concurrency),
        "off_peak_concurrency": str(spec.off_peak_concurrency),
        "notes": "\n".join(() if spec.provider.name == LOCAL else spec.provider.notes),
    }


def beside(spec: Spec, out: Path) -> list[Path]:
    """Where other output folders are."""
    return [spec.folder / "out", out.resolve().parent]


def limits_of(concurrency: int, off_peak: int, timing: Timing) -> Limits:
    return Limits(concurrency, off_peak, timing.task_deadline, timing.off_peak_deadline)


def remembered(state: ReadJournal, out: Path, where: Where) -> tuple[Service, Setting]:
    """Service and setting of the last run, as the state keeps them."""
    name, origin, rules = (state.meta(fact) or "" for fact in ("provider", "origin", "rules"))
    if not name:
        raise StorageTrouble(f"{out}: no run has begun here")
    chosen = choose_provider(rules or LOCAL, name)
    named = config.base_url(chosen, where.base_url, where.environment)
    address = config.base_url(chosen, where.base_url or (None if origin == EMBEDDED else origin), {})
    # A folder that came from somebody else must not say where the key goes.
    if address not in (None, named) and not on_loopback(origin):
        raise UsageTrouble(f"{out}: its tasks are at {address}; if your key may go there, give --base-url {address}")
    timing = Timing(**json.loads(state.meta("timing") or "{}"))
    limits = limits_of(int(state.meta("concurrency") or 4), int(state.meta("off_peak_concurrency") or 100), timing)
    service = service_at(chosen, address, where.key_file, where.environment)
    return service, Setting(out, None, target_of(None, out, None, True), timing, limits)
