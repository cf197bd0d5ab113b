"""The images of a request: local frames measured, links read for what would spoil them, each looked at once; and
frames of clips that other jobs make.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from vidu_run.frames import BadFrame, inside, measure
from vidu_run.job import Continued, Image, Link
from vidu_run.spec.check import Finding
from vidu_run.spec.words import shown

SIGNING = ("sig", "sign", "expires", "token", "key-pair-id", "policy")
"""Names of query parameters that come and go with a signed link, beside all that hold `signature` or `credential`."""

ENDS = ("first", "last")
CONTINUED = "{job: NAME, frame: last}, or {pick: NAME, frame: last}; the frame is first, last or a number of seconds"

MOST_HINTS = 20
MOST_NEIGHBOURS = 1_000
"""Likely names are looked for so many times, among so many files: each look reads a folder."""


@dataclass(slots=True)
class Pictures:
    """What is known of the images of one spec; a file may have `most_bytes`."""

    folder: Path
    most_bytes: int
    _known: dict[str, Image | str] = field(default_factory=dict)
    _hints: int = MOST_HINTS

    def of(self, sources: Any) -> tuple[tuple[Image, ...], list[Finding]]:
        """The images that `images` names, and what is wrong with the others."""
        images: list[Image] = []
        findings: list[Finding] = []
        for number, source in enumerate(sources if isinstance(sources, list) else []):
            if not source or not isinstance(source, str | dict):
                continue
            found = self._image(source) if isinstance(source, str) else _continued(source)
            if isinstance(found, str):
                findings.append((("images", number), found))
            else:
                images.append(found)
        return tuple(images), findings

    def _image(self, source: str) -> Image | str:
        """The image, or a sentence about it."""
        if source not in self._known:
            self._known[source] = self._look_at(source)
        return self._known[source]

    def _look_at(self, source: str) -> Image | str:
        if "://" in source:
            return _link(source)
        if source.startswith("data:"):
            return f"{shown(source)} is image data: put the image into a file beside the spec"
        try:
            return measure(inside(self.folder, source), source, self.most_bytes)
        except BadFrame as error:
            return f"{shown(source)} {error}{self._near(source)}"

    def _near(self, source: str) -> str:
        """Costs a look into the folder, so only the first missing files get it."""
        if self._hints <= 0:
            return ""
        self._hints -= 1
        try:
            wanted = inside(self.folder, source)
            if wanted.exists():
                return ""
            beside = inside(self.folder, str(Path(source).parent))
            names = [file.name for file in islice(beside.iterdir(), MOST_NEIGHBOURS)]
        except (OSError, BadFrame):
            return ""
        near = get_close_matches(wanted.name, names, n=1)
        return f"; did you mean {shown((Path(source).parent / near[0]).as_posix())}?" if near else ""


def as_checked(sources: Any) -> Any:
    """`images` with a text for each frame of a clip, of which the API's schema knows nothing."""
    if not isinstance(sources, list):
        return sources
    return ["continued" if isinstance(source, dict) else source for source in sources]


def _continued(source: Mapping[str, Any]) -> Continued | str:
    """Of which job, and which of its frames; or a sentence about it."""
    of, position = source.get("pick", source.get("job")), source.get("frame")
    if source.keys() not in ({"job", "frame"}, {"pick", "frame"}) or not isinstance(of, str) or not of:
        return f"{shown(source)} is no frame of a clip: {CONTINUED}"
    timed = isinstance(position, int | float) and not isinstance(position, bool) and position >= 0
    if position is None or not (timed or position in ENDS):
        return f"{shown(position)} is no frame of a clip: it is first, last or a number of seconds"
    return Continued(of, position, picked="pick" in source)


def _link(source: str) -> Link | str:
    try:
        parts = urlsplit(source)
        host = parts.hostname
    except ValueError:
        return f"{shown(source)} is not a URL"
    if "@" in parts.netloc:
        return "an image URL with a user name or password in it: the spec is no place for a secret"
    if parts.scheme != "https" or not host:
        return f"{shown(source)} is not an https URL"
    if any(_signs(name.lower()) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        bare = shown(parts._replace(query="", fragment="").geturl())
        return f"{bare} with a query that looks signed: it will expire, and each signature would be another job"
    if not source.isascii() or not source.isprintable() or any(char in source for char in ' "\\<>'):
        return f"{shown(source)} holds characters that must be percent-encoded in a URL"
    return Link(source)


def _signs(name: str) -> bool:
    return name in SIGNING or "signature" in name or "credential" in name
