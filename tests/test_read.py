"""What people type into YAML, and what others may put there: plain data with its places, or one clear line."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from vidu_run.errors import SpecTrouble
from vidu_run.spec import read
from vidu_run.spec.read import Document, json_scalar, read_yaml


def document(folder: Path, text: str | bytes) -> Document:
    path = folder / "spec.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path, "spec.yaml")


def trouble(folder: Path, text: str | bytes) -> list[str]:
    """The lines about a text, whether it cannot be read or only has problems."""
    try:
        found: Any = document(folder, text).problems
    except SpecTrouble as error:
        found = error.problems
    return [str(problem) for problem in found]


TEXTS = ["no", "yes", "on", "True", "~", "16:9", "012", "0x10", "0o7", "1_000", "+1", ".5", "1.", "2026-11-22", ".nan"]


@pytest.mark.parametrize("text", [*TEXTS, ".inf", "NULL", "-", "1e", "--1", "1 2", "٣"])
def test_what_is_no_scalar_of_json_is_text(text: str, tmp_path: Path) -> None:
    assert json_scalar(text) == text
    if text != "-":
        assert document(tmp_path, f"a: {text}\n").data == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("-1", -1), ("0", 0), ("0.5", 0.5), ("1e3", 1000.0), ("-2.5E-1", -0.25), ("true", True), ("null", None)],
)
def test_a_scalar_of_json_is_itself_and_text_in_quotes(text: str, value: Any, tmp_path: Path) -> None:
    data = document(tmp_path, f"a: {text}\nb: \"{text}\"\nc: '{text}'\nd: |\n  {text}\n").data
    assert data == {"a": value, "b": text, "c": text, "d": f"{text}\n"}
    assert type(data["a"]) is type(value)


def test_every_value_and_key_knows_its_line_and_column(tmp_path: Path) -> None:
    found = document(tmp_path, "# a comment\njobs:\n  - name: x\n    seeds: [1, 22, 3]\n")
    assert str(found.place(("jobs", 0, "name"))) == "spec.yaml:3:11"
    assert str(found.place(("jobs", 0, "name"), of_key=True)) == "spec.yaml:3:5"
    assert str(found.place(("jobs", 0, "seeds", 2))) == "spec.yaml:4:20"
    assert str(found.place(("jobs", 0, "seeds", 9, "x"))) == "spec.yaml:4:12", "the nearest that is known"


def test_columns_count_characters_and_not_bytes(tmp_path: Path) -> None:
    assert str(document(tmp_path, "{a: 海海, b: 5}\n").place(("b",))) == "spec.yaml:1:12"


TRAPS: dict[str, tuple[str, list[str]]] = {
    "a comma in a mapping": (
        "request: {prompt: a boat, slowly turning}",
        ["1:27: 'slowly turning' is a key without a value: a text with a comma inside {…} needs quotes"],
    ),
    "a key without a value": (
        "a: 1\nmodel:\n",
        ["2:1: 'model' is a key without a value; write null to leave a field out"],
    ),
    "a number sign in a text": (
        "prompt: take #3 of the boat",
        [
            "1:9: YAML reads this text as 'take' and drops what follows ` #`: put the text in quotes, or the comment "
            "on a line of its own"
        ],
    ),
    "a text that begins with a number sign": (
        "prompts:\n  - #3 of 4\n  - b\n",
        ['2:4: an item without a value; write null, or "" for an empty text'],
    ),
    "a template without quotes": ("seed: {{ seed }}", ['1:7: a template needs quotes: write "{{ … }}"']),
    "a template without quotes before a text": (
        "prompt: {{ place }}, slowly",
        ['1:20: a template needs quotes: write "{{ … }}"'],
    ),
    "a template without quotes in a list": ("a:\n  - {{ x }}\n", ['2:5: a template needs quotes: write "{{ … }}"']),
    "a key given twice": ("a: 1\nb: 2\na: 3\n", ["3:1: 'a' is given twice, first in line 1"]),
    "a key given twice, once in quotes": ("{a: 1, 'a': 2}", ["1:8: 'a' is given twice, first in line 1"]),
    "a key that is a list": ("[a]: 1", ["1:1: a key must be text"]),
    "a text that begins with an anchor": (
        "prompt: &c in the fog",
        ["1:9: the anchor &c: a spec has no anchors; a text that begins with & needs quotes"],
    ),
    "an alias": ("a: *shot", ["1:4: the alias *shot: a spec has no aliases, use vars"]),
    "a merge key": ("<<: {model: viduq1}", ["1:1: a merge key: a spec has no merges, use defaults"]),
    "a tag": ("model: !!str viduq1", ["1:8: the tag tag:yaml.org,2002:str: a spec has no tags"]),
    "a text that begins with a tag": ("prompt: !important boat", ["1:9: the tag !important: a spec has no tags"]),
    "a tag that makes an object": (
        "!!python/object/apply:os.system [ls]",
        ["1:1: the tag tag:yaml.org,2002:python/object/apply:o…: a spec has no tags"],
    ),
    "two documents": ("a: 1\n---\nb: 2\n", ["2:1: a second document; a spec is one"]),
    "a number without end": (f"a: {'9' * 5000}", [f"1:4: {'9' * 39}… is too large a number"]),
    "an exponent without end": ("a: -1e999", ["1:4: -1e999 is too large a number"]),
    "half a surrogate": (
        'a: "\\ud800"',
        ["1:7: not YAML: a backslash in double quotes is written \\\\, or the text stands in single quotes"],
    ),
}


@pytest.mark.parametrize(("text", "lines"), TRAPS.values(), ids=TRAPS.keys())
def test_what_yaml_would_cut_double_or_run_is_an_error_at_its_place(
    text: str, lines: list[str], tmp_path: Path
) -> None:
    assert trouble(tmp_path, text) == [f"spec.yaml:{line}" for line in lines]


SLIPS: dict[str, tuple[str, str]] = {
    "a colon in a text": ("prompt: Boat: turning", "1:13: a text with a colon and a blank in it needs quotes"),
    "a line too deep": ("a: x\n   b: y\n", "2:5: this line is indented deeper than the one it goes on with"),
    "a request beside its item": (
        "jobs:\n  - name: a\n  request:\n    seed: 1\n",
        "3:3: a list goes on here without a -; what belongs to the item above is indented deeper",
    ),
    "a line between two depths": (
        "a:\n    b: 1\n  c: 2\n",
        "3:3: this line is indented like none of those it could belong to",
    ),
    "an item among keys": ("a:\n  b: 1\n  - c\n", "3:3: an item of a list among keys"),
    "a list behind its key": (
        "a: - b\n",
        "1:4: a list begins on a line of its own; a text that begins with - needs quotes",
    ),
    "a tab for blanks": ("a:\n\tb: 1\n", "2:1: a tab: lines are indented with blanks"),
    "a tab below blanks": ("a:\n  b: 1\n\tc: 2\n", "3:1: a tab: lines are indented with blanks"),
    "a key without a blank": ("a: 1\nb:2\nc: 3\n", "2:1: this line has no key: a key ends with a colon and a blank"),
    "a quote without an end": ('a: 1\nb: "x y\nc: 2\n', '2:4: the " that begins here has no end'),
    "an apostrophe in quotes": (
        "a: 'it's a boat'\n",
        "1:8: the quotes end before this; within them a ' is written ''",
    ),
    "quotes in quotes": (
        'a: "he said "go" now"\n',
        '1:14: the quotes end before this; within them a " is written \\"',
    ),
    "a backslash in quotes": (
        'a: "C:\\shots"\n',
        "1:7: a backslash in double quotes is written \\\\, or the text stands in single quotes",
    ),
    "an at sign": ("a: @boat", "1:4: a text that begins with @ needs quotes"),
    "an asterisk": ("a: * boat", "1:5: a text that begins with * needs quotes"),
    "a question mark": ("a: ? boat", "1:4: a text that begins with ? needs quotes"),
    "a closing brace": ("a: }", "1:4: a text that begins with } needs quotes"),
    "a text beside its bar": ("a: | boat\n", "1:6: the text of a | begins on the next line, indented"),
    "a list without an end": ("a: [1,\n", "2:1: a [ or { before this has no end"),
    "a list that the next line ends": (
        "a: [1, 2\nb: 3\n",
        "1:4: the [ that begins here has no end, or a comma is missing in it",
    ),
    "a mapping without an end": (
        "a: {b: 1\n",
        "1:4: the { that begins here has no end, or a comma is missing in it",
    ),
    "a comma forgotten": ('a: ["b" "c"]\n', "1:9: within [ a comma is missing here, or quotes around a text"),
    "a bracket too many": ("a: [1]]\n", "1:7: nothing may follow the ] in this line"),
}


@pytest.mark.parametrize(("text", "line"), SLIPS.values(), ids=SLIPS.keys())
@pytest.mark.parametrize("loader", [yaml.Loader, read.LOADER])
def test_a_slip_of_the_pen_is_told_in_the_writers_words_by_both_parsers(
    loader: type, text: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "LOADER", loader)
    place, _, words = line.partition(": ")
    (found,) = trouble(tmp_path, text)
    assert found.endswith(f": not YAML: {words}")
    assert found.startswith(f"spec.yaml:{place}:") or (loader is yaml.Loader and "backslash" in words)


def test_all_traps_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    lines = trouble(tmp_path, "a:\nb: x #y\nc: {{ d }}\ne: 1\ne: 2\n")
    assert [line.split(":")[1] for line in lines] == ["1", "2", "3", "5"]


@pytest.mark.parametrize(
    "text",
    [
        "model: viduq1 # cheap\nprovider: vidu # paid\nresolution: 720p # small\n",
        'duration: 5 # seconds\na: "b" # c\nd: [e, f] # g\nh: true # i\n',
        'a: "take #3"\nb: take#3\nc: |\n  take #3\n',
        '# a comment\na: ""\nb: [null, ""]\n',
    ],
)
def test_a_comment_that_cuts_nothing_is_fine(text: str, tmp_path: Path) -> None:
    assert trouble(tmp_path, text) == []


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    found = document(tmp_path, b"\xef\xbb\xbfa: 1\r\nb: [x,\r\n  y]\r\n")
    assert found.data == {"a": 1, "b": ["x", "y"]}
    assert str(found.place(("b",))) == "spec.yaml:2:4"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "spec.yaml: is empty"),
        (b"# nothing but a comment\n", "spec.yaml: is empty"),
        (b"\x89PNG\r\n\x1a\n", "spec.yaml: is not UTF-8 text (byte 0)"),
        ("a: 1\n".encode("utf-16"), "spec.yaml: is not UTF-8 text (byte 0)"),
        (b"a: 1\nb: \x1b[31mred\n", "spec.yaml:2:4: not YAML: the control character '\\x1b'"),
        (b"a: b\0c\n", "spec.yaml:1:5: not YAML: the control character '\\x00'"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(content: bytes, line: str, tmp_path: Path) -> None:
    assert trouble(tmp_path, content) == [line]


def test_what_is_no_file_is_refused_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for name, why in [("pipe.yaml", "is not a file"), (".", "is not a file"), ("no.yaml", "cannot be read (No such")]:
        with pytest.raises(SpecTrouble, match=why.replace("(", r"\(")):
            read_yaml(tmp_path / name, name)


def test_a_file_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MOST_BYTES", 10)
    assert trouble(tmp_path, b"a: 1 # \xff\xff\xff\n") == ["spec.yaml: is 11 bytes, more than the 10 a spec may have"]


def test_more_values_than_memory_should_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MOST_NODES", 100)
    assert trouble(tmp_path, f"a: [{'1,' * 200}]") == [
        "spec.yaml:1:199: more than 100 values: a matrix or a CSV file says more with fewer"
    ]


def billion_laughs() -> str:
    return "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))


def merges() -> str:
    return "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n}\n  <<: [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))


HOSTILE: dict[str, tuple[str, str]] = {
    "brackets": ("[" * 100, "1:33: nested deeper than 32"),
    "braces": ("{" * 100, "1:33: nested deeper than 32"),
    # Where they are more than a thousand, libyaml may refuse them itself before they are counted here.
    "many brackets": ("[" * 100_000, ": nested "),
    "many braces": ("{" * 100_000, ": nested "),
    "dashes": ("- " * 100_000, "1:65: nested deeper than 32"),
    "question marks": ("? " * 100_000, "1:65: nested deeper than 32"),
    "indentation": ("".join(f"{' ' * n}a:\n" for n in range(1_000)), "33:33: nested deeper than 32"),
    "laughs": (billion_laughs(), "1:5: the anchor &a0"),
    "merges": (merges(), "1:5: the anchor &a0"),
    "tags": ("!" * 100_000, "1:1: the tag tag:yaml.org,2002:!!!!"),
    "quotes": ("'" * 99_999, "1:1: not YAML: the ' that begins here has no end"),
    "a long anchor": (f"a: &{'x' * 100_000} b", f"1:4: the anchor &{'x' * 39}…"),
    "a long alias": (f"a: *{'x' * 100_000}", f"1:4: the alias *{'x' * 39}…"),
    "a long key, twice": (f"? {'k' * 100_000}\n: 1\n? {'k' * 100_000}\n: 2\n", "3:3: 'kkk"),
    "a long number": (f"a: {'1' * 1_000_000}", "1:4: 111"),
    "a long text with a number sign": (f"a: {'x' * 100_000} #3", "1:4: YAML reads this text as 'xxx"),
}


@pytest.mark.parametrize(("text", "line"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_in_one_short_line_and_in_no_time(text: str, line: str, tmp_path: Path) -> None:
    begun = time.process_time()
    (found,) = trouble(tmp_path, text)
    assert time.process_time() - begun < 2
    assert line in found
    assert len(found) < 250
    assert found.isprintable()
