"""Latents to `.nec` bytes to embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from codec.bitstream import coefficients, mean_vector
from codec.bitstream.derived import derived_invalid
from codec.bitstream.reader import read_bytes
from codec.bitstream.writer import to_bytes
from codec.errors import InputError
from codec.package import Package
from codec.pipeline import decode
from codec.types import Latent, RecordKind, Symbols, TileGrid
from tests.pipeline.small_scene import GEOREFERENCE, GRID, all_valid, encode_scene, latents, planes


def decode_bytes(package: Package, data: bytes, **options: int):
    file = read_bytes(data)
    return decode(package, file.header, [record.data for record in file.scan.records], **options)


def test_symbols_survive_the_file_at_every_ladder_index(package: Package, given: list[Latent]) -> None:
    for index in package.ladder_indices:
        file = read_bytes(encode_scene(package, given, ladder_index=index, file_mean=False))
        found = coefficients.decode(package.tables, file.header, list(file.records))
        assert (found.missing, found.damaged, found.conflicts) == ((), (), ())
        for latent, plane in zip(given, found.planes, strict=True):
            known = ~derived_invalid(GRID, package.plane_specs[latent.plane])
            want = package.maps(latent.plane, index).quantise(
                package.transforms[package.planes[latent.plane].name].refill(latent.values, known)
            )
            np.testing.assert_array_equal(plane.values, want)
            np.testing.assert_array_equal(plane.token_validity, known)


def test_the_finest_quality_gives_the_embeddings_back(package: Package, given, arrays) -> None:
    decoded = decode_bytes(package, encode_scene(package, given, ladder_index=package.ladder_indices.start))
    for name, x in arrays.items():
        embedding = decoded.embeddings[name]
        error = (embedding.values - x)[embedding.validity]
        # The finest step is 2^-5 of the tokens' deviation, and coefficients too rare to be coded stay 0.
        assert float(np.sqrt((error**2).mean())) < 0.02 * float(arrays["tokens"].std())


def test_error_grows_and_bytes_shrink_along_the_ladder(package: Package, given, arrays) -> None:
    sizes, errors = [], []
    for index in list(package.ladder_indices)[::6]:
        data = encode_scene(package, given, ladder_index=index)
        embedding = decode_bytes(package, data).embeddings["tokens"]
        sizes.append(len(data))
        errors.append(float(((embedding.values - arrays["tokens"])[embedding.validity] ** 2).mean()))
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)


def test_any_prefix_of_layers_decodes_and_each_layer_helps(package: Package, nec: bytes, arrays) -> None:
    errors = []
    for count in range(1, package.plane_specs[0].n_layers + 1):
        decoded = decode_bytes(package, nec, max_layers=count)
        embedding = decoded.embeddings["tokens"]
        assert embedding.validity.any(axis=(1, 2)).all()
        assert {r.layer for r in decoded.missing if r.plane == 0} == set(
            range(count, package.plane_specs[0].n_layers)
        )
        errors.append(float(((embedding.values - arrays["tokens"])[embedding.validity] ** 2).mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.7 * errors[0]


def test_equal_arguments_give_equal_bytes(package: Package, given: list[Latent]) -> None:
    assert encode_scene(package, given) == encode_scene(package, list(reversed(given)))


def test_the_header_says_what_was_given(package: Package, given: list[Latent]) -> None:
    header = read_bytes(encode_scene(package, given, run=7, source_name="fields.tif")).header
    assert header.codec_id == package.codec_id
    assert header.planes == package.plane_specs
    assert (header.run, header.source_name, header.sensor, header.band_mask) == (
        7,
        "fields.tif",
        "sentinel2-l1c",
        11,
    )
    assert header.ladder_index == package.default_ladder_index
    assert header.georeference == GEOREFERENCE
    assert header.grid == GRID


def test_invalid_tokens_come_out_invalid_whatever_stood_in_them(package: Package, arrays) -> None:
    validity = all_valid()
    validity[3] = False
    validity[4, 2:5, 1:] = False
    validity[9, :, :7] = False
    files = []
    for filler in (0.0, 1e4):
        garbled = {name: np.where(validity[..., None], x, np.float32(filler)) for name, x in arrays.items()}
        given = [
            # As an engine does it: everything is transformed, whatever it means.
            Latent(package.plane_index(name), package.transforms[name].analyse(x), validity)
            for name, x in garbled.items()
        ]
        files.append(encode_scene(package, given))
    decoded = decode_bytes(package, files[1])
    own = ~derived_invalid(GRID, package.plane_specs[0])
    for name, embedding in decoded.embeddings.items():
        np.testing.assert_array_equal(embedding.validity, validity & own)
        assert not embedding.values[~embedding.validity].any()
        known = embedding.validity
        step = float(package.maps(name, package.default_ladder_index).step.max())
        assert np.abs(embedding.values - arrays[name])[known].max() < 8 * step
    # A DCT of tokens as large as 10⁴ rounds away what float32 cannot hold beside them: nearly the same file.
    assert len(files[1]) == pytest.approx(len(files[0]), rel=0.02)


def test_partly_valid_tiles_cost_no_more_than_whole_ones(package: Package, arrays) -> None:
    validity = all_valid()
    validity[:, :, 5:] = False
    whole = encode_scene(package, latents(package, arrays, all_valid()), file_mean=False)
    partly = encode_scene(package, latents(package, arrays, validity), file_mean=False)
    assert len(partly) < len(whole)


def test_wholly_invalid_tiles_may_hold_anything(package: Package, given: list[Latent]) -> None:
    validity = all_valid()
    validity[5] = False
    broken = []
    for latent in given:
        values = latent.values.copy()
        values[5] = np.nan
        broken.append(Latent(latent.plane, values, validity))
    embedding = decode_bytes(package, encode_scene(package, broken)).embeddings["tokens"]
    assert not embedding.validity[5].any()
    assert embedding.layers[5] == embedding.layers[4]  # received, and said to be masked: not missing


def test_a_scene_without_any_valid_pixel_is_a_legal_file(package: Package, given: list[Latent]) -> None:
    nothing = [Latent(latent.plane, latent.values, np.zeros_like(latent.token_validity)) for latent in given]
    decoded = decode_bytes(package, encode_scene(package, nothing))
    assert not decoded.missing
    assert not decoded.embeddings["tokens"].validity.any()


def test_a_scene_smaller_than_a_tile(package: Package) -> None:
    grid = TileGrid(20, 9, 32, 32)
    data = encode_scene(package, latents(package, planes(1), all_valid(1)), grid=grid)
    embedding = decode_bytes(package, data).embeddings["tokens"]
    want = np.zeros((1, 8, 8), bool)
    want[:, :5, :3] = True  # 20 rows and 9 columns of patches of 4 pixels, the last one in part
    np.testing.assert_array_equal(embedding.validity, want)


def test_latents_that_do_not_fit_are_refused(package: Package, given: list[Latent]) -> None:
    with pytest.raises(InputError, match="each plane of the package once"):
        encode_scene(package, given[:1])
    with pytest.raises(InputError, match="plane 'tokens' do not fit"):
        encode_scene(package, [Latent(0, given[0].values[1:], given[0].token_validity), given[1]])
    with pytest.raises(InputError, match="tiles are not the package's"):
        encode_scene(package, given, grid=TileGrid(150, 180, 30, 30))
    with pytest.raises(InputError, match="band mask"):
        encode_scene(package, given, band_mask=16)
    with pytest.raises(InputError, match="outside what the tables allow"):
        encode_scene(package, given, ladder_index=package.ladder_indices.start - 1)


def test_the_scene_mean_keeps_its_step_in_records_with_a_ladder_offset(
    package: Package, given: list[Latent]
) -> None:
    """Layer 0 one step of the ladder finer, its residual 0: what comes out is the mean vector alone."""
    file = read_bytes(encode_scene(package, given, file_mean=True))
    symbols = mean_vector.decode(package.tables, file.header)[0]
    nothing = Symbols(0, np.zeros_like(given[0].values, dtype=np.int16), given[0].token_validity)
    records = coefficients.encode_plane(package.tables, file.header, 0, nothing, ladder_offset=-1)
    decoded = decode(package, file.header, [record.data for record in records])
    latent = symbols * package.maps(0, file.header.ladder_index).step
    want = package.transforms["tokens"].synthesise(latent[None].astype(np.float32))[0]
    np.testing.assert_allclose(decoded.embeddings["tokens"].values[0], want, atol=1e-5)
    assert np.abs(symbols).max() > 1


def test_records_with_a_ladder_offset_decode_at_their_own_step(
    package: Package, given: list[Latent], arrays
) -> None:
    """A file of two halves, the second coded finer: each tile decodes as a file of its quality would."""
    index = package.default_ladder_index
    coarse = read_bytes(encode_scene(package, given, file_mean=False, target_bytes=120))
    known = ~derived_invalid(GRID, package.plane_specs[0])
    fine = []
    for latent in given:
        symbols = package.maps(latent.plane, index - 3).quantise(
            package.transforms[package.planes[latent.plane].name].refill(latent.values, known)
        )
        fine += coefficients.encode_plane(
            package.tables,
            coarse.header,
            latent.plane,
            Symbols(latent.plane, symbols, known),
            target_bytes=120,
            ladder_offset=-3,
        )
    border = 15
    mixed = [r for r in coarse.records if r.header.first_tile + r.header.tile_count <= border]
    mixed += [r for r in fine if r.header.first_tile >= border]
    decoded = decode(package, coarse.header, [r.data for r in mixed])
    whole = decode_bytes(package, encode_scene(package, given, file_mean=False, ladder_index=index - 3))
    rough = decode(package, coarse.header, [r.data for r in coarse.records])
    layers = decoded.embeddings["tokens"].layers
    complete = np.flatnonzero(layers == (1 << package.plane_specs[0].n_layers) - 1)
    assert (complete < border).any()
    assert (complete >= border).any()
    for tile in complete:
        want = whole if tile >= border else rough
        got = decoded.embeddings["tokens"].values[tile]
        np.testing.assert_allclose(got, want.embeddings["tokens"].values[tile], atol=1e-5)


def test_embedded_tables_decode_and_their_loss_makes_the_file_wait(
    package: Package, given: list[Latent]
) -> None:
    plain = decode_bytes(package, encode_scene(package, given))
    file = read_bytes(encode_scene(package, given, embed_tables=True))
    records = [record.data for record in file.scan.records]
    embedded = decode(package, file.header, records)
    np.testing.assert_array_equal(embedded.embeddings["tokens"].values, plain.embeddings["tokens"].values)
    chunk = next(r.data for r in file.scan.records if r.header.kind == RecordKind.TABLES)
    waiting = decode(package, file.header, [data for data in records if data != chunk])
    assert waiting.waiting
    assert not waiting.damaged
    assert not waiting.embeddings["tokens"].validity.any()
    assert sum(r.count for r in waiting.missing if r.plane == 0 and r.layer == 0) == GRID.n_tiles


def test_integer_planes_come_back_exactly(package: Package) -> None:
    """Kind integer with and without prediction, by the rule of bitstream §8.3 worked by hand."""
    from codec.package import PlaneEntry
    from codec.pipeline.decoding import integers_of
    from codec.types import PlaneKind, PlaneSpec

    spec = PlaneSpec(2, 2, 1, 1, PlaneKind.INTEGER, bytes(8))
    symbols = np.array([[[30000, 10000, -5, 7]]], dtype=np.int16)
    plain = integers_of(symbols, PlaneEntry("counts", spec, "none"))
    assert plain[0, :, :, 0].tolist() == [[30000, 10000], [-5, 7]]
    left = integers_of(symbols, PlaneEntry("counts", spec, "left"))
    assert left[0, :, :, 0].tolist() == [[30000, 40000 - 65536], [40000 - 65536 - 5, 40000 - 65536 + 2]]


def test_a_file_written_from_records_alone_is_the_same(package: Package, nec: bytes) -> None:
    file = read_bytes(nec)
    assert to_bytes(file.header, file.records) == nec
