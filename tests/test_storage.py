"""The local disk and other processes: nothing is bought that cannot be written down, and one run works in a folder."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from conftest import Folder, environment
from fault_server import FaultServer


def with_small_files(folder: Folder, server: FaultServer, most: int) -> subprocess.CompletedProcess[str]:
    """The command where no file may grow beyond `most` bytes: a write fails as it does on a full disk."""
    return subprocess.run(
        [sys.executable, "-m", "vidu_run", "run", "jobs.yaml", "--base-url", server.base_url, "--yes"],
        cwd=folder.path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )


def test_a_disk_that_is_full_from_the_start_sends_nothing(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    full = with_small_files(folder, server, 4096)
    assert full.returncode == 7, full.stderr
    assert "Traceback" not in full.stderr
    assert not server.ledger
    assert folder.buy(server).code == 0
    assert server.double_spent() == []


def test_a_disk_that_fills_while_buying_stops_the_submitting_and_a_later_run_goes_on(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(60)
    full = with_small_files(folder, server, 130_000)
    assert full.returncode == 7, full.stderr
    assert "Traceback" not in full.stderr
    assert len(server.ledger) < 60
    done = folder.buy(server)
    assert server.double_spent() == []
    assert done.code in (0, 4)
    assert done.counts().get("done", 0) + done.counts().get("in_doubt", 0) == 60


def test_a_video_that_cannot_be_written_is_fetched_by_the_next_run(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.video += (1_600_000).to_bytes(4, "big") + b"free" + bytes(1_600_000 - 8)
    full = with_small_files(folder, server, 1_000_000)
    assert full.returncode == 7, full.stderr
    assert folder.buy(server).code == 0
    assert len(server.accepted) == 1


def test_of_twenty_runs_started_at_once_one_works_and_the_others_say_so(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    server.task_seconds = 15.0
    running = [folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes") for _ in range(20)]
    deadline = time.time() + 60
    while sum(process.poll() is None for process in running) > 1 and time.time() < deadline:
        time.sleep(0.1)
    codes = [process.poll() for process in running]
    for process in running:
        process.kill()
        process.communicate()
    assert sorted(code for code in codes if code is not None) == [6] * 19
    assert server.double_spent() == []


def test_a_folder_reached_by_another_way_is_the_same_folder(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.task_seconds = 5
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    server.wait_for_post()
    (folder.path.parent / "link").symlink_to(folder.path)
    there = folder("run", str(folder.path.parent / "link/jobs.yaml"), "--base-url", server.base_url, "--yes")
    assert there.code == 6
    running.kill()
    running.communicate()


def test_a_second_signal_leaves_within_a_second_and_nothing_is_lost(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.faults = ["hang-accepted"]
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    server.wait_for_post()
    running.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    begun = time.time()
    running.send_signal(signal.SIGTERM)
    assert running.wait(5) == 143
    assert time.time() - begun < 1.5
    running.communicate()
    assert folder.buy(server).code == 4
    assert len(server.ledger) == 1


def test_a_signal_waits_for_the_answer_of_a_post_in_flight(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3, extra="concurrency: 1\n")
    server.faults = ["slow-reply"]
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes", "--json")
    server.wait_for_post()
    running.send_signal(signal.SIGHUP)
    assert running.wait(10) == 129
    running.communicate()
    assert folder("status", "jobs.yaml", "--json").counts() == {"planned": 2, "submitted": 1}
    assert len(server.ledger) == 1


def test_too_little_room_for_the_videos_is_told_before_anything_is_paid(folder: Folder, server: FaultServer) -> None:
    folder.sweep(9000, duration=10)
    refused = folder.buy(server, "--limit", "9000")
    free = __import__("shutil").disk_usage(folder.path).free
    if free > 9000 * 20_000_000 + 100_000_000:
        assert refused.code == 0
        return
    assert refused.code == 7
    assert "GB are free" in refused.err
    assert not server.ledger


def test_a_waiting_task_can_be_cancelled_where_the_provider_can(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    server.task_seconds = 60
    folder.buy(server, "--provider", "vidu", "--no-wait")
    server.cancellable = ["t-1"]
    told = folder("cancel", "--state", "out/jobs@vidu", "*")
    assert told.code == 1, told.err
    assert "cancelled" in told.err
    assert "can not cancel" in told.err
    states = folder("status", "--state", "out/jobs@vidu", "--json").counts()
    assert states == {"submitted": 1, "failed": 1}


def test_a_provider_that_cannot_cancel_says_so(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    folder.buy(server, "--no-wait")
    told = folder("cancel", "jobs.yaml", "*")
    assert told.code == 2
    assert "cannot cancel" in told.err


def test_a_page_is_written_even_when_a_video_s_folder_is_not_there(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1, prompt="this one fails")
    assert folder.buy(server).code == 1
    assert Path(folder.path / "out/jobs/report.html").is_file()
