"""An answer that is no, in the API's own words."""

from __future__ import annotations


class Refused(Exception):
    """One of the API's error codes, the HTTP status it travels with, and how many seconds to wait, if waiting helps."""

    def __init__(self, code: str, message: str, status: int = 400, wait: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.wait = wait
