"""What a person sees of a run: in a real pseudo-terminal, in a log, and from another terminal beside it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import Folder, environment
from fault_server import FaultServer
from rich.cells import cell_len

from vidu_run.meter import block, duration, pace, summary, time_left
from vidu_run.sieve import Pulse, Sieve
from vidu_run.tally import Kind, Part, Reckoning, Tally
from vidu_run.watch import LIFE, PERIOD

SHORT: Kind = ("viduq2-turbo", "540p", "2", False)
LONG: Kind = ("viduq2-turbo", "1080p", "8", False)
NIGHT: Kind = ("viduq2-turbo", "540p", "2", True)
ESCAPE = re.compile(rb"\x1b\[([?\d;]*)([A-Za-z])")


def planned(tally: Tally, count: int, kind: Kind = SHORT, prefix: str = "job") -> list[str]:
    names = [f"{prefix}-{number}" for number in range(count)]
    for name in names:
        tally.put(name, Part("planned", kind, awaited=True))
    return names


def test_nothing_is_said_of_the_time_left_before_anything_is_known() -> None:
    tally = Tally(100.0, (2, 2))
    first, *_ = planned(tally, 5)
    assert tally.reckon(100.0).left is None
    tally.hear(101.0, first, "submitted")
    assert tally.reckon(120.0).left is None
    tally.hear(131.0, first, "ready")
    assert tally.reckon(131.0).left == pytest.approx(60)


def test_the_time_left_weighs_long_and_short_clips_by_what_each_has_taken() -> None:
    tally = Tally(0.0, (1, 1), {SHORT: [9.0, 10.0, 11.0], LONG: [100.0]})
    planned(tally, 3, SHORT, "short")
    planned(tally, 2, LONG, "long")
    assert tally.reckon(0.0).left == pytest.approx(230)
    tally.slots = (2, 2)
    assert 100 <= (tally.reckon(0.0).left or 0) <= 135


def test_clips_of_this_run_count_more_than_earlier_ones() -> None:
    tally = Tally(0.0, (1, 1), {SHORT: [1000.0] * 9})
    first, *_ = planned(tally, 3)
    tally.hear(0.0, first, "submitted")
    tally.hear(10.0, first, "done")
    assert tally.reckon(10.0).left == pytest.approx(20)


def test_no_time_is_told_while_doubts_hold_every_place() -> None:
    tally = Tally(0.0, (0, 0), {SHORT: [10.0]})
    planned(tally, 1)
    assert tally.reckon(1.0).left is None
    tally.slots = (1, 0)
    assert tally.reckon(1.0).left == pytest.approx(10)


def test_a_thousand_waiting_clips_are_reckoned_like_a_few() -> None:
    tally = Tally(0.0, (4, 4), {SHORT: [60.0]})
    planned(tally, 1000)
    assert tally.reckon(0.0).left == pytest.approx(60 * 1000 / 4)


def test_a_run_in_which_everything_fails_promises_nothing_and_counts_on() -> None:
    tally = Tally(0.0, (2, 2))
    for at, name in enumerate(planned(tally, 4), 1):
        tally.hear(float(at), name, "submitted")
        tally.hear(at + 30.0, name, "failed", "no luck")
    found = tally.reckon(60.0)
    assert (found.left, found.per_minute, dict(found.counts)) == (None, None, {"failed": 4})
    assert found.error == ("job-3", "no luck")


def test_a_clock_that_is_set_back_gives_no_negative_times() -> None:
    tally = Tally(1000.0, (1, 1), {SHORT: [20.0]})
    first, second, *_ = planned(tally, 3)
    tally.hear(1010.0, first, "submitted")
    tally.hear(400.0, first, "done")
    tally.hear(401.0, second, "submitted")
    found = tally.reckon(390.0)
    assert (found.elapsed, found.per_minute) == (0.0, None)
    assert found.left == pytest.approx(40)


def test_a_resumed_run_subtracts_what_its_tasks_have_behind_them() -> None:
    tally = Tally(500.0, (1, 1), {SHORT: [100.0]})
    tally.put("old", Part("submitted", SHORT, since=440.0))
    tally.put("there", Part("done", SHORT))
    assert tally.reckon(500.0).left == pytest.approx(40)
    overdue = tally.reckon(5000.0).left
    assert overdue is not None
    assert 0 < overdue < 100
    tally.hear(5000.0, "old", "done")
    assert (tally.reckon(5000.0).left, tally.reckon(5000.0).counts) == (None, {"done": 2})


def test_a_task_that_ended_while_no_run_was_there_does_not_say_how_long_clips_take() -> None:
    tally = Tally(500.0, (1, 1), {SHORT: [10.0]})
    tally.put("old", Part("submitted", SHORT, since=100.0))
    planned(tally, 2)
    tally.hear(501.0, "old", "done")
    assert tally.reckon(501.0).left == pytest.approx(20)


def test_what_runs_off_peak_borrows_no_time_from_what_does_not() -> None:
    tally = Tally(0.0, (1, 1), {SHORT: [10.0]})
    planned(tally, 2, SHORT, "day")
    assert tally.reckon(0.0).left == pytest.approx(20)
    planned(tally, 1, NIGHT, "night")
    assert tally.reckon(0.0).left is None


def test_a_run_that_stops_waits_only_for_what_is_at_the_api_and_given_up_jobs_are_not_awaited() -> None:
    tally = Tally(0.0, (1, 1), {SHORT: [10.0]})
    names = planned(tally, 10)
    tally.hear(0.0, names[0], "submitted")
    tally.hear(0.0, names[1], "left", "held back")
    assert tally.reckon(0.0).left == pytest.approx(90)
    assert tally.reckon(0.0).counts == {"submitted": 1, "planned": 9}
    tally.stopping = True
    assert tally.reckon(4.0).left == pytest.approx(6)


def test_the_pace_is_that_of_the_last_minutes() -> None:
    tally = Tally(0.0, (4, 4))
    for number, name in enumerate(planned(tally, 30)):
        tally.hear(number * 2.0, name, "done")
    assert tally.reckon(60.0).per_minute == pytest.approx(30)
    assert tally.reckon(358.0 + 2).per_minute is None


def test_times_and_paces_are_said_no_more_exactly_than_they_are_known() -> None:
    said = [time_left(seconds) for seconds in (3, 47, 725, 8_580, 200_000)]
    expected = ["a few seconds", "about 50 s", "about 12 min", "about 2 h 20 min", "about 56 h"]
    assert said == [f"{words} left" for words in expected]
    assert [duration(seconds) for seconds in (42.9, 723, 11_232)] == ["0:42", "12:03", "3:07:12"]
    assert [pace(rate) for rate in (0.05, 4.14, 25.3)] == ["3.0 clips/h", "4.1 clips/min", "25 clips/min"]


def test_the_block_is_never_wider_than_it_may_be_and_keeps_what_matters() -> None:
    counts = {"done": 4120, "ready": 3, "submitted": 20, "planned": 5830, "in_doubt": 2, "failed": 12, "rejected": 13}
    found = Reckoning(counts, 10_000, 6072.0, 41_200, 39_000, 4.1, 8600.0, error=("名前" * 40, "寿司" * 99))
    for width in range(10, 220):
        lines = block(found, width)
        assert len(lines) == 3
        assert max(cell_len(line.plain) for line in lines) <= width
    narrow = "\n".join(line.plain for line in block(found, 39))
    assert "4,120 of 10,000 done" in narrow
    assert "about 2 h 20 min left" in narrow
    wide = "\n".join(line.plain for line in block(found, 150))
    for words in ("2 in doubt", "12 failed", "5,830 planned", "41,200 credits committed", "39,000 charged", "1:41:12"):
        assert words in wide
        assert words in summary(found)


def test_the_credits_of_a_rehearsal_are_not_told_as_spent() -> None:
    found = Reckoning({"done": 2}, 2, 9.0, committed=180, charged=180, rehearses=True)
    assert "180 credits rehearsed, none spent" in summary(found)
    assert "committed" not in summary(found)
    assert "charged" not in summary(found)


def test_a_log_of_ten_thousand_jobs_stays_short_and_has_every_early_failure() -> None:
    sieve, pulse, lines = Sieve(10_000, live=False), Pulse(0.0, 0, 10_000), 0
    failures = []
    for number in range(10_000):
        state = "failed" if number % 7 == 3 else "done"
        for event in ("submitted", "ready", state):
            if sieve.passes(event, f"because of {number}" if event == "failed" else ""):
                lines += 1
                failures.append(number)
            lines += sieve.enough()
        lines += pulse.due(number * 2.0, number, 10_000)
    assert lines < 200
    assert failures[:3] == [3, 10, 17]


def test_equal_words_do_not_fill_a_log() -> None:
    sieve = Sieve(1000, live=True)
    shown = [sieve.passes("left", "no slot was free") for _ in range(900)]
    assert sum(shown) == 5
    assert [sieve.enough(), sieve.enough()] == [True, False]
    assert sieve.passes("stopping", "the account is empty")


class Screen:
    """As much of a terminal as the block needs: what stands on it, and every state it was in after a read."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows: list[str] = [""]
        self.row = self.column = 0

    def feed(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if found := ESCAPE.match(data, at):
                self._control(found[1].decode(), found[2].decode())
                at = found.end()
                continue
            end = re.compile(rb"[^\x00-\x1f\x7f]+").match(data, at)
            if end is None:
                self._plain(data[at : at + 1])
                at += 1
            else:
                for char in end[0].decode("utf-8", "replace"):
                    self._char(char)
                at = end.end()

    def _control(self, number: str, letter: str) -> None:
        assert letter in "AKm", f"CSI {number}{letter} reached the terminal"
        if letter == "A":
            self.row = max(0, self.row - int(number or 1))
        if letter == "K":
            self.rows[self.row] = ""

    def _plain(self, char: bytes) -> None:
        assert char in (b"\r", b"\n"), f"{char!r} reached the terminal"
        if char == b"\r":
            self.column = 0
        else:
            self.row += 1
            if self.row == len(self.rows):
                self.rows.append("")

    def _char(self, char: str) -> None:
        if self.column >= self.width:
            self._plain(b"\n")
            self.column = 0
        line = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = line[: self.column] + char + line[self.column + 1 :]
        self.column += 1

    def resize(self, width: int) -> None:
        """As terminals do: what is too long for the new width takes more rows. The cursor is in the last one."""
        pieces = [[row[at : at + width] for at in range(0, max(1, len(row)), width)] for row in self.rows]
        self.rows = [piece for row in pieces for piece in row]
        self.width, self.row = width, len(self.rows) - 1

    @property
    def text(self) -> str:
        return "\n".join(self.rows)


class Terminal:
    """The real command with a pseudo-terminal for everything."""

    def __init__(self, folder: Folder, words: Sequence[str], width: int = 80, **more: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(width)
        quiet = {"CI", "GITHUB_ACTIONS", "NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR"}
        kept = {name: value for name, value in environment(TERM="xterm-256color").items() if name not in quiet}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vidu_run", *words],
            cwd=folder.path,
            env=kept | more,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.screen = Screen(width)
        self.bytes = b""
        self.frames: list[str] = []

    def resize(self, width: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 30, width, 0, 0))

    @contextmanager
    def held(self) -> Iterator[None]:
        """The command stands still between two frames, not within one, and all that it wrote so far has been read."""
        self._drain()
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            self._drain()
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def _drain(self) -> None:
        while select.select([self.master], [], [], 0.15)[0]:
            data = os.read(self.master, 65536)
            self.bytes += data
            self.screen.feed(data)

    def read(self, until: Callable[[str], bool] = lambda text: False, seconds: float = 40) -> None:
        """To the end of the command, or until the screen shows it."""
        deadline = time.time() + seconds
        while time.time() < deadline:
            if not select.select([self.master], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            if not data:
                os.close(self.master)
                self.process.wait(20)
                return
            self.bytes += data
            # A piece may end inside of a sequence; the next one brings the rest.
            self.screen.feed(data)
            self.frames.append(self.screen.text)
            if until(self.screen.text):
                return
        raise AssertionError(f"still going on:\n{self.screen.text}")


def run_words(server: FaultServer) -> list[str]:
    return ["run", "jobs.yaml", "--base-url", server.base_url, "--yes"]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_run_on_a_terminal_keeps_its_block_below_and_takes_it_away(
    folder: Folder, server: FaultServer, width: int
) -> None:
    folder.sweep(6, extra="concurrency: 2\n")
    server.task_seconds = 0.4
    terminal = Terminal(folder, run_words(server), width)
    terminal.read()
    assert terminal.process.returncode == 0
    during = [frame for frame in terminal.frames if "of 6 done" in frame]
    for frame in during:
        assert frame.count("of 6 done") == 1
        below = frame[frame.index("of 6 done") :]
        assert not re.search(r"\d\d:\d\d:\d\d (submitted|ready|done)", below)
    assert any(re.search(r"[1-5] of 6 done", frame) for frame in during)
    last = terminal.screen.text
    assert "of 6 done" not in last
    assert last.replace("\n", "").count("videos/job-") == 6
    assert "done 6" in last
    assert last.rstrip().endswith("report.html")


def test_a_rehearsal_on_a_terminal_and_whoever_watches_it_see_no_credits_spent(folder: Folder) -> None:
    folder.sweep(6, extra="concurrency: 1\n")
    terminal = Terminal(folder, ["jobs.yaml", "--provider", "local"], 120)
    terminal.read()
    watched = Terminal(folder, ["status", "jobs.yaml", "--provider", "local", "--watch"], 120)
    watched.read()
    assert (terminal.process.returncode, watched.process.returncode) == (0, 0)
    for seen in (terminal, watched):
        # In all that was written: what comes in one piece with what takes it away again is on no frame.
        assert "credits rehearsed, none spent" in ESCAPE.sub(b"", seen.bytes).decode()
        assert not any("committed" in frame for frame in seen.frames)


def test_a_resize_leaves_no_rubbish_behind(folder: Folder, server: FaultServer) -> None:
    folder.sweep(4, extra="concurrency: 1\n")
    server.task_seconds = 0.5
    terminal = Terminal(folder, run_words(server), 120)
    terminal.read(lambda text: "1 of 4 done" in text)
    with terminal.held():
        terminal.resize(40)
        terminal.screen.resize(40)
    terminal.read(lambda text: "2 of 4 done" in text)
    assert terminal.screen.text.count("of 4 done") == 1
    with terminal.held():
        terminal.resize(100)
        terminal.screen.width = 100
    terminal.read()
    assert not set("━─") & set(terminal.screen.text)
    assert "of 4 done" not in terminal.screen.text


def test_no_color_has_no_colour_and_a_dumb_terminal_no_sequence_at_all(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    plain = Terminal(folder, run_words(server), NO_COLOR="1")
    plain.read()
    assert not re.search(rb"\x1b\[[\d;]*3\d[\d;]*m", plain.bytes)
    assert any("of 2 done" in frame for frame in plain.frames)
    folder.sweep(3)
    dumb = Terminal(folder, run_words(server), TERM="dumb")
    dumb.read()
    assert b"\x1b" not in dumb.bytes
    assert "done       job-3" in dumb.screen.text
    folder.sweep(4)
    watched = Terminal(folder, run_words(server), CI="true")
    watched.read()
    assert not re.search(rb"\x1b\[\d*[AK]", watched.bytes)
    assert b"of 4 done" not in watched.bytes
    assert "done       job-4" in watched.screen.text


def test_a_log_has_a_line_for_each_clip_of_a_small_run_and_none_of_a_large_one(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(3)
    small = folder("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    assert [small.err.count(f"{state} ") for state in ("submitted", "ready")] == [0, 0]
    assert len(re.findall(r"done +job-\d  videos/job-\d\.mp4", small.err)) == 3
    folder.sweep(40, extra="concurrency: 20\n")
    server.faults = ["ok", "400"]
    large = folder("run", "jobs.yaml", "--base-url", server.base_url, "--yes", CI="true")
    assert large.code == 1
    assert "\r" not in large.err
    assert "\x1b" not in large.err
    assert len(re.findall(r"rejected +job-\d+  HTTP 400 BadRequest", large.err)) == 1
    assert "videos/job-" not in large.err
    assert len(large.err.splitlines()) < 12


def test_a_held_back_job_and_a_stop_are_told_at_once(folder: Folder, server: FaultServer) -> None:
    folder.sweep(8, extra="concurrency: 1\n")
    server.any_fault = lambda: "400"
    stopped = folder("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    told = stopped.err[: stopped.err.index("\n! ")]
    assert told.count("rejected") == 5
    server.any_fault = lambda: "402"
    folder.sweep(9, prompt="another")
    stopped = folder("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    assert re.search(r"\d left +job-1  not sent: ", stopped.err)


def test_what_a_server_and_a_spec_say_cannot_move_the_cursor(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3, extra="concurrency: 1\n")
    hostile = json.dumps(
        {"code": 400, "reason": "Bad", "message": "\x1b[2J\x1b]0;owned\x07 \u202e\r\n\x9b3Jend"}
    ).encode()
    head = f"HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: {len(hostile)}\r\n\r\n".encode()

    async def refuse(writer: object) -> None:
        writer.write(head + hostile)  # type: ignore[attr-defined]

    server.answer = lambda posted: refuse
    terminal = Terminal(folder, run_words(server), 80)
    terminal.read()
    assert terminal.process.returncode == 1
    assert "owned" in terminal.screen.text
    assert "\u202e" not in terminal.screen.text
    watched = Terminal(folder, ["status", "jobs.yaml", "--watch"], 80)
    watched.read()
    assert watched.process.returncode == 0
    assert "rejected" in watched.screen.text


def test_a_watch_may_begin_before_the_run_follows_it_and_ends_by_itself(folder: Folder, server: FaultServer) -> None:
    folder.sweep(8, extra="concurrency: 2\n")
    server.task_seconds = 0.8
    watch = Terminal(folder, ["status", "jobs.yaml", "--watch"], 100)
    watch.read(lambda text: "waiting for a run" in text)
    lines = folder.start("status", "jobs.yaml", "--watch", "--json")
    assert lines.stderr is not None
    assert "waiting for a run" in lines.stderr.readline()
    running = folder.start(*run_words(server), "--json")
    watch.read()
    told, errors = lines.communicate(timeout=60)
    ended, _ = running.communicate(timeout=60)
    assert (watch.process.returncode, running.returncode, lines.returncode) == (0, 0, 0), errors
    assert any("of 8 done" in frame for frame in watch.frames)
    assert "of 8 done" not in watch.screen.text
    assert watch.screen.text.rstrip().endswith("no run is going on: done 8")
    documents = [json.loads(line) for line in told.splitlines()]
    assert documents[-1]["counts"] == json.loads(ended)["counts"] == {"done": 8}
    assert documents[-1]["credits"]["estimated"] == json.loads(ended)["credits"]["estimated"]
    assert [documents[0]["running"], documents[-1]["running"]] == [True, False]
    assert {one["name"] for document in documents for one in document["changed"]} <= {f"job-{n}" for n in range(1, 9)}
    assert sum(before == after for before, after in pairwise(documents)) == 0
    assert len(server.accepted) == 8


def test_a_watch_of_an_ended_run_says_so_and_one_without_a_spec_is_bad_usage(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(2)
    server.faults = ["ok", "lost-reply"]
    assert folder.buy(server).code == 4
    ended = folder("status", "jobs.yaml", "--watch")
    assert ended.code == 0
    assert ended.out == "no run is going on: in doubt 1 · done 1\n"
    once = folder("status", "jobs.yaml", "--watch", "--json")
    assert once.document["counts"] == folder("status", "jobs.yaml", "--json").document["counts"]
    assert folder("status", "--watch").code == 2
    assert folder("status", "missing.yaml", "--watch").code == 2
    assert folder("status", "jobs.yaml", "--watch", "--verify").code == 2
    Path(folder.path / "out/jobs/state.db").write_bytes(b"x" * 4000)
    assert folder("status", "jobs.yaml", "--watch").code == 7


def test_a_watch_ends_with_its_run_though_tasks_are_still_out(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    server.task_seconds = 600
    running = folder.start(*run_words(server), "--json")
    server.wait_for_post()
    watch = Terminal(folder, ["status", "jobs.yaml", "--watch"], 100)
    watch.read(lambda text: "of 2 done" in text)
    time.sleep(LIFE + 2 * PERIOD)
    assert watch.process.poll() is None
    running.send_signal(signal.SIGINT)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    watch.read()
    assert (running.returncode, watch.process.returncode) == (130, 0)
    assert watch.screen.text.rstrip().endswith("no run is going on: submitted 2")


def test_ctrl_c_ends_a_watch_quietly_and_the_run_goes_on(folder: Folder, server: FaultServer) -> None:
    folder.sweep(4, extra="concurrency: 1\n")
    server.task_seconds = 600
    running = folder.start(*run_words(server), "--json")
    server.wait_for_post()
    watch = Terminal(folder, ["status", "jobs.yaml", "--watch"], 100)
    watch.read(lambda text: "of 4 done" in text)
    os.killpg(watch.process.pid, signal.SIGINT)
    watch.read()
    assert watch.process.returncode == 130
    assert "of 4 done" not in watch.screen.text
    assert "Traceback" not in watch.screen.text
    assert running.poll() is None
    server.task_seconds = 0
    ended, _ = running.communicate(timeout=60)
    assert json.loads(ended)["counts"] == {"done": 4}
    assert not (folder.path / "out/jobs/state.db-wal").exists()
