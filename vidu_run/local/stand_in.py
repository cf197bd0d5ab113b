"""A picture that stands for an image this machine does not fetch: its address on a quiet ground."""

from __future__ import annotations

import hashlib
import io
import textwrap

from PIL import Image, ImageDraw, ImageFont

SIZE = (1280, 720)


def picture_of(url: str) -> bytes:
    """A PNG; the same address gives the same picture, another address another tint."""
    hue = hashlib.sha256(url.encode()).digest()[0]
    image = Image.new("HSV", SIZE, (hue, 70, 70)).convert("RGB")
    pen = ImageDraw.Draw(image)
    pen.rectangle((40, 40, SIZE[0] - 40, SIZE[1] - 40), outline=(220, 220, 220), width=2)
    lines = ["A stand-in: the local API fetches no links.", "", *textwrap.wrap(url, 60)[:8]]
    pen.multiline_text((80, 90), "\n".join(lines), fill=(235, 235, 235), font=ImageFont.load_default(30), spacing=14)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
