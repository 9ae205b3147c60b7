"""Embeddings on a device to records, with a shipped package: the same symbols as the codec's own way, but for roundings."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codec.bitstream import coefficients, core  # noqa: E402
from codec.bitstream.header import FileHeader  # noqa: E402
from codec.bitstream.record import pack_fields  # noqa: E402
from codec.errors import InputError  # noqa: E402
from codec.package import Package, load  # noqa: E402
from codec.pipeline.quantising import Quantiser  # noqa: E402
from codec.pipeline.sources import sources  # noqa: E402
from codec.types import Georeference, Latent, RecordKind, TileGrid  # noqa: E402
from kernels.plane_quantiser import PlaneQuantiser  # noqa: E402
from kernels.quantise_projection import op  # noqa: E402

NAMES = ("s2-nano", "rgb-small")


@lru_cache
def package_of(root: Path, name: str) -> Package:
    return load(root / "models" / name)


def embeddings_of(package: Package, plane: int, n: int, seed: int = 0) -> np.ndarray:
    """N×h×w×C whose latents are spread over some steps of the default quality, as real ones are."""
    maps = package.maps(plane, package.default_ladder_index)
    latents = np.random.default_rng(seed).laplace(size=(n, *maps.step.shape)) * 3 * maps.step
    return package.transforms[package.planes[plane].name].synthesise(latents.astype(np.float32))


def grid_of(package: Package, rows: int, cols: int) -> TileGrid:
    core_side = package.tile.core
    return TileGrid(rows * core_side, cols * core_side, core_side, core_side)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [torch.int8, torch.int16], ids=str)
def test_symbols_are_those_of_the_pipeline(root: Path, name: str, kind: torch.dtype) -> None:
    """Of some hundred thousand coefficients fewer than one in ten thousand is rounded the other way, and none further."""
    package, grid = package_of(root, name), grid_of(package_of(root, name), 10, 10)
    latents, mine = [], []
    for plane, entry in enumerate(package.planes):
        embeddings = embeddings_of(package, plane, grid.n_tiles, seed=plane)
        known = np.ones(embeddings.shape[:3], bool)
        known[3] = False
        embeddings[3] = np.nan  # what nobody measured
        values = package.transforms[entry.name].analyse(embeddings, known)
        latents.append(Latent(plane, values, known))
        quantiser = PlaneQuantiser.of(package, plane, kind=kind, device="cpu")
        given = torch.from_numpy(embeddings), torch.from_numpy(known)
        mine.append(quantiser.symbols(*given))
        costs = quantiser.quantised(*given).tile_costs
        assert (costs.sum(1) == 0).nonzero().flatten().tolist() == [3]
    for source, symbols in zip(sources(package, latents, grid), mine, strict=True):
        expected = Quantiser(package, source, package.default_ladder_index).all()
        apart = np.abs(symbols.values.astype(int) - expected)
        assert symbols.values.dtype == (np.int8 if kind == torch.int8 else np.int16)
        assert apart.max() <= 1
        assert np.count_nonzero(apart) < 1e-4 * apart.size
        assert not symbols.values[3].any()
        assert np.abs(expected).max() > 5
        np.testing.assert_array_equal(symbols.token_validity, source.validity)


def test_records_of_them_are_read_again(root: Path) -> None:
    """What comes out goes into records as it is, in the order of the kernels too; costs are those that cut records."""
    package = package_of(root, "s2-nano")
    grid = grid_of(package, 2, 3)
    georeference = Georeference((10.0, 0.0, 0.0, 0.0, -10.0, 0.0), 32631)
    header = FileHeader(
        sensor="test", codec_id=package.codec_id, grid=grid, georeference=georeference, planes=package.plane_specs,
        ladder_index=package.default_ladder_index, band_mask=1,
    )  # fmt: skip
    given = [torch.from_numpy(embeddings_of(package, plane, 6)) for plane in range(len(package.planes))]
    ours = [PlaneQuantiser.of(package, p, kind=torch.int8, device="cpu") for p in range(len(given))]
    symbols = [q.symbols(x) for q, x in zip(ours, given, strict=True)]
    records = coefficients.encode_file_records(package.tables, header, symbols)
    decoded = coefficients.decode(package.tables, header, records)
    assert not decoded.missing
    for found, expected in zip(decoded.planes, symbols, strict=True):
        np.testing.assert_array_equal(found.values, expected.values)
    quantised = ours[0].quantised(given[0])
    heads = [r.header for r in records if r.header.plane == 0]
    words = [
        pack_fields(replace(h, kind=RecordKind.COEFFICIENTS, payload_length=1, state_form=0)) for h in heads
    ]
    none, tokens = np.zeros(6, bool), np.zeros((6, 64), bool)
    again = core.encode_records(
        package.tables, np.array(words, np.uint64), header.ladder_index, quantised.symbols.numpy(), none, tokens, tokens,
        order="token",
    )  # fmt: skip
    assert again == [r.data for r in records if r.header.plane == 0]
    for layer in range(quantised.tile_costs.shape[1]):
        costs = core.tile_costs(package.tables, 0, layer, header.ladder_index, symbols[0].values)
        np.testing.assert_array_equal(quantised.tile_costs[:, layer].numpy(), costs.astype(np.int64))


def test_the_kernel_is_the_pipeline_too(
    interpreted: None, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the tiles that run on a GPU, with a package's rotations and tables."""
    monkeypatch.setattr(op, "on_gpu", lambda first, obstacle: not obstacle)
    monkeypatch.setattr(op, "quantise_projection_twin", None)
    package = package_of(root, "s2-nano")
    embeddings = embeddings_of(package, 1, 3)
    expected = package.maps(1, package.default_ladder_index).quantise(
        package.transforms[package.planes[1].name].analyse(embeddings)
    )
    found = PlaneQuantiser.of(package, 1, kind=torch.int8, device="cpu").symbols(torch.from_numpy(embeddings))
    apart = np.abs(found.values.astype(int) - expected)
    assert apart.max() <= 1
    assert np.count_nonzero(apart) <= 1


def test_unknown_tokens_are_filled_with_the_mean_of_the_others(root: Path) -> None:
    """Whatever stands in them; and they stay invalid."""
    package = package_of(root, "s2-nano")
    transform = package.transforms[package.planes[0].name]
    embeddings = embeddings_of(package, 0, 2)
    known = np.ones(embeddings.shape[:3], bool)
    known[1, :3] = False
    centred = embeddings[1] - transform.mean
    filled = embeddings.copy()
    filled[1, :3] = transform.mean[:3] + centred[3:].mean(axis=(0, 1))
    embeddings[1, :3] = np.inf
    quantiser = PlaneQuantiser.of(package, 0, device="cpu")
    found = quantiser.symbols(torch.from_numpy(embeddings), torch.from_numpy(known))
    expected = quantiser.symbols(torch.from_numpy(filled))
    assert np.count_nonzero(found.values != expected.values) <= 2
    np.testing.assert_array_equal(found.token_validity, known)


def test_what_int8_does_not_hold_becomes_int16(root: Path) -> None:
    package = package_of(root, "s2-nano")
    embeddings = torch.from_numpy(embeddings_of(package, 0, 2) * 30)
    narrow, wide = (
        PlaneQuantiser.of(package, 0, kind=kind, device="cpu") for kind in (torch.int8, torch.int16)
    )
    found = narrow.symbols(embeddings)
    assert found.values.dtype == np.int16
    assert np.abs(found.values).max() > 127
    np.testing.assert_array_equal(found.values, wide.symbols(embeddings).values)


@pytest.mark.parametrize(("size", "words"), [(np.nan, "tile 1 is not a number"), (1e9, "tile 1 may lie")])
def test_what_cannot_be_coded_is_refused(root: Path, size: float, words: str) -> None:
    package = package_of(root, "s2-nano")
    embeddings = torch.from_numpy(embeddings_of(package, 0, 2))
    embeddings[1, 2, 3] = size
    with pytest.raises(InputError, match=words):
        PlaneQuantiser.of(package, 0, kind=torch.int8, device="cpu").symbols(embeddings)


def test_another_plane_or_shape_is_refused(root: Path) -> None:
    package = package_of(root, "s2-nano")
    with pytest.raises(InputError, match="no such plane"):
        PlaneQuantiser.of(package, 2, device="cpu")
    quantiser = PlaneQuantiser.of(package, 0, device="cpu")
    with pytest.raises(InputError, match="channels of the plane"):
        quantiser.quantised(torch.zeros(2, 8, 8, 64))
    with pytest.raises(InputError, match="has no channels"):
        quantiser.quantised(torch.zeros(2, 8, 8, 128), torch.ones(2, 8, 8, 128, dtype=torch.bool))
