"""When a run holds back by itself: flagged inputs, failures that repeat, a full account, a network that is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from conftest import Folder
from fault_server import FaultServer


def test_after_two_moderation_refusals_the_other_jobs_with_that_input_wait(folder: Folder, server: FaultServer) -> None:
    folder.sweep(5, extra="concurrency: 1\n")
    server.faults = ["400 AuditSubmitIllegal", "400 AuditSubmitIllegal"]
    held = folder.buy(server)
    assert held.code == 3
    assert held.counts() == {"planned": 3, "rejected": 2}
    assert "held back: moderation refused 2 jobs with frame frames/a.png" in held.err
    assert len(server.ledger) == 2


def test_five_jobs_in_a_row_that_end_alike_stop_the_run(folder: Folder, server: FaultServer) -> None:
    """Though each refusal has a trace of its own."""
    folder.sweep(9, extra="concurrency: 1\n")
    server.faults = ["400 FieldInvalid"] * 9
    stopped = folder.buy(server)
    assert stopped.code == 3
    assert stopped.counts() == {"planned": 4, "rejected": 5}
    assert "5 jobs in a row ended alike" in stopped.err
    assert len(server.ledger) == 5


STYLE = "35 mm, soft morning light, shallow depth of field, muted colours, slow dolly, film grain, no text"


def test_two_refused_prompts_hold_no_other_that_begins_alike(folder: Folder, server: FaultServer) -> None:
    """A style that stands in front of every prompt is the usual case."""
    jobs = []
    for name in "abcd":
        folder.frame(f"{name}1.png")
        folder.frame(f"{name}2.png")
        images = f"[frames/{name}1.png, frames/{name}2.png]"
        jobs.append(f'  - {{name: {name}, request: {{images: {images}, prompt: "{STYLE}: {name}", duration: 1}}}}\n')
    folder.write(
        "version: 1\nprovider: octopusx\nconcurrency: 1\ndefaults: {model: viduq2-turbo}\njobs:\n" + "".join(jobs)
    )
    server.faults = ["400 AuditSubmitIllegal", "400 AuditSubmitIllegal"]

    assert folder.buy(server).counts() == {"done": 2, "rejected": 2}


def test_failures_that_differ_do_not_stop_the_run(folder: Folder, server: FaultServer) -> None:
    folder.sweep(7, extra="concurrency: 1\n")
    server.faults = [fault for _ in range(3) for fault in ("400 FieldInvalid", "400 FieldLacking")]
    assert folder.buy(server).counts() == {"done": 1, "rejected": 6}


def test_a_full_account_halves_the_tasks_at_once_for_the_rest_of_the_run(folder: Folder, server: FaultServer) -> None:
    folder.sweep(10, extra="concurrency: 8\n")
    server.faults = ["429 QuotaExceeded"] * 2
    server.task_seconds = 0.4
    assert folder.buy(server).code == 0
    second_half = [posted.at for posted in server.accepted][-4:]
    assert len(server.accepted) == 10
    assert second_half[-1] - second_half[0] >= 0.2


def test_a_network_that_comes_back_finds_the_run_going_on(folder: Folder, servers: Callable[..., FaultServer]) -> None:
    folder.sweep(3)
    gone = servers()
    gone.__exit__()
    back: list[FaultServer] = []

    def return_later() -> None:
        time.sleep(2.0)
        back.append(servers(port=gone.port))

    later = threading.Thread(target=return_later)
    later.start()
    spec = folder.path / "jobs.yaml"
    spec.write_text(spec.read_text().replace("backoff: 0.02", "backoff: 0.3"))
    done = folder.buy(gone)
    later.join()
    assert done.code == 0, done.err
    assert len(back[0].accepted) == 3


def test_a_job_that_waits_for_a_retry_after_does_not_hold_up_an_account_stop(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(2, extra="concurrency: 2\n")
    server.faults = ["429 300", "402 X"]
    begun = time.time()
    assert folder.buy(server).code == 5
    assert time.time() - begun < 60


@pytest.mark.parametrize(("limit", "running", "most"), [(6, 4, 2), (3, 0, 3), (2, 9, 1)])
def test_auto_takes_the_account_s_limit_less_what_others_run(
    folder: Folder, server: FaultServer, limit: int, running: int, most: int
) -> None:
    folder.sweep(8, extra="concurrency: auto\n")
    server.task_seconds = 0.5
    server.account = {"remains": [{"concurrency_limit": limit, "current_concurrency": running}]}
    done = folder.buy(server, "--provider", "vidu")
    assert done.code == 0, done.err
    assert server.most_in_flight == most
    assert f"may run {limit} tasks at once: {most} for this run" in done.err


def test_auto_is_four_where_nobody_tells(folder: Folder, server: FaultServer) -> None:
    folder.sweep(8, extra="concurrency: auto\n")
    server.task_seconds = 0.5
    assert folder.buy(server).code == 0
    assert server.most_in_flight == 4


def test_jobs_in_doubt_that_hold_every_place_are_told_with_what_to_do(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3, extra="concurrency: 2\n")
    spec = folder.path / "jobs.yaml"
    spec.write_text(spec.read_text().replace("task_deadline: 20", "task_deadline: 3"))
    server.faults = ["lost-reply", "lost-reply"]

    held = folder.buy(server)

    assert held.counts() == {"in_doubt": 2, "done": 1}
    assert "2 jobs in doubt may be at the API: nothing is sent in their places before" in held.err
    assert "a higher --concurrency, goes on at once" in held.err
