"""Fetches frames given as links, as the API does: from public hosts alone, within bounds, without keys or cookies."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from vidu_run.access import may_be_public
from vidu_run.api.client import NO_LIMITS, in_words
from vidu_run.api.download import MOST_REDIRECTS, PublicOnly
from vidu_run.local.inspect import is_link
from vidu_run.local.manner import ANY, STAND_IN
from vidu_run.local.refused import Refused

SECONDS = 30.0
"""For one image, redirects and all; how long the API waits is not documented."""
AT_ONCE = 8
MOVED = (301, 302, 303, 307, 308)
HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "vidu-run-local"}


class Links:
    """How the server takes links: `stand-in` fetches none, `public` from public hosts alone, `any` from any host."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def fetched(self, sources: Sequence[str], most_bytes: int) -> dict[str, bytes]:
        """The bytes behind each of `sources` that is a link, none where stand-ins are wanted; raises Refused."""
        links = [] if self._mode == STAND_IN else [source for source in dict.fromkeys(sources) if is_link(source)]
        return {link: await self._fetch(link, most_bytes) for link in links}

    async def _fetch(self, link: str, most_bytes: int) -> bytes:
        async with self._turns:
            return await fetch_image(link, most_bytes, SECONDS, self._mode == ANY)


async def fetch_image(url: str, most_bytes: int, seconds: float, allow_private: bool) -> bytes:
    """What stands at `url`, at most `most_bytes` also when unpacked, within `seconds`; whether it is an image is not
    looked at. `allow_private`: hosts of this machine and network may be asked too.

    Raises Refused: ImageDownloadFailure, or PageSizeOutOfRange for too many bytes.
    """
    try:
        async with asyncio.timeout(seconds), _session(allow_private) as session:
            return await follow(session, _exact(url), most_bytes, allow_private)
    except TimeoutError:
        raise _failure(f"{url} did not arrive within {seconds:g} seconds") from None
    except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
        raise _failure(f"{url} cannot be fetched ({in_words(error)})") from None


def _exact(url: str) -> URL:
    """A signed link is its bytes: decoded and coded again it answers 403. What cannot stand in a request is coded."""
    return URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)


@asynccontextmanager
async def _session(allow_private: bool) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(resolver=ThreadedResolver() if allow_private else PublicOnly(), force_close=True)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=NO_LIMITS,
        auto_decompress=False,
        trust_env=False,
        headers=HEADERS,
    ) as session:
        yield session


async def follow(session: aiohttp.ClientSession, url: URL, most: int, allow_private: bool) -> bytes:
    """The body at the end of the redirects. The session resolves the names; what a link may name is judged here."""
    for _ in range(MOST_REDIRECTS + 1):
        _check(url, allow_private)
        async with session.get(url, allow_redirects=False) as response:
            if response.status == 200:
                return await _read(response, most)
            if response.status not in MOVED or "Location" not in response.headers:
                raise _failure(f"{url} answered HTTP {response.status}")
            url = url.join(_exact(response.headers["Location"]))
    raise _failure(f"{url} redirects more than {MOST_REDIRECTS} times")


def _check(url: URL, allow_private: bool) -> None:
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise _failure(f"{url} is no http(s) link")
    if url.user or url.password:
        raise _failure(f"a link of {url.raw_host} carries a name or a password")
    if not allow_private and not may_be_public(url.raw_host):
        raise _failure(f"{url.raw_host} is not a public address")


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    content = bytearray()
    length = response.content_length or 0
    while length <= most and (chunk := await response.content.readany()):
        content += chunk
        length = max(length, len(content))
    if length > most:
        raise _too_large(most)
    return _unpacked(bytes(content), response.headers.get("Content-Encoding", "identity").lower(), most)


def _unpacked(content: bytes, packing: str, most: int) -> bytes:
    """Without the packing of a host that packs unasked; never more than `most` bytes come into memory."""
    if packing == "identity":
        return content
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise _failure(f"the image came packed as {packing[:20]!r}")
    opener = zlib.decompressobj(zlib.MAX_WBITS | 32)
    whole = opener.decompress(content, most + 1)
    if len(whole) > most:
        raise _too_large(most)
    if not opener.eof:
        raise _failure("the image came cut short")
    return whole


def _too_large(most: int) -> Refused:
    return Refused("PageSizeOutOfRange", f"a linked image has more than the {most:,} bytes the API takes")


def _failure(message: str) -> Refused:
    return Refused("ImageDownloadFailure", message)
