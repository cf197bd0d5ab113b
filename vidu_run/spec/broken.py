"""What is wrong with a text that is no YAML, in the words of the person who wrote it.

The parser says which rule of its grammar was left, and where; what stands there says which slip it was.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

UNQUOTED_TEMPLATE = 'a template needs quotes: write "{{ … }}"'


def slip(error: yaml.MarkedYAMLError, text: str) -> tuple[Any, str]:
    """The mark to point at (None where the parser gave none), and one sentence."""
    mark, begun = error.problem_mark, error.context_mark
    if mark is None:
        return begun, f"not YAML: {error.problem or error.context}"
    line, column = _line(text, mark.line), mark.column
    if re.search(r"[:-]\s+\{\{", line):
        return mark, UNQUOTED_TEMPLATE
    problem, context = error.problem or "", error.context or ""
    here, before = line[column : column + 1], line[:column].rstrip()
    if "nesting depth" in problem:
        return mark, "nested too deeply"
    bracket = _line(text, begun.line)[begun.column : begun.column + 1] if begun else ""
    ended = begun is not None and (mark.line > begun.line or not line[column:].strip())
    match context.removeprefix("while ").split():
        case [*_, "scalar"] if bracket in ("'", '"') and "end of stream" in problem:
            return begun, f"not YAML: the {bracket} that begins here has no end"
        case [*_, "scalar"] if bracket == '"':
            return mark, r"not YAML: a backslash in double quotes is written \\, or the text stands in single quotes"
        case [*_, "scalar"] if bracket in ("|", ">"):
            return mark, f"not YAML: the text of a {bracket} begins on the next line, indented"
        case _ if here == "\t":
            return mark, "not YAML: a tab: lines are indented with blanks"
        case [*_, "anchor" | "alias"] | [*_, "token"] | [*_, "block", "node"]:
            return mark, f"not YAML: a text that begins with {bracket or here} needs quotes"
        case [*_, "simple", "key"]:
            return begun, "not YAML: this line has no key: a key ends with a colon and a blank"
        case [*_, "flow", _] if bracket in ("[", "{") and not ended:
            return mark, f"not YAML: within {bracket} a comma is missing here, or quotes around a text"
        case [*_, "flow", _] if bracket in ("[", "{"):
            return begun, f"not YAML: the {bracket} that begins here has no end, or a comma is missing in it"
        case [*_, "flow", _]:
            return mark, "not YAML: a [ or { before this has no end"
        case [*_, "block", _] if before.endswith(("'", '"')):
            within = "''" if before.endswith("'") else r"\""
            return mark, f"not YAML: the quotes end before this; within them a {before[-1]} is written {within}"
        case [*_, "block", _] if before:
            return mark, f"not YAML: nothing may follow the {before[-1]} in this line"
        case [*_, "block", "collection"]:
            return mark, "not YAML: a list goes on here without a -; what belongs to the item above is indented deeper"
        case [*_, "block", "mapping"] if here == "-":
            return mark, "not YAML: an item of a list among keys"
        case [*_, "block", "mapping"]:
            return mark, "not YAML: this line is indented like none of those it could belong to"
        case _ if here == ":" and re.search(r":\s", before):
            return mark, "not YAML: a text with a colon and a blank in it needs quotes"
        case _ if here == ":":
            return mark, "not YAML: this line is indented deeper than the one it goes on with"
        case _ if here == "-":
            return mark, "not YAML: a list begins on a line of its own; a text that begins with - needs quotes"
        case _ if here == "?":
            return mark, "not YAML: a text that begins with ? needs quotes"
    return mark, f"not YAML: {problem or context}"


def _line(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number] if number < len(lines) else ""
