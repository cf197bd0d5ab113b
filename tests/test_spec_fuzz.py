"""Whatever stands in a spec, loading it ends in jobs or in SpecTrouble: never in another error, never in silence.

`VIDU_RUN_FUZZ=5000` tries so many mutations, other ones each time.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from vidu_run.errors import SpecTrouble
from vidu_run.frames import BadFrame, measure
from vidu_run.job import Frame
from vidu_run.spec.load import Spec, load
from vidu_run.spec.read import read_yaml
from vidu_run.spec.template import BadTemplate, compile_template

ROUNDS = int(os.environ.get("VIDU_RUN_FUZZ", "0"))
QUICK = settings(
    max_examples=ROUNDS or 80,
    deadline=None,
    derandomize=not ROUNDS,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
SPECS = Path(__file__).parent / "specs"
SEEDS = [path.read_text(encoding="utf-8") for path in sorted(SPECS.glob("*valid/*.yaml"))]
TREES = [read_yaml(path, path.name).data for path in sorted(SPECS.glob("valid/*.yaml"))]
LONGEST = 10.0
"""Seconds of processor time for one small spec, on a slow machine."""

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 5, 10**18, 10**299, 1.5, -0.0, 1e308, "", " ", "a", "{{ seed }}", "{{ pair }}",
    "{{ pair.first }}", "{{ nope }}", "{{ 1 + 1 }}", "{{ none }}", "{{", "}}", "{% if a %}", "{{ a | int }}", "*", "**",
    "frames/*.png", "frames/harbour-a.png", "../x", "https://example.org/a.png", "\0", "\x1b[31m", "\u202e", "\r\n",
    "海", "x" * 300, [], {}, [None], [[]], {"a": 1}, {"file": "prompts/slow.txt"}, {"range": [1, 3]},
    {"csv": "shots.csv"}, {"chain": "frames/*.png"}, {"pairs": {"first": "frames/*-a.png", "last": "frames/*-b.png"}},
    [1, 2], ["a", "b"], {"chain": [{"frame": "frames/k2-a.png", "prompt": "{{ look }}"}, "frames/k2-b.png"]},
]  # fmt: skip
WORDS = ["version", "provider", "vars", "defaults", "jobs", "name", "matrix", "zip", "exclude", "request", "extra"]
WORDS += [
    "timing",
    "max_jobs",
    "concurrency",
    "budget",
    "images",
    "prompt",
    "seed",
    "duration",
    "model",
    "pair",
    "a",
    "",
]
BITS = [
    "{{",
    "}}",
    "{%",
    "#",
    ":",
    "- ",
    "\n",
    "  ",
    "'",
    '"',
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a",
    "*a",
    "!!x",
    "<<",
    "|",
    ">",
]
BITS += ["\t", "\0", "\ufeff", "\u2028", "\x85", "?", "%", "@", "`", "---", "...", "null", "9" * 400, ".", "|int", "\\"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    for file in (SPECS / "files").rglob("*.*"):
        target = folder / file.relative_to(SPECS / "files")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
    (folder / "frames").mkdir()
    for number, name in enumerate(f"{place}-{half}.png" for place in ("harbour", "ridge", "k2") for half in "ab"):
        Image.new("RGB", (32, 18), (number * 20, 90, 90)).save(folder / "frames" / name)
    return folder


def outcome(stage: Path, content: str | bytes, setting: Any = None) -> Spec | SpecTrouble:
    """What loading ends in; anything but these two fails the test that asks."""
    path = stage / "jobs.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    begun = time.process_time()
    try:
        ended: Spec | SpecTrouble = load(path, None, {} if setting is None else {"look": setting})
    except SpecTrouble as trouble:
        ended = trouble
    assert time.process_time() - begun < LONGEST
    sound(ended)
    return ended


def sound(ended: Spec | SpecTrouble) -> None:
    if isinstance(ended, SpecTrouble):
        assert ended.problems
        for problem in ended.problems:
            assert str(problem).isprintable(), repr(str(problem))
            assert len(str(problem)) < 1500
        return
    names = [job.name.casefold() for job in ended.jobs]
    assert len(set(names)) == len(names) == len({job.key for job in ended.jobs})
    for job in ended.jobs:
        assert len(job.images) == 2
        assert "{{" not in json.dumps(job.request, allow_nan=False)


def mutated(data: Any, chance: random.Random) -> Any:
    """The same with one thing in it changed, taken out, doubled or put elsewhere."""
    ways = list(holders(data))
    holder, key = chance.choice(ways) if ways else (None, None)
    if holder is None:
        return json.loads(json.dumps(chance.choice(VALUES)))
    what = chance.randrange(5)
    value = json.loads(json.dumps(chance.choice(VALUES)))
    if what == 0:
        holder[key] = value
    elif what == 1:
        del holder[key]
    elif what == 2:
        other, there = chance.choice(ways)
        holder[key] = json.loads(json.dumps(other[there]))
    elif isinstance(holder, dict):
        holder[chance.choice(WORDS)] = holder.pop(key) if what == 3 else value
    else:
        holder.insert(chance.randrange(len(holder) + 1), value)
    return data


def holders(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a document that can be set: what holds it, and under what key."""
    if isinstance(data, dict | list):
        for key in list(data) if isinstance(data, dict) else range(len(data)):
            yield data, key
            yield from holders(data[key])


@QUICK
@given(seed=st.sampled_from(range(len(TREES))), chance=st.randoms(use_true_random=False), steps=st.integers(1, 6))
def test_a_mutated_document_makes_jobs_or_trouble(stage: Path, seed: int, chance: random.Random, steps: int) -> None:
    data = json.loads(json.dumps(TREES[seed]))
    for _ in range(steps):
        data = mutated(data, chance)
    outcome(stage, json.dumps(data))


@QUICK
@given(text=st.sampled_from(SEEDS), chance=st.randoms(use_true_random=False), steps=st.integers(1, 8))
def test_a_mutated_text_makes_jobs_or_trouble(stage: Path, text: str, chance: random.Random, steps: int) -> None:
    for _ in range(steps):
        at = chance.randrange(len(text) + 1)
        end = min(len(text), at + chance.choice([0, 0, 1, 3, 20]))
        text = text[:at] + chance.choice([*BITS, "", text[end : end + 30]]) + text[end:]
    outcome(stage, text)


@QUICK
@given(st.binary(max_size=200))
@example(b"\xff\xfe\x00")
@example(b"[" * 5000)
def test_bytes_make_trouble(stage: Path, content: bytes) -> None:
    assert isinstance(outcome(stage, content), SpecTrouble)


ONE = """version: 1
vars: {{look: soft}}
jobs:
  - matrix: {{seed: [1, 2], pair: [{{name: x, first: 1}}]}}
    name: "s{{{{ seed }}}}-{{{{ pair.name }}}}"
    request: {{model: viduq1, images: [frames/harbour-a.png, frames/harbour-b.png], seed: "{{{{ seed }}}}", prompt: {}}}
"""
FILTERS = ["default", "int", "lower", "pad", "round", "slug", "stem", "name", "title", "trim", "center"]
NAMES = st.sampled_from(
    ["seed", "pair", "look", "pair.name", "pair['first']", "self", "loop", "none", "true", "1", "'x'"]
)
EXPRESSIONS = st.recursive(
    NAMES | st.sampled_from(["1e999", "9" * 5000, "''", "1.5", "-0"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "~", "*", "**", "%", "and", "in", "==", "<", "."]), inner).map(
            " ".join
        ),
        st.tuples(inner, st.sampled_from(FILTERS)).map("|".join),
        inner.map("({})".format),
        inner.map("not {}".format),
        inner.map("{}[0]".format),
        inner.map("{}|pad(99999999)".format),
        st.tuples(inner, inner).map("{0[0]} if {0[1]} else 1".format),
        inner.map("{}()".format),
        inner.map("{}.__class__".format),
        inner.map("{}['__init__']".format),
    ),
    max_leaves=8,
)
TEMPLATES = st.lists(
    EXPRESSIONS.map("{{{{ {} }}}}".format) | st.sampled_from([*BITS, "a "]), min_size=1, max_size=4
).map("".join)


@QUICK
@given(TEMPLATES)
def test_any_template_renders_or_says_why_not(text: str) -> None:
    scope = {"seed": 7, "look": "soft", "pair": {"name": "x", "first": 1, "tags": [1]}}
    begun = time.process_time()
    why = ""
    try:
        json.dumps(compile_template(text).render(scope), allow_nan=False)
    except BadTemplate as error:
        why = str(error)
    assert why.isprintable()
    assert len(why) < 400
    assert time.process_time() - begun < LONGEST


@QUICK
@given(TEMPLATES | st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_prompt_makes_jobs_or_trouble(stage: Path, text: str) -> None:
    outcome(stage, ONE.format(json.dumps(text)))


@QUICK
@given(st.text(max_size=20) | st.floats() | st.integers() | st.booleans())
@example("\ud800")
@example(float("nan"))
def test_any_setting_makes_jobs_or_trouble(stage: Path, value: Any) -> None:
    outcome(stage, ONE.format('"{{ look }}"'), value)


@QUICK
@given(
    st.lists(st.lists(st.text(max_size=8) | st.sampled_from(["1", "", '"', ",", "{{ look }}"]), max_size=4), max_size=5)
)
def test_any_table_makes_jobs_or_trouble(stage: Path, rows: list[list[str]]) -> None:
    table = "name,first\n" + "\n".join(",".join(row) for row in rows)
    (stage / "any.csv").write_bytes(table.encode("utf-8", "surrogatepass"))
    outcome(stage, ONE.format('"{{ pair.name }}"').replace("[{name: x, first: 1}]", "{csv: any.csv}"))


def pictures() -> list[bytes]:
    made = []
    for form in ("PNG", "JPEG", "WEBP", "GIF"):
        buffer = BytesIO()
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.effect_noise((32, 18), 60).convert("RGB").save(buffer, form, exif=exif)
        made.append(buffer.getvalue())
    return made


@QUICK
@given(content=st.sampled_from(pictures()), chance=st.randoms(use_true_random=False), steps=st.integers(0, 6))
def test_a_mutated_picture_is_a_frame_or_none(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, chance: random.Random, steps: int
) -> None:
    noisy = bytearray(content)
    for _ in range(steps):
        at = chance.randrange(min(len(noisy), chance.choice([40, 200, 10_000])) or 1)
        noisy[at : at + chance.choice([0, 1, 1, 4])] = chance.randbytes(chance.choice([0, 1, 1, 4]))
    path = tmp_path_factory.getbasetemp() / "picture"
    path.write_bytes(noisy)
    try:
        ended: Frame | str = measure(path, "picture", 10_000)
    except BadFrame as error:
        ended = str(error)
    assert isinstance(ended, Frame) or ended.isprintable()
