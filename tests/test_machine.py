"""The life of some jobs as a random walk: whatever breaks and whenever, no job is bought twice and none is lost.

The state file, the plan, the verdict and the search are the program's own; the server is a model that knows the truth.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vidu_run.api.client import Api
from vidu_run.errors import Place
from vidu_run.job import Job, Key
from vidu_run.journal import file as state_file
from vidu_run.journal.port import AlreadyLive, Busy, Delivered, Fenced, Limits
from vidu_run.journal.sqlite import SqliteJournal
from vidu_run.key import new_marker
from vidu_run.outcome import Evidence, classify
from vidu_run.pace import Timing
from vidu_run.plan import Action, Found, Wish, make_plan
from vidu_run.record import ARROWS, LIVE, Record, State
from vidu_run.recover import Search, seekers
from vidu_run.reply import Look, Phase

T = TypeVar("T")
ROUNDS = int(os.environ.get("VIDU_RUN_FUZZ", "0"))
MEMORY = Path("/dev/shm")
"""Where there is one, a sync costs nothing; what reaches a disk is not asked here."""

LIFE = 100.0
"""Seconds after its POST when a task has surely ended, and until when one in doubt takes a slot."""

LIMITS = Limits(slots=3, off_peak_slots=1, doubt_counts=LIFE, off_peak_doubt_counts=LIFE)
TIMING = Timing(settle=0.0)
JOBS = [
    Job(
        f"job-{number}",
        Key(f"{number:x}".rjust(24, "a").ljust(64, "f")),
        {"model": "m", "prompt": f"prompt {number % 2}"},
        (),
        {},
        Place("f"),
        10,
    )
    for number in range(5)
]
ENVELOPE = {"code": 400, "reason": "FieldInvalid", "message": "no"}

# What the server does with a POST, and what the client gets to know of it: True where the server takes it at once,
# None where it may still take it later. "{id}" is the task; "{known}" another task that the client knows.
FATES: dict[str, tuple[bool | None, Evidence]] = {
    "accepted": (True, Evidence(True, 200, None, b'{"task_id": "{id}"}')),
    "accepted before the body was out": (True, Evidence(False, 200, None, b'{"task_id": "{id}"}')),
    "accepted, reply lost": (True, Evidence(True, error="connection reset")),
    "accepted, 500": (True, Evidence(True, 500, None, json.dumps(ENVELOPE).encode())),
    "accepted, 429 that names it": (True, Evidence(True, 429, None, b'{"task_id": "{id}"}')),
    "accepted, 404 in HTML": (True, Evidence(True, 404, None, b"<html>no</html>")),
    "accepted, another task named": (True, Evidence(True, 200, None, b'{"task_id": "{known}"}')),
    "accepted, garbage": (True, Evidence(True, 200, None, b"\x1f\x8b garbage")),
    "accepted later, timeout": (None, Evidence(True, error="no answer in time")),
    "lost, timeout": (False, Evidence(True, error="no answer in time")),
    "lost, 500": (False, Evidence(True, 500, None, json.dumps(ENVELOPE).encode())),
    "lost, another task named": (False, Evidence(True, 200, None, b'{"task_id": "{known}"}')),
    "refused": (False, Evidence(True, 400, None, json.dumps(ENVELOPE).encode())),
    "no credits": (False, Evidence(True, 402, None, json.dumps(ENVELOPE).encode())),
    "throttled": (False, Evidence(True, 429, "1", json.dumps(ENVELOPE).encode())),
    "no connection": (False, Evidence(False, error="connection refused")),
}


@dataclass
class Task:
    id: str
    key: Key
    marker: str
    request: dict[str, Any]
    created_at: float
    ends_at: float
    phase: Phase = Phase.RUNNING

    def look(self, payload: bool) -> Look:
        told = {name: self.request.get(name) for name in ("model", "prompt")}
        return Look(self.id, self.phase, payload=self.marker if payload else None, created_at=self.created_at, **told)


@dataclass
class View:
    """What a list shows: `hidden` tasks are missing from it, `young` seconds is its lag. A list may answer every page
    with its first one."""

    hidden: frozenset[int] = frozenset()
    young: float = 0.0
    repeats: bool = False
    payloads: bool = False

    @property
    def whole(self) -> bool:
        return not (self.hidden or self.young or self.repeats)


VIEWS = st.builds(View, payloads=st.booleans()) | st.builds(
    View,
    hidden=st.frozensets(st.integers(0, 9), max_size=4),
    young=st.sampled_from([0.0, 40.0]),
    repeats=st.booleans(),
    payloads=st.booleans(),
)


ENDS = st.lists(st.sampled_from([Phase.SUCCEEDED, Phase.FAILED, Phase.RUNNING]), min_size=5, max_size=5)


@dataclass
class Run:
    """What one run meets: what the list shows, how the tasks have ended by now, what becomes of each job's POST.

    There may be fewer fates than jobs: `--limit`.
    """

    view: View
    ends: list[Phase]
    fates: list[str]


RUNS = st.builds(
    Run,
    view=VIEWS,
    ends=ENDS,
    fates=st.lists(st.sampled_from(sorted(FATES)), min_size=1, max_size=len(JOBS), unique=True),
)


@dataclass
class Server:
    """The truth, and the part of it that the API's list and queries tell."""

    now: float = field(default_factory=lambda: time.time() - 86400)
    tasks_taken: list[Task] = field(default_factory=list)
    view: View = field(default_factory=View)

    def take(self, job: Job, marker: str, posted_at: float) -> Task:
        number = len(self.tasks_taken) + 1
        task = Task(f"t-{number}", job.key, marker, dict(job.request), self.now, posted_at + LIFE)
        self.tasks_taken.append(task)
        return task

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for task in self.running:
            if self.now > task.ends_at:
                task.phase = Phase.SUCCEEDED

    @property
    def running(self) -> list[Task]:
        return [task for task in self.tasks_taken if task.phase is Phase.RUNNING]

    def task(self, task_id: str | None) -> Task:
        return next(task for task in self.tasks_taken if task.id == task_id)

    async def tasks(self, since: float | None, page: int, token: str | None) -> tuple[list[Look], str | None]:
        stranger = Look("other", Phase.SUCCEEDED, payload="theirs", created_at=self.now)
        shown = [
            task.look(self.view.payloads)
            for number, task in enumerate(self.tasks_taken)
            if number not in self.view.hidden
            and self.now - task.created_at >= self.view.young
            and (since is None or task.created_at >= since)
        ]
        rows = [stranger, *reversed(shown)]
        return (rows[:2] if self.view.repeats else rows[2 * page : 2 * page + 2]), None

    async def look(self, task_id: str, watermark: bool) -> Look:
        return self.task(task_id).look(payload=True)


@dataclass
class Post:
    """A POST whose intent is committed. `evidence` None: it has not left yet."""

    job: Job
    intent: Record
    journal: SqliteJournal
    posted_at: float
    evidence: Evidence | None = None


@dataclass
class Copy:
    """A copy of the state, and what stood on the disk then."""

    folder: Path
    present: frozenset[Key]


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.root = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.server = Server()
        self.posts: list[Post] = []
        self.late: list[Post] = []
        self.delivered: set[Key] = set()
        self.copies: list[Copy] = []
        self.stale: list[SqliteJournal] = []
        self.numbers = iter(range(1_000_000))
        self.restored = False

    @initialize(lists=st.sampled_from([True, True, False]), run=RUNS)
    def found(self, lists: bool, run: Run) -> None:
        self.lists = lists
        self.folder = self.root / "0"
        state_file.create(self.folder)
        self.copies.append(Copy(self.image(), frozenset()))
        self.start(run)

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.close()
        self.loop.close()
        shutil.rmtree(self.root)

    # The program's parts, and what is checked around each of their steps.

    def start(self, run: Run) -> None:
        """One run, in its order: search, look at what is paid for, buy one job after the other.

        After a copy was restored the list has to be whole: what it hides then is known to nobody.
        """
        self.journal = SqliteJournal(self.folder, lambda: self.server.now)
        self.reader = sqlite3.connect(self.journal.path)
        self.do(self.journal.begin({}))
        self.do(self.journal.plant(JOBS))
        self.search(View(payloads=run.view.payloads) if self.restored else run.view)
        self.restored = False
        self.look_at_the_tasks(run.ends)
        for job, fate in zip(JOBS, run.fates, strict=False):
            if post := self.begin_post(job):
                self.send(fate, self.unsent.index(post))
                self.settle(self.sent.index(post))

    def close(self) -> None:
        self.reader.close()
        for journal in [self.journal, *self.stale]:
            journal.close()
        self.stale.clear()

    def do(self, step: Coroutine[Any, Any, T]) -> T:
        before = self.states()
        try:
            return self.loop.run_until_complete(step)
        finally:
            for marker, state in self.states().items():
                known = before.get(marker)
                if known is None:
                    assert state in (State.INTENT, State.SUBMITTED)
                else:
                    assert state is known or state in ARROWS[known], f"{known} became {state}"

    def states(self) -> dict[str, State]:
        """Every attempt as another program sees it on the disk."""
        return {marker: State(state) for marker, state in self.reader.execute("SELECT marker, state FROM attempts")}

    def records(self, *states: State) -> list[Record]:
        return [record for record in self.journal.records() if not states or record.state in states]

    def action(self, job: Job) -> Action:
        known = {record.key: record for record in self.records()}
        (step,) = make_plan([job], Found(known, frozenset(self.delivered)), Wish()).steps
        return step.action

    # Buying, in three steps that anything may come between.

    @rule(job=st.sampled_from(JOBS))
    def intend(self, job: Job) -> None:
        self.begin_post(job)

    def begin_post(self, job: Job) -> Post | None:
        """With an intent, where the plan says so; where it does not, the state itself refuses a second live attempt."""
        record = self.journal.record(job.key)
        marker = new_marker(job.key, f"{next(self.numbers):016x}")
        intent = self.journal.intent(job, marker, LIMITS)
        if self.action(job) is Action.SUBMIT:
            try:
                written = self.do(intent)
            except Busy:
                return None
            assert self.states()[marker] is State.INTENT
            self.posts.append(Post(job, written, self.journal, self.server.now))
            return self.posts[-1]
        if record is not None and record.state in LIVE:
            with pytest.raises((AlreadyLive, Busy)):
                self.do(intent)
        else:
            intent.close()
        return None

    @property
    def unsent(self) -> list[Post]:
        return [post for post in self.posts if post.evidence is None]

    @property
    def sent(self) -> list[Post]:
        return [post for post in self.posts if post.evidence is not None]

    @precondition(lambda self: self.unsent)
    @rule(fate=st.sampled_from(sorted(FATES)), number=st.integers(0, 9))
    def send(self, fate: str, number: int) -> None:
        post = self.unsent[number % len(self.unsent)]
        taken, evidence = FATES[fate]
        known = next((task.id for task in self.server.tasks_taken if self.journal.knows(task.id)), "")
        named = ""
        if taken:
            named = self.server.take(post.job, post.intent.marker, post.posted_at).id
        elif taken is None:
            self.late.append(post)
        body = evidence.body and evidence.body.replace(b"{id}", named.encode()).replace(b"{known}", known.encode())
        post.evidence = Evidence(evidence.whole, evidence.status, evidence.retry_after, body, evidence.error)

    @precondition(lambda self: self.sent)
    @rule(number=st.integers(0, 9))
    def settle(self, number: int) -> None:
        post = self.sent[number % len(self.sent)]
        self.posts.remove(post)
        assert post.evidence is not None
        settling = post.journal.settle(post.intent, classify(post.evidence))
        if self.states()[post.intent.marker] in (State.INTENT, State.IN_DOUBT):
            self.do(settling)
            return
        # Only after another run took over and knows better by now.
        assert post.journal is not self.journal
        with suppress(ValueError):
            self.do(settling)

    @precondition(lambda self: self.late)
    @rule(number=st.integers(0, 9))
    def taken_late(self, number: int) -> None:
        post = self.late.pop(number % len(self.late))
        self.server.take(post.job, post.intent.marker, post.posted_at)

    # What happens to the process, its disk and its clock.

    @rule(run=RUNS)
    def crash(self, run: Run) -> None:
        """The disk as it is at this moment is all that is left."""
        left = self.image()
        self.close()
        self.folder = left
        self.posts.clear()
        self.start(run)

    @rule(job=st.sampled_from(JOBS), fate=st.sampled_from([None, *sorted(FATES)]), run=RUNS)
    def crash_while_buying(self, job: Job, fate: str | None, run: Run) -> None:
        """Before the POST left, or before what it came to was written down."""
        post = self.begin_post(job)
        if fate is not None and post is not None:
            self.send(fate, self.unsent.index(post))
        self.crash(run)

    @precondition(lambda self: not self.stale)
    @rule(job=st.sampled_from(JOBS), run=RUNS)
    def another_run_takes_over(self, job: Job, run: Run) -> None:
        """The earlier one goes on: what it has sent it may record, but it begins nothing new."""
        self.reader.close()
        self.stale.append(self.journal)
        self.start(run)
        with pytest.raises(Fenced):
            self.do(self.stale[-1].intent(job, new_marker(job.key, f"{next(self.numbers):016x}"), LIMITS))

    @precondition(lambda self: self.lists and len(self.copies) < 4)
    @rule()
    def keep_a_copy(self) -> None:
        self.copies.append(Copy(self.image(), frozenset(self.delivered)))

    @precondition(lambda self: self.lists and not self.late)
    @rule(number=st.integers(0, 9), run=RUNS)
    def restore_a_copy(self, number: int, run: Run) -> None:
        """Or begin with an empty one; once everything that was sent has arrived, or never will."""
        number %= len(self.copies)
        copy = self.copies[number]
        # The later ones are of a past that is not this state's any more.
        del self.copies[number + 1 :]
        self.close()
        self.folder = self.image(copy.folder)
        self.delivered = set(copy.present)
        self.posts.clear()
        self.restored = True
        self.start(run)

    def image(self, folder: Path | None = None) -> Path:
        target = self.root / f"image-{next(self.numbers)}"
        target.mkdir()
        for path in (folder or self.folder).glob(f"{state_file.NAME}*"):
            shutil.copy(path, target)
        return target

    @precondition(lambda self: not self.posts)
    @rule(seconds=st.sampled_from([150.0, 30.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        """A POST lasts much shorter than a task, and so does the time in which a lost one may still be taken."""
        self.server.pass_time(seconds)
        self.late = [post for post in self.late if post.posted_at + LIFE >= self.server.now]

    # The search, the looks, the downloads, and the user.

    @rule(view=VIEWS)
    def search(self, view: View) -> None:
        """As `recover` does it."""
        if not self.lists:
            return
        self.server.view = view
        told: list[str] = []
        doubtful, unknown = seekers(JOBS, self.journal, TIMING.settle)
        if sought := [*doubtful, *unknown]:
            search = Search(cast(Api, self.server), self.journal, sought, TIMING, self.no_sleep, told.append, "a")
            found = self.do(search.run())
            assert found == len([text for text in told if "found at the API" in text])
            self.do(self.journal.searched([one.job.key for one in unknown], self.server.now))
        assert not [text for text in told if "second purchase" in text]
        if view.whole:
            under_way = {post.intent.marker for post in self.posts}
            sure = [task for task in self.server.tasks_taken if task.marker not in under_way]
            assert not [task.id for task in sure if not self.journal.knows(task.id)]

    @staticmethod
    async def no_sleep(seconds: float) -> None:
        raise AssertionError("a list that had its time to settle is looked at once")

    @rule(ends=ENDS)
    def look_at_the_tasks(self, ends: list[Phase]) -> None:
        for record, phase in zip(self.records(State.SUBMITTED), ends, strict=False):
            task = self.server.task(record.task_id)
            if task.phase is Phase.RUNNING:
                task.phase = phase
            state = {Phase.RUNNING: State.SUBMITTED, Phase.SUCCEEDED: State.READY, Phase.FAILED: State.FAILED}
            self.do(self.journal.note(record, state[task.phase], task.look(payload=True)))

    @precondition(lambda self: self.records(State.READY))
    @rule(number=st.integers(0, 9))
    def deliver(self, number: int) -> None:
        ready = self.records(State.READY)
        record = ready[number % len(ready)]
        self.do(self.journal.delivered(record, Delivered("videos/a.mp4", "0" * 64, 1)))
        self.delivered.add(record.key)

    @precondition(lambda self: self.records(State.DONE))
    @rule(number=st.integers(0, 9))
    def lose_a_video(self, number: int) -> None:
        """It is fetched again, not bought again."""
        done = self.records(State.DONE)
        record = done[number % len(done)]
        self.delivered.discard(record.key)
        job = next(job for job in JOBS if job.key == record.key)
        assert self.action(job) is Action.FETCH
        self.do(self.journal.note(record, State.READY, None))

    @precondition(lambda self: self.records(State.IN_DOUBT))
    @rule(number=st.integers(0, 9))
    def the_user_s_word(self, number: int) -> None:
        """An honest one, from somebody who has seen the truth."""
        doubtful = self.records(State.IN_DOUBT)
        record = doubtful[number % len(doubtful)]
        under_way = {post.intent.marker for post in [*self.posts, *self.late]}
        task = next((task for task in self.server.tasks_taken if task.key == record.key), None)
        if task is not None:
            facts = {"task_id": task.id, "accepted_at": record.posted_at, "error": None}
            self.do(self.journal.decide(record, State.SUBMITTED, facts))
        elif record.marker not in under_way:
            self.do(self.journal.decide(record, State.NOT_SENT, {"error": "the user's word"}))

    # The promise.

    @invariant()
    def no_job_is_bought_twice(self) -> None:
        bought = Counter(task.key for task in self.server.tasks_taken)
        assert not [key for key, count in bought.items() if count > 1]

    @invariant()
    def what_was_bought_is_known_or_held(self) -> None:
        for task in self.server.tasks_taken:
            record = self.journal.record(task.key)
            assert record is not None
            assert record.task_id == task.id or record.state in (State.INTENT, State.IN_DOUBT)

    @invariant()
    def no_more_is_at_the_api_than_there_are_slots(self) -> None:
        assert len(self.server.running) + len(self.unsent) <= LIMITS.slots


TestLifeOfJobs = pytest.mark.timeout(600)(Life.TestCase)
TestLifeOfJobs.settings = settings(
    max_examples=ROUNDS or 40,
    stateful_step_count=30,
    deadline=None,
    derandomize=not ROUNDS,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
