"""Only type-checked (mypy --strict), never run: the public API as a user's own typed code would call it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from qdrant_client import AsyncQdrantClient

import leaf_embed
from leaf_embed import EmbeddingSpace, Encoder, LeafEncoder
from leaf_embed.distill import DistillConfig, DistillReport, Text, distill
from leaf_embed.evaluation import (
    Retention,
    compare_reports,
    evaluate,
    load_beir,
    load_classification,
    load_sts,
    read_report,
)
from leaf_embed.evaluation.compare import Comparison
from leaf_embed.evaluation.mteb import MtebEncoder
from leaf_embed.evaluation.pipeline import RotationOption
from leaf_embed.evaluation.tasks import OtherSet
from leaf_embed.progress import no_progress
from leaf_embed.qdrant import (
    AsyncLeafCollection,
    CollectionSpec,
    Document,
    Hit,
    LeafCollection,
    Retry,
    StoredDocument,
    TuneReport,
    connect,
    estimate,
    tune,
)
from leaf_embed.qdrant.backends.edge_quantization import search_quantized
from leaf_embed.vectors import FloatArray
from leaf_embed_haystack import LeafDocumentEmbedder, LeafQdrantDocumentStore, LeafQdrantRetriever, LeafTextEmbedder
from leaf_embed_langchain import LeafEmbeddings, LeafQdrantVectorStore
from leaf_embed_llama_index import LeafEmbedding
from leaf_embed_llama_index import LeafQdrantVectorStore as LlamaStore


class MyEncoder:
    """An encoder of a user's own, by the Protocol alone."""

    space = EmbeddingSpace("mine", 2)

    def encode_query(self, texts: str | Sequence[str]) -> FloatArray:
        return np.zeros(2, dtype=np.float32)

    def encode_document(self, texts: str | Sequence[str]) -> FloatArray:
        return self.encode_query(texts)


def query_side() -> FloatArray:
    leaf: LeafEncoder = leaf_embed.load("leaf", document="teacher")
    one: FloatArray = leaf.encode_query("a question")
    many: FloatArray = leaf.encode_query(["a question", "another"])
    return np.concatenate([one[None], many, leaf.encode_document(["a passage"])])


def train() -> DistillReport:
    teacher: Encoder = MyEncoder()
    return distill(teacher, [Text("a", "query")], "student", "out", DistillConfig.quick(seed=1), layers=[0, 2])


def measure(rotation: FloatArray) -> Comparison:
    leaf, sets = leaf_embed.load("leaf"), [load_beir("scifact", stream=True)]
    codes = {"turbo4": partial(search_quantized, quantization="turbo4")}
    rotations: list[RotationOption] = ["fitted", rotation]
    for turned in rotations:
        tasks: list[OtherSet] = [load_sts("pairs.csv"), load_classification("texts.csv")]
        report = evaluate(
            leaf, MyEncoder(), sets, [128], ["int8", "turbo4"], rotation=turned, engines=codes, tasks=tasks
        )
        kept: Retention | None = report.retention("asymmetric")
        print(kept, report.save_all("report.json"), MtebEncoder(leaf, "me/leaf").mteb_model_meta)
    return compare_reports(report.to_dict(), read_report("other.json"))


def search() -> list[Hit]:
    with LeafCollection.create("docs", leaf_embed.load("leaf"), path="collections") as docs:
        docs.index([Document(id=1, text="a passage", payload={"lang": "en"})])
        return docs.search("a question", limit=3, where={"lang": "en"})


def documents(collection: LeafCollection) -> list[StoredDocument]:
    collection.verify_vectors([Document("a", "text").with_vector([0.6, 0.8])])
    collection.delete(["a", 1])
    nearest: list[list[Hit]] = collection.search_batch(["one", np.zeros(2, np.float32)], limit=2, score_threshold=0.5)
    diverse: list[Hit] = collection.search_mmr("a question", fetch=20, where={"year": {"gte": 1990}})
    print(nearest, diverse)
    return [*collection.get(["a"]), *collection.iter_documents(with_vectors=True)]


def adopt() -> LeafCollection:
    leaf = leaf_embed.load("leaf", document="teacher")
    return LeafCollection.adopt("theirs", leaf, client=connect("http://localhost:6333"), text_key="body", sample=8)


def operate(collection: LeafCollection) -> TuneReport:
    spec = CollectionSpec.preset("small", collection.space)
    print(estimate(spec, collection.space, 1_000_000), collection.explain("a question", limit=3))
    collection.add_mrl(64, first=True, progress=no_progress)
    collection.change_quantization("turbo4")
    collection.index_vectors(collection.iter_documents(with_vectors=True), space=collection.space, optimize="child")
    return tune(collection, ["a question"], specs={"small": spec})


async def asynchronous(client: AsyncQdrantClient) -> list[Hit]:
    leaf = leaf_embed.load("leaf")
    async with await AsyncLeafCollection.open("docs", leaf, client=client, retry=Retry(attempts=3)) as docs:
        print([document.id async for document in docs.iter_documents()])
        return await docs.search("a question", limit=3, hybrid="rrf", words="question")


async def frameworks(collection: LeafCollection) -> list[float]:
    store = LeafQdrantVectorStore.from_texts(
        ["a passage"], LeafEmbeddings("leaf"), [{"lang": "en"}], path="collections"
    )
    await store.asimilarity_search("a question", k=3, filter={"lang": "en"}, exact=True)
    LlamaStore(collection, is_embedding_query=True).clear()
    LeafQdrantRetriever(LeafQdrantDocumentStore("docs", "leaf", url="http://localhost:6333")).run("a question", top_k=3)
    LeafDocumentEmbedder("leaf", document="leaf").run([])
    LeafTextEmbedder("leaf", threads=2).warm_up()
    teacher = LeafEmbedding("leaf", document=lambda space: MyEncoder())
    return teacher.get_query_embedding("a question")
