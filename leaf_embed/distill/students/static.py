"""A static student: one vector per token, whose mean is most of the teacher's quality after seconds of training."""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.dataset import TokenizedTexts, tokenize
from leaf_embed.distill.students.base import Features, Student, StudentOptions
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError
from leaf_embed.format import Kind
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.cache import Rows, TeacherCache
from leaf_embed.teacher.stored_vectors import StoredVectors
from leaf_embed.texts import Text
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

__all__ = ["StaticStudent", "load_tokenizer", "token_texts", "token_weights"]

SIF = 1e-3  # weight a / (a + p) of a token of probability p (Arora et al., A Simple but Tough-to-Beat Baseline, 2017)


class StaticStudent(Student):
    """One vector per token, from the teacher's vectors of single tokens; without a teacher to ask, of its texts.

    A batch is a bag of tokens without padding, and a step updates the rows of its tokens alone. Some hundred steps are
    enough; more fit the training texts better and new ones hardly (examples/LOG.md).
    """

    kind: ClassVar[Kind] = "static"
    needs_graph: ClassVar[bool] = False
    pads: ClassVar[bool] = False

    def __init__(self, source: Any, space: EmbeddingSpace, *, ask: bool = True) -> None:
        """Takes the tokenizer, and a table of zeros until the texts are known.

        Args:
            source: The model that the tokenizer comes from: a directory, hub id or loaded model.
            space: The teacher's own space, not rotated.
            ask: Whether to start from the teacher's vector of each token, which has to be in the cache.
        """
        self.max_tokens = space.max_tokens or 512
        self._tokens = load_tokenizer(source, self.max_tokens)
        self.tokenizer: Any = _for_cutting(load_tokenizer(source, self.max_tokens))
        self._ask = ask
        self.model = _build(self._tokens, space)

    @classmethod
    def build(
        cls, options: StudentOptions, teacher: Encoder, space: EmbeddingSpace, config: DistillConfig
    ) -> StaticStudent:
        if options.head:
            raise InputError("a static student has no head; name a model as student, with head= and layers= 0 or more")
        source = options.tokenizer or getattr(teacher, "model", None)
        if source is None:
            raise InputError(
                "a static student needs a tokenizer, and this teacher shows none; name a model with tokenizer="
            )
        return cls(source, space, ask=not isinstance(teacher, StoredVectors))

    @staticmethod
    def recipe() -> DistillConfig:
        return DistillConfig.static()

    def start_texts(self) -> list[Text]:
        return token_texts(self._tokens) if self._ask else []

    def tokenize(self, cache: TeacherCache, rows: Rows, max_tokens: int) -> TokenizedTexts:
        def encode(words: list[str]) -> list[list[int]]:
            return [one.ids[:max_tokens] for one in self._tokens.encode_batch_fast(words, add_special_tokens=False)]

        return tokenize(encode, cache, rows, self.max_tokens)

    def start(self, learned: TokenizedTexts) -> None:
        """Sets each token's vector, weighted by how little the token occurs: frequent ones say less."""
        import torch

        cache, size = learned.cache, self._tokens.get_vocab_size()
        table = cache.vectors(cache.rows(self.start_texts())) if self._ask else _means(learned, size)
        with torch.no_grad():
            self._bag.weight.copy_(torch.from_numpy(table * token_weights(learned, size)[:, None]))

    def batch(self, texts: TokenizedTexts, places: Rows) -> Features:
        import torch

        tokens, lengths = texts.tokens(places)
        values = {"input_ids": tokens, "offsets": np.cumsum(lengths) - lengths}
        return {name: torch.from_numpy(value).to(self.model.device) for name, value in values.items()}

    def vectors(self, features: Features) -> torch.Tensor:
        for module in self.model:
            features = module(features)
        return features["sentence_embedding"]

    def tables(self) -> list[Any]:
        return [self._bag]

    @property
    def _bag(self) -> Any:
        first: Any = self.model[0]
        return first.embedding


def load_tokenizer(source: str | os.PathLike[str] | SentenceTransformer, max_tokens: int) -> Tokenizer:
    """Returns a copy of a model's fast tokenizer, without padding, that truncates.

    Args:
        source: Directory, hub id or loaded model to take it from.
        max_tokens: Number of tokens to truncate to.

    Raises:
        InputError: There is none.
    """
    from sentence_transformers import SentenceTransformer
    from transformers import AutoTokenizer

    try:
        slow: Any = (
            source.tokenizer if isinstance(source, SentenceTransformer) else AutoTokenizer.from_pretrained(source)
        )
        tokenizer: Tokenizer = copy.deepcopy(slow.backend_tokenizer)
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"cannot take a fast tokenizer from {source!r}: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def token_texts(tokenizer: Tokenizer) -> list[Text]:
    """Returns a text for each token of the vocabulary, by id; a static student starts from their teacher vectors."""
    words = [tokenizer.id_to_token(number) or "" for number in range(tokenizer.get_vocab_size())]
    plain = (word.removeprefix("##").replace("▁", " ").replace("Ġ", " ").strip() for word in words)
    return [Text(text or word or "?", "document") for text, word in zip(plain, words, strict=True)]


def token_weights(texts: TokenizedTexts, tokens: int) -> FloatArray:
    """Returns the weight of each token in a mean, shape ``(tokens,)``: frequent ones say less."""
    counts = np.bincount(texts.ids.astype(np.int64), minlength=tokens)
    weights: FloatArray = (SIF / (SIF + counts / max(1, counts.sum()))).astype(np.float32)
    return weights


def _build(tokenizer: Tokenizer, space: EmbeddingSpace) -> SentenceTransformer:
    """A static model of zeros."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    zeros = np.zeros((tokenizer.get_vocab_size(), space.dim), dtype=np.float32)
    modules: list[Any] = [StaticEmbedding(tokenizer, embedding_weights=zeros)]
    if space.unit_norm:
        modules.append(Normalize())
    prompts = {"query": space.query_prompt, "document": space.document_prompt}
    return SentenceTransformer(modules=modules, prompts=prompts, device="cpu")


def _for_cutting(tokenizer: Tokenizer) -> Any:
    """A tokenizer wrapped for transformers."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)  # type: ignore[no-untyped-call]


def _means(learned: TokenizedTexts, tokens: int) -> FloatArray:
    """Mean teacher vector of the texts that each token stands in, shape ``(tokens, dim)``; a block at a time."""
    from scipy.sparse import csr_array

    sums: FloatArray = np.zeros((tokens, learned.cache.space.dim), dtype=np.float32)
    counts = np.bincount(learned.ids.astype(np.int64), minlength=tokens)
    for first in range(0, len(learned), 4096):
        starts = learned.starts[first : first + 4097]
        ids = learned.ids[starts[0] : starts[-1]].astype(np.int64)
        shape = (len(starts) - 1, tokens)
        occurs = csr_array((np.ones(len(ids), dtype=np.float32), ids, starts - starts[0]), shape=shape)
        sums += occurs.T @ learned.cache.vectors(learned.rows[first : first + 4096])
    return np.asarray(sums / np.maximum(counts, 1)[:, None], dtype=np.float32)
