"""Any Python callable, and any LangChain ``Embeddings`` object, as a teacher.

``CallableEncoder(f, "name")``            f: list of texts -> vectors; prompts are put before what f gets
``CallableEncoder(f, "name", query_function=g)``   two roles that are made inside; prompts are for the leaf only
``langchain_encoder(embeddings)``         embed_documents and embed_query as these two
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from leaf_embed import vectors
from leaf_embed.canaries import CANARY_TEXTS, Canaries
from leaf_embed.encoders.base import BaseEncoder
from leaf_embed.errors import InputError, LeafEmbedError, TeacherError
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

__all__ = ["CallableEncoder", "VectorFunction", "langchain_encoder"]

VectorFunction: TypeAlias = Callable[[list[str]], ArrayLike]
"""From n texts to n vectors, ``(n, dim)``: lists, or anything that NumPy reads."""

QUERY_MARK = "query: "  # tells a leaf the roles apart if the teacher does so by means that cannot be seen
SAME = 1e-3  # distance of unit vectors below which two answers count as the same: float16 and batching stay below


class CallableEncoder(BaseEncoder):
    """A function as a teacher. What it is called with is the user's word; size and norm are found by asking it."""

    def __init__(
        self,
        function: VectorFunction,
        name: str,
        *,
        query_function: VectorFunction | None = None,
        query_prompt: str | None = None,
        document_prompt: str = "",
        revision: str | None = None,
        max_tokens: int | None = None,
        texts_per_call: int = 128,
    ) -> None:
        """Ask the function for the eight canary texts.

        Args:
            function: Makes vectors of texts; of documents only, if there is a ``query_function``.
            name: What the space calls this teacher. Another model needs another name.
            query_function: Makes vectors of queries where the teacher treats them otherwise, for example by an input
                type. Then both functions get the bare texts, and the prompts only tell the leaf which is which.
            query_prompt: Text before every query; by default none, or ``"query: "`` if a ``query_function`` gives
                other vectors than ``function`` does.
            document_prompt: Text before every document.
            revision: What exactly it is, as far as known.
            max_tokens: Tokens after which it stops reading, if known.
            texts_per_call: Texts at once at most; a teacher cache keeps each call's answer even if the next one fails.

        Raises:
            TeacherError: The function failed, or gave another number of vectors than it got texts.
            VectorError: It gave vectors that cannot be used.
            InputError: A value that cannot be used, or two roles with the same prompt and different vectors.
        """
        if not callable(function) or not (query_function is None or callable(query_function)):
            raise InputError(f"expected a function from texts to vectors; got {type(function).__name__}")
        if texts_per_call < 1:
            raise InputError(f"texts_per_call must be at least 1; got {texts_per_call}")
        self._per_call = texts_per_call
        self._functions: dict[Role, VectorFunction] = {"query": query_function or function, "document": function}
        self._adds_prompts = query_function is None
        if query_function is not None:
            query_prompt = self._settle_roles(query_prompt, document_prompt)
        prompts: dict[Role, str] = {"query": query_prompt or "", "document": document_prompt}
        probe = np.stack([self._ask([self._words(text, prompts[role])], role, name)[0] for role, text in CANARY_TEXTS])
        self._space = EmbeddingSpace(
            teacher=name,
            dim=int(probe.shape[1]),
            revision=revision,
            query_prompt=prompts["query"],
            document_prompt=prompts["document"],
            unit_norm=vectors.is_unit_norm(probe),
            max_tokens=max_tokens,
            canaries=Canaries(CANARY_TEXTS, probe),
        )

    @property
    def space(self) -> EmbeddingSpace:
        return self._space

    def call_sizes(self, texts: Sequence[str], role: Role) -> Iterator[int]:
        """How many of these texts go into each call."""
        return (min(self._per_call, len(texts) - start) for start in range(0, len(texts), self._per_call))

    def _settle_roles(self, query_prompt: str | None, document_prompt: str) -> str:
        """The query prompt for the leaf; queries that are embedded like documents go the documents' way."""
        text = CANARY_TEXTS[0][1]
        one, other = (self._ask([text], role, "the functions")[0] for role in ("query", "document"))
        differ = (
            one.shape != other.shape or float(np.linalg.norm(vectors.normalize(one) - vectors.normalize(other))) > SAME
        )
        if not differ:
            self._functions["query"] = self._functions["document"]
            return query_prompt or ""
        prompt = QUERY_MARK if query_prompt is None else query_prompt
        if prompt == document_prompt:
            raise InputError(
                f"queries and documents get different vectors but the same prompt {prompt!r}, so that neither the "
                "cache nor the leaf could tell them apart. Give the prompt that the teacher adds to queries, or any."
            )
        return prompt

    def _words(self, text: str, prompt: str) -> str:
        return prompt + text if self._adds_prompts else text

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        words = [self._words(text, self.space.prompt(role)) for text in texts]
        step = self._per_call
        blocks = [self._ask(words[i : i + step], role, self.space.teacher) for i in range(0, len(words), step)]
        return vectors.as_vectors(np.concatenate(blocks), self.space.dim, source=f"the teacher {self.space.teacher}")

    def _ask(self, words: list[str], role: Role, name: str) -> FloatArray:
        """One call, checked, shape ``(len(words), dim)``."""
        try:
            answer = self._functions[role](words)
        except LeafEmbedError:
            raise
        except Exception as error:
            raise TeacherError(
                f"the teacher {name} failed on {len(words)} texts: {type(error).__name__}: {error}"
            ) from error
        found = vectors.as_vectors(answer, source=f"the teacher {name}")
        if len(found) != len(words):
            raise TeacherError(
                f"the teacher {name} gave {len(found)} vectors for {len(words)} texts; expected one each"
            )
        return found


class _Embeddings(Protocol):
    """What LangChain's ``Embeddings`` is to us; its package is not needed."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]: ...

    def embed_query(self, text: str) -> list[float]: ...


def langchain_encoder(embeddings: _Embeddings, name: str | None = None, **declared: Any) -> CallableEncoder:
    """A LangChain ``Embeddings`` object as a teacher.

    Args:
        embeddings: Anything with ``embed_documents`` and ``embed_query``.
        name: What the space calls it; by default its ``model`` or ``model_name``.
        declared: As for :class:`CallableEncoder`: ``query_prompt`` is what the object adds to queries, if known.

    Raises:
        InputError: No such object, or one without a name.
    """
    if not callable(getattr(embeddings, "embed_documents", None)) or not callable(
        getattr(embeddings, "embed_query", None)
    ):
        raise InputError(f"expected a LangChain Embeddings object; got {type(embeddings).__name__}")
    found = name or getattr(embeddings, "model", None) or getattr(embeddings, "model_name", None)
    if not isinstance(found, str) or not found:
        raise InputError(f"{type(embeddings).__name__} does not say which model it is; give name=...")

    def queries(texts: list[str]) -> Sequence[Sequence[float]]:
        return [embeddings.embed_query(text) for text in texts]

    return CallableEncoder(embeddings.embed_documents, found, query_function=queries, **declared)
