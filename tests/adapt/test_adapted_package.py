"""A package of an adapted encoder: what it is named by, what it is made of, what is refused, and that it is whole or not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("rasterio")

from codec.adapt import apply  # noqa: E402
from codec.adapt.encoder import AdaptedEncoder, load_adapted_encoder  # noqa: E402
from codec.errors import ExitCode, InputError  # noqa: E402
from codec.models import Encoder, EncoderConfig, save_encoder  # noqa: E402
from codec.nec.adapted import package as module  # noqa: E402
from codec.nec.adapted.__main__ import main  # noqa: E402
from codec.package import Package, load  # noqa: E402
from codec.package.files import sha256_of  # noqa: E402
from codec.package.identity import space_id  # noqa: E402
from tests.adapt.adapted_files import BANDS, adapter_file, fit, scene_file  # noqa: E402
from tests.adapt.small_bases import BANDS as MIXED  # noqa: E402
from tests.adapt.small_bases import batch_of  # noqa: E402
from tests.onboard.rgb_package import CONFIG, build_rgb, seeded_encoder  # noqa: E402


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build_rgb(tmp_path_factory.mktemp("models") / "rgb-test")


@pytest.fixture(scope="module")
def adapter(base: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapter_file(base, tmp_path_factory.mktemp("adapters") / "water.safetensors")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    return [scene_file(folder / f"{seed}.tif", seed=seed) for seed in (21, 22)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "planes.npz"


@pytest.fixture(scope="module")
def made(
    base: Package, adapter: Path, scenes: list[Path], kept: Path, tmp_path_factory: pytest.TempPathFactory
) -> Package:
    out = tmp_path_factory.mktemp("made") / "new"
    assert fit(base.folder, adapter, scenes, out, "--trained-on", "a flood", "--keep", kept) == 0
    return load(out)


def test_base_and_adapter_are_named_by_the_hashes_of_their_files(
    base: Package, adapter: Path, made: Package
) -> None:
    assert made.manifest.encoder_sha256 == sha256_of(base.path("encoder.safetensors"))
    assert made.manifest.adapter_sha256 == sha256_of(adapter)
    assert made.path("adapter.safetensors").read_bytes() == adapter.read_bytes()
    assert made.manifest.raw["version"] == f"1.0+adapter.{sha256_of(adapter)[:16]}"
    expected = {
        name: space_id(
            plane=name,
            bands=BANDS,
            preprocessing="reflectance-v0",
            encoder_sha256=sha256_of(base.path("encoder.safetensors")),
            adapter_sha256=sha256_of(adapter),
        )
        for name in ("tokens", "spectral")
    }
    assert made.space_ids == expected
    assert not set(made.space_ids.values()) & set(base.space_ids.values())
    assert made.codec_id != base.codec_id


def test_the_package_is_of_the_adapters_bands(base: Package, made: Package) -> None:
    assert (made.name, made.bands, made.tile) == ("rgb-test-water", BANDS, base.tile)
    assert [(p.name, p.spec.channels) for p in made.planes] == [("tokens", 24), ("spectral", len(BANDS))]


def test_nothing_of_the_bases_embeddings_is_taken_over(made: Package) -> None:
    files = {"adapter.safetensors", "encoder.safetensors", "tables.bin", "transform.npz"}
    assert set(made.manifest.files) == files  # heads, graph and card are of other spaces


def test_the_manifest_says_what_the_adapter_and_the_codec_learned_from(made: Package) -> None:
    names = [entry["name"] for entry in made.manifest.raw["training_data"]]
    assert names == ["adapter: a flood", "own scenes, of the codec alone: 21.tif, 22.tif"]
    note = made.manifest.raw["notes"]["adapted"]
    assert (note["from_package"], note["method"], note["packing"]) == ("rgb-test", "deflect", "int4")


def test_the_codec_is_of_the_adapted_embeddings_without_their_margin(made: Package, kept: Path) -> None:
    with np.load(kept) as planes:
        tokens = planes["tokens"]
    assert tokens.shape == (2 * 10 * 11 * 8, 4, 4, 24)
    transform = made.transforms["tokens"]
    np.testing.assert_allclose(transform.mean, tokens.mean(0), atol=1e-4)
    spread = np.square(transform.analyse(tokens)).mean((0, 2))
    assert spread[0] > 10 * spread[-1]  # directions of these embeddings: the first holds most


def test_an_adapter_is_packed_on_request_and_the_codec_is_of_what_it_is_then(
    base: Package, adapter: Path, made: Package, scenes: list[Path], tmp_path: Path
) -> None:
    """The same package as from the file that was packed when it was saved, by every hash."""
    wide = adapter_file(base, tmp_path / "water.safetensors", packing=None)
    assert wide.stat().st_size > adapter.stat().st_size
    assert (
        fit(base.folder, wide, scenes, tmp_path / "new", "--packing", "int4", "--trained-on", "a flood") == 0
    )
    packed = load(tmp_path / "new")
    assert packed.manifest.raw == made.manifest.raw


def test_patch_means_are_those_of_an_encoder_of_these_bands() -> None:
    """Bit for bit, whatever stands in absent bands and invalid pixels."""
    config = EncoderConfig(bands=("blue", "green", "red"), tile=12, patch=4, width=24, depth=1, heads=3)
    encoder = Encoder(config).eval()
    adapted = AdaptedEncoder(apply(encoder, "bitfit", MIXED), encoder).eval()
    native = Encoder(replace(config, bands=MIXED)).eval()
    pixels, present, validity = batch_of()
    spoiled = torch.where(present[:, :, None, None] * validity[:, None] > 0.5, pixels, float("nan"))
    with torch.no_grad():
        found, expected = (e(spoiled, present, validity) for e in (adapted, native))
        tokens = adapted.adapted(pixels, present, validity)["tokens"]
    assert torch.equal(found["spectral"], expected["spectral"])
    assert torch.equal(found["tokens"], tokens)


def test_no_command_takes_the_bases_tokens_for_the_adapted_ones(
    base: Package, made: Package, scenes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that do not run adapters refuse the package; the one for it refuses packages without."""
    from codec.heads.__main__ import main as heads
    from codec.nec.adapted.heads import encoder_of
    from codec.pretrain.__main__ import main as pretrain
    from codec.pretrain.preview import main as preview

    package, data = ["--package", str(made.folder)], ["--data", str(tmp_path)]
    own = ["fit-codec", *package, "--scenes", str(scenes[0]), "--out", str(tmp_path / "own")]
    for command, arguments in (
        (heads, ["fit", *package, *data]),
        (preview, ["fit", *package, *data]),
        (pretrain, own),
    ):
        assert command(arguments) == ExitCode.BAD_INPUT
        assert "has an adapter, which this command does not run" in capsys.readouterr().err
    assert encoder_of(made).config.bands == BANDS
    plain = ["fit", "--package", str(base.folder), *data]
    assert heads(plain, prog="adapted", encoder_of=encoder_of) == ExitCode.IDENTITY
    assert "has no adapter.safetensors" in capsys.readouterr().err


def other_weights(base: Package, folder: Path) -> Path:
    """The same package with weights of another training."""
    from codec.package import refresh

    shutil.copytree(base.folder, folder)
    encoder = seeded_encoder()
    encoder.norm.weight.data *= 1.5
    save_encoder(encoder, folder / "encoder.safetensors")
    refresh(folder)
    return folder


def whole(folder: Path) -> list[str]:
    """What lies where the package should be, hidden things included."""
    return sorted(entry.name for entry in folder.iterdir())


def test_an_adapter_of_another_base_is_refused_by_hash(
    base: Package, adapter: Path, scenes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = other_weights(base, tmp_path / "other")
    assert fit(other, adapter, scenes, tmp_path / "new") == ExitCode.IDENTITY
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    for words in ("another encoder file", sha256_of(base.path("encoder.safetensors"))[:16], str(adapter)):
        assert words in err
    assert whole(tmp_path) == ["other"]


def test_an_adapter_that_names_no_file_is_held_against_the_bases_numbers(
    base: Package, tmp_path: Path
) -> None:
    """The tensors decide where the adapter's file says nothing of the base's."""
    from codec.adapt.files import save_adapter
    from codec.errors import IdentityError
    from codec.models.weights import load_encoder

    path = tmp_path / "a.safetensors"
    adapted = apply(load_encoder(base.path("encoder.safetensors")), "bitfit", BANDS)
    save_adapter(adapted, path)
    load_adapted_encoder(base.path("encoder.safetensors"), path)
    other = other_weights(base, tmp_path / "other")
    with pytest.raises(IdentityError, match="another base"):
        load_adapted_encoder(other / "encoder.safetensors", path)


def test_a_band_that_the_scenes_lack_is_refused_by_its_name(
    base: Package, scenes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wider = adapter_file(base, tmp_path / "wide.safetensors", bands=(*BANDS, "nir08", "coastal"))
    assert fit(base.folder, wider, scenes, tmp_path / "new") == ExitCode.BAD_INPUT
    assert "none of the scenes has nir08, coastal, which the adapter reads" in capsys.readouterr().err
    assert whole(tmp_path) == ["wide.safetensors"]


def test_a_band_without_constants_is_refused_by_its_name(
    base: Package, scenes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = adapter_file(base, tmp_path / "a.safetensors", bands=(*BANDS, "cirrus"))
    assert fit(base.folder, adapter, scenes, tmp_path / "new") == ExitCode.BAD_INPUT
    assert "no normalisation constants for band cirrus" in capsys.readouterr().err
    assert whole(tmp_path) == ["a.safetensors"]


def test_a_package_of_other_tiles_than_the_encoders_is_refused(
    base: Package, adapter: Path, scenes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(base.folder, tmp_path / "other"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tile"]["margin"] = 0
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert fit(folder, adapter, scenes, tmp_path / "new") == ExitCode.BAD_INPUT
    assert "another architecture than the package: pixels a side" in capsys.readouterr().err


@pytest.mark.parametrize("at", ["embedded", "fit_embedded", "build"])
def test_an_interrupted_run_leaves_nothing(
    base: Package, adapter: Path, scenes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:  # fmt: skip
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if at == "build":  # what comes before is not asked for here
        monkeypatch.setattr(module, "embedded", lambda *_: {"tokens": np.zeros((1, 6, 6, 24))})
        monkeypatch.setattr(module, "fit_embedded", lambda *_, **__: SimpleNamespace(tables_bytes=b""))
    monkeypatch.setattr(module, at, interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(base.folder, adapter, scenes[:1], tmp_path / "new")
    assert whole(tmp_path) == []


def test_a_folder_with_something_in_it_is_refused_before_anything_is_read(
    base: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "notes.txt").write_text("mine")
    none = tmp_path / "none.safetensors"
    assert fit(base.folder, none, [tmp_path / "none.tif"], tmp_path / "new") == ExitCode.BAD_INPUT
    assert "not empty" in capsys.readouterr().err
    assert whole(tmp_path / "new") == ["notes.txt"]


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda data: data[:-9], ExitCode.INTEGRITY, "not an adapter file"),
        (lambda data: b"weights", ExitCode.INTEGRITY, "not an adapter file"),
        (None, ExitCode.BAD_INPUT, "the adapter cannot be read"),
    ],
    ids=["cut", "text", "none"],
)
def test_a_damaged_adapter_is_refused_with_its_path(
    base: Package, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Any, code: ExitCode,
    words: str,
) -> None:  # fmt: skip
    path = tmp_path / "bad.safetensors"
    if spoil is not None:
        path.write_bytes(spoil(adapter.read_bytes()))
    assert fit(base.folder, path, [tmp_path / "none.tif"], tmp_path / "new") == code
    err = capsys.readouterr().err
    assert words in err
    assert str(path) in err
    assert not (tmp_path / "new").exists()


def test_names_that_no_manifest_has_are_refused(
    base: Package, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shutil.copy(adapter, tmp_path / "Water 2.safetensors")
    assert fit(base.folder, path, [tmp_path / "none.tif"], tmp_path / "new") == ExitCode.USAGE
    assert "give one with --name" in capsys.readouterr().err


def test_how_scenes_are_read_does_not_go_with_the_collection(
    base: Package, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--package", base.folder, "--adapter", adapter, "--data", tmp_path, "--out", tmp_path / "new"]
    assert main([*map(str, command), "--sensor", "landsat8"]) == ExitCode.USAGE
    assert "--sensor does not go with --data" in capsys.readouterr().err


def test_the_bands_are_the_adapters_own_and_the_rest_is_the_bases(base: Package, adapter: Path) -> None:
    encoder = load_adapted_encoder(base.path("encoder.safetensors"), adapter)
    assert encoder.config == replace(CONFIG, bands=BANDS)
    assert not any(p.requires_grad for p in encoder.parameters())
    with pytest.raises(InputError, match="pixels do not fit the adapter"):
        encoder(torch.zeros(1, 3, 48, 48), torch.ones(1, 3), torch.ones(1, 48, 48))


def test_the_harness_runs_a_packages_adapter(root: Path, tmp_path: Path) -> None:
    """An adapted package is never scored by its base alone."""
    from codec.adapt.files import save_adapter
    from codec.adapt.tasks.encoders import open_encoder as task_encoder
    from codec.evaluate.__main__ import _margin
    from codec.evaluate.rate.encoders import open_encoder
    from codec.evaluate.rate.types import TileSet
    from codec.models.weights import load_encoder
    from codec.nec.encoders import open_masked
    from codec.package import refresh
    from tests.adapt.small_bases import kicked

    folder = Path(shutil.copytree(root / "models" / "rgb-small", tmp_path / "adapted"))
    weights = folder / "encoder.safetensors"
    adapted = apply(load_encoder(weights), "bitfit", BANDS)
    save_adapter(kicked(adapted, 0.2), folder / "adapter.safetensors", encoder_sha256=sha256_of(weights))
    refresh(folder)
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0.05, 0.4, (3, len(BANDS), 64, 64)).astype(np.float32)
    one = np.arange(3)
    tiles = TileSet(
        "made", BANDS, pixels, np.ones((3, len(BANDS)), bool), np.ones((3, 64, 64), bool), one,
        np.zeros((3, 2), np.int64), one,
    )  # fmt: skip
    found, plain = open_encoder(str(folder)), open_encoder("rgb-small")
    assert found.identity != plain.identity
    ones = torch.ones(3, len(BANDS)), torch.ones(3, 64, 64)
    with torch.no_grad():
        expected = load_adapted_encoder(weights, folder / "adapter.safetensors")(
            torch.from_numpy(pixels), *ones
        )
    tokens = found(tiles).values["tokens"]
    np.testing.assert_allclose(tokens, expected["tokens"].numpy(), atol=1e-5)
    assert np.abs(tokens - plain(tiles).values["tokens"]).max() > 0.01
    refused: tuple[tuple[Callable[..., object], tuple[Any, ...]], ...] = (
        (open_encoder, (str(weights),)),  # the base under the adapted package's name
        (task_encoder, (str(folder), None, None)),
        (partial(open_masked, root=folder), (str(folder),)),
        (_margin, (weights,)),
    )
    for command, arguments in refused:
        with pytest.raises(InputError, match="adapter"):
            command(*arguments)
