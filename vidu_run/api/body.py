"""The body of one POST. It asks for permission before its first byte, and holds its last bytes back until it is right.

Frames are read from the frame store, hashed and base64-coded while sending, so a body of 20 MB takes kilobytes of
memory. A frame whose bytes are not the ones in the job's key never gets its closing bytes: the JSON stays incomplete
and no server can take it for a request.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol, Self

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from vidu_run.job import Continued, Frame, Image, Job, Link
from vidu_run.key import marked_payload

CHUNK = 3 * 32 * 1024
"""Bytes of an image encoded at once; a multiple of 3, so that base64 needs no padding between chunks."""

CLOSING = b'"]}'


class Watch(Protocol):
    """Hears how the sending goes, to keep its deadlines."""

    def paused(self) -> None:
        """The connection stands; our own commit is awaited."""

    def moved(self) -> None:
        """Bytes went out."""

    def ended(self) -> None:
        """The last byte went out."""


class FrameChanged(Exception):
    """The stored frame is not the one the job's key names."""


class Body(Payload):
    """`permit` is awaited when the connection stands and nothing has been written; if it raises, nothing ever is.

    `whole` turns True just before the closing bytes are handed to the transport: while it is False, the server cannot
    have received a request. `refusal` is what stopped the writing from our side.
    """

    def __init__(self, job: Job, marker: str, store: Path, permit: Callable[[], Awaitable[None]]) -> None:
        super().__init__(job, content_type="application/json")
        self._parts = _parts(job, marker)
        self._store = store
        self._permit = permit
        self._watch: Watch | None = None
        self._gathered = bytearray()
        self._size = sum(part.sent_size if isinstance(part, Frame) else len(part) for part in self._parts)
        self._size += len(CLOSING)
        self.whole = False
        self.refusal: Exception | None = None

    @property
    def length(self) -> int:
        return self._size or 0

    def watched_by(self, watch: Watch) -> Self:
        self._watch = watch
        return self

    async def write(self, writer: AbstractStreamWriter) -> None:
        try:
            await self._ask()
            for part in self._parts:
                await (self._write_frame(writer, part) if isinstance(part, Frame) else self._gather(writer, part))
            await self._send_gathered(writer)
        except OSError:
            raise
        except Exception as refusal:
            self.refusal = refusal
            raise
        self.whole = True
        await self._send(writer, CLOSING)
        if self._watch:
            self._watch.ended()

    async def _ask(self) -> None:
        if self._watch:
            self._watch.paused()
        await self._permit()
        if self._watch:
            self._watch.moved()

    async def _gather(self, writer: AbstractStreamWriter, piece: bytes) -> None:
        """Small pieces go out together: each by itself is a packet."""
        self._gathered += piece
        if len(self._gathered) >= CHUNK:
            await self._send_gathered(writer)

    async def _send_gathered(self, writer: AbstractStreamWriter) -> None:
        chunk = bytes(self._gathered)
        self._gathered.clear()
        await self._send(writer, chunk)

    async def _send(self, writer: AbstractStreamWriter, chunk: bytes) -> None:
        await writer.write(chunk)
        if self._watch:
            self._watch.moved()

    async def _write_frame(self, writer: AbstractStreamWriter, frame: Frame) -> None:
        digest = hashlib.sha256()
        await self._gather(writer, frame.data_prefix.encode())
        for chunk in _chunks(self._store / frame.store_name):
            digest.update(chunk)
            await self._gather(writer, base64.b64encode(chunk))
        if digest.hexdigest() != frame.sha256:
            raise FrameChanged(f"{frame.source}: the stored copy {frame.store_name} is damaged; nothing was sent")

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a body is streamed, never held")


def _chunks(path: Path) -> Iterator[bytes]:
    """A frame that cannot be read must not look like a broken connection."""
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise FrameChanged(f"{path.name}: cannot be read from the frame store ({error.strerror})") from None


def _parts(job: Job, marker: str) -> list[bytes | Frame]:
    """The body up to its closing bytes: everything but the images first, then the images."""
    fields = {name: value for name, value in job.request.items() if name != "images"}
    fields["payload"] = marked_payload(marker, fields.get("payload"))
    head = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()[:-1]
    parts: list[bytes | Frame] = [head, b',"images":["']
    for number, image in enumerate(job.images):
        parts += ([b'","'] if number else []) + [_image(image)]
    return parts


def _image(image: Image) -> bytes | Frame:
    if isinstance(image, Continued):
        raise FrameChanged(f"the {image.source} was not taken; nothing was sent")
    return json.dumps(image.source)[1:-1].encode() if isinstance(image, Link) else image
