"""The preview's decoder: what it paints, and what it refuses."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codec.errors import Corrupt, IdentityError, InputError, LimitExceeded, UnsupportedVersion
from codec.package import Package, load, refresh
from codec.pipeline.preview import NAME, Preview, decode, preview_of
from codec.types import Embedding
from tests.package.small_package import build_small


def make(package: Package, **changes: object) -> Preview:
    """Band 0 is the first token channel, band 1 twice the second plus a gradient over the patch, of patches of 4."""
    weights = np.zeros((29, 4 * 4, 2), np.float32)
    weights[0, :, 0] = 1
    weights[1, :, 1] = 2
    weights[-1, :, 1] = np.arange(16) / 16
    made = Preview(
        (("tokens", package.space_ids["tokens"]), ("spectral", package.space_ids["spectral"])),
        ("red", "nir"), 4, np.zeros(28, np.float32), np.ones(28, np.float32), weights.reshape(29, -1),
        {
            "by_band": {"red": {"psnr_db": 20.0, "explained": 0.5, "explained_by_patch_means": 0.6, "tokens": 9}},
            "windows": 3, "split": "val", "ladder_index": 30,
        }, "nothing",
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def given(n: int = 2) -> dict[str, Embedding]:
    rng = np.random.default_rng(3)
    valid = np.ones((n, 8, 8), bool)
    valid[0, 2, 3] = False
    layers = np.ones(n, np.uint16)
    return {
        "tokens": Embedding(0, rng.uniform(0, 1, (n, 8, 8, 24)).astype(np.float32), valid, layers),
        "spectral": Embedding(1, rng.uniform(0, 1, (n, 8, 8, 4)).astype(np.float32), valid, layers),
    }


def altered(data: bytes, name: str, array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    """The archive with one array replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for member in source.namelist():
            part = io.BytesIO()
            if member == f"{name}.npy":
                np.lib.format.write_array(part, array, allow_pickle=allow_pickle)
            target.writestr(member, part.getvalue() or source.read(member))
    return out.getvalue()


def test_a_token_becomes_its_patch(package: Package) -> None:
    planes = given()
    pixels, validity = make(package).paint(planes)
    assert pixels.shape == (2, 32, 32, 2)
    tokens = planes["tokens"].values
    for tile, row, col in ((0, 0, 0), (1, 7, 2), (1, 3, 6)):
        patch = pixels[tile, 4 * row : 4 * row + 4, 4 * col : 4 * col + 4]
        np.testing.assert_allclose(patch[..., 0], tokens[tile, row, col, 0], rtol=1e-6)
        expected = 2 * tokens[tile, row, col, 1] + np.arange(16).reshape(4, 4) / 16
        np.testing.assert_allclose(patch[..., 1], expected, rtol=1e-6)
    assert not validity[0, 8:12, 12:16].any()
    assert (pixels[~validity] == 0).all()
    assert validity.sum() == 2 * 32 * 32 - 16


def test_a_tile_comes_out_the_same_in_any_company(package: Package) -> None:
    both = given(3)
    alone = {
        name: Embedding(e.plane, e.values[1:2], e.validity[1:2], e.layers[1:2]) for name, e in both.items()
    }
    np.testing.assert_array_equal(make(package).paint(both)[0][1:2], make(package).paint(alone)[0])


def test_reflectance_is_never_negative(package: Package) -> None:
    planes = given()
    planes["tokens"].values[..., 0] -= 5
    assert make(package).paint(planes)[0].min() == 0


def test_what_is_written_is_read(package: Package) -> None:
    made = make(package)
    data = made.encode()
    assert data == made.encode()
    found = decode(data)
    np.testing.assert_array_equal(found.weights, made.weights)
    assert (found.planes, found.bands, found.patch, found.scores) == (
        made.planes, made.bands, made.patch, made.scores,
    )  # fmt: skip


def test_every_truncation_is_corrupt(package: Package) -> None:
    data = make(package).encode()
    for cut in range(0, len(data), 7):
        with pytest.raises(Corrupt):
            decode(data[:cut], "preview.npz")


def test_flipped_bytes_never_surprise(package: Package) -> None:
    data = bytearray(make(package).encode())
    for at in range(0, len(data), 5):
        data[at] ^= 0x55
        with contextlib.suppress(Corrupt, UnsupportedVersion, LimitExceeded):
            decode(bytes(data))
        data[at] ^= 0x55


def test_pickles_are_not_opened(package: Package) -> None:
    data = altered(make(package).encode(), "weights", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(Corrupt, match="weights is object"):
        decode(data)


def about(**changes: object) -> np.ndarray:
    """The JSON part, with something wrong in it."""
    document = {
        "version": 0,
        "planes": [{"name": "tokens", "space_id": "00" * 8}],
        "bands": ["red", "nir"],
        "patch": 4,
        "scores": {},
        "fitted_on": "nothing",
    }
    return np.frombuffer(json.dumps({**document, **changes}).encode(), np.uint8)


def test_the_json_part_of_these_tests_is_legal_as_it_stands(package: Package) -> None:
    assert decode(altered(make(package).encode(), "about", about())).bands == ("red", "nir")


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("weights", np.full((29, 32), np.nan, np.float16)),
        ("weights", np.zeros((28, 32), np.float16)),
        ("spread", np.zeros(28, np.float32)),
        ("centre", np.zeros(27, np.float32)),
        ("about", about(scores={"by_band": {"red": {}}})),
        ("about", about(scores={"by_band": {"red": {"psnr_db": "1e999"}}})),
        ("about", about(patch=0)),
        ("about", about(bands=["red", "red"])),
        ("about", about(planes=[{"name": "tokens", "space_id": "no hex"}])),
        ("about", np.frombuffer(b"[1]", np.uint8)),
        ("about", np.frombuffer(b"\xff", np.uint8)),
    ],
)
def test_arrays_that_do_not_fit_are_corrupt(package: Package, name: str, array: np.ndarray) -> None:
    with pytest.raises(Corrupt):
        decode(altered(make(package).encode(), name, array))


def test_another_version_is_named(package: Package) -> None:
    about = np.frombuffer(json.dumps({"version": 7}).encode(), np.uint8)
    with pytest.raises(UnsupportedVersion, match="expected 0, found 7"):
        decode(altered(make(package).encode(), "about", about))


def test_too_many_bands_do_not_fit(package: Package) -> None:
    rng = np.random.default_rng(1)
    bands = tuple(f"b{i}" for i in range(500))
    large = make(package, bands=bands, weights=rng.normal(size=(29, 16 * 500)).astype(np.float32))
    with pytest.raises(LimitExceeded, match="fewer bands"):
        large.encode()


def test_a_preview_of_another_space_is_refused(package: Package) -> None:
    strange = make(package, planes=(("tokens", bytes(8)),))
    with pytest.raises(IdentityError, match="0000000000000000"):
        strange.check(package)


def test_missing_planes_are_named(package: Package) -> None:
    with pytest.raises(InputError, match="spectral"):
        make(package).paint({"tokens": given()["tokens"]})


def test_a_package_carries_it_by_hash(tmp_path: Path) -> None:
    package = build_small(tmp_path / "small")
    assert preview_of(package) is None
    (tmp_path / "small" / NAME).write_bytes(make(package).encode())
    assert preview_of(load(tmp_path / "small")) is None  # not listed, so never used
    listed = refresh(tmp_path / "small")
    assert (listed.codec_id, listed.space_ids) == (package.codec_id, package.space_ids)
    found = preview_of(listed)
    assert found is not None
    assert found.bands == ("red", "nir")
    (tmp_path / "small" / NAME).write_bytes(b"something else")
    with pytest.raises(Corrupt, match=NAME):
        load(tmp_path / "small")
