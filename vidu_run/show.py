"""Plans, states and ends of runs in words, for the terminal. Pure: text in, text out."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidu_run.compare import Change, Comparison
from vidu_run.errors import SIGNALLED, Exit
from vidu_run.job import Key
from vidu_run.journal.port import Sheet
from vidu_run.plan import Action, Aim, Plan, Step
from vidu_run.price import Prices
from vidu_run.providers.catalogue import LOCAL
from vidu_run.providers.rules import Provider
from vidu_run.record import ELSEWHERE, Record, State
from vidu_run.reply import Balance
from vidu_run.report.data import traits
from vidu_run.wording import columns, counted, ends, padded

MOST_SHOWN = 40
"""Rows of a plan on a terminal; --json has them all."""

MOST_ROWS = 200
"""Rows of a table in Markdown: a comment on GitHub takes 65,536 characters."""

DOUBTS_LISTED = 12
"""Up to so many jobs in doubt are told one by one."""

MOST_OF_A_PROMPT = 72


def credits_text(credits: int | None, prices: Prices | None = None) -> str:
    if credits is None:
        return "no known price"
    money = f" (${prices.usd(credits):.2f})" if prices else ""
    return f"{counted(credits, 'credit')}{money}"


def plan_summary(plan: Plan, prices: Prices, rehearses: bool) -> str:
    """One line: how many of which step, and what the submits cost by the price list, or would."""
    counts = Counter(step.action for step in plan.steps)
    words = {
        Action.SUBMIT: "to submit",
        Action.WAIT: "waiting at the API",
        Action.FETCH: "to fetch",
        Action.ASK: "in doubt",
        Action.AFTER: "after others",
        Action.PICK: "waiting for your pick",
        Action.HELD: "held by others",
    }
    parts = [f"{counts[action]} {word}" for action, word in words.items() if counts[action]]
    skipped = Counter(step.reason.split(":")[0] for step in plan.of(Action.SKIP))
    parts += [f"{count} {reason}" for reason, count in skipped.items()]
    unknown = f", {len(plan.unpriced)} without a known price" if plan.unpriced else ""
    price = f"{credits_text(plan.credits, prices)}{unknown}"
    price = f"free · bought it would cost {price}" if rehearses else price
    cost = f" · {price}" if plan.to_buy else ""
    if plan.held_credits:
        cost += f" · {credits_text(plan.held_credits, prices)} more behind what waits"
    if plan.outside:
        cost += f" · {counted(plan.outside, 'task')} of earlier versions paid and not here: a run brings them home"
    return f"{counted(len(plan.steps), 'job')}: {', '.join(parts) or 'none'}{cost}"


def estimate_note(plan: Plan, prices: Prices, provider: Provider) -> list[str]:
    """What a price is worth where nobody says what was taken."""
    if not plan.to_buy or provider.charge_told or provider.rehearses:
        return []
    return [f"an estimate from {prices.title}; {provider.name} reports no charge"]


def plan_table(plan: Plan) -> list[str]:
    """A row a job: step, name, credits, reason; cut after some rows."""
    shown = plan.steps[:MOST_SHOWN]
    first = max([16, *(columns(step.word) for step in shown)])
    width = max((columns(step.job.name) for step in shown), default=4)
    rows = [
        f"{padded(step.word, first)} {padded(step.job.name, width)}  {_price(step):>8}  {step.reason}" for step in shown
    ]
    more = len(plan.steps) - len(shown)
    return [*rows, *([f"… and {more:,} more"] if more else [])]


def balance_text(balance: Balance) -> str:
    held = "does not say what it has" if balance.credits is None else f"has {credits_text(balance.credits)} left"
    at_once = f", {balance.concurrency} tasks at once" if balance.concurrency is not None else ""
    return f"the account {held}{at_once}"


def time_text(seconds: float, clip_seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        words = f"{seconds:.0f} s"
    else:
        words = f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"
    return f"about {words}: clips have taken {clip_seconds:.0f} s here"


def heading(path: Path, form: str) -> str:
    """Over the plan of one spec among several; `form` is text or markdown."""
    return f"### {_cell(path.as_posix())}\n" if form == "markdown" else f"{path}:"


def plan_markdown(plan: Plan, prices: Prices, rehearses: bool) -> str:
    rows = [(step.word, step.job.name, _price(step), step.reason) for step in plan.steps]
    return _markdown(plan_summary(plan, prices, rehearses), ("step", "job", "credits", "reason"), rows)


def comparison_summary(found: Comparison, prices: Prices) -> str:
    """Counted in the words of its table."""
    unknown = f", and {found.unpriced:,} without a known price" if found.unpriced else ""
    spends = f"{credits_text(found.credits, prices)}{unknown}" if found.to_buy else "nothing"
    counts = {what: found.count(what) for what in ("changed", "new", "gone")}
    told = [f"{count:,} {what}" for what, count in counts.items() if count or what != "changed"]
    had = len(found.coming) - len(found.to_buy)
    already = f"; {had:,} bought before" if had else ""
    return f"{', '.join(told)}, {found.same:,} the same: this change spends {spends}{already}"


def comparison_table(found: Comparison) -> list[str]:
    shown = found.changes[:MOST_SHOWN]
    width = max((columns(change.job.name) for change in shown), default=4)
    rows = [
        f"{change.what:<8} {padded(change.job.name, width)}  {_change_price(change):>8}  {_change_why(change)}".rstrip()
        for change in shown
    ]
    more = len(found.changes) - len(shown)
    return [*rows, *([f"… and {more:,} more"] if more else [])]


def comparison_markdown(found: Comparison, prices: Prices) -> str:
    rows = [(change.what, change.job.name, _change_price(change), _change_why(change)) for change in found.changes]
    return _markdown(comparison_summary(found, prices), ("change", "job", "credits", "what"), rows)


def _change_price(change: Change) -> str:
    return "" if change.what == "gone" or change.bought else _credits(change.credits)


def _change_why(change: Change) -> str:
    return "; ".join(filter(None, [change.why, "bought before" if change.bought else ""]))


def _markdown(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that fits into a comment; a name or a prompt cannot break out of its cell."""
    lines = [f"**{title}**"]
    if rows:
        lines += ["", f"| {' | '.join(head)} |", "| --- | --- | ---: | --- |"]
        lines += [f"| {' | '.join(_cell(text) for text in row)} |" for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        lines += ["", f"… and {len(rows) - MOST_ROWS:,} more"]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\|`*_<>[]@#" else char for char in text.replace("\n", " "))


def _price(step: Step) -> str:
    """Of what is to be bought now, and in brackets of what waits for more."""
    if step.action in (Action.HELD, Action.PICK):
        return f"({_credits(step.job.credits)})"
    return _credits(step.credits) if step.action in (Action.SUBMIT, Action.AFTER) else ""


def _credits(credits: int | None) -> str:
    return "?" if credits is None else f"{credits:,}"


def picks_wanted(aims: Sequence[Aim]) -> list[str]:
    """What the user has to choose before the jobs that continue it can be made."""
    wanted = dict.fromkeys(of for aim in aims if aim.action is Action.PICK for of in aim.picks)
    return [f"waits for your pick of {of}: give stars on the page, export the picks, run again" for of in wanted]


def doubt_text(sheets: Sequence[Sheet], records: Mapping[Key, Record], target: str) -> str:
    """What to look for in the provider's console, and the exact commands that settle each job.

    Many jobs are told by their prompts, each with its first and last job and the time between: a sweep of seeds is
    one line. The page has each of them.
    """
    lines = [
        f"{counted(len(sheets), 'job is', 'jobs are')} in doubt: a submission left and its answer was lost. It is "
        "never sent again by itself.",
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
        f"then, for one that is there:      vidu-run resolve {target} --task TASK_ID {name}",
        f"for one that surely is not there: vidu-run resolve {target} --resubmit {name}",
        f"to give one up:                   vidu-run resolve {target} --abandon {name}",
    ]
    if len(sheets) > 1:
        lines.append("A NAME with * means all that match it: --resubmit 'shot-*'")
    return "\n".join(lines)


def _doubt_line(group: Sequence[Sheet], records: Mapping[Key, Record]) -> str:
    """Jobs with one prompt and one price: names, times of their POSTs, prompt, credits."""
    times = sorted(records[sheet.key].posted_at for sheet in group)
    when = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(times[0]))
    names, credits = group[0].name, credits_text(group[0].credits)
    if len(group) > 1:
        when = f"{when} to {time.strftime('%H:%M:%S', time.localtime(times[-1]))}"
        names, credits = f"{names} … {group[-1].name} ({len(group)} jobs)", f"{credits} each"
    told = f"{names}  {when}  {ends(repr(group[0].request.get('prompt') or ''), MOST_OF_A_PROMPT)}  {credits}"
    return told if len(group) > 1 else f"{told}\n    {', '.join(traits(group[0], records[group[0].key]))}"


def counts_text(counts: Mapping[str, int]) -> str:
    return " · ".join(f"{state.replace('_', ' ')} {count:,}" for state, count in counts.items()) or "no jobs"


def status_text(head: Mapping[str, Any], rows: Sequence[tuple[str, str, str]]) -> str:
    """`rows`: each job's state and name, and what there is to say of it."""
    width = max((columns(name) for _, name, _ in rows), default=4)
    lines = [f"{head['spec']}  {head['provider']}  {counts_text(head['counts'])}"]
    if committed := head["credits"]["committed"]:
        what = "rehearsed, none spent" if head["provider"] == LOCAL else "committed here, which a budget counts"
        lines.append(f"{credits_text(committed)} {what}")
    return "\n".join([*lines, *(f"  {state:<10} {padded(name, width)}  {tail}" for state, name, tail in rows)])


def verified_text(jobs: Sequence[Mapping[str, Any]]) -> str:
    """What reading the files of these jobs again has come to: an error of a delivered one is about its file."""
    wrong = [job["error"] for job in jobs if job["state"] == "done" and job["error"]]
    read = sum(job["state"] == "done" for job in jobs)
    found = " · ".join(f"{count:,}: {why}" for why, count in Counter(wrong).items())
    return f"{read:,} delivered: {found or 'every file is as it came'}"


def film_made(file: Path, film: Mapping[str, Any]) -> str:
    """A film that was joined, and what is not obvious about it."""
    seen = f"{film['frames']} frames, {film['seconds']:.1f} s of {counted(len(film['takes']), 'clip')}"
    remarks = [
        f"coded anew: {film['why']}" if film["why"] else "",
        f"its sound {film['sound']}: {film['sound_why']}" if film["sound_why"] else "",
    ]
    return "; ".join(filter(None, [f"film   {file}  {seen}", *remarks]))


def elsewhere_text(count: int, target: str) -> str:
    """Of a colleague's clone, say."""
    return (
        f"{counted(count, 'clip was', 'clips were')} delivered into another copy of this folder: copy the files into "
        f"its videos/, or buy them anew with vidu-run {target} --rebuy"
    )


def film_waits(name: str, missing: Sequence[str], ended: Mapping[str, str]) -> str:
    """`ended` are the jobs of those missing that have failed or were given up: to wait for them is in vain."""
    named = [*(f"{job} ({state})" for job, state in ended.items()), *(job for job in missing if job not in ended)]
    few = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
    advice = "; give another take a star, or make it with --retry-failed" if ended else ""
    if ELSEWHERE in ended.values():
        advice = "; copy the files into videos/, or buy them anew with --rebuy"
    return f"film   {name} waits for {counted(len(missing), 'clip')}: {few}{advice}"


def end_lines(code: int, said: Sequence[str], counts: Mapping[str, int], page: Any) -> list[str]:
    """The last words of a run: counts, what to know, where to look."""
    lines = [*(f"! {text}" for text in dict.fromkeys(said[:MOST_SHOWN])), counts_text(counts)]
    lines.append(f"page   {page}")
    if code == Exit.INCOMPLETE or code > SIGNALLED:
        paid = counts.get(State.SUBMITTED, 0) + counts.get(State.READY, 0)
        tasks = f" ({counted(paid, 'paid task is', 'paid tasks are')} at the API)" if paid else ""
        lines.append(f"not everything is there yet{tasks}: the same command goes on")
    return lines
