"""A small model package with two planes, made from synthetic embeddings; fitted once per process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from codec.package import Package, build
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.layout import PlaneLayout
from tests.transform.synthetic_embeddings import embeddings, spectral

BANDS = ("blue", "green", "red", "nir")
CORE = 32  # pixels; patches of 4 make 8×8 tokens


@lru_cache(maxsize=1)
def small_codec() -> FittedCodec:
    return fit_planes(
        {"tokens": embeddings(400), "spectral": spectral(400)},
        layouts={
            "tokens": PlaneLayout(n_layers=4),
            "spectral": PlaneLayout(position_mean=False, n_layers=2, dc_shift=-4),
        },
        default_bytes=60.0,
        layer_bytes=150.0,
    )


def build_small(folder: Path, *, name: str = "small", weights: bytes = b"weights") -> Package:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "heads").mkdir(exist_ok=True)
    (folder / "encoder.safetensors").write_bytes(weights)
    (folder / "heads" / "water.onnx").write_bytes(b"not really a network")
    return build(
        folder,
        name=name,
        version="1.0",
        licence="Apache-2.0",
        bands=BANDS,
        preprocessing="reflectance-v0",
        tile={"core": CORE, "margin": 0, "patch": 4},
        codec=small_codec(),
        training_data=["synthetic fields"],
        energy={"wall_seconds": 3},
    )
