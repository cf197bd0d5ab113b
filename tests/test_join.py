"""Films out of clips, frame by frame: every clip here is encoded and every film decoded."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from reels import RATE, SIZE, bursts, digest, digests, onsets, pan, reel, shown
from test_render import scene, world

from vidu_run.errors import StorageTrouble
from vidu_run.film.join import Joined, Segment, join
from vidu_run.film.source import FilmTrouble
from vidu_run.film.still import still_of
from vidu_run.local.render import render

FRAME = 512  # ticks of a frame at 24 a second
TICKS = 12288  # a second
OLD = b"the film of yesterday"


def film_of(*clips: Path, audio: bool = True, name: str = "film.mp4") -> tuple[Path, Joined]:
    target = clips[0].parent / name
    return target, join([Segment(clip, clip.stem) for clip in clips], target, {}, audio)


def seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        return float(container.duration or 0) / av.time_base


def size(path: Path) -> tuple[int, int]:
    with av.open(str(path)) as container:
        return container.streams.video[0].width, container.streams.video[0].height


def apart(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    return [reel(tmp_path / f"{name}.mp4", pan(number, count)) for number, (name, count) in enumerate(LENGTHS.items())]


LENGTHS = {"a": 12, "b": 17, "c": 24}


def test_clips_that_are_coded_alike_are_copied_bit_for_bit_one_behind_the_other(three: list[Path]) -> None:
    film, joined = film_of(*three)
    assert digests(film) == [found for clip in three for found in digests(clip)]
    assert [time for time, _ in shown(film)] == [FRAME * number for number in range(53)]
    starts = (Fraction(0), Fraction(12, 24), Fraction(29, 24))
    assert joined == Joined(53, Fraction(53, 24), "remuxed", None, 0, "none", None, True, starts)
    assert seconds(film) == pytest.approx(53 / 24, abs=1e-4)


def test_a_single_clip_makes_a_film_too(three: list[Path]) -> None:
    film, joined = film_of(three[1])
    assert shown(film) == shown(three[1])
    assert (joined.frames, joined.way) == (17, "remuxed")


def test_a_film_can_be_played_from_its_first_bytes(three: list[Path]) -> None:
    film, _ = film_of(*three)
    data = film.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_every_clip_is_a_chapter_and_the_tags_are_read_back(three: list[Path]) -> None:
    titles = ["Dämmerung", "海の見える部屋" * 30, ""]
    tags = {"title": "Three shots", "comment": "prompt: ø\nseed 7", "vidu-run jobs": "a, b, c", "timecode": "no clock"}
    film = three[0].parent / "film.mp4"
    assert join([Segment(*pair) for pair in zip(three, titles, strict=True)], film, tags).chapters
    with av.open(str(film)) as container:
        assert tags.items() <= container.metadata.items()
        chapters = container.chapters()
        assert len(container.streams.video) == 1
    edges = [0, 12 * FRAME, 29 * FRAME, 53 * FRAME]
    assert [(found["start"], found["end"]) for found in chapters] == list(pairwise(edges))
    assert all(found["time_base"] == Fraction(1, TICKS) for found in chapters)
    assert [found["metadata"].get("title", "") for found in chapters] == [titles[0], titles[1][:85], ""]


def test_the_frame_at_a_seam_that_both_clips_have_is_hidden_once(tmp_path: Path) -> None:
    """The pan comes to rest on a picture nowhere: the second clip begins where the first one ends, and goes on."""
    first = reel(tmp_path / "first.mp4", pan(1, 12))
    second = reel(tmp_path / "second.mp4", pan(1, 12, start=22))
    film, joined = film_of(first, second)
    assert (joined.hidden, joined.frames) == (1, 23)
    assert joined.seconds == Fraction(23, 24) + Fraction(1, TICKS)
    assert seconds(film) == pytest.approx(float(joined.seconds), abs=1e-4)
    times = [time for time, _ in shown(film)]
    assert times == [FRAME * number for number in range(12)] + [11 * FRAME + 1 + FRAME * number for number in range(12)]
    assert digests(film) == digests(first) + digests(second)


@pytest.mark.parametrize("step", [1, 2, 4, 12])
def test_the_next_frame_of_a_pan_is_no_twin(tmp_path: Path, step: float) -> None:
    """Of 0.3 to 4 % of the width a frame. In smaller clips the slowest is half a pixel, which the resampling of the
    test's own pictures (another with each version of Pillow) blurs as much as it moves them."""
    size = (320, 180)
    first = reel(tmp_path / "first.mp4", pan(1, 12, step=step, size=size))
    second = reel(tmp_path / "second.mp4", pan(1, 12, start=12 * step, step=step, size=size))
    _, joined = film_of(first, second)
    assert (joined.hidden, joined.frames) == (0, 24)


def test_clips_of_the_local_renderer_meet_in_the_still_they_share(tmp_path: Path) -> None:
    stills = [world(seed, 640, 360) for seed in (1, 2, 3)]
    clips = [tmp_path / "0.mp4", tmp_path / "1.mp4"]
    for clip, first, last in zip(clips, stills, stills[1:], strict=False):
        render(replace(scene(first, last), sound=True), clip)
    film, joined = film_of(*clips)
    seam = Fraction(23, 24) + Fraction(1, TICKS)
    assert joined == Joined(47, seam + 1, "remuxed", None, 1, "kept", None, True, (Fraction(0), seam))
    assert digests(film) == digests(clips[0]) + digests(clips[1])


def test_clips_encoded_in_other_ways_are_twins_all_the_same(tmp_path: Path) -> None:
    first = reel(tmp_path / "first.mp4", pan(1, 12), crf="18")
    second = reel(tmp_path / "second.mp4", pan(1, 12, start=22), crf="30", **{"x264-params": "stitchable=0"})
    film, joined = film_of(first, second)
    assert joined.why == "second.mp4 is encoded with other settings than first.mp4"
    assert (joined.way, joined.hidden, joined.frames, joined.seconds) == ("encoded", 1, 23, Fraction(23, 24))
    assert [time for time, _ in shown(film)] == [FRAME * number for number in range(23)]
    for at, clip, number in ((0, first, 0), (10, first, 10), (11, second, 0), (22, second, 11)):
        distances = [apart(still_of(film, at / 24), still_of(clip, near / 24)) for near in range(12)]
        assert distances.index(min(distances)) == number


def test_a_seek_across_the_seams_finds_the_right_frame(tmp_path: Path) -> None:
    clips = [reel(tmp_path / f"{number}.mp4", pan(1, 12, start=22 * number), g="5") for number in range(3)]
    film, joined = film_of(*clips)
    assert joined.hidden == 2
    starts = [0, 11 * FRAME + 1, 22 * FRAME + 2]
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        for clip, start in reversed([*zip(clips, starts, strict=True)]):
            for time, wanted in zip(range(start, start + 12 * FRAME, FRAME), digests(clip), strict=True):
                container.seek(time, stream=stream)
                sought = next(frame for frame in container.decode(video=0) if (frame.pts or 0) >= time)
                assert (sought.pts, digest(sought)) == (time, wanted)


def test_sound_stays_with_its_pictures_over_many_clips(tmp_path: Path) -> None:
    """A clip's sound is never a whole multiple of its codec's frames; copied, it must not drift all the same."""
    clips = [reel(tmp_path / f"{n}.mp4", pan(n, 13), sound=bursts(13 / 24, [0.2])) for n in range(9)]
    film, joined = film_of(*clips)
    assert (joined.way, joined.audio, joined.audio_why) == ("remuxed", "kept", None)
    wanted = [13 / 24 * number + 0.2 for number in range(9)]
    assert onsets(film) == pytest.approx(wanted, abs=1024 / RATE)
    assert seconds(film) == pytest.approx(9 * 13 / 24, abs=1e-3)


def test_copied_sound_is_the_clips_own_to_the_bit_but_for_what_is_beyond_a_seam(tmp_path: Path) -> None:
    clips = [reel(tmp_path / f"{n}.mp4", pan(n, 13), sound=bursts(13 / 24, [0.1 * n])) for n in range(3)]
    film, _ = film_of(*clips)

    def voices(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    known = [voice for clip in clips for voice in voices(clip)]
    assert set(voices(film)) <= set(known)
    assert len(known) - len(voices(film)) <= 2 * len(clips)


def test_sound_can_be_left_out(tmp_path: Path) -> None:
    clips = [reel(tmp_path / f"{n}.mp4", pan(n, 12), sound=bursts(0.5)) for n in range(2)]
    film, joined = film_of(*clips, audio=False)
    assert (joined.audio, joined.audio_why, joined.way) == ("dropped", "no sound was wanted", "remuxed")
    with av.open(str(film)) as container:
        assert not container.streams.audio


def test_a_clip_without_sound_is_silent_and_the_pictures_are_still_copied(tmp_path: Path) -> None:
    heard = [reel(tmp_path / f"{n}.mp4", pan(n, 13), sound=bursts(13 / 24, [0.2])) for n in range(2)]
    silent = reel(tmp_path / "silent.mp4", pan(5, 13))
    film, joined = film_of(heard[0], silent, heard[1])
    assert (joined.way, joined.audio, joined.audio_why) == ("remuxed", "kept", "silent.mp4 has no sound")
    assert digests(film) == digests(heard[0]) + digests(silent) + digests(heard[1])
    assert onsets(film) == pytest.approx([0.2, 26 / 24 + 0.2], abs=0.005)
    assert seconds(film) == pytest.approx(39 / 24, abs=1e-3)


def test_a_sound_that_ends_before_its_pictures_leaves_a_silence(tmp_path: Path) -> None:
    short = reel(tmp_path / "short.mp4", pan(1, 24), sound=bursts(0.5, [0.2]))
    full = reel(tmp_path / "full.mp4", pan(2, 24), sound=bursts(1, [0.2]))
    film, joined = film_of(short, full)
    assert joined.audio_why == "the sound of short.mp4 does not last as long as its pictures"
    assert onsets(film) == pytest.approx([0.2, 1.2], abs=0.005)


def test_sound_is_cut_with_the_frame_that_is_hidden(tmp_path: Path) -> None:
    clips = [reel(tmp_path / f"{n}.mp4", pan(1, 12, start=22 * n), sound=bursts(0.5, [0.1])) for n in range(6)]
    film, joined = film_of(*clips)
    assert (joined.hidden, joined.audio_why) == (5, None)
    assert onsets(film) == pytest.approx([11 / 24 * n + 0.1 for n in range(6)], abs=1024 / RATE)
    assert seconds(film) == pytest.approx(float(joined.seconds), abs=1e-3)


def test_clips_of_other_sizes_are_shown_whole_with_bars_beside_them(tmp_path: Path) -> None:
    wide = [reel(tmp_path / f"wide{n}.mp4", [Image.new("RGB", (192, 96), "white")] * 6) for n in range(2)]
    tall = reel(tmp_path / "tall.mp4", [_quartered((96, 160))] * 6)
    film, joined = film_of(wide[0], tall, wide[1])
    assert joined.why == "tall.mp4 is 96x160, wide0.mp4 is 192x96"
    assert size(film) == (192, 96)
    picture = np.asarray(still_of(film, 8 / 24), int)
    left, right = (192 - 58) // 2, (192 + 58) // 2
    assert picture[:, : left - 2].mean() < 1
    assert picture[:, right + 2 :].mean() < 1
    quarters = [picture[y, x] for y in (24, 72) for x in (left + 14, right - 14)]
    assert np.abs(np.array(quarters) - [(255, 0, 0), (0, 0, 255), (0, 255, 0), (255, 255, 255)]).max() <= 10
    assert min(picture[48, left + 2 : right - 2].max(axis=1)) > 100
    assert np.asarray(still_of(film, 2 / 24)).min() >= 250


def _quartered(size: tuple[int, int]) -> Image.Image:
    """Four colours, so that what is stretched, cut off or turned is seen."""
    picture = Image.new("RGB", size, "red")
    width, height = size
    for colour, corner in (("blue", (width // 2, 0)), ("lime", (0, height // 2)), ("white", (width // 2, height // 2))):
        picture.paste(colour, (*corner, corner[0] + width // 2, corner[1] + height // 2))
    return picture


def test_of_sizes_that_are_as_common_the_largest_is_taken(tmp_path: Path) -> None:
    small = reel(tmp_path / "small.mp4", pan(1, 6))
    large = reel(tmp_path / "large.mp4", pan(2, 6, size=(320, 192)))
    film, _ = film_of(small, large)
    assert size(film) == (320, 192)
    assert apart(still_of(film, "first").resize(SIZE), still_of(small, "first")) < 6


def test_clips_of_other_rates_keep_their_length(tmp_path: Path) -> None:
    clips = [reel(tmp_path / f"{rate}.mp4", pan(rate, rate // 2), rate=rate) for rate in (24, 30, 60)]
    clips.append(reel(tmp_path / "again.mp4", pan(9, 12)))
    film, joined = film_of(*clips)
    assert joined.why == "30.mp4 is 30 frames a second, 24.mp4 is 24 frames a second"
    assert (joined.frames, joined.seconds) == (48, 2)
    assert [time for time, _ in shown(film)] == [FRAME * number for number in range(48)]
    for number, clip in enumerate(clips):
        assert apart(still_of(film, number / 2), still_of(clip, "first")) < 4
        assert apart(still_of(film, number / 2 + 11 / 24), still_of(clip, "last")) < 8


@pytest.mark.parametrize("codec", ["libx265", "libvpx-vp9"])
def test_another_codec_is_encoded_to_h264(tmp_path: Path, codec: str) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {"cpu-used": "8"}
    clip = reel(tmp_path / "other.mp4", pan(1, 12), codec=codec, **options)
    film, joined = film_of(clip, clip)
    assert joined.why is not None
    assert joined.why.startswith("other.mp4 is ")
    with av.open(str(film)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    assert apart(still_of(film, "last"), still_of(clip, "last")) < 3


def test_a_clip_that_lies_on_its_side_is_turned(tmp_path: Path) -> None:
    clip = reel(tmp_path / "turned.mp4", [_quartered(SIZE)] * 6, turn=90)
    film, joined = film_of(clip)
    assert joined.why == "turned.mp4 lies on its side"
    assert size(film) == SIZE[::-1]
    assert apart(still_of(film, "last"), still_of(clip, "last")) < 4


def test_the_film_says_that_its_colours_are_bt_709_and_they_are(tmp_path: Path) -> None:
    old = reel(tmp_path / "old.mp4", [_quartered(SIZE)] * 6, tags=(5, 2))
    new = reel(tmp_path / "new.mp4", [_quartered(SIZE)] * 6, tags=(1, 1))
    film, _ = film_of(old, new)
    with av.open(str(film)) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (1, 1, 1, 1)
    assert apart(still_of(film, "first"), _quartered(SIZE)) < 4
    assert apart(still_of(film, "last"), _quartered(SIZE)) < 4


def test_a_film_needs_a_clip(tmp_path: Path) -> None:
    with pytest.raises(FilmTrouble, match="needs at least one clip"):
        join([], tmp_path / "film.mp4", {})


@pytest.mark.parametrize("kind", ["missing", "empty", "cut short", "text"])
def test_a_clip_that_cannot_be_read_is_named_and_an_older_film_stays(three: list[Path], kind: str) -> None:
    film, whole = three[0].parent / "film.mp4", three[1].read_bytes()
    film.write_bytes(OLD)
    three[1].unlink()
    if kind != "missing":
        three[1].write_bytes({"empty": b"", "cut short": whole[:-200], "text": b"#EXTM3U\n"}[kind])
    before = sorted(film.parent.iterdir())
    with pytest.raises(FilmTrouble, match=r"^\S+b\.mp4: ") as trouble:
        film_of(*three)
    assert "\n" not in str(trouble.value)
    assert film.read_bytes() == OLD
    assert sorted(film.parent.iterdir()) == before


def test_a_clip_that_breaks_while_the_film_is_written_leaves_the_older_one(tmp_path: Path) -> None:
    """Its ends can be decoded, its middle is noise, so that only the encoding meets it."""
    good = reel(tmp_path / "good.mp4", pan(1, 12, size=(320, 192)))
    bad = reel(tmp_path / "bad.mp4", pan(2, 24), g="8", bf="0", **{"x264-params": "repeat-headers=0"})
    with av.open(str(bad)) as container:
        middle = [packet for packet in container.demux(video=0) if packet.size][8:16]
        spans = [(packet.pos, packet.size) for packet in middle]
    data = bytearray(bad.read_bytes())
    for start, length in spans:
        data[start : start + length] = b"\xff" * length
    bad.write_bytes(data)
    film = tmp_path / "film.mp4"
    film.write_bytes(OLD)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(FilmTrouble, match=r"bad\.mp4: cannot be read as a video"):
        film_of(good, bad)
    assert film.read_bytes() == OLD
    assert sorted(tmp_path.iterdir()) == before


JOINING = """
import resource, sys
from pathlib import Path
from vidu_run.errors import Trouble
from vidu_run.film.join import Segment, join
folder, kind, limit = Path(sys.argv[1]), getattr(resource, sys.argv[2]), int(sys.argv[3])
resource.setrlimit(kind, (limit, limit))
clips = sorted(folder.glob("clip*.mp4")) * int(sys.argv[4])
print("joining", flush=True)
try:
    print(join([Segment(clip, clip.stem) for clip in clips], folder / "film.mp4", {}).way)
except Trouble as trouble:
    sys.exit(f"{int(trouble.code)} {trouble}")
"""


def joining(folder: Path, kind: str, limit: int, times: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", JOINING, str(folder), kind, str(limit), str(times)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_disk_that_takes_no_more_leaves_the_older_film(tmp_path: Path) -> None:
    reel(tmp_path / "clip.mp4", pan(1, 24))
    film = tmp_path / "film.mp4"
    film.write_bytes(OLD)
    ended = joining(tmp_path, "RLIMIT_FSIZE", 20_000, 10)
    _, errors = ended.communicate(timeout=60)
    assert ended.returncode == 1
    assert errors.strip().splitlines()[-1].startswith(f"7 {film}: cannot be written (")
    assert film.read_bytes() == OLD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "film.mp4"]


def test_a_hundred_clips_need_no_more_open_files_than_a_few(tmp_path: Path) -> None:
    for number in range(5):
        reel(tmp_path / f"clip{number}.mp4", pan(number, 12))
    ended = joining(tmp_path, "RLIMIT_NOFILE", 16, 20)
    output, errors = ended.communicate(timeout=100)
    assert (ended.returncode, output.split()) == (0, ["joining", "remuxed"]), errors
    assert len(shown(tmp_path / "film.mp4")) == 1200


def test_a_join_that_is_killed_leaves_the_older_film_and_can_be_done_again(tmp_path: Path) -> None:
    clips = [reel(tmp_path / "clip0.mp4", pan(1, 24)), reel(tmp_path / "clip1.mp4", pan(2, 24, size=(640, 384)))]
    film, part = tmp_path / "film.mp4", tmp_path / "film.mp4.part"
    film.write_bytes(OLD)
    killed = joining(tmp_path, "RLIMIT_NOFILE", 64, 60)
    until = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and killed.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    assert part.exists()
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    assert killed.returncode == -signal.SIGKILL
    assert film.read_bytes() == OLD
    _, joined = film_of(*clips)
    assert joined.frames == len(shown(film)) == 48
    assert not part.exists()


def test_an_account_of_the_older_film_goes_with_it_and_stays_with_it(tmp_path: Path) -> None:
    clip, film, sidecar = reel(tmp_path / "clip.mp4", pan(1, 3)), tmp_path / "film.mp4", tmp_path / "film.json"
    film.write_bytes(OLD)
    sidecar.write_text("{}")
    with pytest.raises(FilmTrouble):
        join([Segment(clip, ""), Segment(tmp_path / "none.mp4", "")], film, {}, sidecar=sidecar)
    assert (film.read_bytes(), sidecar.read_text()) == (OLD, "{}")
    join([Segment(clip, "")], film, {}, sidecar=sidecar)
    assert len(shown(film)) == 3
    assert not sidecar.exists()


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    clip = reel(tmp_path / "clip.mp4", pan(1, 3))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageTrouble, match="cannot be written"):
        join([Segment(clip, "")], tmp_path / "file" / "film.mp4", {})


def test_a_film_takes_the_place_of_one_of_its_clips(three: list[Path]) -> None:
    wanted = digests(three[0]) + digests(three[1])
    join([Segment(clip, "") for clip in three[:2]], three[0], {})
    assert digests(three[0]) == wanted
    assert not list(three[0].parent.glob("*.part"))
