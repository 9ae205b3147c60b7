"""What export does to a traced graph: constants folded, precision written in, integers put in. On a network of ten nodes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from codec.errors import InputError
from onboard.engine_graph import check_calibration, engine_file
from onboard.graph_edit import (
    arrays_of,
    bfloat16_bits,
    element_types,
    fold_constants,
    learned_region,
    low_tensor,
    prune,
)
from onboard.lowering import emulated, lower
from onboard.parity_tiles import ParityTiles
from onboard.quantised_graph import quantise, sites
from tests.onboard.small_network import END, batch, run, small_network

HALF, BFLOAT = TensorProto.FLOAT16, TensorProto.BFLOAT16


def gelu(x: np.ndarray) -> np.ndarray:
    from math import erf

    return np.asarray(x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2))), np.float32)


def test_the_network_begins_at_its_first_weight_and_ends_at_the_embedding() -> None:
    region = [node.output[0] for node in learned_region(small_network().graph, [END])]
    assert region == ["stemmed", "active", "product", "biased", "features", END]


def test_half_precision_reaches_the_network_and_nothing_else() -> None:
    model = small_network()
    lower(model, "fp16", [END])
    onnx.checker.check_model(model, full_check=True)
    types = element_types(model)
    assert {name for name, kind in types.items() if kind == HALF} == {
        "patches_fp16", "stem_fp16", "stemmed", "active", "middle_fp16", "product", "bias_fp16", "biased",
        "features", "last_fp16", END,
    }  # fmt: skip
    assert "stem" not in arrays_of(model.graph)  # weights are not stored twice
    assert [types[name] for name in ("normalised", "mean", "latent_tokens")] == [TensorProto.FLOAT] * 3


def test_half_precision_costs_what_it_must() -> None:
    """Eleven significant bits: 2⁻¹¹ relative for a rounding, a few of them in a row."""
    model = small_network()
    (expected,) = run(model)
    lower(model, "fp16", [END])
    (found,) = run(model)
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert 0 < error < 8 * 2**-11


def test_an_operator_without_the_type_stays_single() -> None:
    """Convolution has no bfloat16 before operator set 22."""
    model = small_network(conv=True)
    lower(model, "bf16", [END])
    onnx.checker.check_model(model, full_check=True)
    types = element_types(model)
    assert (types["convolved"], types["stem"], types["product"]) == (
        TensorProto.FLOAT,
        TensorProto.FLOAT,
        BFLOAT,
    )


def lengths(weights: np.ndarray, width: int) -> onnx.ModelProto:
    """x·W, its first half made as much longer as all of it is than the second: how adapters hold vectors to a length."""
    half = np.array([width // 2, width // 2], np.int64)
    constants = {
        "weights": weights,
        "two": np.float32(2),
        "axis": np.array([1]),
        "least": np.float32(1e-24),
        "half": half,
    }
    nodes = [
        helper.make_node("MatMul", ["x", "weights"], ["moved"]),
        helper.make_node("Split", ["moved", "half"], ["first", "second"], axis=1),
        helper.make_node("Pow", ["moved", "two"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "axis"], ["sum"], keepdims=1),
        helper.make_node("Pow", ["second", "two"], ["other_squares"]),
        helper.make_node("ReduceSum", ["other_squares", "axis"], ["other_sum"], keepdims=1),
        helper.make_node("Clip", ["other_sum", "least"], ["some"]),
        helper.make_node("Div", ["sum", "some"], ["quotient"]),
        helper.make_node("Sqrt", ["quotient"], ["ratio"]),
        helper.make_node("Mul", ["ratio", "first"], [END]),
    ]
    graph = helper.make_graph(
        nodes, "lengths",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, width])],
        [helper.make_tensor_value_info(END, TensorProto.FLOAT, [1, width // 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("engine", ["fp16", "bf16"])
def test_lengths_keep_a_range_that_half_precision_has_not(engine: str) -> None:
    """Squares of numbers that fit half precision need not. On a CPU ONNX Runtime computes in single, so types are asked."""
    rng = np.random.default_rng(0)
    model = lengths(rng.standard_normal((64, 64)).astype(np.float32), 64)
    model.graph.node.append(helper.make_node("Identity", [END], ["out"]))
    model.graph.output[0].name = "out"
    lower(model, engine, [END])
    types = element_types(model)
    single = {"squares", "sum", "other_squares", "other_sum", "some", "quotient", "ratio"}
    assert {name for name in single | {"moved", "first", END} if types[name] == TensorProto.FLOAT} == single


def test_bfloat16_is_rounded_as_the_format_says() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 0.0, -0.0, 2.0**-130], np.float32)
    values = np.concatenate(
        [ties, (rng.standard_normal(4096) * 10.0 ** rng.integers(-30, 30, 4096)).astype(np.float32)]
    )
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(bfloat16_bits(values), expected)


def test_the_emulation_rounds_between_operators_and_keeps_the_weights() -> None:
    """Against roundings written here; sums may differ by the order of their terms, so by one unit in the last place."""
    model = small_network()
    weights = arrays_of(model.graph)
    lower(model, "bf16", [END])
    model = emulated(model)
    names = ("patches_bf16", "stemmed", "active", "product", "biased", "features", END)
    found = dict(zip(names, run(model, tensors=names), strict=True))

    def rounded(x: np.ndarray) -> np.ndarray:
        return (bfloat16_bits(x).astype(np.uint32) << 16).view(np.float32)

    for values in found.values():  # ONNX Runtime might have taken casts there and back out
        np.testing.assert_array_equal(values, rounded(values))
    steps = {
        "patches_bf16": (batch()[0] - np.float32(0.25)).reshape(-1, 32),
        "stemmed": found["patches_bf16"] @ rounded(weights["stem"]),
        "active": gelu(found["stemmed"]),
        "product": found["active"] @ rounded(weights["middle"]),
        "biased": found["product"] + rounded(weights["bias"]),
        "features": gelu(found["biased"]),
        END: found["features"] @ rounded(weights["last"]),
    }
    for name, exact in steps.items():
        np.testing.assert_allclose(found[name], exact, rtol=2**-8, atol=1e-6, err_msg=name)
        if name not in ("active", "features"):  # the runtime's own approximation of erf
            assert (found[name] == rounded(exact)).mean() > 0.99, name


@pytest.mark.parametrize(("kind", "large"), [(HALF, 7e4), (BFLOAT, 3.4e38)])
def test_weights_beyond_the_range_are_refused(kind: int, large: float) -> None:
    with pytest.raises(InputError, match=r"values of w do not fit .*FLOAT16"):
        low_tensor(np.array([1.0, large], np.float32), kind, "w")


def test_constants_are_folded_and_what_nothing_needs_goes() -> None:
    model = small_network()
    graph = model.graph
    weight = arrays_of(graph)["stem"]
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(weight.T), "stem_turned"))
    graph.node.insert(0, helper.make_node("Transpose", ["stem_turned"], ["turned"], perm=[1, 0]))
    two = numpy_helper.from_array(np.float32(2).reshape(()), "two")
    graph.node.insert(0, helper.make_node("Constant", [], ["two"], value=two))
    graph.node.insert(2, helper.make_node("Mul", ["turned", "two"], ["doubled"]))
    graph.node.append(helper.make_node("Abs", ["pixels"], ["nobody"]))
    next(node for node in graph.node if node.output[0] == "stemmed").input[1] = "doubled"
    expected = run(model)
    fold_constants(model)
    assert {"Transpose", "Constant", "Mul", "Abs"}.isdisjoint({node.op_type for node in model.graph.node})
    np.testing.assert_array_equal(arrays_of(model.graph)["doubled"], 2 * weight)
    assert {"stem", "stem_turned", "two", "turned"}.isdisjoint(arrays_of(model.graph))
    np.testing.assert_array_equal(run(model), expected)


def test_pruning_keeps_what_an_output_needs() -> None:
    model = small_network()
    before = [node.output[0] for node in model.graph.node]
    prune(model.graph)
    assert [node.output[0] for node in model.graph.node] == before


@pytest.mark.parametrize("conv", [False, True])
def test_the_first_and_the_last_weight_stay_in_float(conv: bool) -> None:
    (site,) = sites(small_network(conv=conv), [END])
    assert (site.activation, site.weight, site.axis) == ("active", "middle", 1)


def test_integers_are_the_formula_of_the_operators() -> None:
    """ONNX QuantizeLinear: saturate(round half to even (x / step)); weights by channel, the largest is 127."""
    model = small_network()
    weight = arrays_of(model.graph)["middle"]
    active, *_ = run(model, tensors=("active",))
    quantise(model, sites(model, [END]), {"active": 0.2})
    onnx.checker.check_model(model, full_check=True)
    (product,) = run(model, tensors=("product",))
    step = np.float32(0.2 / 127)
    q = np.clip(np.rint(active / step), -128, 127) * step
    steps = np.abs(weight).max(axis=0) / 127
    w = np.rint(weight / steps)
    assert np.abs(w).max(axis=0).tolist() == [127.0] * 8
    np.testing.assert_array_equal(arrays_of(model.graph)["middle_int8"], w)
    assert (np.abs(active) > 0.2).any()  # some are clipped
    np.testing.assert_allclose(product, q @ (w * steps), rtol=1e-4, atol=1e-4)
    assert "middle" not in arrays_of(model.graph)


def test_a_weight_channel_of_zeros_stays_zero() -> None:
    model = small_network()
    for tensor in model.graph.initializer:
        if tensor.name == "middle":
            values = numpy_helper.to_array(tensor).copy()
            values[:, 3] = 0
            tensor.CopyFrom(numpy_helper.from_array(values, "middle"))
    quantise(model, sites(model, [END]), {"active": 1.0})
    (product,) = run(model, tensors=("product",))
    assert (product[:, 3] == 0).all()
    assert np.isfinite(product).all()


@pytest.mark.parametrize("largest", [0.0, float("nan"), float("inf"), None])
def test_an_activation_without_a_range_is_refused(largest: float | None) -> None:
    model = small_network()
    ranges = {} if largest is None else {"active": largest}
    with pytest.raises(InputError, match="says nothing of activation active"):
        quantise(model, sites(model, [END]), ranges)


def tiles_of(n: int, bands: tuple[float, ...] = (1.0, 1.0)) -> ParityTiles:
    pixels, _, validity = batch(n)
    return ParityTiles(pixels, np.tile(np.array(bands, np.float32), (n, 1)), validity, ["a test"])


def test_equal_calibration_gives_equal_engines() -> None:
    first, second = (engine_file(small_network(), "int8", ["tokens"], tiles_of(40)) for _ in range(2))
    assert first.data == second.data
    assert first.calibration is not None
    assert (first.calibration["tiles"], first.calibration["matrices"]) == (40, 1)


def test_an_empty_calibration_set_is_refused() -> None:
    for tiles in (None, tiles_of(0)):
        with pytest.raises(InputError, match="calibration set is empty"):
            engine_file(small_network(), "int8", ["tokens"], tiles)
    with pytest.raises(InputError, match="calibration set is empty"):
        check_calibration(tiles_of(0), tiles_of(4), ["red", "nir"])


def test_a_calibration_set_that_lacks_a_band_of_the_proof_is_of_another_sensor() -> None:
    check_calibration(tiles_of(4, (1.0, 1.0)), tiles_of(4, (1.0, 0.0)), ["red", "nir"])
    with pytest.raises(InputError, match=r"another sensor: it has no band nir .*a test"):
        check_calibration(tiles_of(4, (1.0, 0.0)), tiles_of(4), ["red", "nir"])
