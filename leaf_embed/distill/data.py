"""From cached texts to batches: tokenised once, grouped by length, in an order that follows from the seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed.distill.cache import Rows, TeacherCache
from leaf_embed.distill.corpus import Text
from leaf_embed.encoders.batching import round_up
from leaf_embed.space import EmbeddingSpace, Role

if TYPE_CHECKING:
    import torch

__all__ = ["TokenizedTexts", "cut_texts", "epoch_batches", "tokenize"]

PAD_MULTIPLE = 8  # few shapes: bfloat16 on CPU keeps one compiled kernel for each
CHARACTERS_PER_TOKEN = 512  # far above any real text
BATCHES_PER_BUCKET = 64  # texts are sorted by length within this many batches: little padding, still well mixed


@dataclass(frozen=True)
class TokenizedTexts:
    """Token ids and teacher vectors of texts, ready to be batched.

    Attributes:
        ids: All token ids one after another, uint32.
        starts: Where each text begins in ``ids``, shape ``(n + 1,)``.
        rows: The cache's row of each text, shape ``(n,)``.
        kinds: Role of each text.
        cache: Where the teacher's vectors lie.
        pad_id: Token id to pad with.
        inputs: Names of the tensors that the student reads.
    """

    ids: NDArray[np.uint32]
    starts: NDArray[np.int64]
    rows: Rows
    kinds: tuple[Role, ...]
    cache: TeacherCache
    pad_id: int
    inputs: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each text."""
        return np.diff(self.starts)

    def batch(self, places: NDArray[np.int64], device: Any) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Padded features and teacher vectors ``(n, dim)`` of some texts, on a device."""
        import torch

        lengths = self.lengths
        length = min(round_up(int(lengths[places].max()), PAD_MULTIPLE), int(lengths.max()))  # never beyond the limit
        ids = np.full((len(places), length), self.pad_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, place in enumerate(places):
            tokens = self.ids[self.starts[place] : self.starts[place + 1]]
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        features = {name: torch.from_numpy(values[name]).to(device) for name in self.inputs}
        return features, torch.from_numpy(self.cache.vectors(self.rows[places])).to(device)

    def by_length(
        self, places: NDArray[np.int64], size: int, device: Any
    ) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
        """:meth:`batch` by batch, the shortest texts first: little padding where the order does not matter."""
        order = places[np.argsort(self.lengths[places], kind="stable")]
        for start in range(0, len(order), size):
            yield self.batch(order[start : start + size], device)


def tokenize(tokenizer: Any, cache: TeacherCache, rows: Rows, max_tokens: int) -> TokenizedTexts:
    """Tokenise the texts of some cache rows, prompts included."""
    ids = [np.empty(0, dtype=np.uint32)]
    kinds: list[Role] = []
    for start in range(0, len(rows), 8192):
        texts = cache.texts(rows[start : start + 8192])
        prompted = [cache.space.prompt(text.kind) + _readable(text.text, max_tokens) for text in texts]
        encoded = tokenizer(prompted, truncation=True, max_length=max_tokens, return_attention_mask=False)
        ids.extend(np.asarray(tokens, dtype=np.uint32) for tokens in encoded["input_ids"])
        kinds.extend(text.kind for text in texts)
    starts = np.concatenate([[0], np.cumsum([len(tokens) for tokens in ids[1:]])]).astype(np.int64)
    names = [name for name in tokenizer.model_input_names if name in ("input_ids", "attention_mask", "token_type_ids")]
    return TokenizedTexts(
        np.concatenate(ids), starts, rows, tuple(kinds), cache, tokenizer.pad_token_id or 0, tuple(names)
    )


def cut_texts(texts: Iterable[Text], tokenizer: Any, space: EmbeddingSpace, max_tokens: int) -> Iterator[Text]:
    """Cut each text to what the student reads of it, so that the teacher's vector speaks of the same words.

    A teacher that reads 512 tokens describes what a student of 128 tokens never sees; the difference would be
    learned as noise.
    """
    iterator = (Text(_readable(text.text, max_tokens), text.kind) for text in texts)
    while chunk := list(islice(iterator, 1024)):
        prompts = [space.prompt(text.kind) for text in chunk]
        words = [prompt + text.text for prompt, text in zip(prompts, chunk, strict=True)]
        encoded = tokenizer(words, truncation=True, max_length=max_tokens, return_offsets_mapping=True)
        for text, prompt, offsets in zip(chunk, prompts, encoded["offset_mapping"], strict=True):
            end = max(stop for _, stop in offsets) - len(prompt)
            cut = text.text[:end] if len(offsets) >= max_tokens else text.text
            if cut.strip():
                yield Text(cut, text.kind)


def _readable(text: str, max_tokens: int) -> str:
    """The part of a text that could make ``max_tokens`` tokens: spares the tokenizer texts of many megabytes."""
    return text[: max_tokens * CHARACTERS_PER_TOKEN]


def epoch_batches(lengths: Sequence[int] | NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> list[Rows]:
    """The batches of an epoch, each of exactly ``batch_size`` texts of similar length, in random order.

    It depends on ``seed`` and ``epoch`` alone, so a resumed run sees the same batches. The remainder that does not
    fill a batch is left out, another one each epoch; fewer texts than a batch make one smaller batch.
    """
    sizes = np.asarray(lengths)
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(sizes))
    if len(order) <= batch_size:
        return [order]
    whole = order[: len(order) // batch_size * batch_size]
    bucket = batch_size * BATCHES_PER_BUCKET
    batches: list[Rows] = []
    for start in range(0, len(whole), bucket):
        group = whole[start : start + bucket]
        group = group[np.argsort(sizes[group], kind="stable")]
        batches.extend(group.reshape(-1, batch_size))
    return [batches[place] for place in generator.permutation(len(batches))]
