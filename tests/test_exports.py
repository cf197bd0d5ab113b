"""What leaves the output folder for other programs: the table for spreadsheets, the contact sheets."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder
from fault_server import FaultServer
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from vidu_run.errors import StorageTrouble, UsageTrouble
from vidu_run.files import write_if_other
from vidu_run.job import Key
from vidu_run.journal.port import Sheet
from vidu_run.picks import Pick
from vidu_run.providers.catalogue import provider
from vidu_run.providers.pricing import effective, prices
from vidu_run.record import Record, State
from vidu_run.report.contact import GOLD, GROUND, INK, Origin, draw, write_sheets
from vidu_run.report.data import Pictures, axes_of
from vidu_run.report.grid import MOST_BYTES, Board, Tile, boards, column_axis, file_names, rows, spoken
from vidu_run.report.layout import CELL, LABEL, MOST_CLIPS, MOST_COLUMNS, MOST_WIDTH, Layout, columns_for, lay_out
from vidu_run.report.lettering import Lettering, star
from vidu_run.report.table import Cell, Verdict, cell_text, table_rows, write_table

TRIGGERS = "=+-@＝＋－＠"
WEBP_MOST = 16_383


def a_sheet(name: str, images: Sequence[tuple[str, str | None]] = (), **axes: Any) -> Sheet:
    key = Key(sha256(name.encode()).hexdigest())
    request = {"model": "viduq2-turbo", "duration": 4, "resolution": "720p", "prompt": "a boat"}
    pair = tuple(images) or (("frames/a.png", "a.png"), ("frames/b.png", "b.png"))
    return Sheet(name, key, 0, axes, request, pair, 30)


def a_record(sheet: Sheet, state: State = State.DONE, **facts: Any) -> Record:
    done = {"file": f"videos/{sheet.name}.mp4"} if state is State.DONE else {}
    return Record(sheet.key, 1, state, "m", 1_700_000_000.0, **{**done, **facts})


# The table


def table(
    *sheets: Sheet, records: Sequence[Record] = (), verdicts: Mapping[Key, Verdict] | None = None
) -> list[dict[str, Cell]]:
    """Each row by the names of its columns."""
    vidu = provider("vidu")
    known = {record.key: record for record in records}
    usd = prices(vidu, {"HOME": "/nowhere"})
    rows = table_rows(
        sheets, known, axes_of(sheets), lambda sheet: effective(vidu, sheet.request), usd, verdicts or {}, False
    )
    head, *found = rows
    return [dict(zip(map(str, head), row, strict=True)) for row in found]


def read_table(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), delimiter=delimiter))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30", "'+49 30"),
        ("-a boat", "'-a boat"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("   =1+1", "'   =1+1"),
        ("\t=1+1", "' =1+1"),
        ("\r=1+1", " ⏎ =1+1"),
        ("\u200b\u202e=1+1", "'=1+1"),
        ("\u00a0=1+1", "'\u00a0=1+1"),
        ("＝1+1", "'＝1+1"),
        ("＋1", "'＋1"),
        ("－1", "'－1"),
        ("＠SUM(A1)", "'＠SUM(A1)"),
        ('"=1+1"', '\'"=1+1"'),
        ("a boat;=1+1", "a boat;'=1+1"),
        ('a boat; "=1+1', "a boat;' \"=1+1"),
        ("one\n=two", "one ⏎ =two"),
        ("1+1=2", "1+1=2"),
        ("harbour-s1", "harbour-s1"),
        ("a@b", "a@b"),
    ],
)
def test_no_text_begins_a_formula(text: str, written: str) -> None:
    assert cell_text(text) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        (3, "3"),
        (-3, "-3"),
        (0.5, "0.5"),
        (999_999_999_999_999, "999999999999999"),
        (2**63, "'9223372036854775808"),
        (0.1 + 0.2, "'0.30000000000000004"),
        (float("-inf"), "'-inf"),
        ("12", "12"),
        ("007", "'007"),
        ("812345678901234567", "'812345678901234567"),
        ("5-1", "'5-1"),
        ("1/2", "'1/2"),
        ("16:9", "'16:9"),
        ("1.5", "'1.5"),
        ("1e5", "'1e5"),
        ("(5)", "'(5)"),
        ("5 pm", "'5 pm"),
        ("mar-1", "'mar-1"),
        ("1 September", "'1 September"),
        ("720p", "720p"),
        ("e5", "e5"),
        ("march", "march"),
        ("marble-1", "marble-1"),
        ("5-1-b", "5-1-b"),
    ],
)
def test_a_cell_is_read_by_a_spreadsheet_as_what_it_is(value: Cell, written: str) -> None:
    """Only numbers of ours that keep all their digits stand there as numbers."""
    assert cell_text(value) == written


def is_harmless(cell: str) -> bool:
    return not cell.lstrip(' \u00a0\u3000"\u200c\u200d').startswith(tuple(TRIGGERS))


@given(st.lists(st.text(st.characters() | st.sampled_from('=+-@;,"\n\r\t\u202e\u2028')), min_size=1, max_size=4))
def test_whatever_a_text_holds_a_row_is_one_line_of_harmless_cells(tmp_path_factory: Any, texts: list[str]) -> None:
    target = tmp_path_factory.mktemp("table") / "results.csv"
    write_table([["x", *texts, "x"]], target)
    text = target.read_bytes().decode("utf-8-sig")
    assert text.endswith("\r\n")
    assert not {unicodedata.category(char) for char in text[:-2]} & {"Cc", "Zl", "Zp", "Cs"}
    for delimiter in ",;":
        (row,) = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        assert all(map(is_harmless, row))
        assert delimiter == ";" or len(row) == len(texts) + 2


def test_a_row_says_what_was_asked_and_what_came_of_it() -> None:
    sheet = a_sheet("harbour-s3", pair="harbour", seed=3)
    record = a_record(sheet, task_id="t1", accepted_at=1_700_000_001.0, finished_at=1_700_000_061.5, charged=33, seed=9)
    (row,) = table(sheet, records=[record])
    assert list(row)[:8] == ["name", "state", "stars", "note", "model", "resolution", "seconds", "seed"]
    assert row == {
        **{"name": "harbour-s3", "state": "done", "stars": None, "note": None, "model": "viduq2-turbo"},
        **{"resolution": "720p", "seconds": 4, "seed": 9, "credits_estimated": 30, "credits_charged": 33},
        **{"usd": row["usd"], "axis.pair": "harbour", "axis.seed": 3, "prompt": "a boat"},
        **{"first": "frames/a.png", "last": "frames/b.png", "file": "videos/harbour-s3.mp4", "task_id": "t1"},
        **{"submitted_at": "2023-11-14T22:13:20Z", "finished_at": "2023-11-14T22:14:21Z", "seconds_taken": 60.5},
        **{"error": None, "key": sheet.key},
    }
    assert cell_text(row["usd"]) == f"{prices(provider('vidu'), {'HOME': '/nowhere'}).usd(33):.4f}".removesuffix("00")


def test_a_job_that_was_not_sent_has_no_times_and_costs_its_estimate() -> None:
    waiting, refused = a_sheet("a"), a_sheet("b")
    rows_ = table(waiting, refused, records=[a_record(refused, State.NOT_SENT)])
    assert [row["state"] for row in rows_] == ["planned", "planned"]
    assert [(row["submitted_at"], row["credits_charged"], row["credits_estimated"]) for row in rows_] == [
        (None, None, 30),
        (None, None, 30),
    ]
    assert rows_[0]["usd"]


def test_jobs_without_an_axis_leave_its_column_empty() -> None:
    first, second = table(a_sheet("a", seed=1), a_sheet("b", pace="slow"))
    assert (first["axis.seed"], first["axis.pace"]) == (1, None)
    assert (second["axis.seed"], second["axis.pace"]) == (None, "slow")


def test_picks_fill_stars_and_note() -> None:
    sheets = [a_sheet(name) for name in "abcd"]
    stars = [5, 0, None]
    verdicts = {s.key: Pick(s.key, s.name, n, "=note") for s, n in zip(sheets, stars, strict=False)}
    assert [row["stars"] for row in table(*sheets, verdicts=verdicts)] == [5, "rejected", None, None]
    assert [row["note"] for row in table(*sheets, verdicts=verdicts)] == ["=note", "=note", "=note", None]


def test_a_table_is_written_for_excel_and_left_alone_while_nothing_changes(tmp_path: Path) -> None:
    target = tmp_path / "results.csv"
    write_table([["name", "prompt"], ["é", 'a, "b"']], target)
    assert target.read_bytes() == '\ufeffname,prompt\r\né,"a, ""b"""\r\n'.encode()
    before = target.stat().st_ino
    write_table([["name", "prompt"], ["é", 'a, "b"']], target)
    assert target.stat().st_ino == before
    write_table([["name", "prompt"]], target)
    assert target.read_bytes() == "\ufeffname,prompt\r\n".encode()


def test_a_run_writes_the_table_and_report_writes_it_anew(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3, prompt="=a boat")
    assert folder.buy(server, "--provider", "vidu", "--limit", "2").code == 0
    path = folder.path / "out/jobs@vidu/results.csv"
    written = path.read_bytes()
    found = read_table(path)
    assert [(row["name"], row["state"], row["credits_charged"]) for row in found] == [
        ("job-1", "done", "7"),
        ("job-2", "done", "7"),
        ("job-3", "planned", ""),
    ]
    assert {row["prompt"] for row in found} == {"'=a boat"}
    assert [row["axis.seed"] for row in found] == ["1", "2", "3"]
    path.unlink()
    told = folder("report", "jobs.yaml", "--provider", "vidu", "--json")
    assert path.read_bytes() == written
    assert "sheets" not in told.document
    assert not (path.parent / "sheets").exists()


def test_a_table_that_cannot_be_written_costs_a_line_and_nothing_else(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    blocked = folder.path / "out/jobs/results.csv"
    blocked.mkdir(parents=True)
    done = folder.buy(server)
    assert done.code == 0
    assert done.counts() == {"done": 1}
    assert "results.csv: cannot be written" in done.err
    assert (folder.path / "out/jobs/report.html").is_file()
    assert "results.csv: cannot be written" in folder.buy(server).err
    assert folder("report", "jobs.yaml").code == 0
    blocked.rmdir()
    assert folder.buy(server).code == 0
    assert "job-1" in blocked.read_text()
    assert [path.name for path in blocked.parent.glob(".*.new")] == []


# Which clips share a sheet


def grid_of(*sheets: Sheet, column: str | None = None) -> list[tuple[tuple[str, ...], list[str]]]:
    return [(row.labels, [job.name for job in row.jobs]) for row in rows(sheets, column_axis(sheets, column))]


def test_a_row_is_of_jobs_that_differ_in_their_seed_alone() -> None:
    sheets = [a_sheet(f"{pair}{seed}", pair=pair, seed=seed, pace=2) for seed in (1, 2) for pair in ("ridge", "bay")]
    assert grid_of(*sheets) == [
        (("ridge", "pace 2"), ["ridge1", "ridge2"]),
        (("bay", "pace 2"), ["bay1", "bay2"]),
    ]


def test_another_axis_can_run_along_the_sheet_and_the_last_does_where_there_are_no_seeds() -> None:
    sheets = [a_sheet(f"{pair}{pace}", pair=pair, pace=pace) for pair in ("ridge", "bay") for pace in (1, 2)]
    assert [labels for labels, _ in grid_of(*sheets)] == [("ridge",), ("bay",)]
    assert [labels for labels, _ in grid_of(*sheets, column="pair")] == [("pace 1",), ("pace 2",)]


def test_jobs_without_axes_share_a_sheet() -> None:
    assert grid_of(a_sheet("a"), a_sheet("b")) == [((), ["a", "b"])]
    assert column_axis([a_sheet("a")], None) is None


def test_two_items_of_a_spec_with_the_same_labels_have_a_row_each() -> None:
    sheets = [a_sheet(f"{item}{seed}", seed=seed) for item in ("near", "far") for seed in (1, 2)]
    assert grid_of(*sheets, a_sheet("single")) == [
        ((), ["near1", "near2"]),
        ((), ["far1", "far2"]),
        ((), ["single"]),
    ]


def test_axes_that_advance_together_are_one_column() -> None:
    zipped = [
        a_sheet(f"{look}-{seed}", look=look, prompt=prompt, seed=seed)
        for look, prompt in [("warm", "dawn"), ("cold", "dusk")]
        for seed in (1, 2)
    ]
    found = rows(zipped, "look")
    assert [row.labels for row in found] == [("seed 1",), ("seed 2",)]
    assert [[job.name for job in row.jobs] for row in found] == [["warm-1", "cold-1"], ["warm-2", "cold-2"]]
    assert len(rows(zipped, "seed")) == 2
    assert len(rows(zipped[::3], "look")) == 2


def test_a_column_that_is_no_axis_is_told_with_those_there_are() -> None:
    with pytest.raises(UsageTrouble, match="--columns sed: no axis is called so; there are pair, seed"):
        column_axis([a_sheet("a", pair="x", seed=1)], "sed")
    with pytest.raises(UsageTrouble, match="this spec has none"):
        column_axis([a_sheet("a")], "seed")


def test_a_value_without_a_word_in_it_is_told_with_its_axis() -> None:
    told = [spoken("seed", 3), spoken("shot", "harbour"), spoken("audio", "true"), spoken("ratio", "16:9")]
    assert told == ["seed 3", "harbour", "audio true", "ratio 16:9"]


def test_a_sheet_says_what_its_jobs_share() -> None:
    first, second = a_sheet("a", seed=1), a_sheet("b", seed=2)
    other = replace(second, request={**second.request, "prompt": "a ship"}, images=(("u", None), ("v", None)))
    pictures = Pictures("posters", {"a.png.webp", "b.png.webp", f"{'c' * 24}.webp"})
    done = a_record(first, finished_at=5.0, sha256="c" * 64)
    records = {first.key: done, second.key: a_record(second, State.FAILED, finished_at=9.0)}
    (board,) = boards("jobs.yaml", [first, second], records, pictures, {}, None, run_lives=False)
    assert (board.file, board.title, board.prompt) == ("jobs", "jobs.yaml", "a boat")
    assert (board.first, board.last, board.newest) == ("posters/a.png.webp", "posters/b.png.webp", 5.0)
    assert [(t.label, t.state, t.poster) for t in board.tiles] == [
        ("seed 1", State.DONE, f"posters/{'c' * 24}.webp"),
        ("seed 2", State.FAILED, None),
    ]
    (board,) = boards("jobs.yaml", [first, other], {}, pictures, {}, None, run_lives=False)
    assert (board.prompt, board.first, board.last, board.newest) == ("", None, None, None)


def test_a_long_row_is_wrapped_into_several_files() -> None:
    sheets = [a_sheet(f"{pair}{seed}", pair=pair, seed=seed) for pair in ("bay", "Bay-2") for seed in range(1, 100)]
    made = boards("jobs.yaml", sheets, {}, Pictures("posters", ()), {}, None, run_lives=False)
    assert [(b.file, len(b.tiles)) for b in made] == [
        ("bay", MOST_CLIPS),
        ("bay-2", 99 - MOST_CLIPS),
        ("Bay-2-2", MOST_CLIPS),
        ("Bay-2-3", 99 - MOST_CLIPS),
    ]
    assert made[1].title == "jobs.yaml · bay · 2 of 2"
    assert made[1].tiles[0].label == f"seed {MOST_CLIPS + 1}"


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("harbour", "harbour"),
        ("16:9 / a*b?", "16-9-a-b"),
        ("../../etc/passwd", "etc-passwd"),
        ("-rf", "rf"),
        ("con", "_con"),
        ("Aux.film", "_Aux.film"),
        ("雪山 Höhe", "雪山-Höhe"),
        ("a\u202eb\x07", "a-b"),
        ("...", "sheet"),
        ("x" * 300, "x" * MOST_BYTES),
        ("雪" * 100, "雪" * (MOST_BYTES // 3)),
    ],
)
def test_a_file_s_name_is_fit_for_every_system_and_keeps_what_it_can(label: str, name: str) -> None:
    assert file_names([(label, 1)]) == [name]


LABELS = st.text(max_size=12) | st.sampled_from(["a", "A", "a-2", "a-2-2", "ﬁ", "fi"])
ROWS = st.lists(st.tuples(LABELS, st.integers(1, 3)), max_size=9)


@given(ROWS)
def test_no_two_sheets_share_a_file_whatever_their_rows_are_called(labels: list[tuple[str, int]]) -> None:
    names = file_names(labels)
    assert len(names) == sum(count for _, count in labels)
    assert len({unicodedata.normalize("NFKC", name).casefold() for name in names}) == len(names)
    for name in names:
        assert name
        assert len(name.encode()) <= MOST_BYTES
        assert name.isprintable()
        assert not set(name) & set('<>:"/\\|?* ')
        assert name[0] not in ".-"
        assert name[-1] not in ".-"


# Where things stand

SIZES = st.builds(lambda width, shape: (width, max(1, round(width * shape))), st.integers(16, 4000), st.floats(0.2, 5))
"""Of frames and clips: the API takes shapes from 1:4 to 4:1."""


@given(st.lists(SIZES, min_size=1, max_size=MOST_CLIPS), st.lists(SIZES, max_size=2))
def test_a_sheet_is_never_too_large_and_nothing_on_it_overlaps(
    clips: list[tuple[int, int]], sides: list[tuple[int, int]]
) -> None:
    made = lay_out(200, sides, clips)
    assert made.width <= MOST_WIDTH
    assert made.height <= 16_000
    boxes = [*made.sides, *made.cells]
    assert len({box.left for box in made.cells}) <= MOST_COLUMNS
    for at, box in enumerate(boxes):
        assert box.left >= 0
        assert box.left + box.width <= made.width
        assert box.top + box.height + LABEL <= made.height
        for other in boxes[:at]:
            apart = box.left >= other.left + other.width or box.top >= other.top + other.height + LABEL
            assert apart or other.left >= box.left + box.width or other.top >= box.top + box.height + LABEL


def test_columns_leave_few_holes() -> None:
    assert [columns_for(count) for count in range(1, 14)] == [1, 2, 3, 4, 5, 3, 4, 4, 3, 5, 4, 4, 5]
    assert columns_for(MOST_CLIPS) == MOST_COLUMNS


# The picture

RED, GREEN, BLUE, WHITE = (200, 30, 30), (30, 160, 30), (40, 40, 210), (240, 240, 240)
MADE = Origin("octopusx", rehearsal=False)


def still(out: Path, name: str, colour: tuple[int, int, int], size: tuple[int, int] = (480, 270)) -> str:
    (out / "posters").mkdir(exist_ok=True)
    Image.new("RGB", size, colour).save(out / "posters" / name, "PNG")
    return f"posters/{name}"


def a_board(*tiles: Tile, first: str | None = None, last: str | None = None, **changes: Any) -> Board:
    return replace(Board("row", "jobs.yaml · row", "", first, last, tiles, None), **changes)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def layout_of(board: Board, out: Path, image: Image.Image) -> Layout:
    """Where the sheet's boxes stand: the layout of the same pictures below the head that the sheet has."""
    sizes = [size_of(out / (tile.poster or tile.first or tile.last or "")) for tile in board.tiles]
    return layout_below(image, [size_of(out / name) for name in (board.first, board.last) if name], sizes)


def layout_below(image: Image.Image, sides: list[tuple[int, int]], clips: list[tuple[int, int]]) -> Layout:
    made = lay_out(image.height - lay_out(0, sides, clips).height, sides, clips)
    assert (made.width, made.height) == image.size
    return made


def part(image: Image.Image, left: int, top: int, width: int, height: int) -> Image.Image:
    return image.crop((left, top, left + width, top + height))


def count(image: Image.Image, colour: tuple[int, int, int] | str, slack: int = 6) -> int:
    """How many pixels have this colour, or one `slack` beside it."""
    apart = ImageChops.difference(image, Image.new("RGB", image.size, colour)).split()
    largest = ImageChops.lighter(ImageChops.lighter(apart[0], apart[1]), apart[2])
    return sum(largest.histogram()[: slack + 1])


def test_each_clip_stands_in_its_cell_whole_and_in_its_proportions(tmp_path: Path) -> None:
    clips = [
        (still(tmp_path, "w.png", RED), RED, (480, 270)),
        (still(tmp_path, "t.png", GREEN, (270, 480)), GREEN, (480, 853)),
        (still(tmp_path, "s.png", BLUE, (300, 300)), BLUE, (480, 480)),
        (still(tmp_path, "x.png", WHITE, (90, 360)), WHITE, (213, 853)),
    ]
    board = a_board(*(Tile(f"seed {at}", State.DONE, name) for at, (name, _, _) in enumerate(clips)))
    image = draw(board, MADE, tmp_path)
    for box, (_, colour, (width, height)) in zip(layout_of(board, tmp_path, image).cells, clips, strict=True):
        assert (box.width, box.height) == (CELL, 853)
        cell = part(image, *box.corner, box.width, box.height)
        assert count(cell, colour) == width * height
        inner = part(cell, (CELL - width) // 2, (853 - height) // 2, width, height)
        assert count(inner, colour) == width * height
    assert count(part(image, 0, 0, 30, image.height), GROUND) == 30 * image.height


def test_the_frames_of_a_row_stand_at_its_left(tmp_path: Path) -> None:
    clip = still(tmp_path, "c.png", WHITE)
    board = a_board(
        Tile("seed 1", State.DONE, clip), first=still(tmp_path, "a.png", RED), last=still(tmp_path, "b.png", BLUE)
    )
    image = draw(board, MADE, tmp_path)
    first, last = layout_of(board, tmp_path, image).sides
    assert count(part(image, *first.corner, first.width, first.height), RED) == first.width * first.height
    assert count(part(image, *last.corner, last.width, last.height), BLUE) == last.width * last.height
    assert first.left + first.width < layout_of(board, tmp_path, image).cells[0].left


@pytest.mark.parametrize("state", [state for state in State if state is not State.DONE])
def test_a_job_without_a_clip_shows_its_frames_in_grey_and_never_as_a_clip(tmp_path: Path, state: State) -> None:
    first, last = still(tmp_path, "a.png", RED), still(tmp_path, "b.png", BLUE)
    board = a_board(Tile("seed 1", state, None, first, last))
    image = draw(board, MADE, tmp_path)
    (box,) = layout_of(board, tmp_path, image).cells
    cell = part(image, *box.corner, box.width, box.height)
    left, right = (part(cell, at, 0, CELL // 2, 60) for at in (0, CELL // 2))
    for half in (left, right):
        (red, *others) = ImageStat.Stat(half).mean
        assert red > 30
        assert all(abs(red - other) < 1 for other in others)
    assert count(part(cell, 0, box.height // 2 - 20, CELL, 40), INK, 20) > 50


def test_where_no_poster_could_be_made_the_first_frame_stands_in_and_says_so(tmp_path: Path) -> None:
    first = still(tmp_path, "a.png", RED)
    image = draw(board := a_board(Tile("seed 1", State.DONE, None, first)), MADE, tmp_path)
    (box,) = layout_of(board, tmp_path, image).cells
    assert count(part(image, *box.corner, CELL, 60), RED) == CELL * 60
    assert count(part(image, box.left, box.top + 115, CELL, 40), INK, 20) > 50


def test_a_picture_that_is_damaged_or_gone_leaves_an_empty_cell(tmp_path: Path) -> None:
    Image.effect_noise((480, 270), 90).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:3000])
    image = draw(a_board(Tile("a", State.DONE, "cut.png"), Tile("b", State.DONE, "no.webp")), MADE, tmp_path)
    assert image.width == 80 + 2 * CELL + 16


def test_what_was_rejected_is_dimmed_and_stars_are_gold(tmp_path: Path) -> None:
    clip = still(tmp_path, "c.png", WHITE)

    def drawn(stars: int | None) -> tuple[int, int]:
        """How bright the clip is, and how many pixels below it are gold."""
        image = draw(board := a_board(Tile("s", State.DONE, clip, stars=stars)), MADE, tmp_path)
        (box,) = layout_of(board, tmp_path, image).cells
        below = part(image, box.left, box.top + box.height, box.width, LABEL)
        return round(ImageStat.Stat(part(image, *box.corner, 50, 50)).mean[0]), count(below, GOLD, 0)

    bright, none = drawn(None)
    one, five = drawn(1), drawn(5)
    assert (bright, none) == (240, 0)
    assert five == (240, 5 * one[1])
    assert one[1] > star(20).histogram()[255] * 0.9
    assert drawn(0)[0] < 100


def test_a_rehearsal_says_that_it_is_one(tmp_path: Path) -> None:
    def gold(rehearsal: bool) -> int:
        image = draw(a_board(Tile("s", State.PLANNED)), Origin("local", rehearsal), tmp_path)
        return count(part(image, 0, image.height - 80, image.width, 80), GOLD)

    assert gold(False) == 0
    assert gold(True) > 100


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("seed 3", "seed 3"),
        ("Höhenzug, straße, œuvre, Łódź", "Hohenzug, strasse, oeuvre, Lodz"),
        ("dawn – dusk", "dawn - dusk"),
        ("雪山", "…"),
        ("雪山 富士 dawn", "… dawn"),
        ("a\u202eb\u0301\n c", "a…b c"),
        ("½ ㎏", "1⁄2 kg"),
        ("", ""),
    ],
)
def test_what_the_typeface_lacks_is_spelled_otherwise_or_left_out_visibly(text: str, spelled: str) -> None:
    assert Lettering().spelled(text) == spelled


@given(st.text(max_size=200), st.integers(100, 600))
def test_text_never_runs_out_of_its_room(text: str, room: int) -> None:
    words = Lettering()
    lines = words.wrapped(text, 22, room, 2)
    assert len(lines) <= 2
    assert all(words.width(line, 22) <= room for line in lines)
    assert words.width(words.fitted(text, 24, room), 24) <= room


def test_the_largest_sheet_is_a_webp_that_opens(tmp_path: Path) -> None:
    tall = still(tmp_path, "t.png", GREEN, (90, 200))
    board = a_board(*[Tile("s", State.DONE, tall)] * MOST_CLIPS, first=tall, last=tall, prompt="a boat " * 500)
    (path,) = write_sheets([board], MADE, tmp_path, "webp")
    with Image.open(path) as image:
        assert image.format == "WEBP"
        assert image.width <= MOST_WIDTH
        assert 9_000 < image.height <= WEBP_MOST


def test_the_command_writes_a_sheet_of_each_row_and_prints_where(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3)
    folder.buy(server, "--limit", "2")
    told = folder("report", "jobs.yaml", "--sheets", "png", "--json")
    assert told.code == 0, told.err
    assert told.document["sheets"] == ["out/jobs/sheets/jobs.png"]
    out = folder.path / "out/jobs"
    (video, *_) = (job["sha256"] for job in told.document["jobs"])
    with Image.open(out / f"posters/{video[:24]}.webp") as poster, Image.open(out / "sheets/jobs.png") as image:
        cell = layout_below(image, [(96, 54)] * 2, [poster.size, poster.size, (96, 54)]).cells[0]
        assert cell.width / cell.height == pytest.approx(poster.width / poster.height, rel=0.01)
        shown = part(image, *cell.corner, cell.width, cell.height).resize((32, 18))
        apart = ImageChops.difference(shown, poster.convert("RGB").resize((32, 18)))
    assert max(ImageStat.Stat(apart).mean) < 6
    plain = folder("report", "jobs.yaml", "--sheets", "webp", "--columns", "seed")
    assert plain.out.splitlines() == ["out/jobs/report.html", "out/jobs/sheets/jobs.webp"]
    wrong = folder("report", "jobs.yaml", "--sheets", "png", "--columns", "shot")
    assert wrong.code == 2
    assert "--columns shot: no axis is called so; there are seed" in wrong.err


def test_columns_without_sheets_are_refused(folder: Folder) -> None:
    refused = folder("report", "jobs.yaml", "--columns", "seed")
    assert refused.code == 2
    assert "--columns goes with --sheets" in refused.err


@pytest.mark.parametrize("there", [None, b"", b"ab", b"abcd", b"abcde", b"axcd", b"abcX"])
def test_a_file_in_parts_is_written_where_it_is_another(tmp_path: Path, there: bytes | None) -> None:
    target = tmp_path / "file"
    if there is not None:
        target.write_bytes(there)
        os.utime(target, (1, 1))
    write_if_other(target, (part for part in (b"ab", b"", b"cd")))
    assert target.read_bytes() == b"abcd"
    assert (target.stat().st_mtime == 1) == (there == b"abcd")
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_cannot_be_told_to_its_end_is_not_written_and_leaves_nothing(tmp_path: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield b"ab"
        raise StorageTrouble("the state cannot be read any more")

    target = tmp_path / "list"
    target.write_bytes(b"as it was")

    with pytest.raises(StorageTrouble):
        write_if_other(target, parts())
    assert target.read_bytes() == b"as it was"
    assert list(tmp_path.iterdir()) == [target]
