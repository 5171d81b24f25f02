"""Publishing: which files go, under whose token, and that a dry run sends nothing. The hub is a stand-in."""

import shutil
from types import SimpleNamespace

import httpx
import pytest

from leaf_embed.cli import run
from leaf_embed.distill import push_to_hub
from leaf_embed.errors import InputError, LeafEmbedError, NotALeafError


@pytest.fixture
def hub(monkeypatch):
    """Calls of the hub's client, as ``(method, token, arguments)``."""
    calls = []

    class Api:
        def __init__(self, token=None):
            self.token = token

        def create_repo(self, repository, **options):
            calls.append(("create_repo", self.token, {"repo_id": repository, **options}))

        def upload_folder(self, **options):
            calls.append(("upload_folder", self.token, options))
            return SimpleNamespace(commit_url="https://hub/org/leaf/commit/1")

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setenv("HF_TOKEN", "secret")
    return calls


@pytest.fixture
def copy(leaf_path, tmp_path):
    return shutil.copytree(leaf_path, tmp_path / "copy")


def test_a_push(hub, copy):
    upload = push_to_hub(copy, "org/leaf", private=True)
    assert [(method, token) for method, token, _ in hub] == [("create_repo", "secret"), ("upload_folder", "secret")]
    assert hub[0][2] == {"repo_id": "org/leaf", "private": True, "exist_ok": True}
    assert (hub[1][2]["repo_id"], hub[1][2]["folder_path"]) == ("org/leaf", copy)
    assert upload.url == "https://hub/org/leaf/commit/1"
    assert "leaf_embed.load('org/leaf')" in (copy / "README.md").read_text()
    assert not any(b"secret" in file.read_bytes() for file in copy.rglob("*") if file.is_file())


def test_a_dry_run_lists_the_files_and_sends_nothing(hub, copy, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    (copy / ".secret").write_text("x")
    before = (copy / "README.md").read_text()
    assert run(["push", str(copy), "org/leaf", "--dry-run"]) == 0
    out = capsys.readouterr().out
    for name in ("leaf.json", "onnx/model.onnx", "onnx/model_quantized.onnx", "README.md", "model.safetensors"):
        assert f"MB  {name}\n" in out
    assert ".secret" not in out
    assert "nothing was sent" in out
    assert (hub, (copy / "README.md").read_text()) == ([], before)


def test_what_cannot_be_pushed(hub, copy, tmp_path, monkeypatch):
    with pytest.raises(NotALeafError):
        push_to_hub(tmp_path, "org/leaf")
    with pytest.raises(InputError, match="expected a hub id"):
        push_to_hub(copy, "leaf")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(InputError, match="set HF_TOKEN"):
        push_to_hub(copy, "org/leaf")
    shutil.rmtree(copy / "onnx")
    with pytest.raises(InputError, match="leaf-embed export"):
        push_to_hub(copy, "org/leaf")
    assert not hub


def test_a_refusal_of_the_hub_is_one_of_ours(hub, copy, monkeypatch):
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    def refuse(self, **options):
        raise HfHubHTTPError(
            "403 Forbidden", response=httpx.Response(403, request=httpx.Request("POST", "https://hub"))
        )

    monkeypatch.setattr(HfApi, "upload_folder", refuse)
    with pytest.raises(LeafEmbedError, match="may this token write there"):
        push_to_hub(copy, "org/leaf")
