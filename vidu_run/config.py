"""Where requests go and which key goes with them, from the environment and the command line; never from a spec."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from vidu_run.access import on_loopback
from vidu_run.errors import UsageTrouble
from vidu_run.local.manner import PLAIN, STAND_IN, Manner, chances, whole
from vidu_run.providers.rules import Provider

HOST_VARIABLE = "VIDU_RUN_BASE_URL"
RENDER_VARIABLE = "VIDU_RUN_LOCAL_RENDER"
"""`quick` makes the local API render with the least effort: for tests of specs, not for looking at."""
FAULTS_VARIABLE = "VIDU_RUN_LOCAL_FAULTS"
SEED_VARIABLE = "VIDU_RUN_LOCAL_FAULTS_SEED"


def quick_rendering(environment: Mapping[str, str]) -> bool:
    return environment.get(RENDER_VARIABLE) == "quick"


def manner(address: str | None, environment: Mapping[str, str]) -> Manner:
    """How the embedded local API behaves; a server at an `address` has been told when it was started.

    Raises UsageTrouble for faults that do not exist.
    """
    if address is not None:
        return PLAIN
    faults = chances(environment.get(FAULTS_VARIABLE, ""), FAULTS_VARIABLE)
    return Manner(STAND_IN, faults, whole(environment.get(SEED_VARIABLE, ""), SEED_VARIABLE))


def base_url(provider: Provider, option: str | None, environment: Mapping[str, str]) -> str | None:
    """The host to talk to; None for the embedded local API."""
    local = not provider.key_variables
    chosen = option or (None if local else environment.get(HOST_VARIABLE) or provider.base_url)
    if not chosen:
        return None
    named = "--base-url" if option else HOST_VARIABLE
    try:
        parts = urlsplit(chosen)
        number = parts.port
    except ValueError:
        raise UsageTrouble(f"{named} {chosen}: not an http(s) address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageTrouble(f"{named} {chosen}: not an http(s) address")
    if parts.username or parts.password:
        raise UsageTrouble(f"{named}: a key does not belong into an address")
    if local and not on_loopback(chosen):
        raise UsageTrouble(f"{named} {chosen}: the local API is on this machine (127.0.0.1)")
    if parts.scheme == "http" and not on_loopback(chosen):
        raise UsageTrouble(f"{named} {chosen}: a key goes over https only (http is for this machine)")
    port = "" if number in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{number}"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def find_key(
    provider: Provider, key_file: Path | None, environment: Mapping[str, str] = os.environ
) -> tuple[str, str] | None:
    """The key and the name of where it stands; None where none is given. Raises UsageTrouble for one that is none."""
    if not provider.key_variables:
        return None
    for name in provider.key_variables:
        if value := environment.get(name, "").strip():
            return _checked(value, name), name
    if key_file is None:
        return None
    try:
        return _checked(key_file.read_text(encoding="utf-8").strip(), str(key_file)), str(key_file)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageTrouble(f"--key-file {key_file}: cannot be read ({why})") from None


def _checked(value: str, source: str) -> str:
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise UsageTrouble(f"the key in {source} is empty or holds a blank or a control character")
    return value
