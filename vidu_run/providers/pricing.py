"""Loads price lists, and fills in the API's own defaults for pricing and display. What it fills in is never sent and
never part of a job's key.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from vidu_run.errors import UsageTrouble
from vidu_run.price import Prices, Rate, Row, estimate
from vidu_run.providers.catalogue import read_data, read_schema, validator
from vidu_run.providers.rules import Effective, Provider

PRICES_VARIABLE = "VIDU_RUN_PRICES"
"""Names the file of the user's own prices; else `vidu-run/prices.json` in the user's configuration."""


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


def prices(p: Provider, environment: Mapping[str, str] = os.environ) -> Prices:
    """The provider's price list, with what the user knows better laid over it. Raises UsageTrouble for a file of the
    user's that is no price list.
    """
    raw = read_data(p.prices)
    mine, source = _mine(p.name, environment)
    credit = raw["credit"] | mine.get("credit", {})
    rows = [*raw["rows"], *({"source": source, "date": "", **row} for row in mine.get("rows", []))]
    return Prices(
        title=f"your prices in {source}" if mine else raw["title"],
        rows={(row["model"], row["resolution"]): _row(row) for row in rows},
        off_peak_percent=raw["off_peak"]["percent"],
        is_rec_credits=raw["is_rec"]["credits"],
        usd_per_credit=Decimal(credit["usd"]),
    )


def prices_file(environment: Mapping[str, str]) -> Path:
    """Where the user's own prices stand, if there are any."""
    home = Path(environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "~")) / ".config")
    return Path(environment.get(PRICES_VARIABLE) or home / "vidu-run" / "prices.json")


def _mine(name: str, environment: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """The user's own prices for a provider, {} where there are none; and the file they stand in."""
    path = prices_file(environment)
    try:
        content = path.read_bytes()
    except OSError as error:
        if environment.get(PRICES_VARIABLE):
            raise UsageTrouble(f"{path}: cannot be read ({error.strerror})") from None
        return {}, str(path)
    try:
        document = json.loads(content)
        wrong = next(validator(read_schema("prices.schema.json")).iter_errors(document), None)
    except ValueError as error:
        raise UsageTrouble(f"{path}: not JSON ({error})") from None
    if wrong is not None:
        where = ".".join(str(step) for step in wrong.absolute_path)
        raise UsageTrouble(f"{path}: {where + ': ' if where else ''}{wrong.message[:200]}")
    return document.get(name, {}), str(path)


def _row(raw: Mapping[str, Any]) -> Row:
    exact = {int(seconds): credits for seconds, credits in raw.get("exact", {}).items()}
    return Row(exact=exact, rate=_rate(raw), source=raw["source"], date=raw["date"], note=raw.get("note", ""))


def _rate(raw: Mapping[str, Any]) -> Rate | None:
    if "from" not in raw:
        return None
    return Rate(start=raw["from"], credits=raw["credits"], each=raw["each"], stated_to=raw["to"])
