"""What is taken off a file is what the ground can put on again, and files that do not fit are sent whole."""

from __future__ import annotations

import io

import numpy as np
import pytest

from codec.errors import BackendUnavailable, Corrupt
from codec.evaluate.rate.pixels import backend
from codec.evaluate.rate.pixels.formats import FORMATS
from codec.evaluate.rate.pixels.headers import (
    AvifRule,
    Jpeg2000Rule,
    WebpRule,
    _leb128,
    _toc,
    received,
    sent,
    starts_a_file,
)

imagecodecs = pytest.importorskip("imagecodecs")
CASES = [
    ("jpeg2000", 12, (48, 64, 12), (30.0, 45.0)),
    ("jpeg2000", 12, (48, 64, 1), (30.0, 60.0)),
    ("jpegxl", 12, (48, 64, 3), (0.2, 3.0, 25.0)),
    ("jpegxl", 12, (48, 64, 1), (1.0, 15.0)),
    ("jpegxl", 12, (40, 300, 1), (1.0,)),  # more than one group
    ("avif", 10, (48, 64, 3), (0, 40, 90)),
    ("avif", 10, (48, 64, 1), (30,)),
    ("webp", 8, (48, 64, 3), (0, 50, 100)),
    ("webp", 8, (50, 63, 1), (30,)),
]


def picture(shape: tuple[int, int, int], bits: int, seed: int, dtype: object) -> np.ndarray:
    """Smooth waves and noise around the middle."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]]
    waves = np.sin(rows / rng.uniform(2, 9) + cols / rng.uniform(2, 9))[..., None]
    x = (1 << (bits - 1)) + (1 << (bits - 4)) * (waves + 0.3 * rng.standard_normal(shape))
    return np.clip(np.rint(x), 0, (1 << bits) - 1).astype(dtype)


@pytest.mark.parametrize(("name", "bits", "shape", "qualities"), CASES)
def test_a_stripped_file_is_made_whole_on_the_ground_and_decodes_to_the_same(
    name: str, bits: int, shape: tuple[int, int, int], qualities: tuple[float, ...]
) -> None:
    form = FORMATS[name]
    for quality in qualities:
        rule = form.rule(shape, quality, bits)
        stripped = 0
        for seed in range(3):
            file = form.encode(picture(shape, bits, seed, form.dtype(bits)), quality, bits)
            data = sent(file, rule)
            assert received(data, rule) == file
            assert np.array_equal(form.decode(received(data, rule), shape), form.decode(file, shape))
            stripped += len(data) < len(file)
        assert stripped >= 2  # one noisy picture may get another frame header in JPEG XL


@pytest.mark.parametrize(
    ("name", "bits", "quality", "fixed"),
    [
        # T.800 A.4–A.5: SOC 2, SIZ 40 + 3·3, COD 14, QCD 5 + 2·16 (5 levels), SOT 12, SOD 2, EOC 2.
        ("jpeg2000", 12, 40.0, 2 + 49 + 14 + 37 + 12 + 2 + 2),
        # RFC 9649 and RFC 6386 9.1: RIFF header 12, chunk header 8, start code 3, width and height 4.
        ("webp", 8, 50, 12 + 8 + 3 + 4),
        # Signature 2, size and image header at least 3 bytes, frame header 1, table of contents 2.
        ("jpegxl", 12, 3.0, 2 + 3 + 1 + 2),
    ],
)
def test_all_fixed_header_bytes_are_gone(name: str, bits: int, quality: float, fixed: int) -> None:
    form, shape = FORMATS[name], (64, 64, 3)
    file = form.encode(picture(shape, bits, 5, form.dtype(bits)), quality, bits)
    assert len(file) - len(sent(file, form.rule(shape, quality, bits))) >= fixed


def test_of_an_avif_file_only_the_frame_is_left() -> None:
    form, shape = FORMATS["avif"], (64, 64, 3)
    file = form.encode(picture(shape, 10, 5, np.uint16), 40, 10)
    item = file[file.index(b"mdat") + 4 :]
    assert item[:3] == b"\x12\x00\x0a"  # AV1 5.3.2: temporal delimiter, size 0; sequence header with its size
    frame = item[4 + item[3] :]
    assert frame[0] == 0x32  # OBU_FRAME with a size
    assert len(sent(file, form.rule(shape, 40, 10))) in (len(frame) - 2, len(frame) - 3)


def test_of_a_jpeg_2000_file_only_packets_are_left() -> None:
    form, shape = FORMATS["jpeg2000"], (64, 64, 4)
    file = form.encode(picture(shape, 12, 2, np.uint16), 40.0, 12)
    packets = file[
        file.index(b"\xff\x93") + 2 : -2
    ]  # SOD … EOC; no such marker can stand in a header of this file
    assert sent(file, form.rule(shape, 40.0, 12)) == packets


def test_a_file_that_does_not_fit_is_sent_whole() -> None:
    shape = (48, 64, 3)
    for name, bits, quality in (
        ("jpeg2000", 12, 40.0),
        ("jpegxl", 12, 2.0),
        ("avif", 10, 40),
        ("webp", 8, 50),
    ):
        form = FORMATS[name]
        rule = form.rule((64, 64, 3), quality, bits)  # of another shape
        file = form.encode(picture(shape, bits, 1, form.dtype(bits)), quality, bits)
        assert sent(file, rule) == file
        assert received(file, rule) == file


def test_a_lossless_webp_file_is_sent_whole() -> None:
    x = picture((64, 64, 3), 8, 0, np.uint8)
    file = imagecodecs.webp_encode(x, lossless=True)
    rule = FORMATS["webp"].rule((64, 64, 3), 50, 8)
    assert file[12:16] == b"VP8L"
    assert received(sent(file, rule), rule) == file == sent(file, rule)


def test_a_payload_that_looks_like_a_file_is_not_sent_as_a_payload() -> None:
    rule = WebpRule(b"\x9d\x01\x2a\x40\x00\x40\x00")
    payload = b"RIFF" + bytes(20)
    file = rule.restore(payload)
    assert starts_a_file(payload)
    assert sent(file, rule) == file
    assert received(sent(file, rule), rule) == file


def test_references_that_are_no_such_file_are_refused() -> None:
    with pytest.raises(Corrupt):
        WebpRule.of(imagecodecs.webp_encode(np.zeros((8, 8, 3), np.uint8), lossless=True))
    with pytest.raises(Corrupt):
        Jpeg2000Rule.of(b"\xff\x4f\xff\x51\x00\x08" + bytes(6))
    of_two_items = imagecodecs.avif_encode(
        np.zeros((16, 16, 4), np.uint8), level=50
    )  # alpha is a second item
    with pytest.raises(Corrupt):
        AvifRule.of(of_two_items)


@pytest.mark.parametrize(
    ("value", "coded"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (16384, "808001")]
)
def test_unit_sizes_are_leb128(value: int, coded: str) -> None:
    assert _leb128(value).hex() == coded  # AV1 specification 4.10.5, by hand


@pytest.mark.parametrize(
    ("size", "coded"),
    # Selector in the two lowest bits: 0 → 10 bits, 1 → 1024 + 14 bits, 2 → 17408 + 22 bits.
    [(952, "e00e"), (1023, "fc0f"), (1024, "0100"), (4964, "913d"), (17407, "fdff"), (17408, "020000")],
)
def test_a_table_of_contents_has_the_coded_size(size: int, coded: str) -> None:
    assert _toc(size).hex() == coded


def test_jpeg_2000_decodes_the_same_in_gdal() -> None:
    rasterio = pytest.importorskip("rasterio")
    form, shape = FORMATS["jpeg2000"], (64, 64, 5)
    x = picture(shape, 12, 3, np.uint16)
    rule = form.rule(shape, 38.0, 12)
    file = received(sent(form.encode(x, 38.0, 12), rule), rule)
    with rasterio.io.MemoryFile(file, ext=".j2k") as memory, memory.open(driver="JP2OpenJPEG") as source:
        theirs = source.read()
    assert np.array_equal(theirs.transpose(1, 2, 0), form.decode(file, shape))


def test_avif_and_webp_decode_the_same_in_pillow() -> None:
    from PIL import Image, features

    for name, quality in (("avif", 60), ("webp", 70)):
        if not features.check(name):
            pytest.skip(f"this pillow has no {name}")
        form, shape = FORMATS[name], (64, 48, 3)
        x = picture(shape, 8, 4, np.uint8)
        rule = form.rule(shape, quality, 8)
        file = received(sent(form.encode(x, quality, 8), rule), rule)
        theirs = np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int)
        # Libraries may round colour conversion differently by one.
        assert np.abs(theirs - form.decode(file, shape)).max() <= 1


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    backend.picture_codecs.cache_clear()
    with pytest.raises(BackendUnavailable, match="bench"):
        backend.picture_codecs()
    backend.picture_codecs.cache_clear()
