"""The identity of a job: what decides the pixels, as written, and nothing else.

The recipe is a contract: a key that changes buys a video again. `tests/golden/keys.json` is never changed.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vidu_run.job import Continued, Frame, Image, Key, Request, key_in

MARKER = re.compile(r"(?P<marker>vr1\.[0-9a-f]{24}\.[0-9a-f]{16})(\||$)")

NOT_PIXELS = frozenset({"payload", "callback_url", "off_peak"})


def key_of(provider: str, request: Request, images: Sequence[Image]) -> Key:
    """sha256 over canonical JSON of {provider, request}: local frames by the sha256 of their bytes, links as written,
    frames of another job's clip by the task that made it and the position.

    The API's defaults are never filled in: a request that leaves the duration out and one that names the default are
    two jobs, because the API may change what it fills in.
    """
    fragments = {name: fragment(name, value) for name, value in plain(request).items()}
    fragments["images"] = images_fragment(images)
    return key_from(provider, (fragments[name] for name in sorted(fragments) if name not in NOT_PIXELS))


def key_from(provider: str, fragments: Iterable[str]) -> Key:
    """The key from the fragments of the fields that decide the pixels, in the order of the fields' names."""
    text = f'{{"provider":{json.dumps(provider)},"request":{{{",".join(fragments)}}}}}'
    return key_in(hashlib.sha256(text.encode()).hexdigest())


def fragment(name: str, value: Any) -> str:
    """One field of a plain request in canonical JSON. Most jobs of a sweep share most of theirs."""
    return f"{_json(name)}:{_json(value)}"


def images_fragment(images: Sequence[Image]) -> str:
    return fragment("images", [_known_by(image) for image in images])


def _known_by(image: Image) -> dict[str, Any]:
    if isinstance(image, Frame):
        return {"sha256": image.sha256}
    if isinstance(image, Continued):
        return {"frame": image.position, **_clip(image)}
    return {"url": image.source}


def _clip(image: Continued) -> dict[str, str]:
    """Without a task nothing can be bought: then the key only tells the jobs of a spec apart."""
    if image.task is not None:
        return {"task": image.task}
    return {"pick": image.of} if image.picked else {"job": image.key or image.of}


def plain(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request as it is sent and hashed: tidy prompt, integral floats as ints, nulls left out."""
    return {name: plain_value(name, value) for name, value in request.items() if value is not None}


def plain_value(name: str, value: Any) -> Any:
    return tidy(value) if name == "prompt" and isinstance(value, str) else _number(value)


def tidy(prompt: str) -> str:
    """LF line ends, Unicode NFC, no blank space around: editors differ in these, the picture does not."""
    return unicodedata.normalize("NFC", prompt.replace("\r\n", "\n").replace("\r", "\n")).strip()


def canonical(document: Any) -> bytes:
    return _json(document).encode()


def _json(document: Any) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _number(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_number(item) for item in value]
    if isinstance(value, dict):
        return {name: _number(item) for name, item in value.items()}
    return value


def new_marker(key: Key, nonce: str) -> str:
    """What an attempt carries in `payload`, so that a listing can be searched for it. `nonce`: 16 hex digits."""
    return f"vr1.{key[:24]}.{nonce}"


def marker_of(payload: str | None) -> str | None:
    """The marker a payload begins with, if it is one of ours."""
    found = MARKER.match(payload or "")
    return found["marker"] if found else None


def carries(marker: str, key: Key) -> bool:
    """Whether the marker is that of an attempt of this job; 24 digits of the key are enough to tell jobs apart."""
    return marker.split(".")[1] == key[:24]


def marked_payload(marker: str, payload: str | None) -> str:
    return marker if payload is None else f"{marker}|{payload}"
