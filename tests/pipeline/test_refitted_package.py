"""A package refitted from received files: ids, old files, and everything that was not tables."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from codec.bitstream.reader import read_bytes
from codec.errors import IdentityError, InputError
from codec.package import Package, find, load
from codec.pipeline import decode, open_nec
from codec.pipeline.drift import pass_drift
from codec.pipeline.received import ReceivedSymbols, merged, symbols_of
from codec.pipeline.refit import refit_tables, write_refitted
from codec.types import TileGrid
from tests.pipeline import small_scene

GRID = TileGrid(height=12 * 32, width=12 * 32, core_height=32, core_width=32)  # 144 whole tiles
SCALE = np.float32(1.7)


def arrays(package: Package, seed: int, scale: np.float32 = SCALE) -> dict[str, np.ndarray]:
    """Embeddings that vary `scale` times as much about the package's mean as what it was fitted to."""
    mean = {name: transform.mean for name, transform in package.transforms.items()}
    planes = small_scene.planes(GRID.n_tiles, seed)
    return {name: mean[name] + (x - mean[name]) * scale for name, x in planes.items()}


def nec_of(
    package: Package, *, seed: int, scale: np.float32 = SCALE, run: int = 0, **options: object
) -> bytes:
    given = small_scene.latents(package, arrays(package, seed, scale), small_scene.all_valid(GRID.n_tiles))
    return small_scene.encode_scene(package, given, grid=GRID, run=run, **options)


def received(package: Package, *data: bytes) -> list[ReceivedSymbols]:
    return [
        symbols_of(package, file.header, [r.data for r in file.scan.records])
        for file in map(read_bytes, data)
    ]


@pytest.fixture(scope="module")
def drifted(package: Package) -> bytes:
    return nec_of(package, seed=51)


@pytest.fixture(scope="module")
def refitted(package: Package, drifted: bytes, tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("refit") / "small"
    folder.mkdir()
    files = received(package, drifted)
    return write_refitted(package, refit_tables(package, files), files, folder)


def test_spaces_stay_and_the_codec_is_new(package: Package, refitted: Package) -> None:
    assert refitted.space_ids == package.space_ids
    assert refitted.codec_id != package.codec_id
    assert refitted.manifest.raw["notes"]["refit"]["from_codec_id"] == package.codec_id.hex()


def test_only_tables_and_manifest_change(package: Package, refitted: Package) -> None:
    before, after = package.manifest.files, refitted.manifest.files
    assert set(before) == set(after)
    assert {name for name in before if before[name] != after[name]} == {"tables.bin"}


def test_a_later_pass_takes_fewer_bytes_with_it(package: Package, refitted: Package) -> None:
    later = len(nec_of(package, seed=52)), len(nec_of(refitted, seed=52))
    assert later[1] < 0.98 * later[0]


def test_the_drift_that_called_for_it_is_gone(package: Package, refitted: Package) -> None:
    before = pass_drift(package, received(package, nec_of(package, seed=52)))
    after = pass_drift(refitted, received(refitted, nec_of(refitted, seed=52)))
    assert before.planes["tokens"][0].flag == "more"
    assert after.planes["tokens"][0].flag == ""
    assert len(after.flagged) < len(before.flagged) / 4


def test_old_files_decode_as_before_beside_it(
    package: Package, refitted: Package, drifted: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "old.nec"
    path.write_bytes(drifted)
    alone = open_nec(path, packages=package)
    beside = open_nec(path, packages=[refitted.folder, package.folder])
    assert beside.package.codec_id == package.codec_id
    for plane in alone.planes:
        np.testing.assert_array_equal(beside.embedding(plane).values, alone.embedding(plane).values)
    with pytest.raises(IdentityError, match=package.codec_id.hex()):
        open_nec(path, packages=refitted)


def test_new_files_find_it(package: Package, refitted: Package, tmp_path: Path) -> None:
    path = tmp_path / "new.nec"
    path.write_bytes(nec_of(refitted, seed=53))
    opened = open_nec(path, packages=[package.folder, refitted.folder])
    assert opened.package.codec_id == refitted.codec_id
    assert opened.is_complete
    found = find(codec_id=refitted.codec_id, roots=[package.folder, refitted.folder])
    assert found.folder == refitted.folder


def test_the_error_does_not_grow_with_it(package: Package, refitted: Package, tmp_path: Path) -> None:
    errors = []
    for which, fitted in enumerate((package, refitted)):
        path = tmp_path / f"{which}.nec"
        path.write_bytes(nec_of(fitted, seed=54))
        values = open_nec(path, packages=fitted).embedding("tokens").values
        sent = arrays(package, 54)["tokens"]
        errors.append(float(np.square(values - sent).mean()))
    assert errors[1] < 1.02 * errors[0]


def test_equal_files_in_any_order_or_twice_make_equal_tables(package: Package, drifted: bytes) -> None:
    other = nec_of(package, seed=55, run=1)
    forward = refit_tables(package, received(package, drifted, other))
    backward = refit_tables(package, received(package, other, drifted, other))
    assert forward.tables.encode() == backward.tables.encode()
    assert forward.tiles == backward.tiles


def test_copies_that_say_different_things_are_refused_in_any_order(package: Package, drifted: bytes) -> None:
    """Records of copies are put together before (`merged`); here they can no longer be."""
    part = received(package, drifted[: len(drifted) // 2])[0]
    whole = received(package, drifted)[0]
    for given in ([whole, part], [part, whole]):
        with pytest.raises(InputError, match=r"given twice, and not the same was received.*together"):
            refit_tables(package, given)


def test_merged_copies_say_what_all_records_say_in_any_order(package: Package, drifted: bytes) -> None:
    size = len(drifted)
    head = read_bytes(drifted).header.length
    parts = [drifted[: size // 2], drifted[:head] + drifted[size // 3 :], drifted[: size // 5]]
    whole = received(package, drifted)[0]
    for order in permutations(parts):
        file = merged([read_bytes(data) for data in order])
        found = symbols_of(package, file.header, [r.data for r in file.scan.records])
        assert found.is_complete
        assert found.says_as(whole)
    assert not received(package, parts[0])[0].is_complete


def test_only_copies_of_one_file_are_merged(package: Package, drifted: bytes) -> None:
    other = read_bytes(nec_of(package, seed=51, run=9))
    with pytest.raises(InputError, match="not copies of one file"):
        merged([read_bytes(drifted), other])


def test_two_encodings_with_one_header_are_settled_as_decode_does(package: Package) -> None:
    budgets = [nec_of(package, seed=51, total_bytes=total) for total in (20_000, 20_300)]
    files = [read_bytes(data) for data in budgets]
    assert files[0].header.file_id == files[1].header.file_id
    both = [r.data for file in files for r in file.records]
    expected = decode(package, files[0].header, both)
    assert expected.conflicts
    found = []
    for order in (files, files[::-1]):
        file = merged(order)
        found.append(symbols_of(package, file.header, [r.data for r in file.scan.records]))
        assert found[-1].conflicts == expected.conflicts
        assert found[-1].is_complete
    assert found[0].says_as(found[1])


def test_lost_records_leave_the_rest_of_use(package: Package, drifted: bytes) -> None:
    file = read_bytes(drifted)
    records = [r.data for r in file.scan.records]
    lost = [r.data for r in file.records if r.header.layer == 2]
    some = symbols_of(package, file.header, [data for data in records if data not in lost])
    assert lost
    assert refit_tables(package, [some]).tiles[0] == GRID.n_tiles


def test_files_of_another_package_are_refused(refitted: Package, drifted: bytes) -> None:
    with pytest.raises(IdentityError, match="another codec"):
        received(refitted, drifted)


def test_files_with_tables_of_their_own_are_refused(package: Package) -> None:
    with pytest.raises(InputError, match="tables of its own"):
        refit_tables(package, received(package, nec_of(package, seed=56, embed_tables=True)))


def test_drift_of_a_file_with_its_own_tables_is_judged_by_these(package: Package, drifted: bytes) -> None:
    embedded = received(package, nec_of(package, seed=51, embed_tables=True))
    plain = pass_drift(package, received(package, drifted)).planes["tokens"]
    for one, other in zip(pass_drift(package, embedded).planes["tokens"], plain, strict=True):
        assert one == other


def test_the_refitted_package_can_be_refitted(package: Package, refitted: Package, tmp_path: Path) -> None:
    files = received(refitted, nec_of(refitted, seed=57, scale=np.float32(1.0)))
    again = write_refitted(refitted, refit_tables(refitted, files), files, tmp_path)
    assert again.manifest.version == f"1.0+refit.{refitted.codec_id.hex()}"
    assert load(tmp_path).space_ids == package.space_ids


def test_a_pass_of_two_codecs_is_not_judged_as_one(
    package: Package, refitted: Package, drifted: bytes
) -> None:
    files = [*received(package, drifted), *received(refitted, nec_of(refitted, seed=58))]
    with pytest.raises(InputError, match="different tables"):
        pass_drift(package, files)


def test_a_file_given_twice_is_no_second_evidence(package: Package, drifted: bytes) -> None:
    with pytest.raises(InputError, match="twice"):
        pass_drift(package, received(package, drifted, drifted))
