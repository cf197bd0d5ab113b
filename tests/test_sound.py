"""The sound of rehearsals, by the files it is written into: every clip here is encoded and read back."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from browser import launched
from PIL import Image
from test_render import scene, shown, world

from vidu_run.local.render import FPS, Scene, render
from vidu_run.local.sound import RATE, Samples, bed, follow, glimpse, mix

AAC_FRAME = 1024
KINDS = pytest.mark.parametrize(("sound", "music"), [(True, False), (False, True), (True, True)])


@pytest.fixture(scope="module")
def pair() -> Scene:
    return scene(world(1, 640, 360), world(2, 640, 360))


def heard(path: Path) -> Samples:
    """What a player plays: up to the end that the file states."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        frames = [frame.to_ndarray() for frame in container.decode(stream)]
        return np.concatenate(frames, axis=1)[:, : round(stream.duration * stream.time_base * RATE)]


def rms(samples: npt.NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def per_frame(samples: Samples) -> npt.NDArray[np.float64]:
    step = RATE // FPS
    return np.array([rms(samples[:, at : at + step]) for at in range(0, samples.shape[1], step)])


def lufs(path: Path) -> float:
    """Loudness by EBU R 128, as FFmpeg measures it."""
    graph = av.filter.Graph()
    with av.open(str(path)) as container:
        graph.link_nodes(
            graph.add_abuffer(template=container.streams.audio[0]),
            graph.add("ebur128", "metadata=1"),
            graph.add("abuffersink"),
        ).configure()
        for frame in container.decode(audio=0):
            graph.push(frame)
    graph.push(None)
    loudness = math.nan
    while True:
        try:
            loudness = float(graph.pull().metadata.get("lavfi.r128.I", loudness))
        except (av.EOFError, BlockingIOError):
            return loudness


def pitch(samples: Samples) -> float:
    """The middle of the spectrum's energy, in Hz."""
    power = np.abs(np.fft.rfft(samples[0])) ** 2
    return float((power * np.fft.rfftfreq(samples.shape[1], 1 / RATE)).sum() / power.sum())


def shades(*levels: tuple[int, int]) -> list[npt.NDArray[np.float32]]:
    """Glimpses of frames whose left and right halves are plain."""
    frames = []
    for left, right in levels:
        frame = Image.new("L", (64, 36), left)
        frame.paste(right, (32, 0, 64, 36))
        frames.append(glimpse(frame))
    return frames


def test_a_clip_without_sound_and_music_has_no_audio_stream(tmp_path: Path, pair: Scene) -> None:
    render(pair, tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]


@KINDS
@pytest.mark.parametrize("seconds", [1, 3])
def test_sound_is_stereo_aac_exactly_as_long_as_the_pictures(
    tmp_path: Path, pair: Scene, sound: bool, music: bool, seconds: int
) -> None:
    render(replace(pair, sound=sound, music=music, seconds=seconds), tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (audio.codec_context.name, audio.sample_rate, audio.channels) == ("aac", 48_000, 2)
        assert video.duration * video.time_base == seconds
        assert abs(audio.duration * audio.time_base - seconds) <= AAC_FRAME / RATE
        assert container.duration == pytest.approx(seconds * 1_000_000, abs=1_000_000 * AAC_FRAME / RATE)
        assert audio.start_time == 0
        decoded = sum(frame.samples for frame in container.decode(audio))
        assert seconds * RATE <= decoded <= seconds * RATE + AAC_FRAME


@KINDS
def test_sound_is_quiet_never_clips_and_begins_and_ends_in_silence(
    tmp_path: Path, pair: Scene, sound: bool, music: bool
) -> None:
    render(replace(pair, sound=sound, music=music, seconds=2), tmp_path / "clip.mp4")
    samples = heard(tmp_path / "clip.mp4")
    assert all(0.02 < rms(side) < 0.06 for side in samples)
    assert np.abs(samples).max() < 0.9
    assert -30 < lufs(tmp_path / "clip.mp4") < -22
    assert max(rms(samples[:, :240]), rms(samples[:, -240:])) < 0.1 * rms(samples)


def test_the_pictures_are_the_same_with_sound_and_without(tmp_path: Path, pair: Scene) -> None:
    pictures = []
    for name, asked in (("silent", pair), ("heard", replace(pair, sound=True, music=True))):
        render(asked, tmp_path / f"{name}.mp4")
        with av.open(str(tmp_path / f"{name}.mp4")) as container:
            pictures.append([bytes(packet) for packet in container.demux(video=0)])
    assert pictures[0] == pictures[1]


def test_the_clip_is_loud_where_its_pictures_change(tmp_path: Path, pair: Scene) -> None:
    render(replace(pair, sound=True, seconds=2), tmp_path / "clip.mp4")
    frames = np.stack([frame[:300].astype(float) for frame in shown(tmp_path / "clip.mp4")])
    change = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    loudness = per_frame(heard(tmp_path / "clip.mp4"))
    assert np.corrcoef(change, loudness[1:])[0, 1] > 0.8
    assert loudness[20:28].mean() > 2.5 * loudness[3:7].mean()


def test_pictures_that_stand_still_have_no_swell(tmp_path: Path) -> None:
    render(replace(scene(world(1, 640, 360), world(1, 640, 360)), sound=True, seconds=2), tmp_path / "clip.mp4")
    loudness = per_frame(heard(tmp_path / "clip.mp4"))[4:-4]
    assert 0 < loudness.max() < 2.5 * loudness.min()


def test_a_cut_on_one_side_is_heard_then_and_there() -> None:
    pictures = shades(*[(40, 40)] * 30, *[(200, 40)] * 18)
    loudness = np.stack([per_frame(side[None]) for side in follow(pictures, FPS, 5)])
    left, right = (side / np.median(side) for side in loudness)
    assert abs(int(np.argmax(left)) - 30) <= 1
    assert left.max() > 4
    assert right.max() < 2


def test_bright_pictures_sound_higher_than_dark_ones() -> None:
    dark, middling, bright = (follow(shades(*[(level, level)] * 24), FPS, 5) for level in (25, 128, 230))
    assert 2 * pitch(dark) < pitch(middling)
    assert 1.5 * pitch(middling) < pitch(bright)


@pytest.mark.parametrize("seconds", [1, 5, 16])
def test_chords_share_the_length_of_the_clip_evenly(seconds: int) -> None:
    count = max(2, round(seconds / 2))
    turn = seconds * RATE // count
    samples = bed(seconds, 3)
    assert samples.shape == (2, seconds * RATE)
    notes = [pitches(samples[0, at + turn // 2 : at + turn]) for at in range(0, count * turn, turn)]
    assert all(one != other for one, other in pairwise(notes))
    assert all(one == again for one, again in zip(notes, notes[4:], strict=False))


def pitches(samples: npt.NDArray[np.float32]) -> frozenset[int]:
    """The semitones of the octave that sound loudest."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), RATE)) ** 2
    folded = np.zeros(12)
    for hertz in range(120, 900):
        folded[round(12 * math.log2(hertz / 440)) % 12] += power[hertz]
    return frozenset(int(semitone) for semitone in np.argsort(folded)[-3:])


@KINDS
def test_the_same_seed_sounds_the_same_and_another_seed_does_not(
    tmp_path: Path, pair: Scene, sound: bool, music: bool
) -> None:
    clips = []
    for seed in (7, 7, 8):
        render(replace(pair, seed=seed, sound=sound, music=music), tmp_path / "clip.mp4")
        clips.append(heard(tmp_path / "clip.mp4"))
    assert np.array_equal(clips[0], clips[1])
    assert rms(clips[0] - clips[2]) > 0.5 * rms(clips[0])


def test_both_together_are_the_mix_of_the_two() -> None:
    rush, chords = follow(shades(*[(40, 200), (60, 180)] * 12), FPS, 4), bed(1, 4)
    both = mix([rush, chords])
    for part in (rush, chords):
        assert np.corrcoef(both.ravel(), mix([part]).ravel())[0, 1] > 0.6


@pytest.mark.parametrize("seed", [0, -4, 2**31 - 1, 2**64 + 7])
def test_any_seed_can_be_heard(seed: int) -> None:
    samples = mix([follow(shades(*[(255, 0)] * 12, *[(0, 255)] * 12), FPS, seed), bed(1, seed)])
    assert 0.02 < rms(samples) < 0.05
    assert np.abs(samples).max() < 0.75


@pytest.mark.parametrize("frames", [1, 2, 40])
def test_one_moment_of_change_in_a_long_still_clip_does_not_clip(frames: int) -> None:
    pictures = shades(*[(40, 40)] * 200, *[(240, 240), (20, 20)] * frames, *[(40, 40)] * (184 - 2 * frames))
    samples = mix([follow(pictures, FPS, 5)])
    assert 0.2 < np.abs(samples).max() < 0.71
    assert np.abs(samples).argmax(axis=1) // (RATE // FPS) == pytest.approx(200 + frames, abs=frames + 2)


def test_in_a_long_clip_the_sound_of_a_moment_lies_beside_its_pictures(tmp_path: Path, pair: Scene) -> None:
    render(replace(pair, seconds=12, music=True), tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        packets = sorted(
            (packet.pos, packet.stream.type, float(packet.dts * packet.time_base))
            for packet in container.demux()
            if packet.dts is not None
        )
    at = {"video": 0.0, "audio": 0.0}
    for _, kind, moment in packets:
        at[kind] = moment
        assert abs(at["video"] - at["audio"]) < 0.5
    assert min(at.values()) > 11.9


@pytest.mark.browser
def test_a_clip_with_sound_plays_to_its_end_in_a_browser(tmp_path: Path, pair: Scene) -> None:
    render(replace(pair, sound=True, music=True), tmp_path / "clip.mp4")
    (tmp_path / "page.html").write_text(
        '<!doctype html><video src="clip.mp4"></video><button onclick="video.play()">Play</button>'
        "<script>const video = document.querySelector('video'); let ended = new Promise((settle) => "
        "{ video.onended = () => settle('ended'); video.onerror = () => settle(video.error.message); });</script>"
    )
    with launched() as chromium, chromium.new_page() as page:
        page.goto((tmp_path / "page.html").as_uri())
        page.get_by_role("button").click()
        assert page.evaluate("ended") == "ended"
        assert page.evaluate("video.currentTime") == pytest.approx(1, abs=0.03)
        assert page.evaluate("video.webkitAudioDecodedByteCount") > 1000
        assert page.evaluate("video.webkitDecodedFrameCount") > 0
        assert not page.evaluate("video.muted")
