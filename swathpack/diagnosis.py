"""What `swathpack doctor` looks at. Each check runs what it speaks of rather than asking for a version only."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    ok: bool
    detail: str
    required: bool = False

    def line(self) -> str:
        mark = "ok  " if self.ok else ("FAIL" if self.required else "-   ")
        return f"{mark} {self.name:22} {self.detail}"

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def diagnose(models: Sequence[Path] | None) -> list[Finding]:
    """All findings, required ones first."""
    checks: list[tuple[str, bool, Callable[[], str]]] = [
        ("entropy core", True, _core),
        ("core is this source", True, _build_id),
        ("python", False, lambda: f"{platform.python_version()} on {platform.platform()}"),
        ("numpy", True, lambda: version("numpy")),
        ("rasters (GDAL)", False, _gdal),
        ("encoder engine", False, _onnxruntime),
        ("TensorRT", False, _tensorrt),
        ("signatures", False, lambda: f"cryptography {version('cryptography')}"),
        ("pictures", False, lambda: f"pillow {version('pillow')}"),
        ("training", False, lambda: f"torch {version('torch')}"),
    ]
    findings = [_try(name, required, check) for name, required, check in checks]
    return [*findings, *_models(models)]


def _try(name: str, required: bool, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check(), required)
    except PackageNotFoundError as error:
        return Finding(name, False, f"{error.name} is not installed", required)
    except Exception as error:  # a diagnosis reports whatever breaks
        return Finding(name, False, f"{type(error).__name__}: {error}", required)


def _core() -> str:
    import _swathpack_core as core

    if core.crc32c(b"123456789") != 0xE3069283:
        raise RuntimeError("CRC-32C gives a wrong value; reinstall swathpack")
    return f"instruction set {core.isa()}, build {core.build_id()[:12]}"


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
    try:
        import tensorrt
    except ImportError:
        raise PackageNotFoundError("tensorrt") from None
    return f"tensorrt {tensorrt.__version__}"


def _models(roots: Sequence[Path] | None) -> Iterator[Finding]:
    from codec.errors import SwathpackError
    from codec.package import default_roots, load

    folders = [
        folder
        for root in (roots or default_roots())
        if root.is_dir()
        for folder in sorted(root.iterdir())
        if (folder / "manifest.json").is_file()
    ]
    if not folders:
        yield Finding(
            "model packages", False, "none found; set SWATHPACK_MODELS or give --models", required=True
        )
    for folder in folders:
        try:
            package = load(folder)
        except SwathpackError as error:
            yield Finding(f"model {folder.name}", False, str(error), required=True)
        else:
            yield Finding(
                f"model {package.name}", True, f"codec {package.codec_id.hex()}, {len(package.bands)} bands"
            )
