"""What a clip costs by a provider's price list, in credits. An estimate only: the charge is what the API says it took.

Pure arithmetic over a table somebody else has loaded; it never reads a file and knows no provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Rate:
    """`credits` for a clip of `start` seconds and `each` more for every further second."""

    start: int
    credits: int
    each: int
    stated_to: int
    """The last second the source speaks of."""


@dataclass(frozen=True, slots=True)
class Row:
    """The price of one model in one resolution: lengths with a figure of their own, then a rate for the others."""

    exact: Mapping[int, int]
    rate: Rate | None
    source: str
    date: str
    note: str = ""

    def credits(self, seconds: int) -> int | None:
        if seconds in self.exact:
            return self.exact[seconds]
        if self.rate is None or seconds < self.rate.start:
            return None
        return self.rate.credits + self.rate.each * (seconds - self.rate.start)


@dataclass(frozen=True, slots=True)
class Prices:
    """A price list. `rows` is keyed by (model, resolution); money is what one credit costs."""

    title: str
    rows: Mapping[tuple[str, str], Row]
    off_peak_percent: int
    is_rec_credits: int
    usd_per_credit: Decimal

    def usd(self, credits: int) -> Decimal:
        return credits * self.usd_per_credit


def estimate(prices: Prices, model: str, resolution: str, seconds: int, *, off_peak: bool, is_rec: bool) -> int | None:
    """Credits for one clip; None where the list has no figure.

    Off-peak takes its part of the clip's price, rounded up. Whether it also lowers the surcharge for is_rec is
    documented nowhere, so the surcharge is counted in full.
    """
    row = prices.rows.get((model, resolution))
    full = row.credits(seconds) if row else None
    if full is None:
        return None
    clip = -(-full * prices.off_peak_percent // 100) if off_peak else full
    return clip + (prices.is_rec_credits if is_rec else 0)


def is_extrapolated(prices: Prices, model: str, resolution: str, seconds: int) -> bool:
    """Whether the estimate carries a rate on beyond the last second its source speaks of."""
    row = prices.rows.get((model, resolution))
    return row is not None and row.rate is not None and seconds not in row.exact and seconds > row.rate.stated_to
