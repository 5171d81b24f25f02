"""Whoever comes second to a shard of the embedded engine is refused before it can do harm."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import qdrant_edge

from leaf_embed.errors import CollectionError
from leaf_embed.qdrant import CollectionPairs, Document, LeafCollection, list_collections, read_metadata
from leaf_embed.qdrant.backends.edge_lock import lock_shard

ROOT = Path(__file__).parents[3]
CHILD = """
import sys
from leaf_embed.qdrant import LeafCollection
from tests.qdrant.conftest import WordEncoder
docs = LeafCollection.open("docs", WordEncoder(), path=sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def owned(leaf: Any, path: Path) -> LeafCollection:
    docs = LeafCollection.create("docs", leaf, path=path)
    docs.index([Document(f"d{i}", f"topic{i}") for i in range(50)])
    return docs


def start(path: Path) -> subprocess.Popen[str]:
    """Another process that opens the collection and keeps it."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def open_again(leaf: Any, path: Path) -> None:
    LeafCollection.open("docs", leaf, path=path)


def adopt(leaf: Any, path: Path) -> None:
    (path / "docs" / "leaf-collection.json").unlink()
    LeafCollection.adopt("docs", leaf, path=path, text_key="text")


def scroll(leaf: Any, path: Path) -> None:
    list(CollectionPairs("docs", path=path))


def count(leaf: Any, path: Path) -> None:
    len(CollectionPairs("docs", path=path / "docs" / "shard"))


@pytest.mark.parametrize("second", [open_again, adopt, scroll, count])
def test_one_process_shares_a_shard(leaf: Any, tmp_path: Path, second: Callable[[Any, Path], None]) -> None:
    docs = owned(leaf, tmp_path)
    for _ in range(2):
        second(leaf, tmp_path)
        (tmp_path / "docs" / "leaf-collection.json").touch()  # adopt takes collections without one
    docs.index([Document("new", "topic7 more")])
    assert list_collections(path=tmp_path) == ["docs"]
    assert docs.count() == 51
    docs.close()
    assert len(CollectionPairs("docs", path=tmp_path)) == 51


def test_two_objects_see_each_others_writes_and_either_may_close_first(leaf: Any, tmp_path: Path) -> None:
    first = owned(leaf, tmp_path)
    second = LeafCollection.open("docs", leaf, path=tmp_path / "." / "")
    second.index([Document("new", "topic7 more")])
    assert first.count() == second.count() == 51
    first.close()
    first.close()
    with pytest.raises(CollectionError, match="closed"):
        first.count()
    second.index([Document("newer", "topic8 more")])
    assert second.search("topic8 more")[0].id == "newer"
    with start(tmp_path) as refused:
        _, said = refused.communicate(timeout=60)
    assert "is open already, in process " in said
    second.close()
    with start(tmp_path) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "open\n"
        owner.kill()


def test_one_that_is_forgotten_does_not_keep_another_ones_place(leaf: Any, tmp_path: Path) -> None:
    forgotten, kept = owned(leaf, tmp_path), LeafCollection.open("docs", leaf, path=tmp_path)
    del forgotten
    kept.close()
    lock_shard(tmp_path / "docs" / "shard").release()


def test_a_directory_that_takes_the_place_of_another_is_another(leaf: Any, tmp_path: Path) -> None:
    old = owned(leaf, tmp_path)
    (tmp_path / "docs").rename(tmp_path / "aside")
    with LeafCollection.create("docs", leaf, path=tmp_path) as new:
        assert (old.count(), new.count()) == (50, 0)
    old.close()


def test_threads_open_and_close_one_shard(leaf: Any, tmp_path: Path) -> None:
    owned(leaf, tmp_path).close()

    def write(n: int) -> int:
        with LeafCollection.open("docs", leaf, path=tmp_path) as docs:
            docs.index([Document(f"of {n}", f"topic{n}")], optimize="later")
            return len(docs.get([f"of {n}"]))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(24))) == 24
    with LeafCollection.open("docs", leaf, path=tmp_path) as docs:
        assert docs.count() == 74


def test_what_reads_no_points_asks_for_no_lock(leaf: Any, tmp_path: Path) -> None:
    with owned(leaf, tmp_path) as docs:
        assert read_metadata("docs", path=tmp_path).space == leaf.space
        assert CollectionPairs("docs", path=tmp_path).space == leaf.space
        docs.index([Document("new", "topic7 more")])


def test_two_processes_and_a_kill(leaf: Any, tmp_path: Path) -> None:
    with owned(leaf, tmp_path) as docs:
        with start(tmp_path) as refused:
            _, said = refused.communicate(timeout=60)
        assert refused.returncode
        assert "is open already, in process " in said
        assert "in this process" not in said
        docs.index([Document("new", "topic7 more")])
    with start(tmp_path) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "open\n"
        with pytest.raises(CollectionError, match=f"in process {owner.pid} on "):
            LeafCollection.open("docs", leaf, path=tmp_path)
        owner.kill()
        owner.wait()
        with LeafCollection.open("docs", leaf, path=tmp_path) as docs:
            docs.index([Document("newer", "topic8 more")])
            assert docs.count() == 52


def test_another_thread_may_close(leaf: Any, tmp_path: Path) -> None:
    docs = owned(leaf, tmp_path)
    closing = threading.Thread(target=docs.close)
    closing.start()
    closing.join()
    LeafCollection.open("docs", leaf, path=tmp_path).close()


def test_one_that_is_forgotten_is_let_go(leaf: Any, tmp_path: Path) -> None:
    docs = owned(leaf, tmp_path)
    del docs
    assert len(CollectionPairs("docs", path=tmp_path)) == 50


def test_one_that_holds_no_lock_of_ours_is_not_named(leaf: Any, tmp_path: Path) -> None:
    owned(leaf, tmp_path).close()
    shard = qdrant_edge.EdgeShard.load(str(tmp_path / "docs" / "shard"))
    with pytest.raises(CollectionError, match="is open already, in another process or earlier in this one"):
        LeafCollection.open("docs", leaf, path=tmp_path)
    shard.close()
    (tmp_path / "docs" / "shard" / ".leaf-embed.holder").unlink()
    lock = lock_shard(tmp_path / "docs" / "shard")
    (tmp_path / "docs" / "shard" / ".leaf-embed.holder").unlink()
    with pytest.raises(CollectionError, match="is open already, in another process or earlier in this one"):
        lock_shard(tmp_path / "docs" / "shard")
    lock.release()


def test_a_shard_that_does_not_open_stays_unlocked(leaf: Any, tmp_path: Path) -> None:
    owned(leaf, tmp_path).close()
    config = tmp_path / "docs" / "shard" / "edge_config.json"
    whole = config.read_bytes()
    config.write_text('{"vectors": {"full": {"size": 64, "distance": "Cosine"}}, "wal_options": 1}')
    for _ in range(2):
        with pytest.raises(CollectionError, match="failed"):
            len(CollectionPairs("docs", path=tmp_path))
    config.write_bytes(whole)
    assert len(CollectionPairs("docs", path=tmp_path)) == 50


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    lock_shard(tmp_path / "none").release()
    assert list(tmp_path.rglob("*")) == []
    assert not (tmp_path / "none").exists()


def test_an_unusable_lock_is_a_clear_error(leaf: Any, tmp_path: Path) -> None:
    owned(leaf, tmp_path).close()
    lock = tmp_path / "docs" / "shard" / ".leaf-embed.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    with pytest.raises(CollectionError, match=r"locking .*shard failed"):
        LeafCollection.open("docs", leaf, path=tmp_path)


def test_a_child_that_outlives_its_parent_keeps_the_lock(leaf: Any, tmp_path: Path) -> None:
    """The parent is killed while its child optimizes; here the child waits for a file instead of building a graph."""
    owned(leaf, tmp_path).close()
    parent = """
import sys
from leaf_embed.qdrant import LeafCollection
from leaf_embed.qdrant.backends import edge_points
from tests.qdrant.conftest import WordEncoder
wait = "; import os, time; print('lent', file=open(sys.argv[1] + '/../begun', 'w'), flush=True)\\n"
wait += "while not os.path.exists(sys.argv[1] + '/../go'): time.sleep(0.01)\\n"
head, tail = edge_points.OPTIMIZE.split("s.optimize()")
edge_points.OPTIMIZE = head.rstrip("; ") + wait + "s.optimize()" + tail
LeafCollection.open("docs", WordEncoder(), path=sys.argv[1]).optimize(child=True)
"""
    killed = subprocess.Popen([sys.executable, "-c", parent, str(tmp_path)], cwd=ROOT)
    begun = tmp_path / "docs" / "begun"
    wait_for(begun.is_file)
    killed.kill()
    killed.wait()
    try:
        with pytest.raises(CollectionError, match=rf"a child process that optimizes it for process {killed.pid}"):
            LeafCollection.open("docs", leaf, path=tmp_path)
        assert list_collections(path=tmp_path) == ["docs"]
    finally:
        (tmp_path / "docs" / "go").touch()

    def opened() -> bool:
        try:
            with LeafCollection.open("docs", leaf, path=tmp_path) as docs:
                assert docs.count() == 50
                docs.index([Document("later", "topic1")])
        except CollectionError:
            return False
        return True

    wait_for(opened)


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)
