"""The encoder of the query path: tokenizers, ONNX Runtime and NumPy; no torch, no transformers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding

from leaf_embed.encoders.base import CountingEncoder
from leaf_embed.encoders.batching import TokenBudget, token_batches
from leaf_embed.encoders.checks import check_path, check_whole
from leaf_embed.encoders.st_modules import read_tokenizer
from leaf_embed.errors import NotALeafError
from leaf_embed.format import GRAPH_OUTPUT, GraphVariant, LeafInfo, graphs_for, read_leaf
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role, clean
from leaf_embed.vectors import FloatArray

__all__ = ["OnnxEncoder"]

BLOCK = 2048  # texts tokenized at a time: a tokenized text takes some kilobytes until it was encoded
SLOWER_WHEN_FUSED = ["SkipLayerNormFusion"]  # on a CPU its kernel costs a fifth of a query (examples/LOG.md)
KNOWN_INPUTS = {"input_ids", "attention_mask", "token_type_ids", "position_ids"}
MAX_CHARACTERS_PER_TOKEN = 512  # far above any real text; keeps a text of many megabytes from being tokenized whole


class OnnxEncoder(CountingEncoder):
    """A leaf's fused ONNX graph, from token ids to finished vectors.

    Safe to share between threads: ONNX Runtime sessions and tokenizers are, and nothing else is changed after
    construction.
    """

    threadsafe = True
    _first_position = 0  # of a graph with position_ids: the first token's

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        variant: GraphVariant = "auto",
        threads: int = 1,
        batch_tokens: int = 512,
        graph: Path | None = None,
        info: LeafInfo | None = None,
    ) -> None:
        """Opens a leaf directory.

        Args:
            path: A directory made by ``leaf-embed export``.
            variant: The graph to run; ``"auto"`` takes int8 if it is there, else float32.
            threads: Threads inside one operator. One is fastest for single queries through the int8 graph, and the
                only choice that does not suffer on a busy machine.
            batch_tokens: Maximal number of tokens in a batch, padding included. ONNX Runtime never frees memory, so
                this bounds the process; 512 measured fastest for int8 (examples/LOG.md).
            graph: A graph file outside the directory's layout, used instead of ``variant``.
            info: Content of ``leaf.json``, if it was read before; stands in for it in a directory without one.

        Raises:
            NotALeafError: There is no leaf, or the graph was not exported.
            InputError: An option that is out of range.
        """
        check_whole("threads", threads)
        check_path("a leaf", path)
        self.path = Path(path)
        self.info: LeafInfo = info or read_leaf(self.path)
        self.record = self.info.record
        self._budget = TokenBudget(batch_tokens)
        if graph is None:
            graph = _find_graph(self.path, variant)
        self._tokenizer, self._pad_id = read_tokenizer(self.path)
        self._tokenizer.enable_truncation(self.info.max_tokens)
        self.precision = "int8" if "int8" in graph.stem else "float32"
        self._session = _open_session(graph, threads)
        self._graph, self.threads = graph, threads
        self._inputs = _inputs(self._session, graph)

    def _opening(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        options = {"threads": self.threads, "batch_tokens": self._budget.tokens}
        return (self.path.absolute(),), {**options, "graph": self._graph.absolute(), "info": self.info}

    @property
    def space(self) -> EmbeddingSpace:
        return self.info.space

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        prompt, limit = self.space.prompt(role), self.info.max_tokens * MAX_CHARACTERS_PER_TOKEN
        if len(texts) == 1:
            return self._run([self._tokenizer.encode((prompt + texts[0])[:limit])])
        result = np.empty((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), BLOCK):
            block = [(prompt + text)[:limit] for text in texts[start : start + BLOCK]]
            tokens = self._tokenizer.encode_batch_fast(block)
            for rows in token_batches([len(t) for t in tokens], self._budget):
                result[start + rows] = self._run([tokens[row] for row in rows])
        return result

    def _count(self, texts: list[str], role: Role) -> list[int]:
        prompt, limit = self.space.prompt(role), self.info.max_tokens * MAX_CHARACTERS_PER_TOKEN
        return [len(t) for t in self._tokenizer.encode_batch_fast([(prompt + text)[:limit] for text in texts])]

    def texts_cut(self, texts: Sequence[str], role: Role) -> list[bool]:
        """Returns of each text whether its end is not read; see :class:`~leaf_embed.encoders.base.Cutting`."""
        prompt, limit = self.space.prompt(role), self.info.max_tokens * MAX_CHARACTERS_PER_TOKEN
        prompted = [prompt + clean(text) for text in texts]
        encoded = self._tokenizer.encode_batch_fast([text[:limit] for text in prompted])
        return [len(text) > limit or bool(t.overflowing) for text, t in zip(prompted, encoded, strict=True)]

    def feed(self, text: str, role: Role) -> dict[str, NDArray[np.int64]]:
        """Returns the graph's inputs for one text, each of shape ``(1, length)``, for calibration and comparison."""
        prompted = (self.space.prompt(role) + clean(text))[: self.info.max_tokens * MAX_CHARACTERS_PER_TOKEN]
        return self._feeds([self._tokenizer.encode(prompted)])

    def _run(self, tokens: Sequence[Encoding]) -> FloatArray:
        """Vectors of one batch, shape ``(len(tokens), dim)``."""
        output: Any = self._session.run([GRAPH_OUTPUT], self._feeds(tokens))[0]
        return np.asarray(output, dtype=np.float32)

    def _feeds(self, tokens: Sequence[Encoding]) -> dict[str, NDArray[np.int64]]:
        """The graph's inputs for one batch, each of shape ``(len(tokens), longest)``."""
        length = max(1, max(len(t) for t in tokens))
        ids: NDArray[np.int64] = np.full((len(tokens), length), self._pad_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, token in enumerate(tokens):
            ids[row, : len(token)] = token.ids
            mask[row, : len(token)] = 1
        values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        if "position_ids" in self._inputs:
            values["position_ids"] = (np.arange(length) + self._first_position) * mask
        return {name: values[name].astype(dtype, copy=False) for name, dtype in self._inputs.items()}


def _inputs(session: onnxruntime.InferenceSession, graph: Path) -> dict[str, Any]:
    """The dtype of each of a graph's inputs."""
    nodes = {node.name: node.type for node in session.get_inputs()}
    if unknown := sorted(set(nodes) - KNOWN_INPUTS):
        raise NotALeafError(
            f"{graph} wants the inputs {', '.join(unknown)}, which are not known here; expected some of "
            f"{', '.join(sorted(KNOWN_INPUTS))}. Run the model itself with variant='torch'"
        )
    return {name: np.int32 if kind == "tensor(int32)" else np.int64 for name, kind in nodes.items()}


def _find_graph(path: Path, variant: GraphVariant) -> Path:
    """The graph file of a variant."""
    wanted = graphs_for(variant)
    for name in wanted:
        if (path / name).is_file():
            return path / name
    raise NotALeafError(f"{path} has no {' or '.join(wanted)}; make it with: leaf-embed export {path}")


def _open_session(graph: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads burn no CPU between queries
    try:
        return onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER_WHEN_FUSED
        )
    except Exception as error:  # ONNX Runtime raises a private class per failure
        raise NotALeafError(f"{graph} is no readable ONNX graph ({error}); export the leaf again") from error
