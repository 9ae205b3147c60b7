"""Writes tests/vectors/. Run by hand after a change of the format: `python tests/reference/make_vectors.py`.

No test runs this: a golden file that a test could write would prove nothing. Symbols, masks and embeddings come
from the choices in `nec_vectors`, never from a decoder. Existing files whose bytes would change are named.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from nec_vectors import arrays, digits, invalid, turned, valid, valid_files
from nec_vectors.files import Invalid, Vector
from nec_vectors.packages import PACKAGES

VECTORS = Path(__file__).resolve().parent.parent / "vectors"


def _put(path: Path, data: bytes, written: set[Path]) -> None:
    if path in written:
        raise SystemExit(f"two vectors are called {path.name}")
    if path.is_file() and path.read_bytes() != data:
        print(f"changed: {path.relative_to(VECTORS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    written.add(path)


def _json(value: object, indent: int | None = None) -> bytes:
    return (json.dumps(value, ensure_ascii=False, sort_keys=True, indent=indent) + "\n").encode("utf-8")


def _expectation(vector: Vector) -> dict[str, object]:
    plan = vector.plan
    return {
        "sealed": plan.sealed,
        "index": plan.index,
        "records": plan.records,
        "gaps": plan.gaps,
        "conflicts": plan.conflicts,
        "header": plan.header,
        "planes": plan.planes,
    }


def _table(rows: list[tuple[str, ...]], head: tuple[str, ...]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)


README = """# Golden vectors of the `.nec` bitstream, version 0

Files with a reason each; `index.json` says the same to programs. Written by `tests/reference/make_vectors.py`, by
hand and never by a test run; what they must decode to was chosen before they were encoded. The derivations of the
smallest, step by step on paper, are in `tests/reference/nec_vectors/by_hand.py`.

A vector names a *package*: `packages/<name>.tables.bin` is its table file, `packages/<name>.transform.npz` its transform.
A legal file's expectation is beside it as `.json`: `records` in file order with kind and outcome (`ok`, `waiting` for
tables, `ignored`, or the kind of refusal), `gaps` (first byte, last byte, cut), `conflicts` (plane, layer, tile), the
header fields it is about, and for each plane and tile the layers received, token validity (raster order), symbols C×F
(null: nothing arrived) and for some the embedding (rows × columns × channels). `uniform` stands for equal tiles.

An illegal file says where it fails: `file`: the whole file is refused. `record`: that record (counted among the
intact ones) is refused and all others are `ok`. `tables`: a table file that is refused. `needs` in `index.json`: what a
decoder must look at for this beyond payloads and tables: the whole `file`, the package's `bands` or its `identity`.

## Packages

{packages}

## Legal files

{valid}

## Illegal files

{invalid}
"""


def main() -> None:
    """Write every vector, its expectation, index.json and README.md; remove what no vector owns."""
    legal = [
        *valid.vectors(),
        *valid_files.vectors(),
        *arrays.vectors(),
        *digits.vectors(),
        *turned.vectors(),
    ]
    illegal: list[Invalid] = [*invalid.vectors(), *arrays.invalid(), *digits.invalid(), *turned.invalid()]
    written: set[Path] = set()
    for package in PACKAGES:
        _put(VECTORS / "packages" / f"{package.name}.tables.bin", package.tables_bytes, written)
        _put(VECTORS / "packages" / f"{package.name}.transform.npz", package.transform_bytes, written)
    for vector in legal:
        _put(VECTORS / "valid" / f"{vector.name}.nec", vector.data, written)
        _put(VECTORS / "valid" / f"{vector.name}.json", _json(_expectation(vector)), written)
    for bad in illegal:
        suffix = "bin" if bad.scope == "tables" else "nec"
        _put(VECTORS / "invalid" / f"{bad.name}.{suffix}", bad.data, written)
    index = {
        "packages": [
            {"name": p.name, "reason": p.reason, "n_bands": p.n_bands, "lifting": p.lifting} for p in PACKAGES
        ],
        "valid": [
            {"file": f"valid/{v.name}.nec", "reason": v.reason, "package": v.package.name, "needs": v.needs}
            for v in legal
        ],
        "invalid": [
            {
                "file": f"invalid/{b.name}.{'bin' if b.scope == 'tables' else 'nec'}",
                "reason": b.reason,
                "package": b.package.name,
                "scope": b.scope,
                "kind": b.kind,
                "record": b.record,
                "needs": b.needs,
            }
            for b in illegal
        ],
    }
    _put(VECTORS / "index.json", _json(index, indent=1), written)
    readme = README.format(
        packages=_table([(p.name, p.reason) for p in PACKAGES], ("package", "what it is for")),
        valid=_table([(v.name, v.package.name, v.reason) for v in legal], ("file", "package", "reason")),
        invalid=_table(
            [
                (b.name, b.scope if b.record is None else f"{b.scope} {b.record}", b.kind, b.reason)
                for b in illegal
            ],
            ("file", "where", "kind", "reason"),
        ),
    )
    _put(VECTORS / "README.md", readme.encode("utf-8"), written)
    for path in sorted(VECTORS.rglob("*")):
        if path.is_file() and path not in written:
            print(f"removed: {path.relative_to(VECTORS)}")
            path.unlink()
    total = sum(path.stat().st_size for path in written)
    print(f"{len(legal)} legal, {len(illegal)} illegal, {total} bytes in all")


if __name__ == "__main__":
    main()
