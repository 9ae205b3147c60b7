"""The TensorRT engine against a stand-in that refuses what 10.3 and 11 refuse, and a driver that records."""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.errors import BackendUnavailable, Corrupt, InputError, InternalError, LimitExceeded, SwathpackError
from codec.package import Package
from onboard.cuda_memory import CudaMemory
from onboard.engine import OnnxRuntimeEngine, open_engine
from onboard.parity_tiles import ParityTiles
from onboard.tensorrt_build import BuildOptions
from onboard.tensorrt_cache import KEEP, PlanCache, power_mode
from onboard.tensorrt_engine import TensorRtEngine
from tests.onboard.fake_tensorrt import FakeTensorRt, RecordingMemory
from tests.onboard.tiny_graph import save, tiny_encoder

VERSIONS = ("10.3.0", "11.4.0")
Opener = Callable[..., TensorRtEngine]


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opener(tmp_path: Path, version: str) -> Opener:
    """Opens the tiny graph, or another, in one cache; keeps the stand-ins in `.module` and `.memory`."""

    def opened(path: Path | None = None, **kwargs: Any) -> TensorRtEngine:
        memory = kwargs.pop("memory", None) or RecordingMemory()
        module = FakeTensorRt(kwargs.pop("version", version), memory, frozenset(kwargs.pop("fails", ())))
        opened.module, opened.memory = module, memory  # type: ignore[attr-defined]
        graph = path or save(tiny_encoder(), tmp_path / "tiny.onnx")
        return TensorRtEngine(
            graph, module=module, memory=memory, cache=PlanCache(tmp_path / "cache"), **kwargs
        )

    return opened


def feeds(n: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(n)
    bands = rng.integers(0, 2, (n, 2)).astype(np.float32)
    return rng.random((n, 2, 8, 8), np.float32), bands, np.ones((n, 8, 8), np.float32)


@pytest.mark.parametrize("n", [1, 32, 33, 70])
def test_latents_are_those_of_the_graph_for_any_number_of_tiles(
    opener: Opener, tmp_path: Path, n: int
) -> None:
    engine = opener()
    expected = OnnxRuntimeEngine(tmp_path / "tiny.onnx").run(*feeds(n))
    found = engine.run(*feeds(n))
    assert list(found) == list(expected) == ["tokens"]
    np.testing.assert_array_equal(found["tokens"], expected["tokens"])
    assert found["tokens"].dtype == np.float32


def test_the_shipped_graph_runs_with_all_its_outputs(
    opener: Opener, package: Package, tiles: ParityTiles
) -> None:
    path = package.path("encoder.onnx")
    engine = opener(path, sha256=package.manifest.files["encoder.onnx"].sha256)
    given = tiles.pixels[:3], tiles.bands[:3], tiles.validity[:3]
    expected = OnnxRuntimeEngine(path).run(*given)
    found = engine.run(*given)
    assert engine.planes == tuple(expected)
    for name, latent in expected.items():
        np.testing.assert_allclose(found[name], latent, rtol=0, atol=1e-5 * np.abs(latent).max())


def test_networks_are_strongly_typed_and_no_flag_is_set(opener: Opener, version: str) -> None:
    """On 10.3 by the flag, bit 1; on 11, which has no other kind, by nothing. Touching a builder flag would raise."""
    opener()
    assert opener.module.calls("create_network") == [2 if version.startswith("10") else 0]  # type: ignore[attr-defined]


def test_the_profile_covers_what_is_run(opener: Opener) -> None:
    opener(options=BuildOptions(batches=(1, 4, 8), workspace_bytes=1 << 20)).run(*feeds(21))
    module = opener.module  # type: ignore[attr-defined]
    (profile,) = module.calls("add_optimization_profile")
    assert profile["pixels"] == ((1, 2, 8, 8), (4, 2, 8, 8), (8, 2, 8, 8))
    assert profile["bands"] == ((1, 2), (4, 2), (8, 2))
    assert module.calls("set_memory_pool_limit") == [1 << 20]
    shapes = [shape for name, shape in module.calls("set_input_shape") if name == "pixels"]
    assert [shape[0] for shape in shapes] == [8, 8, 5]


def test_a_second_start_builds_nothing(opener: Opener) -> None:
    assert opener().built
    again = opener()
    assert not again.built
    assert opener.module.calls("build_serialized_network") == []  # type: ignore[attr-defined]
    assert again.run(*feeds(2))["tokens"].shape == (2, 3, 4)


@pytest.mark.parametrize("what", ["version", "device", "capability", "options", "graph", "power mode"])
def test_whatever_a_plan_depends_on_makes_another(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    opener()
    changed: dict[str, Any] = {
        "version": {"version": "10.4.0"},
        "device": {"memory": RecordingMemory(name="Other")},
        "capability": {"memory": RecordingMemory(compute_capability="sm_72")},
        "options": {"options": BuildOptions(batches=(1, 8, 16))},
        "graph": {"path": save(tiny_encoder(scale=2.0), tmp_path / "other.onnx")},
    }
    if what == "power mode":
        monkeypatch.setattr("onboard.tensorrt_engine.power_mode", lambda: "pmode:0002")
    assert opener(**changed.get(what, {})).built
    assert len(list((tmp_path / "cache").glob("*.plan"))) == 2  # the last good one stays


@pytest.mark.parametrize("damage", ["cut", "flipped", "another note", "no note"])
def test_a_damaged_plan_is_built_again_and_never_loaded(opener: Opener, tmp_path: Path, damage: str) -> None:
    opener()
    (plan,) = (tmp_path / "cache").glob("*.plan")
    note = plan.with_suffix(".json")
    data = plan.read_bytes()
    if damage == "cut":
        plan.write_bytes(data[:-1])
    elif damage == "flipped":
        plan.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "another note":
        note.write_text(json.dumps(json.loads(note.read_text()) | {"key": {}}))
    else:
        note.unlink()
    assert opener().built
    assert plan.read_bytes() == data


def test_the_cache_does_not_grow_without_end(tmp_path: Path, opener: Opener) -> None:
    mine = tmp_path / "cache" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    for i in range(KEEP + 3):
        opener(options=BuildOptions(batches=(1, 1, 1 + i)))
    plans = list((tmp_path / "cache").glob("*.plan"))
    assert len(plans) == KEEP
    assert {plan.with_suffix(".json") for plan in plans} == set((tmp_path / "cache").glob("*.json"))
    assert mine.read_text() == "mine"


def test_timings_are_handed_to_the_next_build(opener: Opener, tmp_path: Path) -> None:
    opener()
    opener(options=BuildOptions(batches=(1, 8, 16)))
    assert opener.module.calls("create_timing_cache") == [b"+"]  # type: ignore[attr-defined]


def test_timings_of_another_device_are_dropped_and_the_build_done_without(
    opener: Opener, tmp_path: Path
) -> None:
    opener()
    (timings,) = (tmp_path / "cache").glob("*.timings")
    timings.write_bytes(b"other device")
    assert opener(options=BuildOptions(batches=(1, 8, 16))).built
    assert opener.module.calls("create_timing_cache") == [b"other device", b""]  # type: ignore[attr-defined]
    assert timings.read_bytes() == b"+"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ("create_network", InputError, "no network: no network today"),
        ("parse", InputError, "cannot parse the graph: In node 7"),
        ("create_timing_cache", InputError, "refuses the timing cache: it gave no reason"),
        ("add_optimization_profile", InputError, "range of batches"),
        ("build_serialized_network", InputError, "cannot build the graph: Could not find any implementation"),
        ("deserialize_cuda_engine", InputError, "cannot load the plan it built: The engine plan file"),
        ("create_execution_context", InputError, "cannot prepare the plan: Out of memory"),
        ("set_tensor_address", InternalError, "refuses the address"),
        ("set_input_shape", InternalError, "refuses the shape"),
        ("execute_async_v3", InputError, "cannot run the plan: Cuda Runtime"),
    ],
)
def test_every_call_that_fails_by_its_value_is_an_error_with_the_reason(
    opener: Opener, tmp_path: Path, call: str, error: type[SwathpackError], words: str
) -> None:
    with pytest.raises(error, match=words):
        opener(fails={call}).run(*feeds(1))
    if call in ("create_network", "parse", "create_timing_cache", "build_serialized_network"):
        assert not list(tmp_path.glob("cache/*"))  # nothing half-written


def test_inputs_that_do_not_fit_never_reach_the_device(opener: Opener) -> None:
    engine = opener()
    pixels, bands, validity = feeds(2)
    pixels[0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        engine.run(pixels, bands, validity)
    assert opener.module.calls("execute_async_v3") == []  # type: ignore[attr-defined]


def test_one_tile_that_is_not_finite_keeps_no_other_back(opener: Opener, tmp_path: Path) -> None:
    engine = opener(save(tiny_encoder(scale=3e38), tmp_path / "large.onnx"))
    pixels, bands, validity = feeds(3)
    pixels[:] = 0.5
    pixels[1] *= 10  # beyond float32 after the scale
    latents = engine.run(pixels, np.ones_like(bands), np.ones_like(validity))["tokens"]
    assert np.isfinite(latents).all(axis=(1, 2)).tolist() == [True, False, True]


def test_closing_gives_the_memory_back(opener: Opener) -> None:
    engine = opener()
    assert len(opener.memory.blocks) == 4  # type: ignore[attr-defined]
    engine.close()
    engine.close()
    assert not opener.memory.blocks  # type: ignore[attr-defined]


def test_another_hash_than_the_manifests_is_refused(opener: Opener) -> None:
    with pytest.raises(Corrupt, match="not the one of the manifest"):
        opener(sha256="0" * 64)


def test_the_info_names_device_and_version(opener: Opener, version: str) -> None:
    info = opener().info
    assert (info.backend, info.version, info.provider) == ("tensorrt", version, "Fake Orin sm_87")


@pytest.mark.parametrize(("backend", "module"), [("tensorrt", "tensorrt"), ("tensorrt-rtx", "tensorrt_rtx")])
def test_without_the_library_the_back_end_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendUnavailable, match=f"{backend} cannot be loaded"):
        open_engine(save(tiny_encoder(), tmp_path / "tiny.onnx"), backend=backend)


def test_the_power_mode_is_what_nvpmodel_notes(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("pmode:0002\n")
    assert power_mode(tmp_path / "status") == "pmode:0002"
    assert power_mode(tmp_path / "absent") == "none"


class RecordingDriver:
    """libcuda for a device with 64 bytes; statuses by the CUDA driver API."""

    def __init__(self, **fails: int) -> None:
        self.fails = fails
        self.calls: list[str] = []
        self.heap = (ctypes.c_char * 64)()
        self.used = False

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            self.calls.append(name)
            return self.fails.get(name) or getattr(self, f"do_{name}", lambda *_: 0)(*arguments)

        if name.startswith("do_"):
            raise AttributeError(name)
        return call

    def do_cuDeviceGetName(self, name: Any, length: Any, device: Any) -> int:
        assert length.value == 256
        name.value = b"Orin"
        return 0

    def do_cuDeviceGetAttribute(self, value: Any, attribute: Any, device: Any) -> int:
        value._obj.value = {75: 8, 76: 7}[attribute.value]
        return 0

    def do_cuMemAlloc_v2(self, address: Any, size: Any) -> int:
        if size.value > 64:
            return 2
        address._obj.value = ctypes.addressof(self.heap)
        return 0

    def do_cuMemcpyHtoDAsync_v2(self, to: Any, source: Any, size: Any, stream: Any) -> int:
        ctypes.memmove(to.value, source, size.value)
        return 0

    def do_cuMemcpyDtoHAsync_v2(self, to: Any, source: Any, size: Any, stream: Any) -> int:
        ctypes.memmove(to, source.value, size.value)
        return 0


def test_the_driver_is_asked_for_what_the_seam_promises() -> None:
    driver = RecordingDriver()
    memory = CudaMemory(driver)
    assert (memory.name, memory.compute_capability) == ("Orin", "sm_87")
    address = memory.allocate(64)
    there, back = np.arange(16, dtype=np.float32), np.zeros(16, np.float32)
    memory.upload(address, there)
    memory.download(back, address)
    memory.synchronise()
    memory.free(address)
    np.testing.assert_array_equal(back, there)
    assert driver.calls[0] == "cuInit"
    assert driver.calls[-2:] == ["cuStreamSynchronize", "cuMemFree_v2"]
    with pytest.raises(ValueError, match="contiguous"):
        memory.upload(address, there[::2])


def test_a_full_device_is_a_limit_and_other_failures_a_missing_back_end() -> None:
    with pytest.raises(LimitExceeded, match="no memory left"):
        CudaMemory(RecordingDriver()).allocate(65)
    with pytest.raises(BackendUnavailable, match=r"refuses cuInit \(found error 100\)"):
        CudaMemory(RecordingDriver(cuInit=100))


def test_without_a_driver_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(BackendUnavailable, match="no CUDA driver is here"):
        CudaMemory()
