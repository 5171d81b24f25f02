"""The files of a cache: a shard exists when both of its files do, and a killed writer leaves nothing behind."""

import os

import numpy as np
import pytest

from leaf_embed.errors import CacheError
from leaf_embed.teacher.keys import content_key
from leaf_embed.teacher.shards import Shards
from leaf_embed.texts import Text


def written(path, words, first=0):
    """Writes one shard whose vectors count from ``first``."""
    shards = Shards(path, 2, "float32")
    rows = np.arange(first, first + 2 * len(words), dtype=np.float32).reshape(-1, 2)
    known = [key for keys in shards.map_new() for key in keys]
    shards.write([content_key("", word) for word in words], [Text(word) for word in words], rows)
    return known


def test_each_process_maps_what_others_wrote(tmp_path):
    reader = Shards(tmp_path, 2, "float32")
    assert written(tmp_path, ["a", "b"]) == []
    assert list(reader.map_new()) == [[content_key("", "a"), content_key("", "b")]]
    assert written(tmp_path, ["c"], first=4) == [content_key("", "a"), content_key("", "b")]
    assert list(reader.map_new()) == [[content_key("", "c")]]
    assert len(reader) == 3
    rows = np.array([2, 0, 2])
    assert [text.text for text in reader.texts(rows)] == ["c", "a", "c"]
    assert reader.vectors(rows).tolist() == [[4, 5], [0, 1], [4, 5]]
    assert list(reader.map_new()) == []


def test_rows_of_many_shards_come_in_the_order_asked_for(tmp_path):
    for shard in range(5):
        written(tmp_path, [f"{shard} {place}" for place in range(3)], first=6 * shard)
    shards = Shards(tmp_path, 2, "float32")
    for _ in shards.map_new():
        assert shards.vectors(np.array([0])).tolist() == [[0, 1]]  # also while more shards are mapped
    rows = np.random.default_rng(0).integers(0, 15, 100)
    assert shards.vectors(rows).tolist() == [[2 * row, 2 * row + 1] for row in rows]
    assert [text.text for text in shards.texts(rows)] == [f"{row // 3} {row % 3}" for row in rows]
    assert shards.vectors(rows[:0]).shape == (0, 2)


def test_vectors_without_their_table_are_written_again(tmp_path):
    """A writer that is killed between its two files leaves an array, which the next shard replaces."""
    (tmp_path / "shards").mkdir()
    np.save(tmp_path / "shards" / "000000.npy", np.ones((7, 2), np.float32))
    (tmp_path / "shards" / ".000000.parquet.1.tmp").write_bytes(b"half")
    shards = Shards(tmp_path, 2, "float32")
    assert list(shards.map_new()) == []
    with shards.lock():
        with (
            pytest.raises(CacheError, match=rf"\(process {os.getpid()} on .*\); wait"),
            Shards(tmp_path, 2, "float32").lock(),
        ):
            pass
        shards.recover()
    assert sorted(file.name for file in (tmp_path / "shards").iterdir()) == ["000000.npy"]
    written(tmp_path, ["a"])
    list(shards.map_new())
    assert shards.vectors(np.array([0])).tolist() == [[0, 1]]
