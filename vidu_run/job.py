"""The words of the trade: an image, a request, a job. Values only; nothing here reads a file or the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NewType

from vidu_run.errors import Place

Key = NewType("Key", str)
"""The identity of a job: 64 hexadecimal digits, see `vidu_run.key`."""

Request = Mapping[str, Any]
"""The JSON body the API gets, rendered and checked; `images` holds what the spec wrote (paths or URLs)."""

PACKED_ENDINGS = {"png": "png", "jpeg": "jpg", "webp": "webp"}
"""Image format by its bytes -> the ending of its file in the frame store."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A local image, known by its bytes.

    `source` is the path as the spec wrote it, relative to the spec's folder; `size` is in bytes, `width` and
    `height` in pixels as stored (`turned` when EXIF asks a viewer to rotate them); `format` is what the bytes are.
    """

    source: str
    sha256: str
    size: int
    format: str
    width: int
    height: int
    turned: bool = False

    @property
    def store_name(self) -> str:
        return f"{self.sha256}.{PACKED_ENDINGS[self.format]}"

    @property
    def data_prefix(self) -> str:
        return f"data:image/{self.format};base64,"

    @property
    def sent_size(self) -> int:
        """Bytes this frame takes in the request's body: data URI prefix and base64."""
        return len(self.data_prefix) + 4 * ((self.size + 2) // 3)


@dataclass(frozen=True, slots=True)
class Link:
    """An image the API fetches by itself."""

    source: str


Image = Frame | Link


@dataclass(frozen=True, slots=True)
class Job:
    """A request, its name, and where its video goes.

    `axes` maps each axis to the label of this job's value, in the order written. `credits` is the estimate from the
    price list; None where no price is known. `draft` is the key of the job it was promoted from; it decides nothing.
    """

    name: str
    key: Key
    request: Request
    images: tuple[Image, ...]
    axes: Mapping[str, Any]
    place: Place
    credits: int | None = None
    draft: Key | None = None

    @property
    def off_peak(self) -> bool:
        return self.request.get("off_peak") is True

    @property
    def file(self) -> str:
        """Where the video goes, relative to the output folder."""
        return f"videos/{self.name}.mp4"
