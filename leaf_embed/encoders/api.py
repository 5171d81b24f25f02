"""An embeddings API as a teacher: any OpenAI-compatible endpoint, and what it will cost. Extra: ``api``.

This module divides texts into requests and counts tokens; :mod:`leaf_embed.encoders.api_http` sends one request.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leaf_embed import vectors
from leaf_embed.canaries import CANARY_TEXTS, Canaries
from leaf_embed.encoders.api_http import ApiOptions, Endpoint, RefusedTextsError
from leaf_embed.encoders.base import BaseEncoder
from leaf_embed.encoders.checks import check_kind, check_text, check_whole
from leaf_embed.errors import BudgetError, InputError, VectorError
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role, Text
from leaf_embed.vectors import FloatArray

__all__ = ["ApiEncoder", "ApiOptions", "Cost", "estimate_cost", "estimate_tokens"]

BYTES_PER_TOKEN = 4  # English prose has 4 to 4.5 UTF-8 bytes per token, code and other scripts about 3


class ApiEncoder(BaseEncoder):
    """An encoder that requests vectors from an endpoint, in batches bounded by texts and tokens, within a budget.

    The first request is for the eight canary texts (about 100 tokens), which show dimensions and norm, and later
    whether the model behind the address has changed. For more than a few texts put a teacher cache before it, so that
    no text is paid for twice.
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
        """Checks the options; nothing is sent before the space or a vector is needed.

        Args:
            base_url: As in ``https://api.openai.com/v1``.
            model: Name of the model there; the teacher of the space.
            dimensions: Dimensions to request, of models that can shorten their vectors.
            query_prompt: Text put before every query, as on the model's card.
            document_prompt: Text put before every document.
            max_tokens: Number of tokens that the model reads, if known. Longer texts are cut to it, by the estimate of
                :func:`estimate_tokens`; one that the endpoint still refuses is halved until it is surely short enough.
                Without it an endpoint that refuses long texts ends the run.
            budget: Tokens that this object may spend; ``None`` for no limit.
            options: Key, time-outs, retries and sizes of batches.

        Raises:
            MissingExtraError: The extra ``api`` is not installed.
            InputError: A value that cannot be used.
        """
        if not isinstance(model, str) or not model:
            raise InputError("which model of the API? Give its name as model=...")
        for name, value in (("dimensions", dimensions), ("budget", budget), ("max_tokens", max_tokens)):
            check_whole(name, value, optional=True)
        check_text("query_prompt", query_prompt)
        check_text("document_prompt", document_prompt)
        check_kind("options", options, ApiOptions, optional=True)
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
        """Returns how many of these texts go into each request."""
        return map(len, api_batches(self._prompted(texts, role), self._endpoint.options))

    def _prompted(self, texts: Sequence[str], role: Role) -> list[str]:
        """The texts behind their prompt, cut to what the model reads."""
        prompted = [self._prompts[role] + text for text in texts]
        return prompted if self._max_tokens is None else [cut_to_tokens(text, self._max_tokens) for text in prompted]

    @property
    def space(self) -> EmbeddingSpace:
        """The declared space, with dimensions and norm of the canaries' vectors; the first use sends a request."""
        if self._space is None:
            probe = self._request([self._prompted([text], role)[0] for role, text in CANARY_TEXTS])
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
        prompted = self._prompted(texts, role)
        block = np.concatenate([self._readable(batch) for batch in api_batches(prompted, self._endpoint.options)])
        return vectors.as_vectors(block, dim, source=self._source)

    @property
    def _source(self) -> str:
        return f"the model {self._model!r} at {self._endpoint.url}"

    def _readable(self, prompted: list[str]) -> FloatArray:
        """The vectors of one batch; a refused one is divided until the text that is too long is found and cut.

        Raises:
            RefusedTextsError: A text is refused that has no more bytes than the model reads tokens; it is named.
        """
        try:
            return self._request(prompted)
        except RefusedTextsError as error:
            if self._max_tokens is None:
                raise
            if len(prompted) > 1:
                half = len(prompted) // 2
                return np.concatenate([self._readable(prompted[:half]), self._readable(prompted[half:])])
            text = prompted[0]
            if len(text.encode("utf-8", "replace")) <= self._max_tokens:  # no token is shorter than a byte
                raise RefusedTextsError(f"{error} The text is {text[:60]!r}") from None
            return self._readable([cut_to_tokens(text, estimate_tokens([text]) // 2)])

    def _request(self, prompted: list[str]) -> FloatArray:
        """The checked vectors of one request, shape ``(len(prompted), dim)``.

        Raises:
            BudgetError: It would cost more than is left; nothing was sent.
        """
        estimate = estimate_tokens(prompted)
        cost = math.ceil(estimate * self._counted / self._estimated)
        if self.budget is not None and self.spent + cost > self.budget:
            raise BudgetError(
                f"the next {len(prompted)} texts cost about {cost:,} tokens; {self.spent:,} of the budget of "
                f"{self.budget:,} are spent. What was embedded is kept in the cache: the same call with a new budget "
                "goes on where this one stopped."
            )
        body: dict[str, Any] = {"model": self._model, "input": prompted, "encoding_format": "float"}
        if self._dimensions is not None:
            body["dimensions"] = self._dimensions
        answer = self._endpoint.post(body, on_lost=lambda: self._spend(cost))
        self._spend(cost if answer.tokens is None else answer.tokens)
        if answer.tokens is not None:
            self._estimated += estimate
            self._counted += answer.tokens
        names = [f"{text[:60]}..." if len(text) > 60 else text for text in prompted]
        found = vectors.as_vectors(answer.rows, source=self._source, ids=names)
        if self._dimensions is not None and found.shape[1] != self._dimensions:
            raise VectorError(
                f"{self._source} was asked for {self._dimensions} dimensions and returned {found.shape[1]}; it "
                "ignores the option. Leave it out, or use a model that can shorten its vectors."
            )
        return found

    def _spend(self, tokens: int) -> None:
        self.spent += tokens


def api_batches(texts: Sequence[str], options: ApiOptions) -> Iterator[list[str]]:
    """Splits texts, in their order, into batches as large as the two limits allow, of at least one text."""
    batch: list[str] = []
    tokens = 0
    for text in texts:
        cost = estimate_tokens([text])
        if batch and (len(batch) == options.items or tokens + cost > options.tokens):
            yield batch
            batch, tokens = [], 0
        batch.append(text)
        tokens += cost
    if batch:
        yield batch


def estimate_tokens(texts: Iterable[str]) -> int:
    """Estimates how many tokens texts are billed for: a quarter of their UTF-8 bytes, and one more per text.

    The model's own tokenizer is not at hand. The error is below a third for European prose.

    Raises:
        InputError: One text instead of several, or an item that is no text.
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise InputError(f"expected several texts; got {type(texts).__name__}")
    tokens = 0
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"expected texts; item {place} is of type {type(text).__name__}: {text!r:.80}")
        tokens += -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN) + 1
    return tokens


def cut_to_tokens(text: str, max_tokens: int) -> str:
    """Returns the beginning of a text that :func:`estimate_tokens` takes for ``max_tokens`` tokens at most."""
    most = max(1, max_tokens - 1) * BYTES_PER_TOKEN
    if len(text) * 4 <= most:  # no character has more bytes
        return text
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


@dataclass(frozen=True)
class Cost:
    """An upper bound of what embedding costs; texts that a cache holds already are free.

    Attributes:
        texts: Number of distinct texts.
        tokens: Estimated number of billed tokens, prompts included; the error is below a third for European prose.
    """

    texts: int
    tokens: int


def estimate_cost(
    texts: Iterable[Text], *, max_tokens: int | None = None, query_prompt: str = "", document_prompt: str = ""
) -> Cost:
    """Estimates what a teacher that is paid per token will cost, before the first request.

    Args:
        texts: Texts to embed, read once; memory grows by about 60 bytes per distinct text.
        max_tokens: Number of tokens to which texts are cut before they are sent.
        query_prompt: Text put before every query.
        document_prompt: Text put before every document.

    Raises:
        InputError: Something else than texts, prompts and a number of tokens.
    """
    check_whole("max_tokens", max_tokens, optional=True)
    check_text("query_prompt", query_prompt)
    check_text("document_prompt", document_prompt)
    known: set[bytes] = set()
    tokens = 0
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise InputError(f"expected several texts; got {type(texts).__name__}")
    for place, text in enumerate(texts):
        if not isinstance(text, Text) or not isinstance(text.text, str):
            raise InputError(f"expected items of type Text; item {place} is of type {type(text).__name__}")
        key = hashlib.sha256(f"{text.kind}\0{text.text}".encode("utf-8", "replace")).digest()[:8]
        if key not in known:
            known.add(key)
            prompt = query_prompt if text.kind == "query" else document_prompt
            cost = estimate_tokens([prompt + text.text])
            tokens += cost if max_tokens is None else min(cost, max_tokens)
    return Cost(len(known), tokens)
