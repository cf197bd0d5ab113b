"""Pictures of the clips for the page, made as they come home: a run that waits has the time. It loads no decoder before
the first clip. What is not made by the end of the run is made with the page.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from vidu_run.report.data import POSTERS, picture_name
from vidu_run.report.poster import make_poster, small


class Posters:
    """One for each run; one picture at a time, beside uploads and downloads."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._pool = ThreadPoolExecutor(1, "poster") if find_spec("av") else None

    def soon(self, file: str, sha256: str) -> None:
        """Of a video in the output folder, named by its bytes; where it cannot be made the page does without."""
        if self._pool is not None:
            self._pool.submit(_make, self._out / file, self._out / POSTERS / picture_name(sha256))

    def close(self) -> None:
        """Ends with the picture that is being made: up to half a second for a clip of a few seconds."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _make(video: Path, target: Path) -> None:
    if not small(target).exists():
        make_poster(video, target)
