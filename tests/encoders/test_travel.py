"""Encoders, and the adapters that hold one, as arguments of other processes: pickle, deepcopy and spawn."""

import copy
import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer

from leaf_embed import EmbeddingSpace, load
from leaf_embed.encoders import CallableEncoder, FunctionEncoder, langchain_encoder, one_by_one
from leaf_embed.encoders.api import ApiEncoder
from leaf_embed.encoders.rotation import RotatedEncoder, Rotation
from leaf_embed.encoders.transformer import Loading, SentenceTransformerEncoder
from leaf_embed.format import LeafInfo, write_leaf
from leaf_embed.teacher import CachedEncoder, TeacherCache
from tests.encoders.elsewhere import embed

TEXTS = ["a red stone", "cold river and the moon", ""]
LENGTHS = EmbeddingSpace("lengths", 2)


def lengths(texts):
    return [[float(len(text)) + 1, 1.0] for text in texts]


def length(text):
    return [float(len(text)) + 1, 2.0]


class LengthEmbeddings:
    """The part of LangChain's Embeddings that is used."""

    model = "lengths"

    def embed_documents(self, texts):
        return lengths(texts)

    def embed_query(self, text):
        return length(text)


def static_leaf(leaf_path, path):
    tokenizer = Tokenizer.from_file(str(leaf_path / "tokenizer.json"))
    module = StaticEmbedding(tokenizer, embedding_dim=2)
    SentenceTransformer(modules=[module], device="cpu").save_pretrained(str(path), create_model_card=False)
    write_leaf(path, LeafInfo(LENGTHS, 128, kind="static"))
    return load(path)


def rotated(teacher_path):
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(32, 32)))[0].astype(np.float32)
    return RotatedEncoder(SentenceTransformerEncoder(teacher_path, precision="float32"), Rotation(axes), 16)


def cached(teacher_path, path):
    teacher = SentenceTransformerEncoder(teacher_path, precision="float32")
    return CachedEncoder(TeacherCache(path / "cache", teacher.space), teacher)


MAKERS = {
    "onnx": lambda leaf, teacher, tmp: load(leaf).query_encoder,
    "published graph": lambda leaf, teacher, tmp: published(leaf, tmp),
    "static": lambda leaf, teacher, tmp: static_leaf(leaf, tmp),
    "torch": lambda leaf, teacher, tmp: SentenceTransformerEncoder(teacher, max_tokens=20, precision="float32"),
    "torch leaf": lambda leaf, teacher, tmp: load(leaf, variant="torch", loading=Loading(attention="eager")),
    "in memory": lambda leaf, teacher, tmp: SentenceTransformerEncoder(
        SentenceTransformer(str(teacher), device="cpu"), query_prompt="who is ", precision="float32"
    ),
    "leaf": lambda leaf, teacher, tmp: load(leaf, document="teacher"),
    "symmetric leaf": lambda leaf, teacher, tmp: load(leaf, document="leaf"),
    "rotated": lambda leaf, teacher, tmp: rotated(teacher),
    "function": lambda leaf, teacher, tmp: FunctionEncoder(LENGTHS, document=lengths, query=one_by_one(length)),
    "callable": lambda leaf, teacher, tmp: CallableEncoder(lengths, "lengths"),
    "langchain": lambda leaf, teacher, tmp: langchain_encoder(LengthEmbeddings()),
    "cached": lambda leaf, teacher, tmp: cached(teacher, tmp),
}


def published(leaf_path, tmp_path):
    """The leaf without its leaf.json, in a declared space."""
    import shutil

    path = Path(shutil.copytree(leaf_path, tmp_path / "published"))
    (path / "leaf.json").unlink()
    return load(path, space=EmbeddingSpace("someone", 32), variant="float32").query_encoder


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("travel", [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy], ids=["pickle", "copy"])
def test_the_same_vectors_after_the_journey(name, travel, leaf_path, teacher_path, tmp_path, monkeypatch):
    encoder = MAKERS[name](leaf_path, teacher_path, tmp_path)
    silent = name == "leaf" or not getattr(encoder, "can_encode_documents", True)  # a leaf: its teacher is not loaded
    queries, documents = encoder.encode_query(TEXTS), None if silent else encoder.encode_document(TEXTS)
    monkeypatch.chdir(tmp_path)
    found = travel(encoder)
    assert found.space == encoder.space
    assert found.record.cosines == encoder.record.cosines
    np.testing.assert_allclose(found.encode_query(TEXTS), queries, atol=1e-6)
    if documents is not None:
        np.testing.assert_allclose(found.encode_document(TEXTS), documents, atol=1e-6)


def test_a_pickle_of_a_directory_is_small_and_loads_no_teacher(leaf_path, teacher_path):
    leaf = load(leaf_path, document="teacher")
    leaf.encode_document("a red stone")
    packed = pickle.dumps(leaf)
    assert len(packed) < 20_000, "no weights: canaries and paths"
    found = pickle.loads(packed)
    assert found._document is None, "the teacher is loaded again with the first document"
    np.testing.assert_allclose(found.encode_document(TEXTS), leaf.encode_document(TEXTS), atol=1e-5)


def test_a_relative_path_is_found_from_elsewhere(leaf_path, tmp_path, monkeypatch):
    monkeypatch.chdir(leaf_path.parent)
    encoder = load(leaf_path.name).query_encoder
    expected, packed = encoder.encode_query(TEXTS), pickle.dumps(encoder)
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(pickle.loads(packed).encode_query(TEXTS), expected)


def test_an_api_travels_without_its_connection_and_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    encoder = ApiEncoder("http://127.0.0.1:9/v1", "model", budget=1000)
    encoder._endpoint._client = object()
    packed = pickle.dumps(encoder)
    assert b"sk-secret" not in packed
    for found in (pickle.loads(packed), copy.deepcopy(encoder)):
        assert repr(found) == repr(encoder)
        assert found._endpoint._client is None


def adapters(leaf_path):
    """Each framework's adapter with a function that embeds a query through it."""
    made = []
    try:
        from leaf_embed_langchain import LeafEmbeddings

        made.append((LeafEmbeddings(str(leaf_path)), lambda one: one.embed_query(TEXTS[0])))
        made.append((LeafEmbeddings(load(leaf_path, document="leaf")), lambda one: one.embed_documents(TEXTS[:1])[0]))
    except ImportError:
        pass
    try:
        from leaf_embed_llama_index import LeafEmbedding

        made.append((LeafEmbedding(str(leaf_path)), lambda one: one.get_query_embedding(TEXTS[0])))
    except ImportError:
        pass
    try:
        from leaf_embed_haystack import LeafTextEmbedder

        embedder = LeafTextEmbedder(str(leaf_path))
        embedder.warm_up()
        made.append((embedder, lambda one: one.run(TEXTS[0])["embedding"]))
    except ImportError:
        pass
    try:
        from leaf_embed.evaluation.mteb import MtebEncoder

        batch = [{"text": TEXTS[:1]}]
        made.append((MtebEncoder(load(leaf_path), "me/leaf"), lambda one: one.encode(batch, prompt_type="query")[0]))
    except ImportError:
        pass
    return made


def test_adapters_travel_with_their_encoder(leaf_path):
    made = adapters(leaf_path)
    if not made:
        pytest.skip("no framework is installed")
    for adapter, embedded in made:
        for travel in (lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy):
            np.testing.assert_allclose(embedded(travel(adapter)), embedded(adapter), atol=1e-6)


def test_a_spawned_process_gets_an_encoder_as_an_argument(leaf_path):
    context = multiprocessing.get_context("spawn")
    answers, encoder = context.SimpleQueue(), load(leaf_path)
    process = context.Process(target=embed, args=(encoder, TEXTS, answers))
    process.start()
    found = answers.get()
    process.join(60)
    np.testing.assert_allclose(found, encoder.encode_query(TEXTS), atol=1e-6)
