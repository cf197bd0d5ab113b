"""A network that is slow, busy, gone or confused: the run waits as it was asked to and buys nothing twice."""

from __future__ import annotations

import asyncio
import email.utils
import json
import signal
import socket
import sqlite3
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import pytest
from conftest import Folder, Result
from fault_server import FaultServer, Posted, Script, envelope, http, says

BIG = 600_000
"""Bytes of a video that takes a while on a slow line."""


def state(word: str, link: str | None = None, task_id: str = "t-1") -> Script:
    """A query's reply with this state word."""
    more = {"video_url": link} if link else {}
    return says(http(json.dumps({"id": task_id, "status": word, **more})))


def patience(folder: Folder, **seconds: float) -> None:
    """Other timing than the sweep's."""
    spec = folder.path / "jobs.yaml"
    words = ", ".join(f"{name}: {value}" for name, value in seconds.items())
    lines = [line for line in spec.read_text().splitlines() if line]
    at = next(number for number, line in enumerate(lines) if line.startswith("timing:"))
    kept = [part for part in lines[at][9:-1].split(", ") if part.split(":")[0] not in seconds]
    lines[at] = f"timing: {{{', '.join([*kept, words])}}}"
    spec.write_text("\n".join(lines) + "\n")


def enlarged(server: FaultServer) -> None:
    """A video that is still sound, with a box of nothing at its end."""
    server.video += BIG.to_bytes(4, "big") + b"free" + bytes(BIG - 8)


def test_a_download_that_is_slow_but_goes_on_takes_as_long_as_it_needs(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    patience(folder, download_timeout=1)
    enlarged(server)
    size = len(server.video) // 12
    pieces = [server.video[at : at + size] for at in range(0, len(server.video), size)]
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(server.video)}\r\n\r\n".encode()
    server.look = lambda path: says(head, *pieces, every=0.3) if "/files/" in path else None
    begun = time.monotonic()
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert time.monotonic() - begun > 3
    assert (folder.path / "out/jobs/videos/job-1.mp4").read_bytes() == server.video


def test_a_download_that_drips_or_hangs_is_given_up_and_fetched_by_the_next_run(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(3)
    patience(folder, download_timeout=0.5)
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(server.video)}\r\n\r\n".encode()
    half = server.video[: len(server.video) // 2]
    drips = says(head, *(server.video[at : at + 9] for at in range(0, 90_000, 9)), every=0.05)
    hangs = says(head, half, every=3600)
    silent = says(b"", every=3600)
    server.look = lambda path: (drips, hangs, silent)[int(path[9]) - 1] if "/files/" in path else None
    left = folder.buy(server)
    assert left.code == 3, left.err
    assert left.counts() == {"ready": 3}
    assert list((folder.path / "out/jobs/videos").iterdir()) == []
    server.look = lambda path: None
    assert folder.buy(server).counts() == {"done": 3}
    assert len(server.ledger) == 3


def busy(retry_after: str | None, code: str = "TooManyRequests") -> Script:
    headers = [] if retry_after is None else [f"Retry-After: {retry_after}"]
    return says(http(envelope(429, code, "slower please"), "429 Slow", *headers))


def in_seconds(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


def once_each(server: FaultServer, scripts: Sequence[Script], at: str = "/task/") -> Callable[[str], Script | None]:
    left = list(scripts)
    return lambda path: left.pop(0) if left and at in path else None


NONSENSE = (None, "soon", "-5", "nan", "1e400", "", "31 Foo 2020", "\xb2")


def test_a_429_without_a_usable_retry_after_is_tried_again_after_a_pause_of_our_own(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(len(NONSENSE), extra="concurrency: 8\n")
    told: Counter[int] = Counter()

    def answer(posted: Posted) -> Script | None:
        seed = posted.body["seed"]
        told[seed] += 1
        return busy(NONSENSE[seed - 1]) if told[seed] == 1 else None

    server.answer = answer
    server.look = once_each(server, [busy(word) for word in NONSENSE])
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert len(server.accepted) == len(NONSENSE)
    assert len(server.ledger) == 2 * len(NONSENSE)


def test_a_retry_after_that_is_a_date_is_kept_by_submits_and_queries(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.answer = lambda posted: busy(in_seconds(3)) if len(server.ledger) == 1 else None
    assert folder.buy(server, "--no-wait").code == 3
    assert server.ledger[1].at - server.ledger[0].at >= 1
    asked: list[float] = []

    def look(path: str) -> Script | None:
        asked.append(time.time())
        return busy(in_seconds(3)) if len(asked) == 1 else None

    server.look = look
    assert folder.buy(server).code == 0
    assert asked[1] - asked[0] >= 1


@pytest.mark.parametrize("retry_after", ["864000000", "Tue, 15 Jun 2055 12:00:00 GMT"])
def test_a_submit_that_should_wait_for_years_ends_the_run_at_once_and_names_the_date(
    folder: Folder, server: FaultServer, retry_after: str
) -> None:
    folder.sweep(1)
    server.answer = lambda posted: busy(retry_after)
    left = folder.buy(server)
    assert left.code == 3
    assert left.counts() == {"planned": 1}
    year = "2055-06" if "2055" in retry_after else time.strftime("%Y-%m", time.localtime(time.time() + 864000000))
    assert f"no requests before {year}" in left.err
    assert len(server.ledger) == 1


@pytest.mark.parametrize("retry_after", ["864000000", "Tue, 15 Jun 2055 12:00:00 GMT"])
def test_a_query_that_should_wait_for_years_ends_the_run_at_once_and_the_next_run_asks_again(
    folder: Folder, server: FaultServer, retry_after: str
) -> None:
    folder.sweep(1)
    server.look = lambda path: busy(retry_after)
    left = folder.buy(server)
    assert left.code == 3
    assert left.counts() == {"submitted": 1}
    year = "2055-06" if "2055" in retry_after else time.strftime("%Y-%m", time.localtime(time.time() + 864000000))
    assert f"no requests before {year}" in left.err
    server.look = lambda path: None
    assert folder.buy(server).code == 0
    assert len(server.ledger) == 1


def most_at_once(server: FaultServer, start: int) -> int:
    """Of the tasks accepted from this number on the one that had the most running beside it: how many, with itself."""
    times = [posted.at for posted in server.accepted]
    return max(sum(0 <= now - at < server.task_seconds for at in times) for now in times[start:])


def test_a_full_account_keeps_half_as_many_tasks_at_once_for_the_rest_of_the_run(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(24, extra="concurrency: 8\n")
    server.faults = ["429 QuotaExceeded"]
    server.task_seconds = 0.5
    assert folder.buy(server).code == 0
    assert 2 <= most_at_once(server, 8) <= 4


def test_refusals_of_posts_that_went_out_together_halve_the_tasks_at_once_together(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(30, extra="concurrency: 8\n")
    patience(folder, backoff=0.2)
    server.task_seconds = 1.0

    def answer(_: object) -> Script | None:
        running = sum(time.time() - posted.at < server.task_seconds for posted in server.accepted)
        return busy(None, "QuotaExceeded") if running >= 6 else None

    server.answer = answer
    assert folder.buy(server).code == 0
    assert most_at_once(server, 12) >= 3


def test_a_run_that_waits_for_nothing_does_not_wait_for_the_slot_of_a_doubt(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(4, extra="concurrency: 2\n")
    patience(folder, task_deadline=60)
    server.task_seconds = 600
    server.faults = ["lost-reply"]
    begun = time.monotonic()
    done = folder.buy(server, "--no-wait")
    assert time.monotonic() - begun < 30
    assert "no slot was free" in done.err
    assert done.counts() == {"planned": 2, "in_doubt": 1, "submitted": 1}


def test_a_task_whose_beginning_lies_in_the_future_is_looked_at_like_others(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(8, extra="concurrency: 8\n")
    server.task_seconds = 1.0
    folder.buy(server, "--no-wait", "--limit", "1")
    with closing(sqlite3.connect(folder.path / "out/jobs/state.db")) as db, db:
        db.execute("UPDATE attempts SET accepted_at = accepted_at + 3600")
    server.accepted[0].at += 6
    done = folder.buy(server)
    assert done.code == 0, done.err


@contextmanager
def resetting(port: int) -> Iterator[list[float]]:
    """A port that accepts and resets at once; the moments of the connections."""
    moments: list[float] = []
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(0.1)
        over = threading.Event()

        def accept() -> None:
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                moments.append(time.monotonic())
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield moments
        finally:
            over.set()
            thread.join()


def test_while_the_api_is_gone_it_is_asked_about_once_a_second_and_then_the_run_goes_on(
    folder: Folder, servers: Callable[..., FaultServer]
) -> None:
    tasks, jobs, away = 16, 20, 6.0
    folder.sweep(jobs, extra=f"concurrency: {tasks}\n")
    patience(folder, backoff=1, task_deadline=60)
    before = servers(task_seconds=3600)
    running = folder.start("run", "jobs.yaml", "--base-url", before.base_url, "--yes", "--json")
    before.wait_until(lambda: len(before.accepted) >= tasks, 30)
    time.sleep(0.5)
    before.__exit__()
    with resetting(before.port) as moments:
        time.sleep(away)
    after = servers(port=before.port, ledger=before.ledger)
    out, err = running.communicate(timeout=90)
    assert running.returncode == 0, err
    assert Result(0, out, err).counts() == {"done": jobs}
    assert len(after.accepted) == jobs
    assert after.double_spent() == []
    later = [moment for moment in moments if moment > moments[0] + 1.5]
    # Where a connection breaks, the HTTP library asks a second time at once.
    asked = [moment for moment, earlier in zip(later, [0.0, *later], strict=False) if moment - earlier > 0.2]
    assert 1 <= len(asked) <= away + 2


def test_words_that_go_backwards_never_undo_what_was_ready(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    link = f"{server.base_url}/files/t-1.mp4"
    words = [state("processing"), state("created"), state("success", link), state("processing"), state("created")]
    asked = once_each(server, [*words, *[state("failed")] * 9])
    server.look = lambda path: says(http("gone", "403 Forbidden")) if "/files/" in path else asked(path)
    left = folder.buy(server)
    assert left.code == 3, left.err
    assert left.counts() == {"ready": 1}
    server.look = lambda path: says(http("gone", "403 Forbidden")) if "/files/" in path else missing()
    assert folder.buy(server).counts() == {"ready": 1}
    server.look = lambda path: None
    assert folder.buy(server).counts() == {"done": 1}
    server.look = lambda path: state("processing")
    again = folder.buy(server)
    assert again.code == 0
    assert again.counts() == {"done": 1}
    assert len(server.ledger) == 1


def missing() -> Script:
    return says(http(envelope(404, "TaskNotFound", "no such task"), "404 Not Found"))


def test_a_video_that_is_gone_while_its_task_is_called_running_again_is_not_bought_again(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1)
    assert folder.buy(server).code == 0
    (folder.path / "out/jobs/videos/job-1.mp4").unlink()
    server.look = lambda path: says(http("gone", "403 Forbidden")) if "/files/" in path else state("queueing")
    left = folder.buy(server)
    assert left.code == 3
    assert left.counts() == {"ready": 1}
    server.look = lambda path: None
    assert folder.buy(server).counts() == {"done": 1}
    assert len(server.ledger) == 1


def test_a_state_word_nobody_knows_means_still_running_and_is_told_once(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3)
    server.look = once_each(server, [state("warming_up")] * 9)
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert done.err.count("'warming_up'") == 1
    assert len(server.requests) > 9


def test_a_task_that_is_withheld_keeps_no_other_from_its_video_and_nothing_more_is_bought(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(6)
    patience(folder, settle=0.5)
    withheld = says(http(envelope(403, "Forbidden", "not yours"), "403 Forbidden"))
    server.look = lambda path: withheld if "/t-1/" in path else None
    server.task_seconds = 0.2
    left = folder.buy(server)
    assert left.code == 5, left.err
    assert "stopping   task t-1: HTTP 403 Forbidden: not yours; nothing new is sent" in left.err
    told = left.counts()
    assert told["submitted"] == 1
    assert told["done"] == len(server.ledger) - 1 >= 1
    assert told["planned"] == 6 - len(server.ledger)
    server.look = lambda path: None
    assert folder.buy(server).counts() == {"done": 6}
    assert len(server.ledger) == 6


def test_a_task_id_that_the_api_does_not_understand_is_given_up_as_one_it_does_not_know(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1)
    server.faults = ["lost-reply"]
    assert folder.buy(server).code == 4
    assert folder("resolve", "jobs.yaml", "job-1", "--task", "typo").code == 0
    server.look = lambda path: says(http(envelope(400, "BadRequest", "no number"), "400 Bad Request"))
    begun = time.monotonic()
    left = folder.buy(server)
    assert (left.code, "task typo: HTTP 400" in left.err) == (3, True), left.err
    assert time.monotonic() - begun < 10


def test_a_task_that_is_unknown_for_a_moment_is_asked_for_again(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    patience(folder, settle=10)
    server.look = once_each(server, [missing()] * 12)
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert len(server.ledger) == 2


def test_a_task_that_stays_unknown_is_told_and_never_bought_again(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.look = lambda path: missing()
    for _ in range(2):
        left = folder.buy(server)
        assert left.code == 3
        assert left.counts() == {"submitted": 1}
        assert "does not know this task" in left.err
        assert "not bought again" in left.err
    assert len(server.ledger) == 1


def test_a_task_that_outlasts_the_patience_is_left_for_the_next_run_which_finds_it(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(2)
    patience(folder, task_deadline=1)
    server.task_seconds = 3600
    left = folder.buy(server)
    assert left.code == 3
    assert left.counts() == {"submitted": 2}
    assert "no result within 1 s" in left.err
    server.task_seconds = 0
    assert folder.buy(server).counts() == {"done": 2}
    assert len(server.ledger) == 2


def test_a_proxy_s_answer_to_a_query_is_asked_for_again(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    page = "<html><h1>nginx</h1></html>"
    statuses = ("502 Bad Gateway", "504 Gateway Time-out", "503 Unavailable", "200 OK", "520 X", "302 Found")
    server.look = once_each(server, [says(http(page, status)) for status in statuses])
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert len(server.ledger) == 2


def test_a_link_that_answers_403_makes_way_for_a_fresh_one(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    links = iter(range(1, 99))

    def look(path: str) -> Script | None:
        if "/task/" in path:
            return state("success", f"{server.base_url}/files/t-1.mp4?link={next(links)}")
        return says(http("expired", "403 Forbidden")) if path.endswith("=1") else None

    server.look = look
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert [path for path in server.requests if "/files/" in path] == [f"/files/t-1.mp4?link={n}" for n in (1, 2)]


def test_who_asks_for_a_fresh_link_waits_as_long_as_the_api_says(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    assert folder.buy(server).code == 0
    (folder.path / "out/jobs/videos/job-1.mp4").unlink()
    asked: list[float] = []

    def look(path: str) -> Script | None:
        if "/task/" not in path:
            return None
        asked.append(time.time())
        return busy("2") if asked[-1] - asked[0] < 2 else None

    server.look = look
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert len(asked) == 2


@pytest.mark.parametrize("provider", ["octopusx", "vidu"])
def test_a_signal_ends_a_run_at_once_whose_questions_nobody_answers(
    folder: Folder, server: FaultServer, provider: str
) -> None:
    """On Vidu it asks whether earlier runs have bought these jobs, before it submits any."""
    folder.sweep(4, extra="concurrency: 4\n")
    patience(folder, drain=60)
    server.task_seconds = 600
    server.look = lambda path: never
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--provider", provider, "--yes")
    server.wait_until(lambda: server.requests)
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 130
    _, said = running.communicate()
    assert "no answer" not in said


async def never(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


def test_a_signal_ends_a_run_at_once_that_waits_for_a_host_that_is_gone(folder: Folder, server: FaultServer) -> None:
    folder.sweep(20, extra="concurrency: 20\n")
    patience(folder, backoff=4, drain=60)
    server.task_seconds = 600
    server.query_faults = ["reset"] * 1000
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    server.wait_until(lambda: server.queried_keys)
    time.sleep(1)
    first = len(server.queried_keys)
    server.wait_until(lambda: len(server.queried_keys) > first)
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 130
    running.communicate()
