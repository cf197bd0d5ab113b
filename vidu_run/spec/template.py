"""Templates: Jinja's syntax, an allow-list of what may stand in it, each string rendered once.

A sandbox bounds neither time nor memory, so there is nothing to loop with and nothing to call: names, attributes,
items, constants, conditions, tests, `~ + -` and a few filters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, UndefinedError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_TEXT = 20_000
"""Characters of a template, and of what one renders to; prompts end at 5,000."""

ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Const,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.CondExpr,
    nodes.If,
    nodes.Concat,
    nodes.Add,
    nodes.Sub,
    nodes.Neg,
    nodes.Filter,
    nodes.Test,
    nodes.Keyword,
)
SINGLE = re.compile(r"\s*\{\{-?(?P<expression>.*?)-?\}\}\s*", re.DOTALL)
TESTS = frozenset({"defined", "undefined", "none", "eq", "ne", "lt", "le", "gt", "ge", "in", "odd", "even"})


class BadTemplate(ValueError):
    """A sentence about one template."""


def _pad(value: Any, width: int = 2) -> str:
    if not 0 <= width <= 20:
        raise BadTemplate("pad takes a width from 0 to 20")
    return str(value).zfill(width)


def _slug(value: Any) -> str:
    return re.sub(r"[^\w]+", "-", str(value).lower()).strip("-_")


def _stem(value: Any) -> str:
    return PurePosixPath(str(value)).stem


def _name(value: Any) -> str:
    return PurePosixPath(str(value)).name


OWN_FILTERS: dict[str, Callable[..., Any]] = {"pad": _pad, "slug": _slug, "stem": _stem, "name": _name}
FILTERS = frozenset({"default", "lower", "upper", "title", "trim", "int", "round"}) | frozenset(OWN_FILTERS)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    environment.globals.clear()
    kept = {name: made for name, made in environment.filters.items() if name in FILTERS}
    environment.filters.clear()
    environment.filters.update(kept | OWN_FILTERS)
    return environment


ENVIRONMENT = _environment()


@dataclass(frozen=True, slots=True)
class Template:
    """One string of the spec. `reads` are the names it looks up; `way` is the path of a plain look-up
    (`{{ pair.first }}` is `("pair", "first")`), through which an error can be shown where the value stands.
    """

    source: str
    reads: frozenset[str]
    way: tuple[str, ...] | None
    _render: Callable[[Mapping[str, Any]], Any]

    def render(self, scope: Mapping[str, Any]) -> Any:
        """The value: of its own type for one `{{ expression }}`, else text. Raises BadTemplate."""
        try:
            value = self._render(scope)
        except UndefinedError as error:
            raise BadTemplate(_undefined(error, scope)) from None
        except (TemplateError, SecurityError, TypeError, ValueError, OverflowError) as error:
            raise BadTemplate(f"{self.source!r}: {error}") from None
        if isinstance(value, str):
            if len(value) > MOST_TEXT:
                raise BadTemplate(f"renders to more than {MOST_TEXT:,} characters")
            if "{{" in value:
                raise BadTemplate(f"still holds '{{{{' after rendering: {value[:60]!r}; a value is rendered once")
        return value


def is_template(text: str) -> bool:
    return "{{" in text or "{%" in text or "{#" in text


@lru_cache(maxsize=4096)
def compile_template(text: str) -> Template:
    """Raises BadTemplate for a syntax error or anything outside the allow-list."""
    if len(text) > MOST_TEXT:
        raise BadTemplate(f"more than {MOST_TEXT:,} characters")
    try:
        tree = ENVIRONMENT.parse(text)
    except (TemplateSyntaxError, RecursionError) as error:
        raise BadTemplate(f"template: {error}") from None
    reads = frozenset(_check(tree))
    single = SINGLE.fullmatch(text)
    if single and _is_single(tree):
        return Template(text, reads, _way(tree), _expression(single["expression"]))
    template = ENVIRONMENT.from_string(text)
    return Template(text, reads, None, lambda scope: template.render(scope))


def _check(tree: nodes.Template) -> list[str]:
    names = []
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, ALLOWED):
            raise BadTemplate(f"{type(node).__name__.lower()} is not possible in a template: no loops, no calls")
        if isinstance(node, nodes.Name):
            names.append(node.name)
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            raise BadTemplate(f"no filter {node.name!r}; there are {', '.join(sorted(FILTERS))}")
        if isinstance(node, nodes.Test) and node.name not in TESTS:
            raise BadTemplate(f"no test {node.name!r}")
        if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
            raise BadTemplate(f"no attribute {node.attr!r}")
    return names


def _is_single(tree: nodes.Template) -> bool:
    outputs = [child for part in tree.body for child in getattr(part, "nodes", [part])]
    return len([o for o in outputs if not (isinstance(o, nodes.TemplateData) and not o.data.strip())]) == 1


def _way(tree: nodes.Template) -> tuple[str, ...] | None:
    outputs = [child for part in tree.body for child in getattr(part, "nodes", [part])]
    node = next(o for o in outputs if not isinstance(o, nodes.TemplateData))
    steps: list[str] = []
    while isinstance(node, nodes.Getattr):
        steps.append(node.attr)
        node = node.node
    return (node.name, *reversed(steps)) if isinstance(node, nodes.Name) else None


def _expression(text: str) -> Callable[[Mapping[str, Any]], Any]:
    compiled = ENVIRONMENT.compile_expression(text.strip(), undefined_to_none=False)

    def evaluate(scope: Mapping[str, Any]) -> Any:
        value = compiled(scope)
        if isinstance(value, Undefined):
            str(value)  # StrictUndefined raises here what it would have raised in a template
        return value

    return evaluate


def _undefined(error: UndefinedError, scope: Mapping[str, Any]) -> str:
    from difflib import get_close_matches

    words = str(error)
    missing = re.search(r"'([^']*)' is undefined|has no attribute '([^']*)'", words)
    name = (missing[1] or missing[2]) if missing else ""
    inner = [key for value in scope.values() if isinstance(value, dict) for key in value]
    near = get_close_matches(name, [*scope, *inner], n=1)
    if missing and missing[2]:
        words = f"there is no {name!r} in this value"
    elif missing:
        words = f"there is no variable or axis {name!r}"
    return words + (f"; did you mean {near[0]!r}?" if near else "")
