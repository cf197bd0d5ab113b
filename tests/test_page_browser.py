from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from browser import PLAYED_A_WHILE, TIMES, Visit, visited
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from test_page import a_document, a_job, encode_clip

from vidu_run.picks import Pick, parse_picks
from vidu_run.record import TAKEN_BACK
from vidu_run.report.page import write_page
from vidu_run.report.poster import frame_thumbnail, make_poster, small

pytestmark = pytest.mark.browser

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    "harmless \u202egnp.4pm\u202c text",
    "<!--<script>",
]

PAUSED = "[...document.querySelectorAll('video')].map((video) => video.paused)"


class Open(Protocol):
    def __call__(self, *jobs: dict[str, Any], **changes: Any) -> AbstractContextManager[Visit]: ...


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path) -> Open:
    """Opens a page of jobs in the test's folder; `options` are the browser's, the rest are facts of the document."""

    @contextmanager
    def open_page(*jobs: dict[str, Any], options: dict[str, Any] | None = None, **changes: Any) -> Iterator[Visit]:
        folder = changes.pop("folder", tmp_path)
        write_page(a_document(*jobs, **changes), folder / "report.html")
        with visited(chromium, folder / "report.html", **(options or {})) as seen:
            yield seen

    return open_page


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of video, its poster and a still, to be copied to wherever a job has its own."""
    folder = tmp_path_factory.mktemp("clip")
    encode_clip(folder / "clip.mp4")
    assert make_poster(folder / "clip.mp4", folder / "poster.webp")
    Image.new("RGB", (320, 180), (90, 120, 160)).save(folder / "still.png")
    assert frame_thumbnail(folder / "still.png", folder / "still.webp")
    return folder


def a_done_job(clip: Path, folder: Path, name: str = "harbour-s1", **changes: Any) -> dict[str, Any]:
    """A job with a real video, poster and stills, under names that a link must encode."""
    video, poster = f"videos/take #1 100%/{name} ø?.mp4", f"posters/{name} 50%.webp"
    frames = {side: f"frames/{name} {side}#?.png" for side in ("first", "last")}
    copies = {video: "clip.mp4", poster: "poster.webp"}
    copies |= dict.fromkeys(frames.values(), "still.png")
    copies |= {f"posters/{Path(frame).stem}.webp": "still.webp" for frame in frames.values()}
    pictures = [target for target in copies if target.startswith("posters/")]
    copies |= {str(small(Path(picture))): f"small/{copies[picture]}" for picture in pictures}
    for target, source in copies.items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clip / source, folder / target)
    stills = {
        side: {"name": f"{side}.png", "file": frame, "picture": f"posters/{Path(frame).stem}.webp"}
        for side, frame in frames.items()
    }
    return a_job(name, "done", **{"file": video, "poster": poster, "bytes": 4200, "took": 93.5, **stills, **changes})


def a_product(pairs: int, seeds: int) -> list[dict[str, Any]]:
    """Jobs without any file, p0-s0 and on, that are told from one another by both axes."""
    return [
        a_job(f"p{pair}-s{seed}", key=f"{pair:032}{seed:032}", axes={"pair": f"p{pair}", "seed": str(seed)})
        for pair in range(pairs)
        for seed in range(seeds)
    ]


def a_sweep(clip: Path, folder: Path, pairs: tuple[str, ...] = ("harbour",), seeds: int = 3) -> list[dict[str, Any]]:
    return [
        a_done_job(
            clip,
            folder,
            f"{pair}-s{seed}",
            key=f"{number:02}{seed:02}".ljust(64, "a"),
            axes={"pair": pair, "seed": str(seed)},
            seed=seed,
            prompt=f"{pair} at dawn",
            request={"prompt": f"{pair} at dawn", "seed": seed},
        )
        for number, pair in enumerate(pairs)
        for seed in range(1, seeds + 1)
    ]


def until(page: Page, condition: str) -> None:
    """Playwright's own waiting evaluates text inside the page, which the page's policy forbids."""
    look = f"const look = () => ({condition}) ? settle() : setTimeout(look, 20); look();"
    page.evaluate(f"() => new Promise((settle) => {{ {look} }})")


def clip_of(page: Page, name: str) -> Locator:
    return page.locator(".sheet").get_by_role("button", name=re.compile(f"^{re.escape(name)},"))


def names_in_the_list(page: Page) -> list[str]:
    page.get_by_role("button", name="List", exact=True).click()
    return page.locator(".item h3 bdi").all_inner_texts()


def videos(page: Page) -> Locator:
    return page.locator("video")


def test_the_videos_play_from_a_folder_with_an_awkward_name(opened: Open, clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Été 2026 #3 (100%) ?" / "ø 海"
    folder.mkdir(parents=True)
    with opened(*a_sweep(clip, folder, seeds=2), folder=folder) as seen:
        page = seen.page
        expect(videos(page)).to_have_count(0)
        for name in ("harbour-s1", "harbour-s2"):
            clip_of(page, name).click()
            videos(page).evaluate(PLAYED_A_WHILE)
            expect(videos(page)).to_have_count(1)
            assert page.evaluate("document.querySelector('video').videoWidth") == 320
            page.keyboard.press("Escape")
        pictures = page.evaluate("[...document.querySelectorAll('.cell img')].map((image) => image.naturalWidth)")

    assert pictures == [320, 320]
    assert seen.complaints == []
    assert seen.from_elsewhere() == []


def test_a_clip_plays_while_the_mouse_is_on_it_and_only_then(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=2)) as seen:
        page = seen.page
        clip_of(page, "harbour-s1").hover()
        videos(page).evaluate(PLAYED_A_WHILE)
        clip_of(page, "harbour-s2").hover()
        expect(videos(page)).to_have_count(1)
        page.locator("h1").hover()
        expect(videos(page)).to_have_count(0)


def test_who_wants_less_motion_has_none_unasked(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=2), options={"reduced_motion": "reduce"}) as seen:
        page = seen.page
        clip_of(page, "harbour-s1").hover()
        page.wait_for_timeout(300)
        expect(videos(page)).to_have_count(0)
        clip_of(page, "harbour-s1").click()
        expect(videos(page)).to_have_count(1)
        assert page.evaluate(PAUSED) == [True]
        page.keyboard.press("Space")
        videos(page).evaluate(PLAYED_A_WHILE)


def test_a_row_plays_pauses_and_scrubs_as_one(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, ("harbour", "ridge"), seeds=4)) as seen:
        page = seen.page
        page.get_by_role("button", name="Play harbour: 4 clips together").click()
        expect(videos(page)).to_have_count(4)
        videos(page).last.evaluate(PLAYED_A_WHILE)
        times = page.evaluate(TIMES)
        assert max(times) - min(times) < 0.35

        page.get_by_role("button", name="Pause").click()
        assert page.evaluate(PAUSED) == [True] * 4
        page.get_by_role("slider", name="Position").fill("0.5")
        until(page, f"{TIMES}.every((time) => Math.abs(time - 0.5) < 0.05)")
        page.keyboard.press(".")
        until(page, f"{TIMES}.every((time) => Math.abs(time - 0.5417) < 0.03)")
        page.keyboard.press("Escape")
        expect(videos(page)).to_have_count(0)


def test_a_loop_begins_again_together_and_without_it_all_rest_on_their_ends(
    opened: Open, clip: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short.mp4"
    encode_clip(short, seconds=0.5)
    jobs = a_sweep(clip, tmp_path, seeds=2)
    shutil.copyfile(short, tmp_path / jobs[1]["file"])
    with opened(*jobs) as seen:
        page = seen.page
        clip_of(page, "harbour-s1").hover()
        page.keyboard.press("p")
        until(page, f"(window.last ?? 0) > {TIMES}[0] || ((window.last = {TIMES}[0]), false)")

        page.keyboard.press("l")
        until(page, f"{PAUSED}.every(Boolean)")
        long, brief = page.evaluate(TIMES)
        assert long > 0.9
        assert brief == pytest.approx(0.5, abs=0.06)


def test_no_more_clips_play_at_once_than_a_machine_can_bear(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=24), options={"viewport": {"width": 1600, "height": 1200}}) as seen:
        page = seen.page
        expect(page.locator(".cell")).to_have_count(24)
        expect(videos(page)).to_have_count(0)
        page.get_by_role("button", name="Play harbour: 24 clips together").click()
        expect(videos(page)).to_have_count(16)
        expect(page.locator(".said")).to_have_text("The first 16 of 24 play")


def test_a_video_that_is_gone_is_named_instead_of_played(opened: Open) -> None:
    with opened(a_job(state="done", file="videos/gone.mp4")) as seen:
        clip_of(seen.page, "harbour-s1").click()
        expect(seen.page.get_by_text("This video could not be opened: videos/gone.mp4")).to_be_visible()


def test_the_ends_of_a_clip_stand_beside_its_frames(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(a_done_job(clip, tmp_path)) as seen:
        page = seen.page
        clip_of(page, "harbour-s1").click()
        page.get_by_role("button", name="Compare its ends with the frames").click()
        ends = page.locator(".four video")
        expect(ends).to_have_count(2)
        until(page, "document.querySelectorAll('.four video')[1].currentTime > 0.9")
        assert ends.first.evaluate("(video) => video.currentTime") == 0
        assert page.locator(".four img").evaluate_all("(all) => all.map((image) => image.naturalWidth)") == [320, 320]
        page.keyboard.press("Space")
        expect(page.locator(".four")).to_have_count(0)
        for side in ("First", "Last"):
            expect(page.get_by_role("link", name=f"{side} frame of harbour-s1")).to_be_visible()


def exported(page: Page) -> dict[str, Pick]:
    """What the page gives to be downloaded, read as the tool reads it."""
    page.get_by_role("button", name="Picks…").click()
    with page.expect_download() as started:
        page.get_by_role("button", name="Download jobs.picks.yaml").click()
    assert started.value.suggested_filename == "jobs.picks.yaml"
    expect(page.get_by_text(re.compile("Put it beside .* as jobs.picks.yaml.", re.DOTALL))).to_be_visible()
    found = parse_picks(Path(started.value.path()).read_text("utf-8"), "jobs.picks.yaml")
    page.get_by_role("dialog", name="Picks").get_by_role("button", name="Close").click()
    return {pick.name: pick for pick in found.values()}


def test_picks_made_with_keys_alone_outlive_the_page_and_go_into_the_file(
    opened: Open, clip: Path, tmp_path: Path
) -> None:
    with opened(*a_sweep(clip, tmp_path, ("harbour", "ridge"), seeds=3)) as seen:
        page = seen.page
        for key in ("ArrowRight", "4", "ArrowRight", "x", "ArrowDown", "2", "0", "5", "ArrowRight", "3", "u"):
            page.keyboard.press(key)
        expect(page.locator(".tally")).to_have_text("2 picked, 1 rejected")
        expect(page.locator(".said")).to_have_text("ridge-s3: no verdict")
        page.reload()
        expect(page.locator(".tally")).to_have_text("2 picked, 1 rejected")
        expect(clip_of(page, "harbour-s1")).to_have_accessible_name("harbour-s1, done, 4 stars")
        stars = {name: pick.stars for name, pick in exported(page).items()}

    assert stars == {"harbour-s1": 4, "harbour-s2": 0, "ridge-s2": 5}


def test_a_digit_with_shift_goes_on_to_the_next_clip(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=3)) as seen:
        page = seen.page
        clip_of(page, "harbour-s1").click()
        page.keyboard.press("Shift+Digit4")
        page.keyboard.press("Shift+Digit5")
        expect(page.get_by_role("heading", name="harbour-s3")).to_be_visible()
        page.keyboard.press("Escape")
        expect(clip_of(page, "harbour-s3")).to_be_focused()
        assert {name: pick.stars for name, pick in exported(page).items()} == {"harbour-s1": 4, "harbour-s2": 5}


def test_stars_are_given_and_taken_back_with_the_mouse(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=2)) as seen:
        page = seen.page
        verdict = page.get_by_role("group", name="Verdict on harbour-s2")
        verdict.get_by_role("button", name="3 stars").click()
        expect(page.locator(".tally")).to_have_text("1 picked")
        expect(verdict.locator("[aria-pressed=true]")).to_have_count(3)
        verdict.get_by_role("button", name="3 stars").click()
        expect(page.locator(".tally")).to_have_text("")
        verdict.get_by_role("button", name="Reject").click()
        expect(page.locator(".tally")).to_have_text("1 rejected")
        page.keyboard.press("Control+z")
        expect(page.locator(".tally")).to_have_text("")


@pytest.mark.parametrize(
    "note",
    [
        "late: the wave breaks #3 {{ x }} - [a]",
        "two\nlines \t and \\ a \"quote\" 'too'",
        "end of line \u2028 paragraph \u2029 next \x85 bom \ufeff soft \xad wide \u3000",
        "emoji 🎞 and \u202eturned\u202c",
        "*", "&a", "!!x", "~", "no", "<<", "</script>",
    ],
)  # fmt: skip
def test_whatever_a_note_says_the_file_says_too(opened: Open, clip: Path, tmp_path: Path, note: str) -> None:
    name = "a: 'b' #1 {x}"
    with opened(a_done_job(clip, tmp_path, name)) as seen:
        page = seen.page
        page.locator(".open").click()
        page.keyboard.press("n")
        area = page.get_by_role("textbox", name=f"Note on {name}")
        expect(area).to_be_focused()
        page.keyboard.insert_text(note)
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        expect(area).to_have_count(0)
        assert exported(page) == {name: Pick("ab" * 32, name, None, note)}


def test_the_clipboard_takes_what_the_download_would(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(a_done_job(clip, tmp_path)) as seen:
        page = seen.page
        clip_of(page, "harbour-s1").hover()
        page.keyboard.press("5")
        page.get_by_role("button", name="Picks…").click()
        page.get_by_role("button", name="Copy as text").click()
        expect(page.get_by_text("In the clipboard.")).to_be_visible()
        page.evaluate("document.querySelector('dialog.picks').append(document.createElement('textarea'))")
        page.locator("dialog.picks textarea").focus()
        page.keyboard.press("Control+v")
        pasted = page.locator("dialog.picks textarea").input_value()

    assert [pick.stars for pick in parse_picks(pasted, "clipboard").values()] == [5]


def test_the_file_beside_the_spec_is_what_the_page_begins_with(opened: Open, clip: Path, tmp_path: Path) -> None:
    gone = "ef" * 32
    jobs = a_sweep(clip, tmp_path, seeds=2)
    file = [[jobs[0]["key"], "harbour-s1", 3, "good light"], [gone, "an older job", 5, ""]]
    with opened(*jobs, picks=file) as seen:
        page = seen.page
        expect(page.locator(".tally")).to_have_text("1 picked")
        clip_of(page, "harbour-s2").hover()
        page.keyboard.press("4")
        page.get_by_role("button", name="Picks…").click()
        expect(page.get_by_text("1 change of yours is not in jobs.picks.yaml yet")).to_be_visible()
        page.get_by_role("dialog", name="Picks").get_by_role("button", name="Close").click()
        found = exported(page)
        page.get_by_role("button", name="Picks…").click()
        page.get_by_role("button", name="Forget my changes").click()
        expect(page.locator(".tally")).to_have_text("1 picked")

    assert [(pick.name, pick.stars, pick.note) for pick in found.values()] == [
        ("harbour-s1", 3, "good light"),
        ("harbour-s2", 4, ""),
        ("an older job", 5, ""),
    ]


def test_a_browser_that_keeps_nothing_is_told_of_and_can_still_export(opened: Open, clip: Path, tmp_path: Path) -> None:
    forgetful = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } })"
    with opened(a_done_job(clip, tmp_path), options={"script": forgetful}) as seen:
        page = seen.page
        clip_of(page, "harbour-s1").hover()
        page.keyboard.press("2")
        assert exported(page)["harbour-s1"].stars == 2
        page.get_by_role("button", name="Picks…").click()
        expect(page.get_by_text("This browser keeps nothing between visits")).to_be_visible()

    assert seen.complaints == []


def test_a_note_without_stars_is_seen_on_its_tile(opened: Open, clip: Path, tmp_path: Path) -> None:
    jobs = a_sweep(clip, tmp_path, seeds=2)
    with opened(*jobs, picks=[[jobs[1]["key"], "harbour-s2", None, "light is good"]]) as seen:
        marks = seen.page.locator(".cell .remarked")
        expect(marks.nth(0)).to_be_hidden()
        expect(marks.nth(1)).to_be_visible()
        expect(marks.nth(1)).to_have_attribute("title", "light is good")
        expect(marks.nth(1)).to_have_text("")


def test_filters_narrow_what_is_shown_and_say_so(opened: Open, clip: Path, tmp_path: Path) -> None:
    jobs = [
        *a_sweep(clip, tmp_path, seeds=2),
        a_job("ridge-s1", "failed", key="1" * 64, axes={"pair": "ridge", "seed": "1"}, error="CreationPolicyViolation"),
        a_job("ridge-s2", "in_doubt", key="2" * 64, axes={"pair": "ridge", "seed": "2"}, model="viduq1"),
    ]
    with opened(*jobs, picks=[[jobs[1]["key"], "harbour-s2", 4, "light"]]) as seen:
        page = seen.page
        assert names_in_the_list(page) == ["harbour-s1", "harbour-s2", "ridge-s1", "ridge-s2"]
        page.get_by_role("button", name="failed 1").click()
        expect(page.locator(".showing")).to_have_text("1 of 4 shown")
        assert names_in_the_list(page) == ["ridge-s1"]
        page.get_by_role("button", name="failed 1").click()

        for label, choice, names in (
            ("pair", "ridge", ["ridge-s1", "ridge-s2"]),
            ("seed", "2", ["harbour-s2", "ridge-s2"]),
            ("Model", "viduq1", ["ridge-s2"]),
            ("Verdict", "★★★★ and up", ["harbour-s2"]),
            ("Verdict", "no verdict yet", ["harbour-s1", "ridge-s1", "ridge-s2"]),
            ("Verdict", "with a note", ["harbour-s2"]),
        ):
            chooser = page.get_by_label(label, exact=True)
            chooser.select_option(label=choice)
            assert names_in_the_list(page) == names, (label, choice)
            chooser.select_option(index=0)

        page.keyboard.press("Escape")
        page.locator("h1").click()
        page.keyboard.press("/")
        page.keyboard.type("DAWN seed=2")
        assert names_in_the_list(page) == ["harbour-s2"]
        page.get_by_role("searchbox", name="Search").fill("nothing like it")
        page.get_by_role("button", name="Show all").click()
        assert names_in_the_list(page) == ["harbour-s1", "harbour-s2", "ridge-s1", "ridge-s2"]
        page.get_by_label("Order").select_option(label="most stars first")
        assert names_in_the_list(page)[0] == "harbour-s2"


def test_rows_and_columns_are_the_axes_that_the_reader_chooses(opened: Open, clip: Path, tmp_path: Path) -> None:
    jobs = a_sweep(clip, tmp_path, ("harbour", "ridge"), seeds=3)
    del jobs[4]
    with opened(*jobs) as seen:
        page = seen.page
        heads = page.locator(".head h3")
        expect(heads).to_have_text(["harbour", "ridge"])
        expect(page.locator(".cells").last.locator(".cell")).to_have_count(3)
        expect(page.locator(".hole")).to_have_count(1)
        page.get_by_label("Columns").select_option(label="pair")
        expect(heads).to_have_text(["1", "2", "3"])
        expect(page.locator(".cells").nth(1).locator(".cell .label")).to_have_text(["pair harbour"])
        page.get_by_label("Columns").select_option(label="none")
        expect(heads).to_have_count(0)
        expect(page.locator(".label")).to_have_text([job["name"] for job in jobs])


def test_axes_that_advance_together_are_one_column(opened: Open, clip: Path, tmp_path: Path) -> None:
    looks = [("warm", "dawn"), ("cold", "dusk"), ("grey", "noon")]
    jobs = [
        a_job(f"{look}-{seed}", key=f"{at:063}{seed}", axes={"look": look, "time": when, "seed": str(seed)})
        for at, (look, when) in enumerate(looks)
        for seed in (1, 2)
    ]
    with opened(*jobs, axes=["look", "time", "seed"]) as seen:
        seen.page.get_by_label("Columns").select_option(label="look")
        expect(seen.page.locator(".head h3")).to_have_text(["1", "2"])
        expect(seen.page.locator(".hole")).to_have_count(0)
        expect(seen.page.locator(".cells").first.locator(".label")).to_have_text(
            ["look warm", "look cold", "look grey"]
        )


def test_arrows_go_from_clip_to_clip_and_enter_looks_closer(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, ("harbour", "ridge"), seeds=3)) as seen:
        page = seen.page
        for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
            page.keyboard.press(key)
        expect(clip_of(page, "ridge-s2")).to_be_focused()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("heading", name="ridge-s2")).to_be_visible()
        expect(dialog.get_by_text("5 of 6")).to_be_visible()
        page.keyboard.press("ArrowRight")
        expect(dialog.get_by_role("heading", name="ridge-s3")).to_be_visible()
        page.keyboard.press("Escape")
        expect(clip_of(page, "ridge-s3")).to_be_focused()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


def test_two_clips_side_by_side_play_as_one_and_show_what_tells_them_apart(
    opened: Open, clip: Path, tmp_path: Path
) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=4)) as seen:
        page = seen.page
        clip_of(page, "harbour-s1").click(modifiers=["Shift"])
        clip_of(page, "harbour-s3").hover()
        page.get_by_role("button", name="Select harbour-s3").click()
        page.get_by_role("button", name="Show the selected clips side by side").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.locator("video")).to_have_count(2)
        dialog.locator("video").last.evaluate(PLAYED_A_WHILE)
        times = page.evaluate(TIMES)
        assert max(times) - min(times) < 0.35
        expect(dialog.locator(".differences dt")).to_have_text(["seed", "seed"])
        expect(dialog.locator(".differences dd")).to_have_text(["1", "3"])
        dialog.locator("figcaption").last.click()
        page.keyboard.press("ArrowRight")
        expect(dialog.locator(".differences dd")).to_have_text(["1", "4"])
        page.keyboard.press("5")
        page.keyboard.press("Escape")
        assert {name: pick.stars for name, pick in exported(page).items()} == {"harbour-s4": 5}


def test_a_small_cell_shows_the_small_picture_and_a_cell_that_has_room_to_grow_the_whole_one(
    opened: Open, clip: Path, tmp_path: Path
) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=2)) as seen:
        pictures = seen.page.locator(".cell img.poster")
        assert pictures.first.evaluate("image => image.width") > 336
        expect(pictures.first).to_have_attribute("src", re.compile("posters/(?!small)"))
        seen.page.get_by_label("Size").fill("180")
        expect(pictures.first).to_have_attribute("src", re.compile("posters/small/"))
        seen.page.get_by_role("button", name="List").click()
        expect(seen.page.locator(".item img.poster").first).to_have_attribute("src", re.compile("posters/small/"))

    assert seen.complaints == []


def test_the_closer_look_at_a_clip_that_was_not_made_shows_its_frames_whole(
    opened: Open, clip: Path, tmp_path: Path
) -> None:
    (job,) = a_sweep(clip, tmp_path, seeds=1)
    with opened({**job, "state": "failed", "file": None, "poster": None}) as seen:
        seen.page.get_by_role("button", name="List").click()
        small_ones = seen.page.locator(".item .unexposed img")
        expect(small_ones).to_have_count(2)
        expect(small_ones.first).to_have_attribute("src", re.compile("posters/small/"))
        clip_of(seen.page, "harbour-s1").click()
        whole_ones = seen.page.get_by_role("dialog").locator(".unexposed img")
        expect(whole_ones).to_have_count(2)
        expect(whole_ones.first).to_have_attribute("src", re.compile("posters/(?!small)"))


@pytest.mark.parametrize(
    ("error", "said"), [("no luck", "The service could not make it"), (TAKEN_BACK, "Cancelled by you")]
)
def test_a_clip_that_was_not_made_says_why(opened: Open, error: str, said: str) -> None:
    with opened(a_job("harbour-s1", "failed", error=error)) as seen:
        expect(clip_of(seen.page, "harbour-s1").locator(".why")).to_have_text(said)


def test_where_there_is_no_small_picture_the_whole_one_is_shown(opened: Open, clip: Path, tmp_path: Path) -> None:
    jobs = a_sweep(clip, tmp_path, seeds=1)
    shutil.rmtree(tmp_path / "posters" / "small")
    with opened(*jobs) as seen:
        expect(seen.page.locator(".cell img.poster")).to_have_attribute("src", re.compile("posters/(?!small)"))
        assert seen.page.locator(".cell img.poster").evaluate("image => image.decode().then(() => image.naturalWidth)")


def test_a_final_stands_beside_the_draft_it_was_promoted_from(opened: Open, clip: Path, tmp_path: Path) -> None:
    out, drafts = tmp_path / "jobs.final", tmp_path / "jobs"
    for folder in (out, drafts):
        folder.mkdir()
    (draft,) = a_sweep(clip, drafts, seeds=1)
    told = {"name": "harbour-s1", "model": "viduq2-turbo", "resolution": "540p", "seed": 1}
    told |= {"file": f"../jobs/{draft['file']}", "poster": f"../jobs/{draft['poster']}"}
    final = a_done_job(clip, out, "harbour-s1", axes={}, draft=told, model="viduq2-pro", resolution="1080p", seed=1)
    with opened(final, folder=out, axes=[]) as seen:
        page = seen.page
        expect(page.locator(".cell .label")).to_have_text(["viduq2-turbo · 5 s · 540p", "viduq2-pro · 5 s · 1080p"])
        page.get_by_role("button", name="Play harbour-s1: 2 clips together").click()
        expect(videos(page)).to_have_count(2)
        videos(page).first.evaluate(PLAYED_A_WHILE)
        clip_of(page, "harbour-s1").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.locator("figcaption bdi")).to_have_text(["draft of harbour-s1", "harbour-s1"])
        expect(dialog.locator(".differences dd")).to_have_text(["viduq2-turbo", "540p", "viduq2-pro", "1080p"])
        expect(dialog.locator(".rating")).to_have_count(1)
        page.keyboard.press("4")
        page.keyboard.press("n")
        expect(dialog.get_by_role("textbox", name="Note on harbour-s1")).to_be_focused()
        page.keyboard.type("better than its draft")
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        assert [(pick.stars, pick.note) for pick in exported(page).values()] == [(4, "better than its draft")]

    assert seen.complaints == []


def test_hostile_text_is_shown_as_text_wherever_it_stands(opened: Open) -> None:
    everywhere = ("name", "prompt", "error", "hint", "model", "resolution", "task_id", "sha256")
    jobs = [
        a_job(
            state=state,
            key=f"{number}".ljust(64, "0"),
            axes={text: text},
            request={text: text},
            history=[["failed", 1, 2, text, text]],
            **dict.fromkeys(everywhere, text),
        )
        for number, text in enumerate(HOSTILE)
        for state in ("failed" if number else "in_doubt",)
    ]
    causes = [{"state": "failed", "cause": text, "shared": [text], "advice": text, "jobs": [0]} for text in HOSTILE]
    picks = [[job["key"], job["name"], 3, job["name"]] for job in jobs]
    facts = {"notes": HOSTILE, "failures": causes, "picks": picks, "promote": HOSTILE[2], "axes": HOSTILE}
    with opened(*jobs, spec=HOSTILE[0], provider=HOSTILE[2], **facts) as seen:
        page = seen.page
        assert page.locator("h1").text_content() == HOSTILE[0]
        assert page.locator(".notes li").all_text_contents() == HOSTILE
        assert page.locator(".failures h3").all_text_contents() == HOSTILE
        page.get_by_role("button", name="List", exact=True).click()
        assert page.locator(".item h3 bdi").all_text_contents() == HOSTILE
        assert page.locator(".item .error").all_text_contents() == HOSTILE
        assert page.locator(".item .note").all_text_contents() == HOSTILE
        for text in HOSTILE:
            page.keyboard.press("ArrowDown")
            page.keyboard.press("Enter")
            expect(page.locator(".focus h2")).to_have_text(text)
            expect(page.locator(".focus .history")).to_contain_text(text)
            page.keyboard.press("Escape")
        page.get_by_role("button", name="Picks…").click()
        expect(page.locator("dialog.picks .command")).to_have_text(f"{HOSTILE[2]} --with resolution=1080p")
        assert page.locator("img, body script:not([type]):not(:last-of-type)").count() == 0

    assert seen.complaints == []
    assert seen.from_elsewhere() == []


def test_a_script_or_a_picture_that_is_not_ours_is_stopped_by_the_policy(opened: Open) -> None:
    with opened(a_job()) as seen:
        ran = seen.page.evaluate(
            """async () => {
                const script = document.createElement("script");
                script.textContent = "window.ran = true";
                const image = new Image();
                const outcome = new Promise((settle) => (image.onload = image.onerror = (event) => settle(event.type)));
                image.src = "https://example.org/pixel.png";
                document.body.append(script, image);
                return [await outcome, window.ran];
            }"""
        )

    assert ran == ["error", None]
    assert all("Content Security Policy" in complaint for complaint in seen.complaints)
    assert len(seen.complaints) == 2


def test_a_frame_on_the_web_is_linked_without_a_referrer_and_not_loaded(
    opened: Open, clip: Path, tmp_path: Path
) -> None:
    web = [{"name": f"https://example.org/{name}.png", "file": None, "picture": None} for name in "ab"]
    with opened(a_done_job(clip, tmp_path, first=web[0], last=web[1], poster=None)) as seen:
        clip_of(seen.page, "harbour-s1").click()
        link = seen.page.get_by_role("link", name="First frame of harbour-s1")
        expect(link).to_have_attribute("href", "https://example.org/a.png")
        expect(link).to_have_attribute("rel", "noreferrer noopener")

    assert seen.from_elsewhere() == []


def test_a_job_in_doubt_comes_first_with_its_commands(opened: Open) -> None:
    hint = "Look in your account.\nIf it is there:\n  vidu-run resolve jobs.yaml ridge-s1 --task TASK_ID"
    with opened(a_job("harbour-s1"), a_job("ridge-s1", "in_doubt", hint=hint, key="1" * 64)) as seen:
        doubt = seen.page.get_by_role("region", name="Needs your word")
        expect(doubt.get_by_role("heading", name="ridge-s1")).to_be_visible()
        expect(doubt.locator("code")).to_have_text("vidu-run resolve jobs.yaml ridge-s1 --task TASK_ID")
        assert doubt.bounding_box()["y"] < seen.page.locator(".sheet").bounding_box()["y"]  # type: ignore[index]


def test_many_jobs_in_doubt_leave_room_for_the_clips(opened: Open) -> None:
    jobs = [a_job(f"s{number}", "in_doubt", key=f"{number}".rjust(64, "0"), hint="Look.") for number in range(100)]
    with opened(*jobs) as seen:
        doubt = seen.page.get_by_role("region", name="Needs your word")
        expect(doubt.get_by_role("listitem")).to_have_count(13)
        doubt.get_by_role("button", name="Show all in doubt").click()
        expect(seen.page.get_by_role("button", name="in doubt 100")).to_have_attribute("aria-pressed", "true")


def test_without_doubt_or_failure_nothing_asks_for_attention(opened: Open) -> None:
    with opened(a_job()) as seen:
        expect(clip_of(seen.page, "harbour-s1")).to_be_visible()
        for title in ("Needs your word", "What went wrong"):
            expect(seen.page.get_by_role("heading", name=title)).to_be_hidden()


def test_failures_of_one_cause_are_told_once_and_lead_to_their_jobs(opened: Open) -> None:
    jobs = [a_job(f"s{n}", "failed" if n else "done", key=f"{n}".rjust(64, "0"), error="no") for n in range(5)]
    cause = {"state": "failed", "cause": "no", "shared": ["the first frame a.png"], "jobs": [1, 2, 3, 4]}
    cause["advice"] = "Another try is bought by\nvidu-run run jobs.yaml --retry-failed"
    with opened(*jobs, failures=[cause]) as seen:
        wrong = seen.page.get_by_role("region", name="What went wrong")
        expect(wrong).to_contain_text("4 jobs, all with the first frame a.png")
        expect(wrong.locator("code")).to_have_text("vidu-run run jobs.yaml --retry-failed")
        wrong.get_by_role("button").click()
        expect(seen.page.locator(".showing")).to_have_text("4 of 5 shown")


def test_the_closer_look_tells_what_is_known_of_a_job(opened: Open, clip: Path, tmp_path: Path) -> None:
    history = [
        ["failed", 1_795_300_000, 1_795_300_090, "943", "moderation"],
        ["done", 1_795_300_200, 1_795_300_260, None, None],
    ]
    job = a_done_job(clip, tmp_path, seed=9, task_id="944", sha256="cd" * 32, history=history, charged=True)
    with opened(job, rehearsal=False, credits={"estimated": 1480, "charged": 1400}, money="$2.40") as seen:
        assert seen.page.locator(".totals dd").all_inner_texts() == ["1", "1,480", "1,400", "$2.40"]
        clip_of(seen.page, "harbour-s1").click()
        dialog = seen.page.get_by_role("dialog")
        expect(dialog.locator(".prompt")).to_have_text("a boat leaves")
        assert dialog.locator(".chips li").all_inner_texts() == ["pair harbour", "seed 7"]
        expect(dialog.locator("pre")).to_have_text('{ "prompt": "a boat leaves", "seed": 7 }')
        for text in (
            "944",
            "ab" * 32,
            "cd" * 32,
            "4 kB",
            "viduq2-turbo · 5 s · 720p · seed 9 · 40 credits · took 1 min 34 s",
        ):
            expect(dialog.locator(".papers")).to_contain_text(text)
        past = dialog.locator(".history li").all_inner_texts()
        assert "failed" in past[0]
        assert past[0].endswith("ended after 1 min 30 s, task 943: moderation")
        assert past[1].endswith("ended after 1 min 0 s")
        expect(dialog.locator(".history")).to_contain_text("40 credits, $0.20 charged")


@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_the_page_never_scrolls_sideways(opened: Open, width: int) -> None:
    long = "w" * 120
    command = f"vidu-run resolve jobs.yaml {long} --task TASK_ID"
    words = dict.fromkeys(("prompt", "error", "model"), long)
    job = a_job(long, "in_doubt", hint=command, axes={long: long}, request={long: long}, **words)
    others = ("planned", "submitted", "ready", "in_doubt", "failed", "rejected", "abandoned")
    jobs = [job, *(a_job(s, s, key=s.ljust(64, "0"), axes={long: s, "seed": "1"}, model=s) for s in others)]
    cause = {"state": "failed", "cause": long, "shared": [long], "jobs": [1], "advice": command}
    facts = {"spec": f"{long}.yaml", "notes": [long], "failures": [cause], "promote": command, "axes": [long, "seed"]}
    with opened(*jobs, options={"viewport": {"width": width, "height": 800}}, **facts) as seen:
        page = seen.page
        for view in ("Grid", "List"):
            page.get_by_role("button", name=view, exact=True).click()
            assert page.evaluate("document.documentElement.scrollWidth") == width, view
        page.locator(".open").first.click()
        assert page.evaluate("document.querySelector('.focus').scrollWidth") <= width
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Picks…").click()
        assert page.evaluate("document.querySelector('dialog.picks').scrollWidth") <= min(width, 600)


def test_a_long_command_can_be_read_to_its_end(opened: Open) -> None:
    command = f"vidu-run resolve jobs.yaml {'w' * 120} --resubmit"
    with opened(a_job(state="in_doubt", hint=command), options={"viewport": {"width": 360, "height": 800}}) as seen:
        code = seen.page.locator(".doubt code")
        expect(code).to_have_text(command)
        hidden = "(code) => { code.scrollLeft = 1e6; return code.scrollWidth - code.clientWidth - code.scrollLeft; }"
        assert code.evaluate("(code) => code.scrollWidth > code.clientWidth")
        assert code.evaluate(hidden) < 1


def test_stars_of_clips_that_scrolled_away_are_those_of_others_now(opened: Open) -> None:
    jobs = [a_job(f"s{n}", key=f"{n:064}", axes={"seed": str(n)}) for n in range(400)]
    with opened(*jobs, options={"viewport": {"width": 1280, "height": 900}}) as seen:
        page = seen.page
        for name in ("s0", "s1", "s2"):
            verdict = page.get_by_role("group", name=f"Verdict on {name}", exact=True)
            verdict.get_by_role("button", name="4 stars").click()
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        last = page.get_by_role("group", name="Verdict on s399", exact=True)
        expect(last).to_be_attached()
        expect(page.locator(".rating [aria-pressed=true]")).to_have_count(0)
        last.get_by_role("button", name="2 stars").click()
        page.evaluate("scrollTo(0, 0)")
        first = page.get_by_role("group", name="Verdict on s0", exact=True)
        expect(first.locator("[aria-pressed=true]")).to_have_count(4)
        assert {name: pick.stars for name, pick in exported(page).items()} == {"s0": 4, "s1": 4, "s2": 4, "s399": 2}


@pytest.mark.parametrize("count", [0, 1, 120])
def test_every_label_of_an_axis_can_be_chosen(opened: Open, count: int) -> None:
    jobs = [a_job(f"s{n}", key=f"{n:064}", axes={"seed": str(n), "pair": f"p{n % 2}"}) for n in range(count)]
    with opened(*jobs, axes=["seed", "pair"] if count else []) as seen:
        chooser = seen.page.get_by_label("seed", exact=True).locator("option")
        expect(chooser).to_have_count(count + 1 if count > 1 else 0)
        expect(seen.page.locator(".showing")).to_have_text("")
    assert seen.complaints == []


@pytest.mark.parametrize("view", ["Grid", "List"])
def test_of_twenty_thousand_jobs_only_those_near_the_window_are_built(opened: Open, view: str) -> None:
    jobs = a_product(pairs=1000, seeds=20)
    with opened(*jobs, options={"viewport": {"width": 1280, "height": 900}}) as seen:
        page = seen.page
        page.get_by_role("button", name=view, exact=True).click()
        expect(clip_of(page, "p0-s0")).to_be_visible()
        assert page.locator(".open").count() < 150
        page.keyboard.press("ArrowRight")
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        expect(clip_of(page, "p999-s19")).to_be_in_viewport()
        assert page.locator(".open").count() < 200
        page.get_by_role("searchbox", name="Search").fill("p777-s13")
        expect(page.locator(".open")).to_have_count(1)
        expect(clip_of(page, "p777-s13")).to_be_in_viewport()


def test_every_clip_is_on_paper(opened: Open) -> None:
    jobs = [a_job(f"s{n}", key=f"{n:064}", axes={"seed": str(n)}) for n in range(200)]
    with opened(*jobs, options={"viewport": {"width": 1280, "height": 900}}) as seen:
        expect(clip_of(seen.page, "s0")).to_be_visible()
        assert seen.page.locator(".open").count() < 200
        seen.page.emulate_media(media="print")
        seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert seen.page.locator(".open").count() == 200
        expect(seen.page.locator(".toolbar")).to_be_hidden()
        seen.page.pdf(path=seen.page.url.removeprefix("file://") + ".pdf")


def test_paper_says_how_many_clips_it_could_not_hold(opened: Open) -> None:
    jobs = [a_job(f"s{n}", key=f"{n:064}", axes={"seed": str(n)}) for n in range(700)]
    with opened(*jobs) as seen:
        page = seen.page
        page.get_by_role("button", name="List", exact=True).click()
        expect(page.locator(".on-paper")).to_be_hidden()
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator(".item").count() == 600
        expect(page.get_by_text("600 of 700 clips are on paper")).to_be_visible()
        page.emulate_media(media="screen")
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        page.get_by_role("searchbox", name="Search").fill("s69")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        expect(page.locator(".on-paper")).to_be_empty()


def test_without_script_the_page_says_where_the_videos_are(opened: Open) -> None:
    with opened(a_job(), options={"java_script_enabled": False}) as seen:
        expect(seen.page.locator(".noscript")).to_contain_text("in the folder videos beside it")
        expect(seen.page.locator(".noscript")).to_be_visible()
        expect(seen.page.get_by_role("heading", name="jobs.yaml")).to_be_visible()
        expect(seen.page.locator(".toolbar")).to_be_hidden()


def test_two_windows_of_one_page_keep_each_others_picks(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=3)) as seen:
        page, other = seen.page, seen.page.context.new_page()
        other.goto(page.url)
        for window, name, key in ((page, "harbour-s1", "4"), (other, "harbour-s2", "5"), (page, "harbour-s3", "x")):
            window.bring_to_front()
            clip_of(window, name).hover()
            window.keyboard.press(key)
        for window in (page, other):
            expect(window.locator(".tally")).to_have_text("2 picked, 1 rejected")
            window.reload()
            expect(window.locator(".tally")).to_have_text("2 picked, 1 rejected")
        other.keyboard.press("ArrowRight")
        other.keyboard.press("0")
        expect(page.locator(".tally")).to_have_text("1 picked, 1 rejected")
        assert {name: pick.stars for name, pick in exported(page).items()} == {"harbour-s2": 5, "harbour-s3": 0}


def test_what_the_file_once_said_is_its_own_to_change(opened: Open, clip: Path, tmp_path: Path) -> None:
    job = a_done_job(clip, tmp_path)
    with opened(job) as seen:
        page = seen.page
        clip_of(page, "harbour-s1").hover()
        page.keyboard.press("3")
        for stars in (3, 5):
            write_page(a_document(job, picks=[[job["key"], job["name"], stars, ""]]), tmp_path / "report.html")
            page.reload()
            expect(clip_of(page, "harbour-s1")).to_have_accessible_name(f"harbour-s1, done, {stars} stars")


def test_a_spec_of_the_same_name_elsewhere_has_its_own_picks(opened: Open, clip: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    write_page(a_document(a_done_job(clip, there, "ridge-s1", key="cd" * 32)), there / "report.html")
    with opened(a_done_job(clip, here), folder=here) as seen:
        page = seen.page
        clip_of(page, "harbour-s1").hover()
        page.keyboard.press("3")
        page.goto((there / "report.html").as_uri())
        page.get_by_role("button", name="Picks…").click()
        expect(page.get_by_text("Nothing is picked yet")).to_be_visible()
        expect(page.get_by_role("button", name="Forget my changes")).to_have_count(0)
        page.keyboard.press("Escape")
        clip_of(page, "ridge-s1").hover()
        page.keyboard.press("4")
        page.get_by_role("button", name="Picks…").click()
        page.get_by_role("button", name="Forget my changes").click()
        expect(page.get_by_role("button", name="Download jobs.picks.yaml")).to_be_focused()
        page.goto((here / "report.html").as_uri())
        expect(page.locator(".tally")).to_have_text("1 picked")


@pytest.mark.parametrize("kept", ['"words"', "[[1]]", "7", '{"KEY": {"stars": 9, "note": {"toString": 1}}, "x": null}'])
def test_the_page_opens_over_whatever_the_browser_kept(opened: Open, kept: str) -> None:
    view = '{"size": "x", "order": "none", "view": 3, "columns": null, "lead": {}, "toString": 1}'
    stored = kept.replace("KEY", "ab" * 32)
    script = f"localStorage['vidu-run picks local jobs.yaml'] = {stored!r}; localStorage['vidu-run view'] = {view!r};"
    with opened(a_job(), options={"script": script}) as seen:
        seen.page.get_by_role("button", name="List", exact=True).click()
        expect(clip_of(seen.page, "harbour-s1")).to_be_visible()
        expect(seen.page.locator(".tally")).to_have_text("")
    assert seen.complaints == []


def test_a_note_longer_than_the_file_may_hold_is_cut(opened: Open) -> None:
    kept = f'{{"{"ab" * 32}": {{"stars": 2, "note": "{"n" * 3000}"}}}}'
    with opened(a_job(), options={"script": f"localStorage['vidu-run picks local jobs.yaml'] = {kept!r};"}) as seen:
        assert len(exported(seen.page)["harbour-s1"].note) == 2000


def test_a_full_browser_is_told_of_and_what_it_could_not_keep_is_kept_later(opened: Open) -> None:
    full = "window.kept = Storage.prototype.setItem; Storage.prototype.setItem = () => { throw new Error('full'); };"
    with opened(
        a_job("a"), a_job("b", key="1" * 64), options={"script": f"if (!sessionStorage.seen) {{ {full} }}"}
    ) as seen:
        page = seen.page
        clip_of(page, "a").hover()
        page.keyboard.press("4")
        expect(page.locator(".tally")).to_have_text("1 picked, not kept by this browser")
        page.evaluate("Storage.prototype.setItem = window.kept; sessionStorage.setItem('seen', 1)")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("5")
        expect(page.locator(".tally")).to_have_text("2 picked")
        page.reload()
        expect(page.locator(".tally")).to_have_text("2 picked")


def test_undo_takes_back_a_whole_note_and_then_what_was_before_it(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(a_done_job(clip, tmp_path)) as seen:
        page = seen.page
        page.locator(".open").click()
        page.keyboard.press("2")
        for words in ("late light", " again"):
            page.keyboard.press("n")
            page.keyboard.press("End")
            page.keyboard.type(words)
            page.keyboard.press("Escape")
        area = page.get_by_role("textbox", name="Note on harbour-s1")
        for left in ("late light", ""):
            page.keyboard.press("u")
            expect(area).to_have_value(left)
        page.keyboard.press("u")
        page.keyboard.press("Escape")
        assert exported(page) == {}


def test_a_key_held_down_judges_once(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=4)) as seen:
        page = seen.page
        page.keyboard.press("ArrowRight")
        page.keyboard.down("Shift")
        for _ in range(4):
            page.keyboard.down("Digit4")
        page.keyboard.up("Digit4")
        page.keyboard.up("Shift")
        expect(clip_of(page, "harbour-s2")).to_be_focused()
        assert list(exported(page)) == ["harbour-s1"]


@pytest.mark.parametrize(("key", "code"), [("z", "KeyY"), ("я", "KeyZ")])
def test_a_key_is_what_it_says_on_any_keyboard(opened: Open, key: str, code: str) -> None:
    with opened(a_job()) as seen:
        page = seen.page
        clip_of(page, "harbour-s1").hover()
        page.keyboard.press("4")
        press = f"new KeyboardEvent('keydown', {{ key: '{key}', code: '{code}', ctrlKey: true, bubbles: true }})"
        page.evaluate(f"document.body.dispatchEvent({press})")
        expect(page.locator(".tally")).to_have_text("")


def test_a_mouse_at_rest_takes_nothing_from_the_keys(opened: Open) -> None:
    jobs = [a_job(f"p{n}", key=f"{n:064}", axes={"pair": f"p{n}"}) for n in range(40)]
    with opened(*jobs, axes=["pair"], options={"viewport": {"width": 700, "height": 700}}) as seen:
        page = seen.page
        page.keyboard.press("g")
        clip_of(page, "p2").hover()
        for _ in range(12):
            page.keyboard.press("ArrowDown")
            page.evaluate("() => new Promise((settle) => requestAnimationFrame(() => requestAnimationFrame(settle)))")
        page.evaluate("scrollBy(0, 60)")
        page.wait_for_timeout(300)
        expect(clip_of(page, "p14")).to_be_focused()
        page.keyboard.press("5")
        assert list(exported(page)) == ["p14"]


def test_space_after_a_click_on_a_star_does_not_take_it_back(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=2)) as seen:
        page = seen.page
        verdict = page.get_by_role("group", name="Verdict on harbour-s2")
        verdict.get_by_role("button", name="4 stars").click()
        page.keyboard.press("Space")
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        expect(verdict.locator("[aria-pressed=true]")).to_have_count(4)


def test_nobody_judges_a_clip_that_they_do_not_see(opened: Open) -> None:
    jobs = [a_job(f"s{n}", key=f"{n:064}", axes={"seed": str(n)}) for n in range(100)]
    with opened(*jobs, a_job("out", "failed", key="f" * 64, axes={}), axes=["seed"]) as seen:
        page = seen.page
        page.keyboard.press("ArrowRight")
        page.get_by_role("button", name="failed 1").press("Enter")
        page.keyboard.press("x")
        expect(page.locator(".tally")).to_have_text("")
        page.get_by_role("button", name="failed 1").press("Enter")
        page.keyboard.press("ArrowRight")
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        expect(clip_of(page, "out")).to_be_in_viewport()
        page.keyboard.press("4")
        expect(clip_of(page, "s0")).to_be_in_viewport()


def test_a_look_that_closes_and_opens_at_once_shows_the_next(opened: Open) -> None:
    with opened(a_job("a"), a_job("b", key="1" * 64, axes={"pair": "harbour", "seed": "8"})) as seen:
        clip_of(seen.page, "a").click()
        seen.page.evaluate(
            "document.querySelector('.focus .close').click(), document.querySelectorAll('.open')[1].click()"
        )
        seen.page.wait_for_timeout(200)
        expect(seen.page.get_by_role("dialog").get_by_role("heading", name="b")).to_be_visible()


def test_what_a_filter_hides_stops_playing(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, ("harbour", "ridge"), seeds=2)) as seen:
        page = seen.page
        transport = page.get_by_role("region", name="Playback")
        page.get_by_role("button", name="Play harbour: 2 clips together").click()
        page.get_by_label("seed", exact=True).select_option(label="2")
        expect(videos(page)).to_have_count(1)
        videos(page).evaluate(PLAYED_A_WHILE)
        page.get_by_label("pair", exact=True).select_option(label="ridge")
        expect(videos(page)).to_have_count(0)
        expect(transport).to_be_hidden()


def test_a_row_that_plays_is_paused_by_the_same_button(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=2)) as seen:
        page = seen.page
        page.get_by_role("button", name="Play harbour: 2 clips together").click()
        videos(page).last.evaluate(PLAYED_A_WHILE)
        page.keyboard.press("Space")
        assert page.evaluate(PAUSED) == [True, True]
        assert min(page.evaluate(TIMES)) > 0.1


def test_videos_that_are_gone_are_named_once_and_nothing_seems_to_play(opened: Open) -> None:
    jobs = [a_job(f"s{n}", "done", key=f"{n:064}", axes={"seed": str(n)}, file=f"videos/{n}.mp4") for n in (1, 2)]
    with opened(*jobs, axes=["seed"]) as seen:
        page = seen.page
        clip_of(page, "s1").hover()
        for _ in range(2):
            page.keyboard.press("p")
            expect(page.locator(".broken")).to_have_count(2)
            expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
        expect(videos(page)).to_have_count(0)


def test_a_screen_reader_is_not_told_of_every_picture(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=2)) as seen:
        page = seen.page
        page.get_by_role("button", name="Play harbour: 2 clips together").click()
        said = page.get_by_role("slider", name="Position").evaluate(
            """(scrub) => new Promise((settle) => {
                const told = [];
                const look = new MutationObserver(() => told.push(scrub.getAttribute("aria-valuetext")));
                look.observe(scrub, { attributeFilter: ["aria-valuetext"] });
                setTimeout(() => settle(told), 900);
            })"""
        )
        videos(page).first.evaluate(PLAYED_A_WHILE)
        assert len(said) < 8


def test_the_focus_outlives_the_bar_that_held_it(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=2)) as seen:
        page = seen.page
        page.keyboard.press("ArrowRight")
        page.keyboard.press("p")
        page.get_by_role("button", name="Stop").press("Enter")
        expect(clip_of(page, "harbour-s1")).to_be_focused()
        page.keyboard.press("p")
        page.get_by_role("slider", name="Position").focus()
        page.keyboard.press("c")
        expect(page.get_by_role("slider", name="Position")).to_be_focused()
        page.get_by_role("button", name="Select none").press("Enter")
        expect(clip_of(page, "harbour-s1")).to_be_focused()
        page.set_viewport_size({"width": 800, "height": 700})
        expect(clip_of(page, "harbour-s1")).to_be_focused()


def test_escape_in_the_search_leaves_the_selection(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=2)) as seen:
        page = seen.page
        clip_of(page, "harbour-s1").click(modifiers=["Shift"])
        page.keyboard.press("/")
        page.keyboard.type("nothing")
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        expect(page.locator(".cell")).to_have_count(2)
        expect(page.get_by_text("1 selected")).to_be_visible()


def test_who_points_at_a_clip_after_a_choice_gives_it_the_keys(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=5)) as seen:
        page = seen.page
        page.get_by_label("seed", exact=True).focus()
        clip_of(page, "harbour-s1").hover()
        page.keyboard.press("4")
        expect(page.locator(".tally")).to_have_text("1 picked")
        expect(page.locator(".cell")).to_have_count(5)
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog").get_by_role("heading", name="harbour-s1")).to_be_visible()


def test_jobs_without_the_column_follow_one_another(opened: Open) -> None:
    jobs = [a_job(f"s{n}", key=f"{n:064}", axes={"seed": str(n)}) for n in (1, 2)]
    alone = [a_job(f"x{n}", key=f"{n:063}f", axes={}) for n in range(3000)]
    with opened(*jobs, *alone, axes=["seed"]) as seen:
        labels = seen.page.locator(".label").all_inner_texts()
        assert labels[:5] == ["seed 1", "seed 2", "x0", "x1", "x2"]
        expect(seen.page.locator(".hole")).to_have_count(0)
        assert seen.page.locator(".cells").nth(1).locator(".cell").count() > 1


def test_seeds_of_each_jobs_own_leave_no_field_of_holes(opened: Open) -> None:
    jobs = [a_job(f"d{n}", key=f"{n:064}", axes={"pair": f"p{n}", "seed": f"{n}"}) for n in range(50)]
    with opened(*jobs) as seen:
        expect(clip_of(seen.page, "d1")).to_be_visible()
        expect(seen.page.locator(".hole")).to_have_count(0)


def test_two_jobs_in_one_place_stand_one_under_the_other(opened: Open) -> None:
    axes = [{"pair": "a", "seed": seed} for seed in ("1", "2", "1", "1")]
    jobs = [a_job(f"t{n}", key=f"{n:064}", axes=each) for n, each in enumerate(axes)]
    with opened(*jobs) as seen:
        expect(seen.page.locator(".head h3")).to_have_text(["a", "a", "a"])
        expect(seen.page.locator(".cells").first.locator(".cell")).to_have_count(2)
        expect(seen.page.locator(".hole")).to_have_count(2)


def test_any_label_and_any_axis_can_be_narrowed_to_and_left(opened: Open) -> None:
    jobs = [a_job(f"t{n}", key=f"{n:064}", axes={"__proto__": each}) for n, each in enumerate(("", "b", "all"))]
    with opened(*jobs, axes=["__proto__"]) as seen:
        chooser = seen.page.get_by_label("__proto__", exact=True)
        for index, shown in ((1, ["t0"]), (3, ["t2"]), (0, ["t0", "t1", "t2"])):
            chooser.select_option(index=index)
            assert names_in_the_list(seen.page) == shown


def test_choices_of_thousands_of_labels_are_made_once(opened: Open) -> None:
    jobs = [a_job(f"t{n}", key=f"{n:064}", axes={"take": str(n), "pair": str(n % 2)}) for n in range(4000)]
    with opened(*jobs, axes=["take", "pair"]) as seen:
        page = seen.page
        expect(page.locator(".choices option")).to_have_count(4016)
        page.evaluate("document.querySelectorAll('.choices option').forEach((option) => (option.first = true))")
        page.get_by_role("searchbox", name="Search").press_sequentially("t12")
        expect(page.locator(".showing")).to_have_text("111 of 4000 shown")
        page.get_by_label("take", exact=True).select_option("3")
        page.get_by_label("take", exact=True).select_option("-1")
        assert page.evaluate("[...document.querySelectorAll('.choices option')].every((option) => option.first)")
        page.get_by_label("Columns").focus()
        page.get_by_label("Columns").select_option("")
        expect(page.get_by_label("Columns")).to_be_focused()
        page.get_by_label("pair", exact=True).select_option("1")
        page.get_by_role("searchbox", name="Search").fill("nothing like it")
        page.get_by_role("button", name="Show all").click()
        expect(page.get_by_label("pair", exact=True)).to_have_value("-1")
        expect(page.locator(".showing")).to_have_text("")


@pytest.mark.parametrize("width", [360, 420])
def test_on_a_narrow_screen_every_filter_is_in_sight(opened: Open, width: int) -> None:
    states = ("done", "ready", "submitted", "planned", "in_doubt", "failed", "rejected")
    jobs = [a_job(f"{n}", state, key=f"{n:064}", axes={"pair": f"p{n}", "seed": "1"}) for n, state in enumerate(states)]
    with opened(*jobs, options={"viewport": {"width": width, "height": 800}}) as seen:
        for each in seen.page.locator(".filters button, .choices .choice").all():
            place = each.bounding_box()
            assert place is not None
            assert place["x"] >= 0
            assert place["x"] + place["width"] <= width


def test_a_rejected_clip_can_still_be_compared(opened: Open, clip: Path, tmp_path: Path) -> None:
    with opened(*a_sweep(clip, tmp_path, seeds=2)) as seen:
        page = seen.page
        page.get_by_role("group", name="Verdict on harbour-s2").get_by_role("button", name="Reject").click()
        page.mouse.move(0, 0)
        page.keyboard.press("ArrowLeft")
        until(page, "[...document.querySelectorAll('.cell img')].every((image) => image.complete)")
        page.screenshot(path=tmp_path / "seen.png")
        boxes = [page.locator(".cell .screen").nth(at).bounding_box() for at in (0, 1)]
        with Image.open(tmp_path / "seen.png") as picture:
            middles = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes if box]
            kept, rejected = (max(picture.convert("RGB").crop((x, y, x + 1, y + 1)).tobytes()) for x, y in middles)
    assert 0.35 * kept < rejected < 0.9 * kept


def test_other_sizes_leave_the_reader_where_they_were(opened: Open) -> None:
    jobs = a_product(pairs=100, seeds=3)
    with opened(*jobs, options={"viewport": {"width": 1280, "height": 900}}) as seen:
        page = seen.page
        clip_of(page, "p0-s0").hover()
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
        expect(clip_of(page, "p50-s0")).to_be_in_viewport()
        page.get_by_role("slider", name="Size").evaluate(
            "(size) => { size.value = 720; size.dispatchEvent(new Event('input')); }"
        )
        near = page.locator(".open").evaluate_all(
            "(all) => all.filter((each) => each.getBoundingClientRect().top > 0).map((each) => each.ariaLabel)"
        )
        assert near[0].startswith(("p49-", "p48-", "p50-"))


def test_names_of_any_letters_come_back_from_the_file(opened: Open) -> None:
    chance = random.Random(7)
    odd = "\x00\x07\x1b\x7f\x80\x85\xa0\xad\u061c\u200b\u2028\u2029\u202e\u2066\ufeff\ufffe\uffff\U0001fffe"
    odd += "\"'\\:#{}[],&*!|>%@`-?~ \n\t"
    ranges = ((0x20, 0xD7FF), (0xE000, 0xFFFD), (0x10000, 0x10FFFF))
    names = [
        "".join(
            chance.choice(odd) if chance.random() < 0.4 else chr(chance.randint(*chance.choice(ranges)))
            for _ in range(12)
        )
        for _ in range(400)
    ]
    jobs = [a_job(name, key=f"{number:064}", axes={}) for number, name in enumerate(names)]
    picks = [[job["key"], job["name"], number % 6, names[-number]] for number, job in enumerate(jobs)]
    with opened(*jobs, axes=[], picks=picks, spec="a\u2028picks: 3 #\u2029\x85.yaml") as seen:
        found = exported(seen.page)
    assert [(name, pick.stars, pick.note) for name, pick in found.items()] == [tuple(pick[1:]) for pick in picks]


def test_a_draft_in_a_folder_whose_name_is_no_text_is_still_shown(opened: Open) -> None:
    told = {
        "name": "d",
        "model": "m",
        "resolution": "540p",
        "seed": 1,
        "poster": None,
        "file": "../\udce9t\udce9/d.mp4",
    }
    with opened(a_job(draft=told)) as seen:
        expect(clip_of(seen.page, "harbour-s1")).to_be_visible()
    assert not [line for line in seen.complaints if "URI" in line]
