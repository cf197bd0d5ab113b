"""One task in the words of two APIs: the seed's (octopusx) and the official one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from vidu_run.local.tasks import FAILED, SUCCESS, Task

GATEWAY_WORDS = {SUCCESS: "completed", FAILED: "failed"}
"""The gateway knows three states; everything before the end is `processing`."""
OPTIONAL = {"bgm": False, "movement_amplitude": "auto", "off_peak": False, "payload": "", "watermark": False}
"""What the official reply says of a field that was left out."""
FAULT = "InternalServiceFailure"


def gateway_submit(task: Task) -> dict[str, Any]:
    return {"task_id": task.id, "status": "processing", "created_at": int(task.created_at)}


def gateway_query(task: Task, video_url: str) -> dict[str, Any]:
    """As documented, and for a failure, of which the page says nothing, an `error`."""
    reply: dict[str, Any] = {"id": task.id, "status": GATEWAY_WORDS.get(task.state, "processing")}
    if task.state == SUCCESS:
        reply["video_url"] = video_url
    return {**reply, "status_update_time": int(task.updated_at), **_gateway_error(task)}


def gateway_unified(task: Task, video_url: str) -> dict[str, Any]:
    reply: dict[str, Any] = {
        "id": task.id,
        "status": GATEWAY_WORDS.get(task.state, "processing"),
        "progress": 100 if task.state in GATEWAY_WORDS else 50,
        "created_at": int(task.created_at),
    }
    if task.state == SUCCESS:
        reply |= {"completed_at": int(task.updated_at), "video_url": video_url}
    return {**reply, **_gateway_error(task)}


def official_submit(task: Task) -> dict[str, Any]:
    """The request comes back with its defaults filled in; images as the names they are kept under."""
    optional = {name: task.request.get(name, default) for name, default in OPTIONAL.items()}
    return {
        "task_id": task.id,
        "state": task.state,
        "model": task.request["model"],
        "prompt": task.request.get("prompt", ""),
        "images": list(task.images),
        "duration": task.seconds,
        "seed": task.seed,
        "resolution": task.resolution,
        "audio": task.audio,
        **optional,
        "credits": task.credits or 0,
        "created_at": datetime.fromtimestamp(task.created_at, UTC).isoformat().replace("+00:00", "Z"),
    }


def official_query(task: Task, video_url: str) -> dict[str, Any]:
    creation = {"id": f"{task.id}-1", "url": video_url, "cover_url": "", "watermarked_url": video_url}
    failed = task.state == FAILED
    return {
        "id": task.id,
        "state": task.state,
        "err_code": FAULT if failed else "",
        **({"err_msg": task.error} if failed else {}),
        "credits": 0 if failed else task.credits or 0,
        "payload": task.request.get("payload", ""),
        "bgm": task.request.get("bgm") is True,
        "off_peak": task.request.get("off_peak") is True,
        "creations": [creation] if task.state == SUCCESS else [],
    }


def envelope(status: int, code: str, message: str, trace: str) -> dict[str, Any]:
    return {"code": status, "reason": code, "message": message, "metadata": {"trace_id": trace}}


def _gateway_error(task: Task) -> dict[str, Any]:
    return {"error": {"code": FAULT, "message": task.error}} if task.state == FAILED else {}
