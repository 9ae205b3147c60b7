"""What is lost, damaged, doubled or reordered changes exactly what it must."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from codec.bitstream import record as record_format
from codec.bitstream.derived import derived_invalid
from codec.bitstream.reader import read_bytes
from codec.errors import Corrupt, ExitCode, IdentityError, LimitExceeded
from codec.package import Package
from codec.pipeline import decode
from codec.types import Latent, TileRange
from tests.package.small_package import build_small
from tests.pipeline.small_scene import GRID, encode_scene


def test_decoding_depends_on_the_set_of_records_only(package: Package, nec: bytes) -> None:
    file = read_bytes(nec)
    records = [record.data for record in file.scan.records]
    assert len(records) > 20
    first = decode(package, file.header, records)
    for seed in range(3):
        shuffled = records + records[::3]
        random.Random(seed).shuffle(shuffled)
        again = decode(package, file.header, shuffled)
        assert (again.missing, again.conflicts, again.intact) == (
            first.missing,
            first.conflicts,
            first.intact,
        )
        for name, embedding in first.embeddings.items():
            assert again.embeddings[name].values.tobytes() == embedding.values.tobytes()
            assert again.embeddings[name].validity.tobytes() == embedding.validity.tobytes()
            assert again.embeddings[name].layers.tobytes() == embedding.layers.tobytes()


def test_a_lost_record_touches_its_own_tiles_and_layer_only(package: Package, nec: bytes) -> None:
    file = read_bytes(nec)
    whole = decode(package, file.header, [record.data for record in file.records])
    for lost in file.records:
        head = lost.header
        rest = decode(package, file.header, [r.data for r in file.records if r is not lost])
        assert rest.missing == (TileRange(head.plane, head.layer, head.first_tile, head.tile_count),)
        tiles = np.zeros(GRID.n_tiles, bool)
        tiles[head.first_tile : head.first_tile + head.tile_count] = True
        for name, before in whole.embeddings.items():
            after = rest.embeddings[name]
            same = ~tiles if package.plane_index(name) == head.plane else np.ones_like(tiles)
            np.testing.assert_allclose(after.values[same], before.values[same], atol=1e-5)
            np.testing.assert_array_equal(after.validity[same], before.validity[same])
        after = rest.embeddings[package.planes[head.plane].name]
        assert after.validity[tiles].any() == (head.layer > 0)
        if head.layer == 0:
            assert not after.values[tiles].any()


def test_layers_that_came_before_layer_0_are_used_when_it_comes(package: Package, nec: bytes) -> None:
    file = read_bytes(nec)
    above = [record.data for record in file.records if record.header.layer > 0]
    early = decode(package, file.header, above)
    assert not early.embeddings["tokens"].validity.any()
    assert (early.embeddings["tokens"].layers == 0b1110).all()
    below = [record.data for record in file.records if record.header.layer == 0]
    late = decode(package, file.header, above + below)
    assert not late.missing


@pytest.mark.parametrize("where", [0, 7, 8, -1])
def test_a_damaged_record_is_listed_and_its_tiles_are_missing(
    package: Package, nec: bytes, where: int
) -> None:
    file = read_bytes(nec)
    records = [record.data for record in file.records]
    broken = bytearray(records[4])
    broken[where] ^= 0x10
    decoded = decode(package, file.header, [*records[:4], bytes(broken), *records[5:]])
    assert [(place, kind) for place, kind, _ in decoded.damaged] == [(4, "corrupt")]
    assert decoded.intact == len(records) - 1
    head = file.records[4].header
    assert decoded.missing == (TileRange(head.plane, head.layer, head.first_tile, head.tile_count),)


def test_cut_and_foreign_records_are_listed(package: Package, nec: bytes) -> None:
    file = read_bytes(nec)
    records = [record.data for record in file.records]
    decoded = decode(package, file.header, [records[0][:20], b"", *records])
    assert [(place, kind) for place, kind, _ in decoded.damaged] == [(0, "truncated"), (1, "truncated")]
    assert not decoded.missing


def test_a_sound_record_with_an_illegal_payload_is_listed_by_its_place(package: Package, nec: bytes) -> None:
    file = read_bytes(nec)
    records = [record.data for record in file.records]
    illegal = record_format.build(file.records[3].header, b"\xe0" * 20)  # form bits 5 to 7 must be 0
    decoded = decode(package, file.header, [b"cut", *records[:3], illegal.data, *records[4:]])
    assert [(place, kind) for place, kind, _ in decoded.damaged] == [(0, "truncated"), (4, "corrupt")]


def test_a_band_mask_beyond_the_packages_list_is_refused(package: Package, nec: bytes) -> None:
    with pytest.raises(Corrupt, match="4 bands"):
        decode(package, replace(read_bytes(nec).header, band_mask=0b10000), [])


def test_nothing_received_is_a_result(package: Package, nec: bytes) -> None:
    file = read_bytes(nec)
    decoded = decode(package, file.header, [])
    assert sum(r.count for r in decoded.missing) == GRID.n_tiles * sum(
        s.n_layers for s in package.plane_specs
    )
    assert not decoded.embeddings["tokens"].validity.any()


def test_two_encodings_of_one_tile_are_reported_and_settled_by_hash(
    package: Package, given: list[Latent], nec: bytes
) -> None:
    file = read_bytes(nec)
    other = [Latent(latent.plane, latent.values * np.float32(0.9), latent.token_validity) for latent in given]
    rival = read_bytes(encode_scene(package, other, target_bytes=120))
    assert rival.header.encode() == file.header.encode()
    both = [record.data for record in (*file.records, *rival.records)]
    decoded = decode(package, file.header, both)
    assert decoded.conflicts
    assert not decoded.missing
    backwards = decode(package, file.header, both[::-1])
    assert backwards.embeddings["tokens"].values.tobytes() == decoded.embeddings["tokens"].values.tobytes()


def test_validity_is_what_the_masks_and_the_header_say(package: Package, nec: bytes) -> None:
    decoded = decode(package, read_bytes(nec).header, [record.data for record in read_bytes(nec).records])
    for name, embedding in decoded.embeddings.items():
        spec = package.plane_specs[package.plane_index(name)]
        np.testing.assert_array_equal(embedding.validity, ~derived_invalid(GRID, spec))


def test_another_package_is_refused_with_both_ids(package: Package, nec: bytes, tmp_path) -> None:
    file = read_bytes(nec)
    records = [record.data for record in file.records]
    other_space = build_small(tmp_path / "other", weights=b"other weights")
    with pytest.raises(IdentityError, match=file.header.planes[0].space_id.hex()) as caught:
        decode(other_space, file.header, records)
    assert caught.value.exit_code == ExitCode.IDENTITY


def test_arrays_above_the_limit_are_refused_before_they_are_made(package: Package, nec: bytes) -> None:
    with pytest.raises(LimitExceeded):
        decode(package, read_bytes(nec).header, [], max_bytes=1000)
    embeddings = sum(4 * GRID.n_tiles * spec.n_frequencies * spec.channels for spec in package.plane_specs)
    decode(package, read_bytes(nec).header, [], max_bytes=embeddings)
    with pytest.raises(LimitExceeded, match="embeddings"):
        decode(package, read_bytes(nec).header, [], max_bytes=embeddings - 1)
