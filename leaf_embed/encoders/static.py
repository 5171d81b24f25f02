"""The encoder of static leaves: one vector per token, averaged; NumPy and a tokenizer, microseconds per query."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding

from leaf_embed import vectors
from leaf_embed.encoders.base import CountingEncoder
from leaf_embed.encoders.checks import check_path
from leaf_embed.encoders.st_modules import read_tokenizer
from leaf_embed.errors import NotALeafError
from leaf_embed.format import LeafInfo, read_leaf
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role, clean
from leaf_embed.vectors import FloatArray

__all__ = ["StaticEncoder"]

TABLE_KEY = "embedding.weight"  # as sentence-transformers' StaticEmbedding names it


class StaticEncoder(CountingEncoder):
    """A static leaf: the mean of its tokens' vectors, normalised if the space is.

    The directory is an ordinary sentence-transformers model (StaticEmbedding), and the vectors are the same. One
    difference: a text without any token gets the mean direction of all tokens, since a vector of zeros can be neither
    stored nor searched.
    """

    threadsafe = True
    threads = 1

    def __init__(self, path: str | os.PathLike[str], *, info: LeafInfo | None = None) -> None:
        """Opens a static leaf's directory.

        Args:
            path: A directory with ``tokenizer.json`` and ``model.safetensors``.
            info: Content of ``leaf.json``, if it was read before; stands in for it in a directory without one.

        Raises:
            NotALeafError: There is no leaf, it is not a static one, or its files are damaged.
        """
        check_path("a leaf", path)
        self.path = Path(path)
        self.info: LeafInfo = info or read_leaf(self.path)
        self.record = self.info.record
        self._tokenizer, _ = read_tokenizer(self.path)
        self._table = _load_table(self.path, self._tokenizer.get_vocab_size(), self.info.space.dim)
        self._nothing: FloatArray = self._table.mean(axis=0, dtype=np.float32)

    def _opening(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.path.absolute(),), {"info": self.info}

    @property
    def space(self) -> EmbeddingSpace:
        return self.info.space

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        rows = np.array([self._mean(ids) for ids in self._tokens(texts, role)])
        return vectors.normalize(rows) if self.space.unit_norm else rows

    def _count(self, texts: list[str], role: Role) -> list[int]:
        return [len(ids) for ids in self._tokens(texts, role)]

    def texts_cut(self, texts: Sequence[str], role: Role) -> list[bool]:
        """Returns of each text whether its end is not read; see :class:`~leaf_embed.encoders.base.Cutting`."""
        return [bool(encoding.overflowing) for encoding in self._encodings([clean(text) for text in texts], role)]

    def _tokens(self, texts: Sequence[str], role: Role) -> list[list[int]]:
        return [encoding.ids for encoding in self._encodings(texts, role)]

    def _encodings(self, texts: Sequence[str], role: Role) -> list[Encoding]:
        prompt = self.space.prompt(role)
        return self._tokenizer.encode_batch_fast([prompt + text for text in texts], add_special_tokens=False)

    def _mean(self, ids: list[int]) -> FloatArray:
        """Mean vector of some tokens, shape ``(dim,)``."""
        if not ids:
            return self._nothing
        mean: FloatArray = np.add.reduce(self._table.take(ids, axis=0), axis=0)  # half the time of [ids].mean()
        mean /= len(ids)
        return mean


def _load_table(path: Path, tokens: int, dim: int) -> FloatArray:
    """The token vectors, shape ``(tokens, dim)``, float32."""
    from safetensors.numpy import load_file

    file = path / "model.safetensors"
    try:
        table: FloatArray = load_file(file)[TABLE_KEY].astype(np.float32, copy=False)
    except Exception as error:  # safetensors raises a private class
        raise NotALeafError(f"{file} holds no table of token vectors ({error!r}); is this a static leaf?") from error
    if table.shape != (tokens, dim):
        raise NotALeafError(f"{file} holds a table of shape {table.shape}; tokenizer and space need {(tokens, dim)}")
    return table
