"""One file's pieces to its state and its products: assemble → decode → heads → products.

A function of the set of pieces and of the packages at hand. It reads the spool and changes nothing, so it may run beside
the loop that receives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codec import pipeline
from codec.bitstream import backends
from codec.bitstream.backends import DEFAULT
from codec.bitstream.header import FileHeader
from codec.bitstream.scan import SEAL, scan
from codec.errors import IdentityError, SwathpackError, TryAgain
from codec.link import Limits, assemble
from codec.nec.refinement.session import DECODER, OnnxRefinement, refinement_of
from codec.package import Package, find
from codec.types import Product, RecordKind
from ground import preview, products, report
from ground.drift import drift_part
from ground.heads import Head, load_heads
from ground.ledger import FileRow, State
from ground.spool import Place, Spool

# What a link receiver holds of one file; a machine on the ground has more room than the link's default.
_LIMITS = Limits(file_bytes=1 << 30, total_bytes=1 << 30)
_NO_REFINEMENT = f"not refined: the package has no {DECODER}"
_USED = frozenset({RecordKind.COEFFICIENTS, RecordKind.COMPACT, RecordKind.TABLES})


@dataclass(frozen=True, slots=True)
class Refinement:
    """What came of one look at a file. `row` has the new state; `products` is empty when nothing is to be published."""

    row: FileRow
    complete: bool = False
    inputs: str = ""  # name of the version: hash of all that the products are made from
    products: tuple[Product, ...] = ()


@dataclass(slots=True)
class _Pieces:
    """A file's pieces, put together."""

    header: FileHeader | None
    records: set[bytes]  # complete records of every kind
    link: dict[str, Any]

    @property
    def used(self) -> list[bytes]:
        return sorted(record for record in self.records if record[0] & 7 in _USED)

    @property
    def is_whole(self) -> bool:
        """A seal is there, and as many records as the largest one counts."""
        seals = [
            record
            for record in self.records
            if record[0] & 7 == RecordKind.SEAL and len(record) == 12 + SEAL.size
        ]
        counts = [SEAL.unpack_from(seal, 8)[0] for seal in seals]
        return bool(counts) and max(counts) <= len(self.records) - len(seals)


class Refiner:
    """Keeps loaded packages between files. `roots` None: the default places. `refine`: run packages' decoder.onnx.
    `coder`: the entropy back end. Raises BackendUnavailable where that cannot be used.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        roots: Sequence[Path] | None,
        embeddings: bool,
        refine: bool = False,
        coder: str = DEFAULT,
    ) -> None:
        self._spool = spool
        self._roots = roots
        self._embeddings = embeddings
        self._refine = refine
        backends.load(coder)  # refused now, not with the first file
        self._coder = coder
        self._refinements: dict[Path, OnnxRefinement | None] = {}
        self._packages: dict[bytes, tuple[Package, list[Head]]] = {}

    def refine(
        self, row: FileRow, packets: Sequence[Place], containers: Sequence[Place], published: str | None
    ) -> Refinement:
        """Look at a file anew. `published` is the current version: when nothing would change, no product is made.

        Raises LimitExceeded or InputError when this machine refuses (disk), TryAgain when its back end is short of something
        for now; what is wrong with the file is its state.
        """
        pieces = self._gather(bytes.fromhex(row.file_id), packets, containers)
        row = replace(row, link=json.dumps(pieces.link, sort_keys=True))
        if pieces.header is None:
            return Refinement(replace(row, state=State.NO_HEADER, detail="no copy of the header came yet"))
        if pieces.header.is_self_contained:
            return Refinement(replace(row, state=State.REFUSED, detail=str(_self_contained(pieces.header))))
        records = pieces.used
        if not records:
            return Refinement(
                replace(row, state=State.NO_RECORDS, detail="the header came and no record yet")
            )
        try:
            package, heads = self._package(pieces.header)
        except SwathpackError as error:
            # Also when it is there and damaged: it may be half copied, and is looked for again.
            detail = f"{pieces.header.codec_id.hex()}: {error}"
            return Refinement(replace(row, state=State.NO_PACKAGE, detail=detail))
        return self._decode(row, pieces, records, package, heads, published)

    def _decode(
        self,
        row: FileRow,
        pieces: _Pieces,
        records: list[bytes],
        package: Package,
        heads: list[Head],
        published: str | None,
    ) -> Refinement:
        header = pieces.header
        assert header is not None
        indices = {entry.name: i for i, entry in enumerate(package.planes)}
        used = [head for head in heads if head.fits(header, indices)]
        unfit = [head.name for head in heads if head not in used]
        inputs = self._inputs(header, records, package, used)
        try:
            refinement = self._refinement(package)
            decoded = pipeline.decode(package, header, records, backend=self._coder, refine=refinement)
        except TryAgain:
            raise
        except SwathpackError as error:
            return Refinement(replace(row, state=State.REFUSED, detail=str(error)))
        if decoded.waiting:
            return Refinement(
                replace(row, state=State.NO_RECORDS, detail="not all of the embedded tables came yet")
            )
        damaged = [{"kind": kind, "what": what} for _, kind, what in decoded.damaged]
        complete = not damaged and (not decoded.missing or pieces.is_whole)
        tiles = sum(r.count for r in decoded.missing if r.layer == 0)
        detail = (
            ""
            if complete
            else f"{tiles} tiles without layer 0, {len(decoded.missing)} ranges missing, {len(damaged)} records damaged"
        )
        row = replace(row, state=State.COMPLETE if complete else State.PARTIAL, detail=detail)
        if inputs == published:
            return Refinement(row, complete, inputs)
        decoding = products.Decoding(
            header=header, package=package, heads=used, unfit_heads=unfit, embeddings=decoded.embeddings,
            missing=decoded.missing,
            records={
                "intact": decoded.intact,
                "damaged": sorted(damaged, key=lambda d: (d["kind"], d["what"])),
                "conflicts": report.missing_part(decoded.conflicts),
                "bytes": sum(map(len, records)),
                "header_bytes": header.length,
            },
            refinement=decoded.refinement or (_NO_REFINEMENT if self._refine else ""),
            drift=drift_part(package, header, records),
        )  # fmt: skip
        made = products.make_products(decoding, embeddings=self._embeddings)
        return Refinement(row, complete, inputs, tuple(made))

    def _gather(self, file_id: bytes, packets: Sequence[Place], containers: Sequence[Place]) -> _Pieces:
        pieces = _Pieces(None, set(), {"packets": len(packets), "containers": len(containers)})
        if packets:
            # Every packet was parsed when it was taken in, so each is of this file.
            assembled = assemble((self._spool.read(place) for place in packets), _LIMITS)[file_id]
            pieces.records.update(bytes(record) for record in assembled.records)
            if assembled.header is not None:
                pieces.header, _ = FileHeader.decode(assembled.header)
            pieces.link |= {
                "repaired": assembled.repaired,
                "received": assembled.received,
                "missing": assembled.missing,
            }
        for place in containers:
            found = scan(self._spool.read(place))
            pieces.header = found.header
            pieces.records.update(record.data for record in found.records)
            pieces.link["gaps"] = pieces.link.get("gaps", 0) + len(found.gaps)
        pieces.link["whole"] = pieces.is_whole
        return pieces

    def _package(self, header: FileHeader) -> tuple[Package, list[Head]]:
        known = self._packages.get(header.codec_id)
        if known is None:
            try:
                package = find(codec_id=header.codec_id, roots=self._roots)
            except IdentityError:
                if not header.embeds_tables:
                    raise
                # Its codec_id is formed with the tables it carries (bitstream §9): any package of the space will do.
                package = find(space_id=header.planes[0].space_id, roots=self._roots)
            known = package, load_heads(package)
            self._packages[header.codec_id] = known
        return known

    def _refinement(self, package: Package) -> OnnxRefinement | None:
        """The package's refinement where one is asked for, its graph loaded once."""
        if not self._refine:
            return None
        if package.folder not in self._refinements:
            self._refinements[package.folder] = refinement_of(package)
        return self._refinements[package.folder]

    def _inputs(
        self, header: FileHeader, records: Sequence[bytes], package: Package, heads: Sequence[Head]
    ) -> str:
        """Hash over all that decides the products' bytes."""
        digest = hashlib.sha256()
        parts = [
            header.encode(), *records, package.codec_id, f"{package.name} {package.manifest.version}".encode(),
            json.dumps(report.versions(), sort_keys=True).encode(),
            b"embeddings" if self._embeddings else b"", *(head.sha256.encode() for head in heads),
            *self._refining(package), *preview.decides(package),
        ]  # fmt: skip
        for part in parts:
            digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()[:32]

    def _refining(self, package: Package) -> list[bytes]:
        """What a refinement adds to the name of a version; nothing where none is asked for."""
        if not self._refine:
            return []
        entry = package.manifest.files.get(DECODER)
        return [b"refined", b"" if entry is None else entry.sha256.encode()]


def _self_contained(header: FileHeader) -> IdentityError:
    """A station decodes with packages that it trusts by their hash; a codec that comes with the data is nobody's word."""
    return IdentityError(
        "the file brings its own codec and names no package that this station could trust",
        found=f"codec id {header.codec_id.hex()}",
        fix="read it with `swathpack unpack`, or send it coded with a package (`swathpack fit`, `swathpack pack --model`)",
    )
