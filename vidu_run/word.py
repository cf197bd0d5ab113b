"""The user's word on single jobs: what became of those in doubt, and which tasks to take back. Buys nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidu_run import view
from vidu_run.api.trouble import ApiTrouble
from vidu_run.console import Console
from vidu_run.errors import UsageTrouble
from vidu_run.folder import locked
from vidu_run.footing import Where, remembered
from vidu_run.journal.port import Sheet
from vidu_run.journal.sqlite import SqliteJournal
from vidu_run.names import meant
from vidu_run.record import TAKEN_BACK, Record, State
from vidu_run.reply import ENDED_BADLY
from vidu_run.report.data import public_state
from vidu_run.session import Reach

if TYPE_CHECKING:
    from vidu_run.api.client import Api


async def cancel(out: Path, names: list[str], where: Where, console: Console) -> int:
    """Cancel tasks that still wait at the API; returns how many jobs were too late or could not be asked about."""
    view.require(out)
    with locked(out):
        with view.read(out) as state:
            service, setting = remembered(state, out, where)
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
    await journal.note(record, State.FAILED, look, TAKEN_BACK)
    console.say(f"{sheet.name}: cancelled")
    return None


DOUBTED = frozenset({State.IN_DOUBT, State.INTENT})


def _takes(word: State, record: Record) -> bool:
    """Whether a job that is spelled out takes this word. A glob means doubts alone: the others are paid for, or were
    given up on purpose.
    """
    if record.state in DOUBTED or (record.state is State.ABANDONED and word is not State.ABANDONED):
        return True
    if word is State.SUBMITTED:
        # The API did not know the task that was named.
        return record.state is State.SUBMITTED and record.error is not None
    return word is State.ABANDONED and record.state in (State.SUBMITTED, State.READY)


async def resolve(out: Path, names: list[str], state: State, task_id: str | None, console: Console) -> int:
    """Record the user's word on jobs in doubt; the next run acts on it. Returns how many jobs it was."""
    view.require(out)
    with locked(out):
        journal = SqliteJournal(out)
        try:
            chosen = _resolvable(journal, names, state)
            if task_id is not None and len(chosen) > 1:
                raise UsageTrouble(f"--task names one task, but {len(chosen)} jobs in doubt match")
            if task_id is not None and journal.knows(task_id) and task_id != chosen[0][1].task_id:
                raise UsageTrouble(f"task {task_id} already belongs to another job")
            await journal.begin({})
            for sheet, record in chosen:
                facts: dict[str, Any] = {"error": "the user's word"}
                if task_id is not None:
                    facts = {"task_id": task_id, "accepted_at": record.posted_at, "error": None}
                await journal.decide(record, state, facts)
                console.say(f"{sheet.name}: {_word(state, task_id, record)}")
            return len(chosen)
        finally:
            journal.close()


def _resolvable(journal: SqliteJournal, names: list[str], state: State) -> list[tuple[Sheet, Record]]:
    records = {record.key: record for record in journal.records()}
    pairs = [(sheet, records[sheet.key]) for sheet in journal.sheets_of(records)]
    doubted = [pair for pair in pairs if pair[1].state in DOUBTED]
    chosen: list[tuple[Sheet, Record]] = []
    for name in names:
        spelled = [(sheet, record) for sheet, record in pairs if sheet.name == name]
        fitting = [pair for pair in spelled if _takes(state, pair[1])]
        if spelled and not fitting:
            raise UsageTrouble(f"{name} is {public_state(spelled[0][1], run_lives=False)}: nothing there to resolve")
        words = meant(name, (sheet.name for sheet, _ in doubted))
        fitting = fitting or [pair for pair in doubted if pair[0].name in words]
        if not fitting:
            raise UsageTrouble(f"no job in doubt is called {name!r}")
        chosen += [pair for pair in fitting if pair not in chosen]
    return chosen


def _named(journal: SqliteJournal, names: list[str], states: set[State], otherwise: str) -> list[tuple[Sheet, Record]]:
    """The jobs in these states that the user means. Raises UsageTrouble for a name that means none."""
    records = {record.key: record for record in journal.records() if record.state in states}
    open_to_it = [(sheet, records[sheet.key]) for sheet in journal.sheets_of(records)]
    chosen: list[tuple[Sheet, Record]] = []
    for name in names:
        words = meant(name, (sheet.name for sheet, _ in open_to_it))
        pairs = [pair for pair in open_to_it if pair[0].name in words]
        if not pairs:
            raise UsageTrouble(f"{otherwise} {name!r}")
        chosen += [pair for pair in pairs if pair not in chosen]
    return chosen


def _word(state: State, task_id: str | None, record: Record) -> str:
    paid = f"; its task {record.task_id} stays paid, `--task {record.task_id}` takes it back" if record.task_id else ""
    return {
        State.SUBMITTED: f"is task {task_id}; the next run fetches it",
        State.NOT_SENT: "was not taken; the next run submits it again",
        State.ABANDONED: f"given up{paid}",
    }[state]
