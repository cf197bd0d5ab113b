"""One task on its way: wait for its end at the API, then bring its video home. Never sends a POST."""

from __future__ import annotations

import asyncio
import random
import time

from vidu_run.api.client import ApiTrouble, KeyRefused, Missing, TooMany
from vidu_run.api.download import DownloadFailed
from vidu_run.desk import Desk
from vidu_run.errors import Exit
from vidu_run.files import make_folder
from vidu_run.journal.port import Delivered, Sheet
from vidu_run.pace import LONGEST_PAUSE, backoff, not_before, poll_interval, retry_after
from vidu_run.record import Record, State
from vidu_run.reply import ENDED_BADLY, Look, Phase
from vidu_run.shelf import place, shelf_name
from vidu_run.stop import Stopped

MOST_DOWNLOADS = 5


async def wait(sheet: Sheet, record: Record, desk: Desk, ask_first: bool = False) -> Record | None:
    """Ask until the task has ended; the record when there is a video to fetch. Raises Stopped when the run ends.

    None: it failed, or this run's patience is over; then it stays `submitted` for the next run.
    """
    begun = max(record.accepted_at or 0.0, desk.started)
    patience = desk.timing.deadline(record.off_peak)
    troubles = 0
    while True:
        if not ask_first:
            await desk.stop.sleep(_pause(desk, record, troubles))
        await desk.gate.through(desk.stop)
        ask_first = False
        overdue = time.time() - begun > patience
        try:
            ended = await _ask(sheet, record, desk)
            troubles, desk.gate.shut = 0, False
            if ended is not None:
                return ended if ended.state is State.READY else None
            why = f"no result within {patience:g} s"
        except Missing as error:
            why = f"{error} {record.task_id}; it is not bought again (`resolve … --abandon` gives it up)"
            overdue = overdue or time.time() - begun > desk.timing.settle
        except KeyRefused as error:
            desk.stop.everything(Exit.ACCOUNT, str(error))
            raise Stopped from None
        except TooMany as error:
            why, troubles = str(error), troubles + 1
            asked = retry_after(error.retry_after, time.time()) or 0.0
            if asked > LONGEST_PAUSE:
                desk.stop.everything(Exit.INCOMPLETE, not_before(time.time() + asked))
                raise Stopped from None
            await desk.stop.sleep(asked)
        except ApiTrouble as error:
            why, troubles, desk.gate.shut = str(error), troubles + 1, True
        if overdue:
            await desk.journal.note(record, State.SUBMITTED, None, why)
            desk.gave_up(sheet.name, f"{why}; run again to look once more")
            return None


def _pause(desk: Desk, record: Record, troubles: int) -> float:
    if troubles:
        return backoff(desk.timing, troubles, random.random())
    return poll_interval(desk.timing, time.time() - (record.accepted_at or desk.started))


async def _ask(sheet: Sheet, record: Record, desk: Desk) -> Record | None:
    """One look: the record once the task has ended, None while it runs."""
    look = await desk.api.look(record.task_id or "", _wants_watermark(sheet))
    if look.phase in ENDED_BADLY:
        why = look.error or f"{look.word} at the API, without a reason"
        await desk.journal.note(record, State.FAILED, look, why)
        desk.tell(sheet.name, State.FAILED, why)
    elif look.phase is Phase.SUCCEEDED and look.url:
        await desk.journal.note(record, State.READY, look)
        desk.tell(sheet.name, State.READY, "")
    else:
        if look.phase is Phase.UNKNOWN:
            desk.once(f"the API calls a task {look.word or 'nothing'!r}; taken for still running")
        return None
    return desk.journal.record(record.key)


async def deliver(sheet: Sheet, record: Record, desk: Desk) -> None:
    """Download, verify, name, record. Gives up for this run after some tries; what is paid for stays fetchable."""
    file = shelf_name(sheet)
    part = desk.out / f"{file}.part"
    make_folder(part.parent)
    if record.state is State.DONE:
        await desk.journal.note(record, State.READY, None)
    link = record.url
    why = "no link"
    for tries in range(MOST_DOWNLOADS):
        try:
            link = link or await _fresh_link(sheet, record, desk)
            if link is None:
                return
            fetched = await desk.downloads.fetch(link, part)
        except (DownloadFailed, ApiTrouble) as error:
            # A link ages, and the local API has another port in every run: the next try asks for a fresh one.
            why, link = str(error), None
            await desk.stop.sleep(backoff(desk.timing, tries, random.random()))
            continue
        await asyncio.to_thread(place, desk.out, part, file, fetched.sha256)
        await desk.journal.delivered(record, Delivered(file, fetched.sha256, fetched.size))
        desk.tell(sheet.name, State.DONE, file)
        return
    await desk.journal.note(record, State.READY, None, why)
    desk.gave_up(sheet.name, f"the video could not be fetched ({why}); run again, it stays paid for")


async def _fresh_link(sheet: Sheet, record: Record, desk: Desk) -> str | None:
    """Ask the API for the link again; None when the task is now said to have failed."""
    look: Look = await desk.api.look(record.task_id or "", _wants_watermark(sheet))
    if look.phase in ENDED_BADLY:
        desk.gave_up(sheet.name, f"the API has no video any more: {look.error or look.word}")
        return None
    if look.url is None:
        raise ApiTrouble("the API names no link")
    return look.url


def _wants_watermark(sheet: Sheet) -> bool:
    return sheet.request.get("watermark") is True
