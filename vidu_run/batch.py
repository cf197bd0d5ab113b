"""Act on a plan: submits in their order as slots come free, old waits and downloads beside them.

Nothing here is cancelled while a POST is in flight: not by a signal, not by a sibling's failure.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from vidu_run.api.body import FrameChanged
from vidu_run.carry import deliver, wait
from vidu_run.desk import Desk, NoSlots, Slots, Stopped
from vidu_run.errors import Exit, StorageTrouble
from vidu_run.frames import BadFrame, inside, keep
from vidu_run.generate import submit
from vidu_run.job import Frame, Job
from vidu_run.journal.port import AlreadyLive, Busy, Fenced, Sheet
from vidu_run.outcome import Accepted, Outcome, Rejected
from vidu_run.record import Record, State

EQUAL_FAILURES = 5
"""So many jobs in a row that end in the same words, over different inputs: the next would too."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Batch:
    """The jobs of one run under way. `tasks` holds all of them; none is ever cancelled while the loop runs."""

    def __init__(self, desk: Desk, sheets: Sequence[Sheet]) -> None:
        self._desk = desk
        self._sheets = {sheet.key: sheet for sheet in sheets}
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._failures: list[str] = []

    async def run(
        self, buy: Sequence[Job], look: Sequence[Record], fetch: Sequence[Record], hold: Sequence[Record]
    ) -> None:
        """`look`: tasks that run at the API; `fetch`: those that have ended; `hold`: in doubt, their slots count."""
        for record in hold:
            self._hold(record)
        for record in look:
            self._desk.slots_of(record.off_peak).occupy()
            self._start(self._resume(record))
        for record in fetch:
            self._start(self._bring(record))
        for off_peak in (False, True):
            self._start(self._feed([job for job in buy if job.off_peak is off_peak]))
        await self._finish()

    async def _finish(self) -> None:
        """Until nothing is under way, or the patience after a signal is over."""
        idle, stopping = asyncio.create_task(self._idle.wait()), asyncio.create_task(self._desk.stop.wait())
        await asyncio.wait({idle, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({idle}, timeout=self._desk.timing.drain)
        for waiting in (idle, stopping):
            waiting.cancel()

    async def _feed(self, jobs: Sequence[Job]) -> None:
        """One job after another, each as soon as it has a slot."""
        for number, job in enumerate(jobs):
            slots = self._desk.slots_of(job.off_peak)
            try:
                await asyncio.to_thread(self._keep_frames, job)
                await slots.take(self._desk.stop)
            except BadFrame as error:
                self._desk.gave_up(job.name, str(error))
                continue
            except Stopped:
                return
            except NoSlots:
                for left in jobs[number:]:
                    self._desk.gave_up(left.name, "no slot was free: tasks of earlier jobs are still at the API")
                return
            self._start(self._buy(job, slots))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._idle.set()

    async def _guarded(self, work: Awaitable[None]) -> None:
        """A failure of ours stops the submitting; it never reaches another job."""
        desk = self._desk
        try:
            await work
        except Stopped:
            return
        except StorageTrouble as error:
            desk.stop.submits(Exit.STORAGE, str(error))
        except OSError as error:
            desk.stop.submits(Exit.STORAGE, f"{error.filename or desk.out}: {error.strerror or error}")
        except Exception as error:
            desk.stop.submits(Exit.BUG, f"a bug in vidu-run: {type(error).__name__}: {error}")

    async def _buy(self, job: Job, slots: Slots) -> None:
        release: Callable[[], None] = slots.free
        try:
            record, release = await self._submitted(job, slots)
            if record is not None and not self._desk.waits:
                release, record = slots.lose, None
            if record is not None:
                desk, sheet = self._desk, self._sheets[job.key]
                ended = await wait(sheet, record, desk)
                release = slots.free if ended or self._ended(record) else slots.lose
                record = ended
        finally:
            release()
        if record is not None:
            await self._bring(record)

    async def _submitted(self, job: Job, slots: Slots) -> tuple[Record | None, Callable[[], None]]:
        """The record of the accepted task, and what becomes of the slot where there is none."""
        desk = self._desk
        try:
            state, outcome = await submit(job, desk)
        except FrameChanged as error:
            desk.tell(job.name, State.PLANNED, str(error))
            desk.gave_up(job.name, str(error))
            return None, slots.free
        except Busy:
            # The journal still counts a task that this process has let go, such as one in doubt.
            await desk.stop.sleep(desk.timing.poll_min)
            return await self._submitted(job, slots)
        except (AlreadyLive, Fenced) as error:
            desk.stop.submits(Exit.INCOMPLETE, str(error))
            return None, slots.free
        desk.tell(job.name, _shown(state), getattr(outcome, "why", "") or getattr(outcome, "task_id", ""))
        if state is State.IN_DOUBT:
            return None, lambda: slots.free_later(desk.doubt_counts(job))
        if state is State.NOT_SENT:
            desk.gave_up(job.name, f"not sent: {getattr(outcome, 'why', '')}")
        if state is not State.SUBMITTED:
            self._count_failure(outcome)
            return None, slots.free
        self._failures.clear()
        self._check_seed(job, outcome)
        return desk.journal.record(job.key), slots.free

    def _check_seed(self, job: Job, outcome: Outcome) -> None:
        asked = job.request.get("seed")
        used = outcome.look.seed if isinstance(outcome, Accepted) else None
        if asked and used not in (None, asked):
            self._desk.once("the API used other seeds than the spec asks for; the records say which")

    def _keep_frames(self, job: Job) -> None:
        for image in job.images:
            if isinstance(image, Frame) and self._desk.source is not None:
                try:
                    keep(image, inside(self._desk.source, image.source), self._desk.store)
                except BadFrame as error:
                    raise BadFrame(f"{image.source} {error}") from None

    async def _resume(self, record: Record) -> None:
        slots = self._desk.slots_of(record.off_peak)
        release = slots.lose
        try:
            ended = await wait(self._sheets[record.key], record, self._desk, ask_first=True)
            release = slots.free if ended or self._ended(record) else slots.lose
        finally:
            release()
        if ended is not None:
            await self._bring(ended)

    async def _bring(self, record: Record) -> None:
        await deliver(self._sheets[record.key], record, self._desk)

    def _ended(self, record: Record) -> bool:
        now = self._desk.journal.record(record.key)
        return now is not None and now.state is not State.SUBMITTED

    def _hold(self, record: Record) -> None:
        counts = self._desk.limits.off_peak_doubt_counts if record.off_peak else self._desk.limits.doubt_counts
        left = record.posted_at + counts - time.time()
        if left > 0:
            slots = self._desk.slots_of(record.off_peak)
            slots.occupy()
            slots.free_later(left)

    def _count_failure(self, outcome: Outcome) -> None:
        why = outcome.why if isinstance(outcome, Rejected) else str(outcome)
        self._failures = [*self._failures, why][-EQUAL_FAILURES:]
        if len(self._failures) == EQUAL_FAILURES and len(set(self._failures)) == 1:
            self._desk.stop.submits(Exit.INCOMPLETE, f"{EQUAL_FAILURES} jobs in a row ended alike: {why}")


def _shown(state: State) -> State:
    return State.PLANNED if state is State.NOT_SENT else state


@contextmanager
def signals(desk: Desk) -> Iterator[None]:
    """First signal: no new POST, drain, write, leave. Second: leave at once; the journal is sound at any instant."""
    loop = asyncio.get_running_loop()

    def received(number: signal.Signals) -> None:
        if desk.stop.waiting:
            os._exit(128 + number)
        desk.tell("", "stopping", f"{number.name}: nothing new is sent; finishing what is on its way (again to leave)")
        desk.stop.everything(128 + number, f"stopped by {number.name}")

    for number in SIGNALS:
        loop.add_signal_handler(number, received, number)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
