"""Where requests go and with which key. The key is in no repr and no message."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""How a network that has IPv6 alone reaches an IPv4 host, whose address stands in the last 32 bits (RFC 6052)."""

CARRIERS = tuple(map(ipaddress.ip_network, ("::/96", "64:ff9b:1::/48", "2002::/16")))
"""IPv6 addresses that stand for an IPv4 one, which may be any; Python 3.11 takes most of them for global ones."""


@dataclass(frozen=True, slots=True)
class Access:
    """A base URL without a closing slash, and the key with the name of where it came from. The key is never shown."""

    base_url: str
    key: str | None
    key_source: str | None

    def __repr__(self) -> str:
        return f"Access(base_url={self.base_url!r}, key_source={self.key_source!r})"

    @property
    def loopback(self) -> bool:
        return on_loopback(self.base_url)


def on_loopback(base_url: str) -> bool:
    return is_loopback(urlsplit(base_url).hostname or "")


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet: nothing of this machine, this network or a group.

    Raises ValueError for what is no IP address.
    """
    found = ipaddress.ip_address(address)
    if found in TRANSLATED:
        return is_public(str(ipaddress.IPv4Address(int(found) % 2**32)))
    return found.is_global and not found.is_multicast and not any(found in net for net in CARRIERS)


def may_be_public(host: str) -> bool:
    """False for a host that surely is not public; a name that passes is judged by the addresses it resolves to."""
    try:
        return is_public(host)
    except ValueError:
        name = host.lower().rstrip(".")
        # `127.1` and `2130706433` are no addresses to ipaddress, and 127.0.0.1 to the system.
        return bool(name) and name.rpartition(".")[2] != "localhost" and not name.replace(".", "").isdigit()
