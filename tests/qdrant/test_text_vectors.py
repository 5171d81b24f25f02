"""Any collection, read as pairs: whoever made it, in bounded memory, nothing lost in silence."""

import numpy as np
import pytest
import qdrant_edge as edge
from qdrant_client import QdrantClient, models

from leaf_embed.errors import CollectionError, CollectionNotFoundError, InputError, VectorError
from leaf_embed.qdrant import CollectionPairs, CollectionSpec, Document, LeafCollection

ROWS = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32)


def payload(i):
    return {
        "meta": {"text": f"text {i}", "title": f"T{i}"},
        "lang": "en" if i % 4 else "de",
        "public": i % 2 == 0,
        "n": i,
    }


@pytest.fixture(params=["edge", "client"])
def foreign(request, tmp_path):
    """A collection that leaf-embed did not make: two dense vectors, nested payload, dot product."""
    named = [{"dense": row.tolist(), "small": row[:2].tolist()} for row in ROWS]
    if request.param == "client":
        client = QdrantClient(":memory:")
        config = {n: models.VectorParams(size=s, distance="Dot") for n, s in (("dense", 4), ("small", 2))}
        client.create_collection("docs", vectors_config=config)
        points = [models.PointStruct(id=i, vector=v, payload=payload(i)) for i, v in enumerate(named)]
        client.upsert("docs", points)
        yield {"client": client}
        client.close()
        return
    config = {n: edge.EdgeVectorParams(size=s, distance=edge.Distance.Dot) for n, s in (("dense", 4), ("small", 2))}
    (tmp_path / "docs").mkdir()
    shard = edge.EdgeShard.create(str(tmp_path / "docs"), edge.EdgeConfig(vectors=config))
    points = [edge.Point(i, v, payload(i)) for i, v in enumerate(named)]
    shard.update(edge.UpdateOperation.upsert_points(points))
    shard.flush()
    shard.close()
    yield {"path": tmp_path}


def test_every_point_comes_once(foreign):
    found = CollectionPairs("docs", text="meta.text", vector="dense", page=7, **foreign)
    for _ in range(2):
        pairs = list(found)
        assert [text for text, _ in pairs] == [f"text {i}" for i in range(100)]
        np.testing.assert_allclose(np.stack([v for _, v in pairs]), ROWS, rtol=1e-6)
        assert pairs[0][1].dtype == np.float32
    assert len(found) == 100
    assert found.skipped == {}
    assert found.space is None


def test_titles_and_other_vectors(foreign):
    found = list(CollectionPairs("docs", text="meta.text", title="meta.title", vector="small", **foreign))
    assert found[3][0] == "T3 text 3"
    np.testing.assert_allclose(found[3][1], ROWS[3, :2], rtol=1e-6)


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ({"lang": "de"}, lambda i: i % 4 == 0),
        ({"public": True, "lang": ["de", "en"]}, lambda i: i % 2 == 0),
        ({"n": [3, 5]}, lambda i: i in (3, 5)),
    ],
)
def test_filters(foreign, where, wanted):
    found = CollectionPairs("docs", text="meta.text", vector="dense", where=where, page=5, **foreign)
    assert [text for text, _ in found] == [f"text {i}" for i in range(100) if wanted(i)]
    assert len(found) == len(list(found))


def test_the_engines_own_filter(foreign):
    m = models if "client" in foreign else edge
    ids = m.HasIdCondition(has_id=[1, 2]) if m is models else m.HasIdCondition({1, 2})
    found = CollectionPairs("docs", text="meta.text", vector="dense", where=m.Filter(must_not=[ids]), **foreign)
    assert len(list(found)) == 98


def test_memory_holds_a_page(foreign, monkeypatch):
    found = iter(CollectionPairs("docs", text="meta.text", vector="dense", page=10, **foreign))
    next(found)
    assert len(found.gi_frame.f_locals["pairs"]) == 10
    found.close()
    assert len(list(CollectionPairs("docs", text="meta.text", vector="dense", **foreign))) == 100, "it was let go"


def test_wrong_names_say_which_there_are(foreign):
    with pytest.raises(CollectionError, match=r"100 points: no text under 'body'.*\['lang', 'meta', 'n', 'public'\]"):
        list(CollectionPairs("docs", text="body", vector="dense", **foreign))
    with pytest.raises(InputError, match=r"has the vectors \['dense', 'small'\]; name one"):
        list(CollectionPairs("docs", text="meta.text", **foreign))
    with pytest.raises(CollectionError, match="no point fits"):
        list(CollectionPairs("docs", text="meta.text", vector="dense", where={"lang": "fr"}, **foreign))
    with pytest.raises(CollectionError, match=r"has no text with a vector|reading"):
        list(CollectionPairs("docs", text="meta.text", vector="none", **foreign))
    with pytest.raises(CollectionNotFoundError, match=r"'other'.*Is the name right"):
        CollectionPairs("other", **({"path": foreign["path"] / "docs" / "x"} if "path" in foreign else foreign))
    with pytest.raises(InputError, match="give either path"):
        CollectionPairs("docs")
    with pytest.raises(InputError, match="cannot be used"):
        list(CollectionPairs("docs", where={"lang": []}, **foreign))


def test_points_without_text_or_vector_are_counted():
    client = QdrantClient(":memory:")
    client.create_collection("docs", vectors_config={"a": models.VectorParams(size=2, distance="Dot")})
    payloads = [{"text": "one"}, {"text": "two"}, {"text": "  "}, {"text": 3}, {}]
    points = [
        models.PointStruct(id=i, vector={"a": [1, i]} if i != 1 else {}, payload=p) for i, p in enumerate(payloads)
    ]
    client.upsert("docs", points)
    found = CollectionPairs("docs", client=client)
    assert [text for text, _ in found] == ["one"]
    assert found.skipped == {"no text under 'text'": 3, "no vector": 1}
    client.close()


def test_a_zero_vector_is_named_by_its_point():
    client = QdrantClient(":memory:")
    client.create_collection("docs", vectors_config=models.VectorParams(size=2, distance="Dot"))
    points = [models.PointStruct(id=i, vector=[0, i], payload={"text": f"t{i}"}) for i in range(3)]
    client.upsert("docs", points)
    with pytest.raises(VectorError, match="only zeros for 'point 0'"):
        list(CollectionPairs("docs", client=client))
    client.close()


def test_sparse_and_multiple_vectors_are_refused():
    client = QdrantClient(":memory:")
    multi = models.VectorParams(
        size=2, distance="Dot", multivector_config=models.MultiVectorConfig(comparator="max_sim")
    )
    client.create_collection(
        "docs", vectors_config={"m": multi}, sparse_vectors_config={"s": models.SparseVectorParams()}
    )
    vector = {"m": [[1, 2], [3, 4]], "s": models.SparseVector(indices=[1], values=[1.0])}
    client.upsert("docs", [models.PointStruct(id=1, vector=vector, payload={"text": "t"})])
    for name in ("m", "s"):
        with pytest.raises(InputError, match="sparse or multiple"):
            list(CollectionPairs("docs", vector=name, client=client))
    client.close()


def test_a_collection_of_ours_says_its_space(home, leaf):
    spec = CollectionSpec(mrl=(16,), quantization="int8")
    with LeafCollection.create("docs", leaf, spec=spec, **home) as docs:
        docs.index([Document(id=i, text=f"topic{i}", title="T" if i % 2 else "") for i in range(20)])
    found = CollectionPairs("docs", title="title", **home)
    assert found.space == leaf.space
    assert found.space.canaries is not None
    pairs = dict(found)
    assert sorted(pairs) == sorted("T " * (i % 2) + f"topic{i}" for i in range(20))
    np.testing.assert_allclose(pairs["T topic3"], leaf.encode_document("T topic3"), atol=1e-3)
    assert CollectionPairs("docs", vector="mrl_16", **home).space is None


def test_an_alias_stands_for_its_collection():
    client = QdrantClient(":memory:")
    client.create_collection("v1", vectors_config=models.VectorParams(size=2, distance="Dot"))
    client.upsert("v1", [models.PointStruct(id=1, vector=[1, 2], payload={"text": "one"})])
    create = models.CreateAlias(collection_name="v1", alias_name="live")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
    assert [text for text, _ in CollectionPairs("live", client=client)] == ["one"]
    client.close()


def test_a_directory_of_local_mode_is_recognised(tmp_path):
    client = QdrantClient(path=str(tmp_path))
    client.create_collection("docs", vectors_config=models.VectorParams(size=2, distance="Dot"))
    client.close()
    with pytest.raises(InputError, match=r"directory of QdrantClient\(path=\.\.\.\).*give such a client"):
        CollectionPairs("docs", path=tmp_path)


def test_a_collection_without_a_dense_vector_says_so():
    client = QdrantClient(":memory:")
    client.create_collection("docs", sparse_vectors_config={"s": models.SparseVectorParams()}, vectors_config={})
    with pytest.raises(CollectionError, match="the collection 'docs' has no dense vector"):
        list(CollectionPairs("docs", client=client))
    client.close()
