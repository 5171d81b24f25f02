"""Who may ask, by which names, from which origins, and what the pages tell whom."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="pip install starlette uvicorn")

from leaf_embed import EmbeddingSpace, LeafEncoder
from leaf_embed.errors import SpaceMismatchError
from leaf_embed.serve import ServeConfig, create_app
from leaf_embed.space import Role
from leaf_embed.vectors import FloatArray
from tests.integrations.encoders import LetterEncoder
from tests.serve.helpers import ask, get, post, serving

KEY = "s3cr\u00e9t"


class Elsewhere(LetterEncoder):
    """A teacher with a path of its own machine."""

    @property
    def space(self) -> EmbeddingSpace:
        return EmbeddingSpace("/home/somebody/models/letters-large", 6)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(LeafEncoder(Elsewhere()), api_key=KEY, name="my-leaf") as found:
        yield found


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"Bearer {KEY}", 200),
        (f"bearer {KEY}", 200),
        (f"BEARER   {KEY} ", 200),
        ("Bearer secret", 401),
        (f"Bearer {KEY.upper()}", 401),
        (f"Bearer {KEY}{KEY}", 401),
        ("Bearer ", 401),
        ("Bearer", 401),
        (KEY, 401),
        (f"Basic {KEY}", 401),
        (f"Bearer{KEY}", 401),
        ("", 401),
    ],
)
def test_the_key_is_read_as_the_rfc_says(address: str, header: str, expected: int) -> None:
    given = {"Authorization": header.encode().decode("latin-1")}
    for url, data in ((f"{address}/v1/embeddings", b'{"input": "a"}'), (f"{address}/v1/models", None)):
        status, answer, headers = ask(url, data, given)
        assert status == expected
        if expected == 401:
            assert headers["www-authenticate"].startswith("Bearer")
            assert answer["error"]["code"] == "invalid_api_key"


def test_pages_without_the_key_name_nothing(address: str) -> None:
    for path in ("/health", "/livez", "/readyz", "/metrics"):
        page = get(address + path)
        assert not any(word in page for word in ("letters", "somebody", "my-leaf", KEY))
    known = ask(f"{address}/health", None, {"Authorization": f"Bearer {KEY}".encode().decode("latin-1")})[1]
    assert (known["model"], known["teacher"], known["dim"]) == ("my-leaf", "letters-large", 6)
    assert KEY not in repr(ServeConfig(api_key=KEY))


def test_models_by_openais_own_client(address: str) -> None:
    openai = pytest.importorskip("openai", reason="pip install openai")
    with serving(LetterEncoder(), name="my-leaf", aliases=("team/leaf",)) as open_to_all:
        client = openai.OpenAI(base_url=f"{open_to_all}/v1", api_key="any", max_retries=0)
        assert [model.id for model in client.models.list()] == ["my-leaf"]
        assert client.models.retrieve("my-leaf").id == client.models.retrieve("team/leaf").id == "my-leaf"
        for name in ("my-leaf", "team/leaf"):
            assert client.embeddings.create(model=name, input="a").model == "my-leaf"
        with pytest.raises(openai.NotFoundError) as unknown:
            client.embeddings.create(model="text-embedding-3-small", input="a")
        assert unknown.value.code == "model_not_found"
        assert "'my-leaf'" in str(unknown.value)
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("another")
    with serving(LetterEncoder()) as common:  # names that clients send by themselves
        for name in ("", None, "leaf", "text-embedding-3-small", "text-embedding-ada-002"):
            assert post(common, {"input": "a", "model": name})[1]["model"] == "leaf"
        assert post(common, {"input": "a", "model": "bge-m3"})[0] == 404
        assert post(common, {"input": "a", "model": ["leaf"]})[0] == 400


def test_an_origin_is_allowed_by_option() -> None:
    asking = {"Origin": "http://localhost:5173", "Access-Control-Request-Method": "POST"}
    asking["Access-Control-Request-Headers"] = "authorization,content-type,x-stainless-timeout"
    with serving(LetterEncoder(), api_key=KEY, allow_origins=("http://localhost:5173",)) as address:
        import httpx

        url = f"{address}/v1/embeddings"
        assert httpx.options(url, headers=asking).headers["access-control-allow-origin"] == "http://localhost:5173"
        refused = httpx.post(url, json={"input": "a"}, headers={"Origin": "http://localhost:5173"})
        assert refused.status_code == 401  # the page may read why
        assert refused.headers["access-control-allow-origin"] == "http://localhost:5173"
        assert "access-control-allow-origin" not in httpx.options(url, headers={**asking, "Origin": "http://b"}).headers
    with serving(LetterEncoder()) as address:
        assert httpx.options(f"{address}/v1/embeddings", headers=asking).status_code == 405


def test_request_ids_and_the_access_log(address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "leaf_embed")
    with serving(LetterEncoder()) as address:
        _, _, headers = post(address, {"input": "a text of mine"}, **{"X-Request-Id": "trace-7"})
        assert headers["x-request-id"] == "trace-7"
        bad = post(address, {"input": []}, **{"X-Request-Id": "two words\t"})[2]["x-request-id"]
        assert len(bad) == 32
        ask(f"{address}/v1/embeddings?key=hidden", b"{}")
        ask(f"{address}/private/path")
    lines = [record.getMessage() for record in caplog.records if record.name == "leaf_embed.serve.access"]
    assert lines[0].startswith("trace-7 POST /v1/embeddings 200 ")
    assert "role=query texts=1 tokens=0 cut=0 queue_ms=" in lines[0]
    assert lines[1].startswith(f"{bad} POST /v1/embeddings 400 ")
    assert " GET other 404 " in lines[3]
    assert not any(word in "".join(lines) for word in ("mine", "hidden", "private"))


class OtherModel(LetterEncoder):
    """Declares the space of letters, and writes something else."""

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        rows: FloatArray = np.random.default_rng(len(texts)).normal(size=(len(texts), 6)).astype(np.float32)
        return rows


def test_a_leaf_that_an_index_refuses_is_not_served() -> None:
    from leaf_embed.canaries import Canaries

    texts: Any = tuple((role, letter * 9) for letter in "abcdef" for role in ("query", "document"))
    space = EmbeddingSpace("letters", 6).with_canaries(Canaries.of(LetterEncoder(), texts))
    right, wrong = LetterEncoder(), OtherModel()
    right._space = wrong._space = space
    create_app(LeafEncoder(right))
    with pytest.raises(SpaceMismatchError, match="does not write into the space"):
        create_app(LeafEncoder(wrong))


def test_answers_are_json_alone(address: str) -> None:
    with serving(LetterEncoder()) as open_to_all:
        import httpx

        answer = httpx.post(f"{open_to_all}/v1/embeddings", json={"input": ["a"] * 40, "encoding_format": "float"})
    assert answer.headers["content-type"] == "application/json"
    assert [item["index"] for item in json.loads(answer.content)["data"]] == list(range(40))
