"""The cache of rendered videos, in real folders: what it saves, what it refuses, and what a kill leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import pytest
from PIL import Image
from test_render import encoded, scene, shown

from vidu_run.local.cache import drawn, fingerprint
from vidu_run.local.mark import Mark
from vidu_run.local.render import Abandoned, Scene
from vidu_run.lock import os_lock

DRAW = """
import sys
from pathlib import Path
from vidu_run.local.cache import drawn
from vidu_run.local.render import Scene
first, last, target, cache = map(Path, sys.argv[1:])
drawn(Scene(first.read_bytes(), last.read_bytes(), 16, "540p", 1, "killed"), target, cache)
"""


class Asked:
    """Counts the questions whether to stop, of which a render asks one a frame."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> bool:
        self.times += 1
        return False


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "videos"


@pytest.fixture(scope="module")
def teal() -> Scene:
    return scene(Image.new("RGB", (160, 90), "teal"), Image.new("RGB", (160, 90), "navy"))


def frames_drawn(asked: Scene, target: Path, cache: Path, most: int | None = None) -> int:
    counted = Asked()
    drawn(asked, target, cache, counted, **({} if most is None else {"most": most}))
    return max(0, counted.times - 1)


def kept(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.mp4"))


def parts(*folders: Path) -> list[str]:
    return [path.name for folder in folders for path in folder.iterdir() if path.suffix == ".part"]


def test_the_same_scene_is_rendered_once_and_then_linked(tmp_path: Path, cache: Path, teal: Scene) -> None:
    assert frames_drawn(teal, tmp_path / "one.mp4", cache) == 24
    before = kept(cache)[0].stat()
    assert frames_drawn(replace(teal), tmp_path / "two.mp4", cache) == 0
    (after,) = (path.stat() for path in kept(cache))
    assert (tmp_path / "two.mp4").stat().st_ino == after.st_ino == before.st_ino
    assert after.st_mtime_ns == before.st_mtime_ns
    assert len(shown(tmp_path / "two.mp4")) == 24
    assert parts(tmp_path, cache) == []


def test_a_video_drawn_again_to_its_own_place_leaves_no_part(tmp_path: Path, cache: Path, teal: Scene) -> None:
    for frames in (24, 0, 0):
        assert frames_drawn(teal, tmp_path / "clip.mp4", cache) == frames
    assert parts(tmp_path, cache) == []
    assert len(shown(tmp_path / "clip.mp4")) == 24


def test_an_earlier_video_at_the_target_is_replaced_and_not_written_into(
    tmp_path: Path, cache: Path, teal: Scene
) -> None:
    drawn(teal, tmp_path / "one.mp4", cache)
    drawn(replace(teal, seed=8), tmp_path / "two.mp4", cache)
    drawn(replace(teal, seed=8), tmp_path / "one.mp4", cache)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    assert frames_drawn(teal, tmp_path / "three.mp4", cache) == 0
    assert (tmp_path / "three.mp4").read_bytes() != (tmp_path / "one.mp4").read_bytes()


def other_scenes(teal: Scene) -> dict[str, Scene]:
    """One for each field, in which only that field differs."""
    return {
        "first": replace(teal, first=teal.first + b"\0"),
        "last": replace(teal, last=encoded(Image.new("RGB", (160, 90), "red"))),
        "seconds": replace(teal, seconds=2),
        "resolution": replace(teal, resolution="540p"),
        "seed": replace(teal, seed=8),
        "label": replace(teal, label="another"),
        "quick": replace(teal, quick=False),
        "sound": replace(teal, sound=True),
        "music": replace(teal, music=True),
        "mark": replace(teal, mark=Mark()),
        "facts": replace(teal, facts=(("seed", "7"),)),
    }


def test_each_field_of_a_scene_makes_another_video(teal: Scene) -> None:
    others = other_scenes(teal)
    assert set(others) == {field.name for field in fields(Scene)}
    assert len({fingerprint(one) for one in (teal, *others.values())}) == len(others) + 1


def test_scenes_that_would_read_alike_when_run_together_are_told_apart(teal: Scene) -> None:
    marks = (Mark(position=4), Mark(picture=b""), Mark(picture=b"a"), Mark(text="a"), Mark(text=""))
    facts = ((("a", "bc"),), (("ab", "c"),), (("a", "b"), ("c", "")), (("a", "b\ud800"),))
    facts += ((("astrb", "c"),), (("a", "bstrc"),))
    swapped = replace(teal, first=teal.last, last=teal.first)
    all_of_them = [swapped, *(replace(teal, mark=one) for one in marks), *(replace(teal, facts=one) for one in facts)]
    assert len({fingerprint(one) for one in all_of_them}) == len(all_of_them)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def one_bit_turned(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut_short, emptied, one_bit_turned])
def test_a_damaged_video_is_rendered_anew(
    tmp_path: Path, cache: Path, teal: Scene, damage: Callable[[Path], None]
) -> None:
    drawn(teal, tmp_path / "one.mp4", cache)
    whole = (tmp_path / "one.mp4").read_bytes()
    damage(kept(cache)[0])
    assert frames_drawn(teal, tmp_path / "two.mp4", cache) == 24
    assert (tmp_path / "two.mp4").read_bytes() == whole
    assert frames_drawn(teal, tmp_path / "three.mp4", cache) == 0
    assert (tmp_path / "three.mp4").read_bytes() == whole
    assert len(kept(cache)) == 1


def test_the_bound_is_kept_and_what_was_used_longest_ago_goes_first(tmp_path: Path, cache: Path, teal: Scene) -> None:
    scenes = [replace(teal, seed=seed) for seed in range(4)]
    drawn(scenes[0], tmp_path / "clip.mp4", cache)
    most = int(kept(cache)[0].stat().st_size * 2.5)
    assert frames_drawn(scenes[1], tmp_path / "clip.mp4", cache, most) == 24
    for age, drawn_before in ((200, scenes[0]), (100, scenes[1])):
        (path,) = cache.glob(f"{fingerprint(drawn_before)}.*.mp4")
        os.utime(path, (time.time() - age, time.time() - 300))
    assert frames_drawn(scenes[0], tmp_path / "clip.mp4", cache, most) == 0
    assert frames_drawn(scenes[2], tmp_path / "clip.mp4", cache, most) == 24
    assert sum(path.stat().st_size for path in kept(cache)) <= most
    assert {path.name.split(".")[0] for path in kept(cache)} == {fingerprint(scenes[0]), fingerprint(scenes[2])}
    assert frames_drawn(scenes[1], tmp_path / "again.mp4", cache, most) == 24


def test_a_video_larger_than_the_bound_is_drawn_all_the_same(tmp_path: Path, cache: Path, teal: Scene) -> None:
    drawn(teal, tmp_path / "clip.mp4", cache, most=10)
    assert len(shown(tmp_path / "clip.mp4")) == 24
    assert kept(cache) == []


def test_two_who_ask_for_one_scene_at_once_render_it_once(tmp_path: Path, cache: Path, teal: Scene) -> None:
    slow = replace(teal, seconds=3)
    counted = [Asked(), Asked()]
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(drawn, slow, tmp_path / f"{at}.mp4", cache, counted[at]) for at in (0, 1)]
        for done in waiting:
            done.result()
    assert min(one.times for one in counted) < 72 < max(one.times for one in counted)
    assert (tmp_path / "0.mp4").stat().st_ino == (tmp_path / "1.mp4").stat().st_ino


def test_who_waits_for_a_scene_of_others_can_still_be_stopped(tmp_path: Path, cache: Path, teal: Scene) -> None:
    cache.mkdir(parents=True)
    counted = Asked()
    with os_lock(cache / f"{fingerprint(teal)[:2]}.lock"), pytest.raises(Abandoned):
        drawn(teal, tmp_path / "clip.mp4", cache, lambda: counted() or counted.times > 2)
    assert not (tmp_path / "clip.mp4").exists()
    assert kept(cache) == []


@pytest.mark.parametrize("asked", [10, 24])
def test_a_render_that_is_stopped_leaves_nothing(tmp_path: Path, cache: Path, teal: Scene, asked: int) -> None:
    counted = Asked()
    with pytest.raises(Abandoned):
        drawn(replace(teal, sound=True), tmp_path / "clip.mp4", cache, lambda: counted() or counted.times > asked)
    assert not (tmp_path / "clip.mp4").exists()
    assert kept(cache) == parts(tmp_path, cache) == []


def test_an_unreadable_frame_is_refused_each_time_and_never_kept(tmp_path: Path, cache: Path, teal: Scene) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="the last frame cannot be read"):
            drawn(replace(teal, last=b"<html>"), tmp_path / "clip.mp4", cache)
    assert kept(cache) == []


def test_after_a_kill_in_the_middle_the_scene_is_simply_drawn_again(tmp_path: Path, cache: Path, teal: Scene) -> None:
    (tmp_path / "first.png").write_bytes(teal.first)
    (tmp_path / "last.png").write_bytes(teal.last)
    arguments = [tmp_path / "first.png", tmp_path / "last.png", tmp_path / "clip.mp4", cache]
    with subprocess.Popen([sys.executable, "-c", DRAW, *map(str, arguments)]) as process:
        deadline = time.monotonic() + 60
        while not parts(tmp_path):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "clip.mp4").exists()
    assert kept(cache) == []
    same = Scene(teal.first, teal.last, 16, "540p", 1, "killed")
    with os_lock(cache / f"{fingerprint(same)[:2]}.lock").acquire(timeout=0):
        pass
    assert frames_drawn(teal, tmp_path / "clip.mp4", cache) == 24


def test_what_a_kill_left_in_the_cache_goes_after_an_hour_and_not_before(
    tmp_path: Path, cache: Path, teal: Scene
) -> None:
    cache.mkdir(parents=True)
    for name in (".new.part", ".old.part"):
        (cache / name).write_bytes(b"half a video")
    an_hour_ago = time.time() - 3700
    os.utime(cache / ".old.part", (an_hour_ago, an_hour_ago))
    drawn(teal, tmp_path / "clip.mp4", cache)
    assert parts(cache) == [".new.part"]


def test_a_cache_on_another_disk_is_copied_from(tmp_path: Path, teal: Scene) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at /dev/shm")
    elsewhere = shared / f"vidu-run-test-{os.getpid()}.mp4"
    try:
        assert frames_drawn(teal, elsewhere, tmp_path / "cache") == 24
        assert frames_drawn(teal, tmp_path / "clip.mp4", tmp_path / "cache") == 0
        elsewhere.unlink()
        assert frames_drawn(teal, elsewhere, tmp_path / "cache") == 0
        assert elsewhere.read_bytes() == (tmp_path / "clip.mp4").read_bytes()
        assert elsewhere.stat().st_nlink == 1
    finally:
        elsewhere.unlink(missing_ok=True)
