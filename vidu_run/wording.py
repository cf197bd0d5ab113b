"""Pieces of the sentences that people read. Pure."""

from __future__ import annotations

from unicodedata import combining, east_asian_width


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its word, such as `1 job` or `2,000 jobs`; `many` where it is not the same with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def columns(text: str) -> int:
    """How many a terminal gives it: two to a wide letter (Chinese, Japanese, Korean), none to a mark above a letter."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def padded(text: str, width: int) -> str:
    """With blanks behind it up to so many columns."""
    return text + " " * (width - columns(text))


def cut(text: str, most: int) -> str:
    """At most so many characters of it, the last of them an ellipsis where some are left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def ends(text: str, most: int) -> str:
    """Its beginning and its end, where it is longer: prompts of one sweep often differ in their last words alone."""
    tail = most // 2
    return text if len(text) <= most else f"{text[: most - 1 - tail]}…{text[-tail:]}"
