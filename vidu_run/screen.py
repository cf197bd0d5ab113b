"""Standard error, and on a terminal a few lines that stay under everything else that is written there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO

from rich.cells import cell_len
from rich.console import Console as Rich
from rich.console import ConsoleRenderable, RenderHook
from rich.control import Control
from rich.file_proxy import FileProxy
from rich.segment import ControlType
from rich.text import Text

Draw = Callable[[int], Sequence[Text]]
"""The lines of the block for a width in cells; none of them may be wider."""

NO = ("", "0", "false")


def is_live(file: IO[str], environment: Mapping[str, str]) -> bool:
    """Whether somebody watches who wants lines that change: a real terminal, and not the log of a CI service."""
    quiet = any(environment.get(name, "").lower() not in NO for name in ("CI", "GITHUB_ACTIONS"))
    return not quiet and environment.get("TERM") not in ("dumb", "unknown") and file.isatty()


class Screen(Rich):
    """Once nobody reads it any more it is silent, and the run goes on."""

    def __init__(self) -> None:
        super().__init__(stderr=True, highlight=False, soft_wrap=True)
        self._block: _Block | None = None

    def on_broken_pipe(self) -> None:
        self.quiet = True

    def show(self, text: Text, end: str = "\n") -> None:
        try:
            self.print(text, end=end)
        except OSError:
            self.quiet = True

    def pin(self, draw: Draw) -> None:
        """Keep these lines under all others until `unpin`; whatever else is written to standard error goes above."""
        self._block = _Block(draw, self._cells)
        self.push_render_hook(self._block)
        self._plain = sys.stderr
        sys.stderr = FileProxy(self, self._plain)
        self.refresh()

    def refresh(self) -> None:
        if self._block is not None and self._block.changed():
            self._write_nothing()

    def unpin(self) -> None:
        if self._block is None:
            return
        sys.stderr = self._plain
        self._block.draw = lambda width: ()
        self._write_nothing()
        self.pop_render_hook()
        self._block = None

    def _write_nothing(self) -> None:
        self.show(Text(), end="")

    def _cells(self) -> tuple[int, int]:
        """Columns and rows of the terminal as it is now."""
        with suppress(OSError, ValueError):
            size = os.get_terminal_size(self.file.fileno())
            if size.columns > 0 and size.lines > 0:
                return size
        return 80, 24


class _Block(RenderHook):
    """Erases the lines it drew, lets the new text through, and draws them again below: one write, no flicker.

    The cursor rests in the line under the block, so that a killed run leaves a clean prompt.
    """

    def __init__(self, draw: Draw, size: Callable[[], tuple[int, int]]) -> None:
        self.draw = draw
        self._size = size
        self._widths: list[int] = []
        self._last: tuple[int, list[Text]] = (0, [])

    def changed(self) -> bool:
        return self._last != self._lines()

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        width, lines = self._last = self._lines()
        erase = self._erase(width)
        self._widths = [cell_len(line.plain) for line in lines]
        return [erase, *renderables, *lines]

    def _lines(self) -> tuple[int, list[Text]]:
        width, height = self._size()
        # The last column stays free: some terminals go to the next line as soon as it is written.
        return width, list(self.draw(max(10, width - 1)))[: max(0, height - 2)]

    def _erase(self, width: int) -> Control:
        """A terminal that has become narrower has wrapped the lines that were too long for it."""
        rows = sum(max(1, -(-cells // width)) for cells in self._widths)
        up = [(ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)] * rows
        return Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2), *up)
