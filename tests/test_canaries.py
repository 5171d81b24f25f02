"""A leaf of a narrow domain is far from its teacher on general texts: it is recognised, and a changed one is not."""

import asyncio
import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="pip install 'leaf-embed[train]'")

from qdrant_client import AsyncQdrantClient
from sentence_transformers import SentenceTransformer

import leaf_embed
from leaf_embed.canaries import CANARY_TEXTS, Canaries
from leaf_embed.cli import run
from leaf_embed.distill import DistillConfig, Text, distill, export_router, truncate_leaf
from leaf_embed.errors import NotALeafError, SpaceMismatchError
from leaf_embed.export.graph import write_graph
from leaf_embed.format import LEAF_FILE, read_leaf
from leaf_embed.leaf_record import LeafRecord
from leaf_embed.qdrant import AsyncLeafCollection, LeafCollection, open_or_create
from leaf_embed.space import EmbeddingSpace
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


def test_the_leaf_keeps_what_it_computed(narrow, teacher):
    info = read_leaf(narrow)
    student, model = (SentenceTransformer(str(path), device="cpu") for path in (narrow, teacher))
    for role in ("query", "document"):
        words = [text for kind, text in info.space.canaries.texts if kind == role]
        expected = float(np.mean((student.encode(words) * model.encode(words)).sum(axis=1)))
        assert info.record.cosines[role] == pytest.approx(expected, abs=0.05)  # int8
        assert 0.25 < info.record.cosines[role] < 0.45
    answers, own = info.record.answers, info.record.own
    assert answers.texts == (*CANARY_TEXTS, *own.texts)
    for known, encoder in ((answers, student), (own, model)):
        words = [text for _, text in known.texts]
        np.testing.assert_allclose(known.vectors, encoder.encode(words), atol=5e-3)  # the teacher may run in bfloat16
    assert {text for _, text in own.texts} <= set(DOMAIN)
    assert 0.95 < info.record.floor <= 0.98


def test_what_is_kept_of_the_corpus(teacher, tmp_path):
    texts = [*(Text(f"{text} " * 60, "document") for text in DOMAIN), *TEXTS[:20], *(Text(t, "query") for t in DOMAIN)]
    for path, options in (("some", {"kept_texts": 6}), ("none", {"kept_texts": 0})):
        config = replace(CONFIG, holdout=0.5, max_steps=1, **options)
        report = distill(teacher, texts, teacher, tmp_path / path, config, layers=1, export_graphs=False)
        assert report.record.cosines == read_leaf(tmp_path / path).record.cosines
        leaf = leaf_embed.load(tmp_path / path, variant="torch")
        with LeafCollection.create("docs", leaf, path=tmp_path / f"{path} docs", check_canaries=False):
            stored = (tmp_path / f"{path} docs" / "docs" / "leaf-collection.json").read_text()
        assert not any(text in stored for text in DOMAIN)
    some, none = (read_leaf(tmp_path / path).record for path in ("some", "none"))
    assert none.own is None
    assert none.answers.texts == CANARY_TEXTS
    assert Counter(role for role, _ in some.own.texts) == {"query": 3, "document": 3}
    assert all(len(text) < 400 for _, text in some.own.texts)
    assert not any(text in (tmp_path / "none" / LEAF_FILE).read_text() for text in DOMAIN)


@pytest.mark.parametrize("options", [{}, {"variant": "float32"}, {"variant": "torch"}], ids=str)
def test_however_it_is_opened_it_is_recognised(narrow, options):
    leaf = leaf_embed.load(narrow, **options)
    report = leaf.verify()
    assert 3 / 16 < report.floor < report.mean < 0.5


def test_an_older_leaf_has_the_floor_for_all(narrow, tmp_path):
    older = change(narrow, tmp_path / "older", record=None)
    assert leaf_embed.load(older).verify().floor < 0.5
    oldest = change(narrow, tmp_path / "oldest", canary_cosines=None, record=None)
    with pytest.raises(SpaceMismatchError, match=r"at least 0\.5\..*learned too little.*leaf-embed export"):
        leaf_embed.load(oldest).verify()
    assert read_leaf(oldest).record.cosines == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"canary_cosines": [1]},
        {"canary_cosines": {"passage": 0.5}},
        {"record": {"answers": [{"role": "query"}]}},
        {"record": {"answers": [{"role": "passage", "text": "a", "vector": "AAA="}]}},
        {"record": {"floor": 0}},
        {"record": [1]},
    ],
    ids=str,
)
def test_a_damaged_record_is_refused(narrow, tmp_path, fields):
    with pytest.raises(NotALeafError, match="damaged"):
        read_leaf(change(narrow, tmp_path / "spoiled", **fields))


def test_a_router_and_a_truncated_leaf(narrow, tmp_path):
    routed = leaf_embed.load(export_router(narrow, tmp_path / "router"))
    assert routed.record.cosines == read_leaf(narrow).record.cosines
    assert routed.verify().floor < 0.5
    short = truncate_leaf(narrow, tmp_path / "short", 200)
    record = read_leaf(short).record
    assert record.cosines not in ({}, read_leaf(narrow).record.cosines)
    assert (record.own.texts, record.own.dim) == (read_leaf(narrow).record.own.texts, 200)
    assert np.mean(leaf_embed.load(short, variant="torch").verify().answers) > 0.999


def test_documents_of_the_teacher_are_not_compared_with_the_student(narrow, teacher):
    leaf = leaf_embed.load(narrow, document="teacher")
    assert leaf.space.require_leaf(leaf, ("document",)).mean > 0.999
    alone = leaf_embed.load(narrow, document="leaf")
    report = leaf.space.require_leaf(alone, ("document",))
    assert report.mean < 0.5 < 0.9 < min(report.answers)


def test_a_static_leaf_measures_itself(teacher, tmp_path, capsys):
    distill(teacher, TEXTS, "static", tmp_path / "static")
    leaf = leaf_embed.load(tmp_path / "static")
    found = leaf.space.canaries.measure(leaf.query_encoder)
    assert read_leaf(tmp_path / "static").record.cosines == pytest.approx(found, abs=1e-3)
    assert min(leaf.verify().answers) > 0.999
    assert run(["inspect", str(tmp_path / "static")]) == 0
    assert "canaries pass" in capsys.readouterr().out
    change(tmp_path / "static", tmp_path / "older", record=None, canary_cosines=None)
    assert run(["export", str(tmp_path / "older")]) == 0
    assert read_leaf(tmp_path / "older").record.answers.texts == CANARY_TEXTS


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


def test_a_server_has_the_rule_of_an_index(narrow, forged):
    pytest.importorskip("starlette", reason="pip install 'leaf-embed[serve]'")
    from leaf_embed.serve import create_app

    assert create_app(leaf_embed.load(narrow)).routes
    with pytest.raises(SpaceMismatchError, match="files or prompts were changed"):
        create_app(leaf_embed.load(forged))


def test_whatever_it_claims_a_foreign_model_is_refused(forged, tmp_path):
    liar = change(forged, tmp_path / "liar", canary_cosines={"query": -1.0, "document": -1.0}, record=None)
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


class Vectors:
    """An encoder of a space of 64 dimensions: whatever vectors it is given."""

    def __init__(self, canaries, record=None, turn=None):
        self.space = EmbeddingSpace("someone", 64).with_canaries(canaries)
        self.record = record or LeafRecord()
        self.turn = np.eye(64) if turn is None else turn

    def encode_query(self, texts):
        return np.stack([direction(text) for text in texts]) @ self.turn

    encode_document = encode_query


def direction(text, seed=0):
    row = np.random.default_rng([seed, *text.encode()]).standard_normal(64)
    return (row / np.linalg.norm(row)).astype(np.float32)


def near(texts, cosine):
    """Vectors with a given cosine with those of :class:`Vectors`."""
    mine, other = (np.stack([direction(text, seed) for _, text in texts]) for seed in (0, 1))
    across = other - (other * mine).sum(axis=1, keepdims=True) * mine
    return cosine * mine + (1 - cosine**2) ** 0.5 * across / np.linalg.norm(across, axis=1, keepdims=True)


OWN = tuple(("document", text) for text in DOMAIN[:6])
TURN = np.linalg.qr(np.random.default_rng(0).standard_normal((64, 64)))[0]


def made(general, own):
    """A leaf with these cosines with its teacher on general texts and on its own."""
    canaries = Canaries(CANARY_TEXTS, near(CANARY_TEXTS, general))
    answers = Canaries.of(Vectors(canaries), (*CANARY_TEXTS, *OWN))
    cosines = canaries.measure(Vectors(canaries))
    return Vectors(canaries, LeafRecord(cosines, answers, Canaries(OWN, near(OWN, own))))


@pytest.mark.parametrize("roles", [("query",), ("document",), ("query", "document")], ids=str)
@pytest.mark.parametrize("general", [-0.1, 0.05, 0.42, 0.9])
def test_a_leaf_is_compared_with_itself(general, roles):
    leaf = made(general, own=0.9)
    assert leaf.space.verify_leaf(leaf, roles).passed
    for turn in (TURN, np.roll(np.eye(64), 1, axis=0), -np.eye(64)):
        with pytest.raises(SpaceMismatchError, match=r"its own of when it was made.*files or prompts were changed"):
            leaf.space.verify_leaf(Vectors(leaf.space.canaries, leaf.record, turn), roles)


def test_all_texts_serve_a_check_of_queries_if_there_is_one_prompt():
    leaf = made(0.05, own=0.9)
    leaf.record = replace(leaf.record, of_documents=False)  # beside a teacher
    assert len(leaf.space.verify_leaf(leaf, ("query",)).answers) == len(CANARY_TEXTS) + len(OWN)
    leaf.space = replace(leaf.space, query_prompt="query: ")
    assert len(leaf.space.verify_leaf(leaf, ("query",)).answers) == 4
    teacher = Vectors(leaf.space.canaries, leaf.record)
    teacher.encode_document = lambda texts: near([("", text) for text in texts], 0.05)
    report = leaf.space.require_leaf(teacher, ("document",))
    assert (report.mean, report.floor, report.answers) == (pytest.approx(1, abs=1e-3), 0.5, ())


def test_one_that_learned_nothing_is_refused():
    leaf = made(0.05, own=0.1)
    with pytest.raises(SpaceMismatchError, match=r"at least 0\.375.*learned too little"):
        leaf.space.verify_leaf(leaf)


def test_a_collection_of_another_teacher_of_the_same_name_is_refused():
    leaf = made(0.05, own=0.9)
    other = Canaries(CANARY_TEXTS, -near(CANARY_TEXTS, 0.05))
    with pytest.raises(SpaceMismatchError, match="Two teachers have the same name"):
        leaf.space.with_canaries(other).require_leaf(leaf, ("query",))


def test_a_collection_with_canaries_of_its_own_takes_the_leaf_and_refuses_another():
    leaf = made(0.3, own=0.9)
    place = leaf.space.with_canaries(Canaries(OWN, near(OWN, 0.6)))
    assert place.require_leaf(leaf, ("query",)).cosines == ()
    assert place.require_leaf(leaf, ("document",)).floor == pytest.approx(3 / 8)
    far = leaf.space.with_canaries(Canaries(OWN, near(OWN, 0.1)))
    with pytest.raises(SpaceMismatchError, match="with the teacher's"):
        far.require_leaf(leaf, ("document",))


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
def test_floors_of_older_leaves(narrow, reached, roles, floor):
    assert LeafRecord(reached).teacher_floor(read_leaf(narrow).space.canaries, roles) == pytest.approx(floor)
