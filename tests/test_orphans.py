"""What was bought stays bought: jobs that left the spec, lists and ledgers that know more, odd wishes."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import pytest
from conftest import Folder, environment
from fault_server import FaultServer


def ledger_names(folder: Folder, out: str = "out/jobs") -> list[str]:
    text = (folder.path / out / "results.jsonl").read_text()
    return [json.loads(line)["name"] for line in text.splitlines()]


def test_a_task_whose_job_has_left_the_spec_is_waited_for_and_kept(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(1, extra="concurrency: 1\n")
    server.task_seconds = 1.0
    folder.buy(server, "--no-wait")
    spec.write_text(spec.read_text().replace("a harbour", "a storm"))
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert done.counts() == {"done": 1}
    assert len(list((folder.path / "out/jobs/videos/earlier").glob("job-1.*.mp4"))) == 1
    assert len(ledger_names(folder)) == 2


def test_a_job_in_doubt_that_has_left_the_spec_is_still_told(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(1)
    server.faults = ["lost-reply"]
    folder.buy(server)
    spec.write_text(spec.read_text().replace("a harbour", "a storm"))
    told = folder.buy(server)
    assert told.code == 4
    assert "1 job is in doubt" in told.err


def test_tasks_outside_of_only_are_brought_home_too(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    server.task_seconds = 0.5
    folder.buy(server, "--no-wait", "--only", "job-1")
    assert folder.buy(server, "--only", "job-2").counts() == {"done": 2}


def test_a_task_found_after_the_user_said_it_was_not_taken_is_adopted_not_bought_again(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1)
    server.faults = ["lost-reply"]
    server.list_lag = 4.0
    assert folder.buy(server, "--provider", "vidu").code == 4
    assert folder("resolve", "jobs.yaml", "--provider", "vidu", "job-1", "--resubmit").code == 0
    server.list_lag = 0.0
    done = folder.buy(server, "--provider", "vidu")
    assert done.code == 0, done.err
    assert len(server.accepted) == 1


def test_a_failed_and_a_good_task_of_one_job_make_a_fresh_state_take_the_good_one(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1)
    folder.buy(server, "--provider", "vidu")
    good = server.ledger[0]
    server.ledger.insert(0, type(good)({**good.body, "prompt": "a harbour"}, {}, good.at, "bad"))
    server.failing = {"bad"}
    shutil.rmtree(folder.path / "out")
    again = folder.buy(server, "--provider", "vidu")
    assert again.code == 0, again.err
    assert len([posted for posted in server.accepted if posted.headers]) == 1


def test_a_ledger_line_of_another_copy_is_never_dropped(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    folder.buy(server)
    out = folder.path / "out/jobs"
    lines = (out / "results.jsonl").read_text()
    shutil.rmtree(out)
    folder.buy(server, "--limit", "1")
    (out / "results.jsonl").write_text(lines)
    assert folder("fetch", "jobs.yaml", "--base-url", server.base_url).code == 0
    assert sorted(ledger_names(folder)) == ["job-1", "job-2"]
    bought = len(server.accepted)
    assert folder.buy(server).code == 0
    assert len(server.accepted) == bought


def test_a_ledger_with_conflict_marks_is_refused_and_left_as_it_is(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    folder.buy(server)
    ledger = folder.path / "out/jobs/results.jsonl"
    conflict = "<<<<<<< ours\n" + ledger.read_text()
    ledger.write_text(conflict)
    for command in (["fetch", "jobs.yaml"], ["run", "jobs.yaml", "--yes"]):
        refused = folder(*command, "--base-url", server.base_url)
        assert refused.code == 7
        assert "results.jsonl:1" in refused.err
    assert ledger.read_text() == conflict


def test_a_ledger_that_breaks_during_a_run_hides_nothing_else(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    server.faults = ["lost-reply"]
    ledger = folder.path / "out/jobs/results.jsonl"

    def merge(point: str) -> None:
        if point == "accepted":
            ledger.write_text("<<<<<<< HEAD\n")

    server.at = merge
    left = folder.buy(server)
    assert left.code == 7
    assert left.counts() == {"in_doubt": 1, "done": 1}
    assert "results.jsonl:1: not a line of the ledger" in left.err
    assert "nothing was sent" not in left.err.lower()
    assert "resolve jobs.yaml --task TASK_ID job-1" in left.err
    assert "job-2" in (folder.path / "out/jobs/report.html").read_text()
    assert ledger.read_text() == "<<<<<<< HEAD\n"


def test_a_video_that_cannot_be_fetched_again_stays_in_the_ledger(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    folder.buy(server)
    (folder.path / "out/jobs/videos/job-1.mp4").unlink()
    server.download_faults = ["403"] * 9
    assert folder.buy(server).code == 3
    assert ledger_names(folder) == ["job-1"]


def test_a_rehearsal_s_ledger_never_satisfies_another_host(folder: Folder, servers: Callable[..., FaultServer]) -> None:
    folder.sweep(1)
    rehearsal, real = servers(), servers()
    folder.buy(rehearsal)
    for file in (folder.path / "out/jobs").glob("state.db*"):
        file.unlink()
    assert folder.buy(real).code == 0
    assert len(real.accepted) == 1


def test_a_sibling_that_cannot_be_read_may_hold_the_jobs(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    broken = folder.path / "out/other/state.db"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"not a database")
    stopped = folder.buy(server)
    assert stopped.code == 4
    assert "cannot be read" in stopped.err
    assert not server.ledger


def test_a_renamed_spec_in_a_fresh_clone_is_known_by_the_ledger_alone(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(1)
    folder.buy(server)
    for file in (folder.path / "out/jobs").glob("state.db*"):
        file.unlink()
    spec.rename(folder.path / "renamed.yaml")
    assert folder.buy(server, spec="renamed.yaml").code == 4
    assert len(server.accepted) == 1


def test_a_name_with_brackets_means_itself(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(2)
    spec.write_text(spec.read_text().replace("name: job-{{ seed }}", "name: \"{{ 'a1' if seed == 1 else 'a[1]' }}\""))
    assert folder.buy(server, "--only", "a[1]").code == 0
    assert [posted.body["seed"] for posted in server.accepted] == [2]


def test_a_cancel_that_the_task_survives_is_not_believed(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.task_seconds = 1.0
    folder.buy(server, "--provider", "vidu", "--no-wait")
    server.cancellable, server.deaf = ["t-1"], True
    assert folder("cancel", "--state", "out/jobs@vidu", "job-1").code == 1
    assert folder("fetch", "--state", "out/jobs@vidu", "--json").counts() == {"done": 1}


def test_a_budget_counts_every_attempt(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1, extra="budget: 14\n", prompt="this one fails")
    codes = [folder.buy(server, "--retry-failed").code for _ in range(4)]
    assert codes == [1, 1, 5, 5]
    assert len(server.accepted) == 2


def test_a_reader_that_leaves_does_not_stop_the_run(folder: Folder, server: FaultServer) -> None:
    folder.sweep(6, extra="concurrency: 2\n")
    server.task_seconds = 0.3
    subprocess.run(
        f"{sys.executable} -m vidu_run run jobs.yaml --base-url {server.base_url} --yes 2>&1 | head -1",
        shell=True,
        cwd=folder.path,
        env=environment(),
        check=False,
        capture_output=True,
    )
    assert folder("status", "jobs.yaml", "--json").counts() == {"done": 6}


def test_a_signal_after_the_key_was_refused_still_drains(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    server.faults = ["ok", "slow-reply"]
    server.query_faults = ["401"] * 50
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    server.wait_until(lambda: server.queried_keys)
    running.send_signal(signal.SIGINT)
    assert running.wait(10) == 130
    running.communicate()
    assert set(folder("status", "jobs.yaml", "--json").counts()) == {"submitted"}


def test_a_damaged_compressed_answer_is_a_doubt_and_no_bug(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.faults = ["bad-gzip"]
    assert folder.buy(server).code == 4
    assert folder("status", "jobs.yaml", "--json").counts() == {"in_doubt": 1}


def test_fetch_does_not_send_the_key_over_plain_http(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    folder.buy(server, "--no-wait")
    refused = folder("fetch", "jobs.yaml", "--base-url", "http://192.0.2.1")
    assert refused.code == 2
    assert "https only" in refused.err


def test_a_log_without_its_state_is_refused(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    folder.buy(server)
    out = folder.path / "out/jobs"
    (out / "state.db").unlink()
    (out / "results.jsonl").unlink()
    (out / "state.db-wal").write_bytes(b"left behind")
    assert folder.buy(server).code == 7
    assert len(server.ledger) == 1


def test_the_empty_log_that_a_look_leaves_does_not_stand_for_a_state(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    folder.buy(server)
    assert folder("status", "jobs.yaml").code == 0
    out = folder.path / "out/jobs"
    assert (out / "state.db-wal").stat().st_size == 0
    (out / "state.db").unlink()
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert len(server.ledger) == 1


def test_an_accepted_task_that_cannot_be_written_down_is_told(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.faults = ["slow-reply"]
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    server.wait_for_post()
    db = sqlite3.connect(folder.path / "out/jobs/state.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    _, said = running.communicate(timeout=40)
    db.close()
    assert running.returncode == 7, said
    assert "was accepted as task t-1" in said
    assert "later `vidu-run resolve jobs.yaml --task t-1 job-1` takes it\n" in said


def test_the_plan_of_a_renamed_spec_says_what_the_run_of_it_stops_at(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(2)
    folder.buy(server)
    spec.rename(folder.path / "renamed.yaml")
    folder.write("picks: []\n", "jobs.picks.yaml")
    state = (folder.path / "out/jobs/state.db").read_bytes()
    planned = folder("plan", "renamed.yaml", "--base-url", server.base_url)
    assert [path.name for path in (folder.path / "out").iterdir()] == ["jobs"]
    assert (folder.path / "out/jobs/state.db").read_bytes() == state
    stopped = folder.buy(server, spec="renamed.yaml")
    held = "holds 2 of these jobs, done or on their way. Was the spec renamed?"
    advice = (
        "  go on there:        --out out/jobs\n  buy them here too:  --fresh\n"
        "  its picks go along: rename jobs.picks.yaml to renamed.picks.yaml\n"
    )
    assert (stopped.code, planned.code) == (4, 0)
    assert [path.name for path in (folder.path / "out").iterdir()] == ["jobs"], "a run that is refused leaves nothing"
    for words in (["status"], ["report"], ["fetch"], ["promote"]):
        looked = folder(*words, "renamed.yaml")
        assert looked.code == 2, looked.err
        assert (
            "out/renamed: nothing has been run here yet; out/jobs belongs to a spec that is not there any more: "
            "if that was renamed, add --out out/jobs"
        ) in looked.err
        assert (
            folder(*words, "renamed.yaml", "--provider", "local").err.strip().endswith("nothing has been run here yet")
        )
    assert f"out/jobs: {held} Nothing was sent.\n{advice}" in stopped.err
    assert f"out/jobs: warning: {held} A run stops here with exit 4.\n{advice}" in planned.err
    told = folder("plan", "renamed.yaml", "--base-url", server.base_url, "--json").document["warnings"]
    assert [warning["place"] for warning in told] == ["out/jobs"]
    (folder.path / "jobs.picks.yaml").rename(folder.path / "renamed.picks.yaml")
    assert "picks" not in folder("plan", "renamed.yaml", "--base-url", server.base_url).err
    assert folder.buy(server, "--fresh", spec="renamed.yaml").code == 0
    assert "renamed?" not in folder("plan", "renamed.yaml", "--base-url", server.base_url).err


@pytest.mark.parametrize("command", [["fetch"], ["cancel", "job-1"]])
def test_a_state_that_names_a_foreign_host_gets_no_key_by_itself(
    folder: Folder, server: FaultServer, command: list[str]
) -> None:
    folder.sweep(1)
    server.task_seconds = 600
    folder.buy(server, "--provider", "vidu", "--no-wait")
    with closing(sqlite3.connect(folder.path / "out/jobs@vidu/state.db")) as db, db:
        db.execute("UPDATE meta SET value = 'https://vidu.example.com' WHERE name = 'origin'")
    name, *jobs = command
    refused = folder(name, "--state", "out/jobs@vidu", *jobs)
    assert refused.code == 2
    assert "if your key may go there, give --base-url https://vidu.example.com" in refused.err


def test_the_page_of_another_output_folder_names_it_in_its_commands_and_what_tells_a_doubt_from_others(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(2)
    server.faults = ["lost-reply"]
    left = folder.buy(server, "--out", "out/first")
    page = (folder.path / "out/first/report.html").read_text()

    assert left.code == 4
    assert "viduq2-turbo, seed 1, duration 1, payload vr1." in left.err
    assert "vidu-run promote jobs.yaml --out out/first" in page
    assert "vidu-run resolve jobs.yaml --out out/first --resubmit job-1" in page
    assert "viduq2-turbo, seed 1, duration 1, payload vr1." in page


def test_a_spec_with_words_of_the_hints_in_its_name_is_named_as_it_is(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1).rename(folder.path / "NAME{name}FILE.yaml")
    server.faults = ["lost-reply"]
    assert folder.buy(server, spec="NAME{name}FILE.yaml").code == 4
    page = (folder.path / "out/NAME{name}FILE/report.html").read_text()
    assert "vidu-run resolve 'NAME{name}FILE.yaml' --resubmit job-1" in page


def test_a_clone_says_which_clips_are_elsewhere_and_how_they_come_here(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2, extra='films: [{name: all, jobs: "*"}]\n')
    assert folder.buy(server).code == 0
    out = folder.path / "out/jobs"
    ledger = (out / "results.jsonl").read_bytes()
    shutil.rmtree(out)
    out.mkdir()
    (out / "results.jsonl").write_bytes(ledger)

    ran = folder.buy(server)
    film = folder("film", "jobs.yaml")

    assert (ran.code, ran.counts()) == (0, {"done": 2})
    assert "2 clips were delivered into another copy of this folder: copy the files into its videos/" in ran.err
    assert film.code == 1
    assert "waits for 1 clip: job-1 (delivered elsewhere, and not here); copy the files into videos/" in film.out
    page = (out / "report.html").read_text()
    assert "Copy its video to videos/job-1.mp4" in page
    assert "vidu-run run jobs.yaml --rebuy --only job-1" in page
