"""One graph from token ids to finished vectors, and the proof that it computes what the model does."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leaf_embed import vectors
from leaf_embed._extras import require
from leaf_embed._files import replacing_directory, write_json
from leaf_embed.distill.corpus import Text
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError, ParityError
from leaf_embed.format import GRAPH_OUTPUT, GRAPHS, PARITY_FILE, read_leaf
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["Floor", "Parity", "export"]

OPSET = 18


@dataclass(frozen=True)
class Floor:
    """The least parity that a graph must have with its model; an export below it fails.

    Attributes:
        mean: Of the cosines.
        lowest: Of the cosines.
    """

    mean: float
    lowest: float


FLOORS: Mapping[str, Floor] = {"float32": Floor(0.9999, 0.999), "int8": Floor(0.98, 0.95)}


@dataclass(frozen=True)
class Parity:
    """How a graph's vectors compare with the torch model's on real texts.

    Attributes:
        mean_cosine: Over the texts.
        min_cosine: The worst text's.
        max_difference: Of any single number of any vector.
        texts: Number of texts.
        bytes: Size of the graph's file.
    """

    mean_cosine: float
    min_cosine: float
    max_difference: float
    texts: int
    bytes: int


def export(
    directory: str | os.PathLike[str], texts: Sequence[Text], *, floors: Mapping[str, Floor] = FLOORS
) -> dict[str, Parity]:
    """Write ``onnx/model.onnx``, ``onnx/model_quantized.onnx`` and ``parity.json`` into a leaf directory.

    Pooling, Dense and normalisation are inside the graphs: a runtime that reads nothing else cannot give a vector in
    the wrong space, the field's most frequent silent error. The int8 graph is quantised per channel; per tensor it
    lost 3 to 5 hundredths of cosine on MiniLM (examples/LOG.md).

    Args:
        directory: A leaf directory from :func:`leaf_embed.distill.distill`.
        texts: Real texts to compare on, queries and documents, some hundred.
        floors: The least parity of the graphs ``"float32"`` and ``"int8"``.

    Returns:
        The parity of each graph by its variant's name.

    Raises:
        NotALeafError: No leaf there.
        InputError: No texts.
        ParityError: A graph is below its floor; no file of the directory was changed.
    """
    path = Path(directory)
    read_leaf(path)
    if not texts:
        raise InputError("an export needs some real texts to prove itself on; got none")
    require("onnxscript", "train", "An export")
    from leaf_embed.encoders.onnx import OnnxEncoder

    reference = SentenceTransformerEncoder(path, precision="float32", device="cpu")
    expected = _vectors(reference, texts)
    parity: dict[str, Parity] = {}
    with replacing_directory(path / "onnx") as folder:
        graphs = {variant: folder / Path(GRAPHS[variant]).name for variant in ("float32", "int8")}
        write_graph(reference.model, graphs["float32"])
        quantize(graphs["float32"], graphs["int8"])
        for variant, graph in graphs.items():
            parity[variant] = _compare(_vectors(OnnxEncoder(path, graph=graph), texts), expected, graph)
            _require(parity[variant], floors[variant], variant)
    write_json(path / PARITY_FILE, {variant: asdict(found) for variant, found in parity.items()})
    return parity


def write_graph(model: SentenceTransformer, file: Path) -> None:
    """The whole pipeline of a sentence-transformers model as one float32 graph with dynamic batch and length."""
    import torch

    class Pipeline(torch.nn.Module):
        """Tensors in, ``sentence_embedding`` out."""

        def __init__(self) -> None:
            super().__init__()
            self.stages = torch.nn.ModuleList(model)

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            features: dict[str, Any] = dict(zip(names, inputs, strict=True))
            for stage in self.stages:
                features = stage(features)
            vectors: torch.Tensor = features["sentence_embedding"]
            return vectors

    known = ("input_ids", "attention_mask", "token_type_ids")
    names = [name for name in model.tokenizer.model_input_names if name in known]
    example = model.tokenizer(["one text", "another text, and longer"], padding=True, return_tensors="pt")
    longest = model.max_seq_length or 512
    shape = {0: torch.export.Dim("batch", min=1, max=1 << 16), 1: torch.export.Dim("length", min=2, max=longest)}
    with _quiet():
        torch.onnx.export(
            Pipeline().eval(),
            tuple(example[name] for name in names),
            str(file),
            dynamo=True,
            dynamic_shapes={"inputs": tuple(shape for _ in names)},
            input_names=names,
            output_names=[GRAPH_OUTPUT],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )


def quantize(source: Path, target: Path) -> None:
    """Weights to int8, one scale a channel; activations are quantised as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(source, target, per_channel=True, reduce_range=False, weight_type=QuantType.QInt8)


def _vectors(encoder: Encoder, texts: Sequence[Text]) -> FloatArray:
    """Vectors of queries, then of documents, shape ``(len(texts), dim)``."""
    queries = [text.text for text in texts if text.kind == "query"]
    documents = [text.text for text in texts if text.kind == "document"]
    return np.concatenate([encoder.encode_query(queries), encoder.encode_document(documents)])


def _compare(found: FloatArray, expected: FloatArray, graph: Path) -> Parity:
    cosines = vectors.cosine(found, expected)
    return Parity(
        mean_cosine=float(cosines.mean()),
        min_cosine=float(cosines.min()),
        max_difference=float(np.abs(found - expected).max()),
        texts=len(expected),
        bytes=graph.stat().st_size,
    )


def _require(parity: Parity, floor: Floor, variant: str) -> None:
    if not (parity.mean_cosine >= floor.mean and parity.min_cosine >= floor.lowest):  # NaN must fail too
        raise ParityError(
            f"the {variant} graph differs from its model: over {parity.texts} texts the cosine is "
            f"{parity.mean_cosine:.5f} in the mean and {parity.min_cosine:.5f} at worst; expected at least "
            f"{floor.mean} and {floor.lowest}. Nothing was written. This CPU or ONNX Runtime may lack an exact kernel: "
            "try another release of onnxruntime, or accept less by passing floors."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' notes about their own insides off the user's terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root", None)]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
