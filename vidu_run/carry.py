"""One task on its way: wait for its end at the API, then bring its video home. Never sends a POST."""

from __future__ import annotations

import random
import time

from vidu_run.api.trouble import ApiTrouble, BadQuestion, DownloadFailed, Forbidden, KeyRefused, TooMany
from vidu_run.desk import Desk
from vidu_run.errors import Exit
from vidu_run.files import make_folder
from vidu_run.job import Job
from vidu_run.journal.port import Delivered, Sheet
from vidu_run.pace import LONGEST_PAUSE, backoff, not_before, retry_after
from vidu_run.record import Record, State
from vidu_run.reply import ENDED_BADLY, Look, Phase
from vidu_run.shelf import shelf_name
from vidu_run.stop import Stopped
from vidu_run.tally import kind_of

MOST_DOWNLOADS = 5


async def wait(job: Job | Sheet, record: Record, desk: Desk, ask_first: bool = False) -> Record:
    """Ask until the task has ended; the record as it then is. Raises Stopped when the run ends.

    `ready`: there is a video to fetch; `failed`; `submitted`: this run's patience is over, the next one asks again.
    """
    # Of a task that was found again the service's clock tells, which may be ahead of ours.
    accepted = min(record.accepted_at or desk.started, time.time())
    begun = max(accepted, desk.started)
    deadline = begun + desk.timing.deadline(record.off_peak)
    usual = desk.usual[kind_of(job.request)]
    ran: float | None = None
    troubles = 0
    pause = 0.0 if ask_first else usual.pause(desk.timing, time.time() - accepted)
    while True:
        pause = min(pause, max(desk.timing.poll_min, deadline - time.time()))
        patience = deadline
        try:
            priced = record.charged is not None
            look = await desk.polls.look(record.task_id or "", _wants_watermark(job), priced, pause)
            troubles, desk.gate.shut = 0, False
            age = time.time() - accepted
            seen = await _seen(job, record, look, desk, ask_first)
            if seen is not record:
                if seen.state is State.READY and not ask_first:
                    usual.ended(ran, age)
                return seen
            ran, pause, ask_first = age, usual.pause(desk.timing, age), False
            why = f"no result within {desk.timing.deadline(record.off_peak):g} s"
        except (BadQuestion, Forbidden) as error:
            why = f"task {record.task_id}: {error}"
            if isinstance(error, Forbidden):
                desk.stop.submits(Exit.ACCOUNT, why)
            why = f"{why}; it is not bought again ({desk.giving_up(job.name)})"
            pause = usual.pause(desk.timing, time.time() - accepted)
            patience = min(deadline, begun + desk.timing.settle)
        except KeyRefused as error:
            desk.stop.everything(Exit.ACCOUNT, str(error))
            raise Stopped from None
        except TooMany as error:
            why, troubles = str(error), troubles + 1
            pause = max(_asked_for(error, desk), backoff(desk.timing, troubles, random.random()))
        except ApiTrouble as error:
            why, troubles, desk.gate.shut = str(error), troubles + 1, True
            pause = backoff(desk.timing, troubles, random.random())
        if time.time() > patience:
            desk.gave_up(job.name, f"{why}; run again to look once more")
            return await desk.journal.note(record, State.SUBMITTED, None, why)


async def _seen(job: Job | Sheet, record: Record, look: Look, desk: Desk, resumed: bool) -> Record:
    """What a look tells, written down; the very record while the task runs."""
    if look.phase in ENDED_BADLY:
        why = look.error or f"{look.word} at the API, without a reason"
        failed = await desk.journal.note(record, State.FAILED, look, why, resumed)
        desk.tell(job.name, State.FAILED, why)
        return failed
    if look.phase is Phase.SUCCEEDED and look.url:
        ready = await desk.journal.note(record, State.READY, look, resumed=resumed)
        desk.tell(job.name, State.READY, "")
        return ready
    if look.phase is Phase.UNKNOWN:
        desk.once(f"the API calls a task {look.word or 'nothing'!r}; taken for still running")
    return record


async def deliver(job: Job | Sheet, record: Record, desk: Desk) -> bool:
    """Download, verify, name, record; whether the video is here. Gives up for this run after some tries; what is paid
    for stays fetchable.
    """
    file = shelf_name(job)
    part = desk.out / f"{file}.part"
    make_folder(part.parent)
    if record.state is State.DONE:
        await desk.journal.note(record, State.READY, None)
    link = record.url
    why = "no link"
    for tries in range(MOST_DOWNLOADS):
        try:
            link = link or await _fresh_link(job, record, desk)
            if link is None:
                return False
            fetched = await desk.downloads.fetch(link, part)
        except (DownloadFailed, ApiTrouble) as error:
            # A link ages, and the local API has another port in every run: the next try asks for a fresh one.
            why, link = str(error), None
            if isinstance(error, KeyRefused) and not isinstance(error, Forbidden):
                desk.stop.everything(Exit.ACCOUNT, why)
                raise Stopped from None
            asked = _asked_for(error, desk) if isinstance(error, TooMany) else 0.0
            if tries + 1 < MOST_DOWNLOADS:
                await desk.stop.sleep(max(asked, backoff(desk.timing, tries, random.random())))
            continue
        await desk.arrivals.place(part, file, fetched.sha256)
        await desk.journal.delivered(record, Delivered(file, fetched.sha256, fetched.size))
        desk.tell(job.name, State.DONE, file)
        desk.posters.soon(file, fetched.sha256)
        return True
    await desk.journal.note(record, State.READY, None, why)
    told = f"the video could not be fetched ({why}); run again, it stays paid for ({desk.giving_up(job.name)})"
    desk.gave_up(job.name, told)
    return False


async def _fresh_link(job: Job | Sheet, record: Record, desk: Desk) -> str | None:
    """Ask the API for the link again; None when the task is now said to have failed. Raises Stopped."""
    # Alone: a row of a list may have the link that has just failed.
    look = await desk.polls.look(record.task_id or "", _wants_watermark(job), priced=True, pause=0.0, alone=True)
    if look.phase in ENDED_BADLY:
        told = f"the API has no video any more: {look.error or look.word} ({desk.giving_up(job.name)})"
        desk.gave_up(job.name, told)
        return None
    if look.url is None:
        raise ApiTrouble("the API names no link")
    return look.url


def _asked_for(error: TooMany, desk: Desk) -> float:
    """Seconds that a 429 asks to wait for. Raises Stopped where no run waits so long."""
    asked = retry_after(error.retry_after, time.time()) or 0.0
    if asked > LONGEST_PAUSE:
        desk.stop.everything(Exit.INCOMPLETE, not_before(time.time() + asked))
        raise Stopped
    return asked


def _wants_watermark(job: Job | Sheet) -> bool:
    return job.request.get("watermark") is True
