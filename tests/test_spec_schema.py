"""The language of the spec file, as an editor sees it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import name_colour
from jsonschema import Draft202012Validator
from PIL import Image
from referencing import Registry

from vidu_run.pace import Timing
from vidu_run.providers.catalogue import PROVIDER_NAMES, provider, request_schema, schema_file
from vidu_run.spec.item import MAX_JOBS
from vidu_run.spec.load import load
from vidu_run.spec.read import walk

SCHEMA = json.loads(schema_file("spec.schema.json").read_text(encoding="utf-8"))
FIELDS = SCHEMA["$defs"]["request"]["properties"]
VALIDATOR = Draft202012Validator(SCHEMA, registry=Registry())

EXAMPLE = yaml.safe_load("""
version: 1
provider: octopusx
concurrency: 4
budget: 2000
vars: {look: "35 mm, soft morning light"}
defaults: {model: viduq2-turbo, duration: 5, resolution: 720p}
jobs:
  - name: "{{ pair.name }}-s{{ seed }}"
    matrix:
      seed: {range: [1, 8]}
      pair:
        - {name: harbour, first: frames/harbour-a.png, last: frames/harbour-b.png}
        - {name: ridge,   first: frames/ridge-a.png,   last: frames/ridge-b.png}
    exclude: [{pair: {name: ridge}, seed: 3}]
    request:
      images: ["{{ pair.first }}", "{{ pair.last }}"]
      prompt: "{{ pair.name }}, {{ look }}"
      seed: "{{ seed }}"
""")


def valid(spec: Any) -> bool:
    return VALIDATOR.is_valid(spec)


def with_top(**changed: Any) -> dict[str, Any]:
    return {**deepcopy(EXAMPLE), **changed}


def with_job(**changed: Any) -> dict[str, Any]:
    return with_top(jobs=[{**deepcopy(EXAMPLE["jobs"][0]), **changed}])


def with_request(**changed: Any) -> dict[str, Any]:
    return with_job(request=changed)


def with_axis(values: Any) -> dict[str, Any]:
    return with_job(matrix={"seed": values})


def without(spec: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {k: v for k, v in spec.items() if k not in keys}


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_example_of_the_manual_is_valid() -> None:
    assert [e.message for e in VALIDATOR.iter_errors(EXAMPLE)] == []


def test_the_smallest_spec_is_a_version_and_a_job() -> None:
    assert valid({"version": 1, "jobs": [{"request": {"model": "viduq1", "images": ["a.png", "b.png"]}}]})


VALID: dict[str, Any] = {
    "concurrency auto": with_top(concurrency="auto"),
    "the tool's own knobs": with_top(max_jobs=5, off_peak_concurrency=1, shrink=True, budget=0),
    "impatient timing": with_top(timing={"poll_min": 0.02, "poll_max": 1, "task_deadline": 90}),
    "any JSON in vars": with_top(vars={"a": 1, "b": [None, {"c": True}], "_d": "{{ a }}"}),
    "a template for a number": with_top(defaults={"duration": "{{ d }}"}),
    "a template for a truth": with_request(off_peak="{{ cheap }}", audio="{{ a }}"),
    "a template for both images": with_request(images="{{ frames }}"),
    "a field taken out of the defaults": with_request(duration=None, prompt=None),
    "a prompt in a file": with_request(prompt={"file": "prompts/{{ pair.name }}.txt"}),
    "a range with a step": with_axis({"range": [10, 1, -3]}),
    "a list of anything": with_axis([1, "two", None, {"three": 3}]),
    "pairs": with_axis({"pairs": {"first": "f/*-a.png", "last": "{{ folder }}/*-b.png"}}),
    "a chain by pattern": with_axis({"chain": "frames/k*.png"}),
    "a chain by name": with_axis({"chain": ["a.png", "b.png"]}),
    "a chain with fields": with_axis({"chain": [{"frame": "a.png", "say": "in", "x": None}, {"frame": "b.png"}]}),
    "rows of a CSV file": with_axis({"csv": "shots.csv"}),
    "axes that advance together": with_job(zip=["seed", "pair"]),
    "fields a provider does not know": with_job(extra={"style": {"any": ["thing"]}}),
}


@pytest.mark.parametrize("spec", VALID.values(), ids=VALID.keys())
def test_a_spec_may_have(spec: Any) -> None:
    assert [e.message for e in VALIDATOR.iter_errors(spec)] == []


INVALID: dict[str, Any] = {
    "nothing in it": {},
    "a list at the top": [EXAMPLE],
    "no version": without(EXAMPLE, "version"),
    "another version": with_top(version=2),
    "a version in quotes": with_top(version="1"),
    "a truth for a version": with_top(version=True),
    "a provider nobody knows": with_top(provider="kling"),
    "no jobs": without(EXAMPLE, "jobs"),
    "an empty list of jobs": with_top(jobs=[]),
    "jobs that are a mapping": with_top(jobs={"request": {}}),
    "a misspelt top field": with_top(job=[]),
    "a key or a host": with_top(api_key="secret"),
    "concurrency of none": with_top(concurrency=0),
    "concurrency in words": with_top(concurrency="many"),
    "concurrency from a template": with_top(concurrency="{{ n }}"),
    "concurrency that is a truth": with_top(concurrency=True),
    "a budget below nothing": with_top(budget=-1),
    "a budget with a fraction": with_top(budget=10.5),
    "vars in a list": with_top(vars=["look"]),
    "a var no template could name": with_top(vars={"my-look": "soft"}),
    "a timing nobody knows": with_top(timing={"poll": 1}),
    "a timing too quick": with_top(timing={"poll_min": 0.01}),
    "a timing in words": with_top(timing={"drain": "30 s"}),
    "room for no job": with_top(max_jobs=0),
    "no place for off-peak": with_top(off_peak_concurrency=0),
    "shrink in words": with_top(shrink="yes"),
    "a field in defaults that no API knows": with_top(defaults={"modle": "viduq1"}),
    "a job without a request": with_top(jobs=[{"name": "a"}]),
    "a misspelt job field": with_job(include=[{"seed": 9}]),
    "an empty name": with_job(name=""),
    "a number for a name": with_job(name=7),
    "an empty matrix": with_job(matrix={}),
    "a matrix in a list": with_job(matrix=[1, 2]),
    "an axis no template could name": with_job(matrix={"my seed": [1]}),
    "an axis that starts with a digit": with_job(matrix={"1st": [1]}),
    "an axis without values": with_axis([]),
    "an axis of one plain value": with_axis(7),
    "an axis of a template": with_axis("{{ seeds }}"),
    "an axis of nothing": with_axis({}),
    "an axis of two kinds": with_axis({"range": [1, 2], "csv": "a.csv"}),
    "an axis of a kind nobody knows": with_axis({"glob": "*.png"}),
    "a range without an end": with_axis({"range": [1]}),
    "a range of four numbers": with_axis({"range": [1, 2, 3, 4]}),
    "a range of fractions": with_axis({"range": [0.5, 2]}),
    "a range that stands still": with_axis({"range": [1, 5, 0]}),
    "pairs without last frames": with_axis({"pairs": {"first": "*-a.png"}}),
    "pairs of single files": with_axis({"pairs": {"first": "a.png", "last": "b.png"}}),
    "a chain of one frame": with_axis({"chain": ["a.png"]}),
    "a chain with a number": with_axis({"chain": ["a.png", 2]}),
    "a link without its frame": with_axis({"chain": [{"prompt": "in"}, "b.png"]}),
    "a link whose frame is a number": with_axis({"chain": [{"frame": 1}, "b.png"]}),
    "a link with a name of its own": with_axis({"chain": [{"frame": "a.png", "name": "in"}, "b.png"]}),
    "a link with a field no template could name": with_axis({"chain": [{"frame": "a.png", "a-b": 1}, "b.png"]}),
    "a link with a list": with_axis({"chain": [{"frame": "a.png", "say": ["in"]}, "b.png"]}),
    "a CSV file without a name": with_axis({"csv": ""}),
    "a zip of one axis": with_job(zip=["seed"]),
    "a zip of an axis with itself": with_job(zip=["seed", "seed"]),
    "an exclude that is a mapping": with_job(exclude={"seed": 3}),
    "an exclude that names nothing": with_job(exclude=[{}]),
    "an exclude of a plain value": with_job(exclude=[3]),
    "a request in a list": with_job(request=[]),
    "a request field that no API knows": with_request(promt="a boat"),
    "one image": with_request(images=["a.png"]),
    "three images": with_request(images=["a.png", "b.png", "c.png"]),
    "an image without a name": with_request(images=["a.png", ""]),
    "a plain text for the images": with_request(images="a.png"),
    "a prompt in a mapping of another kind": with_request(prompt={"path": "a.txt"}),
    "a prompt that is a number": with_request(prompt=42),
    "a number in quotes": with_request(duration="5"),
    "half a second": with_request(duration=2.5),
    "a seed in words": with_request(seed="random"),
    "a truth in words": with_request(audio="yes"),
    "a truth for a number": with_request(seed=True),
    "meta_data not yet in text": with_request(meta_data={"Label": "1"}),
    "extra fields in a list": with_job(extra=["style"]),
}


@pytest.mark.parametrize("spec", INVALID.values(), ids=INVALID.keys())
def test_a_spec_may_not_have(spec: Any) -> None:
    assert not valid(spec)


def test_a_request_may_name_every_field_of_every_provider_and_no_other() -> None:
    known = {field for name in PROVIDER_NAMES for field in request_schema(provider(name))["properties"]}
    assert set(FIELDS) == known


def test_an_editor_offers_every_model_of_every_provider() -> None:
    known = {model for name in PROVIDER_NAMES for model in provider(name).models}
    assert set(FIELDS["model"]["examples"]) == known


def test_an_editor_offers_every_provider() -> None:
    assert SCHEMA["properties"]["provider"]["enum"] == ["local", *PROVIDER_NAMES]


def test_an_editor_offers_every_resolution_of_every_provider() -> None:
    sizes = [size for name in PROVIDER_NAMES for size in offered(request_schema(provider(name)), "resolution")]
    assert sizes
    assert set(FIELDS["resolution"]["examples"]) == set(sizes)


def offered(schema: Any, field: str) -> Iterator[str]:
    """The values of a field, wherever a request schema lists them."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).get(field, {}).get("enum", [])
        schema = list(schema.values())
    if isinstance(schema, list):
        for inner in schema:
            yield from offered(inner, field)


def parts(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every place of a spec that the schema names: its fields, the items of its lists, the values under free names."""
    named = {f"{path}/{name}": field for name, field in schema.get("properties", {}).items()}
    listed = {f"{path}[{number}]": item for number, item in enumerate(schema.get("prefixItems", []))}
    open_ended = {f"{path}/{word}": schema[word] for word in ("items", "additionalProperties") if schema.get(word)}
    for place, part in {**named, **listed, **open_ended}.items():
        yield place, part
        yield from parts(part, place)
    for part in [schema[word] for word in ("then", "else") if word in schema]:
        yield from parts(part, path)
    for name, part in schema.get("$defs", {}).items():
        yield from parts(part, f"{path}#{name}")


PARTS = dict(parts(SCHEMA))


def undescribed(schema: Any) -> list[str]:
    """Places without a text of their own to hover over, or one they refer to."""
    told = {f"#/$defs/{name}" for name, part in schema.get("$defs", {}).items() if "description" in part}
    return [place for place, part in parts(schema) if "description" not in part and part.get("$ref") not in told]


def test_every_field_item_and_free_value_has_a_text_to_hover_over() -> None:
    assert {
        "/jobs/items",
        "#job/zip/items",
        "#axis_source/range[2]",
        "#axis_source/chain/items/additionalProperties",
        "#axis/items",
        "/vars/additionalProperties",
    } <= set(PARTS)
    assert undescribed(SCHEMA) == []


@pytest.mark.parametrize(
    ("schema", "bare"),
    [
        ({"properties": {"a": {"properties": {"b": {}}, "description": "x"}}}, "/a/b"),
        ({"properties": {"a": {"description": "x", "items": {"type": "string"}}}}, "/a/items"),
        ({"$defs": {"d": {"prefixItems": [{"type": "string"}]}}}, "#d[0]"),
        ({"then": {"properties": {"a": {"$ref": "#/$defs/d"}}}, "$defs": {"d": {}}}, "/a"),
    ],
)
def test_a_place_without_such_a_text_is_found(schema: Any, bare: str) -> None:
    assert undescribed(schema) == [bare]


def test_a_field_of_a_request_has_a_text_of_its_own_and_not_its_kind_s() -> None:
    kinds = {part.get("description") for part in SCHEMA["$defs"].values()}
    assert [name for name, field in FIELDS.items() if field["description"] in kinds] == []


def test_a_bound_of_a_number_stands_in_its_text() -> None:
    bounded = {place: part for place, part in PARTS.items() if "minimum" in part}
    assert set(bounded) >= {"/budget", "/timing/poll_min", "/max_jobs"}
    untold = [p for p, part in bounded.items() if f"from {part['minimum']} up" not in part["description"].lower()]
    assert untold == []


def test_the_defaults_that_an_editor_writes_are_those_of_the_program(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (16, 9), name_colour(name)).save(tmp_path / name)
    smallest = {"version": 1, "jobs": [{"request": {"model": "viduq1", "images": ["a.png", "b.png"]}}]}
    (tmp_path / "jobs.yaml").write_text(yaml.safe_dump(smallest), encoding="utf-8")
    spec = load(tmp_path / "jobs.yaml")
    assert {name: field["default"] for name, field in SCHEMA["properties"].items() if "default" in field} == {
        "provider": spec.provider.name,
        "concurrency": spec.concurrency,
        "max_jobs": MAX_JOBS,
        "off_peak_concurrency": spec.off_peak_concurrency,
        "shrink": False,
    }


@pytest.mark.parametrize(("name", "field"), SCHEMA["properties"]["timing"]["properties"].items())
def test_the_default_of_a_timing_is_told_as_the_program_has_it(name: str, field: Any) -> None:
    told = re.search(r"Default ([\d.]+\d|\d)", field["description"])
    assert told
    assert float(told[1]) == getattr(Timing(), name)


def test_the_default_told_for_off_peak_tasks_is_the_program_s() -> None:
    text = SCHEMA["properties"]["timing"]["properties"]["task_deadline"]["description"]
    assert f"off-peak {Timing().off_peak_deadline / 3600:g} hours" in text


def test_no_field_of_a_request_has_a_default_for_an_editor_to_write() -> None:
    """Left out and written are two jobs; and an editor fills in whatever has a default."""
    assert [place for place, part in PARTS.items() if place.startswith("#") and "default" in part] == []


def test_the_lengths_told_are_those_of_the_models() -> None:
    models = [model for name in PROVIDER_NAMES for model in provider(name).models.items()]
    usual = Counter(model.duration for _, model in models).most_common(1)[0][0]
    text = FIELDS["duration"]["description"]
    assert f"Default {usual}" in text
    assert [name for name, m in models if m.duration != usual and f"with {name} it is {m.duration}" not in text] == []
    bounds = [
        rules["properties"]["duration"]
        for name in PROVIDER_NAMES
        for rules in request_schema(provider(name))["$defs"].values()
    ]
    lengths = {length for rule in bounds for length in rule.get("enum", [rule.get("minimum"), rule.get("maximum")])}
    assert f"{min(lengths)} to {max(lengths)} as the model decides" in text


EXAMPLES = [
    pytest.param(part, example, id=f"{place}-{number}")
    for place, part in PARTS.items()
    for number, example in enumerate(part.get("examples", []))
]


@pytest.mark.parametrize(("part", "example"), EXAMPLES)
def test_what_an_editor_offers_may_stand_there(part: dict[str, Any], example: Any) -> None:
    validator = Draft202012Validator({**part, "$defs": SCHEMA["$defs"]}, registry=Registry())
    assert [error.message for error in validator.iter_errors(example)] == []


@pytest.mark.parametrize(("part", "example"), EXAMPLES)
def test_what_an_editor_inserts_needs_no_quotes(part: dict[str, Any], example: Any) -> None:
    """Editors write a text of an example as it is: one that begins with a template would break the file."""
    texts = [text for _, text in walk(example) if isinstance(text, str)]
    assert [yaml.safe_load(f"a: {text}") for text in texts] == [{"a": text} for text in texts]
