"""Contact sheets: the clips of a row as one picture, for a chat or a deck.

It draws small pictures that are there already, and never opens a video. What is no clip is shown as none.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from threading import Lock

from PIL import Image, ImageDraw, ImageOps

from vidu_run.files import write_durably
from vidu_run.record import State
from vidu_run.report.grid import Board, Tile
from vidu_run.report.layout import GAP, MARGIN, Box, Size, lay_out
from vidu_run.report.lettering import Lettering, star
from vidu_run.report.poster import UNREADABLE

FOLDER = "sheets"

GROUND, WELL, INK, SOFT, FAINT = "#161616", "#0d0d0d", "#ecebe8", "#aaa9a5", "#3f3e3c"
GOLD, CORAL = "#e6b450", "#e0705c"

TITLE, TEXT, LABEL, SMALL = 36, 22, 24, 20
STAR = 20
WIDE = (16, 9)
"""The shape of a clip of which there is no picture at all."""

LARGE = 24
"""More clips than this make a sheet large."""

REHEARSAL = "REHEARSAL, not made by the model"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who made the clips; `rehearsal` where it was this machine."""

    provider: str
    rehearsal: bool


def write_sheets(made: Sequence[Board], origin: Origin, out: Path, form: str) -> list[Path]:
    """A file in `sheets/` for each board; what else is there stays. Raises StorageTrouble.

    Two are made at a time, but of large ones, which take some 450 MB, only one.
    """
    alone = Lock()

    def write(board: Board) -> Path:
        target = out / FOLDER / f"{board.file}.{form}"
        with alone if len(board.tiles) > LARGE else nullcontext():
            write_durably(target, _encoded(draw(board, origin, out), form))
        return target

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(write, made))


def draw(board: Board, origin: Origin, out: Path) -> Image.Image:
    return _Drawing(board, origin, out).image


def _encoded(image: Image.Image, form: str) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **({"quality": 86, "method": 4} if form == "webp" else {}))
    return buffer.getvalue()


class _Drawing:
    def __init__(self, board: Board, origin: Origin, out: Path) -> None:
        self._out = out
        self._words = Lettering()
        sides = [(name, word) for name, word in ((board.first, "first frame"), (board.last, "last frame")) if name]
        sizes = [self._size(tile.poster or tile.first or tile.last) for tile in board.tiles]
        side_sizes = [self._size(name) for name, _ in sides]
        rough = lay_out(0, side_sizes, sizes)
        room = rough.width - 2 * MARGIN
        prompt = self._words.wrapped(board.prompt, TEXT, room, 2)
        self._layout = lay_out(MARGIN + TITLE + 12 + len(prompt) * 30 + 28, side_sizes, sizes)
        self.image = Image.new("RGB", (self._layout.width, self._layout.height), GROUND)
        self._pen = ImageDraw.Draw(self.image)
        self._head(board.title, prompt, room)
        for (name, word), box in zip(sides, self._layout.sides, strict=True):
            self._side(name, word, box)
        for tile, box in zip(board.tiles, self._layout.cells, strict=True):
            self._cell(tile, box)
        self._foot(board, origin, room)

    def _head(self, title: str, prompt: Sequence[str], room: int) -> None:
        self._write((MARGIN, MARGIN), self._words.fitted(title, TITLE, room), TITLE, INK)
        for number, line in enumerate(prompt):
            self._write((MARGIN, MARGIN + TITLE + 14 + number * 30), line, TEXT, SOFT)

    def _foot(self, board: Board, origin: Origin, room: int) -> None:
        top = self._layout.height - MARGIN - SMALL
        day = f"{(when := datetime.fromtimestamp(board.newest, UTC)).day} {when:%b %Y}" if board.newest else ""
        start = MARGIN
        if origin.rehearsal:
            self._write((start, top), REHEARSAL, SMALL, GOLD)
            start += self._words.width(f"{REHEARSAL}  ", SMALL)
        words = " · ".join(filter(None, (origin.provider, day)))
        self._write((start, top), self._words.fitted(words, SMALL, MARGIN + room - start), SMALL, SOFT)

    def _side(self, name: str, word: str, box: Box) -> None:
        self._show(name, box)
        self._write((box.left, box.top + box.height + 9), word, SMALL, SOFT)

    def _cell(self, tile: Tile, box: Box) -> None:
        self._pen.rectangle(box.edges, fill=WELL)
        rejected = tile.stars == 0
        if tile.state is not State.DONE:
            self._absent(tile, box)
        elif not self._show(tile.poster, box, rejected):
            self._tag("first frame" if self._show(tile.first, box, rejected) else "no picture", box)
        self._label(tile, box, rejected)

    def _label(self, tile: Tile, box: Box, rejected: bool) -> None:
        top = box.top + box.height + 9
        verdict = self._words.width("rejected", LABEL) if rejected else 5 * STAR + 4 * 4 if tile.stars else 0
        text = self._words.fitted(tile.label, LABEL, box.width - (verdict + GAP if verdict else 0))
        self._write((box.left, top), text, LABEL, SOFT if rejected else INK)
        start = box.left + box.width - verdict
        if rejected:
            line = top + LABEL * 2 // 3
            self._pen.line((box.left, line, box.left + self._words.width(text, LABEL), line), fill=SOFT, width=2)
            self._write((start, top), "rejected", LABEL, CORAL)
        elif tile.stars:
            for at in range(5):
                self.image.paste(GOLD if at < tile.stars else FAINT, (start + at * (STAR + 4), top + 4), star(STAR))

    def _absent(self, tile: Tile, box: Box) -> None:
        """Its frames side by side without their colours, and the word for where it stands."""
        frames = [frame for name in (tile.first, tile.last) if (frame := self._opened(name))]
        for at, frame in enumerate(frames):
            left, right = (box.width * edge // len(frames) for edge in (at, at + 1))
            half = ImageOps.fit(frame, (right - left, box.height), Image.Resampling.LANCZOS)
            grey = Image.blend(half.convert("L").convert("RGB"), Image.new("RGB", half.size, GROUND), 0.6)
            self.image.paste(grey, (box.left + left, box.top))
        self._tag(tile.state.replace("_", " "), box)

    def _tag(self, word: str, box: Box) -> None:
        """In the middle of a picture that is no clip."""
        width, height = self._words.width(word, LABEL) + 32, LABEL + 20
        left, top = box.left + (box.width - width) // 2, box.top + (box.height - height) // 2
        self._pen.rounded_rectangle((left, top, left + width, top + height), height // 2, fill=GROUND)
        self._write((left + 16, top + 7), word, LABEL, INK)

    def _show(self, name: str | None, box: Box, dimmed: bool = False) -> bool:
        """Draw a picture into the middle of its box, whole and in its proportions; False where there is none."""
        picture = self._opened(name)
        if picture is None:
            return False
        place = box.holding(picture.size)
        scaled = picture.resize((place.width, place.height), Image.Resampling.LANCZOS)
        if dimmed:
            scaled = Image.blend(scaled, Image.new("RGB", scaled.size, GROUND), 0.7)
        self.image.paste(scaled, place.corner)
        return True

    def _write(self, at: tuple[int, int], text: str, size: int, colour: str) -> None:
        self._pen.text(at, text, fill=colour, font=self._words.font(size))

    def _size(self, name: str | None) -> Size:
        try:
            with Image.open(self._out / (name or "")) as picture:
                return picture.size
        except UNREADABLE:
            return WIDE

    def _opened(self, name: str | None) -> Image.Image | None:
        try:
            with Image.open(self._out / (name or "")) as picture:
                shown = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
        except UNREADABLE:
            return None
        if shown.mode == "RGB":
            return shown
        ground = Image.new("RGBA", shown.size, WELL)
        return Image.alpha_composite(ground, shown).convert("RGB")
