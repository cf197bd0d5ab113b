from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from browser import chromium_page
from PIL import Image
from playwright.sync_api import Page, expect
from test_page import a_document, a_job, encode_clip

from vidu_run.report.page import write_page
from vidu_run.report.poster import frame_thumbnail, make_poster

pytestmark = pytest.mark.browser

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    "harmless \u202egnp.4pm\u202c text",
    "<!--<script>",
]

PLAYED_A_WHILE = "(video) => new Promise((settle) => (video.ontimeupdate = () => video.currentTime > 0.2 && settle()))"


@dataclass(slots=True)
class Visit:
    """What a browser met while it had the page open."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def from_elsewhere(self) -> list[str]:
        return [url for url in self.requests if not url.startswith(("file:", "data:"))]


@contextmanager
def visit(folder: Path, document: dict[str, Any], **options: Any) -> Iterator[Visit]:
    target = folder / "report.html"
    write_page(document, target)
    with chromium_page(**options) as page:
        seen = Visit(page)
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("console", lambda message: seen.complaints.append(message.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (seen.complaints.append(dialog.message), dialog.dismiss()))
        page.goto(target.as_uri())
        yield seen


def a_done_job(folder: Path, name: str = "harbour-s1", **changes: Any) -> dict[str, Any]:
    """A job with a real video, poster and stills, under names that a link must encode."""
    video, poster = f"videos/take #1 100%/{name} ø?.mp4", f"posters/{name} 50%.webp"
    frames = {"first": f"frames/{name} a#.png", "last": f"frames/{name} b?.png"}
    encode_clip(folder / video)
    assert make_poster(folder / video, folder / poster)
    (folder / "frames").mkdir(exist_ok=True)
    for frame in frames.values():
        Image.new("RGB", (320, 180), (90, 120, 160)).save(folder / frame)
        assert frame_thumbnail(folder / frame, folder / f"posters/{Path(frame).stem}.webp")
    thumbs = {f"thumb_{side}": f"posters/{Path(frame).stem}.webp" for side, frame in frames.items()}
    plain = {"file": video, "poster": poster, "bytes": 4200, "took": 93.5}
    return a_job(name, "done", **{**plain, **frames, **thumbs, **changes})


def expect_shown(page: Page, *names: str) -> None:
    expect(page.locator(".card:not([hidden])")).to_have_count(len(names))
    expect(page.locator(".card:not([hidden]) h3 bdi")).to_have_text(names)


def test_the_videos_play_from_a_folder_with_an_awkward_name(tmp_path: Path) -> None:
    folder = tmp_path / "Été 2026 #3 (100%) ?" / "ø 海"
    folder.mkdir(parents=True)
    jobs = [a_done_job(folder, name) for name in ("harbour-s1", "harbour-s2")]

    with visit(folder, a_document(*jobs)) as seen:
        page = seen.page
        expect(page.locator("video")).to_have_count(0)
        for name in ("harbour-s1", "harbour-s2"):
            page.get_by_role("button", name=f"Play {name}").click()
            page.locator("video").evaluate(PLAYED_A_WHILE)
            expect(page.locator("video")).to_have_count(1)
            assert page.evaluate("document.querySelector('video').videoWidth") == 320
        pictures = page.evaluate("[...document.querySelectorAll('.card img')].map((image) => image.naturalWidth)")

    assert pictures == [320] * 5
    assert seen.complaints == []
    assert seen.from_elsewhere() == []


def test_enter_plays_and_escape_puts_the_poster_and_the_focus_back(tmp_path: Path) -> None:
    with visit(tmp_path, a_document(a_done_job(tmp_path))) as seen:
        poster = seen.page.get_by_role("button", name="Play harbour-s1")
        poster.press("Enter")
        expect(seen.page.locator("video")).to_be_focused()
        seen.page.keyboard.press("Escape")
        expect(poster).to_be_focused()
        expect(seen.page.locator("video")).to_have_count(0)

        poster.click()
        seen.page.get_by_role("button", name="Close the video of harbour-s1").click()
        expect(poster).to_be_visible()
        expect(seen.page.locator("video")).to_have_count(0)


def test_a_video_that_is_gone_is_named_instead_of_played(tmp_path: Path) -> None:
    with visit(tmp_path, a_document(a_job(state="done", file="videos/gone.mp4"))) as seen:
        seen.page.get_by_role("button", name="Play harbour-s1").click()
        expect(seen.page.get_by_text("This video could not be opened: videos/gone.mp4")).to_be_visible()


def test_hostile_text_is_shown_as_text_wherever_it_stands(tmp_path: Path) -> None:
    everywhere = ("name", "prompt", "error", "hint", "model", "resolution", "task_id", "sha256")
    jobs = [
        a_job(state="failed", axes={text: text}, request={text: text}, **dict.fromkeys(everywhere, text))
        for text in HOSTILE
    ]
    with visit(tmp_path, a_document(*jobs, spec=HOSTILE[0], notes=HOSTILE, provider=HOSTILE[2])) as seen:
        page = seen.page
        assert page.locator(".prompt").all_text_contents() == HOSTILE
        assert page.locator(".error").all_text_contents() == HOSTILE
        assert page.locator(".notes li").all_text_contents() == HOSTILE
        assert page.locator("h3 bdi").all_text_contents() == HOSTILE
        assert page.locator("h1").text_content() == HOSTILE[0]
        assert page.locator("img, body script:not([type]):not(:last-of-type)").count() == 0

    assert seen.complaints == []
    assert seen.from_elsewhere() == []


def test_a_script_or_a_picture_that_is_not_ours_is_stopped_by_the_policy(tmp_path: Path) -> None:
    with visit(tmp_path, a_document(a_job())) as seen:
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


def test_a_frame_on_the_web_is_linked_without_a_referrer_and_not_loaded(tmp_path: Path) -> None:
    job = a_job(first="https://example.org/a.png", last="https://example.org/b.png")
    with visit(tmp_path, a_document(job)) as seen:
        link = seen.page.get_by_role("link", name="First frame of harbour-s1")
        expect(link).to_have_attribute("href", "https://example.org/a.png")
        expect(link).to_have_attribute("rel", "noreferrer noopener")

    assert seen.from_elsewhere() == []


def test_a_job_in_doubt_comes_first_with_its_commands(tmp_path: Path) -> None:
    hint = "Look in your account.\nIf it is there:\n  vidu-run resolve jobs.yaml ridge-s1 --task TASK_ID"
    document = a_document(a_job("harbour-s1"), a_job("harbour-s2", "failed"), a_job("ridge-s1", "in_doubt", hint=hint))

    with visit(tmp_path, document) as seen:
        expect_shown(seen.page, "ridge-s1", "harbour-s1", "harbour-s2")
        expect(seen.page.get_by_role("heading", name="Needs your word")).to_be_visible()
        expect(seen.page.locator(".hint code")).to_have_text("vidu-run resolve jobs.yaml ridge-s1 --task TASK_ID")


def test_without_doubt_nothing_asks_for_a_word(tmp_path: Path) -> None:
    with visit(tmp_path, a_document(a_job())) as seen:
        expect(seen.page.get_by_text("harbour-s1")).to_be_visible()
        expect(seen.page.get_by_role("heading", name="Needs your word")).to_be_hidden()


def test_the_state_and_the_search_narrow_what_is_shown(tmp_path: Path) -> None:
    document = a_document(
        a_job("harbour-s1", prompt="A Boat leaves"),
        a_job("harbour-s2", "failed", prompt="a boat returns", error="moderation"),
        a_job("ridge-s1", "failed", prompt="clouds", axes={"pair": "ridge", "seed": "1"}),
        a_job("ridge-s2", "in_doubt", prompt="clouds"),
    )
    with visit(tmp_path, document) as seen:
        page = seen.page
        search = page.get_by_role("searchbox", name="Search")
        failed = page.get_by_role("button", name="failed 2")
        failed.click()
        expect(failed).to_have_attribute("aria-pressed", "true")
        expect_shown(page, "harbour-s2", "ridge-s1")
        expect(page.get_by_role("status")).to_have_text("2 of 4 shown")
        expect(page.get_by_role("heading", name="Needs your word")).to_be_hidden()

        search.fill("BOAT moderation")
        expect_shown(page, "harbour-s2")
        search.fill("pair=ridge")
        expect_shown(page, "ridge-s1")
        failed.click()
        search.fill("boat")
        expect_shown(page, "harbour-s1", "harbour-s2")

        search.fill("nothing like it")
        expect_shown(page)
        page.get_by_role("button", name="Show all").click()
        expect_shown(page, "ridge-s2", "harbour-s1", "harbour-s2", "ridge-s1")
        expect(search).to_be_focused()


def test_the_slash_key_leads_to_the_search(tmp_path: Path) -> None:
    with visit(tmp_path, a_document(a_job())) as seen:
        seen.page.keyboard.press("/")
        search = seen.page.get_by_role("searchbox", name="Search")
        expect(search).to_be_focused()
        seen.page.keyboard.type("a/b")
        expect(search).to_have_value("a/b")


def test_a_card_tells_what_is_known_of_its_job(tmp_path: Path) -> None:
    job = a_done_job(tmp_path, seed=9, task_id="944", sha256="cd" * 32)
    with visit(tmp_path, a_document(job, credits={"estimated": 1480, "charged": 1400}, money="$2.40")) as seen:
        card = seen.page.locator(".card")
        facts = "viduq2-turbo, 5 s, 720p, seed 9, 40 credits, took 1 min 34 s"
        assert ", ".join(card.locator(".facts li").all_inner_texts()) == facts
        assert card.locator(".chips li").all_inner_texts() == ["pair harbour", "seed 7"]
        expect(card.locator(".state")).to_have_text("done")
        assert seen.page.locator(".totals dd").all_inner_texts() == ["1", "1,480", "1,400", "$2.40"]

        card.get_by_text("Details").click()
        expect(card.locator("pre")).to_have_text('{ "prompt": "a boat leaves", "seed": 7 }')
        for text in ("944", "ab" * 32, "cd" * 32, "4 kB"):
            expect(card.locator("details dl")).to_contain_text(text)


@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_the_page_never_scrolls_sideways(tmp_path: Path, width: int) -> None:
    long = "w" * 120
    command = f"vidu-run resolve jobs.yaml {long} --task TASK_ID"
    words = dict.fromkeys(("prompt", "error", "model"), long)
    job = a_job(long, "in_doubt", hint=command, axes={long: long}, request={long: long}, **words)
    states = ("planned", "submitted", "ready", "in_doubt", "failed", "rejected", "abandoned")
    document = a_document(job, *(a_job(state, state) for state in states), spec=f"{long}.yaml", notes=[long])

    with visit(tmp_path, document, viewport={"width": width, "height": 800}) as seen:
        seen.page.get_by_text("Details").first.click()
        expect(seen.page.locator("pre")).to_be_visible()
        assert seen.page.evaluate("document.documentElement.scrollWidth") == width


def test_a_long_command_can_be_read_to_its_end(tmp_path: Path) -> None:
    command = f"vidu-run resolve jobs.yaml {'w' * 120} --resubmit"
    document = a_document(a_job(state="in_doubt", hint=command))

    with visit(tmp_path, document, viewport={"width": 360, "height": 800}) as seen:
        code = seen.page.locator(".hint code")
        expect(code).to_have_text(command)
        hidden = "(code) => { code.scrollLeft = 1e6; return code.scrollWidth - code.clientWidth - code.scrollLeft; }"
        assert code.evaluate("(code) => code.scrollWidth > code.clientWidth")
        assert code.evaluate(hidden) < 1


def test_two_thousand_jobs_are_ready_soon_and_only_those_near_are_built(tmp_path: Path) -> None:
    jobs = [a_job(f"harbour-s{number}", prompt="a boat leaves " * 20) for number in range(2000)]
    with visit(tmp_path, a_document(*jobs), viewport={"width": 1280, "height": 900}) as seen:
        page = seen.page
        expect(page.get_by_text("harbour-s0", exact=True)).to_be_visible()
        ready = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        assert ready < 3000
        assert page.locator("h3").count() < 100

        page.keyboard.press("End")
        expect(page.get_by_text("harbour-s1999", exact=True)).to_be_in_viewport()
        expect(page.get_by_text("harbour-s0", exact=True)).to_have_count(0)
        page.get_by_role("searchbox").fill("harbour-s1234")
        expect(page.get_by_text("harbour-s1234", exact=True)).to_be_in_viewport()


def test_every_card_is_on_paper(tmp_path: Path) -> None:
    jobs = [a_job(f"harbour-s{number}") for number in range(200)]
    with visit(tmp_path, a_document(*jobs), viewport={"width": 1280, "height": 900}) as seen:
        expect(seen.page.get_by_text("harbour-s0", exact=True)).to_be_visible()
        assert seen.page.locator("h3").count() < 200
        seen.page.pdf(path=tmp_path / "page.pdf")
        seen.page.emulate_media(media="print")
        assert seen.page.locator("h3").count() == 200
        expect(seen.page.locator(".toolbar")).to_be_hidden()


def test_without_script_the_page_says_where_the_videos_are(tmp_path: Path) -> None:
    with visit(tmp_path, a_document(a_job()), java_script_enabled=False) as seen:
        expect(seen.page.locator(".noscript")).to_contain_text("in the folder videos beside it")
        expect(seen.page.locator(".noscript")).to_be_visible()
        expect(seen.page.get_by_role("heading", name="jobs.yaml")).to_be_visible()
        expect(seen.page.locator(".toolbar")).to_be_hidden()
