"""Functions from texts to vectors, and LangChain's ``Embeddings`` objects, as encoders.

``FunctionEncoder(space, document=f)``    functions that write into a space that is known, such as a leaf's
``CallableEncoder(f, "name")``            a teacher with a space of its own; f is called with prompted texts
``CallableEncoder(f, "name", query_function=g)``    one function per role, called with bare texts
``langchain_encoder(embeddings)``         embed_documents and embed_query as these two
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from leaf_embed import vectors
from leaf_embed.canaries import CANARY_TEXTS, Canaries
from leaf_embed.encoders.base import BaseEncoder
from leaf_embed.encoders.checks import check_callable, check_kind, check_text, check_whole
from leaf_embed.errors import InputError, LeafEmbedError, TeacherError
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

__all__ = ["CallableEncoder", "FunctionEncoder", "VectorFunction", "langchain_encoder", "one_by_one"]

VectorFunction: TypeAlias = Callable[[list[str]], ArrayLike]
"""A function from n texts to n vectors, ``(n, dim)``: lists, or anything that NumPy reads."""

QUERY_MARK = "query: "  # separates the roles for a leaf if the teacher does so by means that cannot be seen
SAME = 1e-3  # distance of unit vectors below which two answers count as the same: float16 and batching stay below


class FunctionEncoder(BaseEncoder):
    """An encoder of a known space by two functions from texts to vectors.

    The functions are called with the bare texts: adding a prompt, if the model needs one, is up to them. Where the
    space has canaries, they show whether the functions really write into it.
    """

    def __init__(self, space: EmbeddingSpace, *, document: VectorFunction, query: VectorFunction | None = None) -> None:
        """Wrap the functions.

        Args:
            space: The space that the functions write into, such as ``leaf.space``.
            document: Returns vectors of documents, ``(n, dim)`` for n texts.
            query: Returns vectors of queries; ``document`` by default.
        """
        check_kind("space", space, EmbeddingSpace)
        check_callable("document", document)
        check_callable("query", query, optional=True)
        self._space = space
        self._functions: dict[Role, VectorFunction] = {"document": document, "query": query or document}

    @property
    def space(self) -> EmbeddingSpace:
        return self._space

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        source = f"the function that encodes a {role}"
        try:
            answer = self._functions[role](texts)
        except LeafEmbedError:
            raise
        except Exception as error:
            raise TeacherError(f"{source} failed on {len(texts)} texts: {type(error).__name__}: {error}") from error
        matrix = vectors.as_vectors(answer, self.dim, source=source)
        if len(matrix) != len(texts):
            raise InputError(f"{source} returned {len(matrix)} vectors for {len(texts)} texts; expected one per text")
        return vectors.normalize(matrix) if self._space.unit_norm else matrix


def one_by_one(encode: Callable[[str], Sequence[float]]) -> VectorFunction:
    """Returns a function of many texts from a function of one text."""
    return partial(_each, encode)


def _each(encode: Callable[[str], Sequence[float]], texts: Sequence[str]) -> FloatArray:
    return np.asarray([encode(text) for text in texts], dtype=np.float32)


class CallableEncoder(BaseEncoder):
    """A teacher by a function from texts to vectors; its dimensions and norm are measured by calling it."""

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
        """Calls the function with the eight canary texts.

        Args:
            function: Returns vectors of texts; of documents only, if there is a ``query_function``.
            name: Name of the teacher in its space. Another model needs another name.
            query_function: Returns vectors of queries where the teacher treats them differently, for example by an
                input type. Then both functions are called with bare texts, and prompts separate the roles for the leaf.
            query_prompt: Text put before every query; by default none, or ``"query: "`` if ``query_function`` returns
                other vectors than ``function``.
            document_prompt: Text put before every document.
            revision: Revision of the teacher, if known.
            max_tokens: Number of tokens that it reads, if known.
            texts_per_call: Maximal number of texts per call; a teacher cache keeps the vectors of each call, even if
                the next one fails.

        Raises:
            TeacherError: The function failed, or returned another number of vectors than it was called with texts.
            VectorError: It returned vectors that cannot be used.
            InputError: A value that cannot be used, or two roles with the same prompt and different vectors.
        """
        if not callable(function) or not (query_function is None or callable(query_function)):
            raise InputError(f"expected a function from texts to vectors; got {type(function).__name__}")
        check_whole("texts_per_call", texts_per_call)
        check_whole("max_tokens", max_tokens, optional=True)
        check_text("name", name)
        check_text("document_prompt", document_prompt)
        check_text("query_prompt", query_prompt, optional=True)
        check_text("revision", revision, optional=True)
        self._per_call = texts_per_call
        self._functions: dict[Role, VectorFunction] = {"query": query_function or function, "document": function}
        self._adds_prompts = query_function is None
        if query_function is not None:
            query_prompt = self._settle_roles(query_prompt, document_prompt)
        prompts: dict[Role, str] = {"query": query_prompt or "", "document": document_prompt}
        probe = [self._call([self._prompted(text, prompts[role])], role, name)[0] for role, text in CANARY_TEXTS]
        self._space = EmbeddingSpace(
            teacher=name,
            dim=len(probe[0]),
            revision=revision,
            query_prompt=prompts["query"],
            document_prompt=prompts["document"],
            unit_norm=vectors.is_unit_norm(probe),
            max_tokens=max_tokens,
            canaries=Canaries(CANARY_TEXTS, np.stack(probe)),
        )

    @property
    def space(self) -> EmbeddingSpace:
        return self._space

    def call_sizes(self, texts: Sequence[str], role: Role) -> Iterator[int]:
        """Returns how many of these texts go into each call."""
        return (min(self._per_call, len(texts) - start) for start in range(0, len(texts), self._per_call))

    def _settle_roles(self, query_prompt: str | None, document_prompt: str) -> str:
        """The query prompt for the leaf; queries that are embedded like documents use the documents' function."""
        text = CANARY_TEXTS[0][1]
        one, other = (self._call([text], role, "the functions")[0] for role in ("query", "document"))
        differ = (
            one.shape != other.shape or float(np.linalg.norm(vectors.normalize(one) - vectors.normalize(other))) > SAME
        )
        if not differ:
            self._functions["query"] = self._functions["document"]
            return query_prompt or ""
        prompt = QUERY_MARK if query_prompt is None else query_prompt
        if prompt == document_prompt:
            raise InputError(
                f"queries and documents have different vectors but the same prompt {prompt!r}, so neither the cache "
                "nor the leaf could separate them. Give the prompt that the teacher adds to queries, or any other."
            )
        return prompt

    def _prompted(self, text: str, prompt: str) -> str:
        return prompt + text if self._adds_prompts else text

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        prompted = [self._prompted(text, self.space.prompt(role)) for text in texts]
        step = self._per_call
        blocks = [self._call(prompted[i : i + step], role, self.space.teacher) for i in range(0, len(texts), step)]
        return vectors.as_vectors(np.concatenate(blocks), self.space.dim, source=f"the teacher {self.space.teacher}")

    def _call(self, prompted: list[str], role: Role, name: str) -> FloatArray:
        """The checked vectors of one call, shape ``(len(prompted), dim)``."""
        try:
            answer = self._functions[role](prompted)
        except LeafEmbedError:
            raise
        except Exception as error:
            raise TeacherError(
                f"the teacher {name} failed on {len(prompted)} texts: {type(error).__name__}: {error}"
            ) from error
        found = vectors.as_vectors(answer, source=f"the teacher {name}")
        if len(found) != len(prompted):
            raise TeacherError(
                f"the teacher {name} returned {len(found)} vectors for {len(prompted)} texts; expected one per text"
            )
        return found


class _Embeddings(Protocol):
    """The part of LangChain's ``Embeddings`` that is used; its package is not needed."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]: ...

    def embed_query(self, text: str) -> list[float]: ...


def langchain_encoder(embeddings: _Embeddings, name: str | None = None, **declared: Any) -> CallableEncoder:
    """Returns a LangChain ``Embeddings`` object as a teacher.

    Args:
        embeddings: Anything with ``embed_documents`` and ``embed_query``.
        name: Name of the teacher in its space; by default the object's ``model`` or ``model_name``.
        declared: As for :class:`CallableEncoder`: ``query_prompt`` is what the object adds to queries, if known.

    Raises:
        InputError: Not such an object, or one without a name.
    """
    if not callable(getattr(embeddings, "embed_documents", None)) or not callable(
        getattr(embeddings, "embed_query", None)
    ):
        raise InputError(f"expected a LangChain Embeddings object; got {type(embeddings).__name__}")
    found = name or getattr(embeddings, "model", None) or getattr(embeddings, "model_name", None)
    if not isinstance(found, str) or not found:
        raise InputError(f"{type(embeddings).__name__} has neither model nor model_name; give name=...")

    queries = one_by_one(embeddings.embed_query)
    return CallableEncoder(embeddings.embed_documents, found, query_function=queries, **declared)
