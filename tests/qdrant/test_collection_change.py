"""Taking over, comparing with the engine, and changing a collection in use; no teacher, no loss, no recreation."""

from __future__ import annotations

import json
import shutil
import threading
import time
import warnings
from typing import Any

import numpy as np
import pytest
import qdrant_edge
from qdrant_client import QdrantClient, models

from leaf_embed.errors import CollectionError, CollectionNotFoundError, InputError, SpaceMismatchError
from leaf_embed.qdrant import CollectionSpec, Document, LeafCollection, read_metadata, switch_alias

SPEC = CollectionSpec(mrl=(16,), index_from_kb=10)


def documents(texts: list[str]) -> list[Document]:
    return [Document(i, text, payload={"n": i}) for i, text in enumerate(texts)]


def foreign(client: QdrantClient, leaf: Any, texts: list[str], *, vector: str = "", model: Any = None) -> None:
    """A collection as another wrapper makes one: integer ids, text under page_content."""
    params = models.VectorParams(size=64, distance=models.Distance.COSINE)
    client.create_collection("theirs", vectors_config={vector: params} if vector else params)
    rows = (model or leaf).encode_document(texts).tolist()
    client.upsert(
        "theirs",
        [
            models.PointStruct(
                id=i,
                vector={vector: row} if vector else row,
                payload={"page_content": text, "metadata": {"even": i % 2 == 0}},
            )
            for i, (text, row) in enumerate(zip(texts, rows, strict=True))
        ],
    )


@pytest.mark.parametrize("vector", ["", "dense"])
def test_a_collection_made_elsewhere_is_adopted_after_proof(leaf: Any, texts: list[str], vector: str) -> None:
    client = QdrantClient(":memory:")
    foreign(client, leaf, texts[:80], vector=vector)
    with LeafCollection.adopt("theirs", leaf, client=client, text_key="page_content") as docs:
        assert (docs.spec.full_name, docs.spec.mrl, docs.count()) == (vector, (), 80)
    with LeafCollection.open("theirs", leaf, client=client) as docs:
        best = docs.search(texts[7], where={"even": False})[0]
        assert (best.id, best.text, best.payload) == (7, texts[7], {"even": False})
        assert best.score == pytest.approx(1, abs=1e-5)
        assert docs.get([7, 9])[1].text == texts[9]
        assert len(docs.search_mmr(texts[7], limit=3, fetch=10)) == 3
        assert docs.delete([9]) == 1
        docs.index([Document("mine", "topic99 new")])
        assert docs.search("topic99 new")[0].id == "mine"
        assert docs.count() == 80
        if vector:
            docs.add_mrl(16)
            assert docs.explain("x").request["prefetch"]["using"] == "mrl_16"
            assert docs.search("topic99 new")[0].id == "mine"
        else:
            with pytest.raises(InputError, match="cannot add another"):
                docs.add_mrl(16)
    with pytest.raises(CollectionError, match="use open"):
        LeafCollection.adopt("theirs", leaf, client=client)
    client.close()


def test_a_collection_of_another_model_is_not_adopted(leaf: Any, texts: list[str], make_encoder: Any) -> None:
    client = QdrantClient(":memory:")
    foreign(client, leaf, texts[:50], model=make_encoder(model="b"))
    with pytest.raises(SpaceMismatchError, match="32 of its texts embedded again have a mean cosine of"):
        LeafCollection.adopt("theirs", leaf, client=client, text_key="page_content")
    with pytest.raises(
        InputError, match=r"has a text under 'body'; their payloads have the keys \['metadata', 'page_c"
    ):
        LeafCollection.adopt("theirs", leaf, client=client, text_key="body")
    with pytest.raises(CollectionError, match=r"has the vectors '' \(64 d\); expected one of 32 dimensions"):
        LeafCollection.adopt("theirs", make_encoder(32), client=client, text_key="page_content")
    with pytest.raises(CollectionNotFoundError):
        LeafCollection.adopt("ours", leaf, client=client)
    assert client.get_collection("theirs").config.metadata is None
    client.close()


def test_adoption_looks_at_the_whole_collection(leaf: Any, texts: list[str], make_encoder: Any) -> None:
    """The first page alone is the leaf's."""
    client = QdrantClient(":memory:")
    foreign(client, leaf, texts[:1000], model=make_encoder(model="b"))
    rows = leaf.encode_document(texts[:40]).tolist()
    client.upsert(
        "theirs",
        [models.PointStruct(id=i, vector=row, payload={"page_content": texts[i]}) for i, row in enumerate(rows)],
    )
    with pytest.raises(SpaceMismatchError, match="32 of its texts embedded again have a mean cosine of"):
        LeafCollection.adopt("theirs", leaf, client=client, text_key="page_content")
    assert client.get_collection("theirs").config.metadata is None
    client.close()


def test_a_few_foreign_vectors_are_not_adopted(leaf: Any, texts: list[str], make_encoder: Any, tmp_path: Any) -> None:
    """The mean of all is .98 still, but not the lowest."""
    with LeafCollection.create("docs", leaf, path=tmp_path) as docs:
        rows = leaf.encode_document(texts[:100])
        rows[57] = make_encoder(model="b").encode_document([texts[57]])[0]
        docs.index_vectors(documents(texts[:100]), rows)
    side_car = tmp_path / "docs" / "leaf-collection.json"
    side_car.unlink()
    with pytest.raises(SpaceMismatchError, match=r"a mean cosine of 0\.9.*each 0\.80"):
        LeafCollection.adopt("docs", leaf, path=tmp_path, sample=100)
    assert not side_car.exists()


def test_a_leaf_that_fails_its_canaries_adopts_nothing(leaf: Any, texts: list[str], make_encoder: Any) -> None:
    class Broken:
        space = leaf.space
        encode_document = staticmethod(leaf.encode_document)
        encode_query = staticmethod(make_encoder(model="b").encode_query)

    client = QdrantClient(":memory:")
    foreign(client, leaf, texts[:50])
    with pytest.raises(SpaceMismatchError):
        LeafCollection.adopt("theirs", Broken(), client=client, text_key="page_content")
    assert client.get_collection("theirs").config.metadata is None
    client.close()


def test_a_shard_without_a_side_car_is_adopted(leaf: Any, texts: list[str], tmp_path: Any) -> None:
    with LeafCollection.create("docs", leaf, spec=SPEC, path=tmp_path) as docs:
        docs.index(documents(texts[:60]))
    (tmp_path / "docs" / "leaf-collection.json").unlink()
    with LeafCollection.adopt("docs", leaf, path=tmp_path) as docs:
        assert (docs.spec.mrl, docs.spec.quantization, docs.spec.full_graph) == ((16,), "int8", False)
        assert docs.search(texts[5])[0].id == 5


def test_an_alias_opens_what_it_stands_for(leaf: Any, make_encoder: Any) -> None:
    client, new = QdrantClient(":memory:"), make_encoder(teacher="new", model="b")
    for name, model in (("docs-1", leaf), ("docs-2", new)):
        with LeafCollection.create(name, model, spec=SPEC, client=client) as docs:
            docs.index([Document(name, "topic1")])
    switch_alias("docs", "docs-1", client=client)
    assert LeafCollection.open("docs", leaf, client=client).name == "docs-1"
    assert read_metadata("docs", client=client).name == "docs-1"
    switch_alias("docs", "docs-2", client=client)
    with pytest.raises(SpaceMismatchError):
        LeafCollection.open("docs", leaf, client=client)
    assert LeafCollection.open("docs", new, client=client).search("topic1")[0].id == "docs-2"
    assert LeafCollection.open("docs-1", leaf, client=client).count() == 1
    with pytest.raises(InputError, match="an alias needs a name of its own"):
        switch_alias("docs-1", "docs-2", client=client)
    with pytest.raises(CollectionNotFoundError):
        switch_alias("docs", "docs-3", client=client)
    client.close()


def test_a_collection_is_compared_with_its_engine(leaf: Any, tmp_path: Any) -> None:
    LeafCollection.create("docs", leaf, spec=SPEC, path=tmp_path).close()
    file = tmp_path / "docs" / "leaf-collection.json"
    value = json.loads(file.read_text())
    for change, message in (
        ({"mrl": [16, 32]}, r"'mrl_32' has 32 dimensions under cosine, but the engine holds nothing"),
        ({"distance": "dot"}, r"'full' has 64 dimensions under dot, but the engine holds 64 dimensions under cosine"),
    ):
        file.write_text(json.dumps({**value, "spec": {**value["spec"], **change}}))
        with pytest.raises(CollectionError, match=message):
            LeafCollection.open("docs", leaf, path=tmp_path)
    for change, message in (
        ({"quantization": "turbo2"}, "quantized by 'int8', not 'turbo2'"),
        ({"datatype": "float16"}, "stored as float32, not float16"),
    ):
        file.write_text(json.dumps({**value, "spec": {**value["spec"], **change}}))
        with pytest.warns(UserWarning, match=message):
            LeafCollection.open("docs", leaf, path=tmp_path).close()
    file.write_text(json.dumps(value))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LeafCollection.open("docs", leaf, path=tmp_path).close()


def test_a_truncated_vector_is_added_without_a_teacher(home: Any, leaf: Any, texts: list[str]) -> None:
    texts, steps = texts[:600], []
    with LeafCollection.create("docs", leaf, spec=SPEC, **home) as docs:
        docs.index(documents(texts))
        leaf.asked.clear()
        docs.add_mrl(32, first=True, page_size=250, progress=lambda *step: steps.append(step))
        assert leaf.asked == []
        assert steps == [("add_mrl", done, 600, "") for done in (250, 500, 600)]
        assert docs.spec.mrl == (32, 16)
        best = docs.search(texts[5])[0]
        assert (best.id, best.score) == (5, pytest.approx(1, abs=1e-5))
        docs.add_mrl(32, progress=None)  # again does no harm
        assert docs.spec.mrl == (32, 16)
        docs.index(documents([*texts, "topic77 new"]))
        assert docs.search("topic77 new")[0].id == 600
    with LeafCollection.open("docs", leaf, **home) as docs:
        matrix = leaf.encode_document([*texts, "topic77 new"])
        for query in ("topic3 question", "topic17 word17"):
            expected = np.argsort(-(matrix @ leaf.encode_query(query)), kind="stable")[:5].tolist()
            for dim in (16, 32):
                assert [h.id for h in docs.search(query, limit=5, mrl=dim, candidates=300)] == expected
        with pytest.raises(InputError, match="not below the 64"):
            docs.add_mrl(64)
        if "path" in home:
            stored = json.loads((home["path"] / "docs" / "shard" / "edge_config.json").read_text())["vectors"]
            assert stored["mrl_32"]["quantization_config"]["scalar"]["type"] == "int8"


def test_a_killed_migration_goes_on(leaf: Any, texts: list[str], tmp_path: Any) -> None:
    with LeafCollection.create("docs", leaf, spec=SPEC, path=tmp_path) as docs:
        docs.index(documents(texts[:100]))

        def stop(stage: str, done: int, total: int | None, note: str) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            docs.add_mrl(32, page_size=40, progress=stop)
        assert docs.search(texts[3])[0].id == 3  # it answers as before
    with LeafCollection.open("docs", leaf, path=tmp_path) as docs:
        assert docs.spec.mrl == (16,)
        docs.add_mrl(32)
        assert len(docs.search("topic3", mrl=32, limit=100)) == 100


def test_searches_go_on_and_writes_wait_while_a_copy_is_migrated(leaf: Any, texts: list[str], tmp_path: Any) -> None:
    docs = LeafCollection.create("docs", leaf, spec=SPEC, path=tmp_path)
    docs.index(documents(texts[:100]))
    found: list[Any] = []
    writer = threading.Thread(target=lambda: docs.index([Document("meanwhile", "topic77 new")], optimize="later"))

    def look(stage: str, done: int, total: int | None, note: str) -> None:
        if done == 40:
            writer.start()
        found.append((docs.search(texts[3])[0].id, docs.count()))

    docs.add_mrl(32, page_size=40, progress=look)
    writer.join()
    assert found == [(3, 100)] * 3
    assert (docs.count(), docs.search("topic77 new")[0].id) == (101, "meanwhile")
    docs.close()
    with LeafCollection.open("docs", leaf, path=tmp_path) as docs:
        assert [d.text for d in docs.get(["meanwhile"])] == ["topic77 new"]
        assert docs.spec.mrl == (16, 32)


@pytest.mark.parametrize("bare", [".", "docs"])
def test_a_shard_laid_out_by_others_stays_as_it_is(leaf: Any, texts: list[str], tmp_path: Any, bare: str) -> None:
    with LeafCollection.create("made", leaf, spec=SPEC, path=tmp_path / "elsewhere") as made:
        made.index(documents(texts[:50]))
    root = tmp_path / "root"
    shutil.copytree(tmp_path / "elsewhere" / "made" / "shard", root / bare)
    LeafCollection.create("other", leaf, path=root).close()
    with LeafCollection.adopt("docs", leaf, path=root) as docs:
        docs.add_mrl(32)
        docs.index([Document("new", "topic77 new")])
    with LeafCollection.open("docs", leaf, path=root) as docs:
        assert (docs.spec.mrl, docs.count()) == ((16, 32), 51)
        assert docs.search("topic77 new", mrl=32)[0].id == "new"
    assert LeafCollection.open("other", leaf, path=root).count() == 0
    assert not (root / "docs" / "shard" / "other").exists()
    former = qdrant_edge.EdgeShard.load(str(root / bare))
    assert former.count(qdrant_edge.CountRequest(exact=True)) == 50
    former.close()


@pytest.mark.parametrize("step", ["_copy_file", "write_json"])
def test_a_disk_that_is_full_leaves_a_collection_as_it_was(
    leaf: Any, texts: list[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    from leaf_embed.qdrant.backends import edge_migration

    def full(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    with LeafCollection.create("docs", leaf, spec=SPEC, path=tmp_path) as docs:
        docs.index(documents(texts[:50]))
        monkeypatch.setattr(edge_migration, step, full)
        for change in (lambda: docs.add_mrl(32), lambda: docs.change_quantization("turbo4")):
            with pytest.raises(CollectionError, match=r"migrating 'docs' failed:.*No space left"):
                change()
        assert (docs.spec, docs.count(), docs.search(texts[3])[0].id) == (SPEC, 50, 3)
        docs.index(documents(texts[:51]))
    assert sorted(child.name for child in (tmp_path / "docs").iterdir()) == ["leaf-collection.json", "shard"]


@pytest.mark.parametrize("name", ["turbo4", "binary2", "none"])
def test_quantization_changes_in_place(home: Any, leaf: Any, texts: list[str], name: str) -> None:
    texts = texts[:400]
    with LeafCollection.create("docs", leaf, spec=SPEC, **home) as docs:
        docs.index(documents(texts))
        leaf.asked.clear()
        docs.change_quantization(name)
        assert leaf.asked == []
        assert docs.search(texts[5])[0].id == 5
        with pytest.raises(InputError, match="quantization must be one of"):
            docs.change_quantization("int3")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        docs = LeafCollection.open("docs", leaf, check_canaries=False, **home)
    with docs:
        assert docs.spec.quantization == name
        assert docs.count() == 400
    if "path" in home:
        stored = json.loads((home["path"] / "docs" / "shard" / "edge_config.json").read_text())["vectors"]["mrl_16"]
        assert ("quantization_config" in stored and stored["quantization_config"] is not None) == (name != "none")


def test_a_child_process_builds_the_graph_while_threads_go_on(leaf: Any, texts: list[str], tmp_path: Any) -> None:
    ticks: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(0.005):
            ticks.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    with LeafCollection.create("docs", leaf, spec=SPEC, path=tmp_path) as docs:
        docs.index(documents(texts), optimize="later")
        assert docs.describe()["indexed_vectors"] == 0
        thread.start()
        docs.optimize(child=True)
        stop.set()
        thread.join()
        assert docs.describe()["indexed_vectors"] >= 2000
        assert docs.search(texts[5])[0].id == 5
        assert docs.index(documents(texts), optimize="child").unchanged == 2000
        with pytest.raises(InputError, match="optimize must be"):
            docs.index(documents(texts), optimize="never")  # type: ignore[arg-type]
    assert max(np.diff(ticks)) < 0.5
    assert len(ticks) > 5


def test_a_failing_child_is_a_clear_error(leaf: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from leaf_embed.qdrant.backends import edge_points

    monkeypatch.setattr(edge_points, "OPTIMIZE", "raise SystemExit('no memory')")
    with LeafCollection.create("docs", leaf, spec=SPEC, path=tmp_path) as docs:
        with pytest.raises(CollectionError, match=r"ended with code 1: no memory\. What was written is kept"):
            docs.index([Document(1, "topic1")], optimize="child")
        assert docs.count() == 1


def test_threads_take_turns_in_local_mode(leaf: Any) -> None:
    """Concurrent upserts corrupt local mode (qdrant-client#1193); here they are put in a row."""
    client, failures = QdrantClient(":memory:"), []
    LeafCollection.create("docs", leaf, spec=SPEC, client=client).close()

    def write(part: int) -> None:
        try:
            with LeafCollection.open("docs", leaf, client=client) as docs:
                docs.index([Document(f"{part}-{i}", f"topic{i} part{part}") for i in range(100)], batch_size=10)
                docs.search("topic3")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(part,)) for part in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with LeafCollection.open("docs", leaf, client=client) as docs:
        assert docs.count() == 600
        assert len({d.id for d in docs.iter_documents()}) == 600
        assert docs.search("topic42 part4", limit=1)[0].id == "4-42"
    client.close()
