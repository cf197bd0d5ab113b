"""The local renderer, by the files it writes: every video here is encoded and read back."""

from __future__ import annotations

import io
import math
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from vidu_run.local.camera import View, estimate, grid
from vidu_run.local.render import Scene, render

Pixels = npt.NDArray[np.uint8]
SHARES = [step / 30 for step in range(6, 25)]


@cache
def world(seed: int, width: int, height: int) -> Image.Image:
    """A picture with detail at every size, like a photograph's, and colour."""
    chance = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(7):
        cells = chance.integers(0, 256, (3 * 2**octave, 5 * 2**octave, 3), dtype=np.uint8)
        layer = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(layer) * np.float32(0.62**octave)
    low, high = total.min(), total.max()
    return Image.fromarray(((total - low) * (255 / (high - low))).astype(np.uint8))


def grainy(picture: Image.Image) -> Image.Image:
    grain = np.random.default_rng(1).normal(0, 12, (picture.height, picture.width, 1))
    return Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8))


def encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def scene(first: Image.Image, last: Image.Image, resolution: str = "360p", seed: int = 7) -> Scene:
    return Scene(encoded(first), encoded(last), 1, resolution, seed, f"rehearsal · seed {seed}", quick=True)


def shown(path: Path) -> list[Pixels]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in container.decode(video=0)]


def likeness(one: Pixels, other: Pixels) -> float:
    """PSNR in dB."""
    return 10 * math.log10(255**2 / max(float(np.mean((one.astype(float) - other) ** 2)), 1e-9))


@pytest.fixture(scope="module")
def pair() -> Scene:
    return scene(world(1, 640, 360), world(2, 640, 360))


@pytest.mark.parametrize(
    ("still", "resolution", "size"),
    [
        ((1280, 720), "360p", (640, 360)),
        ((90, 160), "540p", (540, 960)),
        ((1023, 577), "540p", (958, 540)),
        ((500, 500), "360p", (360, 360)),
        ((160, 90), "720p", (1280, 720)),
        ((90, 160), "1080p", (1080, 1920)),
    ],
)
def test_the_short_side_is_the_resolution_and_the_shape_is_the_first_frames(
    tmp_path: Path, still: tuple[int, int], resolution: str, size: tuple[int, int]
) -> None:
    target = tmp_path / "clip.mp4"
    rendered = render(scene(Image.new("RGB", still, "teal"), Image.new("RGB", (300, 200), "navy"), resolution), target)
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == size == (rendered.width, rendered.height)


def test_the_file_is_a_video_that_browsers_play_from_its_first_bytes(tmp_path: Path, pair: Scene) -> None:
    rendered = render(replace(pair, seconds=2), tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
        assert (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range) == (1, 1, 1, 1)
        assert stream.average_rate == rendered.fps == 24
        assert container.duration == 2_000_000
        assert sum(1 for _ in container.decode(stream)) == rendered.frames == 48
    data = (tmp_path / "clip.mp4").read_bytes()
    assert rendered.bytes == len(data)
    assert [kind for kind in boxes(data) if kind != b"free"] == [b"ftyp", b"moov", b"mdat"]


def boxes(data: bytes) -> list[bytes]:
    kinds, at = [], 0
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        kinds.append(kind)
        at += length
    return kinds


def test_the_file_says_that_it_is_a_rehearsal_and_no_models_work(tmp_path: Path, pair: Scene) -> None:
    render(pair, tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert "Rehearsal" in container.metadata["title"]
        assert "vidu-run" in container.metadata["comment"]
        assert "not the output of a video model" in container.metadata["comment"]


@pytest.mark.parametrize(("quick", "size"), [(True, (640, 360)), (False, (1280, 720))])
def test_the_first_and_last_video_frame_are_the_stills(tmp_path: Path, quick: bool, size: tuple[int, int]) -> None:
    first, last = grainy(world(1, *size)), grainy(world(2, *size))
    render(replace(scene(first, last, f"{size[1]}p"), quick=quick), tmp_path / "clip.mp4")
    frames = shown(tmp_path / "clip.mp4")
    assert likeness(frames[0], np.asarray(first)) > 35
    assert likeness(frames[-1], np.asarray(last)) > 35


def test_a_last_frame_of_another_shape_is_cut_to_the_firsts_and_never_squeezed(tmp_path: Path) -> None:
    tall = world(2, 640, 800)
    render(scene(world(1, 640, 360), tall), tmp_path / "clip.mp4")
    assert likeness(shown(tmp_path / "clip.mp4")[-1], np.asarray(tall.crop((0, 220, 640, 580)))) > 35


def test_a_photograph_lying_on_its_side_is_stood_up(tmp_path: Path) -> None:
    lying = Image.new("RGB", (160, 90), "teal")
    exif = lying.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    lying.save(buffer, "JPEG", exif=exif)
    rendered = render(replace(scene(lying, lying), first=buffer.getvalue()), tmp_path / "clip.mp4")
    assert (rendered.width, rendered.height) == (360, 640)


def test_transparent_places_are_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (160, 90), (200, 0, 0, 0))
    render(scene(clear, clear), tmp_path / "clip.mp4")
    assert shown(tmp_path / "clip.mp4")[0].min() > 250


def test_the_badge_is_on_the_inner_frames_only_and_only_in_its_corner(tmp_path: Path) -> None:
    still = Image.new("RGB", (640, 360), (90, 140, 190))
    render(scene(still, still), tmp_path / "clip.mp4")
    frames = shown(tmp_path / "clip.mp4")
    changed = [np.abs(frame.astype(int) - (90, 140, 190)).max(axis=2) > 40 for frame in frames]
    assert not changed[0].any()
    assert not changed[-1].any()
    for inner in changed[1:-1]:
        assert inner[-60:, :200].sum() > 500
        assert not inner[:-60].any()
        assert not inner[:, 200:].any()


@pytest.mark.parametrize("label", ["", " \n ", "a label far too long for the frame " * 9])
def test_a_label_that_is_blank_or_too_long_still_marks_the_clip_within_the_frame(tmp_path: Path, label: str) -> None:
    still = Image.new("RGB", (360, 640), (90, 140, 190))
    render(replace(scene(still, still), label=label), tmp_path / "clip.mp4")
    changed = np.abs(shown(tmp_path / "clip.mp4")[12].astype(int) - (90, 140, 190)).max(axis=2) > 40
    assert changed[-60:].sum() > 500
    assert not changed[:, :6].any()
    assert not changed[:, -6:].any()


def test_the_same_scene_and_seed_give_the_same_bytes_also_side_by_side(tmp_path: Path, pair: Scene) -> None:
    scenes = [replace(pair, quick=quick) for quick in (True, False, True, False)]
    targets = [tmp_path / f"{index}.mp4" for index in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(render, scenes, targets))
    quick, full, quick_again, full_again = (target.read_bytes() for target in targets)
    assert quick == quick_again
    assert full == full_again
    assert quick != full


def test_each_seed_gives_a_visibly_different_middle_and_the_same_ends(tmp_path: Path, pair: Scene) -> None:
    clips = []
    for seed in (0, 1, 2, -4):
        render(replace(pair, seed=seed, label="rehearsal"), tmp_path / "clip.mp4")
        clips.append(shown(tmp_path / "clip.mp4"))
    for index, clip in enumerate(clips):
        for other in clips[:index]:
            assert min(likeness(clip[at], other[at]) for at in (8, 12, 16)) < 30
            assert likeness(clip[0], other[0]) > 40
            assert likeness(clip[-1], other[-1]) > 40


def test_clips_of_one_size_can_be_joined_without_encoding_them_again(tmp_path: Path, pair: Scene) -> None:
    headers = set()
    for seed, seconds in ((1, 1), (2, 2)):
        render(replace(pair, seed=seed, seconds=seconds), tmp_path / "clip.mp4")
        with av.open(str(tmp_path / "clip.mp4")) as container:
            headers.add(container.streams.video[0].codec_context.extradata)
    assert len(headers) == 1
    assert b"stitchable=1" in (tmp_path / "clip.mp4").read_bytes()


def framed(ground: Image.Image, left: int, top: int, width: int) -> Image.Image:
    return ground.resize((640, 360), Image.Resampling.LANCZOS, box=(left, top, left + width, top + width * 9 // 16))


@pytest.mark.parametrize(("left", "top", "width"), [(200, 150, 800), (420, 200, 640), (0, 0, 1280)])
def test_a_camera_move_between_two_views_of_one_place_is_found(left: int, top: int, width: int) -> None:
    ground = world(3, 1280, 720)
    view = estimate(framed(ground, 160, 90, 960).convert("L"), framed(ground, left, top, width).convert("L"))
    assert view is not None
    assert abs(view.turn) == pytest.approx(width / 960, rel=0.01)
    middle = complex(left + width / 2 - 640, top + width * 9 / 32 - 360) / 540
    assert abs(view.shift - middle) < 0.01


def test_a_turned_camera_is_found_and_its_way_back_is_the_inverse() -> None:
    ground = world(3, 1280, 720)
    level, aside = ground.crop((320, 180, 960, 540)), (370, 210, 1010, 570)
    turned = ground.rotate(7, Image.Resampling.BICUBIC).crop(aside)
    there, back = estimate(level.convert("L"), turned.convert("L")), estimate(turned.convert("L"), level.convert("L"))
    assert there is not None
    assert back is not None
    assert abs(math.degrees(math.atan2(there.turn.imag, there.turn.real))) == pytest.approx(7, abs=0.1)
    assert there.inverse().turn == pytest.approx(back.turn, abs=0.003)
    assert there.inverse().shift == pytest.approx(back.shift, abs=0.003)


@pytest.mark.parametrize("turn", [0.5 + 0.1j, 1 + 0j, 1.7 - 0.2j])
def test_the_parts_of_a_camera_move_add_up_to_the_whole(turn: complex) -> None:
    view, points = View(turn, 0.3 - 0.1j), grid(4, 3, 16 / 9)
    assert view.power(0.3).at(view.power(0.7).at(points)) == pytest.approx(view.at(points))
    assert view.inverse().at(view.at(points)) == pytest.approx(points)
    assert view.power(0).at(points) == pytest.approx(points)


@pytest.mark.parametrize("other", [world(5, 640, 360), Image.new("RGB", (640, 360), "teal"), world(3, 640, 360)])
def test_unlike_pictures_and_a_camera_that_stands_still_have_no_move(other: Image.Image) -> None:
    assert estimate(world(3, 640, 360).convert("L"), other.convert("L")) is None


def test_a_push_in_passes_through_the_views_between_where_a_dissolve_lays_one_over_the_other(tmp_path: Path) -> None:
    ground = world(3, 1280, 720)
    push = scene(framed(ground, 0, 0, 1280), framed(ground, 213, 120, 853))
    views = [framed(ground, round(share * 213), round(share * 120), 1280 - round(share * 427)) for share in SHARES]
    closest = {}
    for quick in (False, True):
        render(replace(push, quick=quick), tmp_path / "clip.mp4")
        middle = shown(tmp_path / "clip.mp4")[12][:300]
        closest[quick] = max(likeness(middle, np.asarray(view)[:300]) for view in views)
    assert closest[False] > 28
    assert closest[False] > closest[True] + 6


@pytest.mark.parametrize("which", ["first", "last"])
@pytest.mark.parametrize("data", [b"", b"<html>502</html>", encoded(world(1, 64, 36))[:900]])
def test_an_unreadable_image_is_named_and_nothing_is_left_behind(
    tmp_path: Path, pair: Scene, which: str, data: bytes
) -> None:
    broken = replace(pair, first=data) if which == "first" else replace(pair, last=data)
    with pytest.raises(ValueError, match=f"the {which} frame cannot be read"):
        render(broken, tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_first_frame_too_long_for_a_video_is_refused(tmp_path: Path, pair: Scene) -> None:
    with pytest.raises(ValueError, match="410x100: longer than 4 to 1"):
        render(replace(pair, first=encoded(Image.new("RGB", (410, 100)))), tmp_path / "clip.mp4")


@pytest.mark.parametrize(("seconds", "resolution"), [(0, "360p"), (17, "360p"), (1, "480p")])
def test_a_length_or_resolution_that_does_not_exist_is_refused(
    tmp_path: Path, pair: Scene, seconds: int, resolution: str
) -> None:
    with pytest.raises(ValueError, match="is not"):
        render(replace(pair, seconds=seconds, resolution=resolution), tmp_path / "clip.mp4")


def test_a_target_that_cannot_be_replaced_keeps_what_it_was_and_no_part_stays(tmp_path: Path, pair: Scene) -> None:
    (tmp_path / "clip.mp4").mkdir()
    with pytest.raises(OSError):
        render(pair, tmp_path / "clip.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_an_earlier_video_is_replaced_whole(tmp_path: Path, pair: Scene) -> None:
    target = tmp_path / "clip.mp4"
    target.write_bytes(b"earlier")
    rendered = render(pair, target)
    assert target.stat().st_size == rendered.bytes > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
