"""Local frames: measured by their header, known by their bytes, kept in the frame store of the output folder."""

from __future__ import annotations

import hashlib
import stat
import warnings
from pathlib import Path

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from vidu_run.files import file_digest, write_durably
from vidu_run.job import PACKED_ENDINGS, Frame

EXIF_ORIENTATION = 0x0112
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class BadFrame(ValueError):
    """A sentence about one image file, without its name."""


def inside(folder: Path, source: str) -> Path:
    """The file a spec names, which must stand in the spec's folder, links followed. Raises BadFrame."""
    if "\0" in source or Path(source).is_absolute() or "://" in source or source.startswith("file:"):
        raise BadFrame("is not a path inside the spec's folder, nor an https URL")
    path = (folder / source).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise BadFrame("leads out of the spec's folder")
    return path


def measure(path: Path, source: str, most_bytes: int) -> Frame:
    """Read a frame's header and hash its bytes, without decoding its pixels. Raises BadFrame."""
    try:
        size = _regular_size(path)
        if size > most_bytes:
            raise BadFrame(f"is {size:,} bytes, more than the {most_bytes:,} a file may have")
        shape = _header(path)
        return Frame(source, file_digest(path), size, *shape)
    except FileNotFoundError:
        raise BadFrame("does not exist") from None
    except OSError as error:
        raise BadFrame(f"cannot be read ({error.strerror or error})") from None


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
            with warnings.catch_warnings():
                # A huge header is refused by our own rules; Pillow's warning about it would only reach the terminal.
                warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
                image = Pillow.open(file, formats=("PNG", "JPEG", "WEBP"))
                turned = image.getexif().get(EXIF_ORIENTATION, 1) not in (0, 1)
        except (UnidentifiedImageError, Pillow.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
            raise BadFrame(_unreadable(error)) from None
        form = (image.format or "").lower()
        if form not in PACKED_ENDINGS:
            raise BadFrame("is not a PNG, JPEG or WebP image")
        return form, image.width, image.height, turned


def _unreadable(error: Exception) -> str:
    if isinstance(error, Pillow.DecompressionBombError):
        return "has too many pixels"
    return "is not a PNG, JPEG or WebP image (its bytes decide, not its name)"
