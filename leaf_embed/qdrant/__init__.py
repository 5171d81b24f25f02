"""Qdrant collections that know which model wrote them; needs the extra ``qdrant``.

spec.py            what a collection stores: which vectors, how compressed, which distance
metadata.py        what a collection says about itself: name, space with canaries, spec
documents.py       what goes in and what comes out: Document, Hit, IndexReport
quantization.py    the ways to compress a vector, and what each needs from a search
sizes.py           memory and disk before anything is made
filters.py         the language of ``where``
search.py          the two stages of a search, as a plan that a backend carries out
words.py           the words of texts as sparse vectors by BM25, for hybrid searches
explain.py         what a search sends, and why
index.py           documents into vectors into points, a checked batch at a time
collection.py      LeafCollection, the front door; collection_search.py: its reading half
async_collection.py AsyncLeafCollection, the same over AsyncQdrantClient
either.py          both of them on one object, made or opened in one step, for frameworks
collection_base.py what the two share: all that needs no engine
adopt.py           taking over a collection made elsewhere; migrate.py: changing one in use
tuning.py          recall and milliseconds of settings, on a collection's own queries
layout.py          what the engine really holds, against what the collection says
sources.py         documents with vectors, from parquet
pairs.py           any collection as (text, vector) pairs to distil from; scroll.py: reading it page by page
stores.py          which backend a path or a client stands for, and what is there; aliases
backend.py         what a backend has to do
backend_edge.py    the embedded engine, one directory per collection; edge_points.py, edge_requests.py: its words;
                   edge_lock.py: one opener at a time
backend_client.py  qdrant_client.QdrantClient: a server, or its local mode
client_calls.py    what is sent to a client, as values; client_config.py, client_stores.py: about collections
retry.py           asking a busy server again

Tested on: the embedded engine (the real one: graph, quantization, write-ahead log) and the client's local mode (the
flow of the client's calls; it ignores quantization and graphs). No live server took part.
"""

from leaf_embed.qdrant.async_collection import AsyncLeafCollection
from leaf_embed.qdrant.backends.retry import Retry
from leaf_embed.qdrant.backends.stores import list_collections, read_metadata, switch_alias
from leaf_embed.qdrant.collection import LeafCollection
from leaf_embed.qdrant.document_files import parquet_documents
from leaf_embed.qdrant.either_collection import EitherCollection, aopen_or_create, open_or_create
from leaf_embed.qdrant.query.explain import Explanation
from leaf_embed.qdrant.schema.documents import Document, Hit, IndexReport, StoredDocument
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.sizes import Estimate, estimate
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.qdrant.text_vectors import CollectionPairs
from leaf_embed.qdrant.tuning import TuneGrid, TuneReport, TuneRow, tune

__all__ = [
    "AsyncLeafCollection",
    "CollectionMetadata",
    "CollectionPairs",
    "CollectionSpec",
    "Document",
    "EitherCollection",
    "Estimate",
    "Explanation",
    "Hit",
    "IndexReport",
    "LeafCollection",
    "Retry",
    "StoredDocument",
    "TuneGrid",
    "TuneReport",
    "TuneRow",
    "aopen_or_create",
    "estimate",
    "list_collections",
    "open_or_create",
    "parquet_documents",
    "read_metadata",
    "switch_alias",
    "tune",
]
