"""What a person sees in the terminal: progress on standard error, answers on standard output. All text is cleaned."""

from __future__ import annotations

import os
import signal
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.cells import cell_len
from rich.text import Text

from vidu_run.errors import SIGNALLED, Place, Problem
from vidu_run.meter import COLOURS, block, summary
from vidu_run.screen import Screen, is_live
from vidu_run.sieve import ENOUGH, Pulse, Sieve
from vidu_run.tally import Tally

Spent = tuple[int | None, int | None]
Reasons = Sequence[tuple[int, str]]
Clock = Callable[[], float]


def clean(text: str) -> str:
    """Without what could move a cursor, ring, or turn the reading direction: control and format characters."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))


class Console:
    def __init__(self) -> None:
        self._screen = Screen()
        self._rehearses = False

    @property
    def interactive(self) -> bool:
        return sys.stdin.isatty() and self._screen.is_terminal

    def say(self, text: str, style: str = "") -> None:
        self._screen.show(Text(clean(text), style=style))

    def found(self, text: str) -> None:
        """What the search for earlier purchases has to say."""
        self.say(text, "magenta")

    def greet(self, text: str, rehearses: bool) -> None:
        """Whom a run talks to; of a rehearsal no credits are told as if they were spent."""
        self._rehearses = rehearses
        self.say(text, "bright_black")

    def answer(self, text: str) -> None:
        """What the user asked for, on standard output; letters that its encoding does not have are escaped."""
        encoding = sys.stdout.encoding or "utf-8"
        self._write(clean(text).encode(encoding, "backslashreplace"))

    def raw(self, text: str) -> None:
        """JSON and other exact text on standard output, in UTF-8 wherever it goes."""
        self._write(text.encode("utf-8", "backslashreplace"))

    def _write(self, line: bytes) -> None:
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.flush()

    def ask(self) -> bool:
        """Whether the person at the terminal says yes; anything else is no."""
        self._screen.show(Text("Spend this? [y/N] "), end="")
        # The loop's own handler would wait for the line to end before it minds a Ctrl-C.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return sys.stdin.readline().strip().lower() in ("y", "yes")
        finally:
            signal.signal(signal.SIGINT, before)

    def problems(self, problems: Iterable[Problem]) -> None:
        """One line each; on a terminal with the line of the file it stands in, and a mark under it."""
        sources = _Sources()
        for problem in problems:
            style = "yellow" if problem.warning else ""
            self._screen.show(Text(clean(str(problem)), style=style))
            if self._screen.is_terminal and (excerpt := sources.excerpt(problem.place, self._screen.width)):
                self._screen.show(Text(excerpt, style="bright_black"))

    def progress(
        self, tally: Tally, jobs: int, spent: Callable[[], Spent], reasons: Callable[[], Reasons], clock: Clock
    ) -> Progress:
        """`jobs`: so many are to be acted on; see `Progress`."""
        tally.rehearses |= self._rehearses
        return Progress(self._screen, tally, jobs, spent, reasons, clock)


class _Sources:
    """Lines of the files that problems point into."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def excerpt(self, place: Place, width: int) -> str:
        """The line a place stands in and a caret under its column, cut to `width`; "" where it cannot be read."""
        if not place.line:
            return ""
        if place.file not in self._lines:
            try:
                self._lines[place.file] = Path(place.file).read_text(encoding="utf-8-sig").splitlines()
            except (OSError, ValueError):
                self._lines[place.file] = []
        lines, room = self._lines[place.file], max(20, width - 8)
        if place.line > len(lines):
            return ""
        # What `clean` would take out must not move the caret.
        line = "".join(char if clean(char) else " " for char in lines[place.line - 1])
        start = max(0, min(place.column - 1 - room // 2, len(line) - room))
        line = ("…" + line[start + 1 :] if start else line)[:room]
        gap = cell_len(line[: place.column - 1 - start])
        return f"{place.line:>5} | {line}\n{'':>5} | {'':>{gap}}^"


class Progress:
    """What a run says as it goes: lines for its events, and the counts, in a block under them or now and then a line.

    `jobs` are to be acted on; `spent` reads credits committed and charged; `reasons` are those for which the run sends
    nothing more; `clock` is that of the tally.
    """

    def __init__(
        self,
        screen: Screen,
        tally: Tally,
        jobs: int,
        spent: Callable[[], Spent],
        reasons: Callable[[], Reasons],
        clock: Clock,
    ) -> None:
        self._screen = screen
        self._spent = spent
        self._reasons = reasons
        self._clock = clock
        self.live = is_live(screen.file, os.environ)
        self._stale = True
        self._stopped = 0
        self._tally = tally
        self._sieve = Sieve(jobs, self.live)
        found = tally.reckon(now := clock())
        self._pulse = Pulse(now, found.finished, found.total)

    def follow(self, tally: Tally, jobs: int) -> None:
        """Go on with a new reckoning."""
        self._tally = tally
        self._sieve.jobs = jobs
        self._stale = True

    def __enter__(self) -> Progress:
        if self.live:
            self._screen.pin(self._block)
        return self

    def _block(self, width: int) -> list[Text]:
        found = self._tally.reckon(self._clock())
        error = found.error and (_flat(found.error[0]), _flat(found.error[1]))
        return block(replace(found, error=error), width)

    def __exit__(self, *_: object) -> None:
        self._screen.unpin()

    def tell(self, name: str, state: str, text: str) -> None:
        """Something has happened to a job just now; without a name, to the run."""
        self._stale = True
        self._tally.hear(self._clock(), name, state, text)
        self.show(time.time(), name, state, text)

    def show(self, at: float, name: str, state: str, text: str) -> None:
        """The line of an event, if it is worth one; `at` is a Unix second."""
        text = _flat(text)
        if self._sieve.passes(state, text):
            self._line(at, state, f"{_flat(name)}  {text}".strip())
        elif self._sieve.enough():
            self._line(at, "note", ENOUGH)

    def tick(self) -> None:
        """About once a second: what changes with time alone, and what the journal knows better."""
        reasons = self._reasons()
        self._tally.stopping = bool(reasons)
        for code, why in reasons[self._stopped :]:
            # A signal was told when it came.
            if code < SIGNALLED:
                self._line(time.time(), "stopping", f"{_flat(why)}; nothing new is sent")
        self._stopped = len(reasons)
        if self.live:
            self._read()
            self._screen.refresh()
            return
        found = self._tally.reckon(now := self._clock())
        if self._pulse.due(now, found.finished, found.total):
            self._read()
            self._line(time.time(), "counts", summary(self._tally.reckon(now)))

    def _read(self) -> None:
        """What is spent, which takes a look at every attempt, only when it is shown."""
        if self._stale:
            self._stale = False
            self._tally.committed, self._tally.charged = self._spent()

    def _line(self, at: float, state: str, text: str) -> None:
        line = Text(time.strftime("%H:%M:%S ", time.localtime(at)), style="bright_black")
        line.append(f"{state.replace('_', ' '):<10}", style=COLOURS.get(state, ""))
        self._screen.show(line.append(f" {text}"))


def _flat(text: str) -> str:
    """One line of it, cleaned."""
    return " ".join(clean(text).split())
