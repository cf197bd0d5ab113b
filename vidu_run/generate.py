"""Buy one job: the only place in this program that sends the POST that costs credits.

The order is the whole point: the connection stands, the intent is committed, the first byte goes; then the evidence
is classified and the verdict is committed. A second POST follows `NotSent` and `Throttled` alone, each with an intent
and a marker of its own.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time

from vidu_run.api.body import Body
from vidu_run.desk import Desk
from vidu_run.errors import Exit, StorageTrouble
from vidu_run.job import Job
from vidu_run.key import new_marker
from vidu_run.outcome import Accepted, AccountStop, InDoubt, NotSent, Outcome, Throttled, classify
from vidu_run.pace import LONGEST_PAUSE, backoff, not_before, retry_after
from vidu_run.record import Record
from vidu_run.stop import Stopped

MOST_TRIES = 8
"""POSTs of one job in one run, when each surely created nothing: a network that is gone for 90 s is outlived."""


async def submit(job: Job, desk: Desk) -> tuple[Record | None, Outcome]:
    """Try until there is a verdict; returns its record, None where no intent was written.

    Raises Stopped, Refused, FrameChanged or StorageTrouble; then nothing was sent.
    """
    tries = 0
    while True:
        await desk.gate.through(desk.stop)
        record, outcome = await _post(job, desk)
        tries += 1
        if isinstance(outcome, AccountStop):
            desk.stop.submits(Exit.ACCOUNT, outcome.why)
        if isinstance(outcome, Throttled) and outcome.full:
            desk.slots_of(job.off_peak).halve()
        desk.gate.shut = isinstance(outcome, NotSent)
        if not isinstance(outcome, NotSent | Throttled) or tries == MOST_TRIES:
            return record, outcome
        await _pause(outcome, tries, desk)


async def _post(job: Job, desk: Desk) -> tuple[Record | None, Outcome]:
    """One POST at most, and its verdict in the journal."""
    marker = new_marker(job.key, secrets.token_hex(8))
    intent: asyncio.Task[Record] | None = None

    async def permit() -> None:
        # Shielded: a server that answers before it was asked makes the HTTP library give up the body, not the commit.
        nonlocal intent
        desk.stop.check_submit()
        intent = asyncio.create_task(desk.journal.intent(job, marker, desk.limits))
        await asyncio.shield(intent)
        desk.stop.check_submit()
        if desk.journal.broken:
            raise StorageTrouble("the state cannot be written any more")

    body = Body(job, marker, desk.store, permit)
    try:
        evidence = await desk.api.submit(body)
    except Exception as failure:
        # Ours, a refusal of the permit, or a bug of whoever: the intent must not stay open when nothing was sent.
        why = str(failure) or type(failure).__name__
        await _settled(job, desk, intent, InDoubt(why) if body.whole else NotSent(why))
        raise
    outcome = classify(evidence)
    if intent is None:
        return None, _before_anything(outcome)
    return await _settled(job, desk, intent, outcome), outcome


async def _settled(job: Job, desk: Desk, intent: asyncio.Task[Record] | None, outcome: Outcome) -> Record | None:
    """The verdict in the journal. Where it cannot be written, an accepted task is at least told."""
    if intent is None or (intent.done() and intent.exception() is not None):
        return None
    try:
        return await desk.journal.settle(await intent, outcome)
    except StorageTrouble as trouble:
        if isinstance(outcome, Accepted):
            word = f"{job.name} was accepted as task {outcome.task_id}, which could not be written down ({trouble})"
            raise StorageTrouble(f"{word}; later {desk.taking(job.name, outcome.task_id)}") from None
        raise


def _before_anything(outcome: Outcome) -> Outcome:
    """Without an intent no byte has left, whatever came back."""
    return outcome if isinstance(outcome, NotSent | Throttled | AccountStop) else NotSent(f"{outcome}")


async def _pause(outcome: NotSent | Throttled, tries: int, desk: Desk) -> None:
    """Before another POST: what the server asked for, else a growing pause. Raises Stopped."""
    asked = retry_after(outcome.retry_after, time.time()) if isinstance(outcome, Throttled) else None
    if asked is not None and asked > LONGEST_PAUSE:
        desk.stop.submits(Exit.INCOMPLETE, not_before(time.time() + asked))
        raise Stopped
    pause = asked if asked is not None else backoff(desk.timing, tries - 1, random.random())
    await desk.stop.sleep(pause, to_submit=True)
