"""Cached texts as batches: tokenized once, grouped by length, in an order that follows from the seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from leaf_embed.canaries import ROLES, Canaries
from leaf_embed.distill.config import DistillConfig
from leaf_embed.encoders.rotation import Rotation
from leaf_embed.errors import InputError
from leaf_embed.teacher.cache import Rows, TeacherCache
from leaf_embed.teacher.fill import readable
from leaf_embed.teacher.roles import BITS, RoleBits
from leaf_embed.texts import Text

if TYPE_CHECKING:
    import torch

__all__ = ["TokenizedTexts", "epoch_batches", "sample", "split", "tokenize", "weigh_roles"]

MAX_HELD_OUT = 1000
PARITY_TEXTS = 384
BLOCK = 8192  # texts that are read and tokenized at a time
OWN_DRAWN = 200  # of the held-out texts, to choose those from that a leaf keeps
OWN_CHARACTERS = 400  # preferred maximum of a text that a leaf keeps
BATCHES_PER_BUCKET = 64  # texts are sorted by length within this many batches: little padding, still well mixed


@dataclass(frozen=True)
class TokenizedTexts:
    """Token ids and teacher vectors of texts, ready to be batched.

    Attributes:
        ids: All token ids one after another, uint32.
        starts: Where each text begins in ``ids``, shape ``(n + 1,)``.
        rows: The cache's row of each text, shape ``(n,)``.
        cache: The cache that holds the teacher's vectors.
    """

    ids: NDArray[np.uint32]
    starts: NDArray[np.int64]
    rows: Rows
    cache: TeacherCache

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def longest(self) -> int:
        """Number of tokens of the longest text."""
        blocks = range(0, len(self), BLOCK)
        return max((int(np.diff(self.starts[first : first + BLOCK + 1]).max()) for first in blocks), default=0)

    def lengths(self, places: Rows | slice = slice(None)) -> NDArray[np.int64]:
        """Returns the number of tokens of some texts, by default of all, shape ``(len(places),)``.

        The work is that of these texts, however many others there are.
        """
        return np.diff(self.starts) if isinstance(places, slice) else self.starts[places + 1] - self.starts[places]

    def tokens(self, places: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the token ids of some texts one after another, and the number of each, shape ``(len(places),)``."""
        lengths = self.lengths(places)
        shifts = self.starts[places] - (np.cumsum(lengths) - lengths)
        return self.ids[np.repeat(shifts, lengths) + np.arange(lengths.sum())].astype(np.int64), lengths

    def targets(self, places: Rows) -> torch.Tensor:
        """Returns the teacher's vectors of some texts, shape ``(len(places), dim)``, float32, on the CPU."""
        import torch

        return torch.from_numpy(self.cache.vectors(self.rows[places]))

    def by_length(self, places: Rows, size: int) -> Iterator[Rows]:
        """Yields places in blocks, the shortest texts first: little padding where the order does not matter."""
        order = places[np.argsort(self.lengths(places), kind="stable")]
        for start in range(0, len(order), size):
            yield order[start : start + size]


def tokenize(
    encode: Callable[[list[str]], Iterable[Sequence[int]]], cache: TeacherCache, rows: Rows, max_tokens: int
) -> TokenizedTexts:
    """Returns the texts of some cache rows, tokenized with their prompts.

    Args:
        encode: Returns the token ids of each of some prompted texts, cut to ``max_tokens``.
        cache: The cache that holds texts and vectors.
        rows: Which of its rows.
        max_tokens: Spares ``encode`` what lies far beyond it.
    """
    ids = np.empty(0, dtype=np.uint32)
    starts = np.zeros(len(rows) + 1, dtype=np.int64)
    for first in range(0, len(rows), BLOCK):
        texts = cache.texts(rows[first : first + BLOCK])
        encoded = encode([cache.space.prompt(text.kind) + readable(text.text, max_tokens) for text in texts])
        block = [np.asarray(tokens, dtype=np.uint32) for tokens in encoded]
        ends = starts[first] + np.cumsum([len(tokens) for tokens in block])
        starts[first + 1 : first + 1 + len(block)] = ends
        if ends[-1] > len(ids):
            ids.resize(max(int(ends[-1]), len(ids) * 5 // 4), refcheck=False)  # grows in place: never twice in memory
        np.concatenate(block, out=ids[starts[first] : ends[-1]])
    ids.resize(int(starts[-1]), refcheck=False)
    return TokenizedTexts(ids, starts, rows, cache)


def epoch_batches(lengths: Sequence[int] | NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> Rows:
    """Returns the batches of an epoch, one a row, shape ``(batches, batch_size)``: places of texts of similar length.

    Their random order depends on ``seed`` and ``epoch`` alone, so a resumed run sees the same batches. The remainder
    that does not fill a batch is left out, another one each epoch; fewer texts than a batch make one smaller batch.
    """
    sizes = np.asarray(lengths)
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(sizes))
    if len(order) <= batch_size:
        return order[None]
    whole = order[: len(order) // batch_size * batch_size]
    bucket = batch_size * BATCHES_PER_BUCKET
    for start in range(0, len(whole), bucket):
        group = whole[start : start + bucket]
        group[:] = group[np.argsort(sizes[group], kind="stable")]
    batches = whole.reshape(-1, batch_size)
    return batches[generator.permutation(len(batches))]


def split(
    rows: Rows, roles: RoleBits, config: DistillConfig, tokenize: Callable[[Rows], TokenizedTexts]
) -> tuple[TokenizedTexts, TokenizedTexts]:
    """Returns texts to learn from, and texts held out to measure on; queries alone if the recipe is for queries alone.

    Args:
        rows: The cache's row of each text.
        roles: The roles in which it came; a text of both counts as either.
        config: The recipe: seed, share held out, share of queries.
        tokenize: Returns the texts of some rows as the student reads them.
    """
    shuffled = np.random.default_rng(config.seed).permutation(len(rows))
    held = min(MAX_HELD_OUT, int(len(rows) * config.holdout))
    learned, held_out = (places[np.argsort(rows[places])] for places in (shuffled[held:], shuffled[:held]))
    queries, documents = ((roles & BITS[role]) != 0 for role in ("query", "document"))
    if config.query_share is not None:
        share = weigh_roles(queries[learned], config.query_share, config.seed, documents[learned])
        learned = learned[share]
    if config.query_share == 1:
        held_out = held_out[queries[held_out]]
    return tokenize(rows[learned]), tokenize(rows[held_out])


def sample(texts: TokenizedTexts) -> list[Text]:
    """Returns some of the texts, to compare exported graphs on."""
    return texts.cache.texts(np.random.default_rng(0).permutation(texts.rows)[:PARITY_TEXTS])


def own_canaries(texts: TokenizedTexts, config: DistillConfig, rotation: Rotation | None) -> Canaries | None:
    """Returns some texts with the teacher's vectors, short ones preferred and both roles, to recognise a leaf by.

    Args:
        texts: Texts that were held out.
        config: The recipe: how many, and the seed.
        rotation: Of the leaf's space, which the vectors of the cache are not in.
    """
    rows = np.random.default_rng(config.seed).permutation(texts.rows)[:OWN_DRAWN]
    drawn = [(text, row) for text, row in zip(texts.cache.texts(rows), rows, strict=True) if text.text.strip()]
    drawn.sort(key=lambda pair: len(pair[0].text) > OWN_CHARACTERS)  # stable: the draw decides among the short
    of_role = [[pair for pair in drawn if pair[0].kind == role] for role in ROLES]
    few = min(min(len(found) for found in of_role), config.kept_texts // 2)
    chosen = [pair for found in of_role for pair in found[: config.kept_texts - few]][: config.kept_texts]
    if not chosen:
        return None
    vectors = texts.cache.vectors(np.array([row for _, row in chosen]))
    kept = tuple((text.kind, text.text) for text, _ in chosen)
    return Canaries(kept, vectors if rotation is None else rotation.apply(vectors))


def weigh_roles(
    is_query: NDArray[np.bool_], share: float, seed: int, is_document: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Returns places of texts of which queries are a given share: the rarer role is repeated, no text is left out.

    A share of 1 is the exception: documents are left out.

    Every text of a role comes equally often, give or take one; which ones come once more is drawn by the seed.

    Args:
        is_query: Whether each text is a query, shape ``(n,)``.
        share: Of queries, above 0, and 1 at most.
        seed: Of the draw.
        is_document: Whether each text is a document, shape ``(n,)``; by default those that are no queries. A text of
            both roles is drawn as either.

    Returns:
        Places from 0 to n - 1 in rising order, at least n of them unless documents are left out.

    Raises:
        InputError: There are only queries or only documents.
    """
    places = np.arange(len(is_query), dtype=np.int64)
    queries, documents = places[is_query], places[~is_query if is_document is None else is_document]
    if share == 1 and len(queries):
        return queries
    if not len(queries) or not len(documents):
        raise InputError(
            f"a share of queries needs both roles; the corpus has {len(queries)} queries and {len(documents)} documents"
        )
    generator = np.random.default_rng(seed)
    more_queries = _repeat(queries, round(len(documents) * share / (1 - share)), generator)
    more_documents = _repeat(documents, round(len(queries) * (1 - share) / share), generator)
    if len(more_queries) >= len(queries):
        return np.sort(np.concatenate([more_queries, documents]))
    return np.sort(np.concatenate([queries, more_documents]))


def _repeat(places: NDArray[np.int64], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """``count`` of the places: whole rounds, and a random part of one."""
    rounds, rest = divmod(count, len(places))
    return np.concatenate([np.tile(places, rounds), generator.permutation(places)[:rest]])
