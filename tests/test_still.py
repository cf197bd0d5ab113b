"""One frame of a clip as a picture, against every frame of the clip decoded in order."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from reels import SIZE, bursts, pan, reel

from vidu_run.errors import UsageTrouble
from vidu_run.film.source import FilmTrouble
from vidu_run.film.still import still_of

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 frames in groups of five, with B-frames."""
    return reel(tmp_path_factory.mktemp("still") / "clip.mp4", pan(1, 24, step=5), g="5", bf="3")


def frames(path: Path) -> list[Pixels]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in container.decode(video=0)]


def which(picture: Image.Image, of: list[Pixels]) -> int:
    """The number of the frame that a picture is; the next best one is far off."""
    distances = [float(np.abs(np.asarray(picture, float) - frame).mean()) for frame in of]
    best, second, *_ = *sorted(distances), float("inf")
    assert best < 1.5 < second
    return distances.index(best)


def patched(clip: Path, target: Path, box: bytes, change: int, value: bytes) -> Path:
    """The clip with some bytes changed, counted from the name of a box."""
    data = bytearray(clip.read_bytes())
    at = data.index(box) + change
    data[at : at + len(value)] = value
    target.write_bytes(data)
    return target


def test_first_and_last_are_the_very_first_and_last_frame(clip: Path) -> None:
    every = frames(clip)
    assert which(still_of(clip, "first"), every) == 0
    assert which(still_of(clip, "last"), every) == len(every) - 1 == 23


def test_every_time_shows_the_frame_that_is_on_screen(clip: Path) -> None:
    every = frames(clip)
    for number in range(24):
        assert which(still_of(clip, number / 24), every) == number
        assert which(still_of(clip, (number + 0.9) / 24), every) == number
    assert which(still_of(clip, 1.0), every) == 23


@pytest.mark.parametrize("seconds", [-0.1, 1.01, 60])
def test_a_time_outside_the_clip_is_refused_with_its_length(clip: Path, seconds: float) -> None:
    with pytest.raises(FilmTrouble, match=rf"clip\.mp4: has no picture at {seconds:g} s, it is 1 s long"):
        still_of(clip, seconds)


@pytest.mark.parametrize("count", [1, 2, 13])
def test_the_last_frame_of_a_short_clip_is_found_too(tmp_path: Path, count: int) -> None:
    short = reel(tmp_path / "short.mp4", pan(2, count, step=5))
    assert which(still_of(short, "last"), frames(short)) == count - 1


def test_a_clip_that_calls_every_frame_a_key_frame_gives_its_true_frames(clip: Path, tmp_path: Path) -> None:
    """A seek then lands in the middle of a group, where nothing can be decoded."""
    lying = patched(clip, tmp_path / "lying.mp4", b"stss", 0, b"free")
    assert which(still_of(lying, "last"), frames(clip)) == 23
    assert which(still_of(lying, 13.5 / 24), frames(clip)) == 13


@pytest.mark.parametrize("seconds", [0.1, 3600])
def test_a_length_that_the_header_gets_wrong_does_not_move_the_last_frame(
    clip: Path, tmp_path: Path, seconds: float
) -> None:
    lying = patched(clip, tmp_path / "lying.mp4", b"mdhd", 20, struct.pack(">I", round(seconds * 12288)))
    assert which(still_of(lying, "last"), frames(clip)) == 23


def test_what_an_edit_list_cuts_off_is_not_shown(clip: Path, tmp_path: Path) -> None:
    """The last frame on screen is the last one inside the cut, not the last one in the file."""
    cut = patched(clip, tmp_path / "cut.mp4", b"elst", 12, struct.pack(">I", 500))
    assert which(still_of(cut, "last"), frames(clip)) == 11


@pytest.mark.parametrize("matrix", [1, 5])
@pytest.mark.parametrize("span", [1, 2])
def test_colours_come_out_as_they_went_in_whatever_the_tags(tmp_path: Path, matrix: int, span: int) -> None:
    colours = (200, 40, 30), (30, 160, 60), (40, 60, 190), (220, 220, 40)
    for number, colour in enumerate(colours):
        still = Image.new("RGB", SIZE, colour)
        tagged = reel(tmp_path / f"{number}.mp4", [still] * 3, tags=(matrix, span), crf="8")
        assert np.abs(np.asarray(still_of(tagged, "last"), float) - colour).max() <= 4


def test_a_clip_without_colour_tags_is_read_by_its_size_as_browsers_do(tmp_path: Path) -> None:
    small = reel(tmp_path / "small.mp4", [Image.new("RGB", SIZE, (200, 40, 30))] * 2, crf="8")
    assert np.abs(np.asarray(still_of(small, "first"), float) - (200, 40, 30)).max() <= 4


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_clip_is_shown_upright(tmp_path: Path, turn: int) -> None:
    """The turn is what FFmpeg reads from the file."""
    stored = Image.new("RGB", SIZE, "navy")
    stored.paste("red", (0, 0, 40, 40))
    clip = reel(tmp_path / "turned.mp4", [stored] * 3, turn=turn)
    with av.open(str(clip)) as container:
        anticlockwise = next(container.decode(video=0)).rotation
    upright = np.asarray(stored.rotate(anticlockwise, expand=True), float)
    assert np.abs(np.asarray(still_of(clip, "last"), float) - upright).mean() < 6


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    squeezed = reel(tmp_path / "squeezed.mp4", pan(1, 3), **{"x264-params": "sar=2/1"})
    assert still_of(squeezed, "last").size == (320, 96)


def test_what_is_no_whole_video_is_refused_in_one_sentence_with_its_name(clip: Path, tmp_path: Path) -> None:
    whole = clip.read_bytes()
    broken = {
        "missing": None,
        "empty": b"",
        "short": whole[: len(whole) * 2 // 3],
        "text": b"#EXTM3U\nfile:///etc/passwd\n",
        "noise": b"\0\0\0\x18ftypisom" + bytes(range(256)) * 8,
        "headless": whole.replace(b"avc1", b"\0\0\0\0").replace(b"trak", b"free"),
    }
    for name, content in broken.items():
        file = tmp_path / f"{name}.mp4"
        if content is not None:
            file.write_bytes(content)
        for position in ("first", "last", 0.5):
            with pytest.raises(UsageTrouble) as trouble:
                still_of(file, position)
            assert str(trouble.value).startswith(f"{file}: ")
            assert "\n" not in str(trouble.value)


def test_a_file_with_only_sound_has_no_pictures(tmp_path: Path) -> None:
    sound = bursts(0.5)
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(FilmTrouble, match=r"sound\.mp4: has no pictures"):
        still_of(tmp_path / "sound.mp4", "last")
