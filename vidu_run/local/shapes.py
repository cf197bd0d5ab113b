"""One task in the words of two APIs: the seed's (octopusx) and the official one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from vidu_run.local.tasks import FAILED, SUCCESS, Task

GATEWAY_WORDS = {SUCCESS: "completed", FAILED: "failed"}
"""The gateway knows three states; everything before the end is `processing`."""


def gateway_submit(task: Task) -> dict[str, Any]:
    return {"task_id": task.id, "status": "processing", "created_at": int(task.created_at)}


def gateway_query(task: Task, video_url: str) -> dict[str, Any]:
    reply: dict[str, Any] = {
        "id": task.id,
        "status": GATEWAY_WORDS.get(task.state, "processing"),
        "status_update_time": int(task.updated_at),
    }
    if task.state == SUCCESS:
        reply["video_url"] = video_url
    if task.state == FAILED:
        reply["error"] = {"code": "InternalServiceFailure", "message": task.error}
    return reply


def gateway_unified(task: Task, video_url: str) -> dict[str, Any]:
    ended = task.state in GATEWAY_WORDS
    reply: dict[str, Any] = {
        "id": task.id,
        "status": GATEWAY_WORDS.get(task.state, "processing"),
        "progress": 100 if ended else 50,
        "created_at": int(task.created_at),
    }
    if task.state == SUCCESS:
        reply |= {"completed_at": int(task.updated_at), "video_url": video_url}
    return reply


def official_submit(task: Task) -> dict[str, Any]:
    request = {name: value for name, value in task.request.items() if name != "meta_data"}
    return {
        **request,
        "task_id": task.id,
        "state": task.state,
        "images": [f"stored:{name}" for name in task.images],
        "payload": task.request.get("payload", ""),
        "duration": task.seconds,
        "resolution": task.resolution,
        "seed": task.seed,
        "credits": task.credits or 0,
        "created_at": datetime.fromtimestamp(task.created_at, UTC).isoformat().replace("+00:00", "Z"),
    }


def official_query(task: Task, video_url: str) -> dict[str, Any]:
    creation = {"id": f"{task.id}-1", "url": video_url, "cover_url": "", "watermarked_url": video_url}
    return {
        "id": task.id,
        "state": task.state,
        "err_code": "InternalServiceFailure" if task.state == FAILED else "",
        "err_msg": task.error,
        "credits": 0 if task.state == FAILED else task.credits or 0,
        "payload": task.request.get("payload", ""),
        "bgm": task.request.get("bgm") is True,
        "off_peak": task.request.get("off_peak") is True,
        "creations": [creation] if task.state == SUCCESS else [],
    }


def envelope(status: int, code: str, message: str, trace: str) -> dict[str, Any]:
    return {"code": status, "reason": code, "message": message, "metadata": {"trace_id": trace}}
