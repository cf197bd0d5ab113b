"""Does the API take this body? The checks a real endpoint makes, with the official error codes."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from vidu_run.files import sync, write_durably
from vidu_run.frames import BadFrame, measure
from vidu_run.job import Frame, Link
from vidu_run.local.refused import Refused
from vidu_run.local.stand_in import WIDE, picture_of
from vidu_run.local.tasks import TAKING
from vidu_run.providers.catalogue import validator
from vidu_run.providers.rules import Limits
from vidu_run.reply import BadReply, parse_json
from vidu_run.spec.check import ImageRules, image_findings
from vidu_run.spec.words import describe, unknown_fields

DATA_URI = re.compile(r"data:image/(png|jpeg|jpg|webp);base64,", re.IGNORECASE)
FULL_PAYLOAD = 1_048_576
"""Characters of `payload` on the wire; the schema keeps room in it for the client's marker."""


def body_checker(schema: Mapping[str, Any]) -> Any:
    properties = dict(schema["properties"])
    properties["payload"] = {**properties["payload"], "maxLength": FULL_PAYLOAD}
    return validator({**schema, "properties": properties})


def check_body(body: bytes, checker: Any) -> dict[str, Any]:
    """The request, or Refused with the code for its first fault; a field that is unknown comes first."""
    try:
        request = parse_json(body)
    except BadReply as error:
        raise Refused("BadRequest", str(error)) from None
    if not isinstance(request, dict):
        raise Refused("BadRequest", "the body must be a JSON object")
    faults = sorted(checker.iter_errors(request), key=lambda fault: bool(fault.validator != "additionalProperties"))
    if faults:
        raise _refusal(faults[0], request)
    if not _is_object(request.get("meta_data") or "{}"):
        raise Refused("FieldInvalid", "meta_data is not a JSON object written as text")
    return {name: _whole(value) for name, value in request.items()}


def check_cancel(body: bytes, task_id: str) -> None:
    """It may be empty, or an object; a task it names must be the one of the address."""
    try:
        asked = parse_json(body) if body else {}
    except BadReply as error:
        raise Refused("BadRequest", str(error)) from None
    if not isinstance(asked, dict) or asked.get("id", task_id) != task_id:
        raise Refused("FieldInvalid", "id is not the task of the address")


def take_images(sources: Sequence[str], inputs: Path, limits: Limits, fetched: Mapping[str, bytes]) -> tuple[str, ...]:
    """Keep both images under the names of their bytes, if they pass; returns the names.

    A link that is not among the `fetched` is not judged: a picture of its address stands in, in the shape of the other
    image.
    """
    rules = ImageRules(
        limits.aspect_min, limits.aspect_max, limits.closeness_min, limits.closeness_max, limits.body_bytes
    )
    with TemporaryDirectory(prefix=TAKING, dir=inputs) as aside:
        paths = [Path(aside) / str(number) for number in range(len(sources))]
        images = [_taken(*pair, limits, fetched) for pair in zip(sources, paths, strict=True)]
        for _, message in image_findings(images, rules):
            raise Refused("PageSizeOutOfRange", message)
        names = tuple(_kept(images, paths, limits, inputs))
    sync(inputs)
    return names


def mark_source(request: Mapping[str, Any]) -> list[str]:
    """The link of the watermark's picture, where one is wanted."""
    given = request.get("wm_url")
    return [given] if request.get("watermark") is True and given else []


def take_mark(request: Mapping[str, Any], inputs: Path, limits: Limits, fetched: Mapping[str, bytes]) -> str:
    """Keep the watermark's picture under the name of its bytes, if it is one; returns the name, "" for none."""
    for source in mark_source(request):
        with TemporaryDirectory(prefix=TAKING, dir=inputs) as aside:
            path = Path(aside) / "mark"
            frame = _written(fetched.get(source) or picture_of(source, WIDE), path, limits, "wm_url")
            path.replace(inputs / frame.store_name)
        sync(inputs)
        return frame.store_name
    return ""


def _taken(source: str, path: Path, limits: Limits, fetched: Mapping[str, bytes]) -> Frame | Link:
    if is_link(source):
        return _written(fetched[source], path, limits) if source in fetched else Link(source)
    return _written(_decoded(source, path.name), path, limits)


def _kept(images: Sequence[Frame | Link], paths: Sequence[Path], limits: Limits, inputs: Path) -> Iterator[str]:
    shape = next(((image.width, image.height) for image in images if isinstance(image, Frame)), WIDE)
    for image, path in zip(images, paths, strict=True):
        frame = _written(picture_of(image.source, shape), path, limits) if isinstance(image, Link) else image
        path.replace(inputs / frame.store_name)
        yield frame.store_name


def _written(content: bytes, path: Path, limits: Limits, called: str | None = None) -> Frame:
    called = called or f"images[{path.name}]"
    write_durably(path, content)
    try:
        return measure(path, called, limits.file_bytes)
    except BadFrame as error:
        raise Refused("ImageFormatInvalid", f"{called} {error}") from None


def is_link(source: str) -> bool:
    try:
        parts = urlsplit(source)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _decoded(source: str, number: str) -> bytes:
    head = DATA_URI.match(source)
    if head is None and not source.lower().startswith("data:"):
        raise Refused("FieldInvalid", f"images[{number}] is neither a link nor a data URI")
    if head is None:
        raise Refused("ImageFormatInvalid", f"images[{number}] is not a base64 data URI of a PNG, JPEG or WebP image")
    try:
        return base64.b64decode(source[head.end() :], validate=True)
    except ValueError:
        raise Refused("ImageFormatInvalid", f"images[{number}] is not valid base64") from None


def _refusal(error: Any, request: Mapping[str, Any]) -> Refused:
    subject = "".join(f"[{step}]" if isinstance(step, int) else step for step in error.absolute_path) or "request"
    if error.validator == "additionalProperties":
        return Refused("FieldUnwanted", f"unknown field {unknown_fields(error)[0][0]}")
    if error.validator == "required":
        return Refused("FieldLacking", describe(error, subject))
    if error.validator in ("minItems", "maxItems"):
        return Refused("FieldItemCountOutOfRange", describe(error, subject))
    model = request.get("model")
    return Refused("FieldInvalid", describe(error, subject, model if isinstance(model, str) else None))


def _is_object(text: str) -> bool:
    try:
        return isinstance(parse_json(text.encode()), dict)
    except (BadReply, UnicodeEncodeError):
        return False


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 5.0 is the 5 that a schema takes it for."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
