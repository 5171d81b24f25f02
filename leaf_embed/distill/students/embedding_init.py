"""The start of a student without its source's lowest layers: each token begins as its mean hidden state above them.

The lowest layer kept expects the output of the layer below it, and token embeddings are nothing like it. So a token's
embedding becomes the mean of its hidden states above the missing layers, over training texts (static embeddings from
contextual ones: Bommasani et al., ACL 2020), and a position's embedding the mean of what is left there. What the
missing layers computed from a token itself is kept; only what they computed from its neighbours is to be learned.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from leaf_embed.distill.dataset import TokenizedTexts
from leaf_embed.distill.students.backbone import choose_layers, load_transformer
from leaf_embed.teacher.cache import Rows

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["below", "missing_layers", "random_batches", "start_embeddings"]

TOKENS = 600_000  # read for the means
ALONE = 1.0  # weight, in occurrences, of the token without neighbours: all that is known of one that never occurs
FEW = 50.0  # occurrences below which a position's mean shrinks to zero
BATCH = 128


def missing_layers(
    source: str | os.PathLike[str] | SentenceTransformer, layers: int | Sequence[int] | None
) -> Any | None:
    """Returns the backbone below the lowest layer that a student keeps, as :func:`below` does.

    Where the lowest layer stays, ``source`` is not loaded again.
    """
    if layers is None or (layers > 1 if isinstance(layers, int) else 0 in layers):
        return None
    transformer = load_transformer(source)
    available = int(transformer.auto_model.config.num_hidden_layers)
    return below(transformer, min(choose_layers(available, layers), default=available))


def below(transformer: Any, first: int) -> Any | None:
    """Returns the backbone under a layer, made of ``transformer``, which is used up.

    Args:
        transformer: A sentence-transformers Transformer of its own.
        first: Number of the lowest layer that a student keeps.

    Returns:
        A backbone of the layers 0 to ``first`` - 1, or ``None`` where nothing is missing, or where the architecture is
        not BERT's: normalised after each layer, with learned positions from 0.
    """
    backbone = transformer.auto_model
    if not first or backbone.config.model_type != "bert" or backbone.config.is_decoder:
        return None
    backbone.encoder.layer = backbone.encoder.layer[:first]
    backbone.config.num_hidden_layers = first
    return backbone.eval()


def random_batches(texts: TokenizedTexts, seed: int) -> Iterator[Rows]:
    """Yields places of random texts, about :data:`TOKENS` tokens in all, in batches of similar length."""
    order = np.random.default_rng(seed).permutation(len(texts))
    order = order[: 1 + int(np.searchsorted(np.cumsum(texts.lengths(order)), TOKENS))]
    return texts.by_length(order, BATCH)


def start_embeddings(
    model: SentenceTransformer, lower: Any, batches: Iterable[dict[str, torch.Tensor]], bfloat16: bool
) -> None:
    """Sets the embeddings to the mean hidden states above the missing layers, in place.

    Args:
        model: A student whose lowest layer stood on ``lower``.
        lower: From :func:`below`.
        batches: Features of training texts.
        bfloat16: Precision of the matrix products.
    """
    tokenizer: Any = model.tokenizer
    transformer: Any = model[0]
    embeddings = transformer.auto_model.embeddings
    norm = lower.encoder.layer[-1].output.LayerNorm
    means = _Means(embeddings.word_embeddings.weight, len(embeddings.position_embeddings.weight))
    mixed = torch.autocast(model.device.type, torch.bfloat16) if bfloat16 else nullcontext()
    with torch.inference_mode(), mixed:
        for ids in _alone(means.tokens, (tokenizer.cls_token_id, tokenizer.sep_token_id)):
            found = _before_affine(lower, norm, ids.to(model.device), torch.ones_like(ids).to(model.device))
            means.add_alone(ids[:, 1], found[:, 1])
        for features in batches:
            ids, mask = features["input_ids"], features["attention_mask"].bool()
            means.add(ids, mask, _before_affine(lower, norm, ids, mask))
    tokens, positions = means.embeddings()
    with torch.no_grad():
        # the layer norm that follows undoes any factor; of this size the learning rate moves them as it moved the old
        size = embeddings.word_embeddings.weight.norm(dim=1).mean() / tokens.norm(dim=1).mean().clamp_min(1e-12)
        embeddings.word_embeddings.weight.copy_(tokens * size)
        embeddings.position_embeddings.weight.copy_(positions * size)
        embeddings.token_type_embeddings.weight.zero_()
        embeddings.LayerNorm.load_state_dict(norm.state_dict())


def _before_affine(lower: Any, norm: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Hidden states ``(n, length, width)`` as the last layer norm had them before its weight and bias."""
    states: torch.Tensor = lower(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    weight: torch.Tensor = torch.where(norm.weight == 0, 1.0, norm.weight)
    return (states - torch.as_tensor(norm.bias)) / weight


def _alone(tokens: int, around: Sequence[int]) -> Iterator[torch.Tensor]:
    """Every token between the two special ones, shape ``(n, 3)``."""
    for first in range(0, tokens, 16 * BATCH):
        ids = torch.arange(first, min(tokens, first + 16 * BATCH))
        yield torch.stack([torch.full_like(ids, around[0]), ids, torch.full_like(ids, around[1])], dim=1)


class _Means:
    """Sums of hidden states by token and by position; memory does not depend on the number of texts."""

    def __init__(self, like: torch.Tensor, positions: int) -> None:
        self.tokens, width = like.shape
        self._by_token = torch.zeros(self.tokens, width, device=like.device)
        self._by_position = torch.zeros(positions, width, device=like.device)
        self._occurs = torch.zeros(self.tokens, device=like.device)
        self._places: list[tuple[torch.Tensor, torch.Tensor]] = []

    def add_alone(self, ids: torch.Tensor, states: torch.Tensor) -> None:
        """Tokens that have no neighbours."""
        places = ids.to(states.device)
        self._by_token[places] += ALONE * states
        self._occurs[places] += ALONE

    def add(self, ids: torch.Tensor, mask: torch.Tensor, states: torch.Tensor) -> None:
        """A batch of texts."""
        known, found = ids[mask], states[mask]
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)[mask]
        self._by_token.index_add_(0, known, found)
        self._by_position.index_add_(0, positions, found)
        self._occurs.index_add_(0, known, torch.ones_like(known, dtype=self._occurs.dtype))
        self._places.append((known, positions))

    def embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean of each token ``(tokens, width)``, and what is left at each position ``(positions, width)``."""
        tokens = self._by_token / self._occurs.unsqueeze(1)
        counts = torch.zeros(len(self._by_position), device=tokens.device)
        left = self._by_position.clone()
        for known, positions in self._places:
            left.index_add_(0, positions, -tokens[known])
            counts.index_add_(0, positions, torch.ones_like(positions, dtype=counts.dtype))
        return tokens, left / (counts + FEW).unsqueeze(1)
