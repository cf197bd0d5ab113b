"""What went wrong is told once for each cause and each input that explains it."""

from __future__ import annotations

from typing import Any

from conftest import Folder
from fault_server import FaultServer
from test_page import data_of

from vidu_run.job import Key
from vidu_run.journal.port import Sheet
from vidu_run.record import Record, State
from vidu_run.report.failures import MOST_GROUPS, failures

POLICY = "CreationPolicyViolation: the picture was not accepted"


def told(*jobs: tuple[str, str, str]) -> list[tuple[str, list[int], list[str]]]:
    """Jobs as (first frame, prompt, how it ended), `done` or the words of a failure."""
    sheets, records = [], {}
    for number, (first, prompt, ending) in enumerate(jobs):
        key = Key(f"{number:064}")
        request: dict[str, Any] = {"model": "viduq2-turbo", "prompt": prompt}
        sheets.append(Sheet(f"s{number}", key, number, {}, request, ((first, "x.png"), ("end.png", "y.png")), 8))
        state = State.DONE if ending == "done" else State.FAILED
        records[key] = Record(key, number, state, "m", 0.0, error=None if ending == "done" else ending)
    return [(group.cause, list(group.jobs), list(group.shared)) for group in failures(sheets, records)]


def test_one_cause_is_one_entry_whatever_ids_and_numbers_its_words_hold() -> None:
    jobs = [("a.png", "boat", "done"), ("a.png", "boat", "task 123 of 9f8e7d6c5b4a: late"), ("a.png", "boat", "done")]
    jobs.append(("a.png", "boat", "task 124 of 0123456789ab: late"))
    assert told(*jobs) == [("task 123 of 9f8e7d6c5b4a: late", [1, 3], [])]


def test_the_input_that_never_worked_is_named_and_one_that_worked_elsewhere_is_not() -> None:
    jobs = [(frame, prompt, POLICY if frame == "b.png" else "done") for frame in ("a.png", "b.png") for prompt in "xy"]
    assert told(*jobs) == [(POLICY, [2, 3], ["the first frame b.png"])]


def test_refusals_that_differ_by_their_trace_alone_are_one_entry() -> None:
    refusals = [f"SystemError: later (trace {trace})" for trace in ("qWeRtYuIoP", "8fZkLm3xQv", "r-7_uT")]
    assert told(*(("a.png", "boat", refusal) for refusal in refusals), ("a.png", "boat", "done")) == [
        (refusals[0], [0, 1, 2], [])
    ]


def test_prompts_that_begin_alike_are_different_inputs() -> None:
    style = "Shot on 35 mm film, slow push in, soft light from the left, shallow depth of field: "
    jobs = [("a.png", f"{style}a boat", "done"), *[("a.png", f"{style}a fight", POLICY)] * 2]
    ((_, where, shared),) = told(*jobs)
    assert (where, len(shared)) == ([1, 2], 1)
    assert shared[0].startswith("the prompt 'Shot on 35 mm")
    assert shared[0].endswith("a fight'")


def test_two_inputs_with_one_cause_are_two_entries_and_what_nothing_explains_a_third() -> None:
    jobs = [("b.png", "x", POLICY), ("b.png", "y", POLICY), ("b.png", "z", POLICY)]
    jobs += [("c.png", "x", POLICY), ("c.png", "y", POLICY), ("a.png", "x", POLICY), ("a.png", "y", "done")]
    jobs += [("a.png", "x", "done"), ("a.png", "z", "done")]
    assert told(*jobs) == [
        (POLICY, [0, 1, 2], ["the first frame b.png"]),
        (POLICY, [3, 4], ["the first frame c.png"]),
        (POLICY, [5], []),
    ]


def test_where_all_failed_every_input_they_share_is_named() -> None:
    ((_, jobs, shared),) = told(("a.png", "boat", POLICY), ("a.png", "boat", POLICY))
    assert jobs == [0, 1]
    assert shared == [
        "the first frame a.png",
        "the last frame end.png",
        "the model viduq2-turbo",
        "the prompt 'boat'",
    ]


def test_however_many_causes_there_are_the_page_keeps_room_for_clips() -> None:
    causes = ["".join(chr(97 + int(digit)) for digit in str(number)) for number in range(500)]
    assert len(told(*[("a.png", "boat", cause) for cause in causes])) == MOST_GROUPS


def test_the_page_of_a_real_run_tells_what_to_do(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3, prompt="this one fails")
    assert folder.buy(server).code == 1
    (failure,) = data_of((folder.path / "out/jobs/report.html").read_text("utf-8"))["failures"]
    assert (failure["state"], failure["jobs"]) == ("failed", [0, 1, 2])
    assert failure["advice"].endswith("vidu-run run jobs.yaml --retry-failed")


def test_the_page_warns_of_links_that_expire_and_of_seeds_that_were_not_used(
    folder: Folder, server: FaultServer
) -> None:
    spec = folder.sweep(2)
    spec.write_text(spec.read_text().replace("octopusx", "vidu"))
    server.download_faults = ["html"] * 40
    assert folder.buy(server).code == 3
    page = (folder.path / "out/jobs/report.html").read_text("utf-8")
    assert "2 finished clips are not here yet; their links expire 24 h after the end, the first on " in page
    assert ": vidu-run fetch jobs.yaml</li>" in page
    assert "The API used another seed than the one asked for in 2 jobs." in page
    assert "viduq2-pro-fast" not in page
