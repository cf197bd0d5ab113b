"""Where the provider lists its tasks, a lost answer is found by its marker; what is not found is still held."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest
from conftest import Folder, Result
from fault_server import FaultServer, Posted, Script, envelope, http, says
from test_network import patience


def buy(folder: Folder, server: FaultServer, *words: str) -> Result:
    return folder.buy(server, "--provider", "vidu", *words)


def stranger(number: int, **fields: object) -> Posted:
    """A task of somebody else in the same account."""
    body = {"model": "viduq2-turbo", "duration": 1, "resolution": "540p", "prompt": "another", "payload": "x"}
    return Posted({**body, **fields}, {}, time.time(), f"other-{number}")


@pytest.mark.parametrize("fault", ["lost-reply", "reset-after", "500-accepted", "html-accepted", "cut-reply"])
def test_an_answer_lost_in_this_run_is_found_and_its_video_fetched(
    folder: Folder, server: FaultServer, fault: str
) -> None:
    folder.sweep(2)
    server.faults = [fault]
    done = buy(folder, server)
    assert done.code == 0, done.err
    assert "found at the API" in done.err
    assert len(server.accepted) == 2


def test_a_job_in_doubt_is_found_by_the_next_run_before_anything_is_sent(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    server.faults = ["lost-reply"]
    server.list_lag = 2.0
    assert buy(folder, server, "--limit", "1").code == 4
    server.list_lag = 0.0
    assert buy(folder, server).code == 0
    assert len(server.accepted) == 2
    lists = [number for number, path in enumerate(server.requests) if path.startswith("/ent/v2/tasks?")]
    posts = [number for number, path in enumerate(server.requests) if path.endswith("start-end2video")]
    assert lists[-1] < posts[-1]


def test_a_list_that_lags_is_asked_again_until_it_has_settled(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    patience(folder, settle=5)
    server.faults = ["lost-reply"]
    server.list_lag = 1.0
    assert buy(folder, server).code == 0
    assert server.lists > 2


def test_what_is_not_found_is_held_and_never_sent_again(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.faults = ["500-refused"]
    assert buy(folder, server).code == 4
    assert buy(folder, server).code == 4
    assert len(server.ledger) == 1


@pytest.mark.parametrize("spelling", ["paper", "pager", "neither"])
def test_both_spellings_of_the_paging_are_understood_and_a_server_that_knows_neither_ends_it(
    folder: Folder, server: FaultServer, spelling: str
) -> None:
    folder.sweep(1)
    server.spelling = spelling
    server.ledger += [stranger(number) for number in range(30)]
    server.faults = ["lost-reply"]
    assert buy(folder, server).code == (4 if spelling == "neither" else 0)
    assert len([posted for posted in server.accepted if posted.headers]) == 1


def test_only_rows_that_could_be_ours_are_read(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.ledger += [stranger(1), stranger(2, model="viduq1"), stranger(3, prompt="a harbour", payload="theirs")]
    server.faults = ["lost-reply"]
    assert buy(folder, server).code == 0
    read = {path.split("/")[-2] for path in server.requests if path.endswith("/creations")}
    assert "other-3" in read
    assert not read & {"other-1", "other-2"}


def test_a_list_that_fails_sends_nothing_and_ends_with_exit_3(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    server.faults = ["lost-reply"]
    server.list_lag = 9.0
    assert buy(folder, server, "--limit", "1").code == 4
    server.list_faults = ["500"]
    stopped = buy(folder, server)
    assert stopped.code == 3
    assert "list of tasks could not be read" in stopped.err
    assert len(server.ledger) == 1


def test_a_deleted_state_finds_its_tasks_by_the_key_and_buys_nothing(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3)
    assert buy(folder, server).code == 0
    shutil.rmtree(folder.path / "out")
    again = buy(folder, server)
    assert again.code == 0, again.err
    assert again.counts() == {"done": 3}
    assert len(server.accepted) == 3


def test_a_prompt_that_the_service_has_written_itself_keeps_no_task_from_being_found(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1, is_rec=True)
    assert buy(folder, server).code == 0
    server.ledger[0].body["prompt"] = "a prompt of the service's own"
    shutil.rmtree(folder.path / "out")
    assert buy(folder, server).counts() == {"done": 1}
    assert len(server.accepted) == 1


def test_blanks_that_the_service_set_anew_in_a_prompt_keep_no_task_from_being_found(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1, prompt="a boat\n  turning")
    assert buy(folder, server).code == 0
    server.ledger[0].body["prompt"] = "a boat turning"
    shutil.rmtree(folder.path / "out")
    assert buy(folder, server).counts() == {"done": 1}
    assert len(server.accepted) == 1


def from_list(server: FaultServer, answer: Callable[[str], Script | None]) -> None:
    """What the list answers that nobody asks for certain tasks."""
    server.look = lambda path: answer(path) if path.startswith("/ent/v2/tasks?") and "task_ids" not in path else None


def test_a_row_whose_payload_is_empty_is_read_as_one_without(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    assert buy(folder, server).code == 0
    shutil.rmtree(folder.path / "out")
    row = {"id": "t-1", "state": "success", "model": "viduq2-turbo", "payload": ""}
    from_list(server, lambda path: says(http(json.dumps({"tasks": [row]}))))
    assert buy(folder, server).counts() == {"done": 1}
    assert len(server.accepted) == 1


@pytest.mark.parametrize("refuses", [False, True])
def test_a_lost_state_looks_back_further_than_the_list_does_by_itself_where_the_api_lets_it(
    refuses: bool, folder: Folder, server: FaultServer
) -> None:
    """Without a beginning the list shows the last seven days."""
    folder.sweep(1)
    assert buy(folder, server).code == 0
    shutil.rmtree(folder.path / "out")
    server.ledger[0].at -= (3 if refuses else 20) * 86400
    refused = says(http(envelope(400, "FieldInvalid", "a window of seven days at most"), "400 Bad Request"))
    nothing = says(http('{"tasks": []}'))
    if refuses:
        from_list(server, lambda path: refused if "created_at.from" in path else None)
    else:
        from_list(server, lambda path: None if "created_at.from" in path else nothing)
    again = buy(folder, server)
    assert again.counts() == {"done": 1}
    assert len(server.accepted) == 1
    assert ("seven days at most" in again.err) is refuses


def test_a_list_of_more_than_ten_thousand_tasks_is_read_to_its_end(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    assert buy(folder, server).code == 0
    shutil.rmtree(folder.path / "out")
    server.ledger[:0] = [stranger(number) for number in range(10_000)]
    again = buy(folder, server)
    assert again.counts() == {"done": 1}
    assert len(server.accepted) == 10_001
    assert "and no further back (it goes on behind 10,000 tasks)" in again.err


def test_a_list_without_an_end_sends_nothing(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    pages = count()

    def page(path: str) -> Script:
        return says(http(json.dumps({"tasks": [{"id": f"other-{next(pages)}", "state": "success", "model": "q"}]})))

    from_list(server, page)
    stopped = buy(folder, server)
    assert stopped.code == 3
    assert "it goes on behind 1,000 tasks); run again. Nothing was sent." in stopped.err
    assert not server.ledger


@pytest.mark.parametrize("lost", ["answer", "state"])
def test_a_task_that_is_on_the_list_before_it_can_be_read_is_asked_about_again(
    lost: str, folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1)
    patience(folder, settle=5)
    missing = says(http(envelope(404, "TaskNotFound", "no such task"), "404 Not Found"))
    if lost == "state":
        assert buy(folder, server).code == 0
        shutil.rmtree(folder.path / "out")
    else:
        server.faults = ["lost-reply"]
    until = time.time() + 2
    server.look = lambda path: missing if path.endswith("creations") and time.time() < until else None
    assert buy(folder, server).counts() == {"done": 1}
    assert len(server.accepted) == 1


def test_a_task_of_an_attempt_that_was_given_up_for_another_ends_no_run_and_can_be_taken(
    folder: Folder, server: FaultServer
) -> None:
    """The first answer was lost, the user had the job sent again, and that answer was lost too."""
    folder.sweep(2)
    server.faults = ["lost-reply"]
    server.list_lag = 60.0
    assert buy(folder, server, "--limit", "1").code == 4
    assert folder("resolve", "jobs.yaml", "--provider", "vidu", "job-1", "--resubmit").code == 0
    server.faults = ["lost-reply"]

    def show_the_first(point: str) -> None:
        if point == "accepted" and len(server.ledger) == 2:
            server.ledger[0].at -= 30
            server.list_lag = 25.0

    server.at = show_the_first
    left = buy(folder, server)
    assert (left.code, left.counts()) == (4, {"in_doubt": 1, "done": 1}), left.err
    assert "Nothing was sent" not in left.err
    assert "`vidu-run resolve jobs.yaml --provider vidu --task t-1 job-1` takes it" in left.err
    assert (folder.path / "out/jobs@vidu/report.html").exists()
    assert folder("resolve", "jobs.yaml", "--provider", "vidu", "job-1", "--task", "t-1").code == 0
    assert buy(folder, server).counts() == {"done": 2}
    assert len(server.ledger) == 3


def test_a_list_that_fails_after_a_submission_does_not_say_that_nothing_was_sent(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1)
    server.faults = ["lost-reply"]
    server.list_faults = ["ok", *["500"] * 9]
    left = buy(folder, server)
    assert left.code == 4
    assert "list of tasks could not be read" in left.err
    assert "Nothing was sent" not in left.err


def test_ctrl_c_during_the_search_asks_for_no_money(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)

    async def silence(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    server.look = lambda path: silence
    running = folder.start("run", "jobs.yaml", "--provider", "vidu", "--base-url", server.base_url)
    server.wait_until(lambda: server.requests)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=20)
    assert (running.returncode, "give --yes" in told) == (130, False)


def test_a_restored_older_folder_finds_what_was_bought_since(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3)
    buy(folder, server, "--limit", "1")
    out = folder.path / "out/jobs@vidu"
    shutil.copytree(out, folder.path / "backup")
    assert buy(folder, server).code == 0
    shutil.rmtree(out)
    (folder.path / "backup").rename(out)
    again = buy(folder, server)
    assert again.code == 0
    assert again.counts() == {"done": 3}
    assert len(server.accepted) == 3


def test_a_run_with_nothing_to_buy_asks_for_no_list(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    buy(folder, server)
    lists = server.lists
    assert lists >= 1
    assert buy(folder, server).code == 0
    assert server.lists == lists


def test_a_second_purchase_of_the_same_job_is_adopted_once_and_told(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.faults = ["lost-reply"]
    server.list_lag = 9.0
    buy(folder, server)
    first = server.ledger[0]
    server.list_lag = 0.0
    server.ledger.append(Posted(dict(first.body), {}, first.at, "twin"))
    found = buy(folder, server)
    assert found.code == 0
    assert "second purchase" in found.err


def test_a_gateway_that_cannot_list_is_not_asked(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.faults = ["lost-reply"]
    assert folder.buy(server).code == 4
    assert server.lists == 0


def test_a_job_that_was_out_of_the_spec_while_the_state_was_lost_is_found_when_it_comes_back(
    folder: Folder, server: FaultServer
) -> None:
    spec = folder.sweep(2)
    whole = spec.read_text()
    assert buy(folder, server).code == 0
    server.ledger[:] = [replace(posted, at=posted.at - 3600) for posted in server.ledger]
    shutil.rmtree(folder.path / "out")
    spec.write_text(whole.replace("[1, 2]", "[1, 1]"))
    assert buy(folder, server).code == 0
    spec.write_text(whole)
    assert buy(folder, server).code == 0
    assert len(server.accepted) == 2


WITH_REQUESTS = """
    CREATE TABLE longer (key TEXT PRIMARY KEY, name TEXT NOT NULL, position INTEGER, axes TEXT NOT NULL,
      request TEXT NOT NULL, images TEXT NOT NULL, credits INTEGER, searched_at REAL, draft TEXT) WITHOUT ROWID;
    INSERT INTO longer SELECT key, name, position, axes,
      CASE WHEN seed IS NULL THEN request ELSE json_replace(request, '$.seed', seed) END, images, credits, searched_at,
      draft FROM jobs JOIN forms ON forms.id = form;
    DROP TABLE jobs;
    ALTER TABLE longer RENAME TO jobs;
    DROP TABLE forms;
    ALTER TABLE attempts ADD COLUMN url TEXT;
    UPDATE attempts SET url = (SELECT url FROM links WHERE attempt = id);
    DROP TABLE links;
    ALTER TABLE attempts DROP COLUMN resumed;
    PRAGMA user_version = 3;
"""
EARLIER = {
    1: WITH_REQUESTS
    + "ALTER TABLE jobs DROP COLUMN draft; ALTER TABLE jobs DROP COLUMN searched_at; PRAGMA user_version = 1;",
    2: WITH_REQUESTS + "ALTER TABLE jobs DROP COLUMN draft; PRAGMA user_version = 2;",
    3: WITH_REQUESTS,
    4: "ALTER TABLE attempts DROP COLUMN resumed; PRAGMA user_version = 4;",
}


@pytest.mark.parametrize("version", EARLIER)
def test_a_state_of_an_earlier_format_is_read_and_brought_up_to_date(
    version: int, folder: Folder, server: FaultServer
) -> None:
    folder.sweep(2)
    buy(folder, server, "--limit", "1")
    state = folder.path / "out/jobs@vidu/state.db"
    db = sqlite3.connect(state)
    db.executescript(EARLIER[version])
    db.close()
    assert folder("status", "jobs.yaml", "--provider", "vidu", "--json").counts() == {"done": 1, "planned": 1}
    assert buy(folder, server).counts() == {"done": 2}
    assert len(server.accepted) == 2
    db = sqlite3.connect(state)
    assert db.execute("PRAGMA user_version").fetchone() == (5,)
    assert db.execute("SELECT count(*), count(DISTINCT form) FROM jobs").fetchone() == (2, 1)
    assert db.execute("SELECT count(*) FROM jobs WHERE draft IS NULL").fetchone() == (2,)
    db.close()


def test_a_damaged_state_of_an_earlier_format_is_left_as_it_is(folder: Folder, server: FaultServer) -> None:
    folder.sweep(40)
    buy(folder, server, "--limit", "1")
    state = folder.path / "out/jobs@vidu/state.db"
    db = sqlite3.connect(state)
    db.executescript(WITH_REQUESTS)
    keys = sorted(key for (key,) in db.execute("SELECT key FROM jobs"))
    db.close()
    content = state.read_bytes()
    swapped = ("f" if keys[5][0] != "f" else "0") + keys[5][1:]
    assert content.count(keys[5].encode()) == 1
    state.write_bytes(content.replace(keys[5].encode(), swapped.encode()))
    damaged = state.read_bytes()
    refused = buy(folder, server)
    assert (refused.code, "damaged" in refused.err) == (7, True), refused.err
    assert state.read_bytes() == damaged
    assert len(server.accepted) == 1


def test_a_list_that_is_asked_for_too_often_is_asked_for_again(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    server.list_faults = ["429", "429"]
    assert buy(folder, server).counts() == {"done": 2}
    shutil.rmtree(folder.path / "out")
    server.list_faults = ["429"] * 9
    stopped = buy(folder, server)
    assert stopped.code == 3
    assert "429" in stopped.err
    assert len(server.ledger) == 2
