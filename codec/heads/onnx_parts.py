"""The pieces that graphs of heads are made of: planes in, masks, pooling, and the checked file at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from codec.errors import InputError
from codec.heads.graph import IR_VERSION, OPSET

Planes = Sequence[tuple[str, int]]  # (name, channels) in the order of the features
VALIDITY = "validity"


class GraphParts:
    """A graph in the making. Inputs: planes by name N×h×w×C; `masked` adds `validity` N×h×w, float32 in {0, 1}.

    Without the mask every token counts, as the ground feeds heads today.
    """

    def __init__(self, planes: Planes, *, masked: bool) -> None:
        if not planes or VALIDITY in dict(planes):
            raise InputError(
                "a head takes at least one plane, and none of them is called validity", found=planes
            )
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, npt.NDArray[Any]] = {}
        self._count = 0
        self._inputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tiles", "rows", "cols", channels])
            for name, channels in planes
        ]
        self.channels = sum(channels for _, channels in planes)
        self.masked = masked
        if masked:
            shape = ["tiles", "rows", "cols"]
            self._inputs.append(helper.make_tensor_value_info(VALIDITY, TensorProto.FLOAT, shape))
        self._planes = [name for name, _ in planes]

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """One node; the name of its output."""
        self._count += 1
        name = f"{operator.lower()}_{self._count}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def top(self, values: str, k: int) -> tuple[str, str]:
        """The k largest along the last axis, largest first: values and indices."""
        self._count += 1
        names = (f"top_{self._count}", f"top_at_{self._count}")
        self._nodes.append(
            helper.make_node("TopK", [values, self.constant([k], np.int64)], list(names), axis=-1)
        )
        return names

    def constant(self, value: npt.ArrayLike, dtype: type = np.float32) -> str:
        self._count += 1
        name = f"constant_{self._count}"
        self._constants[name] = np.ascontiguousarray(np.asarray(value, dtype))
        return name

    def tokens(self) -> str:
        """All planes side by side, N×h×w×C; invalid tokens become the mean of their tile's valid ones."""
        x = self.add("Concat", *self._planes, axis=3)
        if not self.masked:
            return x
        valid, mean = self._valid(), self._mean(x)
        return self.add("Where", valid, x, mean)

    def pooled(self) -> str:
        """Mean ‖ standard deviation over the valid tokens, N×2C, as `mean_and_spread`."""
        x = self.tokens()  # filled with the mean: the squares below add nothing there
        axes = self.constant([1, 2], np.int64)
        mean = self._mean(self.add("Concat", *self._planes, axis=3))
        centred = self.add("Sub", x, mean)
        squares = self.add("Mul", centred, centred)
        if self.masked:
            total = self.add("ReduceSum", squares, axes, keepdims=0)
            variance = self.add("Div", total, self.add("Squeeze", self._counted(), axes))
        else:
            variance = self.add("ReduceMean", squares, axes, keepdims=0)
        return self.add("Concat", self.add("Squeeze", mean, axes), self.add("Sqrt", variance), axis=1)

    def flat_validity(self) -> str:
        """N×L×1 in {0, 1}; only of a masked graph."""
        return self.add("Reshape", VALIDITY, self.constant([0, -1, 1], np.int64))

    def _valid(self) -> str:
        column = self.add("Unsqueeze", VALIDITY, self.constant([3], np.int64))
        return self.add("Greater", column, self.constant(0.5))

    def _counted(self) -> str:
        """Number of valid tokens, at least 1, N×1×1×1."""
        column = self.add("Unsqueeze", VALIDITY, self.constant([3], np.int64))
        total = self.add("ReduceSum", column, self.constant([1, 2], np.int64), keepdims=1)
        return self.add("Max", total, self.constant(1.0))

    def _mean(self, x: str) -> str:
        """Over the valid tokens, N×1×1×C."""
        axes = self.constant([1, 2], np.int64)
        if not self.masked:
            return self.add("ReduceMean", x, axes, keepdims=1)
        shown = self.add("Where", self._valid(), x, self.constant(0.0))  # not a product: 0 · NaN is NaN
        return self.add("Div", self.add("ReduceSum", shown, axes, keepdims=1), self._counted())

    def finish(self, output: str, name: str, shape: Sequence[str | int]) -> bytes:
        """The file, checked, with `output` under its public name (`logits` or `values`)."""
        nodes = [*self._nodes, helper.make_node("Identity", [output], [name])]
        graph = helper.make_graph(
            nodes,
            "head",
            self._inputs,
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(value, key) for key, value in self._constants.items()],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            producer_name="swathpack",
            ir_version=IR_VERSION,
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))
