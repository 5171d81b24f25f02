"""BM25 for hybrid searches: sparse vectors of texts, and how their ranking is fused with that of the full vectors.

Texts are tokenized by the embedded engine's own BM25 (``qdrant_edge.Bm25``: lower case, stop words and stemming by
language), in this process, with nothing to download. Its settings are the defaults of Qdrant's ``qdrant/bm25``, which
a server may run by itself. The engine multiplies by the inverse document frequency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from leaf_embed._extras import require
from leaf_embed.errors import InputError
from leaf_embed.texts import clean

__all__ = ["Fusion", "Hybrid", "SparseVector", "bm25_documents", "bm25_query", "plan_hybrid", "require_language"]

RRF_K = 60  # Cormack, Clarke & Büttcher, SIGIR 2009; with Qdrant's own default of 2 the first ranks decide alone
DEPTH = 100  # documents that each ranking contributes at least
DEPTH_PER_HIT = 2

Fusion: TypeAlias = Literal["rrf", "dbsf"]


@dataclass(frozen=True)
class SparseVector:
    """A vector that is zero except in a few dimensions.

    Attributes:
        indices: Those dimensions, all different: hashes of words.
        values: The value in each of them.
    """

    indices: tuple[int, ...]
    values: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns Qdrant's REST form."""
        return {"indices": list(self.indices), "values": list(self.values)}


@dataclass(frozen=True)
class Hybrid:
    """The BM25 part of a hybrid search, and the fusion of both rankings.

    Attributes:
        query: Sparse vector of the query; ``None`` if the query has none but stop words.
        fusion: ``"rrf"``: by the ranks in both rankings (reciprocal rank fusion). ``"dbsf"``: by the sum of their
            scores, each scaled by its mean and deviation (distribution-based score fusion).
        depth: Documents that each ranking contributes.
    """

    query: SparseVector | None
    fusion: Fusion
    depth: int

    def fusion_json(self) -> dict[str, Any]:
        """Returns the fusing query in Qdrant's REST form."""
        return {"rrf": {"k": RRF_K}} if self.fusion == "rrf" else {"fusion": "dbsf"}


def plan_hybrid(hybrid: bool | Fusion, text: str | None, language: str, wanted: int) -> Hybrid:
    """Plans the BM25 part of a hybrid search.

    Args:
        hybrid: ``True`` for ``"rrf"``.
        text: The text whose words are searched for.
        language: Language of the collection's BM25 vectors.
        wanted: Hits to return, those that are skipped included.

    Raises:
        InputError: An unknown fusion, or no text.
    """
    fusion: Any = "rrf" if hybrid is True else hybrid
    known = isinstance(fusion, str) and fusion in ("rrf", "dbsf")  # an array cannot be looked for in a tuple
    if not known:
        raise InputError(f"hybrid must be True, 'rrf' or 'dbsf'; got {hybrid!r}")
    if not isinstance(text, str):
        raise InputError("a hybrid search looks for words, and the query is a vector; give its text too: words='...'")
    return Hybrid(bm25_query(text, language), fusion, max(DEPTH, DEPTH_PER_HIT * wanted))


def bm25_documents(texts: Sequence[str], language: str) -> list[SparseVector | None]:
    """Encodes documents: term frequencies, scaled by the length of the text; ``None`` for a text without words."""
    model = _model(language)
    return [_sparse(model.embed_document(text)) for text in texts]


def bm25_query(text: str, language: str) -> SparseVector | None:
    """Encodes a query: 1.0 for each of its words; ``None`` for a text without words."""
    return _sparse(_model(language).embed_query(clean(text)))


def require_language(language: str) -> None:
    """Refuses a language without BM25, before a collection is made for it.

    Raises:
        InputError: There is no BM25 for the language.
    """
    _model(language)


def _sparse(vector: Any) -> SparseVector | None:
    return SparseVector(tuple(vector.indices), tuple(vector.values)) if vector.indices else None


@lru_cache(maxsize=8)
def _model(language: str) -> Any:
    edge = require("qdrant_edge", "qdrant", "Searching for words")
    try:
        return edge.Bm25(edge.Bm25Config(language=language))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"there is no BM25 for the language {language!r} ({error}); expected such as 'english' or 'german'"
        ) from error
