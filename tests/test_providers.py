"""The providers' data: what each one allows, assumes and cites."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry

import vidu_run
from vidu_run.providers.catalogue import (
    PROVIDER_NAMES,
    UnknownProvider,
    local_like,
    provider,
    request_schema,
    schema_file,
)
from vidu_run.providers.pricing import effective
from vidu_run.providers.rules import Effective

FRAMES = ["https://example.com/a.png", "https://example.com/b.png"]
SIZES = ["360p", "540p", "720p", "1080p"]
SEED_PAGE_FIELDS = (
    "model images prompt audio voice_id is_rec bgm duration seed resolution off_peak watermark wm_position wm_url "
    "payload meta_data"
)
MARKER = f"vr1.{'0' * 24}.{'0' * 16}|"

every_provider = pytest.mark.parametrize("name", PROVIDER_NAMES)


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(request_schema(provider(name)), registry=Registry())


def accepts(name: str, **fields: Any) -> bool:
    """Whether a minimal request with these fields passes; a field that is None is left out."""
    request = {"model": "viduq2-turbo", "images": FRAMES, **fields}
    return validator(name).is_valid({k: v for k, v in request.items() if v is not None})


def test_the_providers_are_octopusx_and_the_two_vidu_services() -> None:
    assert PROVIDER_NAMES == ("octopusx", "vidu", "vidu-cn")


@every_provider
def test_a_provider_loads_and_its_schema_is_one(name: str) -> None:
    p = provider(name)
    Draft202012Validator.check_schema(request_schema(p))
    assert p.name == name
    assert p.base_url.startswith("https://")
    assert p.base_url == p.base_url.rstrip("/")
    assert p.documents
    assert p.notes


@every_provider
def test_every_path_starts_at_the_host_and_every_path_to_a_task_names_it(name: str) -> None:
    routes = provider(name).routes
    to_a_task = [*routes.query, *([routes.cancel] if routes.cancel else [])]
    assert all("{task_id}" in path for path in to_a_task)
    assert all(path.startswith("/") for path in [routes.submit, routes.list, routes.credits, *to_a_task] if path)


@every_provider
def test_the_models_of_the_schema_are_the_models_of_the_table(name: str) -> None:
    p = provider(name)
    assert request_schema(p)["properties"]["model"]["enum"] == list(p.models)


@every_provider
def test_what_the_api_assumes_for_a_field_left_out_is_itself_allowed(name: str) -> None:
    for model, defaults in provider(name).models.items():
        for seconds in (defaults.duration, *defaults.resolution_at):
            written = {"duration": seconds, "resolution": defaults.default_resolution(seconds), "audio": defaults.audio}
            assert accepts(name, model=model, **written), (model, written)


@every_provider
def test_a_model_only_ignores_fields_that_the_provider_takes(name: str) -> None:
    p = provider(name)
    taken = set(request_schema(p)["properties"])
    assert all(taken.issuperset(model.ignores) for model in p.models.values())


def ruled(schema: Any) -> Iterator[tuple[str, Any]]:
    """Every named field of a request schema, at whatever depth, except what only stands in a condition."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).items()
        for word, inner in schema.items():
            if word != "if":
                yield from ruled(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from ruled(inner)


@every_provider
def test_every_field_is_described_and_cites_a_listed_document(name: str) -> None:
    p = provider(name)
    listed = {(d.title, d.date) for d in p.documents}
    fields = list(ruled(request_schema(p)))
    assert len(fields) > 30
    for field, rule in fields:
        assert rule["description"].endswith("."), field
        assert (rule["x-source"], rule["x-date"]) in listed, field


@every_provider
def test_every_limit_cites_its_source(name: str) -> None:
    p = provider(name)
    titles = [*(d.title for d in p.documents), "vidu-run's own choice"]
    known = {f for f in p.limits.__slots__ if f != "sources" and getattr(p.limits, f) is not None}
    assert set(p.limits.sources) == known
    assert all(source.rpartition(", ")[0] in titles for source in p.limits.sources.values())


LENGTHS = {
    "viduq3-pro": range(1, 17),
    "viduq3-turbo": range(1, 17),
    "viduq2-pro": range(1, 9),
    "viduq2-turbo": range(1, 9),
    "viduq2-pro-fast": range(1, 9),
    "viduq1": [5],
    "viduq1-classic": [5],
    "vidu2.0": [4, 8],
}


def sizes(name: str, model: str, seconds: int | None) -> list[str]:
    if model == "vidu2.0":
        return ["720p"] if seconds == 8 else ["360p", "720p", "1080p"]
    if model in ("viduq1", "viduq1-classic"):
        return ["1080p"]
    if model == "viduq2-pro-fast" and name != "octopusx":
        return ["720p", "1080p"]
    return ["540p", "720p", "1080p"]


@pytest.mark.parametrize(
    ("name", "model"), [(name, model) for name in PROVIDER_NAMES for model in provider(name).models]
)
def test_a_model_takes_its_own_lengths_and_sizes_and_no_others(name: str, model: str) -> None:
    longer = name == "octopusx" and model.startswith("viduq2")
    lengths = [None, *(range(1, 11) if longer else LENGTHS[model])]
    for seconds, size in product([None, *range(20)], [None, *SIZES]):
        allowed = seconds in lengths and size in [None, *sizes(name, model, seconds)]
        assert accepts(name, model=model, duration=seconds, resolution=size) is allowed, (seconds, size)


Row = tuple[str, dict[str, Any], dict[str, Any]]

ON_EVERY_PAGE: list[Row] = [
    ("a model is required", {"model": "viduq1"}, {"model": None}),
    ("a plain viduq2 is not a start-end model", {"model": "viduq2-pro"}, {"model": "viduq2"}),
    ("images are required", {"images": FRAMES}, {"images": None}),
    ("one image is too few", {"images": FRAMES}, {"images": FRAMES[:1]}),
    ("three images are too many", {"images": FRAMES}, {"images": [*FRAMES, FRAMES[0]]}),
    ("images are a list", {"images": FRAMES}, {"images": FRAMES[0]}),
    ("an image is a text", {"images": ["data:image/png;base64,AA==", FRAMES[1]]}, {"images": [{}, {}]}),
    ("an image is not empty", {"images": FRAMES}, {"images": ["", FRAMES[1]]}),
    ("the prompt is a text", {"prompt": "a boat"}, {"prompt": ["a boat"]}),
    ("the prompt has at most 5000 characters", {"prompt": "é" * 5000}, {"prompt": "é" * 5001}),
    ("audio is true or false", {"audio": True}, {"audio": "true"}),
    ("is_rec is true or false", {"is_rec": True}, {"is_rec": 1}),
    ("bgm is true or false", {"bgm": False}, {"bgm": "no"}),
    ("the duration is a whole number", {"duration": 5}, {"duration": 5.5}),
    ("the duration is not a text", {"duration": 5}, {"duration": "5"}),
    ("viduq2 starts at 1 second", {"duration": 1}, {"duration": 0}),
    ("viduq2 has 540p and no 360p", {"resolution": "540p"}, {"resolution": "360p"}),
    ("viduq2 has 1080p and no 2K", {"resolution": "1080p"}, {"resolution": "2K"}),
    ("a seed of 0 means random, below it is nothing", {"seed": 0}, {"seed": -1}),
    ("a seed fits in 31 bits", {"seed": 2147483647}, {"seed": 2147483648}),
    ("a seed is a whole number", {"seed": 7}, {"seed": "7"}),
    ("off_peak is true or false", {"off_peak": True}, {"off_peak": "yes"}),
    ("watermark is true or false", {"watermark": True}, {"watermark": 0}),
    ("the first corner is 1", {"wm_position": 1}, {"wm_position": 0}),
    ("the last corner is 4", {"wm_position": 4}, {"wm_position": 5}),
    ("a corner is a whole number", {"wm_position": 2}, {"wm_position": 2.5}),
    ("the mark is an https link", {"wm_url": "https://example.com/m.png"}, {"wm_url": "http://example.com/m.png"}),
    ("a link has no blanks", {"wm_url": "https://example.com/a%20b"}, {"wm_url": "https://example.com/a b"}),
    ("a link is a text", {"wm_url": "https://example.com"}, {"wm_url": 5}),
    ("the payload is a text", {"payload": "run-7"}, {"payload": {"run": 7}}),
    ("meta_data is a text", {"meta_data": '{"Label": "1"}'}, {"meta_data": {"Label": "1"}}),
    ("a misspelt field is refused", {"prompt": "a boat"}, {"promt": "a boat"}),
]
ON_THE_OCTOPUSX_PAGE: list[Row] = [
    ("the model is one of the seven listed", {"model": "viduq3-pro"}, {"model": "viduq3-turbo"}),
    ("a voice is a text", {"voice_id": "v1"}, {"voice_id": 1}),
    ("viduq2 ends at 10 seconds", {"duration": 10}, {"duration": 11}),
    ("viduq2-pro-fast is of the viduq2 series", {"model": "viduq2-pro-fast", "resolution": "540p"}, {"resolution": ""}),
    ("movement_amplitude is not on the page", {}, {"movement_amplitude": "auto"}),
    ("callback_url is not on the page", {}, {"callback_url": "https://example.com/hook"}),
]
ON_VIDUS_PAGE: list[Row] = [
    ("viduq3-turbo is listed, viduq3 is not", {"model": "viduq3-turbo"}, {"model": "viduq3"}),
    ("viduq2 ends at 8 seconds", {"duration": 8}, {"duration": 9}),
    ("a voice is not a field here", {"audio": True}, {"voice_id": "v1"}),
    ("movement_amplitude has four values", {"movement_amplitude": "large"}, {"movement_amplitude": "huge"}),
    ("a callback goes to https", {"callback_url": "https://example.com/h"}, {"callback_url": "http://example.com/h"}),
    ("a callback is a text", {"callback_url": "https://example.com/h"}, {"callback_url": 5}),
]
RULES = {
    "octopusx": [*ON_EVERY_PAGE, *ON_THE_OCTOPUSX_PAGE],
    "vidu": [*ON_EVERY_PAGE, *ON_VIDUS_PAGE],
    "vidu-cn": [*ON_EVERY_PAGE, *ON_VIDUS_PAGE],
}


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [pytest.param(name, good, bad, id=f"{name}: {rule}") for name, rows in RULES.items() for rule, good, bad in rows],
)
def test_a_provider_keeps_to_its_page(name: str, good: dict[str, Any], bad: dict[str, Any]) -> None:
    assert accepts(name, **good)
    assert not accepts(name, **bad)


@every_provider
def test_a_request_is_a_mapping(name: str) -> None:
    assert not validator(name).is_valid(["viduq1", FRAMES])


@every_provider
def test_a_request_without_a_model_gets_one_complaint_and_not_one_for_every_model(name: str) -> None:
    complaints = [
        e.message for e in validator(name).iter_errors({"images": FRAMES, "duration": 99, "resolution": "8K"})
    ]
    assert complaints == ["'model' is a required property"]


def test_octopusx_has_the_fields_of_its_page_in_their_order() -> None:
    assert list(request_schema(provider("octopusx"))["properties"]) == SEED_PAGE_FIELDS.split()


@every_provider
def test_the_longest_payload_still_fits_behind_the_marker(name: str) -> None:
    longest = 1048576 - len(MARKER)
    assert accepts(name, payload="x" * longest)
    assert not accepts(name, payload="x" * (longest + 1))


def test_the_seed_pages_image_rules_are_limits() -> None:
    limits = provider("octopusx").limits
    assert (limits.closeness_min, limits.closeness_max) == (0.8, 1.25)
    assert (limits.aspect_min, limits.aspect_max) == (1 / 4, 4 / 1)
    assert limits.formats == ("png", "jpeg", "webp")
    assert limits.file_bytes == 50 * 10**6
    assert limits.body_bytes == 20 * 10**6


def test_the_two_vidu_services_differ_in_host_and_key_alone() -> None:
    here, there = request_schema(provider("vidu")), request_schema(provider("vidu-cn"))
    for schema in (here, there):
        del schema["title"], schema["description"]
    assert here == there
    assert (provider("vidu").models, provider("vidu").limits) == (
        provider("vidu-cn").models,
        provider("vidu-cn").limits,
    )
    assert provider("vidu").base_url != provider("vidu-cn").base_url


def test_octopusx_cannot_list_cancel_or_tell_a_balance() -> None:
    routes = provider("octopusx").routes
    assert (routes.list, routes.cancel, routes.credits) == (None, None, None)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("octopus", "did you mean octopusx?"),
        ("vidu_cn", "did you mean vidu-cn?"),
        ("locl", "did you mean local?"),
        ("../octopusx", "did you mean octopusx?"),
        ("kling", "there are local, octopusx, vidu, vidu-cn"),
        ("vidu-list", "no provider is called 'vidu-list'"),
    ],
)
def test_an_unknown_provider_is_named_with_the_nearest_known_one(typed: str, told: str) -> None:
    with pytest.raises(UnknownProvider) as caught:
        provider(typed)
    assert told in str(caught.value)


@every_provider
def test_local_takes_the_rules_of_a_provider_without_its_key_or_host(name: str) -> None:
    p = provider(name)
    local = local_like(p)
    assert (local.name, local.base_url, local.auth_scheme, local.key_variables) == ("local", "", None, ())
    assert request_schema(local) == request_schema(p)
    assert (local.models, local.prices, local.limits) == (p.models, p.prices, p.limits)
    assert local.routes == p.routes


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"model": "viduq3-pro"}, Effective("viduq3-pro", "720p", 5, True)),
        ({"model": "viduq3-pro", "audio": False}, Effective("viduq3-pro", "720p", 5, False)),
        ({"model": "viduq2-pro", "audio": True}, Effective("viduq2-pro", "720p", 5, False)),
        ({"model": "viduq2-pro", "duration": 2, "resolution": "540p"}, Effective("viduq2-pro", "540p", 2, False)),
        ({"model": "viduq1"}, Effective("viduq1", "1080p", 5, False)),
        ({"model": "vidu2.0"}, Effective("vidu2.0", "360p", 4, False)),
        ({"model": "vidu2.0", "duration": 8}, Effective("vidu2.0", "720p", 8, False)),
        ({"model": "vidu2.0", "resolution": "1080p"}, Effective("vidu2.0", "1080p", 4, False)),
    ],
)
def test_fields_left_out_are_what_the_api_will_assume(request_: dict[str, object], expected: Effective) -> None:
    before = dict(request_)
    assert effective(provider("vidu"), request_) == expected
    assert request_ == before


@pytest.mark.parametrize("folder", ["schemas", "vidu_run/schemas"])
def test_schemas_are_found_inside_the_package_and_beside_it(folder: str, tmp_path: Path) -> None:
    package = Path(vidu_run.__file__).parent
    shutil.copytree(package, tmp_path / "vidu_run", ignore=shutil.ignore_patterns("__pycache__", "schemas"))
    (tmp_path / folder).mkdir()
    shutil.copy(schema_file("spec.schema.json"), tmp_path / folder)
    found = python(
        "from vidu_run.providers.catalogue import schema_file; print(schema_file('spec.schema.json'))", tmp_path
    )
    assert Path(found) == tmp_path / folder / "spec.schema.json"


def test_a_missing_schema_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.schema\.json"):
        schema_file("nowhere.schema.json")


def test_reading_a_provider_loads_no_heavy_library() -> None:
    heavy = {"jsonschema", "aiohttp", "jinja2", "PIL", "av", "numpy"}
    imports = "import sys; from vidu_run.providers.catalogue import provider; provider('vidu')"
    code = f"{imports}; print({heavy} & set(sys.modules))"
    assert python(code, Path(vidu_run.__file__).parents[1]) == "set()"


def python(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()
