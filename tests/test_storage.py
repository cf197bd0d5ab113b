"""The local disk and other processes: nothing is bought that cannot be written down, and one run works in a folder."""

from __future__ import annotations

import asyncio
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
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


def test_a_name_that_cannot_be_taken_costs_the_other_videos_nothing(folder: Folder, server: FaultServer) -> None:
    folder.sweep(4, extra="concurrency: 4\n")
    taken = folder.path / "out/jobs/videos/job-2.mp4"
    (taken / "something").mkdir(parents=True)

    done = folder.buy(server)

    assert done.code == 7, done.err
    assert f"{taken.relative_to(folder.path)}: cannot be written" in done.err
    assert done.counts() == {"done": 3, "ready": 1}
    assert [path.name for path in taken.parent.iterdir() if path.name.endswith(".part")] == []
    taken.joinpath("something").rmdir()
    taken.rmdir()
    assert folder.buy(server).counts() == {"done": 4}
    assert len(server.ledger) == 4


def test_a_file_in_the_place_of_a_folder_is_told_by_the_name_of_what_was_to_be_written(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1)
    (folder.path / "out/jobs").mkdir(parents=True)
    (folder.path / "out/jobs/frames").write_text("in the way")
    done = folder.buy(server)
    assert done.code == 7
    assert ".png: cannot be written" in done.err
    assert ".new" not in done.err
    assert server.ledger == []


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
    assert " are free" in refused.err
    assert not server.ledger


def test_clips_that_are_here_say_how_much_room_the_others_need(folder: Folder, server: FaultServer) -> None:
    folder.sweep(20, duration=10)
    assert folder.buy(server).code == 0
    folder.sweep(9000, duration=10)
    asked = folder("run", "jobs.yaml", "--base-url", server.base_url, "--limit", "9000")
    assert (asked.code, "Nobody can be asked" in asked.err) == (2, True), asked.err
    folder.sweep(9000, duration=10, resolution="1080p")
    refused = folder("run", "jobs.yaml", "--base-url", server.base_url, "--limit", "9000")
    free = __import__("shutil").disk_usage(folder.path).free
    assert refused.code == (7 if free < 9000 * 20_000_000 + 100_000_000 else 2), refused.err
    assert len(server.ledger) == 20


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
    assert folder("report", "--state", "out/jobs@vidu").code == 0
    page = (folder.path / "out/jobs@vidu/report.html").read_text()
    assert "You took it back before it began" in page
    assert "The API could not make it" not in page


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


def test_a_kill_in_the_middle_of_a_download_leaves_no_file_under_the_video_s_name(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1)
    server.download_faults = ["slow"]
    server.video += (1_600_000).to_bytes(4, "big") + b"free" + bytes(1_600_000 - 8)
    videos = folder.path / "out/jobs/videos"
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    deadline = time.time() + 20
    while not (videos.is_dir() and any(path.stat().st_size for path in videos.iterdir())) and time.time() < deadline:
        time.sleep(0.02)
    running.kill()
    running.communicate()
    assert any(path.stat().st_size for path in videos.iterdir())
    assert not (videos / "job-1.mp4").exists()
    assert folder.buy(server).code == 0
    assert (videos / "job-1.mp4").read_bytes() == server.video
    assert len(server.accepted) == 1


def without_privileges(folder: Folder, server: FaultServer) -> subprocess.CompletedProcess[str]:
    """The command as an ordinary user, to whom the bits of a folder mean something; for root, without root's rights."""
    command = [sys.executable, "-m", "vidu_run", "run", "jobs.yaml", "--base-url", server.base_url, "--yes"]
    if os.geteuid() == 0:
        dropped = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
        if shutil.which("setpriv") is None or subprocess.run([*dropped, "true"], check=False).returncode != 0:
            pytest.skip("root writes everywhere, and setpriv cannot take that away here")
        command = dropped + command
    return subprocess.run(
        command, cwd=folder.path, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("where", [".", "out/jobs"])
def test_a_folder_that_can_be_read_but_not_written_sends_nothing(
    folder: Folder, server: FaultServer, where: str
) -> None:
    folder.sweep(1)
    if where != ".":
        assert folder.buy(server).code == 0
        folder.sweep(3)
    bought = len(server.ledger)
    closed = folder.path / where
    closed.chmod(0o555)
    refused = without_privileges(folder, server)
    closed.chmod(0o755)
    assert refused.returncode == 7, refused.stderr
    assert "Traceback" not in refused.stderr
    assert "ermission" in refused.stderr or "read-only" in refused.stderr or "readonly" in refused.stderr
    assert len(server.ledger) == bought
    assert folder.buy(server).code == 0
    assert server.double_spent() == []


def test_whenever_a_first_run_is_killed_before_it_buys_the_next_one_works(folder: Folder, server: FaultServer) -> None:
    """Half of the kills come at any moment from the start on, half right after the output folder came into being."""
    folder.sweep(2)
    out, dice = folder.path / "out", random.Random(7)
    for number in range(6):
        shutil.rmtree(out, ignore_errors=True)
        server.look = lambda path: endless
        running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes", "--provider", "vidu")
        if number % 2:
            deadline = time.time() + 20
            while not out.exists() and time.time() < deadline:
                time.sleep(0.001)
            time.sleep(dice.uniform(0, 0.06))
        else:
            time.sleep(dice.uniform(0, 0.6))
        running.kill()
        running.communicate()
        server.look = lambda path: None
        before = len(server.ledger)
        done = folder.buy(server, "--provider", "vidu", *(["--no-wait"] if number else []))
        assert done.code == (3 if number else 0), done.err
        assert len(server.ledger) == before + 2
        server.ledger.clear()


async def endless(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


def places_of_a_key(folder: Folder, state: bytes) -> list[int]:
    """A place in each copy of a bought job's key: in the tables and in their indexes."""
    jobs = folder("status", "jobs.yaml", "--json").document["jobs"]
    key = next(job["key"] for job in jobs if job["state"] == "submitted").encode()
    return [found.start() + 3 for found in re.finditer(key, state)]


def test_a_state_in_which_bits_have_turned_is_refused_or_still_buys_nothing_twice(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(6, extra="concurrency: 12\n")
    server.faults = ["lost-reply", "lost-reply"]
    server.task_seconds = 3600
    assert folder.buy(server, "--no-wait", "--limit", "4").code == 4
    state = folder.path / "out/jobs/state.db"
    sound = state.read_bytes()
    assert not state.with_name("state.db-wal").exists()
    server.task_seconds = 0
    used = [at for at, byte in enumerate(sound) if byte]
    bought, dice, refused = len(server.ledger), random.Random(11), 0
    random_bits = [[dice.choice(used) for _ in range(dice.choice((1, 2, 8)))] for _ in range(6)]
    for places in [[at] for at in places_of_a_key(folder, sound)] + random_bits + [[]]:
        rotten = bytearray(sound) + (b"" if places else dice.randbytes(5000))
        for at in places:
            rotten[at] ^= 1 << dice.randrange(8)
        state.write_bytes(rotten)
        run = folder.buy(server)
        assert run.code in (2, 3, 4, 7), run.err
        refused += run.code == 7
        if run.code in (2, 7):
            assert len(server.ledger) == bought
        assert server.double_spent() == []
        for name in ("state.db", "state.db-wal", "state.db-shm", "results.jsonl"):
            state.with_name(name).unlink(missing_ok=True)
        del server.ledger[bought:]
    assert refused
    state.write_bytes(sound)
    assert folder.buy(server).counts() == {"in_doubt": 2, "done": 4}


def test_a_finished_folder_can_be_looked_at_on_a_read_only_disk(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    assert folder.buy(server).code == 0
    bound = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" "$1" && cd "$1" || exit 99; shift; exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", bound, "sh", str(folder.path)]
    words += [sys.executable, "-m", "vidu_run", "status", "jobs.yaml"]
    told = subprocess.run(words, cwd=folder.path, env=environment(), capture_output=True, text=True, check=False)
    if told.returncode == 99 or "unshare" in told.stderr:
        pytest.skip("nothing can be mounted here")
    assert (told.returncode, "done       job-1" in told.stdout) == (0, True), told.stderr
    assert not (folder.path / "out/jobs/state.db-shm").exists()
