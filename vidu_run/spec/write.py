"""A spec of plain jobs as text that every YAML reader understands alike: ours, and those that see dates in it.

Pure. Values are those of JSON. What a template could be seen in is written as a template that renders to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from vidu_run.job import Key
from vidu_run.spec.template import BadTemplate, compile_template, is_template

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*|[0-9]+p")
"""Names, models, paths and resolutions: texts to any reader, but for these words."""

WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})

UNSEEN = re.compile("[\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff0-\uffff]")
"""What YAML does not allow, takes for the end of a line, or nobody would see in a diff; beside what JSON escapes."""

MARK = re.compile(r"\{[%#]")


@dataclass(frozen=True, slots=True)
class Written:
    """A job to write down. `request` holds the fields that the provider knows, `extra` the others."""

    name: str
    draft: Key
    request: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)


def spec_text(remarks: Sequence[str], settings: Mapping[str, Any], jobs: Sequence[Written]) -> str:
    """The whole file. Raises BadTemplate for a text that no template gives: ask `literal` first."""
    lines = [f"# {remark}" for remark in remarks]
    lines += [f"{name}: {yaml_value(value)}" for name, value in settings.items()]
    lines.append("jobs:")
    for job in jobs:
        lines += _job(job)
    return "\n".join(lines) + "\n"


def _job(job: Written) -> Iterator[str]:
    yield f"  - name: {yaml_value(literal(job.name))}"
    yield f"    from: {_quoted(job.draft)}"
    yield "    request:"
    yield from _fields(job.request)
    if job.extra:
        yield "    extra:"
        yield from _fields(job.extra)


def _fields(fields: Mapping[str, Any]) -> Iterator[str]:
    return (f"      {yaml_value(name)}: {yaml_value(literal(value))}" for name, value in fields.items())


def yaml_value(value: Any) -> str:
    """A value of JSON on one line, as a block or a flow may hold it."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{yaml_value(name)}: {yaml_value(item)}' for name, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(yaml_value, value))}]"
    if isinstance(value, str):
        return value if PLAIN.fullmatch(value) and value.lower() not in WORDS else _quoted(value)
    if isinstance(value, float):
        return _float(value)
    return json.dumps(value)


def _quoted(text: str) -> str:
    """JSON's own quoting is YAML's; what JSON leaves as it is and YAML does not is escaped too."""
    return UNSEEN.sub(lambda char: f"\\u{ord(char[0]):04x}", json.dumps(text, ensure_ascii=False))


def _float(number: float) -> str:
    """YAML 1.1 sees no number where an exponent stands behind a digit without a point."""
    text = repr(number)
    return text if "." in text else text.replace("e", ".0e")


def literal(value: Any) -> Any:
    """What the spec must say for a template engine to leave this value. Raises BadTemplate where nothing does."""
    if isinstance(value, Mapping):
        return {name: literal(item) for name, item in value.items()}
    if isinstance(value, list):
        return [literal(item) for item in value]
    if not isinstance(value, str) or not is_template(value):
        return value
    forms: tuple[Callable[[str], str], ...] = (_marks_quoted, _wholly_quoted)
    for form in forms:
        with suppress(BadTemplate):
            if compile_template(form(value)).render({}) == value:
                return form(value)
    raise BadTemplate("holds what the spec takes for a template, and no template gives it")


def _marks_quoted(text: str) -> str:
    """Readable: a text around `{{ "{%" }}`. It loses a lone carriage return, or blank space around a lone mark."""
    return MARK.sub(lambda mark: f'{{{{ "{mark[0]}" }}}}', text)


def _wholly_quoted(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"}
    return f'{{{{ "{"".join(escapes.get(char, char) for char in text)}" }}}}'
