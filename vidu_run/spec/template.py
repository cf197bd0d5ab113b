"""Templates: Jinja's syntax, an allow-list of what may stand in it, each string rendered once.

A sandbox bounds neither time nor memory, so there is nothing to loop with and nothing to call: names, keys of
mappings, items, constants, conditions, tests, `~ + -` and a few filters. What comes out is a value of JSON.
"""

from __future__ import annotations

import math
import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import Any, NoReturn

import jinja2
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, UndefinedError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from vidu_run.files import is_text
from vidu_run.wording import cut

MOST_TEXT = 20_000
"""Characters of a template, and of what one renders to; prompts end at 5,000."""

MOST_NEIGHBOURS = 200
"""Names among which a likely one is looked for."""

MOST_NODES = 1_000
MOST_DEPTH = 40
MOST_BITS = 1_000
"""Of a template's parsed form, and of a whole number it computes: what the compiler and JSON can take."""

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


Way = tuple[str | int, ...]


class BadTemplate(ValueError):
    """A sentence about one template; `way` leads to where it stands, once somebody knows."""

    way: Way | None = None


def _pad(value: Any, width: int = 2) -> str:
    if not 0 <= width <= 20:
        raise BadTemplate("pad takes a width from 0 to 20")
    return text_of(value).zfill(width)


def _int(value: Any, default: Any = None) -> Any:
    """Jinja's own makes 0 of what is no number, and 0 is a seed that means random."""
    for read in (int, lambda text: int(float(text))):
        with suppress(TypeError, ValueError, OverflowError):
            return read(value)
    if default is None:
        raise BadTemplate(f"{_short(value)} is no whole number")
    return default


def _round(value: float, digits: int = 0) -> float:
    """Jinja's own computes 10**digits, whatever the digits."""
    if not 0 <= digits <= 10:
        raise BadTemplate("round takes 0 to 10 digits")
    return round(float(value), digits)


def _slug(value: Any) -> str:
    return re.sub(r"[^\w]+", "-", text_of(value).lower()).strip("-_")


def _stem(value: Any) -> str:
    return PurePosixPath(text_of(value)).stem


def _name(value: Any) -> str:
    return PurePosixPath(text_of(value)).name


OWN_FILTERS: dict[str, Callable[..., Any]] = {
    "int": _int,
    "name": _name,
    "pad": _pad,
    "round": _round,
    "slug": _slug,
    "stem": _stem,
}
OF_TEXT = ("lower", "upper", "title", "trim")
FILTERS = frozenset({"default", *OF_TEXT}) | frozenset(OWN_FILTERS)
JOINED = "joined"
"""The filter of what `~` joins; no template may name it."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Knows the keys of mappings and no attribute of any Python object; adds numbers and texts, within bounds."""

    intercepted_binops = frozenset("+-")

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            str(obj)  # raises: what is missing has no parts
        with suppress(LookupError, TypeError):
            return obj[argument]
        return self.undefined(obj=obj, name=argument)

    def _generate(self, source: nodes.Template, *names: Any, **how: Any) -> str:
        """Jinja's own `~` joins what Python calls a value: `True`, `None`."""
        for concat in source.find_all(nodes.Concat):
            concat.nodes = [nodes.Filter(part, JOINED, [], [], None, None) for part in concat.nodes]
        return super()._generate(source, *names, **how)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, str) and isinstance(right, str) and operator == "+":
            return left + right if len(left) + len(right) <= MOST_TEXT else _too_long()
        if not (_is_number(left) and _is_number(right)):
            raise BadTemplate(f"{operator} takes two numbers{' or two texts' if operator == '+' else ''}")
        return left + right if operator == "+" else left - right


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def text_of(value: Any) -> str:
    """How a value reads inside a text: as the spec would write it. Raises BadTemplate for what is no text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float | Undefined):
        return str(value)
    kind = {type(None): "null", list: "a list"}.get(type(value), "a mapping")
    raise BadTemplate(f"{kind} cannot stand inside a text")


def _of_text(made: Callable[..., str]) -> Callable[..., str]:
    return lambda value, *given, **named: made(text_of(value), *given, **named)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = _Sandbox(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, finalize=text_of, optimized=False
    )
    environment.globals.clear()
    kept = {name: environment.filters[name] for name in ("default", *OF_TEXT)}
    environment.filters.clear()
    environment.filters.update(kept | {name: _of_text(kept[name]) for name in OF_TEXT})
    environment.filters.update(OWN_FILTERS | {JOINED: text_of})
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
    _pieces: tuple[str | Way, ...] | None = None
    """Of a text that is nothing but words and plain look-ups, as most names are: no engine is needed to join them."""

    def render(self, scope: Mapping[str, Any]) -> Any:
        """The value: of its own type for one `{{ expression }}`, else text. Raises BadTemplate."""
        try:
            if self._pieces is not None:
                text = "".join([p if isinstance(p, str) else text_of(_dug(scope, p)) for p in self._pieces])
                _check_value(text)
                return text
        except (LookupError, TypeError, ValueError):
            pass  # the engine has the words for it
        try:
            value = self._render({name: scope[name] for name in self.reads if name in scope})
        except UndefinedError as error:
            raise BadTemplate(_undefined(error, scope)) from None
        except (TemplateError, TypeError, ValueError, OverflowError) as error:
            raise BadTemplate(f"{_short(self.source)}: {error}") from None
        _check_value(value)
        return value


def _dug(value: Any, way: Way) -> Any:
    for step in way:
        value = value[step]
    return value


def _check_value(value: Any) -> None:
    if isinstance(value, str):
        if len(value) > MOST_TEXT:
            _too_long()
        if "{{" in value:
            raise BadTemplate(f"still holds '{{{{' after rendering: {_short(value)}; a value is rendered once")
        if not is_text(value):
            raise BadTemplate(f"renders to half a character: {_short(value)}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadTemplate("renders to a number that JSON does not know")
    elif isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise BadTemplate("renders to a number too large")


def _too_long() -> NoReturn:
    raise BadTemplate(f"renders to more than {MOST_TEXT:,} characters")


def _short(value: Any) -> str:
    return cut(repr(value), 60)


def is_template(text: str) -> bool:
    return "{{" in text or "{%" in text or "{#" in text


@lru_cache(maxsize=4096)
def compile_template(text: str) -> Template:
    """Raises BadTemplate for a syntax error or anything outside the allow-list."""
    if len(text) > MOST_TEXT:
        raise BadTemplate(f"more than {MOST_TEXT:,} characters")
    try:
        return _compiled(text)
    except BadTemplate:
        raise
    except TemplateSyntaxError as error:
        raise BadTemplate(f"template: {' '.join(str(error).split())[:200]}") from None
    except RecursionError:
        raise BadTemplate("a template nested too deeply") from None
    except ValueError:  # Python's own, for a number of more than 4,300 digits
        raise BadTemplate("a number too large") from None


def _compiled(text: str) -> Template:
    tree = ENVIRONMENT.parse(text)
    reads = frozenset(_check(tree))
    single = SINGLE.fullmatch(text)
    if single and _is_single(tree):
        return Template(text, reads, _way(tree), _expression(single["expression"]))
    return Template(text, reads, None, _text(ENVIRONMENT.from_string(text)), _pieces(tree))


def _text(template: jinja2.Template) -> Callable[[Mapping[str, Any]], str]:
    def render(scope: Mapping[str, Any]) -> str:
        pieces: list[str] = []
        size = 0
        for piece in template.generate(scope):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_TEXT:
                _too_long()
        return "".join(pieces)

    return render


def _check(tree: nodes.Template) -> list[str]:
    names = []
    for node in _nodes(tree):
        if not isinstance(node, ALLOWED):
            raise BadTemplate(f"{type(node).__name__.lower()} is not possible in a template: no loops, no calls")
        if isinstance(node, nodes.Name):
            names.append(node.name)
        if wrong := _unknown(node):
            raise BadTemplate(wrong)
    return names


def _nodes(tree: nodes.Template) -> Iterator[nodes.Node]:
    """Every node, without recursion: `a.b.b.b…` is as deep as it is long."""
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    seen = 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        if depth > MOST_DEPTH or seen > MOST_NODES:
            raise BadTemplate(
                "a template nested too deeply" if depth > MOST_DEPTH else "a template with too many parts"
            )
        waiting += [(child, depth + 1) for child in node.iter_child_nodes()]
        yield node


def _unknown(node: nodes.Node) -> str | None:
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        return f"no filter {_short(node.name)}; there are {', '.join(sorted(FILTERS))}"
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        return f"no test {_short(node.name)}; there are {', '.join(sorted(TESTS))}"
    if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        return f"no attribute {_short(node.attr)}"
    if isinstance(node, nodes.CondExpr) and node.expr2 is None:
        return "an if in one line needs its else"
    if isinstance(node, nodes.Name) and node.name == "self":
        return "no name 'self'"  # Jinja's own word for the template
    if isinstance(node, nodes.Const) and isinstance(node.value, float) and not math.isfinite(node.value):
        return "a number too large"
    return None


def _is_single(tree: nodes.Template) -> bool:
    outputs = [child for part in tree.body for child in getattr(part, "nodes", [part])]
    return len([o for o in outputs if not (isinstance(o, nodes.TemplateData) and not o.data.strip())]) == 1


def _way(tree: nodes.Template) -> tuple[str, ...] | None:
    outputs = [child for part in tree.body for child in getattr(part, "nodes", [part])]
    return _look_up(next(o for o in outputs if not isinstance(o, nodes.TemplateData)))


def _pieces(tree: nodes.Template) -> tuple[str | Way, ...] | None:
    pieces: list[str | Way] = []
    for node in (child for part in tree.body for child in getattr(part, "nodes", [part])):
        piece = node.data if isinstance(node, nodes.TemplateData) else _look_up(node)
        if piece is None:
            return None
        pieces.append(piece)
    return tuple(pieces)


def _look_up(node: nodes.Node) -> tuple[str, ...] | None:
    """The way of a plain look-up, such as `pair.first`."""
    steps: list[str] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            steps.append(node.attr)
        elif isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            steps.append(node.arg.value)
        else:
            return None
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
    near = get_close_matches(name, _neighbours(scope), n=1) if len(name) < 80 else []
    if missing and missing[2]:
        words = f"there is no {name!r} in this value"
    elif missing:
        words = f"there is no variable or axis {name!r}"
    return words + (f"; did you mean {near[0]!r}?" if near else "")


def _neighbours(scope: Mapping[str, Any]) -> Iterator[str]:
    """Names a slip of the pen may have meant: the nearest scope's first, and no more than a look costs."""
    maps = scope.maps if isinstance(scope, ChainMap) else [scope]
    for name, value in islice(chain.from_iterable(each.items() for each in maps), MOST_NEIGHBOURS):
        yield name
        if isinstance(value, dict):
            yield from islice(value, MOST_NEIGHBOURS)
