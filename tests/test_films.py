"""Films: clips of the local API joined in their order, made again when a take is another, and never a purchase."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder, Result
from fault_server import FaultServer

from vidu_run.films import segments, shots_of
from vidu_run.spec.load import load

av = pytest.importorskip("av")

SPEC = """version: 1
provider: local
{films}
timing: {{poll_min: 0.05}}
jobs:
  - name: "{{{{ shot.name }}}}-s{{{{ seed }}}}"
    matrix:
      shot: {{chain: "frames/k*.png"}}
      seed: [1, 2]
    request:
      model: viduq2-turbo
      duration: 1
      resolution: 540p
      images: ["{{{{ shot.first }}}}", "{{{{ shot.last }}}}"]
      prompt: "{{{{ shot.name }}}}"
      seed: "{{{{ seed }}}}"
"""
FILMS = 'films: [{name: harbour, jobs: "*"}]'
OUT = "out/jobs.local"


def told(folder: Folder) -> Folder:
    """Three keyframes, so two transitions, each with two seeds."""
    for number, colour in enumerate(("teal", "navy", "maroon")):
        folder.frame(f"k{number}.png", colour)
    folder.write(SPEC.format(films=FILMS))
    return folder


@pytest.fixture
def story(folder: Folder) -> Folder:
    return told(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The story's folder after a run, which every test of what comes later would begin with."""
    folder = told(Folder(tmp_path_factory.mktemp("made") / "repo"))
    done = folder("jobs.yaml")
    assert done.code == 0, done.err
    return folder.path


@pytest.fixture
def delivered(folder: Folder, made: Path) -> Folder:
    """A copy of its own for each test."""
    shutil.copytree(made, folder.path, dirs_exist_ok=True)
    return folder


def takes(film: dict[str, Any]) -> list[str]:
    return [take["name"] for take in film["takes"]]


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_run_ends_with_its_film_of_the_first_takes_in_the_order_of_the_spec(delivered: Folder) -> None:
    film = json.loads((delivered.path / OUT / "films/harbour.json").read_text())
    assert takes(film) == ["k0-k1-s1", "k1-k2-s1"]
    assert film["way"] == "remuxed"
    assert frames_of(delivered.path / OUT / "films/harbour.mp4") == film["frames"] + film["hidden"]
    with av.open(str(delivered.path / OUT / "films/harbour.mp4")) as container:
        assert container.metadata["title"] == "harbour"
        assert film["takes"][0]["key"] in container.metadata["comment"]
    assert [round(start, 1) for start in film["starts"]] == [0.0, 1.0]


def test_a_pick_chooses_the_take_and_the_film_alone_is_made_again(delivered: Folder) -> None:
    clips = {path: path.stat().st_mtime_ns for path in (delivered.path / OUT / "videos").rglob("*.mp4")}
    jobs = {job["name"]: job["key"] for job in delivered("status", "jobs.yaml", "--json").document["jobs"]}
    delivered.write(f"picks: [{{key: {jobs['k1-k2-s2']}, name: k1-k2-s2, stars: 4, note: ''}}]\n", "jobs.picks.yaml")

    (film,) = delivered("film", "jobs.yaml", "--json").document["films"]

    assert takes(film) == ["k0-k1-s1", "k1-k2-s2"]
    assert [take["chosen"] for take in film["takes"]] == ["the first of 2", "4 stars"]
    assert {path: path.stat().st_mtime_ns for path in clips} == clips


def test_a_rejected_take_gives_way_to_the_next(delivered: Folder) -> None:
    jobs = {job["name"]: job["key"] for job in delivered("status", "jobs.yaml", "--json").document["jobs"]}
    delivered.write(f"picks: [{{key: {jobs['k0-k1-s1']}, name: k0-k1-s1, stars: 0, note: ''}}]\n", "jobs.picks.yaml")

    (film,) = delivered("film", "jobs.yaml", "--json").document["films"]

    assert takes(film) == ["k0-k1-s2", "k1-k2-s1"]


@pytest.mark.parametrize("name", ["影" * 70, "con", "the end."])
def test_a_film_whose_file_cannot_be_called_so_is_told_before_anything_is_bought(folder: Folder, name: str) -> None:
    folder.sweep(1, extra=f'films: [{{name: "{name}", jobs: "*"}}]\n')

    told = folder("check", "jobs.yaml")

    assert (told.code, f"the name 'films/{name[:20]}" in told.err) == (2, True), told.err


def picked(folder: Folder, **stars: int) -> None:
    keys = {job["name"]: job["key"] for job in folder("status", "jobs.yaml", "--json").document["jobs"]}
    rows = (f"{{key: {keys[name.replace('_', '-')]}, name: x, stars: {n}}}" for name, n in stars.items())
    folder.write(f"picks: [{', '.join(rows)}]\n", "jobs.picks.yaml")


def test_another_count_of_stars_for_the_same_takes_leaves_the_film_and_says_the_new_one(delivered: Folder) -> None:
    picked(delivered, k0_k1_s1=4)
    delivered("film", "jobs.yaml")
    file = delivered.path / OUT / "films/harbour.mp4"
    before = file.stat().st_mtime_ns
    picked(delivered, k0_k1_s1=5)

    (film,) = delivered("film", "jobs.yaml", "--json").document["films"]

    assert [take["chosen"] for take in film["takes"]] == ["5 stars", "the first of 2"]
    assert file.stat().st_mtime_ns == before
    assert json.loads(file.with_suffix(".json").read_text()) == film


def test_of_takes_that_are_all_rejected_the_first_stands_and_says_so(delivered: Folder) -> None:
    picked(delivered, k0_k1_s1=0, k0_k1_s2=0)

    (film,) = delivered("film", "jobs.yaml", "--json").document["films"]

    assert film["takes"][0]["chosen"] == "rejected, as all of them are"


def test_what_decides_no_pixel_makes_no_other_shot(folder: Folder) -> None:
    folder.sweep(2, extra='films: [{name: all, jobs: "*"}]\n', payload="take {{ seed }}")

    done = folder("jobs.yaml", "--provider", "local", "--json")

    assert done.code == 0, done.err
    film = json.loads((folder.path / "out/jobs.local/films/all.json").read_text())
    assert takes(film) == ["job-1"]


def test_a_film_of_the_same_takes_is_left_as_it_is(delivered: Folder) -> None:
    film = delivered.path / OUT / "films/harbour.mp4"
    before = film.stat().st_mtime_ns

    assert delivered("film", "jobs.yaml").code == 0
    assert delivered("jobs.yaml").code == 0
    assert film.stat().st_mtime_ns == before


def test_a_film_waits_for_its_clips_and_says_for_which(story: Folder) -> None:
    done = story("run", "jobs.yaml", "--limit", "1")
    assert "film   harbour waits for 1 clip: k1-k2-s1" in done.err
    assert not (story.path / OUT / "films").exists()

    waiting = story("film", "jobs.yaml")

    assert waiting.code == 3
    assert "waits for 1 clip: k1-k2-s1" in waiting.out


def test_a_film_of_a_take_that_failed_says_that_it_waits_in_vain(story: Folder, server: FaultServer) -> None:
    spec = story.path / "jobs.yaml"
    spec.write_text(spec.read_text().replace("provider: local", "provider: octopusx"))
    server.failing = {"t-1"}
    assert story.buy(server).code == 1

    waiting = story("film", "jobs.yaml")

    assert waiting.code == 1
    assert "waits for 1 clip: k0-k1-s1 (failed); give another take a star" in waiting.out


def test_a_damaged_clip_is_named_and_the_film_that_was_there_stays(delivered: Folder) -> None:
    film = delivered.path / OUT / "films/harbour.mp4"
    before = film.read_bytes()
    jobs = {job["name"]: job for job in delivered("status", "jobs.yaml", "--json").document["jobs"]}
    clip = delivered.path / OUT / jobs["k1-k2-s2"]["file"]
    clip.write_bytes(bytes(clip.stat().st_size))
    key = jobs["k1-k2-s2"]["key"]
    delivered.write(f"picks: [{{key: {key}, name: k1-k2-s2, stars: 4, note: ''}}]\n", "jobs.picks.yaml")

    refused = delivered("film", "jobs.yaml")

    assert refused.code == 2
    assert "k1-k2-s2.mp4" in refused.err
    assert film.read_bytes() == before


def told_of(done: Result) -> dict[str, Any]:
    (film,) = done.document["films"]
    told: dict[str, Any] = film
    return told


def test_a_run_status_and_report_tell_of_the_same_film(story: Folder) -> None:
    run = story("jobs.yaml", "--json")
    film = told_of(run)

    assert (film["name"], film["file"], film["waits"]) == ("harbour", "films/harbour.mp4", [])
    assert (film["current"], film["same_cut"]) == (True, True)
    assert film["seconds"] == pytest.approx(film["frames"] / 24, abs=0.01)
    names = [[take["name"] for take in segment["takes"]] for segment in film["segments"]]
    assert names == [["k0-k1-s1", "k0-k1-s2"], ["k1-k2-s1", "k1-k2-s2"]]
    assert [(one["chosen"] == one["made"] == one["takes"][0]["key"], one["why"]) for one in film["segments"]] == [
        (True, "the first of 2")
    ] * 2
    assert told_of(story("status", "jobs.yaml", "--json")) == film
    (story.path / "jobs.yaml").unlink()
    assert told_of(story("report", "--state", OUT, "--json")) == film


def test_picks_make_a_film_old_until_it_is_made_again_and_the_page_with_it(story: Folder) -> None:
    assert story("jobs.yaml").code == 0
    page = story.path / OUT / "report.html"
    first = told_of(story("status", "jobs.yaml", "--json"))["segments"][0]["takes"]
    story.write(f"picks: [{{key: {first[1]['key']}, name: k0-k1-s2, stars: 1}}]\n", "jobs.picks.yaml")

    old = told_of(story("status", "jobs.yaml", "--json"))
    assert (old["current"], old["same_cut"]) == (False, True)
    assert [(one["chosen"] == one["made"], one["why"]) for one in old["segments"]] == [
        (False, "1 star"),
        (True, "the first of 2"),
    ]
    before = page.stat().st_mtime_ns
    assert story("film", "jobs.yaml").code == 0
    assert told_of(story("status", "jobs.yaml", "--json"))["current"]
    assert page.stat().st_mtime_ns > before
    after = page.stat().st_mtime_ns
    assert story("film", "jobs.yaml").code == 0
    assert page.stat().st_mtime_ns == after


def test_a_film_that_joins_or_leaves_the_spec_makes_the_page_anew(story: Folder) -> None:
    page = story.path / OUT / "report.html"
    story.write(SPEC.format(films=""))
    assert "films" not in story("jobs.yaml", "--json").document
    bare = page.read_text()
    assert 'class="films"' not in bare

    story.write(SPEC.format(films=FILMS))
    assert "films" in story("jobs.yaml", "--json").document
    assert 'class="films"' in page.read_text()
    assert "Film harbour" not in page.read_text()

    story.write(SPEC.format(films=""))
    assert "films" not in story("jobs.yaml", "--json").document
    assert 'class="films"' not in page.read_text()
    assert "Film harbour: films/harbour.mp4" in page.read_text()


def test_a_film_of_another_order_or_without_its_sound_is_told_as_another_cut(story: Folder) -> None:
    assert story("jobs.yaml").code == 0
    film = story.path / OUT / "films/harbour.json"
    document = json.loads(film.read_text())
    for change in ({"audio": False}, {"takes": document["takes"][::-1]}, {"takes": document["takes"][:1]}):
        film.write_text(json.dumps({**document, **change}))
        told = told_of(story("status", "jobs.yaml", "--json"))
        assert (told["current"], told["same_cut"]) == (False, False), change
    film.write_text(json.dumps({**document, "takes": [7, {}], "starts": "x", "frames": None}))
    assert [one["start"] for one in told_of(story("status", "jobs.yaml", "--json"))["segments"]] == [None, None]
    film.write_text("[")
    assert told_of(story("status", "jobs.yaml", "--json"))["file"] is None


def test_a_clip_with_other_bytes_than_the_film_has_is_not_in_it(story: Folder) -> None:
    assert story("jobs.yaml").code == 0
    film = story.path / OUT / "films/harbour.json"
    document = json.loads(film.read_text())
    document["takes"][1]["sha256"] = "0" * 64
    film.write_text(json.dumps(document))

    told = told_of(story("status", "jobs.yaml", "--json"))

    assert [one["made"] is None for one in told["segments"]] == [False, True]
    assert not told["current"]


def test_picks_that_cannot_be_read_leave_status_its_answer(story: Folder) -> None:
    assert story("jobs.yaml").code == 0
    story.write("picks: 3", "jobs.picks.yaml")

    done = story("status", "jobs.yaml", "--json")

    assert done.code == 0
    assert "jobs.picks.yaml:1:8: warning: picks must be a list" in done.err
    assert told_of(done)["current"]


@pytest.mark.parametrize(
    ("films", "said"),
    [
        ('films: [{name: a, jobs: "shot-*"}]', "jobs.yaml:3:25: no job is called 'shot-*'"),
        ('films: [{name: a, jobs: "*"}, {name: A, jobs: "*"}]', "a second film 'A'"),
        ('films: [{name: a, jobs: ["*", "*-s1", "*"]}]', "'*' stands here twice: a clip has one place in a film"),
        ('films: [{name: ../a, jobs: "*"}]', "name '../a' does not have the form"),
        ("films: [{name: a}]", "jobs"),
    ],
)
def test_a_film_that_cannot_be_meant_is_told_with_its_place(story: Folder, films: str, said: str) -> None:
    story.write(SPEC.format(films=films))

    done = story("check", "jobs.yaml")

    assert done.code == 2
    assert said in done.err + done.out


def test_a_spec_without_films_says_how_to_ask_for_one(story: Folder) -> None:
    story.write(SPEC.format(films=""))

    done = story("film", "jobs.yaml")

    assert done.code == 2
    assert "films: [{name: all" in done.err


def test_the_storyboard_example_makes_one_film_of_four_shots() -> None:
    spec = load(Path(__file__).parents[1] / "examples/storyboard/jobs.yaml")

    (film,) = spec.films
    assert [len(takes) for takes in segments(film, spec.jobs, shots_of(spec.jobs))] == [2, 2, 2, 2]


@pytest.mark.parametrize("name", ["a\n", ".a", "a/b", ""])
def test_a_name_that_makes_no_good_file_is_refused(folder: Folder, name: str) -> None:
    folder.write(SPEC.format(films=f"films: [{{name: {json.dumps(name)}, jobs: '*'}}]"))
    told = folder("check", "jobs.yaml")
    assert told.code == 2
    assert f"jobs.yaml:3:16: name {name!r} does not have the form" in told.err
