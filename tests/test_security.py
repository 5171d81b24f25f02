"""SECURITY.md, sentence by sentence."""

from __future__ import annotations

import ast
import base64
import inspect
import json
import logging
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import leaf_embed
from leaf_embed import LeafEncoder
from leaf_embed.encoders.st_modules import read_modules
from leaf_embed.errors import LeafEmbedError, NotALeafError
from tests.integrations.encoders import LetterEncoder

ROOT = Path(leaf_embed.__file__).parent
SOURCES = [*ROOT.rglob("*.py"), *(ROOT.parent / "integrations").rglob("*.py")]


def calls() -> Iterator[tuple[Path, str, dict[str, Any], ast.Call]]:
    """Every call in the package: its file, the function's name, its keywords that are constants."""
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                given = {word.arg: getattr(word.value, "value", None) for word in node.keywords if word.arg}
                yield file, ast.unparse(node.func), given, node


def test_every_numbered_sentence_has_a_test() -> None:
    text = (ROOT.parent / "SECURITY.md").read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r"^- (\d+): ", text, re.MULTILINE)]
    assert numbers == list(range(1, 15))
    names = [name for name in globals() if name.startswith("test_")]
    assert all(any(f"_{number}_" in f"{name}_" for name in names) for number in numbers)


def test_1_no_code_of_a_leaf_runs() -> None:
    for file, name, given, node in calls():
        last = name.rsplit(".", 1)[-1]
        assert "trust_remote_code" not in given or given["trust_remote_code"] is False, file
        assert name not in ("eval", "exec", "compile", "__import__", "os.system"), (file, name)
        assert "pickle" not in name, file
        if name in ("torch.load", "np.load", "numpy.load"):
            right = given.get("weights_only") is True if name == "torch.load" else not given.get("allow_pickle", False)
            assert right, (file, node.lineno)
        if last == "read_pickle":
            pytest.fail(str(file))
    for file in SOURCES:
        modules = {
            alias.name.split(".")[0]
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
        }
        assert not modules & {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}, file


@pytest.fixture
def copy(leaf_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(leaf_path, tmp_path / "box" / "leaf"))


def test_2_no_class_that_a_leaf_names_is_imported(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / "trap_of_a_leaf.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\nclass Transformer: pass\n")
    monkeypatch.syspath_prepend(str(copy))
    modules = json.loads((copy / "modules.json").read_text())
    modules[0]["type"] = "trap_of_a_leaf.Transformer"
    (copy / "modules.json").write_text(json.dumps(modules))
    leaf_embed.load(copy).encode_query("red stone")
    read_modules(copy)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("path", ["../outside", "1_Pooling/../../outside", "..\\outside", "C:\\outside", "/../outside"])
def test_3_a_module_lies_inside_the_leaf(copy: Path, path: str) -> None:
    modules = json.loads((copy / "modules.json").read_text())
    modules[-1]["path"] = path
    (copy / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(NotALeafError, match="outside of its directory"):
        read_modules(copy)


def test_3_weights_lie_inside_the_leaf(copy: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="pip install onnx")
    (copy.parent / "secret.bin").write_bytes(bytes(1 << 20))
    file = copy / "onnx" / "model.onnx"
    graph = onnx.load(file)
    weight = max(graph.graph.initializer, key=lambda one: one.ByteSize())
    size = len(onnx.numpy_helper.to_array(weight).tobytes())
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../../secret.bin"), ("offset", "0"), ("length", str(size))):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    file.write_bytes(graph.SerializeToString())
    with pytest.raises(NotALeafError, match="no readable ONNX graph"):
        leaf_embed.load(copy, variant="float32")


@pytest.mark.parametrize("name", ["leaf.json", "onnx/model.onnx"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04cos\nsystem\n", b"[" * 100_000, b'{"format": "leaf-embed/leaf"}'])
def test_4_a_damaged_file_is_refused(copy: Path, name: str, content: bytes) -> None:
    (copy / name).write_bytes(content)
    with pytest.raises(LeafEmbedError):
        leaf_embed.load(copy, variant="float32")


def test_5_another_model_is_recognised(copy: Path) -> None:
    text = (copy / "leaf.json").read_text()
    value = json.loads(text)
    for canary in value["space"]["canaries"]:
        vector = np.frombuffer(base64.b64decode(canary["vector"]), dtype="<f2")
        canary["vector"] = base64.b64encode((-vector).tobytes()).decode()
    (copy / "leaf.json").write_text(json.dumps(value))
    with pytest.raises(LeafEmbedError):
        leaf_embed.load(copy).verify()
    assert "revision" in inspect.signature(leaf_embed.load).parameters


def test_6_reports_are_escaped() -> None:
    source = (ROOT / "evaluation" / "report" / "page.py").read_text(encoding="utf-8")
    assert "autoescape=True" in source
    template = (ROOT / "evaluation" / "report" / "parts.html.jinja").read_text(encoding="utf-8")
    assert re.findall(r"{{[^}]*safe[^}]*}}", template) == ["{{ figure.svg | safe }}"]  # drawn here


def test_7_metadata_of_a_collection_is_checked() -> None:
    metadata = pytest.importorskip("leaf_embed.qdrant.schema.metadata", reason="pip install 'leaf-embed[qdrant]'")
    for value in ({}, {"format": "x"}, {"format": "leaf-embed/collection", "version": 1, "space": "eval('1')"}):
        with pytest.raises(LeafEmbedError):
            metadata.CollectionMetadata.from_dict(value, name="a")


serve = pytest.mark.usefixtures("with_starlette")


@pytest.fixture
def with_starlette() -> None:
    pytest.importorskip("starlette", reason="pip install starlette uvicorn")


@serve
def test_8_the_key_and_the_address() -> None:
    from leaf_embed.cli.commands import serve as command
    from leaf_embed.serve import app
    from tests.serve.helpers import ask, serving

    assert inspect.signature(command.command).parameters["host"].default == "127.0.0.1"
    assert "compare_digest" in inspect.getsource(app.Bearer)
    with serving(LetterEncoder(), api_key="k3y") as address:
        for path, data in (("/v1/embeddings", b"{}"), ("/v1/models", None), ("/v1/models/leaf", None)):
            assert ask(address + path, data)[0] == 401
            assert ask(address + path, data, {"Authorization": "Bearer wrong"})[0] == 401


@serve
def test_9_open_pages_name_nothing() -> None:
    from tests.serve.helpers import get, serving

    with serving(LetterEncoder(), api_key="k3y", name="my-leaf") as address:
        pages = "".join(get(address + path) for path in ("/health", "/livez", "/readyz", "/metrics"))
    assert not any(word in pages for word in ("letters", "my-leaf", "k3y", str(ROOT)))


@serve
def test_10_everything_is_bounded() -> None:
    from leaf_embed.serve import ServeConfig
    from tests.serve.helpers import post, serving

    config = ServeConfig()
    assert (config.max_bytes, config.max_texts) == (8_000_000, 2_048)
    bounds = (config.max_waiting, config.max_waiting_tokens, config.max_connections, config.timeout)
    assert all(0 < bound < 10**6 for bound in bounds)
    with serving(LetterEncoder()) as address:
        assert post(address, b" " * 8_000_001)[0] == 413
        assert post(address, {"input": ["a"] * 2_049})[0] == 400


@serve
def test_11_and_12_a_failure_is_one_requests_own_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    from tests.serve.helpers import post, serving

    class Fails(LetterEncoder):
        def _encode(self, texts: list[str], role: Any) -> Any:
            if "my secret" in texts:
                raise RuntimeError(f"cannot read {texts}")
            return super()._encode(texts, role)

    caplog.set_level(logging.DEBUG)
    with serving(Fails(), api_key="k3y") as address:
        status, answer, _ = post(address, {"input": "my secret"}, Authorization="Bearer k3y")
        assert (status, set(answer)) == (500, {"error"})
        assert "my secret" not in json.dumps(answer)
        assert post(address, {"input": "abba"}, Authorization="Bearer k3y")[0] == 200
    assert "RuntimeError" in caplog.text
    assert "my secret" not in caplog.text
    assert "k3y" not in caplog.text


@serve
def test_13_no_request_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.serve.helpers import post, serving

    connect, addresses = socket.socket.connect, []

    def watched(self: socket.socket, address: Any) -> Any:
        addresses.append(address)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    with serving(LeafEncoder(LetterEncoder())) as address:
        for body in ({"input": "a"}, {"input": [1, 2]}, {"input": "a", "model": "http://example.org/x"}):
            post(address, body)
    assert {host for host, *_ in addresses} == {"127.0.0.1"}
    assert {port for _, port, *_ in addresses} == {int(address.rsplit(":", 1)[1])}


@serve
def test_14_other_origins_may_not_read() -> None:
    from tests.serve.helpers import post, serving

    with serving(LetterEncoder()) as address:
        assert "access-control-allow-origin" not in post(address, {"input": "a"}, Origin="http://b")[2]
    with serving(LetterEncoder(), allow_origins=("http://a",)) as address:
        assert "access-control-allow-origin" not in post(address, {"input": "a"}, Origin="http://b")[2]
        assert post(address, {"input": "a"}, Origin="http://a")[2]["access-control-allow-origin"] == "http://a"


def test_1_arrays_with_objects_are_refused(tmp_path: Path) -> None:
    from leaf_embed.encoders.rotation import ROTATION_FILE, Rotation

    np.save(tmp_path / ROTATION_FILE, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(NotALeafError):
        Rotation.load(tmp_path, leaf_embed.EmbeddingSpace("letters", 6, rotation="0123456789abcdef"))
