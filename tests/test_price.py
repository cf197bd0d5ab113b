"""The price list as arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import product

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry

from vidu_run.price import estimate, is_extrapolated
from vidu_run.providers.catalogue import PROVIDER_NAMES, provider, request_schema
from vidu_run.providers.pricing import credits_for, prices

LIST = prices(provider("vidu"))
Formula = Callable[[int], int]

BY_THE_SECOND: list[tuple[str, str, range, Formula, int, int]] = [
    ("viduq3-pro", "540p", range(1, 17), lambda d: 14 * d, 70, 35),
    ("viduq3-pro", "720p", range(1, 17), lambda d: 30 * d, 150, 75),
    ("viduq3-pro", "1080p", range(1, 17), lambda d: 32 * d, 160, 80),
    ("viduq3-turbo", "540p", range(1, 17), lambda d: 8 * d, 40, 20),
    ("viduq3-turbo", "720p", range(1, 17), lambda d: 12 * d, 60, 30),
    ("viduq3-turbo", "1080p", range(1, 17), lambda d: 16 * d, 80, 40),
    ("viduq2-turbo", "540p", range(1, 9), lambda d: 6 + 2 * (d - 1), 14, 7),
    ("viduq2-turbo", "720p", range(1, 9), lambda d: 8 if d == 1 else 10 + 10 * (d - 2), 40, 20),
    ("viduq2-turbo", "1080p", range(1, 9), lambda d: 35 + 10 * (d - 1), 75, 38),
    ("viduq2-pro", "540p", range(1, 9), lambda d: 8 if d == 1 else 10 + 5 * (d - 2), 25, 13),
    ("viduq2-pro", "720p", range(1, 9), lambda d: 15 + 10 * (d - 1), 55, 28),
    ("viduq2-pro", "1080p", range(1, 9), lambda d: 55 + 15 * (d - 1), 115, 58),
    ("viduq2-pro-fast", "720p", range(1, 9), lambda d: 8 + 2 * (d - 1), 16, 8),
    ("viduq2-pro-fast", "1080p", range(1, 9), lambda d: 16 + 4 * (d - 1), 32, 16),
]
FLAT: list[tuple[str, str, int, int, int]] = [
    ("viduq1", "1080p", 5, 80, 40),
    ("viduq1-classic", "1080p", 5, 80, 40),
    ("vidu2.0", "360p", 4, 20, 10),
    ("vidu2.0", "720p", 4, 40, 20),
    ("vidu2.0", "1080p", 4, 100, 50),
    ("vidu2.0", "720p", 8, 100, 50),
]


def price(model: str, resolution: str, seconds: int, *, off_peak: bool = False, is_rec: bool = False) -> int | None:
    return estimate(LIST, model, resolution, seconds, off_peak=off_peak, is_rec=is_rec)


@pytest.mark.parametrize(("model", "resolution", "lengths", "formula", "five", "five_off_peak"), BY_THE_SECOND)
def test_a_clip_priced_by_the_second_costs_what_the_list_says(
    model: str, resolution: str, lengths: Iterable[int], formula: Formula, five: int, five_off_peak: int
) -> None:
    assert {d: price(model, resolution, d) for d in lengths} == {d: formula(d) for d in lengths}
    assert price(model, resolution, 5) == five
    assert price(model, resolution, 5, off_peak=True) == five_off_peak


@pytest.mark.parametrize(("model", "resolution", "seconds", "credits", "off_peak"), FLAT)
def test_a_clip_with_a_flat_price_costs_what_the_list_says(
    model: str, resolution: str, seconds: int, credits: int, off_peak: int
) -> None:
    assert price(model, resolution, seconds) == credits
    assert price(model, resolution, seconds, off_peak=True) == off_peak


def test_the_list_has_no_row_besides_these_and_each_cites_a_dated_source() -> None:
    assert set(LIST.rows) == {(m, r) for m, r, *_ in [*BY_THE_SECOND, *FLAT]}
    assert all(row.source and row.date[:2] == "20" for row in LIST.rows.values())


@pytest.mark.parametrize(("full", "half"), [(1, 55), (2, 70), (3, 85)])
def test_off_peak_is_half_and_a_half_credit_counts_whole(full: int, half: int) -> None:
    assert price("viduq2-pro", "1080p", full) == half
    assert price("viduq2-pro", "1080p", full, off_peak=True) == (half + 1) // 2


def test_a_written_prompt_costs_ten_more_and_never_half_of_that() -> None:
    assert price("viduq2-turbo", "720p", 5, is_rec=True) == 50
    assert price("viduq2-turbo", "720p", 5, off_peak=True, is_rec=True) == 30


@pytest.mark.parametrize(
    ("model", "resolution", "seconds"),
    [
        ("viduq2-pro-fast", "540p", 5),
        ("viduq1", "720p", 5),
        ("viduq1", "1080p", 4),
        ("vidu2.0", "360p", 8),
        ("vidu2.0", "720p", 5),
        ("viduq2-turbo", "720p", 0),
        ("viduq2-turbo", "720p", -3),
        ("viduq9", "720p", 5),
    ],
)
def test_what_the_list_does_not_know_has_no_price(model: str, resolution: str, seconds: int) -> None:
    assert price(model, resolution, seconds) is None
    assert price(model, resolution, seconds, off_peak=True, is_rec=True) is None


def test_beyond_the_documented_lengths_the_rate_goes_on_and_says_so() -> None:
    assert [price("viduq2-turbo", "720p", d) for d in (8, 9, 10)] == [70, 80, 90]
    assert [is_extrapolated(LIST, "viduq2-turbo", "720p", d) for d in (1, 8, 9, 10)] == [False, False, True, True]
    assert not is_extrapolated(LIST, "viduq3-pro", "720p", 16)
    assert not is_extrapolated(LIST, "vidu2.0", "720p", 8)
    assert not is_extrapolated(LIST, "viduq9", "720p", 9)


def test_where_two_figures_circulate_the_higher_one_stands_and_the_row_says_so() -> None:
    assert price("viduq3-turbo", "1080p", 1) == 16
    assert "14 a second" in LIST.rows["viduq3-turbo", "1080p"].note


def test_credits_are_worth_money_to_the_last_digit() -> None:
    assert LIST.usd(150) == Decimal("0.75")
    assert LIST.usd(1) == Decimal("0.005")


@pytest.mark.parametrize(
    ("request_", "credits"),
    [
        ({"model": "viduq3-pro"}, 150),
        ({"model": "viduq3-pro", "audio": False}, 150),
        ({"model": "viduq2-turbo", "duration": 1}, 8),
        ({"model": "viduq1"}, 80),
        ({"model": "vidu2.0"}, 20),
        ({"model": "vidu2.0", "duration": 8}, 100),
        ({"model": "viduq2-pro", "off_peak": True, "is_rec": True}, 38),
        ({"model": "viduq2-pro", "off_peak": False, "is_rec": False}, 55),
    ],
)
def test_a_request_is_priced_with_the_apis_own_defaults(request_: dict[str, object], credits: int) -> None:
    assert credits_for(provider("vidu"), LIST, request_) == credits


@pytest.mark.parametrize("name", PROVIDER_NAMES)
def test_all_that_a_provider_allows_has_a_price_except_the_one_size_nobody_names(name: str) -> None:
    p = provider(name)
    validator = Draft202012Validator(request_schema(p), registry=Registry())
    axes = product(p.models, range(1, 17), ["360p", "540p", "720p", "1080p"])
    requests = [{"model": m, "duration": d, "resolution": r, "images": ["a", "b"]} for m, d, r in axes]
    unpriced = [q for q in requests if validator.is_valid(q) and credits_for(p, prices(p), q) is None]
    known_gap = {("viduq2-pro-fast", "540p")} if name == "octopusx" else set()
    assert {(q["model"], q["resolution"]) for q in unpriced} == known_gap
