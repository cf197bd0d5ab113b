"""A service that makes no videos: tasks of a given length over bare sockets, so that a client's cost can be measured.

It answers in the words of octopusx (one task a query) and of Vidu (also lists by `task_ids`), counts the requests, and
notes how long after its end each task was first told to have ended. `--ignores-ids`: its list is the latest tasks,
whatever was asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ROWS = 100
CREDITS = 40


@dataclass
class Task:
    id: str
    ends: float
    payload: str
    seen: float | None = None


@dataclass
class Service:
    video: bytes
    median: float
    spread: float
    ignores_ids: bool
    url: str = ""
    tasks: dict[str, Task] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("submit", "query", "list", "file"), 0))
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    peak: int = 0
    running: list[float] = field(default_factory=list)

    def answer(self, method: str, target: str, body: bytes) -> tuple[str, bytes]:
        parts = urlsplit(target)
        words = parts.path.strip("/").split("/")
        if parts.path == "/stats":
            return "application/json", json.dumps(self.stats()).encode()
        if words[0] == "file":
            self.requests["file"] += 1
            return "video/mp4", self.video
        if method == "POST":
            return "application/json", json.dumps(self._submit(body, "vidu" in words)).encode()
        if words[-1] == "creations":
            self.requests["query"] += 1
            return "application/json", json.dumps(self._shown(self.tasks[words[-2]], "vidu" in words)).encode()
        self.requests["list"] += 1
        return "application/json", json.dumps(self._listed(parse_qs(parts.query).get("task_ids", []))).encode()

    def _submit(self, body: bytes, gateway: bool) -> dict[str, object]:
        self.requests["submit"] += 1
        now = time.time()
        length = self.median * math.exp(self.spread * self.chance.gauss(0, 1))
        task = Task(f"{len(self.tasks) + 10**17}", now + length, json.loads(body).get("payload", ""))
        self.tasks[task.id] = task
        while self.running and self.running[0] < now:
            heapq.heappop(self.running)
        heapq.heappush(self.running, task.ends)
        self.peak = max(self.peak, len(self.running))
        return (
            {"task_id": task.id, "status": "processing"}
            if gateway
            else {
                "task_id": task.id,
                "state": "created",
                "credits": CREDITS,
            }
        )

    def _shown(self, task: Task, gateway: bool) -> dict[str, object]:
        ended = time.time() >= task.ends
        if ended and task.seen is None:
            task.seen = time.time()
        link = f"{self.url}/file/{task.id}.mp4"
        if gateway:
            return (
                {"id": task.id, "status": "completed", "video_url": link}
                if ended
                else {"id": task.id, "status": "processing"}
            )
        made = [{"id": "1", "url": link, "watermarked_url": link}] if ended else []
        return {
            "id": task.id,
            "state": "success" if ended else "processing",
            "credits": CREDITS,
            "creations": made,
            "payload": task.payload,
        }

    def _listed(self, asked: list[str]) -> dict[str, object]:
        latest = list(self.tasks.values())[: -ROWS - 1 : -1]
        wanted = {part for each in asked for part in each.split(",")}
        found = latest if self.ignores_ids or not wanted else [self.tasks[one] for one in wanted if one in self.tasks]
        return {"tasks": [self._shown(task, False) for task in found[:ROWS]], "next_page_token": ""}

    def stats(self) -> dict[str, object]:
        delays = sorted(task.seen - task.ends for task in self.tasks.values() if task.seen is not None)
        middle = {"mean": sum(delays) / len(delays), "p95": delays[int(len(delays) * 0.95)]} if delays else {}
        return {"requests": self.requests, "delay": middle, "tasks": len(self.tasks), "peak": self.peak}


class Connection(asyncio.Protocol):
    """One client's connection; whole requests are answered at once."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._held = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        for method, target, body in self._whole():
            kind, content = self._service.answer(method, target, body)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
            self._transport.write(head.encode() + content)

    def _whole(self) -> Iterator[tuple[str, str, bytes]]:
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._held[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", 0))
            if len(self._held) < end + 4 + length:
                return
            body = bytes(self._held[end + 4 : end + 4 + length])
            del self._held[: end + 4 + length]
            method, target, _ = first.split(" ")
            yield method, target, body


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--median", type=float, default=2.0)
    parser.add_argument("--spread", type=float, default=0.0, help="of the logarithm; 0: every task takes as long")
    parser.add_argument("--ignores-ids", action="store_true")
    wish = parser.parse_args()
    service = Service(wish.video.read_bytes(), wish.median, wish.spread, wish.ignores_ids)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(service), "127.0.0.1", 0, backlog=1024)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(service.url, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
