"""Token ids in the place of texts: read by a vocabulary that is loaded at start, and never in a request."""

from __future__ import annotations

import asyncio
import base64
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="pip install starlette uvicorn")
pytest.importorskip("tiktoken", reason="pip install tiktoken")

import tiktoken

from leaf_embed.errors import InputError
from leaf_embed.serve import ServeConfig, create_app, tokens
from tests.integrations.encoders import LetterEncoder
from tests.serve.helpers import post, serving


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OpenAI's format without its download: every byte is a token."""
    path = tmp_path_factory.mktemp("vocabulary") / "bytes.tiktoken"
    lines = [base64.b64encode(bytes([byte])) + f" {byte}\n".encode() for byte in range(256)]
    path.write_bytes(b"".join(lines))
    return path


@pytest.fixture(scope="module")
def address(vocabulary: Path) -> Iterator[str]:
    with serving(LetterEncoder(), vocabulary=str(vocabulary)) as found:
        yield found


@pytest.fixture
def bytes_as_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for the client: LangChain's embeddings ask tiktoken by this name."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    made = tiktoken.Encoding("cl100k_base", pat_str=r"\w+|\W+", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setitem(tiktoken.registry.ENCODINGS, "cl100k_base", made)


@pytest.mark.parametrize("model", ["text-embedding-3-small", "leaf"])
def test_langchains_openai_embeddings_as_they_are(address: str, bytes_as_tokens: None, model: str) -> None:
    """They send token ids, with the name of a model that tiktoken may not know."""
    langchain = pytest.importorskip("langchain_openai", reason="pip install langchain-openai")
    embeddings = langchain.OpenAIEmbeddings(model=model, base_url=f"{address}/v1", api_key="any")
    texts = ["abba", "cab é日本"]
    expected = LetterEncoder().encode_query(texts)
    np.testing.assert_allclose(embeddings.embed_documents(texts), expected, atol=1e-6)
    np.testing.assert_allclose(embeddings.embed_query("abba"), expected[0], atol=1e-6)
    np.testing.assert_allclose(asyncio.run(embeddings.aembed_query("abba")), expected[0], atol=1e-6)


@pytest.mark.parametrize("bad", [999_999, -1, 2**70])
def test_numbers_that_are_no_tokens(address: str, bad: int) -> None:
    assert post(address, {"input": [97, 98]})[1]["data"] == post(address, {"input": "ab"})[1]["data"]
    code, answer, _ = post(address, {"input": [[97], [bad]]})
    assert code == 400
    assert "input 1 holds an id that is no token of cl100k_base" in answer["error"]["message"]


def test_half_a_character_in_tokens(address: str) -> None:
    """0xF0 0x9F begins an emoji; 0xED 0xA0 0xBD is half of a pair."""
    for row in ([97, 0xF0, 0x9F], [97, 0xED, 0xA0, 0xBD]):
        status, answer, _ = post(address, {"input": row})
        assert status == 200
        np.testing.assert_allclose(answer["data"][0]["embedding"], LetterEncoder().encode_query("a"), atol=1e-6)


@pytest.mark.parametrize("rows", [[97, 98], [[97], [98, 99]]])
def test_without_a_vocabulary_they_are_refused(rows: Any) -> None:
    with serving(LetterEncoder(), vocabulary="none") as address:
        code, answer, _ = post(address, {"input": rows, "model": "leaf"})
        assert code == 400
        assert "set check_embedding_ctx_length=False" in answer["error"]["message"]
        assert "--vocabulary FILE" in answer["error"]["message"]


def test_without_tiktoken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with serving(LetterEncoder(), vocabulary="download") as address:
        code, answer, _ = wait_for_400(address)
        assert code == 400
        assert "pip install 'leaf-embed[serve]'" in answer["error"]["message"]


def wait_for_400(address: str) -> tuple[int, Any, dict[str, str]]:
    for _ in range(100):
        answer = post(address, {"input": [97, 98]})
        if answer[0] != 503:
            break
        time.sleep(0.02)
    return answer


def test_a_download_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where outgoing traffic hangs: 32 requests with token ids, and texts beside them."""
    release, calls = threading.Event(), []

    def hang(name: str) -> None:
        calls.append(name)
        release.wait(30)
        raise ConnectionError("given up")

    monkeypatch.setattr(tiktoken, "get_encoding", hang)
    monkeypatch.setattr(tokens, "SECONDS", 0.5)
    with serving(LetterEncoder(), vocabulary="download") as address, ThreadPoolExecutor(40) as pool:
        began = time.perf_counter()
        early = [pool.submit(post, address, {"input": [97, 98]}) for _ in range(32)]
        texts = [pool.submit(post, address, {"input": "ab"}) for _ in range(32)]
        assert {text.result()[0] for text in texts} == {200}
        assert {(one.result()[0], one.result()[2].get("retry-after")) for one in early} <= {(503, "1"), (400, None)}
        time.sleep(max(0.0, 0.6 - (time.perf_counter() - began)))
        status, answer, _ = post(address, {"input": [97, 98]})
        assert status == 400
        assert "could not be fetched" in answer["error"]["message"]
        assert calls == ["cl100k_base"]
        release.set()


def test_a_download_serves_as_soon_as_it_is_there(bytes_as_tokens: None) -> None:
    with serving(LetterEncoder(), vocabulary="download") as address:
        status, answer, _ = wait_for_400(address)
        assert status == 200
        np.testing.assert_allclose(answer["data"][0]["embedding"], LetterEncoder().encode_query("ab"), atol=1e-6)


@pytest.mark.parametrize("content", [b"no vocabulary", b"YQ== one\n", None])
def test_a_file_that_is_no_vocabulary(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "cl100k_base.tiktoken"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="no vocabulary in tiktoken's format"):
        create_app(LetterEncoder(), ServeConfig(vocabulary=str(path)))
