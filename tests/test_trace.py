"""What is on the disk before what: read from the system calls of the real command, not from its code."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Folder, environment
from fault_server import FaultServer, markers
from strace import RENAMES, SYNCS, WRITES, Call, Traced, needs_strace, run

pytestmark = needs_strace


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, video: bytes) -> Iterator[tuple[Traced, Path, FaultServer]]:
    """One run of three jobs, its output folder, and the server it bought from."""
    folder = Folder(tmp_path_factory.mktemp("traced") / "repo")
    folder.sweep(3)
    with FaultServer(video) as server:
        traced = run(folder, server)
        assert traced.code == 0, traced.err
        yield traced, folder.path / "out/jobs", server


def test_every_marker_is_synced_before_the_first_byte_of_its_post(seen: tuple[Traced, Path, FaultServer]) -> None:
    traced, out, server = seen
    log = out / "state.db-wal"
    posts = traced.posts()
    assert len(posts) == 3
    assert sorted(post.marker.decode() for post in posts) == sorted(markers(server.ledger))
    for post in posts:
        assert traced.permitted(post, log), f"{post.marker!r} was sent before it was synced"


def test_a_video_is_synced_before_it_gets_its_name_and_the_name_before_it_is_recorded(
    seen: tuple[Traced, Path, FaultServer],
) -> None:
    traced, out, server = seen
    log = out / "state.db-wal"
    sha256 = hashlib.sha256(server.video).hexdigest()
    for number in (1, 2, 3):
        file = f"videos/job-{number}.mp4"
        naming = the_rename(traced, out, f"{file}.part", file)
        written = traced.of(WRITES, out / f"{file}.part")
        assert written, f"{file}.part was never written"
        assert traced.synced(out / f"{file}.part", written[-1], naming.begin), f"{file} was named unsynced"
        recorded = [call for call in traced.of(WRITES, log) if f"{file}{sha256}".encode() in call.payload]
        assert recorded, f"{file} was never recorded"
        assert traced.synced(out / "videos", naming, recorded[0].begin), f"{file} was recorded before its name"
        assert traced.synced(log, recorded[0]), f"the record of {file} was never synced"


def test_a_new_state_is_synced_before_it_gets_its_name(seen: tuple[Traced, Path, FaultServer]) -> None:
    traced, out, _ = seen
    naming = the_rename(traced, out, "state.db.new", "state.db")
    assert traced.synced(out / "state.db.new", traced.of(WRITES, out / "state.db.new")[-1], naming.begin)
    own = [f"{out}/state.db{end}" for end in ("", "-wal", "-journal")]
    used = [call for call in traced.of(WRITES) if call.file in own]
    assert traced.synced(out, naming, used[0].begin), "the state was used before its name was synced"


def test_a_named_state_never_has_a_rollback_journal(seen: tuple[Traced, Path, FaultServer]) -> None:
    """A kill would leave it hot, and what opens a state to read it cannot roll it back."""
    traced, out, _ = seen
    assert traced.of(WRITES, out / "state.db-wal")
    assert not traced.of(WRITES, out / "state.db-journal")


def the_rename(traced: Traced, out: Path, source: str, target: str) -> Call:
    """The one rename from `source` to `target`, which worked."""
    wanted = [str(out / source), str(out / target)]
    found = [call for call in traced.of(RENAMES) if [str(out.parents[1] / name) for name in call.names] == wanted]
    assert len(found) == 1, f"{target} was named {len(found)} times"
    assert found[0].worked
    return found[0]


def test_the_folders_that_hold_the_state_are_on_the_disk_before_anything_is_bought(
    seen: tuple[Traced, Path, FaultServer],
) -> None:
    traced, out, _ = seen
    first = traced.posts()[0].begin
    for folder in (out.parents[1], out.parent, out):
        syncs = [call for call in traced.of(SYNCS, folder) if call.worked and (call.end or 0) < first]
        assert syncs, f"the entries of {folder} were not synced"


def test_a_plan_opens_no_video_that_the_state_knows(seen: tuple[Traced, Path, FaultServer], tmp_path: Path) -> None:
    _, out, server = seen
    words = [sys.executable, "-m", "vidu_run", "plan", "jobs.yaml", "--base-url", server.base_url]
    trace = ["strace", "-f", "-e", "trace=openat", "-o", str(tmp_path / "opened")]
    done = subprocess.run(
        [*trace, *words], cwd=out.parents[1], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert "3 jobs: 3 done" in done.stdout
    opened = (tmp_path / "opened").read_text()
    assert "state.db" in opened
    assert ".mp4" not in opened
