"""The house has floors: a module imports strictly lower ones, or lower ones of its own package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vidu_run"

FLOORS: list[tuple[str, list[str]]] = [
    (
        "words",
        [
            "errors",
            "reply",
            "pace",
            "mp4",
            "price",
            "access",
            "tally",
            "sieve",
            "stop",
            "wording",
            "providers.rules",
            "__init__",
        ],
    ),
    ("things", ["job", "outcome", "files", "lock", "meter", "screen", "local.manner", "slots"]),
    ("pure", ["key", "record", "names", "spec.template", "spec.axes", "spec.words", "spec.broken"]),
    ("changes", ["difference", "graph"]),
    ("plans", ["plan", "compare", "caution", "journal.port"]),
    (
        "edges",
        [
            "spec.read",
            "frames",
            "providers.catalogue",
            "providers.pricing",
            "api.trouble",
            "api.body",
            "api.client",
            "api.download",
            "journal.intent",
            "journal.writer",
            "journal.file",
            "journal.reader",
            "journal.sqlite",
            "report.failures",
            "report.data",
            "report.poster",
            "report.pack",
            "report.page",
            "report.table",
            "report.layout",
            "report.grid",
            "report.lettering",
            "report.contact",
            "film.picture",
            "film.source",
            "film.twins",
            "film.clip",
            "film.cut",
            "film.copying",
            "film.encoding",
            "film.join",
            "film.still",
            "ledger",
            "shelf",
            "console",
            "config",
        ],
    ),
    ("lighter", ["shrink"]),
    (
        "specs",
        [
            "spec.links",
            "spec.cell",
            "spec.columns",
            "spec.item",
            "spec.expand",
            "spec.check",
            "spec.sources",
            "spec.caveats",
            "spec.pictures",
            "spec.judge",
            "spec.load",
            "spec.write",
            "outlook",
            "show",
            "starter",
            "spend",
        ],
    ),
    ("verdicts", ["picks"]),
    ("choices", ["choice", "continuity"]),
    (
        "local",
        [
            "local.pictures",
            "local.badge",
            "local.camera",
            "local.sound",
            "local.mark",
            "local.encode",
            "local.render",
            "local.cache",
            "local.stand_in",
            "local.refused",
            "local.tempo",
            "local.tasks",
            "local.account",
            "local.queue",
            "local.listing",
            "local.shapes",
            "local.inspect",
            "local.links",
            "local.faults",
            "local.guard",
            "local.wire",
            "local.scenes",
            "local.openapi",
            "local.server",
            "folder",
            "relay",
            "polls",
            "arrivals",
            "posters",
        ],
    ),
    ("desk", ["desk"]),
    ("session", ["session"]),
    ("programme", ["programme"]),
    ("looks", ["view"]),
    ("past", ["drafts", "films", "siblings"]),
    (
        "joins",
        [
            "lighten",
            "recover",
            "generate",
            "carry",
            "state",
            "results",
            "verdict",
            "serve",
            "complete",
            "promote",
            "quiet",
        ],
    ),
    ("batch", ["batch", "watch"]),
    ("work", ["work"]),
    ("footing", ["footing"]),
    ("preview", ["preview"]),
    ("app", ["app", "word"]),
    ("paper", ["paper", "promoted"]),
    ("rim", ["cli"]),
    ("door", ["__main__"]),
]
"""From the ground up. Inside one floor only modules of the same package may import one another, downwards."""

FLOOR = {name: number for number, (_, names) in enumerate(FLOORS) for name in names}
ORDER = {name: number for number, name in enumerate(name for _, names in FLOORS for name in names)}


def modules() -> list[str]:
    found = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")]
    return sorted(".".join(path.parts) for path in found)


def name_of(module: str) -> str:
    """The name a module is imported by: a package is its face."""
    return module.removesuffix(".__init__") if module != "__init__" else module


def imports(module: str) -> Iterator[str]:
    source = (PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("vidu_run"):
            base = node.module.removeprefix("vidu_run").lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                yield inner if inner in FLOOR else base or "__init__"


def package(module: str) -> str:
    return module.rpartition(".")[0]


def test_every_module_has_a_floor_and_every_floor_s_module_exists() -> None:
    faces = {"api", "film", "journal", "local", "providers", "report", "spec"}
    assert {name_of(module) for module in modules()} - faces == set(FLOOR)


@pytest.mark.parametrize("module", sorted(FLOOR))
def test_a_module_imports_strictly_lower_floors_or_lower_ones_of_its_own_package(module: str) -> None:
    file = f"{module}.__init__" if (PACKAGE / module.replace(".", "/")).is_dir() else module
    for target in imports(file):
        same = package(module) and package(module) == package(target)
        lower = FLOOR[target] < FLOOR[module] or (same and ORDER[target] < ORDER[module])
        assert lower, f"{module} ({FLOORS[FLOOR[module]][0]}) imports {target} ({FLOORS[FLOOR[target]][0]})"


SPENDING = ["outcome", "api/body", "journal/intent", "generate"]


def test_the_four_files_that_can_spend_are_read_in_one_sitting() -> None:
    lines = sum(len((PACKAGE / f"{name}.py").read_text().splitlines()) for name in SPENDING)
    assert lines < 450


def test_one_place_sends_a_post_that_costs_credits() -> None:
    callers = [path for path in PACKAGE.rglob("*.py") if "api.submit(" in path.read_text(encoding="utf-8")]
    assert [path.name for path in callers] == ["generate.py"]
    posts = [path for path in PACKAGE.rglob("*.py") if "_posts.post(" in path.read_text(encoding="utf-8")]
    assert [path.name for path in posts] == ["client.py"]


def test_no_provider_s_name_is_in_the_code() -> None:
    """`local` starts a server, and names whose rules it takes; everything else is data."""
    allowed = {"providers/catalogue.py", "local/server.py", "local/openapi.py", "serve.py", "cli.py"}
    for path in PACKAGE.rglob("*.py"):
        shown = path.relative_to(PACKAGE).as_posix()
        strings = [n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)]
        named = {text for text in strings if isinstance(text, str)} & {"octopusx", "vidu", "vidu-cn"}
        assert not named or shown in allowed, f"{shown} names {named}"
