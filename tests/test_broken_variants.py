"""The tests would notice: each row breaks the promise in a copy of the program, and the named tests fail there.

A row whose text is not found exactly once fails: the table has to move with the code.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COPIED = ("vidu_run", "schemas", "tests", "pyproject.toml")
TRACED = "tests/test_trace.py::"


@dataclass(frozen=True)
class Change:
    """In `file`, a path inside the package, the text `found` is replaced by `written`."""

    file: str
    found: str
    written: str


@dataclass(frozen=True)
class Broken:
    """`tests` are the ids that fail under the changes; `saying` stands in what pytest shows of each failure, so that
    they fail because of what they promise."""

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]
    saying: str


@dataclass(frozen=True)
class Verdict:
    code: int
    shown: str

    @property
    def failed(self) -> set[str]:
        return set(re.findall(r"^FAILED (\S+)", self.shown, re.MULTILINE))


BROKEN = (
    Broken(
        "no intent is written",
        (
            Change(
                "generate.py",
                "        intent = asyncio.create_task(desk.journal.intent(job, marker, desk.limits))\n"
                "        await asyncio.shield(intent)\n",
                "",
            ),
        ),
        ("tests/test_spend_once.py::test_a_kill_between_the_post_and_its_answer_leaves_the_job_in_doubt",),
        '["state"] == "submitted"',
    ),
    Broken(
        "the POST does not wait for its intent",
        (Change("generate.py", "        await asyncio.shield(intent)\n", ""),),
        ("tests/test_spend_once.py::test_no_byte_of_a_post_leaves_before_its_intent_is_committed",),
        'assert reached[0] == ("headers", [State.INTENT])',
    ),
    Broken(
        "a 5xx is taken for not sent",
        (
            Change(
                "outcome.py",
                "    if status == 429:\n",
                "    if status >= 500:\n        return NotSent(why)\n    if status == 429:\n",
            ),
        ),
        (
            "tests/test_spend_once.py::test_an_accepted_post_without_its_answer_is_held_and_never_sent_again"
            "[500-accepted]",
        ),
        "assert held.code == 4",
    ),
    Broken(
        "a 5xx is taken for throttled",
        (Change("outcome.py", "    if status == 429:\n", "    if status == 429 or status >= 500:\n"),),
        (
            "tests/test_spend_once.py::test_an_accepted_post_without_its_answer_is_held_and_never_sent_again"
            "[500-accepted]",
        ),
        "assert held.code == 4",
    ),
    Broken(
        "a timeout after the body is taken for not sent",
        (
            Change(
                "outcome.py",
                "        return (InDoubt if evidence.whole else NotSent)(",
                "        return (NotSent if 'in time' in str(evidence.error) else InDoubt)(",
            ),
        ),
        (
            "tests/test_spend_once.py::test_an_accepted_post_without_its_answer_is_held_and_never_sent_again"
            "[hang-accepted]",
        ),
        "assert held.code == 4",
    ),
    Broken(
        "a redirect of a POST is followed",
        (
            Change(
                "api/client.py",
                "                        allow_redirects=False,\n                    ) as response:\n",
                "                        allow_redirects=True,\n                    ) as response:\n",
            ),
        ),
        ("tests/test_spend_once.py::test_a_redirect_to_another_host_does_not_even_connect_to_it",),
        "assert other.connections == 0",
    ),
    Broken(
        "a redirect of a POST is followed on the first permission",
        (
            Change(
                "api/client.py",
                "                        allow_redirects=False,\n                    ) as response:\n",
                "                        allow_redirects=True,\n                    ) as response:\n",
            ),
            Change("api/body.py", "            await self._ask()\n", "            self.whole or await self._ask()\n"),
        ),
        ("tests/test_spend_once.py::test_a_redirect_of_an_accepted_post_is_not_followed",),
        "assert server.double_spent() == []",
    ),
    Broken(
        "what the list does not show is sent again",
        (
            Change(
                "recover.py",
                "        return len(self.sought) - len(self.left)\n",
                "        for key in self.left:\n"
                "            if (record := self.journal.record(key)) and record.state == 'in_doubt':\n"
                "                await self.journal.decide(record, type(record.state).NOT_SENT, {})\n"
                "        return len(self.sought) - len(self.left)\n",
            ),
        ),
        ("tests/test_recover.py::test_what_is_not_found_is_held_and_never_sent_again",),
        "assert buy(folder, server).code == 4",
    ),
    Broken(
        "a task whose row has an empty payload is passed over",
        (Change("recover.py", "if not row.payload]", "if row.payload is None]"),),
        ("tests/test_recover.py::test_a_row_whose_payload_is_empty_is_read_as_one_without",),
        "AssertionError",
    ),
    Broken(
        "a glob gives up what is paid for",
        (
            Change("word.py", "(sheet.name for sheet, _ in doubted))", "(sheet.name for sheet, _ in pairs))"),
            Change("word.py", "fitting or [pair for pair in doubted if", "fitting or [pair for pair in pairs if"),
        ),
        ("tests/test_spend_once.py::test_a_glob_gives_up_what_is_in_doubt_and_nothing_that_is_paid_for",),
        "AssertionError",
    ),
    Broken(
        "a state that lacks a job does not look for it",
        (Change("recover.py", "for job in jobs if job.key not in known],", "for job in jobs if not journal],"),),
        ("tests/test_recover.py::test_a_restored_older_folder_finds_what_was_bought_since",),
        "assert len(server.accepted) == 3",
    ),
    Broken(
        "an interrupted intent is taken for not sent",
        (Change("journal/sqlite.py", "SET state = 'in_doubt', error", "SET state = 'not_sent', error"),),
        ("tests/test_spend_once.py::test_a_kill_between_the_post_and_its_answer_leaves_the_job_in_doubt",),
        "assert folder.buy(server).code == 4",
    ),
    Broken(
        "two live attempts of a key are possible",
        (Change("journal/schema.sql", "CREATE UNIQUE INDEX one_live", "CREATE INDEX one_live"),),
        ("tests/test_journal.py::test_a_key_has_one_live_attempt",),
        "DID NOT RAISE",
    ),
    Broken(
        "a live attempt is taken for a permission",
        (
            Change(
                "journal/intent.py",
                '        raise AlreadyLive(f"{job.name} already',
                "        return Record(job.key, 0, State.INTENT, marker, now)\n"
                '        raise AlreadyLive(f"{job.name} already',
            ),
        ),
        ("tests/test_journal.py::test_a_key_has_one_live_attempt",),
        "DID NOT RAISE",
    ),
    Broken(
        "a run may buy a key twice",
        (Change("journal/intent.py", "      AND NOT EXISTS ({BOUGHT})\n", ""),),
        ("tests/test_journal.py::test_what_ended_badly_is_bought_again_by_another_run_alone[outcome0]",),
        "DID NOT RAISE",
    ),
    Broken(
        "an intent does not ask for its epoch",
        (
            Change(
                "journal/intent.py",
                "    WHERE :epoch = (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'epoch')\n      AND :slots",
                "    WHERE :slots",
            ),
        ),
        ("tests/test_journal.py::test_a_later_run_fences_the_intents_of_an_earlier_one_but_not_its_outcomes",),
        "DID NOT RAISE",
    ),
    Broken(
        "an intent does not ask for a slot",
        (Change("journal/intent.py", "      AND :slots > ({IN_FLIGHT})\n", ""),),
        (
            "tests/test_journal.py::test_slots_are_counted_over_intents_tasks_and_doubts_and_off_peak_apart",
            "tests/test_journal.py::test_a_doubt_gives_its_slot_back_after_the_deadline",
        ),
        "DID NOT RAISE",
    ),
    Broken(
        "a doubt takes no slot",
        (
            Change(
                "journal/intent.py",
                "AND state IN ('intent', 'in_doubt', 'submitted')",
                "AND state IN ('intent', 'submitted')",
            ),
        ),
        (
            "tests/test_journal.py::test_slots_are_counted_over_intents_tasks_and_doubts_and_off_peak_apart",
            "tests/test_journal.py::test_a_doubt_gives_its_slot_back_after_the_deadline",
        ),
        "DID NOT RAISE",
    ),
    Broken(
        "a frame that changed gets its closing bytes",
        (Change("api/body.py", "        if digest.hexdigest() != frame.sha256:\n", "        if not digest:\n"),),
        ("tests/test_body.py::test_a_stored_frame_that_was_damaged_never_makes_a_whole_request",),
        "assert isinstance(body.refusal, FrameChanged)",
    ),
    Broken(
        "a body counts as whole only after its closing bytes",
        (
            Change(
                "api/body.py",
                "        self.whole = True\n        await self._send(writer, CLOSING)\n",
                "        await self._send(writer, CLOSING)\n        self.whole = True\n",
            ),
        ),
        ("tests/test_body.py::test_a_connection_that_breaks_on_the_closing_bytes_may_have_carried_a_whole_request",),
        "assert body.whole",
    ),
    Broken(
        "a failed commit does not stop the journal",
        (
            Change(
                "journal/writer.py",
                "        if self._poison is not None:\n            raise",
                "        if 0:\n            raise",
            ),
            Change("journal/writer.py", "        if db is None or self._poison is not None:", "        if db is None:"),
            Change(
                "journal/writer.py",
                "            self._fail(batch, error)\n            return\n        _answer(",
                "            db.rollback()\n            self._fail(batch, error)\n            return\n        _answer(",
            ),
        ),
        ("tests/test_journal.py::test_the_first_failed_commit_poisons_the_journal",),
        "DID NOT RAISE",
    ),
    Broken(
        "a video gets its name unverified",
        (
            Change("api/download.py", "            walk.feed(chunk)\n", ""),
            Change("api/download.py", "    walk.fed()\n", ""),
        ),
        ("tests/test_spend_once.py::test_a_bad_download_never_gets_the_final_name[garbage]",),
        "assert left.code == 3",
    ),
    Broken(
        "a video has its name while it is downloaded",
        (Change("carry.py", '    part = desk.out / f"{file}.part"\n', "    part = desk.out / file\n"),),
        ("tests/test_storage.py::test_a_kill_in_the_middle_of_a_download_leaves_no_file_under_the_video_s_name",),
        'assert not (videos / "job-1.mp4").exists()',
    ),
    Broken(
        "a commit is not synced",
        (
            Change("journal/file.py", "PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL"),
            Change("journal/file.py", ".fetchone() != (2,)", ".fetchone() != (1,)"),
        ),
        (TRACED + "test_every_marker_is_synced_before_the_first_byte_of_its_post",),
        "assert",
    ),
    Broken(
        "a video gets its name unsynced",
        (Change("shelf.py", "        sync(part)\n", ""),),
        (TRACED + "test_a_video_is_synced_before_it_gets_its_name_and_the_name_before_it_is_recorded",),
        "assert",
    ),
)


def a_copy(folder: Path) -> Path:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


def changed(copy: Path, change: Change) -> None:
    path = copy / "vidu_run" / change.file
    text = path.read_text(encoding="utf-8")
    assert text.count(change.found) == 1, f"{change.file}: this text is no longer there once:\n{change.found}"
    text = text.replace(change.found, change.written)
    if path.suffix == ".py":
        compile(text, str(path), "exec")
    path.write_text(text, encoding="utf-8")


def tried(copy: Path, tests: tuple[str, ...], patience: float = 110) -> Verdict:
    """The tests, run by a pytest of their own on the copy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", "no:xdist", *tests],
        cwd=copy,
        env={**kept, "PYTHONPATH": str(copy)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience,
    )
    return Verdict(done.returncode, done.stdout + done.stderr)


@pytest.mark.timeout(600)
def test_a_copy_of_the_program_as_it_is_passes_such_tests(tmp_path: Path) -> None:
    """One of each file: all of them run in this suite anyway."""
    named = {test.split("::")[0]: test for broken in BROKEN for test in broken.tests}
    verdict = tried(a_copy(tmp_path), tuple(named.values()), patience=590)
    assert verdict.code == 0, verdict.shown


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name.replace(" ", "-"))
def test_a_broken_promise_is_noticed(tmp_path: Path, broken: Broken) -> None:
    if broken.tests[0].startswith(TRACED) and shutil.which("strace") is None:
        pytest.skip("what reaches the disk is seen with strace alone")
    copy = a_copy(tmp_path)
    for change in broken.changes:
        changed(copy, change)
    verdict = tried(copy, broken.tests)
    assert verdict.code == 1, verdict.shown
    assert verdict.failed == set(broken.tests), verdict.shown
    assert verdict.shown.count(broken.saying) >= len(broken.tests), verdict.shown
