"""Bad input to the public functions of encoders: one of our errors, or a result, and never anybody else's error."""

import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from leaf_embed import EmbeddingSpace, LeafEncoder, load
from leaf_embed.encoders import CallableEncoder, FunctionEncoder, encode_lists, langchain_encoder, open_leaf
from leaf_embed.encoders.api import ApiEncoder, ApiOptions
from leaf_embed.encoders.batching import TokenBudget, token_batches
from leaf_embed.encoders.loading import load_teacher
from leaf_embed.encoders.onnx import OnnxEncoder
from leaf_embed.encoders.published import known_space
from leaf_embed.encoders.rotation import RotatedEncoder, Rotation
from leaf_embed.encoders.static import StaticEncoder
from leaf_embed.encoders.transformer import Loading, SentenceTransformerEncoder
from leaf_embed.errors import LeafEmbedError

SPACE = EmbeddingSpace("pairs", 2)
ODD = [
    *(None, True, -1, 0, 3, 10**30, 1.5, float("nan"), float("inf"), "", " ", "a", "a/b..c", "../..", "a\0b", "\ud800"),
    *(b"bytes", [], [[]], ["a", None], [1, 2], [b"a"], {}, {"a": 1}, (), ("a", 3), object(), len, int, Path("nowhere")),
    *(np.zeros((2, 2)), np.array(["a", "b"]), np.array([1.0, np.nan]), iter(["a", 5]), range(3), "x" * 3000),
]
FUNCTIONS = [
    lambda texts: [[3.0, 4.0] for _ in texts],
    lambda texts: [[3.0, 4.0]],
    lambda texts: [[float("nan"), 1.0] for _ in texts],
    lambda texts: [["a", "b"] for _ in texts],
    lambda texts: None,
    lambda texts: 1 / 0,
    lambda: None,
]


def targets(leaf_path, teacher_path):
    """Public functions, each with good values of its arguments."""
    leaf, teacher = load(leaf_path), SentenceTransformerEncoder(teacher_path, precision="float32")
    torch_leaf = load(leaf_path, variant="torch")
    function = FunctionEncoder(SPACE, document=FUNCTIONS[0])
    loaded = SentenceTransformer(str(teacher_path), device="cpu")
    axes = Rotation(np.eye(32, dtype=np.float32))
    doors = [
        (door, {"texts": ["a red stone"]})
        for encoder in (leaf, teacher, function)
        for door in (encoder.encode_query, encoder.encode)
    ]
    options = {"batch_size": 2, "normalize_embeddings": True, "truncate_dim": 2, "show_progress_bar": False}
    return [
        *doors,
        (leaf.encode, {"texts": "red", "prompt_name": "query", **options}),
        (torch_leaf.encode_query, {"texts": ["red"], **options}),
        (leaf.count_tokens, {"texts": ["red"], "role": "query"}),
        (teacher.count_tokens, {"texts": ["red"], "role": "document"}),
        (leaf.similarity, {"embeddings1": [[1.0, 2.0]], "embeddings2": [[1.0, 2.0]]}),
        (leaf.similarity_pairwise, {"embeddings1": [[1.0, 2.0]], "embeddings2": [[1.0, 2.0]]}),
        (load, {"path": leaf_path, "document": None, "variant": "auto", "threads": 1, "revision": None, "space": None}),
        (load, {"path": leaf_path, "loading": None}),
        (open_leaf, {"leaf": leaf_path, "document": "leaf", "variant": "auto", "threads": 1}),
        (open_leaf, {"leaf": leaf, "document": "teacher"}),
        (load_teacher, {"source": str(teacher_path), "space": teacher.space, "loading": None}),
        (OnnxEncoder, {"path": leaf_path, "variant": "auto", "threads": 1, "batch_tokens": 512}),
        (StaticEncoder, {"path": leaf_path}),
        (SentenceTransformerEncoder, {"model": loaded, "max_tokens": 20, "precision": "auto", "batch_tokens": 64}),
        (SentenceTransformerEncoder, {"model": loaded, "query_prompt": "a", "document_prompt": "b", "loading": None}),
        (SentenceTransformerEncoder, {"model": str(teacher_path), "device": "cpu"}),
        (Loading, {"dim": 3, "dtype": "auto", "batch_tokens": 8, "options": {}, "device": None, "attention": None}),
        (LeafEncoder, {"query": leaf, "document": None, "rotation": None}),
        (RotatedEncoder, {"encoder": teacher, "rotation": axes, "dim": 16}),
        (Rotation, {"matrix": np.eye(3)}),
        (partial(encode_lists, leaf.encode_query), {"texts": ["a"], "batch_size": 2}),
        (CallableEncoder, {"function": FUNCTIONS[0], "name": "pairs", "query_function": None, "texts_per_call": 3}),
        (CallableEncoder, {"function": FUNCTIONS[0], "name": "pairs", "query_prompt": "q: ", "max_tokens": 3}),
        (FunctionEncoder, {"space": SPACE, "document": FUNCTIONS[0], "query": FUNCTIONS[0]}),
        (langchain_encoder, {"embeddings": object(), "name": "x"}),
        (
            ApiEncoder,
            {"base_url": "http://127.0.0.1:9/v1", "model": "m", "dimensions": 3, "budget": 5, "max_tokens": 7},
        ),
        (ApiEncoder, {"base_url": "http://127.0.0.1:9/v1", "model": "m", "query_prompt": "", "options": ApiOptions()}),
        (TokenBudget, {"tokens": 3, "rows": 4, "multiple": 2}),
        (lambda lengths: list(token_batches(lengths, TokenBudget(8))), {"lengths": [1, 2]}),
        (known_space, {"name": "a/b"}),
    ]


@pytest.fixture(scope="module")
def known_targets(leaf_path, teacher_path):
    return targets(leaf_path, teacher_path)


def leaks(function, given):
    """What a call raises that is not ours."""
    try:
        made = function(**given)
        if isinstance(made, FunctionEncoder):
            made.encode_document(["a"])
    except LeafEmbedError:
        return None
    except Exception as error:
        return f"{getattr(function, '__qualname__', function)}({given!r:.200}): {type(error).__name__}: {error!s:.200}"
    return None


@pytest.mark.parametrize("seed", range(2))
def test_bad_values_raise_our_errors_only(known_targets, seed):
    generator = random.Random(seed)
    found = []
    for function, good in known_targets:
        for name in good:
            for odd in generator.sample(ODD + FUNCTIONS, 6):
                found.append(leaks(function, good | {name: odd}))
        both = generator.sample(list(good), min(2, len(good)))
        found.append(leaks(function, good | {name: generator.choice(ODD) for name in both}))
    assert not (failed := [one for one in found if one]), "\n".join(failed)
