"""What the local API serves, as an OpenAPI 3.1 document: each route, what it takes and every reply it gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vidu_run import __version__
from vidu_run.local.inspect import FULL_PAYLOAD
from vidu_run.providers.catalogue import provider, request_schema

PATH = "/openapi.json"
TEXT: dict[str, Any] = {"type": "string"}
WHOLE: dict[str, Any] = {"type": "integer"}
TRUTH: dict[str, Any] = {"type": "boolean"}
GATEWAY_STATES = ["processing", "completed", "failed"]
STATES = ["created", "queueing", "processing", "success", "failed"]

EXAMPLE = {
    "model": "viduq2-turbo",
    "images": ["https://example.com/first-frame.png", "https://example.com/last-frame.png"],
    "prompt": "Smooth transition",
    "duration": 1,
    "resolution": "540p",
    "seed": 7,
}
"""With links, which `--links stand-in` takes without a network."""

PROBLEMS = {
    400: "The request is not taken: its body, a field, an image, or the account's credits",
    401: "No key, or one that is not on the list",
    404: "No such task, file or path",
    405: "Another method is meant",
    408: "The body did not arrive in time",
    413: "The body is too large",
    429: "Too many requests, or too many tasks",
    500: "The server's own disk",
}
"""Refusals, all in the official envelope."""


def document() -> dict[str, Any]:
    gateway, official = provider("octopusx").routes, provider("vidu").routes
    query, unified = gateway.query
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vidu-run's local API",
            "version": __version__,
            "description": "start-end2video as octopusx and Vidu document it, rendered on this machine, free.",
        },
        "paths": {
            gateway.submit: {"post": _submit("octopusx", "GatewayTask", ["gatewayQuery", "unifiedQuery", "video"])},
            query.replace("{task_id}", "{id}"): {
                "get": _get("One task", "GatewayQuery", _id("path"), name="gatewayQuery")
            },
            unified.partition("?")[0]: {
                "get": _get("One task, the unified way", "GatewayUnified", _id("query"), name="unifiedQuery")
            },
            official.submit: {"post": _submit("vidu", "OfficialTask", ["officialQuery", "cancel", "video"])},
            official.query[0].replace("{task_id}", "{id}"): {
                "get": _get("One task", "OfficialQuery", _id("path"), name="officialQuery")
            },
            str(official.list): {
                "get": _get("The account's tasks, newest first", "OfficialList", *_filters(), codes=[400])
            },
            str(official.cancel).replace("{task_id}", "{id}"): {"post": _cancel()},
            str(official.credits): {"get": _get("What the account has left", "OfficialCredits", _flag("show_detail"))},
            "/files/{id}.mp4": {"get": _file()},
            PATH: {"get": _get("This document", None)},
        },
        "components": {"schemas": _schemas(), "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"key": []}],
    }


def _schemas() -> dict[str, Any]:
    requests = {f"Request_{name}": _request(name) for name in ("octopusx", "vidu")}
    return {**requests, **REPLIES}


def _request(name: str) -> dict[str, Any]:
    """The provider's own schema; `payload` may be as long as on the wire."""
    text = json.dumps(request_schema(provider(name))).replace("#/$defs/", f"#/components/schemas/Request_{name}/$defs/")
    schema: dict[str, Any] = json.loads(text)
    schema["properties"]["payload"]["maxLength"] = FULL_PAYLOAD
    return {key: value for key, value in schema.items() if key not in ("$schema", "$id")}


def _submit(name: str, reply: str, then: list[str]) -> dict[str, Any]:
    """`then` are the operations that take the id of the new task."""
    schema = {"$ref": f"#/components/schemas/Request_{name}"}
    body = {"application/json": {"schema": schema, "examples": {"short": {"value": EXAMPLE}}}}
    responses = _responses("The task", reply, [400, 401, 405, 408, 413, 429, 500])
    links = {name: {"operationId": name, "parameters": {"id": "$response.body#/task_id"}} for name in then}
    responses["200"]["links"] = links
    return {
        "summary": f"Two frames become a video, as {name} takes them",
        "requestBody": {"required": True, "content": body},
        "responses": responses,
    }


def _get(
    summary: str, reply: str | None, *parameters: dict[str, Any], codes: Sequence[int] = (), name: str | None = None
) -> dict[str, Any]:
    responses = _responses(summary, reply, sorted({*codes, 401, 404, 405, 429, 500}))
    named = {"operationId": name} if name else {}
    return {**named, "summary": summary, "parameters": list(parameters), "responses": responses}


def _cancel() -> dict[str, Any]:
    body = {"application/json": {"schema": {"type": "object"}}}
    return {
        "operationId": "cancel",
        "summary": "Take back a task that still waits",
        "parameters": [_id("path")],
        "requestBody": {"required": False, "content": body},
        "responses": _responses("It is taken back", "Nothing", [400, 401, 404, 405, 408, 413, 429, 500]),
    }


def _file() -> dict[str, Any]:
    video: dict[str, Any] = {"video/mp4": {"schema": {}}}
    return {
        "operationId": "video",
        "summary": "A task's video",
        "parameters": [_id("path")],
        "responses": {
            "200": {"description": "The whole file", "content": video},
            "206": {"description": "A part of it", "content": video},
            "416": {"description": "No such part"},
            **_problems([404, 405, 500]),
        },
    }


def _responses(summary: str, reply: str | None, codes: list[int]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{reply}"} if reply else {"type": "object"}
    content = {"application/json": {"schema": schema}}
    return {"200": {"description": summary, "content": content}, **_problems(codes)}


def _problems(codes: list[int]) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(code): {"description": PROBLEMS[code], "content": content} for code in codes}


def _id(where: str) -> dict[str, Any]:
    return {"name": "id", "in": where, "required": True, "schema": {"type": "string", "minLength": 1}}


def _flag(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": {"enum": ["true", "false"]}}


def _filters() -> list[dict[str, Any]]:
    """Of the list: the paging in both spellings that the documents print."""
    numbers = [f"{spelling}.{name}" for spelling in ("paper", "pager") for name in ("page", "pagesz")]
    moments = ["created_at.from", "created_at.to"]
    asked: list[tuple[str, dict[str, Any]]] = [
        (name, {"type": "integer", "minimum": 0, "maximum": 100}) for name in numbers
    ]
    asked += [(name, {"type": "string", "format": "date-time"}) for name in moments]
    asked += [("pager.page_token", TEXT), ("states", {"enum": STATES}), ("task_ids", TEXT)]
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in asked]


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """With these fields and no others: a reply that says more than is written here is a fault."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


BLAME = _object({"code": TEXT, "message": TEXT})
CREATION = {"id": TEXT, "url": TEXT, "cover_url": TEXT}
CREDITS = {"type": "integer", "minimum": 0}
REPLIES: dict[str, Any] = {
    "Problem": _object({"code": WHOLE, "reason": TEXT, "message": TEXT, "metadata": _object({"trace_id": TEXT})}),
    "Nothing": _object({}),
    "GatewayTask": _object({"task_id": TEXT, "status": {"const": "processing"}, "created_at": WHOLE}),
    "GatewayQuery": _object(
        {"id": TEXT, "status": {"enum": GATEWAY_STATES}, "status_update_time": WHOLE},
        {"video_url": TEXT, "error": BLAME},
    ),
    "GatewayUnified": _object(
        {"id": TEXT, "status": {"enum": GATEWAY_STATES}, "progress": WHOLE, "created_at": WHOLE},
        {"completed_at": WHOLE, "video_url": TEXT, "error": BLAME},
    ),
    "OfficialTask": _object(
        {
            "task_id": TEXT,
            "state": {"enum": STATES},
            "model": TEXT,
            "prompt": TEXT,
            "images": _list(TEXT),
            "duration": WHOLE,
            "seed": WHOLE,
            "resolution": TEXT,
            "audio": TRUTH,
            "bgm": TRUTH,
            "movement_amplitude": TEXT,
            "off_peak": TRUTH,
            "payload": TEXT,
            "watermark": TRUTH,
            "credits": CREDITS,
            "created_at": {"type": "string", "format": "date-time"},
        },
    ),
    "OfficialQuery": _object(
        {
            "id": TEXT,
            "state": {"enum": STATES},
            "err_code": TEXT,
            "credits": CREDITS,
            "payload": TEXT,
            "bgm": TRUTH,
            "off_peak": TRUTH,
            "creations": _list(_object({**CREATION, "watermarked_url": TEXT})),
        },
        {"err_msg": TEXT},
    ),
    "OfficialList": _object(
        {
            "tasks": _list(
                _object(
                    {
                        "id": TEXT,
                        "key_id": TEXT,
                        "state": {"enum": STATES},
                        "template": TEXT,
                        "model": TEXT,
                        "prompt": TEXT,
                        "images": _list(TEXT),
                        "duration": WHOLE,
                        "resolution": TEXT,
                        "aspect_ratio": TEXT,
                        "creations": _list(_object(CREATION)),
                    },
                    {"created_at": {"type": "string", "format": "date-time"}},
                )
            ),
            "next_page_token": TEXT,
        }
    ),
    "OfficialCredits": _object(
        {
            "remains": _list(
                _object(
                    {
                        "type": TEXT,
                        "credit_remain": WHOLE,
                        "concurrency_limit": WHOLE,
                        "current_concurrency": WHOLE,
                        "queue_count": WHOLE,
                    }
                )
            ),
            "packages": _list({"type": "object"}),
        }
    ),
}
