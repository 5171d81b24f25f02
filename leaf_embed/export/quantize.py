"""Int8 graphs in several recipes, from the fastest to the most exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed.export import graph_files
from leaf_embed.export.graph import quiet_exporters
from leaf_embed.export.graph_files import load_graph, remove_graph, save_graph, weight_bytes
from leaf_embed.export.smoothquant import Feeds, Smoothed, smooth

__all__ = ["LADDER", "Int8Recipe", "Quantizer"]

SMALL = 1024  # values; a smaller table is not worth the extra steps of the graph


@dataclass(frozen=True)
class Int8Recipe:
    """A recipe for an int8 graph. All have one scale per output channel; activations are quantized as they come.

    Attributes:
        name: Its name in ``parity.json``.
        smooth: Whether activations are smoothed first; see :mod:`leaf_embed.export.smoothquant`.
        row_tables: Whether the token table has one scale per token instead of one in all.
        keep_float: Number of MatMuls that stay float32, the hardest ones.
    """

    name: str
    smooth: bool = False
    row_tables: bool = False
    keep_float: int = 0


LADDER = (
    Int8Recipe("smoothed, row tables", smooth=True, row_tables=True),
    Int8Recipe("smoothed, row tables, 1 MatMul in float32", smooth=True, row_tables=True, keep_float=1),
    Int8Recipe("smoothed, row tables, 3 MatMuls in float32", smooth=True, row_tables=True, keep_float=3),
)
"""From the fastest to the most exact; the first that is exact enough is kept. Without smoothing and row tables a query
is 6 % faster and 1 - cosine four times as large (examples/LOG.md)."""


class Quantizer:
    """Writes a float32 graph as int8 by any recipe; what recipes share is computed once."""

    def __init__(self, source: Path, feeds: Sequence[Feeds]) -> None:
        """Reads a graph.

        Args:
            source: The float32 graph.
            feeds: Its inputs for some real texts, from which the scales are computed.
        """
        from onnxruntime.quantization.onnx_model import ONNXModel

        model = ONNXModel(load_graph(source))
        model.replace_gemm_with_matmul()  # the quantizer would, but only after the smoothing that they need too
        model.clean_initializers()  # it leaves the weights that it has turned round: ONNX Runtime would warn of each
        self._model = model.model
        del self._model.graph.value_info[:]  # the quantizer turns the Dense's weight round and trips over its old shape
        self._feeds = feeds
        self._smoothed: Smoothed | None = None

    def write(self, recipe: Int8Recipe, target: Path) -> None:
        """Writes the int8 graph of a recipe."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        model: Any = self._model
        hardest: tuple[str, ...] = ()
        if recipe.smooth:
            self._smoothed = self._smoothed or smooth(self._model, self._feeds)
            model, hardest = self._smoothed.model, self._smoothed.hardest[: recipe.keep_float]
        tables = _tables(model.graph) if recipe.row_tables else []
        start = target.with_suffix(".start")
        save_graph(model, start)
        with quiet_exporters():
            quantize_dynamic(
                start,
                target,
                per_channel=True,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[*hardest, *tables] or None,
                use_external_data_format=weight_bytes(model) > graph_files.EXTERNAL_ABOVE,
            )
        remove_graph(start)
        written = load_graph(target)
        for name in tables:
            _quantize_rows(written.graph, name)
        save_graph(written, target)


def _tables(graph: Any) -> list[str]:
    """Names of the lookups in large float32 tables that nothing else reads."""
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer if len(tensor.dims) == 2}
    return [
        node.name
        for node in graph.node
        if node.op_type == "Gather" and sizes.get(node.input[0], 0) >= SMALL and _users(graph, node.input[0]) == 1
    ]


def _users(graph: Any, name: str) -> int:
    return sum(list(node.input).count(name) for node in graph.node)


def _quantize_rows(graph: Any, lookup: str) -> None:
    """Stores a table in int8, and multiplies after looking up: ``int8[row] * scale[row] * channel``.

    The channels are brought to one size first: a few large ones would leave the others some levels of the 255 each.
    """
    from onnx import TensorProto, helper, numpy_helper

    node = next(node for node in graph.node if node.name == lookup)
    tensor = next(tensor for tensor in graph.initializer if tensor.name == node.input[0])
    table = numpy_helper.to_array(tensor)
    channel: NDArray[np.float32] = np.maximum(np.sqrt(np.square(table).mean(axis=0)), 1e-12).astype(np.float32)
    table = table / channel
    scale: NDArray[np.float32] = (np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12) / 127).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(np.round(table / scale).astype(np.int8), tensor.name))
    graph.initializer.append(numpy_helper.from_array(scale, f"{tensor.name}_row_scale"))
    graph.initializer.append(numpy_helper.from_array(channel, f"{tensor.name}_channel"))
    output = node.output[0]
    node.output[0] = f"{output}_int8"
    steps = [
        helper.make_node("Cast", [f"{output}_int8"], [f"{output}_float"], name=f"{lookup}_cast", to=TensorProto.FLOAT),
        helper.make_node(
            "Gather", [f"{tensor.name}_row_scale", node.input[1]], [f"{output}_scale"], name=f"{lookup}_scale"
        ),
        helper.make_node("Mul", [f"{output}_float", f"{output}_scale"], [f"{output}_scaled"], name=f"{lookup}_scaled"),
        helper.make_node("Mul", [f"{output}_scaled", f"{tensor.name}_channel"], [output], name=f"{lookup}_channel"),
    ]
    _insert_after(graph, node, steps)


def _insert_after(graph: Any, node: Any, steps: Sequence[Any]) -> None:
    index = next(number for number, other in enumerate(graph.node) if other.name == node.name)
    for step in reversed(steps):
        graph.node.insert(index + 1, step)
