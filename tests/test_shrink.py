"""Frames too heavy to be sent: real pictures, encoded by Pillow, made lighter, decoded again and compared."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageCms, ImageFilter, ImageStat

from vidu_run.frames import EXIF_ORIENTATION, BadFrame
from vidu_run.shrink import shares, shrink

CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}
HEAVY: dict[str, dict[str, Any]] = {"PNG": {}, "JPEG": {"quality": 100}, "WEBP": {"lossless": True}}


def noise(mode: str, width: int, height: int) -> Image.Image:
    """The worst case of all encoders."""
    return Image.frombytes(mode, (width, height), Random(7).randbytes(width * height * CHANNELS[mode]))


def photo(width: int, height: int) -> Image.Image:
    """Something with flat parts, edges, texture and a little grain."""
    sky = Image.merge("RGB", [Image.linear_gradient("L").rotate(turn) for turn in (0, 90, 180)]).resize((width, height))
    texture = noise("RGB", width, height).filter(ImageFilter.GaussianBlur(2))
    picture = Image.blend(sky, texture, 0.3)
    picture.paste((200, 40, 30), (width // 4, height // 4, width // 3, height // 2))
    return Image.blend(picture, noise("RGB", width, height), 0.02)


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    file = BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def png(picture: Image.Image, **options: Any) -> bytes:
    return encoded(picture, "PNG", compress_level=1, **options)


def jpeg(picture: Image.Image, quality: int) -> bytes:
    return encoded(picture, "JPEG", quality=quality, subsampling=0)


def opened(content: bytes) -> Image.Image:
    """Decoded by a strict reader: a file that is not whole raises."""
    picture = Image.open(BytesIO(content))
    picture.load()
    return picture


def lighter(content: bytes, most: int) -> Image.Image:
    """Shrunk, held to the bound, and decoded."""
    assert len(content) > most, "the test's own picture is too light to test anything"
    found = shrink(content, most)
    assert len(found) <= most
    return opened(found)


def quality_of(picture: Image.Image) -> int:
    """By the quantisation tables in the file, which libjpeg derives from nothing but the quality."""
    sample = Image.new(picture.mode, (8, 8))
    return next(q for q in range(100, 0, -1) if tables(opened(jpeg(sample, q))) == tables(picture))


def tables(picture: Image.Image) -> Any:
    return picture.quantization  # type: ignore[attr-defined]


def psnr(one: Image.Image, other: Image.Image) -> float:
    """In dB; 35 is where differences stop to be seen at a glance."""
    assert (one.mode, one.size) == (other.mode, other.size)
    bands = ImageStat.Stat(ImageChops.difference(one, other)).sum2
    error = sum(bands) / (len(bands) * one.width * one.height)
    return 10 * math.log10(255**2 / error) if error else math.inf


def png_by_hand(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """What Pillow cannot write: 16 bits of colour, and headers without their pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# What fits


@pytest.mark.parametrize("form", HEAVY)
def test_a_frame_that_already_fits_comes_back_byte_for_byte(form: str) -> None:
    content = encoded(photo(64, 48), form, **HEAVY[form])
    assert shrink(content, len(content)) == content
    assert shrink(content, len(content) - 1) != content


# Quality first, and no more of it than needed


@pytest.mark.parametrize(("quality", "above"), [(95, 100), (92, 95), (88, 92), (85, 88)])
def test_the_best_quality_that_fits_is_taken_at_full_size(quality: int, above: int) -> None:
    source = photo(640, 360)
    most = (len(jpeg(source, quality)) + len(jpeg(source, above))) // 2
    found = lighter(png(source), most)
    assert (found.format, found.size, quality_of(found)) == ("JPEG", (640, 360), quality)


@pytest.mark.parametrize("size", [(1920, 200), (200, 1920), (512, 300)])
def test_a_picture_no_larger_than_a_video_keeps_its_size_down_to_quality_70(size: tuple[int, int]) -> None:
    source = noise("RGB", *size)
    assert quality_of(lighter(png(source), len(jpeg(source, 75)) - 1)) == 70
    found = lighter(png(source), len(jpeg(source, 70)))
    assert (found.size, quality_of(found)) == (size, 70)
    with pytest.raises(BadFrame, match="cannot be made to fit") as trouble:
        shrink(png(source), len(jpeg(source, 70)) - 1)
    assert f"{max(size):,} pixels" in str(trouble.value)


def test_the_chroma_of_an_opaque_picture_is_not_subsampled() -> None:
    source = photo(640, 360)
    found = lighter(png(source), len(jpeg(source, 90)))
    assert {(across, down) for _, across, down, _ in found.layer} == {(1, 1)}  # type: ignore[attr-defined]


@pytest.mark.parametrize("picture", [photo, lambda *size: Image.linear_gradient("L").resize(size).convert("RGB")])
def test_what_fits_at_full_size_cannot_be_told_from_the_source(picture: Callable[..., Image.Image]) -> None:
    source = picture(1280, 720)
    content = encoded(source, "BMP")
    heavy = encoded(source, "PNG", compress_level=0)
    found = lighter(heavy, len(content) // 5)
    assert found.size == (1280, 720)
    assert psnr(found, source) >= 35


def test_shrinking_twice_gives_the_same_bytes() -> None:
    content = png(noise("RGB", 2200, 300))
    assert shrink(content, 800_000) == shrink(content, 800_000)


# Then size


def test_size_is_given_up_in_steps_and_quality_is_then_the_best_again() -> None:
    source = noise("RGB", 2400, 300)
    found = lighter(png(source), len(jpeg(source, 85)) - 1)
    assert found.size == (2040, 255)
    assert quality_of(found) >= 85


@pytest.mark.parametrize(("size", "least"), [((2400, 301), (1920, 241)), ((133, 2777), (92, 1920))])
def test_no_picture_gets_smaller_than_a_video_and_its_shape_stays(
    size: tuple[int, int], least: tuple[int, int]
) -> None:
    source = noise("RGB", *size)
    found = lighter(png(source), len(jpeg(source.resize(least, Image.Resampling.LANCZOS), 72)))
    assert (found.size, quality_of(found)) == (least, 70)
    with pytest.raises(BadFrame, match="with 1,920 pixels on the long side and quality 70"):
        shrink(png(source), len(jpeg(source.resize(least, Image.Resampling.LANCZOS), 60)))


def test_a_smaller_picture_is_the_source_seen_from_further_away() -> None:
    source = photo(2300, 400)
    found = lighter(png(source), len(jpeg(source, 85)) - 1)
    assert found.size == (1955, 340)
    assert psnr(found, source.resize(found.size, Image.Resampling.BICUBIC)) >= 35


@pytest.mark.parametrize(
    ("mode", "width", "form", "widest"), [("RGB", 66_000, "JPEG", 65_500), ("RGBA", 17_000, "WEBP", 16_383)]
)
def test_a_picture_longer_than_its_new_format_allows_is_shortened_to_that(
    mode: str, width: int, form: str, widest: int
) -> None:
    content = png(noise(mode, width, 8))
    found = lighter(content, len(content) - 1)
    assert (found.format, found.size) == (form, (widest, 8))


# What a picture is stays


def transparent() -> Image.Image:
    picture = photo(320, 200).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize((320, 200)))
    return picture


def palette_with_holes() -> bytes:
    return png(photo(320, 200).quantize(256, Image.Quantize.FASTOCTREE), transparency=bytes([0, 128]) + b"\xff" * 254)


def grey_with_a_hole() -> bytes:
    return png(noise("L", 320, 200), transparency=17)


TRANSPARENT: dict[str, Callable[[], bytes]] = {
    "RGBA": lambda: png(transparent()),
    "grey and alpha": lambda: png(noise("LA", 320, 200)),
    "a palette with a part of transparency": palette_with_holes,
    "one grey that is transparent": grey_with_a_hole,
    "one colour that is transparent": lambda: png(photo(320, 200), transparency=photo(320, 200).getpixel((90, 60))),
    "lossless WebP": lambda: encoded(transparent(), "WEBP", lossless=True),
}


@pytest.mark.parametrize("content", TRANSPARENT.values(), ids=TRANSPARENT)
def test_transparency_stays_as_it_was_at_full_size(content: Callable[[], bytes]) -> None:
    before = opened(content()).convert("RGBA").getchannel("A")
    assert before.getextrema()[0] != 255
    found = lighter(content(), len(content()) - 1)
    assert (found.format, found.size) == ("WEBP", (320, 200))
    assert psnr(found.getchannel("A"), before) == math.inf


def test_the_visible_part_of_a_transparent_picture_looks_the_same() -> None:
    found = lighter(png(transparent()), 60_000)
    black = Image.new("RGBA", (320, 200), "black")
    before, after = (Image.alpha_composite(black, picture).convert("RGB") for picture in (transparent(), found))
    assert psnr(after, before) >= 35


def test_transparency_is_shrunk_with_the_picture() -> None:
    source = noise("RGB", 2400, 100)
    source.putalpha(Image.linear_gradient("L").rotate(90).resize((2400, 100)))
    found = lighter(png(source), 130_000)
    assert found.size[0] < 2400
    before = source.getchannel("A").resize(found.size, Image.Resampling.BICUBIC)
    assert psnr(found.getchannel("A"), before) >= 35


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_an_alpha_channel_nothing_shows_through_is_no_transparency(mode: str) -> None:
    source = photo(320, 200).convert(mode)
    plain = {"RGBA": "RGB", "LA": "L"}[mode]
    found = lighter(png(source), len(png(source)) // 2)
    assert (found.format, found.mode) == ("JPEG", plain)
    assert psnr(found, source.convert(plain)) >= 35


def in_16_bits_grey() -> tuple[bytes, Image.Image]:
    rows = b"".join(b"\0" + b"".join(struct.pack(">H", (x * 197 + y) % 65536) for x in range(333)) for y in range(64))
    eight = Image.new("L", (333, 64))
    eight.putdata([(x * 197 + y) % 65536 // 256 for y in range(64) for x in range(333)])
    return png_by_hand(333, 64, 16, 0, rows), eight


def in_16_bits_of_colour() -> tuple[bytes, Image.Image]:
    eight = photo(160, 90)
    line = 160 * 3
    raw = eight.tobytes()
    rows = b"".join(
        b"\0" + b"".join(bytes([sample, 77]) for sample in raw[at : at + line]) for at in range(0, len(raw), line)
    )
    return png_by_hand(160, 90, 16, 2, rows), eight


def written(form: str, mode: str, **options: Any) -> Callable[[], tuple[bytes, Image.Image]]:
    def make() -> tuple[bytes, Image.Image]:
        content = encoded(photo(320, 200).convert(mode), form, **options)
        after = {"1": "L", "P": "RGB"}.get(mode, mode)
        return content, opened(content).convert(after)

    return make


def several() -> tuple[bytes, Image.Image]:
    """As phones write them: a JPEG file with a second picture behind the first."""
    first = photo(320, 200)
    content = encoded(first, "MPO", quality=100, save_all=True, append_images=[noise("RGB", 320, 200)])
    assert opened(content).format == "MPO"
    return content, first


KINDS: dict[str, Callable[[], tuple[bytes, Image.Image]]] = {
    "black and white": written("PNG", "1"),
    "grey": written("PNG", "L"),
    "a palette": written("PNG", "P"),
    "16 bits of grey": in_16_bits_grey,
    "16 bits of colour": in_16_bits_of_colour,
    "CMYK": written("JPEG", "CMYK", quality=100),
    "a heavier JPEG": written("JPEG", "RGB", quality=100),
    "lossless WebP": written("WEBP", "RGB", lossless=True),
    "two pictures in a file": several,
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_every_kind_of_opaque_picture_becomes_a_jpeg_of_its_own_colours(
    make: Callable[[], tuple[bytes, Image.Image]],
) -> None:
    content, source = make()
    most = max(len(jpeg(source, 94)), len(jpeg(source, 95)))
    found = lighter(content if len(content) > most else content + bytes(most), most)
    assert (found.format, found.mode, found.size) == ("JPEG", source.mode, source.size)
    assert psnr(found, source) >= 35


# What stands beside the pixels


def with_secrets(orientation: int | None) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "Camera of Ann"
    exif.get_ifd(0x8825)[1] = "N"
    if orientation is not None:
        exif[EXIF_ORIENTATION] = orientation
    return exif.tobytes()


@pytest.mark.parametrize("form", HEAVY)
@pytest.mark.parametrize("orientation", [6, 3])
def test_the_orientation_tag_stays_and_the_pixels_are_not_turned(form: str, orientation: int) -> None:
    content = encoded(photo(320, 200), form, exif=with_secrets(orientation), **HEAVY[form])
    found = lighter(content, len(jpeg(photo(320, 200), 93)))
    assert dict(found.getexif()) == {EXIF_ORIENTATION: orientation}
    assert psnr(found, photo(320, 200)) >= 35


def test_the_orientation_of_a_transparent_picture_stays() -> None:
    content = png(transparent(), exif=with_secrets(8))
    assert dict(lighter(content, len(content) // 2).getexif()) == {EXIF_ORIENTATION: 8}


@pytest.mark.parametrize("orientation", [None, 1, 9])
def test_where_there_is_no_turn_to_tell_no_exif_is_sent(orientation: int | None) -> None:
    content = encoded(photo(320, 200), "JPEG", quality=100, exif=with_secrets(orientation))
    assert not lighter(content, len(content) // 2).getexif()


@pytest.mark.parametrize("exif", [b"II*\0\xff\xff\xff\x7f", b"no TIFF at all"])
@pytest.mark.parametrize("form", HEAVY)
def test_exif_that_cannot_be_read_is_left_behind(form: str, exif: bytes) -> None:
    content = encoded(photo(320, 200), form, exif=b"Exif\0\0" + exif, **HEAVY[form])
    assert "exif" not in lighter(content, len(content) // 2).info


def test_what_was_written_beside_the_pixels_does_not_leave_the_machine() -> None:
    content = encoded(
        photo(320, 200),
        "JPEG",
        quality=100,
        exif=with_secrets(6),
        comment=b"Ann at home",
        xmp=b"<x:xmpmeta>Ann</x:xmpmeta>",
    )
    assert content.count(b"Ann") == 3
    assert b"Ann" not in shrink(content, len(content) // 2)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
"""Made once: the second it was made stands in it."""


def colour_profile(space: bytes) -> bytes:
    return SRGB[:16] + space + SRGB[20:]


PROFILES = {
    "opaque": (lambda: photo(320, 200), b"RGB ", True),
    "palette": (lambda: photo(320, 200).quantize(256, Image.Quantize.FASTOCTREE), b"RGB ", True),
    "transparent": (transparent, b"RGB ", True),
    "grey": (lambda: noise("L", 320, 200), b"GRAY", True),
    "grey that becomes RGBA": (lambda: noise("LA", 320, 200), b"GRAY", False),
}


@pytest.mark.parametrize(("make", "space", "stays"), PROFILES.values(), ids=PROFILES)
def test_a_colour_profile_stays_with_the_colours_it_is_for(
    make: Callable[[], Image.Image], space: bytes, stays: bool
) -> None:
    heavy = png(make(), icc_profile=colour_profile(space)) + bytes(500_000)
    found = lighter(heavy, len(heavy) - 1)
    assert found.info.get("icc_profile") == (colour_profile(space) if stays else None)


def test_the_profile_of_a_cmyk_picture_stays() -> None:
    content = encoded(photo(320, 200).convert("CMYK"), "JPEG", quality=100, icc_profile=colour_profile(b"CMYK"))
    found = lighter(content, len(content) - 1)
    assert (found.mode, found.info.get("icc_profile")) == ("CMYK", colour_profile(b"CMYK"))


# What cannot be shrunk


@pytest.mark.parametrize("form", HEAVY)
@pytest.mark.parametrize("part", [0.01, 0.5, 0.95])
def test_a_truncated_file_is_damaged(form: str, part: float) -> None:
    content = encoded(noise("RGB", 320, 200), form, **HEAVY[form])
    with pytest.raises(BadFrame, match="is damaged"):
        shrink(content[: int(len(content) * part)], 100)


@pytest.mark.parametrize("content", [b"", b"GIF89a" + bytes(200), encoded(Image.new("RGB", (99, 99)), "BMP")])
def test_what_is_no_frame_is_refused(content: bytes) -> None:
    with pytest.raises(BadFrame):
        shrink(content, -1)


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(BadFrame, match="too many pixels"):
        shrink(png_by_hand(20_000, 20_000, 8, 2, b"") + bytes(2_000), 1_000)


def test_a_picture_pillow_would_warn_of_is_shrunk_in_silence() -> None:
    """The tests' filter makes an error of every warning."""
    width, height = 30_000, 3_000
    content = png_by_hand(width, height, 1, 0, bytes((width // 8 + 1) * height)) + bytes(2_000_000)
    found = shrink(content, 1_500_000)
    with pytest.warns(Image.DecompressionBombWarning):
        assert Image.open(BytesIO(found)).size == (width, height)


# How the room is shared


def base64_size(share: int) -> int:
    return (share + 2) // 3 * 4


@pytest.mark.parametrize(
    ("sizes", "room", "found"),
    [
        ([], 100, []),
        ([10, 10], 100, [10, 10]),
        ([3, 300], 44, [3, 30]),
        ([300, 3], 44, [30, 3]),
        ([300, 300], 80, [30, 30]),
        ([300, 300], 87, [30, 30]),
        ([300, 300], 88, [33, 33]),
        ([1, 1], 8, [1, 1]),
        ([1, 1], 7, [0, 0]),
        ([5, 50, 500], 1 << 20, [5, 50, 500]),
        ([7, 7], -4, [0, 0]),
        ([15_000_000, 40_000], 20_000_000, [14_959_998, 40_000]),
    ],
)
def test_small_frames_keep_their_size_and_the_others_share_what_they_leave(
    sizes: list[int], room: int, found: list[int]
) -> None:
    assert shares(sizes, room) == found


SIZES = st.lists(st.integers(0, 200) | st.integers(0, 50_000_000), max_size=8)
ROOM = st.integers(0, 400) | st.integers(0, 100_000_000)


@given(SIZES, ROOM)
@example([4, 4, 5], 23)
def test_shares_never_exceed_the_room_and_leave_next_to_none_of_it(sizes: list[int], room: int) -> None:
    found = shares(sizes, room)
    taken = sum(map(base64_size, found))
    cut = [share for size, share in zip(sizes, found, strict=True) if share < size]
    assert taken <= room
    assert all(0 <= share <= size for size, share in zip(sizes, found, strict=True))
    assert not cut or room - taken < 4 * len(cut) + 4
    assert bool(cut) == (sum(map(base64_size, sizes)) > room), "nobody is cut who need not be"


@given(SIZES, ROOM)
def test_the_frames_that_are_cut_get_the_same_and_no_other_gets_more(sizes: list[int], room: int) -> None:
    found = shares(sizes, room)
    cut = {share for size, share in zip(sizes, found, strict=True) if share < size}
    assert len(cut) <= 1
    assert not cut or max(found) == cut.pop()


@given(st.lists(st.integers(0, 400), min_size=1, max_size=6), st.integers(0, 900), st.randoms())
def test_the_order_of_the_frames_does_not_matter(sizes: list[int], room: int, random: Random) -> None:
    shared = list(zip(sizes, shares(sizes, room), strict=True))
    random.shuffle(shared)
    again = [size for size, _ in shared]
    assert shares(again, room) == [share for _, share in shared]
