"""The page a run ends with: one HTML file carrying its own style, script and data.

It shows what it is given; it never looks at the journal or the videos, and the page loads nothing from the network.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vidu_run.files import write_durably

HERE = Path(__file__).parent
STATES = ("done", "ready", "submitted", "planned", "in_doubt", "failed", "rejected", "abandoned")
HIDDEN = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"


def write_page(document: Mapping[str, Any], target: Path) -> None:
    """Write the page to `target`, whole or not at all; links in it are relative to the folder of `target`.

    Raises StorageTrouble where the file cannot be written.
    """
    write_durably(target, render_page(document).encode("utf-8", "replace"))


def render_page(document: Mapping[str, Any]) -> str:
    style = (HERE / "page.css").read_text("utf-8")
    script = (HERE / "page.js").read_text("utf-8")
    return (
        _environment()
        .get_template("page.html")
        .render(
            document=document,
            policy=Markup(content_policy(style, script)),
            style=Markup(style),
            script=Markup(script),
            data=Markup(script_json(page_data(document))),
            tally=tally(document["counts"]),
            when=spoken_time(document["generated_at"]),
        )
    )


def content_policy(style: str, script: str) -> str:
    """The CSP under which only this style and this script count, and only files beside the page load."""
    return (
        "default-src 'none'; img-src 'self' data:; media-src 'self'; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def script_json(value: Any) -> str:
    """JSON that can stand inside a script element: nothing in it can end the element or turn the source around."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub(f"[<>&{HIDDEN}]", _escaped, text)


def shown_json(value: Any) -> str:
    """Indented JSON for reading; characters that steer text direction stand as escapes."""
    return re.sub(f"[{HIDDEN}]", _escaped, json.dumps(value, ensure_ascii=False, indent=2))


def href(path: str) -> str:
    """A relative path as a link; it starts with ./ so that no name is taken for a scheme or a host."""
    return "./" + quote(path.encode("utf-8", "surrogateescape"))


def page_data(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the script reads: the jobs with their links encoded and their numbers safe from rounding."""
    return {"axes": document["axes"], "jobs": [_job(job) for job in document["jobs"]]}


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
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _job(job: Mapping[str, Any]) -> dict[str, Any]:
    seed, file, poster = job.get("seed"), job.get("file"), job.get("poster")
    return {
        **{name: job.get(name) for name in job if not name.startswith("thumb_")},
        "seed": None if seed is None else str(seed),
        "request": shown_json(job.get("request")),
        "file": file and {"name": file, "href": href(file)},
        "poster": poster and href(poster),
        "first": _still(job.get("first"), job.get("thumb_first")),
        "last": _still(job.get("last"), job.get("thumb_last")),
    }


def _still(source: str | None, thumbnail: str | None) -> dict[str, Any] | None:
    if source is None:
        return None
    remote = source.lower().startswith("https://")
    local = None if remote else href(source)
    return {"name": source, "href": local or source, "image": href(thumbnail) if thumbnail else local}


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _digest(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
