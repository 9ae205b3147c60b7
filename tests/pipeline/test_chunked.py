"""Coding large arrays in pieces gives what the plain transform and the reference quantiser give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.arrays.pack import fit
from codec.errors import InputError
from codec.pipeline import chunked, encode
from codec.types import Georeference, Latent, TileGrid
from tests.arrays.embedding_arrays import integers, vectors


@pytest.mark.parametrize("index", [0, 15, 30, 50])
def test_symbols_are_those_of_the_plain_path(
    tmp_path: Path, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = vectors(64 * 40)
    package = fit(x, name="v", folder=tmp_path / "p")
    tiles = x.reshape(40, 8, 8, -1)
    known = np.ones((40, 8, 8), bool)
    known[7, 3] = False
    monkeypatch.setattr(chunked, "CHUNK_VALUES", 5000)  # several pieces
    found, validity = chunked.symbols_of(
        package, 0, index, 40, lambda part: (tiles[part.start : part.stop], known[part.start : part.stop])
    )
    transform, maps = package.transforms["array"], package.maps(0, index)
    plain = maps.quantise(transform.analyse(np.where(known[..., None], tiles, transform.mean)))
    assert np.array_equal(validity, known)
    differ = found != plain
    # A float sum in another order moves a number across the middle between two steps now and then, never further.
    assert differ.mean() < 1e-3
    assert np.abs(found.astype(int) - plain.astype(int)).max() <= 1


def test_integer_planes_have_no_latents(tmp_path: Path) -> None:
    package = fit(integers(16, 16, 2), name="q", folder=tmp_path / "p", axes="hwc", tile=(8, 8))
    latent = Latent(0, np.zeros((4, 2, 64), np.float32), np.ones((4, 8, 8), bool))
    with pytest.raises(InputError, match="holds integers"):
        encode(
            package, [latent], grid=TileGrid(16, 16, 8, 8), georeference=Georeference((1, 0, 0, 0, 1, 0)),
            sensor="array", band_mask=0, time_us=0,
        )  # fmt: skip
