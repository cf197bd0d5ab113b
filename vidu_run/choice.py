"""Which drafts become final, and what is laid over them: the words of `promote` understood, nothing done yet."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vidu_run.errors import UsageTrouble
from vidu_run.files import is_text
from vidu_run.journal.port import Sheet
from vidu_run.key import plain_value
from vidu_run.names import meant
from vidu_run.picks import Pick, parse_picks, picks_file, read_picks
from vidu_run.providers.catalogue import validator
from vidu_run.spec.read import MOST_BYTES, json_scalar
from vidu_run.spec.words import describe, shown
from vidu_run.wording import counted

STANDARD_INPUT = Path("-")

ASSIGNMENT = re.compile(r"\s*(?P<field>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>.*)", re.DOTALL)
NEXT_ASSIGNMENT = re.compile(r",(?=\s*[A-Za-z_][A-Za-z0-9_]*=)")


@dataclass(frozen=True, slots=True)
class Choice:
    """What the user asked for. `changes` are laid over each request, null taking a field out."""

    only: str | None = None
    stars: int = 1
    changes: Mapping[str, Any] = field(default_factory=dict)
    target: Path | None = None


def picks_of(spec: Path, given: Path | None, read_input: Callable[[int], bytes]) -> tuple[list[Pick], str]:
    """The picks, and how their file is called; `read_input` reads at most so many bytes of standard input.

    Raises UsageTrouble where there is no such file, SpecTrouble where it is not clear.
    """
    if given == STANDARD_INPUT:
        return list(parse_picks(_text(read_input(MOST_BYTES + 1)), str(given)).values()), str(given)
    if given is not None and not given.exists():
        raise UsageTrouble(f"--picks {given}: there is no such file. Nothing was written.")
    path = given or picks_file(spec)
    if not path.exists():
        raise UsageTrouble(
            f"{path}: there are no picks. Open report.html in the output folder, "
            "give the clips you like stars, and export the picks into this file."
        )
    return list(read_picks(path).values()), path.as_posix()


def _text(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise UsageTrouble(f"standard input: more than {MOST_BYTES:,} bytes are no picks")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageTrouble(f"standard input: is not UTF-8 text (byte {error.start})") from None


def changes_of(words: Sequence[str]) -> dict[str, Any]:
    """`FIELD=VALUE[,FIELD=VALUE…]`, each value read as a scalar of the spec would be. A comma ends a value only in
    front of another `name=`. Raises UsageTrouble.
    """
    changes: dict[str, Any] = {}
    for part in (part for word in words for part in NEXT_ASSIGNMENT.split(word)):
        found = ASSIGNMENT.fullmatch(part)
        if found is None:
            raise UsageTrouble(f"--with {shown(part)}: write FIELD=VALUE")
        name, value = found["field"], json_scalar(found["value"])
        if name in changes:
            raise UsageTrouble(f"--with {name}: is given twice")
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageTrouble(f"--with {name}: too large a number")
        if isinstance(value, str) and not is_text(value):
            raise UsageTrouble(f"--with {name}: is not UTF-8 text")
        changes[name] = plain_value(name, value)
    return changes


def check_changes(changes: Mapping[str, Any], known: Mapping[str, Any], drafts: Sequence[Sheet]) -> None:
    """Raise UsageTrouble for a value that no model takes, and for a field that neither the provider nor a draft has:
    a slip of the pen must not go where nothing is checked. `known` are the schemas of the provider's fields.
    """
    for name, value in changes.items():
        if name == "images":
            raise UsageTrouble("--with images: the frames stay those of the drafts")
        if name not in known and not any(name in sheet.request for sheet in drafts):
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageTrouble(f"--with {name}: neither the provider nor a draft knows this field{hint}")
        wrong = validator(known[name]).iter_errors(value) if name in known and value is not None else ()
        for error in wrong:
            raise UsageTrouble(f"--with {describe(error, name)}")


def chosen(sheets: Sequence[Sheet], picks: Sequence[Pick], told: str, choice: Choice) -> tuple[list[Sheet], list[Pick]]:
    """The picked jobs in the order of the spec, those that have left it behind by name; and picks of no known job.

    Raises UsageTrouble where nothing is left.
    """
    liked = {pick.key: pick for pick in picks if pick.stars is not None and pick.stars >= choice.stars}
    drafts = sorted((sheet for sheet in sheets if sheet.key in liked), key=_order)
    strangers = [liked[key] for key in sorted(liked.keys() - {sheet.key for sheet in drafts})]
    if choice.only is not None:
        names = meant(choice.only, [*(sheet.name for sheet in drafts), *(pick.name for pick in strangers)])
        drafts = [sheet for sheet in drafts if sheet.name in names]
        strangers = [pick for pick in strangers if pick.name in names]
    if not drafts and not strangers:
        raise UsageTrouble(f"{told}: {_none(picks, bool(liked), choice)}. Nothing was written.")
    return drafts, strangers


def _order(sheet: Sheet) -> tuple[bool, int, str, str]:
    return sheet.position is None, sheet.position or 0, sheet.name, sheet.key


def _none(picks: Sequence[Pick], liked: bool, choice: Choice) -> str:
    if not picks:
        return "there is no pick in it"
    stars = counted(choice.stars, "star")
    if liked:
        return f"no pick of at least {stars} is called {shown(choice.only)}"
    return f"no pick has at least {stars}; the most is {max(pick.stars or 0 for pick in picks)}"


def named(drafts: Sequence[Sheet]) -> Iterator[tuple[Sheet, str]]:
    """Each with its name; an earlier version of a job that was picked too has the beginning of its key added, as its
    video has.
    """
    counts = Counter(sheet.name.casefold() for sheet in drafts)
    for sheet in drafts:
        alone = sheet.position is not None or counts[sheet.name.casefold()] == 1
        yield sheet, sheet.name if alone else f"{sheet.name}.{sheet.key[:8]}"
