"""What a job of a run costs, against the least that any program would do for it (`bare.py`), and against the least that
is durable (`least.py`), in the same run.

Starts a service on loopback whose tasks take a given time, lets both buy the same number of clips from it, and prints
CPU per job, wall over ideal (jobs x task time / concurrency), requests per job, and how long after its end a task was
seen. vidu-run is measured as a process: start, checks, plan, journal, page and all.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from PIL import Image

HERE = Path(__file__).parent
WITHOUT_POSTERS = "import sys; sys.modules['av'] = None; from vidu_run.cli import main; main()"
"""As installed without the extra that brings a video decoder: posters cost what they cost to everybody."""


@dataclass(frozen=True)
class Way:
    """`script` is a program beside this one that is measured instead of vidu-run."""

    name: str
    provider: str = ""
    script: str = ""
    polls: float | None = None
    posters: bool = False
    ignores_ids: bool = False
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    cpu: float
    wall: float
    memory: float
    stats: dict[str, Any]


@contextmanager
def service(video: Path, *wishes: str) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, str(HERE / "service.py"), str(video), *wishes], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def measured(words: Sequence[str], folder: Path, url: str) -> Cost:
    # As installed: packages compiled.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**own, "VIDU_API_KEY": "bench", "COLUMNS": "100"}
    with tempfile.TemporaryFile() as out:
        begun = time.monotonic()
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        out.seek(0)
        assert status == 0, out.read()[-3000:].decode()
    with urllib.request.urlopen(f"{url}/stats") as reply:
        stats = json.load(reply)
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, stats)


def write_video(target: Path) -> None:
    with av.open(str(target), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        for number in range(12):
            picture = Image.new("RGB", (64, 36), (number * 20, 90, 120))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())


def write_spec(folder: Path, way: Way, jobs: int) -> Path:
    timing = f"timing: {{poll_min: {way.polls}, poll_max: 15}}\n" if way.polls else ""
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 36), (40, 90, 160)).save(folder / "a.png")
    spec = folder / "jobs.yaml"
    spec.write_text(
        f"version: 1\nprovider: {way.provider}\nmax_jobs: 1000000\n{timing}"
        "defaults: {model: viduq2-turbo, duration: 5, resolution: 720p}\n"
        'jobs:\n  - name: "s{{ seed }}"\n'
        f"    matrix: {{seed: {{range: [1, {jobs}]}}}}\n"
        '    request: {images: [a.png, a.png], prompt: a boat, seed: "{{ seed }}"}\n'
    )
    return spec


def cost_of(way: Way, folder: Path, wish: argparse.Namespace) -> Cost:
    words = ["--median", str(wish.task), "--spread", str(wish.spread)]
    with service(wish.video, *words, *(["--ignores-ids"] if way.ignores_ids else [])) as url:
        if way.script:
            (folder / "out").mkdir(parents=True)
            numbers = ["--jobs", str(wish.jobs), "--concurrency", str(wish.concurrency), *way.words]
            Image.new("RGB", (64, 36), (40, 90, 160)).save(folder / "a.png")
            return measured([sys.executable, str(HERE / way.script), url, "a.png", "out", *numbers], folder, url)
        spec = write_spec(folder, way, wish.jobs)
        program = ["-m", "vidu_run"] if way.posters else ["-c", WITHOUT_POSTERS]
        run = ["run", spec.name, "--yes", "--concurrency", str(wish.concurrency), "--base-url", url]
        return measured([sys.executable, *program, *run], folder, url)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--task", type=float, default=2.0, help="seconds a task takes, the median of them")
    parser.add_argument("--spread", type=float, default=0.0, help="of the logarithm of these seconds")
    parser.add_argument("--times", type=int, default=3, help="of each way that of the middle CPU is shown")
    parser.add_argument("--only", help="ways whose name has this in it, beside the bare one")
    wish = parser.parse_args()
    ways = [
        Way("bare, every 0.25 s", script="bare.py"),
        Way("the least durable, lists", script="least.py", words=("--usual", str(wish.task))),
        Way("one task a query", "octopusx", polls=0.1),
        Way("a list of tasks", "vidu", polls=0.1),
        Way("a list that is not by ids", "vidu", polls=0.1, ignores_ids=True),
        Way("with posters", "vidu", polls=0.1, posters=True),
    ]
    print(f"{wish.jobs} jobs, {wish.concurrency} at once, tasks of {wish.task:g} s, spread {wish.spread:g}")
    print("way                        CPU ms/job  of bare  wall/ideal  of bare  requests/job  seen after s    p95   MB")
    ways = [way for way in ways if way is ways[0] or not wish.only or wish.only in way.name]
    costs: dict[Way, list[Cost]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as scratch:
        wish.video = Path(scratch) / "clip.mp4"
        write_video(wish.video)
        # In turns: a machine has better and worse minutes.
        for turn in range(wish.times):
            for number, way in enumerate(ways):
                print(f"turn {turn + 1} of {wish.times}: {way.name}", file=sys.stderr)
                costs[way].append(cost_of(way, Path(scratch) / f"{turn}-{number}", wish))
    bare = middle(costs[ways[0]])
    for way in ways:
        print(line(way, middle(costs[way]), bare, wish))


def middle(costs: Sequence[Cost]) -> Cost:
    return sorted(costs, key=lambda cost: cost.cpu)[len(costs) // 2]


def line(way: Way, cost: Cost, bare: Cost, wish: argparse.Namespace) -> str:
    counted, delay = cost.stats["requests"], cost.stats["delay"]
    asked = (counted["query"] + counted["list"]) / wish.jobs
    ideal = wish.jobs * wish.task / wish.concurrency
    spent = f"{cost.cpu / wish.jobs * 1000:>10.2f} {cost.cpu / bare.cpu:>8.2f}"
    lasted = f"{cost.wall / ideal:>11.3f} {cost.wall / bare.wall:>8.3f}"
    seen = f"{asked:>13.2f} {delay['mean']:>13.3f} {delay['p95']:>6.3f}"
    return f"{way.name:<26} {spent} {lasted} {seen} {cost.memory:>4.0f}"


if __name__ == "__main__":
    main()
