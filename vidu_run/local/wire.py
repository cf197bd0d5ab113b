"""Bodies and refusals over HTTP: reads what comes within bounds, and answers every fault in the API's envelope."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from vidu_run.errors import StorageTrouble
from vidu_run.local import shapes
from vidu_run.local.refused import Refused

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def read_body(request: web.Request, most: int, seconds: float) -> bytes:
    """The body, refused as soon as it is, or says it will be, too large; unzipped if it came zipped."""
    content = bytearray()
    length = request.content_length or 0
    try:
        async with asyncio.timeout(seconds):
            while length <= most and (chunk := await request.content.readany()):
                content += chunk
                length = max(length, len(content))
    except TimeoutError:
        raise Refused("BadRequest", "the body did not arrive in time", 408) from None
    except (ConnectionError, web.RequestPayloadError):
        raise Refused("BadRequest", "the body did not arrive whole") from None
    if length > most:
        raise Refused("BadRequest", f"the body has more than the {most:,} bytes the API takes", 413)
    return bytes(content)


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refusal:
        answer = _problem(refusal.status, refusal.code, str(refusal))
        if refusal.wait is not None:
            answer.headers["Retry-After"] = str(math.ceil(refusal.wait))
        return answer
    except (StorageTrouble, OSError) as error:
        return _problem(500, shapes.FAULT, str(error))
    except web.HTTPException as error:
        answer = _problem(error.status, "NotFound" if error.status == 404 else "BadRequest", error.reason)
        answer.headers.update({name: value for name, value in error.headers.items() if name == "Allow"})
        return answer


def _problem(status: int, code: str, message: str) -> web.Response:
    return web.json_response(shapes.envelope(status, code, message, secrets.token_hex(16)), status=status)


def _is_ours(record: logging.LogRecord) -> bool:
    """What a client does to its own connection is no news; what goes wrong in a handler is."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | web.RequestPayloadError | ConnectionError)


LOG = logging.getLogger(__name__)
LOG.addFilter(_is_ours)
