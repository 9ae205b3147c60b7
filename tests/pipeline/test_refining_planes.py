"""Planes that refine others: any part of their records decodes to what a stream made for that rate would be."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codec.arrays.lazy_file import LazyFile
from codec.bitstream import coefficients, reader, tables_records
from codec.errors import Corrupt, InputError
from codec.package import Package, arrays, build, load
from codec.pipeline import decode
from codec.pipeline.contained import package_in
from codec.transform.digits import RADIX
from codec.transform.fit import fit_planes
from codec.transform.layout import PlaneLayout
from codec.types import Latent, RecordHeader, RecordKind, Symbols
from tests.package.small_package import BANDS, CORE
from tests.pipeline import small_scene
from tests.transform.synthetic_embeddings import embeddings, spectral

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))
from nec_reference.manifest import Package as ReferencePackage
from nec_reference.reconstruct import PlaneTransform as ReferenceTransform
from nec_reference.reconstruct import embedding
from nec_reference.whole import decode_file

DIGITS = 2
VECTORS = Path(__file__).resolve().parents[1] / "vectors"


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A package whose tokens have two digits and whose spectral plane has none."""
    codec = fit_planes(
        {"tokens": embeddings(400), "spectral": spectral(400)},
        layouts={
            "tokens": PlaneLayout(n_layers=4, dc_shift=-4, refinements=DIGITS),
            "spectral": PlaneLayout(position_mean=False, n_layers=2, dc_shift=-4),
        },
        default_bytes=30.0,
        layer_bytes=60.0,
    )
    return build(
        tmp_path_factory.mktemp("chained") / "chained",
        name="chained", version="1.0", licence="Apache-2.0", bands=BANDS, preprocessing="reflectance-v0",
        tile={"core": CORE, "margin": 0, "patch": 4}, codec=codec, encoder_sha256="0" * 64,
    )  # fmt: skip


@pytest.fixture(scope="module")
def latents(chained: Package) -> list[Latent]:
    return small_scene.latents(chained, small_scene.planes(), small_scene.all_valid())


@pytest.fixture(scope="module")
def stream(chained: Package, latents: list[Latent]) -> bytes:
    return small_scene.encode_scene(chained, latents, file_mean=False, target_bytes=200)


def decoded(
    package: Package, nec: bytes, keep: Callable[[RecordHeader], bool] = lambda head: True
) -> tuple[np.ndarray, np.ndarray]:
    file = reader.read_bytes(nec)
    data = [r.data for r in file.records if keep(r.header)]
    found = decode(package, file.header, data).embeddings["tokens"]
    return found.values, found.validity


def is_of(package: Package, head: RecordHeader, depth: int) -> bool:
    return head.plane in package.chain(0) and package.chain(0).index(head.plane) == depth


def test_a_package_says_which_planes_refine_which(chained: Package) -> None:
    again = load(chained.folder)
    assert [(p.name, p.refines) for p in again.refining] == [("tokens.digit1", 0), ("tokens.digit2", 2)]
    assert again.chain(0) == (0, 2, 3)
    assert again.chain(1) == (1,)
    assert [p.name for p in again.planes] == ["tokens", "spectral"]


@pytest.mark.parametrize("say", ["another plane", "nothing"])
def test_a_manifest_and_an_archive_that_disagree_are_refused(chained: Package, say: str) -> None:
    data = (chained.folder / "transform.npz").read_bytes()
    first, second = chained.refining
    stated = (replace(first, refines=1), second) if say == "another plane" else (first,)
    with pytest.raises(Corrupt, match="refines"):
        arrays.decode(data, chained.planes, "transform.npz", stated)


def test_every_number_of_digits_decodes_as_the_coefficients_rounded_to_its_step(
    chained: Package, latents: list[Latent], stream: bytes
) -> None:
    file = reader.read_bytes(stream)
    planes = coefficients.decode(chained.tables, file.header, file.records).planes
    whole = planes[0].token_validity.all(
        axis=(1, 2)
    )  # doubled tokens of the last row and column are filled anew
    values = latents[0].values[whole].astype(np.float64)
    maps = chained.maps(0, file.header.ladder_index)
    step = maps.step.astype(np.float64)
    total = planes[0].values[whole].astype(np.int64)
    coded = maps.coded
    for depth, number in enumerate(chained.chain(0)[1:], 1):
        total = RADIX * total + planes[number].values[whole]
        coded = coded & chained.maps(number, file.header.ladder_index).coded
        expected = np.rint(values * RADIX**depth / step)
        # Where a digit is never coded nothing can be said; halves may fall to either side.
        near = np.abs(values * RADIX**depth / step - np.floor(values * RADIX**depth / step) - 0.5) < 1e-3
        every = coded & ~near.any(axis=0)
        assert every.mean() > 0.1
        assert np.array_equal(total[:, every], expected[:, every])


def test_each_digit_brings_the_error_down(chained: Package, latents: list[Latent], stream: bytes) -> None:
    given = small_scene.planes()["tokens"]
    errors = []
    for depth in range(DIGITS + 1):
        known = set(chained.chain(0)[: depth + 1])
        values, validity = decoded(chained, stream, lambda head, known=known: head.plane in known)
        errors.append(float(np.square(values - given)[validity].mean()))
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[1] / 2


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_digits_wait_for_what_they_refine(chained: Package, stream: bytes, layer: int) -> None:
    # The whole layer of the plane is lost, the digits of it are there: its coefficients stay 0.
    values, validity = decoded(
        chained, stream, lambda head: not (is_of(chained, head, 0) and head.layer == layer)
    )
    without, _ = decoded(
        chained, stream, lambda head: not (head.plane in chained.chain(0) and head.layer == layer)
    )
    assert validity.any()
    assert np.array_equal(values, without)


def test_a_tile_without_layer_0_of_its_plane_is_missing_whatever_digits_arrive(
    chained: Package, stream: bytes
) -> None:
    values, validity = decoded(
        chained, stream, lambda head: not (is_of(chained, head, 0) and head.layer == 0)
    )
    assert not validity.any()
    assert not values.any()


def test_lost_digits_leave_what_the_others_say(chained: Package, stream: bytes) -> None:
    # Without the first digit the second is of no use, layer by layer.
    without_first, _ = decoded(
        chained, stream, lambda head: not (is_of(chained, head, 1) and head.layer == 1)
    )
    without_both, _ = decoded(
        chained, stream, lambda head: not (head.plane in chained.chain(0)[1:] and head.layer == 1)
    )
    assert np.array_equal(without_first, without_both)
    without_second, _ = decoded(
        chained, stream, lambda head: not (is_of(chained, head, 2) and head.layer == 1)
    )
    assert not np.array_equal(without_second, without_both)


def test_the_order_of_records_and_copies_change_nothing(chained: Package, stream: bytes) -> None:
    file = reader.read_bytes(stream)
    data = [r.data for r in file.records]
    plain = decode(chained, file.header, data).embeddings["tokens"]
    order = np.random.default_rng(5).permutation(len(data))
    mixed = decode(chained, file.header, [data[i] for i in order] + data[::3]).embeddings["tokens"]
    assert np.array_equal(plain.values, mixed.values)
    assert np.array_equal(plain.validity, mixed.validity)


def test_validity_is_the_planes_own_whatever_digits_arrive(chained: Package) -> None:
    validity = small_scene.all_valid()
    validity[3] = False
    validity[5, :3] = False
    given = small_scene.latents(chained, small_scene.planes(), validity)
    nec = small_scene.encode_scene(chained, given)
    _, alone = decoded(chained, nec, lambda head: head.plane < 2)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        _, some = decoded(chained, nec, lambda head, rng=rng: head.plane < 2 or rng.random() < 0.5)
        assert np.array_equal(alone, some)
    assert not alone[3].any()
    assert not alone[5, :3].any()


def test_a_file_without_digits_lacks_nothing_and_decodes_as_one_of_its_plane(
    chained: Package, latents: list[Latent], stream: bytes
) -> None:
    plain = small_scene.encode_scene(chained, latents, file_mean=False, target_bytes=200, digits=0)
    file = reader.read_bytes(plain)
    assert all(r.header.plane < 2 for r in file.records if r.header.is_coefficients)
    found = decode(chained, file.header, [r.data for r in file.records])
    assert found.missing == ()
    whole, _ = decoded(chained, stream, lambda head: head.plane < 2)
    assert np.allclose(found.embeddings["tokens"].values, whole, atol=1e-4)


def test_lost_digits_of_a_stream_that_has_some_are_missing(chained: Package, stream: bytes) -> None:
    file = reader.read_bytes(stream)
    data = [r.data for r in file.records if not (r.header.plane == 2 and r.header.layer == 2)]
    assert {(m.plane, m.layer) for m in decode(chained, file.header, data).missing} == {(2, 2)}


def test_coding_decoded_symbols_again_gives_the_same_records(chained: Package, stream: bytes) -> None:
    file = reader.read_bytes(stream)
    planes = coefficients.decode(chained.tables, file.header, file.records).planes
    symbols = [Symbols(p.plane, p.values, p.token_validity) for p in planes]
    again = coefficients.encode_file_records(chained.tables, file.header, symbols, target_bytes=200)
    assert sorted(r.data for r in again) == sorted(r.data for r in file.records if r.header.is_coefficients)


def test_the_first_digit_of_the_mean_stands_before_the_other_layers(chained: Package, stream: bytes) -> None:
    chain = chained.chain(0)
    seen = []
    for record in reader.read_bytes(stream).records:
        if record.header.is_coefficients and record.header.plane in chain:
            here = (chain.index(record.header.plane), record.header.layer)
            if here not in seen:
                seen.append(here)
    assert seen == [
        (0, 0), (1, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3),
    ]  # fmt: skip


def test_a_number_of_digits_that_the_package_lacks_is_refused(
    chained: Package, latents: list[Latent]
) -> None:
    with pytest.raises(InputError, match="refinements"):
        small_scene.encode_scene(chained, latents, digits=DIGITS + 1)
    with pytest.raises(InputError, match="budget"):
        small_scene.encode_scene(chained, latents, digits=1, total_bytes=20_000)


def test_a_budget_is_spent_without_digits(chained: Package, latents: list[Latent]) -> None:
    nec = small_scene.encode_scene(chained, latents, total_bytes=6_000)
    file = reader.read_bytes(nec)
    assert 0.98 * 6_000 <= len(nec) <= 6_000
    assert decode(chained, file.header, [r.data for r in file.records]).missing == ()


def test_a_mean_vector_is_taken_off_before_digits_are_made(chained: Package, latents: list[Latent]) -> None:
    given = small_scene.planes()["tokens"]
    nec = small_scene.encode_scene(chained, latents, file_mean=True)
    values, validity = decoded(chained, nec)
    plain, _ = decoded(chained, small_scene.encode_scene(chained, latents, file_mean=False))
    error, of_plain = (float(np.square(v - given)[validity].mean()) for v in (values, plain))
    assert error == pytest.approx(of_plain, rel=0.05)


@pytest.mark.parametrize("name", ["self-contained-digits"])
def test_the_vectors_embeddings_come_out_as_worked_out_by_hand(name: str) -> None:
    path = VECTORS / "valid" / f"{name}.nec"
    file = reader.read_bytes(path.read_bytes())
    package = package_in(
        file.header, tables_records.collect(file.scan.of_kind(RecordKind.TABLES), with_transform=True)
    )
    found = decode(package, file.header, [r.data for r in file.scan.records])
    assert list(found.embeddings) == ["plane0"]
    wanted = json.loads(path.with_suffix(".json").read_text())["planes"][0]["embeddings"]
    for tile, values in wanted.items():
        assert np.allclose(found.embeddings["plane0"].values[int(tile)], values, atol=1e-6)
    assert found.embeddings["plane0"].validity[:, 0, 0].tolist() == [True, True, True, False]


def test_tiles_read_one_by_one_have_the_digits_that_a_whole_file_has(
    chained: Package, stream: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "stream.nec"
    path.write_bytes(stream)
    lazy = LazyFile(path, chained.folder)
    tiles = np.array([1, 4, 9])
    whole, _ = decoded(chained, stream)
    part = lazy.decoder.embedding(lazy.read(0, tiles))
    assert np.allclose(part.values, whole[tiles], atol=1e-5)


def test_an_archive_that_names_a_plane_that_cannot_be_refined_is_refused() -> None:
    file = reader.read_bytes((VECTORS / "invalid" / "digits-of-itself.nec").read_bytes())
    with pytest.raises(Corrupt, match="plane 1"):
        package_in(
            file.header, tables_records.collect(file.scan.of_kind(RecordKind.TABLES), with_transform=True)
        )


@pytest.mark.parametrize("seed", [1, 2])
def test_any_subset_of_records_decodes_as_the_reference_decodes_it(
    chained: Package, stream: bytes, seed: int
) -> None:
    file = reader.read_bytes(stream)
    rng = np.random.default_rng(seed)
    kept = [r.data for r in file.records if rng.random() < 0.7]
    found = decode(chained, file.header, kept).embeddings["tokens"]
    reference = decode_file(
        file.header.encode() + b"".join(kept),
        ReferencePackage(
            chained.table_file.encode(), chained.manifest.files["transform.npz"].sha256, len(chained.bands)
        ),
    )
    transform = chained.transforms["tokens"]
    assert transform.rotations is not None
    reference_transform = ReferenceTransform(
        transform.mean, transform.basis, None, transform.rotations.matrices, transform.rotations.group
    )
    refines = {number: p.refines for number, p in enumerate(chained.refining, len(chained.planes))}
    largest = float(np.abs(found.values).max())
    compared = 0
    for tile in rng.permutation(len(found.values))[:6].tolist():
        valid = np.array(reference.validity(0, tile)).reshape(8, 8)
        assert np.array_equal(found.validity[tile], valid)
        if (0, 0, tile) not in reference.tiles:
            continue
        wanted = embedding(
            reference, ReferencePackage(b"", ""), 0, tile, reference_transform,
            refines={n: r for n, r in refines.items() if r is not None},
        )  # fmt: skip
        assert np.abs(found.values[tile][valid] - wanted[valid]).max() <= 1e-5 * largest
        compared += 1
    assert compared
