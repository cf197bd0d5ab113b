"""Who may spend, and how much: every gate between a plan and its first POST. Asks; sends nothing."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from itertools import accumulate

from vidu_run.errors import AccountTrouble, StorageTrouble, UsageTrouble
from vidu_run.job import Request
from vidu_run.plan import Action, Plan

Sort = tuple[str | None, str | None]
"""Model and resolution, as a request has them."""

BYTES_PER_SECOND = 2_000_000
"""A generous guess of what a second of video takes: clips of 1080p measured 0.5 to 1.5 MB."""

MARGIN = 1.5
"""By which a clip may be heavier than the heaviest that is here."""

SPARE_BYTES = 100_000_000
"""Left free for the state, the frames and the page."""

ASK_ABOVE = 50
"""Credits a run on a terminal spends without asking."""


def within_budget(plan: Plan, folder_budget: int | None, run_budget: int | None) -> None:
    """Raise AccountTrouble for a plan above a budget, UsageTrouble for one that cannot be priced under a budget."""
    if not plan.to_buy or (folder_budget is None and run_budget is None):
        return
    if plan.unpriced:
        raise UsageTrouble(
            f"no price is known for {plan.unpriced[0].job.name} and {len(plan.unpriced) - 1} more: a budget cannot be "
            "kept. Take the budget away, or leave these jobs out with --only. Nothing was sent."
        )
    for left, name in (
        (None if folder_budget is None else folder_budget - plan.committed, "budget of this folder"),
        (run_budget, "--budget"),
    ):
        if left is not None and plan.credits > left:
            raise AccountTrouble(_over(plan, left, name))


def _size(bytes_: float) -> str:
    return f"{bytes_ / 1e9:.1f} GB" if bytes_ >= 1e9 else f"{bytes_ / 1e6:.0f} MB"


def within_disk(plan: Plan, free: int, seen: Mapping[Sort, float]) -> None:
    """Raise StorageTrouble rather than pay for what cannot be stored; `free` is in bytes. `seen`: bytes that a second
    of the heaviest clip took of those of this model and resolution that are here already.
    """

    def bytes_per_second(request: Request) -> float:
        measured = seen.get((request.get("model"), request.get("resolution")))
        return BYTES_PER_SECOND if measured is None else measured * MARGIN

    room = free - SPARE_BYTES
    needed = [bytes_per_second(step.job.request) * int(step.job.request.get("duration") or 5) for step in plan.in_turn]
    if sum(needed) <= room:
        return
    fits = sum(total <= room for total in accumulate(needed))
    raise StorageTrouble(
        f"the videos may need {_size(sum(needed))}, {_size(max(room, 0))} are free: free some space"
        + (f", or --limit {fits} fits" if fits else "")
        + ". Nothing was sent."
    )


def allowed(
    plan: Plan, local: bool, yes: bool, budgeted: bool, interactive: bool, question: str, ask: Callable[[], bool]
) -> bool:
    """Whether the submits of a plan may go. Raises UsageTrouble where nobody can be asked."""
    if not plan.to_buy or local or yes:
        return True
    if not interactive:
        if budgeted:
            return True
        raise UsageTrouble(f"{question}\nNobody can be asked here: give --yes or a budget. Nothing was sent.")
    if plan.credits <= ASK_ABOVE and not plan.unpriced:
        return True
    return ask()


def _none_fits(plan: Plan, left: int) -> str:
    first = plan.in_turn[0]
    dearer = f"the next one, {first.job.name}, costs {first.credits}"
    other = next((step.job.name for step in plan.of(Action.SUBMIT) if (step.credits or 0) <= left), None)
    return f"{dearer}; --only {shlex.quote(other)} fits" if other else f"not even one job fits ({dearer})"


def _over(plan: Plan, left: int, name: str) -> str:
    fits = plan.affordable(max(left, 0))
    advice = f"--limit {fits} fits" if fits else _none_fits(plan, left)
    rest = "1 is left" if left == 1 else f"{max(left, 0)} are left"
    return f"the plan costs {plan.credits} credits, {rest} of the {name}: {advice}. Nothing was sent."
