"""Does the API take this body? The checks a real endpoint makes, with the official error codes."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidu_run.files import write_durably
from vidu_run.frames import BadFrame, measure
from vidu_run.job import Frame
from vidu_run.local.stand_in import picture_of
from vidu_run.providers.rules import Limits
from vidu_run.reply import BadReply, parse_json
from vidu_run.spec.check import ImageRules, image_findings, validator
from vidu_run.spec.words import describe, unknown_fields

DATA_URI = re.compile(r"data:image/(?P<kind>png|jpeg|jpg|webp);base64,")
FULL_PAYLOAD = 1_048_576
"""Characters of `payload` on the wire; the schema keeps room in it for the client's marker."""


class Refused(Exception):
    """A 400 with one of the API's error codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def body_checker(schema: Mapping[str, Any]) -> Any:
    properties = dict(schema["properties"])
    properties["payload"] = {**properties["payload"], "maxLength": FULL_PAYLOAD}
    return validator({**schema, "properties": properties})


def check_body(body: bytes, checker: Any) -> dict[str, Any]:
    """The request, or Refused with the code for its first fault."""
    try:
        request = parse_json(body)
    except BadReply as error:
        raise Refused("BadRequest", str(error)) from None
    if not isinstance(request, dict):
        raise Refused("BadRequest", "the body must be a JSON object")
    faults = sorted(checker.iter_errors(request), key=lambda fault: bool(fault.validator != "additionalProperties"))
    if faults:
        raise _refusal(faults[0], request)
    return request


def take_images(sources: Sequence[str], inputs: Path, limits: Limits) -> tuple[Frame, ...]:
    """Store both images and apply the rules on them. A link is not fetched: a picture with its address stands in."""
    frames = tuple(_take(source, number, inputs, limits) for number, source in enumerate(sources))
    rules = ImageRules(
        limits.aspect_min, limits.aspect_max, limits.closeness_min, limits.closeness_max, limits.body_bytes
    )
    for _, message in image_findings(frames, rules):
        raise Refused("PageSizeOutOfRange", message)
    return frames


def _take(source: str, number: int, inputs: Path, limits: Limits) -> Frame:
    where = f"images[{number}]"
    content = picture_of(source) if source.startswith("https://") else _decoded(source, where)
    path = inputs / f".{secrets.token_hex(8)}"
    write_durably(path, content)
    try:
        frame = measure(path, where, limits.file_bytes)
        path.replace(inputs / frame.store_name)
    except BadFrame as error:
        path.unlink()
        raise Refused("ImageFormatInvalid", f"{where} {error}") from None
    return frame


def _decoded(source: str, where: str) -> bytes:
    head = DATA_URI.match(source)
    if head is None:
        raise Refused("FieldInvalid", f"{where} is neither an https URL nor a data URI of a PNG, JPEG or WebP image")
    try:
        return base64.b64decode(source[head.end() :], validate=True)
    except binascii.Error:
        raise Refused("ImageFormatInvalid", f"{where} is not valid base64") from None


def _refusal(error: Any, request: Mapping[str, Any]) -> Refused:
    subject = ".".join(str(step) for step in error.absolute_path) or "request"
    if error.validator == "additionalProperties":
        return Refused("FieldUnwanted", f"unknown field {unknown_fields(error)[0][0]}")
    if error.validator == "required":
        return Refused("FieldLacking", describe(error, subject))
    if error.validator in ("minItems", "maxItems"):
        return Refused("FieldItemCountOutOfRange", describe(error, subject))
    model = request.get("model")
    return Refused("FieldInvalid", describe(error, subject, model if isinstance(model, str) else None))
