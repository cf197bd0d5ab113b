"""The local API as a service with accounts: order and pace, the list, cancelling, credits, rates and keys."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from conftest import Folder
from test_local_api import FIRST, GATEWAY, LAST, LONG, OFFICIAL, PATIENCE, SMALL, Answer, Served, assert_refused

from vidu_run.local.account import Allowance, Terms
from vidu_run.local.tasks import RECOMMENDED, Room
from vidu_run.reply import Phase, read_balance, read_list, read_task

OFF_PEAK = {**SMALL, "off_peak": True}
SLOW = Terms(concurrency=1, speed=0.05)
"""So slow that nothing is ready while a test runs."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Makes a server with settings of its own; all of them share one folder."""
    with contextlib.ExitStack() as opened:
        yield lambda **settings: opened.enter_context(Served(tmp_path / "api", **settings))


def state(server: Served, task_id: str, **headers: str) -> str:
    found: str = server.get(f"/ent/v2/tasks/{task_id}/creations", **headers).document["state"]
    return found


def cancel(server: Served, task_id: str, body: bytes = b"{}", **headers: str) -> Answer:
    return server.ask("POST", f"/ent/v2/tasks/{task_id}/cancel", body, Content_Type="application/json", **headers)


def listed(server: Served, **asked: Any) -> list[str]:
    named = {name.replace("__", "."): value for name, value in asked.items()}
    answer = server.get(f"/ent/v2/tasks?{urlencode(named, doseq=True)}")
    assert answer.status == 200, answer.body
    return [row["id"] for row in answer.document["tasks"]]


def account(server: Served, **headers: str) -> dict[str, Any]:
    (remains,) = server.get("/ent/v2/credits", **headers).document["remains"]
    assert remains.pop("type") == "metered"
    told: dict[str, Any] = remains
    return told


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Order and pace


def test_no_more_of_an_account_s_tasks_than_its_concurrency_are_made_at_once(served: Callable[..., Served]) -> None:
    server = served(terms=Terms(concurrency=2, speed=0.05))
    tasks = [server.accepted({**SMALL, "seed": seed}) for seed in range(1, 5)]
    assert [state(server, task) for task in tasks] == ["processing"] * 2 + ["queueing"] * 2
    limits = {"concurrency_limit": 2, "current_concurrency": 2, "queue_count": 2}
    assert account(server).items() >= limits.items()


def test_tasks_are_made_in_the_order_they_came(served: Callable[..., Served]) -> None:
    server = served(terms=Terms(concurrency=1))
    tasks = [server.accepted({**SMALL, "seed": seed}) for seed in range(1, 5)]
    ends = [server.ended(task)["status_update_time"] for task in tasks]
    assert ends == sorted(ends)


def test_a_task_takes_as_long_as_a_service_would_by_the_speed(served: Callable[..., Served]) -> None:
    """viduq2-turbo, 1 s of 540p: 13 s at a speed of 1."""
    server = served(terms=Terms(speed=10))
    begun = time.monotonic()
    server.ended(server.accepted(SMALL))
    assert 1.2 < time.monotonic() - begun < PATIENCE


def test_off_peak_tasks_are_made_behind_the_others(served: Callable[..., Served]) -> None:
    server = served(terms=Terms(concurrency=1))
    first, cheap, dear = (server.accepted(request) for request in (LONG | {"duration": 1}, OFF_PEAK, SMALL))
    assert state(server, cheap) == "queueing"
    for task in (first, dear, cheap):
        server.ended(task)
    moved = {
        task: json.loads((server.folder / f"tasks/{task}.json").read_text())["updated_at"] for task in (dear, cheap)
    }
    assert moved[dear] < moved[cheap]


def test_an_off_peak_task_waits_even_where_nothing_else_does(served: Callable[..., Served]) -> None:
    """10 minutes at a speed of 1."""
    server = served(terms=Terms(speed=500))
    task = server.accepted(OFF_PEAK)
    assert state(server, task) == "queueing"
    assert read_task(server.ended(task)).phase is Phase.SUCCEEDED


# Cancelling


def test_a_task_that_waits_is_cancelled_and_costs_nothing(served: Callable[..., Served]) -> None:
    server = served(terms=Terms(credits=100, concurrency=1, speed=0.05))
    running, waiting = server.accepted(SMALL), server.accepted(SMALL)
    assert account(server)["credit_remain"] == 88
    answer = cancel(server, waiting, json.dumps({"id": waiting}).encode())
    assert (answer.status, answer.document) == (200, {})
    told = server.get(f"/ent/v2/tasks/{waiting}/creations").document
    assert (told["state"], told["err_code"], told["credits"], told["creations"]) == ("failed", "UserCancelled", 0, [])
    assert account(server) == {
        "credit_remain": 94,
        "concurrency_limit": 1,
        "current_concurrency": 1,
        "queue_count": 0,
    }
    assert_refused(cancel(server, waiting), 400, "BadRequest", "task state is failed, can not cancel")
    assert state(server, running) == "processing"


def test_a_task_that_is_being_made_or_done_is_not_cancelled(served: Callable[..., Served]) -> None:
    server = served(terms=Terms(speed=10))
    task = server.accepted(SMALL)
    assert_refused(cancel(server, task), 400, "BadRequest", "task state is processing, can not cancel")
    server.ended(task)
    assert_refused(cancel(server, task, b""), 400, "BadRequest", "task state is success, can not cancel")


def test_a_cancelled_task_stays_cancelled_after_a_restart(tmp_path: Path) -> None:
    with Served(tmp_path / "api", terms=SLOW) as before:
        running, waiting, third = (before.accepted(request) for request in (SMALL, OFF_PEAK, SMALL))
        assert cancel(before, waiting).status == 200
    with Served(tmp_path / "api", terms=Terms(credits=100)) as after:
        assert [read_task(after.ended(task)).phase for task in (running, third)] == [Phase.SUCCEEDED] * 2
        told = read_task(after.get(f"/v1/video/query?id={waiting}").document)
        assert (told.phase, told.error_code) == (Phase.CANCELLED, "UserCancelled")
        assert account(after)["credit_remain"] == 88


@pytest.mark.parametrize("body", [b"[]", b'"x"', b'{"id": "another"}', b'{"id": 7}'])
def test_a_cancel_that_means_another_task_is_refused(served: Callable[..., Served], body: bytes) -> None:
    server = served(terms=SLOW)
    _, waiting = server.accepted(SMALL), server.accepted(SMALL)
    assert_refused(cancel(server, waiting, body), 400, "FieldInvalid", "id")
    assert state(server, waiting) == "queueing"


@pytest.mark.parametrize("name", ["0", "..%2f..%2fserve.lock", "%2e%2e", "%00", "%ff", "a" * 3000])
def test_cancelling_what_is_no_task_is_not_found(served: Callable[..., Served], name: str) -> None:
    assert_refused(cancel(served(), name), 404, "TaskNotFound")


def test_the_gateway_s_routes_have_no_list_no_cancel_and_no_balance(served: Callable[..., Served]) -> None:
    server = served()
    for path in ("/vidu/ent/v2/tasks", "/vidu/ent/v2/credits", "/vidu/ent/v2/tasks/0/cancel"):
        assert_refused(server.get(path), 404, "NotFound")


# The list


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, list[str]]]:
    """A server with seven tasks of two kinds, newest first."""
    with Served(tmp_path_factory.mktemp("list") / "api") as server:
        tasks = [server.accepted({**SMALL, "seed": seed}) for seed in range(1, 6)]
        tasks += [server.accepted({"model": "vidu2.0", "images": [FIRST, LAST]}, OFFICIAL) for _ in range(2)]
        for task in tasks:
            server.ended(task)
        yield server, tasks[::-1]


@pytest.mark.parametrize("word", ["pager", "paper"])
def test_the_list_is_read_page_by_page_in_both_spellings(seven: tuple[Served, list[str]], word: str) -> None:
    server, tasks = seven
    assert listed(server) == tasks
    pages = [listed(server, **{f"{word}__page": number, f"{word}__pagesz": 3}) for number in range(4)]
    assert pages == [tasks[:3], tasks[3:6], tasks[6:], []]


def test_a_page_token_goes_on_behind_the_row_before_whatever_comes_new(seven: tuple[Served, list[str]]) -> None:
    server, tasks = seven
    found, token = [], ""
    while True:
        query = urlencode(
            {"pager.pagesz": 2, "pager.page": 5, "pager.page_token": token} if token else {"pager.pagesz": 2}
        )
        rows, following = read_list(server.get(f"/ent/v2/tasks?{query}").document)
        found += [row.task_id for row in rows]
        if not following:
            break
        token = following
    assert found == tasks


def test_a_list_shows_ten_rows_where_nothing_else_is_asked_for(served: Callable[..., Served]) -> None:
    server = served(terms=SLOW)
    tasks = [server.accepted(SMALL) for _ in range(12)]
    assert listed(server) == tasks[:1:-1]
    assert read_list(server.get("/ent/v2/tasks").document)[1]


def test_the_list_is_filtered_by_state_time_id_model_and_resolution(seven: tuple[Served, list[str]]) -> None:
    server, tasks = seven
    assert listed(server, states=["success", "failed"]) == tasks
    assert listed(server, states="queueing,processing") == []
    assert listed(server, task_ids=[tasks[4], tasks[1]]) == [tasks[1], tasks[4]]
    assert listed(server, task_ids=f"{tasks[4]},{tasks[1]}") == [tasks[1], tasks[4]]
    assert listed(server, model_versions="2.0") == tasks[:2]
    assert listed(server, model_versions="q2-turbo") == tasks[2:]
    assert listed(server, resolutions="540p") == tasks[2:]
    assert listed(server, templates="hug") == []
    hour_ago, soon = (datetime.fromtimestamp(time.time() + after, UTC).isoformat() for after in (-3600, 60))
    assert listed(server, created_at__from=hour_ago, created_at__to=soon) == tasks
    assert listed(server, created_at__to=hour_ago) == []
    assert listed(server, created_at__from=int(time.time()) + 60) == []


def test_without_a_window_the_list_goes_back_seven_days(tmp_path: Path) -> None:
    with Served(tmp_path / "api") as before:
        old, new = (before.accepted({**SMALL, "seed": seed}) for seed in (1, 2))
        for task in (old, new):
            before.ended(task)
    file = tmp_path / f"api/tasks/{old}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "created_at": time.time() - 8 * 86400}))
    with Served(tmp_path / "api") as after:
        assert listed(after) == [new]
        assert listed(after, created_at__from="2020-01-01T00:00:00Z") == [new, old]
        assert state(after, old) == "success"


def test_a_row_of_the_list_has_the_documented_fields_and_no_payload(served: Callable[..., Served]) -> None:
    server = served()
    task = server.accepted({**SMALL, "prompt": "a boat", "payload": "mine"}, OFFICIAL)
    server.ended(task)
    (row,) = server.get("/ent/v2/tasks").document["tasks"]
    link = f"http://127.0.0.1:{server.port}/files/{task}.mp4"
    first, last = row["images"]
    assert first != last
    assert row == {
        "id": task,
        "key_id": "",
        "state": "success",
        "template": "",
        "model": "viduq2-turbo",
        "prompt": "a boat",
        "images": [first, last],
        "duration": 1,
        "resolution": "540p",
        "aspect_ratio": "",
        "creations": [{"id": f"{task}-1", "url": link, "cover_url": ""}],
    }


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("pager.page=-1", "page"),
        ("paper.page=x", "page"),
        ("pager.pagesz=0", "pagesz"),
        ("pager.pagesz=101", "pagesz"),
        ("pager.pagesz=%D9%A1", "pagesz"),
        ("pager.page=" + "9" * 5000, "page"),
        ("pager.page_token=../../x", "page_token"),
        ("created_at.from=yesterday", "created_at.from"),
        ("created_at.to=2026-13-01T00:00:00Z", "created_at.to"),
        ("states=done", "states"),
    ],
)
def test_a_list_query_that_makes_no_sense_is_refused_with_the_field(
    seven: tuple[Served, list[str]], query: str, named: str
) -> None:
    assert_refused(seven[0].get(f"/ent/v2/tasks?{query}"), 400, "FieldInvalid", named)


# Credits


def test_a_task_is_charged_by_the_price_list_when_it_is_submitted(served: Callable[..., Served]) -> None:
    server = served(terms=Terms(credits=600, speed=0.05))
    assert read_balance(server.get("/ent/v2/credits").document).credits == 600
    for request, left in ((SMALL, 594), (OFF_PEAK, 591), ({**SMALL, "is_rec": True}, 575), (LONG, 63)):
        server.accepted(request)
        assert account(server)["credit_remain"] == left
    assert_refused(server.submit(LONG), 400, "CreditInsufficient", "63")
    assert_refused(server.submit(LONG, OFFICIAL), 400, "CreditInsufficient", "512")
    assert account(server)["credit_remain"] == 63


def test_a_refused_or_failed_task_gives_its_credits_back(served: Callable[..., Served]) -> None:
    server = served(terms=Terms(credits=100))
    assert server.submit({**SMALL, "images": [FIRST, "data:image/png;base64,aGVsbG8="]}).status == 400
    assert account(server)["credit_remain"] == 100
    task = server.accepted(SMALL)
    server.ended(task)
    assert account(server)["credit_remain"] == 94
    (server.folder / "videos").rename(server.folder / "gone")
    assert read_task(server.ended(server.accepted(SMALL))).phase is Phase.FAILED
    assert account(server)["credit_remain"] == 94


def test_a_disk_that_refuses_a_task_gives_its_credits_back(served: Callable[..., Served]) -> None:
    server = served(terms=Terms(credits=100))
    (server.folder / "tasks").rmdir()
    (server.folder / "tasks").write_text("in the way")
    assert_refused(server.submit(SMALL), 500, "InternalServiceFailure")
    assert account(server)["credit_remain"] == 100


def test_credits_and_tasks_survive_a_restart(tmp_path: Path) -> None:
    with Served(tmp_path / "api", terms=Terms(credits=100)) as before:
        task = before.accepted(SMALL)
        before.ended(task)
    with Served(tmp_path / "api", terms=Terms(credits=50)) as after:
        assert account(after)["credit_remain"] == 44
        assert listed(after) == [task]


def test_the_details_of_the_account_come_when_asked_for(served: Callable[..., Served]) -> None:
    server = served(terms=Terms(credits=100, concurrency=3))
    assert server.get("/ent/v2/credits").document["packages"] == []
    (package,) = server.get("/ent/v2/credits?show_detail=true").document["packages"]
    assert (package["credit_amount"], package["credit_remain"], package["concurrency"]) == (100, 100, 3)


# Rates


def test_too_many_requests_are_refused_and_told_when_to_come_again(served: Callable[..., Served]) -> None:
    server = served(terms=Terms(rate=0.5))
    assert server.get("/ent/v2/credits").status == 200
    answer = server.submit(SMALL)
    assert_refused(answer, 429, "TooManyRequests", "0.5 requests a second")
    assert answer.headers["Retry-After"] in ("1", "2")
    assert_refused(server.get("/ent/v2/tasks"), 429, "TooManyRequests")


def test_an_allowance_fills_up_again_with_time() -> None:
    allowance = Allowance(2)
    assert [allowance.wait(now) for now in (10.0, 10.0, 10.0)] == [0, 0, 0.5]
    assert [allowance.wait(now) for now in (10.5, 10.5)] == [0, 0.5]
    assert [allowance.wait(now) for now in (99.0, 99.0, 99.0)] == [0, 0, 0.5]


# Keys


@pytest.mark.parametrize(
    "header", [None, "", "Token", "Token ", "Bearer other", "alpha", "Basic alpha", "Token alpha x"]
)
def test_only_a_listed_key_is_accepted(served: Callable[..., Served], header: str | None) -> None:
    server = served(terms=Terms(keys=frozenset({"alpha"})))
    headers = {} if header is None else {"Authorization": header}
    paths = ("/ent/v2/tasks", "/ent/v2/credits", "/ent/v2/tasks/0/creations", "/v1/video/query?id=0")
    for path in paths:
        assert_refused(server.get(path, **headers), 401, "Unauthorized")
    for path in (GATEWAY, OFFICIAL, "/ent/v2/tasks/0/cancel"):
        assert_refused(server.ask("POST", path, b"{}", Content_Type="application/json", **headers), 401, "Unauthorized")


def test_each_key_is_an_account_of_its_own_with_its_own_tasks(served: Callable[..., Served]) -> None:
    server = served(terms=Terms(credits=10, keys=frozenset({"alpha", "beta"})))
    alpha, beta = {"Authorization": "Token alpha"}, {"Authorization": "bearer beta"}
    body = json.dumps(SMALL).encode()
    answer = server.ask("POST", OFFICIAL, body, Content_Type="application/json", **alpha)
    task = answer.document["task_id"]
    until(lambda: state(server, task, **alpha) == "success")
    assert_refused(server.get(f"/ent/v2/tasks/{task}/creations", **beta), 404, "TaskNotFound")
    assert_refused(cancel(server, task, **beta), 404, "TaskNotFound")
    assert server.get("/ent/v2/tasks", **beta).document["tasks"] == []
    assert [account(server, **who)["credit_remain"] for who in (alpha, beta)] == [4, 10]
    (row,) = server.get("/ent/v2/tasks", **alpha).document["tasks"]
    assert server.get(row["creations"][0]["url"].partition(f":{server.port}")[2]).status == 200
    assert not any("alpha" in path.read_text() for path in (server.folder / "tasks").iterdir())


def test_without_a_key_file_any_key_or_none_is_one_account(served: Callable[..., Served]) -> None:
    server = served()
    task = server.accepted(SMALL)
    for header in ({}, {"Authorization": "Bearer anything"}, {"Authorization": "Token else"}):
        assert [row["id"] for row in server.get("/ent/v2/tasks", **header).document["tasks"]] == [task]


# Fields


def test_a_recommended_prompt_is_chosen_by_the_seed_and_told(served: Callable[..., Served]) -> None:
    server = served(terms=SLOW)
    asked = {**SMALL, "is_rec": True, "prompt": "a boat"}
    told = [server.submit({**asked, "seed": seed}, OFFICIAL).document["prompt"] for seed in (1, 2, 1)]
    assert told[0] == told[2] != told[1]
    assert set(told) <= set(RECOMMENDED)
    assert "a boat" not in json.dumps(server.get("/ent/v2/tasks").document)
    assert server.submit({**SMALL, "prompt": "a boat"}, OFFICIAL).document["prompt"] == "a boat"


def test_a_voice_has_no_effect_on_the_video(served: Callable[..., Served]) -> None:
    server = served()
    plain, voiced = (server.made({**SMALL, "seed": 3, **more}) for more in ({}, {"voice_id": "calm"}))
    assert plain == voiced


@pytest.mark.parametrize("text", ["", "{}", '{"Label": "1", "ProduceID": "7"}'])
def test_metadata_may_be_empty_or_any_object(served: Callable[..., Served], text: str) -> None:
    assert served(terms=SLOW).submit({**SMALL, "meta_data": text}).status == 200


# What a run makes of it


def vidu_spec(folder: Folder, **request: Any) -> None:
    spec = folder.sweep(seeds=8, extra="concurrency: 8\n", duration=4, **request)
    spec.write_text(spec.read_text().replace("provider: octopusx", "provider: vidu"))


def test_a_rehearsal_of_a_vidu_spec_finds_cancels_and_tells_its_balance(folder: Folder) -> None:
    vidu_spec(folder)
    place = ("jobs.yaml", "--provider", "local")
    assert folder("run", *place, "--no-wait").code == 3
    # At once: the first clips are soon done, and then it does not wait any more.
    cancelled = folder("cancel", "jobs.yaml", "job-8", "--provider", "local")
    assert (cancelled.code, "job-8: cancelled" in cancelled.err) == (0, True), cancelled.err
    out = folder.path / "out/jobs.local"
    for name in ("state.db", "results.jsonl"):
        (out / name).unlink(missing_ok=True)
    again = folder("run", *place, "--json")
    assert again.err.count("found at the API as task") == 8
    assert again.counts() == {"done": 7, "failed": 1}
    assert len(list((out / "api/tasks").iterdir())) == 8
    assert "5 tasks at once" in folder("plan", *place, "--balance").out


def test_a_rehearsal_of_an_octopusx_spec_can_do_no_more_than_octopusx(folder: Folder) -> None:
    folder.sweep(seeds=1)
    place = ("jobs.yaml", "--provider", "local")
    assert folder("run", *place).code == 0
    balance = folder("plan", *place, "--balance")
    assert (balance.code, "tells no balance" in balance.err) == (2, True)
    assert "cannot cancel" in folder("cancel", "jobs.yaml", "job-1", "--provider", "local").err


# What is held


def test_ended_tasks_beyond_the_room_leave_memory_and_stay_on_disk(served: Callable[..., Served]) -> None:
    server = served(room=Room(tasks=2), terms=Terms(credits=100))
    tasks = []
    for seed in range(1, 5):
        tasks.append(server.accepted({**SMALL, "seed": seed, "payload": "mine"}))
        server.ended(tasks[-1])
    assert listed(server) == tasks[:1:-1]
    for task in tasks:
        told = server.get(f"/ent/v2/tasks/{task}/creations").document
        assert (told["state"], told["payload"]) == ("success", "mine")
        assert server.get(f"/files/{task}.mp4").status == 200
    assert_refused(cancel(server, tasks[0]), 400, "BadRequest", "task state is success")
    assert account(server)["credit_remain"] == 76


def test_after_a_restart_the_newest_ended_tasks_are_held_and_all_are_counted(tmp_path: Path) -> None:
    with Served(tmp_path / "api") as before:
        tasks = [before.accepted({**SMALL, "seed": seed}) for seed in range(1, 5)]
        for task in tasks:
            before.ended(task)
    moments = {task: json.loads((tmp_path / f"api/tasks/{task}.json").read_text())["updated_at"] for task in tasks}
    newest = sorted(tasks, key=lambda task: moments[task])[2:]
    with Served(tmp_path / "api", terms=Terms(credits=100), room=Room(tasks=2)) as after:
        assert set(listed(after)) == set(newest)
        assert account(after)["credit_remain"] == 76


def test_unfinished_tasks_that_fill_their_memory_are_refused_with_429(served: Callable[..., Served]) -> None:
    server = served(terms=SLOW, unfinished_bytes=1_500_000)
    for _ in range(2):
        server.accepted({**SMALL, "payload": "x" * 1_000_000})
    assert_refused(server.submit(SMALL), 429, "SystemThrottling")
