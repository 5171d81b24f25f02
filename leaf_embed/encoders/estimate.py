"""What a teacher that is paid by the token will cost, before the first call."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from leaf_embed.encoders.api import estimate_tokens
from leaf_embed.texts import Text

__all__ = ["Cost", "estimate_cost"]


@dataclass(frozen=True)
class Cost:
    """An upper bound: what a cache holds already is free.

    Attributes:
        texts: Distinct texts.
        tokens: About how many tokens they are billed for, prompts included; right within a third for European prose.
    """

    texts: int
    tokens: int


def estimate_cost(
    texts: Iterable[Text], *, max_tokens: int | None = None, query_prompt: str = "", document_prompt: str = ""
) -> Cost:
    """Read the texts once and count.

    Args:
        texts: What would be embedded; memory grows by about 60 bytes a distinct text.
        max_tokens: Where texts are cut before they are sent.
        query_prompt: Text put before every query.
        document_prompt: Text put before every document.
    """
    known: set[bytes] = set()
    tokens = 0
    for text in texts:
        key = hashlib.sha256(f"{text.kind}\0{text.text}".encode()).digest()[:8]
        if key not in known:
            known.add(key)
            prompt = query_prompt if text.kind == "query" else document_prompt
            cost = estimate_tokens([prompt + text.text])
            tokens += cost if max_tokens is None else min(cost, max_tokens)
    return Cost(len(known), tokens)
