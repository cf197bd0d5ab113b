"""What `plan` puts on paper: a plan or a comparison as text, Markdown or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vidu_run import show
from vidu_run.compare import Comparison
from vidu_run.preview import Planned
from vidu_run.providers.pricing import prices
from vidu_run.reply import Balance
from vidu_run.report.data import comparison_document, plan_document
from vidu_run.spec.load import Spec


def planned(plans: Sequence[Planned], balances: Sequence[Balance | None], form: str) -> str:
    """`form` is text, markdown or json; one spec's JSON is an object, several are a list. Of several each is named."""
    pairs = list(zip(plans, balances, strict=True))
    if form == "json":
        documents = [_document(made, balance) for made, balance in pairs]
        return json.dumps(documents[0] if len(documents) == 1 else documents, ensure_ascii=False)
    texts = [_markdown(made) if form == "markdown" else "\n".join(_lines(made, balance)) for made, balance in pairs]
    if len(plans) == 1:
        return texts[0]
    heads = [show.heading(made.spec.path, form) for made in plans]
    return "\n\n".join(f"{head}\n{text}" for head, text in zip(heads, texts, strict=True))


def compared(found: tuple[Comparison, Spec], form: str) -> str:
    comparison, spec = found
    table = prices(spec.provider)
    if form == "json":
        document = comparison_document(comparison, float(table.usd(comparison.credits)))
        return json.dumps(document, ensure_ascii=False)
    if form == "markdown":
        return show.comparison_markdown(comparison, table)
    return "\n".join([*show.comparison_table(comparison), show.comparison_summary(comparison, table)])


def _document(made: Planned, balance: Balance | None) -> dict[str, object]:
    usd = float(made.prices.usd(made.plan.credits))
    document = plan_document(made.plan, usd, made.outlook.seconds, made.outlook.off_peak)
    if balance is not None:
        document["balance"] = {"credits": balance.credits, "concurrency": balance.concurrency}
    problems = ({"place": str(p.place), "message": p.message, "job": p.job} for p in made.warnings())
    return {"spec": made.spec.path.as_posix(), **document, "warnings": list(problems)}


def _markdown(made: Planned) -> str:
    return show.plan_markdown(made.plan, made.prices, made.spec.provider.rehearses)


def _lines(made: Planned, balance: Balance | None) -> list[str]:
    provider, ahead = made.spec.provider, made.outlook
    lines = [*show.plan_table(made.plan), show.plan_summary(made.plan, made.prices, provider.rehearses)]
    if made.plan.to_buy and ahead.seconds is not None and ahead.clip_seconds is not None:
        lines.append(show.time_text(ahead.seconds, ahead.clip_seconds))
    if made.plan.to_buy and ahead.off_peak is not None:
        lines.append(f"off-peak it would be {show.credits_text(ahead.off_peak, made.prices)}, within 48 h")
    lines += show.estimate_note(made.plan, made.prices, provider)
    return [*lines, *([show.balance_text(balance)] if balance else [])]
