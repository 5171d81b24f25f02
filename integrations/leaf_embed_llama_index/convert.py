"""Conversion between LlamaIndex's nodes, filters and queries and those of a collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from leaf_embed.errors import InputError
from leaf_embed.qdrant import Document, Filter, Hit, StoredDocument, comparison

__all__ = ["leaf_document", "node_of", "result_of", "search_call", "selects", "where_of"]

NODE_ID = "_node_id"
MATCHES_ELEMENTS = {FilterOperator.CONTAINS: "==", FilterOperator.ANY: "in"}  # Qdrant compares each item of a list


def leaf_document(node: BaseNode) -> StoredDocument:
    """Returns a document to index; its text is the text that LlamaIndex embedded, metadata included.

    Raises:
        InputError: The node cannot be stored.
    """
    embedded = node.get_content(metadata_mode=MetadataMode.EMBED)
    same = embedded == node.get_content(metadata_mode=MetadataMode.NONE)
    payload = {**node_to_metadata_dict(node, remove_text=same), NODE_ID: node.node_id}
    return Document(node.node_id, embedded, payload=payload).with_vector(node.embedding)


def node_of(found: Hit | StoredDocument) -> BaseNode:
    """Returns the node as it was, with its vector if it was read; one that another program wrote is a ``TextNode``."""
    payload = dict(found.payload)
    if "_node_content" in payload:
        node = metadata_dict_to_node(payload)
        if not node.get_content(metadata_mode=MetadataMode.NONE):
            node.set_content(found.text)
    else:
        node = TextNode(id_=str(found.id), text=f"{found.title} {found.text}".strip(), metadata=payload)
    if isinstance(found, StoredDocument) and found.vector is not None:
        node.embedding = found.vector.tolist()
    return node


def result_of(hits: Sequence[Hit]) -> VectorStoreQueryResult:
    """Returns nodes, scores and ids, nearest first."""
    return VectorStoreQueryResult([node_of(h) for h in hits], [h.score for h in hits], [str(h.id) for h in hits])


def where_of(
    filters: MetadataFilters | None, *, nodes: Sequence[str] | None = None, documents: Sequence[str] | None = None
) -> Filter | None:
    """Returns the collection's filter; ``None`` for none. An index passes empty lists to filter nothing.

    Raises:
        InputError: An operator that a collection cannot express.
    """
    parts: list[Filter] = [] if filters is None else [_filters(filters)]
    parts += [{NODE_ID: list(nodes)}] if nodes else []
    parts += [{"ref_doc_id": list(documents)}] if documents else []
    return {"$and": parts} if parts else None


def selects(node_ids: Sequence[str] | None, filters: MetadataFilters | None) -> bool:
    """Whether ids or filters name nodes to delete: an empty list of ids, and filters without a condition, name none."""
    return bool(node_ids) if node_ids is not None else filters is not None and bool(_filters(filters))


def _filters(filters: MetadataFilters) -> Filter:
    found = [_filter(item) if isinstance(item, MetadataFilter) else _filters(item) for item in filters.filters]
    parts = [part for part in found if part]  # an empty group is no condition, among others too
    if not parts:
        return {}
    if filters.condition == FilterCondition.NOT:  # none of them holds
        return {"$not": {"$or": parts}}
    return {"$or" if filters.condition == FilterCondition.OR else "$and": parts}


def _filter(item: MetadataFilter) -> Filter:
    if item.operator == FilterOperator.ALL and isinstance(item.value, list) and item.value:
        return {"$and": [{item.key: value} for value in item.value]}
    if item.operator == FilterOperator.IS_EMPTY:
        return {"$or": [{item.key: None}, {item.key: ""}]}
    if item.operator in (FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE):  # the engines ignore case
        return {item.key: {"contains": item.value}}
    return comparison(item.key, MATCHES_ELEMENTS.get(item.operator, item.operator.value), item.value)


def search_call(query: VectorStoreQuery, **options: Any) -> tuple[str, Any, dict[str, Any]]:
    """Returns the method, query and options of a collection's search.

    Raises:
        InputError: Neither text nor vector, or an unknown mode.
    """
    asked: Any = query.query_embedding if query.query_embedding is not None else query.query_str
    if asked is None:
        raise InputError("the query holds neither query_embedding nor query_str; expected one of them")
    options["where"] = where_of(query.filters, nodes=query.node_ids, documents=query.doc_ids)
    options["limit"] = query.similarity_top_k
    if query.mode == VectorStoreQueryMode.DEFAULT:
        return "search", asked, options
    if query.mode == VectorStoreQueryMode.MMR:
        nearness = options.pop("mmr_threshold", query.mmr_threshold)
        options["diversity"] = 1 - (0.5 if nearness is None else nearness)
        options["fetch"] = max(options["limit"], options.pop("mmr_prefetch_k", 4 * options["limit"]))
        return "search_mmr", asked, options
    if query.mode == VectorStoreQueryMode.HYBRID:
        return "search", asked, {"hybrid": True, "words": query.query_str, **options}
    raise InputError(f"the mode {query.mode.value!r} is unknown here; expected 'default', 'mmr' or 'hybrid'")
