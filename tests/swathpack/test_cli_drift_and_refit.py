"""`swathpack drift`, `swathpack refit` and the map of `swathpack inspect --bits`, on real packages and rasters."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import rasterio

from codec.bitstream.reader import read_bytes
from codec.package import load
from codec.pipeline import decode
from codec.types import RecordKind, TileGrid
from swathpack.cli_page import JSON_KEYS
from tests.package.small_package import build_small
from tests.pipeline import small_scene
from tests.swathpack.conftest import Cli

WHOLE = TileGrid(height=12 * 32, width=12 * 32, core_height=32, core_width=32)  # 144 tiles, none shifted
GRID = small_scene.GRID  # 5×6 tiles, the last ones shifted inward


def encoded(
    folder: Path, name: str, *, grid: TileGrid = WHOLE, scale: float = 1.0, **options: object
) -> Path:
    package = load(folder / "small")
    arrays = {n: x * np.float32(scale) for n, x in small_scene.planes(grid.n_tiles, seed=61).items()}
    validity = small_scene.all_valid(grid.n_tiles)
    hole = options.pop("hole", None)
    if hole is not None:
        validity[hole] = False
    given = small_scene.latents(package, arrays, validity)
    path = folder / name
    path.write_bytes(small_scene.encode_scene(package, given, grid=grid, **options))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("passes")
    build_small(path / "small")
    return path


@pytest.fixture(scope="module")
def drifted(folder: Path) -> Path:
    return encoded(folder, "drifted.nec", scale=1.7)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    return encoded(folder, "plain.nec", scale=1.0, run=1)


def test_drift_names_what_moved_and_exits_0(cli: Cli, folder: Path, drifted: Path) -> None:
    ran = cli("drift", drifted, "--models", folder)
    assert ran.code == 0
    assert "more than promised" in ran.text
    assert "package small" in ran.text


def test_drift_is_quiet_where_nothing_moved(cli: Cli, folder: Path, plain: Path) -> None:
    ran = cli("drift", plain, "--models", folder)
    assert ran.code == 0
    assert "0 rows flagged" in ran.text
    assert "promised" not in ran.text


def test_drift_says_when_there_is_too_little(cli: Cli, folder: Path) -> None:
    small = encoded(folder, "small.nec", grid=TileGrid(64, 64, 32, 32), scale=3.0)
    ran = cli("drift", small, "--models", folder)
    assert ran.code == 0
    assert "too few whole tiles to judge anything" in ran.text


def test_drift_json_has_the_keys_that_the_page_promises(
    cli: Cli, folder: Path, drifted: Path, plain: Path
) -> None:
    name = "drift --json (a list, one entry per codec)"
    (found,) = json.loads(cli("drift", drifted, plain, drifted, "--models", folder, "--json", "--all").out)
    assert set(found) == set(JSON_KEYS[name])
    assert len(found["files"]) == 2  # one was given twice
    for key in found["rows"][0]:
        assert f"`{key}`" in JSON_KEYS[name]["rows"]
    assert found["flagged"] == sum(row["flag"] is not None for row in found["rows"])


@pytest.fixture(scope="module")
def cut(drifted: Path) -> Path:
    path = drifted.with_name("cut.nec")
    data = drifted.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def test_the_order_of_copies_and_parts_changes_nothing(
    cli: Cli, folder: Path, drifted: Path, plain: Path, cut: Path, tmp_path: Path
) -> None:
    whole = cli("drift", drifted, plain, "--models", folder, "--json", "--all")
    assert whole.code == 0, whole.err
    assert cli("refit", folder / "small", drifted, plain, "-o", tmp_path / "whole").code == 0
    for number, order in enumerate(permutations((drifted, cut, plain))):
        ran = cli("drift", *order, "--models", folder, "--json", "--all")
        assert (ran.code, ran.out, ran.err) == (0, whole.out, "")
        ran = cli("refit", folder / "small", *order, "-o", tmp_path / f"{number}")
        assert ran.code == 0, ran.err
        assert "note:" not in ran.err
        for name in ("tables.bin", "manifest.json"):
            found = (tmp_path / f"{number}" / name).read_bytes()
            assert found == (tmp_path / "whole" / name).read_bytes()


def test_drift_of_a_cut_file_says_what_is_missing_and_exits_6(
    cli: Cli, folder: Path, drifted: Path, plain: Path, cut: Path
) -> None:
    ran = cli("drift", cut, plain, "--models", folder)
    assert ran.code == 6
    assert "package small" in ran.text  # what is there was judged
    file = read_bytes(cut.read_bytes())
    found = decode(load(folder / "small"), file.header, [r.data for r in file.records])
    lost = sum(r.count for r in found.missing)
    first = sum(r.count for r in found.missing if r.layer == 0)
    assert f"{lost} layers of tiles are missing, {first} of them layer 0" in ran.err
    assert "cut.nec" in ran.err
    assert "1 of 2 files were judged by what is there" in ran.err
    ran = cli("drift", cut, plain, "--models", folder, "--json")
    assert ran.code == 6
    assert json.loads(ran.out)[0]["incomplete"] == [file.header.file_id.hex()]


def test_drift_of_a_file_with_a_flipped_bit_uses_the_rest_and_exits_6(
    cli: Cli, folder: Path, plain: Path, tmp_path: Path
) -> None:
    data = bytearray(plain.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.nec").write_bytes(data)
    ran = cli("drift", tmp_path / "flipped.nec", "--models", folder)
    assert ran.code == 6
    assert "0 rows flagged" in ran.text
    assert "layers of tiles are missing" in ran.err


def test_refit_of_a_cut_file_says_what_is_missing(
    cli: Cli, folder: Path, plain: Path, cut: Path, tmp_path: Path
) -> None:
    ran = cli("refit", folder / "small", cut, plain, "-o", tmp_path / "new")
    assert ran.code == 0, ran.err
    assert "layers of tiles are missing" in ran.err


def test_two_encodings_with_one_file_id_are_said_and_order_does_not_matter(
    cli: Cli, folder: Path, tmp_path: Path
) -> None:
    files = [encoded(folder, f"{total}.nec", scale=1.7, total_bytes=total) for total in (20_000, 20_300)]
    ids = {read_bytes(path.read_bytes()).header.file_id for path in files}
    assert len(ids) == 1
    said, made = [], []
    for number, order in enumerate((files, files[::-1])):
        ran = cli("drift", *order, "--models", folder, "--json", "--all")
        assert ran.code == 0, ran.err
        assert "different records came for" in ran.err
        assert json.loads(ran.out)[0]["conflicts"] == [ids.copy().pop().hex()]
        said.append(ran.out)
        ran = cli("refit", folder / "small", *order, "-o", tmp_path / f"{number}")
        assert ran.code == 0, ran.err
        assert "different records came for" in ran.err
        made.append((tmp_path / f"{number}" / "tables.bin").read_bytes())
    assert said[0] == said[1]
    assert made[0] == made[1]


def test_parts_of_a_file_that_carries_its_codec_are_put_together(cli: Cli, tmp_path: Path) -> None:
    from tests.transform.synthetic_embeddings import embeddings

    np.save(tmp_path / "a.npy", embeddings(200, seed=71))
    assert cli("pack", tmp_path / "a.npy", "-o", tmp_path / "whole.nec").code == 0
    data = (tmp_path / "whole.nec").read_bytes()
    head, half = read_bytes(data).header.length, len(data) // 4
    (tmp_path / "first.nec").write_bytes(data[:half])
    (tmp_path / "second.nec").write_bytes(data[:head] + data[half // 2 :])
    whole = cli("drift", tmp_path / "whole.nec", "--json")
    cli("drift", tmp_path / "second.nec", "--json").refused(75, "have not all arrived")
    for order in (("first.nec", "second.nec"), ("second.nec", "first.nec")):
        ran = cli("drift", *(tmp_path / name for name in order), "--json")
        assert (ran.code, ran.out) == (0, whole.out)


def test_drift_of_an_unknown_codec_names_it(cli: Cli, drifted: Path, tmp_path: Path) -> None:
    cli("drift", drifted, "--models", tmp_path).refused(
        5, read_bytes(drifted.read_bytes()).header.codec_id.hex()
    )


def test_refit_makes_files_smaller_and_leaves_old_ones_alone(
    cli: Cli, folder: Path, drifted: Path, tmp_path: Path
) -> None:
    ran = cli("refit", folder / "small", drifted, "--out", tmp_path / "new", "--json")
    assert ran.code == 0, ran.err
    facts = json.loads(ran.out)
    assert set(facts) == set(JSON_KEYS["refit --json"])
    old, new = load(folder / "small"), load(tmp_path / "new")
    assert (facts["from_codec_id"], facts["codec_id"]) == (old.codec_id.hex(), new.codec_id.hex())
    assert new.space_ids == old.space_ids
    assert facts["payload_bytes_after"] < 0.98 * facts["payload_bytes_before"]
    decoded = cli("decode", drifted, "-o", tmp_path / "old.npz", "--models", folder, "--models", tmp_path)
    assert decoded.code == 0, decoded.err


def test_refit_says_how_much_is_needed_and_leaves_nothing(cli: Cli, folder: Path, tmp_path: Path) -> None:
    few = encoded(folder, "few.nec", grid=GRID)
    ran = cli("refit", folder / "small", few, "--out", tmp_path / "new")
    ran.refused(3, "too few tiles", "at least 128", "add files of more passes")
    assert list(tmp_path.iterdir()) == []


def test_refit_refuses_files_of_another_package(
    cli: Cli, folder: Path, drifted: Path, tmp_path: Path
) -> None:
    ran = cli("refit", folder / "small", drifted, "-o", tmp_path / "new")
    assert ran.code == 0, ran.err
    again = cli("refit", tmp_path / "new", drifted, "-o", tmp_path / "newer")
    again.refused(5, "drifted.nec", "another codec than the file")
    assert not (tmp_path / "newer").exists()


def test_refit_refuses_files_with_tables_of_their_own(cli: Cli, folder: Path, tmp_path: Path) -> None:
    own = encoded(folder, "own.nec", embed_tables=True)
    cli("refit", folder / "small", own, "-o", tmp_path / "new").refused(3, "tables of its own")


def test_refit_replaces_nothing(cli: Cli, folder: Path, drifted: Path) -> None:
    ran = cli("refit", folder / "small", drifted, "-o", folder / "small")
    ran.refused(3, "not empty")


@pytest.fixture(scope="module")
def holed(folder: Path) -> Path:
    return encoded(folder, "holed.nec", grid=GRID, hole=7, run=2)


def test_the_map_lies_on_the_scene_one_cell_a_tile(
    cli: Cli, folder: Path, holed: Path, tmp_path: Path
) -> None:
    ran = cli("inspect", holed, "--bits", tmp_path / "map.tif", "--models", folder)
    assert ran.code == 0, ran.err
    with rasterio.open(tmp_path / "map.tif") as raster:
        assert (raster.count, raster.height, raster.width) == (1, 5, 6)
        assert raster.crs.to_epsg() == 32633
        assert raster.transform[:6] == (320.0, 0.0, 5e5, 0.0, -320.0, 6e6)
        assert raster.tags()["SWATHPACK_UNIT"] == "bytes"
        assert "estimated" in raster.tags()["SWATHPACK_MEANING"]
        values, mask = raster.read(1), raster.read_masks(1)
    assert np.isnan(values[1, 1])  # tile 7 has no data
    assert (mask == 0).sum() == 1
    assert (values[mask > 0] > 0).all()


def test_the_cells_sum_to_the_payload_of_the_records(
    cli: Cli, folder: Path, holed: Path, tmp_path: Path
) -> None:
    cli("inspect", holed, "--bits", tmp_path / "map.tif", "--models", folder)
    with rasterio.open(tmp_path / "map.tif") as raster:
        total = float(np.nansum(raster.read(1)))
    file = read_bytes(holed.read_bytes())
    payload = sum(r.header.payload_length for r in file.records)
    # Each record has a state, padding and masks that no tile owns: a few bytes.
    assert payload - 12 * len(file.records) < total < payload


def test_the_layers_sum_to_the_total(cli: Cli, folder: Path, holed: Path, tmp_path: Path) -> None:
    cli("inspect", holed, "--bits", tmp_path / "map.tif", "--per-layer", "--models", folder)
    with rasterio.open(tmp_path / "map.tif") as raster:
        names, values = raster.descriptions, raster.read()
    assert names[0] == "payload_bytes"
    assert set(names[1:]) == {f"tokens_layer_{i}" for i in range(4)} | {
        "spectral_layer_0",
        "spectral_layer_1",
    }
    np.testing.assert_allclose(np.nansum(values[1:], axis=0), np.nan_to_num(values[0]), rtol=1e-6)


def test_a_lost_layer_is_no_data_in_its_band_and_not_zero(
    cli: Cli, folder: Path, holed: Path, tmp_path: Path
) -> None:
    file = read_bytes(holed.read_bytes())
    kept = [
        r.data
        for r in file.scan.records
        if r.header.kind not in (RecordKind.INDEX, RecordKind.SEAL)
        and not (r.header.plane == 0 and r.header.layer == 3)
    ]
    cut = tmp_path / "cut.nec"
    cut.write_bytes(file.header.encode() + b"".join(kept))
    ran = cli("inspect", cut, "--bits", tmp_path / "map.tif", "--per-layer", "--models", folder)
    assert ran.code == 0, ran.err
    with rasterio.open(tmp_path / "map.tif") as raster:
        lost = raster.read(raster.descriptions.index("tokens_layer_3") + 1)
        assert np.isnan(lost).all()
        assert np.isfinite(raster.read(1)).sum() == GRID.n_tiles - 1


def test_the_picture_of_the_map_is_a_picture(cli: Cli, folder: Path, holed: Path, tmp_path: Path) -> None:
    from PIL import Image

    ran = cli("inspect", holed, "--bits", tmp_path / "map.png", "--models", folder)
    assert ran.code == 0, ran.err
    with Image.open(tmp_path / "map.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert len(colours) > 6  # the steps that occur, paper and ink
    assert (250, 235, 110) in colours  # the dearest tile


def test_the_map_refuses_unknown_forms_and_unknown_packages(cli: Cli, holed: Path, tmp_path: Path) -> None:
    cli("inspect", holed, "--bits", tmp_path / "map.jpg").refused(2, ".tif .tiff .png")
    cli("inspect", holed, "--bits", tmp_path / "map.tif", "--models", tmp_path).refused(5, "no model package")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [(), ("--bits", "map.png")])
def test_layers_are_bands_of_a_raster_only(cli: Cli, holed: Path, options: tuple[str, ...]) -> None:
    cli("inspect", holed, "--per-layer", *options).refused(2, "--bits MAP.tif")


def test_files_that_carry_their_codec_are_judged_by_it(cli: Cli, tmp_path: Path) -> None:
    from tests.transform.synthetic_embeddings import embeddings

    np.save(tmp_path / "floats.npy", embeddings(200, seed=71))
    np.save(tmp_path / "integers.npy", np.rint(embeddings(40, seed=72) * 20).astype(np.int8))
    for name in ("floats", "integers"):
        ran = cli("pack", tmp_path / f"{name}.npy", "-o", tmp_path / f"{name}.nec")
        assert ran.code == 0, ran.err
    ran = cli("drift", tmp_path / "floats.nec", "--json")
    (found,) = json.loads(ran.out)
    assert found["judged"] is True
    assert found["rows"][0]["flag"] is None  # fitted to these very numbers
    ran = cli("drift", tmp_path / "integers.nec")
    assert (ran.code, "integers have no scale" in ran.text) == (0, True)
