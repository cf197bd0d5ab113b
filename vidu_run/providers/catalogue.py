"""Reads the providers and schemas that come with the package, and makes validators of them. Never fetches anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from vidu_run.errors import UsageTrouble
from vidu_run.providers.rules import Document, Limits, Model, Provider, Routes

_PACKAGE = Path(__file__).parents[1]
_DATA = Path(__file__).parent / "data"
_PRICE_LIST = "-list"
_LAST_DOLLAR = re.compile(r"(?<!\\)\$\Z")

LOCAL = "local"
LOCAL_RULES = "octopusx"
"""Whose rules the local API follows where a spec names no other provider."""

PROVIDER_NAMES = tuple(sorted(f.stem for f in _DATA.glob("*.json") if not f.stem.endswith(_PRICE_LIST)))
"""Those with a data file; `local` is none of them, it takes another provider's rules."""


class UnknownProvider(UsageTrouble):
    def __init__(self, name: str) -> None:
        known = ("local", *PROVIDER_NAMES)
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        super().__init__(f"no provider is called {name!r}; {hint}")
        self.name = name


def provider(name: str) -> Provider:
    if name not in PROVIDER_NAMES:
        raise UnknownProvider(name)
    return _provider(read_data(f"{name}.json"))


def local_like(p: Provider) -> Provider:
    """The rules of `p` on the local server: no key, and no address until that server has one. It lists, cancels and
    tells a balance as `p` does, or does not."""
    return replace(p, name="local", base_url="", auth_scheme=None, key_variables=())


def choose_provider(home: str, override: str | None) -> Provider:
    """`local` takes the rules of the spec's own provider, so that a rehearsal checks and prices as the run will."""
    name = override or home
    if name != LOCAL:
        return provider(name)
    return local_like(provider(LOCAL_RULES if home == LOCAL else home))


def request_schema(p: Provider) -> dict[str, Any]:
    return read_schema(p.request_schema)


def read_schema(name: str) -> dict[str, Any]:
    return _read(schema_file(name))


def validator(schema: Mapping[str, Any]) -> Any:
    """A validator that fetches nothing, whatever a schema refers to."""
    from referencing import Registry

    return _dialect()(schema, registry=Registry())


@cache
def _dialect() -> Any:
    """JSON Schema, whose `$` is the end of a text: Python's stands before a line end too."""
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend

    def pattern(_: Any, wanted: str, value: Any, __: Any) -> Iterator[ValidationError]:
        if isinstance(value, str) and not re.search(_LAST_DOLLAR.sub(r"\\Z", wanted), value):
            yield ValidationError(f"{value!r} does not match {wanted!r}")

    return extend(Draft202012Validator, {"pattern": pattern})  # type: ignore[no-untyped-call]


def schema_file(name: str) -> Path:
    """Where a schema lies: inside the package when installed, beside it in a source checkout."""
    for folder in (_PACKAGE / "schemas", _PACKAGE.parent / "schemas"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"the schema {name} is missing from this installation of vidu-run")


def read_data(name: str) -> dict[str, Any]:
    return _read(_DATA / name)


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def _provider(raw: Mapping[str, Any]) -> Provider:
    read = {
        "documents": tuple(Document(**d) for d in raw["documents"]),
        "key_variables": tuple(raw["key_variables"]),
        "routes": Routes(**{**raw["routes"], "query": tuple(raw["routes"]["query"])}),
        "limits": _limits(raw["limits"]),
        "models": {name: _model(m) for name, m in raw["models"].items()},
        "notes": tuple(raw["notes"]),
    }
    return Provider(**{**raw, **read})


def _limits(raw: Mapping[str, Mapping[str, Any]]) -> Limits:
    values = {name: limit["value"] for name, limit in raw.items()}
    sources = {name: f"{limit['source']}, {limit['date']}" for name, limit in raw.items()}
    return Limits(**{**values, "formats": tuple(values["formats"])}, sources=sources)


def _model(raw: Mapping[str, Any]) -> Model:
    by_length = {int(seconds): resolution for seconds, resolution in raw.get("resolution_at", {}).items()}
    return Model(**{**raw, "ignores": tuple(raw["ignores"]), "resolution_at": by_length})
