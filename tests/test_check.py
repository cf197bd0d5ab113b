"""What the API would refuse is refused here, for nothing: each constraint of its page, at the place of the value."""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from conftest import IMAGES, Folder, spec
from PIL import Image
from referencing.exceptions import Unresolvable

from vidu_run.api.body import Body
from vidu_run.errors import SpecTrouble
from vidu_run.frames import EXIF_ORIENTATION
from vidu_run.job import Frame, Job
from vidu_run.key import fragment, new_marker
from vidu_run.providers.catalogue import UnknownProvider, validator
from vidu_run.spec.check import MARKER_ROOM, field_size, images_size, name_finding
from vidu_run.spec.load import Spec, load


def check(folder: Folder, provider: str = "octopusx", **fields: Any) -> Spec:
    return load(spec(folder, provider, **fields))


def lines(path: Path, provider: str | None = None, **settings: Any) -> list[str]:
    with pytest.raises(SpecTrouble) as caught:
        load(path, provider, settings)
    told = [str(problem) for problem in caught.value.problems]
    assert all(line.isprintable() and len(line) < 500 for line in told), told
    return [line.removeprefix(f"{path.parent.as_posix()}/") for line in told]


def wrong(folder: Folder, provider: str = "octopusx", **fields: Any) -> list[str]:
    """What is said about the values, without places and the job."""
    told = lines(spec(folder, provider, **fields))
    assert all(line.startswith("jobs.yaml:5:") and line.endswith("; job job") for line in told), told
    return [line.split(": ", 1)[1].removesuffix("; job job") for line in told]


# Models, lengths, sizes

MODELS = ["viduq3-pro", "viduq2-pro", "viduq2-turbo", "viduq2-pro-fast", "viduq1", "viduq1-classic", "vidu2.0"]


@pytest.mark.parametrize("model", MODELS)
def test_each_model_of_the_page_makes_a_job(frames: Folder, model: str) -> None:
    (job,) = check(frames, model=model).jobs
    assert job.request == {"model": model, "images": IMAGES}
    assert job.credits is not None


def test_a_model_is_needed_and_another_is_refused_with_the_nearest(frames: Folder) -> None:
    assert wrong(frames, model=...) == ["model is missing"]
    assert wrong(frames, model="viduq2-turb0") == [
        "model 'viduq2-turb0' is not allowed (viduq3-pro, viduq2-pro, viduq2-turbo, viduq2-pro-fast, viduq1, "
        "viduq1-classic or vidu2.0); did you mean viduq2-turbo?"
    ]
    assert len(wrong(frames, model="viduq3-turbo")) == 1, "not on this provider's page"
    assert check(frames, "vidu", model="viduq3-turbo").jobs


@pytest.mark.parametrize(
    ("model", "good", "bad", "told"),
    [
        ("viduq3-pro", [1, 16], [0, 17, -1], "1 to 16"),
        ("viduq2-pro", [1, 9, 10], [0, 11], "1 to 10"),
        ("viduq2-turbo", [1, 9, 10], [0, 11], "1 to 10"),
        ("viduq2-pro-fast", [1, 9, 10], [0, 11], "1 to 10"),
        ("viduq1", [5], [4, 6, 12], "only 5"),
        ("viduq1-classic", [5], [8], "only 5"),
        ("vidu2.0", [4], [5, 7], "4 or 8"),
    ],
)
def test_a_model_has_its_own_lengths(frames: Folder, model: str, good: list[int], bad: list[int], told: str) -> None:
    for seconds in good:
        assert check(frames, model=model, duration=seconds).jobs
    for seconds in bad:
        assert wrong(frames, model=model, duration=seconds) == [
            f"duration {seconds} is not allowed for {model} ({told})"
        ]


def test_nine_and_ten_seconds_of_viduq2_are_octopusx_s_alone(frames: Folder) -> None:
    for seconds in (9, 10):
        assert check(frames, "octopusx", duration=seconds).jobs
        for provider in ("vidu", "vidu-cn"):
            told = wrong(frames, provider, duration=seconds)
            assert told == [f"duration {seconds} is not allowed for viduq2-turbo (1 to 8)"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"model": "viduq2-pro", "resolution": "360p"},
            "resolution '360p' is not allowed for viduq2-pro (540p, 720p or",
        ),
        ({"model": "viduq1", "resolution": "720p"}, "resolution '720p' is not allowed for viduq1 (only 1080p)"),
        (
            {"model": "vidu2.0", "duration": 8, "resolution": "1080p"},
            "resolution '1080p' is not allowed for vidu2.0 (only",
        ),
        ({"resolution": "720P"}, "resolution '720P' is not allowed for viduq2-turbo"),
        ({"resolution": 720}, "resolution must be text, not the number 720"),
    ],
)
def test_a_model_has_its_own_sizes(frames: Folder, fields: dict[str, Any], told: str) -> None:
    path = spec(frames, **fields)
    if fields["resolution"] == 720:
        (line,) = lines(path)
        assert line == "jobs.yaml:5:98: resolution must be text, not the number 720; did you mean 720p?"
    else:
        assert wrong(frames, **fields)[0].startswith(told)


# The other fields


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"wm_position": 0}, "wm_position 0 is not allowed (1 to 4)"),
        ({"wm_position": 5}, "wm_position 5 is not allowed (1 to 4)"),
        ({"seed": -1}, "seed -1 is not allowed (0 to 2147483647)"),
        ({"seed": 2**31}, "seed 2147483648 is not allowed (0 to 2147483647)"),
        ({"seed": 10**299}, f"seed 1{'0' * 78}… is not allowed (0 to 2147483647)"),
        ({"prompt": "x" * 5001}, "prompt has 5,001 characters, more than 5,000"),
        ({"payload": "x" * 1_048_531}, "payload has 1,048,531 characters, more than 1,048,530"),
        ({"wm_url": "http://x.org/a.png"}, "wm_url 'http://x.org/a.png' is not an https URL"),
        ({"meta_data": "no JSON"}, "meta_data must be JSON written as text"),
        ({"meta_data": "[1]"}, "meta_data must be JSON written as text"),
        ({"meta_data": "[" * 100_000}, "meta_data must be JSON written as text"),
        ({"prompt": "a\0b"}, "prompt holds the control character '\\x00'"),
        ({"meta_data": '{"a": "\x1b"}'}, "meta_data must be JSON written as text"),
        ({"voice_id": "\x9b31m"}, "voice_id holds the control character '\\x9b'"),
    ],
)
def test_a_value_the_page_does_not_allow_is_refused(frames: Folder, fields: dict[str, Any], told: str) -> None:
    assert wrong(frames, **fields)[0].startswith(told)


GOOD: dict[str, Any] = {
    "prompt": "x" * 5000,
    "audio": True,
    "voice_id": "v",
    "is_rec": False,
    "bgm": True,
    "duration": 10,
    "seed": 2**31 - 1,
    "resolution": "540p",
    "off_peak": True,
    "watermark": True,
    "wm_position": 4,
    "wm_url": "https://example.org/mark.png",
    "payload": "mine",
    "meta_data": '{"Label": "1"}',
}


def test_every_field_of_the_page_is_sent_as_written(frames: Folder) -> None:
    (job,) = check(frames, **GOOD).jobs
    assert job.request == {"model": "viduq2-turbo", "images": IMAGES, **GOOD}


@pytest.mark.parametrize("field", sorted(GOOD))
def test_a_value_of_another_type_is_refused(frames: Folder, field: str) -> None:
    others: list[Any] = [[1], {"a": 1}, 1.5]
    others += [5] if isinstance(GOOD[field], str) else ["5"]
    others += [] if isinstance(GOOD[field], bool) else [True]
    for other in others:
        told = lines(spec(frames, **{field: other}))
        wanted = (f"{field} must be ", f"{field} cannot be the text '5': leave the quotes out", "has no 'a'")
        assert any(words in line for words in wanted for line in told)
        templated = frames.write(
            f"version: 1\nprovider: octopusx\nvars: {{v: {json.dumps(other)}}}\njobs:\n"
            f'  - request: {{model: viduq2-turbo, images: {json.dumps(IMAGES)}, {field}: "{{{{ v }}}}"}}\n'
        )
        (line,) = lines(templated)
        assert line.startswith("jobs.yaml:3:11: ")
        assert f"{field} must be " in line


def test_a_whole_number_with_a_point_is_whole_and_sent_so(frames: Folder) -> None:
    (job,) = check(frames, duration=8.0, seed=7.0).jobs
    assert json.dumps([job.request["duration"], job.request["seed"]]) == "[8, 7]"


@pytest.mark.parametrize(
    ("provider", "field"),
    [("octopusx", "callback_url"), ("octopusx", "movement_amplitude"), ("vidu", "voice_id"), ("vidu-cn", "voice_id")],
)
def test_a_field_the_provider_s_page_lacks_is_refused_and_extra_sends_it(
    frames: Folder, provider: str, field: str
) -> None:
    value = "https://example.org/hook" if field == "callback_url" else "auto"
    assert wrong(frames, provider, **{field: value}) == [
        f"{provider} knows no field {field!r}; what its rules do not know goes under extra:"
    ]
    path = spec(frames, provider)
    path.write_text(path.read_text() + f"    extra: {{{field}: {value!r}}}\n")
    assert load(path).jobs[0].request[field] == value


def test_extra_cannot_be_a_way_around_the_rules(frames: Folder) -> None:
    path = spec(frames)
    path.write_text(path.read_text() + "    extra: {duration: 99, images: [/etc/passwd], new: 1}\n")
    assert lines(path) == [
        "jobs.yaml:6:23: duration is a field that octopusx knows: it belongs under request; job job",
        "jobs.yaml:6:35: images is a field that octopusx knows: it belongs under request; job job",
    ]


@pytest.mark.parametrize("name", ["my-look", "1st", "", "a b", "ä", "a\n", "\u202e"])
def test_a_name_that_no_template_could_name_is_refused(frames: Folder, name: str) -> None:
    path = spec(frames)
    path.write_text(path.read_text() + f"    matrix: {{{json.dumps(name)}: [1]}}\nvars: {{{json.dumps(name)}: 1}}\n")
    shown = repr(name)
    assert lines(path) == [
        f"jobs.yaml:6:14: {shown} cannot be a name: templates know letters, digits, _",
        f"jobs.yaml:7:8: {shown} cannot be a name: templates know letters, digits, _",
    ]


def test_a_schema_is_never_fetched() -> None:
    with pytest.raises(Unresolvable):
        validator({"$ref": "http://127.0.0.1:9/schema.json"}).is_valid({})


def test_a_mistyped_field_gets_a_hint(frames: Folder) -> None:
    assert lines(spec(frames, promt="a boat"))[0].endswith("request has no 'promt'; did you mean prompt?")


# Images


def test_there_are_exactly_two_images(frames: Folder) -> None:
    assert wrong(frames, images=...) == ["images is missing"]
    for images in ([IMAGES[0]], [*IMAGES, IMAGES[0]], []):
        told = lines(spec(frames, images=images))[0]
        assert f" images has {len(images)} item" in told
        assert told.endswith("(exactly 2)")
    path = spec(frames, images="{{ v }}")
    path.write_text(path.read_text().replace("jobs:", f"vars: {{v: {IMAGES[:1]}}}\njobs:"))
    assert lines(path) == ["jobs.yaml:3:11: images has 1 item (exactly 2); job job"]


SHAPES = [
    ((100, 100), (80, 100), True),
    ((100, 100), (125, 100), True),
    ((80, 100), (100, 100), True),
    ((100, 100), (79, 100), False),
    ((100, 100), (126, 100), False),
    ((200, 100), (100, 100), False),
    ((400, 100), (40, 10), False),
    ((399, 100), (399, 100), True),
    ((101, 400), (101, 400), True),
    ((100, 400), (100, 400), False),
    ((1000, 1000), (10, 10), True),
]


@pytest.mark.parametrize(("first", "last", "good"), SHAPES)
def test_shapes_are_alike_and_lie_between_1_4_and_4_1(
    folder: Folder, first: tuple[int, int], last: tuple[int, int], good: bool
) -> None:
    folder.frame("a.png", size=first)
    folder.frame("b.png", "red", size=last)
    if good:
        assert check(folder).jobs
    else:
        told = wrong(folder)
        assert told
        assert all("1:4 and 4:1" in line or "allowed is 0.8 to 1.25" in line for line in told)


def test_the_messages_about_shapes_give_the_sizes(folder: Folder) -> None:
    folder.frame("a.png", size=(200, 100))
    folder.frame("b.png", size=(100, 100))
    assert wrong(folder) == [
        "frames/a.png is 200x100 and frames/b.png 100x100: their shapes differ by 2.00, allowed is 0.8 to 1.25"
    ]
    folder.frame("b.png", size=(10, 50))
    assert wrong(folder) == ["frames/b.png is 10x50; a frame's shape must lie between 1:4 and 4:1"]


def test_a_frame_that_lies_on_its_side_beside_an_upright_one_is_told_as_the_reason(folder: Folder) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    folder.frame("a.png", size=(54, 96))
    Image.new("RGB", (96, 54)).save(folder.path / "frames/b.png", "JPEG", exif=exif)
    (line,) = wrong(folder)
    assert line.endswith("; frames/b.png is turned by its EXIF data, which the API may ignore: save it upright")


def picture(form: str, **options: Any) -> bytes:
    made = BytesIO()
    Image.effect_noise((96, 54), 60).convert("RGB").save(made, form, **options)
    return made.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_bytes_decide_what_a_frame_is_and_not_its_name(frames: Folder, form: str) -> None:
    for name in ("a.txt", "a", "a.jpeg", "a.png"):
        (frames.path / "frames" / name).write_bytes(picture(form))
        (image, _) = check(frames, images=[f"frames/{name}", IMAGES[1]]).jobs[0].images
        assert isinstance(image, Frame)
        assert (image.format, image.width, image.height) == (form.lower(), 96, 54)
        assert image.data_prefix == f"data:image/{form.lower()};base64,"


def test_a_phone_s_photo_with_others_behind_it_is_a_jpeg(frames: Folder) -> None:
    more = [Image.new("RGB", (96, 54), "red")]
    (frames.path / "frames/a.png").write_bytes(picture("MPO", save_all=True, append_images=more))
    image = check(frames).jobs[0].images[0]
    assert isinstance(image, Frame)
    assert image.format == "jpeg"


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + end


NO_IMAGE = "is not a PNG, JPEG or WebP image (its bytes decide, not its name)"
DAMAGED = "is damaged, or cut off near its beginning"
NO_FRAME = {
    "a GIF": (picture("GIF"), NO_IMAGE),
    "a BMP": (picture("BMP"), NO_IMAGE),
    "a TIFF": (picture("TIFF"), NO_IMAGE),
    "text": (b"a boat\n", NO_IMAGE),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", NO_IMAGE),
    "nothing": (b"", NO_IMAGE),
    "a signature": (b"\x89PNG\r\n\x1a\n", DAMAGED),
    "a Git LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "is a Git LFS pointer, not the image: run `git lfs pull`",
    ),
    "a cut PNG": (picture("PNG")[:-1], "is cut off: the end of the image is missing"),
    "a PNG cut in the middle": (picture("PNG")[:3000], "is cut off: the end of the image is missing"),
    "a PNG without pixels": (picture("PNG")[:33], DAMAGED),
    "a cut JPEG": (picture("JPEG")[:-2], "is cut off: the end of the image is missing"),
    "a JPEG cut in its head": (picture("JPEG")[:300], DAMAGED),
    "a cut WebP": (picture("WEBP")[:-1], DAMAGED),
    "a cut WebP without loss": (picture("WEBP", lossless=True)[:-1], DAMAGED),
    "a JPEG of noise": (b"\xff\xd8\xff\xe0" + b"\x01" * 500, DAMAGED),
    "a PNG of 60000 by 60000": (png_of(60_000, 60_000), "has too many pixels"),
    "a PNG of 2 by 2 milliard": (png_of(2**31 - 1, 2**31 - 1), "has too many pixels"),
    "a PNG of nothing": (png_of(0, 0), DAMAGED),
}


@pytest.mark.parametrize(("content", "why"), NO_FRAME.values(), ids=NO_FRAME.keys())
def test_a_file_that_is_no_whole_image_is_refused(frames: Folder, content: bytes, why: str) -> None:
    (frames.path / "frames/a.png").write_bytes(content)
    begun = time.process_time()
    (told,) = wrong(frames)
    assert time.process_time() - begun < 2
    assert told.startswith(f"'frames/a.png' {why}")


def test_a_picture_is_measured_without_its_pixels(frames: Folder) -> None:
    """These pixels cannot be decoded, and 100 megapixels of them would take seconds."""
    (frames.path / "frames/a.png").write_bytes(png_of(12_000, 8_000))
    (frames.path / "frames/b.png").write_bytes(png_of(12_000, 8_000))
    assert check(frames).jobs


def test_what_stands_behind_an_image_does_not_cut_it(frames: Folder) -> None:
    for form in ("PNG", "JPEG", "WEBP"):
        (frames.path / "frames/a.png").write_bytes(picture(form) + b"a film behind it")
        assert check(frames).jobs


def test_a_thumbnail_s_end_is_not_the_end_of_a_jpeg(frames: Folder) -> None:
    thumbnail, whole = picture("JPEG", quality=5), picture("JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    (frames.path / "frames/a.png").write_bytes(whole[:2] + segment + whole[2:])
    assert check(frames).jobs
    (frames.path / "frames/a.png").write_bytes(whole[:2] + segment + whole[2:-2])
    assert "is cut off" in wrong(frames)[0]


def test_a_file_is_at_most_50_mb(frames: Folder) -> None:
    with (frames.path / "frames/a.png").open("ab") as file:
        file.truncate(50_000_001)
    assert wrong(frames) == ["'frames/a.png' is 50,000,001 bytes, more than the 50,000,000 a file may have"]


def reckoned(job: Job) -> int:
    fields = (field_size(fragment(name, value)) for name, value in job.request.items() if name != "images")
    return sum(fields) + images_size(job.images) + MARKER_ROOM


def padded(folder: Folder, bytes_each: int) -> None:
    for name in ("a.png", "b.png"):
        with (folder.path / "frames" / name).open("ab") as file:
            file.truncate(bytes_each)


def test_a_body_is_at_most_20_mb_after_base64(frames: Folder) -> None:
    padded(frames, 7_499_880)
    (job,) = check(frames).jobs
    assert 19_999_800 < reckoned(job) <= 20_000_000
    assert wrong(frames, prompt="x" * 200) == [
        "the request would be 20.0 MB after base64, more than the 20 MB the API takes: write `shrink: true` at the top "
        "of the spec, or give the frames as https URLs"
    ]
    padded(frames, 7_600_000)
    assert len(wrong(frames)) == 1
    assert check(frames, images=[IMAGES[0], "https://example.org/b.png"]).jobs


@pytest.mark.parametrize("payload", [None, "", "a payload | of 海", 'with "quotes" and\nlines'])
def test_the_size_reckoned_is_never_below_the_size_sent(frames: Folder, payload: str | None) -> None:
    images = [IMAGES[0], "https://example.org/last.png"]
    (job,) = check(frames, images=images, prompt="海\n" * 50, payload=payload).jobs

    async def allow() -> None:
        return None

    sent = Body(job, new_marker(job.key, "0" * 16), frames.path, allow).length
    assert sent <= reckoned(job) <= sent + 100


def test_links_are_not_measured(frames: Folder) -> None:
    links = ["https://example.org/a.png", "https://example.org/b.gif?v=2"]
    assert [image.source for image in check(frames, images=links).jobs[0].images] == links


SOURCES = {
    "a folder above": ("../a.png", "'../a.png' leads out of the spec's folder"),
    "a folder above, far": ("frames/../../a.png", "'frames/../../a.png' leads out of the spec's folder"),
    "the root": ("/etc/hostname", "'/etc/hostname' is not a path inside the spec's folder"),
    "a link out": ("frames/out.png", "'frames/out.png' leads out of the spec's folder"),
    "a folder's link out": ("out/a.png", "'out/a.png' leads out of the spec's folder"),
    "a link in a circle": ("frames/circle", "'frames/circle' cannot be followed to a file"),
    "a link to nowhere": ("frames/nowhere", "'frames/nowhere' does not exist"),
    "a pipe": ("frames/pipe", "'frames/pipe' is not a file"),
    "a folder": ("frames", "'frames' is not a file"),
    "a file for a folder": ("jobs.yaml/a.png", "'jobs.yaml/a.png' cannot be read (Not a directory)"),
    "nothing like it": ("frames/zzzzzz", "'frames/zzzzzz' does not exist"),
    "something like it": ("frames/aa.png", "'frames/aa.png' does not exist; did you mean 'frames/a.png'?"),
    "a long name": (f"frames/{'a' * 5000}", f"'frames/{'a' * 71}… cannot be read (File name too long)"),
    "a null": ("frames/a\0.png", "'frames/a\\x00.png' is not a path inside the spec's folder"),
    "a control": ("frames/\x1b[31m.png", "'frames/\\x1b[31m.png' does not exist"),
    "a turn": ("frames/\u202egnp.a", "'frames/\\u202egnp.a' does not exist"),
    "a file URL": ("file:///etc/hostname", "'file:///etc/hostname' is not an https URL"),
    "a short file URL": ("file:a.png", "'file:a.png' is not a path inside the spec's folder"),
    "http": ("http://example.org/a.png", "'http://example.org/a.png' is not an https URL"),
    "ftp": ("ftp://example.org/a.png", "'ftp://example.org/a.png' is not an https URL"),
    "no host": ("https:///a.png", "'https:///a.png' is not an https URL"),
    "half an address": ("https://[::1/a.png", "'https://[::1/a.png' is not a URL"),
    "image data": (f"data:image/png;base64,{'A' * 100_000}", f"'data:image/png;base64,{'A' * 56}… is image data: put"),
    "a password": ("https://me:hunter2@example.org/a.png", "an image URL with a user name or password in it"),
    "a user": ("http://me@example.org/a.png", "an image URL with a user name or password in it"),
    "an empty user": ("https://@example.org/a.png", "an image URL with a user name or password in it"),
    "blanks": ("https://example.org/a b.png", "'https://example.org/a b.png' holds characters that must be percent-"),
    "other letters": ("https://example.org/ä.png", "'https://example.org/ä.png' holds characters that must be"),
    "a quote": ('https://example.org/".png', "'https://example.org/\".png' holds characters that must be"),
    "a new line": ("https://example.org/a\nb", "'https://example.org/a\\nb' holds characters that must be"),
}


@pytest.mark.parametrize(("source", "why"), SOURCES.values(), ids=SOURCES.keys())
def test_an_image_is_a_file_in_the_folder_or_a_plain_link(frames: Folder, source: str, why: str) -> None:
    (frames.path.parent / "a.png").write_bytes((frames.path / IMAGES[0]).read_bytes())
    (frames.path / "frames/out.png").symlink_to(frames.path.parent / "a.png")
    (frames.path / "out").symlink_to(frames.path.parent)
    (frames.path / "frames/circle").symlink_to("circle")
    (frames.path / "frames/nowhere").symlink_to("zzz")
    os.mkfifo(frames.path / "frames/pipe")
    (told,) = wrong(frames, images=[source, IMAGES[1]])
    assert told.startswith(why)
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Signature=s3cret",
        "x-amz-signature=s3cret&X-Amz-Expires=60",
        "X-Goog-Signature=s3cret",
        "Signature=s3cret&Key-Pair-Id=K",
        "sv=2024&sig=s3cret",
        "OSSAccessKeyId=K&Signature=s3cret",
        "x-oss-signature=s3cret",
        "q-signature=s3cret",
        "Expires=1&token=s3cret",
        "%73ig=s3cret",
        "X-Amz-Credential=s3cret",
        "sig",
    ],
)
def test_a_link_that_looks_signed_is_refused_and_its_secret_not_repeated(frames: Folder, query: str) -> None:
    (told,) = wrong(frames, images=[f"https://example.org/a.png?{query}", IMAGES[1]])
    assert told.startswith("'https://example.org/a.png' with a query that looks signed")
    assert "s3cret" not in told


def test_a_link_inside_the_folder_is_followed(frames: Folder) -> None:
    (frames.path / "frames/c.png").symlink_to("a.png")
    image = check(frames, images=["frames/c.png", IMAGES[1]]).jobs[0].images[0]
    assert isinstance(image, Frame)
    assert image.source == "frames/c.png"


def test_an_image_is_told_at_its_own_place(frames: Folder) -> None:
    text = 'version: 1\njobs:\n  - request:\n      model: viduq1\n      images: [frames/x.png,\n        "{{ p }}"]\n'
    path = frames.write(text + "    matrix: {p: [frames/y.png, frames/b.png]}\n")
    places = [line.split(": ")[0] for line in lines(path)]
    assert places == ["jobs.yaml:5:16", "jobs.yaml:7:18"]


# Names

NAMES = {
    "a folder above": ("../x", "the name '../x' has a part that is empty, begins or ends with a dot or a blank"),
    "a folder above, inside": ("a/../../x", "has a part that is empty, begins or ends with a dot"),
    "the root": ("/x", "has a part that is empty"),
    "an empty part": ("a//b", "has a part that is empty"),
    "nothing": ("{{ '' }}", "the name is empty"),
    "blanks": ("  ", "the name is empty"),
    "a hidden file": (".x", "begins or ends with a dot"),
    "a dot behind": ("x.", "begins or ends with a dot"),
    "a blank inside": ("a/ b", "begins or ends with a dot or a blank"),
    "a backslash": ("a\\b", "holds '\\\\', which not every file system takes"),
    "a colon": ("a:b", "holds ':', which not every file system takes"),
    "a new line": ("a\nb", "holds '\\n', which not every file system takes"),
    "a control": ("\x1b[31mred", "the name '\\x1b[31mred' holds '\\x1b'"),
    "a turn": ("a\u202eb", "the name 'a\\u202eb' holds '\\u202e'"),
    "a null": ("a\0b", "holds '\\x00'"),
    "a device": ("con", "the name 'con' is reserved"),
    "a device, dressed": ("sub/LPT1.txt", "the name 'sub/LPT1.txt' is reserved"),
    "the folder of earlier takes": ("earlier/x", "the name 'earlier/x' is reserved"),
    "the same, shouted": ("EARLIER", "the name 'EARLIER' is reserved"),
    "121 characters": ("x" * 121, "the name has 121 characters, more than 120"),
    "more bytes than a file's name": ("海" * 100, "has a part of more than 200 bytes, too long for a file"),
    "a list": ("{{ v }}", "a list cannot stand inside a text"),
    "null": ("{{ none }}", "null cannot stand inside a text"),
}


@pytest.mark.parametrize(("name", "why"), NAMES.values(), ids=NAMES.keys())
def test_a_name_no_file_can_have_is_refused(frames: Folder, name: str, why: str) -> None:
    path = frames.write(
        f"version: 1\nvars: {{v: [1]}}\njobs:\n  - name: {json.dumps(name)}\n"
        f"    request: {{model: viduq1, images: {json.dumps(IMAGES)}}}\n"
    )
    (line,) = lines(path)
    assert line.startswith("jobs.yaml:4:11: ")
    assert why in line


@pytest.mark.parametrize("name", ["a", "sub/a b", "海" * 60, "x" * 120, "a..b", "Ünï-1_(2)", "console", "a/earlier"])
def test_a_name_that_is_a_file_s_is_taken(frames: Folder, name: str) -> None:
    path = spec(frames)
    path.write_text(path.read_text().replace("name: job", f"name: {json.dumps(name)}"))
    assert [job.name for job in load(path).jobs] == [name]


@pytest.mark.parametrize(("one", "other"), [("a", "A"), ("Straße", "STRASSE"), ("K\u00fc", "Ku\u0308"), ("x", " x ")])
def test_names_that_would_be_one_file_on_some_disk_collide(frames: Folder, one: str, other: str) -> None:
    request = f"    request: {{model: viduq1, images: {json.dumps(IMAGES)}, prompt: "
    text = f"  - name: {json.dumps(one)}\n{request}a}}\n  - name: {json.dumps(other)}\n{request}b}}\n"
    (line,) = lines(frames.write(f"version: 1\njobs:\n{text}"))
    assert line.startswith("jobs.yaml:5:11: the name ")
    assert "is also that of the job at " in line


# Messages


def test_all_problems_come_at_once_in_the_order_of_the_file_and_repeats_are_folded(frames: Folder) -> None:
    path = frames.write("""version: 1
provider: octopusx
defaults: {model: viduq1, resolution: 720p}
jobs:
  - name: "a{{ n }}"
    matrix:
      n: [5, 12, 13]
      dur:
        - {s: 5}
        - {s: 12}
    zip: [n]
    request: {images: [frames/a.png, frames/c.png], duration: "{{ dur.s }}", prompt: "{{ n }} {{ x }}"}
  - name: "b"
    request: {images: [frames/a.png, frames/b.png], wm_position: 9}
""")
    assert lines(path) == [
        "jobs.yaml:11:10: zip has 1 item (at least 2)",
    ]
    path.write_text(path.read_text().replace("    zip: [n]\n", ""))
    assert lines(path) == [
        "jobs.yaml:3:39: resolution '720p' is not allowed for viduq1 (only 1080p); job a5 (and 6 more like it)",
        "jobs.yaml:5:11: the name 'a5' is also that of the job at "
        f"{path.as_posix()}:5:11; add {{{{ dur }}}} to it; job a5",
        "jobs.yaml:5:11: the name 'a12' is also that of the job at "
        f"{path.as_posix()}:5:11; add {{{{ dur }}}} to it; job a12",
        "jobs.yaml:5:11: the name 'a13' is also that of the job at "
        f"{path.as_posix()}:5:11; add {{{{ dur }}}} to it; job a13",
        "jobs.yaml:10:15: duration 12 is not allowed for viduq1 (only 5); job a5 (and 2 more like it)",
        "jobs.yaml:11:38: 'frames/c.png' does not exist; did you mean 'frames/b.png'?; job a5 (and 5 more like it)",
        "jobs.yaml:11:86: there is no variable or axis 'x'; job a5 (and 5 more like it)",
        "jobs.yaml:13:66: wm_position 9 is not allowed (1 to 4); job b",
    ]


def test_what_could_not_be_rendered_is_not_also_missing_or_unread(frames: Folder) -> None:
    path = frames.write("""version: 1
vars: {bad: "{{ nope }}", reads: "{{ bad }}"}
jobs:
  - matrix: {a: [1, 2], b: {range: [3, 1]}}
    request: {model: "{{ bad }}", images: "{{ reads }}", duration: "{{ a +* }}", prompt: "{{ b }} {{ a }}"}
  - matrix: {a: [1]}
    request: {model: viduq1, images: [frames/a.png, frames/b.png], duration: "{{ a | center }}", seed: "{{ bad }}"}
  - matrix: {a: [2]}
    request: {model: viduq1, images: [frames/a.png, frames/b.png], prompt: {file: no.txt}}
""")
    told = lines(path)
    assert [line.split(": ", 1)[0].removeprefix("jobs.yaml:") for line in told] == [
        "2:13",
        "4:36",
        "5:68",
        "7:78",
        "9:83",
    ]


def test_a_value_is_told_where_it_stands_a_var_a_row_or_the_defaults(frames: Folder) -> None:
    path = frames.write("""version: 1
vars: {seconds: 6}
defaults: {model: viduq1, wm_position: 7}
jobs:
  - matrix:
      row:
        - {name: x, size: [1080p, 8k]}
    request:
      images: [frames/a.png, frames/b.png]
      duration: "{{ seconds }}"
      resolution: "{{ row.size[1] }}"
      bgm: "{{ row.name }}"
""")
    assert [line.split(" ")[:2] for line in lines(path)] == [
        ["jobs.yaml:2:17:", "duration"],
        ["jobs.yaml:3:40:", "wm_position"],
        ["jobs.yaml:7:18:", "bgm"],
        ["jobs.yaml:11:19:", "resolution"],
    ]
    assert "jobs.yaml:10:17: duration 7 is" in "\n".join(lines(path, seconds=7))


# Prompt files, vars and settings


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff\xfe", "the prompt file 'p.txt' is not UTF-8 text (byte 0)"),
        (b"x" * (1 << 20) + b"y", "the prompt file 'p.txt' is larger than 1,048,576 bytes"),
        (b"x" * 5001, "prompt has 5,001 characters, more than 5,000"),
        (b"{{ nope }}", "in the prompt file 'p.txt': there is no variable or axis 'nope'"),
        (b"{% for a in b %}", "in the prompt file 'p.txt': template: Unexpected end of template."),
        (b"a\x1bb", "prompt holds the control character '\\x1b'"),
        (None, "the prompt file 'p.txt' does not exist"),
    ],
)
def test_a_prompt_file_that_cannot_be_used_is_told_where_it_is_named(
    frames: Folder, content: bytes | None, why: str
) -> None:
    if content is not None:
        (frames.path / "p.txt").write_bytes(content)
    assert wrong(frames, prompt={"file": "p.txt"})[0].startswith(why)


@pytest.mark.parametrize("source", ["../p.txt", "/etc/hostname", "pipe", ".", "circle", "a\0b", "p" * 5000])
def test_a_prompt_file_is_a_file_in_the_folder(frames: Folder, source: str) -> None:
    os.mkfifo(frames.path / "pipe")
    (frames.path / "circle").symlink_to("circle")
    assert wrong(frames, prompt={"file": source})[0].startswith("the prompt file '")


def test_an_axis_that_only_a_prompt_file_reads_is_read(frames: Folder) -> None:
    (frames.path / "p.txt").write_text("a boat, {{ look }} {{ mood }}\n")
    path = frames.write(
        "version: 1\nvars: {mood: calm}\njobs:\n  - matrix: {look: [soft, hard]}\n"
        f"    request: {{model: viduq1, images: {json.dumps(IMAGES)}, prompt: {{file: p.txt}}}}\n"
    )
    assert [job.request["prompt"] for job in load(path).jobs] == ["a boat, soft calm", "a boat, hard calm"]


def test_a_setting_stands_over_a_var_and_is_no_template(frames: Folder) -> None:
    path = spec(frames, prompt="a boat, {{ look }}")
    path.write_text(path.read_text().replace("jobs:", "vars: {look: '{{ nope }}', n: 1}\njobs:"))
    assert load(path, None, {"look": "soft"}).jobs[0].request["prompt"] == "a boat, soft"
    assert "still holds '{{'" in lines(path, look="{{ n }}")[0]
    assert lines(path, look="x", lok="y") == [
        "jobs.yaml: --set 'lok': the spec has no such name in vars; did you mean look?"
    ]
    assert lines(path, look="\udcff") == ["jobs.yaml:3:14: --set look: is not UTF-8 text"]
    assert lines(path, look=float("inf")) == ["jobs.yaml:3:14: --set look: too large a number"]


# Providers and settings of the run


def test_a_rehearsal_keeps_to_the_rules_of_the_spec_s_own_provider(frames: Folder) -> None:
    ten = spec(frames, "octopusx", duration=10)
    assert load(ten, "local").provider.name == "local"
    assert load(ten, "local").home == "octopusx"
    eleven = spec(frames, "vidu", duration=9)
    assert "(1 to 8)" in lines(eleven, "local")[0]
    assert load(eleven, "octopusx").jobs


def test_an_unknown_provider_is_refused(frames: Folder) -> None:
    with pytest.raises(UnknownProvider, match="did you mean vidu"):
        load(spec(frames), "vido")
    assert "provider 'kling' is not allowed" in lines(spec(frames, "kling"))[0]


def test_whole_numbers_of_the_run_may_have_a_point(frames: Folder) -> None:
    path = spec(frames)
    path.write_text(
        path.read_text() + "concurrency: 8.0\nbudget: 100.0\noff_peak_concurrency: 3.0\ntiming: {drain: 5}\n"
    )
    loaded = load(path)
    assert (loaded.concurrency, loaded.budget, loaded.off_peak_concurrency) == (8, 100, 3)
    assert all(type(number) is int for number in (loaded.concurrency, loaded.budget, loaded.off_peak_concurrency))
    assert loaded.timing.drain == 5


def test_ten_thousand_jobs_are_checked_in_seconds(frames: Folder) -> None:
    path = frames.write(
        "version: 1\ndefaults: {prompt: 'a {{ seed }}'}\njobs:\n  - matrix: {seed: {range: [1, 10000]}}\n"
        f"    request: {{model: viduq1, images: {json.dumps(IMAGES)}, seed: '{{{{ seed }}}}'}}\n"
    )
    begun = time.process_time()
    assert len(load(path).jobs) == 10_000
    assert time.process_time() - begun < 20


def test_a_job_does_not_pay_for_vars_it_does_not_read(frames: Folder) -> None:
    many = "".join(f"  v{number}: {number}\n" for number in range(5000))
    path = frames.write(
        f"version: 1\nvars:\n{many}jobs:\n  - matrix: {{seed: {{range: [1, 3000]}}}}\n"
        f"    request: {{model: viduq1, images: {json.dumps(IMAGES)}, prompt: 'a {{{{ seed }}}} {{{{ vv }}}}'}}\n"
    )
    begun = time.process_time()
    (line,) = lines(path)
    assert line.endswith("there is no variable or axis 'vv'; job 1 (and 2,999 more like it)")
    assert time.process_time() - begun < 20


def test_thousands_of_missing_frames_are_told_in_seconds(frames: Folder) -> None:
    for number in range(500):
        (frames.path / f"frames/k{number:05}.png").touch()
    path = frames.write(
        "version: 1\njobs:\n  - matrix: {k: {range: [1, 5000]}}\n"
        "    request: {model: viduq1, images: ['frames/kk{{ k }}.png', frames/b.png]}\n"
    )
    begun = time.process_time()
    told = lines(path)
    assert time.process_time() - begun < 20
    assert len(told) == 20
    assert told[-1].endswith("(and 4,980 more like it)")
    assert "did you mean" in told[0]


def test_a_folder_called_like_a_video_would_stand_in_the_way_of_one() -> None:
    assert name_finding("x.mp4/y") is not None
    assert name_finding("x/y") is None


def test_an_axis_of_wrong_values_is_told_a_bounded_number_of_times(frames: Folder) -> None:
    path = frames.write(
        "version: 1\nmax_jobs: 20000\njobs:\n  - name: '{{ n }}'\n    matrix: {n: {range: [1, 10000]}}\n    request: "
        "{model: viduq1, images: [frames/a.png, frames/b.png], prompt: '{{ n }}'}\n"
    )
    told = lines(path)
    assert len(told) == 20
    assert told[-1].endswith("; job 20 (and 9,980 more like it)")


def test_one_mistake_in_thousands_of_places_is_told_a_bounded_number_of_times(frames: Folder) -> None:
    item = "  - {name: j%d, request: {model: viduq1, images: [frames/a.png, frames/b.png], sed: %d}}\n"
    path = frames.write("version: 1\njobs:\n" + "".join(item % (n, n) for n in range(1, 2001)))
    told = lines(path)
    assert len(told) == 20
    assert told[0] == "jobs.yaml:3:79: request has no 'sed'; did you mean seed?"
    assert told[-1] == "jobs.yaml:22:80: request has no 'sed'; did you mean seed? (and 1,980 more like it)"


def test_frames_whose_shapes_differ_by_exactly_what_is_allowed_are_taken(folder: Folder) -> None:
    """In floats 4:3 over 5:3 is less than 0.8."""
    folder.frame("a.png", size=(640, 480))
    folder.frame("b.png", size=(800, 480))
    folder.sweep(1)
    assert folder("check", "jobs.yaml").code == 0
    folder.frame("b.png", size=(801, 480))
    assert "their shapes differ by 0.80, allowed is 0.8 to 1.25" in folder("check", "jobs.yaml").err


def test_a_spec_of_which_everything_is_excluded_is_an_error(folder: Folder) -> None:
    path = folder.sweep(2)
    path.write_text(path.read_text().replace("    request:", "    exclude: [{seed: 1}, {seed: 2}]\n    request:"))
    told = folder("check", "jobs.yaml")
    assert (told.code, "every combination is excluded: there is no job left" in told.err) == (2, True)


def test_vars_that_hold_one_another_again_and_again_are_refused_at_once(folder: Folder) -> None:
    doubled = "".join(f'  v{n}: ["{{{{ v{n - 1} }}}}", "{{{{ v{n - 1} }}}}"]\n' for n in range(1, 40))
    deep = "".join(f'  v{n}: ["{{{{ v{n - 1} }}}}"]\n' for n in range(1, 40))
    path = folder.sweep(1, prompt="{{ v39 }}")
    plain = path.read_text()
    for wrong, told in ((doubled, "renders to too many values"), (deep, "renders to what is nested deeper than 32")):
        path.write_text(plain.replace("jobs:", f"vars:\n  v0: [x]\n{wrong}jobs:", 1))
        refused = folder("check", "jobs.yaml", timeout=20)
        assert (refused.code, told in refused.err) == (2, True), refused.err


def test_nothing_stands_beside_the_file_of_a_prompt(folder: Folder) -> None:
    folder.write("a boat", "p.txt")
    path = folder.sweep(1, prompt="{{ q }}")
    path.write_text(path.read_text().replace("jobs:", "vars: {q: {file: p.txt, note: lost}}\njobs:", 1))
    told = folder("check", "jobs.yaml")
    assert (told.code, "a prompt is a text or {file: PATH}" in told.err) == (2, True), told.err
