"""The first page that a user reads about adapters, as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.adapt.files import read_adapter

pytest.importorskip("spyndex")
GUIDE = Path(__file__).parents[2] / "docs" / "deflect.md"


def test_the_example_of_the_guide_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert "steps=300" in code
    rng = np.random.default_rng(0)
    given: dict[str, Any] = {
        "pixels": rng.uniform(0.02, 0.4, (4, 6, 64, 64)).astype(np.float32),
        "present": np.ones((4, 6), np.bool_),
        "validity": np.ones((4, 64, 64), np.bool_),
        "labels": rng.integers(-1, 2, (4, 8, 8)),
    }
    monkeypatch.chdir(tmp_path)
    exec(code.replace("steps=300", "steps=2"), given)  # our own page
    assert given["classes"].shape == (4, 8, 8)
    assert given["tokens"].shape == (4, 8, 8, 128)
    assert read_adapter(Path("water.safetensors")).packing == "int4"
