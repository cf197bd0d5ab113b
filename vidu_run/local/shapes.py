"""One task in the words of two APIs: the seed's (octopusx) and the official one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from vidu_run.local.account import Account
from vidu_run.local.tasks import FAILED, SUCCESS, Task

GATEWAY_WORDS = {SUCCESS: "completed", FAILED: "failed"}
"""The gateway knows three states; everything before the end is `processing`."""
OPTIONAL = {"bgm": False, "movement_amplitude": "auto", "off_peak": False, "payload": "", "watermark": False}
"""What the official reply says of a field that was left out."""
FAULT = "InternalServiceFailure"
CANCELLED = "UserCancelled"


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
    failed = task.state == FAILED
    return {
        "id": task.id,
        "state": task.state,
        "err_code": (task.code or FAULT) if failed else "",
        **({"err_msg": task.error} if failed else {}),
        "credits": task.charge,
        "payload": task.request.get("payload", ""),
        "bgm": task.request.get("bgm") is True,
        "off_peak": task.request.get("off_peak") is True,
        "creations": [{**_creation(task, video_url), "watermarked_url": video_url}] if task.state == SUCCESS else [],
    }


def official_row(task: Task, video_url: str) -> dict[str, Any]:
    """A row of the list, which is documented without a payload."""
    return {
        "id": task.id,
        "key_id": task.account,
        "state": task.state,
        "template": "",
        "model": task.model,
        "prompt": task.request.get("prompt", ""),
        "images": list(task.images),
        "duration": task.seconds,
        "resolution": task.resolution,
        "aspect_ratio": "",
        "creations": [_creation(task, video_url)] if task.state == SUCCESS else [],
    }


def official_credits(account: Account, running: int, waiting: int, detail: bool) -> dict[str, Any]:
    """The account as one package; `running` and `waiting` are its tasks."""
    kind, left, terms = "metered", account.left, account.terms
    remains = {
        "type": kind,
        "credit_remain": left,
        "concurrency_limit": terms.concurrency,
        "current_concurrency": running,
        "queue_count": waiting,
    }
    package = {
        "id": "local",
        "name": "local",
        "type": kind,
        "concurrency": terms.concurrency,
        "credit_amount": terms.credits,
        "credit_remain": left,
    }
    return {"remains": [remains], "packages": [package] if detail else []}


def envelope(status: int, code: str, message: str, trace: str) -> dict[str, Any]:
    return {"code": status, "reason": code, "message": message, "metadata": {"trace_id": trace}}


def _creation(task: Task, video_url: str) -> dict[str, Any]:
    return {"id": f"{task.id}-1", "url": video_url, "cover_url": ""}


def _gateway_error(task: Task) -> dict[str, Any]:
    return {"error": {"code": task.code or FAULT, "message": task.error}} if task.state == FAILED else {}
