"""The money function, row by row."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidu_run.outcome import (
    Accepted,
    AccountStop,
    Evidence,
    InDoubt,
    NotSent,
    Rejected,
    Throttled,
    classify,
    is_moderation,
)


def reply(status: int, document: Any, whole: bool = True, retry_after: str | None = None) -> Evidence:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Evidence(whole, status, retry_after, body)


ENVELOPE = {"code": 400, "reason": "FieldInvalid", "message": "duration", "metadata": {"trace_id": "t"}}
OPENAI = {"error": {"message": "bad model", "type": "invalid_request_error", "code": "bad"}}
TEXT_CODE = {"code": "invalid_parameter", "message": "no"}
HTML = b"<html><body>Bad Gateway</body></html>"


@pytest.mark.parametrize("why", ["name not resolved", "connection refused", "TLS failed", "reset while sending"])
def test_a_failure_before_the_last_byte_was_handed_over_was_not_sent(why: str) -> None:
    assert classify(Evidence(whole=False, error=why)) == NotSent(why)


@pytest.mark.parametrize("why", ["no answer in time", "connection reset by peer", "server disconnected"])
def test_a_failure_after_the_last_byte_is_in_doubt(why: str) -> None:
    assert classify(Evidence(whole=True, error=why)) == InDoubt(why)


@pytest.mark.parametrize(
    "document",
    [
        {"task_id": "48038932-0ff5-4251-8b4b-7a76c09fd114", "status": "processing", "created_at": 1774494511},
        {"task_id": "9162050611162931200", "state": "created", "credits": 160, "seed": 1},
        {"task_id": "t", "state": "failed"},
        {"code": "success", "data": {"task_id": "t"}},
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_success_that_names_a_task_is_accepted(status: int, document: Any) -> None:
    outcome = classify(reply(status, document))
    assert isinstance(outcome, Accepted)
    assert outcome.task_id in json.dumps(document)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"status": "processing"},
        {"task_id": ""},
        {"task_id": None},
        {"task_id": "../../etc"},
        {"code": "FieldInvalid", "message": "no"},
        [],
        b"",
        HTML,
        b"[" * 200_000,
        b'{"task_id": "a", "x": NaN}',
        b'{"task_id": "\\ud800"}',
        b'{"task_id": "a"',
    ],
)
def test_a_success_without_a_usable_task_id_is_in_doubt(document: Any) -> None:
    assert isinstance(classify(reply(200, document)), InDoubt)


def test_a_success_whose_body_was_not_read_to_its_end_is_in_doubt() -> None:
    assert isinstance(classify(Evidence(whole=True, status=200, body=None, error="cut")), InDoubt)


@pytest.mark.parametrize("status", [400, 402, 403, 429])
def test_a_refusal_that_names_a_task_is_in_doubt(status: int) -> None:
    assert isinstance(classify(reply(status, {"task_id": "t", "message": "slow down"})), InDoubt)


@pytest.mark.parametrize("status", [400, 404, 413, 415, 422])
@pytest.mark.parametrize("document", [ENVELOPE, OPENAI, TEXT_CODE])
def test_a_refusal_with_an_envelope_is_final(status: int, document: Any) -> None:
    outcome = classify(reply(status, document))
    assert isinstance(outcome, Rejected)
    assert f"HTTP {status}" in outcome.why


@pytest.mark.parametrize("status", [400, 404, 413, 415, 422])
@pytest.mark.parametrize("document", [HTML, b"", {}, {"detail": []}, {"error": {"message": "", "code": ""}}])
def test_a_refusal_without_an_envelope_is_in_doubt(status: int, document: Any) -> None:
    assert isinstance(classify(reply(status, document)), InDoubt)


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 408, 409, 425, 451, 499, 500, 502, 503, 504, 520, 599])
@pytest.mark.parametrize("document", [ENVELOPE, HTML, {"task_id": "t"}])
def test_every_other_status_is_in_doubt_whatever_its_body_says(status: int, document: Any) -> None:
    assert isinstance(classify(reply(status, document)), InDoubt)


def test_an_operation_in_process_is_in_doubt() -> None:
    assert isinstance(classify(reply(400, {"reason": "OperationInProcess", "message": "wait"})), InDoubt)


@pytest.mark.parametrize("status", [401, 402, 403])
@pytest.mark.parametrize("document", [ENVELOPE, HTML, b""])
def test_key_payment_and_permission_stop_the_run(status: int, document: Any) -> None:
    assert isinstance(classify(reply(status, document)), AccountStop)


@pytest.mark.parametrize("status", [400, 409, 429])
def test_missing_credits_stop_the_run_under_any_4xx_but_429(status: int) -> None:
    outcome = classify(reply(status, {"reason": "CreditInsufficient", "message": "no credits"}))
    assert isinstance(outcome, Throttled if status == 429 else AccountStop)


@pytest.mark.parametrize(("code", "full"), [("QuotaExceeded", True), ("TooManyRequests", False)])
def test_a_429_is_throttled_and_tells_whether_the_account_is_full(code: str, full: bool) -> None:
    outcome = classify(reply(429, {"reason": code, "message": "slow"}, retry_after="7"))
    assert isinstance(outcome, Throttled)
    assert (outcome.full, outcome.retry_after) == (full, "7")


def test_a_429_needs_no_envelope() -> None:
    assert isinstance(classify(reply(429, HTML)), Throttled)


@pytest.mark.parametrize("code", ["TaskPromptPolicyViolation", "AuditSubmitIllegal", "CreationPolicyViolation"])
def test_a_moderation_refusal_is_known_by_its_words(code: str) -> None:
    outcome = classify(reply(400, {"reason": code, "message": "no"}))
    assert isinstance(outcome, Rejected)
    assert is_moderation(outcome.why)


def test_a_reply_that_was_read_wins_over_a_body_that_was_not_out() -> None:
    assert isinstance(classify(reply(200, {"task_id": "t"}, whole=False)), Accepted)
    assert isinstance(classify(reply(400, ENVELOPE, whole=False)), Rejected)
    assert isinstance(classify(reply(500, ENVELOPE, whole=False)), InDoubt)


def test_a_413_while_the_body_was_still_going_out_is_final_without_an_envelope() -> None:
    assert isinstance(classify(reply(413, HTML, whole=False)), Rejected)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["task_id", "id", "data", "code", "state", "status", "error", "message", "reason"])
            | st.text(max_size=8),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(status=st.integers(100, 599), document=JSON, whole=st.booleans())
def test_whatever_comes_back_there_is_a_verdict_and_no_invented_task(status: int, document: Any, whole: bool) -> None:
    outcome = classify(reply(status, document, whole))
    if isinstance(outcome, Accepted):
        assert 200 <= status < 300
        assert outcome.task_id in json.dumps(document)


@given(status=st.integers(100, 599), body=st.binary(max_size=300), whole=st.booleans())
def test_whatever_bytes_come_back_there_is_a_verdict(status: int, body: bytes, whole: bool) -> None:
    outcome = classify(Evidence(whole, status, None, body))
    if isinstance(outcome, NotSent):
        pytest.fail("an answered POST was sent")
