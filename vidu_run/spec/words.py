"""A JSON Schema's verdict in the words of the person who wrote the spec."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from vidu_run.wording import counted, cut

TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}
TEMPLATE = r"\{\{"
"""How the spec's schema says that a text must hold a template."""

BARE = re.compile(r"-?[0-9]+|true|false")
"""Texts that are another kind of value without their quotes."""

FORMS = {
    r"^https://[^\s]+$": "is not an https URL",
    r"\*|\{\{": "is no pattern: it needs a *",
    "^[0-9a-f]{64}$": "is not a key of 64 hex digits",
}
"""What the patterns of the schemas mean."""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CLEAR_ENOUGH = 80
MOST_NAME = 120
MOST_HINTS = 20
"""For so many unknown fields of one mapping a likely one is looked for."""


Error = Any
"""A `jsonschema.ValidationError`; that library is imported by whoever validates, not here."""


def describe(error: Error, subject: str, model: str | None = None) -> str:
    """One sentence: what stands there, and what is allowed. `subject` is the name of the value."""
    value = error.instance
    of_model = f" for {model}" if model and subject in ("duration", "resolution") else ""
    match error.validator:
        case "required":
            names = missing(error)
            return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} missing"
        case "enum" | "const":
            allowed = error.validator_value if error.validator == "enum" else [error.validator_value]
            return f"{subject} {shown(value)} is not allowed{of_model} ({_choices(allowed)}){_near(value, allowed)}"
        case "minimum" | "maximum":
            return f"{subject} {shown(value)} is not allowed{of_model} ({_bounds(error.schema)})"
        case "type":
            return (
                f"{subject} must be {_kinds(error.schema)}, not {_kind(value)} {shown(value)}{_sized(subject, value)}"
            )
        case "minItems" | "maxItems":
            return f"{subject} has {counted(len(value), 'item')} ({_items(error.schema)})"
        case "maxLength":
            return f"{subject} has {len(value):,} characters, more than {error.validator_value:,}"
        case "minLength":
            return f"{subject} is empty"
        case "minProperties" | "maxProperties":
            return f"{subject} has {counted(len(value), 'entry', 'entries')} ({_items(error.schema)})"
        case "not":
            return f"{subject} {shown(value)} is not allowed"
        case "uniqueItems":
            return f"{subject} holds the same twice"
        case "pattern" if error.validator_value == TEMPLATE:
            bare = "leave the quotes out, or " if BARE.fullmatch(value) else ""
            return f'{subject} cannot be the text {shown(value)}: {bare}write a template "{{{{ … }}}}"'
        case "pattern":
            form = FORMS.get(error.validator_value, f"does not have the form {error.validator_value}")
            return f"{subject} {shown(value)} {form}"
    return f"{subject}: {error.message[:200]}"


def missing(error: Error) -> list[str]:
    """For a `required` error: the fields that are not there."""
    return [name for name in error.validator_value if name not in error.instance]


def unknown_fields(error: Error) -> list[tuple[str, str]]:
    """For an `additionalProperties` error: each field that is not known, with a hint."""
    known = error.schema.get("properties", {})
    unknown = [name for name in error.instance if name not in known]
    return [(name, _near(name, known) if number < MOST_HINTS else "") for number, name in enumerate(unknown)]


def unnameable(name: str) -> str | None:
    """What keeps a template from naming it. (To a schema's `$` a name may end in a line end.)"""
    return None if NAME.fullmatch(name) else f"{shown(name)} cannot be a name: templates know letters, digits, _"


def shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else _json_like(value)
    return cut(text, CLEAR_ENOUGH)


def one_line(name: str) -> str:
    """A name as it is, unless it could spoil a terminal or fill it."""
    return name if name.isprintable() and len(name) <= MOST_NAME else shown(name)


def _json_like(value: Any) -> str:
    words = {True: "true", False: "false", None: "null"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _kinds(schema: dict[str, Any]) -> str:
    """Of a value that may be null or a template too only what it is in the end."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    spare = {"null", "string"} if "then" in schema else {"null"}
    return " or ".join(TYPES[kind] for kind in kinds if kind not in spare or len(kinds) == 1)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "the word"
    return {str: "the text", int: "the number", float: "the number", list: "the list", dict: "the mapping"}.get(
        type(value), "the value"
    )


def _choices(allowed: Sequence[Any]) -> str:
    if len(allowed) == 1:
        return f"only {_plain(allowed[0])}"
    return f"{', '.join(_plain(item) for item in allowed[:-1])} or {_plain(allowed[-1])}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else _json_like(value)


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"only {low}" if low == high else f"{low} to {high}"
    return f"at least {low}" if low is not None else f"at most {high}"


def _sized(subject: str, value: Any) -> str:
    return f"; did you mean {value}p?" if subject == "resolution" and value in (360, 540, 720, 1080) else ""


def _items(schema: dict[str, Any]) -> str:
    low, high = (schema.get(f"{end}Items", schema.get(f"{end}Properties")) for end in ("min", "max"))
    if low == high:
        return f"exactly {low}"
    return f"at least {low}" if high is None else f"at most {high}"


def _near(value: Any, known: Iterable[Any]) -> str:
    if not isinstance(value, str) or len(value) > CLEAR_ENOUGH:
        return ""
    return _nearest(value, tuple(item for item in known if isinstance(item, str)))


@lru_cache(maxsize=256)
def _nearest(value: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(value, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
