"""Faults on request: each one seen by a plain client, said in one line, repeatable, and survived by vidu-run."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from conftest import Folder, Result
from PIL import Image
from test_serve import Serve, refused, until

from vidu_run.errors import UsageTrouble
from vidu_run.key import marker_of
from vidu_run.local.faults import LAG, SLOW, Dice, Faults
from vidu_run.local.manner import FAULTS, Manner, chances
from vidu_run.local.server import serving

GATEWAY, OFFICIAL = "/vidu/ent/v2/start-end2video", "/ent/v2/start-end2video"
PATIENCE = 30.0


def frame(colour: str) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (96, 54), colour).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


SMALL = {"model": "viduq2-turbo", "images": [frame("teal"), frame("red")], "duration": 1, "resolution": "540p"}


class Faulty:
    """The server in a thread, and a client that does nothing by itself."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    @property
    def tasks(self) -> list[dict[str, Any]]:
        return [json.loads(file.read_text()) for file in (self.folder / "tasks").glob("*.json")]

    def ask(self, method: str, path: str, body: Any = None, timeout: float = PATIENCE) -> tuple[int, Any, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with closing(connection):
            sent = None if body is None else json.dumps(body).encode()
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def submit(self, body: Any = SMALL, timeout: float = PATIENCE) -> tuple[int, Any, bytes]:
        return self.ask("POST", OFFICIAL, body, timeout)

    def accepted(self) -> str:
        status, _, body = self.submit()
        assert status == 200, body
        task_id: str = json.loads(body)["task_id"]
        return task_id

    def look(self, task_id: str) -> Any:
        return json.loads(self.ask("GET", f"/ent/v2/tasks/{task_id}/creations")[2])

    def ended(self, task_id: str) -> Any:
        return until(lambda: look if (look := self.look(task_id))["state"] in ("success", "failed") else None)


@contextmanager
def faulty(folder: Path, seed: int = 1, **faults: float) -> Iterator[Faulty]:
    """A server with these faults; an underscore stands for the hyphen, and may lead a number."""
    named = {name.strip("_").replace("_", "-"): chance for name, chance in faults.items()}
    started, loops, ports = threading.Event(), [], []

    async def main() -> None:
        stopped = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stopped))
        async with serving(folder, quick=True, manner=Manner(faults=named, seed=seed)) as base_url:
            ports.append(int(base_url.rpartition(":")[2]))
            started.set()
            await stopped.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert started.wait(PATIENCE)
    try:
        yield Faulty(folder, ports[0])
    finally:
        loop, stopped = loops[0]
        loop.call_soon_threadsafe(stopped.set)
        thread.join(PATIENCE)
        assert not thread.is_alive()


Opened = Callable[..., AbstractContextManager[Faulty]]


@pytest.fixture
def api(tmp_path: Path) -> Opened:
    return lambda seed=1, **faults: faulty(tmp_path / "api", seed, **faults)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on standard error, but for the first, which says what was asked for."""
    first, *lines = capsys.readouterr().err.splitlines()
    assert first.startswith("vidu-run: faults: ")
    return [line.removeprefix("vidu-run: fault: ") for line in lines]


def pattern(name: str, chance: float, *wanted: bool) -> int:
    """A seed with which this fault happens like that."""

    def rolls(seed: int) -> tuple[bool, ...]:
        dice = Dice({name: chance}, seed)
        return tuple(dice.hits(name) for _ in wanted)

    return next(seed for seed in range(10_000) if rolls(seed) == wanted)


# Submissions


def test_a_lost_reply_is_a_task_and_a_cut_connection(api: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    with api(lost_reply=1) as server:
        with pytest.raises(http.client.RemoteDisconnected):
            server.submit()
        (task,) = server.tasks
    assert said(capsys) == [f"lost-reply, task {task['id']}"]


def test_a_reset_comes_before_anything_is_accepted(api: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    with api(reset=1) as server:
        with pytest.raises(ConnectionResetError):
            server.submit()
        assert server.tasks == []
    assert said(capsys) == [f"reset, POST {OFFICIAL}"]


@pytest.mark.parametrize(("fault", "count"), [("_500", 0), ("_500_accepted", 1)])
def test_a_500_may_or_may_not_be_a_task(
    api: Opened, capsys: pytest.CaptureFixture[str], fault: str, count: int
) -> None:
    with api(**{fault: 1}) as server:
        status, _, body = server.submit()
        assert (status, json.loads(body)["reason"]) == (500, "InternalServiceFailure")
        assert len(server.tasks) == count
    assert len(said(capsys)) == 1


def test_a_429_says_when_to_come_again_and_is_no_task(api: Opened) -> None:
    with api(_429=1) as server:
        status, headers, body = server.submit()
        assert (status, headers["Retry-After"]) == (429, "1")
        assert json.loads(body)["reason"] == "TooManyRequests"
        assert server.tasks == []


def test_a_moderation_refusal_has_its_documented_code(api: Opened) -> None:
    with api(moderation=1) as server:
        status, _, body = server.submit()
        assert (status, json.loads(body)["reason"]) == (400, "TaskPromptPolicyViolation")
        assert server.tasks == []
        assert server.ask("GET", "/ent/v2/tasks/none/creations")[0] == 404


def test_a_page_of_html_may_hide_an_accepted_task(api: Opened) -> None:
    with api(html=1) as server:
        status, headers, body = server.submit()
        assert (status, headers.get_content_type()) == (200, "text/html")
        assert body.startswith(b"<!doctype html>")
        assert len(server.tasks) == 1


def test_a_timeout_is_an_accepted_task_and_never_an_answer(api: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    with api(timeout=1) as server:
        with pytest.raises(TimeoutError):
            server.submit(timeout=1.5)
        (task,) = server.tasks
        assert server.ended(task["id"])["state"] == "success"
    assert said(capsys) == [f"timeout, task {task['id']}"]


def test_a_slow_answer_is_the_same_answer_late(api: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    with api(slow=1) as server:
        begun = time.monotonic()
        task_id = server.accepted()
        assert time.monotonic() - begun >= SLOW - 0.1
        assert [task["id"] for task in server.tasks] == [task_id]
    assert said(capsys) == [f"slow, POST {OFFICIAL}"]


def test_a_request_that_is_refused_anyhow_gets_its_answer(api: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    with api(lost_reply=1, html=1, timeout=1) as server:
        status, _, body = server.submit({**SMALL, "duration": 99})
        assert (status, json.loads(body)["reason"]) == (400, "FieldInvalid")
    assert said(capsys) == []


def test_one_request_has_one_fault(api: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    with api(_429=1, lost_reply=1, html=1) as server:
        assert server.submit()[0] == 429
    assert said(capsys) == [f"429, POST {OFFICIAL}"]


# Tasks and videos


def test_a_task_made_to_fail_ends_with_a_documented_code(api: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    with api(fail=1) as server:
        task_id = server.accepted()
        end = server.ended(task_id)
        assert (end["state"], end["err_code"], end["creations"]) == ("failed", "InternalServiceFailure", [])
    assert said(capsys) == [f"fail, task {task_id}"]


def test_a_stuck_task_does_not_end_and_holds_up_no_other(api: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    with api(pattern("stuck", 0.5, True, True, True, False), stuck=0.5) as server:
        *stuck, other = (server.accepted() for _ in range(4))
        assert server.ended(other)["state"] == "success"
        assert {server.look(task_id)["state"] for task_id in stuck} <= {"created", "queueing", "processing"}
    assert sorted(said(capsys)) == sorted(f"stuck, task {task_id}" for task_id in stuck)


def test_a_bad_link_answers_403_the_first_time_alone(api: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    with api(bad_link=1) as server:
        task_id = server.accepted()
        server.ended(task_id)
        assert [server.ask("GET", f"/files/{task_id}.mp4")[0] for _ in range(3)] == [403, 200, 200]
    assert said(capsys) == [f"bad-link, task {task_id}"]


def test_a_cut_video_promises_all_and_sends_half(api: Opened) -> None:
    with api(pattern("cut-video", 0.5, True, False), cut_video=0.5) as server:
        task_id = server.accepted()
        server.ended(task_id)
        with pytest.raises(http.client.IncompleteRead) as caught:
            server.ask("GET", f"/files/{task_id}.mp4")
        status, _, video = server.ask("GET", f"/files/{task_id}.mp4")
        assert status == 200
        assert video.startswith(caught.value.partial)
        assert len(caught.value.partial) == len(video) // 2


async def listed_late(folder: Path) -> tuple[list[str], list[str], list[str]]:
    """Three tasks' ids; those a list showed at once; those it showed when the lag was over."""
    made: list[str] = []

    async def submit(_: web.Request) -> web.Response:
        made.append(f"task-{len(made)}")
        return web.json_response({"task_id": made[-1]})

    async def rows(_: web.Request) -> web.Response:
        return web.json_response({"tasks": [{"id": name} for name in made], "next_page_token": ""})

    seed = pattern("list-lag", 0.5, False, True, False)
    faults = Faults({"list-lag": 0.5}, seed, lambda name: folder / name)
    app = web.Application(middlewares=[faults.middleware])
    app.router.add_post(OFFICIAL, submit)
    app.router.add_get("/ent/v2/tasks", rows)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(base_url) as client:

            async def shown() -> list[str]:
                async with client.get("/ent/v2/tasks") as answer:
                    return [row["id"] for row in (await answer.json())["tasks"]]

            for _ in range(3):
                (await client.post(OFFICIAL)).release()
            early, deadline = await shown(), time.monotonic() + LAG + PATIENCE
            while len(late := await shown()) < 3 and time.monotonic() < deadline:
                await asyncio.sleep(0.5)
            return made, early, late
    finally:
        await runner.cleanup()


def test_a_task_that_lags_stands_in_the_list_later(tmp_path: Path) -> None:
    made, early, late = asyncio.run(listed_late(tmp_path))
    assert early == [made[0], made[2]]
    assert late == made


# Chance


def test_the_same_seed_makes_the_same_faults(tmp_path: Path) -> None:
    def statuses(seed: int, **more: float) -> list[int]:
        with faulty(tmp_path / "api", seed, _429=0.5, **more) as server:
            return [server.ask("GET", "/ent/v2/tasks/none/creations")[0] for _ in range(24)]

    first = statuses(7)
    assert set(first) == {404, 429}
    assert statuses(7) == first
    assert statuses(7, moderation=0.5, lost_reply=0.5) == first, "another fault must not move these"
    assert statuses(8) != first


def test_a_chance_is_what_it_says() -> None:
    dice = Dice({"429": 0.1, "500": 0.0, "html": 1.0}, 5)
    counts = {name: sum(dice.hits(name) for _ in range(10_000)) for name in ("429", "500", "html", "reset")}
    assert 850 < counts["429"] < 1150
    assert (counts["500"], counts["html"], counts["reset"]) == (0, 10_000, 0)


def test_without_a_seed_one_is_drawn_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = [Faults({"slow": 0.5}, None, lambda name: tmp_path / name) for _ in range(4)]
    told = re.findall(r"vidu-run: faults: slow=0\.5, seed (\d+)\n", capsys.readouterr().err)
    assert len(told) == len(faults)
    assert len(set(told)) > 1


# The words


def test_faults_are_read_with_their_chances_and_ordered() -> None:
    assert chances(" html=1, reset=0,lost-reply = 0.25,", "x") == {"reset": 0, "lost-reply": 0.25, "html": 1}
    assert chances("", "x") == {}
    assert list(chances(",".join(f"{name}=0.5" for name in reversed(FAULTS)), "x")) == list(FAULTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lost-replay=0.1", "x: 'lost-replay' is no fault; did you mean 'lost-reply'? There are reset, 500,"),
        ("=0.1", "x: '' is no fault; there are reset,"),
        ("429=1.5", "x: '429=1.5': a probability lies between 0 and 1"),
        ("429=-0.1", "x: '429=-0.1': a probability lies between 0 and 1"),
        ("429=nan", "x: '429=nan': a probability lies between 0 and 1"),
        ("429", "x: '429' needs a probability: NAME=0.05"),
        ("429=often", "x: '429=often' needs a probability: NAME=0.05"),
        ("429=0.1,429=0.2", "x: 429 is given twice"),
    ],
)
def test_what_makes_no_sense_is_told_with_what_was_meant(text: str, message: str) -> None:
    with pytest.raises(UsageTrouble) as caught:
        chances(text, "x")
    assert str(caught.value).startswith(message)


def test_an_unknown_fault_is_exit_2_and_nothing_starts(tmp_path: Path) -> None:
    code, told = refused("--port", "0", "--faults", "lostreply=0.1", cwd=tmp_path)
    assert code == 2
    assert told.startswith("vidu-run: --faults: 'lostreply' is no fault; did you mean 'lost-reply'?")
    assert list(tmp_path.iterdir()) == []


# The whole way


def bought(tasks: Path) -> Counter[str]:
    """How many tasks a server has for each job, by the key in the payload's marker."""
    payloads = [json.loads(file.read_text())["request"]["payload"] for file in tasks.glob("*.json")]
    markers = [marker_of(payload) for payload in payloads]
    assert None not in markers
    return Counter(str(marker).split(".")[1] for marker in markers)


@pytest.fixture
def rough(tmp_path: Path) -> Iterator[Serve]:
    """A server that loses the answers to half of what it accepts, and throttles."""
    faults = "lost-reply=0.3,500-accepted=0.2,429=0.2"
    server = Serve(tmp_path / "home", "--port", "0", "--faults", faults, "--faults-seed", "4")
    yield server
    if server.process.poll() is None:
        server.end()


def runs(folder: Folder, server: Serve, provider: str) -> tuple[list[Result], Counter[str]]:
    """The same six jobs run again and again, at least twice, until they are done or five runs have not been enough;
    and what the server has accepted."""
    spec = folder.sweep(6).read_text(encoding="utf-8")
    folder.write(spec.replace("provider: octopusx", f"provider: {provider}").replace("settle: 0.5", "settle: 8"))
    words = ("run", "jobs.yaml", "--base-url", server.base_url, "--yes", "--json")
    results = [folder(*words), folder(*words)]
    while results[-1].code and rough_on_lists(results[-1]) and len(results) < 5:
        results.append(folder(*words))
    _, told, _ = server.end()
    assert {name for name in ("lost-reply", "429") if f"fault: {name}," in told} == {"lost-reply", "429"}
    return results, bought(server.home / "vidu-local-api/tasks")


def rough_on_lists(result: Result) -> bool:
    """A throttled list is nobody's proof: the run says so, and the next one looks again."""
    return "list of tasks could not be read" in result.err


def test_where_the_api_cannot_list_what_was_lost_is_held_and_bought_once(folder: Folder, rough: Serve) -> None:
    results, tasks = runs(folder, rough, "octopusx")
    assert [result.code for result in results] == [4, 4]
    assert set(tasks.values()) == {1}
    assert len(tasks) == 6
    counts = results[-1].counts()
    assert set(counts) == {"done", "in_doubt"}
    assert sum(counts.values()) == 6


def test_where_the_api_lists_what_was_lost_is_found_and_bought_once(folder: Folder, rough: Serve) -> None:
    results, tasks = runs(folder, rough, "vidu")
    assert results[-1].code == 0, results[-1].err
    assert results[-1].counts() == {"done": 6}
    assert set(tasks.values()) == {1}
    assert len(tasks) == 6


def test_a_rehearsal_lives_through_bad_links_and_cut_videos(folder: Folder) -> None:
    folder.sweep(3)
    faults = {"VIDU_RUN_LOCAL_FAULTS": "bad-link=1,cut-video=0.3,429=0.1", "VIDU_RUN_LOCAL_FAULTS_SEED": "2"}
    done = folder("jobs.yaml", "--provider", "local", "--json", **faults)
    assert done.code == 0, done.err
    assert done.counts() == {"done": 3}
    assert done.err.count("fault: bad-link, task ") == 3
    assert "vidu-run: faults: 429=0.1,bad-link=1,cut-video=0.3, seed 2" in done.err


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("VIDU_RUN_LOCAL_FAULTS", "stuk=1", "VIDU_RUN_LOCAL_FAULTS: 'stuk' is no fault; did you mean 'stuck'?"),
        ("VIDU_RUN_LOCAL_FAULTS_SEED", "x", "VIDU_RUN_LOCAL_FAULTS_SEED: 'x' is no whole number"),
    ],
)
def test_a_rehearsal_with_an_unknown_fault_is_exit_2(folder: Folder, variable: str, value: str, message: str) -> None:
    folder.sweep(1)
    done = folder("jobs.yaml", "--provider", "local", **{variable: value})
    assert done.code == 2
    assert message in done.err
    assert not (folder.path / "out").exists()
