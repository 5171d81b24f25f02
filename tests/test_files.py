"""Files and directories that cannot be written: an error that names them and why, and nothing half-written."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaf_embed import load
from leaf_embed._files import check_new_directory, replacing_directory, replacing_file, write_json, writing
from leaf_embed.cli import run
from leaf_embed.distill import DistillConfig, distill, export
from leaf_embed.errors import ExportError, InputError, StorageError
from leaf_embed.vectors import cosine
from tests.conftest import texts

QUICK = DistillConfig.quick(max_steps=12, precision="float32", holdout=0.1)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes, as on a disk without room."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def by_torch(file: Path) -> None:
    import torch

    torch.save({"weights": torch.zeros(9000)}, file)


def by_safetensors(file: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"weights": np.zeros(9000, np.float32)}, file)


@pytest.mark.parametrize("write", [lambda file: file.write_bytes(bytes(9000)), by_torch, by_safetensors])
def test_a_full_disk_is_named_whoever_writes(write: Callable[[Path], Any], tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_text("before")
    with (
        full_disk(4096),
        pytest.raises(StorageError, match=r"cannot write .*weights \(.*(too large|no room)"),
        replacing_file(file) as temporary,
    ):
        write(temporary)
    assert ([path.name for path in tmp_path.iterdir()], file.read_text()) == (["weights"], "before")


def test_other_errors_stay_what_they_are() -> None:
    for error in (ValueError("no"), FileNotFoundError("corpus.txt"), InputError("ours")):
        with pytest.raises(type(error)), writing("x"):
            raise error


@pytest.mark.parametrize("make", [check_new_directory, lambda path: write_json(path, {})])
def test_a_path_below_a_file(make: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot make the directory .*file or what lies above it is a file"):
        make(tmp_path / "file" / "leaf")


def test_a_directory_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "leaf").mkdir()
    (tmp_path / "leaf" / "old").write_text("")
    with full_disk(4096), pytest.raises(StorageError), replacing_directory(tmp_path / "leaf") as folder:
        (folder / "new").write_bytes(bytes(9000))
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == ["leaf", "leaf/old"]


def test_every_command_looks_at_its_output_first(
    capsys: pytest.CaptureFixture[str], leaf_path: Path, teacher_path: Path, tmp_path: Path
) -> None:
    """The inputs do not exist or cannot be read: whoever opens them before the output says so instead."""
    blocked = tmp_path / "file" / "output"
    (tmp_path / "file").write_text("")
    corpus = tmp_path / "docs.txt"
    corpus.write_text("a text\n")
    commands: list[list[Any]] = [
        ["distill", "--teacher", teacher_path, "--corpus", corpus, "--output", blocked],
        ["cache", "--teacher", teacher_path, "--corpus", corpus, "--output", blocked],
        ["export", leaf_path, "--dim", 16, "--output", blocked],
        ["export", leaf_path, "--router", "--teacher", teacher_path, "--output", blocked],
        ["evaluate", "--leaf", leaf_path, "--data", tmp_path / "none", "--output", blocked],
        ["index", "--leaf", leaf_path, "--path", blocked, "--collection", "docs", "--input", corpus],
        ["compare", tmp_path / "none.json", tmp_path / "none.json", "--output", blocked],
        ["demo", "--output", blocked],
    ]
    for command in commands:
        code = run([str(part) for part in command])
        said = " ".join(capsys.readouterr().err.split())
        assert code == 1, command
        assert "error: " in said, (command, said)
        assert str(tmp_path / "file") in said.replace(" ", ""), (command, said)
        assert "Traceback" not in said


def test_a_full_disk_ends_a_distillation_that_goes_on_with_room(teacher_path: Path, tmp_path: Path) -> None:
    output = tmp_path / "leaf"

    def again() -> Any:
        return distill(teacher_path, texts(60), teacher_path, output, QUICK, layers=1, export_graphs=False)

    for size in (2_000, 30_000):  # the cache, the leaf
        with full_disk(size), pytest.raises(StorageError, match=r"cannot write .*make room"):
            again()
        assert not output.exists()
    again()
    assert load(output, variant="torch", document=None).encode_query("red").shape == (32,)


@pytest.mark.parametrize("failure", [RuntimeError("out of protobuf"), ExportError("no graph"), StorageError("full")])
def test_a_failed_export_leaves_the_trained_leaf(
    failure: Exception, teacher_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leaf_embed.export import onnx

    def fail(*_: Any) -> None:
        raise failure

    output = tmp_path / "leaf"
    with monkeypatch.context() as patched:
        patched.setattr(onnx, "write_graph", fail)
        expected = type(failure) if isinstance(failure, (ExportError, StorageError)) else ExportError
        with pytest.raises(expected, match=r"The trained leaf is whole in .*leaf-embed export"):
            distill(teacher_path, texts(60), teacher_path, output, QUICK, layers=1)
        with pytest.raises(InputError, match="a trained leaf already, without graphs"):
            distill(teacher_path, texts(60), teacher_path, output, QUICK, layers=1)
    trained = load(output, variant="torch", document=None).encode_query("red stone")
    export(output, texts(40))
    assert cosine(load(output, variant="float32", document=None).encode_query("red stone"), trained) > 0.999


def test_a_student_that_does_not_survive_saving_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    from tests.encoders.teachers import Case, build, build_backbone

    model = build(Case("modernbert"), build_backbone("modernbert", tmp_path / "backbone"))
    model[0].auto_model.layers[1].attn_norm.weight.data.normal_()
    model.save(str(tmp_path / "teacher"))
    teacher = tmp_path / "teacher"
    with pytest.raises(InputError, match=r"other vectors once it was saved and loaded .* Keep its lowest layers"):
        distill(teacher, texts(60), teacher, tmp_path / "leaf", QUICK, layers=[1])
    assert not (tmp_path / "leaf").exists()
    report = distill(teacher, texts(60), teacher, tmp_path / "leaf", QUICK, layers=[0])  # its windows are 16 tokens
    assert report.parity["float32"].min_cosine > 0.9999
