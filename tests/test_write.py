"""A plain spec as text: whatever a request says is read again as it was meant, by us and by other readers of YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from vidu_run.job import Key
from vidu_run.key import tidy
from vidu_run.spec.check import CONTROL
from vidu_run.spec.load import load
from vidu_run.spec.read import parse_yaml
from vidu_run.spec.template import BadTemplate, compile_template, is_template
from vidu_run.spec.write import Written, literal, spec_text, yaml_value

KEY = Key("0d2f1c6b" * 8)
HEAD = {"version": 1, "provider": "octopusx", "timing": {"poll_min": 0.5}}
RICH = st.lists(
    st.one_of(
        st.sampled_from(
            ["{%", "{#", "%}", "#}", "}}", "{", " #", ": ", "\\", '"', "'", "\n", "\r", "\t", "- ", "&", "é"]
        ),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=40,
).map("".join)
TEXTS = RICH.filter(lambda text: "{{" not in text)
PROMPTS = TEXTS.filter(lambda text: not CONTROL.search(text))
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda number: not number.is_integer()
)
VALUES = st.recursive(
    TEXTS | NUMBERS | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(RICH.filter(lambda text: text != "<<"), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stage")
    for name in ("a.png", "b.png"):
        Image.new("RGB", (32, 18), (len(folder.name), ord(name[0]), 90)).save(folder / name)
    return folder


def again(stage: Path, prompt: str, style: Any = "plain", name: str = "one") -> tuple[str, dict[str, Any]]:
    """The name and request of a job that was written down and read by the program's own loader."""
    request = {"model": "viduq2-turbo", "images": ["a.png", "b.png"], "prompt": prompt, "seed": 7}
    text = spec_text(["by a test"], HEAD, [Written(name, KEY, request, {"style": style})])
    spec = stage / "written.yaml"
    spec.write_bytes(text.encode())
    (job,) = load(spec).jobs
    assert job.draft == KEY
    return job.name, dict(job.request)


@given(prompt=PROMPTS)
@example(prompt="a boat: slowly, #1 - 'now' \"soon\"")
@example(prompt="100{% off")
@example(prompt="{%")
@example(prompt="{#" * 400)
@example(prompt="a \\{% b")
@example(prompt="\u2028\x85\ufeff\u202e end")
@example(prompt="no")
@example(prompt="0012")
@example(prompt="long " * 990)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_prompt_survives_being_written_down(stage: Path, prompt: str) -> None:
    assert again(stage, prompt)[1]["prompt"] == tidy(prompt)


@given(style=VALUES)
@example(style=" {% ")
@example(style="a\r\n{%\r")
@example(style="\x00\x1b\x7f\x9f")
@example(style=[1e-07, 2.5e-300, -0.25, 10**299])
@example(style={"no": {"true": [], "12": {}}, "": None})
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_survives_in_a_field_that_is_not_checked(stage: Path, style: Any) -> None:
    request = again(stage, "a boat", style)[1]
    assert request.get("style") == style
    assert repr(request.get("style")) == repr(style)


@given(value=VALUES)
@settings(max_examples=80, deadline=None)
def test_another_reader_of_yaml_sees_the_same_values(value: Any) -> None:
    text = f"- {yaml_value(value)}\n"
    assert repr(yaml.safe_load(text)) == repr([value])
    assert repr(parse_yaml(text, "-").data) == repr([value])


@pytest.mark.parametrize("name", ["one", "take/1", "012", "yes", "100{% off", "#1", "ünï {#", "a, b"])
def test_a_name_survives_being_written_down(stage: Path, name: str) -> None:
    assert again(stage, "a boat", name=name)[0] == name


def test_what_needs_no_quotes_has_none() -> None:
    written = [yaml_value(value) for value in ("viduq2-turbo", "frames/a.png", "720p", ["a.png", "b.png"], 7, True)]
    assert written == ["viduq2-turbo", "frames/a.png", "720p", "[a.png, b.png]", "7", "true"]


def test_a_text_that_looks_like_a_template_is_escaped_readably_where_that_is_possible() -> None:
    assert literal("100{% off") == '100{{ "{%" }} off'
    assert literal(["plain", {"a": "{#1"}]) == ["plain", {"a": '{{ "{#" }}1'}]
    for text in (" {% ", "a\r{%", "{%" * 2_000):
        written = literal(text)
        assert is_template(written)
        assert compile_template(written).render({}) == text


@pytest.mark.parametrize("text", ["a {{ boat", "{{ seed }}", "{%" + "a" * 20_000])
def test_a_text_that_no_template_gives_is_refused(text: str) -> None:
    with pytest.raises(BadTemplate, match="takes for a template"):
        literal(text)
