"""An API that misbehaves on request, over raw sockets, and keeps a ledger of what it accepted.

Each POST takes the next word of `faults` (then "ok"); each download the next word of `download_faults`. A redirect may
be written with its target: "redirect-accepted to URL".
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

ACCEPTED_FAULTS = {
    "ok",
    "lost-reply",
    "reset-after",
    "500-accepted",
    "hang-accepted",
    "html-accepted",
    "cut-reply",
    "slow-reply",
    "redirect-accepted",
}
Script = Callable[[asyncio.StreamWriter], Awaitable[object]]
"""Writes whatever it likes where a reply belongs; then the connection is closed."""

SUBMIT = "/vidu/ent/v2/start-end2video"
OFFICIAL_SUBMIT = "/ent/v2/start-end2video"


@dataclass
class Posted:
    """One POST whose body arrived whole. `task_id` is None where the server did not accept it."""

    body: dict[str, Any]
    headers: dict[str, str]
    at: float
    task_id: str | None = None


@dataclass
class FaultServer:
    """Use as a context manager; `base_url` is then on loopback. `task_seconds`: how long a task takes."""

    video: bytes
    faults: list[str] = field(default_factory=list)
    download_faults: list[str] = field(default_factory=list)
    query_faults: list[str] = field(default_factory=list)
    task_seconds: float = 0.0
    ledger: list[Posted] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    queried_keys: list[str] = field(default_factory=list)
    download_headers: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0
    most_in_flight: int = 0
    lists: int = 0
    list_faults: list[str] = field(default_factory=list)
    list_lag: float = 0.0
    ids_faults: list[str] = field(default_factory=list)
    """What the next list by task ids meets: a status, or "empty"."""
    ignores_ids: bool = False
    tells_charge: bool = True
    """Whether the official reply to a submit names its credits."""
    row_facts: dict[str, Any] = field(default_factory=dict)
    """What a row of a list by task ids says of a finished task beside its link; empty: not even that."""
    spelling: str = "paper"
    cancellable: list[str] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    deaf: bool = False
    failing: set[str] = field(default_factory=set)
    account: dict[str, Any] = field(default_factory=lambda: {"remains": []})
    any_fault: Callable[[], str] = lambda: "ok"
    """What the next POST meets when `faults` is empty."""
    at: Callable[[str], None] = lambda point: None
    """Hears of every point of the protocol that is reached: headers, body, accepted, replied, asked, downloading."""
    early: Callable[[str], Script | None] = lambda point: None
    """A reply that does not wait for its request: asked when `connected`, and when a POST's `headers` are in."""
    answer: Callable[[Posted], Script | None] = lambda posted: None
    """The reply to a POST; it says itself whether the server accepted, by setting `task_id`."""
    look: Callable[[str], Script | None] = lambda path: None
    """The reply to a GET: a query, a list, a download."""
    port: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def accepted(self) -> list[Posted]:
        return [posted for posted in self.ledger if posted.task_id]

    def wait_for_post(self) -> None:
        """Until the body of a first POST is in; fails after 20 s."""
        self.wait_until(lambda: self.ledger)

    def wait_until(self, reached: Callable[[], object], seconds: float = 20) -> None:
        """Until something is so; fails where it is not in time."""
        deadline = time.time() + seconds
        while not reached() and time.time() < deadline:
            time.sleep(0.02)
        assert reached()

    def double_spent(self) -> list[str]:
        """Job keys (from the markers) that were accepted more than once."""
        keys = [posted.body["payload"].split(".")[1] for posted in self.accepted]
        return sorted({key for key in keys if keys.count(key) > 1})

    def __enter__(self) -> FaultServer:
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main(started))
        self._loop.close()

    async def _main(self, started: threading.Event) -> None:
        self._stopped = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stopped.wait()
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        # The transports say good-bye in the loop's next turns.
        await asyncio.sleep(0.01)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            if script := self.early("connected"):
                await script(writer)
                return
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._open.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *lines = head.strip().split("\r\n")
        method, path, _ = request.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if method == "POST":
            return await self._post(path, headers, reader, writer)
        self.requests.append(path)
        if script := self.look(path):
            await script(writer)
            return False
        if path.startswith("/files/"):
            await self._download(headers, writer)
        else:
            await self._query(path, headers, writer)
        return headers.get("connection") != "close"

    async def _post(
        self, path: str, headers: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if path.endswith("/cancel"):
            await reader.readexactly(int(headers["content-length"]))
            late = path.split("/")[-2] not in self.cancellable
            reply = envelope(400, "BadRequest", "task state is scheduled, can not cancel") if late else b"{}"
            if not late and not self.deaf:
                self.cancelled.add(path.split("/")[-2])
            await respond(writer, 400 if late else 200, reply)
            return False
        if script := self.early("headers"):
            await script(writer)
            return False
        fault, _, target = (self.faults.pop(0) if self.faults else self.any_fault()).partition(" to ")
        self.at("headers")
        if fault == "reset-on-headers":
            return reset(writer)
        body = await reader.readexactly(int(headers["content-length"]))
        self.at("body")
        posted = Posted(json.loads(body), headers, time.time())
        self.requests.append(path)
        self.ledger.append(posted)
        if script := self.answer(posted):
            await script(writer)
            return False
        if fault in ACCEPTED_FAULTS:
            posted.task_id = f"t-{len(self.ledger)}"
            self.at("accepted")
            running = [p for p in self.accepted if time.time() - p.at < self.task_seconds]
            self.most_in_flight = max(self.most_in_flight, len(running))
        if fault == "reset-after":
            return reset(writer)
        if fault == "lost-reply":
            return False
        if fault == "hang-accepted":
            await asyncio.sleep(3600)
        if fault == "slow-reply":
            await asyncio.sleep(1.5)
            fault = "ok"
        if fault == "cut-reply":
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"task_id": "t-')
            await writer.drain()
            return False
        status, extra, reply = self._reply(fault, path, posted, target)
        await respond(writer, status, reply, extra)
        self.at("replied")
        return False

    def _reply(self, fault: str, path: str, posted: Posted, target: str) -> tuple[int, str, bytes]:
        if fault == "ok":
            official = path == OFFICIAL_SUBMIT
            told = {"credits": 7} if self.tells_charge else {}
            word = {"state": "created", "seed": 42, **told} if official else {"status": "processing"}
            return 200, "", json.dumps({"task_id": posted.task_id, "created_at": int(posted.at), **word}).encode()
        if fault in ("500-accepted", "500-refused"):
            return 500, "", envelope(500, "InternalServiceFailure", "try again")
        if fault in ("html-accepted", "html"):
            return 200, "", b"<html>hello</html>"
        if fault == "bad-gzip":
            return 200, "Content-Encoding: gzip\r\n", b"\x1f\x8b\x08 this is no gzip"
        if fault == "no-id":
            return 200, "", b'{"status": "processing"}'
        if fault == "same-id":
            return 200, "", b'{"task_id": "t-1", "status": "processing"}'
        if fault.startswith("redirect"):
            return 307, f"Location: {target or SUBMIT}\r\n", b""
        if fault.startswith("429"):
            _, _, after = fault.partition(" ")
            full = after == "QuotaExceeded"
            extra = f"Retry-After: {after}\r\n" if after and not full else ""
            return 429, extra, envelope(429, "QuotaExceeded" if full else "TooManyRequests", "slower please")
        status, _, code = fault.partition(" ")
        return int(status), "", envelope(int(status), code or "BadRequest", "refused by the test")

    async def _query(self, path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        self.queried_keys.append(headers.get("authorization", ""))
        self.at("asked")
        fault = self.query_faults.pop(0) if self.query_faults else "ok"
        if fault == "reset":
            reset(writer)
            return
        if fault != "ok":
            await respond(writer, int(fault), envelope(int(fault), "Error", "asked for by the test"))
            return
        if path.startswith("/ent/v2/tasks?"):
            await self._list(path, writer)
            return
        if path == "/ent/v2/credits":
            await respond(writer, 200, json.dumps(self.account).encode())
            return
        task_id = path.split("/")[-2]
        posted = next((p for p in self.accepted if p.task_id == task_id), None)
        if posted is None:
            await respond(writer, 404, envelope(404, "TaskNotFound", "no such task"))
            return
        done = time.time() - posted.at >= self.task_seconds
        if posted.body.get("prompt") == "this one fails" or task_id in self.failing | self.cancelled:
            reply: dict[str, Any] = {"id": task_id, "status": "failed", "error": {"code": "Bad", "message": "no luck"}}
        elif done:
            reply = {
                "id": task_id,
                "status": "completed",
                "video_url": f"{self.base_url}/files/{task_id}.mp4?sig=a%2Fb",
            }
        else:
            reply = {"id": task_id, "status": "processing"}
        if path.startswith("/ent/"):
            link = [{"id": "c", "url": reply["video_url"]}] if "video_url" in reply else []
            word = {"completed": "success"}.get(reply["status"], reply["status"])
            reply = {"id": task_id, "state": word, "credits": 7, "payload": posted.body["payload"], "creations": link}
        await respond(writer, 200, json.dumps(reply).encode())

    async def _list(self, path: str, writer: asyncio.StreamWriter) -> None:
        """Rows as documented: without the payload, ten to a page unless a spelling of the page size is understood."""
        asked = parse_qs(urlsplit(path).query)
        if "task_ids" in asked:
            await self._by_ids(asked["task_ids"], writer)
            return
        self.lists += 1
        if self.list_faults and (fault := self.list_faults.pop(0)) != "ok":
            await respond(writer, int(fault), envelope(int(fault), "Error", "asked for by the test"))
            return
        size = min(100, int(asked.get(f"{self.spelling}.pagesz", ["10"])[0]))
        page = int(asked.get(f"{self.spelling}.page", ["0"])[0])
        since = datetime.fromisoformat(asked.get("created_at.from", ["1970-01-01T00:00:00Z"])[0]).timestamp()
        seen = [p for p in self.accepted if time.time() - p.at >= self.list_lag and p.at >= since]
        rows = [
            {"id": p.task_id, "state": "success", "created_at": nanoseconds(p.at)}
            | {name: p.body[name] for name in ("model", "prompt", "duration", "resolution") if name in p.body}
            for p in seen[page * size : (page + 1) * size]
        ]
        await respond(writer, 200, json.dumps({"next_page_token": "", "tasks": rows}).encode())

    async def _by_ids(self, wanted: list[str], writer: asyncio.StreamWriter) -> None:
        fault = self.ids_faults.pop(0) if self.ids_faults else "ok"
        if fault.isdigit():
            await respond(writer, int(fault), envelope(int(fault), "Error", "asked for by the test"))
            return
        shown = [p for p in self.accepted if self.ignores_ids or p.task_id in wanted]
        rows = [self._row(p) for p in shown if fault == "ok"]
        await respond(writer, 200, json.dumps({"next_page_token": "", "tasks": rows}).encode())

    def _row(self, posted: Posted) -> dict[str, Any]:
        if time.time() - posted.at < self.task_seconds:
            return {"id": posted.task_id, "state": "processing"}
        links = [{"id": "c", "url": f"{self.base_url}/files/{posted.task_id}.mp4"}] if self.row_facts else []
        return {"id": posted.task_id, "state": "success", "creations": links, **self.row_facts}

    async def _download(self, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        self.download_headers.append(headers)
        self.at("downloading")
        fault = self.download_faults.pop(0) if self.download_faults else "ok"
        if fault == "truncated":
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(self.video)}\r\n\r\n".encode() + self.video[:-999])
            await writer.drain()
            writer.close()
        elif fault == "truncated-no-length":
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + self.video[:-999])
            await writer.drain()
            writer.close()
        elif fault == "html":
            await respond(writer, 200, b"<html>expired</html>")
        elif fault == "empty":
            await respond(writer, 200, b"")
        elif fault == "garbage":
            await respond(writer, 200, b"\0" * len(self.video))
        elif fault == "slow":
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(self.video)}\r\n\r\n".encode())
            for at in range(0, len(self.video), 4096):
                writer.write(self.video[at : at + 4096])
                await writer.drain()
                await asyncio.sleep(0.05)
        elif fault != "ok":
            await respond(writer, int(fault), b"no")
        else:
            await respond(writer, 200, self.video)


def nanoseconds(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f789Z")


def envelope(status: int, code: str, message: str) -> bytes:
    """As the API's own, each with a trace of its own."""
    said = {"code": status, "reason": code, "message": message, "metadata": {"trace_id": uuid4().hex}}
    return json.dumps(said).encode()


def http(body: bytes | str, status: str = "200 OK", *headers: str) -> bytes:
    content = body.encode() if isinstance(body, str) else body
    lines = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers))
    return lines.encode() + b"\r\n" + content


def says(*pieces: bytes, every: float = 0.0) -> Script:
    async def script(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every)

    return script


async def respond(writer: asyncio.StreamWriter, status: int, body: bytes, extra: str = "") -> None:
    writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body)
    await writer.drain()


def reset(writer: asyncio.StreamWriter) -> bool:
    """Close with an RST, as a crashed peer or an impatient proxy does."""
    plain = writer.get_extra_info("socket")
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


def markers(posts: Iterable[Posted]) -> list[str]:
    return [posted.body["payload"] for posted in posts]
