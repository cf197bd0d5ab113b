"""The manual says what the program does: every example runs, every table agrees with the data it describes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
from jsonschema import Draft202012Validator
from PIL import Image
from referencing import Registry

from vidu_run import outcome
from vidu_run.cli import cli
from vidu_run.errors import SpecTrouble
from vidu_run.local.manner import FAULTS as faults
from vidu_run.pace import Timing
from vidu_run.providers.catalogue import PROVIDER_NAMES, provider, request_schema, schema_file
from vidu_run.providers.pricing import prices
from vidu_run.reply import read_task
from vidu_run.spec.load import load
from vidu_run.spec.read import read_yaml
from vidu_run.spec.template import compile_template

ROOT = Path(__file__).parents[1]
README, SPEC, PROVIDERS = ROOT / "README.md", ROOT / "docs" / "spec.md", ROOT / "docs" / "providers.md"
FAULTS = ROOT / "docs" / "faults.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
SCHEMA = json.loads(schema_file("spec.schema.json").read_text(encoding="utf-8"))
SIZES = ["360p", "540p", "720p", "1080p"]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FRAME = re.compile(r"(?:\{\{[^}]*\}\}|[\w*./-])+\.(?:png|jpe?g|webp)")
ANY = re.compile(r"\{\{[^}]*\}\}|\*")
CAPTIONED = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACES = ("harbour", "ridge")
"""What `*` and a template in a frame's path may stand for in the examples."""


def fences(page: Path, language: str) -> list[str]:
    return [code for word, code in FENCE.findall(page.read_text(encoding="utf-8")) if word == language]


def spans(cell: str) -> list[str]:
    """The pieces of code in a line."""
    return [code.replace("\\|", "|") for _, code in SPAN.findall(cell)]


def tables(page: Path, *head: str) -> Iterator[list[list[str]]]:
    """The rows of every table whose header begins with these cells."""
    rows: list[list[str]] | None = None
    for line in [*FENCE.sub("", page.read_text(encoding="utf-8")).splitlines(), ""]:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if rows is None:
            rows = [] if cells and tuple(cells[: len(head)]) == head else None
        elif cells:
            rows.append(cells)
        else:
            yield rows[1:]
            rows = None


def table(page: Path, *head: str) -> list[list[str]]:
    (rows,) = tables(page, *head)
    return rows


def named(rows: list[list[str]]) -> list[str]:
    return [spans(row[0])[0] for row in rows]


def test_a_table_is_read_with_its_bars_and_its_code(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("| a | b |\n| --- | --- |\n| `x \\| y` | ``z ` z`` |\n| 1 | |\n\n| a | c |\n| --- | --- |\n")
    assert list(tables(page, "a")) == [[["`x \\| y`", "``z ` z``"], ["1", ""]], []]
    assert spans(table(page, "a", "b")[0][0]) == ["x | y"]
    assert spans(table(page, "a", "b")[0][1]) == ["z ` z"]


# The spec


def examples() -> list[Any]:
    """Every YAML block of the README and of the spec's page."""
    found = [(page, number, code) for page in (README, SPEC) for number, code in enumerate(fences(page, "yaml"), 1)]
    return [pytest.param(code, id=f"{page.name}-{number}") for page, number, code in found]


def make_files(code: str, folder: Path) -> None:
    for name, content in CAPTIONED.findall(SPEC.read_text(encoding="utf-8")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    for path in FRAME.findall(code):
        for place in PLACES if ANY.search(path) else ("",):
            frame = folder / ANY.sub(place, path)
            frame.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 9), f"#{zlib.crc32(frame.name.encode()) & 0xFFFFFF:06x}").save(frame)


@pytest.mark.parametrize("code", examples())
def test_every_example_loads_and_makes_the_jobs_it_says(code: str, tmp_path: Path) -> None:
    assert code.startswith(("version: 1\n", "jobs:\n"))
    make_files(code, tmp_path)
    spec = tmp_path / "jobs.yaml"
    head = "" if code.startswith("version") else "version: 1\ndefaults: {model: viduq2-turbo}\n"
    spec.write_text(head + code, encoding="utf-8")
    names = [job.name for job in load(spec).jobs]
    told = re.search(r"^# jobs: (.+)$", code, re.MULTILINE)
    assert names
    assert told is None or names == told[1].split()


def test_the_page_has_every_key_of_the_top_level_and_of_a_job() -> None:
    assert set(named(table(SPEC, "key", "type"))) == set(SCHEMA["properties"])
    assert set(named(table(SPEC, "key", ""))) == set(SCHEMA["$defs"]["job"]["properties"])


def test_the_page_has_every_source_of_an_axis() -> None:
    shown = " ".join(row[0] for row in table(SPEC, "axis"))
    assert all(f"{{{source}: " in shown for source in SCHEMA["$defs"]["axis_source"]["properties"])


def test_the_page_has_every_request_field_and_who_knows_it() -> None:
    knows = {name: set(request_schema(provider(name))["properties"]) for name in PROVIDER_NAMES}
    rows = table(SPEC, "field")
    assert sorted(named(rows)) == sorted(SCHEMA["$defs"]["request"]["properties"])
    for row in rows:
        wanted = [name for name in PROVIDER_NAMES if spans(row[0])[0] in knows[name]]
        assert row[3] == ("all" if wanted == list(PROVIDER_NAMES) else ", ".join(wanted)), row


def test_the_page_has_every_timing_with_its_default() -> None:
    rows = table(SPEC, "name", "default")
    assert named(rows) == list(SCHEMA["properties"]["timing"]["properties"])
    assert set(named(rows)) < {field.name for field in fields(Timing)}
    for row in rows:
        assert float(row[1].split(",")[0]) == getattr(Timing(), spans(row[0])[0])


@pytest.mark.parametrize("row", table(SPEC, "written"), ids=lambda row: row[0])
def test_a_trap_is_an_error_with_the_message_of_the_page(row: list[str], tmp_path: Path) -> None:
    (written,), (message,) = spans(row[0]), spans(row[1])
    (tmp_path / "trap.yaml").write_text(written, encoding="utf-8")
    try:
        problems = read_yaml(tmp_path / "trap.yaml", "trap.yaml").problems
    except SpecTrouble as trouble:
        problems = list(trouble.problems)
    assert [problem.message for problem in problems] == [message]


@pytest.mark.parametrize("row", table(SPEC, "template"), ids=lambda row: row[0])
def test_a_template_gives_what_the_page_says(row: list[str]) -> None:
    (template,), (result,) = spans(row[0]), spans(row[1])
    pair = {"name": "Old Harbour", "first": "frames/harbour-a.png", "tags": ["wide", "slow"]}
    value = compile_template(template).render({"seed": 7, "n": 2.567, "pair": pair})
    assert json.dumps(value) == result


# The providers


def seconds_of(cell: str) -> range:
    first, _, last = cell.partition("–")
    return range(int(first), int(last or first) + 1)


@pytest.mark.parametrize(("name", "number"), [("octopusx", 0), ("vidu", 1), ("vidu-cn", 1)])
def test_the_page_has_every_model_with_its_lengths_sizes_and_defaults(name: str, number: int) -> None:
    p = provider(name)
    rows = list(tables(PROVIDERS, "model", "seconds"))[number]
    assert list(dict.fromkeys(named(rows))) == list(p.models)
    told = {(spans(row[0])[0], s, size) for row in rows for s in seconds_of(row[1]) for size in row[3].split()}
    validator = Draft202012Validator(request_schema(p), registry=Registry())
    requests = [(model, s, size) for model in p.models for s in range(20) for size in SIZES]
    taken = {
        (model, s, size)
        for model, s, size in requests
        if validator.is_valid({"model": model, "images": ["a", "b"], "duration": s, "resolution": size})
    }
    assert told == taken
    for row in rows:
        model = p.models[spans(row[0])[0]]
        assert int(row[2]) == model.duration
        assert {model.default_resolution(s) for s in seconds_of(row[1])} == {row[4]}


def test_the_page_has_every_provider_with_its_host_and_its_keys() -> None:
    text = PROVIDERS.read_text(encoding="utf-8")
    for p in map(provider, PROVIDER_NAMES):
        routes = [p.routes.submit, *p.routes.query, p.routes.list, p.routes.cancel, p.routes.credits]
        wanted = [p.base_url, f"{p.auth_scheme} KEY", *p.key_variables, *filter(None, routes)]
        assert [word for word in wanted if f"`{word}`" not in text] == []


def test_the_page_has_every_price() -> None:
    rows = prices(provider("vidu")).rows
    told = {(spans(row[0])[0], row[1]): row[2:7] for row in table(PROVIDERS, "model", "resolution")}
    assert list(told) == list(rows)
    for (model, size), price in rows.items():
        figures: list[int | None] = [price.credits(seconds) for seconds in (1, 4, 5, 8)]
        figures.append(price.rate.each if price.rate else None)
        assert told[model, size] == ["–" if figure is None else str(figure) for figure in figures], (model, size)


def test_every_state_word_is_read_as_the_page_says() -> None:
    for row in table(PROVIDERS, "read as"):
        for word in spans(row[1].split(";")[0]):
            if row[0] != "unknown":
                assert read_task({"id": "1", "status": word.upper()}).phase == row[0], word


VERDICTS: Mapping[str, type[outcome.Outcome]] = {
    "rejected": outcome.Rejected,
    "account stop": outcome.AccountStop,
    "throttled": outcome.Throttled,
    "in doubt": outcome.InDoubt,
}


def replies(codes: str) -> list[bytes]:
    """Bodies with these codes, in the envelope of Vidu."""
    if codes == "none":
        return [b"", b"<html>", b"{}"]
    known = ["BadRequest"] if codes == "any" else spans(codes)
    return [json.dumps({"code": 400, "reason": code, "message": "why"}).encode() for code in known]


@pytest.mark.parametrize("row", table(PROVIDERS, "HTTP"), ids=lambda row: f"{row[0]} {row[1]}")
def test_an_answer_is_judged_as_the_page_says(row: list[str]) -> None:
    for status in row[0].split():
        for body in replies(row[1]):
            verdict = outcome.classify(outcome.Evidence(True, int(status), None, body))
            assert type(verdict) is VERDICTS[row[2]], (status, body)


def test_the_page_has_every_code_that_is_treated_in_a_way_of_its_own() -> None:
    told = {code for row in table(PROVIDERS, "HTTP") for code in spans(row[1])}
    assert told >= outcome.MODERATION | {outcome.NO_CREDITS, outcome.STILL_WORKING}


# The faults


def test_the_page_has_every_fault_in_the_order_in_which_they_win() -> None:
    assert named(table(FAULTS, "fault")) == list(faults)


# The command line and the links


def code_of_the_pages() -> list[str]:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    blocks = [line for text in texts for _, code in FENCE.findall(text) for line in code.splitlines()]
    return blocks + [code for text in texts for code in spans(FENCE.sub("", text))]


@pytest.mark.parametrize("name", cli.commands)
def test_every_command_and_every_option_stands_in_the_manual(name: str) -> None:
    told = code_of_the_pages()
    assert any(re.match(rf"(vidu-run )?{name}(?![\w./-])", code) for code in told)
    options = [max(o.opts, key=len) for o in cli.commands[name].params if isinstance(o, click.Option)]
    missing = [o for o in options if not any(re.search(rf"(?<![\w-]){o}(?![\w-])", code) for code in told)]
    assert missing == []


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def dangling(page: Path) -> list[str]:
    """The relative links of a page that lead to no file, or to no heading of one."""
    links = LINK.findall(SPAN.sub("", FENCE.sub("", page.read_text(encoding="utf-8"))))
    found = []
    for link in (link for link in links if "://" not in link):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert dangling(page) == []


def test_a_link_to_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One\n[a](gone.md) [b](#two) [c](#one) [d](https://example.com) `[e](code.md)`\n")
    assert dangling(page) == ["gone.md", "#two"]


def test_make_demo_says_that_it_takes_a_while_before_it_does(tmp_path: Path) -> None:
    make = shutil.which("make") or pytest.skip("no make here")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    planned = subprocess.run([make, "-n", "demo"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert 0 < planned.index("about a minute") < planned.index("-m venv") < planned.index("pip install")
