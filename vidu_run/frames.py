"""Local frames: measured by their header, known by their bytes, kept in the frame store of the output folder."""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import warnings
import zlib
from collections.abc import Callable
from io import SEEK_END
from pathlib import Path
from typing import BinaryIO

from PIL import Image as Pillow

from vidu_run.files import file_digest, write_durably
from vidu_run.job import PACKED_ENDINGS, Frame

DAMAGE = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, struct.error, zlib.error)
"""What Pillow raises for bytes that are not what they say."""

EXIF_ORIENTATION = 0x0112
BEGINNING = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF....WEBP", re.DOTALL)
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class BadFrame(ValueError):
    """A sentence about one image file, without its name."""


def inside(folder: Path, source: str) -> Path:
    """The file a spec names, which must stand in the spec's folder, links followed. Raises BadFrame."""
    if "\0" in source or Path(source).is_absolute() or "://" in source or source.startswith("file:"):
        raise BadFrame("is not a path inside the spec's folder")
    try:
        path = (folder / source).resolve()
    except (OSError, RuntimeError):  # how pathlib tells of links in a circle, up to Python 3.12
        raise BadFrame("cannot be followed to a file") from None
    if _still_a_link(path):  # and since 3.13
        raise BadFrame("cannot be followed to a file")
    if not path.is_relative_to(folder.resolve()):
        raise BadFrame("leads out of the spec's folder")
    return path


def _still_a_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except OSError:  # such as too long a name, which whoever opens it tells better
        return False


def small_text(path: Path, most_bytes: int) -> str:
    """The UTF-8 text of a file, without a byte order mark. Raises BadFrame."""
    try:
        if _regular_size(path) > most_bytes:
            raise BadFrame(f"is larger than {most_bytes:,} bytes")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFrame(f"is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise BadFrame(_unread(error)) from None


def measure(path: Path, source: str, most_bytes: int) -> Frame:
    """Read a frame's header and hash its bytes, without decoding its pixels. Raises BadFrame."""
    try:
        size = _regular_size(path)
        if size > most_bytes:
            raise BadFrame(f"is {size:,} bytes, more than the {most_bytes:,} a file may have")
        with warnings.catch_warnings():
            # What Pillow warns of is refused by our own rules, or about EXIF; it would only reach the terminal.
            warnings.simplefilter("ignore")
            shape = _header(path)
        return Frame(source, file_digest(path), size, *shape)
    except OSError as error:
        raise BadFrame(_unread(error)) from None


def _unread(error: OSError) -> str:
    return "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror or error})"


def keep(frame: Frame, source: Path, store: Path) -> None:
    """Copy a frame into the store under the name of its bytes, durable on return.

    Raises BadFrame when the file has changed since it was measured, StorageTrouble when the store cannot be written.
    """
    target = store / frame.store_name
    if target.exists() and target.stat().st_size == frame.size:
        return
    try:
        content = source.read_bytes()
    except OSError as error:
        raise BadFrame(f"cannot be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != frame.sha256:
        raise BadFrame("has changed since it was checked")
    write_durably(target, content)


def _regular_size(path: Path) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadFrame("is not a file")
    return status.st_size


def _header(path: Path) -> tuple[str, int, int, bool]:
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise BadFrame("is a Git LFS pointer, not the image: run `git lfs pull`")
        file.seek(0)
        try:
            image = Pillow.open(file, formats=("PNG", "JPEG", "WEBP"))
        except (*DAMAGE, Pillow.DecompressionBombError) as error:
            raise BadFrame(_unreadable(error, file)) from None
        # A photo with others behind it, as phones make them, is a JPEG file that Pillow calls MPO.
        form = "jpeg" if image.format == "MPO" else (image.format or "").lower()
        if form not in PACKED_ENDINGS:
            raise BadFrame("is not a PNG, JPEG or WebP image")
        if form in WHOLE and not WHOLE[form](file):
            raise BadFrame("is cut off: the end of the image is missing")
        return form, image.width, image.height, _is_turned(image)


def _is_turned(image: Pillow.Image) -> bool:
    try:
        # PNG's own getexif would decode all pixels to look behind them.
        return bool(Pillow.Image.getexif(image).get(EXIF_ORIENTATION, 1) not in (0, 1))
    except DAMAGE:
        return False


def _whole_png(file: BinaryIO) -> bool:
    """Chunks, each of a length, a name, the data and a checksum, up to IEND."""
    end = file.seek(0, SEEK_END)
    at = 8
    while at + 12 <= end:
        file.seek(at)
        head = file.read(8)
        at += 12 + int.from_bytes(head[:4])
        if head[4:] == b"IEND":
            return at <= end
    return False


def _whole_jpeg(file: BinaryIO) -> bool:
    """Segments up to the first scan; in scans 0xFF D9 is the end of the image and nothing else."""
    at = 2
    while True:
        file.seek(at)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            return False
        if head[1] == 0xFF:
            at += 1
        elif head[1] == 0xDA:
            return b"\xff\xd9" in file.read()
        else:
            at += 2 + int.from_bytes(head[2:])


WHOLE: dict[str, Callable[[BinaryIO], bool]] = {"png": _whole_png, "jpeg": _whole_jpeg}
"""Of a WebP file Pillow itself opens no part."""


def _unreadable(error: Exception, file: BinaryIO) -> str:
    if isinstance(error, Pillow.DecompressionBombError):
        return "has too many pixels"
    file.seek(0)
    if BEGINNING.match(file.read(12)):
        return "is damaged, or cut off near its beginning"
    return "is not a PNG, JPEG or WebP image (its bytes decide, not its name)"
