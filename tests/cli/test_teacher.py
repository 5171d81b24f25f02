"""Teachers other than a model, from the shell: a collection, files of vectors."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from qdrant_client import QdrantClient, models
from sentence_transformers import SentenceTransformer

from leaf_embed.cli import run
from leaf_embed.cli.app import spread
from leaf_embed.format import read_leaf
from tests.conftest import sentences
from tests.encoders.api_server import serving

QUICK = ["--recipe", "quick", "--max-steps", 20, "--learning-rate", 2e-3, "--no-export"]


def call(capsys, *arguments):
    code = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def embedded(teacher_path):
    words = sentences(120, seed=5)
    return words, SentenceTransformer(str(teacher_path), device="cpu").encode(words)


@pytest.fixture(scope="module")
def collection(embedded, tmp_path_factory):
    """The directory of a client in local mode, with a collection made by hand."""
    directory = tmp_path_factory.mktemp("qdrant")
    client = QdrantClient(path=str(directory))
    client.create_collection("docs", vectors_config={"dense": models.VectorParams(size=32, distance="Cosine")})
    points = [
        models.PointStruct(id=i, vector={"dense": row.tolist()}, payload={"meta": {"text": text}, "even": i % 2 == 0})
        for i, (text, row) in enumerate(zip(*embedded, strict=True))
    ]
    client.upsert("docs", points)
    client.close()
    return directory


def test_a_collection_made_elsewhere(capsys, teacher_path, collection, tmp_path):
    code, out, err = call(
        capsys,
        *("distill", "--from-qdrant", collection, "--collection", "docs", "--text-key", "meta.text"),
        *("--vector-name", "dense", "--where", "even=true", "--teacher", "org/teacher", "--query-prompt", "q: "),
        *("--student", teacher_path, "--layers", "0,3", "--output", tmp_path / "leaf", *QUICK),
    )
    assert code == 0, err
    assert re.search(r"training +59 texts, 20 steps", out)
    space = read_leaf(tmp_path / "leaf").space
    assert (space.teacher, space.dim, space.unit_norm, space.query_prompt) == ("org/teacher", 32, True, "q: ")
    assert "canaries    8 texts of yours" in out


def test_files_of_vectors_and_queries_for_their_teacher(capsys, teacher_path, embedded, tmp_path):
    words, rows = embedded
    pq.write_table(pa.table({"text": words, "vector": rows.tolist()}), tmp_path / "a.parquet")
    (tmp_path / "b.txt").write_text("red stone\n")
    np.save(tmp_path / "b.npy", SentenceTransformer(str(teacher_path), device="cpu").encode(["red stone"]))
    (tmp_path / "queries.txt").write_text("where is it\nwho is it\n")
    student = ["--student", teacher_path, "--layers", 2, *QUICK]
    vectors = ["--vectors", tmp_path / "a.parquet", tmp_path / "b.txt"]
    code, out, err = call(capsys, "distill", *vectors, *student, "--output", tmp_path / "leaf")
    assert code == 0, err
    assert "teacher     unknown, called 'a'" in out
    assert re.search(r"training +119 texts", out)
    teacher = ["--teacher", teacher_path, "--corpus", tmp_path / "queries.txt"]
    code, out, err = call(capsys, "distill", *vectors, *student, *teacher, "--output", tmp_path / "leaf-2")
    assert code == 0, err
    assert re.search(r"training +121 texts", out)


def test_an_api_with_a_budget(capsys, monkeypatch, teacher_path, tmp_path):
    monkeypatch.setenv("LEAF_TEST_KEY", "sk-secret")
    (tmp_path / "docs.txt").write_text("\n".join([*sentences(40), sentences(1)[0]]))
    with serving() as api:
        line = [
            *(
                "distill",
                "--api",
                api.url,
                "--api-model",
                "embed-1",
                "--api-key-env",
                "LEAF_TEST_KEY",
                "--api-items",
                8,
            ),
            *("--dimensions", 8, "--corpus", tmp_path / "docs.txt", "--student", teacher_path, "--layers", 1, *QUICK),
            *("--output", tmp_path / "leaf"),
        ]
        code, out, err = call(capsys, *line, "--budget", 200)
        assert code == 1
        assert re.search(r"cost +about [\d,]+ tokens for 40 distinct texts, .*; budget 200", out)
        assert "goes on where this one stopped" in " ".join(err.split())
        first = len(api.texts)
        assert 8 < first < 48
        code, out, err = call(capsys, *line)
        assert code == 0, err
        assert len(api.texts) - first == 8 + 40 - (first - 8), "the canaries again, and what was missing"
        assert re.search(r"spent +[\d,]+ tokens", out)
        assert set(api.keys) == {"Bearer sk-secret"}
    assert read_leaf(tmp_path / "leaf").space.teacher == "embed-1"
    assert "sk-secret" not in out + err


def test_corpus_options(capsys, teacher_path, tmp_path):
    words = sentences(60)
    (tmp_path / "queries.txt").write_text("\n".join(words[:10]))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text("".join(json.dumps({"body": word}) + "\n" for word in words[10:]))
    (tmp_path / "evaluation.txt").write_text("\n".join(word.upper() for word in words[20:30]))
    code, out, err = call(
        capsys,
        *(
            "distill",
            "--teacher",
            teacher_path,
            "--layers",
            1,
            "--output",
            tmp_path / "leaf",
            *QUICK[:2],
            "--no-export",
        ),
        *("--corpus", tmp_path / "queries.txt", f"hub:{tmp_path / 'set'}?text=body", "--batch-size", 8),
        *("--exclude", tmp_path / "evaluation.txt", "--query-share", 0.5),
    )
    assert code == 0, err
    assert "skipped     10 texts: excluded" in out
    assert re.search(r"training +49 texts", out)


def test_bad_options_are_one_clear_line(capsys, teacher_path, collection, tmp_path):
    vectors = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a"], "vector": [[1.0, 2.0]]}), vectors)
    student = ["--student", teacher_path, "--output", tmp_path / "leaf"]
    qdrant = ["--from-qdrant", collection, "--collection", "docs"]
    cases = [
        ([], "who is the teacher?"),
        (["--teacher", teacher_path], "--corpus is missing"),
        (["--from-qdrant", collection], "needs --collection"),
        ([*qdrant, "--vectors", vectors], "either --from-qdrant or --vectors"),
        (["--from-qdrant", "/none", "--collection", "docs"], "takes a URL"),
        (["--from-qdrant", collection, "--collection", "none"], "no collection 'none'; it has ['docs']"),
        (qdrant, "no text under 'text'"),
        ([*qdrant, "--where", "=even"], "--where takes key=value"),
        (["--vectors", vectors, "--corpus", vectors], "needs the --teacher or --api that wrote them"),
        (["--vectors", "/none.parquet"], "there is no file"),
        (["--api", "http://localhost:9"], "--api needs --api-model"),
        (["--budget", 3, "--teacher", teacher_path, "--corpus", vectors], "are for an --api"),
        (["--api", "localhost:9", "--api-model", "m", "--corpus", vectors], "address must be like"),
    ]
    for arguments, message in cases:
        code, out, err = call(capsys, "distill", *arguments, *student)
        assert (code, out) == (1, ""), arguments
        assert message in " ".join(err.split()), arguments
        assert "Traceback" not in err
    code, _, err = call(capsys, "distill", "--vectors", vectors, "--output", tmp_path / "leaf")
    assert code == 1
    assert "name a --student" in err
    assert not (tmp_path / "leaf").exists()


def test_spread_of_the_new_options():
    assert spread(["--vectors", "a", "b", "--where", "x=1", "y=2"]) == [
        *("--vectors", "a", "--vectors", "b"),
        *("--where", "x=1", "--where", "y=2"),
    ]
