"""RAG with LangChain: index with the teacher, ask through the leaf, show sources.

python examples/rag_langchain.py LEAF [--teacher DIR]
"""

import argparse
import tempfile

from langchain_core.documents import Document

from leaf_embed_langchain import LeafEmbeddings, LeafQdrantVectorStore

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
    documents = [Document(id=name, page_content=text, metadata={"source": name}) for name, text in TEXTS.items()]
    writing = LeafEmbeddings(options.leaf, document=options.teacher)
    LeafQdrantVectorStore.from_documents(documents, writing, path=folder).collection.close()

    asking = LeafEmbeddings(options.leaf, document=None)  # another process would do this: no torch, no teacher
    store = LeafQdrantVectorStore.from_existing_collection("langchain", asking, path=folder)
    for found in store.as_retriever(search_kwargs={"k": 2}).invoke(options.question):
        print(f"{found.metadata['source']}: {found.page_content}")
    store.collection.close()
