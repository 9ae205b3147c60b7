"""A station decodes with the entropy back end that it is told to: the same products, or a refusal at the start."""

from __future__ import annotations

from pathlib import Path

import pytest
from ground_scene import TinyScene

from codec.errors import BackendUnavailable, ExitCode
from ground.config import GroundConfig
from ground.daemon import serve


def products(station: Path) -> dict[str, bytes]:
    """Every product of the station by its path."""
    root = station / "products"
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
    }


def test_products_of_the_gpus_coder_are_those_of_the_core(
    tmp_path: Path, models: Path, scene: TinyScene
) -> None:
    pytest.importorskip("triton")
    pytest.importorskip("torch")
    found = {}
    for coder in ("core", "gpu"):
        station = tmp_path / coder
        (station / "inbox").mkdir(parents=True)
        (station / "inbox" / "scene.nec").write_bytes(scene.nec)
        assert serve(GroundConfig(station=station, models=(models,), once=True, coder=coder)) == ExitCode.OK
        found[coder] = products(station)
    assert found["gpu"] == found["core"]
    assert found["core"]


def test_a_coder_that_is_not_there_is_refused_at_the_start(
    station: Path, models: Path, scene: TinyScene
) -> None:
    (station / "inbox" / "scene.nec").write_bytes(scene.nec)
    with pytest.raises(BackendUnavailable, match="no entropy back end is called 'fpga'"):
        serve(GroundConfig(station=station, models=(models,), once=True, coder="fpga"))
    assert (station / "inbox" / "scene.nec").exists()
