"""What `promote` says of the spec it wrote: its price, what its jobs keep of the drafts, where to go on."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from vidu_run import show
from vidu_run.drafts import SEEDS
from vidu_run.promote import Promoted
from vidu_run.wording import counted


def document(made: Promoted) -> dict[str, Any]:
    """The object of `promote --json`."""
    jobs = [{"name": job.name, "key": job.key, "from": job.draft, "credits": job.credits} for job in made.spec.jobs]
    usd = float(made.prices.usd(made.plan.credits))
    totals = {"credits": made.plan.credits, "usd": usd, "unpriced": len(made.plan.unpriced)}
    return {"spec": str(made.spec.path), "jobs": jobs, "totals": totals}


def words(made: Promoted) -> list[str]:
    """What it costs, what it is worth, and where to go on."""
    provider = made.spec.provider
    lines = [show.plan_summary(made.plan, made.prices, provider.rehearses)]
    lines += show.estimate_note(made.plan, made.prices, provider)
    if again := sum(job.key == job.draft and job.name not in made.clipless for job in made.spec.jobs):
        lines.append(
            f"{again} of them ask{'s' if again == 1 else ''} for the very clip of the draft: "
            f"a run stops at it with exit 4, since {made.source.out} has it; --with FIELD=VALUE makes another one"
        )
    if made.clipless:
        names = ", ".join(made.clipless[:3]) + (" …" if len(made.clipless) > 3 else "")
        lines.append(f"of {len(made.clipless)} of them the draft has no clip: {names}")
    if made.continuing:
        lines.append(f"{made.continuing} of them continue{'s' if made.continuing == 1 else ''} the new clip of another")
    if made.frozen:
        lines.append(
            f"{made.frozen} of them keep{'s' if made.frozen == 1 else ''} a frame of a draft's clip that was not "
            f"picked, as a file in {made.source.out / 'frames'}, which git may not have"
        )
    lines += [f"left out: the film {film}" for film in made.films_left]
    if made.earlier:
        lines.append(_earlier(made.earlier))
    if made.strangers:
        lines.append(
            f"{counted(made.strangers, 'pick is of a job', 'picks are of jobs')} that {made.source.out} does not know: "
            "left out"
        )
    option = f" --provider {made.source.final_provider}" if made.source.final_provider else ""
    command = f"{shlex.quote(str(made.spec.path))}{option}"
    seeds = [SEEDS] if made.new_takes else []
    then = [] if again else [f"then: vidu-run {command}"]
    return [*lines, *seeds, f"next: vidu-run plan {command}", *then]


def _earlier(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"1 of them is an earlier take: its job was edited or has left the spec. It stands last: {names[0]}"
    return (
        f"{len(names)} of them are earlier takes: their jobs were edited or have left the spec. They stand last: "
        f"{names[0]} and {len(names) - 1} more"
    )
