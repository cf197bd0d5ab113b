"""Act on a plan: submits in their order as slots come free, old waits and downloads beside them.

Nothing here is cancelled while a POST is in flight: not by a signal, not by a sibling's failure.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence

from vidu_run.api.body import FrameChanged
from vidu_run.carry import deliver, wait
from vidu_run.desk import Desk
from vidu_run.errors import Exit, StorageTrouble
from vidu_run.frames import BadFrame, inside, keep
from vidu_run.generate import submit
from vidu_run.job import Frame, Job
from vidu_run.journal.port import AlreadyLive, Busy, Fenced, Sheet
from vidu_run.lighten import lightened
from vidu_run.outcome import Accepted, Outcome, is_moderation
from vidu_run.record import Record, State
from vidu_run.slots import NoSlots, Slot
from vidu_run.stop import Stopped


class Batch:
    """The jobs of one run under way. `tasks` holds all of them; none is ever cancelled while the loop runs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tasks: set[asyncio.Task[None]] = set()
        self._stored: set[str] = set()
        self._idle = asyncio.Event()

    async def run(
        self, buy: Sequence[Job], look: Sequence[Record], fetch: Sequence[Record], hold: Sequence[Record]
    ) -> None:
        """`look`: tasks that run at the API; `fetch`: those that have ended; `hold`: in doubt, their slots count."""
        for record in hold:
            counts = self._desk.doubt_counts(record.off_peak)
            left = record.posted_at + counts - time.time()
            if 0 < left <= counts + 60:
                self._desk.slots_of(record.off_peak).occupied().free_in(left)
        for record in look:
            slot = self._desk.slots_of(record.off_peak).occupied()
            if self._desk.waits:
                self._start(self._resume(record, slot))
            else:
                slot.lose()
        for record in fetch:
            self._start(self._fetch(record))
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
        await self._desk.polls.close()

    async def _feed(self, jobs: Sequence[Job]) -> None:
        """One job after another, each as soon as it has a slot."""
        for number, job in enumerate(jobs):
            try:
                job, sent = await self._ready(job)
                slot = await self._desk.slots_of(job.off_peak).take(self._desk.stop, self._blocked)
            except BadFrame as error:
                self._desk.gave_up(job.name, str(error))
                continue
            except Stopped:
                return
            except NoSlots:
                for left in jobs[number:]:
                    self._desk.gave_up(left.name, "no slot was free: tasks of earlier jobs are still at the API")
                return
            self._start(self._buy(job, sent, slot))

    def _blocked(self, doubts: int, seconds: float) -> None:
        until = time.strftime("%H:%M", time.localtime(time.time() + seconds))
        jobs, places = ("job", "its place") if doubts == 1 else ("jobs", "their places")
        self._desk.once(
            f"{doubts} {jobs} in doubt may be at the API: nothing is sent in {places} before {until}. Ctrl-C and "
            "`vidu-run resolve`, or a higher --concurrency, goes on at once"
        )

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

    async def _buy(self, job: Job, sent: Job, slot: Slot) -> None:
        record: Record | None = None
        with slot:
            if submitted := await self._submitted(job, sent, slot):
                record = await self._waited(job, submitted, slot)
                self._learn(job, "task", record.state, record.error)
        if record is not None:
            await self._bring(job, record)

    async def _submitted(self, job: Job, sent: Job, slot: Slot) -> Record | None:
        """The record of a task to wait for now, if there is one. `sent` is the job with the frames that go out."""
        desk = self._desk
        if why := desk.caution.holds(job):
            desk.gave_up(job.name, why)
            return None
        try:
            record, outcome = await self._when_free(sent)
        except (FrameChanged, Busy) as error:
            desk.gave_up(job.name, str(error))
            return None
        except (AlreadyLive, Fenced) as error:
            desk.stop.submits(Exit.INCOMPLETE, str(error))
            return None
        state = record.state if record else State.NOT_SENT
        why = getattr(outcome, "why", "")
        if state is State.NOT_SENT:
            desk.gave_up(job.name, f"not sent: {why}")
        else:
            desk.tell(job.name, state, why or _task(outcome))
        if state is State.IN_DOUBT:
            slot.free_in(desk.doubt_counts(job.off_peak))
        self._check_seed(job, outcome)
        self._learn(job, "submit", state, None if state is State.NOT_SENT else why)
        if state is State.SUBMITTED and not desk.waits:
            slot.lose()
        return record if state is State.SUBMITTED and desk.waits else None

    async def _when_free(self, job: Job) -> tuple[Record | None, Outcome]:
        """Submit, as soon as the journal counts a free slot too: it knows of tasks that this process has let go."""
        desk = self._desk
        patience = time.time() + desk.timing.task_deadline
        while True:
            try:
                return await submit(job, desk)
            except Busy:
                if time.time() > patience:
                    raise
                await desk.stop.sleep(desk.timing.poll_max, to_submit=True)

    async def _waited(self, job: Job | Sheet, record: Record, slot: Slot, ask_first: bool = False) -> Record:
        """The record as it is afterwards. A task that outlasts our patience keeps its slot."""
        ended = await wait(job, record, self._desk, ask_first)
        if ended.state is State.SUBMITTED:
            slot.lose()
        return ended

    async def _resume(self, record: Record, slot: Slot) -> None:
        with slot:
            sheet = self._desk.journal.sheet(record.key)
            ended = await self._waited(sheet, record, slot, ask_first=True)
        await self._bring(sheet, ended)

    async def _fetch(self, record: Record) -> None:
        await self._bring(self._desk.journal.sheet(record.key), record)

    async def _bring(self, job: Job | Sheet, record: Record) -> None:
        if record.state in (State.READY, State.DONE) and await deliver(job, record, self._desk):
            waited = self._desk.relay.after(job.name)
            for off_peak in (False, True):
                self._start(self._feed([job for job in waited if job.off_peak is off_peak]))

    def _learn(self, job: Job, stage: str, state: State, why: str | None) -> None:
        """What this ending says about the jobs to come."""
        if state not in (State.NOT_SENT, State.REJECTED, State.FAILED, State.IN_DOUBT):
            self._desk.caution.succeeded(stage)
            return
        why = why or "not sent"
        if stop := self._desk.caution.ended_badly(job, stage, why, is_moderation(why)):
            self._desk.stop.submits(Exit.INCOMPLETE, stop)

    def _check_seed(self, job: Job, outcome: Outcome) -> None:
        asked = job.request.get("seed")
        used = outcome.look.seed if isinstance(outcome, Accepted) else None
        if asked and used not in (None, asked):
            self._desk.once("the API used other seeds than the spec asks for; the records say which")

    async def _ready(self, job: Job) -> tuple[Job, Job]:
        """The job under its own key, and as it goes out. Raises BadFrame."""
        known, sent = await self._desk.relay.ready(job)
        return known, await self._to_send(known, sent)

    async def _to_send(self, job: Job, sent: Job) -> Job:
        """The job with its frames in the store. A sweep asks for the same few again and again; whoever sends one reads
        and hashes it anyway.
        """
        frames = {image.sha256 for image in job.images if isinstance(image, Frame)}
        if self._desk.shrink_to is None and frames <= self._stored:
            return sent
        sent = await asyncio.to_thread(self._with_frames, job, sent)
        self._stored |= frames
        return sent

    def _with_frames(self, job: Job, sent: Job) -> Job:
        """The job with its frames in the store, made lighter where that was asked for and is needed."""
        for image in job.images:
            if isinstance(image, Frame) and self._desk.source is not None:
                try:
                    keep(image, inside(self._desk.source, image.source), self._desk.store)
                except BadFrame as error:
                    raise BadFrame(f"{image.source} {error}") from None
        return sent if self._desk.shrink_to is None else lightened(sent, self._desk.store, self._desk.shrink_to)


def _task(outcome: Outcome) -> str:
    return outcome.task_id if isinstance(outcome, Accepted) else ""
