"""transformers.js in Node: the leaf's vector, whatever pooling the caller asks for.

The field's recurring accident: the runtime skips the Dense head and gives a vector of the backbone's width.
``make test-node`` installs the library into ``.node``.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from tests.conftest import sentences

FOLDER = Path(os.environ.get("LEAF_EMBED_NODE", ".node"))
TEXTS = [*sentences(5), " ".join(sentences(30))]

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def found(leaf_path):
    if shutil.which("node") is None or not (FOLDER / "node_modules" / "@huggingface").is_dir():
        pytest.skip(f"needs node, and @huggingface/transformers in {FOLDER} (make test-node)")
    script = Path(__file__).with_name("embed.mjs")
    command = ["node", str(script), str(FOLDER), str(leaf_path), json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return {name: np.array(value) for name, value in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def expected(leaf_path):
    return SentenceTransformer(str(leaf_path), device="cpu").encode(TEXTS)


@pytest.mark.parametrize("call", ["mean", "cls", "last_token", "sentence_embedding"])
def test_any_pooling_gives_the_leafs_vector(found, expected, call):
    assert found[call].shape == expected.shape
    assert (found[call] * expected).sum(axis=1).min() > 0.999


def test_the_int8_graph_is_what_it_calls_q8(found, expected):
    assert found["q8"].shape == expected.shape
    assert 0.97 < (found["q8"] * expected).sum(axis=1).min() < 0.999999  # close, and not the float32 graph


def test_without_pooling_each_token_has_it(found, expected):
    assert found["default"].ndim == 3
    for position in (0, -1):
        assert (found["default"][:, position] * expected).sum(axis=1).min() > 0.999
