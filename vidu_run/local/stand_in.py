"""A picture that stands for an image this machine does not fetch: its address on a quiet ground."""

from __future__ import annotations

import hashlib
import io
import textwrap

from PIL import Image, ImageDraw, ImageFont

SHORT_SIDE = 720
WIDE = (16, 9)
INSET = 40
LETTER = 17
"""Pixels an average letter is wide."""


def picture_of(url: str, shape: tuple[int, int] = WIDE) -> bytes:
    """A PNG, its sides in the ratio of `shape`; the same address gives the same picture, another one another tint."""
    width, height = (round(side * SHORT_SIDE / min(shape)) for side in shape)
    hue = hashlib.sha256(url.encode()).digest()[0]
    image = Image.new("HSV", (width, height), (hue, 70, 70)).convert("RGB")
    pen = ImageDraw.Draw(image)
    pen.rectangle((INSET, INSET, width - INSET, height - INSET), outline=(220, 220, 220), width=2)
    columns = min(60, (width - 4 * INSET) // LETTER)
    lines = [*textwrap.wrap("A stand-in: the local API fetches no links.", columns), ""]
    lines += textwrap.wrap(url[: 8 * columns], columns)
    font = ImageFont.load_default(30)
    pen.multiline_text((2 * INSET, 2 * INSET), "\n".join(lines), fill=(235, 235, 235), font=font, spacing=14)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
