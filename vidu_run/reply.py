"""Turns every reply shape of Vidu and of the gateways before it into one small frozen object.

Where each fact may stand is a table of paths. Only `parse_json` raises; in what it let through, junk reads as absent.
It never decides what a reply means for the run or for money.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")
MAX_DEPTH, MAX_URL, MAX_ERROR, MAX_WORD, MAX_CODE = 64, 8192, 500, 64, 100


class BadReply(ValueError):
    """The body is not JSON that can be read safely; the message says why."""


class Phase(StrEnum):
    """How far a task is. UNKNOWN is a word nobody documents: treat it as still running."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


ENDED_BADLY = frozenset({Phase.FAILED, Phase.CANCELLED, Phase.EXPIRED})


@dataclass(frozen=True, slots=True)
class Look:
    """What one reply says of one task. None: it does not say, or says it in a form that is not to be trusted.

    `word` is the server's own state word. `url` and `payload` are as sent. `error` is one printable line, "Code:
    message", told for a bad end, and for a success or an unknown state that brings no link.
    `created_at` is Unix seconds, `duration` seconds, `progress` 0..1, `credits` the charge of the task.
    """

    task_id: str | None = None
    phase: Phase = Phase.UNKNOWN
    word: str = ""
    url: str | None = None
    cover_url: str | None = None
    credits: int | None = None
    seed: int | None = None
    payload: str | None = None
    error: str | None = None
    error_code: str | None = None
    created_at: float | None = None
    progress: float | None = None
    prompt: str | None = None
    model: str | None = None
    duration: float | None = None
    resolution: str | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account has left, in credits, and how many tasks it may run and runs at once; None: it does not say."""

    credits: int | None = None
    concurrency: int | None = None
    running: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error envelope. `code` is "" where the server gave none, `message` where it gave a code alone."""

    code: str
    message: str
    trace_id: str | None


_SYNONYMS = {
    Phase.QUEUED: "created queueing queued pending submitted not_start preparing preparation scheduling scheduled wait"
    " waiting initializing",
    Phase.RUNNING: "processing in_progress running run generating",
    Phase.SUCCEEDED: "success succeeded succeed completed complete done finish finished",
    Phase.FAILED: "failed fail failure error rejected",
    Phase.CANCELLED: "canceled cancelled",
    Phase.EXPIRED: "expired",
}
_PHASES = {word: phase for phase, words in _SYNONYMS.items() for word in words.split()}
_ALIVE = frozenset({Phase.QUEUED, Phase.RUNNING, Phase.SUCCEEDED})
_FINE = frozenset({"0", "200", "success", "succeed", "succeeded", "ok"})


@dataclass(frozen=True, slots=True)
class _Paths:
    """Where a fact may stand, the best place first, and the names with which these ways begin."""

    ways: tuple[tuple[str, ...], ...]
    heads: frozenset[str]


def _paths(words: str) -> _Paths:
    ways = tuple(tuple(word.split(".")) for word in words.split())
    return _Paths(ways, frozenset(way[0] for way in ways))


_WRAPS = ("data", "AigcVideoTask", "task", "output")
_STATE = _paths("state status task_status Status")
_OWN_ID = _paths("task_id TaskId")
_A_TASK = _paths("state status task_status Status task_id TaskId")
_ID = _paths("task_id id TaskId")
_MARKED_URL = _paths("creations.0.watermarked_url")
_URL = _paths(
    "creations.0.url creations.0.watermarked_url video_url url result_url metadata.url"
    " Output.FileInfos.0.FileUrl results.0.url"
)
# Older new-api gateways put the link of some channels here.
_URL_OF_A_SUCCESS = _paths("fail_reason")
_COVER = _paths("creations.0.cover_url cover_url thumbnail_url")
_CREDITS, _PAYLOAD, _SEED = _paths("credits"), _paths("payload"), _paths("seed metadata.seed")
_PROMPT, _MODEL, _DURATION, _RESOLUTION = (_paths(word) for word in ("prompt", "model", "duration", "resolution"))
_CREATED = _paths("created_at created submit_time CreateTime")
_PROGRESS = _paths("progress Progress")
_CODE = _paths("err_code ErrCode error.code Error.Code error reason fail_reason code")
_MESSAGE = _paths("err_msg error.message Error.Message error fail_reason reason message Message detail")
_ENDED_CODE, _ENDED_MESSAGE = _paths("ErrCode err_code"), _paths("Message err_msg")
_REFUSAL_CODE = _paths("reason error.code error.type code")
_REFUSAL_MESSAGE, _BARE_MESSAGE = _paths("message error.message reason"), _paths("message reason")
_TRACE = _paths("metadata.trace_id trace_id request_id")
# The documents' table has the second name, their sample the first.
_REMAINS = ("remains", "remaining_credits")
_NEXT_PAGE = _paths("next_page_token data.next_page_token")

# A string is swallowed whole, even one that never ends: the scan stays linear.
_NO_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[^\[\]{}"]++', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_TASK_ID = re.compile(r"(?!\.{1,2}\Z)[!-.0-\[\]-~]{1,200}")
_CODE_WORD = re.compile(r"[A-Za-z0-9_.-]+")
_RFC3339 = re.compile(r"([0-9-]{10})[Tt ]([0-9:]{8}(?:\.[0-9]{1,9})?)([Zz]|[+-][0-9]{2}:[0-9]{2})")
_SHARE = re.compile(r"([0-9]{1,3}(\.[0-9]{1,9})?) ?(%?)")


def parse_json(body: bytes) -> object:
    """The document in `body`. BadReply for what a strict reader, a text column or the stack could choke on: not UTF-8,
    not JSON, NaN and infinities, lone surrogates, nesting deeper than `MAX_DEPTH`."""
    try:
        text = body.decode("utf-8-sig")
        if _too_deep(text):
            raise ValueError(f"unbalanced, or nested deeper than {MAX_DEPTH}")
        document: object = json.loads(text, parse_constant=_finite, parse_float=_finite)
        if _SURROGATE.search(text):
            json.dumps(document, ensure_ascii=False).encode()
    except ValueError as trouble:
        raise BadReply(f"not usable JSON: {_line(str(trouble), 200)}") from None
    return document


def read_task(document: object, *, task_id: str | None = None, watermark: bool = False) -> Look:
    """What `document` says of a task; of several rows, the one that names `task_id`.

    A lone row is taken whatever it names (gateways have ids of their own): compare `Look.task_id`.
    `watermark` prefers the link of the watermarked file.
    """
    rows = _rows(document)
    if rows is None:
        return _look(document, watermark)
    named = [row for row in rows if task_id and task_id in {usable_task_id(_at(row, path)) for path in _ID.ways}]
    chosen = named or (rows if len(rows) == 1 else [])
    return _look(chosen[0], watermark) if chosen else Look()


def read_submit(document: object) -> Look:
    """What a submit's 2xx reply says. Lists are not looked into, and a bare `id` beside an error is not a task's."""
    look = _look(document)
    broken = _code(_at(document, ("code",))) or (look.error and not look.word)
    return replace(look, task_id=None) if broken and not _names_a_task(document) else look


def read_list(document: object) -> tuple[list[Look], str | None]:
    """The rows of one page of the task list, and the token of the next page if there is one."""
    return [_look(row) for row in _rows(document) or ()], _first((document,), _NEXT_PAGE, _text) or None


def read_balance(document: object) -> Balance:
    """The account's reply: its kinds of credits together, the widest of their concurrency limits."""
    rows = next((found for name in _REMAINS if isinstance(found := _at(document, (name,)), list)), [])
    credits, limits, running = (
        [value for row in _maps(*rows) if (value := _credits(_at(row, (name,)))) is not None]
        for name in ("credit_remain", "concurrency_limit", "current_concurrency")
    )
    return Balance(sum(credits) if credits else None, max(limits, default=None), sum(running) if running else None)


def read_refusal(document: object) -> Refusal | None:
    """The envelope of a refused request: a `reason` or `message`, or an `error.message`.

    None where a code says that all is well, or where the document names a task or a state that is no failure.
    """
    if _is_fine(_at(document, ("code",))) or _names_a_task(document) or _look(document).phase in _ALIVE:
        return None
    harmless = _is_fine(_at(document, ("error", "code")))
    message = _first((document,), _BARE_MESSAGE if harmless else _REFUSAL_MESSAGE, _message)
    if message is None:
        return None
    code = _first((document,), _REFUSAL_CODE, _code) or ""
    return Refusal(code, "" if message == code else message, _first((document,), _TRACE, _message))


def usable_task_id(value: object) -> str | None:
    """The id as text, if it can stand as one segment of a path: 1..200 printable ASCII characters without spaces and
    slashes, not "." or "..", or a positive whole number. A float never is: it has lost digits."""
    if isinstance(value, str):
        return value if _TASK_ID.fullmatch(value) else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**200 else None


def _look(document: object, watermark: bool = False) -> Look:
    body, outer = _unwrap(document)
    inner = _maps(body, _at(body, ("data",)), _at(body, ("output",)))
    layers = inner if outer is body else _maps(*inner, outer)
    word = _first(inner, _STATE, lambda value: _line(value, MAX_WORD)) or ""
    url = (_first(layers, _MARKED_URL, _url) if watermark else None) or _first(layers, _URL, _url)
    code = _first(layers, _CODE, _code)
    phase = _phase(word, code, body, url)
    if phase is Phase.SUCCEEDED and url is None:
        url = _first(layers, _URL_OF_A_SUCCESS, _url)
    told = phase not in ({Phase.QUEUED, Phase.RUNNING} if url is None else {*_ALIVE, Phase.UNKNOWN})
    return Look(
        task_id=_first(_near(body, outer), _ID, usable_task_id),
        phase=phase,
        word=word,
        url=url,
        cover_url=_first(layers, _COVER, _url),
        credits=_first(layers, _CREDITS, _credits),
        seed=_first(layers, _SEED, _whole),
        payload=_first(layers, _PAYLOAD, _text),
        error=_error(layers, code) if told else None,
        error_code=code if told else None,
        created_at=_first(layers, _CREATED, _moment),
        progress=_first(layers, _PROGRESS, _progress),
        prompt=_first(layers, _PROMPT, _text),
        model=_first(layers, _MODEL, _text),
        duration=_first(layers, _DURATION, _number),
        resolution=_first(layers, _RESOLUTION, _text),
    )


def _phase(word: str, code: str | None, body: object, url: str | None) -> Phase:
    phase = _PHASES.get(word.lower(), Phase.UNKNOWN)
    if phase is Phase.FAILED and code and code.lower() in {"usercancelled", "usercanceled"}:
        return Phase.CANCELLED
    # Tencent's FINISH means ended, well or badly.
    if word.lower() in {"finish", "finished"}:
        blamed = _first((body,), _ENDED_CODE, _code) or (url is None and _first((body,), _ENDED_MESSAGE, _message))
        return Phase.FAILED if blamed else phase
    return phase


def _error(layers: list[object], code: str | None) -> str | None:
    message = _first(layers, _MESSAGE, lambda value: None if (line := _message(value)) == code else line)
    return ": ".join(filter(None, (code, message)))[:MAX_ERROR] or None


def _unwrap(document: object) -> tuple[object, object]:
    """The task itself, and what wraps it; both the same where nothing does."""
    response = _at(document, ("Response",))
    outer = response if isinstance(response, dict) and response else document
    if _first((outer,), _OWN_ID, usable_task_id):
        return outer, outer
    return next((part for name in _WRAPS if _is_task(part := _at(outer, (name,)))), outer), outer


def _near(body: object, outer: object) -> list[object]:
    """Where a task's own id may stand. A task inside a task is the upstream's, whose id the gateway does not know."""
    return _maps(body, outer, _at(outer, ("data",)), _at(outer, ("output",)))


def _names_a_task(document: object) -> bool:
    return _first(_near(*_unwrap(document)), _OWN_ID, usable_task_id) is not None


def _is_task(part: object) -> bool:
    return _first((part,), _A_TASK, lambda value: value) is not None


def _rows(document: object) -> list[object] | None:
    """The rows of a list reply; None for a reply about one task, which may well carry a list called `data`."""
    for rows in (document, _at(document, ("tasks",)), _at(document, ("data", "tasks"))):
        if isinstance(rows, list):
            return _maps(*rows)
    rows = _at(document, ("data",))
    return [row for row in rows if _is_task(row)] or None if isinstance(rows, list) else None


def _maps(*parts: object) -> list[object]:
    return [part for part in parts if isinstance(part, dict)]


def _at(node: object, path: tuple[str, ...]) -> object:
    for step in path:
        if step == "0" and isinstance(node, list):
            node = node[0] if node else None
        elif isinstance(node, dict):
            # Some copies of the documentation print `creations` as one object.
            node = node if step == "0" else node.get(step)
        else:
            return None
    return node


def _first(layers: Iterable[object], paths: _Paths, accept: Callable[[object], T | None]) -> T | None:
    for layer in layers:
        # Most fields of most replies are not there.
        if not isinstance(layer, dict) or paths.heads.isdisjoint(layer):
            continue
        for path in paths.ways:
            if path[0] in layer and (value := _at(layer, path)) is not None and (read := accept(value)) is not None:
                return read
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _line(value: object, limit: int) -> str | None:
    if not isinstance(value, str):
        return None
    if len(value) <= limit and value.isalnum():
        return value
    words = ("".join(filter(str.isprintable, word)) for word in value[: limit * 8].split())
    return " ".join(filter(None, words))[:limit].rstrip() or None


def _message(value: object) -> str | None:
    line = _line(value, MAX_ERROR)
    return None if _is_fine(line) else line


def _is_fine(value: object) -> bool:
    return value.lower() in _FINE if isinstance(value, str) else _number(value) in {0, 200}


def _code(value: object) -> str | None:
    text = value if isinstance(value, str) else None if (whole := _whole(value)) is None else str(whole)
    return text if text and len(text) <= MAX_CODE and _CODE_WORD.fullmatch(text) and not _is_fine(text) else None


def _url(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > MAX_URL or not value.startswith(("http://", "https://")):
        return None
    return value if value.isprintable() and " " not in value else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 2**63 else None


def _whole(value: object) -> int | None:
    if isinstance(value, int | float) and (number := _number(value)) is not None and number.is_integer():
        return int(value)
    return None


def _credits(value: object) -> int | None:
    whole = _whole(value)
    return None if whole is None or whole < 0 else whole


def _moment(value: object) -> float | None:
    """Unix seconds, from seconds, milliseconds (above 1e11) or RFC 3339 with an offset."""
    number = _number(value)
    if isinstance(value, str) and (parts := _RFC3339.fullmatch(value)):
        try:
            number = datetime.fromisoformat(f"{parts[1]}T{parts[2]}{parts[3].upper()}").timestamp()
        except ValueError:
            return None
    elif number is not None and number > 1e11:
        number /= 1000
    return number if number is not None and 0 < number <= 1e11 else None


def _progress(value: object) -> float | None:
    """0..1 from a fraction, a number up to 100, or either as text; a whole 1 is one per cent."""
    if isinstance(value, str) and (parts := _SHARE.fullmatch(value)):
        number, fraction = float(parts[1]), bool(parts[2]) and not parts[3]
    elif (plain := _number(value)) is not None:
        number, fraction = plain, isinstance(value, float)
    else:
        return None
    share = number if fraction and number <= 1 else number / 100
    return share if 0 <= share <= 1 else None


def _too_deep(text: str) -> bool:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    nest = _NO_BRACKET.sub("", text).replace("{", "[").replace("}", "]")
    for _ in range(MAX_DEPTH):
        nest = nest.replace("[]", "")
    return bool(nest)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is not a number JSON knows")
    return number
