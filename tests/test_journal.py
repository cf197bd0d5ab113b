"""The journal's own promises, on a real file: one live attempt a key, slots, epochs, poison, a sound creation."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest

from vidu_run.errors import Place, StorageTrouble
from vidu_run.job import Job, Key
from vidu_run.journal import file as state_file
from vidu_run.journal.intent import BOUGHT, IN_FLIGHT
from vidu_run.journal.port import AlreadyLive, Busy, Delivered, Fenced, Limits
from vidu_run.journal.reader import ReadJournal
from vidu_run.journal.sqlite import SqliteJournal
from vidu_run.key import new_marker
from vidu_run.outcome import Accepted, InDoubt, NotSent, Rejected
from vidu_run.record import Record, State
from vidu_run.reply import Look, Phase

T = TypeVar("T")
LIMITS = Limits(slots=2, off_peak_slots=1, doubt_counts=100.0, off_peak_doubt_counts=1000.0)


def a_job(number: int, **request: object) -> Job:
    return Job(f"job-{number}", Key(f"{number:04x}".ljust(64, "f")), {"model": "m", **request}, (), {}, Place("f"), 10)


def marker(job: Job, nonce: int = 0) -> str:
    return new_marker(job.key, f"{nonce:016x}")


def with_journal(folder: Path, work: Callable[[SqliteJournal], Awaitable[T]], clock: list[float] | None = None) -> T:
    if not (folder / state_file.NAME).exists():
        state_file.create(folder)

    async def opened() -> T:
        now = clock or [1000.0]
        journal = SqliteJournal(folder, clock=lambda: now[0])
        try:
            await journal.begin({})
            return await work(journal)
        finally:
            journal.close()

    return asyncio.run(opened())


def accepted(task_id: str) -> Accepted:
    return Accepted(task_id, Look(task_id=task_id, phase=Phase.QUEUED))


SEEDS = [0, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, "7"]
PROMPTS = ["a boat", 'quotes " and \\ and /', "\u2028 \u202e \x7f", "emoji 🎞 海 é", "null", '"seed": null']


def test_a_request_comes_out_of_the_state_as_it_went_in(tmp_path: Path) -> None:
    requests = [{"prompt": prompt, "seed": seed, "duration": 5} for prompt in PROMPTS for seed in SEEDS]
    requests += [{"prompt": prompt, "bgm": True, "rate": 1.5} for prompt in PROMPTS]
    jobs = [a_job(number, **request) for number, request in enumerate(requests)]
    with_journal(tmp_path, lambda journal: journal.plant(jobs))
    with closing(ReadJournal(tmp_path)) as journal:
        found = journal.sheets()
        assert [sheet.request for sheet in found] == [job.request for job in jobs]
        assert [list(sheet.request) for sheet in found] == [list(job.request) for job in jobs]


def test_what_no_job_is_made_of_any_more_leaves_the_state(tmp_path: Path) -> None:
    def forms() -> list[int]:
        with closing(sqlite3.connect(tmp_path / state_file.NAME)) as db:
            return list(db.execute("SELECT count(*), count(DISTINCT request) FROM forms").fetchone())

    def planted(*jobs: Job) -> None:
        with_journal(tmp_path, lambda journal: journal.plant(jobs))

    planted(*(a_job(seed, prompt="a boat", seed=seed) for seed in range(1, 9)))
    assert forms() == [1, 1]
    planted(*(a_job(seed, prompt=f"boat {seed}", seed=seed) for seed in range(1, 9)))
    assert forms() == [8, 8]
    planted(*(a_job(seed, prompt="a boat", seed=seed) for seed in range(1, 9)))
    assert forms() == [1, 1]


def test_what_is_read_steadily_is_of_one_moment(tmp_path: Path) -> None:
    first, second = a_job(1, seed=1), a_job(2, seed=2)
    with_journal(tmp_path, lambda journal: journal.plant([first]))
    with closing(ReadJournal(tmp_path)) as reader:
        with reader.steady():
            assert list(reader.names().values()) == ["job-1"]
            with_journal(tmp_path, lambda journal: journal.plant([second]))
            assert list(reader.names().values()) == ["job-1"]
            assert [sheet.name for sheet in reader.each_sheet([first.key, second.key])] == ["job-1"]
        assert list(reader.names().values()) == ["job-2"]


def test_some_sheets_come_in_the_order_in_which_all_of_them_do(tmp_path: Path) -> None:
    jobs = [a_job(number) for number in (5, 3, 9, 1, 7, 2)]
    for spec in (jobs, jobs[:3][::-1]):
        with_journal(tmp_path, lambda journal, spec=spec: journal.plant(spec))
    with closing(ReadJournal(tmp_path)) as journal:
        everything = [sheet.key for sheet in journal.all_sheets()]
        assert [sheet.key for sheet in journal.sheets_of(set(everything))] == everything
        assert [sheet.key for sheet in journal.sheets_of(everything[::-2])] == everything[1::2]
        assert journal.sheets_of([Key("0" * 64)]) == []


def test_a_link_is_kept_until_the_video_is_here(tmp_path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        job = a_job(1)
        await journal.settle(await journal.intent(job, marker(job), LIMITS), accepted("t"))
        record = journal.record(job.key)
        assert record is not None
        assert record.url is None
        await journal.note(record, State.READY, Look(task_id="t", phase=Phase.SUCCEEDED, url="https://v.example/a"))
        record = journal.record(job.key)
        assert record is not None
        assert record.url == "https://v.example/a"
        await journal.delivered(record, Delivered("videos/a.mp4", "ab", 2))
        record = journal.record(job.key)
        assert record is not None
        assert record.url is None

    with_journal(tmp_path, work)


def test_a_key_has_one_live_attempt(tmp_path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        job = a_job(1)
        attempt = await journal.intent(job, marker(job), LIMITS)
        for outcome in (None, InDoubt("?"), accepted("t")):
            if outcome:
                await journal.settle(attempt, outcome)
            await journal.begin({})
            with pytest.raises(AlreadyLive, match="may have been paid for"):
                await journal.intent(job, marker(job, 1), LIMITS)

    with_journal(tmp_path, work)


def test_a_post_that_was_not_sent_is_followed_by_another_one(tmp_path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        job = a_job(1)
        await journal.settle(await journal.intent(job, marker(job), LIMITS), NotSent("refused"))
        await journal.intent(job, marker(job, 1), LIMITS)

    with_journal(tmp_path, work)


@pytest.mark.parametrize("outcome", [Rejected("no"), accepted("t")])
def test_what_ended_badly_is_bought_again_by_another_run_alone(tmp_path: Path, outcome: Accepted | Rejected) -> None:
    async def work(journal: SqliteJournal) -> None:
        job = a_job(1)
        record = await journal.settle(await journal.intent(job, marker(job), LIMITS), outcome)
        if record.state is State.SUBMITTED:
            await journal.note(record, State.FAILED, None, "no luck")
        with pytest.raises(AlreadyLive, match="in this run already"):
            await journal.intent(job, marker(job, 1), LIMITS)
        await journal.begin({})
        await journal.intent(job, marker(job, 1), LIMITS)

    with_journal(tmp_path, work)


def test_slots_are_counted_over_intents_tasks_and_doubts_and_off_peak_apart(tmp_path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        first, second, third, night = a_job(1), a_job(2), a_job(3), a_job(4, off_peak=True)
        await journal.settle(await journal.intent(first, marker(first), LIMITS), accepted("t1"))
        await journal.settle(await journal.intent(second, marker(second), LIMITS), InDoubt("?"))
        with pytest.raises(Busy):
            await journal.intent(third, marker(third), LIMITS)
        await journal.intent(night, marker(night), LIMITS)

    with_journal(tmp_path, work)


def test_slots_are_counted_without_a_look_at_attempts_that_have_ended(tmp_path: Path) -> None:
    state_file.create(tmp_path)
    with closing(sqlite3.connect(tmp_path / state_file.NAME)) as db:
        values = {"off_peak": 0, "now": 0.0, "doubt_counts": 60.0}
        steps = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {IN_FLIGHT}", values)]
        ours = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {BOUGHT}", {"key": "k", "epoch": 1})]
    assert steps == ["SEARCH attempts USING INDEX attempts_in_flight (off_peak=? AND state=?)"]
    assert ours == ["SEARCH attempts USING INDEX attempts_by_key (key=?)"]


def test_a_doubt_gives_its_slot_back_after_the_deadline(tmp_path: Path) -> None:
    clock = [1000.0]

    async def work(journal: SqliteJournal) -> None:
        jobs = [a_job(number) for number in range(3)]
        for job in jobs[:2]:
            await journal.settle(await journal.intent(job, marker(job), LIMITS), InDoubt("?"))
        clock[0] += 99
        with pytest.raises(Busy):
            await journal.intent(jobs[2], marker(jobs[2]), LIMITS)
        clock[0] += 2
        await journal.intent(jobs[2], marker(jobs[2]), LIMITS)

    with_journal(tmp_path, work, clock)


def test_a_later_run_fences_the_intents_of_an_earlier_one_but_not_its_outcomes(tmp_path: Path) -> None:
    state_file.create(tmp_path)

    async def work() -> None:
        old, new = SqliteJournal(tmp_path), SqliteJournal(tmp_path)
        await old.begin({})
        first, second = a_job(1), a_job(2)
        attempt = await old.intent(first, marker(first), LIMITS)
        await new.begin({})
        held = new.record(first.key)
        assert held is not None
        assert held.state is State.IN_DOUBT
        with pytest.raises(Fenced):
            await old.intent(second, marker(second), LIMITS)
        await old.settle(attempt, accepted("t1"))
        record = new.record(first.key)
        assert record is not None
        assert (record.state, record.task_id) == (State.SUBMITTED, "t1")
        old.close()
        new.close()

    asyncio.run(work())


def test_a_task_of_another_attempt_is_recorded_as_a_doubt(tmp_path: Path) -> None:
    async def work(journal: SqliteJournal) -> State:
        first, second = a_job(1), a_job(2)
        await journal.settle(await journal.intent(first, marker(first), LIMITS), accepted("t1"))
        settled = await journal.settle(await journal.intent(second, marker(second), LIMITS), accepted("t1"))
        assert settled == journal.record(second.key)
        return settled.state

    assert with_journal(tmp_path, work) is State.IN_DOUBT


@pytest.mark.parametrize("outcome", [accepted("t1"), InDoubt("?"), Rejected("no")])
def test_what_an_intent_and_its_verdict_return_is_what_the_journal_holds(
    tmp_path: Path, outcome: Accepted | InDoubt | Rejected
) -> None:
    async def work(journal: SqliteJournal) -> None:
        job = a_job(1, off_peak=True)
        intent = await journal.intent(job, marker(job), LIMITS)
        assert intent == journal.record(job.key)
        assert await journal.settle(intent, outcome) == journal.record(job.key)

    with_journal(tmp_path, work)


def test_a_state_moves_along_its_arrows_only(tmp_path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        job = a_job(1)
        await journal.settle(await journal.intent(job, marker(job), LIMITS), accepted("t1"))
        record = journal.record(job.key)
        assert record is not None
        with pytest.raises(ValueError, match="no arrow from submitted to done"):
            await journal.delivered(record, Delivered("videos/a.mp4", "0" * 64, 1))

    with_journal(tmp_path, work)


def test_many_intents_at_once_share_commits_and_all_are_there(tmp_path: Path) -> None:
    limits = Limits(500, 1, 1, 1)

    async def work(journal: SqliteJournal) -> int:
        jobs = [a_job(number) for number in range(300)]
        await asyncio.gather(*(journal.intent(job, marker(job), limits) for job in jobs))
        return sum(1 for _ in journal.records())

    assert with_journal(tmp_path, work) == 300


def test_one_that_fails_among_many_at_once_undoes_itself_alone(tmp_path: Path) -> None:
    limits = Limits(500, 1, 1, 1)

    async def work(journal: SqliteJournal) -> list[BaseException | None]:
        jobs = [a_job(number) for number in (*range(20), 7, *range(20, 40))]
        found = await asyncio.gather(
            *(journal.intent(job, marker(job, nonce), limits) for nonce, job in enumerate(jobs)), return_exceptions=True
        )
        assert len(journal.known()) == 40
        assert {one for one in found if isinstance(one, Record)} == set(journal.records())
        return [one for one in found if isinstance(one, BaseException)]

    assert [type(error) for error in with_journal(tmp_path, work)] == [AlreadyLive]


def test_an_intent_survives_a_kill_right_after_it_returned(tmp_path: Path) -> None:
    code = f"""
import asyncio, os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_journal import LIMITS, a_job, marker
from vidu_run.journal import file
from vidu_run.journal.sqlite import SqliteJournal
folder = Path({str(tmp_path)!r})
file.create(folder)
async def main():
    journal = SqliteJournal(folder)
    await journal.begin({{}})
    await journal.intent(a_job(1), marker(a_job(1)), LIMITS)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    journal = ReadJournal(tmp_path)
    assert [record.state for record in journal.records()] == [State.INTENT]
    journal.close()


def test_the_first_failed_commit_poisons_the_journal(tmp_path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        job = a_job(1)
        await journal.intent(job, marker(job), LIMITS)
        with pytest.raises(StorageTrouble, match="cannot be written"):
            await journal._writer.do(lambda db: db.execute("INSERT INTO nowhere VALUES (1)"))
        with pytest.raises(StorageTrouble):
            await journal.intent(a_job(2), marker(a_job(2)), LIMITS)

    with_journal(tmp_path, work)


def test_a_storage_error_is_never_an_os_error() -> None:
    assert not issubclass(StorageTrouble, OSError)


def test_commits_are_synced(tmp_path: Path) -> None:
    state_file.create(tmp_path)
    db = state_file.connect(tmp_path / state_file.NAME)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_a_kill_while_the_state_is_created_leaves_something_the_next_run_accepts(tmp_path: Path) -> None:
    (tmp_path / f"{state_file.NAME}.new").write_bytes(b"half a database")
    state_file.create(tmp_path)
    state_file.check(tmp_path / state_file.NAME)


def test_a_state_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    state_file.create(tmp_path)
    path = tmp_path / state_file.NAME
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StorageTrouble, match="newer"):
        ReadJournal(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageTrouble, match="cannot be created"):
        state_file.create(tmp_path / "out")


def test_what_the_ledger_lists_stays_committed_while_it_is_being_bought_again(tmp_path: Path) -> None:
    job = a_job(1)

    async def work(journal: SqliteJournal) -> tuple[int, int, int]:
        await journal.adopt_ledger({job.key: {"key": job.key, "file": "videos/a.mp4", "credits": 7}})
        before = journal.committed()
        await journal.settle(await journal.intent(job, marker(job), LIMITS), NotSent("refused"))
        unsent = journal.committed()
        await journal.intent(job, marker(job, 1), LIMITS)
        return before, unsent, journal.committed()

    assert with_journal(tmp_path, work) == (7, 7, 10)
