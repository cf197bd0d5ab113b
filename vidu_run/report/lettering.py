"""Words and stars as pixels, in the one typeface that Pillow brings along; it has ASCII and little more."""

from __future__ import annotations

import unicodedata
from math import cos, pi, sin

from PIL import Image, ImageDraw, ImageFont

MORE = "…"
MISSING = "\uffff"
"""No character, so drawn as what every missing one is drawn as."""

SPELLED = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D"}
    | {"–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "×": "x", "→": "->", "ð": "d", "þ": "th", "ı": "i"}
)

SMOOTH = 4
"""Shapes are drawn so many times as large: Pillow smooths no edges."""


class Lettering:
    """One for each thread, since they cannot share a typeface. Sizes and widths are in pixels."""

    def __init__(self) -> None:
        self._fonts: dict[int, ImageFont.FreeTypeFont | ImageFont.ImageFont] = {}
        self._missing = self._pixels(MISSING)

    def font(self, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        if size not in self._fonts:
            self._fonts[size] = ImageFont.load_default(size)
        return self._fonts[size]

    def width(self, text: str, size: int) -> int:
        return round(self.font(size).getlength(text))

    def spelled(self, text: str) -> str:
        """With letters that the typeface has: accents go, and what it cannot say at all becomes an ellipsis."""
        drawn = "".join(map(self._spelled, " ".join(text.split()).translate(SPELLED)))
        while (shorter := drawn.replace(MORE * 2, MORE).replace(f"{MORE} {MORE}", MORE)) != drawn:
            drawn = shorter
        return drawn

    def fitted(self, text: str, size: int, room: int) -> str:
        """Spelled, and cut where there is no room for all of it."""
        return self._cut(self.spelled(text), size, room)

    def wrapped(self, text: str, size: int, room: int, lines: int) -> list[str]:
        """Spelled, in at most so many lines, the last of them cut."""
        words, made = self.spelled(text[: lines * room]).split(" "), [""]
        for at, word in enumerate(words):
            longer = f"{made[-1]} {word}".strip()
            if self.width(longer, size) <= room or not made[-1]:
                made[-1] = longer
            elif len(made) == lines:
                made[-1] = f"{made[-1]} {' '.join(words[at:])}"
                break
            else:
                made.append(word)
        return [self._cut(line, size, room) for line in made if line]

    def _cut(self, text: str, size: int, room: int) -> str:
        if self.width(text, size) <= room:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.width(text[:middle].rstrip() + MORE, size) <= room
            low, high = (middle, high) if fits else (low, middle - 1)
        return text[:low].rstrip() + MORE

    def _spelled(self, char: str) -> str:
        if self._has(char):
            return char
        base = "".join(c for c in unicodedata.normalize("NFKD", char) if not unicodedata.combining(c))
        return base if all(map(self._has, base)) else MORE

    def _has(self, char: str) -> bool:
        return char.isprintable() and (char.isascii() or self._pixels(char) != self._missing)

    def _pixels(self, char: str) -> bytes:
        return bytes(self.font(20).getmask(char))


def star(size: int) -> Image.Image:
    """The mask of a five-pointed star, `size` pixels wide and high."""
    middle = size * SMOOTH / 2
    rays = [(middle * (0.42 if at % 2 else 1.0), pi * (at / 5 - 0.5)) for at in range(10)]
    mask = Image.new("L", (size * SMOOTH, size * SMOOTH))
    ImageDraw.Draw(mask).polygon([(middle + r * cos(a), middle + r * sin(a)) for r, a in rays], fill=255)
    return mask.resize((size, size), Image.Resampling.LANCZOS)
