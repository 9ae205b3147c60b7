"""Every shipped head has a complete card, binds to the package's spaces, and its graph holds plain operators."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from codec.package import load

HEADS = tuple(
    sorted(path.stem for path in (Path(__file__).parents[2] / "models/s2-nano/heads").glob("*.json"))
)
FIELDS = {
    "name", "task", "level", "classes", "colours", "planes", "space_ids", "training_data", "training_rates",
    "training_bands", "held_out", "must_not_be_used_for", "licence",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "models" / "s2-nano"


def test_the_promised_heads_ship() -> None:
    assert set(HEADS) >= {"scene", "landcover", "water"}


@pytest.mark.parametrize("name", HEADS)
def test_the_card_says_what_a_user_must_know(folder: Path, name: str) -> None:
    card = json.loads((folder / "heads" / f"{name}.json").read_text())
    assert set(card) >= FIELDS
    assert card["name"] == name
    assert len(card["classes"]) == len(card["colours"]) >= 2
    assert len(card["must_not_be_used_for"]) > 20
    assert all(entry["licence"] for entry in card["training_data"])
    rates = [rate["ladder_index"] for rate in card["training_rates"]]
    assert None in rates
    assert len(set(rates)) >= 4  # uncompressed and at least three qualities
    for score in card["held_out"]["scores"]:
        low, high = score["interval_95"]
        assert 0 <= low <= score["accuracy"] <= high <= 1
    assert "all" in {score["bands"] for score in card["held_out"]["scores"]}


@pytest.mark.parametrize("name", HEADS)
def test_the_head_binds_to_the_spaces_of_its_package(folder: Path, name: str) -> None:
    card = json.loads((folder / "heads" / f"{name}.json").read_text())
    package = load(folder)
    assert card["space_ids"] == {plane: package.space_ids[plane].hex() for plane in card["planes"]}
    assert f"heads/{name}.onnx" in package.names("heads/")


@pytest.mark.parametrize("name", HEADS)
def test_the_graph_runs_on_any_number_of_tiles(folder: Path, name: str) -> None:
    path = folder / "heads" / f"{name}.onnx"
    card = json.loads(path.with_suffix(".json").read_text())
    session = onnxruntime.InferenceSession(path.read_bytes())
    channels = {"tokens": 128, "spectral": 12}
    assert [node.name for node in session.get_inputs()] == card["planes"]
    for n in (1, 5):
        inputs = {plane: np.zeros((n, 8, 8, channels[plane]), np.float32) for plane in card["planes"]}
        (logits,) = session.run(["logits"], inputs)
        grid = () if card["level"] == "tile" else (8, 8)
        assert logits.shape == (n, *grid, len(card["classes"]))
        assert np.isfinite(logits).all()
    model = onnx.load_from_string(path.read_bytes())
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert path.stat().st_size < 64 << 10
