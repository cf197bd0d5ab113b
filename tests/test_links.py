"""Frames given as links: fetched as the API fetches them, from public hosts alone, within bounds, or refused."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from conftest import Folder
from PIL import Image
from test_serve import Serve, refused, until
from yarl import URL

from vidu_run.access import is_public, may_be_public
from vidu_run.api.download import DownloadFailed, Downloads
from vidu_run.local.links import fetch_image, follow
from vidu_run.local.refused import Refused
from vidu_run.mp4 import verify

MOST = 200_000
PATIENCE = 20.0


def png(colour: str = "teal", size: tuple[int, int] = (96, 54)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = png()
BOMB = gzip.compress(bytes(50_000_000))


class Host:
    """A host of images on this machine; `asked` holds the path and the headers of each request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.ended = threading.Event()
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append((self.path, dict(self.headers.items())))
                ANSWERS[self.path.partition("?")[0].split("/")[1]](self, host)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """A client that hangs up is what several tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()

    def link(self, path: str, name: str = "127.0.0.1") -> str:
        return f"http://{name}:{self.port}/{path}"


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def whole(body: bytes, **headers: str) -> Callable[[Any, Host], None]:
    return lambda handler, _: send(handler, body, Content_Length=str(len(body)), **headers)


def hop(handler: Any, _: Host) -> None:
    left = int(handler.path.rpartition("/")[2])
    send(handler, b"", 302, Location=f"/hop/{left - 1}" if left else "/image")


def onwards(handler: Any, _: Host) -> None:
    send(handler, b"", 307, Location=handler.path.partition("?to=")[2])


def drip(handler: Any, host: Host) -> None:
    send(handler, b"", Content_Type="image/png")
    while not host.ended.wait(0.05):
        handler.wfile.write(b"x")


def endless(handler: Any, host: Host) -> None:
    send(handler, b"", Content_Type="image/png")
    while not host.ended.is_set():
        handler.wfile.write(bytes(65536))


def cookie(handler: Any, _: Host) -> None:
    send(handler, b"", 302, Location="/image", Set_Cookie="track=1; Path=/")


ANSWERS: dict[str, Callable[[Any, Host], None]] = {
    "image": whole(PICTURE),
    "html": whole(b"<!doctype html><p>Not found", Content_Type="text/html"),
    "large": whole(bytes(MOST + 1)),
    "just": whole(bytes(MOST)),
    "gzip": whole(gzip.compress(PICTURE), Content_Encoding="gzip"),
    "cut-gzip": whole(gzip.compress(PICTURE)[:-9], Content_Encoding="gzip"),
    "bomb": whole(BOMB, Content_Encoding="gzip"),
    "brotli": whole(PICTURE, Content_Encoding="br"),
    "cut": lambda handler, _: send(handler, PICTURE, Content_Length="9999"),
    "gone": lambda handler, _: send(handler, b"", 404, Content_Length="0"),
    "nowhere": lambda handler, _: send(handler, b"", 302, Content_Length="0"),
    "silent": lambda _, host: host.ended.wait(PATIENCE) and None,
    "hop": hop,
    "onwards": onwards,
    "drip": drip,
    "endless": endless,
    "cookie": cookie,
}


@pytest.fixture(scope="module")
def hosted() -> Iterator[Host]:
    running = Host()
    yield running
    running.close()


@pytest.fixture
def host(hosted: Host) -> Host:
    hosted.asked.clear()
    return hosted


def fetch(url: str, allow_private: bool = True, seconds: float = PATIENCE) -> bytes:
    return asyncio.run(fetch_image(url, MOST, seconds, allow_private))


def failure(url: str, allow_private: bool = True, seconds: float = PATIENCE) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        fetch(url, allow_private, seconds)
    assert caught.value.status == 400
    return caught.value.code, str(caught.value)


# Which addresses are public


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1"),
        *("::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1"),
        *("2002:7f00:1::", "2001:0:7f00:1::"),
    ],
)
def test_an_address_of_this_machine_or_network_is_not_public_in_any_dress(address: str) -> None:
    assert not is_public(address)
    assert not may_be_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "151.101.1.6", "2606:4700::1111", "2a04:4e42::6", "64:ff9b::808:808"])
def test_an_address_of_the_open_internet_is_public(address: str) -> None:
    assert is_public(address)
    assert may_be_public(address)


@pytest.mark.parametrize("name", ["", "localhost", "LOCALHOST.", "a.localhost", "127.1", "2130706433", "127.0.0.1."])
def test_a_host_that_only_means_this_machine_is_not_asked_for(name: str) -> None:
    assert not may_be_public(name)


def test_a_name_is_judged_when_it_is_resolved() -> None:
    assert may_be_public("images.example.com")
    assert may_be_public("1.example.com")


# The guard


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
def test_under_public_this_machine_is_not_contacted(host: Host, name: str) -> None:
    code, message = failure(host.link("image", name), allow_private=False)
    assert code == "ImageDownloadFailure"
    assert "not a public address" in message
    assert host.asked == []


def test_a_name_that_resolves_to_this_machine_is_refused_under_public_and_taken_under_any(host: Host) -> None:
    name = "0x7f.1"
    assert may_be_public(name), "it must pass as a name, so that the resolver is what refuses it"
    assert {entry[4][0] for entry in socket.getaddrinfo(name, 80)} == {"127.0.0.1"}
    code, message = failure(host.link("image", name), allow_private=False)
    assert code == "ImageDownloadFailure"
    assert "is not a public address" in message
    assert host.asked == []
    assert fetch(host.link("image", name)) == PICTURE


@pytest.mark.parametrize(
    "target", ["file:///etc/hostname", "ftp://127.0.0.1/a.png", "gopher://127.0.0.1:70/", "http:///a.png"]
)
def test_a_redirect_leads_nowhere_but_to_http(host: Host, target: str) -> None:
    code, message = failure(host.link(f"onwards?to={target}"))
    assert code == "ImageDownloadFailure"
    assert "no http(s) link" in message or "cannot be fetched" in message


def test_a_link_with_a_password_is_refused_and_sends_none(host: Host) -> None:
    assert failure(f"http://me:secret@127.0.0.1:{host.port}/image") == (
        "ImageDownloadFailure",
        "a link of 127.0.0.1 carries a name or a password",
    )
    assert host.asked == []


def test_a_fetch_sends_no_cookie_no_key_and_minds_no_proxy(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", "/dev/null")
    assert fetch(host.link("cookie")) == PICTURE
    assert [path for path, _ in host.asked] == ["/cookie", "/image"]
    for _, headers in host.asked:
        assert set(headers) == {"Host", "Accept", "Accept-Encoding", "User-Agent", "Connection"}


def test_a_signed_link_goes_out_byte_for_byte(host: Host) -> None:
    signed = "image?Signature=a%2Fb%2Bc~&Key=x%3D%3D"
    assert fetch(host.link(signed)) == PICTURE
    assert host.asked[0][0] == f"/{signed}"


def test_a_link_with_a_line_break_adds_no_header(host: Host) -> None:
    assert fetch(host.link("image?a=1 HTTP/1.1\r\nX-Evil: 1")) == PICTURE
    assert "X-Evil" not in host.asked[0][1]


class AllHere(AbstractResolver):
    """To this resolver every name is this machine, so that a test has a host whose name is public."""

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


async def followed(url: str) -> bytes:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=AllHere())) as session:
        return await follow(session, URL(url, encoded=True), MOST, allow_private=False)


def test_a_redirect_of_a_public_host_is_followed_to_a_public_host_alone(host: Host) -> None:
    public = host.link("image", "images.example.com")
    assert asyncio.run(followed(host.link(f"onwards?to={public}", "www.example.com"))) == PICTURE
    host.asked.clear()
    for name in ("127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::127.0.0.1]", "127.1"):
        with pytest.raises(Refused, match="not a public address"):
            asyncio.run(followed(host.link(f"onwards?to={host.link('image', name)}", "www.example.com")))
    assert {path.partition("?")[0] for path, _ in host.asked} == {"/onwards"}


@pytest.mark.parametrize("name", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::127.0.0.1]", "[64:ff9b::7f00:1]"])
def test_a_result_link_in_disguise_does_not_reach_this_machine(name: str, tmp_path: Path) -> None:
    async def fetched(port: int) -> None:
        downloads = Downloads(2.0, loopback=False)
        try:
            await downloads.fetch(f"https://{name}:{port}/video.mp4", tmp_path / "part")
        finally:
            await downloads.close()

    with socket.create_server(("127.0.0.1", 0)) as here:
        here.setblocking(False)
        with pytest.raises(DownloadFailed, match="not a public"):
            asyncio.run(fetched(here.getsockname()[1]))
        with pytest.raises(BlockingIOError):
            here.accept()


# Redirects, size, time


def test_five_redirects_are_followed_and_a_sixth_is_not(host: Host) -> None:
    assert fetch(host.link("hop/4")) == PICTURE
    code, message = failure(host.link("hop/5"))
    assert code == "ImageDownloadFailure"
    assert "redirects more than 5 times" in message
    assert len(host.asked) == 6 + 6


def test_an_image_of_just_the_bound_passes_and_one_byte_more_does_not(host: Host) -> None:
    assert len(fetch(host.link("just"))) == MOST
    assert failure(host.link("large"))[0] == "PageSizeOutOfRange"


def test_a_body_without_a_length_is_bounded_while_it_is_read(host: Host) -> None:
    assert failure(host.link("endless")) == (
        "PageSizeOutOfRange",
        f"a linked image has more than the {MOST:,} bytes the API takes",
    )


def test_a_host_that_packs_unasked_is_unpacked_within_the_bound(host: Host) -> None:
    assert fetch(host.link("gzip")) == PICTURE
    assert len(BOMB) < MOST
    assert failure(host.link("bomb"))[0] == "PageSizeOutOfRange"


@pytest.mark.parametrize("path", ["cut", "cut-gzip", "brotli", "gone", "nowhere"])
def test_what_does_not_arrive_whole_is_a_download_failure(host: Host, path: str) -> None:
    assert failure(host.link(path))[0] == "ImageDownloadFailure"


@pytest.mark.parametrize("path", ["silent", "drip"])
def test_the_whole_fetch_has_one_deadline(host: Host, path: str) -> None:
    assert failure(host.link(path), seconds=0.5) == (
        "ImageDownloadFailure",
        f"{host.link(path)} did not arrive within 0.5 seconds",
    )


def test_a_host_that_is_not_there_is_a_download_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert failure(f"http://127.0.0.1:{port}/a.png")[0] == "ImageDownloadFailure"


# The server


@pytest.fixture(scope="module")
def fetching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    server = Serve(tmp_path_factory.mktemp("any"), "--port", "0", "--links", "any")
    yield server
    assert server.end()[0] == 0


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """As it is by default."""
    server = Serve(tmp_path_factory.mktemp("public"))
    yield server
    assert server.end()[0] == 0


def request(*images: str) -> dict[str, Any]:
    return {"model": "viduq2-turbo", "images": list(images), "duration": 1, "resolution": "540p"}


def no(server: Serve, **body: Any) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        server.submit(**body)
    document = json.loads(caught.value.read())
    caught.value.close()
    return caught.value.code, document["reason"]


def data(colour: str = "orange") -> str:
    return "data:image/png;base64," + base64.b64encode(png(colour)).decode()


def test_serve_makes_the_video_of_the_linked_image_itself(fetching: Serve, host: Host) -> None:
    task = fetching.submit(**request(host.link("image"), data()))
    fetching.completed(task)
    kept = [path.read_bytes() for path in (fetching.home / "vidu-local-api/inputs").iterdir()]
    assert PICTURE in kept
    video = fetching.home / f"vidu-local-api/videos/{task}.mp4"
    with video.open("rb") as file:
        verify(file, video.stat().st_size)


def test_one_link_for_both_frames_is_fetched_once(fetching: Serve, host: Host) -> None:
    fetching.submit(**request(host.link("image"), host.link("image")))
    assert [path for path, _ in host.asked] == ["/image"]


def test_a_page_instead_of_an_image_is_refused_as_a_bad_image(fetching: Serve, host: Host) -> None:
    assert no(fetching, **request(host.link("html"), data())) == (400, "ImageFormatInvalid")


def test_a_link_to_nothing_is_refused_and_makes_no_task(fetching: Serve, host: Host) -> None:
    folder = fetching.home / "vidu-local-api/tasks"
    before = sorted(folder.iterdir())
    assert no(fetching, **request(host.link("gone"), data())) == (400, "ImageDownloadFailure")
    assert sorted(folder.iterdir()) == before


def test_a_request_with_another_fault_fetches_nothing(fetching: Serve, host: Host) -> None:
    assert no(fetching, **{**request(host.link("image"), data()), "duration": 99}) == (400, "FieldInvalid")
    assert host.asked == []


def test_serve_reaches_into_no_private_network_by_default(guarded: Serve, host: Host) -> None:
    for name in ("127.0.0.1", "0x7f.1", "127.1", "169.254.169.254"):
        assert no(guarded, **request(host.link("image", name), data())) == (400, "ImageDownloadFailure")
    assert host.asked == []


def test_a_rehearsal_fetches_no_link(folder: Folder, host: Host) -> None:
    folder.write(
        "version: 1\nprovider: local\njobs:\n"
        "  - name: one\n    request: {model: viduq2-turbo, duration: 1, resolution: 540p,\n"
        "      images: ['https://127.0.0.1:1/a.png', 'https://127.0.0.1:1/b.png']}\n"
    )
    done = folder("jobs.yaml", "--json")
    assert done.code == 0, done.err
    assert done.counts() == {"done": 1}


def test_an_unknown_way_with_links_is_exit_2(tmp_path: Path) -> None:
    code, told = refused("--links", "none", cwd=tmp_path)
    assert code == 2
    assert "stand-in" in told
    assert until(lambda: list(tmp_path.iterdir()) == [])
