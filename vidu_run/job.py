"""The words of the trade: an image, a request, a job. Values only; nothing here reads a file or the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any, NewType

from vidu_run.errors import Place

Key = NewType("Key", str)
"""The identity of a job: 64 hexadecimal digits, see `vidu_run.key`."""


def key_in(text: str) -> Key:
    """The key with this text, the same one wherever it comes from: of 100,000 jobs each copy of them takes 11 MB."""
    return Key(intern(text))


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


@dataclass(frozen=True, slots=True)
class Continued:
    """A frame of a clip that another job of the spec makes: where that one really ended, or began.

    `of` is as the spec wrote it, a job's name; with `picked` the names among which the user's pick chooses. `position`
    is `first`, `last` or seconds from the clip's beginning. What is known of the other job: its name (None while
    nothing is picked), its key, and the task that makes its clip (None while there is none).
    """

    of: str
    position: str | int | float
    picked: bool = False
    job: str | None = None
    key: Key | None = None
    task: str | None = None

    @property
    def source(self) -> str:
        """What it is called where a frame's path or link would stand."""
        which = f"{self.position} frame" if isinstance(self.position, str) else f"frame at {self.position:g} s"
        return f"{which} of {self.job or f'your pick of {self.of}' if self.picked else self.of}"


Image = Frame | Link | Continued


@dataclass(frozen=True, slots=True)
class Job:
    """A request, its name, and where its video goes.

    `axes` maps each axis to the label of this job's value, in the order written. `credits` is the estimate from the
    price list; None where no price is known. `draft` is the key of the job it was promoted from; it decides nothing.
    A job that continues a clip has its own key once the task of that clip is known; until then one that nothing is
    bought under.
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
    def continued(self) -> tuple[Continued, ...]:
        return tuple(image for image in self.images if isinstance(image, Continued))
