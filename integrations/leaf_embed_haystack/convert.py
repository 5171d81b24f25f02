"""Conversion between Haystack's documents and filters and those of a collection."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from haystack import Document
from haystack.errors import FilterError

from leaf_embed.errors import InputError
from leaf_embed.qdrant import Document as LeafDocument
from leaf_embed.qdrant import Filter, Hit, StoredDocument, comparison, parse_filter

__all__ = ["document_of", "leaf_document", "plain", "where_of"]

LISTS = ("in", "not in")
OWN = {"id": "$id", "content": "$text"}
NEVER: Filter = {"$id": None}  # every document has an id


def plain(value: Any) -> Any:
    """Returns a value for a pipeline file.

    Raises:
        InputError: The value is an encoder, which no pipeline file can hold.
    """
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is not None and not isinstance(value, str):
        raise InputError(
            f"a pipeline file cannot hold a {type(value).__name__}; name the leaf and its teacher by path or hub id"
        )
    return value


def leaf_document(document: Any) -> StoredDocument:
    """Returns a document to index, with its vector if it has one.

    Raises:
        InputError: No ``Document``, or one without text or with a field that a collection does not store.
    """
    if not isinstance(document, Document):
        raise InputError(f"expected a list of Haystack Documents; got {type(document).__name__} in it")
    if document.content is None or document.blob is not None or document.sparse_embedding is not None:
        raise InputError(
            f"document {document.id!r:.80} has no text, or a blob or a sparse embedding; a collection stores "
            "content, meta and embedding"
        )
    return LeafDocument(document.id, document.content, payload=document.meta).with_vector(document.embedding)


def document_of(found: Hit | StoredDocument) -> Document:
    """Returns Haystack's document, with a hit's score; a title joins ``meta``."""
    title = {"title": found.title} if found.title else {}
    score = found.score if isinstance(found, Hit) else None
    return Document(id=str(found.id), content=found.text, meta={**title, **found.payload}, score=score)


def where_of(filters: Mapping[str, Any] | None) -> Filter | None:
    """Returns the collection's filter; ``None`` for none.

    Raises:
        FilterError: A filter that a collection cannot express.
    """
    if not filters:
        return None
    try:
        where = _where(filters)
        parse_filter(where)
    except InputError as error:
        raise FilterError(str(error)) from error
    return where


def _where(filters: Mapping[str, Any]) -> Filter:
    if "field" not in filters and "conditions" in filters:
        parts = [_where(part) for part in filters["conditions"]]
        kinds: dict[Any, Filter] = {"AND": {"$and": parts}, "OR": {"$or": parts}, "NOT": {"$not": {"$and": parts}}}
        if filters.get("operator") in kinds:
            return kinds[filters["operator"]]
    missing = [key for key in ("field", "operator", "value") if key not in filters]
    if missing:
        raise InputError(
            f"the filter {dict(filters)!r:.120} lacks {missing}; expected field, operator and value, or the operator "
            "AND, OR or NOT with conditions"
        )
    field, operator, value = filters["field"], filters["operator"], filters["value"]
    if operator in LISTS and not isinstance(value, list):
        raise InputError(f"filter {field!r}: {operator!r} takes a list; got {type(value).__name__}")
    if value is None and operator not in ("==", "!="):
        return NEVER  # nothing is larger or smaller than None
    return comparison(OWN.get(field, str(field).removeprefix("meta.")), operator, value)
