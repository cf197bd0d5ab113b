"""Shared by all tests: frames to send, specs to write, the real command in a subprocess. Nothing stands in for ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fault_server import FaultServer
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Every test starts the command anew, compiled once, as it is installed.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

KEY = "sk-secret-of-the-tests"
IMAGES = ["frames/a.png", "frames/b.png"]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = self.document["counts"]
        return counts


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VIDU", "OCTOPUSX", "GITHUB_"))}
    return {
        **kept,
        "VIDU_API_KEY": KEY,
        "VIDU_RUN_LOCAL_RENDER": "quick",
        "PYTHONWARNINGS": "error",
        "XDG_CONFIG_HOME": "/dev/null",
    } | more


class Folder:
    """A spec repository in a temporary folder, and the command run in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "frames").mkdir(parents=True)

    def frame(self, name: str, colour: str = "teal", size: tuple[int, int] = (96, 54)) -> str:
        image = Image.new("RGB", size, colour)
        ImageDraw.Draw(image).ellipse((5, 5, 30, 30), fill=name_colour(name))
        image.save(self.path / "frames" / name)
        return f"frames/{name}"

    def write(self, text: str, name: str = "jobs.yaml") -> Path:
        path = self.path / name
        path.write_text(text, encoding="utf-8")
        return path

    def sweep(self, seeds: int = 3, extra: str = "", prompt: str = "a harbour", **request: Any) -> Path:
        """A spec of one pair and some seeds at octopusx, impatient enough for a test."""
        for name in ("a.png", "b.png"):
            if not (self.path / "frames" / name).exists():
                self.frame(name)
        fields = {"model": "viduq2-turbo", "duration": 1, "resolution": "540p", "prompt": prompt, **request}
        lines = "".join(f"      {field}: {json.dumps(value)}\n" for field, value in fields.items())
        return self.write(
            "version: 1\nprovider: octopusx\n"
            "timing: {poll_min: 0.05, poll_max: 0.2, submit_timeout: 2, settle: 0.5, backoff: 0.02, drain: 5,"
            " download_timeout: 2, task_deadline: 20}\n"
            f"{extra}jobs:\n"
            "  - name: job-{{ seed }}\n"
            f"    matrix: {{seed: {{range: [1, {seeds}]}}}}\n"
            "    request:\n"
            '      images: [frames/a.png, frames/b.png]\n      seed: "{{ seed }}"\n' + lines
        )

    def __call__(self, *words: str, timeout: float = 60, **more: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "vidu_run", *words],
            cwd=self.path,
            env=environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "vidu_run", *words],
            cwd=self.path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def buy(self, server: FaultServer, *words: str, spec: str = "jobs.yaml") -> Result:
        """Run the spec against the fault server with everything allowed, and read the JSON summary."""
        return self("run", spec, "--base-url", server.base_url, "--yes", "--json", *words)


def spec(folder: Folder, provider: str = "octopusx", **fields: Any) -> Path:
    """A spec of one job; a field given as `...` is left out."""
    request = {"model": "viduq2-turbo", "images": IMAGES, **fields}
    given = {name: value for name, value in request.items() if value is not ...}
    return folder.write(f"version: 1\nprovider: {provider}\njobs:\n  - name: job\n    request: {json.dumps(given)}\n")


def name_colour(name: str) -> tuple[int, int, int]:
    return (len(name) * 20 % 255, sum(name.encode()) % 255, 90)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "repo")


@pytest.fixture
def frames(folder: Folder) -> Folder:
    """A folder with the two frames of `IMAGES` in it."""
    folder.frame("a.png")
    folder.frame("b.png", "red")
    return folder


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real MP4, from the project's own renderer at its smallest setting."""
    from io import BytesIO

    from vidu_run.local.render import Scene, render

    still = BytesIO()
    Image.effect_noise((320, 180), 60).convert("RGB").save(still, "PNG")
    target = tmp_path_factory.mktemp("video") / "clip.mp4"
    render(Scene(still.getvalue(), still.getvalue(), 1, "360p", 1, "test", quick=True), target)
    return target.read_bytes()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """While it is open its thread has a running loop: a module that uses it runs no loop of its own."""
    from browser import launched

    with launched() as browser:
        yield browser


@pytest.fixture
def server(video: bytes) -> Iterator[FaultServer]:
    with FaultServer(video) as running:
        yield running


@pytest.fixture
def servers(video: bytes) -> Iterator[Callable[..., FaultServer]]:
    """Makes more servers, for a test that needs another host or one that goes away."""
    opened: list[FaultServer] = []

    def make(**settings: Any) -> FaultServer:
        running = FaultServer(video, **settings).__enter__()
        opened.append(running)
        return running

    yield make
    for running in opened:
        running.__exit__()
