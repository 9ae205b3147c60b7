"""A whole `.nec` file as packets: what is sent, in which order, and how well the packets are filled."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codec.bitstream.core import rs_encode
from codec.bitstream.header import FileHeader
from codec.bitstream.scan import scan
from codec.errors import InputError
from codec.link.layout import SymbolGroup, check_number_of_blocks, coded_blocks
from codec.link.order import sending_order
from codec.link.packet import (
    DEFAULT_APID,
    MAX_APID,
    MAX_BLOCK_BYTES,
    MAX_BODY,
    MAX_SYMBOLS,
    SEQUENCE_MODULUS,
    Code,
    Fec,
    LinkPacket,
    block_check,
    build_packet,
)
from codec.link.uncoded import uncoded_blocks
from codec.types import Packet, RecordKind

DEFAULT_PAYLOAD = 960
MIN_PAYLOAD = 64
HIGHEST_CLASS = 3

# Repair symbols per source symbol and layer class (docs/link.md §7.3). Classes 1–3: P(block lost) < 10⁻⁶ at 10 % loss from
# k = 32 on, 10 % from k = 64, 5 % from k = 64. Class 0, without which a tile is missing: 20 % from k = 32 on, and all
# source symbols lost with the first fifth of a pass, and a fifth of the repair symbols besides.
REPAIR_RATIO: Mapping[int, float] = {0: 1.25, 1: 0.53, 2: 0.39, 3: 0.25}
FEWEST_REPAIR: Mapping[int, int] = {
    0: 2
}  # layer 0 of a small scene is one symbol: two more chances; others one


@dataclass(frozen=True, slots=True)
class Fill:
    """How full source packets are: used bytes of the payload, as shares of 1."""

    mean: float
    histogram: tuple[int, ...]  # packets by tenths: [0, 0.1), … [0.9, 1]


@dataclass(frozen=True, slots=True)
class Transmission:
    """One file, ready to send."""

    packets: tuple[Packet, ...]  # in sending order
    n_source: int
    n_repair: int
    n_records: int
    fill: Fill
    gaps: tuple[
        tuple[int, int], ...
    ]  # first and last byte of stretches of the file that hold no intact record

    @property
    def n_bytes(self) -> int:
        """Bytes on the link, primary headers included."""
        return sum(len(p.data) for p in self.packets)


def packetise(
    data: bytes,
    *,
    apid: int = DEFAULT_APID,
    payload: int = DEFAULT_PAYLOAD,
    fec: Fec | str = Fec.RS,
    repair: Mapping[int, float] | None = None,
    sequence_start: int = 0,
) -> Iterator[Packet]:
    """The packets of a whole `.nec` file, sealed or not, in sending order; see `transmission`."""
    return iter(
        transmission(
            data, apid=apid, payload=payload, fec=fec, repair=repair, sequence_start=sequence_start
        ).packets
    )


def transmission(
    data: bytes,
    *,
    apid: int = DEFAULT_APID,
    payload: int = DEFAULT_PAYLOAD,
    fec: Fec | str = Fec.RS,
    repair: Mapping[int, float] | None = None,
    sequence_start: int = 0,
) -> Transmission:
    """Packets of a whole `.nec` file, and what there is to say of them.

    `payload` is the largest symbol in bytes, `repair` gives repair symbols per source symbol by layer class (0…3) and
    replaces the default of those it names. Every intact record is sent; damaged stretches are in `gaps`.
    Raises the header's errors (codec.bitstream), and InputError for arguments out of range or a record that no
    block can hold.
    """
    fec = _checked(apid, payload, fec, sequence_start)
    ratios = _ratios(repair)
    data = bytes(data)
    header, length = FileHeader.decode(data)
    found = scan(data)
    spans = [(record.offset, len(record.data)) for record in found.records]
    # Records that this version may not use are intact all the same: the receiver's may be newer.
    spans += [(record.offset, record.size) for record in found.refused]
    records = [data[offset : offset + size] for offset, size in sorted(spans)]
    classes = _by_class(records)
    if fec is Fec.RS:
        most = min(MAX_SYMBOLS - 1, MAX_BLOCK_BYTES // payload)
        groups = [coded_blocks(data[:length], members, payload, most) for members in classes.values()]
    else:
        most = min(MAX_SYMBOLS, MAX_BLOCK_BYTES // payload)
        groups = uncoded_blocks(data[:length], list(classes.values()), payload, most)
    source: list[list[list[LinkPacket]]] = []
    repairs: list[list[list[LinkPacket]]] = []
    for layer_class, blocks in zip(classes, groups, strict=True):
        check_number_of_blocks(blocks)
        pairs = [
            _block_packets(
                header.file_id, layer_class, number, block, ratios[layer_class] if fec is Fec.RS else None
            )
            for number, block in enumerate(blocks)
        ]
        source.append([s for s, _ in pairs])
        repairs.append([r for _, r in pairs])
    if fec is Fec.RS:
        order = sending_order(source, repairs)
    else:
        order = [packet for blocks_ in source for block_ in blocks_ for packet in block_]
    used = [len(p.body) for p in order if p.is_source]
    return Transmission(
        packets=tuple(
            build_packet(replace(p, apid=apid, sequence=(sequence_start + i) % SEQUENCE_MODULUS))
            for i, p in enumerate(order)
        ),
        n_source=len(used),
        n_repair=len(order) - len(used),
        n_records=len(records),
        fill=_fill(used, payload),
        gaps=tuple((gap.first, gap.last) for gap in found.gaps),
    )


def _checked(apid: int, payload: int, fec: Fec | str, sequence_start: int) -> Fec:
    if not 0 <= apid <= MAX_APID:
        raise InputError(f"an APID lies in 0 to {MAX_APID}", found=apid)
    if not MIN_PAYLOAD <= payload <= MAX_BODY:
        raise InputError(f"the payload of a packet lies in {MIN_PAYLOAD} to {MAX_BODY} bytes", found=payload)
    if sequence_start < 0:
        raise InputError("a sequence count is not negative", found=sequence_start)
    try:
        return Fec(fec)
    except ValueError:
        raise InputError(
            "an unknown erasure code", expected=" or ".join(f.value for f in Fec), found=fec
        ) from None


def _ratios(repair: Mapping[int, float] | None) -> dict[int, float]:
    ratios = {**REPAIR_RATIO, **(repair or {})}
    for layer_class, ratio in ratios.items():
        if layer_class not in REPAIR_RATIO:
            raise InputError(f"layer classes are 0 to {HIGHEST_CLASS}", found=layer_class)
        if not 0.0 <= ratio <= MAX_SYMBOLS:
            raise InputError(
                f"the repair ratio of class {layer_class} lies in 0 to {MAX_SYMBOLS}", found=ratio
            )
    return ratios


def _by_class(records: Sequence[bytes]) -> dict[int, list[bytes]]:
    """Layer class → its records in file order, classes ascending; class 0 alone when there are no records."""
    layers = {i: min(r[0] >> 6 | (r[1] & 3) << 2, HIGHEST_CLASS) for i, r in enumerate(records)}
    fixed = {RecordKind.TABLES: 0, RecordKind.SEAL: 0}
    coefficients = (RecordKind.COEFFICIENTS, RecordKind.COMPACT)
    fixed[RecordKind.INDEX] = max(
        (layers[i] for i, r in enumerate(records) if r[0] & 7 in coefficients), default=0
    )
    classes: dict[int, list[bytes]] = {}
    for i, record in enumerate(records):
        kind = record[0] & 7
        layer_class = fixed[RecordKind(kind)] if kind in set(fixed) else layers[i]
        classes.setdefault(layer_class, []).append(record)
    return dict(sorted(classes.items())) or {0: []}


def repair_count(layer_class: int, k: int, ratio: float) -> int:
    """Repair symbols of a block of k source symbols (docs/link.md §7.3)."""
    fewest = max(1, FEWEST_REPAIR.get(layer_class, 1))
    return min(MAX_SYMBOLS - k, max(fewest, math.ceil(ratio * k)))


def _block_packets(
    file_id: bytes, layer_class: int, number: int, block: SymbolGroup, ratio: float | None
) -> tuple[list[LinkPacket], list[LinkPacket]]:
    """Source and repair packets of one block; `ratio` None: no erasure code."""
    k, size = len(block.symbols), block.symbol_size
    r = 0 if ratio is None else repair_count(layer_class, k, ratio)
    padded = b"".join(bytes(s.data).ljust(size, b"\0") for s in block.symbols)
    check = block_check(padded, k, r, size)
    code = Code.NONE if ratio is None else Code.CAUCHY_RS

    def packet(index: int, body: bytes, first_item: int) -> LinkPacket:
        return LinkPacket(file_id, layer_class, number, index, k, r, size, check, body, first_item, code)

    source = [packet(i, bytes(s.data), s.first_item) for i, s in enumerate(block.symbols)]
    if ratio is None:
        return source, []
    coded = rs_encode(np.frombuffer(padded, dtype=np.uint8).reshape(k, size), r)
    return source, [packet(k + i, symbol.tobytes(), 0) for i, symbol in enumerate(coded)]


def _fill(used: Sequence[int], payload: int) -> Fill:
    shares = np.array(used, dtype=np.float64) / payload
    tenths = np.minimum((shares * 10).astype(np.int64), 9)
    return Fill(float(shares.mean()), tuple(np.bincount(tenths, minlength=10).tolist()))
