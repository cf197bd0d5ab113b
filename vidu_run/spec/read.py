"""A YAML file as plain data with the place of every value. It knows the traps of YAML, and nothing of specs.

Scalars are JSON's: what is not a JSON number, true, false or null is text. Anchors, aliases, merges, tags, duplicate
keys and several documents are refused before anything is built from them.
"""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vidu_run.errors import Place, Problem, SpecTrouble
from vidu_run.files import is_text, meant_spec
from vidu_run.spec.broken import UNQUOTED_TEMPLATE, slip
from vidu_run.wording import cut

MOST_BYTES = 64 << 20
MOST_DEPTH = 32
MOST_NODES = 400_000
"""Keys and values: a kilobyte each while the file is read, so that no spec takes half a gigabyte."""

MOST_DIGITS = 300
"""Of a whole number: beyond these a float cannot hold it, and Python refuses to print one of 4,300."""

MOST_SHOWN = 40
"""Characters of a key, or of a line, in a message about it."""

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
CONTROL = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML allows in no place; written as an escape in quotes it may stand in a text."""

WORDS = {"true": True, "false": False, "null": None}
CLOSED = frozenset({"provider", "model", "resolution"})
"""Keys whose values come from a list: a comment behind them cannot cut a text."""

QUOTED = ("'", '"', "|", ">")
LOADER = getattr(yaml, "CLoader", yaml.Loader)
Path_ = tuple[str | int, ...]


@dataclass(slots=True)
class Document:
    """Plain data, and where each value and each key of it stands, by the way to it: `("jobs", 0, "name")`."""

    file: str
    data: Any = None
    values: dict[Path_, Place] = field(default_factory=dict)
    keys: dict[Path_, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, way: Path_, of_key: bool = False) -> Place:
        """The nearest known place: of the value (or its key), else of what holds it."""
        marks = self.keys if of_key else self.values
        while way and way not in marks:
            way, marks = way[:-1], self.values
        return marks.get(way, Place(self.file))


def read_yaml(path: Path, shown: str) -> Document:
    """Raises SpecTrouble where the file is not one readable YAML document; lesser problems are gathered in it."""
    return parse_yaml(_text(path, shown), shown)


def parse_yaml(text: str, shown: str) -> Document:
    """As `read_yaml`, of a text; `shown` names it in messages."""
    document = Document(shown)
    if control := CONTROL.search(text):
        line, column = text.count("\n", 0, control.start()) + 1, control.start() - text.rfind("\n", 0, control.start())
        raise SpecTrouble([Problem(Place(shown, line, column), f"not YAML: the control character {control[0]!r}")])
    try:
        _guard(text, shown)
        node = yaml.compose(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        mark, words = slip(error, text)
        raise SpecTrouble([Problem(_place(shown, mark), words)]) from None
    except yaml.YAMLError as error:
        raise SpecTrouble([Problem(Place(shown), f"not YAML: {error}".splitlines()[0])]) from None
    if node is None:
        raise SpecTrouble([Problem(Place(shown), "is empty")])
    document.data = _Builder(document, text.splitlines()).value(node, ())
    return document


def _text(path: Path, shown: str) -> str:
    def refuse(why: str) -> SpecTrouble:
        return SpecTrouble([Problem(Place(shown), why)])

    if not is_text(path.name):
        raise refuse("has a name that is not UTF-8 text")
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise refuse("is not a file")
        if status.st_size > MOST_BYTES:
            raise refuse(f"is {status.st_size:,} bytes, more than the {MOST_BYTES:,} a spec may have")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        near = meant_spec(path)
        hint = f"; did you mean {near.as_posix()}?" if near else ""
        raise refuse(f"cannot be read ({error.strerror}){hint}") from None
    except OSError as error:
        raise refuse(f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise refuse(f"is not UTF-8 text (byte {error.start})") from None


def _guard(text: str, shown: str) -> None:
    """One pass over the events, before anything is built: the C loader would crash on what this refuses."""
    depth = documents = nodes = 0
    for event in yaml.parse(text, Loader=LOADER):
        why = None
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            why = "a second document; a spec is one" if documents > 1 else None
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            why = f"nested deeper than {MOST_DEPTH}" if depth > MOST_DEPTH else None
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        nodes += isinstance(event, yaml.NodeEvent)
        if (
            why := why
            or _extra(event)
            or (
                f"more than {MOST_NODES:,} values: a matrix or a CSV file says more with fewer"
                if nodes > MOST_NODES
                else None
            )
        ):
            raise SpecTrouble([Problem(_place(shown, event.start_mark), why)])


def _extra(event: yaml.Event) -> str | None:
    """What YAML reads in front of a value: the text `&c in the fog` would lose its first word to an anchor."""
    if isinstance(event, yaml.AliasEvent):
        return f"the alias *{cut(str(event.anchor), MOST_SHOWN)}: a spec has no aliases, use vars"
    if tag := getattr(event, "tag", None):
        return f"the tag {cut(tag, MOST_SHOWN)}: a spec has no tags"
    if anchor := getattr(event, "anchor", None):
        return f"the anchor &{cut(anchor, MOST_SHOWN)}: a spec has no anchors; a text that begins with & needs quotes"
    return None


class _Builder:
    def __init__(self, document: Document, lines: list[str]) -> None:
        self._document = document
        self._lines = lines

    def value(self, node: yaml.Node, way: Path_) -> Any:
        self._document.values[way] = _place(self._document.file, node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, way)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*way, number)) for number, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, way)

    def _item(self, node: yaml.Node, way: Path_) -> Any:
        if _is_blank(node):
            self._problem(node, 'an item without a value; write null, or "" for an empty text')
            return None
        return self.value(node, way)

    def _mapping(self, node: yaml.MappingNode, way: Path_) -> dict[str, Any] | None:
        if any(isinstance(key, yaml.MappingNode) for key, _ in node.value):
            self._problem(node, UNQUOTED_TEMPLATE)
            return None
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key is None:
                continue
            here = (*way, key)
            if key in built:
                first = self._document.keys[here]
                self._problem(key_node, f"{cut(key, MOST_SHOWN)!r} is given twice, first in line {first.line}")
                continue
            self._document.keys[here] = _place(self._document.file, key_node.start_mark)
            if _is_blank(value_node):
                self._problem(key_node, _without_value(key, node.flow_style))
                built[key] = None
                continue
            built[key] = self.value(value_node, here)
        return built

    def _key(self, node: yaml.Node) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._problem(node, "a key must be text")
        elif node.value == "<<":
            self._problem(node, "a merge key: a spec has no merges, use defaults")
        else:
            return str(node.value)
        return None

    def _scalar(self, node: yaml.ScalarNode, way: Path_) -> Any:
        if node.style in QUOTED:
            return str(node.value)
        value = json_scalar(node.value)
        if isinstance(value, str):
            self._check_cut(node, way)
        elif isinstance(value, float) and not math.isfinite(value):
            self._problem(node, f"{cut(node.value, MOST_SHOWN)} is too large a number")
            return None
        return value

    def _check_cut(self, node: yaml.ScalarNode, way: Path_) -> None:
        rest = self._lines[node.end_mark.line][node.end_mark.column :] if node.end_mark.line < len(self._lines) else ""
        if rest.lstrip().startswith("#") and rest[:1].isspace() and (not way or way[-1] not in CLOSED):
            self._problem(
                node,
                f"YAML reads this text as {cut(node.value, MOST_SHOWN)!r} and drops what follows ` #`: put the text in "
                "quotes, or the comment on a line of its own",
            )

    def _problem(self, node: yaml.Node, message: str) -> None:
        self._document.problems.append(Problem(_place(self._document.file, node.start_mark), message))


def _is_blank(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style not in QUOTED and node.value == ""


def _without_value(key: str, flow: bool | None) -> str:
    if flow:
        return f"{cut(key, MOST_SHOWN)!r} is a key without a value: a text with a comma inside {{…}} needs quotes"
    return f"{cut(key, MOST_SHOWN)!r} is a key without a value; write null to leave a field out"


def json_scalar(text: str) -> Any:
    if text in WORDS:
        return WORDS[text]
    if match := NUMBER.fullmatch(text):
        return float(text) if match[2] or match[3] else _integer(text)
    return text


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= MOST_DIGITS else math.inf


def _place(shown: str, mark: Any) -> Place:
    return Place(shown, mark.line + 1, mark.column + 1) if mark else Place(shown)


def walk(data: Any, way: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every scalar of plain data with the way to it."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from walk(value, (*way, key))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from walk(value, (*way, number))
    else:
        yield way, data
