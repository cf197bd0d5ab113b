"""Where things stand on a contact sheet, in pixels. Arithmetic alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_WIDTH = 2560
CELL = 480
"""Width of a clip; less where five or six stand side by side and the sheet would get too wide."""

SIDE = 240
"""Width of the frames at the left."""

MARGIN = 40
GAP = 16
SIDE_GAP = 32
LABEL = 52
"""Below each picture, for its label."""

FOOT = 84
TALLEST = 16 / 9
"""Height of a picture over its width; taller ones are made narrower."""

MOST_COLUMNS = 6
MOST_LINES = 16
MOST_CLIPS = MOST_COLUMNS * MOST_LINES
"""On one sheet: with upright clips it is 15,000 pixels high, and a WebP may have 16,383."""

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Box:
    left: int
    top: int
    width: int
    height: int

    def holding(self, size: Size) -> Box:
        """The largest box in the middle of this one that has the proportions of `size`."""
        scale = min(self.width / size[0], self.height / size[1])
        width, height = (max(1, round(length * scale)) for length in size)
        return Box(self.left + (self.width - width) // 2, self.top + (self.height - height) // 2, width, height)

    @property
    def corner(self) -> tuple[int, int]:
        return self.left, self.top

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom; the last two are inside, as Pillow draws."""
        return self.left, self.top, self.left + self.width - 1, self.top + self.height - 1


@dataclass(frozen=True, slots=True)
class Layout:
    """`sides` are the boxes of the frames at the left, `cells` those of the clips; a label goes below each."""

    width: int
    height: int
    sides: tuple[Box, ...]
    cells: tuple[Box, ...]


def lay_out(head: int, sides: Sequence[Size], clips: Sequence[Size]) -> Layout:
    """For a head of so many pixels, the sizes of the pictures at the left, and those of the clips, of which there is
    at least one and at most `MOST_CLIPS`.
    """
    left = MARGIN + (SIDE + SIDE_GAP if sides else 0)
    columns = columns_for(len(clips))
    cell = min(CELL, (MOST_WIDTH - MARGIN - left - GAP * (columns - 1)) // columns)
    boxes, bottom = _lines(left, head, cell, columns, clips)
    at_left, side_bottom = _lines(MARGIN, head, SIDE, 1, sides)
    width = left + columns * cell + (columns - 1) * GAP + MARGIN
    return Layout(width, max(bottom, side_bottom) + FOOT, tuple(at_left), tuple(boxes))


def columns_for(clips: int) -> int:
    """Up to four side by side; of more, as few as leave the fewest holes in the last line."""
    if clips <= 4:
        return clips
    fewest = 3 if clips <= 9 else 4
    fitting = [columns for columns in range(fewest, MOST_COLUMNS + 1) if -(-clips // columns) <= MOST_LINES]
    return min(fitting, key=lambda columns: (-clips % columns, columns))


def _lines(left: int, top: int, width: int, columns: int, sizes: Sequence[Size]) -> tuple[list[Box], int]:
    """Boxes in lines, each as high as its highest picture; and where the last line ends."""
    boxes: list[Box] = []
    for start in range(0, len(sizes), columns):
        line = sizes[start : start + columns]
        height = max(min(round(width * TALLEST), round(width * size[1] / size[0])) for size in line)
        boxes += [Box(left + at * (width + GAP), top, width, max(1, height)) for at in range(len(line))]
        top += height + LABEL
    return boxes, top
