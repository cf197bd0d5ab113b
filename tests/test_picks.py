from __future__ import annotations

from pathlib import Path

import pytest

from vidu_run.errors import SpecTrouble
from vidu_run.picks import Pick, parse_picks, picks_file, read_picks

ONE, TWO = "ab" * 32, "cd" * 32


@pytest.mark.parametrize(
    ("spec", "picks"),
    [("jobs.yaml", "jobs.picks.yaml"), ("a/b.c.yml", "a/b.c.picks.yaml"), ("jobs.final.yaml", "jobs.final.picks.yaml")],
)
def test_the_picks_of_a_spec_stand_beside_it(spec: str, picks: str) -> None:
    assert picks_file(Path(spec)) == Path(picks)


def test_picks_are_read_by_key_in_their_order() -> None:
    text = (
        "# from the page\npicks:\n"
        f'  - {{key: {TWO}, name: harbour-s2, stars: 5, note: "late: the wave breaks \\u2028 #1"}}\n'
        f"  - {{key: {ONE}, name: 012, stars: 0}}\n"
    )
    assert list(parse_picks(text, "-").items()) == [
        (TWO, Pick(TWO, "harbour-s2", 5, "late: the wave breaks \u2028 #1")),
        (ONE, Pick(ONE, "012", 0)),
    ]


def test_nobody_needs_to_have_picked_anything() -> None:
    assert parse_picks("picks: []", "-") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("picks: 3", "-:1:8: picks must be a list"),
        ("stars: 3", "picks is missing"),
        ("version: 1", "-:1:1: a file of picks has no 'version'"),
        (f"picks:\n  - {{key: {ONE}, name: a, stars: 6}}", "-:2:"),
        (f"picks:\n  - {{key: {ONE}, name: a, star: 5}}", "did you mean stars?"),
        ("picks:\n  - {key: abc, name: a}", "is not a key of 64 hex digits"),
        (f"picks:\n  - {{key: {ONE}}}", "name is missing"),
        (f"picks:\n  - {{key: {ONE}, name: a}}\n  - {{key: {ONE}, name: a, stars: 2}}", "-:3:5: a: picked in line 2"),
        ("<<<<<<< ours\npicks: []", "-:"),
        ("", "is empty"),
    ],
)
def test_a_file_that_is_not_clear_about_its_picks_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(SpecTrouble) as caught:
        parse_picks(text, "-")
    assert said in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecTrouble, match=r"jobs\.picks\.yaml: cannot be read"):
        read_picks(tmp_path / "jobs.picks.yaml")
