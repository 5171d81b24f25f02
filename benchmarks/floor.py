"""The time below which no implementation of a graph can go on this machine.

A query has to read the weights once and to multiply each with every token's activation, those after the pooling with
one alone. So its floor is the larger of bytes / memory bandwidth and operations / peak, both measured here: the first
by summing an array that no cache holds, the second by one large int8 MatMul through ONNX Runtime, one thread each.
Weights that stay in the caches between two queries may beat the first; attention scores, softmax and norms are left out
of the second, so both are lower bounds.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SIDE = 1024
MEGABYTES = 256
REPEATS = 7


@dataclass(frozen=True)
class Floor:
    """Lower bounds for one query.

    Attributes:
        weight_bytes: Of the matrices that every query reads; of tables only rows are read, which do not count.
        operations: Multiplications and additions with these weights.
        bandwidth_gb_s: Of memory, reading, one thread.
        peak_gop_s: Of int8 MatMuls, one thread.
        memory_ms: Bytes over bandwidth.
        compute_ms: Operations over peak.
    """

    weight_bytes: int
    operations: int
    bandwidth_gb_s: float
    peak_gop_s: float
    memory_ms: float
    compute_ms: float

    @property
    def ms(self) -> float:
        """The larger bound."""
        return max(self.memory_ms, self.compute_ms)

    def to_dict(self) -> dict[str, float]:
        """The JSON form, rounded."""
        return {name: round(value, 4) for name, value in asdict(self).items()} | {"ms": round(self.ms, 4)}


def floor_of(graph: Path, tokens: float) -> Floor:
    """Bounds for a query of so many tokens through a graph."""
    found = _matrices(onnx.shape_inference.infer_shapes(onnx.load(graph)).graph)
    size = sum(weight.nbytes for weight, _ in found)
    operations = int(sum(2 * weight.size * (tokens if every else 1) for weight, every in found))
    bandwidth, peak = memory_bandwidth(), int8_peak()
    return Floor(
        weight_bytes=size,
        operations=operations,
        bandwidth_gb_s=bandwidth / 1e9,
        peak_gop_s=peak / 1e9,
        memory_ms=1e3 * size / bandwidth,
        compute_ms=1e3 * operations / peak,
    )


def memory_bandwidth() -> float:
    """Bytes a second that one thread reads from memory; the best of some runs."""
    values = np.ones(MEGABYTES * 1024 * 1024 // 4, dtype=np.float32)
    values.sum()
    return values.nbytes / min(_seconds(values.max) for _ in range(REPEATS))


def int8_peak() -> float:
    """Operations a second of a square int8 MatMul; the best of some runs."""
    generator = np.random.default_rng(0)
    weight = generator.integers(-127, 127, (SIDE, SIDE), dtype=np.int8)
    node = helper.make_node("MatMulInteger", ["a", "b"], ["c"])
    rows = helper.make_tensor_value_info("a", TensorProto.UINT8, [SIDE, SIDE])
    out = helper.make_tensor_value_info("c", TensorProto.INT32, [SIDE, SIDE])
    graph = helper.make_graph([node], "peak", [rows], [out], [numpy_helper.from_array(weight, "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {"a": generator.integers(0, 255, (SIDE, SIDE), dtype=np.uint8)}
    session.run(None, feeds)
    return 2 * SIDE**3 / min(_seconds(lambda: session.run(None, feeds)) for _ in range(REPEATS))


def _seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _matrices(graph: Any) -> list[tuple[Any, bool]]:
    """The weights of MatMuls of any kind, each with whether it meets every token, or, after pooling, a text once."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in graph.value_info}
    return [
        (numpy_helper.to_array(tensors[node.input[1]]), ranks[node.input[0]] > 2)
        for node in graph.node
        if node.op_type in ("MatMul", "Gemm", "MatMulInteger") and node.input[1] in tensors
    ]
