from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import pytest
from PIL import Image

from vidu_run.errors import StorageTrouble
from vidu_run.report.pack import href, script_json, shown_json
from vidu_run.report.page import page_script, render_page, spoken_time, tally, write_page
from vidu_run.report.poster import frame_thumbnail, make_poster

KEY = "ab" * 32

PLAIN_JOB = """
{"name": "harbour-s1", "state": "planned", "task_id": null, "seed": 7, "credits": 40, "file": null, "poster": null,
 "first": null, "last": null, "sha256": null, "charged": false, "history": [], "draft": null, "error": null,
 "axes": {"pair": "harbour", "seed": "7"}, "prompt": "a boat leaves", "model": "viduq2-turbo", "duration": 5,
 "resolution": "720p", "took": null, "request": {"prompt": "a boat leaves", "seed": 7}, "hint": null, "bytes": null}
"""
PLAIN_DOCUMENT = """
{"spec": "jobs.yaml", "provider": "local", "rehearsal": true, "generated_at": "2026-11-22T13:00:00Z",
 "version": "0.1.0", "credits": {"estimated": 480, "charged": null}, "money": null, "notes": [],
 "usd": 0.005, "aspect": 1.7778, "picks_file": "jobs.picks.yaml", "picks": [], "promote": "vidu-run promote jobs.yaml",
 "failures": [], "axes": ["pair", "seed"]}
"""


def a_job(name: str = "harbour-s1", state: str = "planned", **changes: Any) -> dict[str, Any]:
    return {**json.loads(PLAIN_JOB), "key": KEY, "name": name, "state": state, **changes}


def a_document(*jobs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    states = [job["state"] for job in jobs]
    counts = {state: states.count(state) for state in states}
    return {**json.loads(PLAIN_DOCUMENT), "counts": counts, "jobs": list(jobs), **changes}


def encode_clip(target: Path, seconds: float = 1.0, width: int = 320, height: int = 180) -> None:
    """A real H.264 clip, red in its first quarter and blue after."""
    import av

    target.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        frames = round(seconds * 24)
        for index in range(frames):
            colour = (200, 20, 20) if index < frames / 4 else (20, 20, 200)
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (width, height), colour))))
        container.mux(stream.encode())


class Elements(HTMLParser):
    """The attributes of every element, and the raw text of style and script elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.starts: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.starts.append((tag, dict(attrs)))
        if tag in ("style", "script"):
            self.raw.append((tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            tag, attrs, text = self.raw[-1]
            self.raw[-1] = (tag, attrs, text + data)

    def text_of(self, tag: str, kind: str | None = None) -> str:
        (text,) = (text for name, attrs, text in self.raw if name == tag and attrs.get("type") == kind)
        return text

    def policy(self) -> str:
        metas = [attrs for tag, attrs in self.starts if tag == "meta" and "http-equiv" in attrs]
        (policy,) = (meta["content"] for meta in metas if meta["http-equiv"] == "Content-Security-Policy")
        return policy or ""


def digest(text: str) -> str:
    return "'sha256-" + b64encode(sha256(text.encode()).digest()).decode() + "'"


def data_of(html: str) -> dict[str, Any]:
    """The head of the page's data, and the line of each job."""
    elements = Elements(html)
    data: dict[str, Any] = json.loads(elements.text_of("script", "application/json"))
    return {**data, "rows": [json.loads(line) for line in elements.text_of("script", "text/plain").split("\n")]}


def rows_of(html: str) -> list[dict[str, Any]]:
    """The jobs as the page's script unpacks them."""
    data = data_of(html)
    rows = [dict(zip(data["fields"], row, strict=True)) for row in data["rows"]]
    for row in rows:
        for field in ("prompt", "model", "resolution", "error", "hint", "request"):
            row[field] = None if row[field] is None else data["texts"][row[field]]
        for field in ("first", "last"):
            row[field] = None if row[field] is None else data["stills"][row[field]]
    return rows


def test_the_policy_names_the_very_style_and_script_in_the_page_and_nothing_else() -> None:
    elements = Elements(render_page(a_document(a_job())))

    assert elements.policy() == (
        "default-src 'none'; img-src 'self' data:; media-src 'self'; "
        f"style-src {digest(elements.text_of('style'))}; script-src {digest(elements.text_of('script'))}; "
        "base-uri 'none'; form-action 'none'"
    )


def test_the_policy_stands_before_anything_it_governs() -> None:
    html = render_page(a_document(a_job()))

    assert all(html.index("Content-Security-Policy") < html.index(tag) for tag in ("<style", "<script", "<link"))


def test_no_element_of_the_page_carries_an_inline_style_or_handler_or_a_foreign_address() -> None:
    for _, attributes in Elements(render_page(a_document(a_job(state="done")))).starts:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        assert attributes.get("src") is None
        assert attributes.get("href") in (None, "data:,", "#clips")


def test_the_script_has_no_way_to_make_markup_out_of_text() -> None:
    script = page_script()

    assert not re.findall(r"(inner|outer|Adjacent)HTML|document\.write|\beval\b|new Function|DOMParser", script)


@pytest.mark.parametrize(
    "text",
    [
        "</script><script>alert(1)</script>",
        "<!-- <script>",
        "a & b &lt; c",
        "line\u2028paragraph\u2029end",
        "\u202egnp.4pm\u202c \u2066x\u2069",
        'quotes " and \\ and \x00 and \x1f',
        "emoji 🎞 and a lone half \ud83c",
    ],
)
def test_text_survives_the_way_into_the_page_and_never_stands_there_raw(text: str) -> None:
    encoded = script_json({"prompt": text})

    assert json.loads(encoded) == {"prompt": text}
    assert not re.search("[<>&\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", encoded)


def test_a_hostile_prompt_neither_ends_the_data_nor_adds_an_element() -> None:
    hostile = "</script><img src=x onerror=alert(1)><script>alert(2)</script>"
    calm = Elements(render_page(a_document(a_job())))
    page = render_page(a_document(a_job(prompt=hostile, error=hostile), notes=[hostile], spec=hostile))

    (note,) = [tag for tag, _ in Elements(page).starts if tag == "li"]
    assert sorted(tag for tag, _ in Elements(page).starts) == sorted([*(tag for tag, _ in calm.starts), "ul", note])
    assert rows_of(page)[0]["prompt"] == hostile


def test_a_number_that_json_cannot_say_is_an_error_and_not_a_broken_page() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        render_page(a_document(a_job(took=float("nan"))))


def test_a_seed_beyond_the_precision_of_the_browser_keeps_all_its_digits() -> None:
    (job,) = rows_of(render_page(a_document(a_job(seed=2**63 - 1, request={"seed": 2**63 - 1}))))

    assert (job["seed"], job["asked"]) == ("9223372036854775807", "9223372036854775807")


def test_characters_that_turn_text_around_are_spelled_out_in_the_request() -> None:
    assert shown_json({"prompt": "a\u202eb é 海"}) == '{\n  "prompt": "a\\u202eb é 海"\n}'


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("videos/harbour-s1.mp4", "./videos/harbour-s1.mp4"),
        ("videos/a b/100%/#1?.mp4", "./videos/a%20b/100%25/%231%3F.mp4"),
        ("videos/høst 海.mp4", "./videos/h%C3%B8st%20%E6%B5%B7.mp4"),
        ("javascript:alert(1)", "./javascript%3Aalert%281%29"),
        ("//example.org/x.mp4", ".///example.org/x.mp4"),
        ("videos/\"'<&>.mp4", "./videos/%22%27%3C%26%3E.mp4"),
    ],
)
def test_a_path_becomes_a_link_to_that_file_and_to_nothing_else(path: str, link: str) -> None:
    assert href(path) == link
    assert unquote(link) == "./" + path


def test_a_file_name_that_is_not_utf8_keeps_its_bytes() -> None:
    name = b"videos/latin-\xe9.mp4"

    assert unquote_to_bytes(href(name.decode("utf-8", "surrogateescape"))) == b"./" + name


def test_a_frame_on_the_web_is_a_link_and_never_a_picture() -> None:
    link = {"name": "https://example.org/a.png?x=1", "file": None, "picture": None}
    frame = {"name": "b 1.png", "file": "frames/b 1.png", "picture": "posters/b.webp"}
    (job,) = rows_of(render_page(a_document(a_job(first=link, last=frame))))

    assert job["first"] == {"name": link["name"], "href": link["name"], "image": None}
    assert job["last"] == {"name": "b 1.png", "href": "./frames/b%201.png", "image": "./posters/b.webp"}


def test_what_jobs_share_stands_in_the_page_once() -> None:
    prompt, frame = "a boat leaves " * 20, {"name": "a.png", "file": "frames/a.png", "picture": "posters/a.webp"}
    jobs = [
        a_job(f"s{seed}", seed=seed, prompt=prompt, first=frame, request={"prompt": prompt, "seed": seed})
        for seed in range(1, 101)
    ]
    html = render_page(a_document(*jobs))

    assert html.count(prompt) == 2
    assert html.count("posters/a.webp") == 1
    assert [row["seed"] for row in rows_of(html)] == [str(seed) for seed in range(1, 101)]


def test_states_that_do_not_occur_are_not_counted_and_the_bar_has_no_gaps() -> None:
    rows = tally({"planned": 0, "failed": 1, "in_doubt": 2, "done": 10})

    assert [row["word"] for row in rows] == ["done", "in doubt", "failed"]
    assert [(row["start"], row["count"]) for row in rows] == [(0, 10), (10, 2), (12, 1)]


def test_the_time_is_said_in_utc() -> None:
    assert spoken_time("2026-11-02T01:30:00+02:00") == "1 Nov 2026, 23:30 UTC"


@pytest.mark.parametrize(("rehearsal", "times"), [(True, 1), (False, 0)])
def test_only_a_rehearsal_says_that_it_is_one(rehearsal: bool, times: int) -> None:
    html = render_page(a_document(a_job(), rehearsal=rehearsal))

    assert re.sub("</?strong>", "", html).count("Rehearsal: rendered on this machine, not by the model") == times


def test_nothing_on_the_page_of_a_rehearsal_reads_as_if_it_had_been_spent() -> None:
    facts: dict[str, Any] = {"credits": {"estimated": 480, "charged": 40}, "money": "$0.20"}
    rehearsed = render_page(a_document(a_job(), rehearsal=True, **facts))
    bought = render_page(a_document(a_job(), rehearsal=False, **facts))
    totals = re.compile(r"<div><dt>([^<]+)</dt><dd>([^<]+)</dd></div>")
    assert dict(totals.findall(rehearsed)) == {
        "Jobs": "1",
        "Credits, if bought": "480",
        "In money, if bought": "$2.40",
    }
    assert dict(totals.findall(bought)) == {
        "Jobs": "1",
        "Credits, estimated": "480",
        "Credits, charged": "40",
        "In money": "$0.20",
    }
    assert "nothing was spent" in rehearsed


def test_an_unreadable_document_leaves_the_earlier_page_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    write_page(a_document(a_job()), target)
    earlier = target.read_bytes()

    with pytest.raises(ValueError, match="JSON compliant"):
        write_page(a_document(a_job(took=float("inf"))), target)

    assert target.read_bytes() == earlier
    assert list(tmp_path.iterdir()) == [target]


def test_a_page_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.mkdir()

    with pytest.raises(StorageTrouble, match="directory"):
        write_page(a_document(a_job()), target)

    assert list(tmp_path.iterdir()) == [target]


def test_a_reader_never_sees_half_a_page(tmp_path: Path) -> None:
    target, stop, halves = tmp_path / "report.html", Event(), []
    document = a_document(*(a_job(f"job-{number}") for number in range(200)))
    write_page(document, target)

    def read() -> None:
        while not stop.is_set():
            text = target.read_text("utf-8")
            if not text.startswith("<!doctype html>") or not text.endswith("</html>\n"):
                halves.append(len(text))

    reader = Thread(target=read)
    reader.start()
    for _ in range(20):
        write_page(document, target)
    stop.set()
    reader.join()

    assert halves == []


def test_the_same_document_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        write_page(a_document(a_job()), tmp_path / name)

    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_a_poster_is_taken_a_third_into_the_video(tmp_path: Path) -> None:
    pytest.importorskip("av")
    encode_clip(tmp_path / "clip.mp4")

    assert make_poster(tmp_path / "clip.mp4", tmp_path / "posters" / "clip.webp", width=160)

    with Image.open(tmp_path / "posters" / "clip.webp") as poster:
        assert (poster.format, poster.size) == ("WEBP", (160, 90))
        red, _, blue = poster.convert("RGB").resize((1, 1)).getpixel((0, 0))
        assert blue > red


def test_a_poster_has_a_smaller_version_beside_it(tmp_path: Path) -> None:
    Image.new("RGB", (800, 400)).save(tmp_path / "still.png")

    assert frame_thumbnail(tmp_path / "still.png", tmp_path / "still.webp")

    with Image.open(tmp_path / "still.webp") as picture, Image.open(tmp_path / "small" / "still.webp") as smaller:
        assert (picture.size, smaller.size) == ((480, 240), (240, 120))


@pytest.mark.parametrize("content", [b"", b"not a video", b"\x00\x00\x00\x18ftypmp42"])
def test_a_broken_video_gives_no_poster_and_leaves_no_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)

    assert not make_poster(tmp_path / "clip.mp4", tmp_path / "clip.webp")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_missing_video_or_still_gives_no_picture(tmp_path: Path) -> None:
    assert not make_poster(tmp_path / "no.mp4", tmp_path / "no.webp")
    assert not frame_thumbnail(tmp_path / "no.png", tmp_path / "no.webp")


def test_a_truncated_still_gives_no_thumbnail_and_leaves_no_file(tmp_path: Path) -> None:
    Image.effect_noise((400, 400), 60).save(tmp_path / "still.png")
    (tmp_path / "still.png").write_bytes((tmp_path / "still.png").read_bytes()[:2000])

    assert not frame_thumbnail(tmp_path / "still.png", tmp_path / "still.webp")
    assert [path.name for path in tmp_path.iterdir()] == ["still.png"]


def test_a_thumbnail_stands_upright_as_the_camera_meant_it(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (800, 400)).save(tmp_path / "still.jpg", exif=turned)

    assert frame_thumbnail(tmp_path / "still.jpg", tmp_path / "still.webp", width=100)

    with Image.open(tmp_path / "still.webp") as thumbnail:
        assert thumbnail.size == (100, 200)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_still_of_any_colour_mode_becomes_a_thumbnail(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (64, 36)).save(tmp_path / "still.png")

    assert frame_thumbnail(tmp_path / "still.png", tmp_path / "still.webp")


def test_a_small_still_is_not_blown_up(tmp_path: Path) -> None:
    Image.new("RGB", (64, 36)).save(tmp_path / "still.png")
    frame_thumbnail(tmp_path / "still.png", tmp_path / "still.webp", width=480)

    with Image.open(tmp_path / "still.webp") as thumbnail:
        assert thumbnail.size == (64, 36)
