"""What tests of uplink packs share."""

from __future__ import annotations

import hashlib
import shutil
from functools import lru_cache
from pathlib import Path

import numpy as np

from codec.adapt import uplink, uplink_body
from codec.adapt.uplink_body import Body, Data, NewFile
from codec.adapt.uplink_streams import Stream
from codec.adapt.uplink_views import bases
from codec.package import Package, refresh
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.layout import PlaneLayout
from tests.transform.synthetic_embeddings import embeddings, spectral


@lru_cache(maxsize=1)
def other_codec() -> FittedCodec:
    return fit_planes(
        {"tokens": embeddings(300), "spectral": spectral(300)},
        layouts={
            "tokens": PlaneLayout(n_layers=4),
            "spectral": PlaneLayout(position_mean=False, n_layers=2, dc_shift=-4),
        },
        default_bytes=60.0,
        layer_bytes=150.0,
    )


def write_graph(package: Package, folder: Path) -> None:
    """Bytes as of an encoder: weights that stay, and the transform between them."""
    weights = np.random.default_rng(0).standard_normal(5000).astype("<f4").tobytes()
    parts = [part for t in package.transforms.values() for part in (t.mean.tobytes(), bases(t).tobytes())]
    (folder / "encoder.onnx").write_bytes(weights + b"node ".join(parts) + weights[::-1])


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def base_with_tables(base: Package, folder: Path) -> Package:
    shutil.copytree(base.folder, folder)
    (folder / "tables.bin").write_bytes(other_codec().tables_bytes)
    return refresh(folder)


def with_files(pack: uplink.Pack, *files: NewFile, small: bytes | None = None) -> bytes:
    body = pack.parsed
    stream = body.small if small is None else Stream(len(small), "none", "stored", small)
    return uplink_body.encode(Body(body.base, body.result, stream, files))


def literal(path: str, data: bytes) -> NewFile:
    digest = hashlib.sha256(data).hexdigest()
    return NewFile(path, len(data), digest, (Data(Stream(len(data), "none", "stored", data)),))
