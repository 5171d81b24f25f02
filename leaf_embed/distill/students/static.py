"""Static students: one vector a token, from nothing to most of the teacher's quality in seconds."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.dataset import TokenizedTexts
from leaf_embed.distill.loss import Objective, squared_l2
from leaf_embed.distill.train import Alignment, StepInfo, learning_rate
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError, TrainingError
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.cache import Rows, TeacherCache
from leaf_embed.texts import Text
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

__all__ = [
    "build_static",
    "load_tokenizer",
    "measure_static",
    "start_table",
    "token_texts",
    "token_weights",
    "tokenize_static",
    "train_static",
]

SIF = 1e-3  # weight a / (a + p) of a token of probability p (Arora et al., A Simple but Tough-to-Beat Baseline, 2017)


def load_tokenizer(source: str | os.PathLike[str] | SentenceTransformer, max_tokens: int) -> Tokenizer:
    """A fast tokenizer of its own, without padding, that stops at ``max_tokens``.

    Args:
        source: Directory, hub id or loaded model to take it from.
        max_tokens: Tokens after which it stops.

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
    """What each token of the vocabulary says, by id: the texts whose teacher vectors a static student starts from."""
    words = [tokenizer.id_to_token(number) or "" for number in range(tokenizer.get_vocab_size())]
    plain = (word.removeprefix("##").replace("▁", " ").replace("Ġ", " ").strip() for word in words)
    return [Text(text or word or "?", "document") for text, word in zip(plain, words, strict=True)]


def token_weights(texts: TokenizedTexts, tokens: int) -> FloatArray:
    """The share that each token deserves in a mean, shape ``(tokens,)``: frequent ones say less."""
    counts = np.bincount(texts.ids.astype(np.int64), minlength=tokens)
    weights: FloatArray = (SIF / (SIF + counts / max(1, counts.sum()))).astype(np.float32)
    return weights


def build_static(tokenizer: Tokenizer, table: FloatArray, space: EmbeddingSpace) -> SentenceTransformer:
    """A static student with the given token vectors, shape ``(tokens, dim)``."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    modules: list[Any] = [StaticEmbedding(tokenizer, embedding_weights=table)]
    modules[0].embedding.sparse = True  # a step touches some hundred tokens of tens of thousands
    if space.unit_norm:
        modules.append(Normalize())
    prompts = {"query": space.query_prompt, "document": space.document_prompt}
    return SentenceTransformer(modules=modules, prompts=prompts, device="cpu")


def tokenize_static(tokenizer: Tokenizer, cache: TeacherCache, rows: Rows) -> TokenizedTexts:
    """Token ids of some cache rows, prompts included, special tokens left out."""
    texts = cache.texts(rows)
    encoded = tokenizer.encode_batch_fast(
        [cache.space.prompt(text.kind) + text.text for text in texts], add_special_tokens=False
    )
    ids = [np.empty(0, dtype=np.uint32)] + [np.asarray(e.ids, dtype=np.uint32) for e in encoded]
    starts = np.cumsum([0] + [len(tokens) for tokens in ids[1:]]).astype(np.int64)
    return TokenizedTexts(np.concatenate(ids), starts, rows, tuple(t.kind for t in texts), cache, 0, ())


def _bag(texts: TokenizedTexts, places: NDArray[np.int64]) -> dict[str, torch.Tensor]:
    """What EmbeddingBag reads: all ids of some texts in one row, and where each text begins."""
    import torch

    lengths = texts.lengths[places]
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    flat = np.repeat(texts.starts[places] - begins, lengths) + np.arange(lengths.sum())
    return {"input_ids": torch.from_numpy(texts.ids[flat].astype(np.int64)), "offsets": torch.from_numpy(begins)}


def _vectors(model: SentenceTransformer, texts: TokenizedTexts, places: NDArray[np.int64]) -> torch.Tensor:
    features: dict[str, Any] = dict(_bag(texts, places))
    for module in model:
        features = module(features)
    result: torch.Tensor = features["sentence_embedding"]
    return result


def measure_static(model: SentenceTransformer, texts: TokenizedTexts) -> Alignment | None:
    """Loss and cosine over all of some texts; ``None`` if there are none."""
    import torch

    if not len(texts):
        return None
    with torch.inference_mode():
        found = _vectors(model, texts, np.arange(len(texts)))
        targets = torch.from_numpy(texts.cache.vectors(texts.rows))
        cosines = torch.nn.functional.cosine_similarity(found, targets)
    return Alignment(float(squared_l2(found, targets)), float(cosines.mean()), len(texts))


def train_static(
    model: SentenceTransformer,
    texts: TokenizedTexts,
    config: DistillConfig,
    objective: Objective | None = None,
    progress: Callable[[StepInfo], object] | None = None,
) -> int:
    """Align a static student, in place: LEAF's loss, with an optimiser that touches only the tokens of a batch.

    Some hundred steps are enough; more fit the training texts better and new ones hardly (examples/LOG.md).

    Returns:
        The number of steps.

    Raises:
        TrainingError: The loss became NaN or infinite.
    """
    import torch

    objective = objective or Objective(config.prefixes)
    optimizer = torch.optim.SparseAdam(list(model.parameters()), lr=config.learning_rate)
    total, began = config.steps(len(texts)), time.monotonic()
    vectors_of = _targets(texts)
    step = 0
    for step, places in enumerate(_batches(len(texts), config, total), 1):
        for group in optimizer.param_groups:
            group["lr"] = rate = learning_rate(step - 1, total, config)
        loss = objective(_vectors(model, texts, places), vectors_of(places))
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss became {float(loss)} at step {step}; try a lower learning rate")
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()  # type: ignore[no-untyped-call]
        if progress is not None and (step % 20 == 0 or step == total):
            speed = step * len(places) / (time.monotonic() - began)
            progress(StepInfo(step, total, float(loss.detach()), speed, rate))
    return step


def _targets(texts: TokenizedTexts) -> Callable[[NDArray[np.int64]], torch.Tensor]:
    """Teacher vectors by place: from memory if they fit into a gigabyte as float16, else from the cache's files."""
    import torch

    if len(texts) * texts.cache.space.dim * 2 > 1 << 30:
        return lambda places: torch.from_numpy(texts.cache.vectors(texts.rows[places]))
    matrix = texts.cache.vectors(texts.rows).astype(np.float16)
    return lambda places: torch.from_numpy(matrix[places].astype(np.float32))


def _batches(texts: int, config: DistillConfig, total: int) -> Iterator[NDArray[np.int64]]:
    """Random batches, every text once an epoch; the order follows from the seed."""
    size = min(config.batch_size, texts)
    per_epoch = texts // size
    for step in range(total):
        if step % per_epoch == 0:
            order = np.random.default_rng((config.seed, step // per_epoch)).permutation(texts)
        start = step % per_epoch * size
        yield order[start : start + size]


def start_table(tokenizer: Tokenizer, learned: TokenizedTexts, teacher: Encoder | None) -> FloatArray:
    """Token vectors to start from, shape ``(tokens, dim)``, weighted by how little each token occurs.

    The teacher's vector of each single token; or, with no teacher to ask, the mean vector of the texts that a token
    stands in, zeros where it stands in none.
    """
    cache = learned.cache
    tokens = tokenizer.get_vocab_size()
    if teacher is None:
        table = _means(learned, tokens)
    else:
        words = token_texts(tokenizer)
        cache.fill(words, teacher)
        table = cache.vectors(cache.rows(words))
    weighted: FloatArray = table * token_weights(learned, tokens)[:, None]
    return weighted


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
