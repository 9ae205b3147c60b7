"""docs/arrays.md: its examples run in their order, and its tables say what the code has."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("zarr", reason="the `arrays` extra needs Python 3.11")
pytest.importorskip("xarray", reason="the `arrays` extra is not installed")

from codec.arrays.xarray_backend import NecBackendEntrypoint
from codec.arrays.zarr_codec import NecSerializer


def test_the_examples_run_in_their_order(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWATHPACK_MODELS", "")
    blocks = re.findall(r"```python\n(.*?)```", (root / "docs" / "arrays.md").read_text(), re.S)
    assert len(blocks) >= 6
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/arrays.md", "exec"), names)
    assert np.asarray(names["window"]).shape == (16,)
    corner = np.asarray(names["corner"])
    field = names["field"]
    assert callable(field)
    assert np.corrcoef(corner.ravel(), field(3)[:8, :8].ravel())[0, 1] > 0.9


def test_every_keyword_and_every_key_of_the_configuration_is_described(root: Path) -> None:
    text = (root / "docs" / "arrays.md").read_text()
    keywords = [
        k
        for k in NecBackendEntrypoint.open_dataset_parameters
        if k not in ("filename_or_obj", "drop_variables")
    ]
    signature = inspect.signature(NecBackendEntrypoint().open_dataset)
    assert set(NecBackendEntrypoint.open_dataset_parameters) == set(signature.parameters)
    for name in (*keywords, *(k for k in inspect.signature(NecSerializer).parameters)):
        assert f"`{name}`" in text, name
