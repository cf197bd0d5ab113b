"""Requests to the API over HTTP. It sends, reads replies within bounds, and reports evidence; it decides nothing."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from vidu_run import __version__
from vidu_run.access import Access
from vidu_run.api.body import Body
from vidu_run.api.trouble import ApiTrouble, BadQuestion, Forbidden, KeyRefused, Missing, TooMany, Unavailable
from vidu_run.outcome import Evidence
from vidu_run.pace import Timing
from vidu_run.providers.rules import Provider
from vidu_run.reply import BadReply, Balance, Look, parse_json, read_balance, read_list, read_refusal, read_task

MOST_REPLY = 1 << 20
"""Bytes of a reply that are read; a submit's reply may echo its request, so it gets that much more."""

MOST_LIST = 64 << 20
"""A page has up to 100 rows, and a row may echo its frames."""

ROWS = 100
"""Rows of a list asked for at once: the most the documents allow."""

LIGHT = 1 << 20
"""Bytes of a body that is on its way in a moment."""

LIGHT_TIMES = 4
"""Light bodies are out at once for each heavy one that may be: as few would be a queue of moments."""

QUERY_TIMEOUT = 30.0
"""Seconds for one whole query, however it drips."""

NO_LIMITS = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Api:
    """One provider at one host. Use as an async context manager."""

    def __init__(self, provider: Provider, access: Access, timing: Timing) -> None:
        self._provider = provider
        self._access = access
        self._timing = timing
        self._uploads = asyncio.Semaphore(provider.limits.upload_concurrency)
        self._light_uploads = asyncio.Semaphore(LIGHT_TIMES * provider.limits.upload_concurrency)
        self._route = 0
        common: dict[str, Any] = {
            "auto_decompress": False,
            "timeout": NO_LIMITS,
            "headers": {"User-Agent": f"vidu-run/{__version__}", "Accept-Encoding": "identity"},
        }
        # A connection a POST shares with earlier requests may be stale: its reset would look like a lost reply.
        once = aiohttp.TCPConnector(force_close=True, limit=0)
        self._posts = aiohttp.ClientSession(connector=once, cookie_jar=aiohttp.DummyCookieJar(), **common)
        kept = aiohttp.TCPConnector(limit=16)
        self._queries = aiohttp.ClientSession(connector=kept, cookie_jar=aiohttp.DummyCookieJar(), **common)

    @property
    def can_list(self) -> bool:
        return self._provider.routes.list is not None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._posts.close()
        await self._queries.close()

    async def submit(self, body: Body) -> Evidence:
        """Send one POST and report what is known afterwards. Raises only what stopped the body from our side.

        There is no single deadline: the connection gets `submit_timeout`, our own commit as long as it takes, then
        `submit_timeout` since the last byte went out, and as much once more for the whole reply.
        """
        status: int | None = None
        retry_after: str | None = None
        async with _Turn(self._light_uploads if body.length <= LIGHT else self._uploads) as turn:
            try:
                async with asyncio.timeout(self._timing.submit_timeout) as deadline:
                    body.watched_by(_Phases(deadline, self._timing.submit_timeout, turn))
                    async with self._posts.post(
                        self._url(self._provider.routes.submit),
                        data=body,
                        headers=self._headers(),
                        allow_redirects=False,
                    ) as response:
                        status, retry_after = response.status, response.headers.get("Retry-After")
                        content = await read_bounded(response, MOST_REPLY + body.length)
                        return Evidence(body.whole, status, retry_after, content)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                if body.refusal is not None:
                    raise body.refusal from None
                return Evidence(body.whole, status, retry_after, None, in_words(error))

    async def look(self, task_id: str, watermark: bool) -> Look:
        """One look at one task. Raises ApiTrouble or one of its kinds."""
        routes = self._provider.routes.query
        for turn in range(len(routes)):
            number = (self._route + turn) % len(routes)
            reply = await self._get(self._url(routes[number].format(task_id=_segment(task_id))))
            if reply.status not in (404, 405):
                self._route = number
                return read_task(_document(reply, "reply"), task_id=task_id, watermark=watermark)
        raise Missing("HTTP 404: the API does not know this task")

    async def tasks(self, since: float | None, page: int, token: str | None) -> tuple[list[Look], str | None]:
        """One page of the account's tasks, counted from 0, and the token of the next. Raises ApiTrouble.

        The documents print the paging parameters in two spellings, so both are sent: with the wrong one a server
        answers its default of ten rows, which would look like all there is.
        """
        asked = {f"{spelling}.{name}": value for spelling in ("paper", "pager") for name, value in _paging(page)}
        asked |= {"created_at.from": _rfc3339(since)} if since is not None else {}
        asked |= {"pager.page_token": token} if token else {}
        reply = await self._get(self._url(self._provider.routes.list or "").with_query(asked), MOST_LIST)
        document = _document(reply, "list")
        rows, next_page = read_list(document)
        if not rows and read_refusal(document):
            raise ApiTrouble(_refused(reply))
        return rows, next_page

    async def listed(self, task_ids: Sequence[str]) -> list[Look]:
        """What the list shows of these tasks, at most 100; a provider may show others. Raises ApiTrouble."""
        asked = [("pager.pagesz", str(ROWS)), *(("task_ids", task_id) for task_id in task_ids)]
        reply = await self._get(self._url(self._provider.routes.list or "").with_query(asked), MOST_LIST)
        rows, _ = read_list(_document(reply, "list"))
        return rows

    async def balance(self) -> Balance:
        """What the account has left and how many tasks it may run at once. Raises ApiTrouble or KeyRefused."""
        reply = await self._get(self._url(self._provider.routes.credits or ""))
        return read_balance(_document(reply, "balance"))

    async def cancel(self, task_id: str) -> None:
        """Cancel a task that still waits; it costs nothing. Raises ApiTrouble, also where it is too late."""
        url = self._url((self._provider.routes.cancel or "").format(task_id=_segment(task_id)))
        try:
            async with (
                asyncio.timeout(QUERY_TIMEOUT),
                self._queries.post(url, json={"id": task_id}, headers=self._headers(), allow_redirects=False) as reply,
            ):
                answer = _Reply(reply.status, reply.headers, await read_bounded(reply, MOST_REPLY))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiTrouble(in_words(error)) from None
        if answer.status != 200:
            raise ApiTrouble(_refused(answer))

    async def _get(self, url: URL, most: int = MOST_REPLY) -> _Reply:
        try:
            async with (
                asyncio.timeout(QUERY_TIMEOUT),
                self._queries.get(url, headers=self._headers(), allow_redirects=False) as response,
            ):
                return _Reply(response.status, response.headers, await read_bounded(response, most))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(in_words(error)) from None

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"{self._provider.auth_scheme} {self._access.key}"} if self._access.key else {}

    def _url(self, route: str) -> URL:
        return URL(self._access.base_url + route, encoded=True)


class _Turn:
    """One of the few uploads at a time; over when the body is out, or the exchange is."""

    def __init__(self, uploads: asyncio.Semaphore) -> None:
        self._uploads = uploads
        self._held = False

    async def __aenter__(self) -> Self:
        await self._uploads.acquire()
        self._held = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        if self._held:
            self._held = False
            self._uploads.release()


@dataclass(frozen=True, slots=True)
class _Phases:
    """Moves the deadline of one POST as its body goes out."""

    deadline: asyncio.Timeout
    patience: float
    turn: _Turn

    def paused(self) -> None:
        self._move(None)

    def moved(self) -> None:
        self._move(asyncio.get_running_loop().time() + self.patience)

    def _move(self, when: float | None) -> None:
        # It cannot be moved once it has passed, which its cancellation tells a moment later.
        if not self.deadline.expired():
            with suppress(RuntimeError):
                self.deadline.reschedule(when)

    def ended(self) -> None:
        self.turn.end()


def _document(reply: _Reply, called: str) -> object:
    """What a query was answered. Raises ApiTrouble or one of its kinds."""
    if reply.status in (401, 402):
        raise KeyRefused(_refused(reply))
    if reply.status == 403:
        raise Forbidden(_refused(reply))
    if reply.status == 429:
        raise TooMany(_refused(reply), reply.headers.get("Retry-After"))
    if reply.status >= 500:
        raise Unavailable(_refused(reply))
    if reply.status != 200:
        raise (BadQuestion if reply.status >= 400 else ApiTrouble)(_refused(reply))
    try:
        return parse_json(reply.body)
    except BadReply as error:
        raise ApiTrouble(f"an unreadable {called}: {error}") from None


def _segment(task_id: str) -> str:
    """An id may hold what means something in an address; it must stay one part of it."""
    return quote(task_id, safe=":@,")


def _paging(page: int) -> list[tuple[str, str]]:
    return [("page", str(page)), ("pagesz", str(ROWS))]


def _rfc3339(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _refused(reply: _Reply) -> str:
    try:
        refusal = read_refusal(parse_json(reply.body))
    except BadReply:
        refusal = None
    said = (refusal.code, refusal.message) if refusal else ()
    return " ".join([f"HTTP {reply.status}", ": ".join(filter(None, said))]).rstrip()


async def read_bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The whole body, inflated; raises ValueError above `most` bytes, however small it travelled."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    inflate = None if encoding == "identity" else _inflater(encoding)
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += _inflated(inflate, chunk, most + 1 - len(content)) if inflate else chunk
        if len(content) > most:
            raise ValueError(f"a reply of more than {most} bytes")
    if inflate and not inflate.eof:
        raise ValueError("a compressed reply that was cut short")
    return bytes(content)


def _inflated(inflate: Any, chunk: bytes, most: int) -> bytes:
    try:
        content: bytes = inflate.decompress(chunk, most)
    except zlib.error as error:
        raise ValueError(f"a damaged compressed reply ({error})") from None
    return content


def _inflater(encoding: str) -> Any:
    if encoding not in ("gzip", "deflate"):
        raise ValueError(f"a reply in the encoding {encoding[:20]!r}, which was not asked for")
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | (16 if encoding == "gzip" else 0))


def in_words(error: BaseException) -> str:
    """One line about a network error, without the request's URL, which may be signed."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port} ({error.os_error.strerror or error.os_error})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"a garbled reply ({error.message[:100]!r})"
    if isinstance(error, aiohttp.InvalidURL):
        return "not an address"
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:200]
