"""When tasks are asked about: what a run learns of their length, and how many are asked about in one request."""

from __future__ import annotations

import math
import random
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import Folder
from fault_server import FaultServer, http, says
from hypothesis import given
from hypothesis import strategies as st
from test_network import patience

from vidu_run.pace import FEW, MOST_A_SECOND, QUIET, Ceiling, Timing, Usual

TIMING = Timing()


def watched(usual: Usual, length: float, timing: Timing = TIMING) -> tuple[int, float]:
    """Looks at a task of this length, in seconds, and how long after its end it was seen."""
    age, ran, looks = 0.0, None, 0
    while True:
        age += usual.pause(timing, age)
        looks += 1
        if age >= length:
            usual.ended(ran, age)
            return looks, age - length
        ran = age


def fixed(length: float, every: float) -> tuple[int, float]:
    looks = math.ceil(length / every)
    return looks, looks * every - length


def mean(pairs: list[tuple[int, float]]) -> tuple[float, float]:
    return sum(looks for looks, _ in pairs) / len(pairs), sum(delay for _, delay in pairs) / len(pairs)


def test_tasks_that_take_as_long_are_looked_at_just_before_their_end_and_soon_again() -> None:
    usual = Usual()
    seen = [watched(usual, 60.0) for _ in range(100)][20:]

    looks, _ = mean(seen)
    assert looks <= 3
    assert max(delay for _, delay in seen) <= 60.0 / 20


def test_tasks_of_varied_length_are_seen_sooner_with_fewer_looks_than_at_a_fixed_pace() -> None:
    dice, usual = random.Random(4), Usual()
    lengths = [60 * math.exp(0.2 * dice.gauss(0, 1)) for _ in range(2000)]
    looks, delay = mean([watched(usual, length) for length in lengths])

    for every in (1.0, 2.0, 5.0):
        fixed_looks, fixed_delay = mean([fixed(length, every) for length in lengths])
        assert looks * delay < fixed_looks * fixed_delay * 0.6


def test_when_tasks_become_shorter_the_looks_follow() -> None:
    usual = Usual()
    for _ in range(200):
        watched(usual, 60.0)
    late = [watched(usual, 20.0)[1] for _ in range(100)]

    assert late[0] > 20
    assert sum(late[60:]) / 40 < 4


def test_before_enough_tasks_have_ended_nothing_is_concluded() -> None:
    usual = Usual()
    for _ in range(FEW - 1):
        usual.ended(50.0, 52.0)

    assert usual.pause(TIMING, 0.0) == TIMING.poll_min


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 100)), max_size=300), st.floats(0, 1e6))
def test_a_pause_is_never_negative_nor_longer_than_to_the_first_end_or_the_longest_interval(
    ends: list[tuple[float, float]], age: float
) -> None:
    usual = Usual()
    for ran, more in ends:
        usual.ended(ran, ran + more)

    assert len(usual.ages) <= 200
    assert 0 <= usual.pause(TIMING, age) <= max(TIMING.poll_max, max(usual.ages, default=0.0) - age)


def test_a_429_halves_what_is_asked_those_of_one_moment_together_and_quiet_minutes_double_it_again() -> None:
    ceiling = Ceiling()
    usual = ceiling.gap(0.0)
    assert usual == 1 / MOST_A_SECOND
    for _ in range(20):
        ceiling.refused(asked=10.0, now=10.5)
    assert ceiling.gap(10.5) == 2 * usual
    ceiling.refused(asked=10.6, now=11.0)
    assert ceiling.gap(11.0 + QUIET - 1) == 4 * usual
    assert ceiling.gap(11.0 + QUIET + 1) == 2 * usual
    assert ceiling.gap(11.0 + 9 * QUIET) == usual
    for moment in range(1000, 1100):
        ceiling.refused(asked=moment, now=moment + 0.5)
    assert ceiling.gap(1100.0) == 1.0
    assert ceiling.gap(1100.0 + 20 * QUIET) == usual


def listed(server: FaultServer) -> list[list[str]]:
    """The ids that each list was asked for."""
    targets = [urlsplit(line) for line in server.requests if urlsplit(line).path.endswith("/ent/v2/tasks")]
    return [ids for target in targets if (ids := parse_qs(target.query).get("task_ids"))]


def test_where_the_provider_lists_many_tasks_are_asked_about_in_one_request(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(30, extra="concurrency: 30\n")
    server.task_seconds = 1.5

    done = folder.buy(server, "--provider", "vidu")

    assert done.code == 0, done.err
    asked = listed(server)
    assert max(len(ids) for ids in asked) > 10
    queries = [line for line in server.requests if line.endswith("/creations")]
    assert len(queries) < 40, "each is asked about by itself once, when it has ended"


@pytest.mark.parametrize(
    ("submit_tells_charge", "row", "asked", "charged"),
    [(False, {"credits": 9}, 0, 36), (True, {"key_id": "k"}, 0, 28), (False, {"key_id": "k"}, 4, 28)],
)
def test_a_row_with_a_link_is_as_good_as_the_task_itself_where_the_charge_is_known(
    folder: Folder, server: FaultServer, submit_tells_charge: bool, row: dict[str, Any], asked: int, charged: int
) -> None:
    folder.sweep(4, extra="concurrency: 4\n")
    server.task_seconds, server.tells_charge, server.row_facts = 0.5, submit_tells_charge, row

    done = folder.buy(server, "--provider", "vidu", "--json")

    assert done.code == 0, done.err
    assert len([line for line in server.requests if line.endswith("/creations")]) == asked
    assert done.document["credits"]["charged"] == charged


def test_the_video_with_a_watermark_is_asked_for_by_itself(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2, extra="concurrency: 2\n", watermark=True)
    server.row_facts = {"credits": 9}

    done = folder.buy(server, "--provider", "vidu")

    assert done.code == 0, done.err
    assert len([line for line in server.requests if line.endswith("/creations")]) == 2


def test_a_fresh_link_is_asked_for_by_itself(folder: Folder, server: FaultServer) -> None:
    folder.sweep(4, extra="concurrency: 4\n")
    server.row_facts = {"credits": 9}
    assert folder.buy(server, "--provider", "vidu").code == 0
    for video in (folder.path / "out/jobs@vidu/videos").iterdir():
        video.unlink()
    before = len(listed(server))

    done = folder.buy(server, "--provider", "vidu")

    assert done.code == 0, done.err
    assert len(listed(server)) == before
    assert len(server.ledger) == 4


def test_a_list_that_shows_others_than_were_asked_for_is_left_and_each_task_asked_about(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(6, extra="concurrency: 6\n")
    server.task_seconds = 0.6
    server.ignores_ids = True
    assert folder.buy(server, "--provider", "vidu", "--limit", "1").code == 0

    done = folder.buy(server, "--provider", "vidu")

    assert done.code == 0, done.err
    assert len(listed(server)) == 1
    assert done.err.count("each is asked about by itself") == 1


@pytest.mark.parametrize("provider", ["octopusx", "vidu"])
def test_tasks_that_end_all_at_once_are_asked_about_in_small_lots(
    folder: Folder, server: FaultServer, provider: str
) -> None:
    """On Vidu the list says too little of tasks that have ended, so that each is asked about by itself."""
    moments: list[float] = []
    server.look = lambda path: moments.append(time.monotonic()) if path.endswith("/creations") else None
    folder.sweep(300, extra="concurrency: 300\n")
    assert folder("run", "jobs.yaml", "--base-url", server.base_url, "--provider", provider, "--yes", "--no-wait").code

    done = folder.buy(server, "--provider", provider)

    assert done.code == 0, done.err
    assert len(moments) == 300
    assert moments[-1] - moments[0] > 300 / MOST_A_SECOND * 0.9


def test_a_list_that_fails_for_a_while_is_asked_again(folder: Folder, server: FaultServer) -> None:
    folder.sweep(6, extra="concurrency: 6\n")
    server.task_seconds = 1.0
    server.ids_faults = ["500", "500"]

    done = folder.buy(server, "--provider", "vidu")

    assert done.code == 0, done.err
    assert len(listed(server)) > 2
    assert "each is asked about by itself" not in done.err


def test_a_list_that_keeps_failing_while_tasks_are_answered_is_left(folder: Folder, server: FaultServer) -> None:
    folder.sweep(30, extra="concurrency: 30\n")
    server.look = lambda path: says(http("", "502 Bad Gateway")) if "task_ids" in path else None
    server.task_seconds = 2.0
    done = folder.buy(server, "--provider", "vidu")
    assert done.code == 0, done.err
    assert "cannot be asked for many tasks at once (it failed " in done.err
    assert len([path for path in server.requests if "task_ids" in path]) <= 8


def test_a_firewall_that_refuses_so_long_a_question_is_no_word_on_the_key(folder: Folder, server: FaultServer) -> None:
    folder.sweep(60, extra="concurrency: 60\n")
    assert folder("run", "jobs.yaml", "--base-url", server.base_url, "--provider", "vidu", "--yes", "--no-wait").code
    blocked = http("<html>Request blocked</html>", "403 Forbidden")
    server.look = lambda path: says(blocked) if len(path) > 500 else None
    done = folder.buy(server, "--provider", "vidu")
    assert done.code == 0, done.err
    assert len(server.ledger) == 60


def test_where_one_request_at_a_time_is_allowed_lists_and_single_tasks_take_turns(
    folder: Folder, server: FaultServer
) -> None:
    """Of a task that has ended this list says too little, and it is asked about by itself."""
    folder.sweep(30, extra="concurrency: 30\n")
    patience(folder, poll_min=0.2, poll_max=1, task_deadline=60)
    server.task_seconds = 600
    server.ids_faults = ["429"] * 10
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--provider", "vidu", "--yes")
    server.wait_until(lambda: not server.ids_faults, 40)
    server.accepted[0].at -= 1000
    try:
        server.wait_until(lambda: any("t-1/creations" in path for path in server.requests), 20)
    finally:
        running.kill()
        running.communicate()


def test_a_task_that_a_list_leaves_out_is_asked_about_by_itself(folder: Folder, server: FaultServer) -> None:
    folder.sweep(4, extra="concurrency: 4\n")
    server.task_seconds = 0.5
    server.ids_faults = ["empty"] * 200

    done = folder.buy(server, "--provider", "vidu")

    assert done.code == 0, done.err
    assert server.double_spent() == []
