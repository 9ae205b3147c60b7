"""Every engine's graph through the real parser and builder of TensorRT-RTX, which need no GPU.

A check of the graph, not of the engine that flies: it builds for desktop devices (no Orin, no data-centre Hopper), and
nothing is run.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from codec.errors import InputError
from codec.package import Package
from onboard.engine_graph import ENGINES, EngineFile
from onboard.tensorrt_build import BuildOptions, build, load_module, make_log, strongly_typed
from tests.onboard.tiny_graph import tiny_encoder

trt: Any = pytest.importorskip(
    "tensorrt_rtx", reason="tensorrt-rtx is not installed: pip install 'swathpack[trt]'"
)

AMPERE = BuildOptions(compute_capabilities=("SM86",))


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_parses_and_builds(engine: str, engine_files: dict[str, EngineFile]) -> None:
    log = make_log(trt)
    built = build(load_module("tensorrt-rtx"), engine_files[engine].data, AMPERE, log=log)
    assert len(built.plan) > 100_000
    assert log.lines == []


def test_types_come_from_the_graph(
    engine: str, engine_files: dict[str, EngineFile], package: Package
) -> None:
    """Strong typing: what the exporter wrote is what every layer has, and inputs and outputs are what an engine feeds."""
    log = make_log(trt)
    network = trt.Builder(log).create_network(strongly_typed(trt))
    parser = trt.OnnxParser(network, log)
    assert parser.parse(engine_files[engine].data)
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    products = Counter(
        str(layer.get_output(0).dtype).rpartition(".")[2]
        for layer in layers
        if layer.type == trt.LayerType.MATRIX_MULTIPLY
    )
    quantised = sum(layer.type == trt.LayerType.QUANTIZE for layer in layers)
    low = {"fp16": "HALF", "bf16": "BF16"}.get(engine)
    if low is None:
        assert set(products) == {"FLOAT"}
    else:
        # Only the transform of each plane stays single: a product over tokens, and one for each group of frequencies.
        turns = [transform.rotations for transform in package.transforms.values()]
        assert None not in turns
        assert products["FLOAT"] == sum(1 + len(turn.matrices) for turn in turns if turn is not None)
        assert products[low] > 20
    assert (quantised > 10) == (engine == "int8")
    outputs = {network.get_output(i).name: network.get_output(i).dtype for i in range(network.num_outputs)}
    assert outputs == {
        "latent_tokens": trt.float32, "symbols_tokens": trt.int32,
        "latent_spectral": trt.float32, "symbols_spectral": trt.int32,
    }  # fmt: skip


def test_a_graph_it_cannot_parse_is_an_error_with_its_reason() -> None:
    with pytest.raises(InputError, match="TensorRT cannot parse the graph"):
        build(trt, b"not an onnx file", AMPERE)


def test_a_build_that_returns_none_is_an_error_with_its_reason(engine_files: dict[str, EngineFile]) -> None:
    """Turing has no kernels for products in single precision: the real builder returns None and logs."""
    with pytest.raises(InputError, match="TensorRT cannot build the graph: ") as caught:
        build(trt, engine_files["fp32"].data, BuildOptions(compute_capabilities=("SM75",)))
    assert "no reason" not in str(caught.value)


def test_a_device_it_does_not_know_is_named() -> None:
    data = tiny_encoder().SerializeToString()
    with pytest.raises(InputError, match="does not build for SM87"):
        build(trt, data, BuildOptions(compute_capabilities=("SM87",)))
