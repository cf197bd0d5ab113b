"""The real command under strace: which calls it made, in which order, of which threads, and faults put into them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from conftest import Folder, environment
from fault_server import FaultServer

SYNCS = ("fsync", "fdatasync")
RENAMES = ("rename", "renameat", "renameat2")
SENDS = ("sendto", "sendmsg")
WRITES = ("write", "writev", "pwrite64")
TRACED = (*SYNCS, *RENAMES, *SENDS, *WRITES)
MOST_TEXT = 5000
"""Bytes shown of each buffer: more than a page of the state file, or the head of a POST."""

LINE = re.compile(r"(?:(\d+) +)?(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
DESCRIPTOR = re.compile(r"\d+<([^>]*)>")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)")
LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}
MARKER = re.compile(rb"vr1\.[0-9a-f]{24}\.[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Call:
    """One system call. `begin` and `end` are places in the order of the trace; `end` is None where it never returned,
    `thread` 0 where only the first thread was traced."""

    thread: int
    name: str
    arguments: str
    begin: int
    end: int | None = None
    result: str = "?"

    @property
    def injected(self) -> bool:
        return self.result.endswith("(INJECTED)")

    @property
    def worked(self) -> bool:
        return self.end is not None and self.result.isdigit()

    @property
    def file(self) -> str:
        """The path of the descriptor in its first argument, else the first path it names."""
        found = DESCRIPTOR.match(self.arguments)
        return found[1] if found else self.names[0]

    @property
    def names(self) -> list[str]:
        return [_bytes(text).decode() for text in QUOTED.findall(self.arguments)]

    @property
    def payload(self) -> bytes:
        return b"".join(_bytes(text) for text in QUOTED.findall(self.arguments))


@dataclass(frozen=True, slots=True)
class Post:
    """One POST as it was written to its socket, piece by piece."""

    pieces: tuple[Call, ...]

    @property
    def begin(self) -> int:
        return self.pieces[0].begin

    @property
    def marker(self) -> bytes:
        found = MARKER.search(b"".join(piece.payload for piece in self.pieces))
        assert found, "a POST without a marker"
        return found[0]


@dataclass(frozen=True, slots=True)
class Traced:
    """`code` is negative for a death by a signal."""

    code: int
    err: str
    calls: list[Call]

    def of(self, names: Sequence[str], file: Path | str | None = None) -> list[Call]:
        return [call for call in self.calls if call.name in names and (file is None or call.file == str(file))]

    def synced(self, file: Path | str, after: Call, before: int | None = None) -> list[Call]:
        """The syncs of a file or folder that began when `after` had returned, and had worked by `before`."""
        if after.end is None:
            return []
        syncs = [call for call in self.of(SYNCS, file) if call.worked and call.begin > after.end]
        return [call for call in syncs if before is None or (call.end or 0) < before]

    def permitted(self, post: Post, log: Path) -> bool:
        """Whether the marker of a POST was written to this log and synced there before its first byte."""
        written = [call for call in self.of(WRITES, log) if call.worked and post.marker in call.payload]
        return bool(written and self.synced(log, written[0], post.begin))

    def posts(self) -> list[Post]:
        sockets: dict[str, list[list[Call]]] = {}
        for call in self.of((*SENDS, *WRITES)):
            if call.payload.startswith(b"POST "):
                sockets.setdefault(call.file, []).append([])
            if call.file in sockets:
                sockets[call.file][-1].append(call)
        posts = [Post(tuple(pieces)) for several in sockets.values() for pieces in several]
        return sorted(posts, key=lambda post: post.begin)


def run(
    folder: Folder,
    server: FaultServer,
    inject: str | None = None,
    threads: bool = True,
    only: Sequence[str] = (),
    calls: Sequence[str] = TRACED,
) -> Traced:
    """The command under strace. `inject` is an expression of strace's; its counts are those of each thread apart.

    `threads`: also those beside the first; `only`: calls about these paths alone, as the command writes them.
    """
    log = folder.path / "trace.txt"
    words = ["strace", *(["-f"] if threads else []), "-qq", "-y", "-s", str(MOST_TEXT), "-o", str(log)]
    # Quicker, but an injected signal is not delivered then.
    words += ["--seccomp-bpf"] if threads and "signal" not in (inject or "") else []
    words += ["-e", f"trace={','.join(calls)}", *(["-e", f"inject={inject}"] if inject else [])]
    for path in only:
        words += ["-P", path]
    words += [sys.executable, "-m", "vidu_run", "run", "jobs.yaml", "--base-url", server.base_url, "--yes"]
    ended = subprocess.run(
        words,
        cwd=folder.path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Traced(ended.returncode, ended.stderr, read_trace(log.read_text(encoding="utf-8")))


def read_trace(text: str) -> list[Call]:
    """In the order in which they were entered; one that another thread's interrupted on paper is put together."""
    calls: list[Call] = []
    unfinished: dict[int, int] = {}
    for at, line in enumerate(text.splitlines()):
        found = LINE.match(line)
        if not found:
            continue
        thread, resumed, name, rest = int(found[1] or 0), found[2], found[3], found[4]
        if resumed:
            place = unfinished.pop(thread)
            calls[place] = _ended(calls[place], at, rest)
        elif rest.endswith("<unfinished ...>"):
            unfinished[thread] = len(calls)
            calls.append(Call(thread, name, rest.removesuffix("<unfinished ...>").rstrip(), at))
        else:
            calls.append(_ended(Call(thread, name, "", at), at, rest))
    return calls


def _ended(call: Call, at: int, rest: str) -> Call:
    more, _, result = rest.rpartition(" = ")
    arguments = call.arguments + more.rstrip().removesuffix(")")
    return replace(call, arguments=arguments, result=result, end=None if result == "?" else at)


def _bytes(text: str) -> bytes:
    return ESCAPE.sub(lambda found: _unescaped(found[1]), text.encode())


def _unescaped(code: bytes) -> bytes:
    return bytes([int(code, 8)]) if code[:1].isdigit() else LETTERS.get(code, code)


@cache
def why_not() -> str:
    """Why nothing can be traced here; empty where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-f", "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"strace may not trace here ({(tried.stderr.splitlines() or ['?'])[0]})"


needs_strace = pytest.mark.skipif(bool(why_not()), reason=why_not())
