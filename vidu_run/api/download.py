"""From a result link to a verified file beside its final name. Sends no key, follows redirects by hand."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from vidu_run.access import is_loopback, is_public, may_be_public
from vidu_run.api.client import NO_LIMITS, in_words
from vidu_run.api.trouble import DownloadFailed
from vidu_run.mp4 import NotAVideo, Walk

MOST_BYTES = 4 << 30
MOST_REDIRECTS = 5
AT_ONCE = 8
PROGRESS = 16 * 1024
"""Bytes that count as progress: a server that drips less than this in `download_timeout` is given up."""


@dataclass(frozen=True, slots=True)
class Fetched:
    sha256: str
    size: int


class PublicOnly(AbstractResolver):
    """Resolves names, and leaves out every address that is not public: a link must not reach into this network."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        public = [entry for entry in found if is_public(entry["host"])]
        if not public:
            raise OSError(None, f"{host} is not a public address")
        return public

    async def close(self) -> None:
        await self._inner.close()


class Downloads:
    """Result files over HTTP. `loopback`: the API itself runs on this machine, so its links may point here."""

    def __init__(self, timeout: float, loopback: bool) -> None:
        self._timeout = timeout
        self._loopback = loopback
        # Outside the deadline: a download that waits for its turn makes no progress yet.
        self._turns = asyncio.Semaphore(AT_ONCE)
        resolver: AbstractResolver = ThreadedResolver() if loopback else PublicOnly()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=AT_ONCE, resolver=resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=NO_LIMITS,
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        await self._session.close()

    async def fetch(self, link: str, part: Path) -> Fetched:
        """Write the video to `part`, whole and verified, not yet synced; or raise DownloadFailed and leave no file.

        Raises OSError for the local disk alone.
        """
        try:
            async with (
                self._turns,
                asyncio.timeout(self._timeout) as deadline,
                self._open(link) as response,
            ):
                return await _save(response, part, deadline, self._timeout)
        except (aiohttp.ClientError, TimeoutError, ConnectionError, NotAVideo, ValueError) as error:
            part.unlink(missing_ok=True)
            raise DownloadFailed(in_words(error)) from None
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    @asynccontextmanager
    async def _open(self, link: str) -> AsyncIterator[aiohttp.ClientResponse]:
        # A signed link is its bytes: decoded and coded again it answers 403.
        url = URL(link, encoded=True)
        for _ in range(MOST_REDIRECTS):
            self._check(url)
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status == 200:
                    yield response
                    return
                if response.status not in (301, 302, 303, 307, 308):
                    raise DownloadFailed(f"the link answered HTTP {response.status}")
                url = url.join(URL(response.headers.get("Location", ""), encoded=True))
        raise DownloadFailed("the link redirects too often")

    def _check(self, url: URL) -> None:
        if not _may_be_fetched(url.scheme, url.host or "", self._loopback):
            raise DownloadFailed(f"the link leads to {url.scheme}://{url.host}, which is not a public https host")


@lru_cache
def _may_be_fetched(scheme: str, host: str, loopback: bool) -> bool:
    """The links of a run lead to the same few hosts."""
    if scheme == "https" and may_be_public(host):
        return True
    return loopback and scheme in ("http", "https") and is_loopback(host)


async def _save(response: aiohttp.ClientResponse, part: Path, deadline: asyncio.Timeout, patience: float) -> Fetched:
    digest, walk = hashlib.sha256(), Walk()
    size = moved = 0
    promised = response.headers.get("Content-Length")
    with part.open("wb") as file:
        async for chunk in response.content.iter_any():
            walk.feed(chunk)
            digest.update(chunk)
            file.write(chunk)
            size += len(chunk)
            if size > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES} bytes")
            if size - moved >= PROGRESS:
                moved = size
                deadline.reschedule(asyncio.get_running_loop().time() + patience)
    if promised is not None and promised.isdigit() and int(promised) != size:
        raise ValueError(f"cut short: {size} of {promised} bytes")
    walk.fed()
    return Fetched(digest.hexdigest(), size)
