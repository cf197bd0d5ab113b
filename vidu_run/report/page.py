"""The page a run ends with: one HTML file carrying its own style, script and data.

It shows what it is given; it never looks at the journal or the videos, and the page loads nothing from the network.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vidu_run.files import write_durably
from vidu_run.report.pack import page_data, script_json

ASSETS = Path(__file__).parent / "assets"
FILMS = "films"
SCRIPTS = ("dom", "clips", "picks", "player", "lines", "views", "focus", FILMS, "main")
"""Parts of one script, in the order in which they build on one another."""

SLOTS = ("\0head", "\0rows")
"""Where the data go in the page: of all that stands before the second, the name of the spec alone is the user's."""

STATES = ("done", "ready", "submitted", "planned", "in_doubt", "failed", "rejected", "abandoned")


def write_page(document: Mapping[str, Any], target: Path) -> None:
    """Write the page to `target`, whole or not at all; links in it are relative to the folder of `target`.

    Raises StorageTrouble where the file cannot be written.
    """
    write_durably(target, _parts(document))


def render_page(document: Mapping[str, Any]) -> str:
    return b"".join(_parts(document)).decode()


def _parts(document: Mapping[str, Any]) -> Iterator[bytes]:
    """The data by themselves: of a hundred thousand jobs they are tens of megabytes, which a template would copy."""
    films = bool(document.get("films"))
    style = page_style(films)
    script = page_script(films)
    shell = (
        _environment()
        .get_template("page.html")
        .render(
            document=document,
            policy=Markup(content_policy(style, script)),
            style=Markup(style),
            script=Markup(script),
            head=SLOTS[0],
            rows=SLOTS[1],
            films=films,
            tally=tally(document["counts"]),
            money=_money(document),
            when=spoken_time(document["generated_at"]),
        )
    )
    packed = page_data(document)
    before, between, after = (part.encode("utf-8", "replace") for part in re.split("|".join(SLOTS), shell, maxsplit=2))
    head = script_json(packed.head).encode("utf-8", "replace")
    return chain((before, head, between), _lines(packed.rows), (after,))


def _lines(rows: Sequence[bytes]) -> Iterator[bytes]:
    return (b"\n" + row if number else row for number, row in enumerate(rows))


def page_style(films: bool) -> str:
    return "".join((ASSETS / f"{part}.css").read_text("utf-8") for part in ("page", FILMS) if films or part != FILMS)


def page_script(films: bool = True) -> str:
    """Without films it does without the part that shows them."""
    parts = [part for part in SCRIPTS if films or part != FILMS]
    return "\n".join(['"use strict";', *((ASSETS / f"{part}.js").read_text("utf-8") for part in parts)])


def content_policy(style: str, script: str) -> str:
    """The CSP under which only this style and this script count, and only files beside the page load."""
    return (
        "default-src 'none'; img-src 'self' data:; media-src 'self'; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def _money(document: Mapping[str, Any]) -> str | None:
    """What was spent; of a rehearsal, which spends nothing, what all of it would cost."""
    estimated, usd = document["credits"]["estimated"], document["usd"]
    if document["rehearsal"] and estimated is not None and usd is not None:
        return f"${estimated * usd:,.2f}"
    said: str | None = document["money"]
    return said


def tally(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """The states that occur, in the order of STATES, each with its count and where its part of the bar begins."""
    rows: list[dict[str, Any]] = []
    start = 0
    for state in sorted(counts, key=lambda name: STATES.index(name) if name in STATES else len(STATES)):
        if counts[state]:
            rows.append({"state": state, "word": state.replace("_", " "), "count": counts[state], "start": start})
            start += counts[state]
    return rows


def spoken_time(moment: str) -> str:
    """An ISO 8601 moment as in `22 Nov 2026, 13:00 UTC`."""
    return f"{datetime.fromisoformat(moment).astimezone(UTC):%d %b %Y, %H:%M} UTC".removeprefix("0")


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _digest(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
