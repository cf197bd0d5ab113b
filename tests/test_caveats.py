"""What the API would take and the user may not mean: told with its place, stopping nothing."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import IMAGES, Folder, spec
from fault_server import FaultServer
from PIL import Image

from vidu_run.spec.load import load


def told(folder: Folder, provider: str = "octopusx", **fields: Any) -> list[str]:
    return [problem.message for problem in load(spec(folder, provider, **{"seed": 7, **fields})).warnings()]


def test_a_plain_request_is_not_warned_of(frames: Folder) -> None:
    assert told(frames) == []
    assert told(frames, audio=False, bgm=False, off_peak=True, duration=8) == []
    assert told(frames, model="viduq3-pro", audio=True, off_peak=True) == []


@pytest.mark.parametrize(
    ("provider", "fields"),
    [
        ("octopusx", {"model": "viduq2-turbo", "audio": True}),
        ("octopusx", {"model": "viduq3-pro", "audio": True, "bgm": True}),
        ("octopusx", {"model": "viduq3-pro", "audio": True, "voice_id": "v"}),
        ("vidu", {"model": "viduq2-pro", "movement_amplitude": "large"}),
    ],
)
def test_a_field_that_the_model_ignores_is_told(frames: Folder, provider: str, fields: dict[str, Any]) -> None:
    name = list(fields)[-1]
    assert told(frames, provider, **fields) == [f"{name} has no effect on {fields['model']}"]


def test_off_peak_without_sound_is_told_where_it_is_documented_only_with_it(frames: Folder) -> None:
    (only,) = told(frames, model="viduq3-pro", audio=False, off_peak=True)
    assert "only together with audio: true" in only


def test_sound_that_nobody_asked_for_is_told(frames: Folder) -> None:
    (only,) = told(frames, model="viduq3-pro")
    assert only.startswith("audio is left out, and viduq3-pro makes sound by itself")


def test_a_recommended_prompt_is_told_with_its_price(frames: Folder) -> None:
    (only,) = told(frames, is_rec=True, prompt="mine")
    assert "adds 10 credits" in only
    assert "ignores yours" in only


@pytest.mark.parametrize(("seed", "words"), [(..., "no seed"), (None, "no seed"), (0, "seed 0")])
def test_a_clip_that_cannot_be_asked_for_again_is_told(frames: Folder, seed: Any, words: str) -> None:
    (only,) = told(frames, seed=seed)
    assert only.startswith(words)


def test_a_price_beyond_what_the_list_states_is_told(frames: Folder) -> None:
    assert told(frames, duration=9) == ["the price list says nothing of 9 s: its rate is carried on"]


def test_two_equal_frames_are_told(frames: Folder) -> None:
    assert told(frames, images=[IMAGES[0], IMAGES[0]]) == ["frames/a.png and frames/a.png are the same picture"]


def test_a_frame_that_is_turned_by_its_exif_data_is_told(frames: Folder) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new("RGB", (96, 54)).save(frames.path / "frames/t.jpg", exif=exif)
    (only,) = told(frames, images=[IMAGES[0], "frames/t.jpg"])
    assert only.startswith("frames/t.jpg is stored as 96x54 and turned by its EXIF data")


def test_frames_of_one_shape_and_far_sizes_are_told(frames: Folder) -> None:
    frames.frame("big.png", size=(192, 108))
    (only,) = told(frames, images=[IMAGES[0], "frames/big.png"])
    assert "a strict reading" in only
    frames.frame("near.png", size=(112, 63))
    assert told(frames, images=[IMAGES[0], "frames/near.png"]) == []


def test_a_warning_stops_nothing_stands_at_its_value_and_is_folded(frames: Folder) -> None:
    frames.write(
        "version: 1\nprovider: octopusx\ndefaults: {model: viduq2-turbo}\njobs:\n  - name: '{{ n }}'\n"
        "    matrix: {n: {range: [1, 4]}}\n    request:\n      images: [frames/a.png, frames/b.png]\n"
        "      prompt: 'look {{ n }}'\n      audio: true\n      seed: 5\n"
    )
    done = frames("check", "jobs.yaml")
    assert done.code == 0
    assert "jobs.yaml:10:14: warning: audio has no effect on viduq2-turbo; job 1 (and 3 more like it)" in done.err
    assert "4 jobs, no problem, 1 warning" in done.err
    (problem,) = frames("check", "jobs.yaml", "--json").document["problems"]
    assert (problem["level"], problem["line"]) == ("warning", 10)
    assert frames("check", "jobs.yaml", GITHUB_ACTIONS="true").out.startswith(
        "::warning file=jobs.yaml,line=10,col=14::"
    )


def test_what_is_done_is_not_warned_of_again(folder: Folder, server: FaultServer) -> None:
    path = folder.sweep(2, audio=True)
    assert "audio has no effect" in folder.buy(server).err
    assert "warning" not in folder.buy(server).err
    path.write_text(path.read_text().replace("[1, 2]", "[1, 3]"))
    assert "; job job-3\n" in folder("plan", "jobs.yaml").err


def test_a_warning_that_holds_of_many_places_is_read_once_and_each_place_can_be_looked_up(frames: Folder) -> None:
    request = "{model: viduq2-turbo, images: [frames/a.png, frames/b.png], audio: true, seed: %d}"
    jobs = "".join(f"  - name: job-{n}\n    request: {request % n}\n" for n in range(1, 13))
    frames.write(f"version: 1\nprovider: octopusx\njobs:\n{jobs}")
    planned = frames("plan", "jobs.yaml")
    (line,) = (line for line in planned.err.splitlines() if "warning" in line)
    assert line.startswith("jobs.yaml:5:")
    assert line.endswith("audio has no effect on viduq2-turbo; job job-1 (and 11 more like it)")
    assert len(frames("plan", "jobs.yaml", "--json").document["warnings"]) == 12
    assert len(frames("check", "jobs.yaml").err.splitlines()) == 13
