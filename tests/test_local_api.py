"""The local API over real sockets: what it takes, what it refuses and how, what it answers, and the video it makes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from browser import launched
from PIL import Image

from vidu_run.errors import HeldElsewhere, StorageTrouble
from vidu_run.local.account import USUAL, Terms
from vidu_run.local.server import Bounds, serving
from vidu_run.mp4 import verify
from vidu_run.reply import Phase, parse_json, read_refusal, read_submit, read_task

GATEWAY = "/vidu/ent/v2/start-end2video"
OFFICIAL = "/ent/v2/start-end2video"
UNKNOWN = "48038932-0ff5-4251-8b4b-7a76c09fd114"
PATIENCE = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        return parse_json(self.body)


class Served:
    """The server on a loop in a thread of its own, talked to through sockets alone."""

    def __init__(self, folder: Path, quick: bool = True, terms: Terms = USUAL, **bounds: Any) -> None:
        self.folder = folder
        self._quick = quick
        self._terms = terms
        self._bounds = Bounds(**bounds)
        self.port = 0

    def __enter__(self) -> Served:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(started)), daemon=True)
        self._thread.start()
        assert started.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    async def _main(self, started: threading.Event) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        async with serving(self.folder, 0, self._quick, self._bounds, self._terms) as base_url:
            self.port = int(base_url.rpartition(":")[2])
            started.set()
            await self._stopped.wait()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def submit(self, request: Any, path: str = GATEWAY) -> Answer:
        return self.ask("POST", path, json.dumps(request).encode(), Content_Type="application/json")

    def accepted(self, request: Any, path: str = GATEWAY) -> str:
        answer = self.submit(request, path)
        assert answer.status == 200, answer.body
        task_id = read_submit(answer.document).task_id
        assert task_id
        return task_id

    def ended(self, task_id: str, route: str = "/vidu/ent/v2/task/{}/creations") -> Any:
        """The query's document once the task has come to an end."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            document = self.get(route.format(task_id)).document
            if read_task(document).phase in (Phase.SUCCEEDED, Phase.FAILED):
                return document
            time.sleep(0.02)
        raise AssertionError(f"{task_id} has not ended")

    def made(self, request: Any) -> bytes:
        """The video's bytes, through the link of the finished task."""
        look = read_task(self.ended(self.accepted(request)))
        assert look.url, look.error
        return self.get(look.url.partition(f":{self.port}")[2]).body

    def exchange(self, sent: bytes) -> bytes:
        """Raw bytes out, and the first that come back; the request need not be whole."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as plain:
            plain.sendall(sent)
            return plain.recv(65536)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("local") / "api") as running:
        yield running


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Makes a server with settings of its own; all of them share one folder."""
    with contextlib.ExitStack() as opened:
        yield lambda **settings: opened.enter_context(Served(tmp_path / "api", **settings))


def image(size: tuple[int, int] = (96, 54), colour: str = "teal", form: str = "png") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "jpeg" if form == "jpg" else form)
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}"


FIRST, LAST = image(colour="teal"), image(colour="orange")
SMALL = {"model": "viduq2-turbo", "images": [FIRST, LAST], "duration": 1, "resolution": "540p"}
LONG = {"model": "viduq3-pro", "images": [FIRST, LAST], "duration": 16, "resolution": "1080p"}
"""Takes so long to render at full effort that no test lives to see it finished."""

GIF = "data:image/gif;base64," + base64.b64encode(b"GIF89a" + bytes(40)).decode()
NOT_A_PICTURE = "data:image/png;base64," + base64.b64encode(b"hello").decode()


def damaged(size: tuple[int, int]) -> str:
    """A PNG that is whole, and whose pixels cannot be read."""
    content = bytearray(base64.b64decode(image(size).partition(",")[2]))
    pixels = content.index(b"IDAT") + 4
    content[pixels : pixels + 20] = b"\xff" * 20
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "FieldInvalid", "model"),
    ({"model": 7}, "FieldInvalid", "model"),
    ({"model": "viduq9"}, "FieldInvalid", "model"),
    ({"movement_amplitude": "auto"}, "FieldUnwanted", "movement_amplitude"),
    ({"callback_url": "https://example.com/hook"}, "FieldUnwanted", "callback_url"),
    ({"aspect_ratio": "16:9", "duration": 99}, "FieldUnwanted", "aspect_ratio"),
    ({"images": []}, "FieldItemCountOutOfRange", "images"),
    ({"images": [FIRST]}, "FieldItemCountOutOfRange", "images"),
    ({"images": [FIRST, LAST, LAST]}, "FieldItemCountOutOfRange", "images"),
    ({"images": FIRST}, "FieldInvalid", "images"),
    ({"images": [{}, {}]}, "FieldInvalid", "images[0]"),
    ({"images": [FIRST, ""]}, "FieldInvalid", "images[1]"),
    ({"images": [FIRST, "frames/last.png"]}, "FieldInvalid", "images[1]"),
    ({"images": ["file:///etc/passwd", LAST]}, "FieldInvalid", "images[0]"),
    ({"images": ["https://", LAST]}, "FieldInvalid", "images[0]"),
    ({"images": ["https://[", LAST]}, "FieldInvalid", "images[0]"),
    ({"images": [FIRST, GIF]}, "ImageFormatInvalid", "images[1]"),
    ({"images": [FIRST, NOT_A_PICTURE]}, "ImageFormatInvalid", "images[1]"),
    ({"images": [GIF.replace("gif", "png"), LAST]}, "ImageFormatInvalid", "images[0]"),
    ({"images": [FIRST, "data:image/png;base64,"]}, "ImageFormatInvalid", "images[1]"),
    ({"images": [FIRST, "data:image/png;base64,%%%%"]}, "ImageFormatInvalid", "images[1]"),
    ({"images": [FIRST, "data:image/png;base64,é"]}, "ImageFormatInvalid", "images[1]"),
    ({"images": [FIRST, FIRST[:-1]]}, "ImageFormatInvalid", "images[1]"),
    ({"images": [image((400, 100))] * 2}, "PageSizeOutOfRange", "images[0]"),
    ({"images": [image((100, 400))] * 2}, "PageSizeOutOfRange", "images[0]"),
    ({"images": [image((126, 100)), image((100, 100))]}, "PageSizeOutOfRange", "1.26"),
    ({"images": [image((79, 100)), image((100, 100))]}, "PageSizeOutOfRange", "0.79"),
    ({"prompt": "x" * 5001}, "FieldInvalid", "prompt"),
    ({"prompt": ["a boat"]}, "FieldInvalid", "prompt"),
    ({"audio": "true"}, "FieldInvalid", "audio"),
    ({"voice_id": 1}, "FieldInvalid", "voice_id"),
    ({"is_rec": 1}, "FieldInvalid", "is_rec"),
    ({"bgm": "no"}, "FieldInvalid", "bgm"),
    ({"off_peak": 0}, "FieldInvalid", "off_peak"),
    ({"watermark": "yes"}, "FieldInvalid", "watermark"),
    ({"duration": 0}, "FieldInvalid", "duration"),
    ({"duration": 11}, "FieldInvalid", "duration"),
    ({"duration": "5"}, "FieldInvalid", "duration"),
    ({"duration": 2.5}, "FieldInvalid", "duration"),
    ({"duration": True}, "FieldInvalid", "duration"),
    ({"model": "viduq1", "duration": 4, "resolution": "1080p"}, "FieldInvalid", "duration"),
    ({"model": "vidu2.0", "duration": 5, "resolution": "720p"}, "FieldInvalid", "duration"),
    ({"model": "vidu2.0", "duration": 8, "resolution": "1080p"}, "FieldInvalid", "resolution"),
    ({"model": "viduq1", "duration": 5, "resolution": "720p"}, "FieldInvalid", "resolution"),
    ({"resolution": "360p"}, "FieldInvalid", "resolution"),
    ({"resolution": 720}, "FieldInvalid", "resolution"),
    ({"seed": -1}, "FieldInvalid", "seed"),
    ({"seed": 2**31}, "FieldInvalid", "seed"),
    ({"seed": 1.5}, "FieldInvalid", "seed"),
    ({"seed": "1"}, "FieldInvalid", "seed"),
    ({"wm_position": 0}, "FieldInvalid", "wm_position"),
    ({"wm_position": 5}, "FieldInvalid", "wm_position"),
    ({"wm_url": "mark.png"}, "FieldInvalid", "wm_url"),
    ({"payload": "x" * 1_048_577}, "FieldInvalid", "payload"),
    ({"payload": {"mine": 1}}, "FieldInvalid", "payload"),
    ({"meta_data": {"Label": "1"}}, "FieldInvalid", "meta_data"),
    ({"meta_data": "Label: 1"}, "FieldInvalid", "meta_data"),
    ({"meta_data": "[]"}, "FieldInvalid", "meta_data"),
]

OFFICIALLY_REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"voice_id": "calm"}, "FieldUnwanted", "voice_id"),
    ({"duration": 9}, "FieldInvalid", "duration"),
    ({"model": "viduq2-pro-fast"}, "FieldInvalid", "resolution"),
    ({"movement_amplitude": "huge"}, "FieldInvalid", "movement_amplitude"),
    ({"callback_url": "http://example.com"}, "FieldInvalid", "callback_url"),
]


def assert_refused(answer: Answer, status: int, code: str, named: str = "") -> None:
    """The official envelope, whole, as this package's own client reads it."""
    envelope = answer.document
    assert (answer.status, envelope["reason"]) == (status, code), envelope
    assert set(envelope) == {"code", "reason", "message", "metadata"}
    assert envelope["code"] == status
    assert re.fullmatch("[0-9a-f]{32}", envelope["metadata"]["trace_id"])
    assert answer.headers["Content-Type"].startswith("application/json")
    assert named in envelope["message"]
    refusal = read_refusal(envelope)
    assert refusal is not None
    assert refusal.code == code


@pytest.mark.parametrize(("change", "code", "named"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_field_s_fault_is_refused_with_its_documented_code_and_name(
    api: Served, change: dict[str, Any], code: str, named: str
) -> None:
    assert_refused(api.submit({**SMALL, **change}), 400, code, named)


@pytest.mark.parametrize(("change", "code", "named"), OFFICIALLY_REFUSED, ids=lambda value: str(value)[:40])
def test_the_official_route_has_the_official_rules(api: Served, change: dict[str, Any], code: str, named: str) -> None:
    assert_refused(api.submit({**SMALL, **change}, OFFICIAL), 400, code, named)


@pytest.mark.parametrize("missing", ["model", "images"])
@pytest.mark.parametrize("route", [GATEWAY, OFFICIAL])
def test_a_required_field_that_is_missing_is_lacking(api: Served, missing: str, route: str) -> None:
    request = {name: value for name, value in SMALL.items() if name != missing}
    assert_refused(api.submit(request, route), 400, "FieldLacking", missing)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"text"', b'{"seed": NaN}', b"\xff\xfe{}", b'{"prompt": "\\ud800"}', b"[" * 9999],
)
def test_a_body_that_is_not_a_json_object_is_a_bad_request(api: Served, body: bytes) -> None:
    assert_refused(api.ask("POST", GATEWAY, body, Content_Type="application/json"), 400, "BadRequest")


def test_a_body_of_another_content_type_is_a_bad_request(api: Served) -> None:
    body = json.dumps(SMALL).encode()
    for kind in ("application/x-www-form-urlencoded", "text/plain"):
        assert_refused(api.ask("POST", GATEWAY, body, Content_Type=kind), 400, "BadRequest", "application/json")


def test_a_refused_request_leaves_nothing_behind(served: Callable[..., Served]) -> None:
    server = served()
    for change in (
        {"images": [image((126, 100)), image((100, 100))]},
        {"images": [FIRST, NOT_A_PICTURE]},
        {"seed": -1},
    ):
        assert server.submit({**SMALL, **change}).status == 400
    assert [path.name for path in server.folder.rglob("*") if path.is_file()] == ["serve.lock"]


@pytest.mark.parametrize(
    "change",
    [
        {"images": [image((125, 100)), image((100, 100))]},
        {"images": [image((80, 100)), image((100, 100))]},
        {"images": [image((399, 100), form="jpeg"), image((398, 100), form="webp")]},
        {"images": [image(form="jpg").replace("image/jpg", "IMAGE/JPG"), FIRST]},
        {"prompt": "é" * 5000, "payload": "x" * 1_048_576, "seed": 2**31 - 1, "wm_position": 4},
        {"duration": 1.0, "seed": 7.0, "wm_url": "https://example.com/mark.png", "meta_data": "{}"},
    ],
    ids=["wider", "taller", "jpeg-webp", "jpg", "longest", "whole-floats"],
)
def test_what_the_documents_just_allow_is_made(api: Served, change: dict[str, Any]) -> None:
    assert read_task(api.ended(api.accepted({**SMALL, **change}))).phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    "path",
    [
        f"/vidu/ent/v2/task/{UNKNOWN}/creations",
        f"/ent/v2/tasks/{UNKNOWN}/creations",
        f"/v1/video/query?id={UNKNOWN}",
        "/v1/video/query",
        "/v1/video/query?id=../../etc/passwd",
        "/vidu/ent/v2/task/%2e%2e%2f%2e%2e%2fserve.lock/creations",
        "/vidu/ent/v2/task/%00/creations",
        "/vidu/ent/v2/task/%ff%fe/creations",
        "/ent/v2/tasks/0/creations",
    ],
)
def test_an_unknown_task_is_not_found(api: Served, path: str) -> None:
    assert_refused(api.get(path), 404, "TaskNotFound")


@pytest.mark.parametrize("name", [UNKNOWN, "..%2f..%2fserve.lock", "%2e%2e%2ftasks%2fx", "%00", "*", "C:%5Cx"])
def test_a_file_that_is_no_task_s_video_is_not_found(api: Served, name: str) -> None:
    assert_refused(api.get(f"/files/{name}.mp4"), 404, "CreationNotFound")


@pytest.mark.parametrize("path", ["/", "/vidu/ent/v2/img2video", "/files/../serve.lock", "/files/", "/ent/v2/tasks/"])
def test_an_unknown_path_is_not_found(api: Served, path: str) -> None:
    assert_refused(api.get(path), 404, "NotFound")


@pytest.mark.parametrize(("method", "path", "allowed"), [("GET", GATEWAY, "POST"), ("DELETE", OFFICIAL, "POST")])
def test_a_wrong_method_is_told_the_right_one(api: Served, method: str, path: str, allowed: str) -> None:
    answer = api.ask(method, path)
    assert_refused(answer, 405, "BadRequest")
    assert answer.headers["Allow"] == allowed


HEAD = f"POST {GATEWAY} HTTP/1.1\r\nHost: local\r\nContent-Type: application/json\r\n"


def test_a_body_of_exactly_the_limit_is_read(api: Served) -> None:
    assert_refused(api.ask("POST", GATEWAY, b" " * 20_000_000, Content_Type="application/json"), 400, "BadRequest")


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(api: Served) -> None:
    reply = api.exchange(f"{HEAD}Content-Length: 20000001\r\n\r\n".encode())
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b'"reason": "BadRequest"' in reply


def test_a_body_that_does_not_say_its_size_is_refused_while_it_is_read(api: Served) -> None:
    chunk = b"%x\r\n" % 1_000_000 + b" " * 1_000_000 + b"\r\n"
    reply = api.exchange(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 21)
    assert reply.startswith(b"HTTP/1.1 413 ")


def test_a_zipped_body_counts_as_what_it_unfolds_to(api: Served) -> None:
    import gzip

    bomb = gzip.compress(b" " * 30_000_000)
    assert len(bomb) < 100_000
    headers = {"Content_Type": "application/json", "Content_Encoding": "gzip"}
    assert_refused(api.ask("POST", GATEWAY, bomb, **headers), 413, "BadRequest")


def test_a_body_that_does_not_arrive_in_time_is_given_up(served: Callable[..., Served]) -> None:
    reply = served(body_seconds=0.2).exchange(f"{HEAD}Content-Length: 100\r\n\r\n{{".encode())
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b'"reason": "BadRequest"' in reply


def test_more_tasks_than_it_keeps_waiting_are_refused_with_429(served: Callable[..., Served]) -> None:
    server = served(quick=False, unfinished=2)
    for _ in range(2):
        server.accepted(LONG)
    assert_refused(server.submit(LONG), 429, "QuotaExceeded", "2")


def test_a_disk_that_refuses_is_an_internal_failure_and_no_task(served: Callable[..., Served]) -> None:
    server = served()
    (server.folder / "tasks").rmdir()
    (server.folder / "tasks").write_text("in the way")
    assert_refused(server.submit(SMALL), 500, "InternalServiceFailure")


def test_what_clients_break_off_or_garble_leaves_no_task_and_no_noise(
    served: Callable[..., Served], caplog: pytest.LogCaptureFixture
) -> None:
    server = served()
    for begun in (f"{HEAD}Content-Length: 1000\r\n\r\n{{", f"{HEAD}Content-Length: 30000000\r\n\r\n{{", HEAD, "G"):
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain:
            plain.sendall(begun.encode())
    for garbage in (b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n"):
        assert server.exchange(garbage).startswith(b"HTTP/1.0 400 ")
    assert server.get("/").status == 404
    assert list((server.folder / "tasks").iterdir()) == []
    assert list((server.folder / "inputs").iterdir()) == []
    assert caplog.text == ""


def test_the_gateway_s_replies_have_the_documented_shapes(api: Served) -> None:
    before = int(time.time())
    submitted = api.submit(SMALL).document
    assert submitted == {"task_id": submitted["task_id"], "status": "processing", "created_at": submitted["created_at"]}
    assert before <= submitted["created_at"] <= time.time()
    task_id = submitted["task_id"]
    done = api.ended(task_id)
    link = f"http://127.0.0.1:{api.port}/files/{task_id}.mp4"
    moment = done["status_update_time"]
    assert done == {"id": task_id, "status": "completed", "video_url": link, "status_update_time": moment}
    assert api.get(f"/v1/video/query?id={task_id}").document == {
        "id": task_id,
        "status": "completed",
        "progress": 100,
        "created_at": submitted["created_at"],
        "completed_at": moment,
        "video_url": link,
    }


def test_a_task_on_its_way_is_told_in_every_shape(served: Callable[..., Served]) -> None:
    server = served(quick=False, terms=Terms(concurrency=2))
    tasks = [server.accepted({**LONG, "payload": "mine"}) for _ in range(3)]
    waiting = tasks[-1]
    seen = server.get(f"/vidu/ent/v2/task/{waiting}/creations").document
    assert seen == {"id": waiting, "status": "processing", "status_update_time": seen["status_update_time"]}
    seen = server.get(f"/v1/video/query?id={waiting}").document
    assert seen == {"id": waiting, "status": "processing", "progress": 50, "created_at": seen["created_at"]}
    states = [server.get(f"/ent/v2/tasks/{task}/creations").document["state"] for task in tasks]
    assert states == ["processing", "processing", "queueing"]
    assert server.get(f"/ent/v2/tasks/{waiting}/creations").document == {
        "id": waiting,
        "state": "queueing",
        "err_code": "",
        "credits": 512,
        "payload": "mine",
        "bgm": False,
        "off_peak": False,
        "creations": [],
    }
    assert_refused(server.get(f"/files/{waiting}.mp4"), 404, "CreationNotFound")


def test_the_official_submit_reply_repeats_the_request_with_its_defaults(api: Served) -> None:
    request = {"model": "viduq3-turbo", "images": [FIRST, LAST], "duration": 1, "seed": 1309108947, "off_peak": True}
    reply = api.submit({**request, "payload": "run-7/job-3"}, OFFICIAL).document
    first, last = reply["images"]
    assert first != last
    assert reply == {
        "task_id": reply["task_id"],
        "state": "created",
        "model": "viduq3-turbo",
        "prompt": "",
        "images": [first, last],
        "duration": 1,
        "seed": 1309108947,
        "resolution": "720p",
        "audio": True,
        "bgm": False,
        "movement_amplitude": "auto",
        "payload": "run-7/job-3",
        "off_peak": True,
        "watermark": False,
        "credits": 6,
        "created_at": reply["created_at"],
    }
    look = read_submit(reply)
    assert (look.task_id, look.seed, look.credits, look.payload) == (reply["task_id"], 1309108947, 6, "run-7/job-3")
    assert look.created_at == pytest.approx(time.time(), abs=30)
    done = api.ended(reply["task_id"], "/ent/v2/tasks/{}/creations")
    link = f"http://127.0.0.1:{api.port}/files/{reply['task_id']}.mp4"
    assert done == {
        "id": reply["task_id"],
        "state": "success",
        "err_code": "",
        "credits": 6,
        "payload": "run-7/job-3",
        "bgm": False,
        "off_peak": True,
        "creations": [
            {"id": f"{reply['task_id']}-1", "url": link, "cover_url": "", "watermarked_url": link},
        ],
    }


def test_one_task_reads_the_same_through_all_three_queries(api: Served) -> None:
    task_id = api.accepted({**SMALL, "payload": "mine"}, OFFICIAL)
    looks = [read_task(api.ended(task_id))]
    looks += [read_task(api.get(path.format(task_id)).document) for path in ("/v1/video/query?id={}",)]
    looks += [read_task(api.get(f"/ent/v2/tasks/{task_id}/creations").document, watermark=True)]
    assert {look.task_id for look in looks} == {task_id}
    assert {look.phase for look in looks} == {Phase.SUCCEEDED}
    assert len({look.url for look in looks}) == 1
    assert {look.error for look in looks} == {None}
    assert looks[2].payload == "mine"
    assert looks[2].credits == 6


def test_a_frame_that_cannot_be_drawn_fails_its_task_and_costs_nothing(api: Served) -> None:
    task_id = api.accepted({**SMALL, "images": [damaged((400, 300)), image((400, 300))]})
    told = [
        read_task(api.ended(task_id, route))
        for route in ("/vidu/ent/v2/task/{}/creations", "/v1/video/query?id={}", "/ent/v2/tasks/{}/creations")
    ]
    assert {look.phase for look in told} == {Phase.FAILED}
    assert {look.error_code for look in told} == {"InternalServiceFailure"}
    assert all("the first frame cannot be read" in (look.error or "") for look in told)
    assert told[2].credits == 0


def test_without_a_seed_or_with_0_each_task_gets_a_random_one_and_tells_it(api: Served) -> None:
    replies = [api.submit({**SMALL, **seed}, OFFICIAL).document for seed in ({}, {}, {"seed": 0}, {"seed": 0})]
    seeds = {reply["seed"] for reply in replies}
    assert len(seeds) == 4
    assert all(1 <= seed < 2**31 for seed in seeds)


def test_the_same_seed_and_frames_give_the_same_bytes_and_another_seed_others(api: Served) -> None:
    first, again, other = (api.made({**SMALL, "seed": seed}) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_many_submissions_of_the_same_frames_at_once_are_tasks_of_their_own(served: Callable[..., Served]) -> None:
    server = served()
    request = {**SMALL, "seed": 3}
    with ThreadPoolExecutor(5) as crowd:
        tasks = list(crowd.map(lambda _: server.accepted(request), range(5)))
    assert len(set(tasks)) == 5
    assert {read_task(server.ended(task)).phase for task in tasks} == {Phase.SUCCEEDED}
    assert len(list((server.folder / "inputs").iterdir())) == 2
    videos = {path.read_bytes() for path in (server.folder / "videos").iterdir()}
    assert len(videos) == 1


@dataclass(frozen=True)
class Film:
    codec: str
    pixels: str
    size: tuple[int, int]
    rate: float
    frames: int
    seconds: float


def film(content: bytes) -> Film:
    verify(io.BytesIO(content), len(content))
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        count = sum(1 for _ in container.decode(stream))
        context = stream.codec_context
        return Film(
            context.name,
            context.pix_fmt,
            (context.width, context.height),
            float(stream.average_rate),
            count,
            float(stream.duration * stream.time_base),
        )


@pytest.mark.parametrize(
    ("request_", "sides", "size"),
    [
        ({"duration": 1, "resolution": "540p"}, (160, 90), (960, 540)),
        ({"duration": 2, "resolution": "720p"}, (90, 160), (720, 1280)),
        ({"model": "vidu2.0"}, (100, 100), (360, 360)),
        ({"duration": 1, "resolution": "1080p"}, (120, 90), (1440, 1080)),
    ],
)
def test_the_video_has_the_length_and_size_asked_for_in_the_first_frame_s_shape(
    api: Served, request_: dict[str, Any], sides: tuple[int, int], size: tuple[int, int]
) -> None:
    images = [image(sides), image((sides[0] + 4, sides[1]))]
    seconds = request_.get("duration", 4)
    made = film(api.made({"model": "viduq2-turbo", **request_, "images": images}))
    assert made == Film("h264", "yuv420p", size, 24.0, 24 * seconds, float(seconds))


def test_a_link_is_not_fetched_and_takes_the_shape_of_the_frame_beside_it(api: Served) -> None:
    for images in (
        ["https://example.com/a.png", image((90, 160))],
        [image((90, 160)), "http://localhost:9/" + "b" * 9999],
    ):
        assert film(api.made({**SMALL, "images": images})).size == (540, 960)
    links = ["https://example.com/first-frame.png", "https://example.com/last-frame.png"]
    assert film(api.made({**SMALL, "images": links})).size == (960, 540)


def test_a_part_of_the_video_can_be_asked_for(api: Served) -> None:
    task_id = api.accepted(SMALL)
    api.ended(task_id)
    whole = api.get(f"/files/{task_id}.mp4")
    assert whole.headers["Content-Type"] == "video/mp4"
    part = api.get(f"/files/{task_id}.mp4", Range="bytes=4-7")
    assert (part.status, part.body) == (206, b"ftyp")
    assert part.headers["Content-Range"] == f"bytes 4-7/{len(whole.body)}"


def test_a_video_that_was_removed_is_not_found(api: Served) -> None:
    task_id = api.accepted(SMALL)
    api.ended(task_id)
    (api.folder / "videos" / f"{task_id}.mp4").unlink()
    assert_refused(api.get(f"/files/{task_id}.mp4"), 404, "CreationNotFound")


def test_a_server_that_starts_again_knows_its_tasks_and_finishes_what_waits(tmp_path: Path) -> None:
    with Served(tmp_path / "api", quick=False, terms=Terms(concurrency=2)) as before:
        tasks = [before.accepted({**SMALL, "duration": 3, "seed": seed}, OFFICIAL) for seed in (1, 2, 3)]
    kept = [json.loads((tmp_path / f"api/tasks/{task}.json").read_text())["state"] for task in tasks]
    assert kept == ["processing", "processing", "created"]
    assert list((tmp_path / "api/videos").iterdir()) == []
    with Served(tmp_path / "api") as after:
        looks = [read_task(after.ended(task, "/ent/v2/tasks/{}/creations")) for task in tasks]
    assert [(look.task_id, look.phase) for look in looks] == [(task, Phase.SUCCEEDED) for task in tasks]
    with Served(tmp_path / "api") as again:
        assert read_task(again.get(f"/v1/video/query?id={tasks[0]}").document).phase is Phase.SUCCEEDED


def test_two_servers_do_not_share_a_folder(served: Callable[..., Served]) -> None:
    server = served()

    async def second() -> None:
        async with serving(server.folder):
            pass

    with pytest.raises(HeldElsewhere, match="another local API"):
        asyncio.run(second())
    assert server.get("/").status == 404


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"images": [], "colour": "red"}', '{"images": 1}'])
def test_a_damaged_task_file_is_named_and_nothing_is_served(tmp_path: Path, damage: str) -> None:
    (tmp_path / "api/tasks").mkdir(parents=True)
    (tmp_path / "api/tasks/x.json").write_text(damage)

    async def start() -> None:
        async with serving(tmp_path / "api"):
            pass

    with pytest.raises(StorageTrouble, match=r"api/tasks/x.json: "):
        asyncio.run(start())


def test_only_what_a_killed_server_left_half_made_is_removed(served: Callable[..., Served], tmp_path: Path) -> None:
    folder = tmp_path / "api"
    ours = [f"videos/.{'a' * 32}.part", f"tasks/.{'b' * 16}.new", "inputs/.taking-x/0"]
    others = ["videos/.mine.part", "videos/.gitkeep", "tasks/notes.new", "inputs/a.png", ".hidden.part"]
    for name in ours + others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    served()
    kept = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert kept == {*others, "serve.lock"}


PLAYED = """async () => {
  const video = document.querySelector('video');
  video.muted = true;
  await video.play();
  if (!video.ended) await new Promise((ended, failed) => { video.onended = ended; video.onerror = failed; });
  return [video.videoWidth, video.videoHeight, video.duration, video.currentTime, video.error];
}"""


@pytest.mark.browser
def test_a_browser_plays_the_link_to_its_end(api: Served) -> None:
    link = api.ended(api.accepted(SMALL))["video_url"]
    with launched() as chromium, chromium.new_page() as page:
        page.goto(link)
        assert page.evaluate(PLAYED) == [960, 540, 1, 1, None]


# What each parameter does to the video


def streams(content: bytes) -> tuple[set[str], dict[str, str]]:
    """The kinds of streams, and the file's metadata."""
    with av.open(io.BytesIO(content)) as container:
        return {stream.type for stream in container.streams}, dict(container.metadata)


def still(content: bytes, number: int = 12) -> Image.Image:
    with av.open(io.BytesIO(content)) as container:
        frames = list(container.decode(video=0))
        return frames[number].to_image()


def corner(picture: Image.Image, position: int) -> Image.Image:
    """A third of the width and a quarter of the height: 1 top left, then clockwise."""
    width, height = picture.size
    left = 0 if position in (1, 4) else width - width // 3
    top = 0 if position in (1, 2) else height - height // 4
    return picture.crop((left, top, left + width // 3, top + height // 4))


def differ(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).max())


@pytest.mark.parametrize(
    ("request_", "kinds"),
    [
        ({"model": "viduq3-pro"}, {"video", "audio"}),
        ({"model": "viduq3-pro", "audio": False}, {"video"}),
        ({"model": "viduq2-turbo", "audio": True}, {"video"}),
        ({"model": "viduq2-turbo", "bgm": True}, {"video", "audio"}),
        ({"model": "viduq3-pro", "audio": False, "bgm": True}, {"video"}),
    ],
)
def test_sound_and_music_are_there_where_the_model_makes_them(
    api: Served, request_: dict[str, Any], kinds: set[str]
) -> None:
    assert streams(api.made({**SMALL, "seed": 3, **request_}))[0] == kinds


@pytest.mark.parametrize("position", [1, 2, 3, 4])
def test_a_watermark_stands_in_the_corner_asked_for(api: Served, position: int) -> None:
    plain = still(api.made({**SMALL, "seed": 5}))
    marked = still(api.made({**SMALL, "seed": 5, "watermark": True, "wm_position": position}))
    assert differ(corner(plain, position), corner(marked, position)) > 60
    opposite = {1: 3, 2: 4, 3: 1, 4: 2}[position]
    if opposite != 4:  # where the badge stands, which makes room
        assert differ(corner(plain, opposite), corner(marked, opposite)) < 40


def test_a_watermark_without_a_position_stands_at_the_lower_right(api: Served) -> None:
    plain, marked = (still(api.made({**SMALL, "seed": 5, **more})) for more in ({}, {"watermark": True}))
    assert differ(corner(plain, 3), corner(marked, 3)) > 60


def test_a_watermark_of_one_s_own_is_another_picture_than_the_usual_text(api: Served) -> None:
    asked = {**SMALL, "seed": 5, "watermark": True}
    usual, own = (still(api.made(r)) for r in (asked, {**asked, "wm_url": "https://example.com/logo.png"}))
    assert differ(corner(usual, 3), corner(own, 3)) > 60


def test_the_file_says_what_it_was_made_of_and_carries_the_user_s_label(api: Served) -> None:
    label = '{"Label": "made by me", "n": 1}'
    _, facts = streams(api.made({**SMALL, "seed": 7, "prompt": "a boat", "meta_data": label}))
    assert (facts["model"], facts["seed"], facts["prompt"]) == ("viduq2-turbo", "7", "a boat")
    assert facts["meta_data"] == label
    assert "rehearsal" in facts["comment"]


def test_a_recommended_prompt_takes_the_place_of_the_user_s(api: Served) -> None:
    _, facts = streams(api.made({**SMALL, "seed": 7, "prompt": "a boat", "is_rec": True}))
    assert facts["prompt"]
    assert facts["prompt"] != "a boat"


def test_a_voice_and_a_payload_change_nothing_in_the_video(api: Served) -> None:
    plain = api.made({**SMALL, "seed": 9})
    assert api.made({**SMALL, "seed": 9, "voice_id": "anyone", "payload": "mine"}) == plain
