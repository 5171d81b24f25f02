"""The exported directory, unchanged, gives the leaf's vectors in the libraries that people already have.

The texts hold one that is longer than the leaf reads: runtimes cut where their own files tell them to.
"""

import itertools
import json

import numpy as np
import onnxruntime
import pytest
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

import leaf_embed
from tests.conftest import sentences

TEXTS = [*sentences(7), "red", " ".join(sentences(30))]
DIM = 32
names = (f"tests/leaf-{number}" for number in itertools.count())  # fastembed's registry lives as long as the process


@pytest.fixture(scope="module")
def expected(leaf_path):
    return SentenceTransformer(str(leaf_path), device="cpu").encode(TEXTS)


def assert_same(found, expected):
    assert np.shape(found) == (len(TEXTS), DIM)
    assert (np.asarray(found) * expected).sum(axis=1).min() > 0.9999


def test_leaf_embed(leaf_path, expected):
    assert_same(leaf_embed.load(leaf_path, variant="float32").encode_query(TEXTS), expected)


def test_plain_onnxruntime(leaf_path, expected):
    """Tokenizer and graph as they lie there, nothing set by hand but the padding."""
    tokenizer = Tokenizer.from_file(str(leaf_path / "tokenizer.json"))
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(TEXTS)
    session = onnxruntime.InferenceSession(str(leaf_path / "onnx" / "model.onnx"))
    values = {
        "input_ids": np.array([e.ids for e in encoded]),
        "attention_mask": np.array([e.attention_mask for e in encoded]),
        "token_type_ids": np.array([e.type_ids for e in encoded]),
    }
    outputs = session.run(None, {node.name: values[node.name] for node in session.get_inputs()})
    assert [node.name for node in session.get_outputs()] == ["sentence_embedding", "token_embeddings"]
    assert_same(outputs[0], expected)
    for pooled in (outputs[1].mean(axis=1), outputs[1][:, 0], outputs[1][:, -1]):
        assert_same(pooled, expected)


def fastembed_model():
    """The leaf under a new name in fastembed's registry."""
    fastembed = pytest.importorskip("fastembed")
    description = pytest.importorskip("fastembed.common.model_description")
    name = next(names)
    fastembed.TextEmbedding.add_custom_model(
        model=name,
        dim=DIM,
        pooling=description.PoolingType.DISABLED,
        normalization=False,
        sources=description.ModelSource(url="file:///none"),
        output_name="sentence_embedding",
    )
    return name


def test_fastembed(leaf_path, expected):
    name = fastembed_model()
    from fastembed import TextEmbedding

    model = TextEmbedding(name, specific_model_path=str(leaf_path), threads=1)
    assert_same(list(model.embed(TEXTS)), expected)


def test_qdrant_client_local_inference(leaf_path, expected):
    name = fastembed_model()
    from qdrant_client import QdrantClient, models

    options = {"specific_model_path": str(leaf_path)}
    client = QdrantClient(":memory:")
    client.create_collection("c", vectors_config=models.VectorParams(size=DIM, distance=models.Distance.COSINE))
    documents = [models.Document(text=text, model=name, options=options) for text in TEXTS]
    client.upsert("c", [models.PointStruct(id=i, vector=document) for i, document in enumerate(documents)])
    points = client.retrieve("c", range(len(TEXTS)), with_vectors=True)
    assert_same([point.vector for point in points], expected)
    best = client.query_points("c", query=documents[3], limit=1).points[0]
    assert (best.id, round(best.score, 4)) == (3, 1)


def test_files_agree_on_where_to_cut(leaf_path):
    config = json.loads((leaf_path / "tokenizer_config.json").read_text())
    tokenizer = json.loads((leaf_path / "tokenizer.json").read_text())
    limit = json.loads((leaf_path / "leaf.json").read_text())["max_tokens"]
    assert config["model_max_length"] == tokenizer["truncation"]["max_length"] == limit
    assert "max_length" not in config


def test_special_tokens_map(leaf_path):
    tokens = json.loads((leaf_path / "special_tokens_map.json").read_text())
    assert tokens["pad_token"] == "[PAD]"
    assert tokens["cls_token"] == "[CLS]"
