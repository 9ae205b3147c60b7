"""Windows of the collection for an adapter's codec: narrow bands lie between the twelve, other dates are refused."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError
from codec.models.vit import EncoderConfig
from codec.nec.adapted.windows import collection_windows


def test_narrow_bands_are_interpolated_and_it_is_said(shared_data: Path) -> None:
    bands = ("w0749", "blue", "green", "red", "w0665")
    found = collection_windows(EncoderConfig(bands=bands), shared_data, 0)
    assert all(entry["name"].endswith("narrow bands interpolated") for entry in found.training_data)
    same = collection_windows(EncoderConfig(bands=("rededge075", "rededge078", "red")), shared_data, 0)
    for tile, twin in islice(zip(found.tiles, same.tiles, strict=False), 5):
        assert tile.bands_present.all()
        np.testing.assert_allclose(tile.pixels[4], twin.pixels[2], atol=1e-6)  # red is centred there
        between = (31 * twin.pixels[0] + 10 * twin.pixels[1]) / 41  # 749 nm, of 739 and 780
        np.testing.assert_allclose(tile.pixels[0], between, atol=1e-6)


def test_other_dates_have_no_windows_there(shared_data: Path) -> None:
    with pytest.raises(InputError, match="no windows of nir@1"):
        collection_windows(EncoderConfig(bands=("blue", "green", "red", "nir@1")), shared_data, 0)
