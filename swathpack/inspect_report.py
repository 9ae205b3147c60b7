"""What `swathpack inspect` shows: what a `.nec` says of itself, and where every byte of it goes. Pure functions."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from codec.bitstream import record as rec
from codec.bitstream.header import FileHeader
from codec.bitstream.payload import PayloadParser
from codec.bitstream.reader import NecFile
from codec.errors import Corrupt, InputError
from codec.types import PlaneSpec, Record, RecordKind

Row = dict[str, Any]
_OTHER_KINDS = (RecordKind.TABLES, RecordKind.INDEX, RecordKind.SEAL)


def account(nec: NecFile) -> list[Row]:
    """Where every byte goes: rows of `section`, `plane`, `layer`, `part`, `count`, `bytes`; the bytes sum to the file.

    `plane` and `layer` are None outside the coefficients; `count` is the number of things of that row: records,
    extensions, gaps. Within coefficient records the parts are those of bitstream §4 and §5.
    """
    header = nec.header
    extensions = sum(e.size for e in header.extensions)
    rows = [_row("header", "essential part", 1, nec.scan.header_length - extensions)]
    rows += [_row("header", e.label, 1, e.size) for e in header.extensions]
    layers = _by_layer(nec)
    parser = PayloadParser(header)
    for (plane, layer), records in sorted(layers.items()):
        rows += [_row("coefficients", *part, plane, layer) for part in _coefficient_parts(parser, records)]
    for kind in _OTHER_KINDS:
        others = nec.scan.of_kind(kind)
        if others:
            name = kind.name.lower()
            rows.append(_row(name, "record headers", len(others), rec.HEADER_SIZE * len(others)))
            rows.append(_row(name, "payloads", len(others), sum(r.header.payload_length for r in others)))
            rows.append(_row(name, "checksums", len(others), rec.CRC_SIZE * len(others)))
    if nec.refused:
        rows.append(_row("refused", "whole records", len(nec.refused), sum(r.size for r in nec.refused)))
    if nec.gaps:
        rows.append(_row("gaps", "damaged bytes", len(nec.gaps), sum(g.size for g in nec.gaps)))
    if nec.scan.padding:
        rows.append(_row("padding", "zero bytes", nec.scan.padding, nec.scan.padding))
    return rows


def time_text(header: FileHeader) -> str | None:
    """Sensing time, ISO 8601; None where the file does not say."""
    try:
        return None if header.time is None else header.time.isoformat()
    except InputError:  # legal in the header, beyond the years that a calendar date can name
        return f"{header.time_us} µs since 1970"


def describe(nec: NecFile) -> dict[str, Any]:
    """JSON-able: the header's fields, what arrived of each plane and layer, and the file's state."""
    h = nec.header
    grid = h.grid
    layers = _by_layer(nec)
    return {
        "path": nec.path,
        "file_id": h.file_id.hex(),
        "codec_id": h.codec_id.hex(),
        "sensor": h.sensor,
        "source": h.source_name or None,
        "band_mask": f"{h.band_mask:#x}",
        "run": h.run,
        "time": time_text(h),
        "ladder_index": h.ladder_index,
        "scene": {"height": grid.height, "width": grid.width},
        "tiles": {
            "count": grid.n_tiles,
            "rows": grid.n_rows,
            "cols": grid.n_cols,
            "core_height": grid.core_height,
            "core_width": grid.core_width,
        },
        "georeference": {
            "transform": list(h.georeference.transform),
            "epsg": h.georeference.epsg or None,
            "wkt": h.georeference.wkt or None,
        },
        "extensions": [{"name": e.label, "bytes": e.size, "mandatory": e.mandatory} for e in h.extensions],
        "planes": [_describe_plane(plane, i, layers) for i, plane in enumerate(h.planes)],
        "file": nec.report,
    }


def render_description(nec: NecFile, name: str) -> str:
    """The same for a person: a dozen lines."""
    d = describe(nec)
    scene, tiles, geo, state = d["scene"], d["tiles"], d["georeference"], d["file"]
    crs = f"EPSG:{geo['epsg']}" if geo["epsg"] else ("WKT only" if geo["wkt"] else "none")
    lines = [
        f"{name}: {nec.size} bytes, {state['seal']}",
        f"  file     {d['file_id']}, run {d['run']}, codec {d['codec_id']}, ladder index {d['ladder_index']}",
        f"  sensor   {d['sensor']}, band mask {d['band_mask']}, time {d['time'] or 'unknown'}"
        + (f", from {d['source']}" if d["source"] else ""),
        f"  scene    {scene['height']} × {scene['width']} pixels in {tiles['rows']} × {tiles['cols']} tiles of "
        f"{tiles['core_height']} × {tiles['core_width']}, CRS {crs}",
    ]
    for plane in d["planes"]:
        lines.append(
            f"  plane {plane['plane']}  {plane['rows']} × {plane['cols']} tokens × {plane['channels']} channels, "
            f"{plane['kind']}, space {plane['space_id']}"
        )
        for layer in plane["layers"]:
            missing = (
                ""
                if layer["tiles"] == tiles["count"]
                else f", {tiles['count'] - layer['tiles']} tiles missing"
            )
            lines.append(
                f"    layer {layer['layer']}: {layer['records']} records, {layer['bytes']} bytes, "
                f"{8 * layer['bytes'] / tiles['count']:.1f} bit/tile{missing}"
            )
    if state["embedded_tables"]:
        tables = state["embedded_tables"]
        arrived = tables["chunks"] - len(tables["missing_chunks"])
        lines.append(f"  tables   in the file, {arrived} of {tables['chunks']} chunks")
    lines += [f"  refused  byte {r['offset']}: {r['what']}" for r in state["refused"]]
    lines += [f"  damaged  bytes {g['first']} to {g['last']}" for g in state["gaps"]]
    lines += [f"  index    {complaint}" for complaint in state["index"]]
    if state["cut"] is not None:
        lines.append(f"  cut      the file ends inside the record at byte {state['cut']}")
    if state["seal_error"]:
        lines.append(f"  seal     {state['seal_error']}")
    return "\n".join(lines)


def render_account(nec: NecFile) -> str:
    """The table of `account` for a person, with shares of the file."""
    rows = account(nec)
    total = sum(row["bytes"] for row in rows)
    lines = [f"{'section':<13}{'plane':>6}{'layer':>6}  {'part':<28}{'count':>8}{'bytes':>11}{'share':>8}"]
    for row in rows:
        plane, layer = ("" if row[key] is None else row[key] for key in ("plane", "layer"))
        lines.append(
            f"{row['section']:<13}{plane:>6}{layer:>6}  {row['part']:<28}{row['count']:>8}{row['bytes']:>11}"
            f"{row['bytes'] / total:>8.1%}"
        )
    lines.append(f"{'all':<13}{'':>6}{'':>6}  {'':<28}{'':>8}{total:>11}{1:>8.1%}")
    return "\n".join(lines)


def _row(
    section: str, part: str, count: int, size: int, plane: int | None = None, layer: int | None = None
) -> Row:
    return {"section": section, "plane": plane, "layer": layer, "part": part, "count": count, "bytes": size}


def _coefficient_parts(parser: PayloadParser, records: list[Record]) -> list[tuple[str, int, int]]:
    """(part, how many records have it, bytes) of the records of one layer."""
    sizes: dict[str, list[int]] = {
        "form": [], "tile masks": [], "token masks": [], "lane states": [], "words, signs, escapes": [], "unreadable": [],
    }  # fmt: skip
    for record in records:
        try:
            parts = parser.parts(record)
        except Corrupt:
            sizes["unreadable"].append(record.header.payload_length)
            continue
        values = (parts.form, parts.tile_mask, parts.token_mask, parts.states, parts.symbols)
        for found, value in zip(sizes.values(), values, strict=False):
            if value:
                found.append(value)
    return [
        ("record headers", len(records), rec.HEADER_SIZE * len(records)),
        *((part, len(found), sum(found)) for part, found in sizes.items() if found),
        ("checksums", len(records), rec.CRC_SIZE * len(records)),
    ]


def _by_layer(nec: NecFile) -> dict[tuple[int, int], list[Record]]:
    """Coefficient records of each (plane, layer)."""
    layers: dict[tuple[int, int], list[Record]] = defaultdict(list)
    for record in nec.records:
        layers[record.header.plane, record.header.layer].append(record)
    return layers


def _describe_plane(
    plane: PlaneSpec, index: int, by_layer: dict[tuple[int, int], list[Record]]
) -> dict[str, Any]:
    layers = []
    for layer in range(plane.n_layers):
        own = by_layer.get((index, layer), [])
        layers.append(
            {
                "layer": layer,
                "records": len(own),
                "bytes": sum(len(r.data) for r in own),
                "tiles": _n_covered(own),
            }
        )
    return {
        "plane": index,
        "rows": plane.rows,
        "cols": plane.cols,
        "channels": plane.channels,
        "kind": plane.kind.name.lower(),
        "space_id": plane.space_id.hex(),
        "layers": layers,
    }


def _n_covered(records: list[Record]) -> int:
    """Tiles in at least one of these records."""
    total = end = 0
    for first, count in sorted((r.header.first_tile, r.header.tile_count) for r in records):
        total += max(0, first + count - max(end, first))
        end = max(end, first + count)
    return total
