"""How the local API behaves where that is a choice: what it does with links, and which faults it makes how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from vidu_run.errors import UsageTrouble

STAND_IN: Final = "stand-in"
ANY: Final = "any"

FAULTS: Final = (
    *("reset", "500", "429", "moderation"),
    *("lost-reply", "500-accepted", "html", "timeout", "slow"),
    *("fail", "stuck", "bad-link", "cut-video", "list-lag"),
)
"""In the order in which they win where several of them hit one request."""


@dataclass(frozen=True, slots=True)
class Manner:
    """`links`: stand-in, public or any. `faults`: their probabilities, 0 to 1, in the order of FAULTS; `seed` makes
    them happen alike again, None draws one."""

    links: str = STAND_IN
    faults: Mapping[str, float] = field(default_factory=dict)
    seed: int | None = None


PLAIN: Final = Manner()


def chances(text: str, source: str) -> Mapping[str, float]:
    """`lost-reply=0.05,500=0.02` as probabilities by name; `source` is the option or variable the text stands in.

    Raises UsageTrouble for an unknown name, one given twice, or a number outside 0 to 1.
    """
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (word.strip() for word in part.partition("="))
        if name not in FAULTS:
            raise UsageTrouble(f"{source}: {name!r} is no fault{_near(name)} are {', '.join(FAULTS)}")
        if name in found:
            raise UsageTrouble(f"{source}: {name} is given twice")
        found[name] = _probability(number, f"{source}: {part!r}")
    return {name: found[name] for name in FAULTS if name in found}


def whole(text: str, source: str) -> int | None:
    """The seed in an environment variable; None where it is empty. Raises UsageTrouble."""
    if not text.strip():
        return None
    try:
        return int(text)
    except ValueError:
        raise UsageTrouble(f"{source}: {text!r} is no whole number") from None


def _probability(number: str, place: str) -> float:
    try:
        value = float(number)
    except ValueError:
        raise UsageTrouble(f"{place} needs a probability: NAME=0.05") from None
    if not 0 <= value <= 1:
        raise UsageTrouble(f"{place}: a probability lies between 0 and 1")
    return value


def _near(name: str) -> str:
    close = get_close_matches(name, FAULTS, 1, 0.5)
    return f"; did you mean {close[0]!r}? There" if close else "; there"
