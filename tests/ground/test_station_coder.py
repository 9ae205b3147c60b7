"""A station decodes with the entropy back end that it is told to: the same products, or a refusal at the start."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ground_scene import TinyScene, make_scene

from codec.errors import BackendUnavailable, ExitCode, TryAgain
from codec.package import Package
from ground.config import GroundConfig
from ground.daemon import Observer, serve
from ground.station import Published


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


class FullAtFirst:
    """A GPU that has no room for the first `times` reads; then the kernels read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        torch = pytest.importorskip("torch")
        pytest.importorskip("triton")
        from kernels.rans import backend

        self.error, self.decode, self.left = torch.OutOfMemoryError, backend.decode_on, times
        monkeypatch.setattr(backend, "decode_on", self)

    def __call__(self, *arguments: object) -> object:
        self.left -= 1
        if self.left >= 0:
            raise self.error("CUDA out of memory. Tried to allocate 2 GiB.")
        return self.decode(*arguments)  # type: ignore[arg-type]


class UntilPublished(Observer):
    """Stops the station at its first product; keeps its remarks."""

    def __init__(self) -> None:
        self.stop, self.remarks = threading.Event(), list[str]()

    def published(self, version: Published) -> None:
        self.stop.set()

    def remark(self, line: str) -> None:
        self.remarks.append(line)


@pytest.fixture
def watchdog() -> Iterator[list[threading.Event]]:
    """Events that are set after a minute: a station that never publishes must not hang the test."""
    events: list[threading.Event] = []
    timer = threading.Timer(60, lambda: [event.set() for event in events])
    timer.start()
    yield events
    timer.cancel()


def test_a_file_that_the_gpu_had_no_room_for_is_read_again_while_the_station_goes_on(
    station: Path,
    models: Path,
    scene: TinyScene,
    monkeypatch: pytest.MonkeyPatch,
    watchdog: list[threading.Event],
) -> None:
    gpu, seen = FullAtFirst(monkeypatch, 2), UntilPublished()
    watchdog.append(seen.stop)
    (station / "inbox" / "scene.nec").write_bytes(scene.nec)
    config = GroundConfig(
        station=station,
        models=(models,),
        coder="gpu",
        poll_s=0.01,
        stable_s=0,
        settle_s=0,
        package_poll_s=0.05,
    )
    assert serve(config, stop=seen.stop, observer=seen) == ExitCode.OK
    assert gpu.left < 0
    assert len(seen.remarks) == 2
    assert all("too little memory" in line for line in seen.remarks)
    assert products(station)


def test_at_once_the_files_behind_are_done_and_the_one_is_left_for_the_next_run(
    station: Path, models: Path, scene: TinyScene, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    FullAtFirst(monkeypatch, 1)
    config = GroundConfig(station=station, models=(models,), once=True, coder="gpu")
    for name in ("scene.nec", "other.nec"):
        nec = scene.nec if name == "scene.nec" else make_scene(package, seed=9, run=1).nec
        (station / "inbox" / name).write_bytes(nec)
    with pytest.raises(TryAgain, match="too little memory"):
        serve(config)
    assert len(list((station / "products").iterdir())) == 1
    assert serve(config) == ExitCode.OK
    assert len(list((station / "products").iterdir())) == 2
