"""What `swathpack doctor` looks at. Each check runs what it speaks of rather than asking for a version only."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codec.package import Package

_ONBOARD, _GROUND, _TRAIN = (f"pip install 'swathpack[{extra}]'" for extra in ("onboard", "ground", "train"))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    ok: bool
    detail: str
    required: bool = False
    fix: str = ""  # what to do about it; empty when it is ok

    def line(self) -> str:
        mark = "ok  " if self.ok else ("FAIL" if self.required else "-   ")
        return f"{mark} {self.name:22} {self.detail}{'; ' + self.fix if self.fix else ''}"

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def diagnose(models: Sequence[Path] | None) -> list[Finding]:
    """All findings, in the order in which they are shown."""
    checks: list[tuple[str, bool, Callable[[], str], str]] = [
        ("entropy core", True, _core, "install swathpack again"),
        ("core is this source", True, _build_id, "install swathpack again"),
        ("python", False, lambda: f"{platform.python_version()} on {platform.platform()}", ""),
        ("numpy", True, lambda: version("numpy"), "pip install numpy"),
        ("rasters (GDAL)", False, _gdal, _ONBOARD),
        ("encoder engine", False, _onnxruntime, _ONBOARD),
        ("TensorRT", False, _tensorrt, "needed only where engines are built for a GPU"),
        ("signatures", False, lambda: f"cryptography {version('cryptography')}", _ONBOARD),
        ("station", False, lambda: f"pydantic {version('pydantic')}, pillow {version('pillow')}", _GROUND),
        ("training", False, lambda: f"torch {version('torch')}", _TRAIN),
    ]
    return [*(_try(*check) for check in checks), *_models(models)]


def _try(name: str, required: bool, check: Callable[[], str], fix: str) -> Finding:
    try:
        return Finding(name, True, check(), required)
    except PackageNotFoundError as error:
        return Finding(name, False, f"{error.name} is not installed", required, fix)
    except ModuleNotFoundError as error:
        return Finding(name, False, f"{(error.name or '').partition('.')[0]} is not installed", required, fix)
    except Exception as error:  # a diagnosis reports whatever breaks
        return Finding(name, False, f"{type(error).__name__}: {error}", required, fix)


def _core() -> str:
    import _swathpack_core as core

    if core.crc32c(b"123456789") != 0xE3069283:
        raise RuntimeError("CRC-32C gives a wrong value")
    return f"instruction set {core.isa()} of {', '.join(core.isas())}, build {core.build_id()[:12]}"


def _build_id() -> str:
    from codec.bitstream.core import check_build_id

    return check_build_id()


def _gdal() -> str:
    import rasterio

    with rasterio.Env() as env:
        drivers = env.drivers()
    wanted = ("GTiff", "COG", "JP2OpenJPEG", "netCDF")
    absent = [name for name in wanted if name not in drivers]
    return f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}" + (
        f", drivers missing: {' '.join(absent)}" if absent else ""
    )


def _onnxruntime() -> str:
    import onnxruntime as ort

    return f"onnxruntime {ort.__version__}, providers {' '.join(ort.get_available_providers())}"


def _tensorrt() -> str:
    import tensorrt

    return f"tensorrt {tensorrt.__version__}"


def _models(given: Sequence[Path] | None) -> Iterator[Finding]:
    """Every package found; places that were named and hold none; a failure when there is no package at all."""
    from codec.package import default_roots
    from codec.package.store import ENVIRONMENT

    named = [Path(part) for part in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if part]
    roots = dict.fromkeys(given or default_roots())
    folders = {root: _packages_in(root) for root in roots}
    for root, found in folders.items():
        if not found and (given or root in named):
            why = "no package in it" if root.is_dir() else "no such folder"
            yield Finding(f"models in {root}", False, why, fix=f"check --models and {ENVIRONMENT}")
    if not any(folders.values()):
        fix = f"name their folder in {ENVIRONMENT} or by --models"
        yield Finding("model packages", False, "none found", required=True, fix=fix)
    for found in folders.values():
        for folder in found:
            yield _model(folder)


def _packages_in(root: Path) -> list[Path]:
    if (root / "manifest.json").is_file():
        return [root]
    return sorted(p for p in root.iterdir() if (p / "manifest.json").is_file()) if root.is_dir() else []


def _model(folder: Path) -> Finding:
    """Load a package, hashes included, and run its encoder once where it has one and an engine is here."""
    from codec.errors import BackendUnavailable, SwathpackError
    from codec.package import load

    try:
        package = load(folder)
        name = f"model {package.name}"
        detail = f"codec {package.codec_id.hex()}, {len(package.bands)} bands, {folder}"
        if "encoder.onnx" not in package.manifest.files:
            return Finding(name, True, f"{detail}, no encoder: decodes only")
        try:
            return Finding(name, True, f"{detail}, encoder runs on {_run_encoder(package)}")
        except BackendUnavailable as error:
            return Finding(name, True, f"{detail}, encoder not tried: {error.what}")
    except (SwathpackError, OSError) as error:
        return Finding(f"model {folder.name}", False, str(error), required=True)


def _run_encoder(package: Package) -> str:
    import numpy as np

    from onboard.engine import check_finite
    from onboard.engine_package import engine_for

    engine = engine_for(package, threads=1)
    bands, rows, cols = engine.input_shape
    latents = engine.run(
        np.zeros((1, bands, rows, cols), np.float32),
        np.ones((1, bands), np.float32),
        np.ones((1, rows, cols), np.float32),
    )
    check_finite(latents)
    return f"{engine.info.backend} {engine.info.version}"
