"""`results.csv`: the jobs of a spec as rows for a spreadsheet, each cell read there as what it is here.

Text never becomes a formula, a date or a rounded number. It looks at no journal; scripts read `results.jsonl`.
"""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from vidu_run.files import write_if_other
from vidu_run.job import Key
from vidu_run.journal.port import Sheet
from vidu_run.price import Prices
from vidu_run.providers.rules import Effective
from vidu_run.record import Record, State
from vidu_run.report.data import job_line, took

NAME = "results.csv"

COLUMNS = ("name", "state", "stars", "note", "model", "resolution", "seconds", "seed")
MONEY = ("credits_estimated", "credits_charged", "usd")
SOURCES = ("prompt", "first", "last")
OUTCOME = ("file", "task_id", "submitted_at", "finished_at", "seconds_taken", "error", "key")
"""In this order, with `axis.<name>` for each axis before the sources."""

BOM = "\ufeff".encode()

MOST_DIGITS = 15
"""A spreadsheet keeps numbers as doubles and shows no digit beyond these."""

JOINERS = "\u200c\u200d"
"""Invisible, but scripts and emoji are spelled with them."""

LINE_END = re.compile(r"\r\n|[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")
FORMULA = re.compile(rf'(^|;)(?=[\s"{JOINERS}]*[=+\-@＝＋－＠﹦﹢﹣﹫−])')
"""Where a formula may begin: also behind a semicolon, at which half of the world's spreadsheets split."""

MONTH = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?"
)
WHOLE_NUMBER = re.compile(rf"0|[1-9]\d{{0,{MOST_DIGITS - 1}}}", re.ASCII)
MISREAD = re.compile(
    rf"[\s($€£¥.-]*\d[\d\s.,:/%)$€£¥e-]*(?:\s[ap]m?)?|[\d\s.,/-]*(?:{MONTH})[\d\s.,/-]*", re.IGNORECASE
)
NUMERIC = re.compile(r"\d")
"""Text that would be taken for a number, a time or a date: a job called `5-1` for the fifth of January."""

Cell = str | int | float | Decimal | None


class Verdict(Protocol):
    """What somebody thought of a clip: stars from 1 to 5, 0 where it was rejected, None without any."""

    @property
    def stars(self) -> int | None: ...

    @property
    def note(self) -> str: ...


def write_table(rows: Iterable[Sequence[Cell]], target: Path) -> None:
    """Write the rows where they differ from what is there: UTF-8 with a BOM, so that Excel does not guess, and CR LF.

    Raises StorageTrouble.
    """
    write_if_other(target, chain((BOM,), map(_line, rows)))


def _line(row: Sequence[Cell]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow([cell_text(value) for value in row])
    return text.getvalue().encode("utf-8", "replace")


def table_rows(
    sheets: Iterable[Sheet],
    records: Mapping[Key, Record],
    axes: Sequence[str],
    made: Callable[[Sheet], Effective],
    prices: Prices,
    verdicts: Mapping[Key, Verdict],
    run_lives: bool,
) -> Iterator[list[Cell]]:
    """The head, then a row for each job in the order of the spec. `usd` is of the charge, else of the estimate."""
    yield [*COLUMNS, *MONEY, *(f"axis.{axis}" for axis in axes), *SOURCES, *OUTCOME]
    for sheet in sheets:
        record = records.get(sheet.key)
        line = job_line(sheet, record, run_lives)
        yield [
            *_columns(line, made(sheet), verdicts.get(sheet.key)),
            *_money(sheet, record, prices),
            *(sheet.axes.get(axis) for axis in axes),
            *_sources(sheet),
            *_outcome(line, record),
        ]


def cell_text(value: Cell) -> str:
    """What to write so that a spreadsheet shows this value. A leading apostrophe says: this is text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _text(value)
    shown = str(value)
    exact = math.isfinite(value) and sum(map(str.isdigit, shown)) <= MOST_DIGITS
    return shown if exact else f"'{shown}"


@lru_cache(maxsize=1024)
def _text(value: str) -> str:
    plain = value if value.isprintable() else _in_one_line(value)
    safe = FORMULA.sub(r"\1'", plain)
    misread = NUMERIC.search(safe) and MISREAD.fullmatch(safe) and not WHOLE_NUMBER.fullmatch(safe)
    return f"'{safe}" if misread else safe


def _in_one_line(text: str) -> str:
    return "".join(filter(_is_visible, LINE_END.sub(" ⏎ ", text).replace("\t", " ")))


def _is_visible(char: str) -> bool:
    return char in JOINERS or unicodedata.category(char) not in ("Cc", "Cf", "Cs")


def _columns(line: Mapping[str, Any], made: Effective, verdict: Verdict | None) -> list[Cell]:
    stars: Cell = verdict.stars if verdict else None
    note = verdict.note if verdict else None
    known = [made.model, made.resolution, made.seconds, line["seed"]]
    return [line["name"], line["state"], "rejected" if stars == 0 else stars, note, *known]


def _money(sheet: Sheet, record: Record | None, prices: Prices) -> list[Cell]:
    charged = record.charged if record else None
    cost = sheet.credits if charged is None else charged
    return [sheet.credits, charged, None if cost is None else _to_the_cent(prices.usd(cost))]


def _to_the_cent(usd: Decimal) -> Decimal:
    """Two decimals, or four where a clip costs parts of a cent."""
    return Decimal(f"{usd:.4f}".removesuffix("00"))


def _sources(sheet: Sheet) -> list[Cell]:
    sources = [source for source, _ in sheet.images]
    first, last = sources if len(sources) == 2 else (None, None)
    return [sheet.request.get("prompt"), first, last]


def _outcome(line: Mapping[str, Any], record: Record | None) -> list[Cell]:
    sent = record if line["state"] != State.PLANNED else None
    times = [_when(sent.posted_at), _when(sent.finished_at), took(sent)] if sent else [None, None, None]
    return [line["file"], line["task_id"], *times, line["error"], line["key"]]


def _when(seconds: float | None) -> str | None:
    """A record out of the ledger knows no times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None
