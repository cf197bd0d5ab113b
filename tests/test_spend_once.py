"""Whatever breaks around a POST: nothing is bought twice, and what may have been bought is held and shown."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Folder
from fault_server import SUBMIT, FaultServer, markers

from vidu_run.access import Access
from vidu_run.api.client import Api
from vidu_run.api.download import Downloads
from vidu_run.desk import Desk
from vidu_run.errors import Place
from vidu_run.generate import submit
from vidu_run.job import Job, Key, Link
from vidu_run.journal import file as state_file
from vidu_run.journal.port import Limits
from vidu_run.journal.reader import ReadJournal
from vidu_run.journal.sqlite import SqliteJournal
from vidu_run.pace import Timing
from vidu_run.providers.catalogue import provider
from vidu_run.record import Record, State
from vidu_run.relay import Relay
from vidu_run.stop import Stop


@pytest.mark.parametrize(
    "fault", ["lost-reply", "reset-after", "500-accepted", "hang-accepted", "html-accepted", "cut-reply"]
)
def test_an_accepted_post_without_its_answer_is_held_and_never_sent_again(
    folder: Folder, server: FaultServer, fault: str
) -> None:
    folder.sweep(2)
    server.faults = [fault]
    held = folder.buy(server, "--concurrency", "2")
    assert held.code == 4, held.err
    assert held.counts() == {"in_doubt": 1, "done": 1}
    assert "vidu-run resolve jobs.yaml" in held.err
    again = folder.buy(server)
    assert again.code == 4
    assert len(server.ledger) == 2
    assert server.double_spent() == []


@pytest.mark.parametrize("fault", ["500-refused", "html", "no-id", "redirect", "408 X", "409 X", "425 X", "499 X"])
def test_an_answer_that_does_not_say_whether_it_was_taken_is_held(
    folder: Folder, server: FaultServer, fault: str
) -> None:
    folder.sweep(1)
    server.faults = [fault]
    assert folder.buy(server).code == 4
    assert folder.buy(server).code == 4
    assert len(server.ledger) == 1


def test_a_task_id_that_belongs_to_another_job_is_held(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2, extra="concurrency: 1\n")
    server.faults = ["ok", "same-id"]
    held = folder.buy(server)
    assert held.code == 4
    assert held.counts() == {"in_doubt": 1, "done": 1}


def test_a_connection_that_breaks_before_the_body_is_out_is_tried_again(folder: Folder, server: FaultServer) -> None:
    big = folder.path / "frames/a.png"
    folder.frame("b.png", size=(1500, 900))
    from PIL import Image

    Image.effect_noise((1500, 900), 90).convert("RGB").save(big)
    folder.sweep(1)
    server.faults = ["reset-on-headers"]
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert len(server.accepted) == 1


def test_a_server_that_is_not_there_leaves_the_jobs_planned(
    folder: Folder, servers: Callable[..., FaultServer]
) -> None:
    folder.sweep(2)
    server = servers()
    server.__exit__()
    left = folder.buy(server)
    assert left.code == 3
    assert left.counts() == {"planned": 2}
    assert "cannot connect" in left.err


def test_a_429_is_tried_again_with_a_new_marker_and_its_retry_after_is_kept(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1)
    server.faults = ["429 1", "429"]
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert len(set(markers(server.ledger))) == 3
    assert server.ledger[1].at - server.ledger[0].at >= 0.9


def test_a_429_for_hours_ends_the_run_instead_of_sleeping(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.faults = ["429 1000000000"]
    left = folder.buy(server)
    assert left.code == 3
    assert left.counts() == {"planned": 1}
    assert "no requests before" in left.err


def test_a_refusal_that_says_why_is_final_and_told(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.faults = ["400 FieldInvalid"]
    refused = folder.buy(server)
    assert refused.code == 1
    assert "FieldInvalid" in refused.document["jobs"][0]["error"]
    assert folder.buy(server).code == 1
    assert len(server.ledger) == 1


@pytest.mark.parametrize("fault", ["401 Unauthorized", "402 X", "403 Forbidden", "400 CreditInsufficient"])
def test_an_account_that_cannot_pay_stops_the_submitting(folder: Folder, server: FaultServer, fault: str) -> None:
    folder.sweep(4, extra="concurrency: 1\n")
    server.faults = ["ok", fault, fault, fault]
    stopped = folder.buy(server)
    assert stopped.code == 5
    assert stopped.counts() == {"planned": 3, "done": 1}
    assert len(server.ledger) == 2


def test_a_kill_between_the_post_and_its_answer_leaves_the_job_in_doubt(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(1)
    spec.write_text(spec.read_text().replace("submit_timeout: 2", "submit_timeout: 60"))
    server.faults = ["hang-accepted"]
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    server.wait_for_post()
    assert folder("status", "jobs.yaml", "--json").document["jobs"][0]["state"] == "submitted"
    running.kill()
    running.communicate()
    assert folder("status", "jobs.yaml", "--json").document["jobs"][0]["state"] == "in_doubt"
    assert folder.buy(server).code == 4
    assert len(server.ledger) == 1


def test_a_kill_while_waiting_loses_nothing_and_buys_nothing(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    server.task_seconds = 1.5
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    server.wait_until(lambda: len(server.accepted) >= 2)
    time.sleep(0.3)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    done = folder.buy(server)
    assert done.code == 0
    assert len(server.accepted) == 2


def test_the_first_signal_drains_and_the_next_run_goes_on(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3, extra="concurrency: 1\n")
    server.task_seconds = 1.0
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    server.wait_for_post()
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    assert running.wait(10) == 130
    running.communicate()
    assert len(server.accepted) == 1
    assert folder.buy(server).code == 0
    assert server.double_spent() == []
    assert len(server.accepted) == 3


def test_the_user_s_word_that_it_was_taken_adopts_the_task(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.faults = ["lost-reply"]
    folder.buy(server)
    assert folder("resolve", "jobs.yaml", "job-1", "--task", "t-1").code == 0
    assert folder.buy(server).code == 0
    assert len(server.ledger) == 1


def test_the_user_s_word_that_it_was_not_taken_submits_it_again(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    server.faults = ["500-refused", "500-refused"]
    assert folder.buy(server).code == 4
    assert folder("resolve", "jobs.yaml", "*", "--resubmit").code == 0
    assert folder.buy(server).code == 0
    assert len(server.accepted) == 2


def test_the_user_s_word_can_give_a_job_up(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.faults = ["500-refused"]
    folder.buy(server)
    assert folder("resolve", "--state", "out/jobs", "job-1", "--abandon").code == 0
    given_up = folder.buy(server)
    assert given_up.code == 1
    assert given_up.counts() == {"abandoned": 1}
    assert len(server.ledger) == 1


def test_a_glob_gives_up_what_is_in_doubt_and_nothing_that_is_paid_for(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3)
    server.faults = ["ok", "lost-reply", "ok"]
    server.task_seconds = 600
    assert folder.buy(server, "--no-wait").code == 4
    assert folder("resolve", "jobs.yaml", "job-*", "--abandon").code == 0
    told = folder("status", "jobs.yaml", "--json")
    assert told.counts() == {"submitted": 2, "abandoned": 1}
    refused = folder("resolve", "jobs.yaml", "job-*", "--abandon")
    assert (refused.code, "no job in doubt" in refused.err) == (2, True)


def test_what_was_given_up_can_be_taken_back_or_sent_again(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    server.task_seconds = 600
    assert folder.buy(server, "--no-wait").code == 3
    given_up = folder("resolve", "jobs.yaml", "job-1", "job-2", "--abandon")
    assert "job-1: given up; its task t-1 stays paid, `--task t-1` takes it back" in given_up.err + given_up.out
    assert folder("resolve", "jobs.yaml", "job-1", "--task", "t-2").code == 2
    assert folder("resolve", "jobs.yaml", "job-1", "--task", "t-1").code == 0
    assert folder("resolve", "jobs.yaml", "job-2", "--resubmit").code == 0
    assert folder("plan", "jobs.yaml", "--json").document["totals"]["committed"] == 12
    server.task_seconds = 0
    assert folder.buy(server).counts() == {"done": 2}
    assert len(server.accepted) == 3


def test_a_task_that_was_named_wrongly_makes_way_for_the_right_one(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.faults = ["lost-reply"]
    assert folder.buy(server).code == 4
    assert folder("resolve", "jobs.yaml", "job-1", "--task", "t-9").code == 0
    refused = folder("resolve", "jobs.yaml", "job-1", "--task", "t-1")
    assert (refused.code, "job-1 is submitted: nothing there to resolve" in refused.err) == (2, True)
    assert folder.buy(server).code == 3
    assert folder("resolve", "jobs.yaml", "job-1", "--task", "t-1").code == 0
    assert folder.buy(server).counts() == {"done": 1}
    assert len(server.accepted) == 1


def test_a_finished_task_whose_video_is_gone_can_be_given_up_and_stays_paid(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1)
    server.download_faults = ["403"] * 99
    left = folder.buy(server)
    assert (left.code, "`vidu-run resolve jobs.yaml --abandon job-1` gives it up" in left.err) == (3, True)
    assert folder("resolve", "jobs.yaml", "job-1", "--abandon").code == 0
    given_up = folder.buy(server)
    assert (given_up.code, given_up.counts()) == (1, {"abandoned": 1})
    committed = folder("plan", "jobs.yaml", "--json").document["totals"]["committed"]
    assert (committed, len(server.ledger)) == (6, 1)


def test_a_key_that_is_refused_while_a_link_is_renewed_stops_the_run(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.download_faults = ["403"] * 9
    assert folder.buy(server).code == 3
    server.download_faults = ["403"] * 9
    server.query_faults = ["401"] * 40
    assert folder.buy(server).code == 5


def test_a_job_in_doubt_keeps_its_slot_until_the_task_deadline(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(3, extra="concurrency: 1\n")
    spec.write_text(spec.read_text().replace("task_deadline: 20", "task_deadline: 1.5"))
    server.faults = ["lost-reply"]
    assert folder.buy(server).code == 4
    assert server.ledger[1].at - server.ledger[0].at >= 1.4
    assert len(server.accepted) == 3


@pytest.mark.parametrize("fault", ["truncated", "truncated-no-length", "html", "empty", "garbage", "403", "500"])
def test_a_bad_download_never_gets_the_final_name(folder: Folder, server: FaultServer, fault: str) -> None:
    folder.sweep(1)
    server.download_faults = [fault] * 5
    left = folder.buy(server)
    assert left.code == 3
    assert left.counts() == {"ready": 1}
    assert list((folder.path / "out/jobs/videos").iterdir()) == []
    done = folder.buy(server)
    assert done.code == 0
    assert (folder.path / "out/jobs/videos/job-1.mp4").read_bytes() == server.video
    assert len(server.ledger) == 1


def test_an_expired_link_is_asked_for_again(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.download_faults = ["403"]
    assert folder.buy(server).code == 0


def test_a_query_that_breaks_is_asked_again(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.query_faults = ["reset", "500", "404", "502", "429"]
    assert folder.buy(server).code == 0


def test_a_second_run_ends_with_exit_6_and_names_the_first(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.task_seconds = 5
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    server.wait_for_post()
    second = folder("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    assert second.code == 6
    assert str(running.pid) in second.err
    running.kill()
    running.communicate()


def test_the_state_itself_refuses_a_second_live_attempt(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    folder.buy(server)
    db = sqlite3.connect(folder.path / "out/jobs/state.db")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(
            "INSERT INTO attempts (key, marker, state, epoch, off_peak, posted_at)"
            " SELECT key, 'another', 'intent', epoch, 0, 0 FROM attempts"
        )
    db.close()


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + bytes(200)])
def test_a_foreign_state_file_ends_with_exit_7_and_is_left_untouched(
    folder: Folder, server: FaultServer, content: bytes
) -> None:
    folder.sweep(1)
    state = folder.path / "out/jobs/state.db"
    state.parent.mkdir(parents=True)
    state.write_bytes(content)
    assert folder.buy(server).code == 7
    assert state.read_bytes() == content
    assert not server.requests


def test_a_frame_that_changes_after_the_check_is_not_sent(folder: Folder, server: FaultServer) -> None:
    """The store keeps what the key names; a damaged copy never gets its closing bytes."""
    folder.sweep(1)
    server.faults = ["500-refused"]
    folder.buy(server)
    folder("resolve", "jobs.yaml", "*", "--resubmit")
    stored = next((folder.path / "out/jobs/frames").glob("*.png"))
    damaged = bytearray(stored.read_bytes())
    damaged[-1] ^= 1
    stored.write_bytes(damaged)
    left = folder.buy(server)
    assert left.code == 3, left.err
    assert left.counts() == {"planned": 1}
    assert len(server.ledger) == 1


def test_a_hundred_jobs_in_doubt_are_one_readable_group(folder: Folder, server: FaultServer) -> None:
    folder.sweep(100, extra="concurrency: 100\n")
    server.any_fault = lambda: "hang-accepted"
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    server.wait_until(lambda: len(server.accepted) >= 100, 40)
    running.kill()
    running.communicate()
    held = folder.buy(server)
    assert held.code == 4
    assert held.counts() == {"in_doubt": 100}
    told = held.err[held.err.index("100 jobs are in doubt") :]
    assert len(told.splitlines()) < 15, told
    assert "job-1 … job-100 (100 jobs)" in told
    assert "'a harbour'" in told
    assert "6 credits each" in told
    assert "vidu-run resolve jobs.yaml --task TASK_ID NAME" in told
    assert folder("resolve", "jobs.yaml", "job-9*", "--abandon").code == 0
    assert folder("status", "jobs.yaml", "--json").counts() == {"in_doubt": 89, "abandoned": 11}
    assert len(server.ledger) == 100


def test_a_redirect_of_an_accepted_post_is_not_followed(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.faults = ["redirect-accepted"]
    held = folder.buy(server)
    assert server.double_spent() == []
    assert held.code == 4


def test_a_redirect_to_another_host_does_not_even_connect_to_it(
    folder: Folder, server: FaultServer, servers: Callable[..., FaultServer]
) -> None:
    folder.sweep(1)
    other = servers()
    server.faults = [f"redirect-accepted to {other.base_url}{SUBMIT}"]
    assert folder.buy(server).code == 4
    assert other.connections == 0


def test_no_byte_of_a_post_leaves_before_its_intent_is_committed(tmp_path: Path, server: FaultServer) -> None:
    """The clock that the journal reads is slow here, so the intent takes its time; the request has to wait for it."""
    reached: list[tuple[str, list[State]]] = []
    server.at = lambda point: reached.append((point, states(tmp_path)))
    request = {"model": "viduq2-turbo", "prompt": "a harbour"}
    job = Job("job-1", Key("a" * 64), request, (Link("https://example.com/a.png"),), {}, Place("jobs.yaml"))
    state_file.create(tmp_path)

    def slow_clock() -> float:
        time.sleep(0.5)
        return time.time()

    async def buy() -> Record | None:
        journal = SqliteJournal(tmp_path, slow_clock)
        downloads = Downloads(2.0, loopback=True)
        try:
            await journal.begin({})
            async with Api(provider("octopusx"), Access(server.base_url, None, None), Timing()) as api:
                limits = Limits(1, 1, 60.0, 60.0)
                alone = Relay((), (), provider("octopusx"), journal, tmp_path)
                told: list[tuple[str, ...]] = []
                tell: Callable[..., None] = lambda *words: told.append(words)  # noqa: E731
                desk = Desk(journal, api, downloads, tmp_path, None, Timing(), limits, tell, Stop(), alone, "jobs.yaml")
                record, _ = await submit(job, desk)
                return record
        finally:
            await downloads.close()
            journal.close()

    record = asyncio.run(buy())
    assert record is not None
    assert record.state is State.SUBMITTED
    assert reached[0] == ("headers", [State.INTENT])


def states(folder: Path) -> list[State]:
    journal = ReadJournal(folder)
    try:
        return [record.state for record in journal.records()]
    finally:
        journal.close()
