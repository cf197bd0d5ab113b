"""The page of a real rehearsal, from the run to the next spec and back; and what a screen reader makes of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import PLAYED_A_WHILE, TIMES, visited
from conftest import Folder
from playwright.sync_api import Browser, Page, expect
from test_page import a_document, a_job

from vidu_run.picks import read_picks
from vidu_run.report.page import write_page

pytestmark = pytest.mark.browser

SPEC = """\
version: 1
provider: octopusx
timing: {poll_min: 0.05, poll_max: 0.2}
defaults: {model: viduq2-turbo, duration: 1, resolution: 540p}
jobs:
  - name: "{{ pair.name }}-s{{ seed }}"
    matrix:
      pair:
        - {name: harbour, first: frames/a.png, last: frames/b.png}
        - {name: "<img src=x onerror=alert(1)>"}
      seed: [1, 2]
    exclude: [{pair: {name: "<img src=x onerror=alert(1)>"}}]
    request:
      images: ["{{ pair.first }}", "{{ pair.last }}"]
      prompt: "{{ pair.name }} <script>alert(2)</script> #1: slowly"
      seed: "{{ seed }}"
  - name: 'odd #1 100% ø'
    request: {images: [frames/b.png, frames/a.png], prompt: "</script><script>alert(3)</script>", seed: 7}
"""


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Folder(tmp_path_factory.mktemp("sweep") / "Été #1 (100%)")
    made.frame("a.png", "teal", (320, 180))
    made.frame("b.png", "orange", (320, 180))
    made.write(SPEC)
    done = made("jobs.yaml", "--provider", "local", "--json")
    assert done.counts() == {"done": 3}, done.err
    return made.path


@pytest.fixture
def sweep(rehearsal: Path, tmp_path: Path) -> Folder:
    """A copy of the rehearsal: an output folder can be carried away."""
    shutil.copytree(rehearsal, tmp_path / "moved ø" / rehearsal.name)
    moved = object.__new__(Folder)
    moved.path = tmp_path / "moved ø" / rehearsal.name
    return moved


def page_of(folder: Folder, spec: str = "jobs") -> Path:
    return folder.path / "out" / f"{spec}.local" / "report.html"


def save_picks(page: Page, target: Path) -> None:
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Picks…").press("Enter")
    with page.expect_download() as started:
        page.get_by_role("button", name="Download").press("Enter")
    assert started.value.suggested_filename == target.name
    started.value.save_as(target)


def test_from_a_rehearsal_to_picks_to_the_final_beside_its_draft_with_keys_alone(
    chromium: Browser, sweep: Folder
) -> None:
    with visited(chromium, page_of(sweep)) as seen:
        page = seen.page
        expect(page.get_by_text("Rehearsal:")).to_be_visible()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("4")
        page.keyboard.press("p")
        expect(page.locator("video")).to_have_count(2)
        page.locator("video").last.evaluate(PLAYED_A_WHILE)
        times = page.evaluate(TIMES)
        assert max(times) - min(times) < 0.35
        page.keyboard.press("ArrowRight")
        page.keyboard.press("x")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="odd #1 100% ø")).to_be_visible()
        page.locator("dialog video").evaluate(PLAYED_A_WHILE)
        page.keyboard.press("5")
        page.keyboard.press("n")
        page.keyboard.type("the light: late #1")
        page.keyboard.press("Escape")
        save_picks(page, sweep.path / "jobs.picks.yaml")
    assert (seen.complaints, seen.from_elsewhere()) == ([], [])

    picked = {pick.name: (pick.stars, pick.note) for pick in read_picks(sweep.path / "jobs.picks.yaml").values()}
    assert picked == {"harbour-s1": (4, ""), "harbour-s2": (0, ""), "odd #1 100% ø": (5, "the light: late #1")}

    assert sweep("report", "jobs.yaml", "--provider", "local").code == 0
    with visited(chromium, page_of(sweep)) as seen:
        expect(seen.page.locator(".tally")).to_have_text("2 picked, 1 rejected")
        seen.page.get_by_role("button", name="Picks…").click()
        expect(seen.page.get_by_text("All of it stands in jobs.picks.yaml already.")).to_be_visible()
        command = seen.page.locator("dialog.picks .command").inner_text()
    assert command == "vidu-run promote jobs.yaml --provider local --with resolution=1080p"

    promoted = sweep(*command.split()[1:-1], "model=viduq2-pro,resolution=720p")
    assert promoted.code == 0, promoted.err
    final = sweep("jobs.final.yaml", "--provider", "local", "--json")
    assert final.counts() == {"done": 2}, final.err
    with visited(chromium, page_of(sweep, "jobs.final")) as seen:
        page = seen.page
        expect(page.locator(".notes")).to_contain_text("does not give the same video")
        expect(page.locator(".cell")).to_have_count(4)
        page.get_by_role("button", name="Play harbour-s1: 2 clips together").click()
        page.locator("video").first.evaluate(PLAYED_A_WHILE)
        assert page.evaluate("[...document.querySelectorAll('video')].map((video) => video.videoHeight)") == [540, 720]
    assert (seen.complaints, seen.from_elsewhere()) == ([], [])


def test_a_promoted_job_whose_draft_is_gone_stands_alone(chromium: Browser, sweep: Folder) -> None:
    with visited(chromium, page_of(sweep)) as seen:
        seen.page.keyboard.press("ArrowRight")
        seen.page.keyboard.press("5")
        save_picks(seen.page, sweep.path / "jobs.picks.yaml")
    assert sweep("promote", "jobs.yaml", "--provider", "local", "--with", "resolution=720p").code == 0
    shutil.rmtree(sweep.path / "out" / "jobs.local")
    assert sweep("jobs.final.yaml", "--provider", "local").code == 0
    with visited(chromium, page_of(sweep, "jobs.final")) as seen:
        expect(seen.page.locator(".cell")).to_have_count(1)
        expect(seen.page.locator(".cell .label")).to_have_text("harbour-s1")


def test_picks_that_cannot_be_read_are_told_and_leave_the_run_its_page(sweep: Folder) -> None:
    (sweep.path / "jobs.picks.yaml").write_text("picks: 3")
    page_of(sweep).unlink()
    run = sweep("jobs.yaml", "--provider", "local")
    assert (run.code, page_of(sweep).exists()) == (0, True)
    assert "jobs.picks.yaml:1:8: warning: picks must be a list" in run.err
    report = sweep("report", "jobs.yaml", "--provider", "local")
    assert (report.code, report.err) == (2, "jobs.picks.yaml:1:8: picks must be a list, not the number 3\n")


def test_picks_are_found_where_only_the_output_folder_is_named(chromium: Browser, sweep: Folder) -> None:
    with visited(chromium, page_of(sweep)) as seen:
        seen.page.keyboard.press("ArrowRight")
        seen.page.keyboard.press("3")
        save_picks(seen.page, sweep.path / "jobs.picks.yaml")
    (sweep.path / "jobs.yaml").unlink()
    assert sweep("report", "--state", "out/jobs.local").code == 0
    with visited(chromium, page_of(sweep)) as seen:
        expect(seen.page.locator(".tally")).to_have_text("1 picked")


def test_a_renamed_spec_has_the_picks_that_stand_beside_its_present_name(sweep: Folder) -> None:
    (sweep.path / "jobs.yaml").rename(sweep.path / "other.yaml")
    (sweep.path / "other.picks.yaml").write_text("picks: 3")
    out = ("--provider", "local", "--out", "out/jobs.local")
    assert sweep("report", "jobs.yaml", *out).code == 0
    assert "other.picks.yaml:1:8: picks must be a list" in sweep("report", "other.yaml", *out).err


def test_who_forgets_that_it_was_a_rehearsal_is_told_where_it_is(sweep: Folder) -> None:
    said = "out/jobs: nothing has been run here yet; a rehearsal is in out/jobs.local: add --provider local"
    assert said in sweep("status", "jobs.yaml").err


def everything() -> dict[str, Any]:
    """Jobs in every state, with all that asks for attention."""
    states = ("done", "planned", "submitted", "ready", "in_doubt", "failed", "rejected", "abandoned")
    jobs = [
        a_job(
            f"{state}-s{seed}",
            state,
            key=f"{number}{seed}".rjust(64, "0"),
            axes={"pair": state, "seed": str(seed)},
            seed=seed,
            file=f"videos/{state}.mp4" if state == "done" else None,
            hint="Look for it.\nvidu-run resolve jobs.yaml NAME --resubmit" if state == "in_doubt" else None,
            error="CreationPolicyViolation" if state in ("failed", "rejected") else None,
            first={"name": "https://example.org/a.png", "file": None, "picture": None},
            history=[["done", 1_795_300_200, 1_795_300_260, None, None]],
        )
        for number, state in enumerate(states)
        for seed in (1, 2)
    ]
    failure = {"state": "failed", "cause": "CreationPolicyViolation", "shared": ["the first frame a.png"]}
    failures = [{**failure, "jobs": [10, 11], "advice": "Change the frame.\nvidu-run run jobs.yaml --retry-failed"}]
    picks = [[jobs[0]["key"], "done-s1", 4, "light"], [jobs[1]["key"], "done-s2", 0, ""]]
    return a_document(*jobs, failures=failures, picks=picks, notes=["A note."], money="$2.40")


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", 1280), ("dark", 360)])
def test_nothing_on_the_page_keeps_anybody_out(chromium: Browser, tmp_path: Path, scheme: Any, width: int) -> None:
    write_page(everything(), tmp_path / "report.html")
    viewport = {"width": width, "height": 900}
    with visited(chromium, tmp_path / "report.html", color_scheme=scheme, viewport=viewport) as seen:
        page = seen.page

        def check(view: str) -> None:
            found = Axe().run(page).response["violations"]
            told = [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in found]
            assert told == [], view

        page.keyboard.press("ArrowRight")
        check("grid")
        page.keyboard.press("c")
        page.get_by_role("button", name="List", exact=True).click()
        check("list")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        check("closer look")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Picks…").click()
        check("picks")
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        check("keys")
