"""What a person sees in the terminal: progress on standard error, answers on standard output. All text is cleaned."""

from __future__ import annotations

import signal
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console as Rich
from rich.live import Live
from rich.text import Text

from vidu_run.errors import Place, Problem

COLOURS = {
    "done": "green",
    "ready": "cyan",
    "submitted": "blue",
    "planned": "bright_black",
    "in_doubt": "magenta",
    "failed": "red",
    "rejected": "red",
    "abandoned": "bright_black",
    "stopping": "yellow",
}


def clean(text: str) -> str:
    """Without what could move a cursor, ring, or turn the reading direction: control and format characters."""
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))


class _Screen(Rich):
    """Standard error; once nobody reads it any more it is silent, and the run goes on."""

    def on_broken_pipe(self) -> None:
        self.quiet = True

    def show(self, text: Text, end: str = "\n") -> None:
        try:
            self.print(text, end=end)
        except OSError:
            self.quiet = True


class Console:
    def __init__(self) -> None:
        self._screen = _Screen(stderr=True, highlight=False, soft_wrap=True)

    @property
    def interactive(self) -> bool:
        return sys.stdin.isatty() and self._screen.is_terminal

    def say(self, text: str, style: str = "") -> None:
        self._screen.show(Text(clean(text), style=style))

    def answer(self, text: str) -> None:
        """What the user asked for, on standard output."""
        sys.stdout.write(clean(text) + "\n")
        sys.stdout.flush()

    def raw(self, text: str) -> None:
        """JSON and other exact text on standard output."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def ask(self, question: str) -> bool:
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

    def progress(self, states: Mapping[str, str]) -> Progress:
        return Progress(self._screen, states)


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
    """Counts per state while a run goes on; a live line on a terminal, plain lines elsewhere."""

    def __init__(self, screen: _Screen, states: Mapping[str, str]) -> None:
        self._screen = screen
        self._states = dict(states)
        self._begun = time.monotonic()
        self._live = Live(get_renderable=self._render, console=screen, refresh_per_second=4, transient=True)

    def __enter__(self) -> Progress:
        if self._screen.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._screen.is_terminal:
            self._live.stop()

    def tell(self, name: str, state: str, text: str) -> None:
        if name:
            self._states[name] = state
        line = Text(time.strftime("%H:%M:%S "), style="bright_black")
        line.append(f"{state:<10}", style=COLOURS.get(state, ""))
        line.append(clean(f" {name}  {text}".rstrip()))
        self._screen.show(line)

    def _render(self) -> Text:
        line = Text()
        for state, count in sorted(Counter(self._states.values()).items()):
            line.append(f"{count} ", style="bold")
            line.append(f"{state}   ", style=COLOURS.get(state, ""))
        minutes, seconds = divmod(int(time.monotonic() - self._begun), 60)
        return line.append(f"{minutes}:{seconds:02}", style="bright_black")
