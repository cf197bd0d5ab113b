"""Every documented reply is read for what it says; nothing a server can send makes the reader raise or invent."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidu_run.reply import (
    MAX_DEPTH,
    BadReply,
    Look,
    Phase,
    Refusal,
    parse_json,
    read_list,
    read_refusal,
    read_submit,
    read_task,
    usable_task_id,
)


def doc(text: str) -> object:
    return parse_json(text.encode())


def facts(look: Look) -> dict[str, object]:
    """What a look tells, without what it leaves open."""
    return {name: value for name, value in dataclasses.asdict(look).items() if value not in (None, "")}


def test_the_official_submit_reply_tells_the_seed_really_used_and_the_charge() -> None:
    look = read_submit(
        doc("""{"task_id":"9162050611162931200","state":"created","model":"viduq3-pro","prompt":"...","images":["https://...1.jpeg","https://...2.jpeg"],
 "duration":5,"seed":1309108947,"resolution":"1080p","audio":true,"bgm":false,"movement_amplitude":"auto","payload":"",
 "off_peak":false,"watermark":false,"credits":160,"created_at":"2026-01-01T15:41:31.968916Z"}""")
    )
    assert facts(look) == {
        "task_id": "9162050611162931200",
        "phase": Phase.QUEUED,
        "word": "created",
        "model": "viduq3-pro",
        "prompt": "...",
        "duration": 5,
        "seed": 1309108947,
        "resolution": "1080p",
        "credits": 160,
        "created_at": 1767282091.968916,
    }
    assert look.payload == ""


def test_the_octopusx_submit_reply_is_a_running_task() -> None:
    look = read_submit(
        doc('{"task_id":"48038932-0ff5-4251-8b4b-7a76c09fd114","status":"processing","created_at":1774494511}')
    )
    assert facts(look) == {
        "task_id": "48038932-0ff5-4251-8b4b-7a76c09fd114",
        "phase": Phase.RUNNING,
        "word": "processing",
        "created_at": 1774494511,
    }


def test_the_unified_submit_reply_dates_itself_in_nanoseconds_with_an_offset() -> None:
    look = read_submit(
        doc(
            '{"created_at":"2025-11-08T23:07:57.510141923+08:00","status":"processing",'
            '"task_id":"48038932-0ff5-4251-8b4b-7a76c09fd114"}'
        )
    )
    assert look.created_at == pytest.approx(1762614477.510142, abs=1e-5)
    assert look.task_id == "48038932-0ff5-4251-8b4b-7a76c09fd114"


def test_an_openai_video_object_names_its_task_by_id() -> None:
    look = read_submit(
        doc(
            '{"id":"video_123","object":"video","model":"viduq3-pro","status":"queued","progress":0,'
            '"created_at":1712697600,"size":"1024x1808","seconds":"5","quality":"standard"}'
        )
    )
    assert (look.task_id, look.phase, look.progress) == ("video_123", Phase.QUEUED, 0)


def test_a_submit_reply_may_be_wrapped() -> None:
    look = read_submit(doc('{"code":"success","status":"success","message":"","data":{"task_id":"task_E1"}}'))
    assert facts(look) == {"task_id": "task_E1", "phase": Phase.UNKNOWN}


def test_a_task_that_failed_at_birth_keeps_its_id() -> None:
    look = read_submit(doc('{"task_id":"77","state":"failed","err_code":"AuditSubmitIllegal","code":400}'))
    assert (look.task_id, look.phase, look.error_code) == ("77", Phase.FAILED, "AuditSubmitIllegal")
    look = read_submit(doc('{"id":"video_7","status":"failed","error":{"message":"no","code":"c"}}'))
    assert (look.task_id, look.phase, look.error) == ("video_7", Phase.FAILED, "c: no")


@pytest.mark.parametrize(
    "text",
    [
        '{"code":"insufficient_quota","message":"no quota","data":null}',
        '{"code":"insufficient_quota","id":"req-1","message":"no quota"}',
        '{"code":"insufficient_quota","id":"req-1"}',
        '{"code":"insufficient_quota","id":"req-1","state":"created"}',
        '{"error":"no quota left","id":"req-1"}',
        '{"code":400,"reason":"CreditInsufficient","message":"insufficient credits","id":"req-1"}',
        '{"error":{"message":"upstream is away","type":"x","code":null},"id":"req-1"}',
        '{"tasks":[{"id":"9026","state":"created"}]}',
        '{"task_id":9162050611162931200.0}',
        '{"task_id":"","state":"created"}',
        "[]",
        '"9026"',
        "null",
    ],
)
def test_a_submit_reply_without_a_task_names_none(text: str) -> None:
    assert read_submit(doc(text)).task_id is None


@pytest.mark.parametrize("code", ["0", '"0"', "200", '"success"', '"SUCCESS"', "null"])
def test_a_code_of_success_does_not_spoil_a_bare_id(code: str) -> None:
    assert read_submit(doc(f'{{"code":{code},"id":"9026","state":"created"}}')).task_id == "9026"


SHAPE_A = """{"id":"your_task_id","state":"success","err_code":"","credits":4,"payload":"run-7/job-3",
 "bgm":false,"off_peak":false,
 "creations":[{"id":"c1","url":"https://video.cf.vidu.com/...mp4?...","cover_url":"https://...","watermarked_url":"https://...w"}]}"""


def test_shape_a_official_creations() -> None:
    assert facts(read_task(doc(SHAPE_A))) == {
        "task_id": "your_task_id",
        "phase": Phase.SUCCEEDED,
        "word": "success",
        "credits": 4,
        "payload": "run-7/job-3",
        "url": "https://video.cf.vidu.com/...mp4?...",
        "cover_url": "https://...",
    }


def test_the_watermarked_file_is_taken_when_it_was_asked_for() -> None:
    assert read_task(doc(SHAPE_A), watermark=True).url == "https://...w"
    assert read_task(doc('{"creations":[{"url":"https://plain"}]}'), watermark=True).url == "https://plain"
    assert read_task(doc('{"creations":[{"url":"","watermarked_url":"https://w"}]}')).url == "https://w"


def test_shape_a_failed_by_moderation() -> None:
    look = read_task(
        doc(
            '{"state":"failed","err_code":"CreationPolicyViolation","credits":0,"payload":"","creations":[],'
            '"blocked_resources":[{"content_type":"image","index":1}]}'
        )
    )
    assert facts(look) == {
        "phase": Phase.FAILED,
        "word": "failed",
        "credits": 0,
        "error": "CreationPolicyViolation",
        "error_code": "CreationPolicyViolation",
    }


def test_the_officially_failed_task_that_the_user_cancelled_is_cancelled() -> None:
    look = read_task(doc('{"id":"1","state":"failed","err_code":"UserCancelled","credits":0}'))
    assert (look.phase, look.credits) == (Phase.CANCELLED, 0)
    assert read_task(doc('{"id":"1","state":"processing","err_code":"UserCancelled"}')).phase is Phase.RUNNING


def test_a_success_without_a_link_stays_a_success_and_tells_why_if_it_can() -> None:
    look = read_task(doc('{"id":"1","state":"success","creations":[],"err_msg":"the file was lost"}'))
    assert (look.phase, look.url, look.error) == (Phase.SUCCEEDED, None, "the file was lost")


ROW_B = """{"id":"9026","key_id":"k","state":"success","model":"viduq2-pro","prompt":"...","images":["..."],
 "duration":5,"resolution":"720p","aspect_ratio":"","creations":[{"id":"c1","url":"https://...","cover_url":"https://...","video":{"duration":5.04,"fps":24,"resolution":{"width":1280,"height":720}}}]}"""


def test_shape_b_task_list() -> None:
    rows, token = read_list(doc(f'{{"next_page_token":"","tasks":[{ROW_B}]}}'))
    assert token is None
    assert [facts(row) for row in rows] == [
        {
            "task_id": "9026",
            "phase": Phase.SUCCEEDED,
            "word": "success",
            "model": "viduq2-pro",
            "prompt": "...",
            "duration": 5,
            "resolution": "720p",
            "url": "https://...",
            "cover_url": "https://...",
        }
    ]
    assert rows[0].payload is None


def test_a_list_hands_on_its_next_page_wherever_it_is_wrapped() -> None:
    for text in ('{"next_page_token":"2","tasks":[]}', '{"code":0,"data":{"next_page_token":"2","tasks":[]}}'):
        assert read_list(doc(text)) == ([], "2")
    assert read_list(doc('{"data":[{"id":"1","state":"created"}]}'))[0][0].task_id == "1"
    assert read_list(doc('{"tasks":[1,null,"x",{"id":"1"}]}'))[0] == [Look(task_id="1")]


def test_of_several_rows_the_one_asked_for_is_read_and_no_other() -> None:
    page = doc(f'{{"tasks":[{{"id":"1","state":"failed"}},{ROW_B},{{"id":"up","task_id":"pub","state":"created"}}]}}')
    assert read_task(page, task_id="9026").phase is Phase.SUCCEEDED
    assert read_task(page, task_id="up").task_id == "pub"
    assert read_task(page, task_id="404") == Look()
    assert read_task(page) == Look()


def test_a_lone_row_is_read_and_says_whose_it_is() -> None:
    assert read_task(doc(f'{{"tasks":[{ROW_B}]}}'), task_id="video_9").task_id == "9026"
    assert read_task(doc('{"status":"success","tasks":[]}'), task_id="1") == Look()


def test_a_task_may_carry_a_list_called_data() -> None:
    for text in ('{"task_id":"1","state":"created","data":[]}', '{"task_id":"1","data":[{"url":"https://v"}]}'):
        assert read_task(doc(text)).task_id == "1"
    assert read_list(doc('{"data":[]}')) == ([], None)


def test_a_list_is_not_looked_into_where_an_object_belongs() -> None:
    assert read_task(doc('{"task_id":"1","metadata":["https://v"]}')).url is None


def test_shape_c_octopusx_official_format() -> None:
    look = read_task(
        doc(
            '{"id":"48038932-0ff5-4251-8b4b-7a76c09fd114","status":"completed",'
            '"video_url":"https://example.com/video/aigcVideoGenFile.mp4","status_update_time":1774494622}'
        )
    )
    assert facts(look) == {
        "task_id": "48038932-0ff5-4251-8b4b-7a76c09fd114",
        "phase": Phase.SUCCEEDED,
        "word": "completed",
        "url": "https://example.com/video/aigcVideoGenFile.mp4",
    }


def test_a_bare_failed_is_a_failure_without_a_reason() -> None:
    assert facts(read_task(doc('{"id":"4","status":"failed"}'))) == {
        "task_id": "4",
        "phase": Phase.FAILED,
        "word": "failed",
    }


def test_shape_d_octopusx_query_before_and_after() -> None:
    before = read_task(doc('{"id":"48038932-...","status":"processing","progress":50,"created_at":1774494511}'))
    assert (before.phase, before.progress, before.created_at, before.url) == (Phase.RUNNING, 0.5, 1774494511, None)
    after = read_task(
        doc(
            '{"id":"48038932-...","status":"completed","progress":100,"created_at":1774494511,'
            '"completed_at":1774494622,"video_url":"https://..."}'
        )
    )
    assert (after.phase, after.progress, after.url) == (Phase.SUCCEEDED, 1, "https://...")


def test_shape_d_of_the_sibling_models() -> None:
    look = read_task(
        doc(
            '{"id":"4","status":"unknown","progress":"0","video_url":null,"enhanced_prompt":"x",'
            '"detail":{"input":{"seed":3}},"thumbnail_url":"https://t","status_update_time":1774494622000}'
        )
    )
    assert facts(look) == {
        "task_id": "4",
        "phase": Phase.UNKNOWN,
        "word": "unknown",
        "progress": 0,
        "cover_url": "https://t",
    }


def test_shape_e_an_empty_error_object_on_success_is_no_error() -> None:
    look = read_task(
        doc("""{"id":"video_123","object":"video","model":"viduq3-pro","status":"completed","progress":100,"created_at":1712697600,"completed_at":1712697700,
 "expires_at":1735776000,"size":"1024x1808","seconds":"5","quality":"standard","video_url":"https://...","error":{"message":"","code":""}}""")
    )
    assert facts(look) == {
        "task_id": "video_123",
        "phase": Phase.SUCCEEDED,
        "word": "completed",
        "model": "viduq3-pro",
        "progress": 1,
        "created_at": 1712697600,
        "url": "https://...",
    }


def test_shape_f_new_api_video_object() -> None:
    look = read_task(
        doc("""{"id":"task_abc123","task_id":"task_abc123","object":"video","model":"viduq3-pro","status":"completed","progress":100,"created_at":1742515200,
 "completed_at":1742515235,"metadata":{"url":"https://gw.example/v1/videos/task_abc123/content"}}""")
    )
    assert (look.task_id, look.url) == ("task_abc123", "https://gw.example/v1/videos/task_abc123/content")


def test_shape_f_failed_says_its_reason_once() -> None:
    look = read_task(
        doc(
            '{"id":"task_x","object":"video","status":"failed","progress":100,'
            '"error":{"message":"CreationPolicyViolation","code":"CreationPolicyViolation"}}'
        )
    )
    assert (look.phase, look.error, look.error_code) == (Phase.FAILED, look.error_code, "CreationPolicyViolation")


def test_shape_g_keeps_the_public_id_and_takes_the_charge_from_the_inside() -> None:
    look = read_task(
        doc("""{"code":"success","message":"","data":{"task_id":"task_E...","platform":"52","action":"firstTailGenerate","status":"SUCCESS","fail_reason":"","result_url":"https://...mp4",
 "submit_time":1784517678,"start_time":1784517684,"finish_time":1784517969,"progress":"100%",
 "data":{"id":"9026","state":"success","credits":150,"creations":[{"url":"https://...","cover_url":"https://...c"}]}}}""")
    )
    assert facts(look) == {
        "task_id": "task_E...",
        "phase": Phase.SUCCEEDED,
        "word": "SUCCESS",
        "url": "https://...mp4",
        "cover_url": "https://...c",
        "credits": 150,
        "created_at": 1784517678,
        "progress": 1,
    }


def test_shape_g_flat_with_an_error_of_code_zero_is_just_queued() -> None:
    look = read_task(
        doc(
            '{"task_id":"abcd1234efgh","status":"queued","url":"https://example.com/video.mp4","format":"mp4",'
            '"metadata":{"duration":5,"fps":30,"width":1280,"height":720,"seed":20231234},'
            '"error":{"code":0,"message":"string"}}'
        )
    )
    assert facts(look) == {
        "task_id": "abcd1234efgh",
        "phase": Phase.QUEUED,
        "word": "queued",
        "url": "https://example.com/video.mp4",
        "seed": 20231234,
    }


def test_shape_g_of_old_gateways_puts_the_link_or_the_reason_into_fail_reason() -> None:
    link = read_task(
        doc('{"code":"success","data":{"task_id":"t","status":"SUCCESS","fail_reason":"https://v/1.mp4"}}')
    )
    assert (link.phase, link.url, link.error) == (Phase.SUCCEEDED, "https://v/1.mp4", None)
    help_page = read_task(doc('{"task_id":"t","status":"FAILURE","fail_reason":"https://help"}'))
    assert (help_page.phase, help_page.url, help_page.error) == (Phase.FAILED, None, "https://help")
    reason = read_task(
        doc(
            '{"code":"success","data":{"task_id":"t","status":"FAILURE","fail_reason":"the picture was refused",'
            '"data":{"id":"9","state":"failed","err_code":"CreationPolicyViolation"}}}'
        )
    )
    assert (reason.task_id, reason.phase) == ("t", Phase.FAILED)
    assert reason.error == "CreationPolicyViolation: the picture was refused"


SHAPE_H = """{"Response":{"Status":"FINISH","TaskType":"AigcVideoTask","RequestId":"...",
 "CreateTime":"2025-12-29T12:03:30Z","FinishTime":"2025-12-29T12:03:43Z",
 "AigcVideoTask":{"TaskId":"h-1","Status":"FINISH",%s"Progress":100,"Output":{"FileInfos":[%s]}}}}"""
FILE_H = """{"FileUrl":"http://...vod2.myqcloud.com/.../aigcVideoGenFile.mp4","ExpireTime":"2026-01-05T12:03:57Z","StorageMode":"Temporary"}"""


def test_shape_h_tencent_passthrough() -> None:
    assert facts(read_task(doc(SHAPE_H % ("", FILE_H)))) == {
        "task_id": "h-1",
        "phase": Phase.SUCCEEDED,
        "word": "FINISH",
        "url": "http://...vod2.myqcloud.com/.../aigcVideoGenFile.mp4",
        "created_at": 1767009810,
        "progress": 1,
    }


@pytest.mark.parametrize(
    ("extra", "files", "phase"),
    [
        ('"ErrCode":0,"Message":"SUCCESS",', FILE_H, Phase.SUCCEEDED),
        ('"ErrCode":0,"Message":"",', "", Phase.SUCCEEDED),
        ('"ErrCode":70000,"Message":"refused",', "", Phase.FAILED),
        ('"ErrCode":70000,"Message":"refused",', FILE_H, Phase.FAILED),
        ('"Message":"refused",', "", Phase.FAILED),
        ('"Message":"refused",', FILE_H, Phase.SUCCEEDED),
        ('"err_code":"Odd",', FILE_H, Phase.FAILED),
        ('"err_msg":"refused",', "", Phase.FAILED),
    ],
)
def test_shape_h_finish_only_means_ended(extra: str, files: str, phase: Phase) -> None:
    look = read_task(doc(SHAPE_H % (extra, files)))
    assert look.phase is phase
    assert bool(look.error) == (phase is Phase.FAILED)


def test_shape_h_believes_the_inner_state_while_it_runs() -> None:
    waiting = doc('{"Response":{"Status":"WAITING","AigcVideoTask":null}}')
    inner = doc('{"Response":{"Status":"FINISH","AigcVideoTask":{"TaskId":"h","Status":"PROCESSING"}}}')
    assert read_task(waiting).word == "WAITING"
    assert read_task(waiting).phase is Phase.QUEUED
    assert read_task(inner).phase is Phase.RUNNING


def test_shape_i_xingchao() -> None:
    text = """{"id":"x","object":"Video","created":1760000000,"model":"viduq3-pro","status":"%s",
 "video_url":%s,"actualDuration":5.04,"totalTokens":123,"error":"only when failed: a plain string"}"""
    done = read_task(doc(text % ("completed", '"https://..."')))
    assert (done.phase, done.url, done.created_at, done.error) == (Phase.SUCCEEDED, "https://...", 1760000000, None)
    failed = read_task(doc(text % ("failed", "null")))
    assert (failed.phase, failed.error) == (Phase.FAILED, "only when failed: a plain string")


@pytest.mark.parametrize(
    "text",
    [
        '{"output":{"task_id":"o","task_status":"SUCCEEDED","video_url":"https://v","cover_url":"https://c"}}',
        '{"output":{"task_id":"o","task_status":"SUCCEEDED","results":[{"url":"https://v"}],"thumbnail_url":"https://c"}}',
        '{"task_id":"o","output":{"task_status":"SUCCEEDED","results":[{"url":"https://v"}],"cover_url":"https://c"}}',
        '{"task":{"id":"o","state":"success","creations":{"url":"https://v","cover_url":"https://c"}}}',
        '{"task_id":"o","state":"success","data":{"id":"upstream","state":"created","url":"https://v","cover_url":"https://c"}}',
        '{"status":"success","id":"request","data":{"task_id":"o","status":"done","url":"https://v","cover_url":"https://c"}}',
    ],
)
def test_other_wraps_are_undone(text: str) -> None:
    look = read_task(doc(text))
    assert (look.task_id, look.phase, look.url, look.cover_url) == ("o", Phase.SUCCEEDED, "https://v", "https://c")


def test_an_id_inside_unnamed_data_is_the_tasks() -> None:
    assert read_submit(doc('{"code":0,"data":{"id":"9026"}}')).task_id == "9026"
    assert read_submit(doc('{"code":0,"output":{"id":"9026"}}')).task_id == "9026"
    assert read_submit(doc('{"Response":"ok","task_id":"9026"}')).task_id == "9026"
    assert read_submit(doc('{"Response":{},"task_id":"9026"}')).task_id == "9026"
    assert read_submit(doc('{"code":"odd","Response":{"AigcVideoTask":{"TaskId":"h"}}}')).task_id == "h"


@pytest.mark.parametrize(
    ("text", "code", "error"),
    [
        ('{"state":"failed","error":"AuditFailed"}', "AuditFailed", "AuditFailed"),
        ('{"state":"failed","fail_reason":"AuditFailed"}', "AuditFailed", "AuditFailed"),
        ('{"state":"failed","code":400,"reason":"BadRequest","message":"no"}', "BadRequest", "BadRequest: no"),
        ('{"state":"failed","code":400,"detail":"no"}', "400", "400: no"),
        ('{"state":"failed","code":0,"message":"no"}', None, "no"),
        ('{"state":"failed","err_code":"","code":200,"message":"success"}', None, None),
        ('{"state":"failed","ErrCode":70000,"Message":"no"}', "70000", "70000: no"),
        ('{"state":"failed","error":{"code":"C","message":"no"}}', "C", "C: no"),
        ('{"Response":{"Error":{"Code":"AuthFailure.Id","Message":"no"}}}', "AuthFailure.Id", "AuthFailure.Id: no"),
        ('{"state":"failed","reason":"it was too dark"}', None, "it was too dark"),
        ('{"state":"expired","message":"too late"}', None, "too late"),
        ('{"state":"processing","err_code":"Odd","message":"in the queue"}', None, None),
        ('{"state":"hatching","video_url":"https://v","message":"soon"}', None, None),
    ],
)
def test_the_reason_of_a_bad_end_is_found(text: str, code: str | None, error: str | None) -> None:
    look = read_task(doc(text))
    assert (look.error_code, look.error) == (code, error)


SYNONYMS = {
    Phase.QUEUED: "created, queueing, queued, pending, submitted, not_start, preparing, preparation, scheduling, "
    "scheduled, wait, waiting, initializing",
    Phase.RUNNING: "processing, in_progress, running, run, generating",
    Phase.SUCCEEDED: "success, succeeded, succeed, completed, complete, done, finish, finished",
    Phase.FAILED: "failed, fail, failure, error, rejected",
    Phase.CANCELLED: "canceled, cancelled",
    Phase.EXPIRED: "expired",
    Phase.UNKNOWN: "unknown, hatching, successful-ish, 成功",
}


@pytest.mark.parametrize(("phase", "word"), [(p, w) for p, words in SYNONYMS.items() for w in words.split(", ")])
def test_every_synonym_is_understood_in_any_case(phase: Phase, word: str) -> None:
    for written in (word, word.upper(), word.title()):
        for key in ("state", "status", "task_status"):
            assert read_task({key: written}) == Look(phase=phase, word=written)
            assert read_task({"output": {key: written}}).phase is phase


def test_the_state_word_is_shown_printable_and_short() -> None:
    assert read_task({"state": "odd\x1b[31m\u202e" + "x" * 100}).word == "odd[31m" + "x" * 57


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1774494511, 1774494511),
        (1774494511.25, 1774494511.25),
        (1774494622000, 1774494622),
        (1e11, 1e11),
        (1e11 + 1e3, 1e8 + 1),
        ("2026-01-01T00:00:00Z", 1767225600),
        ("2026-01-01 08:00:00.000000001+08:00", 1767225600),
        ("2026-01-01t00:00:00z", 1767225600),
        ("2026-01-01T00:00:00", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-01-01T00:00:00+99:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("2026-01-01T00:00:00.1234567890Z", None),
        ("yesterday", None),
        (True, None),
        (0, None),
        (-5, None),
        (10**400, None),
        (1e300, None),
        (math.nan, None),
        ([], None),
    ],
)
def test_a_moment_is_unix_seconds_or_nothing(value: object, seconds: float | None) -> None:
    assert read_task({"created_at": value}).created_at == seconds


@pytest.mark.parametrize(
    ("value", "share"),
    [
        *((0, 0), (1, 0.01), (1.0, 1), (0.5, 0.5), (50, 0.5), (50.0, 0.5), (100, 1)),
        *(
            ("1", 0.01),
            ("1.0", 1),
            ("50", 0.5),
            ("50%", 0.5),
            ("50 %", 0.5),
            ("0.5", 0.5),
            ("0.5%", 0.005),
            ("100%", 1),
        ),
        *((101, None), (-1, None), ("half", None), (True, None), (math.inf, None), ("٥٠", None), ({}, None)),
    ],
)
def test_progress_is_a_share_or_nothing(value: object, share: float | None) -> None:
    assert read_task({"progress": value}).progress == share


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        *((160, 160), (0, 0), (160.0, 160), (2**53 + 1, 2**53 + 1)),
        *((-1, None), (1.5, None), (True, None), ("160", None), (math.nan, None), (math.inf, None), (2**63, None)),
    ],
)
def test_credits_are_a_whole_number_or_nothing(value: object, whole: int | None) -> None:
    assert read_task({"credits": value}).credits == whole


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://v/a%2Fb.mp4?x=%20&Signature=a~b_", True),
        ("http://v/片.mp4", True),
        ("https://" + "v" * 8184, True),
        ("https://" + "v" * 8185, False),
        ("ftp://v/1.mp4", False),
        ("file:///etc/passwd", False),
        ("//v/1.mp4", False),
        (" https://v", False),
        ("https://v/a b", False),
        ("https://v/a\r\nHost: b", False),
        ("https://v/\u202egpj", False),
        ("https://v/\ud800", False),
        (["https://v"], False),
    ],
)
def test_a_link_is_kept_byte_for_byte_or_not_at_all(url: object, kept: bool) -> None:
    assert read_task({"state": "success", "video_url": url}).url == (url if kept else None)


@pytest.mark.parametrize(
    ("value", "task_id"),
    [
        *(("9026", "9026"), ("task_a:b?c#d%e~!", "task_a:b?c#d%e~!"), ("...", "..."), ("x" * 200, "x" * 200)),
        *((9162050611162931200, "9162050611162931200"), (1, "1"), (10**199, str(10**199))),
        *((text, None) for text in ("", ".", "..", "a b", "a/b", "a\\b", "a\n", "a\x00", "ä", "x" * 201, "\ud800")),
        *((0, None), (-1, None), (10**200, None), (10**4000, None), (True, None), (False, None)),
        *((1.0, None), (9.1e18, None), (math.nan, None), (None, None), ([], None), ({"a": 1}, None)),
    ],
)
def test_a_task_id_is_usable_or_none(value: object, task_id: str | None) -> None:
    assert usable_task_id(value) == task_id


def test_a_number_too_long_to_print_is_no_id_no_code_and_no_amount() -> None:
    huge = 10**9000
    look = read_submit(
        {"task_id": huge, "id": huge, "code": huge, "err_code": huge, "credits": huge, "created_at": huge}
    )
    assert look == Look()


def test_the_error_is_one_printable_line_of_bounded_length() -> None:
    look = read_task({"state": "failed", "err_code": "Bad", "err_msg": "a\r\n\x1b[31mb\u2028c\x00\ud800" + "x" * 10**6})
    assert look.error is not None
    assert look.error.startswith("Bad: a [31mb cxxx")
    assert len(look.error) == 500


def test_an_unknown_state_without_a_link_tells_what_the_server_complained_of() -> None:
    look = read_task(doc('{"code":"task_not_exist","message":"no such task","data":null}'))
    assert (look.phase, look.error_code, look.error) == (
        Phase.UNKNOWN,
        "task_not_exist",
        "task_not_exist: no such task",
    )


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (
            '{"code":400,"reason":"BadRequest","message":"task state is scheduled, can not cancel",'
            '"metadata":{"trace_id":"04e5c2fe159ff7c574acd0424e78c35f"}}',
            Refusal("BadRequest", "task state is scheduled, can not cancel", "04e5c2fe159ff7c574acd0424e78c35f"),
        ),
        (
            '{"code":400,"reason":"CreditInsufficient","message":"insufficient credits","metadata":{"trace_id":"…"}}',
            Refusal("CreditInsufficient", "insufficient credits", "…"),
        ),
        ('{"reason":"QuotaExceeded"}', Refusal("QuotaExceeded", "", None)),
        ('{"error":{"message":"no","type":"t","code":"c"}}', Refusal("c", "no", None)),
        ('{"error":{"message":"no","type":"t","code":null}}', Refusal("t", "no", None)),
        ('{"error":{"message":"no","type":"","code":""}}', Refusal("", "no", None)),
        (
            '{"code":"insufficient_quota","message":"no quota","data":null}',
            Refusal("insufficient_quota", "no quota", None),
        ),
        ('{"code":"","message":"no"}', Refusal("", "no", None)),
        ('{"message":"no","error":{"message":"string","code":0}}', Refusal("", "no", None)),
        ('{"reason":"odd","error":{"message":"string","code":0}}', Refusal("odd", "", None)),
        ('{"message":"no","trace_id":"t1"}', Refusal("", "no", "t1")),
        ('{"message":"no","request_id":"r1"}', Refusal("", "no", "r1")),
        ('{"code":"%s","message":"no"}' % ("c" * 101), Refusal("", "no", None)),
        ('{"code":"%s","message":"no"}' % ("c" * 100), Refusal("c" * 100, "no", None)),
        ('{"code":40001,"message":"no"}', Refusal("40001", "no", None)),
        ('{"message":"no Route\\nmatched\\u001b"}', Refusal("", "no Route matched", None)),
        ('{"status":"failed","id":"r","error":{"message":"no","code":"c"}}', Refusal("c", "no", None)),
        ('{"status":404,"error":"Not Found","message":"nothing here"}', Refusal("", "nothing here", None)),
    ],
)
def test_an_envelope_is_read(text: str, refusal: Refusal) -> None:
    assert read_refusal(doc(text)) == refusal


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "null",
        '"no"',
        '{"error":{}}',
        '{"error":{"message":"","code":""}}',
        '{"error":{"message":"string","code":0}}',
        '{"error":"a plain string"}',
        '{"detail":"Not Found"}',
        '{"message":""}',
        '{"message":"success"}',
        '{"message":404}',
        '{"code":"boom"}',
        '{"code":0,"message":"fine"}',
        '{"code":"0","message":"fine"}',
        '{"code":200,"message":"fine"}',
        '{"code":"success","message":"fine","data":{}}',
        '{"task_id":"9026","message":"too late"}',
        '{"data":{"task_id":"9026"},"code":"odd","message":"too late"}',
        '{"state":"processing","message":"in the queue"}',
        SHAPE_A,
    ],
)
def test_what_refuses_nothing_is_no_envelope(text: str) -> None:
    assert read_refusal(doc(text)) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"<html>busy</html>",
        b'{"task_id":"1"',
        b'{"task_id":"1"}}',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'{"payload":"\\ud800"}',
        b'{"payload":"\\udC00\\ud800"}',
        b'{"\\uDFFF":1}',
        b"NaN",
        b'{"credits":-Infinity}',
        b"1e999",
        b"9" * 5000,
        b"[" * 200_000,
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 200_000,
        b"]" * 200_000 + b"[" * 200_000,
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'"' + b'\\"' * 200_000,
        b'"' * 200_001,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_body_that_cannot_be_read_safely_is_a_bad_reply(body: bytes) -> None:
    with pytest.raises(BadReply) as caught:
        parse_json(body)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b"\xef\xbb\xbf{}", {}),
        (b'"\\ud83d\\ude00 \\\\ud800"', "😀 \\ud800"),
        (b'["' + b"[{" * 200 + b'\\"]",[]]', ["[{" * 200 + '"]', []]),
        (b'{"task_id":9162050611162931200}', {"task_id": 9162050611162931200}),
        (b"[" + b"[]," * 1000 + b"{}]", [[]] * 1000 + [{}]),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_unusual_but_sound_json_is_read(body: bytes, document: object) -> None:
    assert parse_json(body) == document


def test_nesting_is_read_up_to_the_limit() -> None:
    nested = parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert json.dumps(nested) == "[" * MAX_DEPTH + "]" * MAX_DEPTH


VOCABULARY = str.split(
    "task_id id TaskId state status task_status Status data output task tasks Response AigcVideoTask Output FileInfos "
    "FileUrl creations url watermarked_url cover_url video_url result_url metadata results error code message reason "
    "err_code err_msg fail_reason ErrCode Message detail credits seed payload progress created_at trace_id prompt "
    "model duration resolution next_page_token"
)
LIKELY = (
    *("success", "failed", "FINISH", "processing", "UserCancelled", "CreationPolicyViolation", "task_1", "50%", ""),
    *("https://v/1.mp4", "2026-01-01T00:00:00Z", "\ud800", "a\x00b", 0, 200, 10**4000, -(10**4000)),
)
SCALARS: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
) | st.sampled_from(LIKELY)
DOCUMENTS: st.SearchStrategy[object] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(VOCABULARY), inner, max_size=8)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=40,
)


# A busy machine is no finding.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def scalars(document: object) -> set[object]:
    if isinstance(document, dict):
        return set().union(*map(scalars, document.values()))
    if isinstance(document, list):
        return set().union(*map(scalars, document))
    if isinstance(document, int) and not isinstance(document, bool):
        return {str(document)} if abs(document) < 10**200 else set()
    return {document} if isinstance(document, str) else set()


def check_sound(look: Look, told: set[object]) -> None:
    for value in (look.task_id, look.url, look.cover_url, look.payload, look.prompt, look.model, look.resolution):
        assert value is None or value in told
    assert look.task_id is None or usable_task_id(look.task_id) == look.task_id
    assert look.word.isprintable()
    assert len(look.word) <= 64
    assert look.error is None or (look.error.isprintable() and 0 < len(look.error) <= 500)
    assert all(number is None or abs(number) < 2**63 for number in (look.credits, look.seed))
    assert look.progress is None or 0 <= look.progress <= 1
    assert all(number is None or math.isfinite(number) for number in (look.created_at, look.duration))


@UNHURRIED
@given(DOCUMENTS, st.none() | st.sampled_from(["task_1", "1", ""]), st.booleans())
def test_no_document_makes_the_reader_raise_or_invent(document: object, task_id: str | None, watermark: bool) -> None:
    told = scalars(document)
    rows, token = read_list(document)
    for look in (read_task(document, task_id=task_id, watermark=watermark), read_submit(document), *rows):
        check_sound(look, told)
    assert token is None or token in told
    refusal = read_refusal(document)
    assert refusal is None or refusal.code or refusal.message


@UNHURRIED
@given(DOCUMENTS)
def test_a_refusal_never_names_a_task_that_is_alive(document: object) -> None:
    look = read_task(document)
    assert read_refusal(document) is None or look.phase not in {Phase.QUEUED, Phase.RUNNING, Phase.SUCCEEDED}


@UNHURRIED
@given(
    st.binary(max_size=60) | DOCUMENTS.map(lambda document: json.dumps(document).encode() if small(document) else b"")
)
def test_parsing_gives_what_json_gives_or_a_bad_reply(body: bytes) -> None:
    try:
        document = parse_json(body)
    except BadReply:
        return
    assert document == json.loads(body)
    json.dumps(document, ensure_ascii=False, allow_nan=False).encode()


def small(document: object) -> bool:
    """Python refuses to print integers of more than 4,300 digits."""
    try:
        json.dumps(document)
    except ValueError:
        return False
    return True
