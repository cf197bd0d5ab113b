"""`vidu-run serve` as a process: the seed page's own curl works against it, and it ends and restarts as it should."""

from __future__ import annotations

import base64
import errno
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import pytest
from conftest import KEY, Folder, environment
from PIL import Image

PATIENCE = 30.0
HOST = "https://octopusx.ai"

REQUEST_EXAMPLE = """\
curl -X POST https://octopusx.ai/vidu/ent/v2/start-end2video \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "viduq3-pro",
    "images": [
      "https://example.com/first-frame.png",
      "https://example.com/last-frame.png"
    ],
    "prompt": "Smooth transition",
    "audio": false,
    "is_rec": false,
    "bgm": false,
    "duration": 5,
    "seed": 0,
    "resolution": "720p"
  }'
"""
"""Of the octopusx page, byte for byte."""

FIELD_LIST = """\
curl --request POST \\
  --url https://octopusx.ai/vidu/ent/v2/start-end2video \\
  --header 'Authorization: Bearer <token>' \\
  --header 'Content-Type: application/json' \\
  --data '
{
  "model": "<string>",
  "images": [
    {}
  ],
  "prompt": "<string>",
  "audio": true,
  "voice_id": "<string>",
  "is_rec": true,
  "bgm": true,
  "duration": 123,
  "seed": 123,
  "resolution": "<string>",
  "off_peak": true,
  "watermark": true,
  "wm_position": 123,
  "wm_url": "<string>",
  "payload": "<string>",
  "meta_data": "<string>"
}
'
"""
"""The same page's list of all fields in the form of a command; its values are placeholders."""


class Serve:
    """The command in a process of its own, in a folder of its own."""

    def __init__(self, home: Path, *words: str, **more: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vidu_run", "serve", *(words or ("--port", "0"))],
            cwd=home,
            env=environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.submit_url = self.process.stdout.readline().strip()
        self.base_url = self.submit_url.partition("/vidu/")[0]

    @property
    def port(self) -> int:
        return int(self.base_url.rpartition(":")[2])

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.base_url + path, timeout=PATIENCE) as reply:
            return json.load(reply)

    def submit(self, **request: Any) -> str:
        body = json.dumps(request).encode()
        posted = urllib.request.Request(self.submit_url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(posted, timeout=PATIENCE) as reply:
            task_id: str = json.load(reply)["task_id"]
            return task_id

    def completed(self, task_id: str) -> Any:
        return until(lambda: self._completed(task_id))

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, float]:
        """Exit code, standard error, and the seconds it took."""
        begun = time.monotonic()
        self.process.send_signal(number)
        _, told = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, told, time.monotonic() - begun

    def _completed(self, task_id: str) -> Any:
        document = self.get(f"/vidu/ent/v2/task/{task_id}/creations")
        assert document["status"] in ("processing", "completed"), document
        return document if document["status"] == "completed" else None


def until(look: Callable[[], Any]) -> Any:
    """What `look` gives as soon as it gives something."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """One that several tests share."""
    server = Serve(tmp_path_factory.mktemp("serve"), "--port", "0", "--links", "stand-in")
    yield server
    assert server.end()[0] == 0


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Serve]]:
    started: list[Serve] = []

    def start(*words: str, **more: str) -> Serve:
        started.append(Serve(tmp_path / "home", *words, **more))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def refused(*words: str, cwd: Path, shim: str = "pass") -> tuple[int, str]:
    """Exit code and standard error of a `serve` that must not start."""
    program = f"import sys; {shim}; from vidu_run.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", *words],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def frame(colour: str) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (96, 54), colour).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def endless(server: Serve, count: int) -> list[str]:
    """Tasks that take many seconds at any effort; the first is being rendered on return."""
    images = [frame("teal"), frame("orange")]
    tasks = [server.submit(model="viduq3-pro", images=images, duration=16, resolution="1080p") for _ in range(count)]
    until(lambda: list((server.home / "vidu-local-api/videos").glob(".*.part")))
    return tasks


def curl(command: str, base_url: str) -> Any:
    """Run a command of the page in a shell, with nothing but the host replaced."""
    assert command.count(HOST) == 1
    done = subprocess.run(
        ["bash", "-c", command.replace(HOST, base_url)], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_page_s_curl_command_ends_in_the_video_it_asks_for(running: Serve, tmp_path: Path) -> None:
    assert running.submit_url == f"http://127.0.0.1:{running.port}/vidu/ent/v2/start-end2video"
    reply = curl(REQUEST_EXAMPLE, running.base_url)
    assert set(reply) == {"task_id", "status", "created_at"}
    assert reply["status"] == "processing"
    assert isinstance(reply["created_at"], int)
    done = running.completed(reply["task_id"])
    video = tmp_path / "result.mp4"
    subprocess.run(["curl", "-fsS", "-o", video, done["video_url"]], check=True, timeout=PATIENCE)
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", 24)
        assert (stream.codec_context.width, stream.codec_context.height) == (1280, 720)
        assert stream.duration * stream.time_base == 5
        assert sum(1 for _ in container.decode(stream)) == 120


def test_the_page_s_list_of_placeholders_is_refused_in_the_official_envelope(running: Serve) -> None:
    envelope = curl(FIELD_LIST, running.base_url)
    assert set(envelope) == {"code", "reason", "message", "metadata"}
    assert (envelope["code"], envelope["reason"]) == (400, "FieldInvalid")


def test_killed_in_the_middle_it_finishes_its_tasks_after_the_next_start(serve: Callable[..., Serve]) -> None:
    first = serve()
    images = [frame("teal"), frame("orange")]
    request = {"model": "viduq3-pro", "images": images, "duration": 3, "resolution": "540p"}
    tasks = [first.submit(seed=seed, **request) for seed in (1, 2, 3)]
    videos = first.home / "vidu-local-api/videos"
    until(lambda: list(videos.glob(".*.part")))
    first.process.kill()
    assert first.process.wait(PATIENCE) == -signal.SIGKILL
    assert len(list(videos.glob("*.mp4"))) < len(tasks)
    second = serve()
    assert [second.completed(task)["id"] for task in tasks] == tasks
    assert sorted(path.name for path in videos.iterdir()) == sorted(f"{task}.mp4" for task in tasks)


@pytest.mark.parametrize(("number", "effort"), [(signal.SIGINT, "quick"), (signal.SIGTERM, "full")])
def test_a_signal_ends_it_at_once_even_while_it_renders(serve: Callable[..., Serve], number: int, effort: str) -> None:
    server = serve(VIDU_RUN_LOCAL_RENDER=effort)
    endless(server, 3)
    code, told, seconds = server.end(number)
    assert code == 0
    assert seconds < 10
    assert "Traceback" not in told
    assert len(told.splitlines()) == 1
    assert list((server.home / "vidu-local-api/videos").iterdir()) == []


def test_a_signal_ends_it_at_once_even_while_a_client_dawdles(serve: Callable[..., Serve]) -> None:
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as idle:
        head = "POST /vidu/ent/v2/start-end2video HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        idle.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        code, told, seconds = server.end()
    assert (code, len(told.splitlines())) == (0, 1)
    assert seconds < 10


def test_a_port_in_use_is_one_clear_line_and_exit_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, told = refused("--port", str(port), cwd=tmp_path)
    assert code == 2
    reason = os.strerror(errno.EADDRINUSE)
    assert told == f"vidu-run: cannot listen on 127.0.0.1:{port} ({reason}); --port 0 takes a free port\n"


def test_without_the_local_extra_it_says_what_to_install_and_exits_2(tmp_path: Path) -> None:
    code, told = refused("--port", "0", cwd=tmp_path, shim="sys.modules['av'] = None")
    assert code == 2
    assert len(told.splitlines()) == 1
    assert "pip install 'vidu-run[local]'" in told
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_one_clear_line_and_exit_6(running: Serve) -> None:
    code, told = refused("--port", "0", cwd=running.home)
    assert code == 6
    assert told == "vidu-run: vidu-local-api: another local API works in this folder\n"


def test_a_folder_that_cannot_be_used_is_one_clear_line_and_exit_7(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, told = refused("--port", "0", "--folder", "file/api", cwd=tmp_path)
    assert (code, len(told.splitlines())) == (7, 1)
    assert "file/api" in told


def test_the_account_is_what_the_options_say(serve: Callable[..., Serve]) -> None:
    bounds = ("--credits", "100", "--concurrency", "2", "--rate", "50", "--speed", "0.1")
    server = serve("--port", "0", *bounds)
    images = [frame("teal"), frame("orange")]
    for _ in range(3):
        server.submit(model="viduq2-turbo", images=images, duration=1, resolution="540p")
    remains = {"credit_remain": 82, "concurrency_limit": 2, "current_concurrency": 2, "queue_count": 1}
    assert server.get("/ent/v2/credits")["remains"] == [{"type": "metered", **remains}]
    with ThreadPoolExecutor(8) as crowd, pytest.raises(urllib.error.HTTPError, match="429"):
        list(crowd.map(lambda _: server.get("/ent/v2/credits"), range(400)))


def test_a_paid_run_works_against_it_with_a_key_of_its_file_and_with_no_other(
    serve: Callable[..., Serve], folder: Folder
) -> None:
    keys = folder.write(f"first-key\n\n  {KEY}  \n", "keys.txt")
    server = serve("--port", "0", "--key-file", str(keys))
    spec = folder.sweep(seeds=2)
    spec.write_text(spec.read_text().replace("octopusx", "vidu"))
    words = ("run", "jobs.yaml", "--base-url", server.base_url, "--yes", "--json")
    stopped = folder(*words, VIDU_API_KEY="sk-another")
    assert (stopped.code, "Unauthorized" in stopped.err) == (5, True), stopped.err
    done = folder(*words)
    assert (done.code, done.counts()) == (0, {"done": 2})
    assert KEY not in server.end()[1]
    written = list((server.home / "vidu-local-api").rglob("*.json"))
    assert written
    assert not [path for path in written if KEY in path.read_text()]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"\n \n", "holds no key"),
        (b"good\nsecret two\n", "holds a key with a blank or a control character"),
        (b"\xff\xfe", "is no text"),
    ],
)
def test_a_key_file_that_makes_no_sense_is_one_clear_line_and_exit_2(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
    assert refused("--port", "0", "--key-file", "keys", cwd=tmp_path) == (2, f"vidu-run: --key-file keys: {told}\n")
    assert not (tmp_path / "vidu-local-api").exists()


def test_it_listens_on_127_0_0_1_alone(running: Serve) -> None:
    with socket.create_connection(("127.0.0.1", running.port), PATIENCE):
        pass
    for address in ("127.0.0.2", "::1"):
        with pytest.raises(OSError), socket.create_connection((address, running.port), 5):
            pass


def test_it_writes_nothing_but_its_folder(serve: Callable[..., Serve], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), str(elsewhere))
    server = serve("--port", "0", "--links", "stand-in", **places, PYTHONDONTWRITEBYTECODE="1")
    images = [frame("teal"), "https://example.com/last.png"]
    server.completed(server.submit(model="viduq2-turbo", images=images, duration=1, resolution="540p"))
    assert server.end()[0] == 0
    assert [path.name for path in server.home.iterdir()] == ["vidu-local-api"]
    assert list(elsewhere.iterdir()) == []
