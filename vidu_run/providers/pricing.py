"""Loads price lists, and fills in the API's own defaults for pricing and display. What it fills in is never sent and
never part of a job's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from vidu_run.price import Prices, Rate, Row, estimate
from vidu_run.providers.catalogue import read_data
from vidu_run.providers.rules import Effective, Provider


def effective(p: Provider, request: Mapping[str, object]) -> Effective:
    """For a request that passed the provider's schema; KeyError for a model the provider has not got."""
    name = str(request["model"])
    model = p.models[name]
    duration, resolution, audio = request.get("duration"), request.get("resolution"), request.get("audio")
    seconds = duration if isinstance(duration, int) else model.duration
    return Effective(
        model=name,
        resolution=resolution if isinstance(resolution, str) else model.default_resolution(seconds),
        seconds=seconds,
        audio=model.audio if audio is None or "audio" in model.ignores else bool(audio),
    )


def credits_for(p: Provider, prices: Prices, request: Mapping[str, object]) -> int | None:
    """The estimate for a request that passed the provider's schema; None where no price is known."""
    e = effective(p, request)
    off_peak, is_rec = request.get("off_peak") is True, request.get("is_rec") is True
    return estimate(prices, e.model, e.resolution, e.seconds, off_peak=off_peak, is_rec=is_rec)


def prices(p: Provider) -> Prices:
    raw = read_data(p.prices)
    credit = raw["credit"]
    return Prices(
        title=raw["title"],
        rows={(row["model"], row["resolution"]): _row(row) for row in raw["rows"]},
        off_peak_percent=raw["off_peak"]["percent"],
        is_rec_credits=raw["is_rec"]["credits"],
        usd_per_credit=Decimal(credit["usd"]),
        cny_per_credit=Decimal(credit["cny"]),
        date=credit["date"],
    )


def _row(raw: Mapping[str, Any]) -> Row:
    exact = {int(seconds): credits for seconds, credits in raw.get("exact", {}).items()}
    return Row(exact=exact, rate=_rate(raw), source=raw["source"], date=raw["date"], note=raw.get("note", ""))


def _rate(raw: Mapping[str, Any]) -> Rate | None:
    if "from" not in raw:
        return None
    return Rate(start=raw["from"], credits=raw["credits"], each=raw["each"], stated_to=raw["to"])
