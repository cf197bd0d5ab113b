"""A run with nothing to do: it says what a whole run says, and whatever has changed brings the whole run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Folder, Result
from fault_server import FaultServer

from vidu_run.journal.reader import ReadJournal
from vidu_run.quiet import RACE, Asked, inputs
from vidu_run.spec.load import load

SPEC = """\
version: 1
provider: octopusx
timing: {poll_min: 0.05, poll_max: 0.2, submit_timeout: 2, settle: 0.5, backoff: 0.02, drain: 5}
vars: {length: 1}
jobs:
  - name: "{{ pair.name }}-{{ row.look }}"
    matrix:
      pair: {pairs: {first: "frames/*-a.png", last: "frames/*-b.png"}}
      row: {csv: looks.csv}
    request:
      images: ["{{ pair.first }}", "{{ pair.last }}"]
      prompt: {file: prompt.txt}
      model: viduq2-turbo
      resolution: 540p
      seed: "{{ row.seed }}"
      duration: "{{ length }}"
"""


class Sweep:
    def __init__(self, folder: Folder, server: FaultServer) -> None:
        self.folder, self.server, self.path = folder, server, folder.path
        self.out = folder.path / "out/jobs"
        for name in ("one-a.png", "one-b.png"):
            folder.frame(name)
        folder.write("look,seed\nslow,1\nfast,2\n", "looks.csv")
        folder.write("a harbour\n", "prompt.txt")
        folder.write("{}", "prices.json")
        folder.write(SPEC)

    def run(self, *words: str, **more: str) -> Result:
        prices = {"VIDU_RUN_PRICES": str(self.path / "prices.json")}
        told = ("run", "jobs.yaml", "--base-url", self.server.base_url, "--yes", *words)
        return self.folder(*told, **prices, **more)

    def epoch(self) -> str | None:
        """A whole run begins one."""
        journal = ReadJournal(self.out)
        try:
            return journal.meta("epoch")
        finally:
            journal.close()

    def leave_alone(self) -> None:
        """Until the times of the files tell their bytes, as they do a moment after they were written."""
        newest = max(path.stat().st_ctime for path in [self.path, *self.path.rglob("*")])
        time.sleep(max(0.0, newest + RACE + 0.1 - time.time()))


@pytest.fixture
def sweep(folder: Folder, server: FaultServer) -> Sweep:
    """Bought, delivered, and run once more after its files were left alone."""
    made = Sweep(folder, server)
    assert made.run().code == 0
    made.leave_alone()
    assert made.run().code == 0
    assert len(server.ledger) == 2
    return made


def test_a_quiet_run_touches_nothing_and_says_what_a_whole_one_says(sweep: Sweep) -> None:
    whole = sweep.run("--limit", "9")
    sweep.run()
    logs = ("state.db-wal", "state.db-shm")
    before = {path: path.stat().st_mtime_ns for path in sweep.out.rglob("*") if path.name not in logs}
    epoch, asked = sweep.epoch(), len(sweep.server.requests)
    quiet = sweep.run()
    assert (quiet.code, quiet.out, quiet.err) == (whole.code, whole.out, whole.err)
    assert quiet.err.splitlines()[1] == "2 jobs: 2 done"
    assert sweep.epoch() == epoch
    assert len(sweep.server.requests) == asked
    assert {path: path.stat().st_mtime_ns for path in before} == before


def rewritten(path: Path, content: bytes) -> None:
    """Other bytes, as many as before, under the old time."""
    old = path.stat()
    assert len(content) == old.st_size
    path.write_bytes(content)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))


def without_an_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def one_more_pair(sweep: Sweep) -> None:
    for name in ("two-a.png", "two-b.png"):
        sweep.folder.frame(name)


def another_ledger_line(sweep: Sweep) -> None:
    ledger = sweep.out / "results.jsonl"
    line = json.loads(ledger.read_text().splitlines()[0])
    ledger.write_text(ledger.read_text() + json.dumps({**line, "key": "ab" * 32}) + "\n")


CHANGES: dict[str, Callable[[Sweep], object]] = {
    "the spec": lambda sweep: sweep.folder.write(SPEC.replace("540p", "720p")),
    "a frame": lambda sweep: rewritten(
        sweep.path / "frames/one-a.png", (sweep.path / "frames/one-a.png").read_bytes().replace(b"IDAT", b"IDAU")
    ),
    "a pair": one_more_pair,
    "a row": lambda sweep: sweep.folder.write("look,seed\nslow,1\nfast,3\n", "looks.csv"),
    "a prompt": lambda sweep: rewritten(sweep.path / "prompt.txt", b"a tempest"[:9] + b"\n"),
    "prices": lambda sweep: sweep.folder.write('{"octopusx": {"credit": {"usd": "1"}}}', "prices.json"),
    "picks": lambda sweep: sweep.folder.write("version: 1\npicks: []\n", "jobs.picks.yaml"),
    "a video": lambda sweep: next(sweep.out.glob("videos/*.mp4")).unlink(),
    "a video's end": lambda sweep: without_an_end(next(sweep.out.glob("videos/*.mp4"))),
    "the page": lambda sweep: (sweep.out / "report.html").unlink(),
    "the ledger": another_ledger_line,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_after_any_change_the_whole_run_looks(sweep: Sweep, change: Callable[[Sweep], object]) -> None:
    epoch = sweep.epoch()
    sweep.run()
    assert sweep.epoch() == epoch
    change(sweep)
    changed = sweep.run()
    # A frame that is no image any more is told before a state is opened.
    assert sweep.epoch() != epoch or changed.code == 2, changed.err
    assert sweep.server.double_spent() == []


def test_another_question_is_not_answered_by_the_last_one(sweep: Sweep, servers: Callable[..., FaultServer]) -> None:
    epoch = sweep.epoch()
    assert sweep.run("--base-url", servers().base_url).code == 2
    assert sweep.epoch() == epoch
    for words in (["--set", "length=2"], ["--only", "*slow"], ["--assume-credits", "3"]):
        sweep.run(*words)
        assert sweep.epoch() != epoch
        epoch = sweep.epoch()
    assert len(sweep.server.ledger) == 4


def test_a_file_that_was_written_a_moment_ago_is_not_known_by_its_times(folder: Folder, server: FaultServer) -> None:
    path = Sweep(folder, server).path / "jobs.yaml"
    asked, spec = Asked(path, None, {}, None), load(path)
    newest = max(file.stat().st_ctime for file in folder.path.rglob("*"))
    assert inputs(spec, asked, newest + RACE / 2) is None
    known = inputs(spec, asked, newest + RACE * 2)
    assert known is not None
    names = {Path(name).relative_to(folder.path).as_posix() for name in known if Path(name).is_relative_to(folder.path)}
    frames = {"frames", "frames/one-a.png", "frames/one-b.png"}
    assert names == {"jobs.yaml", "jobs.picks.yaml", "prompt.txt", "looks.csv"} | frames


def test_what_another_command_does_to_the_state_ends_the_quiet(sweep: Sweep) -> None:
    epoch = sweep.epoch()
    assert sweep.folder("fetch", "jobs.yaml", "--base-url", sweep.server.base_url).code == 0
    after = sweep.epoch()
    assert after != epoch
    sweep.run()
    assert sweep.epoch() != after
