"""The whole pipeline of a model, from token ids to finished vectors, as one ONNX graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaf_embed.format import GRAPH_OUTPUT, TOKEN_OUTPUT

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

__all__ = ["quiet_exporters", "write_graph"]

OPSET = 18
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def write_graph(model: SentenceTransformer, file: Path) -> None:
    """Write a sentence-transformers model as a float32 graph with dynamic batch and length.

    Outputs: ``sentence_embedding``, shape ``(batch, dim)``, the finished vectors; and ``token_embeddings``, shape
    ``(batch, length, dim)``, the same vector once for each token. A runtime that insists on pooling (transformers.js)
    then gets the right vector whichever pooling it takes, and cannot give one of the backbone's width.
    """
    import torch

    names = [name for name in model.tokenizer.model_input_names if name in INPUTS]
    example = model.tokenizer(["one text", "another text, and longer"], padding=True, return_tensors="pt")
    longest = model.max_seq_length or 512
    shape = {0: torch.export.Dim("batch", min=1, max=1 << 16), 1: torch.export.Dim("length", min=2, max=longest)}
    with quiet_exporters():
        torch.onnx.export(
            _pipeline(model, names).eval(),
            tuple(example[name] for name in names),
            str(file),
            dynamo=True,
            dynamic_shapes={"inputs": tuple(shape for _ in names)},
            input_names=names,
            output_names=[GRAPH_OUTPUT, TOKEN_OUTPUT],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )


def _pipeline(model: SentenceTransformer, names: list[str]) -> torch.nn.Module:
    """Tensors in, the graph's two outputs out."""
    import torch

    class Pipeline(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stages = torch.nn.ModuleList(model)

        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            features: dict[str, Any] = dict(zip(names, inputs, strict=True))
            for stage in self.stages:
                features = stage(features)
            vectors: torch.Tensor = features["sentence_embedding"]
            return vectors, vectors.unsqueeze(1).expand(-1, inputs[0].shape[1], -1)

    return Pipeline()


@contextmanager
def quiet_exporters() -> Iterator[None]:
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
