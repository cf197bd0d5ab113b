"""Shots that begin where another clip really ended: they wait for it, are known by its task, and are bought once."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import signal
from io import BytesIO
from typing import Any

import pytest
import yaml
from conftest import Folder, Result
from fault_server import FaultServer
from PIL import Image

av = pytest.importorskip("av")

HEAD = """version: 1
provider: octopusx
timing: {poll_min: 0.05, poll_max: 0.2, submit_timeout: 2, settle: 0.5, backoff: 0.02, drain: 5, task_deadline: 20}
defaults: {model: viduq2-turbo, duration: 1, resolution: 540p}
jobs:
"""
CHAIN = {
    "one": '[frames/a.png, frames/b.png], prompt: "one"',
    "two": '[{job: one, frame: last}, frames/b.png], prompt: "two"',
    "three": '[{job: two, frame: last}, frames/a.png], prompt: "three"',
}
PICKED = {
    "one-a": '[frames/a.png, frames/b.png], prompt: "one", seed: 1',
    "one-b": '[frames/a.png, frames/b.png], prompt: "one", seed: 2',
    "two": '[{pick: "one-*", frame: last}, frames/b.png], prompt: "two"',
}


def story(folder: Folder, jobs: dict[str, str], head: str = HEAD) -> Folder:
    folder.frame("a.png")
    folder.frame("b.png", "red")
    folder.write(head + "".join(f"  - {{name: {name}, request: {{images: {what}}}}}\n" for name, what in jobs.items()))
    return folder


@pytest.fixture
def chain(folder: Folder) -> Folder:
    return story(folder, CHAIN)


def plan(folder: Folder, *words: str) -> dict[str, tuple[str, str]]:
    rows = folder("plan", "jobs.yaml", "--json", *words).document["jobs"]
    return {row["name"]: (row["step"], row["reason"]) for row in rows}


def jobs(done: Result) -> dict[str, dict[str, Any]]:
    return {job["name"]: job for job in done.document["jobs"]}


def prompts(server: FaultServer) -> list[str]:
    return [posted.body["prompt"] for posted in server.accepted]


def picks(folder: Folder, state: str = "out/jobs", **stars: int) -> None:
    known = jobs(folder("status", "--state", state, "--json"))
    rows = ", ".join(
        f"{{key: {known[name.replace('_', '-')]['key']}, name: x, stars: {n}}}" for name, n in stars.items()
    )
    folder.write(f"picks: [{rows}]\n", "jobs.picks.yaml")


def test_each_shot_is_sent_with_the_very_last_frame_of_the_clip_before(chain: Folder, server: FaultServer) -> None:
    done = chain.buy(server)

    assert done.code == 0, done.err
    assert prompts(server) == ["one", "two", "three"]
    known = jobs(done)
    for before, posted in zip(["one", "two"], server.accepted[1:], strict=True):
        with av.open(str(chain.path / "out/jobs" / known[before]["file"])) as clip:
            *_, last = clip.decode(video=0)
        sent = Image.open(BytesIO(base64.b64decode(posted.body["images"][0].removeprefix("data:image/png;base64,"))))
        assert sent.tobytes() == last.to_image().tobytes()


def test_the_key_is_that_of_the_task_and_the_position(chain: Folder, server: FaultServer) -> None:
    known = jobs(chain.buy(server))

    b = hashlib.sha256((chain.path / "frames/b.png").read_bytes()).hexdigest()
    request = {
        "duration": 1,
        "images": [{"frame": "last", "task": known["one"]["task_id"]}, {"sha256": b}],
        "model": "viduq2-turbo",
        "prompt": "two",
        "resolution": "540p",
    }
    text = json.dumps({"provider": "octopusx", "request": request}, separators=(",", ":"))
    assert known["two"]["key"] == hashlib.sha256(text.encode()).hexdigest()
    assert server.accepted[1].body["payload"].startswith(f"vr1.{known['two']['key'][:24]}.")


def test_the_plan_shows_who_waits_for_whom_and_what_all_of_it_costs(chain: Folder) -> None:
    told = chain("plan", "jobs.yaml", "--json").document

    assert {row["name"]: row["step"] for row in told["jobs"]} == {
        "one": "submit",
        "two": "after one",
        "three": "after two",
    }
    assert told["totals"]["credits"] == sum(row["credits"] for row in told["jobs"]) == 3 * told["jobs"][0]["credits"]
    assert "1 to submit, 2 after others" in chain("plan", "jobs.yaml").out


def test_a_second_run_has_nothing_to_do_and_knows_each_key(chain: Folder, server: FaultServer) -> None:
    first = jobs(chain.buy(server))
    asked = len(server.requests)

    again = chain.buy(server)

    assert (again.code, jobs(again)) == (0, first)
    assert len(server.requests) == asked
    assert {step for step, _ in plan(chain).values()} == {"skip"}


def test_a_run_goes_on_where_one_with_a_limit_ended(chain: Folder, server: FaultServer) -> None:
    first = chain.buy(server, "--limit", "1")
    assert (first.code, prompts(server)) == (0, ["one"])
    assert plan(chain)["two"] == ("submit", "new")
    assert plan(chain)["three"][0] == "after two"

    assert chain.buy(server).code == 0
    assert prompts(server) == ["one", "two", "three"]


@pytest.mark.parametrize("faults", [["ok", "lost-reply"], ["lost-reply"], ["ok", "ok", "reset-after"]])
def test_a_lost_answer_holds_what_continues_it_and_is_never_sent_again(
    chain: Folder, server: FaultServer, faults: list[str]
) -> None:
    server.faults = list(faults)

    assert chain.buy(server).code == 4
    assert len(server.ledger) == len(faults)
    assert chain.buy(server).code == 4
    assert len(server.ledger) == len(faults)

    word = chain("resolve", "jobs.yaml", ["one", "two", "three"][len(faults) - 1], "--task", f"t-{len(faults)}")
    assert word.code == 0, word.err
    done = chain.buy(server)
    assert done.code == 0, done.err
    assert (prompts(server), server.double_spent()) == (["one", "two", "three"], [])


def test_a_killed_run_is_gone_on_with_and_nothing_is_bought_twice(chain: Folder, server: FaultServer) -> None:
    reached: list[int] = []
    server.task_seconds = 0.3
    running = chain.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes")

    def kill(point: str) -> None:
        if point == "replied" and len(server.ledger) == 2 and not reached:
            reached.append(1)
            running.send_signal(signal.SIGKILL)

    server.at = kill
    running.communicate(timeout=60)
    assert reached
    server.at = lambda point: None

    done = chain.buy(server)
    if done.code == 4:  # killed before the answer was written down
        assert chain("resolve", "jobs.yaml", "two", "--task", "t-2").code == 0
        done = chain.buy(server)
    assert done.code == 0, done.err
    assert (prompts(server), server.double_spent()) == (["one", "two", "three"], [])


def test_a_lost_state_finds_the_whole_chain_at_the_api(chain: Folder, server: FaultServer) -> None:
    assert chain.buy(server, "--provider", "vidu").code == 0
    shutil.rmtree(chain.path / "out")

    again = chain.buy(server, "--provider", "vidu")

    assert again.code == 0, again.err
    assert again.err.count("found at the API") == 3
    assert len(server.accepted) == 3


def test_a_ledger_in_a_fresh_clone_knows_the_whole_chain(chain: Folder, server: FaultServer) -> None:
    assert chain.buy(server).code == 0
    for path in (chain.path / "out/jobs").iterdir():
        if path.name != "results.jsonl":
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    assert set(plan(chain, "--base-url", server.base_url).values()) == {("skip", "done elsewhere")}
    assert chain.buy(server).code == 0
    assert len(server.accepted) == 3


def test_another_take_of_a_shot_buys_it_and_what_continues_it_and_nothing_else(
    folder: Folder, server: FaultServer
) -> None:
    story(folder, {**CHAIN, "apart": '[frames/b.png, frames/a.png], prompt: "apart"'})
    assert folder.buy(server).code == 0
    old = (folder.path / "out/jobs/videos/two.mp4").read_bytes()
    story(
        folder,
        {
            **CHAIN,
            "two": CHAIN["two"].replace('"two"', '"slower"'),
            "apart": '[frames/b.png, frames/a.png], prompt: "apart"',
        },
    )

    assert plan(folder) == {
        "one": ("skip", "done"),
        "two": ("submit", "changed: prompt two→slower"),
        "three": ("after two", "continues the last frame of two"),
        "apart": ("skip", "done"),
    }
    assert folder.buy(server).code == 0
    assert prompts(server)[4:] == ["slower", "three"]
    assert [path.read_bytes() for path in (folder.path / "out/jobs/videos/earlier").glob("two.*")] == [old]


def test_a_shot_whose_clip_failed_is_not_sent_and_the_rest_goes_on(folder: Folder, server: FaultServer) -> None:
    broken = {**CHAIN, "one": '[frames/a.png, frames/b.png], prompt: "this one fails"'}
    story(folder, {**broken, "apart": '[frames/b.png, frames/a.png], prompt: "apart"'})

    done = folder.buy(server)

    assert (done.code, prompts(server)) == (1, ["this one fails", "apart"])
    assert done.counts() == {"planned": 2, "done": 1, "failed": 1}
    assert plan(folder)["two"] == ("after one", "one: failed before: Bad: no luck")
    assert plan(folder)["three"][1] == plan(folder)["two"][1]
    assert folder.buy(server).code == 1
    assert len(server.ledger) == 2


def bridges(folder: Folder, prompt: str) -> Folder:
    """Six times two shots and one that leads from the end of the first to the beginning of the second."""
    shots: dict[str, str] = {}
    for number in range(6):
        shots[f"one-{number}"] = f'[frames/a.png, frames/b.png], prompt: "one {number}"'
        shots[f"two-{number}"] = f'[frames/b.png, frames/a.png], prompt: "two {number}"'
        ends = f"[{{job: one-{number}, frame: last}}, {{job: two-{number}, frame: first}}]"
        shots[f"bridge-{number}"] = f'{ends}, prompt: "{prompt}"'
    return story(folder, shots, HEAD.replace("timing:", "concurrency: 20\ntiming:"))


def test_a_shot_between_two_clips_that_come_at_once_is_let_go_once(folder: Folder, server: FaultServer) -> None:
    bridges(folder, "a bridge")
    server.task_seconds = 1.0
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert len(server.accepted) == 18


@pytest.mark.parametrize(
    ("prompt", "counts"),
    [("a bridge", {"done": 18}), ("this one fails", {"planned": 1, "done": 12, "failed": 5})],
)
def test_a_shot_between_two_clips_that_were_bought_before_is_let_go_once(
    folder: Folder, server: FaultServer, prompt: str, counts: dict[str, int]
) -> None:
    """Its key is known as the run begins. One that fails leaves its key free for another attempt, of another run."""
    bridges(folder, prompt)
    assert folder("run", "jobs.yaml", "--base-url", server.base_url, "--yes", "--no-wait").code == 3
    done = folder.buy(server, "--concurrency", "1")
    assert done.counts() == counts, done.err
    assert server.double_spent() == []


def test_shots_that_wait_for_the_same_clip_go_in_the_order_of_the_spec(folder: Folder, server: FaultServer) -> None:
    after = {name: f'[{{job: one, frame: last}}, frames/b.png], prompt: "{name}"' for name in ("zoo", "moor", "alp")}
    story(folder, {"one": CHAIN["one"], **after}, HEAD.replace("timing:", "concurrency: 1\ntiming:"))
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert prompts(server) == ["one", "zoo", "moor", "alp"]


def test_an_earlier_take_that_comes_home_under_a_shot_s_name_lets_nothing_go(
    folder: Folder, server: FaultServer
) -> None:
    story(folder, {"one": CHAIN["one"]})
    server.task_seconds = 600
    assert folder("run", "jobs.yaml", "--base-url", server.base_url, "--yes", "--no-wait").code == 3
    story(folder, {**CHAIN, "one": '[frames/a.png, frames/b.png], prompt: "one, anew"'})
    server.task_seconds = 1.0
    server.accepted[0].at -= 1000
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert prompts(server) == ["one", "one, anew", "two", "three"]


def test_a_shot_waits_for_the_pick_and_continues_the_one_that_was_picked(folder: Folder, server: FaultServer) -> None:
    story(folder, PICKED)

    waiting = folder.buy(server)

    assert waiting.code == 4
    assert sorted(prompts(server)) == ["one", "one"]
    assert "waits for your pick of one-*: give stars on the page" in waiting.out
    assert plan(folder)["two"] == ("needs your word", "waits for your pick of one-*")

    picks(folder, one_a=2, one_b=5)
    assert plan(folder)["two"] == ("submit", "new")
    done = folder.buy(server)
    assert done.code == 0, done.err
    key = jobs(done)["two"]["key"]
    assert len(server.accepted) == 3
    assert plan(folder)["two"] == ("skip", "done")

    picks(folder, one_a=5, one_b=1)
    assert plan(folder)["two"][0] == "submit"
    picks(folder, one_a=2, one_b=5)
    assert plan(folder)["two"] == ("skip", "done")
    assert folder.buy(server).code == 0
    assert jobs(folder("status", "jobs.yaml", "--json"))["two"]["key"] == key
    assert len(server.accepted) == 3


def test_a_rehearsal_waits_for_no_pick_and_shows_the_whole(folder: Folder) -> None:
    story(folder, PICKED)

    done = folder("run", "jobs.yaml", "--provider", "local", "--json")

    assert (done.code, done.counts()) == (0, {"done": 3})
    page = (folder.path / "out/jobs.local/report.html").read_text()
    assert "last frame of one-a" in page


def test_a_shot_is_held_where_the_clip_it_continues_is_no_part_of_the_run(chain: Folder, server: FaultServer) -> None:
    done = chain.buy(server, "--only", "two")

    assert (done.code, server.ledger) == (3, [])
    assert plan(chain, "--only", "two")["two"] == ("after one", "one is not part of this run")


def test_two_names_for_the_same_clip_are_told_before_anything_more_is_sent(folder: Folder, server: FaultServer) -> None:
    story(folder, {**PICKED, "twin": PICKED["two"].replace('pick: "one-*"', "job: one-a")})
    assert folder.buy(server, "--only", "one-*").code == 0
    picks(folder, one_a=5)

    done = folder.buy(server)

    assert (done.code, len(server.ledger)) == (2, 2)
    assert "the same request as job two, now that it is known which clip is meant: last frame of one-a" in done.err
    assert folder("plan", "jobs.yaml").code == 2


def test_a_clip_that_was_delivered_elsewhere_holds_what_would_continue_it(chain: Folder, server: FaultServer) -> None:
    assert chain.buy(server, "--limit", "1").code == 0
    for path in (chain.path / "out/jobs").iterdir():
        if path.name != "results.jsonl":
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    done = chain.buy(server)

    assert (done.code, len(server.ledger)) == (3, 1)
    assert plan(chain)["two"] == ("after one", "the video of one is not here: done elsewhere")


def test_a_change_of_the_first_shot_is_a_change_of_all_that_continue_it(chain: Folder) -> None:
    old = (chain.path / "jobs.yaml").read_text()
    chain.write(old, "old.yaml")
    chain.write(old.replace('"one"', '"another"'))

    told = chain("plan", "jobs.yaml", "--against", "old.yaml", "--json").document["jobs"]

    assert [(row["name"], row["change"], row["what"]) for row in told] == [
        ("one", "changed", "prompt one→another"),
        ("two", "changed", "the clip that it continues"),
        ("three", "changed", "the clip that it continues"),
    ]


def test_what_comes_after_counts_against_a_budget(chain: Folder, server: FaultServer) -> None:
    price = chain("plan", "jobs.yaml", "--json").document["jobs"][0]["credits"]

    refused = chain.buy(server, "--budget", str(2 * price))

    assert (refused.code, server.ledger) == (5, [])
    assert "--limit 2 fits" in refused.err


def test_a_limit_takes_the_jobs_in_the_order_of_the_spec_though_one_continues_a_later_one(
    folder: Folder, server: FaultServer
) -> None:
    dear = "[frames/a.png, frames/b.png], prompt: z, duration: 8, resolution: 1080p"
    story(folder, {"c": "[{job: z, frame: last}, frames/b.png]", "a": CHAIN["one"], "z": dear})
    price = folder("plan", "jobs.yaml", "--json").document["jobs"][1]["credits"]

    refused = folder.buy(server, "--budget", str(price))

    assert (refused.code, "--limit 1 fits" in refused.err) == (5, True)
    assert folder.buy(server, "--budget", str(price), "--limit", "1").counts() == {"done": 1, "planned": 2}
    assert prompts(server) == ["one"]


def test_a_clip_that_was_changed_on_the_disk_is_not_continued(chain: Folder, server: FaultServer) -> None:
    assert chain.buy(server, "--limit", "1").code == 0
    clip = chain.path / "out/jobs/videos/one.mp4"
    clip.write_bytes(clip.read_bytes()[:-1] + b"x")

    done = chain.buy(server)

    assert (done.code, prompts(server)) == (3, ["one"])
    assert "videos/one.mp4 is not the file that was delivered" in done.err


def test_frames_of_other_moments_are_taken_where_they_are_asked_for(folder: Folder, server: FaultServer) -> None:
    story(
        folder,
        {
            "one": CHAIN["one"],
            "back": "[{job: one, frame: 0.5}, {job: one, frame: first}]",
        },
    )
    assert folder.buy(server).code == 0

    with av.open(str(folder.path / "out/jobs/videos/one.mp4")) as clip:
        frames = [frame.to_image().tobytes() for frame in clip.decode(video=0)]
    sent = [
        Image.open(BytesIO(base64.b64decode(image.partition(",")[2]))).tobytes()
        for image in server.accepted[1].body["images"]
    ]
    assert sent == [frames[12], frames[0]]


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (
            "[{job: oen, frame: last}, frames/b.png]",
            "jobs.yaml:7:36: no job is called 'oen'; did you mean 'one'?; job two",
        ),
        ("[{pick: 'x-*', frame: last}, frames/b.png]", "no job is called 'x-*'"),
        ("[{job: two, frame: last}, frames/b.png]", "these jobs wait for one another: two → two"),
        ("[{job: one, frame: 3}, frames/b.png]", "one has no frame at 3 s: its clip is 1 s long"),
        ("[{job: one, frame: end}, frames/b.png]", "'end' is no frame of a clip"),
        ("[{job: one, frame: -1}, frames/b.png]", "-1"),
        ("[{job: one, pick: one, frame: last}, frames/b.png]", "is no frame of a clip: {job: NAME, frame: last}"),
        ("[{job: one}, frames/b.png]", "frame is missing"),
        ("[{job: one, frame: last, at: 3}, frames/b.png]", "has no 'at'"),
        ("[{job: [one], frame: last}, frames/b.png]", "must be text"),
    ],
)
def test_a_frame_that_cannot_be_meant_is_told_with_its_place(folder: Folder, images: str, said: str) -> None:
    story(folder, {"one": CHAIN["one"], "two": images})

    done = folder("check", "jobs.yaml")

    assert done.code == 2
    assert said in done.err + done.out


def test_jobs_in_a_circle_are_named(folder: Folder) -> None:
    story(
        folder,
        {
            "one": "[{job: three, frame: last}, frames/b.png]",
            "two": "[{job: one, frame: last}, frames/b.png]",
            "three": "[{job: two, frame: last}, frames/b.png]",
        },
    )

    done = folder("check", "jobs.yaml")

    assert done.code == 2
    assert "these jobs wait for one another: " in done.err
    assert all(name in done.err for name in ("one", "two", "three"))


def test_a_mistake_in_the_first_shot_is_told_once_and_not_again_for_those_that_continue_it(folder: Folder) -> None:
    story(folder, {**CHAIN, "one": '[frames/a.png, frames/none.png], prompt: "one"'})

    done = folder("check", "jobs.yaml")

    assert done.code == 2
    assert "frames/none.png" in done.err
    assert "no job is called" not in done.err


def test_a_mistake_in_one_shot_is_not_told_of_the_films_that_mean_it(folder: Folder) -> None:
    films = 'films: [{name: all, jobs: "*"}, {name: b, jobs: [one, two]}]\njobs:'
    shots = {**CHAIN, "two": '[{job: oen, frame: last}, frames/b.png], prompt: "two"'}
    story(folder, shots, HEAD.replace("jobs:", films))

    done = folder("check", "jobs.yaml")

    assert done.code == 2
    assert "no job is called 'oen'" in done.err
    assert done.err.count("no job is called") == 1


def test_takes_of_a_chain_by_seed_make_one_film_and_templates_name_the_shot_before(folder: Folder) -> None:
    folder.frame("a.png")
    folder.frame("b.png", "red")
    folder.write(
        HEAD.replace("octopusx", "local").replace("jobs:", 'films: [{name: all, jobs: "*"}]\njobs:')
        + """  - name: one-{{ seed }}
    matrix: {seed: [1, 2]}
    request: {images: [frames/a.png, frames/b.png], seed: "{{ seed }}"}
  - name: two-{{ seed }}
    matrix: {seed: [1, 2]}
    request: {images: [{job: "one-{{ seed }}", frame: last}, frames/a.png], seed: "{{ seed }}"}
"""
    )

    done = folder("run", "jobs.yaml", "--json")

    assert done.code == 0, done.err
    film = json.loads((folder.path / "out/jobs.local/films/all.json").read_text())
    assert [take["name"] for take in film["takes"]] == ["one-1", "two-1"]
    assert film["hidden"] == 1


def test_a_frame_of_another_shape_than_its_partner_is_told_before_anything_is_sent(
    folder: Folder, server: FaultServer
) -> None:
    folder.frame("tall.png", "navy", (54, 96))
    story(folder, {"one": CHAIN["one"], "two": "[{job: one, frame: last}, frames/tall.png]"})

    done = folder.buy(server)

    assert (done.code, prompts(server)) == (3, ["one"])
    assert "last frame of one is " in done.err
    assert "and frames/tall.png 54x96: their shapes differ" in done.err


def seeded(folder: Folder, shots: dict[str, str] = CHAIN, head: str = HEAD) -> Folder:
    """Each shot with a seed, since a promoted one must have one."""
    return story(folder, {name: what if "seed" in what else f"{what}, seed: 7" for name, what in shots.items()}, head)


def images_of(folder: Folder, spec: str = "jobs.final.yaml") -> dict[str, Any]:
    return {job["name"]: job["request"]["images"] for job in yaml.safe_load((folder.path / spec).read_text())["jobs"]}


def test_a_promoted_shot_continues_the_new_clip_of_a_shot_that_is_promoted_too(
    chain: Folder, server: FaultServer
) -> None:
    seeded(chain)
    assert chain.buy(server).code == 0
    picks(chain, one=5, two=4)

    done = chain("promote", "jobs.yaml", "--with", "resolution=720p")

    assert (done.code, images_of(chain)["two"]) == (0, [{"job": "one", "frame": "last"}, "frames/b.png"])
    assert "1 of them continues the new clip of another" in done.err
    steps = {row["name"]: row["step"] for row in chain("plan", "jobs.final.yaml", "--json").document["jobs"]}
    assert steps == {"one": "submit", "two": "after one"}
    assert chain.buy(server, spec="jobs.final.yaml").code == 0


def test_a_promoted_shot_of_a_pick_continues_the_take_with_the_most_stars(folder: Folder, server: FaultServer) -> None:
    seeded(folder, PICKED)
    assert folder.buy(server).code == 4
    picks(folder, one_a=3, one_b=5)
    assert folder.buy(server).code == 0
    picks(folder, one_a=3, one_b=5, two=1)

    assert folder("promote", "jobs.yaml").code == 0

    assert images_of(folder)["two"] == [{"job": "one-b", "frame": "last"}, "frames/b.png"]


def test_a_promoted_shot_keeps_the_frame_of_a_clip_that_is_not_promoted(chain: Folder, server: FaultServer) -> None:
    seeded(chain)
    assert chain.buy(server).code == 0
    picks(chain, two=5)

    done = chain("promote", "jobs.yaml", "--with", "resolution=720p")

    assert done.code == 0, done.err
    taken = images_of(chain)["two"][0]
    assert taken.startswith("out/jobs/frames/")
    assert (chain.path / taken).is_file()
    assert "1 of them keeps a frame of a draft's clip that was not picked, as a file in out/jobs/frames" in done.err
    assert [row["step"] for row in chain("plan", "jobs.final.yaml", "--json").document["jobs"]] == ["submit"]


def test_an_earlier_take_of_a_shot_keeps_the_frame_it_was_made_with(chain: Folder, server: FaultServer) -> None:
    """The name of the clip it continued means another one now."""
    seeded(chain)
    assert chain.buy(server).code == 0
    earlier = jobs(chain("status", "jobs.yaml", "--json"))["two"]["key"]
    seeded(chain, CHAIN | {"one": '[frames/a.png, frames/b.png], prompt: "one, slower"'})
    assert chain.buy(server).code == 0
    now = jobs(chain("status", "jobs.yaml", "--json"))["one"]["key"]
    rows = ", ".join(f"{{key: {key}, name: x, stars: 5}}" for key in (earlier, now))
    chain.write(f"picks: [{rows}]\n", "jobs.picks.yaml")

    assert chain("promote", "jobs.yaml").code == 0

    assert str(images_of(chain)["two"][0]).startswith("out/jobs/frames/")


def test_films_are_promoted_when_each_of_their_words_still_means_a_shot(chain: Folder, server: FaultServer) -> None:
    films = '{name: start, jobs: [one, "tw*"], audio: false}, {name: whole, jobs: [one, three]}'
    seeded(chain, head=HEAD.replace("jobs:", f"films: [{films}]\njobs:"))
    assert chain.buy(server).code == 0
    picks(chain, one=5, two=5)

    done = chain("promote", "jobs.yaml")

    kept = yaml.safe_load((chain.path / "jobs.final.yaml").read_text())["films"]
    assert kept == [{"name": "start", "jobs": ["one", "tw*"], "audio": False}]
    assert "left out: the film whole: no pick is called three" in done.err


def test_a_rehearsed_story_is_promoted_into_what_is_paid_for_without_the_frames_of_stand_ins(chain: Folder) -> None:
    seeded(chain)
    assert chain("jobs.yaml", "--provider", "local").code == 0
    picks(chain, "out/jobs.local", one=5, two=5)

    assert chain("promote", "jobs.yaml", "--provider", "local").code == 0

    assert images_of(chain)["two"] == [{"job": "one", "frame": "last"}, "frames/b.png"]


def test_a_shot_is_not_promoted_into_what_is_paid_for_with_the_frame_of_a_stand_in(chain: Folder) -> None:
    seeded(chain)
    assert chain("jobs.yaml", "--provider", "local").code == 0
    picks(chain, "out/jobs.local", two=5, three=5)

    refused = chain("promote", "jobs.yaml", "--provider", "local")

    assert (refused.code, "continues a clip that was only rehearsed" in refused.err) == (2, True)
    assert "job two" in refused.err
    assert "job three" not in refused.err
    assert not (chain.path / "jobs.final.yaml").exists()


def test_the_page_shows_the_frame_that_was_taken(chain: Folder, server: FaultServer) -> None:
    assert chain.buy(server).code == 0
    page = (chain.path / "out/jobs/report.html").read_text()

    assert "last frame of two" in page
    assert len(list((chain.path / "out/jobs/frames").iterdir())) == 4 - 1


def test_a_change_of_every_take_of_a_pick_buys_what_continues_it_too(folder: Folder) -> None:
    after = PICKED | {"three": CHAIN["three"]}
    story(folder, after)
    (folder.path / "jobs.yaml").rename(folder.path / "old.yaml")
    story(folder, {name: what.replace('prompt: "one"', 'prompt: "other"') for name, what in after.items()})

    told = folder("plan", "jobs.yaml", "--against", "old.yaml", "--json").document

    assert [(row["name"], row["change"]) for row in told["jobs"]] == [
        (name, "changed") for name in ("one-a", "one-b", "two", "three")
    ]
    story(folder, after | {"one-a": after["one-a"].replace('prompt: "one"', 'prompt: "other"')})
    one = folder("plan", "jobs.yaml", "--against", "old.yaml", "--json").document
    assert [row["name"] for row in one["jobs"]] == ["one-a"]


def test_a_partner_of_another_shape_than_the_clip_will_have_is_told_before_the_clip_is_paid_for(folder: Folder) -> None:
    Image.new("RGB", (300, 400), "green").save(folder.path / "frames-c.png")
    story(
        folder,
        {
            "one": "[frames/a.png, frames/b.png]",
            "two": "[{job: one, frame: last}, frames/b.png]",
            "three": "[{job: two, frame: last}, frames-c.png]",
            "four": "[frames-c.png, {pick: 'o*', frame: first}]",
        },
    )
    with Image.open(folder.path / "frames/a.png") as picture:
        shape = "x".join(map(str, picture.size))

    told = [line for line in folder("check", "jobs.yaml").err.splitlines() if "shapes differ" in line]
    assert len(told) == 2
    assert f"last frame of two will be as frames/a.png, {shape} and frames-c.png is 300x400: their shapes" in told[0]
    assert f"frames-c.png is 300x400 and first frame of your pick of o* will be as frames/a.png, {shape}" in told[1]
    assert folder("check", "jobs.yaml").code == 0


def test_the_time_of_a_plan_counts_shots_that_wait_for_one_another_in_turn(folder: Folder, server: FaultServer) -> None:
    server.task_seconds = 1.0
    story(folder, {"zero": '[frames/a.png, frames/b.png], prompt: "zero"'})
    assert folder.buy(server).code == 0
    story(folder, CHAIN)
    chain = folder("plan", "jobs.yaml", "--json", "--concurrency", "8").document["totals"]["seconds"]
    story(folder, {name: f'[frames/a.png, frames/b.png], prompt: "{name}"' for name in CHAIN})
    side_by_side = folder("plan", "jobs.yaml", "--json", "--concurrency", "8").document["totals"]["seconds"]
    assert chain == pytest.approx(3 * side_by_side)
