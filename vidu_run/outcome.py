"""The money function: from the evidence a POST left behind to what it may mean. Nothing else decides about money.

A second POST is allowed after `NotSent` and `Throttled` alone. Whatever is not plainly something else is `InDoubt`.
"""

from __future__ import annotations

from dataclasses import dataclass

from vidu_run.reply import BadReply, Look, Refusal, parse_json, read_refusal, read_submit

REFUSING = frozenset({400, 404, 413, 415, 422})
"""Statuses that are final when the body is an envelope that says why."""

ACCOUNT = frozenset({401, 402, 403})
NO_CREDITS = "CreditInsufficient"
STILL_WORKING = "OperationInProcess"
TOO_BIG = 413

MODERATION = frozenset(
    {"TaskPromptPolicyViolation", "AuditSubmitIllegal", "CreationPolicyViolation", "PhotoAuditNotPass", "AuditFailed"}
)
"""Refusal codes that judge the input. Sent again and again they can get an account suspended."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known after a POST: `whole` says that the last byte of the body was handed to the transport.

    `body` is None where the reply was not read to its end. `error` is what broke, in words.
    """

    whole: bool
    status: int | None = None
    retry_after: str | None = None
    body: bytes | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server took it and named its task."""

    task_id: str
    look: Look


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request surely never arrived whole."""

    why: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """An explicit 429: nothing was created. `full` when it is the account's concurrency and not the request rate."""

    retry_after: str | None
    full: bool
    why: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused with a reason; asking again would be refused again."""

    why: str


@dataclass(frozen=True, slots=True)
class AccountStop:
    """Key, permission or credits: no other job would fare better."""

    why: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """A POST left and nobody knows whether the server took it."""

    why: str


Outcome = Accepted | NotSent | Throttled | Rejected | AccountStop | InDoubt


def classify(evidence: Evidence) -> Outcome:
    """The verdict. Whether an accepted task id belongs to another attempt is the journal's to see, when it settles."""
    status = evidence.status
    if status is None:
        return (InDoubt if evidence.whole else NotSent)(evidence.error or "no reply")
    document = _document(evidence.body)
    if 200 <= status < 300:
        return _accepted(document)
    if (task := read_submit(document).task_id) is not None:
        return InDoubt(f"HTTP {status}, and yet the reply names task {task}")
    refusal = read_refusal(document)
    why = f"HTTP {status}" + (f" {_words(refusal)}" if refusal else "")
    if status == 429:
        return Throttled(evidence.retry_after, full=_code(refusal) == "QuotaExceeded", why=why)
    if status in ACCOUNT or (400 <= status < 500 and _code(refusal) == NO_CREDITS):
        return AccountStop(why)
    if status in REFUSING and refusal and refusal.code != STILL_WORKING:
        return Rejected(why)
    if status == TOO_BIG and not evidence.whole:
        return Rejected(f"{why}: the server stopped reading the body")
    return InDoubt(why)


def is_moderation(why: str) -> bool:
    """Whether a refusal or a failure, in the words it was recorded with, judged the input."""
    return any(code in why for code in MODERATION)


def _accepted(document: object) -> Outcome:
    look = read_submit(document)
    if look.task_id is None:
        return InDoubt("a reply of success without a usable task_id")
    return Accepted(look.task_id, look)


def _document(body: bytes | None) -> object:
    try:
        return None if body is None else parse_json(body)
    except BadReply:
        return None


def _code(refusal: Refusal | None) -> str:
    return refusal.code if refusal else ""


def _words(refusal: Refusal) -> str:
    trace = f" (trace {refusal.trace_id})" if refusal.trace_id else ""
    return ": ".join(filter(None, (refusal.code, refusal.message))) + trace
