"""Files that are whole or not there: the one way this program writes anything but its journal."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

from vidu_run.errors import StorageTrouble


def spec_stem(name: str) -> str:
    """What a spec is called without its ending: its output folder and the files beside it are named after that."""
    return name.removesuffix(".yaml").removesuffix(".yml")


def output_folder(spec: Path, home: str, provider: str) -> Path:
    """`out/<spec name>/` beside the spec, `….local/` for the local API, `…@<provider>/` for another than the spec's."""
    suffix = ".local" if provider == "local" else "" if provider == home else f"@{provider}"
    return spec.parent / "out" / f"{spec_stem(spec.name)}{suffix}"


def folder_parts(name: str) -> tuple[str, str]:
    """Of an output folder what its spec is called without an ending, and what its name adds for a provider."""
    if name.endswith(".local"):
        return name.removesuffix(".local"), ".local"
    stem, at, provider = name.rpartition("@")
    return (stem, at + provider) if stem else (name, "")


def meant_spec(path: Path) -> Path | None:
    """Of a spec that is not there, the one beside it that has nearly its name, with or without its ending."""
    try:
        beside = sorted(found for found in path.parent.glob("*.y*ml") if found.suffix in (".yaml", ".yml"))
    except OSError:
        return None
    stems = {spec_stem(found.name): found for found in reversed(beside)}
    near = get_close_matches(spec_stem(path.name), stems, n=1)
    return stems[near[0]] if near else None


def file_size(path: str) -> int | None:
    """In bytes; None for what cannot be looked at. Of a hundred thousand files a `Path` takes longer than its stat."""
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except (OSError, ValueError):
        return None


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(path: Path) -> None:
    """A folder and those above it, each with its entry on the disk: what is synced inside a folder that a power cut
    takes away is gone too. Raises OSError.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Where the disk refuses, raises StorageTrouble that names `target`."""
    try:
        yield
    except OSError as error:
        raise StorageTrouble(f"{target}: cannot be written ({error.strerror or error})") from None


def write_durably(target: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a whole file or none, in parts where it comes in parts: aside, synced, renamed. Raises StorageTrouble."""
    aside = target.with_name(f".{secrets.token_hex(8)}.new")
    try:
        with writing(target):
            make_folder(target.parent)
            with aside.open("wb") as file:
                file.writelines([content] if isinstance(content, bytes) else content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(target)
            sync(target.parent)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def write_if_other(target: Path, content: Iterable[bytes]) -> None:
    """Write a file durably unless these very bytes are there. Raises StorageTrouble."""
    parts, same, other = iter(content), 0, b""
    with writing(target), suppress(FileNotFoundError), target.open("rb") as file:
        for part in parts:
            if file.read(len(part)) != part:
                other = part
                break
            same += len(part)
        else:
            if not file.read(1):
                return
    write_durably(target, chain(_beginning(target, same), (other,), parts))


def _beginning(path: Path, size: int) -> Iterator[bytes]:
    if size:
        with path.open("rb") as file:
            while size and (part := file.read(min(size, 1 << 20))):
                size -= len(part)
                yield part


@contextmanager
def held_aside(target: Path, content: bytes) -> Iterator[Path]:
    """A whole, synced file beside `target` under a hidden name, to be looked at before it gets its own; gone at the
    end. Raises StorageTrouble.
    """
    aside = target.with_name(f".{secrets.token_hex(8)}.new")
    try:
        with writing(target):
            write_new(aside, content)
            yield aside
    finally:
        aside.unlink(missing_ok=True)


def give_name(aside: Path, target: Path) -> bool:
    """Let a file be known by a name that nobody has, durable on return; False where somebody has it. Raises OSError."""
    try:
        os.link(aside, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without second names, such as FAT
        try:
            write_new(target, aside.read_bytes())
        except FileExistsError:
            return False
    sync(target.parent)
    return True


def write_new(path: Path, content: bytes) -> None:
    """A file that was not there, whole and synced or not there at all. Raises OSError."""
    with path.open("xb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)
            raise


def is_text(value: str) -> bool:
    """False for half a surrogate, which JSON and YAML can escape and no file can hold."""
    return not any("\ud800" <= char <= "\udfff" for char in value)


def sync(path: Path) -> None:
    """fsync of a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
