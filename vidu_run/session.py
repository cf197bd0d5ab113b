"""Reach the API: the provider's host, or this package's own server for a rehearsal. One session a run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from vidu_run import config
from vidu_run.access import Access
from vidu_run.errors import UsageTrouble
from vidu_run.local.account import USUAL, Terms
from vidu_run.local.manner import PLAIN, Manner
from vidu_run.pace import Timing
from vidu_run.providers.rules import Provider

if TYPE_CHECKING:
    from vidu_run.api.client import Api
    from vidu_run.api.download import Downloads

LOCAL_FOLDER = "api"
EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class Service:
    """A provider and where it is: `base_url` None for the embedded local API, `key` with its source or None."""

    provider: Provider
    base_url: str | None
    key: tuple[str, str] | None
    quick: bool = False
    manner: Manner = PLAIN

    @property
    def origin(self) -> str:
        return self.base_url or EMBEDDED

    @property
    def greeting(self) -> str:
        """Which variable goes to which host."""
        if self.base_url is None:
            return "local API in this process, no key, no credits"
        return f"{self.key[1]} goes to {self.base_url}" if self.key else f"{self.base_url}, no key"

    def require_key(self) -> None:
        """Raises UsageTrouble where this provider needs a key and there is none."""
        if self.provider.key_variables and self.key is None:
            names = " or ".join(self.provider.key_variables)
            raise UsageTrouble(f"no key for {self.provider.name}: set {names}, or give --key-file FILE")


def service_at(
    provider: Provider, address: str | None, key_file: Path | None, environment: Mapping[str, str]
) -> Service:
    """Raises UsageTrouble for a key that is none, or faults of the local API that do not exist."""
    key = config.find_key(provider, key_file, environment)
    quick, manner = config.quick_rendering(environment), config.manner(address, environment)
    return Service(provider, address, key, quick, manner)


class Reach:
    """The way to the API, opened at the first use: a run with nothing to do contacts nobody."""

    def __init__(self, service: Service, out: Path, timing: Timing) -> None:
        self.service = service
        self._out = out
        self._timing = timing
        self._stack = AsyncExitStack()
        self._opened: tuple[Api, Downloads] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def open(self) -> tuple[Api, Downloads]:
        """Raises UsageTrouble where the key is missing, or what the local API needs."""
        self.service.require_key()
        if self._opened is None:
            from vidu_run.api.client import Api
            from vidu_run.api.download import Downloads

            base_url = self.service.base_url
            if base_url is None:
                folder = self._out / LOCAL_FOLDER
                embedded = local_api(folder, 0, self.service.quick, manner=self.service.manner)
                base_url = await self._stack.enter_async_context(embedded)
            access = Access(base_url, *(self.service.key or (None, None)))
            api = await self._stack.enter_async_context(Api(self.service.provider, access, self._timing))
            downloads = Downloads(self._timing.download_timeout, access.loopback)
            self._stack.push_async_callback(downloads.close)
            self._opened = api, downloads
        return self._opened


@asynccontextmanager
async def local_api(
    folder: Path, port: int, quick: bool, terms: Terms = USUAL, manner: Manner = PLAIN
) -> AsyncIterator[str]:
    """The local API on this loop; raises UsageTrouble where its libraries are missing."""
    try:
        from vidu_run.local.server import serving
    except ImportError as error:
        raise UsageTrouble(
            f"the local API needs {error.name or 'more libraries'}: pip install 'vidu-run[local]'. Nothing was sent."
        ) from None
    async with serving(folder, port, quick, terms=terms, manner=manner) as base_url:
        yield base_url
