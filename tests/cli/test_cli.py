"""The command line as a shell user meets it: what it prints where, and how it exits."""

import json
import re
from typing import get_type_hints

import pytest

import leaf_embed
from leaf_embed import __version__
from leaf_embed.cli import run
from leaf_embed.cli.app import app, spread
from tests.conftest import sentences


def call(capsys, *arguments):
    code = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    file = tmp_path_factory.mktemp("corpus") / "docs.jsonl"
    records = [{"_id": f"d{i}", "title": "", "text": s, "number": i} for i, s in enumerate(sentences(80, seed=7))]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


@pytest.fixture(scope="module")
def beir(tmp_path_factory):
    """Twenty documents, each asked for by its own words."""
    root = tmp_path_factory.mktemp("beir") / "tiny"
    (root / "qrels").mkdir(parents=True)
    documents = sentences(20, seed=8)
    corpus = [{"_id": f"d{i}", "title": "", "text": text} for i, text in enumerate(documents)]
    queries = [{"_id": f"q{i}", "text": " ".join(text.split()[:4])} for i, text in enumerate(documents)]
    for name, records in (("corpus", corpus), ("queries", queries)):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    judgements = "".join(f"q{i}\td{i}\t1\n" for i in range(20))
    (root / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judgements)
    return root


def test_version_and_help(capsys):
    assert call(capsys, "--version") == (0, f"leaf-embed {__version__}\n", "")
    code, out, _ = call(capsys, "--help")
    assert code == 0
    for command in ("distill", "cache", "export", "evaluate", "index", "search", "inspect", "demo"):
        assert command in out
        assert call(capsys, command, "--help")[0] == 0


@pytest.mark.parametrize("arguments", [["nothing"], ["distill"], ["search", "--limit", "x"], ["export", "--bad"]])
def test_a_wrong_command_line_exits_with_2(capsys, arguments):
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "Usage" in err or "Error" in err


def test_spread():
    assert spread(["cache", "--corpus", "a", "b", "--budget", "1"]) == [
        *("cache", "--corpus", "a", "--corpus", "b", "--budget", "1")
    ]
    assert spread(["search", "a", "b", "--where", "c", "d"]) == ["search", "a", "b", "--where", "c", "--where", "d"]
    assert spread(["evaluate", "--data", "a", "--data", "b", "c"]) == [
        *("evaluate", "--data", "a", "--data", "b", "--data", "c")
    ]
    assert spread(["index", "--mrl", "8", "4", "--preset", "a", "b"]) == [
        *("index", "--mrl", "8", "--mrl", "4", "--preset", "a", "b")
    ]
    assert spread(["nothing", "--corpus", "a", "b"]) == ["nothing", "--corpus", "a", "b"]
    assert spread([]) == []


def test_every_option_has_help():
    for command in app.registered_commands:
        for name, hint in get_type_hints(command.callback, include_extras=True).items():
            assert name == "return" or any(note.help for note in hint.__metadata__), f"{command.name}: {name}"


@pytest.mark.slow
def test_no_layer_and_a_head(capsys, teacher_path, corpus, tmp_path):
    code, _, err = call(
        capsys,
        *("distill", "--teacher", teacher_path, "--student", teacher_path, "--layers", "none", "--head", "64,80"),
        *("--corpus", corpus, "--output", tmp_path / "leaf", "--recipe", "quick", "--max-steps", 5),
    )
    assert code == 0, err
    _, out, _ = call(capsys, "inspect", tmp_path / "leaf")  # its canaries need more steps than these
    assert "layers none, hidden layers [64, 80]" in out


def test_the_whole_line(capsys, teacher_path, corpus, beir, tmp_path):
    leaf, place = tmp_path / "leaf", tmp_path / "collections"
    distilled = call(
        capsys,
        *("distill", "--teacher", teacher_path, "--student", teacher_path, "--layers", "0,3"),
        *(
            "--corpus",
            corpus,
            beir,
            "--output",
            leaf,
            "--recipe",
            "quick",
            "--max-steps",
            60,
            "--set",
            "learning_rate=2e-3",
        ),
    )
    assert distilled[0] == 0, distilled[2]
    assert "fingerprint" in distilled[1]
    assert re.search(r"final +held-out cosine", distilled[1]) or "texts" in distilled[1]

    code, out, _ = call(capsys, "inspect", leaf)
    assert code == 0
    assert "canaries pass" in out

    code, out, _ = call(
        capsys, "index", "--leaf", leaf, "--path", place, "--collection", "docs", "--mrl", 16, "--input", corpus
    )
    assert code == 0
    assert "80 added" in out
    code, out, _ = call(capsys, "index", "--leaf", leaf, "--path", place, "--collection", "docs", "--input", corpus)
    assert "80 unchanged" in out

    question = sentences(80, seed=7)[3]
    search = ["search", question, "--leaf", leaf, "--path", place, "--collection", "docs", "--limit", 5]
    code, out, err = call(capsys, *search, "--json")
    assert (code, err) == (0, "")
    hits = [json.loads(line) for line in out.splitlines()]
    assert len(hits) == 5
    assert hits[0]["payload"].keys() == {"number"}
    assert "d3" in [hit["id"] for hit in hits]
    assert len(call(capsys, *search)[1].splitlines()) == 5

    code, out, _ = call(capsys, "inspect", leaf, "--path", place, "--collection", "docs")
    assert code == 0
    assert "documents    80" in out

    report = tmp_path / "report.json"
    code, out, _ = call(
        capsys,
        "evaluate",
        "--leaf",
        leaf,
        "--data",
        beir,
        "--dims",
        "16,8",
        "--quantization",
        "float32",
        "int8",
        "--output",
        report,
    )
    assert code == 0
    assert "tiny" in out
    assert len(json.loads(report.read_text())["sets"][0]["points"]) == 6

    code, out, _ = call(capsys, "export", leaf, "--corpus", corpus)
    assert code == 0
    assert "float32" in out
    assert "int8" in out


def test_a_directory_of_a_client_is_one_of_collections(capsys, leaf_path, corpus, tmp_path):
    from qdrant_client import QdrantClient

    from leaf_embed.qdrant import LeafCollection

    client = QdrantClient(path=str(tmp_path))
    leaf = leaf_embed.load(leaf_path, document="leaf")
    with LeafCollection.create("docs", leaf, client=client) as docs:
        docs.index([{"_id": "a", "text": "the red river"}, {"_id": "b", "text": "a small bird"}])
    client.close()
    there = ["--path", tmp_path, "--collection", "docs"]
    code, out, err = call(capsys, "search", "the red river", "--leaf", leaf_path, *there)
    assert code == 0, err
    assert "the red river" in out.splitlines()[0]
    code, out, err = call(capsys, "inspect", leaf_path, *there)
    assert code == 0, err
    assert "belongs      canaries pass" in out
    for arguments in (["inspect", tmp_path], ["inspect", "--path", tmp_path]):
        code, _, err = call(capsys, *arguments)
        assert code == 1
        assert "directory of QdrantClient(path=...) with the collections 'docs'" in err
        assert f"leaf-embed inspect --path {tmp_path} --collection docs" in err


def test_what_is_cached_is_not_embedded_again(capsys, teacher_path, corpus, tmp_path):
    code, out, _ = call(capsys, "cache", "--teacher", teacher_path, "--corpus", corpus, "--output", tmp_path / "cache")
    assert code == 0
    assert "80 of these, 80 of them new" in out
    code, out, _ = call(capsys, "cache", "--teacher", teacher_path, "--corpus", corpus, "--output", tmp_path / "cache")
    assert "80 of these, 0 of them new" in out


def test_bad_input_is_one_clear_line_and_exit_code_1(capsys, teacher_path, leaf_path, corpus, tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text("\n\n")
    cases = [
        (
            ["distill", "--teacher", "/none", "--corpus", corpus, "--output", tmp_path / "x"],
            "there is no model at /none",
        ),
        (
            ["distill", "--teacher", teacher_path, "--corpus", "/none.txt", "--output", tmp_path / "x"],
            "there is no file",
        ),
        (["distill", "--teacher", teacher_path, "--corpus", empty, "--output", tmp_path / "x"], "holds no text"),
        (["distill", "--teacher", teacher_path, "--corpus", corpus, "--output", leaf_path], "exists already"),
        (
            ["distill", "--teacher", teacher_path, "--corpus", corpus, "--output", tmp_path / "x", "--layers", "0,9"],
            "numbers from 0 to 3",
        ),
        (
            ["distill", "--teacher", teacher_path, "--corpus", corpus, "--output", tmp_path / "x", "--layers", "a"],
            "with commas between them",
        ),
        (["export", teacher_path], "it is no leaf"),
        (["inspect"], "name a leaf directory"),
        (["inspect", tmp_path], "holds no leaf.json"),
        (["search", "q", "--leaf", leaf_path, "--collection", "docs"], "--path"),
        (
            ["search", "q", "--leaf", leaf_path, "--collection", "docs", "--path", tmp_path],
            "holds no collection 'docs'",
        ),
        (
            ["index", "--leaf", leaf_path, "--collection", "d", "--path", tmp_path, "--input", "/none"],
            "there is no file",
        ),
        (["evaluate", "--leaf", leaf_path, "--data", tmp_path], "corpus.jsonl"),
    ]
    for arguments, message in cases:
        code, out, err = call(capsys, *arguments)
        assert (code, out) == (1, ""), arguments
        assert message in " ".join(err.split()), arguments
        assert "Traceback" not in err
    assert not (tmp_path / "x").exists()


def test_a_leaf_of_another_space_is_refused(capsys, leaf_path, corpus, tmp_path):
    from tests.conftest import make_model

    other = make_model(tmp_path / "other", seed=5)
    place = ["--path", tmp_path / "collections", "--collection", "docs"]
    assert call(capsys, "index", "--leaf", leaf_path, *place, "--input", corpus)[0] == 0
    code, _, err = call(
        capsys, "index", "--leaf", leaf_path, "--teacher", other, *place, "--input", tmp_path / "none.txt"
    )
    assert code == 1
    changed = tmp_path / "changed.txt"
    changed.write_text("a new text\n")
    code, _, err = call(capsys, "index", "--leaf", leaf_path, "--teacher", other, *place, "--input", changed)
    assert code == 1
    assert "different embedding spaces" in err


def test_interrupted(capsys, monkeypatch, leaf_path):
    def stop(directory):
        raise KeyboardInterrupt

    monkeypatch.setattr("leaf_embed.cli.commands.inspect.read_leaf", stop)
    code, _, err = call(capsys, "inspect", leaf_path)
    assert code == 130
    assert "run the same command again" in err
