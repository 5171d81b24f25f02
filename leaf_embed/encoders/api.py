"""An embeddings API as a teacher: any OpenAI-compatible endpoint. Extra: ``api``.

What is asked and what it costs is decided here; how one request is sent is in :mod:`leaf_embed.encoders.api_http`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from leaf_embed import vectors
from leaf_embed.canaries import CANARY_TEXTS, Canaries
from leaf_embed.encoders.api_http import ApiOptions, Endpoint
from leaf_embed.encoders.base import BaseEncoder
from leaf_embed.errors import BudgetError, InputError, VectorError
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

__all__ = ["ApiEncoder", "ApiOptions", "estimate_tokens"]

BYTES_PER_TOKEN = 4  # English prose has 4 to 4.5 UTF-8 bytes a token, code and other scripts about 3


class ApiEncoder(BaseEncoder):
    """Vectors from an endpoint, in batches bounded by texts and tokens, within a budget.

    The first call asks for the eight canary texts (about 100 tokens), which tells size, norm, and later on whether
    the model behind the address has changed. For more than a few texts put a teacher cache before it: what was
    paid for is never paid for again.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        dimensions: int | None = None,
        query_prompt: str = "",
        document_prompt: str = "",
        max_tokens: int | None = None,
        budget: int | None = None,
        options: ApiOptions | None = None,
    ) -> None:
        """Say whom to ask; nothing is sent before the space or a vector is needed.

        Args:
            base_url: As in ``https://api.openai.com/v1``.
            model: Name of the model there; the space's teacher.
            dimensions: Ask for shorter vectors, where the model can.
            query_prompt: Text put before every query, as the model's card asks for.
            document_prompt: Text put before every document.
            max_tokens: Tokens after which the model stops reading, if known.
            budget: Tokens that this object may spend; ``None`` for no limit.
            options: Key, time-outs, retries and sizes of batches.

        Raises:
            MissingExtraError: The extra ``api`` is not installed.
            InputError: A value that cannot be used.
        """
        if not model:
            raise InputError("which model? The API needs its name")
        if (dimensions is not None and dimensions < 1) or (budget is not None and budget < 1):
            raise InputError(f"dimensions and budget must be at least 1; got {dimensions} and {budget}")
        self._endpoint = Endpoint(base_url, options or ApiOptions())
        self._model, self._dimensions = model, dimensions
        self._prompts: dict[Role, str] = {"query": query_prompt, "document": document_prompt}
        self._max_tokens = max_tokens
        self.budget = budget
        self.spent = 0
        self._space: EmbeddingSpace | None = None
        self._estimated = self._counted = 100  # tokens; what the server counts corrects the estimates that follow

    def __repr__(self) -> str:
        return f"ApiEncoder({self._endpoint.url!r}, {self._model!r}, spent={self.spent}, budget={self.budget})"

    def call_sizes(self, texts: Sequence[str], role: Role) -> Iterator[int]:
        """How many of these texts go into each request."""
        return map(len, api_batches([self._prompts[role] + text for text in texts], self._endpoint.options))

    @property
    def space(self) -> EmbeddingSpace:
        """What was declared, and what the canaries' vectors show; the first use sends a request."""
        if self._space is None:
            words = [self._prompts[role] + text for role, text in CANARY_TEXTS]
            probe = self._ask(words)
            self._space = EmbeddingSpace(
                teacher=self._model,
                dim=int(probe.shape[1]),
                query_prompt=self._prompts["query"],
                document_prompt=self._prompts["document"],
                unit_norm=vectors.is_unit_norm(probe),
                max_tokens=self._max_tokens,
                canaries=Canaries(CANARY_TEXTS, probe),
            )
        return self._space

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        dim = self.space.dim
        words = [self._prompts[role] + text for text in texts]
        block = np.concatenate([self._ask(batch) for batch in api_batches(words, self._endpoint.options)])
        return vectors.as_vectors(block, dim, source=self._source)

    @property
    def _source(self) -> str:
        return f"the model {self._model!r} at {self._endpoint.url}"

    def _ask(self, words: list[str]) -> FloatArray:
        """One request, checked, shape ``(len(words), dim)``.

        Raises:
            BudgetError: It would cost more than is left; nothing was sent.
        """
        estimate = estimate_tokens(words)
        cost = math.ceil(estimate * self._counted / self._estimated)
        if self.budget is not None and self.spent + cost > self.budget:
            raise BudgetError(
                f"the next {len(words)} texts cost about {cost:,} tokens; {self.spent:,} of the budget of "
                f"{self.budget:,} are spent. What was embedded is kept in the cache: the same call with a new budget "
                "goes on where this one stopped."
            )
        body: dict[str, Any] = {"model": self._model, "input": words, "encoding_format": "float"}
        if self._dimensions is not None:
            body["dimensions"] = self._dimensions
        answer = self._endpoint.post(body, on_lost=lambda: self._spend(cost))
        self._spend(cost if answer.tokens is None else answer.tokens)
        if answer.tokens is not None:
            self._estimated += estimate
            self._counted += answer.tokens
        names = [f"{word[:60]}..." if len(word) > 60 else word for word in words]
        found = vectors.as_vectors(answer.rows, source=self._source, ids=names)
        if self._dimensions is not None and found.shape[1] != self._dimensions:
            raise VectorError(
                f"{self._source} was asked for {self._dimensions} dimensions and gave {found.shape[1]}; it does not "
                "know the option. Leave it out, or use a model that does."
            )
        return found

    def _spend(self, tokens: int) -> None:
        self.spent += tokens


def api_batches(words: Sequence[str], options: ApiOptions) -> Iterator[list[str]]:
    """Texts in their order, as many a batch as its two limits allow, at least one."""
    batch: list[str] = []
    tokens = 0
    for word in words:
        cost = estimate_tokens([word])
        if batch and (len(batch) == options.items or tokens + cost > options.tokens):
            yield batch
            batch, tokens = [], 0
        batch.append(word)
        tokens += cost
    if batch:
        yield batch


def estimate_tokens(texts: Iterable[str]) -> int:
    """About how many tokens texts are billed for: UTF-8 bytes by four, and one a text for what models add.

    No tokenizer is asked: the model's own is on the other side. Right within a third for European prose.
    """
    return sum(-(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN) + 1 for text in texts)
