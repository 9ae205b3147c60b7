"""`xr.open_dataset("a.nec")`: what it shows is what `codec.open` decodes, tile by tile and on demand."""

from __future__ import annotations

import io
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

xr = pytest.importorskip("xarray", reason="the `arrays` extra is not installed")

import codec  # noqa: E402
from codec.arrays.xarray_backend import NecBackendEntrypoint  # noqa: E402
from codec.bitstream import record as rec  # noqa: E402
from codec.bitstream.reader import read_bytes  # noqa: E402
from codec.bitstream.writer import to_bytes  # noqa: E402
from codec.errors import Corrupt, IdentityError, InputError, LimitExceeded, Truncated  # noqa: E402
from codec.types import Georeference, TileGrid  # noqa: E402
from tests.arrays.nec_samples import Sample, as_nan, make_sample  # noqa: E402
from tests.pipeline import small_scene  # noqa: E402

PLANES = ("tokens", "spectral")
ROWS, COLS, CHANNELS = 38, 45, 24  # 150×180 pixels in patches of 4


def same(found: object, expected: object) -> None:
    """Equal up to the rounding of sums, which may change with how many tiles are decoded at once (bitstream §8)."""
    desired = np.asarray(expected)
    scale = np.nanmax(np.abs(desired), initial=0.0)
    np.testing.assert_allclose(np.asarray(found), desired, rtol=0, atol=1e-5 * float(scale))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(tmp_path_factory.mktemp("xarray"))


@pytest.fixture(autouse=True)
def _find_the_package(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWATHPACK_MODELS", str(sample.models))


@pytest.fixture(scope="module")
def whole(sample: Sample) -> np.ndarray:
    """The map of the first plane, decoded by the decoder that decodes everything."""
    found = codec.open(sample.path, sample.package).tokens_map("tokens")
    return as_nan(found.values, found.validity)


def open_nec(path: object, **options: object):
    return xr.open_dataset(path, engine=NecBackendEntrypoint, **options)


@pytest.mark.parametrize("plane", PLANES)
def test_a_plane_is_the_map_that_codec_open_makes_of_it(sample: Sample, plane: str) -> None:
    scene = codec.open(sample.path)
    expected = scene.tokens_map(plane)
    dataset = open_nec(sample.path)
    same(dataset[plane], as_nan(expected.values, expected.validity))
    np.testing.assert_array_equal(dataset[f"{plane}_validity"], expected.validity)
    assert not expected.validity.all()
    assert (dataset[f"{plane}_layers"] == (1 << dataset[f"{plane}_layers"].flag_masks.size) - 1).all()


def test_planes_of_one_grid_share_their_axes_and_have_channels_of_their_own(sample: Sample) -> None:
    dataset = open_nec(sample.path)
    assert dataset["tokens"].dims == ("y", "x", "channel")
    assert dataset["spectral"].dims == ("y", "x", "channel_spectral")
    assert dict(dataset.sizes) == {"y": ROWS, "x": COLS, "channel": CHANNELS, "channel_spectral": 4}


def test_time_source_and_bands_are_what_the_file_says(sample: Sample) -> None:
    dataset = open_nec(sample.path)
    assert dataset["time"].values == np.datetime64("2020-09-13T12:26:40")  # 1,600,000,000 s after 1970
    assert dataset.attrs["source"] == "sample.tif"
    assert dataset.attrs["bands"] == "blue green nir"
    assert dataset.attrs["codec_id"] == sample.package.codec_id.hex()


def axis(size: int) -> st.SearchStrategy[object]:
    """An integer, a slice of any direction or a list, as xarray takes them along one axis.

    But no empty slice that runs backwards: xarray 2026.9 itself stumbles over these before it asks a back end.
    """
    one = st.integers(-size, size - 1)
    ends = st.none() | st.integers(-size - 2, size + 2)
    slices = st.builds(slice, ends, ends, st.none() | st.integers(1, 7) | st.integers(-7, -1))
    return (
        one
        | slices.filter(lambda s: s.step is None or s.step > 0 or len(range(*s.indices(size))))
        | st.lists(one, max_size=5).map(lambda numbers: np.array(numbers, dtype=int))
    )


def test_any_index_gives_what_it_gives_on_the_whole_array(sample: Sample, whole: np.ndarray) -> None:
    tokens = open_nec(sample.path, cache=False)["tokens"]
    expected = xr.DataArray(whole, dims=tokens.dims)

    @settings(max_examples=60, deadline=None)
    @given(rows=axis(ROWS), cols=axis(COLS), channels=axis(CHANNELS))
    def check(rows: object, cols: object, channels: object) -> None:
        same(tokens[rows, cols, channels], expected[rows, cols, channels])

    check()


def test_points_along_a_line_can_be_taken(sample: Sample, whole: np.ndarray) -> None:
    rows, cols = xr.DataArray([0, 20, 37], dims="point"), xr.DataArray([44, 7, 7], dims="point")
    same(open_nec(sample.path)["tokens"].isel(y=rows, x=cols), whole[[0, 20, 37], [44, 7, 7]])


def test_an_index_reads_only_the_records_of_its_tiles(sample: Sample, whole: np.ndarray) -> None:
    """Once open, the file loses every record that does not touch the tile; the tile is still read."""
    tile = 7  # second row, second column: cells 8 to 15 both ways
    path = sample.write("holes.nec", sample.data)
    dataset = open_nec(path)
    spoilt = bytearray(sample.data)
    n_spoilt = 0
    for record in sample.records:
        first, count = record.header.first_tile, record.header.tile_count
        if record.header.plane != 0 or not first <= tile < first + count:
            spoilt[record.offset : record.offset + len(record.data)] = bytes(len(record.data))
            n_spoilt += 1
    assert n_spoilt > len(sample.records) / 2
    path.write_bytes(spoilt)
    same(dataset["tokens"][8:16, 8:16], whole[8:16, 8:16])
    with pytest.raises(Corrupt, match="has changed since it was opened"):
        dataset["tokens"][24:32, 8:16].load()


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_dask_computes_the_same_numbers_in_threads_and_in_processes(
    sample: Sample, whole: np.ndarray, scheduler: str
) -> None:
    dataset = open_nec(sample.path, chunks={"y": 16, "x": 24, "channel": -1})
    array = dataset["tokens"]
    assert array.chunks == ((16, 16, 6), (24, 21), (CHANNELS,))
    with_dask = array.mean("channel").compute(
        scheduler=scheduler, num_workers=1 if scheduler == "processes" else 2
    )
    same(with_dask, xr.DataArray(whole, dims=array.dims).mean("channel"))


def test_without_sizes_chunks_are_whole_rows_of_tiles_and_equal_for_all_planes(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codec.arrays.nec_dataset.CHUNK_BYTES", 2 * 6 * 64 * CHANNELS * 4)  # two of six tiles
    dataset = open_nec(sample.path, chunks={})
    assert dataset.chunks["y"] == (16, 16, 6)
    assert dataset.chunks["x"] == (COLS,)
    assert dataset.chunks["channel_spectral"] == (4,)


def test_a_dataset_travels_by_pickle(sample: Sample, whole: np.ndarray) -> None:
    dataset = pickle.loads(pickle.dumps(open_nec(sample.path)))
    same(dataset["tokens"], whole)


def test_a_pickled_dataset_refuses_another_file_in_the_place_of_its_own(sample: Sample) -> None:
    path = sample.write("replaced.nec", sample.data)
    pickled = pickle.dumps(open_nec(path))
    other = small_scene.encode_scene(
        sample.package,
        small_scene.latents(sample.package, small_scene.planes(), small_scene.all_valid()),
        run=5,
    )
    path.write_bytes(other)
    with pytest.raises(Corrupt, match="has changed since it was opened"):
        pickle.loads(pickled)["tokens"].load()


@pytest.mark.parametrize("given_as", [bytes, io.BytesIO])
def test_bytes_and_streams_open_too(sample: Sample, whole: np.ndarray, given_as: type) -> None:
    dataset = pickle.loads(pickle.dumps(open_nec(given_as(sample.data))))
    same(dataset["tokens"], whole)


def test_the_dataset_survives_a_zarr_store(sample: Sample, whole: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    open_nec(sample.path).to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False)
    stored = xr.open_zarr(tmp_path / "a.zarr", consolidated=False)
    same(stored["tokens"], whole)
    assert stored["tokens"].attrs["space_id"] == sample.package.space_ids["tokens"].hex()


# Loss and damage


def test_a_whole_file_has_nothing_to_warn_of(sample: Sample) -> None:
    attributes = open_nec(sample.path).attrs
    assert "warning" not in attributes
    assert (attributes["missing_tiles"], attributes["damaged_bytes"], attributes["refused_records"]) == (
        0,
        0,
        0,
    )
    assert attributes["seal"] == "sealed"


def test_a_tile_whose_layer_0_is_lost_is_nan_and_counted(sample: Sample) -> None:
    path = sample.without("lost.nec", plane=0, layer=0, tile=7)
    dataset = open_nec(path)
    expected = codec.open(path)
    n_missing = int((expected.embedding("tokens").layers & 1 == 0).sum())
    assert n_missing >= 1
    assert dataset["tokens"].attrs["missing_tiles"] == n_missing == dataset.attrs["missing_tiles"]
    assert dataset["spectral"].attrs["missing_tiles"] == 0
    assert f"{n_missing} tiles are missing" in dataset.attrs["warning"]
    assert np.isnan(dataset["tokens"][8:16, 8:16]).all()
    assert not dataset["tokens_validity"][8:16, 8:16].any()
    assert not (dataset["tokens_layers"][8:16, 8:16] & 1).any()
    found = expected.tokens_map("tokens")
    same(dataset["tokens"], as_nan(found.values, found.validity))


def test_a_lost_higher_layer_leaves_values_and_is_counted_apart(sample: Sample) -> None:
    path = sample.without("lost2.nec", plane=0, layer=2, tile=7)
    dataset = open_nec(path)
    assert dataset["tokens"].attrs["missing_tiles"] == 0
    assert dataset["tokens"].attrs["incomplete_tiles"] >= 1
    assert not np.isnan(dataset["tokens"][8:16, 8:16]).any()
    assert (dataset["tokens_layers"][8:16, 8:16] == 0b1011).all()
    expected = codec.open(path).tokens_map("tokens")
    same(dataset["tokens"], as_nan(expected.values, expected.validity))


def test_damaged_bytes_are_counted_and_their_tiles_nan(sample: Sample) -> None:
    first = sample.records[0]
    data = bytearray(sample.data)
    data[first.offset + 10] ^= 0x55
    dataset = open_nec(sample.write("damaged.nec", bytes(data)))
    assert dataset.attrs["damaged_bytes"] == len(first.data)
    assert dataset.attrs["missing_tiles"] == first.header.tile_count
    assert np.isnan(dataset["tokens"][:8, :8]).all()
    assert not np.isnan(dataset["tokens"][32:, 40:]).any()


def test_a_cut_file_opens_and_says_so(sample: Sample) -> None:
    cut = sample.records[len(sample.records) // 2].offset + 9
    path = sample.write("cut.nec", sample.data[:cut])
    dataset = open_nec(path)
    assert dataset.attrs["seal"] == "unsealed"
    assert "cut inside a record" in dataset.attrs["warning"]
    assert "not sealed" in dataset.attrs["warning"]
    expected = codec.open(path).tokens_map("tokens")
    same(dataset["tokens"], as_nan(expected.values, expected.validity))


def test_a_header_alone_opens_with_every_tile_missing(sample: Sample) -> None:
    header = read_bytes(sample.data).header
    dataset = open_nec(io.BytesIO(header.encode()))
    assert dataset.attrs["missing_tiles"] == header.n_tiles
    assert np.isnan(dataset["tokens"]).all()


def test_a_payload_that_is_refused_is_nan_and_warned_of(sample: Sample) -> None:
    """Its checksum holds, so only decoding finds out."""
    file = read_bytes(sample.data)
    bad = rec.build(file.records[0].header, bytes([0xFF]) * 30)
    dataset = open_nec(sample.write("refused.nec", to_bytes(file.header, [bad, *file.records[1:]])))
    with pytest.warns(UserWarning, match="1 records of plane 0 are refused"):
        values = dataset["tokens"][:8, :8].values
    assert np.isnan(values).all()


def test_only_the_first_layers_are_read_when_asked(sample: Sample) -> None:
    expected = codec.open(sample.path, max_layers=2).tokens_map("tokens")
    dataset = open_nec(sample.path, max_layers=2)
    same(dataset["tokens"], as_nan(expected.values, expected.validity))
    assert (dataset["tokens_layers"] == 0b11).all()
    with pytest.raises(InputError, match="at least layer 0"):
        open_nec(sample.path, max_layers=0)


# Packages


@pytest.mark.parametrize("how", ["package", "folder", "root", "list"])
def test_the_package_can_be_given(
    sample: Sample, whole: np.ndarray, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SWATHPACK_MODELS")
    package = {
        "package": sample.package,
        "folder": sample.package.folder,
        "root": str(sample.models),
        "list": [sample.models],
    }[how]
    same(open_nec(sample.path, package=package)["tokens"][:3], whole[:3])


def test_without_its_package_a_file_is_refused_by_the_codec_id(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SWATHPACK_MODELS")
    with pytest.raises(IdentityError, match=sample.package.codec_id.hex()):
        open_nec(sample.path)


def test_another_package_is_refused(sample: Sample, root: Path) -> None:
    from codec.package import load

    with pytest.raises(IdentityError, match="has another codec"):
        open_nec(sample.path, package=load(root / "models" / "s2-nano"))


def test_a_file_with_its_own_tables_opens_and_waits_for_them_where_they_are_lost(
    sample: Sample, whole: np.ndarray
) -> None:
    validity = small_scene.all_valid()
    validity[8, :4] = False
    validity[13] = False
    latents = small_scene.latents(sample.package, small_scene.planes(), validity)
    data = small_scene.encode_scene(sample.package, latents, target_bytes=120, embed_tables=True)
    same(open_nec(io.BytesIO(data))["tokens"], whole)
    file = read_bytes(data)
    dataset = open_nec(io.BytesIO(to_bytes(file.header, file.records)))
    assert dataset.attrs["missing_tiles"] == 30
    assert "tables that the file embeds are incomplete" in dataset.attrs["warning"]
    assert np.isnan(dataset["tokens"]).all()


# Layouts


def list_of_tiles(sample: Sample, n_tiles: int = 7) -> bytes:
    latents = small_scene.latents(sample.package, small_scene.planes(n_tiles), small_scene.all_valid(n_tiles))
    return small_scene.encode_scene(
        sample.package,
        latents,
        grid=TileGrid(32 * n_tiles, 32, 32, 32),
        georeference=Georeference((1, 0, 0, 0, 1, 0)),
    )


def test_a_plain_list_of_tiles_has_no_map(sample: Sample) -> None:
    data = list_of_tiles(sample)
    dataset = open_nec(io.BytesIO(data))
    assert dataset["tokens"].dims == ("tile", "row", "col", "channel")
    assert "spatial_ref" not in dataset.variables
    expected = codec.open(io.BytesIO(data)).embedding("tokens").values
    same(dataset["tokens"], expected)
    same(dataset["tokens"][[5, 1], 2, ::3, 4], expected[[5, 1], 2, ::3, 4])
    assert open_nec(io.BytesIO(data), layout="map")["tokens"].shape == (56, 8, CHANNELS)


def test_a_scene_can_be_shown_as_its_tiles(sample: Sample) -> None:
    embedding = codec.open(sample.path).embedding("tokens")
    found = open_nec(sample.path, layout="tiles")["tokens"]
    same(found, as_nan(embedding.values, embedding.validity))
    with pytest.raises(InputError, match="auto, map or tiles"):
        open_nec(sample.path, layout="list")


# Bad input


def test_a_file_that_is_no_nec_is_refused_in_one_line(tmp_path: Path, sample: Sample) -> None:
    (tmp_path / "a.nec").write_bytes(b"GIF89a and so on")
    with pytest.raises(Corrupt, match=r"not a \.nec file"):
        open_nec(tmp_path / "a.nec")
    with pytest.raises(Truncated):
        open_nec(io.BytesIO(sample.data[:50]))
    with pytest.raises(InputError, match="cannot be read"):
        open_nec(tmp_path / "absent.nec")
    with pytest.raises(InputError, match="only local files"):
        open_nec("https://example.org/a.nec")


def test_a_file_that_promises_too_much_memory_is_refused_before_it_is_decoded(sample: Sample) -> None:
    file = read_bytes(sample.data)
    huge = replace(file.header, grid=TileGrid(32 * 256, 32 * 256, 32, 32))
    dataset = open_nec(io.BytesIO(to_bytes(huge, file.records)), max_bytes=1 << 24)
    with pytest.raises(LimitExceeded, match="memory"):
        dataset["tokens"][0, 0].load()


def test_files_are_recognised_by_name_or_by_their_first_bytes(sample: Sample, tmp_path: Path) -> None:
    guess = NecBackendEntrypoint().guess_can_open
    unnamed = tmp_path / "download"
    unnamed.write_bytes(sample.data)
    stream = io.BytesIO(sample.data)
    assert all(guess(x) for x in ("a.nec", Path("a.nec"), str(unnamed), sample.data, stream))
    assert stream.tell() == 0
    assert not any(guess(x) for x in ("a.nc", tmp_path / "absent", b"CDF\x01", io.BytesIO(b"\x89HDF"), 3))
