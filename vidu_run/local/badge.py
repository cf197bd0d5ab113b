"""Draws the small pill of text that marks a rehearsal and lays it on YUV 4:2:0 planes.

It knows nothing of scenes, seeds or video.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from vidu_run.local.pictures import Overlay, Planes

WORDS_WHEN_BLANK = "rehearsal"
PILL, TEXT = 24, 226  # luma, video range
NEUTRAL = 128
OPACITY = 0.62
SMOOTHING = 4


@dataclass(frozen=True, slots=True)
class Badge(Overlay):
    luma: Image.Image

    def stamp(self, planes: Planes) -> None:
        """Lays the badge on the planes, in place."""
        luma, blue, red = planes
        left, top = self.corner
        luma.paste(self.luma, self.corner, self.opacity)
        for chroma in (blue, red):
            width, height = self.half_opacity.size
            chroma.paste(NEUTRAL, (left // 2, top // 2, left // 2 + width, top // 2 + height), self.half_opacity)


def draw(label: str, width: int, height: int, at_top: bool = False) -> Badge:
    """A badge for the lower or upper left corner of a width x height frame; a label too long ends in an ellipsis."""
    short = min(width, height)
    type_size = max(10, round(short / 32))
    margin = 2 * round(short / 60)
    font = ImageFont.load_default(type_size * SMOOTHING)
    padding = round(type_size * 0.8)
    words = fitted(" ".join(label.split()) or WORDS_WHEN_BLANK, font, (width - 2 * (margin + padding)) * SMOOTHING)
    size = (_even(font.getlength(words) / SMOOTHING + 2 * padding), _even(type_size * 1.9))
    shape, text = _masks(words, font, size)
    luma = Image.composite(Image.new("L", size, TEXT), Image.new("L", size, PILL), text)
    pill = shape.point([round(level * OPACITY) for level in range(256)])
    opacity = Image.composite(Image.new("L", size, 255), pill, text)
    half = opacity.resize((size[0] // 2, size[1] // 2), Image.Resampling.BOX)
    return Badge((margin, margin if at_top else height - margin - size[1]), opacity, half, luma)


def _masks(
    words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, size: tuple[int, int]
) -> tuple[Image.Image, Image.Image]:
    large = (size[0] * SMOOTHING, size[1] * SMOOTHING)
    shape, text = Image.new("L", large), Image.new("L", large)
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, large[0] - 1, large[1] - 1), large[1] // 2, fill=255)
    ImageDraw.Draw(text).text((large[0] / 2, large[1] / 2), words, fill=255, font=font, anchor="mm")
    return shape.resize(size, Image.Resampling.BOX), text.resize(size, Image.Resampling.BOX)


def fitted(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> str:
    if font.getlength(words) <= room:
        return words
    while words and font.getlength(words + "…") > room:
        words = words[:-1]
    return words.rstrip() + "…"


def _even(length: float) -> int:
    return 2 * round(length / 2)
