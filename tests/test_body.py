"""The body over a real socket: nothing without permission, nothing whole with a wrong frame, little memory."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from vidu_run.api.body import Body, FrameChanged
from vidu_run.errors import Place
from vidu_run.job import Frame, Job, Key, Link

Permit = Callable[[], Awaitable[None]]


async def allow() -> None:
    return None


def a_frame(store: Path, content: bytes) -> Frame:
    frame = Frame("frames/a.png", hashlib.sha256(content).hexdigest(), len(content), "png", 10, 10)
    (store / frame.store_name).write_bytes(content)
    return frame


def a_job(*images: Frame | Link, **request: object) -> Job:
    return Job("j", Key("k" * 64), {"model": "m", **request}, images, {}, Place("f"))


def send(body: Body) -> tuple[bytes, Exception | None]:
    """What a raw server received of a POST with this body, and what the client raised."""

    async def exchange() -> tuple[bytes, Exception | None]:
        received = bytearray()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                while chunk := await reader.read(65536):
                    received.extend(chunk)
                    _, _, rest = bytes(received).partition(b"\r\n\r\n")
                    if rest and len(rest) == body.length:
                        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                        await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        raised: Exception | None = None
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            try:
                async with session.post(url, data=body):
                    pass
            except aiohttp.ClientError as error:
                raised = error
        await asyncio.sleep(0.05)
        server.close()
        return bytes(received), raised

    return asyncio.run(exchange())


def test_the_body_is_the_request_with_a_marker_and_the_frames_as_data_uris(tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000 + b"x"
    job = a_job(a_frame(tmp_path, content), Link("https://example.com/b.png"), prompt='ein "Föhn"\n', payload="mine")
    body = Body(job, "vr1.key.nonce", tmp_path, allow)
    received, _ = send(body)
    head, _, sent = received.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(sent)}".encode() in head
    document = json.loads(sent)
    images = document.pop("images")
    assert document == {"model": "m", "prompt": 'ein "Föhn"\n', "payload": "vr1.key.nonce|mine"}
    assert images[1] == "https://example.com/b.png"
    assert base64.b64decode(images[0].removeprefix("data:image/png;base64,")) == content
    assert body.whole


def test_not_one_byte_leaves_when_the_permit_refuses(tmp_path: Path) -> None:
    async def refuse() -> None:
        raise RuntimeError("no intent")

    body = Body(a_job(Link("https://example.com/a.png")), "m", tmp_path, refuse)
    received, raised = send(body)
    assert received == b""
    assert raised is not None
    assert str(body.refusal) == "no intent"
    assert not body.whole


def test_not_one_byte_leaves_while_the_permit_is_awaited(tmp_path: Path) -> None:
    seen: list[int] = []
    gate = {"open": False}

    async def wait() -> None:
        await asyncio.sleep(0.2)
        gate["open"] = True

    class Watching(Body):
        async def _send(self, writer: object, chunk: bytes) -> None:
            seen.append(gate["open"])
            await super()._send(writer, chunk)  # type: ignore[arg-type]

    send(Watching(a_job(Link("https://example.com/a.png")), "m", tmp_path, wait))
    assert seen
    assert all(seen)


def test_a_stored_frame_that_was_damaged_never_makes_a_whole_request(tmp_path: Path) -> None:
    frame = a_frame(tmp_path, b"the frame that was checked" * 5000)
    (tmp_path / frame.store_name).write_bytes(b"another one of the length " * 5000)
    body = Body(a_job(frame, frame), "m", tmp_path, allow)
    received, _ = send(body)
    assert isinstance(body.refusal, FrameChanged)
    assert not body.whole
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(received.partition(b"\r\n\r\n")[2])


def test_a_missing_stored_frame_is_not_taken_for_a_broken_connection(tmp_path: Path) -> None:
    frame = a_frame(tmp_path, b"a frame")
    (tmp_path / frame.store_name).unlink()
    body = Body(a_job(frame, frame), "m", tmp_path, allow)
    send(body)
    assert isinstance(body.refusal, FrameChanged)


def test_a_stored_frame_that_fails_as_it_is_read_is_not_taken_for_a_broken_connection(tmp_path: Path) -> None:
    frame = a_frame(tmp_path, b"a frame")
    (tmp_path / frame.store_name).unlink()
    (tmp_path / frame.store_name).symlink_to("/proc/self/mem")
    body = Body(a_job(frame, frame), "m", tmp_path, allow)
    send(body)
    assert isinstance(body.refusal, FrameChanged)


def test_a_large_frame_is_streamed(tmp_path: Path) -> None:
    frame = a_frame(tmp_path, bytes(12_000_000))
    body = Body(a_job(frame), "m", tmp_path, allow)

    async def write() -> int:
        class Sink:
            transport = None
            size = 0

            async def write(self, chunk: bytes) -> None:
                self.size += len(chunk)

        sink = Sink()
        await body.write(sink)  # type: ignore[arg-type]
        return sink.size

    tracemalloc.start()
    size = asyncio.run(write())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == body.length
    assert peak < 2_000_000


def test_a_connection_that_breaks_on_the_closing_bytes_may_have_carried_a_whole_request(tmp_path: Path) -> None:
    """The bytes are handed over, then the write fails: the server may have them all."""
    received = bytearray()

    class Line:
        transport = None

        async def write(self, chunk: bytes) -> None:
            received.extend(chunk)
            if len(received) == body.length:
                raise ConnectionResetError("broken pipe")

    body = Body(a_job(Link("https://example.com/a.png")), "m", tmp_path, allow)
    with pytest.raises(ConnectionResetError):
        asyncio.run(body.write(Line()))  # type: ignore[arg-type]
    assert json.loads(received)["payload"] == "m"
    assert body.whole
