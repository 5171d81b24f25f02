"""RAG with LlamaIndex: index with the teacher, ask through the leaf, show sources.

python examples/rag_llama_index.py LEAF [--teacher DIR]
"""

import argparse
import tempfile

from llama_index.core import Document, StorageContext, VectorStoreIndex

import leaf_embed
from leaf_embed.qdrant import LeafCollection
from leaf_embed_llama_index import LeafEmbedding, LeafQdrantVectorStore

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
    writing = leaf_embed.load(options.leaf, document=options.teacher)
    with LeafCollection.create("docs", writing, path=folder) as collection:
        context = StorageContext.from_defaults(vector_store=LeafQdrantVectorStore(collection))
        documents = [Document(text=text, metadata={"source": name}) for name, text in TEXTS.items()]
        VectorStoreIndex.from_documents(documents, storage_context=context, embed_model=LeafEmbedding(writing))

    asking = leaf_embed.load(options.leaf)  # another process would do this: no torch, no teacher
    with LeafCollection.open("docs", asking, path=folder) as collection:
        store = LeafQdrantVectorStore(collection)
        index = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)
        for found in index.as_retriever(similarity_top_k=2).retrieve(options.question):
            print(f"{found.metadata['source']}: {found.text}")
