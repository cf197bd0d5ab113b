"""Replies no sane server sends: the run ends in bounded time and memory, buys nothing twice, and prints nothing raw."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import subprocess
import sys
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import Folder, Result, environment
from fault_server import FaultServer, Posted, Script, envelope, http, says

MORE = 60
"""Megabytes a hostile reply may cost above an ordinary run."""

MEASURE = """
import pathlib, resource, subprocess, sys, time
begun = time.monotonic()
code = subprocess.call(sys.argv[2:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
pathlib.Path(sys.argv[1]).write_text(f"{peak} {time.monotonic() - begun}")
sys.exit(code)
"""
"""A small process in between: a child's peak begins with what its parent held when it was started."""

UNIT = 2**20 if sys.platform == "darwin" else 2**10


@dataclass(frozen=True)
class Measured:
    result: Result
    peak: float
    seconds: float


class Measuring:
    """A run under way whose time and memory are measured; `end` waits for it and checks what every run promises."""

    def __init__(self, folder: Folder, server: FaultServer, *words: str) -> None:
        self._notes = folder.path.parent / f"{folder.path.name}.measured"
        command = [sys.executable, "-m", "vidu_run", "run", "jobs.yaml", "--base-url", server.base_url, "--yes"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", MEASURE, str(self._notes), *command, "--json", *words],
            cwd=folder.path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> Measured:
        out, err = self._process.communicate(timeout=90)
        assert "Traceback" not in err, err
        assert raw_characters(out + err) == set()
        peak, seconds = self._notes.read_text().split()
        return Measured(Result(self._process.returncode, out, err), int(peak) * UNIT / 2**20, float(seconds))


def measured(folder: Folder, server: FaultServer, *words: str) -> Measured:
    return Measuring(folder, server, *words).end()


def raw_characters(text: str) -> set[str]:
    """What could move a cursor, ring, or turn the reading direction."""
    return {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co")}


@pytest.fixture(scope="module")
def ordinary(video: bytes, tmp_path_factory: pytest.TempPathFactory) -> float:
    """The peak in MB of a run in which nothing is odd; without a video, whose poster would cost more."""
    folder = Folder(tmp_path_factory.mktemp("ordinary") / "repo")
    folder.sweep(12, extra="concurrency: 12\n")
    with FaultServer(video) as server:
        run = measured(folder, server, "--no-wait")
    assert run.result.counts() == {"submitted": 12}, run.result.err
    return run.peak


def flood(head: bytes, piece: bytes, most: int = 500_000_000) -> Script:
    """`piece` again and again, until the client hangs up or has taken `most` bytes."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for _ in range(most // len(piece)):
            writer.write(piece)
            await writer.drain()

    return script


def drip(head: bytes, rest: bytes = b"x" * 2000) -> Script:
    return says(head, *(bytes([byte]) for byte in rest), every=0.05)


def bomb(encoding: str) -> bytes:
    """A megabyte that inflates to a gigabyte."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    start = b"\x1f\x8b\x08" + bytes(6) + b"\xff" if encoding == "gzip" else b"\x78\x9c"
    return http(start + block * 1024, "200 OK", f"Content-Encoding: {encoding}")


OPEN = b"HTTP/1.1 200 OK\r\n"
TASK = '{"task_id": "t-1", "id": "t-1", "status": "processing"}'
CHUNKED = OPEN + b"Transfer-Encoding: chunked\r\n\r\n"
BLOCK = b" " * 65536

FLOODS: dict[str, Script] = {
    "a gzip bomb": says(bomb("gzip")),
    "a deflate bomb": says(bomb("deflate")),
    "500 MB with their length": flood(OPEN + b"Content-Length: 500000000\r\n\r\n", BLOCK),
    "500 MB without a length": flood(OPEN + b"\r\n", BLOCK),
    "chunks without end": flood(CHUNKED, b"10000\r\n" + BLOCK + b"\r\n"),
    "a chunk's size of 40 MB": flood(CHUNKED, b"0" * 65536, 40_000_000),
    "a chunk's extension of 40 MB": flood(CHUNKED + b"1;", b"e" * 65536, 40_000_000),
    "trailers without end": flood(CHUNKED + b"0\r\n", b"X: y\r\n" * 4096),
    "one header without end": flood(OPEN + b"X-Long: ", b"y" * 65536),
    "one header of 1 MB": says(http(TASK, "200 OK", "X-Long: " + "y" * 2**20)),
    "headers without end": flood(OPEN, b"X-Many: y\r\n" * 4096),
    "a status line without end": flood(b"HTTP/1.1 200 ", b"O" * 65536),
    "a task id of 10 MB": flood(OPEN + b'Content-Length: 10000016\r\n\r\n{"task_id": "', b"A" * 62500, 10_000_000),
}

ENDLESS: dict[str, Script] = {
    "tiny chunks without end": flood(CHUNKED, b"1\r\nx\r\n" * 4096),
    "100 Continue without end": flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2048),
}
"""Never too much at once: only the patience ends it."""

GARBLED: dict[str, Script] = {
    "JSON nested 200,000 deep": says(http("[" * 200_000 + "]" * 200_000)),
    "objects nested 100,000 deep": says(http('{"data":' * 100_000 + "1" + "}" * 100_000)),
    "NaN": says(http('{"task_id": "t-1", "credits": NaN}')),
    "a number of 900,000 digits": says(http('{"task_id": ' + "9" * 900_000 + "}")),
    "a lone surrogate in the task id": says(http('{"task_id": "t-\\ud800", "status": "processing"}')),
    "a lone surrogate in the message": says(http('{"reason": "Bad", "message": "\\udfff"}', "500 Oops")),
    "bytes that are no UTF-8": says(http(b'{"task_id": "t-\xff"}')),
    "HTML": says(http("<html><body>{&quot;task_id&quot;: 1}</body></html>", "200 OK", "Content-Type: text/html")),
    "no status line": says(b"hello\r\n\r\n" + TASK.encode()),
    "a status line of another protocol": says(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "status 99": says(http(TASK, "99 Low")),
    "status 1000": says(http(TASK, "1000 High")),
    "status 204 with a body": says(http(TASK, "204 No Content")),
    "a switch of protocols": says(http("", "101 Switching Protocols", "Upgrade: h2c", "Connection: Upgrade")),
    "several lengths": says(http(TASK, "200 OK", "Content-Length: 9", "Content-Length: 70")),
    "a negative length": says(OPEN + b"Content-Length: -5\r\n\r\n" + TASK.encode()),
    "a length and chunks": says(http(TASK, "200 OK", "Transfer-Encoding: chunked")),
    "an unfinished chunk": says(CHUNKED + b"40\r\n" + TASK.encode()[:20]),
    "a chunk whose size is no number": says(CHUNKED + b"zz\r\n" + TASK.encode() + b"\r\n0\r\n\r\n"),
    "an encoding nobody asked for": says(http(TASK, "200 OK", "Content-Encoding: br")),
    "nothing at all": says(),
    "a header with a NUL": says(http(TASK, "200 OK", "X-Odd: \0\x1b[2J")),
}

SLOW: dict[str, Script] = {
    "headers that drip": drip(OPEN, b"X-Slow: " + b"y" * 2000),
    "a status line that drips": drip(b"", b"HTTP/1.1 200 " + b"O" * 2000),
    "a body that drips": drip(OPEN + b"Content-Length: 2000\r\n\r\n"),
    "a body that drips without a length": drip(OPEN + b"\r\n"),
    "chunks that drip": drip(CHUNKED, b"1\r\nx\r\n" * 400),
    "100 Continue now and then": says(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 2000, every=0.05),
    "silence": says(b"", every=3600),
}


def in_turn(server: FaultServer, scripts: Mapping[str, Script]) -> Callable[[Posted], Script]:
    """To the n-th job's POST the n-th script, but only when all the POSTs are in: none learns from another's fate."""
    listed = list(scripts.values())

    def answer(posted: Posted) -> Script:
        async def script(writer: asyncio.StreamWriter) -> None:
            while len(server.ledger) < len(listed):
                await asyncio.sleep(0.02)
            await listed[posted.body["seed"] - 1](writer)

        return script

    return answer


def queried(scripts: Mapping[str, Script], at: str = "/task/t-") -> Callable[[str], Script | None]:
    """To every question about task t-n the n-th script."""
    listed = list(scripts.values())
    return lambda path: listed[int(path.partition(at)[2].split("/")[0]) - 1] if at in path else None


def impatient(folder: Folder, scripts: Mapping[str, Script], deadline: float = 20) -> None:
    spec = folder.sweep(len(scripts), extra=f"concurrency: {len(scripts)}\n")
    text = spec.read_text().replace("task_deadline: 20", f"task_deadline: {deadline}")
    spec.write_text(text.replace("submit_timeout: 2", "submit_timeout: 4"))


@pytest.mark.parametrize("scripts", [FLOODS, ENDLESS, GARBLED, SLOW], ids=["floods", "endless", "garbled", "slow"])
def test_a_submit_s_answer_that_cannot_be_read_is_a_doubt_and_costs_little_time_and_memory(
    folder: Folder, server: FaultServer, ordinary: float, scripts: Mapping[str, Script]
) -> None:
    impatient(folder, scripts)
    server.answer = in_turn(server, scripts)
    run = measured(folder, server)
    states = {job["name"]: job["state"] for job in run.result.document["jobs"]}
    assert {word: states[f"job-{n}"] for n, word in enumerate(scripts, 1)} == dict.fromkeys(scripts, "in_doubt")
    assert run.result.code == 4, run.result.err
    assert run.seconds < 30
    assert run.peak < ordinary + MORE
    assert folder.buy(server).code == 4
    assert len(server.ledger) == len(scripts)


@pytest.mark.parametrize("scripts", [FLOODS, GARBLED], ids=["floods", "garbled"])
def test_a_query_s_answer_that_cannot_be_read_is_asked_for_again_and_left_for_the_next_run(
    folder: Folder, server: FaultServer, ordinary: float, scripts: Mapping[str, Script]
) -> None:
    impatient(folder, scripts, deadline=3)
    server.answer = numbered
    server.look = queried(scripts)
    run = measured(folder, server)
    assert run.result.code == 3, run.result.err
    assert run.result.counts() == {"submitted": len(scripts)}
    assert run.seconds < 45
    assert run.peak < ordinary + MORE
    asked = Counter(path for path in server.requests if "/task/" in path)
    assert len(asked) == len(scripts)
    assert sum(times > 1 for times in asked.values()) > len(scripts) / 2
    server.look = lambda path: None
    assert folder.buy(server).code == 0
    assert len(server.ledger) == len(scripts)


def numbered(posted: Posted) -> Script:
    """Accepted under the seed's number, whatever the order of arrival."""
    posted.task_id = f"t-{posted.body['seed']}"
    return says(http(json.dumps({"task_id": posted.task_id, "status": "processing"})))


def test_queries_and_lists_that_drip_for_ever_end_the_run_in_bounded_time(
    folder: Folder, server: FaultServer, servers: Callable[..., FaultServer], tmp_path: Path
) -> None:
    other, lister = Folder(tmp_path / "lists"), servers()
    impatient(folder, SLOW, deadline=0.05)
    impatient(other, SLOW)
    server.answer, server.look = numbered, queried(SLOW)
    lister.look = lambda path: SLOW["a body that drips"]
    asking, listing = Measuring(folder, server), Measuring(other, lister, "--provider", "vidu")
    asked, listed = asking.end(), listing.end()
    assert asked.result.code == 3, asked.result.err
    assert asked.result.counts() == {"submitted": len(SLOW)}
    assert listed.result.code == 3, listed.result.err
    assert not lister.ledger
    assert max(asked.seconds, listed.seconds) < 60


LISTS: dict[str, Script] = {
    **{word: FLOODS[word] for word in ("a gzip bomb", "500 MB without a length")},
    **{word: GARBLED[word] for word in ("JSON nested 200,000 deep", "HTML", "an unfinished chunk")},
    "an error under status 200": says(http('{"code": 500, "message": "please try again later"}')),
}
MOST_LIST = 64
"""Megabytes of a list that are read at most: its rows may echo frames."""


def test_a_list_that_cannot_be_read_sends_nothing(folder: Folder, server: FaultServer, ordinary: float) -> None:
    folder.sweep(2)
    for word, script in LISTS.items():
        server.look = lambda path, script=script: script  # type: ignore[misc]
        run = measured(folder, server, "--provider", "vidu")
        assert run.result.code == 3, (word, run.result.err)
        assert "list of tasks could not be read" in run.result.err
        assert run.peak < ordinary + MORE + 2 * MOST_LIST, word
        assert run.seconds < 25, word
    assert not server.ledger
    server.look = lambda path: None
    assert folder.buy(server, "--provider", "vidu").code == 0


@pytest.mark.parametrize("point", ["connected", "headers"])
def test_a_reply_that_does_not_wait_for_its_request_buys_nothing_twice(
    folder: Folder, server: FaultServer, point: str
) -> None:
    folder.sweep(4)
    early = [http("<html>"), http(TASK), http(envelope(500, "Oops", "too early"), "500 Oops"), http(TASK, "307 X")]
    server.early = lambda at: says(early.pop()) if at == point and early else None
    first = measured(folder, server)
    assert first.result.code in (0, 3, 4), first.result.err
    assert first.seconds < 40
    server.early = lambda at: None
    second = measured(folder, server)
    assert second.result.code in (0, 3, 4)
    assert server.double_spent() == []
    keys = [posted.body["payload"].split(".")[1] for posted in server.ledger]
    assert len(keys) == len(set(keys))


ODD_IDS = [
    "t-1\nForged: line",
    "\x1b[2J\x1b[1;1Hpaid",
    "\u202egpj.exe",
    "t\u0000nul",
    "\u009b31mred",
    "../../../etc/passwd",
    "a/b",
    "..",
    ".",
    "a b",
    "",
    "\\\\host\\share",
    "ü",
    "x" * 201,
]


def test_a_task_id_that_could_do_harm_is_a_doubt_and_never_printed_raw(folder: Folder, server: FaultServer) -> None:
    scripts = {f"{number} {word!r}": says(http(json.dumps({"task_id": word}))) for number, word in enumerate(ODD_IDS)}
    impatient(folder, scripts)
    server.answer = in_turn(server, scripts)
    run = measured(folder, server)
    assert run.result.code == 4, run.result.err
    assert run.result.counts() == {"in_doubt": len(ODD_IDS)}
    for command in (["status"], ["plan"], ["status", "--json"]):
        shown = folder(*command, "jobs.yaml")
        assert raw_characters(shown.out + shown.err) == set()


QUERYING_IDS = [
    "a?b=c",
    "a#b",
    "a&id=b",
    "%2e%2e%2fcredits",
    "a%0d%0aX-Forged:%20y",
    "a+b",
    "a;b",
    "{task_id}",
    "a:b@c",
]


def test_a_task_id_stays_one_segment_of_the_path_it_is_asked_under(folder: Folder, server: FaultServer) -> None:
    scripts = {word: says(http(json.dumps({"task_id": word}))) for word in QUERYING_IDS}
    impatient(folder, scripts, deadline=1)
    server.answer = in_turn(server, scripts)
    run = measured(folder, server)
    assert run.result.code == 3, run.result.err
    paths = {path for path in server.requests if "/task/" in path}
    assert len(paths) == len(QUERYING_IDS)
    for path in paths:
        start, _, rest = path.partition("/task/")
        assert start == "/vidu/ent/v2"
        assert rest.count("/") == 1
        assert rest.endswith("/creations")
        assert not set(rest) & set("?#&")


NASTY = "\x1b]0;owned\x07\r\n::error::\u202e\u0000\u009b2J\u2028 end"


def test_what_a_server_says_is_never_printed_raw(folder: Folder, server: FaultServer) -> None:
    said = json.dumps({"code": 400, "reason": NASTY, "message": NASTY, "trace_id": NASTY})
    scripts = {
        "refused": says(http(said, "400 Bad")),
        "in doubt": says(http(said, "500 Bad")),
        "in the status line": says(http("", f"500 {NASTY[:12]}")),
    }
    impatient(folder, scripts)
    server.answer = in_turn(server, scripts)
    run = measured(folder, server)
    assert run.result.counts() == {"rejected": 1, "in_doubt": 2}
    assert "end" in run.result.err


# The fuzz: sound replies, damaged a little.

DAMAGES = ("flip", "cut", "double", "status", "swap", "insert", "none")
STATUSES = (
    b"200",
    b"201",
    b"202",
    b"204",
    b"302",
    b"400",
    b"404",
    b"408",
    b"409",
    b"422",
    b"425",
    b"499",
    b"500",
    b"503",
)
SWAPPED = (b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"Content-Length: 10", b"Connection: keep-alive")


def sound(kind: str, task_id: str, odd: int) -> bytes:
    """A reply as a server of some kind sends it; `odd` makes refusals differ."""
    bodies = {
        "official": {
            "task_id": task_id,
            "state": "created",
            "credits": 7,
            "seed": odd,
            "created_at": "2026-11-22T10:00",
        },
        "gateway": {"task_id": task_id, "status": "processing", "created_at": 1764000000},
        "wrapped": {"code": 0, "message": "success", "data": {"task_id": task_id, "task_status": "submitted"}},
    }
    if kind in bodies:
        return http(json.dumps(bodies[kind]), "200 OK", "Content-Type: application/json", "X-Trace-Id: abc")
    if kind == "refused":
        return http(envelope(400, f"FieldInvalid{odd}", "no such field"), "400 Bad Request", "X-Trace-Id: abc")
    return http(f"<html><h1>{odd}</h1></html>", "200 OK", "Content-Type: text/html")


def damaged(reply: bytes, damage: str, dice: random.Random) -> bytes:
    at = dice.randrange(len(reply))
    if damage == "flip":
        changed = bytearray(reply)
        for _ in range(dice.randint(1, 4)):
            changed[dice.randrange(len(reply))] ^= 1 << dice.randrange(8)
        return bytes(changed)
    if damage == "cut":
        return reply[:at]
    if damage == "double":
        return reply[:at] + reply[dice.randrange(at + 1) :] + reply
    if damage == "status":
        return reply[:9] + dice.choice(STATUSES) + reply[12:]
    if damage == "swap":
        lines = reply.split(b"\r\n")
        lines[dice.choice((1, 2))] = dice.choice(SWAPPED)
        return b"\r\n".join(lines)
    return reply if damage == "none" else reply[:at] + dice.randbytes(dice.randint(1, 30)) + reply[at:]


@dataclass
class Fuzzer:
    """Answers every POST with a damaged reply. A reply that was an acceptance before its damage has been one."""

    dice: random.Random
    sent: dict[str, list[bytes]] = field(default_factory=dict)
    number: int = 0

    def answer(self, posted: Posted) -> Script:
        self.number += 1
        kind = self.dice.choice(("official", "gateway", "wrapped", "refused", "html"))
        task_id = f"task-{self.number}"
        reply = damaged(sound(kind, task_id, self.number), self.dice.choice(DAMAGES), self.dice)
        if kind not in ("refused", "html"):
            posted.task_id = task_id
        self.sent.setdefault(posted.body["payload"].split(".")[1], []).append(reply)
        return says(reply)


JOBS = 75


@pytest.mark.parametrize(("provider", "seed"), [("octopusx", 1), ("octopusx", 2), ("vidu", 3)])
def test_no_damage_to_a_reply_buys_a_job_twice_or_invents_a_task(
    folder: Folder, server: FaultServer, provider: str, seed: int
) -> None:
    spec = folder.sweep(JOBS, extra="concurrency: 16\n")
    spec.write_text(spec.read_text().replace("task_deadline: 20", "task_deadline: 0.5"))
    fuzzer = Fuzzer(random.Random(seed))
    server.answer = fuzzer.answer
    for _ in range(12):
        run = measured(folder, server, "--provider", provider)
        assert run.result.code in (0, 1, 3, 4, 5), run.result.err
        assert "a bug" not in run.result.err
        if not run.result.counts().get("planned"):
            break
    assert server.double_spent() == []
    assert all(len(replies) == 1 for replies in fuzzer.sent.values())
    db = sqlite3.connect(next(folder.path.glob("out/*")) / "state.db")
    rows = db.execute("SELECT key, state, task_id FROM attempts WHERE state != 'not_sent'").fetchall()
    db.close()
    known = {posted.task_id: posted.body["payload"].split(".")[1] for posted in server.accepted}
    for key, _, task_id in (row for row in rows if row[1] in ("submitted", "ready", "done")):
        assert task_id.encode() in fuzzer.sent[key[:24]][0] or known.get(task_id) == key[:24]
    assert len(rows) == len(fuzzer.sent) == JOBS
