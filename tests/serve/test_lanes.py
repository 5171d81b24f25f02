"""Two lanes: short queries never wait for documents or large requests, and nobody's work crowds out another's."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

pytest.importorskip("starlette", reason="pip install starlette uvicorn")

import leaf_embed
from leaf_embed import LeafEncoder
from leaf_embed.encoders.static import TABLE_KEY
from leaf_embed.export.onnx import write_tokenizer_files
from leaf_embed.format import read_leaf, write_leaf
from leaf_embed.leaf_record import LeafRecord
from leaf_embed.serve.batcher import Batcher
from leaf_embed.serve.lanes import Job, Lane, OverloadError, Room, estimate_tokens
from leaf_embed.space import Role
from leaf_embed.vectors import FloatArray
from tests.integrations.encoders import LetterEncoder
from tests.serve.helpers import SlowEncoder, counted, get, post, raw, serving, wait_until_ready


def job(texts: int, size: int = 10, role: Role = "document") -> Job:
    """A job whose texts are numbered."""
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    return Job([f"{i}" for i in range(texts)], role, [size] * texts, answer)


def lane(texts: int = 1000, tokens: int = 10_000, batch: Room | None = None) -> Lane:
    return Lane("bulk", Room(texts, tokens), batch or Room(4, 1000))


def taken(line: Lane) -> list[tuple[Job, int, int]]:
    pieces = line.take()
    for piece in pieces:
        line.release(piece)
    return [(piece.job, piece.start, piece.stop) for piece in pieces]


def test_large_jobs_take_turns() -> None:
    async def main() -> None:
        line, large, other, small = lane(), job(10), job(6), job(1)
        for one in (large, other, small):
            line.put(one)
        assert taken(line) == [(large, 0, 4)]
        assert taken(line) == [(other, 0, 4)]
        assert taken(line) == [(small, 0, 1), (large, 4, 7)]
        assert taken(line) == [(other, 4, 6), (large, 7, 9)]
        assert taken(line) == [(large, 9, 10)]
        assert (taken(line), line.texts, line.tokens, line.empty) == ([], 0, 0, True)

    asyncio.run(main())


def test_batches_are_bounded_by_tokens() -> None:
    async def main() -> None:
        line = lane(batch=Room(100, 25))
        line.put(job(3, size=10))
        line.put(job(1, size=500))
        assert [(start, stop) for _, start, stop in taken(line)] == [(0, 2), (0, 1)]
        assert [(start, stop) for _, start, stop in taken(line)] == [(2, 3)]

    asyncio.run(main())


def test_admission_counts_tokens() -> None:
    async def main() -> None:
        line = lane(texts=100, tokens=100)
        line.put(job(20, size=100))  # larger than the room, but nothing waits
        with pytest.raises(OverloadError):
            line.put(job(1))
        while taken(line):
            pass
        line.put(job(5, size=16))
        with pytest.raises(OverloadError):
            line.put(job(3))
        line.put(job(2))

    asyncio.run(main())


def test_jobs_of_clients_that_are_gone_are_dropped() -> None:
    async def main() -> None:
        line, gone, half, stays = lane(), job(3), job(9), job(2)
        for one in (half, gone, stays):
            line.put(one)
        assert taken(line) == [(half, 0, 4)]
        gone.answer.cancel()
        half.answer.cancel()
        assert taken(line) == [(stays, 0, 2)]
        assert (line.dropped, line.texts, line.tokens, line.empty) == (8, 0, 0, True)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("", 256, 2),
        ("a" * 400, 256, 102),
        ("a" * 10**6, 256, 256 + 1953),
        ("日本語日本語", None, 5),
        ("a" * 10**6, None, 8192 + 1953),
    ],
)
def test_tokens_are_estimated_without_a_tokenizer(text: str, limit: int | None, expected: int) -> None:
    assert estimate_tokens(text, limit) == expected


def test_a_divided_job_comes_back_whole_and_in_order() -> None:
    async def main() -> None:
        batcher = Batcher(LeafEncoder(LetterEncoder(), LetterEncoder()), batch_texts=7)
        worker = asyncio.create_task(batcher.run())
        texts = ["abcdef"[i % 6] * (i % 50) for i in range(300)]
        jobs = [batcher.encode(texts[:n], role) for n in (300, 1, 40) for role in ("query", "document")]
        for made in await asyncio.gather(*jobs):
            np.testing.assert_allclose(made.rows, LetterEncoder().encode_query(texts[: len(made.rows)]))
        batcher.close()
        await worker

    asyncio.run(main())


def test_documents_and_large_requests_do_not_hold_up_a_question() -> None:
    """The document encoder never returns while questions are asked; so does a request of 2,000 queries."""
    teacher, leaf = SlowEncoder(), SlowEncoder()
    leaf.go.set()
    with serving(LeafEncoder(leaf, teacher)) as address, ThreadPoolExecutor(8) as pool:
        bulk = [pool.submit(post, address, {"input": ["cab"] * 500, "input_type": "document"}) for _ in range(3)]
        bulk.append(pool.submit(post, address, {"input": ["a question of average length"] * 2000}))
        while not teacher.batches:
            time.sleep(0.01)
        assert all(post(address, {"input": "abba"})[0] == 200 for _ in range(5))
        assert not any(one.done() for one in bulk)
        teacher.go.set()
        assert [one.result()[0] for one in bulk] == [200] * 4
    assert max(texts for _, texts in teacher.batches + leaf.batches) <= 256
    expected = LetterEncoder().encode_document("cab")
    np.testing.assert_allclose(bulk[0].result()[1]["data"][499]["embedding"], expected, atol=1e-6)


class Alone(LetterEncoder):
    """Notices if two threads encode at once."""

    def __init__(self, *, threadsafe: bool = False) -> None:
        super().__init__()
        self.threadsafe = threadsafe
        self.inside = self.most = 0

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.02)
        self.inside -= 1
        return super()._encode(texts, role)


@pytest.mark.parametrize(("threadsafe", "most"), [(False, 1), (True, 2)])
def test_an_encoder_that_is_not_made_for_threads_is_called_by_one_at_a_time(threadsafe: bool, most: int) -> None:
    async def main() -> None:
        encoder = Alone(threadsafe=threadsafe)
        batcher = Batcher(LeafEncoder(encoder, encoder), batch_texts=2)
        worker = asyncio.create_task(batcher.run())
        documents = asyncio.ensure_future(batcher.encode(["cab"] * 20, "document"))
        for _ in range(5):
            await batcher.encode(["abba"], "query")
        await documents
        assert encoder.most == most
        batcher.close()
        await worker

    asyncio.run(main())


def test_long_texts_fill_the_room_by_their_tokens() -> None:
    teacher = SlowEncoder()
    with serving(LeafEncoder(LetterEncoder(), teacher), max_waiting_tokens=10_000) as address:
        with ThreadPoolExecutor(8) as pool:
            long = {"input": ["a" * 4000] * 4, "input_type": "document"}  # 1,009 tokens each
            asked = [pool.submit(post, address, long) for _ in range(6)]
            while sum(one.done() for one in asked) < 4:
                time.sleep(0.01)
            assert 'leaf_embed_waiting_tokens{lane="bulk"} 8072.0' in get(f"{address}/metrics")
            assert post(address, {"input": "abba"})[0] == 200  # the other lane has room
            teacher.go.set()
        answers = [one.result() for one in asked]
        assert sorted(status for status, _, _ in answers) == [200, 200, 503, 503, 503, 503]
        refused = [answer for answer in answers if answer[0] == 503]
        assert all(answer["error"]["type"] == "overloaded_error" for _, answer, _ in refused)
        assert {headers["retry-after"] for _, _, headers in refused} == {"1"}
        assert counted(address, 503) == 4


def test_work_of_a_client_that_hung_up_is_not_done() -> None:
    teacher = SlowEncoder()
    with serving(LeafEncoder(LetterEncoder(), teacher)) as address:
        body = json.dumps({"input": ["cab"] * 100, "input_type": "document"}).encode()
        head = f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        raw(address, head + body, read=False)  # the first is being encoded when its client leaves
        while not teacher.batches:
            time.sleep(0.01)
        for _ in range(20):
            raw(address, head + body, read=False)
        while counted(address, 499) < 21:
            time.sleep(0.01)
        teacher.go.set()
        assert post(address, {"input": "cab", "input_type": "document"})[0] == 200
        assert teacher.batches == [("document", 100), ("document", 1)]
        assert "leaf_embed_dropped_texts 2000.0" in get(f"{address}/metrics")
        assert "leaf_embed_waiting_texts 0.0" in get(f"{address}/metrics")


def test_cut_texts_are_reported(leaf_path: Path, teacher_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "leaf_embed")
    limit = leaf_embed.load(leaf_path).space.max_tokens
    assert limit is not None
    fits, long = "red " * (limit - 2), "red " * (limit - 1)  # two special tokens are read with it
    with serving(leaf_embed.load(leaf_path, document=str(teacher_path))) as address:
        wait_until_ready(address)
        for role in ("query", "document"):
            assert "x-cut-texts" not in post(address, {"input": [fits, "red"], "input_type": role})[2]
            status, answer, headers = post(address, {"input": [long, fits, long * 9], "input_type": role})
            assert (status, headers["x-cut-texts"]) == (200, "2")
            assert answer["usage"]["total_tokens"] == 3 * limit
        assert "leaf_embed_cut_texts_total 4.0" in get(f"{address}/metrics")
    assert "cut=2" in caplog.text


@pytest.mark.parametrize("teachers", [None, 64], ids=["teacher's limit unknown", "teacher reads more"])
@pytest.mark.parametrize("kind", ["transformer", "static"])
def test_what_a_leaf_cuts_before_its_teacher_is_reported(
    leaf_path: Path, tmp_path: Path, kind: Any, teachers: int | None
) -> None:
    info = read_leaf(leaf_path)
    space = replace(info.space, max_tokens=teachers)
    copy = Path(shutil.copytree(leaf_path, tmp_path / "leaf"))
    if kind == "static":
        words = len(json.loads((copy / "tokenizer.json").read_text())["model"]["vocab"])
        save_file({TABLE_KEY: np.eye(words, space.dim, dtype=np.float32) + 1}, copy / "model.safetensors")
    short = replace(info, space=replace(space, canaries=None), max_tokens=9, kind=kind, record=LeafRecord())
    write_leaf(copy, short)
    write_tokenizer_files(copy, 9)
    fits, long = "red " * 7, "red " * 10
    with serving(leaf_embed.load(copy)) as address:
        assert "x-cut-texts" not in post(address, {"input": [fits, "red"]})[2]
        assert post(address, {"input": [long, fits, long * 9]})[2]["x-cut-texts"] == "2"
        assert "x-cut-texts" not in post(address, {"input": fits})[2]


def test_queue_and_encode_times_are_measured() -> None:
    encoder = SlowEncoder()
    with serving(encoder) as address, ThreadPoolExecutor(2) as pool:
        first = pool.submit(post, address, {"input": "a"})
        while not encoder.batches:
            time.sleep(0.01)
        second = pool.submit(post, address, {"input": "b"})
        time.sleep(0.2)
        encoder.go.set()
        assert (first.result()[0], second.result()[0]) == (200, 200)
        page = dict(line.rsplit(" ", 1) for line in get(f"{address}/metrics").splitlines() if line[0] != "#")
    assert page["leaf_embed_queue_seconds_count"] == page["leaf_embed_encode_seconds_count"] == "2.0"
    assert 0.1 < float(page["leaf_embed_queue_seconds_sum"]) < 5
    assert float(page["leaf_embed_encode_seconds_sum"]) > 0.15
