"""What a rehearsal's file says of itself, read back from real files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import pytest
from PIL import Image
from test_render import scene

from vidu_run.local.render import Scene, render


@pytest.fixture(scope="module")
def plain() -> Scene:
    return scene(Image.new("RGB", (160, 90), "teal"), Image.new("RGB", (160, 90), "navy"))


def read_back(plain: Scene, target: Path, *facts: tuple[str, str]) -> dict[str, str]:
    render(replace(plain, facts=facts), target)
    with av.open(str(target)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 24
        return dict(container.metadata)


def test_facts_of_any_name_are_read_back_as_they_were_written(tmp_path: Path, plain: Scene) -> None:
    facts = {
        "seed": "7",
        "model": "viduq2-pro",
        "prompt": "Ein Boot legt ab; « été », 海上的船 🛶\nzweite Zeile = neu",
        "meta_data": '{"Label": "1", "ProduceID": "a\\"b"}',
    }
    said = read_back(plain, tmp_path / "clip.mp4", *facts.items())
    assert {name: said.get(name) for name in facts} == facts


def test_no_fact_hides_that_the_file_is_a_rehearsal(tmp_path: Path, plain: Scene) -> None:
    said = read_back(plain, tmp_path / "clip.mp4", ("Comment", "for the client"), ("title", "Harbour"))
    assert "not the output of a video model" in said["comment"]
    assert said["comment"].endswith("\nfor the client")
    assert "Rehearsal" in said["title"]
    assert said["title"].endswith("\nHarbour")


def test_facts_are_bounded_and_what_is_blank_or_beyond_is_left_out(tmp_path: Path, plain: Scene) -> None:
    many = [(f"fact-{number}", "x") for number in range(100)]
    said = read_back(
        plain, tmp_path / "clip.mp4", ("prompt", "é" * 9_000), ("n" * 99, "long"), ("", "a"), ("b", " "), *many
    )
    assert said["prompt"] == "é" * 3_999 + "…"
    assert said["n" * 63 + "…"] == "long"
    assert not {"", "b", "fact-60"} & set(said)
    assert said["fact-59"] == "x"


@pytest.mark.parametrize("text", ["cut\0here", "lone \ud800 surrogate", "\r\n\t x", "\x1b[31m"])
def test_characters_that_a_file_cannot_hold_do_not_stop_it(tmp_path: Path, plain: Scene, text: str) -> None:
    said = read_back(plain, tmp_path / "clip.mp4", ("prompt", text))
    assert said["prompt"] == text.replace("\0", "").replace("\ud800", "?").strip()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("timecode", "01:00:00:00"),
        ("timecode", "soon"),
        ("creation_time", "soon"),
        ("creation_time", "2001-01-01T00:00:00Z"),
        ("location", "+90+000/"),
        ("rotate", "90"),
        ("encoder", "none"),
        ("major_brand", "none"),
    ],
)
def test_a_name_with_a_meaning_of_its_own_does_not_change_the_file(
    tmp_path: Path, plain: Scene, name: str, text: str
) -> None:
    read_back(plain, tmp_path / "clip.mp4", (name, text))
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.duration == 1_000_000
        assert next(container.decode(video=0)).rotation == 0
