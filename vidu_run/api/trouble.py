"""What can go wrong with a query or a download, in the words of those who wait. Loads no HTTP library."""

from __future__ import annotations


class ApiTrouble(Exception):
    """A query got no answer worth reading: ask again later."""


class Unavailable(ApiTrouble):
    """No whole reply, or a 5xx."""


class BadQuestion(ApiTrouble):
    """A 4xx of no other kind here: the way to the API is fine, and it will not answer this."""


class Missing(BadQuestion):
    """The API does not know the task (404)."""


class KeyRefused(ApiTrouble):
    """401, 402 or 403 on a query."""


class Forbidden(KeyRefused):
    """403: it may be this one task that is withheld."""


class TooMany(ApiTrouble):
    """429 on a query; `retry_after` is the header's text."""

    def __init__(self, message: str, retry_after: str | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DownloadFailed(Exception):
    """The link gave no whole video. Ask the API for a fresh one and try again."""
