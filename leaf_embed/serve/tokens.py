"""Token numbers back into text: some clients of OpenAI send them instead of texts.

LangChain's ``OpenAIEmbeddings`` does unless told otherwise, by the tokenizer (tiktoken) of the model that it believes
to be there. The text is the same again after decoding; a leaf's own tokenizer then reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from leaf_embed._extras import require
from leaf_embed.errors import InputError

__all__ = ["decode_tokens"]

FALLBACK = "cl100k_base"  # of OpenAI's embedding models, and what LangChain takes for a model that it does not know
ADVICE = "Send texts instead: in LangChain's OpenAIEmbeddings set check_embedding_ctx_length=False."


def decode_tokens(rows: Sequence[Sequence[int]], model: str) -> tuple[str, ...]:
    """The texts that token numbers stand for.

    Args:
        rows: Token numbers of each text.
        model: The request's model, which names the tokenizer; :data:`FALLBACK` for a name that tiktoken has not heard.

    Raises:
        InputError: No such token, or the tokenizer's vocabulary, which tiktoken fetches once, is out of reach.
    """
    encoding = _encoding(model)
    texts = []
    for place, row in enumerate(rows):
        try:
            texts.append(encoding.decode(list(row)))
        except (KeyError, OverflowError) as error:
            raise InputError(f"input {place} holds a number that is no token of {encoding.name}. {ADVICE}") from error
    return tuple(texts)


def _encoding(model: str) -> Any:
    tiktoken = require("tiktoken", "serve", "Reading token numbers")
    try:
        try:
            return tiktoken.encoding_for_model(model)
        except KeyError:
            return tiktoken.get_encoding(FALLBACK)
    except Exception as error:  # a network error of requests, or a damaged download
        raise InputError(
            f"input holds token numbers, and the vocabulary to read them by cannot be fetched here "
            f"({type(error).__name__}). {ADVICE} Or give the server a copy in the directory TIKTOKEN_CACHE_DIR."
        ) from error
