"""Is a request one the API takes? Pure checks against the provider's schema and limits, each a sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from vidu_run.errors import Place, Problem, SpecTrouble
from vidu_run.job import Frame, Image, Request
from vidu_run.key import canonical
from vidu_run.providers.catalogue import validator
from vidu_run.providers.rules import Limits
from vidu_run.spec.links import unfit_field
from vidu_run.spec.read import Document, Path_, walk
from vidu_run.spec.words import describe, missing, one_line, shown, unknown_fields, unnameable

FREE = ("prompt", "seed", "images", "payload")
"""Fields that no other field's rules depend on: each is checked by itself, once for each value."""

MARKER_ROOM = 64
"""Bytes of a body beside the request as written: the marker and its separator."""

RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}
)
PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""Most names: nothing in them can be wrong but the whole."""

LONGEST_NAME = 120
LONGEST_PART = 200
"""Bytes of a file's or folder's name: systems take 255, and `.mp4`, a key or a hash may be added."""

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""No text for a model or a label has a use for these; line ends and tabs are none of them."""

MOST_ALIKE = 20
"""Messages about one place, and places with one message; more of them are only counted."""

Finding = tuple[Path_, str]
"""The way to a value inside a request, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class ImageRules:
    """The provider's limits for frames: pixels have no unit, shapes are width / height, sizes are in bytes."""

    aspect_min: float
    aspect_max: float
    closeness_min: float
    closeness_max: float
    body_bytes: int

    @staticmethod
    def of(limits: Limits) -> ImageRules:
        return ImageRules(
            limits.aspect_min, limits.aspect_max, limits.closeness_min, limits.closeness_max, limits.body_bytes
        )

    def apart(self, first: Frame, last: Frame) -> str | None:
        """By how much the shapes of two frames differ, where it is too much."""
        # In floats four fifths come out below 0.8.
        quotient = Fraction(first.width * last.height, first.height * last.width)
        if Fraction(str(self.closeness_min)) <= quotient <= Fraction(str(self.closeness_max)):
            return None
        allowed = f"{self.closeness_min} to {self.closeness_max}"
        return f"their shapes differ by {float(quotient):.2f}, allowed is {allowed}"


class RequestChecker:
    """Validates requests against one provider's schema; what repeats is validated once."""

    def __init__(self, schema: Mapping[str, Any], provider: str) -> None:
        self._schema = schema
        self._provider = provider
        self._whole = validator(schema)
        self._fields = {name: validator(sub) for name, sub in schema["properties"].items() if name in FREE}
        self._seen: dict[bytes, list[Finding]] = {}

    def findings(self, request: Request) -> list[Finding]:
        """What is wrong with the fields whose rules depend on one another; the free ones are left out."""
        rest = {name: value for name, value in request.items() if name not in FREE}
        return self._remembered(canonical(rest), lambda: self._rest(rest))

    def field_findings(self, name: str, value: Any) -> list[Finding]:
        """What is wrong with one field's value, whatever the others are."""
        found = list(_controls(name, value))
        if name in FREE:
            found = self._remembered(canonical([name, value]), lambda: self._field(name, value)) + found
        return found

    def extra_findings(self, name: str) -> list[Finding]:
        """What stands under `extra` is not checked, so nothing that has rules may stand there."""
        if name not in self._schema["properties"]:
            return []
        return [((f"extra.{name}",), f"{name} is a field that {self._provider} knows: it belongs under request")]

    def _remembered(self, key: bytes, find: Any) -> list[Finding]:
        if key not in self._seen:
            self._seen[key] = find()
        return self._seen[key]

    def _rest(self, rest: Request) -> list[Finding]:
        found: list[Finding] = []
        errors = list(self._whole.iter_errors({**rest, "images": ["first", "last"]}))
        mistyped = {tuple(error.absolute_path) for error in errors if error.validator == "type"}
        for error in errors:
            if error.validator == "type" or tuple(error.absolute_path) not in mistyped:
                found += self._words(error, rest.get("model"))
        if isinstance(text := rest.get("meta_data"), str) and not _is_json_object(text):
            found.append((("meta_data",), 'meta_data must be JSON written as text, such as {"Label": "…"}'))
        return found

    def _field(self, name: str, value: Any) -> list[Finding]:
        found: list[Finding] = []
        for error in self._fields[name].iter_errors(value):
            subject = name if not error.absolute_path else f"{name}[{error.absolute_path[0]}]"
            found.append(((name, *error.absolute_path), describe(error, subject)))
        return found

    def _words(self, error: Any, model: Any) -> Iterator[Finding]:
        way = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            for name, hint in unknown_fields(error):
                sentence = f"{self._provider} knows no field {name!r}{hint}"
                yield (name,), sentence if hint else f"{sentence}; what its rules do not know goes under extra:"
        elif error.validator == "required":
            yield (missing(error)[0],), describe(error, "request", model)
        else:
            yield way, describe(error, str(way[-1]) if way else "request", model)


def check_structure(document: Document, schema: Mapping[str, Any], whole: str = "the spec") -> None:
    """Raises SpecTrouble for a file that was not read well or has another shape; `whole` is what messages call it."""
    told = {problem.place for problem in document.problems}
    shape = (problem for problem in _structure(document, schema, whole) if problem.place not in told)
    if problems := [*document.problems, *shape]:
        raise SpecTrouble(fold(problems))


def _structure(document: Document, schema: Mapping[str, Any], whole: str) -> list[Problem]:
    problems = []
    for error in validator(schema).iter_errors(document.data):
        way = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            for name, hint in unknown_fields(error):
                place = document.place((*way, name), of_key=True)
                problems.append(Problem(place, f"{_where(way) if way else whole} has no {name!r}{hint}"))
        elif "propertyNames" not in error.absolute_schema_path:
            problems.append(Problem(document.place(way), describe(error, _where(way))))
    return problems + list(_names(document))


def _names(document: Document) -> Iterator[Problem]:
    """Vars, axes and fields of a chain that no template could name, or that would hide what a link has of its own."""
    for way, place in document.keys.items():
        why = None
        if way[:-1] == ("vars",) or (way[::2] == ("jobs", "matrix") and len(way) == 4):
            why = unnameable(str(way[-1]))
        elif len(way) == 7 and way[:6:2] == ("jobs", "matrix", "chain"):
            why = unfit_field(str(way[-1]))
        if why:
            yield Problem(place, why)


def image_findings(images: Sequence[Image], rules: ImageRules) -> list[Finding]:
    """The rules on the frames' shapes; a link's shape is the API's to judge."""
    found: list[Finding] = []
    frames = [(number, image) for number, image in enumerate(images) if isinstance(image, Frame)]
    for number, frame in frames:
        aspect = frame.width / frame.height
        if not rules.aspect_min < aspect < rules.aspect_max:
            found.append(
                (
                    ("images", number),
                    f"{frame.source} is {frame.width}x{frame.height}; a frame's shape must lie between 1:4 and 4:1",
                )
            )
    if len(frames) == 2 and not found:
        (_, first), (_, last) = frames
        if apart := rules.apart(first, last):
            found.append(
                (
                    ("images",),
                    f"{first.source} is {first.width}x{first.height} and {last.source} {last.width}x{last.height}: "
                    f"{apart}{_lying(first, last)}",
                )
            )
    return found


def _lying(first: Frame, last: Frame) -> str:
    """Two frames that look alike wherever EXIF is heeded: why they are not, where it may not be."""
    if first.turned == last.turned:
        return ""
    turned = first if first.turned else last
    return f"; {turned.source} is turned by its EXIF data, which the API may ignore: save it upright"


def field_size(text: str) -> int:
    """Bytes that a field takes in the body, its comma included; `text` is the field in JSON."""
    return len(text.encode()) + 1


def images_size(images: Sequence[Image]) -> int:
    """The same for the images, frames counted after base64."""
    sizes = (image.sent_size if isinstance(image, Frame) else len(image.source) for image in images)
    return len('"images":[],') + sum(size + len('"",') for size in sizes)


def size_findings(fields: int, rules: ImageRules) -> list[Finding]:
    """Whether a body whose fields take so many bytes is too large."""
    size = fields + MARKER_ROOM
    if size <= rules.body_bytes:
        return []
    return [
        (
            ("images",),
            f"the request would be {size / 1e6:.1f} MB after base64, more than the {rules.body_bytes / 1e6:g} MB the "
            "API takes: write `shrink: true` at the top of the spec, or give the frames as https URLs",
        )
    ]


def name_finding(name: str) -> str | None:
    """What makes a job's name unfit to be a file's on any of the systems people share a spec across."""
    if PLAIN_NAME.fullmatch(name) and name.lower() not in RESERVED | {"earlier"}:
        return None
    parts = name.split("/")
    if not name:
        return "the name is empty"
    if len(name) > LONGEST_NAME:
        return f"the name has {len(name)} characters, more than {LONGEST_NAME}"
    if any(not part or part.startswith(".") or part != part.strip() or part.endswith(".") for part in parts):
        return f"the name {shown(name)} has a part that is empty, begins or ends with a dot or a blank"
    if bad := next((char for char in name if char in '<>:"\\|?*' or not char.isprintable()), None):
        return f"the name {shown(name)} holds {bad!r}, which not every file system takes"
    if any(len(part.encode()) > LONGEST_PART for part in parts):
        return f"the name {shown(name)} has a part of more than {LONGEST_PART} bytes, too long for a file"
    if any(part.casefold().endswith((".mp4", ".part")) for part in parts[:-1]):
        return f"the name {shown(name)} has a folder that is called like a video"
    if parts[0].casefold() == "earlier" or any(part.split(".")[0].lower() in RESERVED for part in parts):
        return f"the name {shown(name)} is reserved"
    return None


def fold(problems: Iterable[Problem], most_places: int = MOST_ALIKE) -> list[Problem]:
    """One problem for each place and message, saying how many more jobs it was met in; in the order of the file.

    A place whose values are wrong each in its own way, as a range can be, is told `MOST_ALIKE` times; one mistake that
    stands in many places, as in a spec that a program wrote, is told of the first `most_places`.
    """
    places: dict[tuple[Place, bool], dict[str, list[Problem]]] = {}
    for problem in problems:
        same = places.setdefault((problem.place, problem.warning), {}).setdefault(problem.message, [])
        if problem.job is not None or not same:
            same.append(problem)
    folded: list[list[Problem]] = []
    for messages in places.values():
        folded += _bounded(list(messages.values()))
    spread: dict[tuple[str, bool], list[list[Problem]]] = {}
    for group in sorted(folded, key=lambda group: group[0].place):
        spread.setdefault((group[0].message, group[0].warning), []).append(group)
    told = [_told(group) for groups in spread.values() for group in _bounded(groups, most_places)]
    return sorted(told, key=lambda problem: problem.place)


def _bounded(groups: list[list[Problem]], most: int = MOST_ALIKE) -> list[list[Problem]]:
    """At most `most` groups, the others counted with the last one told."""
    kept = groups[:most]
    if len(groups) > most:
        kept[-1] = [problem for group in groups[most - 1 :] for problem in group]
    return kept


def _told(alike: Sequence[Problem]) -> Problem:
    """The first of them; without a job, what is counted stands behind the message."""
    first, more = alike[0], len(alike) - 1
    job = first.job and one_line(first.job)
    if not more:
        return replace(first, job=job)
    counted = f"(and {more:,} more like it)"
    return replace(first, job=f"{job} {counted}") if job else replace(first, message=f"{first.message} {counted}")


def _controls(name: str, value: Any) -> Iterator[Finding]:
    """Texts with control characters; a path with one is no file's anyway."""
    for way, text in walk({name: value} if name != "images" else {}):
        if isinstance(text, str) and (found := CONTROL.search(text)):
            yield way, f"{way[0]} holds the control character {found[0]!a}"


def _where(way: Path_) -> str:
    """A word for a place in the spec's structure."""
    if not way:
        return "the spec"
    last = way[-1]
    if isinstance(last, int):
        return "a job" if way[-2:-1] == ("jobs",) else f"{_where(way[:-1])}[{last}]"
    return one_line(last)


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
