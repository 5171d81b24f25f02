"""Qdrant collections that know which model wrote their vectors; needs the extra ``qdrant``.

collection        LeafCollection; async_collection: AsyncLeafCollection, the same over ``AsyncQdrantClient``
either_collection EitherCollection: both on one object, created or opened in one call, for frameworks
identity          name, space, spec and leaf of an open collection; base of the sync and the async class
translator        queries to plans, points to hits and documents, for the sync and the async class
index             IndexRun: documents to vectors to points, one checked batch at a time
adopt             adoption of collections made by other programs
attach            a collection that another library goes on using, opened in place
staged_client     the client that such a library is given, which searches in two stages
migrate           further vectors, and another quantization, for a collection in use
tuning            recall and latency of search settings on a collection's own queries
text_vectors      CollectionPairs: any collection as (text, vector) pairs to distil from
document_files    documents with vectors, from files
schema/           what is stored: documents, spec, quantization, metadata, layout, sizes
query/            what is asked: plan, filters, bm25, explain
backends/         what calls an engine: stores, the client's calls, the embedded engine

Tested on the embedded engine (the real one: graph, quantization, write-ahead log) and on the client's local mode (which
ignores quantization and graphs). No live server took part.
"""

from leaf_embed.qdrant.async_collection import AsyncLeafCollection
from leaf_embed.qdrant.attach import AttachedCollection, aattach, attach, check_first_stage
from leaf_embed.qdrant.backends.retry import Retry
from leaf_embed.qdrant.backends.stores import (
    connect,
    is_client_directory,
    list_collections,
    read_metadata,
    switch_alias,
)
from leaf_embed.qdrant.collection import LeafCollection
from leaf_embed.qdrant.document_files import parquet_documents
from leaf_embed.qdrant.either_collection import EitherCollection, aopen_or_create, open_or_create
from leaf_embed.qdrant.identity import compare_with_leaf
from leaf_embed.qdrant.query.explain import Explanation
from leaf_embed.qdrant.query.filters import Filter, comparison, parse_filter
from leaf_embed.qdrant.query.plan import Search, SearchOptions
from leaf_embed.qdrant.schema.documents import Document, Hit, IndexReport, StoredDocument
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.payload_layout import PayloadLayout
from leaf_embed.qdrant.schema.sizes import Estimate, estimate
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.qdrant.staged_client import StagedClient, raw_client
from leaf_embed.qdrant.text_vectors import CollectionPairs
from leaf_embed.qdrant.tuning import TuneGrid, TuneReport, TuneRow, tune

__all__ = [
    "AsyncLeafCollection",
    "AttachedCollection",
    "CollectionMetadata",
    "CollectionPairs",
    "CollectionSpec",
    "Document",
    "EitherCollection",
    "Estimate",
    "Explanation",
    "Filter",
    "Hit",
    "IndexReport",
    "LeafCollection",
    "PayloadLayout",
    "Retry",
    "Search",
    "SearchOptions",
    "StagedClient",
    "StoredDocument",
    "TuneGrid",
    "TuneReport",
    "TuneRow",
    "aattach",
    "aopen_or_create",
    "attach",
    "check_first_stage",
    "compare_with_leaf",
    "comparison",
    "connect",
    "is_client_directory",
    "estimate",
    "list_collections",
    "open_or_create",
    "parquet_documents",
    "parse_filter",
    "raw_client",
    "read_metadata",
    "switch_alias",
    "tune",
]
