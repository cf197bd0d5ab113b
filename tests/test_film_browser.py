"""A film where it will be seen: in Chromium, which has to play it to its end and find every frame at a seam."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from browser import Visit, visited
from PIL import Image
from playwright.sync_api import Browser
from reels import bursts, pan, reel

from vidu_run.film.join import Joined, Segment, join
from vidu_run.film.still import still_of

pytestmark = pytest.mark.browser

PAGE = "<!doctype html><body style='margin:0'><video muted src='film.mp4' style='display:block'></video>"
READY = """(video) => new Promise((settle, refuse) => {
  video.onerror = () => refuse(new Error(video.error.message));
  if (video.readyState >= 3) settle(); else video.oncanplay = () => settle();
})"""
PLAYED = """(video) => new Promise((settle, refuse) => {
  const times = [];
  const seen = (_, frame) => { times.push(frame.mediaTime); video.requestVideoFrameCallback(seen); };
  video.requestVideoFrameCallback(seen);
  video.onerror = () => refuse(new Error(video.error.message));
  video.onended = () => settle(times);
  video.play().catch(refuse);
})"""
SOUGHT = """(video, time) => new Promise((settle) => {
  video.onseeked = () => requestAnimationFrame(() => requestAnimationFrame(settle));
  video.currentTime = time;
})"""


@pytest.fixture(scope="module", params=["copied", "encoded"])
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Joined]:
    """Three clips of half a second that meet in two twins, with sound."""
    folder = tmp_path_factory.mktemp(request.param)
    crfs = ["21", "21", "21"] if request.param == "copied" else ["21", "24", "21"]
    clips = [
        reel(folder / f"{number}.mp4", pan(1, 12, start=66 * number, step=6), sound=bursts(0.5), crf=crf)
        for number, crf in enumerate(crfs)
    ]
    target = folder / "film.mp4"
    joined = join([Segment(clip, clip.stem) for clip in clips], target, {"title": "Three clips"})
    assert joined.hidden == 2
    (folder / "film.html").write_text(PAGE, encoding="utf-8")
    return target, joined


def nearest(picture: Image.Image, stills: Sequence[Image.Image]) -> int:
    found = np.asarray(picture, float)
    distances = [float(np.abs(found - np.asarray(still, float)).mean()) for still in stills]
    return distances.index(min(distances))


def on_screen(seen: Visit) -> Image.Image:
    return Image.open(BytesIO(seen.page.locator("video").screenshot())).convert("RGB")


def test_a_film_plays_to_its_end_and_lasts_as_long_as_computed(chromium: Browser, film: tuple[Path, Joined]) -> None:
    file, joined = film
    with visited(chromium, file.with_suffix(".html")) as seen:
        video = seen.page.locator("video")
        video.evaluate(READY)
        assert video.evaluate("(video) => video.duration") == pytest.approx(float(joined.seconds), abs=0.001)
        times = video.evaluate(PLAYED)
        assert times == sorted(times)
        assert times[-1] > float(joined.seconds) - 0.2
        assert video.evaluate("(video) => video.currentTime") == pytest.approx(float(joined.seconds), abs=0.05)
        assert seen.complaints == []


def test_a_seek_to_either_side_of_a_seam_shows_that_frame(chromium: Browser, film: tuple[Path, Joined]) -> None:
    file, _ = film
    stills = [still_of(file, (number + 0.5) / 24) for number in range(34)]
    with visited(chromium, file.with_suffix(".html")) as seen:
        video = seen.page.locator("video")
        video.evaluate(READY)
        for number in (33, 0, 11, 10, 22, 21, 12, 23):
            video.evaluate(SOUGHT, (number + 0.5) / 24)
            # A busy machine draws the frame some time after the browser has said that it is there.
            shown = (nearest(on_screen(seen), stills) for _ in range(20))
            assert number in shown
