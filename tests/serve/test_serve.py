"""A real server on loopback, asked by OpenAI's own client, by plain HTTP, and by more clients than it has room for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="pip install starlette uvicorn")


import leaf_embed
from leaf_embed import LeafEncoder
from leaf_embed.errors import InputError
from leaf_embed.serve import ServeConfig
from leaf_embed.serve.batcher import Batcher, OverloadError
from leaf_embed.space import Role
from leaf_embed.vectors import truncate
from tests.integrations.encoders import LetterEncoder
from tests.serve.helpers import SlowEncoder, get, post, serving, wait_until_ready


@pytest.fixture(scope="module")
def pair() -> LeafEncoder:
    return LeafEncoder(LetterEncoder(), LetterEncoder())


@pytest.fixture(scope="module")
def address(pair: LeafEncoder) -> Iterator[str]:
    with serving(pair, max_texts=4, max_bytes=2000) as found:
        yield found


def test_openais_own_client(address: str) -> None:
    openai = pytest.importorskip("openai", reason="pip install openai")
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="any")
    answer = client.embeddings.create(model="leaf", input=["abba", "cab"])  # asks for base64 by itself
    expected = LetterEncoder().encode_query(["abba", "cab"])
    np.testing.assert_allclose([item.embedding for item in answer.data], expected)
    assert [item.index for item in answer.data] == [0, 1]
    document = client.embeddings.create(
        model="leaf", input="abba", dimensions=3, encoding_format="float", extra_body={"input_type": "document"}
    )
    assert document.data[0].embedding == pytest.approx(truncate(expected[0], 3).tolist())
    assert document.model == "leaf"
    with pytest.raises(openai.BadRequestError, match="dimensions must be a whole number from 1 to 6"):
        client.embeddings.create(model="leaf", input="abba", dimensions=7)


def test_langchains_openai_embeddings_may_send_texts_and_a_role() -> None:
    langchain = pytest.importorskip("langchain_openai", reason="pip install langchain-openai")
    leaf, teacher = LetterEncoder(), LetterEncoder()
    with serving(LeafEncoder(leaf, teacher)) as address:
        plain: dict[str, Any] = {"model": "leaf", "base_url": f"{address}/v1", "api_key": "any"}
        plain["check_embedding_ctx_length"] = False
        queries = langchain.OpenAIEmbeddings(**plain)
        documents = langchain.OpenAIEmbeddings(**plain, model_kwargs={"extra_body": {"input_type": "document"}})
        assert queries.embed_query("abba") == pytest.approx(LetterEncoder().encode_query("abba"))
        assert documents.embed_documents(["cab"])[0] == pytest.approx(LetterEncoder().encode_document("cab"))
    assert (leaf.roles, teacher.roles) == (["query"], ["document"])


def test_usage_counts_what_the_encoder_reads(leaf_path: Path, teacher_path: Path) -> None:
    """One letter and one known word are a token each, and the encoder puts two special tokens around."""
    texts = ["red stone", "the river is cold x", ""]
    with serving(leaf_embed.load(leaf_path, document=str(teacher_path))) as address:
        wait_until_ready(address)
        usage = [post(address, {"input": text})[1]["usage"]["prompt_tokens"] for text in texts]
        assert usage == [4, 7, 2]
        for role in ("query", "document"):
            together = post(address, {"input": texts, "input_type": role})[1]["usage"]
            assert together == {"prompt_tokens": 13, "total_tokens": 13}
        long = post(address, {"input": "red " * 500})[1]["usage"]["total_tokens"]
        assert long == leaf_embed.load(leaf_path).space.max_tokens  # what is cut off is not counted
    with serving(LetterEncoder()) as address:  # no vocabulary to check against
        assert post(address, {"input": "a"})[1]["usage"] == {"prompt_tokens": 0, "total_tokens": 0}


def test_roles_go_to_their_encoders() -> None:
    leaf, teacher = LetterEncoder(), LetterEncoder()
    with serving(LeafEncoder(leaf, teacher)) as address:
        assert post(address, {"input": "a"})[0] == post(address, {"input": "a", "input_type": "document"})[0] == 200
    assert (leaf.roles, teacher.roles) == (["query"], ["document"])
    with serving(LeafEncoder(leaf, teacher), input_type="document") as address:
        post(address, {"input": "a"})
    assert teacher.roles == ["document", "document"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "no JSON"),
        ([], 400, "must be a JSON object"),
        ({}, 400, "input must be a text"),
        ({"input": []}, 400, "input must be a text"),
        ({"input": ["a", [1, 2]]}, 400, "texts alone, or lists of token ids alone"),
        ({"input": [[1, 2], []]}, 400, "texts alone, or lists of token ids alone"),
        ({"input": [1, True]}, 400, "texts alone, or lists of token ids alone"),
        ({"input": ["a"] * 5}, 400, "up to 4 in a request"),
        ({"input": "a", "input_type": "passage"}, 400, "input_type must be"),
        ({"input": "a", "encoding_format": "hex"}, 400, "encoding_format must be"),
        ({"input": "a", "dimensions": True}, 400, "dimensions must be"),
        ({"input": "a" * 3000}, 413, "larger than 2000 bytes"),
    ],
)
def test_what_cannot_be_answered(address: str, body: Any, status: int, message: str) -> None:
    code, answer, _ = post(address, body)
    assert code == status
    assert message in answer["error"]["message"]


def test_documents_without_a_teacher_are_refused() -> None:
    with serving(LeafEncoder(LetterEncoder())) as address:
        code, answer, _ = post(address, {"input": "a", "input_type": "document"})
        assert code == 400
        assert "loaded for queries only" in answer["error"]["message"]
        assert post(address, {"input": "a"})[0] == 200


def test_health_and_metrics(pair: LeafEncoder) -> None:
    with serving(pair) as address:
        assert json.loads(get(f"{address}/health"))["fingerprint"] == pair.space.fingerprint
        post(address, {"input": ["a", "b"]})
        post(address, {})
        page = get(f"{address}/metrics").splitlines()
        with urllib.request.urlopen(f"{address}/metrics", timeout=20) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for line in (
        'leaf_embed_requests_total{status="200"} 1.0',
        'leaf_embed_requests_total{status="400"} 1.0',
        'leaf_embed_texts_total{input_type="query"} 2.0',
        "leaf_embed_waiting_texts 0.0",
        'leaf_embed_request_seconds_bucket{le="+Inf"} 1.0',
        "leaf_embed_request_seconds_count 1.0",
    ):
        assert line in page


def test_two_apps_count_apart(pair: LeafEncoder) -> None:
    with serving(pair) as first, serving(pair) as second:
        post(first, {"input": "a"})
        assert "leaf_embed_request_seconds_count 1.0" in get(f"{first}/metrics")
        assert "leaf_embed_request_seconds_count 0.0" in get(f"{second}/metrics")


def test_overload_is_answered_at_once_and_the_rest_is_encoded_together() -> None:
    encoder = SlowEncoder()
    with serving(encoder, max_waiting=8, retry_after=3) as address, ThreadPoolExecutor(32) as pool:
        first = pool.submit(post, address, {"input": "first"})
        while not encoder.batches:
            time.sleep(0.01)
        others = [pool.submit(post, address, {"input": f"text {i}"}) for i in range(20)]
        while sum(other.done() for other in others) < 13:  # those are refused while the encoder still works
            time.sleep(0.01)
        refused = [other.result() for other in others if other.done()]
        encoder.go.set()
        answers = [first.result(), *(other.result() for other in others)]
    assert {(status, headers.get("retry-after")) for status, _, headers in refused} == {(503, "3")}
    assert sorted(status for status, _, _ in answers) == [200] * 8 + [503] * 13
    assert encoder.batches == [("query", 1), ("query", 7)]


def test_what_waits_is_answered_when_the_server_stops() -> None:
    encoder = SlowEncoder()
    with ThreadPoolExecutor(1) as pool:
        with serving(encoder) as address:
            waiting = pool.submit(post, address, {"input": "last"})
            while not encoder.batches:
                time.sleep(0.01)
            threading.Timer(0.3, encoder.go.set).start()
        assert waiting.result()[0] == 200


def test_a_batch_holds_one_role_and_a_failure_stays_in_it() -> None:
    async def main() -> None:
        encoder = SlowEncoder()
        encoder.go.set()
        batcher = Batcher(LeafEncoder(encoder), max_waiting=4, batch_texts=2)
        asked: list[tuple[str, Role]] = [
            (["a"], "query"),
            (["b"], "document"),
            (["c"], "query"),
            (["d"], "query"),
        ]
        waiting = [asyncio.ensure_future(batcher.encode(*job)) for job in asked]
        gone = waiting[3]
        await asyncio.sleep(0)
        with pytest.raises(OverloadError):
            await batcher.encode(["e", "f"], "query")
        gone.cancel()
        worker = asyncio.create_task(batcher.run())
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(results[1], InputError)
        np.testing.assert_allclose(results[2].rows, LetterEncoder().encode_query(["c"]))  # type: ignore[union-attr]
        assert encoder.batches == [("query", 2)]
        assert batcher.waiting == 0
        batcher.close()
        await worker

    asyncio.run(main())


def test_limits_are_checked() -> None:
    with pytest.raises(InputError, match="at least 1"):
        ServeConfig(max_texts=0)


def test_the_command_serves_and_stops_on_a_signal(leaf_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = f"from leaf_embed.cli import main; main(['serve', '--leaf', {str(leaf_path)!r}, '--port', '{port}'])"
    environment = {**os.environ, "LEAF_EMBED_API_KEY": "k"}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(200):
            try:
                get(f"http://127.0.0.1:{port}/health")
                break
            except OSError:
                time.sleep(0.1)
        _, answer, _ = post(f"http://127.0.0.1:{port}", {"input": "red stone"}, Authorization="Bearer k")
        process.send_signal(signal.SIGTERM)
        message = process.communicate(timeout=20)[1]
    assert "serving" in message
    expected = leaf_embed.load(leaf_path).encode_query("red stone")
    assert answer["data"][0]["embedding"] == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_missing_extra_names_the_command() -> None:
    code = "import sys; sys.modules['starlette'] = None\nimport leaf_embed.serve"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'leaf-embed[serve]'" in result.stderr
