"""Films on the page, in Chromium: how they play, which take stands for a segment, and the way back to the command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import Visit, visited
from conftest import Folder
from playwright.sync_api import Browser, Locator, Page, expect
from test_page import a_document, a_job, data_of
from test_page_browser import HOSTILE, until

from vidu_run.report.page import render_page, write_page

pytestmark = pytest.mark.browser

SPEC = """version: 1
provider: local
films: [{name: "høst 1", jobs: "*"}]
jobs:
  - name: "{{ shot.name }} #{{ seed }}"
    matrix:
      shot: {chain: "frames/k*.png"}
      seed: [1, 2, 3]
    request:
      model: viduq2-turbo
      duration: 1
      resolution: 540p
      images: ["{{ shot.first }}", "{{ shot.last }}"]
      prompt: "</script><img src=x onerror=alert(1)> {{ shot.name }}"
      seed: "{{ seed }}"
"""
OUT = Path("out/jobs.local")
REACHED = "(video, time) => new Promise((settle) => (video.ontimeupdate = () => video.currentTime > time && settle()))"


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Folder(tmp_path_factory.mktemp("films") / "Été #1 (100%)")
    for number, colour in enumerate(("teal", "navy", "maroon")):
        made.frame(f"k{number}.png", colour, (320, 180))
    made.write(SPEC)
    done = made("jobs.yaml", "--json")
    assert done.counts() == {"done": 6}, done.err
    return made.path


@pytest.fixture
def story(rehearsal: Path, tmp_path: Path) -> Folder:
    """Two segments of three takes, and their film; a copy, so that each test may change it."""
    shutil.copytree(rehearsal, tmp_path / rehearsal.name)
    moved = object.__new__(Folder)
    moved.path = tmp_path / rehearsal.name
    return moved


def page_of(story: Folder) -> Path:
    return story.path / OUT / "report.html"


def film_of(story: Folder) -> dict[str, Any]:
    (film,) = story("status", "jobs.yaml", "--json").document["films"]
    told: dict[str, Any] = film
    return told


def chosen(film: dict[str, Any]) -> list[str]:
    names = {take["key"]: take["name"] for segment in film["segments"] for take in segment["takes"]}
    return [names[segment["chosen"]] for segment in film["segments"]]


def segment(page: Page, number: int) -> Locator:
    return page.get_by_role("tab", name=f"Segment {number}:")


def take(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=f"take: {name}")


def save_picks(page: Page, target: Path) -> None:
    page.get_by_label("Films").get_by_role("button", name="Picks…").press("Enter")
    with page.expect_download() as started:
        page.get_by_role("button", name="Download").press("Enter")
    started.value.save_as(target)
    page.keyboard.press("Escape")


def time_of(page: Page) -> float:
    return float(page.locator(".film video").evaluate("(video) => video.currentTime"))


def test_a_film_plays_from_the_page_across_a_seam_and_the_strip_follows(chromium: Browser, story: Folder) -> None:
    with visited(chromium, page_of(story)) as seen:
        page = seen.page
        expect(page.locator("video")).to_have_count(0)
        page.get_by_role("button", name="Play the film høst 1").click()
        expect(page.locator("video")).to_have_count(1)
        expect(segment(page, 1)).to_have_class("segment now")
        page.locator("video").evaluate(REACHED, 1.3)
        expect(segment(page, 2)).to_have_class("segment now")
        page.keyboard.press("Space")
        until(page, "document.querySelector('video').paused")
        assert page.evaluate("document.querySelector('video').videoHeight") == 540
        page.keyboard.press("Escape")
        expect(page.locator("video")).to_have_count(0)
    assert (seen.complaints, seen.from_elsewhere()) == ([], [])


def test_a_click_on_a_segment_seeks_to_where_it_begins(chromium: Browser, story: Folder) -> None:
    starts = [part["start"] for part in film_of(story)["segments"]]
    assert starts[0] == 0
    assert 0.9 < starts[1] < 1.1
    with visited(chromium, page_of(story)) as seen:
        page = seen.page
        for number in (2, 1):
            segment(page, number).click()
            expect(segment(page, number)).to_have_class("segment now")
            until(page, f"Math.abs(document.querySelector('.film video').currentTime - {starts[number - 1]}) < 0.03")
        segment(page, 1).press("ArrowRight")
        expect(segment(page, 2)).to_be_focused()
        until(page, f"Math.abs(document.querySelector('.film video').currentTime - {starts[1]}) < 0.03")
        assert page.evaluate("document.querySelector('.film video').paused")


def test_a_take_that_was_picked_on_the_page_is_in_the_film_that_the_command_makes(
    chromium: Browser, story: Folder
) -> None:
    assert chosen(film_of(story)) == ["k0-k1 #1", "k1-k2 #1"]
    with visited(chromium, page_of(story)) as seen:
        page = seen.page
        film = page.get_by_label("Films")
        expect(film.locator("summary")).to_contain_text("made")
        expect(film.locator(".command")).to_have_count(0)
        segment(page, 2).click()
        take(page, "k1-k2 #3").click()
        expect(take(page, "k1-k2 #3")).to_have_attribute("aria-pressed", "true")
        expect(segment(page, 2)).to_have_accessible_name("Segment 2: k1-k2 #3, 5 stars")
        expect(film.locator("summary")).to_contain_text("made of other takes")
        expect(film.locator(".stands")).to_contain_text("The film has k1-k2 #1.")
        command = film.locator(".command").inner_text()
        save_picks(page, story.path / "jobs.picks.yaml")

    assert command == "vidu-run film jobs.yaml"
    stale = film_of(story)
    assert (stale["current"], stale["same_cut"], chosen(stale)) == (False, True, ["k0-k1 #1", "k1-k2 #3"])
    assert story(*command.split()[1:]).code == 0
    sidecar = json.loads((story.path / OUT / "films" / "høst 1.json").read_text())
    assert [made["name"] for made in sidecar["takes"]] == ["k0-k1 #1", "k1-k2 #3"]
    assert film_of(story)["current"]
    with visited(chromium, page_of(story)) as seen:
        expect(seen.page.get_by_label("Films").locator("summary .state")).to_have_text("made")
        expect(seen.page.get_by_label("Films").locator(".command")).to_have_count(0)


def test_a_take_is_chosen_with_keys_alone_and_one_undo_takes_it_back(chromium: Browser, story: Folder) -> None:
    with visited(chromium, page_of(story)) as seen:
        page = seen.page
        segment(page, 1).focus()
        page.keyboard.press("Tab")
        expect(page.get_by_label("Takes of segment 1").locator(".open").first).to_be_focused()
        page.keyboard.press("5")
        expect(segment(page, 1)).to_have_accessible_name("Segment 1: k0-k1 #1, 5 stars")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Tab")
        expect(take(page, "k0-k1 #3")).to_be_focused()
        page.keyboard.press("Enter")
        expect(segment(page, 1)).to_have_accessible_name("Segment 1: k0-k1 #3, 5 stars")
        expect(page.get_by_label("Films").get_by_role("group", name="Verdict on k0-k1 #1")).to_have_attribute(
            "data-stars", "4"
        )
        page.keyboard.press("u")
        expect(segment(page, 1)).to_have_accessible_name("Segment 1: k0-k1 #1, 5 stars")
        expect(take(page, "k0-k1 #3")).to_be_focused()
        page.keyboard.press("u")
        expect(segment(page, 1)).to_have_accessible_name("Segment 1: k0-k1 #1, the first of 3")


def test_a_rejection_in_the_grid_gives_the_segment_its_next_take(chromium: Browser, story: Folder) -> None:
    with visited(chromium, page_of(story)) as seen:
        page = seen.page
        page.locator(".sheet").get_by_role("button", name="k0-k1 #1, done").hover()
        page.keyboard.press("x")
        expect(segment(page, 1)).to_have_accessible_name("Segment 1: k0-k1 #2, the first of 3")
        expect(page.get_by_label("Films").locator("summary")).to_contain_text("made of other takes")
        page.get_by_role("button", name="Picks…").first.click()
        page.get_by_role("button", name="Forget my changes").click()
        expect(segment(page, 1)).to_have_accessible_name("Segment 1: k0-k1 #1, the first of 3")


def test_who_looked_at_a_take_from_close_by_is_back_at_it(chromium: Browser, story: Folder) -> None:
    with visited(chromium, page_of(story)) as seen:
        page = seen.page
        opener = page.get_by_label("Takes of segment 1").locator(".open").nth(1)
        opener.click()
        expect(page.get_by_role("dialog").get_by_role("heading", name="k0-k1 #2")).to_be_visible()
        page.keyboard.press("Escape")
        expect(opener).to_be_focused()


def test_a_film_that_waits_says_for_which_clips(chromium: Browser, story: Folder) -> None:
    shutil.rmtree(story.path / OUT)
    assert story("run", "jobs.yaml", "--limit", "1").code == 0
    film = film_of(story)
    assert (film["file"], film["seconds"], film["waits"]) == (None, None, ["k1-k2 #1"])
    assert [one["here"] for one in film["segments"][0]["takes"]] == [True, False, False]
    with visited(chromium, page_of(story)) as seen:
        page = seen.page
        box = page.get_by_label("Films")
        expect(box.locator("summary .state")).to_have_text("waits for 1 clip")
        expect(box.locator(".next-step")).to_have_text("It is made when this clip is there: k1-k2 #1.")
        expect(box.get_by_text("Not made yet")).to_be_visible()
        segment(page, 2).click()
        expect(page.get_by_label("Takes of segment 2").get_by_role("listitem")).to_have_count(3)
        expect(page.locator("video")).to_have_count(0)


def test_a_film_that_is_gone_from_its_folder_is_named(chromium: Browser, story: Folder) -> None:
    (story.path / OUT / "films" / "høst 1.mp4").unlink()
    with visited(chromium, page_of(story)) as seen:
        seen.page.get_by_role("button", name="Play the film høst 1").click()
        expect(seen.page.get_by_text("This video could not be opened: films/høst 1.mp4")).to_be_visible()


def test_a_take_plays_under_the_mouse_and_opens_with_a_click(chromium: Browser, story: Folder) -> None:
    with visited(chromium, page_of(story)) as seen:
        page = seen.page
        opener = page.get_by_label("Takes of segment 1").locator(".open").nth(1)
        opener.hover()
        page.locator(".row-of-takes video").evaluate(REACHED, 0.1)
        opener.click()
        expect(page.get_by_role("dialog").get_by_role("heading", name="k0-k1 #2")).to_be_visible()


def test_keys_on_a_segment_speak_of_its_chosen_take(chromium: Browser, story: Folder) -> None:
    with visited(chromium, page_of(story)) as seen:
        page = seen.page
        segment(page, 1).press("ArrowRight")
        page.keyboard.press("x")
        expect(segment(page, 2)).to_have_accessible_name("Segment 2: k1-k2 #2, the first of 3")
        expect(segment(page, 2)).to_be_focused()
        expect(page.locator(".tally")).to_have_text("1 rejected")


def test_a_film_that_is_folded_stops_and_one_that_is_unfolded_is_built(chromium: Browser, tmp_path: Path) -> None:
    jobs = many(4, 2)
    other = a_film(jobs, 2, "trailer", same_cut=False, current=False)
    with opened(chromium, a_page(tmp_path, jobs, a_film(jobs, 2), other)) as seen:
        page = seen.page
        expect(page.get_by_role("tab")).to_have_count(4)
        expect(page.locator("summary .state")).to_have_text(["made", "made otherwise"])
        page.locator("summary").last.press("Enter")
        expect(page.get_by_role("tab")).to_have_count(8)
        expect(page.locator(".film").last.locator(".next-step")).to_contain_text(
            "Made otherwise than the spec asks for"
        )
        page.locator("summary").first.press("Space")
        expect(page.get_by_label("Segments of harbour")).to_be_hidden()


def a_film(jobs: list[dict[str, Any]], takes: int, name: str = "harbour", **changes: Any) -> dict[str, Any]:
    """A film of jobs, so many to a segment, five seconds each."""
    groups = [jobs[at : at + takes] for at in range(0, len(jobs), takes)]
    segments = [
        {
            "takes": [{"name": job["name"], "key": job["key"], "here": job["state"] == "done"} for job in group],
            "chosen": group[0]["key"],
            "why": f"the first of {takes}",
            "made": group[0]["key"],
            "start": 5.0 * number,
        }
        for number, group in enumerate(groups)
    ]
    told = {"name": name, "file": f"films/{name}.mp4", "seconds": 5.0 * len(groups), "frames": 120 * len(groups)}
    return {**told, "current": True, "same_cut": True, "waits": [], "segments": segments, **changes}


def many(segments: int, takes: int) -> list[dict[str, Any]]:
    return [
        a_job(
            f"p{at}-s{seed}", "done", key=f"{at:032}{seed:032}", axes={"pair": f"p{at}", "seed": str(seed)}, seed=seed
        )
        for at in range(segments)
        for seed in range(takes)
    ]


def a_page(folder: Path, jobs: list[dict[str, Any]], *films: dict[str, Any], **facts: Any) -> Path:
    facts = {"film": "vidu-run film jobs.yaml", **facts}
    write_page(a_document(*jobs, films=list(films), **facts), folder / "report.html")
    return folder / "report.html"


def test_hostile_words_in_a_film_are_text_and_its_link_is_a_file(chromium: Browser, tmp_path: Path) -> None:
    jobs = [a_job(text, "done", key=f"{at:064}", prompt=text, axes={}) for at, text in enumerate(HOSTILE)]
    film = a_film(jobs, 1, name=HOSTILE[2], file="javascript:alert(1)#?.mp4")
    other = a_film(jobs, 5, name=HOSTILE[3], file=None)
    with visited(chromium, a_page(tmp_path, jobs, film, other, axes=[], film=HOSTILE[1])) as seen:
        page = seen.page
        assert page.locator(".film h2").all_text_contents() == [HOSTILE[2], HOSTILE[3]]
        assert page.locator(".segment bdi").all_text_contents() == HOSTILE
        for number, text in enumerate(HOSTILE, 1):
            segment(page, number).click()
            expect(page.locator(".stands").first).to_contain_text(text)
        page.locator("summary").last.click()
        assert page.locator(".film-file a").get_attribute("href") == "./javascript%3Aalert%281%29%23%3F.mp4"
        assert page.locator("img, body script:not([type]):not(:last-of-type)").count() == 0
    assert not [line for line in seen.complaints if "alert" in line or "Policy" in line]
    assert seen.from_elsewhere() == []


def opened(chromium: Browser, target: Path, **options: Any) -> Any:
    return visited(chromium, target, viewport={"width": 1280, "height": 900}, **options)


def test_of_a_long_film_and_many_takes_only_what_is_near_is_built(chromium: Browser, tmp_path: Path) -> None:
    jobs = many(100, 200)
    with opened(chromium, a_page(tmp_path, jobs, a_film(jobs, 200))) as seen:
        page = seen.page
        expect(page.get_by_role("tab")).not_to_have_count(0)
        assert page.get_by_role("tab").count() < 40
        assert page.locator(".row-of-takes .cell").count() < 20
        page.get_by_role("tab", selected=True).press("End")
        expect(segment(page, 100)).to_be_focused()
        expect(segment(page, 100)).to_be_in_viewport()
        expect(page.locator(".stands")).to_contain_text("Segment 100 of 100 p99-s0, the first of 200.")
        page.locator(".row-of-takes").evaluate("(row) => (row.scrollLeft = row.scrollWidth)")
        take(page, "p99-s199").click()
        expect(segment(page, 100)).to_have_accessible_name("Segment 100: p99-s199, 5 stars")
        assert page.get_by_role("tab").count() < 40
        assert page.locator(".row-of-takes .cell").count() < 25


@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_a_long_film_never_makes_the_page_scroll_sideways(chromium: Browser, tmp_path: Path, width: int) -> None:
    jobs = [{**job, "name": "w" * 80 + job["name"]} for job in many(100, 20)]
    film = a_film(jobs, 20, name="w" * 100, same_cut=False)
    target = a_page(tmp_path, jobs, film, a_film(jobs, 1), film=f"vidu-run film {'w' * 200}.yaml")
    with visited(chromium, target, viewport={"width": width, "height": 900}) as seen:
        seen.page.locator("summary").last.click()
        expect(seen.page.get_by_role("tab").first).to_be_visible()
        assert seen.page.evaluate("document.documentElement.scrollWidth") == width
        assert seen.page.locator("body").evaluate("(body) => body.scrollWidth") <= width
    assert not [line for line in seen.complaints if "ERR_FILE_NOT_FOUND" not in line]


def test_a_page_without_films_carries_nothing_of_them() -> None:
    page = render_page(a_document(a_job()))
    filmed = render_page(a_document(a_job(), films=[a_film([a_job()], 1)], film="vidu-run film jobs.yaml"))

    assert "films" not in data_of(page)
    assert 'class="films"' not in page
    assert "Screening" not in page
    assert "theatre" not in page
    assert "Screening" in filmed
    assert "theatre" in filmed


def test_a_film_on_paper_is_a_list_of_its_takes(chromium: Browser, tmp_path: Path) -> None:
    jobs = many(12, 2)
    with opened(chromium, a_page(tmp_path, jobs, a_film(jobs, 2))) as seen:
        page = seen.page
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        expect(page.locator(".cut-on-paper li")).to_have_count(12)
        expect(page.locator(".cut-on-paper li").last).to_have_text("p11-s0, the first of 2")
        expect(page.locator(".strip-of-segments")).to_be_hidden()
        page.pdf(path=tmp_path / "page.pdf")


def violations(seen: Visit) -> list[Any]:
    found = Axe().run(seen.page).response["violations"]
    return [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in found]


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", 1280), ("dark", 360), ("light", 2560)])
def test_nothing_about_a_film_keeps_anybody_out(chromium: Browser, story: Folder, scheme: Any, width: int) -> None:
    viewport = {"width": width, "height": 900}
    with visited(chromium, page_of(story), color_scheme=scheme, viewport=viewport) as seen:
        page = seen.page
        assert violations(seen) == []
        segment(page, 2).click()
        take(page, "k1-k2 #2").click()
        expect(segment(page, 2)).to_have_class("segment now other")
        assert violations(seen) == []
        page.locator("summary").click()
        assert violations(seen) == []
