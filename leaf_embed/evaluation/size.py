"""The size of a model: bytes of the files that encoding needs, and the number of parameters."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

from leaf_embed.errors import InputError
from leaf_embed.format import graphs_for

__all__ = ["ModelSize", "measure_leaf", "measure_model"]

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class ModelSize:
    """Size of a model.

    Attributes:
        bytes: Of weights and tokenizer on disk, as they are loaded to encode.
        parameters: Number of weights, before any quantization.
    """

    bytes: int
    parameters: int

    def to_dict(self) -> dict[str, int]:
        """The JSON form."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.bytes / 1e6:.1f} MB, {self.parameters / 1e6:.1f} M parameters"


def measure_model(directory: Path) -> ModelSize:
    """Returns the size of a sentence-transformers directory as torch loads it.

    Raises:
        InputError: There are no weights.
    """
    files = [file for file in sorted(directory.rglob("*.safetensors")) if "onnx" not in file.parts]
    if not files:
        raise InputError(f"there is no *.safetensors in {directory}; expected a sentence-transformers directory")
    return ModelSize(sum(file.stat().st_size for file in files) + _tokenizer(directory), sum(map(_parameters, files)))


def measure_leaf(directory: Path, variant: str = "auto") -> ModelSize:
    """Returns the size of a leaf directory as queries load it.

    Args:
        directory: A leaf.
        variant: ``auto`` (int8 where it was exported, else float32), ``int8``, ``float32`` or ``torch``.

    Raises:
        InputError: There are no weights, or an unknown variant.
    """
    whole = measure_model(directory)
    names = [] if variant == "torch" else graphs_for(variant)
    graph = next((directory / name for name in names if (directory / name).is_file()), None)
    if graph is None:  # torch, or a static leaf, whose table is read as it is
        return whole
    outside = sum(file.stat().st_size for file in graph.parent.glob(f"{graph.name}*data"))  # weights beside a big graph
    return ModelSize(graph.stat().st_size + outside + _tokenizer(directory), whole.parameters)


def _tokenizer(directory: Path) -> int:
    file = next(iter(sorted(directory.rglob(TOKENIZER))), None)
    return 0 if file is None else file.stat().st_size


def _parameters(file: Path) -> int:
    """The number of values in a safetensors file, from its header: a length of 8 bytes, then JSON."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
