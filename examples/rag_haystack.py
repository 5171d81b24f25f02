"""RAG with Haystack: one pipeline indexes with the teacher, another asks through the leaf and shows sources.

python examples/rag_haystack.py LEAF [--teacher DIR]
"""

import argparse
import tempfile

from haystack import Document, Pipeline
from haystack.components.writers import DocumentWriter

from leaf_embed_haystack import LeafDocumentEmbedder, LeafQdrantDocumentStore, LeafQdrantRetriever

TEXTS = {
    "rivers.md": "The river carries cold water from the stone bridge down to the tower.",
    "baking.md": "Warm bread with honey and salt, from a small iron oven.",
    "houses.md": "A red house with a round window and a door of wood.",
}

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("leaf")
parser.add_argument("--teacher", default="teacher", help="directory or hub id; default: the one named in the leaf")
parser.add_argument("--question", default="where does the cold river water come from?")
options = parser.parse_args()

with tempfile.TemporaryDirectory() as folder:
    store = LeafQdrantDocumentStore("docs", options.leaf, document=None, path=folder)  # its own leaf answers queries

    writing = Pipeline()
    writing.add_component("embedder", LeafDocumentEmbedder(options.leaf, document=options.teacher))
    writing.add_component("writer", DocumentWriter(store))
    writing.connect("embedder.documents", "writer.documents")
    documents = [Document(content=text, meta={"source": name}) for name, text in TEXTS.items()]
    writing.run({"embedder": {"documents": documents}})

    asking = Pipeline()
    asking.add_component("retriever", LeafQdrantRetriever(store, top_k=2))
    for found in asking.run({"retriever": {"query": options.question}})["retriever"]["documents"]:
        print(f"{found.meta['source']}: {found.content}")
    store.collection.close()
