"""From axes to jobs: products, zips, excludes, labels, and the axes that stand in files."""

from __future__ import annotations

import os
import time
import unicodedata
from typing import Any

import pytest
from conftest import Folder

from vidu_run.errors import Place, SpecTrouble
from vidu_run.spec.axes import Axis, BadAxis, combinations, count, range_values, removes, understand
from vidu_run.spec.load import Spec, load

REQUEST = "    request: {model: viduq1, images: [frames/a.png, frames/b.png], prompt: "


def axis(name: str, *values: Any) -> Axis:
    return Axis(name, values, lambda number, rest: Place("spec", number))


def product(*axes: Axis, zipped: tuple[str, ...] = (), exclude: tuple[dict[str, Any], ...] = ()) -> list[str]:
    entries = [understand(entry, axes) for entry in exclude]
    rows = combinations(axes, zipped, entries)
    return ["".join(str(made.values[at]) for made, at in zip(axes, row, strict=True)) for row in rows]


A, B, C = axis("a", 1, 2), axis("b", "x", "y"), axis("c", "-", "+")


def test_the_last_axis_varies_fastest() -> None:
    assert product(A, B) == ["1x", "1y", "2x", "2y"]
    assert product() == [""], "no axis is one job"


def test_zipped_axes_advance_together_where_the_first_of_them_stood() -> None:
    assert product(A, B, C, zipped=("a", "c")) == ["1x-", "1y-", "2x+", "2y+"]
    assert product(A, B, C, zipped=("c", "b")) == ["1x-", "1y+", "2x-", "2y+"]
    assert count((A, B, C), ("a", "c")) == 4


def test_zipped_axes_need_equal_lengths() -> None:
    with pytest.raises(BadAxis, match="zipped axes need equal lengths: a has 2, d has 1"):
        count((A, axis("d", 1)), ("a", "d"))


def test_an_exclude_removes_what_equals_all_that_it_names() -> None:
    assert product(A, B, exclude=({"a": 1, "b": "y"},)) == ["1x", "2x", "2y"]
    assert product(A, B, exclude=({"a": 1}, {"b": "x"})) == ["2y"]
    assert product(A, B, C, zipped=("a", "c"), exclude=({"c": "+"},)) == ["1x-", "1y-"]


def test_a_mapping_is_excluded_where_each_key_given_is_equal() -> None:
    pair = axis("pair", {"name": "h", "look": {"a": 1, "b": 2}}, {"name": "r"})
    assert [understand({"pair": entry}, [pair])[0] for entry in ({"name": "h"}, {"look": {"b": 2}}, {"x": 1}, {})] == [
        {0},
        {0},
        set(),
        {0, 1},
    ]


def test_types_count_in_an_exclude_but_not_the_spelling_of_a_number() -> None:
    mixed = axis("a", 1, True, "1", 1.0, None, [1])
    matching = [understand({"a": wanted}, [mixed])[0] for wanted in (1, 1.0, True, "1", None, [1])]
    assert matching == [{0, 3}, {0, 3}, {1}, {2}, {4}, {5}]


def test_an_entry_removes_nothing_where_zipped_axes_never_meet_it() -> None:
    axes = (A, B, C)
    assert not removes(understand({"a": 1, "c": "+"}, axes), axes, ("a", "c"))
    assert removes(understand({"a": 1, "c": "+"}, axes), axes, ())
    assert not removes(understand({"a": 3}, axes), axes, ())


@pytest.mark.parametrize(
    ("bounds", "values"),
    [([1, 3], [1, 2, 3]), ([10, 1, -3], [10, 7, 4, 1]), ([0, 5, 2], [0, 2, 4]), ([5, 5], [5]), ([1.0, 2.0], [1, 2])],
)
def test_a_range_includes_both_ends(bounds: list[Any], values: list[int]) -> None:
    assert list(range_values(bounds)) == values


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ([3, 1], r"the range \[3, 1\] holds no value"),
        ([1, 3, -1], "holds no value"),
        ([1, 3, 0], "holds no value"),
        ([1, 10**9], r"the range \[1, 1000000000\] holds more than 1,000,000 values"),
        ([-(10**290), 10**290], r"the range \[…, …\] holds more than 1,000,000 values"),
        ([10**9, 1, -1], "holds more than 1,000,000 values"),
        ([1, 2.5], "whole numbers"),
        ([True, 2], "whole numbers"),
        ([1], "whole numbers"),
    ],
)
def test_a_range_that_is_none_is_told(bounds: list[Any], told: str) -> None:
    with pytest.raises(BadAxis, match=told):
        range_values(bounds)


def test_the_longest_range_is_taken_as_it_is() -> None:
    assert len(range_values([1, 1_000_000])) == 1_000_000
    assert len(range_values([-(10**30), 10**30, 10**25])) == 200_001


def test_a_value_s_label_is_its_name_or_itself_or_its_number() -> None:
    values = axis("a", {"name": "h"}, {"first": 1}, "text", 5, 0.5, True, None, [1], {"name": False}, {"name": [1]})
    assert [values.label(at) for at in range(10)] == ["h", 2, "text", 5, 0.5, "true", 7, 8, "false", 10]


# In a spec


def spec(folder: Folder, matrix: str, more: str = "", prompt: str = '"{{ a }} {{ b }}"', top: str = "") -> Spec:
    text = f"version: 1\n{top}jobs:\n  - matrix: {matrix}\n{more}{REQUEST}{prompt}}}\n"
    return load(folder.write(text))


def names(*given: Any, **more: Any) -> list[str]:
    return [job.name for job in spec(*given, **more).jobs]


def lines(*given: Any, **more: Any) -> list[str]:
    with pytest.raises(SpecTrouble) as caught:
        spec(*given, **more)
    assert all(str(problem).isprintable() for problem in caught.value.problems)
    return [str(problem).partition("jobs.yaml:")[2] or str(problem) for problem in caught.value.problems]


def test_jobs_come_in_the_order_written(frames: Folder) -> None:
    assert names(frames, "{b: [2, 1], a: [x, y]}") == ["2-x", "2-y", "1-x", "1-y"]


def test_an_axis_is_rendered_with_the_vars(frames: Folder) -> None:
    matrix = '{a: ["{{ x }}", "{{ x + 1 }}"], b: [{v: "{{ x }}"}]}'
    made = spec(frames, matrix, top="vars: {x: 5}\n", prompt='"{{ a }} {{ b.v }}"')
    assert [job.name for job in made.jobs] == ["5-1", "6-1"]
    assert [job.request["prompt"] for job in made.jobs] == ["5 5", "6 5"]


@pytest.mark.parametrize(
    ("matrix", "more", "told"),
    [
        (
            "{a: [1, 2], b: [3], c: [4]}",
            "",
            "3:33: no template reads the axis c: it would only make the same jobs again",
        ),
        ("{a: [1, 2], b: [3, 4]}", "    zip: [a, d]\n", "4:14: there is no axis 'd'; there are a, b"),
        ("{a: [1, 2], b: [3]}", "    zip: [a, b]\n", "4:10: zipped axes need equal lengths: a has 2, b has 1"),
        ("{a: [1, 2], b: [3]}", "    exclude: [{a: 3}]\n", "4:15: exclude {'a': 3} removes nothing"),
        ("{a: [1, 2], b: [3]}", "    exclude: [{a: 1, b: 4}]\n", "4:15: exclude {'a': 1, 'b': 4} removes nothing"),
        ("{a: [1, 2], b: [3]}", "    exclude: [{aa: 1}]\n", "4:16: there is no axis 'aa'; did you mean a?"),
        ("{a: [1, 2], b: [3]}", '    exclude: [{a: "{{ x }}"}]\n', "4:19: there is no variable or axis 'x'"),
        ("{a: {range: [1, 1000000000]}, b: [1]}", "", "3:25: the range [1, 1000000000] holds more than 1,000,000"),
        ('{a: [1, "{{ x }}"], b: [1]}', "", "3:21: there is no variable or axis 'x'"),
        ("{seed: [1, 0], b: [1]}", "", "3:24: 0 in a seed axis: at the API 0 means a random seed"),
        ("{seed: {range: [-1, 1]}, b: [1]}", "", "3:28: 0 in a seed axis"),
    ],
)
def test_a_slip_in_the_axes_is_told_at_its_place(frames: Folder, matrix: str, more: str, told: str) -> None:
    prompt = '"{{ seed }} {{ b }}"' if "seed" in matrix else '"{{ a }} {{ b }}"'
    (line,) = lines(frames, matrix, more, prompt=prompt)
    assert line.startswith(told)


def test_an_axis_may_not_have_the_name_of_a_var(frames: Folder) -> None:
    assert lines(frames, "{a: [1], b: [2]}", top="vars: {a: 1}\n") == ["4:17: the axis a has the name of a var"]


def test_axes_that_no_field_reads_make_the_same_job_twice(frames: Folder) -> None:
    (line,) = lines(frames, "{a: [1, 2], b: [3]}", prompt='"x{{ b }}"', more='    name: "n{{ a }}"\n')
    assert "the same request as job n1 at " in line
    assert line.endswith(":4:11: no field of the request reads the axis a; job n2")


def test_two_jobs_need_two_names_and_the_message_says_what_tells_them_apart(frames: Folder) -> None:
    (line,) = lines(frames, "{a: [1, 2], b: [3]}", more='    name: "n{{ b }}"\n')
    assert line.endswith("; add {{ a }} to it; job n3")


def test_too_many_jobs_are_a_slip_of_the_pen(frames: Folder) -> None:
    big = "{a: {range: [1, 5000]}, b: {range: [1, 3]}}"
    assert lines(frames, big) == ["3:5: 15,000 jobs, more than the 10,000 that max_jobs allows"]
    small = "{a: {range: [1, 3]}, b: {range: [1, 2]}}"
    assert len(spec(frames, small, top="max_jobs: 6\n").jobs) == 6
    assert lines(frames, small, top="max_jobs: 5\n") == ["4:5: 6 jobs, more than the 5 that max_jobs allows"]
    assert len(spec(frames, small, "    exclude: [{a: 2}]\n", top="max_jobs: 4\n").jobs) == 4
    assert "jobs, more than the 3" in lines(frames, small, "    exclude: [{a: 2}]\n", top="max_jobs: 3\n")[0]


@pytest.mark.parametrize(
    ("matrix", "entries"),
    [
        ("{a: {range: [1, 100000]}, b: {range: [1, 100000]}}", 1),
        ("{a: {range: [1, 1000]}, b: {range: [1, 1000]}}", 21),
        ("{" + ", ".join(f"{name}: {{range: [1, 1000]}}" for name in "abcdefghij") + "}", 1),
    ],
)
def test_a_product_too_large_to_look_through_is_refused_in_no_time(frames: Folder, matrix: str, entries: int) -> None:
    more = "    exclude: [" + ", ".join(f"{{a: {number + 1}}}" for number in range(entries)) + "]\n"
    begun = time.process_time()
    (line,) = lines(frames, matrix, more)
    assert time.process_time() - begun < 2
    assert "too many to look at" in line


# Axes that stand in files


def filed(folder: Folder, source: str, top: str = "", prompt: str = "no {{ it.index }}") -> Spec:
    text = (
        f"version: 1\n{top}jobs:\n  - matrix: {{it: {{{source}}}}}\n"
        f'    request: {{model: viduq1, images: ["{{{{ it.first }}}}", "{{{{ it.last }}}}"], prompt: "{prompt}"}}\n'
    )
    return load(folder.write(text))


def told(folder: Folder, source: str, **more: str) -> list[str]:
    with pytest.raises(SpecTrouble) as caught:
        filed(folder, source, **more)
    assert all(str(problem).isprintable() for problem in caught.value.problems)
    return [str(problem).removeprefix(f"{folder.path.as_posix()}/") for problem in caught.value.problems]


def table(made: Spec) -> list[list[str]]:
    """For each job its name, its frames and its prompt."""
    return [[job.name, *(image.source for image in job.images), job.request.get("prompt", "")] for job in made.jobs]


def draw(folder: Folder, *files: str) -> None:
    """Frames of different colours, in sub-folders too."""
    for number, file in enumerate(files):
        (folder.path / "frames" / file).parent.mkdir(parents=True, exist_ok=True)
        folder.frame(file, f"rgb({number * 9 % 255}, {number * 40 % 255}, 90)")


PAIRS = 'pairs: {first: "frames/*-a.png", last: "frames/*-b.png"}'


def test_pairs_are_what_the_star_matched_in_natural_order(folder: Folder) -> None:
    draw(folder, "k10-a.png", "k10-b.png", "k2-b.png", "k2-a.png", "Ridge-a.png", "Ridge-b.png", "other.png")
    assert table(filed(folder, PAIRS)) == [
        ["k2", "frames/k2-a.png", "frames/k2-b.png", "no 1"],
        ["k10", "frames/k10-a.png", "frames/k10-b.png", "no 2"],
        ["Ridge", "frames/Ridge-a.png", "frames/Ridge-b.png", "no 3"],
    ]


def test_a_star_may_stand_for_a_folder_and_several_stars_make_one_name(folder: Folder) -> None:
    draw(folder, "s1/x/first.png", "s1/x/last.png", "s2/y/first.png", "s2/y/last.png", "s3/z/note.png")
    made = filed(folder, 'pairs: {first: "./frames/s*/*/first.png", last: "frames/s*/*/last.png"}')
    assert [row[:2] for row in table(made)] == [
        ["1-x", "frames/s1/x/first.png"],
        ["2-y", "frames/s2/y/first.png"],
    ]


def test_a_pattern_is_a_template_and_knows_no_other_wildcards(folder: Folder) -> None:
    draw(folder, "[a]-1.png", "[a]-2.png", "b-1.png", "b-2.png")
    made = filed(
        folder, "pairs: {first: '{{ dir }}/[*]-1.png', last: '{{ dir }}/[*]-2.png'}", top="vars: {dir: frames}\n"
    )
    assert [row[0] for row in table(made)] == ["a"]


def test_frames_without_their_other_half_are_listed(folder: Folder) -> None:
    draw(folder, "k10-a.png", "k2-a.png", "x-b.png", "both-a.png", "both-b.png")
    assert told(folder, PAIRS) == [
        "jobs.yaml:3:26: frames without their other half: frames/k2-a.png, frames/k10-a.png, frames/x-b.png"
    ]
    draw(folder, *(f"n{number}-a.png" for number in range(12)))
    assert told(folder, PAIRS)[0].endswith("frames/n6-a.png, frames/n7-a.png and 5 more")


def test_a_hidden_file_is_no_frame(folder: Folder) -> None:
    draw(folder, "k-a.png", "k-b.png", "._k-a.png")
    assert [row[0] for row in table(filed(folder, PAIRS))] == ["k"]


def test_halves_pair_up_whatever_the_unicode_form_of_their_names(folder: Folder) -> None:
    draw(folder, unicodedata.normalize("NFD", "Küste-a.png"), unicodedata.normalize("NFC", "Küste-b.png"))
    assert [row[0] for row in table(filed(folder, PAIRS))] == [unicodedata.normalize("NFC", "Küste")]
    draw(folder, unicodedata.normalize("NFC", "Küste-a.png"))
    assert "two files read the same" in told(folder, PAIRS)[0]


def test_a_chain_leads_from_each_frame_to_the_next_in_natural_order(folder: Folder) -> None:
    draw(folder, "k1.png", "k10.png", "k2.png", "K3.png")
    assert table(filed(folder, 'chain: "frames/k*.png"')) == [
        ["k1-k2", "frames/k1.png", "frames/k2.png", "no 1"],
        ["k2-k10", "frames/k2.png", "frames/k10.png", "no 2"],
    ]


def test_a_written_chain_keeps_its_order(folder: Folder) -> None:
    draw(folder, "k1.png", "k10.png", "k2.png")
    made = filed(folder, "chain: [frames/k10.png, frames/k1.png, 'https://example.org/k2.png']")
    assert table(made) == [
        ["k10-k1", "frames/k10.png", "frames/k1.png", "no 1"],
        ["k1-k2", "frames/k1.png", "https://example.org/k2.png", "no 2"],
    ]


def test_a_frame_of_a_written_chain_is_told_where_it_stands(folder: Folder) -> None:
    draw(folder, "k1.png", "k2.png")
    assert told(folder, "chain: [frames/k1.png, frames/kk.png, frames/k2.png]") == [
        "jobs.yaml:3:42: 'frames/kk.png' does not exist; did you mean 'frames/k2.png'?; job k1-kk (and 1 more like it)"
    ]


KEYFRAMES = """
  - matrix:
      shot:
        chain:
          - {frame: frames/k1.png, prompt: "push in, {{ look }}", duration: 4, audio: true}
          - frames/k2.png
          - {frame: frames/k10.png, prompt: "8", duration: null}
          - {prompt: "{{ '{%' }} pan", frame: "{{ dir }}/k3.png"}
          - {frame: frames/k4.png, prompt: null}
    request:
      images: ["{{ shot.first }}", "{{ shot.last }}"]
      prompt: "{{ shot.prompt | default(none) }}"
      duration: "{{ shot.duration | default(2) }}"
      audio: "{{ shot.audio | default(none) }}"
"""


def test_what_stands_beside_a_frame_is_about_the_clip_that_leaves_it(folder: Folder) -> None:
    draw(folder, "k1.png", "k2.png", "k10.png", "k3.png", "k4.png")
    vars = "vars: {look: soft, dir: frames}\n"
    made = load(folder.write(f"version: 1\n{vars}defaults: {{model: viduq2-turbo}}\njobs:{KEYFRAMES}"))
    ends = [tuple(image.source.removeprefix("frames/") for image in job.images) for job in made.jobs]
    assert ends == [("k1.png", "k2.png"), ("k2.png", "k10.png"), ("k10.png", "k3.png"), ("k3.png", "k4.png")]
    assert [job.name for job in made.jobs] == ["k1-k2", "k2-k10", "k10-k3", "k3-k4"]
    fields = ("prompt", "duration", "audio")
    assert [{name: job.request[name] for name in fields if name in job.request} for job in made.jobs] == [
        {"prompt": "push in, soft", "duration": 4, "audio": True},
        {"duration": 2},
        {"prompt": "8", "duration": 2},
        {"prompt": "{% pan", "duration": 2},
    ]


def test_a_chain_may_come_from_a_var(folder: Folder) -> None:
    draw(folder, "k1.png", "k2.png", "k3.png")
    frames = "[{frame: frames/k1.png, way: slow}, {frame: frames/k2.png, way: quick}, frames/k3.png]"
    top, source = f"vars: {{all: {frames}}}\n", 'chain: "{{ all }}"'
    assert [row[3] for row in table(filed(folder, source, top, "{{ it.way }} {{ it.index }}"))] == ["slow 1", "quick 2"]
    wrong = [
        ("way: quick", "last: quick"),
        ("frames/k3.png", "{frame: frames/k3.png, way: on}"),
        ("frames/k3.png", "3"),
    ]
    whys = [
        "last is the item's own: name, index, first and last follow from the frames",
        "way leads nowhere: a frame's fields are those of the clip that leaves it, and this is the last",
        "an entry of a chain is a frame, or a mapping with frame, not 3",
    ]
    for (good, bad), why in zip(wrong, whys, strict=True):
        assert told(folder, source, top=top.replace(good, bad), prompt="{{ it.way }}") == [f"jobs.yaml:4:26: {why}"]


LINKS = {
    "a field of the last frame": (
        "[{frame: frames/k1.png}, {frame: frames/k2.png, prompt: on}]",
        ["3:74: prompt leads nowhere: a frame's fields are those of the clip that leaves it, and this is the last"],
    ),
    "what the item has of its own": (
        "[{frame: frames/k1.png, name: a, last: b}, frames/k2.png]",
        [
            "3:50: name is the item's own: name, index, first and last follow from the frames",
            "3:59: last is the item's own: name, index, first and last follow from the frames",
        ],
    ),
    "a field that no template could name": (
        "[{frame: frames/k1.png, camera-move: pan}, frames/k2.png]",
        ["3:50: 'camera-move' cannot be a name: templates know letters, digits, _"],
    ),
    "an entry without a frame": (
        "[{prompt: on}, {frame: frames/k2.png}]",
        ["3:27: frame is missing"],
    ),
    "a frame that is no text": (
        "[{frame: 5}, frames/k2.png]",
        ["3:35: frame must be text, not the number 5"],
    ),
    "a frame that a template makes no text of": (
        '[{frame: "{{ 5 }}"}, frames/k2.png]',
        ["3:35: frame must be text, not 5"],
    ),
    "an entry that is neither": (
        "[7, frames/k2.png]",
        ["3:27: chain[0] must be text or a mapping, not the number 7"],
    ),
    "a mapping for a field": (
        "[{frame: frames/k1.png, prompt: {file: a.txt}}, frames/k2.png]",
        ["3:58: prompt must be text or a number or true or false, not the mapping {'file': 'a.txt'}"],
    ),
    "one frame": (
        "[{frame: frames/k1.png}]",
        ["3:26: chain has 1 item (at least 2)"],
    ),
    "a template in error": (
        '[{frame: frames/k1.png, prompt: "{{ lok }}"}, frames/k2.png]',
        ["3:58: there is no variable or axis 'lok'"],
    ),
    "a field that an entry lacks": (
        "[{frame: frames/k1.png, prompt: on}, {frame: frames/k2.png, duration: 4}, frames/k3.png]",
        ["3:63: there is no 'prompt' in this value; job k2-k3"],
    ),
    "a field that a plain frame lacks": (
        "[{frame: frames/k1.png, prompt: on}, frames/k2.png, frames/k3.png]",
        ["3:63: there is no 'prompt' in this value; job k2-k3"],
    ),
    "a field that no entry has": (
        "[{frame: frames/k1.png, duration: 4}, frames/k2.png, {frame: frames/k3.png}]",
        ["4:83: there is no 'prompt' in this value; job k1-k2 (and 1 more like it)"],
    ),
    "a frame that is not there": (
        "[{frame: frames/k1.png, prompt: a}, {prompt: b, frame: frames/kk.png}, frames/k2.png]",
        ["3:81: 'frames/kk.png' does not exist; did you mean 'frames/k3.png'?; job k1-kk (and 1 more like it)"],
    ),
    "a value that the request does not take": (
        '[{frame: frames/k1.png, prompt: "\\e[31mred"}, frames/k2.png]',
        ["3:58: prompt holds the control character '\\x1b'; job k1-k2"],
    ),
}


@pytest.mark.parametrize(("frames", "expected"), LINKS.values(), ids=LINKS.keys())
def test_a_slip_in_a_written_chain_is_told_where_it_stands(folder: Folder, frames: str, expected: list[str]) -> None:
    draw(folder, "k1.png", "k2.png", "k3.png")
    assert told(folder, f"chain: {frames}", prompt="{{ it.prompt }}") == [f"jobs.yaml:{line}" for line in expected]


def story(folder: Folder, *frames: str) -> None:
    """A local spec of a chain with a prompt and a length for each of its clips, and two takes of each."""
    for number, frame in enumerate(frames):
        if not (folder.path / "frames" / f"{frame}.png").exists():
            folder.frame(f"{frame}.png", f"rgb({number * 60}, {sum(frame.encode()) % 250}, 90)")
    entries = [f"{{frame: frames/{frame}.png, prompt: leave {frame}, duration: 1}}" for frame in frames[:-1]]
    chain = "".join(f"          - {entry}\n" for entry in [*entries, f"frames/{frames[-1]}.png"])
    folder.write(
        "version: 1\ntiming: {poll_min: 0.05}\ndefaults: {model: viduq2-turbo, resolution: 540p}\njobs:\n"
        f"  - matrix:\n      shot:\n        chain:\n{chain}      seed: [7, 8]\n"
        '    request:\n      images: ["{{ shot.first }}", "{{ shot.last }}"]\n      prompt: "{{ shot.prompt }}"\n'
        '      duration: "{{ shot.duration }}"\n      seed: "{{ seed }}"\n'
    )


def planned(folder: Folder) -> dict[str, tuple[str, str]]:
    """The key and the step of each job, in the order of the plan."""
    plan = folder("plan", "jobs.yaml", "--json")
    assert plan.code == 0, plan.err
    return {job["name"]: (job["key"], job["step"]) for job in plan.document["jobs"]}


def test_a_frame_put_into_a_chain_renames_and_remakes_nothing_but_the_clip_it_splits(folder: Folder) -> None:
    story(folder, "k1", "k2", "k3")
    before = planned(folder)
    assert list(before) == ["k1-k2-7", "k1-k2-8", "k2-k3-7", "k2-k3-8"]
    made = folder("jobs.yaml", "--json")
    assert made.code == 0, made.err
    story(folder, "k1", "k9", "k2", "k3")
    after = planned(folder)
    assert list(after) == [f"{link}-{seed}" for link in ("k1-k9", "k9-k2", "k2-k3") for seed in (7, 8)]
    assert {name: step for name, (_, step) in after.items() if step != "submit"} == {
        "k2-k3-7": "skip",
        "k2-k3-8": "skip",
    }
    assert all(after[name][0] == before[name][0] for name in after.keys() & before.keys())
    assert len({key for key, _ in [*before.values(), *after.values()]}) == 8


PATTERNS = {
    "a folder above": ("../*.png", "leads out of the spec's folder"),
    "a folder above, in the middle": ("frames/../../*.png", "leads out of the spec's folder"),
    "the root": ("/*/*.png", "leads out of the spec's folder"),
    "a link out of the folder": ("out/*.png", "leads out of the spec's folder"),
    "links in a circle": ("circle/*.png", "cannot be followed to a file"),
    "any depth": ("frames/**/*.png", "is no pattern"),
    "nothing": ("frames/*.webp", "matches no file"),
    "a folder that is not there": ("nowhere/*.png", "matches no file"),
    "a file for a folder": ("jobs.yaml/*.png", "matches no file"),
    "folders": ("*s", "matches no file"),
    "files beside folders": ("*.yaml", "matches 1 of the two files that a chain needs"),
    "one file": ("frames/a*.png", "matches 1 of the two files that a chain needs"),
    "a name that turns the reading direction": ("odd/*.png", "matches the file 'x\\u202e.png'"),
    "many stars": ("*a" * 500, "matches no file"),
    "a URL": ("https://example.org/*.png", "matches no file"),
}


@pytest.mark.parametrize(("pattern", "why"), PATTERNS.values(), ids=PATTERNS.keys())
def test_a_pattern_stays_inside_the_folder_and_finds_what_it_says(folder: Folder, pattern: str, why: str) -> None:
    draw(folder, "a.png", "b.png", "../odd/x\u202e.png", f"../{'a' * 200}/x.png")
    (folder.path / "out").symlink_to(folder.path.parent)
    (folder.path / "circle").symlink_to("circle")
    begun = time.process_time()
    (line,) = told(folder, f'chain: "{pattern}"')
    assert time.process_time() - begun < 2
    assert line.startswith("jobs.yaml:3:26: ")
    assert why in line


def test_a_file_name_that_is_no_text_is_refused(folder: Folder) -> None:
    draw(folder, "a.png")
    (folder.path / "frames/a.png").rename(folder.path / os.fsdecode(b"frames/\xff.png"))
    assert "whose name is no plain text" in told(folder, 'chain: "frames/*.png"')[0]


CSV = "name,first,last,prompt,seconds,audio\n"


def sheet(folder: Folder, text: str | bytes, **more: str) -> Spec:
    draw(folder, "a.png", "b.png")
    (folder.path / "shots.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return filed(folder, "csv: shots.csv", **more)


def bad_sheet(folder: Folder, text: str | bytes) -> list[str]:
    with pytest.raises(SpecTrouble) as caught:
        sheet(folder, text, prompt="{{ it.prompt }}")
    assert all(str(problem).isprintable() and len(str(problem)) < 300 for problem in caught.value.problems)
    return [str(problem).removeprefix(f"{folder.path.as_posix()}/") for problem in caught.value.problems]


def test_a_row_of_a_csv_file_is_a_value_and_its_name_the_label(folder: Folder) -> None:
    rows = 'name,first,last,prompt\nx,frames/a.png,frames/b.png,"dawn, slowly\nand ""soft"""\n'
    rows += "y,frames/b.png,frames/a.png,no\n"
    assert table(sheet(folder, rows, prompt="{{ it.prompt }}")) == [
        ["x", "frames/a.png", "frames/b.png", 'dawn, slowly\nand "soft"'],
        ["y", "frames/b.png", "frames/a.png", "no"],
    ]


def test_a_cell_is_a_scalar_of_json_and_an_empty_one_is_absent(folder: Folder) -> None:
    cells = ["5", " 5 ", "0.5", "true", "null", "TRUE", "012", "16:9", "no", '"5"', "", '" "']
    rows = "".join(f"frames/a.png,frames/b.png,{number},{cell}\n" for number, cell in enumerate(cells))
    cell = "{{ 'absent' if it.cell is undefined else it.cell + 1 if it.cell == 5 else it.cell | default('', true) }}"
    made = sheet(folder, f"first,last,n,cell\n{rows}", prompt=f"{{{{ it.n }}}} {cell}")
    shown = [row[3].partition(" ")[2] for row in table(made)]
    assert shown == ["6", "6", "0.5", "true", "", "TRUE", "012", "16:9", "no", "6", "absent", "absent"]


def test_a_cell_sees_the_vars_as_any_value_of_an_axis_does(folder: Folder) -> None:
    rows = 'first,last,prompt\nframes/a.png,frames/b.png,"a boat, {{ look }}"\n'
    made = sheet(folder, rows, prompt="{{ it.prompt }}", top="vars: {look: soft}\n")
    assert [row[3] for row in table(made)] == ["a boat, soft"]


def test_a_spreadsheet_s_byte_order_mark_line_ends_and_empty_rows_do_not_matter(folder: Folder) -> None:
    rows = b"\xef\xbb\xbfname, first, last, ,\r\n\r\nx, frames/a.png, frames/b.png,,\r\n,,,,\r\n"
    assert [row[0] for row in table(sheet(folder, rows, prompt="a boat, {{ it.name }}"))] == ["x"]


SHEETS: dict[str, tuple[str | bytes, str]] = {
    "a frame that is not there": (
        "first,last,prompt\n\nframes/a.png,frames/b.png,x\nframes/a.png,frames/c.png,y\n",
        "shots.csv:4:1: 'frames/c.png' does not exist; did you mean 'frames/b.png'?; job 2",
    ),
    "a row below a long cell": (
        'first,last,prompt\nframes/a.png,frames/b.png,"x\n\ny"\nframes/c.png,frames/b.png,z\n',
        "shots.csv:5:1: 'frames/c.png' does not exist; did you mean 'frames/b.png'?; job 2",
    ),
    "a cell that a row lacks": (
        "first,last,prompt\nframes/a.png,frames/b.png,x\nframes/b.png,frames/a.png,\n",
        "shots.csv:3:1: there is no 'prompt' in this value; job 2",
    ),
    "a column that no row has": (
        "first,last\nframes/a.png,frames/b.png\nframes/b.png,frames/a.png\n",
        "jobs.yaml:4:83: there is no 'prompt' in this value; job 1 (and 1 more like it)",
    ),
    "a text with a comma": (
        "first,last,prompt\nframes/a.png,frames/b.png,dawn, slowly\n",
        "shots.csv:2:1: 'slowly' has no column: a text with a comma needs quotes",
    ),
    "a template in error": (
        "first,last,prompt\nframes/a.png,frames/b.png,{{ lok }}\n",
        "shots.csv:2:1: there is no variable or axis 'lok'",
    ),
    "a column twice": ("first,last,first\na,b,c\n", "shots.csv:1:1: two columns are called 'first'"),
    "semicolons": ("first;last\na;b\n", "shots.csv:1:1: one column called 'first;last': cells are separated by commas"),
    "no rows": ("first,last\n", "shots.csv: no row under the names of the columns"),
    "nothing": ("", "shots.csv: no row under the names of the columns"),
    "a quote without an end": ('first,last\na,"b\n', "shots.csv:2:1: not CSV: unexpected end of data"),
    "a number without end": ("first,last\n1e999,b\n", "shots.csv:2:1: '1e999' is too large a number"),
    "a cell without end": (
        f"first,last\n{'x' * 200_000},b\n",
        "shots.csv:2:1: not CSV: field larger than field limit (131072)",
    ),
    "bytes": (b"first,last\n\xff,b\n", "jobs.yaml:3:24: 'shots.csv' is not UTF-8 text (byte 11)"),
    "a control character": (
        "first,last,prompt\nframes/a.png,frames/b.png,\x1b[31mred\n",
        "shots.csv:2:1: prompt holds the control character '\\x1b'; job 1",
    ),
}


@pytest.mark.parametrize(("text", "line"), SHEETS.values(), ids=SHEETS.keys())
def test_a_slip_in_a_csv_file_is_told_at_its_line(folder: Folder, text: str | bytes, line: str) -> None:
    assert bad_sheet(folder, text) == [line]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("../shots.csv", "'../shots.csv' leads out of the spec's folder"),
        ("no.csv", "'no.csv' does not exist"),
        ("frames", "'frames' is not a file"),
        ("pipe", "'pipe' is not a file"),
        ("/etc/passwd", "'/etc/passwd' is not a path inside the spec's folder"),
    ],
)
def test_a_csv_file_is_a_file_in_the_folder(folder: Folder, source: str, why: str) -> None:
    os.mkfifo(folder.path / "pipe")
    assert told(folder, f"csv: {source}") == [f"jobs.yaml:3:24: {why}"]


def test_a_csv_file_of_many_empty_rows_is_read_in_no_time(folder: Folder) -> None:
    begun = time.process_time()
    assert bad_sheet(folder, "a\n" + "1\n" * 200_000) == ["shots.csv: more than 100,000 rows"]
    assert time.process_time() - begun < 5
