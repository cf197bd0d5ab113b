"""The local API's description of itself is what it does: every route, and the shape of every reply."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import environment
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from vidu_run.local.openapi import EXAMPLE, PATH, document
from vidu_run.local.server import LocalApi

SUBMIT = {"octopusx": "/vidu/ent/v2/start-end2video", "vidu": "/ent/v2/start-end2video"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("api")
    words = [sys.executable, "-m", "vidu_run", "serve", "--port", "0", "--folder", str(folder), "--links", "stand-in"]
    server = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    address = urlsplit(server.stdout.readline().strip())
    yield f"{address.scheme}://{address.netloc}"
    server.terminate()
    server.communicate(timeout=30)


def ask(base: str, path: str, body: Any = None, method: str | None = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def described(base: str, route: str, path: str, body: Any = None) -> Any:
    """The reply, after it was held against the description of its route."""
    method = "get" if body is None else "post"
    status, content = ask(base, path, body)
    whole = document()
    reply = whole["paths"][route][method]["responses"][str(status)]
    name = reply["content"]["application/json"]["schema"]["$ref"]
    registry: Registry[Any] = Registry().with_resource("urn:api", Resource(whole, DRAFT202012))
    answer = json.loads(content)
    problems = list(Draft202012Validator({"$ref": f"urn:api{name}"}, registry=registry).iter_errors(answer))
    assert not problems, (route, status, problems[0].message, answer)
    return answer


def test_every_route_that_is_served_is_described_and_no_other(tmp_path: Path) -> None:
    served = {
        (route.resource.canonical, route.method.lower())
        for route in LocalApi(tmp_path, quick=True).application().router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert served == {(path, method) for path, item in document()["paths"].items() for method in item}


def test_the_description_is_served_and_is_json_schema_throughout(base: str) -> None:
    status, content = ask(base, PATH)
    assert (status, json.loads(content)) == (200, document())
    for schema in document()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("provider", ["octopusx", "vidu"])
def test_a_task_from_its_submission_to_its_video_is_told_as_described(base: str, provider: str) -> None:
    task = described(base, SUBMIT[provider], SUBMIT[provider], EXAMPLE)["task_id"]
    queries = {
        "/vidu/ent/v2/task/{id}/creations": f"/vidu/ent/v2/task/{task}/creations",
        "/v1/video/query": f"/v1/video/query?id={task}",
        "/ent/v2/tasks/{id}/creations": f"/ent/v2/tasks/{task}/creations",
    }
    deadline = time.time() + 60
    while described(base, "/v1/video/query", f"/v1/video/query?id={task}")["status"] == "processing":
        assert time.time() < deadline
        for route, path in queries.items():
            described(base, route, path)
        described(base, "/ent/v2/tasks", "/ent/v2/tasks")
        time.sleep(0.2)
    for route, path in queries.items():
        described(base, route, path)
    assert described(base, "/ent/v2/tasks", "/ent/v2/tasks?paper.pagesz=1")["tasks"]
    described(base, "/ent/v2/credits", "/ent/v2/credits?show_detail=true")
    assert ask(base, f"/files/{task}.mp4")[0] == 200
    late = described(base, "/ent/v2/tasks/{id}/cancel", f"/ent/v2/tasks/{task}/cancel", {"id": task})
    assert late["reason"] == "BadRequest"


@pytest.mark.parametrize("body", [{}, [], {**EXAMPLE, "duration": 99}, {**EXAMPLE, "images": ["x", "y"]}, {"model": 7}])
@pytest.mark.parametrize("provider", ["octopusx", "vidu"])
def test_a_refusal_is_told_as_described(base: str, provider: str, body: Any) -> None:
    assert described(base, SUBMIT[provider], SUBMIT[provider], body)["code"] == 400


@pytest.mark.parametrize("route", ["/vidu/ent/v2/task/{id}/creations", "/ent/v2/tasks/{id}/creations"])
def test_an_unknown_task_is_told_as_described(base: str, route: str) -> None:
    assert described(base, route, route.replace("{id}", "nobody"))["code"] == 404
