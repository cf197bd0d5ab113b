"""Plans, states and ends of runs in words, for the terminal. Pure: text in, text out."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vidu_run.job import Key
from vidu_run.journal.port import Sheet
from vidu_run.plan import Action, Plan
from vidu_run.price import Prices
from vidu_run.record import Record

MOST_SHOWN = 40
"""Rows of a plan on a terminal; --json has them all."""

DOUBTS_LISTED = 12
"""Up to so many jobs in doubt are told one by one."""


def credits_text(credits: int | None, prices: Prices | None = None) -> str:
    if credits is None:
        return "no known price"
    money = f" (${prices.usd(credits):.2f})" if prices else ""
    return f"{credits:,} credit{'' if credits == 1 else 's'}{money}"


def plan_summary(plan: Plan, prices: Prices) -> str:
    """One line: how many of which step, and what the submits cost by the price list."""
    counts = Counter(step.action for step in plan.steps)
    words = {
        Action.SUBMIT: "to submit",
        Action.WAIT: "waiting at the API",
        Action.FETCH: "to fetch",
        Action.ASK: "in doubt",
    }
    parts = [f"{counts[action]} {word}" for action, word in words.items() if counts[action]]
    skipped = Counter(step.reason.split(":")[0] for step in plan.of(Action.SKIP))
    parts += [f"{count} {reason}" for reason, count in skipped.items()]
    unknown = f", {len(plan.unpriced)} without a known price" if plan.unpriced else ""
    cost = f" · {credits_text(plan.credits, prices)}{unknown}" if plan.to_buy else ""
    return f"{len(plan.steps)} job{'' if len(plan.steps) == 1 else 's'}: {', '.join(parts) or 'none'}{cost}"


def plan_table(plan: Plan) -> list[str]:
    """A row a job: step, name, credits, reason; cut after some rows."""
    shown = plan.steps[:MOST_SHOWN]
    width = max((len(step.job.name) for step in shown), default=4)
    rows = [
        f"{step.action.value:<16} {step.job.name:<{width}}  {_price(step.credits, step.action):>8}  {step.reason}"
        for step in shown
    ]
    more = len(plan.steps) - len(shown)
    return [*rows, *([f"… and {more:,} more"] if more else [])]


def plan_markdown(plan: Plan, prices: Prices) -> str:
    rows = [
        f"| {step.action.value} | `{step.job.name}` | {_price(step.credits, step.action)} | {step.reason} |"
        for step in plan.steps
    ]
    head = ["| step | job | credits | reason |", "| --- | --- | ---: | --- |"]
    return "\n".join([f"**{plan_summary(plan, prices)}**", "", *head, *rows])


def _price(credits: int | None, action: Action) -> str:
    if action is not Action.SUBMIT:
        return ""
    return "?" if credits is None else f"{credits:,}"


def doubt_text(sheets: Sequence[Sheet], records: Mapping[Key, Record], target: str) -> str:
    """What to look for in the provider's console, and the exact commands that settle each job.

    Many jobs are told by their prompts, each with its first and last job and the time between: a sweep of seeds is
    one line. The page has each of them.
    """
    lines = [
        f"{len(sheets)} job{' is' if len(sheets) == 1 else 's are'} in doubt: a submission left and its answer was "
        "lost. It is never sent again by itself.",
        "Look in the provider's console for tasks with these times and prompts:",
    ]
    groups: dict[object, list[Sheet]] = {}
    for sheet in sheets:
        alike = (sheet.request.get("prompt"), sheet.credits) if len(sheets) > DOUBTS_LISTED else sheet.key
        groups.setdefault(alike, []).append(sheet)
    lines += [f"  {_doubt_line(group, records)}" for group in list(groups.values())[:MOST_SHOWN]]
    if left := sum(map(len, list(groups.values())[MOST_SHOWN:])):
        lines.append(f"  … and {left:,} jobs more: the page lists them all")
    name = shlex.quote(sheets[0].name) if len(sheets) == 1 else "NAME"
    lines += [
        f"then, for one that is there:      vidu-run resolve {target} {name} --task TASK_ID",
        f"for one that surely is not there: vidu-run resolve {target} {name} --resubmit",
        f"to give one up:                   vidu-run resolve {target} {name} --abandon",
    ]
    if len(sheets) > 1:
        lines.append("A NAME with * means all that match it: 'shot-*' --resubmit")
    return "\n".join(lines)


def _doubt_line(group: Sequence[Sheet], records: Mapping[Key, Record]) -> str:
    """Jobs with one prompt and one price: names, times of their POSTs, prompt, credits."""
    times = sorted(records[sheet.key].posted_at for sheet in group)
    when = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(times[0]))
    names, credits = group[0].name, credits_text(group[0].credits)
    if len(group) > 1:
        when = f"{when} to {time.strftime('%H:%M:%S', time.localtime(times[-1]))}"
        names, credits = f"{names} … {group[-1].name} ({len(group)} jobs)", f"{credits} each"
    return f"{names}  {when}  {str(group[0].request.get('prompt', ''))[:60]!r}  {credits}"


def counts_text(counts: Mapping[str, int]) -> str:
    return " · ".join(f"{state.replace('_', ' ')} {count:,}" for state, count in counts.items()) or "no jobs"


def status_text(document: Mapping[str, Any]) -> str:
    lines = [f"{document['spec']}  {document['provider']}  {counts_text(document['counts'])}"]
    width = max((len(job["name"]) for job in document["jobs"]), default=4)
    for job in document["jobs"]:
        tail = job["error"] or job["file"] or job["task_id"] or ""
        lines.append(f"  {job['state']:<10} {job['name']:<{width}}  {tail}")
    return "\n".join(lines)


def end_lines(code: int, reasons: Sequence[tuple[int, str]], status: Mapping[str, Any], page: Any) -> list[str]:
    """The last words of a run: counts, what to know, where to look."""
    jobs = {job["name"] for job in status["jobs"]}
    said = [text for _, text in reasons if text.split(":")[0] not in jobs or text.count(":") > 1]
    lines = [*(f"! {text}" for text in dict.fromkeys(said[:MOST_SHOWN])), counts_text(status["counts"])]
    lines.append(f"page   {page}")
    if code == 3:
        lines.append("not everything is there yet: the same command goes on")
    return lines
