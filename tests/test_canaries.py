"""A leaf of a narrow domain is far from its teacher on general texts: it is recognised, and a foreign model is not."""

import asyncio
import json
import shutil

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="pip install 'leaf-embed[train]'")

from qdrant_client import AsyncQdrantClient
from sentence_transformers import SentenceTransformer

import leaf_embed
from leaf_embed.cli import run
from leaf_embed.distill import DistillConfig, Text, distill, export_router, truncate_leaf
from leaf_embed.errors import NotALeafError, SpaceMismatchError
from leaf_embed.export.graph import write_graph
from leaf_embed.format import LEAF_FILE, read_leaf
from leaf_embed.qdrant import AsyncLeafCollection, LeafCollection, open_or_create
from tests.conftest import make_model

CONFIG = DistillConfig.quick(max_steps=5, precision="float32", holdout=0.1)
DOMAIN = [f"{a} {b} {c}" for a in ("red", "green", "blue") for b in ("fish", "bird") for c in ("bread", "salt", "milk")]
TEXTS = [Text(text, role) for text in DOMAIN for role in ("query", "document")]

DOCUMENTS = [{"_id": str(place), "text": text} for place, text in enumerate(DOMAIN)]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("narrow") / "teacher", layers=2, width=256)


@pytest.fixture(scope="module")
def narrow(teacher, tmp_path_factory):
    """A leaf of 18 texts: its canary cosines are far below .5."""
    path = tmp_path_factory.mktemp("narrow") / "leaf"
    distill(teacher, TEXTS, teacher, path, CONFIG, layers=1)
    return path


@pytest.fixture(scope="module")
def forged(narrow, tmp_path_factory):
    """The same leaf with the graphs of a foreign model."""
    folder = tmp_path_factory.mktemp("narrow")
    copy = shutil.copytree(narrow, folder / "forged")
    other = make_model(folder / "other", layers=2, width=256, seed=1)
    write_graph(SentenceTransformer(str(other), device="cpu"), copy / "onnx" / "model.onnx")
    (copy / "onnx" / "model_quantized.onnx").unlink()
    return copy


def change(leaf, target, **fields):
    copy = shutil.copytree(leaf, target)
    value = json.loads((copy / LEAF_FILE).read_text()) | fields
    (copy / LEAF_FILE).write_text(json.dumps({name: field for name, field in value.items() if field is not None}))
    return copy


def test_the_leaf_keeps_what_it_reached(narrow, teacher):
    info = read_leaf(narrow)
    student, model = (SentenceTransformer(str(path), device="cpu") for path in (narrow, teacher))
    for role in ("query", "document"):
        words = [text for kind, text in info.space.canaries.texts if kind == role]
        expected = float(np.mean((student.encode(words) * model.encode(words)).sum(axis=1)))
        assert info.canary_cosines[role] == pytest.approx(expected, abs=0.05)  # int8
        assert 0.25 < info.canary_cosines[role] < 0.45


@pytest.mark.parametrize("options", [{}, {"variant": "float32"}, {"variant": "torch"}], ids=str)
def test_however_it_is_opened_it_is_recognised(narrow, options):
    leaf = leaf_embed.load(narrow, **options)
    report = leaf.verify()
    assert 3 / 16 < report.floor < report.mean < 0.5


def test_an_older_leaf_has_the_floor_for_all(narrow, tmp_path):
    older = change(narrow, tmp_path / "older", canary_cosines=None)
    with pytest.raises(SpaceMismatchError, match=r"at least 0\.5\..*learned too little"):
        leaf_embed.load(older).verify()
    assert read_leaf(older).canary_cosines == {}
    with pytest.raises(NotALeafError, match="damaged"):
        read_leaf(change(narrow, tmp_path / "spoiled", canary_cosines=[1]))


def test_a_router_and_a_truncated_leaf(narrow, tmp_path):
    routed = leaf_embed.load(export_router(narrow, tmp_path / "router"))
    assert routed.canary_cosines == read_leaf(narrow).canary_cosines
    assert routed.verify().floor < 0.5
    short = truncate_leaf(narrow, tmp_path / "short", 200)
    assert read_leaf(short).canary_cosines not in ({}, read_leaf(narrow).canary_cosines)
    leaf_embed.load(short, variant="torch").verify()


def test_a_static_leaf_measures_itself(teacher, tmp_path):
    distill(teacher, TEXTS, "static", tmp_path / "static")
    leaf = leaf_embed.load(tmp_path / "static")
    found = leaf.space.canaries.measure(leaf.query_encoder)
    assert read_leaf(tmp_path / "static").canary_cosines == pytest.approx(found, abs=1e-3)


def test_collections_and_commands_take_it(narrow, tmp_path, capsys):
    leaf = leaf_embed.load(narrow, document="leaf")
    with LeafCollection.create("docs", leaf, path=tmp_path / "docs") as docs:
        docs.index(DOCUMENTS)
    with LeafCollection.open("docs", leaf, path=tmp_path / "docs") as docs:
        assert docs.verify().floor < 0.5
        assert docs.search(DOMAIN[3])[0].id == "3"
    open_or_create("docs", leaf, path=tmp_path / "docs").close()
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in DOCUMENTS))
    there = ["--path", str(tmp_path / "docs"), "--collection"]
    written = ["--leaf", str(narrow), "--input", str(tmp_path / "docs.jsonl"), *there, "more"]
    for command in (["inspect", str(narrow)], ["index", *written], ["inspect", str(narrow), *there, "more"]):
        assert run(command) == 0, capsys.readouterr().err
    assert "belongs      canaries pass" in capsys.readouterr().out


def test_a_foreign_model_in_its_place_is_refused(narrow, forged, tmp_path, capsys):
    with pytest.raises(SpaceMismatchError, match="files or prompts were changed"):
        leaf_embed.load(forged).verify()
    assert run(["inspect", str(forged)]) == 1
    assert "does not write into the space" in capsys.readouterr().err
    foreign, home = leaf_embed.load(forged, document="leaf"), {"path": tmp_path / "docs"}
    with pytest.raises(SpaceMismatchError):
        LeafCollection.create("docs", foreign, **home)
    LeafCollection.create("docs", leaf_embed.load(narrow), **home).close()
    with pytest.raises(SpaceMismatchError):
        LeafCollection.open("docs", foreign, **home)
    with (
        LeafCollection.open("docs", foreign, check_canaries=False, **home) as docs,
        pytest.raises(SpaceMismatchError, match="the document encoder does not write"),
    ):
        docs.index(DOCUMENTS)


def test_whatever_it_claims_a_foreign_model_is_refused(forged, tmp_path):
    liar = change(forged, tmp_path / "liar", canary_cosines={"query": -1.0, "document": -1.0})
    with pytest.raises(SpaceMismatchError, match=r"at least 0\.188"):
        leaf_embed.load(liar).verify()


def test_async_collections_take_it(narrow, forged):
    async def go():
        client = AsyncQdrantClient(":memory:")
        leaf = leaf_embed.load(narrow)
        await AsyncLeafCollection.create("docs", leaf, client=client)
        found = await AsyncLeafCollection.open("docs", leaf, client=client)
        assert found.verify().floor < 0.5
        with pytest.raises(SpaceMismatchError):
            await AsyncLeafCollection.open("docs", leaf_embed.load(forged), client=client)
        await client.close()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("reached", "roles", "floor"),
    [
        ({"query": 0.9, "document": 0.8}, ("query", "document"), 0.5),
        ({"query": 0.4, "document": 0.3}, ("query",), 0.35),
        ({"query": 0.4, "document": 0.3}, ("query", "document"), 0.3),
        ({"query": 0.4}, ("query", "document"), 0.5),
        ({"query": 0.1, "document": 0.1}, ("document",), 3 / 16),
        ({}, ("query",), 0.5),
    ],
)
def test_floors(narrow, reached, roles, floor):
    leaf = leaf_embed.load(narrow)
    leaf.canary_cosines = reached
    assert leaf.space.canaries.leaf_floor(leaf, roles) == pytest.approx(floor)
