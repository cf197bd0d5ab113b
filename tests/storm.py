"""`make storm`: kill the real command again and again under faulty submits, then audit what it left behind.

A quarter of the submits meet a fault. Kills come at random moments and at chosen points of the protocol. Prints one
table; ends with 1 if a job was bought twice, a bought task is unknown, a file is damaged, or (where the provider
lists its tasks) a job is in doubt that the server had accepted.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from conftest import Folder
from fault_server import FaultServer
from PIL import Image

from vidu_run.local.render import Scene, render

FAULTS = [
    "lost-reply",
    "reset-after",
    "500-accepted",
    "html-accepted",
    "cut-reply",
    "500-refused",
    "html",
    "no-id",
    "reset-on-headers",
    "429",
    "redirect",
]
POINTS = ["headers", "body", "accepted", "replied", "asked", "downloading"]
FAULTY = 0.25
JOBS = 24


@dataclass
class Tally:
    kills: int = 0
    runs: int = 0
    posts: int = 0
    accepted: int = 0
    double: int = 0
    unknown: int = 0
    damaged: int = 0
    doubts: int = 0
    doubts_of_accepted: int = 0
    by_point: dict[str, int] = field(default_factory=dict)

    def bad(self, lists: bool) -> bool:
        return bool(self.double or self.unknown or self.damaged or (lists and self.doubts_of_accepted))


class Killer:
    """Kills the running command, at a moment or when the server reaches a point for the n-th time."""

    def __init__(self, dice: random.Random, tally: Tally) -> None:
        self._dice = dice
        self._tally = tally
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._point = ""
        self._left = 0

    def aim(self, process: subprocess.Popen[str]) -> None:
        with self._lock:
            self._process = process
            self._point = self._dice.choice([*POINTS, "random", "random"])
            self._left = self._dice.randint(1, 8)
        if self._point == "random":
            threading.Timer(self._dice.uniform(0.5, 3.0), self._kill, [process, "random"]).start()

    def at(self, point: str) -> None:
        with self._lock:
            if point != self._point or self._process is None:
                return
            self._left -= 1
            if self._left:
                return
            process, self._process = self._process, None
        self._kill(process, point)

    def _kill(self, process: subprocess.Popen[str], point: str) -> None:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            self._tally.kills += 1
            self._tally.by_point[point] = self._tally.by_point.get(point, 0) + 1


def storm_one(where: Path, video: bytes, provider: str, dice: random.Random, tally: Tally, kills: int) -> None:
    """One folder: kill its runs until they end by themselves, then audit it."""
    folder = Folder(where)
    spec = folder.sweep(JOBS, extra="concurrency: 6\n")
    spec.write_text(spec.read_text().replace("task_deadline: 20", "task_deadline: 1"))
    killer = Killer(dice, tally)
    with FaultServer(video, task_seconds=0.15) as server:
        server.any_fault = lambda: dice.choice(FAULTS) if dice.random() < FAULTY else "ok"
        server.at = killer.at
        words = ("run", "jobs.yaml", "--base-url", server.base_url, "--yes", "--provider", provider)
        for _ in range(60):
            process = folder.start(*words)
            tally.runs += 1
            if tally.kills < kills:
                killer.aim(process)
            process.communicate()
            if process.returncode in (0, 1, 4):
                break
        server.any_fault = lambda: "ok"
        folder(*words)
        audit(folder, server, provider, tally)


def audit(folder: Folder, server: FaultServer, provider: str, tally: Tally) -> None:
    out = next(folder.path.glob("out/*"))
    db = sqlite3.connect(out / "state.db")
    rows = db.execute("SELECT key, state, task_id, file FROM attempts WHERE state != 'not_sent'").fetchall()
    db.close()
    known = {task for _, _, task, _ in rows if task}
    doubtful = {key[:24] for key, state, _, _ in rows if state in ("in_doubt", "intent")}
    tally.posts += len(server.ledger)
    tally.accepted += len(server.accepted)
    tally.double += len(server.double_spent())
    for posted in server.accepted:
        key = posted.body["payload"].split(".")[1]
        if posted.task_id not in known and key not in doubtful:
            tally.unknown += 1
        if key in doubtful:
            tally.doubts_of_accepted += 1
    tally.doubts += len(doubtful)
    for _, state, _, file in rows:
        if state == "done" and (out / file).read_bytes() != server.video:
            tally.damaged += 1


def a_video(where: Path) -> bytes:
    still = BytesIO()
    Image.effect_noise((320, 180), 60).convert("RGB").save(still, "PNG")
    render(Scene(still.getvalue(), still.getvalue(), 1, "360p", 1, "storm", quick=True), where / "clip.mp4")
    return (where / "clip.mp4").read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    wish = parser.parse_args()
    print(f"seed {wish.seed}")
    bad = False
    for provider, lists in (("octopusx", False), ("vidu", True)):
        dice, tally = random.Random(f"{wish.seed}-{provider}"), Tally()
        with tempfile.TemporaryDirectory() as scratch:
            video = a_video(Path(scratch))
            number = 0
            while tally.kills < wish.kills / 2:
                number += 1
                storm_one(Path(scratch) / f"repo-{number}", video, provider, dice, tally, wish.kills // 2)
                sys.stdout.write(f"\r{provider}: {tally.kills} kills ")
                sys.stdout.flush()
        print(f"\n{provider}: {tally}")
        bad = bad or tally.bad(lists)
    print("BAD" if bad else "sound: nothing bought twice, nothing paid for lost, no file damaged")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
