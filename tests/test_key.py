"""The identity of a job. A key that changes buys a video again, so the golden file is never changed, only added to."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from vidu_run.job import Continued, Frame, Image, Key, Link
from vidu_run.key import NOT_PIXELS, carries, key_of, marked_payload, marker_of, new_marker, plain, tidy
from vidu_run.providers.catalogue import PROVIDER_NAMES, provider, request_schema
from vidu_run.spec.load import load

GOLDEN = json.loads((Path(__file__).parent / "golden" / "keys.json").read_text(encoding="utf-8"))
QUICK = settings(max_examples=60, deadline=None, derandomize=True)

FIRST, LAST = "1" * 64, "2" * 64
REQUEST = {"model": "viduq2-turbo", "images": ["a.png", "b.png"], "prompt": "a boat", "duration": 5, "seed": 7}


def frame(sha256: str, **more: Any) -> Frame:
    given: dict[str, Any] = {"source": "a.png", "size": 9, "format": "png", "width": 4, "height": 3}
    return Frame(sha256=sha256, **given | more)


IMAGES = (frame(FIRST), frame(LAST))


def key(request: Any = REQUEST, images: Sequence[Image] = IMAGES, name: str = "octopusx") -> Key:
    return key_of(name, request, images)


def golden_image(image: dict[str, Any]) -> Image:
    if "task" in image:
        return Continued("one", image["frame"], job="one", task=image["task"])
    return frame(image["sha256"]) if "sha256" in image else Link(image["url"])


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["about"])
def test_a_request_keeps_the_key_it_had(case: dict[str, Any]) -> None:
    assert key(case["request"], [golden_image(image) for image in case["images"]], case["provider"]) == case["key"]


def test_the_golden_file_covers_every_provider_and_every_field_that_decides() -> None:
    used = {name for case in GOLDEN for name in case["request"]}
    known = {name for each in PROVIDER_NAMES for name in request_schema(provider(each))["properties"]}
    assert used >= known
    assert {case["provider"] for case in GOLDEN} == {"local", *PROVIDER_NAMES}
    twins = [case for case in GOLDEN if case["about"].startswith("the same")]
    assert len({case["key"] for case in GOLDEN}) == len(GOLDEN) - len(twins)


def test_the_recipe_is_what_the_manual_says() -> None:
    """Spelled out once without the program: canonical JSON, sorted, without blanks, in UTF-8."""
    text = (
        '{"provider":"vidu","request":{"duration":8,"images":[{"sha256":"'
        + FIRST
        + '"},{"url":"https://x.org/b.png"}],'
        '"model":"viduq1","prompt":"Küste\\nin \\"fog\\""}}'
    )
    request = {"prompt": ' Ku\u0308ste\r\nin "fog" ', "model": "viduq1", "images": ["a", "b"], "duration": 8.0}
    wanted = hashlib.sha256(text.encode()).hexdigest()
    assert key(request | {"payload": "p"}, (frame(FIRST), Link("https://x.org/b.png")), "vidu") == wanted


# What must not change a key

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), TEXTS)


@QUICK
@given(st.permutations(list(REQUEST)))
def test_the_order_of_fields_does_not_matter(order: list[str]) -> None:
    assert key({name: REQUEST[name] for name in order}) == key()


@pytest.mark.parametrize("field", sorted(NOT_PIXELS))
@QUICK
@given(value=VALUES)
def test_what_decides_no_pixel_does_not_matter(field: str, value: Any) -> None:
    assert key(REQUEST | {field: value}) == key()


@QUICK
@given(TEXTS, st.sampled_from(["", " ", "\n", "\t \r\n", "\u3000"]), st.sampled_from(["NFC", "NFD"]))
def test_line_ends_unicode_forms_and_outer_blanks_of_a_prompt_do_not_matter(text: str, blank: str, form: Any) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    typed = blank + unicodedata.normalize(form, lines).replace("\n", "\r\n") + blank
    assert key(REQUEST | {"prompt": typed}) == key(REQUEST | {"prompt": text})


@QUICK
@given(TEXTS)
def test_a_prompt_tidied_once_is_tidy_and_is_sent_so(text: str) -> None:
    assert tidy(tidy(text)) == tidy(text)
    assert plain({"prompt": text}) == {"prompt": tidy(text)}


@QUICK
@given(st.integers(-(2**50), 2**50))
def test_a_whole_number_is_one_however_it_is_written(number: int) -> None:
    inside = {"extra": [number, {"deep": number}]}
    floats = {"extra": [float(number), {"deep": float(number)}]}
    assert key(REQUEST | {"seed": number} | inside) == key(REQUEST | {"seed": float(number)} | floats)


@QUICK
@given(st.sampled_from([name for name in REQUEST if name != "images"] + ["new"]))
def test_a_field_of_null_is_a_field_left_out(name: str) -> None:
    assert key(REQUEST | {name: None}) == key({field: value for field, value in REQUEST.items() if field != name})


def test_a_frame_is_its_bytes_and_not_its_name_or_shape() -> None:
    other = frame(FIRST, source="elsewhere/z.webp", size=5, format="webp", width=1, height=1, turned=True)
    assert key(images=(other, frame(LAST))) == key()
    assert key(REQUEST | {"images": ["x", "y"]}) == key()


# What must


def values_of(name: str, field: str) -> list[Any]:
    """Two values of a field's own type."""
    rules = request_schema(provider(name))["properties"][field]
    kinds: dict[str, list[Any]] = {"boolean": [True, False], "integer": [1, 2], "string": ["one", "two"]}
    return list(rules.get("enum") or kinds[rules["type"]])[:2]


FIELDS = [
    (name, field)
    for name in PROVIDER_NAMES
    for field in request_schema(provider(name))["properties"]
    if field not in {*NOT_PIXELS, "images"}
]


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_every_other_field_matters_in_each_value_and_left_out(name: str, field: str) -> None:
    base = {"model": "viduq1", "images": ["a", "b"]}
    base.pop(field, None)
    keys = {key(base | {field: value}, name=name) for value in values_of(name, field)}
    assert len(keys | {key(base, name=name)}) == 3


def test_the_default_of_the_api_is_not_the_field_left_out() -> None:
    without = {name: value for name, value in REQUEST.items() if name != "duration"}
    assert key(without) != key(without | {"duration": 5})
    assert key(without | {"bgm": False}) != key(without)


def test_every_character_inside_a_prompt_matters() -> None:
    prompts = ["a boat", "a  boat", "A boat", "a\nboat", "a boat.", "a\u00a0boat", "a\u200bboat", ""]
    assert len({key(REQUEST | {"prompt": prompt}) for prompt in prompts}) == len(prompts)


def test_types_matter() -> None:
    assert len({key(REQUEST | {"new": value}) for value in (1, "1", True, "true", 1.5, [1], {"a": 1})}) == 7


def test_the_provider_matters_and_a_rehearsal_is_none_of_the_paid_ones() -> None:
    assert len({key(name=name) for name in ("local", *PROVIDER_NAMES)}) == 1 + len(PROVIDER_NAMES)


def test_each_frame_and_their_order_matter() -> None:
    link = Link("https://x.org/a.png")
    kinds: list[Image] = [frame(FIRST), frame(LAST), link, Link(FIRST), Link("https://x.org/a.png?v=2")]
    keys = {key(images=(first, last)) for first in kinds for last in kinds}
    assert len(keys) == 25


# From a spec


def written(folder: Folder, text: str, name: str | None = None, file: str = "jobs.yaml") -> list[str]:
    return [job.key for job in load(folder.write(text, file), name).jobs]


PLAIN = """version: 1
provider: octopusx
jobs:
  - name: harbour
    request: {model: viduq1, images: [frames/a.png, frames/b.png], prompt: "a boat, soft", duration: 5}
"""


def test_how_and_where_a_request_is_written_does_not_matter(frames: Folder) -> None:
    (frames.path / "prompt.txt").write_bytes(b"\xef\xbb\xbf a boat, soft\r\n")
    (frames.path / "frames/copy.jpeg").write_bytes((frames.path / "frames/a.png").read_bytes())
    elsewhere = """# a comment
jobs:
  - request:
      duration: "{{ n }}"
      prompt: {file: prompt.txt}
      images: ["frames/copy.jpeg", "./frames/../frames/b.png"]
      payload: mine
      off_peak: true
    matrix: {n: [5.0]}
    name: another/name
defaults: {model: viduq1, duration: 8}
concurrency: 1
provider: octopusx
version: 1
"""
    assert written(frames, PLAIN) == written(frames, elsewhere, file="other.yml")


def test_a_byte_of_a_frame_matters_even_where_its_picture_is_the_same(frames: Folder) -> None:
    before = written(frames, PLAIN)
    note = PngInfo()
    note.add_text("Comment", "saved again")
    with Pillow.open(frames.path / "frames/a.png") as image:
        image.save(frames.path / "frames/a.png", pnginfo=note)
    assert written(frames, PLAIN) != before


def test_a_rehearsal_and_each_provider_have_keys_of_their_own(frames: Folder) -> None:
    keys = [written(frames, PLAIN, name)[0] for name in (None, "local", "vidu", "vidu-cn")]
    assert len(set(keys)) == 4
    assert written(frames, PLAIN, "octopusx") == keys[:1]


def test_extra_fields_are_part_of_the_request(frames: Folder) -> None:
    extra = PLAIN + "    extra: {style: {strength: 2}}\n"
    assert written(frames, extra) != written(frames, PLAIN)
    assert written(frames, extra) == written(frames, extra.replace("2}", "2.0}"))


# Markers


def test_a_marker_names_its_job_and_stands_in_front_of_the_user_s_payload() -> None:
    marker = new_marker(key(), "0123456789abcdef")
    assert marker == f"vr1.{key()[:24]}.0123456789abcdef"
    for payload in (None, "", "mine", "a|b"):
        assert marker_of(marked_payload(marker, payload)) == marker
    assert marked_payload(marker, "mine") == f"{marker}|mine"
    assert carries(marker, key())
    assert not carries(marker, key(name="vidu"))


@pytest.mark.parametrize("payload", [None, "", "mine", "vr1.", "vr1.zz.00", f"x vr1.{'0' * 24}.{'0' * 16}"])
def test_a_payload_of_others_has_no_marker(payload: str | None) -> None:
    assert marker_of(payload) is None
