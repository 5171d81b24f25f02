"""--device, --dtype, --batch-tokens, --attention and --trust-remote-code reach the teachers that commands load."""

import inspect
import json

import pytest

from leaf_embed.cli import run
from leaf_embed.cli.torch_options import chosen_loading, with_torch_options
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from tests.conftest import sentences
from tests.encoders.test_loading import remote_code_teacher

CHOSEN = ["--device", "cpu", "--dtype", "float32", "--batch-tokens", "128", "--attention", "eager"]


@pytest.fixture
def made(monkeypatch):
    """Every torch encoder that is made."""
    found, init = [], SentenceTransformerEncoder.__init__

    def watched(self, *args, **options):
        init(self, *args, **options)
        found.append(self)

    monkeypatch.setattr(SentenceTransformerEncoder, "__init__", watched)
    return found


def write_set(path):
    """A BEIR set of twelve documents, each found by its first words."""
    words = sentences(12, seed=4)
    (path / "qrels").mkdir(parents=True)
    rows = [json.dumps({"_id": str(i), "title": "", "text": text}) for i, text in enumerate(words)]
    (path / "corpus.jsonl").write_text("\n".join(rows))
    asked = [json.dumps({"_id": str(i), "text": " ".join(text.split()[:3])}) for i, text in enumerate(words)]
    (path / "queries.jsonl").write_text("\n".join(asked))
    judged = "".join(f"{i}\t{i}\t1\n" for i in range(12))
    (path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return path


def commands(leaf_path, teacher_path, tmp_path):
    data = write_set(tmp_path / "set")
    corpus = ["--teacher", teacher_path, "--corpus", data / "corpus.jsonl"]
    return {
        "cache": ["cache", *corpus, "--output", tmp_path / "cache"],
        "distill": [
            *("distill", *corpus, "--student", teacher_path, "--layers", "0", "--recipe", "quick", "--max-steps", 2),
            *("--set", "holdout=0", "--no-export", "--output", tmp_path / "leaf"),
        ],
        "evaluate": ["evaluate", "--leaf", leaf_path, "--data", data],
        "index": [
            *("index", "--leaf", leaf_path, "--collection", "docs", "--input", data / "corpus.jsonl"),
            *("--path", tmp_path / "engine"),
        ],
    }


@pytest.mark.parametrize("name", ["cache", "distill", "evaluate", "index"])
def test_a_command_loads_its_teacher_as_it_was_told(name, leaf_path, teacher_path, tmp_path, made):
    arguments = commands(leaf_path, teacher_path, tmp_path)[name]
    assert run([str(one) for one in [*arguments, *CHOSEN]]) == 0
    assert made
    for encoder in made[:1]:
        assert encoder.model[0].auto_model.config._attn_implementation == "eager"
        assert (encoder.device, encoder._budget.tokens, encoder._autocast) == ("cpu", 128, False)


def test_code_that_comes_with_a_teacher_needs_the_flag(teacher_path, tmp_path, capsys):
    path = remote_code_teacher(teacher_path, tmp_path / "flip")
    arguments = ["cache", "--teacher", path, "--corpus", write_set(tmp_path / "set") / "corpus.jsonl"]
    assert run([str(one) for one in [*arguments, "--output", tmp_path / "refused"]]) == 1
    assert "third-party code" in capsys.readouterr().err.replace("\n", " ")
    assert run([str(one) for one in [*arguments, "--output", tmp_path / "cache", "--trust-remote-code"]]) == 0


def test_what_cannot_be_is_our_error(teacher_path, tmp_path, capsys):
    arguments = ["cache", "--teacher", teacher_path, "--corpus", write_set(tmp_path / "set") / "corpus.jsonl"]
    for option, value in (("--device", "abacus"), ("--batch-tokens", "0"), ("--attention", "none-such")):
        code = run([str(one) for one in [*arguments, "--output", tmp_path / "cache", option, value]])
        assert (code, "error:" in capsys.readouterr().err) == (1, True)
    assert run([str(one) for one in [*arguments, "--output", tmp_path / "cache", "--dtype", "int3"]]) == 2


def test_an_option_that_a_command_has_itself_counts_for_its_teachers():
    seen = []

    def command(device: str = "cpu") -> None:
        seen.append((device, chosen_loading().device, chosen_loading().batch_tokens))

    wrapped = with_torch_options(command)
    assert next(iter(inspect.signature(wrapped).parameters)) == "device"
    assert len(inspect.signature(wrapped).parameters) == 5
    wrapped(device="cuda", batch_tokens=7)
    assert seen == [("cuda", "cuda", 7)]
    assert chosen_loading().device is None, "gone when the command ends"


def test_the_device_is_the_students_too(teacher_path, tmp_path, monkeypatch):
    from leaf_embed.distill import pipeline

    found = []

    def watched(asked):
        found.append(asked)
        return "cpu"

    monkeypatch.setattr(pipeline, "student_device", watched)
    assert run([str(one) for one in [*commands(None, teacher_path, tmp_path)["distill"], "--device", "cpu"]]) == 0
    assert found == ["cpu"]
