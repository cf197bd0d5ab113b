"""The local API under clients that dawdle, hoard connections or send too much: the others go on being served."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_local_api import GATEWAY, HEAD, PATIENCE, SMALL, UNKNOWN, Served, assert_refused
from test_serve import Serve

QUERY = f"GET /ent/v2/tasks/{UNKNOWN}/creations HTTP/1.1\r\nHost: local\r\n"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Makes a server with settings of its own; all of them share one folder."""
    with contextlib.ExitStack() as opened:
        yield lambda **settings: opened.enter_context(Served(tmp_path / "api", **settings))


@contextlib.contextmanager
def crowd(port: int, count: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open connections that have sent so much and then nothing."""
    with contextlib.ExitStack() as opened:
        plain = []
        for _ in range(count):
            plain.append(opened.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE)))
            if sent:
                with contextlib.suppress(ConnectionError):
                    plain[-1].sendall(sent)
        yield plain


def is_closed(plain: socket.socket) -> bool:
    plain.settimeout(PATIENCE)
    try:
        while plain.recv(65536):
            pass
    except ConnectionError:
        return True
    return True


def answer_to(server: Served, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain:
        with contextlib.suppress(ConnectionError):
            plain.sendall(sent)
        with contextlib.suppress(ConnectionError):
            return plain.recv(65536)
    return b""


@pytest.mark.parametrize("sent", [b"", QUERY.encode(), b"GET"], ids=["silent", "half a head", "one word"])
def test_a_thousand_idle_connections_keep_nobody_out(served: Callable[..., Served], sent: bytes) -> None:
    server = served(connections=50)
    with crowd(server.port, 1000, sent) as idle:
        assert server.ended(server.accepted(SMALL))["status"] == "completed"
        assert is_closed(idle[0])
    assert server.get("/ent/v2/credits").status == 200


def test_a_process_that_may_open_few_files_outlives_a_thousand_connections(tmp_path: Path) -> None:
    """Its limit is 256 files; those that wait in the kernel's queue come in as idle ones are dropped."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        server = Serve(tmp_path / "home")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        with crowd(server.port, 200, b"GET"):
            assert server.get("/ent/v2/credits")["remains"]
        with crowd(server.port, 100, b"GET"):
            assert server.get("/ent/v2/tasks")["tasks"] == []
    finally:
        assert server.end()[0] == 0


def test_a_connection_on_which_nothing_is_asked_is_dropped(served: Callable[..., Served]) -> None:
    server = served(idle_seconds=0.3)
    with crowd(server.port, 3, QUERY.encode()) as idle:
        assert all(is_closed(one) for one in idle)


def drip(plain: socket.socket) -> None:
    """One header line after another, until the other side has had enough."""
    begun = time.monotonic()
    while time.monotonic() - begun < PATIENCE:
        plain.sendall(b"X-Drip: 1\r\n")
        time.sleep(0.05)


def test_a_head_that_drips_is_dropped(served: Callable[..., Served]) -> None:
    server = served(idle_seconds=1)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain:
        plain.sendall(QUERY.encode())
        with pytest.raises(ConnectionError):
            drip(plain)


def test_a_download_that_dawdles_is_not_taken_for_an_idle_connection(served: Callable[..., Served]) -> None:
    server = served(idle_seconds=0.2, connections=1)
    task = server.accepted(SMALL)
    server.ended(task)
    (server.folder / f"videos/{task}.mp4").write_bytes(bytes(30_000_000))
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(PATIENCE)
        plain.connect(("127.0.0.1", server.port))
        plain.sendall(f"GET /files/{task}.mp4 HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n".encode())
        time.sleep(1.5)
        with plain.makefile("rb") as reader:
            assert len(reader.read()) > 30_000_000


def test_a_body_in_work_is_not_taken_for_an_idle_connection(served: Callable[..., Served]) -> None:
    server = served(idle_seconds=0.2, connections=1)
    body = b'{"model": 1}'
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain:
        plain.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode())
        for number in range(len(body)):
            plain.sendall(body[number : number + 1])
            time.sleep(0.15)
        assert plain.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_many_slow_bodies_are_given_up_and_keep_nobody_out(served: Callable[..., Served]) -> None:
    server = served(body_seconds=1.5)
    with crowd(server.port, 200, f"{HEAD}Content-Length: 100\r\n\r\n{{".encode()) as slow:
        assert server.get("/ent/v2/credits").status == 200
        for one in slow:
            one.settimeout(PATIENCE)
            assert one.recv(65536).startswith(b"HTTP/1.1 408 ")
    assert list((server.folder / "tasks").iterdir()) == []


@pytest.mark.parametrize(
    "head",
    [
        QUERY + "X-Long: " + "a" * 1_000_000 + "\r\n\r\n",
        QUERY + "".join(f"X-{number}: {'a' * 1000}\r\n" for number in range(1000)) + "\r\n",
        f"GET /ent/v2/tasks/{'a' * 1_000_000}/creations HTTP/1.1\r\nHost: local\r\n\r\n",
        QUERY + "Authorization: Token " + "k" * 100_000 + "\r\n\r\n",
    ],
    ids=["one long", "a thousand", "a long address", "a long key"],
)
def test_a_huge_head_is_refused_and_the_next_request_is_answered(served: Callable[..., Served], head: str) -> None:
    server = served()
    told = answer_to(server, head.encode())
    assert not told or told.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 ", b"HTTP/1.1 404 ")), told[:80]
    assert server.get("/ent/v2/credits").status == 200


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fsecret",
        "%2e%2e%2f%2e%2e%2fsecret",
        "..%5c..%5csecret",
        "%2fetc%2fpasswd",
        "..%00",
        ".",
        "%2e%2e",
        "~",
    ],
)
def test_no_id_leads_out_of_the_folder(served: Callable[..., Served], tmp_path: Path, name: str) -> None:
    """A task's file and a video lie where such an id would lead."""
    server = served()
    task = server.accepted(SMALL)
    server.ended(task)
    for folder in (tmp_path, tmp_path / "api"):
        (folder / "secret.json").write_text((server.folder / f"tasks/{task}.json").read_text())
        (folder / "secret.mp4").write_text("secret")
    for path in (f"/ent/v2/tasks/{name}/creations", f"/v1/video/query?id={name}", f"/files/{name}.mp4"):
        told = answer_to(server, f"GET {path} HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n".encode())
        assert told.split(b" ")[1] == b"404", told[:200]


def test_a_connection_that_is_used_again_and_again_is_not_idle(served: Callable[..., Served]) -> None:
    server = served(connections=1, idle_seconds=2)
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain, plain.makefile("rb") as reader:
        while time.monotonic() - begun < 5:
            plain.sendall(f"{QUERY}\r\n".encode())
            assert reader.readline().startswith(b"HTTP/1.1 404 ")
            length = 0
            while (line := reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            reader.read(length)
            time.sleep(0.1)


def test_a_body_far_too_long_is_refused_for_many_at_once(served: Callable[..., Served]) -> None:
    server = served()
    with crowd(server.port, 20, f"{HEAD}Content-Length: 999999999999\r\n\r\n".encode()) as many:
        for one in many:
            one.settimeout(PATIENCE)
            assert one.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert_refused(server.ask("POST", GATEWAY, b"", Content_Type="application/json"), 400, "BadRequest")
