"""Files on a full disk and in places that cannot be written: one kind of error, and nothing lost or half-written."""

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leaf_embed._files import check_writable, replacing_directory, replacing_file, write_json
from leaf_embed.cli import run
from leaf_embed.errors import StorageError
from leaf_embed.evaluation.encoding import encode_set
from tests.conftest import no_room, sentences

LARGE = 100_000


def by_numpy(file: Path) -> None:
    with file.open("wb") as stream:
        np.save(stream, np.zeros(LARGE))


def by_torch(file: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"weights": torch.zeros(LARGE)}, file)


def by_safetensors(file: Path) -> None:
    pytest.importorskip("torch")
    from safetensors.numpy import save_file

    save_file({"weights": np.zeros(LARGE)}, file)


def by_arrow(file: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.table({"x": np.random.default_rng(0).random(LARGE)}), file)


def by_onnx(file: Path) -> None:
    onnx = pytest.importorskip("onnx")
    table = onnx.numpy_helper.from_array(np.zeros(LARGE), "table")
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], [table])), file)


def by_tokenizers(file: Path) -> None:
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({f"word{i}": i for i in range(10_000)}, unk_token="word0")).save(str(file))


def by_python(file: Path) -> None:
    file.write_text("x" * LARGE)


@pytest.mark.parametrize("write", [by_numpy, by_torch, by_safetensors, by_arrow, by_onnx, by_tokenizers, by_python])
def test_a_full_disk_is_one_error_whichever_library_writes(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "kept").write_text("from before")
    kept, new = tmp_path / "kept", tmp_path / "new"
    message = rf"cannot write {kept}: .* Make room there"
    with no_room(20_000), pytest.raises(StorageError, match=message), replacing_file(kept) as temporary:
        write(temporary)
    with no_room(20_000), pytest.raises(StorageError, match=f"cannot write {new}"), replacing_directory(new) as folder:
        write(folder / "part")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("kept", "from before")]
    with replacing_file(tmp_path / "kept") as temporary:
        write(temporary)
    assert (tmp_path / "kept").stat().st_size > 20_000


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    for error in (ValueError("no vector"), OSError("not on the hub"), FileNotFoundError(errno.ENOENT, "no", "/else/x")):
        with pytest.raises(type(error)) as caught, replacing_directory(tmp_path / "new"):
            raise error
        assert caught.value is error


def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.json", tmp_path / "file" / "b" / "a.json"):
        for write in (check_writable, lambda path: write_json(path, {})):
            with pytest.raises(StorageError, match=r"cannot write .*file.*below a file"):
                write(path)
    with pytest.raises(StorageError, match="is a directory"):
        check_writable(tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(StorageError, match="Read-only file system"):
        check_writable(tmp_path / "a.json")
    with pytest.raises(StorageError, match="Read-only file system"), replacing_directory(tmp_path / "d"):
        pass


@pytest.fixture
def inputs(tmp_path: Path, leaf_path: Path, teacher_path: Path) -> dict[str, str]:
    """Paths by the names that the commands below give them; BAD is below a file."""
    words = sentences(40)
    (tmp_path / "texts.txt").write_text("\n".join(words))
    data = tmp_path / "set"
    (data / "qrels").mkdir(parents=True)
    rows = [json.dumps({"_id": str(i), "text": text}) for i, text in enumerate(words)]
    (data / "corpus.jsonl").write_text("\n".join(rows))
    (data / "queries.jsonl").write_text("\n".join(rows))
    (data / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "".join(f"{i}\t{i}\t1\n" for i in range(40))
    )
    paths = {
        "BAD": tmp_path / "texts.txt" / "x",
        "TEXTS": tmp_path / "texts.txt",
        "DATA": data,
        "NEW": tmp_path / "new",
    }
    return {name: str(path) for name, path in {**paths, "LEAF": leaf_path, "TEACHER": teacher_path}.items()}


def command(line: str, inputs: dict[str, str]) -> list[str]:
    return [inputs.get(word, word) for word in line.split()]


DISTIL = "distill --teacher TEACHER --student TEACHER --layers 0 --corpus TEXTS --max-steps 3 --no-export --output"
CACHE = "cache --teacher TEACHER --corpus TEXTS --output"
INDEX = "index --leaf LEAF --teacher TEACHER --collection docs --input TEXTS --path"
MEASURE = "evaluate --leaf LEAF --teacher TEACHER --data DATA"


@pytest.mark.parametrize(
    "line",
    [
        f"{DISTIL} BAD",
        f"{CACHE} BAD",
        "export LEAF --dim 8 --output BAD",
        "export LEAF --router --teacher TEACHER --output BAD",
        f"{MEASURE} --output BAD",
        f"{MEASURE} --scores BAD",
        f"{MEASURE} --runs BAD",
        "compare TEXTS TEXTS --output BAD",
        "overlap --train TEXTS --data DATA --output BAD",
        f"{INDEX} BAD",
        "tune --leaf LEAF --collection docs --path NEW --queries TEXTS --plot BAD.svg",
        "demo --output BAD",
    ],
)
def test_no_command_starts_its_work_for_a_place_that_it_cannot_write(
    line: str, inputs: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from leaf_embed.teacher import cache

    monkeypatch.setattr(cache, "embed_texts", None)  # no text may be embedded before
    words = [word.replace("BAD", inputs["BAD"]) for word in command(line, inputs)]
    assert run(words) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: cannot write {inputs['TEXTS']}")
    assert "below a file" in said


@pytest.mark.parametrize("line", [f"{DISTIL} NEW", f"{CACHE} NEW", f"{INDEX} NEW"])
def test_the_same_command_goes_on_when_there_is_room(
    line: str, inputs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with no_room(2_000):
        assert run(command(line, inputs)) == 1
    assert "File too large" in capsys.readouterr().err
    assert run(command(line, inputs)) == 0


def test_a_measurement_reserves_its_room_first(inputs: dict[str, str]) -> None:
    from leaf_embed.evaluation import load_beir

    class Never:
        space = SimpleNamespace(dim=4096)

        def encode_query(self, texts: Any) -> None:
            raise AssertionError("the work has begun")

    never: Any = Never()
    data = load_beir(Path(inputs["DATA"]))
    with no_room(8_000), pytest.raises(StorageError, match="File too large"), encode_set(never, never, data):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
def test_standard_output_on_a_full_disk() -> None:
    with Path("/dev/full").open("w") as full:
        line = [sys.executable, "-c", "from leaf_embed.cli import main; main(['--version'])"]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
