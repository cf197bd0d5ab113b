"""Where requests go and with which key. The key is in no repr and no message."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Access:
    """A base URL without a closing slash, and the key with the name of where it came from. The key is never shown."""

    base_url: str
    key: str | None
    key_source: str | None

    def __repr__(self) -> str:
        return f"Access(base_url={self.base_url!r}, key_source={self.key_source!r})"

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).netloc

    @property
    def loopback(self) -> bool:
        return on_loopback(self.base_url)


def on_loopback(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
