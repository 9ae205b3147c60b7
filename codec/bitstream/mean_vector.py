"""Extension 1: a mean vector that is added to layer 0 of every tile of a plane (bitstream §3.3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codec.bitstream import backends, core
from codec.bitstream import record as rec
from codec.bitstream.core import TableSet
from codec.bitstream.header import FileHeader
from codec.errors import Corrupt, InputError, LimitExceeded
from codec.types import RecordHeader, RecordKind, SymbolArray

_MASK_BITS, _RESERVED_BITS = 0b11, 0b111 << 5  # of the form


def encode(
    tables: TableSet, plane: int, ladder_index: int, symbols: SymbolArray, *, backend: str = backends.DEFAULT
) -> bytes:
    """Payload of the mean vector: form, and a record of one virtual tile without its header and CRC.

    `symbols` is C×F int16 at the step of layer 0; only coefficients of layer 0 are sent. Pass the result to
    `extensions.mean_vector_extension`. Raises InputError.
    """
    if symbols.ndim != 2:
        raise InputError("a mean vector has the axes channels × frequencies", found=f"{symbols.ndim} axes")
    nothing_masked = np.zeros((1, symbols.shape[1]), dtype=bool)
    (record,) = backends.load(backend).encode_records(
        tables, np.array([rec.pack_fields(_virtual_tile(plane))], dtype=np.uint64), ladder_index,
        np.ascontiguousarray(symbols[None]), np.zeros(1, dtype=bool), nothing_masked, nothing_masked,
    )  # fmt: skip
    header = rec.parse(record).header  # one lane, no masks: the record is compact
    return bytes([header.state_form << 2]) + record[rec.HEADER_SIZE : -rec.CRC_SIZE]


def decode(
    tables: TableSet, header: FileHeader, *, path: object = None, backend: str = backends.DEFAULT
) -> dict[int, SymbolArray]:
    """Mean vectors of the header: plane → symbols C×F (value = symbol × step of layer 0, without points).

    Raises Corrupt, for the whole file: without its mean no tile of the plane has a meaning.
    """
    found = {}
    for plane, payload in header.mean_vector_payloads.items():
        layout = core.plane_layout(tables, plane)
        n_frequencies = int(layout["rows"]) * int(layout["cols"])
        values = np.zeros((1, int(layout["channels"]), n_frequencies), dtype=np.int16)
        if payload[0] & _MASK_BITS:
            raise Corrupt(f"the mean vector of plane {plane} has masks", path=path)
        if payload[0] & _RESERVED_BITS or len(payload) < 2:
            raise Corrupt(
                f"the mean vector of plane {plane} has no legal form, or nothing behind it", path=path
            )
        header_of_form = replace(
            _virtual_tile(plane), kind=RecordKind.COMPACT, state_form=payload[0] >> 2 & rec.MAX_STATE_FORM
        )
        record = rec.build(header_of_form, payload[1:])
        (refusal,) = backends.load(backend).decode_records(
            tables, [record.data], header.ladder_index, 1, np.zeros((1, n_frequencies), dtype=bool), values,
            np.zeros((1, n_frequencies), dtype=bool), np.zeros(1, dtype=np.uint16), plane,
        )  # fmt: skip
        if refusal is not None:
            kind, what, _ = refusal
            raise (LimitExceeded if kind == LimitExceeded.kind else Corrupt)(
                f"the mean vector of plane {plane}: {what}", path=path
            )
        found[plane] = values[0]
    return found


def _virtual_tile(plane: int) -> RecordHeader:
    return RecordHeader(RecordKind.COEFFICIENTS, plane, 0, 0, 0, 0, 1, 1)
