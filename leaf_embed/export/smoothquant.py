"""Smoothing of a graph's activations before int8 quantization.

All activations of a batch share one int8 scale, while each output channel of a weight has its own. A MatMul's input is
divided by one positive number per channel and the rows of its weight are multiplied by it: the product stays, but a
few channels with large values no longer spoil the common int8 scale of all others. The idea is SmoothQuant's (Xiao et
al., arXiv 2211.10438); the exponent is searched for each MatMul on real activations, as in AWQ (Lin et al., arXiv
2306.00978). In a leaf of MiniLM the input of the second feed-forward MatMul gains most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leaf_embed.export.graph_files import copy_graph, opened_graph
from leaf_embed.vectors import FloatArray

__all__ = ["Feeds", "Smoothed", "smooth"]

Feeds: TypeAlias = Mapping[str, NDArray[np.int64]]
"""A graph's inputs for one text, each of shape ``(1, length)``."""

EXPONENTS = tuple(step / 10 for step in range(11))  # 0 leaves the MatMul as it is
SUFFIX = "_tamed"
TINY = 1e-6


@dataclass(frozen=True)
class Smoothed:
    """A graph whose activations are easier to quantize.

    Attributes:
        model: The ONNX model; computes what the original did, up to float32 rounding.
        hardest: Names of its MatMuls with a weight, by the error that int8 still makes in each, largest first.
    """

    model: Any
    hardest: tuple[str, ...]


def smooth(model: Any, feeds: Sequence[Feeds]) -> Smoothed:
    """Divides the inputs of each MatMul by the channel scales with which int8 errs least.

    Args:
        model: A float32 ``onnx.ModelProto``; left unchanged.
        feeds: Inputs of some real texts, one text each; a few dozen are enough.
    """
    from onnx import numpy_helper

    changed = copy_graph(model)
    weights = {tensor.name: tensor for tensor in changed.graph.initializer}
    groups = _by_input(changed.graph, weights)
    inputs = _activations(model, list(groups), feeds)
    errors: dict[str, float] = {}
    for name, nodes in groups.items():
        parts = [numpy_helper.to_array(weights[node.input[1]]) for node in nodes]
        scale, error = channel_scale(inputs[name], np.concatenate(parts, axis=1))
        errors |= {node.name: error for node in nodes}
        if scale is None:
            continue
        for node, part in zip(nodes, parts, strict=True):
            tensor = weights[node.input[1]]
            tensor.CopyFrom(numpy_helper.from_array(part * scale[:, None], tensor.name))
            node.input[0] = name + SUFFIX
        _insert_division(changed.graph, nodes[0], name, scale)
    return Smoothed(changed, tuple(sorted(errors, key=lambda name: -errors[name])))


def channel_scale(blocks: Sequence[FloatArray], weight: FloatArray) -> tuple[FloatArray | None, float]:
    """Returns the scale of each input channel with which an int8 MatMul errs least, and that error.

    Args:
        blocks: Activations of one text each, shape ``(tokens, channels)``.
        weight: Shape ``(channels, outputs)``.

    Returns:
        Scales at least 1, shape ``(channels,)``, or ``None`` if none helps; and the mean squared error as a share of
        the output's variance.
    """
    exact = np.concatenate(blocks) @ weight
    peaks = np.maximum(np.abs(np.concatenate(blocks)).max(axis=0), TINY)
    best: FloatArray | None = None
    least = np.inf
    for exponent in EXPONENTS:
        power = peaks**exponent
        scale = np.maximum(power / np.median(power), 1).astype(np.float32)  # only tames, never blows up, a channel
        found = np.concatenate([_as_uint8(block / scale) for block in blocks]) @ _as_int8(weight * scale[:, None])
        error = float(np.square(found - exact).mean() / max(float(exact.var()), TINY))
        if error < least:
            best, least = (scale if exponent else None), error
    return best, least


def _as_uint8(block: FloatArray) -> FloatArray:
    """Rounded as ONNX Runtime's DynamicQuantizeLinear does it: one scale and zero point for the whole array."""
    low, high = min(float(block.min()), 0.0), max(float(block.max()), 0.0)
    step = max(high - low, TINY) / 255
    zero = np.round(-low / step)
    rounded: FloatArray = ((np.clip(np.round(block / step) + zero, 0, 255) - zero) * step).astype(np.float32)
    return rounded


def _as_int8(weight: FloatArray) -> FloatArray:
    """Rounded with one scale per output channel."""
    step = np.maximum(np.abs(weight).max(axis=0, keepdims=True), TINY) / 127
    rounded: FloatArray = (np.round(weight / step) * step).astype(np.float32)
    return rounded


def _by_input(graph: Any, weights: Mapping[str, Any]) -> dict[str, list[Any]]:
    """MatMuls by a weight that no other node uses, grouped by the tensor they read: query, key and value share one."""
    uses: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    groups: dict[str, list[Any]] = {}
    for node in graph.node:
        if node.op_type != "MatMul" or uses.get(node.input[1]) != 1:
            continue
        tensor = weights.get(node.input[1])
        if tensor is not None and len(tensor.dims) == 2:
            groups.setdefault(node.input[0], []).append(node)
    return groups


def _activations(model: Any, names: Sequence[str], feeds: Iterable[Feeds]) -> dict[str, list[FloatArray]]:
    """The values of the named tensors for each text, as ``(tokens, channels)``."""
    if not names:
        return {}  # called without names, ONNX Runtime returns every output
    import onnx

    shown = copy_graph(model)
    shown.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    found: dict[str, list[FloatArray]] = {name: [] for name in names}
    with opened_graph(shown) as session:
        for feed in feeds:
            for name, value in zip(names, session.run(list(names), dict(feed)), strict=True):
                found[name].append(np.asarray(value, dtype=np.float32).reshape(-1, value.shape[-1]))
    return found


def _insert_division(graph: Any, before: Any, name: str, scale: FloatArray) -> None:
    """Puts ``name / scale`` in front of a node; a multiplication is faster.

    The quantizer names what it makes ``<tensor>_scale``, ``<tensor>_quantized`` and the like: those are taken.
    """
    from onnx import helper, numpy_helper

    graph.initializer.append(numpy_helper.from_array(1 / scale, f"{name}_tamed_by"))
    division = helper.make_node("Mul", [name, f"{name}_tamed_by"], [name + SUFFIX], name=f"smooth_{name}")
    index = next(number for number, node in enumerate(graph.node) if node.name == before.name)
    graph.node.insert(index, division)
