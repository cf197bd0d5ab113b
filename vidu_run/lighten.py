"""Frames made light enough to be sent: the job stays the same, its body fits. For specs that say `shrink: true`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from PIL import Image as Pillow

from vidu_run.files import write_durably
from vidu_run.frames import BadFrame
from vidu_run.job import Frame, Image, Job
from vidu_run.key import fragment
from vidu_run.shrink import shares, shrink
from vidu_run.spec.check import MARKER_ROOM, field_size, images_size

SLACK = 16
"""Bytes for a data URI's prefix that grows when a frame becomes another format."""


def lightened(job: Job, store: Path, body_bytes: int) -> Job:
    """The job with copies of its frames, of at most so many bytes that its body fits into `body_bytes`.

    The frames stand in the store under the names of their bytes, and so do the copies. Raises BadFrame.
    """
    frames = [image for image in job.images if isinstance(image, Frame)]
    room = body_bytes - _beside(job, frames)
    kept = iter(shares([frame.size for frame in frames], max(room, 0)))
    return replace(
        job,
        images=tuple(_light(image, store, next(kept)) if isinstance(image, Frame) else image for image in job.images),
    )


def _beside(job: Job, frames: Sequence[Frame]) -> int:
    """Bytes of the body that are no frame's base64."""
    fields = sum(field_size(fragment(name, value)) for name, value in job.request.items() if name != "images")
    packed = sum(frame.sent_size - len(frame.data_prefix) for frame in frames)
    return fields + MARKER_ROOM + images_size(job.images) - packed + SLACK * len(frames)


def _light(frame: Frame, store: Path, most: int) -> Image:
    if frame.size <= most:
        return frame
    try:
        content = shrink((store / frame.store_name).read_bytes(), most)
    except BadFrame as error:
        raise BadFrame(f"{frame.source} {error}") from None
    with Pillow.open(BytesIO(content)) as image:
        size, form = image.size, (image.format or "").lower()
    made = Frame(frame.source, hashlib.sha256(content).hexdigest(), len(content), form, *size, frame.turned)
    if not (store / made.store_name).exists():
        write_durably(store / made.store_name, content)
    return made
