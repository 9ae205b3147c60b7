"""Latents of one scene → a whole `.nec` file."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.bitstream import tables_records
from codec.bitstream.backends import DEFAULT
from codec.bitstream.coefficients import encode_file_records
from codec.bitstream.extensions import Extension, mean_vector_extension, source_name_extension
from codec.bitstream.grouping import LINK_TARGET
from codec.bitstream.header import FLAG_EMBEDDED_TABLES, FileHeader
from codec.bitstream.record import OVERHEAD
from codec.bitstream.scan import INDEX_ENTRY, SEAL
from codec.bitstream.writer import ENTRIES_PER_PART, NecWriter
from codec.errors import InputError
from codec.package import Package
from codec.pipeline.digits import chain_symbols, check_digits, in_order
from codec.pipeline.mixing import Mixer
from codec.pipeline.quantising import Mean, Quantiser, check_reach, chosen_mean
from codec.pipeline.sources import Source, codable, sources
from codec.transform.budget import at_most_one, check_amount, check_count, check_importance
from codec.transform.rdo import check_tradeoff
from codec.types import Georeference, Latent, Record, TileGrid


def encode(
    package: Package,
    latents: Sequence[Latent],
    *,
    grid: TileGrid,
    georeference: Georeference,
    sensor: str,
    band_mask: int,
    time_us: int,
    ladder_index: int | None = None,
    bytes_per_tile: float | None = None,
    total_bytes: int | None = None,
    importance: npt.ArrayLike | None = None,
    target_bytes: int = LINK_TARGET,
    run: int = 0,
    source_name: str = "",
    file_mean: bool | None = None,
    digits: int | None = None,
    tradeoff: float = 0.0,
    embed_tables: bool = False,
    index: bool = True,
    seal: bool = True,
    backend: str = DEFAULT,
) -> bytes:
    """The bytes of a `.nec` file of one scene.

    `latents` has every plane of the package once (values N×C×F as the transform or the engine gives them, token
    validity N×h×w). Tiles without a valid token of their own are masked; unknown tokens of the others are filled. Tiles that
    `codec.pipeline.sources.codable` finds unusable (latents that are not finite, or beyond every quality) are masked like
    those that were not measured, with a Python warning that counts them.

    Quality: `ladder_index`, or a budget: `total_bytes` of the whole file, or `bytes_per_tile`, of the coefficient records
    over the tiles that are coded; else the package's default. A budget is spent by mixing two neighbouring ladder indices
    record by record (`codec.pipeline.mixing`), tiles of greater `importance` (N numbers ≥ 0) finer first; never exceeded,
    and from some 4 KiB or 16 records on spent to 98 % at least, unless the finest quality that holds all latents takes less.

    `target_bytes` is the size that records approach. `file_mean` sends the scene's mean vector in the header; None does
    so when that saves bytes. `tradeoff` > 0 chooses symbols above layer 0 by rate and distortion (`codec.transform.rdo`)
    instead of rounding: fewer bytes and a larger error at one index, to be had again at a finer one. `digits`: how many of
    the planes that refine each plane are sent (None: all; with a budget none).

    Equal arguments give equal bytes. Raises InputError for latents that do not fit, that are unusable in all tiles with
    data, or that lie so far out that the quality asked for would clamp them; for a grid with another core than the
    package's, arguments that are no such numbers, and for a budget that cannot be met, saying what the least is.
    """
    at_most_one(ladder_index=ladder_index, bytes_per_tile=bytes_per_tile, total_bytes=total_bytes)
    tradeoff = check_tradeoff(tradeoff)
    target_bytes = check_count(target_bytes, "target_bytes", OVERHEAD + 1)
    if ladder_index is not None:
        ladder_index = check_count(ladder_index, "ladder_index")
    digits = check_digits(package, digits)
    latents, unusable = codable(package, latents, grid)
    if unusable.any():
        warnings.warn(
            f"{int(unusable.sum())} of {grid.n_tiles} tiles have latents that are not finite, or beyond all that can be "
            "coded: they are marked invalid",
            stacklevel=2,
        )
    planes = sources(package, latents, grid)
    if check_count(band_mask, "band_mask") >> len(package.bands):
        raise InputError(
            "the band mask names bands that the package does not have",
            expected=f"{len(package.bands)} bits",
            found=f"{band_mask:#x}",
        )

    def header(at: int, means: Sequence[Mean | None]) -> FileHeader:
        extensions: list[Extension] = [
            mean_vector_extension(number, mean.payload)
            for number, mean in enumerate(means)
            if mean is not None
        ]
        if source_name:
            extensions.append(source_name_extension(source_name))
        return FileHeader(
            sensor=sensor,
            codec_id=package.codec_id,
            grid=grid,
            georeference=georeference,
            planes=package.plane_specs,
            ladder_index=at,
            band_mask=band_mask,
            run=run,
            time_us=time_us,
            flags=FLAG_EMBEDDED_TABLES if embed_tables else 0,
            extensions=tuple(sorted(extensions, key=lambda extension: extension.number)),
        )

    tables = tables_records.split(package.table_file.encode()) if embed_tables else []
    budget = _budget(bytes_per_tile, total_bytes, planes)
    if budget is not None and digits:
        raise InputError(
            "a budget is spent on planes and not on those that refine them", found=f"{digits} digits",
            fix="give a ladder index, and cut the file where the bytes end",
        )  # fmt: skip
    if budget is None:
        if importance is not None:
            raise InputError(
                "the importance of tiles decides how a budget is spent, and there is none",
                fix="give total_bytes or bytes_per_tile too",
            )
        at = package.default_ladder_index if ladder_index is None else ladder_index
        means = [chosen_mean(package, plane, at, file_mean) for plane in planes]
        head = header(at, means)
        quantisers = [
            Quantiser(package, plane, at, mean, tradeoff) for plane, mean in zip(planes, means, strict=True)
        ]
        check_reach(quantisers)
        symbols = [each for quantiser in quantisers for each in chain_symbols(quantiser, grid, digits)]
        records = encode_file_records(
            package.tables, head, symbols, target_bytes=target_bytes, backend=backend
        )
        records = in_order(package, records, digits)
    else:
        weights = np.ones(grid.n_tiles) if importance is None else check_importance(importance, grid.n_tiles)

        def overhead(means: Sequence[Mean | None], n_records: int) -> int:
            if not budget.whole_file:
                return 0
            own = header(package.default_ladder_index, means).length + sum(len(r.data) for r in tables)
            return own + _closing_bytes(n_records + len(tables), index=index, seal=seal)

        mixer = Mixer(package, planes, grid, weights, overhead, target_bytes, file_mean, backend, tradeoff)
        filled = mixer.fill(budget.bytes, budget.tiles)
        head, records = header(filled.ladder_index, filled.means), filled.records
    return _file(head, [*tables, *records], index=index, seal=seal)


def _file(header: FileHeader, records: Sequence[Record], *, index: bool, seal: bool) -> bytes:
    out = io.BytesIO()
    with NecWriter(out, header, index=index, seal=seal) as writer:
        writer.extend(records)
    return out.getvalue()


@dataclass(frozen=True)
class _Budget:
    bytes: int
    whole_file: bool  # else of the coefficient records
    tiles: int = 1  # that messages divide it by


def _budget(
    bytes_per_tile: float | None, total_bytes: int | None, planes: Sequence[Source]
) -> _Budget | None:
    if total_bytes is not None:
        return _Budget(check_count(total_bytes, "total_bytes", 1), True)
    if bytes_per_tile is not None:
        n_coded = max(1, int(planes[0].coded.sum()))
        return _Budget(int(check_amount(bytes_per_tile, "bytes_per_tile") * n_coded), False, n_coded)
    return None


def _closing_bytes(n_records: int, *, index: bool, seal: bool) -> int:
    """Of the index and the seal behind so many records (bitstream §4.6)."""
    parts = -(-n_records // ENTRIES_PER_PART)
    return (parts * OVERHEAD + n_records * INDEX_ENTRY if index else 0) + (
        OVERHEAD + SEAL.size if seal else 0
    )
