"""What a plan means beyond its steps: how long it may take, and what it would cost off-peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from vidu_run.plan import Plan
from vidu_run.price import Prices
from vidu_run.providers.pricing import credits_for, effective
from vidu_run.providers.rules import Effective, Provider

Kind = tuple[str, str, int]
"""Model, resolution, seconds: what decides how long a clip takes."""


def kind_of(made: Effective) -> Kind:
    return made.model, made.resolution, made.seconds


@dataclass(frozen=True, slots=True)
class Outlook:
    """`seconds` of wall time for the submits, None where no clip of the past tells; `clip_seconds` a clip's median.
    `off_peak`: the credits of the plan if every clip were off-peak, None where none can be or all are.
    """

    seconds: float | None
    clip_seconds: float | None
    off_peak: int | None


def outlook(
    plan: Plan, provider: Provider, prices: Prices, past: Mapping[Kind, Sequence[float]], slots: int
) -> Outlook:
    """`past`: the seconds that clips have taken here, from acceptance to their end, by kind."""
    usual = {kind: median(times) for kind, times in past.items() if times}
    overall = median(usual.values()) if usual else None
    taken: list[float] = []
    off_peak = 0
    movable = False
    known: dict[tuple[object, ...], tuple[Effective, int | None, bool]] = {}
    ends: dict[str, float] = {}
    for step in plan.in_turn:
        request = step.job.request
        alike = tuple(request.get(name) for name in ("model", "resolution", "duration", "audio", "is_rec", "off_peak"))
        if alike not in known:
            known[alike] = _moved(provider, prices, request)
        made, credits, moves = known[alike]
        off_peak += (credits if moves else step.credits) or 0
        movable |= moves
        if overall is not None and not step.job.off_peak:
            taken.append(usual.get(kind_of(made), overall))
            ends[step.job.name] = ends.get(step.after or "", 0.0) + taken[-1]
    return Outlook(
        # A shot that continues others waits for them, however many slots there are.
        seconds=max(sum(taken) / min(slots, len(taken)), *ends.values()) if taken else None,
        clip_seconds=median(taken) if taken else None,
        off_peak=off_peak if movable else None,
    )


def _moved(provider: Provider, prices: Prices, request: Mapping[str, object]) -> tuple[Effective, int | None, bool]:
    """The clip, its credits off-peak, and whether moving it there would be a change that the documents allow."""
    made = effective(provider, request)
    credits = credits_for(provider, prices, {**request, "off_peak": True})
    silent = provider.models[made.model].off_peak_needs_audio and not made.audio
    return made, credits, credits is not None and not silent and request.get("off_peak") is not True
