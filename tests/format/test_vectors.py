"""Every back end against every golden vector. What is expected was chosen before it was encoded (tests/vectors/)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import Backend, PackageFiles, Refused, Result
from nec_encoder.parts import PlaneIn, TableIn, TablesIn
from product_backends import available

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
INDEX = json.loads((VECTORS / "index.json").read_text(encoding="utf-8"))
BACKENDS = available()
SLOW = {("record-too-many-symbols", "gpu")}  # thousands of steps, interpreted


def package_files(name: str) -> PackageFiles:
    entry = next(p for p in INDEX["packages"] if p["name"] == name)
    transform = (VECTORS / "packages" / f"{name}.transform.npz").read_bytes()
    return PackageFiles(
        name,
        (VECTORS / "packages" / f"{name}.tables.bin").read_bytes(),
        transform,
        hashlib.sha256(transform).hexdigest(),
        entry["n_bands"],
        entry["lifting"],
    )


def _pairs(entries: list[dict[str, Any]]) -> Any:
    """Every entry with every back end whose business it is."""
    return pytest.mark.parametrize(
        ("entry", "backend"),
        [
            pytest.param(
                entry,
                backend,
                id=f"{Path(entry['file']).stem}-{backend.name}",
                marks=[pytest.mark.long] if (Path(entry["file"]).stem, backend.name) in SLOW else [],
            )
            for entry in entries
            for backend in BACKENDS
            if entry["needs"] is None or entry["needs"] in backend.says
        ],
    )


def _invalid(scope: str) -> list[dict[str, Any]]:
    return [entry for entry in INDEX["invalid"] if entry["scope"] == scope]


def _decode(backend: Backend, entry: dict[str, Any]) -> Result:
    return backend.decode((VECTORS / entry["file"]).read_bytes(), package_files(entry["package"]))


def _tiles(plane: dict[str, Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Layers, validity and symbols of every tile; `uniform` stands for equal tiles."""
    if "uniform" in plane:
        one = plane["uniform"]
        n = one["tiles"]
        return [one["layers"]] * n, [one["validity"]] * n, [one["symbols"]] * n
    return plane["layers"], plane["validity"], plane["symbols"]


def _embeddings(entry: dict[str, Any]) -> dict[tuple[int, int], Any]:
    """(plane, tile) -> the calculated embedding, of the vectors that are about it."""
    expected = json.loads((VECTORS / entry["file"]).with_suffix(".json").read_text(encoding="utf-8"))
    return {
        (number, int(tile)): np.array(values)
        for number, plane in enumerate(expected["planes"])
        for tile, values in plane.get("embeddings", {}).items()
    }


@_pairs(INDEX["valid"])
def test_a_legal_file_decodes_to_the_symbols_that_were_chosen(
    entry: dict[str, Any], backend: Backend
) -> None:
    expected = json.loads((VECTORS / entry["file"]).with_suffix(".json").read_text(encoding="utf-8"))
    result = _decode(backend, entry)
    assert result.records == [tuple(r) for r in expected["records"]]
    for got, want in zip(result.planes(), expected["planes"], strict=True):
        layers, validity, symbols = _tiles(want)
        assert got.layers == layers
        assert got.validity == validity
        assert got.symbols == symbols
    if "conflicts" in backend.says:
        assert result.conflicts == [tuple(c) for c in expected["conflicts"]]
    if "sealed" in backend.says:
        assert result.sealed is expected["sealed"]
    if "index" in backend.says:
        assert result.index is expected["index"]
    if "gaps" in backend.says:
        assert result.gaps == [tuple(g) for g in expected["gaps"]]
    if "header" in backend.says:
        for field, value in expected["header"].items():
            found = getattr(result.header, field)
            assert (list(found) if isinstance(found, tuple) else found) == value, field
    if "mean" in backend.says:
        assert result.mean_vectors == {
            number: plane["mean_vector"]
            for number, plane in enumerate(expected["planes"])
            if "mean_vector" in plane
        }


@_pairs([{**entry, "needs": "embeddings"} for entry in INDEX["valid"] if _embeddings(entry)])
def test_embeddings_come_out_as_calculated(entry: dict[str, Any], backend: Backend) -> None:
    wanted = _embeddings(entry)
    result = _decode(backend, entry)
    assert result.embed is not None
    for (number, tile), values in wanted.items():
        got = result.embed(number, tile)
        assert got.shape == values.shape
        # §8: at most 1e-5 of the plane's largest absolute value; integers are exact.
        tolerance = 0 if values.dtype.kind == "i" else 1e-5 * np.abs(values).max()
        assert np.abs(got.astype(np.float64) - values).max() <= tolerance


@_pairs(_invalid("file"))
def test_an_illegal_file_is_refused_with_its_kind(entry: dict[str, Any], backend: Backend) -> None:
    with pytest.raises(Refused) as caught:
        _decode(backend, entry)
    assert caught.value.kind == entry["kind"]


@_pairs(_invalid("record"))
def test_an_illegal_record_is_refused_alone(entry: dict[str, Any], backend: Backend) -> None:
    results = [outcome for _, outcome in _decode(backend, entry).records]
    wanted = ["ok"] * len(results)
    wanted[entry["record"]] = entry["kind"]
    assert results == wanted
    assert len(results) > 1, "the vector must show that its other records are unaffected"


@_pairs(_invalid("tables"))
def test_an_illegal_table_file_is_refused_with_its_kind(entry: dict[str, Any], backend: Backend) -> None:
    with pytest.raises(Refused) as caught:
        backend.read_tables((VECTORS / entry["file"]).read_bytes())
    assert caught.value.kind == entry["kind"]


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.name)
@pytest.mark.parametrize("name", [p["name"] for p in INDEX["packages"]])
def test_the_packages_tables_are_legal(name: str, backend: Backend) -> None:
    backend.read_tables(package_files(name).tables)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.name)
@pytest.mark.parametrize(("channels", "legal"), [(3639, True), (3640, False)])
def test_a_table_file_has_at_most_131072_bytes(channels: int, legal: bool, backend: Backend) -> None:
    # Too large for a vector. 12 + 4 (one step) + 16 (one table of K=0) + 4 (CRC); a plane of 3×6 tokens in 18 bands:
    # 8 + 1 (shift) + 18 (bands) + 2·18·channels. 63 + 36·3639 = 131,067.
    never, any_class = ((255,) * channels,) * 18, ((0,) * channels,) * 18
    plane = PlaneIn(3, 6, channels, (0,), tuple(range(18)), never, any_class)
    data = TablesIn((1.0,), (TableIn(()),), (plane,)).encode()
    assert len(data) == 63 + 36 * channels
    if legal:
        backend.read_tables(data)
    else:
        with pytest.raises(Refused) as caught:
            backend.read_tables(data)
        assert caught.value.kind == "corrupt"


def test_every_file_is_listed_and_has_a_reason() -> None:
    listed = {e["file"] for e in INDEX["valid"] + INDEX["invalid"]}
    stored = {
        path.relative_to(VECTORS).as_posix()
        for folder in ("valid", "invalid")
        for path in (VECTORS / folder).iterdir()
        if path.suffix != ".json"
    }
    assert stored == listed
    assert all(e["reason"] for e in INDEX["valid"] + INDEX["invalid"])
    readme = (VECTORS / "README.md").read_text(encoding="utf-8")
    assert all(e["reason"].replace("|", "\\|") in readme for e in INDEX["valid"] + INDEX["invalid"])
