"""An adapted encoder through export, bitstream and uplink: the graph is the model, and no command knows the difference."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("rasterio")

import onnx  # noqa: E402

from codec.adapt import uplink  # noqa: E402
from codec.adapt.encoder import load_adapted_encoder  # noqa: E402
from codec.bitstream.reader import read_bytes  # noqa: E402
from codec.errors import ExitCode  # noqa: E402
from codec.models.inference import embed  # noqa: E402
from codec.package import Package, load, refresh  # noqa: E402
from codec.pipeline.received import decoded_symbols  # noqa: E402
from codec.scene.scene import open_scene  # noqa: E402
from codec.scene.tiling import tiles as tiles_of  # noqa: E402
from onboard import export as module  # noqa: E402
from onboard.engine_graph import engine_file  # noqa: E402
from onboard.engine_package import engine_for, open_engine_package  # noqa: E402
from onboard.graph import check_graph  # noqa: E402
from onboard.parity import GATES  # noqa: E402
from onboard.parity_tiles import procedural  # noqa: E402
from tests.adapt.adapted_files import ARGUMENTS, BANDS, adapter_file, fit, scene_file  # noqa: E402
from tests.onboard.rgb_package import build_rgb  # noqa: E402
from tests.swathpack.conftest import Cli, cli  # noqa: E402, F401


@dataclass(frozen=True)
class Flight:
    """The base, the adapted package with its graph, that graph as the exporter leaves it, and a scene of whole tiles."""

    base: Package
    adapted: Package
    traced: bytes
    scene: Path


def with_graph(package: Package) -> tuple[Package, bytes]:
    traced = bytes(module.trace(package).SerializeToString())
    file = engine_file(onnx.load_from_string(traced), "fp32", module.plane_names(package))
    (package.folder / "encoder.onnx").write_bytes(file.data)
    return refresh(package.folder), traced


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Flight:
    folder = tmp_path_factory.mktemp("flight")
    base = build_rgb(folder / "rgb-test")
    scene = scene_file(folder / "21.tif", seed=21, height=256, width=288)
    assert fit(base.folder, adapter_file(base, folder / "water.safetensors"), [scene], folder / "new") == 0
    adapted, traced = with_graph(load(folder / "new"))
    return Flight(base, adapted, traced, scene_file(folder / "a.tif", height=160, width=320))


@pytest.fixture
def quick(flight: Flight, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The exporter of torch takes seconds, and gives the same graph for the same weights; no sample scenes."""
    monkeypatch.setattr(module, "trace", lambda _: onnx.load_from_string(flight.traced))
    monkeypatch.setenv("SWATHPACK_DEMO_DATA", str(tmp_path / "no samples"))


def planes_of(package: Package, pixels: Any, bands: Any, validity: Any) -> dict[str, np.ndarray]:
    """Embeddings by PyTorch, without the margin."""
    encoder = load_adapted_encoder(package.path("encoder.safetensors"), package.path("adapter.safetensors"))
    with torch.inference_mode():
        grids = encoder(*(torch.from_numpy(x) for x in (pixels, bands, validity)))
    return {name: grid[:, 1:5, 1:5].numpy() for name, grid in grids.items()}


def test_the_graph_takes_the_adapters_bands_in_operators_that_fly(flight: Flight) -> None:
    data = flight.adapted.path("encoder.onnx").read_bytes()
    check_graph(data, "encoder.onnx")
    assert engine_for(flight.adapted).input_shape == (len(BANDS), 48, 48)


def test_every_band_reaches_the_tokens(flight: Flight) -> None:
    engine = engine_for(flight.adapted)
    tiles = procedural(flight.adapted, 4)
    bands = np.ones_like(tiles.bands)
    before = engine.run(tiles.pixels, bands, tiles.validity)["tokens"]
    for number, name in enumerate(BANDS):
        changed = tiles.pixels.copy()
        changed[:, number] = changed[:, number] * 0.5 + 0.01
        after = engine.run(changed, bands, tiles.validity)["tokens"]
        assert np.abs(after - before).max() > 1e-3, name


@pytest.mark.parametrize("engine", ["fp32", "fp16", "bf16", "int8"])
@pytest.mark.usefixtures("quick")
def test_engines_of_every_precision_are_written(flight: Flight, tmp_path: Path, engine: str) -> None:
    out = tmp_path / "engine"
    command = ["--model", str(flight.adapted.folder), "--out", str(out), "--engine", engine]
    # Weights nobody trained have no use for few bits; whether they pass is not the question here.
    assert module.main([*command, *([] if engine == "fp32" else ["--force"])]) == 0
    report = json.loads((out / "parity.json").read_text())
    worst = max(row["relative_rms"] for row in report["default"]["planes"])
    assert worst < {"fp32": 1e-5, "fp16": 1e-2, "bf16": 5e-2, "int8": 0.1}[engine]
    if engine == "bf16":  # runs where TensorRT is
        return
    tiles = procedural(flight.adapted, 8)
    found = open_engine_package(out, flight.adapted).run(tiles.pixels, tiles.bands, tiles.validity)
    whole = tiles.validity.all(axis=(1, 2))
    assert whole.any()
    expected = planes_of(flight.adapted, tiles.pixels, tiles.bands, tiles.validity)
    for name, values in expected.items():
        latent = flight.adapted.transforms[name].analyse(values[whole])
        error = np.sqrt(np.square(found[name][whole] - latent).mean() / np.square(latent).mean())
        assert error < {"fp32": 1e-5, "fp16": 1e-2, "int8": 0.1}[engine], name


def test_a_scene_is_encoded_and_decoded_by_the_command_line(cli: Cli, flight: Flight, tmp_path: Path) -> None:  # noqa: F811
    package, nec = flight.adapted, tmp_path / "a.nec"
    ran = cli("encode", flight.scene, "-o", nec, "--model", package.folder, *ARGUMENTS)
    assert ran.code == 0, ran.err
    said = cli("inspect", nec, "--json")
    assert said.code == 0
    header = read_bytes(nec.read_bytes()).header
    assert header.codec_id == package.codec_id
    assert [spec.space_id for spec in header.planes] == list(package.space_ids.values())
    out = tmp_path / "tokens.npz"
    ran = cli("decode", nec, "-o", out, "--models", package.folder)
    assert ran.code == 0, ran.err
    assert out.stat().st_size > 0
    # The base's package must not read it: the tokens are of another space, by another codec.
    cli("decode", nec, "-o", tmp_path / "b.npz", "--models", flight.base.folder).refused(
        ExitCode.IDENTITY, package.codec_id.hex()
    )


def test_symbols_of_a_file_are_those_of_pytorch(cli: Cli, flight: Flight, tmp_path: Path) -> None:  # noqa: F811
    """Of a scene of whole tiles, in which no token is masked."""
    package, nec = flight.adapted, tmp_path / "a.nec"
    assert cli("encode", flight.scene, "-o", nec, "--model", package.folder, *ARGUMENTS).code == 0
    with open_scene([flight.scene], sensor="sentinel2-l2a", scaling="no-offset") as scene:
        tiles = list(tiles_of(scene, package.bands, core=package.tile.core, margin=package.tile.margin))
    encoder = load_adapted_encoder(package.path("encoder.safetensors"), package.path("adapter.safetensors"))
    grids = embed(encoder, tiles)
    file = read_bytes(nec.read_bytes())
    _, _, planes = decoded_symbols(package, file.header, [record.data for record in file.records])
    differ = total = 0
    for number, plane in enumerate(package.planes):
        latent = package.transforms[plane.name].analyse(grids[plane.name][:, 1:5, 1:5])
        wanted = package.maps(plane.name, package.default_ladder_index).quantise(latent)
        found = planes[number].values
        assert found.shape == wanted.shape
        assert (wanted != 0).any()
        differ, total = differ + int((found != wanted).sum()), total + wanted.size
    assert differ <= GATES["fp32"].differ * total


def test_bands_that_a_scene_lacks_are_a_mask_as_ever(cli: Cli, flight: Flight, tmp_path: Path) -> None:  # noqa: F811
    from tests.swathpack.small_scene import pixels, write_scene

    scene = write_scene(tmp_path / "rgb.tif", pixels(64, 64)[:3], names=BANDS[:3])
    ran = cli("encode", scene, "-o", tmp_path / "a.nec", "--model", flight.adapted.folder, *ARGUMENTS)
    assert ran.code == 0, ran.err
    assert "bands of the model that the scene lacks: nir, swir16, swir22" in ran.err


@pytest.mark.usefixtures("quick")
def test_a_package_that_names_an_adapter_and_has_none_is_not_exported_as_its_base(
    flight: Flight, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(flight.adapted.folder, tmp_path / "new"))
    (folder / "adapter.safetensors").unlink()
    refresh(folder)
    assert module.main(["--model", str(folder), "--out", str(tmp_path / "engine")]) == ExitCode.IDENTITY
    assert "has no adapter.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "engine").exists()


@pytest.mark.usefixtures("quick")
def test_an_adapter_of_another_base_is_not_exported(
    flight: Flight, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from codec.models import save_encoder
    from tests.onboard.rgb_package import seeded_encoder

    folder = Path(shutil.copytree(flight.adapted.folder, tmp_path / "new"))
    encoder = seeded_encoder()
    encoder.norm.weight.data *= 1.5
    save_encoder(encoder, folder / "encoder.safetensors")
    refresh(folder)
    assert module.main(["--model", str(folder), "--out", str(tmp_path / "engine")]) == ExitCode.IDENTITY
    assert "another encoder file" in capsys.readouterr().err


@pytest.mark.long
def test_the_uplink_carries_the_adapter_and_not_the_encoder(flight: Flight, tmp_path: Path) -> None:
    folder = shutil.copytree(flight.base.folder, tmp_path / "flying")
    base, _ = with_graph(load(folder))
    pack = uplink.make(base, flight.adapted)
    rows = {row["path"]: row for row in uplink.described(pack.parsed)}
    assert "encoder.safetensors" not in rows
    assert rows["adapter.safetensors"]["sent_bytes"] > 0
    made = uplink.apply(pack.body, base, tmp_path / "next")
    assert made.space_ids == flight.adapted.space_ids
    assert made.codec_id == flight.adapted.codec_id
    graph = "encoder.onnx"
    assert made.path(graph).read_bytes() == flight.adapted.path(graph).read_bytes()
    assert rows[graph]["copied_bytes"] > 0.7 * rows[graph]["bytes"]
    assert rows[graph]["sent_bytes"] < 0.1 * rows[graph]["bytes"]
