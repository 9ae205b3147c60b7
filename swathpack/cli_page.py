"""docs/cli.md, made from the commands themselves: `python -m swathpack.cli_page docs/cli.md`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from codec import errors
from codec.atomic import write_atomic
from codec.errors import ExitCode, SwathpackError
from swathpack.cli import INTERRUPTED, PIPE_CLOSED, TERMINATED, app

# Keys of every JSON document on standard output, and what stands under them; tests compare them with what is printed.
JSON_KEYS: dict[str, dict[str, str]] = {
    "encode --json": {
        "tiles": "tiles of the scene",
        "tiles_without_data": "of them, those without a valid token: not coded",
        "tiles_invalid": "of them, those with data whose latents are not finite or beyond all that can be coded: marked "
        "invalid",
        "bands": "bands of the model that the scene has",
        "bands_absent": "those that it lacks",
        "raw_bytes": "native pixels of these bands as the sensor delivers them, uncompressed",
        "nec_bytes": "size of the file",
        "seconds": "`read`, `engine`, `skip` (where asked for), `code`: seconds per stage",
        "engine": "`backend`, `version`, `provider` (what really ran the graph)",
        "energy": "`joules` of the whole run, reading included, the `seconds` they are of, and their `source`: the rails of "
        "a Jetson's module, or the only card under a TensorRT engine; null where nothing tells it",
        "skipped": "with --skip, else null: `tokens` measured, `skipped_tokens` of them, `dear_tokens` (ruled out, and sent "
        "because leaving them out would take more), `skipped_tiles` (nothing left of them), `by_rule` (tokens ruled out)",
        "notes": "what was decided on what grounds, each once; also on stderr",
    },
    "inspect --json": {
        "path": "as given",
        "file_id": "hex",
        "codec_id": "hex: the model package's codec",
        "sensor": "name of the sensor",
        "source": "name of the scene, or null",
        "band_mask": "bit i: band i of the package was there, hex",
        "run": "the caller's number",
        "time": "sensing time, ISO 8601, or null",
        "ladder_index": "quality; larger is coarser",
        "scene": "`height`, `width` in pixels",
        "tiles": "`count`, `rows`, `cols`, `core_height`, `core_width`",
        "georeference": "`transform` (a b c d e f), `epsg`, `wkt`",
        "extensions": "of the header: `name`, `bytes`, `mandatory`",
        "planes": "`plane`, `rows`, `cols`, `channels`, `kind`, `space_id`, `layers` (records, bytes and tiles of each)",
        "file": "state: size, seal, records by kind, refused records, gaps, cut, padding, index, embedded tables",
    },
    "inspect --json --bytes": {
        "bytes": "additionally: rows of `section`, `plane`, `layer`, `part`, `count`, `bytes`; the bytes sum to the file",
    },
    "verify --json": {
        "verdict": "`sound`, `damaged`, `incomplete` or `unknown` (package not here)",
        "what": "the reason; empty when sound",
        "exit_code": "what the command returns",
        "bytes": "size of the file",
        "records": "intact coefficient records",
        "damaged_records": "records that are refused or do not decode",
        "missing": "ranges of tiles that lack a layer",
        "conflicts": "ranges of tiles with two different records",
        "decoded": "whether the symbols were checked, not only the checksums",
    },
    "drift --json (a list, one entry per codec)": {
        "package": "name",
        "codec_id": "hex: the tables that were judged",
        "files": "file ids, hex",
        "incomplete": "of them, those of which something is missing: judged by what is there",
        "conflicts": "of them, those of which different records came for one tile: one of each was used, as `decode` does",
        "judged": "whether there were tiles enough to judge anything",
        "flagged": "rows that are flagged",
        "rows": "`plane`, `layer`, `band`, `channel` (null: all of them), `tiles` (whole ones), `measured_bytes`, "
        "`expected_bytes`, `drift` (measured / expected − 1), `low`, `high` (its interval, null where not judged), "
        "`tolerance` (what the rounding of classes may make of it), `flag` (`more`, `fewer` or null)",
    },
    "refit --json": {
        "package": "name",
        "from_codec_id": "hex: before",
        "codec_id": "hex: what files coded with the new package name",
        "space_ids": "by plane, hex: as before",
        "files": "different files that it was made from",
        "planes": "`plane`, `tiles` (whole ones), `cells_seen` (band, channel), `classes_moved` (median, quarter octaves)",
        "new_tables": "levels whose table changed",
        "payload_bytes_before": "of the received symbols, by integer costs",
        "payload_bytes_after": "the same under the new tables",
    },
    "uplink pack --json": {
        "pack_id": "hex: what all pieces share",
        "base": "name and version of the package that flies",
        "from_codec_id": "hex: its codec",
        "result": "name and version of what it becomes",
        "codec_id": "hex: its codec",
        "files": "that the pack makes: `path`, `bytes`, `sent_bytes` (streams of its own; small parts share one), "
        "`copied_bytes` (the receiver has them)",
        "left_out": "changed files that are not sent, and that the result will not have",
        "pieces": "how many",
        "piece_bytes": "of each but the last, header included",
        "bytes": "of all pieces",
        "megabits": "the same, 10⁶ bits",
    },
    "uplink apply --json": {
        "package": "name",
        "version": "of the new package",
        "from_codec_id": "hex: before",
        "codec_id": "hex: now",
        "space_ids": "by plane, hex",
        "files": "of the new package",
        "damaged_pieces": "passed over",
        "duplicate_pieces": "passed over",
    },
    "uplink inspect --json": {
        "pack_id": "hex",
        "pieces": "of the whole pack",
        "missing": "numbers of those that are not here",
        "piece_bytes": "of each but the last, header included",
        "damaged_pieces": "passed over",
        "duplicate_pieces": "passed over",
        "body_bytes": "of the pack without its pieces' headers",
        "base": "as of `uplink pack`; this and what follows only where nothing is missing",
        "from_codec_id": "as of `uplink pack`",
        "result": "as of `uplink pack`",
        "codec_id": "as of `uplink pack`",
        "files": "as of `uplink pack`",
    },
    "fit --json": {
        "package": "name",
        "codec_id": "hex: what files packed with it name",
        "space_id": "hex: the embedding space, what heads bind to",
        "channels": "numbers of a vector",
        "tile": "token rows and columns of a tile",
        "layers": "of the array's plane",
        "lossless": "whether it codes integers exactly",
        "ladder": "finest and coarsest quality",
        "default_ladder_index": "quality where none is asked for",
        "bytes": "of the package's files",
    },
    "pack --json": {
        "array_bytes": "of the array in memory, scales included",
        "nec_bytes": "size of the file",
        "shape": "of the array",
        "dtype": "of the array",
        "self_contained": "whether the file carries its codec",
    },
    "link-sim --json": {
        "packets_sent": "packets given to the channel",
        "bytes_sent": "their bytes, headers included",
        "packets_lost": "of which no copy arrived",
        "duplicates": "copies that arrived beyond the first",
        "source_packets": "packets that carry records",
        "repair_packets": "packets that carry repair symbols",
        "packet_fill_mean": "used share of the payload of source packets, mean",
        "packet_fill_min": "and of the emptiest",
        "records_sent": "records in all packets",
        "records_intact": "that arrived whole",
        "records_repaired": "that the erasure code gave back",
        "records_lost": "that did neither",
    },
    "doctor --json (a list)": {
        "name": "what was looked at",
        "ok": "whether it can be used",
        "detail": "version, place or reason",
        "required": "whether the exit code depends on it",
        "fix": "what to do about it; empty when nothing is",
    },
    "demo --json, and demo.json": {
        "settings": "`loss`, `burst`, `seed`, `payload`, `model`",
        "reading": "what the numbers mean, in sentences",
        "scenes": "by name: `title`, `values` (row of the table → `value`, `unit`), `notes`, `pictures`, `products`",
    },
    "onboard.export --json, and parity.json": {
        "engine": "`fp32`, `fp16`, `bf16` or `int8`",
        "backend": "what runs the package when it is opened",
        "gate": "what an engine of this precision must keep",
        "passed": "whether it does",
        "reasons": "if not, why",
        "tiles": "`n`, `real`, `sources`: what it was compared on",
        "default": "at the default quality: `planes` (differences of latents and symbols), bytes of both files, `heads` "
        "(agreement of both decodings, and of each with the uncompressed embedding)",
        "finest": "the same at the finest quality",
        "procedural": "`n`, `planes`: the same of fields that reach every band, absent bands and invalid pixels",
        "proven_by": "what ran; an emulation is called one",
        "calibration": "of `int8`: tiles, their sources, the range of each activation",
    },
}
_ENVIRONMENT = (
    (
        "SWATHPACK_MODELS",
        "folders of model packages, looked at before the shipped ones; several joined as in PATH",
    ),
    (
        "SWATHPACK_GROUND_…",
        "settings of the station: the name of the setting in capitals, e.g. SWATHPACK_GROUND_PORT",
    ),
    ("SWATHPACK_STAC_URL", "another STAC catalogue for `demo --scene stac:…`"),
)
_SIGNALS = (
    (INTERRUPTED, "interrupted (Ctrl-C)"),
    (PIPE_CLOSED, "the reader of standard output went away"),
    (TERMINATED, "terminated (SIGTERM)"),
)
# Each of these is tried by a test in tests/swathpack.
_BAD_INPUT = (
    ("missing file, folder in its place, not readable", 3),
    ("empty, text or other bytes where a `.nec` is wanted", 4),
    ("empty file, text, cut or zero-size raster as SCENE", 3),
    ("sensor not told, unknown sensor, unknown or missing band (named), bands without names", 3),
    ("no band of the model in the scene", 3),
    ("no valid pixel (nodata or NaN everywhere)", 3),
    ("`encode --skip`: no CLASS=PROBABILITY, or a probability outside (0, 1]", 2),
    (
        "the same: class that no token head of the package has, or several; head of tiles; class given twice",
        3,
    ),
    ("the same: head of other embedding spaces", 5),
    ("some pixels NaN or infinite: not measured, said in a note", 0),
    (
        "encoder that gives NaN, infinity or absurd numbers for some tiles: invalid, counted, said in a note",
        0,
    ),
    (
        "the same for all tiles with data; numbers that the quality asked for would clamp (the tile is named)",
        3,
    ),
    ("no CRS: encodes with a note; `decode -o x.tif` is refused, other forms are not", 3),
    ("`.nec` cut or flipped in its header", 4),
    ("`.nec` cut behind it: `decode`, `drift`, `verify`, `link send` use what is there", 6),
    ("`.nec` with a flipped bit behind it: `verify`", 4),
    ("the same: `decode`, `drift`, `link send` use the rest", 6),
    ("future version of a file, an extension or a packet", 3),
    ("unknown codec id or space id (hex in the line)", 5),
    ("model package with a wrong hash", 4),
    ("model package not found by name; without an encoder for `encode`", 5),
    ("engine package of another model", 5),
    ("no packet of ours (`link receive`), foreign packets only", 3),
    ("damaged packets only", 4),
    ("array that is ragged, of text, or holds numbers that are not finite (`fit`, `pack`)", 3),
    ("int8 array with -128 of which nobody said what it means", 3),
    ("budget of bytes below what layer 0 of a scene takes at the coarsest quality (the least is named)", 3),
    ("budget of bytes below what the array can be coded to (the range is named)", 3),
    ("package fitted to vectors of another length", 3),
    ("`.nec` of a scene given to `unpack`", 3),
    ("packed array with lost records: `unpack`", 6),
    ("too few whole tiles for `refit` (how many are needed is named)", 3),
    ("files of another package given to `refit`", 5),
    ("files that carry tables of their own given to `refit`", 3),
    ("uplink pack with pieces missing (named): `apply`", 75),
    ("the same: `uplink inspect`", 6),
    ("uplink pack for another base, or applied before", 5),
    ("damaged uplink pieces only, pack that does not come out as its hashes say", 4),
    ("pieces of several uplink packs; two packages between which nothing that is sent changed", 3),
    ("new package whose adapter or transform changed and whose encoder.onnx did not: `uplink pack`", 3),
    ("form of the map of `inspect --bits`, or of a preview, not known", 2),
    ("package without a preview, preview of another embedding space", 5),
    ("`--refine` with a package that has no decoder.onnx", 5),
    ("file that is no preview given as `--decoder`", 4),
    ("file that carries its codec, and not all of that has arrived", 75),
    ("foreign or damaged packets among good ones: passed over and counted", 0),
    ("no copy of the header among the packets", 75),
    ("records missing after `link receive`", 6),
    ("output folder missing, a file in its place, no right to write, a folder in the file's place", 3),
    ("disk or quota full, also standard output", 7),
    ("terminal as output of binary data; `--json` with `-o -`", 2),
    ("unknown form of `decode -o`; bad HOST:PORT; numbers out of range; options that exclude each other", 2),
    ("unknown host, port taken", 3),
    ("engine back end or optional package not installed (its extra is named)", 8),
    ("STAC catalogue or its pixels cannot be reached, status 429 or 5xx", 75),
    ("STAC answer that is none, no scene there, asset that is no web address", 3),
)


def page() -> str:
    """The whole page."""
    lines = [
        "# Command line",
        "",
        "Made from the commands by `python -m swathpack.cli_page docs/cli.md`. Every command also has `--help`.",
        "",
        "Data go to standard output, everything said to a person to standard error. `-` is standard input or output.",
        "An error is one line, `error: what, where, what to do`, and an exit code; `swathpack --debug COMMAND` adds the",
        "traceback. Outputs appear whole or not at all. Progress bars show on a terminal only.",
        "",
        "## Commands",
        "",
    ]
    for path, command in _leaves(typer.main.get_command(app), "swathpack"):
        lines += _command(path, command)
    lines += ["## Exit codes", "", *_table(("code", "meaning", "`kind` of the errors"), _codes())]
    lines += ["## What bad input gives", "", *_table(("input", "exit code"), _rows(_BAD_INPUT))]
    lines += ["## JSON", "", "Keys may be added; these stay.", ""]
    for name, keys in JSON_KEYS.items():
        lines += [f"`{name}`", "", *_table(("key", "value"), ((f"`{k}`", text) for k, text in keys.items()))]
    lines += [
        "## Environment",
        "",
        *_table(("variable", "meaning"), ((f"`{n}`", t) for n, t in _ENVIRONMENT)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _rows(pairs: Iterable[tuple[str, int]]) -> Iterator[tuple[str, str]]:
    for text, code in pairs:
        yield text, str(code)


def _leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if not inner:
        yield path, command
    for name, child in (inner or {}).items():
        yield from _leaves(child, f"{path} {name}")


def _command(path: str, command: Any) -> list[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and "--help" not in p.opts]
    usage = " ".join([path, *(p.metavar if p.required else f"[{p.metavar}]" for p in arguments)])
    required = [f"{p.opts[-1]} {p.metavar}" for p in options if p.required]
    lines = [f"### `{' '.join([usage, *required])}`", "", _plain(command.help or ""), ""]
    rows = [("`" + p.metavar.replace("|", "\\|") + "`", "", _plain(p.help or "")) for p in arguments]
    rows += [(_names(p), _default(p), _plain(p.help or "")) for p in options]
    return [*lines, *_table(("option", "default", "meaning"), rows)]


def _names(option: Any) -> str:
    metavar = "" if option.is_flag else f" {option.metavar}" if option.metavar else ""
    return "`" + ", ".join(option.opts) + metavar.replace("|", "\\|") + "`"


def _default(option: Any) -> str:
    if option.required:
        return "required"
    return "" if option.default is None or option.default is False else f"`{option.default}`"


def _plain(text: str) -> str:
    """Help without the markup of the terminal, in one line."""
    return " ".join(re.sub(r"\[/?b\]", "", text).replace("|", "\\|").split())


def _codes() -> Iterator[tuple[str, ...]]:
    kinds: dict[ExitCode, list[str]] = {code: [] for code in ExitCode}
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, SwathpackError) and value is not errors.FormatError:
            kinds[value.exit_code].append(value.kind)
    for code in ExitCode:
        yield str(int(code)), code.name.lower().replace("_", " "), ", ".join(dict.fromkeys(kinds[code]))
    for number, meaning in _SIGNALS:
        yield str(number), meaning, ""


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]


if __name__ == "__main__":
    write_atomic(Path(sys.argv[1]), page().encode())
