"""The serializer `swathpack.nec`: real stores on disk, whole and in part, in and out of shards, in a cold interpreter."""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

zarr = pytest.importorskip("zarr", reason="the `arrays` extra needs Python 3.11")

from codec.arrays.pack import fit  # noqa: E402
from codec.arrays.unpack import unpack  # noqa: E402
from codec.arrays.zarr_codec import NAME, NecSerializer  # noqa: E402
from codec.bitstream.reader import read_bytes  # noqa: E402
from codec.bitstream.writer import to_bytes  # noqa: E402
from codec.errors import Corrupt, IdentityError, InputError  # noqa: E402
from codec.package import Package  # noqa: E402
from tests.transform.synthetic_embeddings import embeddings  # noqa: E402

ROWS, COLS, CHANNELS = 100, 120, 24
CHUNK = (64, 64, CHANNELS)


def same(found: object, expected: object) -> None:
    """Equal up to the rounding of sums, which may change with how many tiles are decoded at once (bitstream §8)."""
    desired = np.asarray(expected)
    scale = np.nanmax(np.abs(desired), initial=0.0)
    np.testing.assert_allclose(np.asarray(found), desired, rtol=0, atol=1e-5 * float(scale))


def raster(seed: int) -> np.ndarray:
    """ROWS×COLS×24 float32: smooth fields tile by tile."""
    tiles = embeddings(13 * 15, seed=seed).reshape(13, 15, 8, 8, CHANNELS)
    whole = tiles.transpose(0, 2, 1, 3, 4).reshape(104, 120, CHANNELS)
    return np.ascontiguousarray(whole[:ROWS, :COLS])


@dataclass(frozen=True)
class Fitted:
    """Packages in one folder, and arrays they were not fitted to."""

    models: Path
    floats: Package
    integers: Package
    x: np.ndarray  # float32, its first five rows NaN
    q: np.ndarray  # int8, with a hole of −128


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    models = tmp_path_factory.mktemp("models")
    train, x = raster(1), raster(2)
    scale = 100 / np.abs(train).max()
    q = np.clip(np.rint(x * scale), -127, 127).astype(np.int8)
    q[70:80, 3:30] = -128
    x = x.copy()
    x[:5] = np.nan
    return Fitted(
        models,
        fit(train, name="field-floats", folder=models / "floats", axes="hwc"),
        fit(
            np.clip(np.rint(train * scale), -127, 127).astype(np.int8),
            name="field-integers", folder=models / "integers", axes="hwc", nodata=-128,
        ),
        x, q,
    )  # fmt: skip


def create(path: Path, array: np.ndarray, serializer: NecSerializer, **options):
    settings = {
        "shape": array.shape, "chunks": CHUNK, "dtype": array.dtype, "serializer": serializer,
        "compressors": None, "fill_value": math.nan if array.dtype.kind == "f" else -128, **options,
    }  # fmt: skip
    made = zarr.create_array(path, overwrite=True, **settings)
    made[...] = array
    return made


def chunk_file(path: Path, *place: int) -> Path:
    return path.joinpath("c", *map(str, place))


@pytest.fixture(scope="module")
def stored(fitted: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float array with records of 1000 bytes, at 8 bytes a vector."""
    path = tmp_path_factory.mktemp("store") / "x.zarr"
    create(path, fitted.x, NecSerializer(fitted.floats, bytes_per_vector=8, record_bytes=1000))
    return path


# Whole arrays


def test_integers_come_back_exactly(fitted: Fitted, tmp_path: Path) -> None:
    create(tmp_path / "q.zarr", fitted.q, NecSerializer(fitted.integers))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "q.zarr")[:], fitted.q)


def test_floats_come_back_within_half_a_step_at_the_finest_quality(fitted: Fitted, tmp_path: Path) -> None:
    """The transforms are orthonormal: the error of a token is at most that of its coefficients."""
    finest = fitted.floats.ladder_indices[0]
    create(tmp_path / "x.zarr", fitted.x, NecSerializer(fitted.floats, ladder_index=finest))
    found = zarr.open_array(tmp_path / "x.zarr")[:]
    np.testing.assert_array_equal(np.isnan(found), np.isnan(fitted.x))
    step = fitted.floats.maps(0, finest).step.max()
    n_coefficients = 64 * CHANNELS
    assert np.nanmax(np.abs(found - fitted.x)) <= 0.75 * step * math.sqrt(n_coefficients)
    assert np.sqrt(np.nanmean((found - fitted.x) ** 2)) <= 0.75 * step


def test_a_budget_of_bytes_is_kept(stored: Path) -> None:
    valid = [(64 - 5) * 64, (64 - 5) * 56, 36 * 64, 36 * 56]
    for place, n_vectors in zip(((0, 0), (0, 1), (1, 0), (1, 1)), valid, strict=True):
        file = read_bytes(chunk_file(stored, *place, 0).read_bytes())
        assert sum(len(record.data) for record in file.records) <= 8 * n_vectors


def test_a_chunk_is_a_whole_file_that_unpack_reads(stored: Path, fitted: Fitted) -> None:
    data = chunk_file(stored, 0, 1, 0).read_bytes()
    assert read_bytes(data).is_whole
    same(unpack(data, fitted.floats).values[:, :56], zarr.open_array(stored)[:64, 64:])


def test_inside_shards_the_numbers_are_the_same(stored: Path, fitted: Fitted, tmp_path: Path) -> None:
    serializer = NecSerializer(fitted.floats, bytes_per_vector=8, record_bytes=1000)
    create(tmp_path / "s.zarr", fitted.x, serializer, shards=(128, 128, CHANNELS))
    sharded, plain = zarr.open_array(tmp_path / "s.zarr"), zarr.open_array(stored)
    same(sharded[:], plain[:])
    same(sharded[60:70, 3:9, 5], plain[60:70, 3:9, 5])
    assert len(list((tmp_path / "s.zarr" / "c").rglob("0"))) >= 1


def test_a_checksum_behind_the_serializer_is_legal(fitted: Fitted, tmp_path: Path) -> None:
    create(
        tmp_path / "c.zarr", fitted.q, NecSerializer(fitted.integers), compressors=[zarr.codecs.Crc32cCodec()]
    )
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "c.zarr")[3:9, 100:], fitted.q[3:9, 100:])


@pytest.mark.parametrize(
    ("axes", "chunks"),
    [("chw", (CHANNELS, 64, 64)), ("nc", (1000, CHANNELS)), (None, (1, 64, 64, CHANNELS))],
    ids=["channels first", "vectors", "leading axis"],
)
def test_other_orders_of_axes(fitted: Fitted, tmp_path: Path, axes: str | None, chunks: tuple) -> None:
    q = {
        "chw": np.moveaxis(fitted.q, 2, 0),
        "nc": fitted.q.reshape(-1, CHANNELS),
        None: np.stack([fitted.q, fitted.q[::-1]]),
    }[axes]
    create(tmp_path / "a.zarr", q, NecSerializer(fitted.integers, axes=axes), chunks=chunks)
    found = zarr.open_array(tmp_path / "a.zarr")
    np.testing.assert_array_equal(found[:], q)
    np.testing.assert_array_equal(found[1:2, 5:70], q[1:2, 5:70])


# Fill values


def test_unwritten_chunks_and_tokens_hold_the_fill_value(fitted: Fitted, tmp_path: Path) -> None:
    made = zarr.create_array(
        tmp_path / "a.zarr", shape=fitted.x.shape, chunks=CHUNK, dtype="float32", fill_value=0.0,
        serializer=NecSerializer(fitted.floats), compressors=None,
    )  # fmt: skip
    made[10:20, 10:20] = fitted.x[10:20, 10:20]
    found = made[:]
    assert np.all(found[:10] == 0.0)
    assert np.all(found[64:] == 0.0)
    assert not chunk_file(tmp_path / "a.zarr", 1, 1, 0).exists()
    error = found[10:20, 10:20] - fitted.x[10:20, 10:20]
    assert np.sqrt(np.mean(error**2)) < 0.5 * fitted.x[10:20, 10:20].std()


def test_nan_is_refused_where_it_is_not_the_fill_value(fitted: Fitted, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nan"):
        create(tmp_path / "a.zarr", fitted.x, NecSerializer(fitted.floats), fill_value=0.0)


# Parts


def axis(size: int) -> st.SearchStrategy[slice]:
    ends = st.none() | st.integers(-size, size)
    return st.builds(slice, ends, ends, st.none() | st.integers(1, 40))


def test_any_part_is_the_part_of_the_whole(stored: Path) -> None:
    array = zarr.open_array(stored)
    whole = array[:]

    @settings(max_examples=40, deadline=None)
    @given(rows=axis(ROWS), cols=axis(COLS), channels=axis(CHANNELS))
    def check(rows: slice, cols: slice, channels: slice) -> None:
        same(array[rows, cols, channels], whole[rows, cols, channels])

    check()


def test_orthogonal_coordinate_and_mask_indexing(stored: Path) -> None:
    array = zarr.open_array(stored)
    whole = array[:]
    rows, cols, channels = [3, 70, 99], [119, 0, 64], [1, 2, 23]
    same(array.oindex[rows, cols], whole[np.ix_(rows, cols)])
    same(array.vindex[rows, cols, channels], whole[rows, cols, channels])
    same(array[50, :, 7], whole[50, :, 7])
    mask = np.zeros(whole.shape, dtype=bool)
    mask[rows, cols, channels] = True
    same(array[mask], whole[mask])


@pytest.mark.parametrize(
    "bytes_per_vector", [8.0, 20.0], ids=["tail holds the header", "larger than the tail"]
)
def test_a_part_is_read_from_its_own_records_only(
    fitted: Fitted, tmp_path: Path, bytes_per_vector: float
) -> None:
    """All records of other tiles are spoilt: the part is still read; the rest is refused."""
    path = tmp_path / "a.zarr"
    create(path, fitted.x, NecSerializer(fitted.floats, bytes_per_vector=bytes_per_vector, record_bytes=400))
    array = zarr.open_array(path)
    expected = array[16:24, 8:16]
    file = chunk_file(path, 0, 0, 0)
    data = bytearray(file.read_bytes())
    tile, n_spoilt = 2 * 8 + 1, 0
    records = read_bytes(bytes(data)).records
    for record in records:
        if not record.header.first_tile <= tile < record.header.first_tile + record.header.tile_count:
            data[record.offset : record.offset + len(record.data)] = bytes(len(record.data))
            n_spoilt += 1
    assert n_spoilt > len(records) / 2
    file.write_bytes(data)
    same(array[16:24, 8:16], expected)
    with pytest.raises(Corrupt):
        array[0:64, 0:64]
    with pytest.raises(Corrupt):
        array[48:50, 48:50]


# Damage and other packages


@pytest.mark.parametrize("part", [np.s_[:], np.s_[10:12, 3]], ids=["whole", "part"])
def test_a_damaged_chunk_is_refused_and_never_read_as_fill(
    stored: Path, fitted: Fitted, tmp_path: Path, part: object
) -> None:
    path = tmp_path / "a.zarr"
    create(path, fitted.x, NecSerializer(fitted.floats, record_bytes=60_000))
    file = chunk_file(path, 0, 0, 0)
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    with pytest.raises(Corrupt):
        zarr.open_array(path)[part]


def test_a_cut_chunk_is_refused(fitted: Fitted, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    create(path, fitted.x, NecSerializer(fitted.floats))
    file = chunk_file(path, 0, 0, 0)
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(Corrupt, match=r"restore the chunk.*codec\.arrays\.unpack"):
        zarr.open_array(path)[10:12, 3]


@pytest.mark.parametrize("layer", [0, 2])
def test_a_chunk_that_lacks_a_layer_is_refused_though_every_record_in_it_is_sound(
    fitted: Fitted, tmp_path: Path, layer: int
) -> None:
    path = tmp_path / "a.zarr"
    create(path, fitted.x, NecSerializer(fitted.floats))
    chunk = chunk_file(path, 0, 0, 0)
    file = read_bytes(chunk.read_bytes())
    kept = [record for record in file.records if record.header.layer != layer]
    chunk.write_bytes(to_bytes(file.header, kept))
    for part in (np.s_[:64, :64], np.s_[10:12, 3]):
        with pytest.raises(Corrupt, match="missing"):
            zarr.open_array(path)[part]


def test_a_chunk_of_another_package_is_refused(fitted: Fitted, tmp_path: Path) -> None:
    other = fit(raster(7), name="other", folder=tmp_path / "other", axes="hwc")
    create(tmp_path / "a.zarr", fitted.x, NecSerializer(fitted.floats))
    create(tmp_path / "b.zarr", fitted.x, NecSerializer(other))
    chunk_file(tmp_path / "a.zarr", 0, 0, 0).write_bytes(
        chunk_file(tmp_path / "b.zarr", 0, 0, 0).read_bytes()
    )
    array = zarr.open_array(tmp_path / "a.zarr")
    for part in (np.s_[:64, :64], np.s_[3:5]):
        with pytest.raises(IdentityError, match=other.codec_id.hex()):
            array[part]


def test_a_chunk_of_another_shape_is_refused(fitted: Fitted, tmp_path: Path) -> None:
    create(tmp_path / "a.zarr", fitted.x, NecSerializer(fitted.floats))
    create(tmp_path / "b.zarr", fitted.x, NecSerializer(fitted.floats), chunks=(32, 32, CHANNELS))
    chunk_file(tmp_path / "a.zarr", 0, 0, 0).write_bytes(
        chunk_file(tmp_path / "b.zarr", 2, 2, 0).read_bytes()
    )
    with pytest.raises(Corrupt, match="another array"):
        zarr.open_array(tmp_path / "a.zarr")[:]


def test_a_package_of_the_same_name_with_another_codec_is_refused(fitted: Fitted) -> None:
    with pytest.raises(IdentityError, match="another codec"):
        NecSerializer(fitted.floats, codec_id="00112233445566ff")


def test_arrays_that_the_package_cannot_code_are_refused_when_they_are_created(
    fitted: Fitted, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="codes floats"):
        create(tmp_path / "a.zarr", fitted.q, NecSerializer(fitted.floats))
    with pytest.raises(InputError, match="codes integers"):
        create(tmp_path / "a.zarr", fitted.x, NecSerializer(fitted.integers))
    with pytest.raises(InputError, match="arrays of this type are not coded"):
        create(tmp_path / "a.zarr", fitted.q.astype(np.int32), NecSerializer(fitted.integers))
    with pytest.raises(InputError, match="all channels"):
        create(tmp_path / "a.zarr", fitted.x, NecSerializer(fitted.floats), chunks=(64, 64, 12))
    with pytest.raises(InputError, match="has not the axes"):
        create(
            tmp_path / "a.zarr", np.stack([fitted.x] * 4), NecSerializer(fitted.floats, axes="hwc"),
            chunks=(4, 64, 64, CHANNELS),
        )  # fmt: skip


def test_products_whose_meaning_one_array_cannot_say_are_refused_when_created(
    fitted: Fitted, tmp_path: Path
) -> None:
    alphaearth = fit(fitted.q, name="ae", folder=tmp_path / "ae", axes="hwc", quantisation="alphaearth")
    with pytest.raises(InputError, match="fill_value=-128"):
        create(tmp_path / "a.zarr", fitted.q, NecSerializer(alphaearth), fill_value=0)
    create(tmp_path / "a.zarr", fitted.q, NecSerializer(alphaearth))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr")[:], fitted.q)
    tessera = fit(
        fitted.q, name="te", folder=tmp_path / "te", axes="hwc", quantisation="tessera", nodata=-128,
        scale=np.ones(fitted.q.shape[:2], dtype=np.float32),
    )  # fmt: skip
    with pytest.raises(InputError, match="scales as an array of their own"):
        create(tmp_path / "b.zarr", fitted.q, NecSerializer(tessera))


def test_contradicting_arguments_are_refused(fitted: Fitted) -> None:
    with pytest.raises(InputError, match="not both"):
        NecSerializer(fitted.floats, ladder_index=30, bytes_per_vector=8)
    with pytest.raises(InputError, match="one size"):
        NecSerializer(fitted.integers, bytes_per_vector=8)
    with pytest.raises(InputError, match="with loss"):
        NecSerializer(fitted.floats, lossless=True)
    with pytest.raises(InputError, match="unknown axes"):
        NecSerializer(fitted.floats, axes="yxc")


# Metadata


def test_the_metadata_names_the_package_and_its_codec(stored: Path, fitted: Fitted) -> None:
    (codec,) = json.loads((stored / "zarr.json").read_bytes())["codecs"]
    assert codec == {
        "name": NAME,
        "configuration": {
            "package": "field-floats", "codec_id": fitted.floats.codec_id.hex(), "lossless": False,
            "bytes_per_vector": 8, "record_bytes": 1000,
        },
    }  # fmt: skip
    assert NecSerializer.from_dict(codec).to_dict() == codec


def test_a_configuration_from_the_future_is_refused(stored: Path) -> None:
    (codec,) = json.loads((stored / "zarr.json").read_bytes())["codecs"]
    codec["configuration"]["cipher"] = "rot13"
    with pytest.raises(InputError, match="cipher"):
        NecSerializer.from_dict(codec)


def test_a_serializer_travels_by_pickle_with_the_place_of_its_package(fitted: Fitted) -> None:
    serializer = NecSerializer(fitted.floats, ladder_index=30)
    again = pickle.loads(pickle.dumps(serializer))
    assert again == serializer
    assert again.folder == fitted.floats.folder


def test_the_synchronous_hooks_do_the_same(fitted: Fitted, stored: Path) -> None:
    sync = getattr(zarr.abc.codec, "SupportsSyncCodec", None)
    if sync is None:
        pytest.skip("this zarr has no synchronous hooks")
    array = zarr.open_array(stored)
    assert isinstance(array.serializer, sync)


def test_dask_reads_a_store_chunk_by_chunk(stored: Path) -> None:
    da = pytest.importorskip("dask.array")
    found = da.from_zarr(str(stored))
    assert found.chunks == ((64, 36), (64, 56), (CHANNELS,))
    np.testing.assert_array_equal(
        found.compute(scheduler="threads", num_workers=2), zarr.open_array(stored)[:]
    )


# Fresh interpreters, which know of this project what its entry points say


def cold(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k != "SWATHPACK_MODELS"}
    return subprocess.run(
        [sys.executable, "-c", script], env={**kept, **environment}, cwd="/", capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip


READ = """
import sys, zarr
a = zarr.open_array(sys.argv[1] if len(sys.argv) > 1 else {path!r}, mode="r")
print(a.shape, a[10:12, 3:5].astype("f8").sum().hex(), a[...][70:].astype("f8").sum().hex())
"""


def test_a_fresh_interpreter_reads_the_store_with_zarr_alone(stored: Path, fitted: Fitted) -> None:
    done = cold(READ.format(path=str(stored)), SWATHPACK_MODELS=str(fitted.models))
    assert done.returncode == 0, done.stderr
    whole = zarr.open_array(stored)[...].astype("f8")
    part = zarr.open_array(stored)[10:12, 3:5].astype("f8")
    assert done.stdout.split() == [
        *str(whole.shape).split(),
        part.sum().hex(),
        np.ascontiguousarray(whole[70:]).sum().hex(),
    ]


def test_without_the_package_the_array_opens_and_reading_names_what_is_missing(
    stored: Path, fitted: Fitted
) -> None:
    done = cold(READ.format(path=str(stored)))
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    for words in ("field-floats", fitted.floats.codec_id.hex(), "SWATHPACK_MODELS"):
        assert words in last
    shape = cold(f"import zarr; print(zarr.open_array({str(stored)!r}).shape)")
    assert shape.stdout.strip() == str((ROWS, COLS, CHANNELS)), shape.stderr


def test_without_zarr_the_module_names_the_extra_and_the_rest_works() -> None:
    done = cold(
        "import sys; sys.modules['zarr'] = None\n"
        "import codec, codec.arrays.pack, codec.arrays.tiles\n"
        "from codec.errors import BackendUnavailable\n"
        "try:\n    import codec.arrays.zarr_codec\nexcept BackendUnavailable as error:\n    print(error)"
    )
    assert "swathpack[arrays]" in done.stdout, done.stderr


def test_records_in_another_order_or_behind_padding_are_still_read(fitted: Fitted, stored: Path) -> None:
    """The quick way takes chunks as `pack` writes them; a legal file of another shape goes the way of all files."""
    from codec.arrays.chunk_reader import read_whole
    from codec.bitstream.reader import read_bytes
    from codec.bitstream.writer import to_bytes

    whole = zarr.open_array(stored, mode="r")[:]
    path = next(p for p in stored.rglob("c/0/*") if p.is_file() or (p / "0").is_file())
    path = path if path.is_file() else path / "0"
    data = path.read_bytes()
    assert read_whole(data) is not None
    file = read_bytes(data)
    backwards = to_bytes(file.header, [*reversed(file.records)])
    quick = read_whole(backwards)
    assert quick is not None
    assert [r.data for r in quick[1]] == [r.data for r in reversed(file.records)]
    padded = to_bytes(file.header, [])[: file.header.length] + bytes(5) + data[file.header.length :]
    assert read_whole(padded) is None
    for cut in (1, 40, len(data) // 2):
        assert read_whole(data[:-cut]) is None
    path.write_bytes(backwards)
    assert np.array_equal(zarr.open_array(stored, mode="r")[:], whole, equal_nan=True)
