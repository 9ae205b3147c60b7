"""From a trained encoder to a model package: embed the training windows, fit the codec, build the package."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codec.atomic import write_atomic
from codec.data.readers import read_source
from codec.errors import InputError
from codec.models.bands import RGB_BANDS, S2_NANO_BANDS
from codec.models.inference import Embeds, embed
from codec.models.vit import Encoder
from codec.models.weights import load_encoder
from codec.package import Package, TileLayout, build
from codec.pretrain.recipe import Recipe
from codec.pretrain.student import Student
from codec.pretrain.views import SOURCE_WEIGHTS
from codec.pretrain.windows import CodecWindows, codec_tiles, training_tiles
from codec.transform.fit import DEFAULT_BYTES, FittedCodec, fit_planes
from codec.transform.layout import STREAM_BASE_BYTES, PlaneLayout, stream_layout
from codec.types import FloatArray, Tile

# Training windows by the bands of the encoder, and in how many orientations.
CODEC_SOURCES: dict[tuple[str, ...], tuple[tuple[str, ...], int]] = {
    S2_NANO_BANDS: (
        ("eurosat", "terramind", "sen1floods11", "lahinch", "beaufort", "landsat7", "cloud38", "naip"),
        4,
    ),
    RGB_BANDS: (("ucmerced", "dubai", "naip", "eurosat", "terramind", "cloud38"), 1),
}
# What the codec is fitted on. Chosen on windows outside training (`benchmarks.nec_ingredients --part bands`): zoomed
# windows, windows without some of their bands, and more views of the same places all cost bytes or save none.
CODEC_WINDOWS: dict[tuple[str, ...], CodecWindows] = {
    S2_NANO_BANDS: CodecWindows(
        ("eurosat", "terramind", "sen1floods11", "lahinch"), 8, ("beaufort", "cloud38", "landsat7", "naip")
    ),
    RGB_BANDS: CodecWindows(
        ("ucmerced", "dubai", "naip", "eurosat", "terramind", "cloud38"), 1, most_home=1500
    ),
}
# The name of what `Encoder.normalise` does; part of the space ids, so a change of constants needs a new name.
PREPROCESSING = "reflectance-by-band-name-1"
DATA_OF_SOURCE = {
    "eurosat": {"name": "EuroSAT multispectral (train split, 258 tiles)", "licence": "MIT"},
    "terramind": {"name": "TerraMind example places (two)", "licence": "Apache-2.0"},
    "sen1floods11": {"name": "Sen1Floods11 chip Spain_7370579, columns 0-319", "licence": "not stated"},
    "lahinch": {"name": "Sentinel-2 series of Lahinch (two dates)", "licence": "not stated"},
    "beaufort": {"name": "Sentinel-2 scene of Beaufort, 8-bit export", "licence": "CC-BY-SA-3.0"},
    "landsat7": {"name": "Landsat 7 Chiapas (two dates)", "licence": "CC-BY-SA-3.0"},
    "cloud38": {"name": "38-Cloud (four Landsat 8 patches)", "licence": "not stated"},
    "naip": {"name": "NAIP prairie (three dates)", "licence": "MIT repository, public-domain imagery"},
    "ucmerced": {"name": "UC Merced (train split)", "licence": "public-domain imagery"},
    "dubai": {"name": "Dubai aerial scenes (train tiles)", "licence": "not stated"},
}
TEACHER_LABELS = {"name": "labels of the views: Galileo nano", "licence": "MIT"}


def open_encoder(path: Path | None) -> Encoder:
    """An encoder file, a training checkpoint, or (None) a random twin of fixed seed."""
    if path is None:
        torch.manual_seed(0)
        return Encoder().eval()
    if Path(path).suffix != ".pt":
        return load_encoder(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    student = Student(Recipe.model_validate(state["recipe"]), int(state["teacher_width"]))
    student.load_state_dict(state["student"])
    return student.encoder.eval().requires_grad_(False)


def embed_training_windows(encoder: Encoder, data: Path, seed: int) -> dict[str, FloatArray]:
    """Planes of all training windows, N×h×w×C, and `token_validity` N×h×w (at least half of the pixels
    measured).
    """
    if encoder.config.bands not in CODEC_SOURCES:
        raise InputError(
            "no codec is fitted for these bands", expected="those of s2 or rgb", found=encoder.config.bands
        )
    sources, turns = CODEC_SOURCES[encoder.config.bands]
    images = {name: read_source(name, data, "train") for name in sources}
    config = encoder.config
    return embedded(encoder, training_tiles(images, config.bands, seed=seed, tile=config.tile, turns=turns))


def embed_codec_windows(
    encoder: Encoder, data: Path, seed: int, plan: CodecWindows | None = None
) -> dict[str, FloatArray]:
    """The same of the windows that a codec is fitted on: of `plan`, or of what is planned for the encoder's bands."""
    config = encoder.config
    if plan is None:
        if config.bands not in CODEC_WINDOWS:
            raise InputError(
                "no codec is fitted for these bands", expected="those of s2 or rgb", found=config.bands
            )
        plan = CODEC_WINDOWS[config.bands]
    images = {name: read_source(name, data, "train") for name in plan.sources}
    return embedded(encoder, codec_tiles(images, config.bands, plan, seed=seed, tile=config.tile))


def embedded(encoder: Embeds, tiles: Iterable[Tile]) -> dict[str, FloatArray]:
    """Planes of tiles, N×h×w×C, and `token_validity` N×h×w, as `embed_training_windows` gives them."""
    side, patch, validity = encoder.config.side, encoder.config.patch, []

    def seen() -> Iterator[Tile]:
        for tile in tiles:
            share = tile.validity.reshape(side, patch, side, patch).mean((1, 3))
            validity.append(share >= 0.5)
            yield tile

    planes = embed(encoder, seen())
    return {**planes, "token_validity": np.stack(validity)}


def fit_embedded(
    planes: Mapping[str, FloatArray], *, refinements: int = 0, freeze: bool = True
) -> FittedCodec:
    """The codec of a package from what `embedded` gives; without `token_validity` all tokens count.

    `refinements` as in `fit_package`; `freeze` and errors as in `codec.transform.fit.fit_planes`.
    """
    names = ("tokens", "spectral")
    valid = planes.get("token_validity")
    return fit_planes(
        {name: planes[name] for name in names},
        validity=None if valid is None else dict.fromkeys(names, valid.astype(np.bool_)),
        # Patch means have no position code; a mean per position would only be the noise of the training places.
        layouts={
            "tokens": stream_layout(refinements) if refinements else PlaneLayout(),
            "spectral": PlaneLayout(position_mean=False, n_layers=3),
        },
        default_bytes=STREAM_BASE_BYTES if refinements else DEFAULT_BYTES,
        freeze=freeze,
    )


def fit_package(
    folder: Path,
    data: Path,
    *,
    seed: int = 0,
    keep: Path | None = None,
    run: Path | None = None,
    refinements: int = 0,
) -> Package:
    """Fit the codec of the encoder in `folder` and write the package around it (tables, transform, manifest).

    The package is named after its folder. `keep`, if given, gets what was fitted as .npz; `run` is the run.json of
    the encoder's training, whose sources and energy go into the manifest. Heads are fitted afterwards
    (`python -m codec.heads fit`). `refinements` > 0 makes it a package for streams that serve many rates (bitstream §8.4):
    so many planes refine the tokens, two of them their mean too, and the default quality is what comes before them.
    """
    report = {} if run is None else read_report(run)
    encoder = load_encoder(folder / "encoder.safetensors")
    planes = embed_codec_windows(encoder, data, seed)
    if keep is not None:
        save_planes(keep, planes)
    fitted = fit_embedded(planes, refinements=refinements)
    config = encoder.config
    return build(
        folder,
        name=folder.resolve().name,
        version="0.4.1",
        licence="Apache-2.0",
        bands=config.bands,
        preprocessing=PREPROCESSING,
        tile=TileLayout(config.tile, 0, config.patch),
        codec=fitted,
        training_data=training_data(report, config.bands),
        energy=energy_entry(report),
    )


def read_report(path: Path) -> dict[str, Any]:
    """A `run.json`; raises InputError for anything else."""
    try:
        report = json.loads(Path(path).read_text())
        return {
            "weights": report["recipe"]["pool"]["weights"],
            **{k: report[k] for k in ("energy", "device", "samples")},
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"not the report of a training run: {error}", path=path, fix="give its run.json"
        ) from error


def training_data(report: Mapping[str, Any], bands: tuple[str, ...]) -> list[dict[str, str]]:
    """What the manifest says of the data: sources of the run's views, if its report is there, and those of the codec."""
    views = list(report["weights"] or SOURCE_WEIGHTS) if report else []
    labels = [TEACHER_LABELS] if report else []
    return [
        *(DATA_OF_SOURCE[name] for name in dict.fromkeys([*views, *CODEC_WINDOWS[bands].sources])),
        *labels,
    ]


def energy_entry(report: Mapping[str, Any]) -> dict[str, Any]:
    """Energy for a manifest, which holds integers and text only: thousandths where the unit would be too coarse."""
    if not report:
        return {}
    energy = report["energy"]
    return {
        "basis": energy["basis"],
        "device": report["device"],
        "samples": int(report["samples"]),
        "cpu_seconds": round(energy["cpu_s"]),
        "wall_seconds": round(energy["wall_s"]),
        "milliwatt_hours": round(energy["kwh"] * 1e6),
        "milligrams_co2e": round(energy["kg_co2e"] * 1e6),
        "grams_co2e_per_kwh": round(energy["kg_co2e_per_kwh"] * 1e3),
    }


def save_planes(path: Path, planes: dict[str, FloatArray]) -> None:
    """Write planes as .npz, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **planes)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())
