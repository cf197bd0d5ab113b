"""The watermark, by the pixels of real clips: where it stands, where it does not, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw
from test_render import Pixels, encoded, grainy, likeness, scene, shown, world

from vidu_run.local.mark import DEFAULT_TEXT, Mark, draw
from vidu_run.local.pictures import to_planes
from vidu_run.local.render import Scene, render

GROUND = (90, 140, 190)
POSITIONS = pytest.mark.parametrize("position", [1, 2, 3, 4])
Box = tuple[int, int, int, int]


@pytest.fixture(scope="module")
def plain() -> Scene:
    return still(640, 360)


def still(width: int, height: int) -> Scene:
    picture = Image.new("RGB", (width, height), GROUND)
    return scene(picture, picture)


def clip(asked: Scene, target: Path) -> list[Pixels]:
    render(asked, target)
    return shown(target)


def changed(one: Pixels, other: Pixels, by: int = 20) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.abs(one.astype(int) - other).max(axis=2) > by
    return found


def bounds(mask: npt.NDArray[np.bool_]) -> Box:
    """Left, top, right and bottom of what is set."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def emblem() -> Image.Image:
    """Clear on its left third, half clear red in the middle, solid green on the right: 300 by 200."""
    picture = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
    ImageDraw.Draw(picture).rectangle((100, 0, 199, 199), (255, 0, 0, 128))
    ImageDraw.Draw(picture).rectangle((200, 0, 299, 199), (0, 200, 0, 255))
    return picture


@POSITIONS
def test_the_mark_stands_in_the_corner_that_was_asked_for_on_every_frame(
    tmp_path: Path, plain: Scene, position: int
) -> None:
    frames = clip(replace(plain, mark=Mark(position=position)), tmp_path / "clip.mp4")
    bare = clip(plain, tmp_path / "bare.mp4")
    left, top = (position in (1, 4)), (position in (1, 2))
    corner = np.zeros((360, 640), bool)
    corner[slice(0, 40) if top else slice(320, 360), slice(0, 220) if left else slice(420, 640)] = True
    for frame in frames:
        found = changed(frame, bare[0]) & corner
        assert found.sum() > 800
        box = bounds(found)
        assert box[2] - box[0] > 100
    assert not changed(frames[0], bare[0])[~corner].any()
    assert not changed(frames[-1], bare[-1])[~corner].any()


@pytest.mark.parametrize("position", [1, 2, 3])
def test_in_the_middle_of_a_clip_nothing_but_the_mark_is_changed(tmp_path: Path, plain: Scene, position: int) -> None:
    marked = clip(replace(plain, mark=Mark(position=position)), tmp_path / "clip.mp4")[12]
    bare = clip(plain, tmp_path / "bare.mp4")[12]
    left, top, right, bottom = draw(Mark(position=position), 640, 360).box
    inside = np.zeros((360, 640), bool)
    inside[top:bottom, left:right] = True
    apart = np.abs(marked.astype(int) - bare).max(axis=2)
    assert apart[inside].mean() > 30
    assert apart[~inside].mean() < 0.1
    assert not (apart[~inside] > 20).any()


@POSITIONS
def test_planes_outside_of_the_mark_are_untouched_and_the_frame_given_stays_as_it_was(position: int) -> None:
    planes = to_planes(world(4, 640, 360))
    before = [np.asarray(plane).copy() for plane in planes]
    stamp = draw(Mark(position=position), 640, 360)
    for index, (plane, marked) in enumerate(zip(before, stamp.on(planes), strict=True)):
        half = 2 if index else 1
        left, top, right, bottom = (edge // half for edge in stamp.box)
        apart = plane != np.asarray(marked)
        assert apart[top:bottom, left:right].any()
        apart[top:bottom, left:right] = False
        assert not apart.any()
        assert np.array_equal(plane, np.asarray(planes[index]))


@pytest.mark.parametrize("mark", [Mark(position=2), Mark(picture=encoded(emblem()), position=4)])
def test_the_outer_frames_are_the_stills_outside_of_the_mark(tmp_path: Path, mark: Mark) -> None:
    first, last = grainy(world(1, 640, 360)), grainy(world(2, 640, 360))
    frames = clip(replace(scene(first, last), mark=mark), tmp_path / "clip.mp4")
    left, top, right, bottom = draw(mark, 640, 360).box
    outside = np.ones((360, 640), bool)
    outside[top:bottom, left:right] = False
    for frame, picture in ((frames[0], first), (frames[-1], last)):
        assert likeness(frame[outside], np.asarray(picture)[outside]) > 35
        assert likeness(frame[~outside], np.asarray(picture)[~outside]) < 25


def test_the_mark_of_the_first_frame_does_not_shine_through_the_frames_between(tmp_path: Path) -> None:
    """The inner frames are made of the two stills, which carry no mark; half clear, it would show twice."""
    picture = Image.new("RGBA", (60, 40), (255, 255, 255, 100))
    black = Image.new("RGB", (640, 360))
    frames = clip(replace(scene(black, black), mark=Mark(picture=encoded(picture), position=2)), tmp_path / "clip.mp4")
    left, top, right, bottom = draw(Mark(picture=encoded(picture), position=2), 640, 360).box
    for frame in frames:
        assert abs(frame[top + 8 : bottom - 8, left + 8 : right - 8].mean() - 100) < 4


def test_a_picture_is_a_sixth_of_the_width_and_keeps_its_transparency(tmp_path: Path, plain: Scene) -> None:
    frame = clip(replace(plain, mark=Mark(picture=encoded(emblem()), position=3)), tmp_path / "clip.mp4")[12]
    left, top, right, bottom = draw(Mark(picture=encoded(emblem()), position=3), 640, 360).box
    assert abs((right - left) - 640 / 6) <= 2
    assert abs((bottom - top) - 640 / 9) <= 2
    clear, half, solid = (
        frame[top + 10 : bottom - 10, left + third * 36 + 8 : left + third * 36 + 26].mean(axis=(0, 1))
        for third in (0, 1, 2)
    )
    assert np.abs(clear - GROUND).max() < 6
    assert np.abs(half - (172, 70, 95)).max() < 14
    assert np.abs(solid - (0, 200, 0)).max() < 14


def test_a_tall_picture_is_no_higher_than_a_third_of_the_frame() -> None:
    left, top, right, bottom = draw(Mark(picture=encoded(Image.new("RGB", (40, 400))), position=1), 640, 360).box
    assert bottom - top == 120
    assert right - left == 12
    assert min(left, top) > 0


@POSITIONS
@pytest.mark.parametrize("label", ["rehearsal · seed 7", "a label far too long for the frame " * 9])
@pytest.mark.parametrize("size", [(640, 360), (360, 640)])
def test_the_badge_and_the_mark_never_overlap(tmp_path: Path, position: int, label: str, size: tuple[int, int]) -> None:
    asked = replace(still(*size), label=label, mark=Mark(position=position))
    frames = clip(asked, tmp_path / "clip.mp4")
    badge = bounds(changed(frames[12], frames[0]))
    ground = np.broadcast_to(np.array(GROUND, np.uint8), frames[0].shape)
    mark = bounds(changed(frames[0], ground))
    assert badge[2] - badge[0] > 60
    assert mark[2] - mark[0] > 60
    assert badge[2] <= mark[0] or mark[2] <= badge[0] or badge[3] <= mark[1] or mark[3] <= badge[1]
    assert badge[0] < 30


@pytest.mark.parametrize("text", ["", " \n "])
def test_a_mark_without_words_says_what_the_api_s_says(text: str) -> None:
    blank, usual = draw(Mark(text=text), 640, 360), draw(Mark(), 640, 360)
    assert blank.opacity.tobytes() == usual.opacity.tobytes()
    assert DEFAULT_TEXT == "Content generated by AI"
    assert draw(Mark(text="another"), 640, 360).opacity.size != usual.opacity.size


def test_words_too_long_for_the_frame_end_within_it() -> None:
    left, _, right, _ = draw(Mark(text="far too long " * 5_000, position=4), 360, 640).box
    assert 0 < left < 20
    assert 300 < right < 360


@pytest.mark.parametrize("ground", ["white", "black", "red"])
def test_words_can_be_read_on_any_ground(tmp_path: Path, ground: str) -> None:
    picture = Image.new("RGB", (640, 360), ground)
    frames = clip(replace(scene(picture, picture), mark=Mark(position=2)), tmp_path / "clip.mp4")
    assert changed(frames[0], np.asarray(picture), by=90).sum() > 500


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (Mark(position=0), "position 0 is not one of 1 to 4"),
        (Mark(position=5), "position 5 is not one of 1 to 4"),
        (Mark(picture=b"<html>"), "the watermark picture cannot be read"),
        (Mark(picture=b""), "the watermark picture cannot be read"),
        (Mark(picture=encoded(world(1, 64, 36))[:900]), "the watermark picture cannot be read"),
    ],
)
def test_a_mark_that_cannot_be_drawn_is_refused_and_nothing_is_left_behind(
    tmp_path: Path, plain: Scene, mark: Mark, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        render(replace(plain, mark=mark), tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []
