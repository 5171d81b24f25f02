"""No way to mix up models, and no way to lose a collection by a slip."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from leaf_embed.errors import (
    CollectionError,
    CollectionExistsError,
    CollectionNotFoundError,
    InputError,
    MissingExtraError,
    SpaceMismatchError,
    VectorError,
)
from leaf_embed.qdrant import (
    CollectionMetadata,
    CollectionSpec,
    Document,
    LeafCollection,
    Retry,
    connect,
    list_collections,
    open_or_create,
    read_metadata,
)

SPEC = CollectionSpec(mrl=(16,))


def make(leaf: Any, home: Any, name: str = "docs") -> None:
    with LeafCollection.create(name, leaf, spec=SPEC, **home) as docs:
        docs.index([Document("a", "topic1"), Document("b", "topic2")])


def test_what_was_made_opens_again(home: Any, leaf: Any) -> None:
    make(leaf, home)
    with LeafCollection.open("docs", leaf, **home) as docs:
        assert docs.count() == 2
        assert docs.search("topic2")[0].id == "b"
        assert docs.spec == SPEC
        assert docs.space == leaf.space
        assert docs.verify().mean == pytest.approx(1, abs=1e-3)  # stored as float16
        described = docs.describe()
        assert json.loads(json.dumps(described)) == described
        assert (described["points"], described["vectors"]) == (2, {"full": 64, "mrl_16": 16})
        assert repr(docs).startswith("LeafCollection('docs', words (64 d, fingerprint ")


@pytest.mark.parametrize("other", [{"teacher": "others"}, {"dim": 32}, {"unit": False}], ids=str)
def test_a_leaf_of_another_space_is_refused(home: Any, leaf: Any, make_encoder: Any, other: dict[str, Any]) -> None:
    make(leaf, home)
    with pytest.raises(SpaceMismatchError, match="the collection 'docs' and the leaf live in different") as caught:
        LeafCollection.open("docs", make_encoder(**other), **home)
    assert "index the documents into a new collection" in str(caught.value)
    with LeafCollection.open("docs", leaf, **home) as docs:  # refused before the engine was opened, so not locked
        assert docs.count() == 2


def test_another_model_under_the_same_fingerprint_is_refused(home: Any, leaf: Any, make_encoder: Any) -> None:
    make(leaf, home)
    impostor = make_encoder(model="b")
    assert impostor.space.fingerprint == leaf.space.fingerprint
    with pytest.raises(SpaceMismatchError, match="the leaf does not write into the space it declares"):
        LeafCollection.open("docs", impostor, **home)
    with LeafCollection.open("docs", impostor, check_canaries=False, **home) as docs:
        with pytest.raises(SpaceMismatchError):
            docs.verify()
        with pytest.raises(SpaceMismatchError):  # and it still cannot write
            docs.index([Document("c", "topic3")])


def test_vectors_of_unknown_origin_are_compared_with_the_leafs(leaf: Any, make_encoder: Any, tmp_path: Any) -> None:
    texts = [f"topic{i} word{i}" for i in range(4)]
    right, wrong = (
        [Document(t, t).with_vector(v) for t, v in zip(texts, encoder.encode_document(texts), strict=True)]
        for encoder in (leaf, make_encoder(model="b"))
    )
    with LeafCollection.create("docs", leaf, spec=SPEC, path=tmp_path) as docs:
        docs.verify_vectors(right)
        docs.verify_vectors([Document("a", "topic1").with_vector(None)])  # nothing to compare
        with pytest.raises(SpaceMismatchError, match=r"not of the space of the collection 'docs'.*mean cosine"):
            docs.verify_vectors(wrong)
        with pytest.raises(VectorError):
            docs.verify_vectors([Document("a", "topic1").with_vector([1.0, 0.0])])


def test_a_leaf_that_fails_its_own_canaries_makes_no_collection(home: Any, leaf: Any, make_encoder: Any) -> None:
    class Broken:
        space = leaf.space
        encode_query = encode_document = staticmethod(make_encoder(model="b").encode_query)

    with pytest.raises(SpaceMismatchError):
        LeafCollection.create("docs", Broken(), **home)
    assert list_collections(**home) == []


def test_a_space_without_canaries_is_guarded_by_its_fingerprint(home: Any, make_encoder: Any) -> None:
    leaf = make_encoder(canaries=False)
    make(leaf, home)
    with LeafCollection.open("docs", leaf, **home) as docs:
        assert docs.describe()["canaries"] == 0
        with pytest.raises(InputError, match="has no canaries"):
            docs.verify()
    with pytest.raises(SpaceMismatchError):
        LeafCollection.open("docs", make_encoder(teacher="others"), **home)


def test_an_existing_name_is_never_replaced(home: Any, leaf: Any) -> None:
    make(leaf, home)
    with pytest.raises(CollectionExistsError, match="exists already"):
        LeafCollection.create("docs", leaf, **home)
    with LeafCollection.open("docs", leaf, **home) as docs:
        assert docs.count() == 2


def test_not_found_lists_what_is_there(home: Any, leaf: Any) -> None:
    with pytest.raises(CollectionNotFoundError, match="collections there: none"):
        LeafCollection.open("docs", leaf, **home)
    make(leaf, home, "one")
    make(leaf, home, "two")
    with pytest.raises(CollectionNotFoundError, match="no collection 'docs'; collections there: 'one', 'two'"):
        LeafCollection.open("docs", leaf, **home)
    assert list_collections(**home) == ["one", "two"]


def test_metadata_can_be_read_without_a_leaf(home: Any, leaf: Any) -> None:
    make(leaf, home)
    metadata = read_metadata("docs", **home)
    assert (metadata.name, metadata.space, metadata.spec) == ("docs", leaf.space, SPEC)
    assert metadata.space.canaries is not None
    assert len(metadata.space.canaries.texts) == 8


def test_a_collection_made_elsewhere_is_refused(leaf: Any) -> None:
    client = QdrantClient(":memory:")
    client.create_collection("docs", vectors_config=models.VectorParams(size=64, distance=models.Distance.COSINE))
    with pytest.raises(CollectionError, match="does not say which model wrote its vectors") as caught:
        LeafCollection.open("docs", leaf, client=client)
    assert "LeafCollection.adopt" in str(caught.value)
    client.close()


def test_a_lost_or_damaged_side_car_is_refused(leaf: Any, tmp_path: Any) -> None:
    make(leaf, {"path": tmp_path})
    file = tmp_path / "docs" / "leaf-collection.json"
    value = json.loads(file.read_text())
    for text, message in (
        ("{", "cannot read"),
        ("[]", "does not say which model"),
        (json.dumps({**value, "version": 99}), "metadata version 99"),
        (json.dumps({**value, "spec": {"mrl": [1000]}}), "not below the 64 dimensions"),
        (json.dumps({**value, "space": {**value["space"], "teacher": "x"}}), "changed by hand"),
        (json.dumps({k: v for k, v in value.items() if k != "space"}), "is damaged"),
    ):
        file.write_text(text)
        with pytest.raises(CollectionError, match=message):
            LeafCollection.open("docs", leaf, path=tmp_path)
    file.unlink()
    with pytest.raises(CollectionError, match="does not say which model"):
        LeafCollection.open("docs", leaf, path=tmp_path)
    file.write_text(json.dumps(value))
    with LeafCollection.open("docs", leaf, path=tmp_path) as docs:
        assert docs.count() == 2


def test_a_damaged_shard_is_a_clear_error(leaf: Any, tmp_path: Any) -> None:
    make(leaf, {"path": tmp_path})
    (tmp_path / "docs" / "shard").rename(tmp_path / "docs" / "gone")
    with pytest.raises(CollectionError, match="the engine cannot open"):
        LeafCollection.open("docs", leaf, path=tmp_path)


def test_a_failed_creation_leaves_nothing(leaf: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from leaf_embed.qdrant.backends import edge as backend_edge

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(backend_edge, "write_json", fail)
    with pytest.raises(CollectionError, match="disk full"):
        LeafCollection.create("docs", leaf, path=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_drops_metadata_is_refused(leaf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = QdrantClient(":memory:")
    create = client.create_collection
    monkeypatch.setattr(client, "create_collection", lambda *a, metadata, **k: create(*a, **k))
    with pytest.raises(CollectionError, match=r"since version 1\.16"):
        LeafCollection.create("docs", leaf, client=client)
    client.close()


def test_a_server_that_is_not_there_is_a_clear_error(leaf: Any) -> None:
    client = QdrantClient("http://127.0.0.1:9", timeout=2, check_compatibility=False)
    retry = Retry(attempts=2, first_wait=0.01, longest_wait=0.01)
    with pytest.raises(CollectionError, match="Is the server there"):
        LeafCollection.open("docs", leaf, client=client, retry=retry)
    with pytest.raises(CollectionError, match="Is the server there"):
        LeafCollection.create("docs", leaf, client=client, retry=retry)
    client.close()


def test_local_mode_on_disk_keeps_what_it_was_told(leaf: Any, tmp_path: Any) -> None:
    client = QdrantClient(path=str(tmp_path))
    make(leaf, {"client": client})
    client.close()
    client = QdrantClient(path=str(tmp_path))
    with LeafCollection.open("docs", leaf, client=client) as docs:
        assert docs.search("topic2")[0].id == "b"
    with pytest.raises(InputError, match=r"is a directory of QdrantClient\(path=.*give such a client"):
        LeafCollection.open("docs", leaf, path=tmp_path)
    with pytest.raises(InputError, match="another program has"):
        connect(tmp_path)
    client.close()


def test_the_client_stays_its_owners(leaf: Any) -> None:
    client = QdrantClient(":memory:")
    make(leaf, {"client": client})
    assert client.count("docs").count == 2
    client.close()


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "x" * 300, " a", "a ", "a:b", 3])
def test_names_that_cannot_be_used(home: Any, leaf: Any, name: Any) -> None:
    with pytest.raises(InputError, match="cannot name a collection"):
        LeafCollection.create(name, leaf, **home)
    with pytest.raises(InputError, match="cannot name a collection"):
        LeafCollection.open(name, leaf, **home)


def test_exactly_one_place(leaf: Any, tmp_path: Any) -> None:
    with pytest.raises(InputError, match="either path="):
        LeafCollection.open("docs", leaf)
    with pytest.raises(InputError, match="either path="):
        LeafCollection.open("docs", leaf, path=tmp_path, client=QdrantClient(":memory:"))
    with pytest.raises(InputError, match="got AsyncQdrantClient"):
        LeafCollection.open("docs", leaf, client=AsyncQdrantClient(":memory:"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"mrl": (0,)},
        {"mrl": (8, 8)},
        {"mrl": ("8",)},
        {"mrl": 8},
        {"mrl": (True,)},
        {"quantization": "int4"},
        {"distance": "euclid"},
        {"m": 0},
        {"ef_construct": 0},
        {"index_from_kb": 0},
    ],
    ids=str,
)
def test_specs_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        CollectionSpec(**options)


def test_a_spec_fits_its_space(home: Any, leaf: Any, make_encoder: Any) -> None:
    with pytest.raises(InputError, match=r"\[64, 100\] are not below the 64 dimensions"):
        LeafCollection.create("docs", leaf, spec=CollectionSpec(mrl=(16, 64, 100)), **home)
    assert CollectionSpec.for_space(leaf.space).mrl == ()
    assert CollectionSpec.for_space(make_encoder(256).space).mrl == (96,)
    metadata = CollectionMetadata("docs", leaf.space, CollectionSpec(mrl=[16]))  # type: ignore[arg-type]
    assert CollectionMetadata.from_dict(metadata.to_dict(), name="docs") == metadata


def test_a_missing_extra_names_the_command(leaf: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qdrant_edge", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'leaf-embed\[qdrant\]'"):
        LeafCollection.create("docs", leaf, path=tmp_path)


def test_importing_the_package_imports_no_engine() -> None:
    code = "import sys, leaf_embed.qdrant; print({'qdrant_client', 'qdrant_edge', 'torch'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (":memory:", r'pass client=QdrantClient\(":memory:"\)'),
        (Path(":memory:"), r'pass client=QdrantClient\(":memory:"\)'),
        ("http://localhost:6333", r"pass client=QdrantClient\(url\)"),
        (7, "must name a directory; got 7"),
        (b"there", "must name a directory"),
    ],
)
def test_what_is_no_directory_makes_none(
    path: Any, message: str, leaf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (LeafCollection.create, LeafCollection.open, LeafCollection.adopt, open_or_create):
        with pytest.raises(InputError, match=message):
            call("docs", leaf, path=path)
    assert list(tmp_path.iterdir()) == []
