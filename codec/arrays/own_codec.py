"""A codec fitted to one array alone, which travels in the array's own file (bitstream §4.5)."""

from __future__ import annotations

import hashlib

from codec.arrays.fitting import fit_job
from codec.arrays.frame import NO_PLACE, SENSOR, Embedded
from codec.arrays.job import Job
from codec.bitstream.header import FLAG_EMBEDDED_TABLES, FLAG_EMBEDDED_TRANSFORM, FileHeader
from codec.package import Package, arrays, identity
from codec.pipeline.contained import package_of, plane_name, space_id
from codec.transform.fit import FittedCodec
from codec.types import PlaneSpec


def own_package(job: Job, seed: int, bytes_per_vector: float | None) -> tuple[Package, Embedded]:
    """A codec fitted to this array alone, as a package in memory and as what the file carries."""
    names = plane_name(0), plane_name(1)
    bits = 2.0 if bytes_per_vector is None else 8 * bytes_per_vector / job.about.channels
    codec = fit_job(job, seed=seed, bits=min(32.0, max(bits, 0.01)), planes=names, alone=True)
    embedded = Embedded(codec.tables_bytes, arrays.encode(codec.transforms, codec.liftings))
    header = FileHeader(
        sensor=SENSOR, codec_id=_codec_id(embedded), grid=job.source.grid, georeference=NO_PLACE,
        planes=_specs(codec), ladder_index=codec.default_ladder_index,
        flags=FLAG_EMBEDDED_TABLES | FLAG_EMBEDDED_TRANSFORM,
    )  # fmt: skip
    return package_of(header, embedded.tables, embedded.transform), embedded


def _codec_id(embedded: Embedded) -> bytes:
    tables, transform = (hashlib.sha256(data).hexdigest() for data in (embedded.tables, embedded.transform))
    return identity.codec_id(tables_sha256=tables, transform_sha256=transform)


def _specs(codec: FittedCodec) -> tuple[PlaneSpec, ...]:
    return tuple(
        PlaneSpec(m.rows, m.cols, m.channels, len(m.layer_shift), m.kind, space_id(number))
        for number, m in enumerate(codec.tables.planes)
    )
