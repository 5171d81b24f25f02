"""The files of a graph: one, or, since a protobuf holds 2 GB at most, a small one and its weights beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = [
    "EXTERNAL_ABOVE",
    "copy_graph",
    "graph_bytes",
    "load_graph",
    "move_graph",
    "opened_graph",
    "remove_graph",
    "save_graph",
    "weight_bytes",
]

EXTERNAL_ABOVE = 1 << 30
"""Bytes of weights above which they are written beside the graph, in ``<graph>_data``, as transformers.js expects."""


def load_graph(file: Path) -> Any:
    """Returns the ``onnx.ModelProto`` of a graph with all its weights."""
    import onnx

    return onnx.load(file)


def save_graph(model: Any, file: Path) -> None:
    """Writes an ``onnx.ModelProto``, which is left as it was, in the place of the graph that was there."""
    import onnx

    remove_graph(file)
    if weight_bytes(model) <= EXTERNAL_ABOVE:
        onnx.save(model, file)
        return
    onnx.save(model, file, save_as_external_data=True, location=f"{file.name}_data")
    onnx.load_external_data_for_model(model, str(file.parent))  # saving has taken them out of it


def copy_graph(model: Any) -> Any:
    """Returns a copy of an ``onnx.ModelProto`` of any size; protobuf itself copies no message above 2 GB."""
    import onnx

    copied = onnx.ModelProto()
    for source, target, later in ((model, copied, "graph"), (model.graph, copied.graph, "initializer")):
        for field, value in source.ListFields():
            if field.name == later:
                continue
            if hasattr(value, "extend"):
                getattr(target, field.name).extend(value)
            elif hasattr(value, "CopyFrom"):
                getattr(target, field.name).CopyFrom(value)
            else:
                setattr(target, field.name, value)
    for tensor in model.graph.initializer:
        copied.graph.initializer.add().CopyFrom(tensor)
    return copied


def weight_bytes(model: Any) -> int:
    """Returns the size of a model's weights."""
    return sum(len(tensor.raw_data) or tensor.ByteSize() for tensor in model.graph.initializer)


def remove_graph(file: Path) -> None:
    """Deletes a graph and what lies beside it; nothing happens if it is not there."""
    for part in (file, *_beside(file)):
        part.unlink(missing_ok=True)


def move_graph(file: Path, target: Path) -> None:
    """Renames a graph and its weights. The name of the weights is in the graph: it is read again under its own name."""
    remove_graph(target)
    for part in _beside(file):
        part.replace(target.with_name(target.name + part.name.removeprefix(file.name)))
    file.replace(target)


def graph_bytes(file: Path) -> int:
    """Returns the size of a graph with its weights."""
    return sum(part.stat().st_size for part in (file, *_beside(file)))


@contextmanager
def opened_graph(model: Any) -> Iterator[Any]:
    """An ONNX Runtime session of an ``onnx.ModelProto``, by way of files where it is too large for memory's form."""
    import tempfile

    import onnxruntime

    options, providers = onnxruntime.SessionOptions(), ["CPUExecutionProvider"]
    options.log_severity_level = 3  # its warnings, in colour, are about outputs that the caller adds
    if weight_bytes(model) <= EXTERNAL_ABOVE:
        yield onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
        return
    with tempfile.TemporaryDirectory() as folder:
        save_graph(model, Path(folder) / "model.onnx")
        yield onnxruntime.InferenceSession(str(Path(folder) / "model.onnx"), options, providers=providers)


def _beside(file: Path) -> list[Path]:
    """The weights beside a graph: torch and ONNX Runtime write ``.data``, the hub's leaves have ``_data``."""
    return [part for end in ("_data", ".data") if (part := file.with_name(file.name + end)).is_file()]
