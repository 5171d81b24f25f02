"""Qdrant collections that know which model wrote them; needs the extra ``qdrant``.

spec.py            what a collection stores: which vectors, how compressed, which distance
metadata.py        what a collection says about itself: name, space with canaries, spec
documents.py       what goes in and what comes out: Document, Hit, IndexReport
search.py          the two stages of a search, as a plan that a backend carries out
index.py           documents into vectors into points, a checked batch at a time
collection.py      LeafCollection, the front door
pairs.py           any collection as (text, vector) pairs to distil from; scroll.py: reading it page by page
stores.py          which backend a path or a client stands for, and what is there
backend.py         what a backend has to do
backend_edge.py    the embedded engine, one directory per collection
backend_client.py  qdrant_client.QdrantClient: a server, or its local mode

Tested on: the embedded engine (the real one: graph, quantization, write-ahead log) and the client's local mode (the
flow of the client's calls; it ignores quantization and graphs). No live server took part.
"""

from leaf_embed.qdrant.collection import LeafCollection
from leaf_embed.qdrant.documents import Document, Hit, IndexReport
from leaf_embed.qdrant.metadata import CollectionMetadata
from leaf_embed.qdrant.pairs import CollectionPairs
from leaf_embed.qdrant.spec import CollectionSpec
from leaf_embed.qdrant.stores import list_collections, read_metadata

__all__ = [
    "CollectionMetadata",
    "CollectionPairs",
    "CollectionSpec",
    "Document",
    "Hit",
    "IndexReport",
    "LeafCollection",
    "list_collections",
    "read_metadata",
]
