"""What promoted jobs keep of one another: the frames of clips that are promoted too, and the films of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from vidu_run.job import Key
from vidu_run.journal.port import Sheet
from vidu_run.names import meant


class Shots:
    """The drafts of the present spec that are promoted, by name. A job of the present spec keeps its name."""

    def __init__(self, drafts: Iterable[Sheet], stars: Mapping[Key, int]) -> None:
        self._named = {draft.name: draft for draft in drafts if draft.position is not None}
        self._stars = stars

    def images(self, draft: Sheet, store: str) -> list[Any]:
        """What the new spec says for each image of a draft: a path or a link as it was written; of another clip
        `{job: NAME, frame: …}` where that one is promoted too, else the path of the frame that the draft was made
        with, in the folder `store`.
        """
        asked = draft.request.get("images") or ()
        return [
            self._frame(draft, one, f"{store}/{stored}") if isinstance(one, dict) else source
            for one, (source, stored) in zip(asked, draft.images, strict=False)
        ]

    def _frame(self, draft: Sheet, asked: Mapping[str, Any], kept: str) -> Any:
        # An earlier take was made of a clip that its name may not mean any more.
        other = self._meant(asked) if draft.position is not None else None
        return kept if other is None else {"job": other, "frame": asked["frame"]}

    def _meant(self, asked: Mapping[str, Any]) -> str | None:
        """The clip of that name; of a pick the one with the most stars, the first of them in the spec."""
        if "job" in asked:
            return asked["job"] if asked["job"] in self._named else None
        names = meant(asked["pick"], self._named)
        clips = (draft for draft in self._named.values() if draft.name in names)
        best = max(clips, key=lambda draft: self._stars.get(draft.key, 0), default=None)
        return None if best is None else best.name


def is_continued(image: Any) -> bool:
    """Whether an image of a request is the frame of another job's clip."""
    return isinstance(image, Mapping)


def films_of(films: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The films that each of their words still means a job for; and of the others, what is missing."""
    missing = {film["name"]: list(_unmet(film, names)) for film in films}
    kept = [film for film in films if not missing[film["name"]]]
    return kept, [f"{name}: no pick is called {words[0]}" for name, words in missing.items() if words]


def _unmet(film: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    words = film["jobs"]
    return (word for word in ([words] if isinstance(words, str) else words) if not meant(word, names))
