"""What a provider is once its data file is read: where requests go, what it documents, and what it does when a field
is left out. What it *allows* stands in its request schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """A page the rules were read from; the date is the page's own, or the day it was read."""

    title: str
    url: str
    date: str


@dataclass(frozen=True, slots=True)
class Routes:
    """Paths behind the base URL, `{task_id}` standing for the task. None: the provider cannot.

    `query` has at least one path; the later ones are for a 404 or 405 from those before.
    """

    submit: str
    query: tuple[str, ...]
    list: str | None = None
    cancel: str | None = None
    credits: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the request schema cannot say. `sources` has a short citation for each of the other fields."""

    body_bytes: int
    """The whole POST body. The page says 20MB; this is its stricter reading, 20 * 10^6."""
    file_bytes: int
    """One frame; beyond the body limit only a link can reach it."""
    aspect_min: float
    """A frame's width / height has to be greater than this ..."""
    aspect_max: float
    """... and less than this."""
    closeness_min: float
    """The first frame's shape over the last frame's, smallest allowed ..."""
    closeness_max: float
    """... and greatest allowed."""
    formats: tuple[str, ...]
    """Picture formats, with jpg spelled jpeg."""
    upload_concurrency: int
    """POSTs with a body on the way at once."""
    sources: Mapping[str, str]
    link_lifetime_hours: int | None = None
    """How long a result link works; None where nobody says."""


@dataclass(frozen=True, slots=True)
class Model:
    """What the API does with a field that is left out, and which fields it takes without effect."""

    duration: int
    resolution: str
    audio: bool
    ignores: tuple[str, ...]
    off_peak_needs_audio: bool
    """Off-peak is documented only together with audio."""
    resolution_at: Mapping[int, str]
    """Lengths in seconds whose resolution by default is another one."""

    def default_resolution(self, seconds: int) -> str:
        return self.resolution_at.get(seconds, self.resolution)


@dataclass(frozen=True, slots=True)
class Provider:
    name: str
    documents: tuple[Document, ...]
    base_url: str
    auth_scheme: str | None
    """The word before the key in the Authorization header; None where no key is sent."""
    key_variables: tuple[str, ...]
    """Environment variables that may hold the key, the first that is set wins."""
    routes: Routes
    request_schema: str
    limits: Limits
    models: Mapping[str, Model]
    prices: str
    charge_told: bool
    """Replies name the credits a task has cost."""
    notes: tuple[str, ...]
    """Facts worth a line on the user's screen."""

    @property
    def rehearses(self) -> bool:
        """It is on this machine: it asks for no key and takes no money."""
        return not self.key_variables


@dataclass(frozen=True, slots=True)
class Effective:
    """What the API will make of a request, as far as its documents tell."""

    model: str
    resolution: str
    seconds: int
    audio: bool
