"""What can go wrong in a way the user can act on. Facts live in the exception; each carries the exit code it ends with.

Trouble
├── UsageTrouble     2   the command line, a key, an origin: nothing was sent
├── SpecTrouble      2   the spec: every problem with its place, nothing was sent
├── NeedsWord        4   nothing was sent, the user decides
├── AccountTrouble   5   the account or a budget stops the submissions
├── HeldElsewhere    6   another run holds the state
└── StorageTrouble   7   the local disk or the state file
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """The exit codes scripts rely on. A signal ends with 128 + its number."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    NEEDS_WORD = 4
    ACCOUNT = 5
    HELD_ELSEWHERE = 6
    STORAGE = 7
    BUG = 70


SIGNALLED = 128
"""A run that a signal ends has this exit code and the signal's number."""


class Trouble(Exception):
    """One or two lines for the user: where, what, what to do."""

    code: Exit = Exit.BUG


class UsageTrouble(Trouble):
    code = Exit.USAGE


class NeedsWord(Trouble):
    code = Exit.NEEDS_WORD


class AccountTrouble(Trouble):
    code = Exit.ACCOUNT


class HeldElsewhere(Trouble):
    code = Exit.HELD_ELSEWHERE


class StorageTrouble(Trouble):
    """Never an OSError: the HTTP library would take that for a broken connection, which reads as "not sent"."""

    code = Exit.STORAGE


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file of the user's, lines and columns counted from 1; 0 means the whole file."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or only unwise (`warning`), with its place and the job it was met in."""

    place: Place
    message: str
    job: str | None = None
    warning: bool = False

    def __str__(self) -> str:
        kind = "warning: " if self.warning else ""
        return f"{self.place}: {kind}{self.message}" + (f"; job {self.job}" if self.job else "")


class SpecTrouble(Trouble):
    code = Exit.USAGE

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


def exit_order(codes: Sequence[int]) -> int:
    """Of several reasons to end the one that counts: 70 > 6 > 7 > signal > 5 > 4 > 3 > 2 > 1 > 0."""
    ranks = [Exit.BUG, Exit.HELD_ELSEWHERE, Exit.STORAGE, None, *(Exit(n) for n in (5, 4, 3, 2, 1, 0))]
    return min(codes, key=lambda code: ranks.index(Exit(code) if code <= Exit.BUG else None), default=Exit.DONE)
