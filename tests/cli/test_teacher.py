"""A distillation from the shell: teachers of every kind, in one step and in two, and recipes."""

import json
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from qdrant_client import QdrantClient, models
from sentence_transformers import SentenceTransformer

from leaf_embed.canaries import CANARY_TEXTS
from leaf_embed.cli import run
from leaf_embed.cli.app import spread
from leaf_embed.distill import FilledCache, TeacherCache, Text
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.format import read_leaf
from tests.conftest import sentences
from tests.encoders.api_server import serving

QUICK = ["--recipe", "quick", "--max-steps", 20, "--set", "learning_rate=2e-3", "--no-export"]


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
    cache = tmp_path / "cache"
    code, out, err = call(
        capsys,
        *("cache", "--from-qdrant", collection, "--collection", "docs", "--text-key", "meta.text"),
        *("--vector-name", "dense", "--where", "even=true", "--teacher", "org/teacher", "--query-prompt", "q: "),
        *("--output", cache),
    )
    assert code == 0, err
    assert "texts       60 of these, 60 of them new" in out
    student = ["--student", teacher_path, "--layers", "0,3", "--output", tmp_path / "leaf"]
    code, out, err = call(capsys, "distill", "--cache", cache, *student, *QUICK)
    assert code == 0, err
    assert re.search(r"training +59 texts, 20 steps", out)
    space = read_leaf(tmp_path / "leaf").space
    assert (space.teacher, space.dim, space.unit_norm, space.query_prompt) == ("org/teacher", 32, True, "q: ")
    assert "canaries    8 texts of yours" in out


def test_a_collection_in_one_line(capsys, teacher_path, collection, tmp_path):
    code, out, err = call(
        capsys,
        *("distill", "--from-qdrant", collection, "--collection", "docs", "--text-key", "meta.text"),
        *("--student", teacher_path, "--layers", "0,3", "--output", tmp_path / "leaf", *QUICK),
    )
    assert code == 0, err
    assert "teacher     unknown, called 'docs'" in out
    assert re.search(r"training +118 texts, 20 steps", out)
    assert "canaries    8 texts of yours" in out


def test_files_of_vectors_and_queries_for_their_teacher(capsys, teacher_path, embedded, tmp_path):
    words, rows = embedded
    pq.write_table(pa.table({"text": words, "vector": rows.tolist()}), tmp_path / "a.parquet")
    (tmp_path / "b.txt").write_text("red stone\n")
    np.save(tmp_path / "b.npy", SentenceTransformer(str(teacher_path), device="cpu").encode(["red stone"]))
    (tmp_path / "queries.txt").write_text("where is it\nwho is it\n")
    student = ["--student", teacher_path, "--layers", 2, *QUICK]
    vectors = ["--vectors", tmp_path / "a.parquet", tmp_path / "b.txt"]
    code, out, err = call(capsys, "cache", *vectors, "--output", tmp_path / "cache")
    assert code == 0, err
    assert "teacher     unknown, called 'a'" in out
    code, out, err = call(capsys, "distill", "--cache", tmp_path / "cache", *student, "--output", tmp_path / "leaf")
    assert code == 0, err
    assert re.search(r"training +119 texts", out)
    teacher = ["--teacher", teacher_path, "--corpus", tmp_path / "queries.txt"]
    code, out, err = call(capsys, "cache", *vectors, *teacher, "--output", tmp_path / "cache-2")
    assert code == 0, err
    assert "123 of these" in out
    code, out, err = call(capsys, "distill", "--cache", tmp_path / "cache-2", *student, "--output", tmp_path / "leaf-2")
    assert code == 0, err
    assert re.search(r"training +121 texts", out)


def test_an_api_with_a_budget_is_asked_once_and_never_by_distill(capsys, monkeypatch, teacher_path, tmp_path):
    monkeypatch.setenv("LEAF_TEST_KEY", "sk-secret")
    (tmp_path / "docs.txt").write_text("\n".join([*sentences(40), sentences(1)[0]]))
    cache = tmp_path / "cache"
    with serving() as api:
        line = [
            *("cache", "--api", api.url, "--teacher", "embed-1", "--api-key-env", "LEAF_TEST_KEY", "--api-items", 8),
            *("--dimensions", 8, "--corpus", tmp_path / "docs.txt", "--output", cache),
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
    assert "sk-secret" not in out + err
    student = ["--student", teacher_path, "--layers", 1, *QUICK, "--output", tmp_path / "leaf"]
    code, out, err = call(capsys, "distill", "--cache", cache, *student)  # the endpoint is gone
    assert code == 0, err
    space = read_leaf(tmp_path / "leaf").space
    assert space.teacher == "embed-1"
    assert space.canaries.texts == CANARY_TEXTS
    assert "canaries" not in out


@pytest.mark.parametrize("student", ["model", "static"])
def test_two_steps_make_the_same_leaf_as_one(capsys, teacher_path, tmp_path, student):
    (tmp_path / "docs.txt").write_text("\n".join(sentences(150)))
    teacher = ["--teacher", teacher_path, "--corpus", tmp_path / "docs.txt"]
    chosen = ["--student", teacher_path, "--layers", 1] if student == "model" else ["--student", "static"]
    training = [
        *chosen,
        "--max-steps",
        20,
        "--set",
        "max_tokens=16",
        "teacher_tokens=16",
        "precision=float32",
        "--no-export",
    ]
    cache = tmp_path / "cache"
    assert call(capsys, "distill", *teacher, *training, "--output", tmp_path / "one")[0] == 0
    assert call(capsys, "cache", *teacher, "--max-tokens", 16, "--output", cache)[0] == 0
    alone = [] if student == "model" else ["--teacher", teacher_path]  # asked for the vectors of single tokens
    code, _, err = call(capsys, "distill", "--cache", cache, *alone, *training, "--output", tmp_path / "two")
    assert code == 0, err
    if alone:  # texts that were cut before are not said to be longer now
        code, _, err = call(
            capsys,
            *("distill", "--cache", cache, *alone, *training, "--output", tmp_path / "three"),
            *("--set", "max_tokens=32"),
        )
        assert code == 0, err
        assert FilledCache(cache).max_tokens == 16
    one, two = read_leaf(tmp_path / "one"), read_leaf(tmp_path / "two")
    assert one.space == two.space
    assert {**one.metrics, "seconds": 0} == {**two.metrics, "seconds": 0}


def test_a_cache_is_distilled_from_when_the_teacher_is_gone(capsys, teacher_path, tmp_path):
    gone = shutil.copytree(teacher_path, tmp_path / "gone")
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences(150)))
    cache = ["--cache", tmp_path / "cache"]
    filling = ["--teacher", gone, "--corpus", tmp_path / "docs.jsonl", "--max-tokens", 20]
    assert call(capsys, "cache", *filling, "--output", tmp_path / "cache")[0] == 0
    shutil.rmtree(gone)
    code, _, err = call(capsys, "distill", *cache, "--output", tmp_path / "leaf")
    assert code == 1
    assert "name a --student" in err
    student = ["--student", "static", "--tokenizer", teacher_path, "--max-steps", 20]
    code, out, err = call(capsys, "distill", *cache, *student, "--output", tmp_path / "leaf")
    assert code == 0, err
    assert re.search(r"training +147 texts", out)
    assert read_leaf(tmp_path / "leaf").recipe["config"]["max_tokens"] == 20, "as the texts were cut"


def test_what_else_lies_in_a_cache_is_not_learned_from(capsys, teacher_path, tmp_path):
    """Texts of an evaluation, or single tokens, which a static student was started from."""
    words = sentences(150)
    (tmp_path / "docs.txt").write_text("\n".join(words))
    cache = tmp_path / "cache"
    assert (
        call(capsys, "cache", "--teacher", teacher_path, "--corpus", tmp_path / "docs.txt", "--output", cache)[0] == 0
    )
    TeacherCache.stored(cache).fill([Text("an evaluation's")], SentenceTransformerEncoder(str(teacher_path)))
    student = ["--student", teacher_path, "--layers", 1, *QUICK]
    code, out, err = call(capsys, "distill", "--cache", cache, *student, "--output", tmp_path / "leaf")
    assert code == 0, err
    assert re.search(r"training +147 texts", out)
    (cache / "corpus.npz").unlink()  # as a cache that an evaluation filled, or one made before, has none
    for teacher in ([], ["--teacher", teacher_path]):
        code, out, err = call(capsys, "distill", "--cache", cache, *teacher, *student, "--output", tmp_path / "leaf-2")
        assert (code, out) == (1, "")
        assert "does not say which texts were gathered to learn from" in " ".join(err.split())


def test_a_student_that_reads_less_than_the_cached_texts_is_refused(capsys, teacher_path, tmp_path):
    (tmp_path / "docs.txt").write_text("\n".join(sentences(60)))
    cache, corpus = tmp_path / "cache", ["--teacher", teacher_path, "--corpus", tmp_path / "docs.txt"]
    line = ["distill", "--cache", cache, "--student", teacher_path, "--layers", 1, *QUICK[2:4], "--no-export"]
    line += ["--set", "max_tokens=8", "--output", tmp_path / "leaf"]
    assert call(capsys, "cache", *corpus, "--max-tokens", 16, "--output", cache)[0] == 0
    code, out, err = call(capsys, *line)
    assert (code, out) == (1, "")
    assert "of 60 texts have more than the 8 tokens that the student reads" in " ".join(err.split())
    assert not (tmp_path / "leaf").exists()
    assert call(capsys, "cache", *corpus, "--max-tokens", 8, "--output", cache)[0] == 0
    code, out, err = call(capsys, *line)
    assert code == 0, err
    assert re.search(r"training +59 texts", out), "each text once"


def test_a_recipe_by_name_from_a_file_and_from_a_leaf(capsys, teacher_path, tmp_path):
    (tmp_path / "docs.txt").write_text("\n".join(sentences(60)))
    line = ["distill", "--teacher", teacher_path, "--corpus", tmp_path / "docs.txt", "--layers", 1, "--no-export"]
    fields = {"max_steps": 7, "batch_size": 8, "learning_rate": 0.002, "seed": 3}
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(fields))
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    assert call(capsys, *line, "--recipe", recipe, "--output", first)[0] == 0
    config = read_leaf(first).recipe["config"]
    assert {name: config[name] for name in fields} == fields
    assert config["epochs"] == 10, "what a file does not say is the paper's"
    options = ["--recipe", first / "leaf.json", "--set", "batch_size=4", "query-share=null"]
    assert call(capsys, *line, *options, "--max-steps", 5, "--output", second)[0] == 0
    changed = {"batch_size": 4, "max_steps": 5}
    assert read_leaf(second).recipe["config"] == {**config, **changed}
    assert call(capsys, *line, "--recipe", second, "--output", third)[0] == 0
    assert read_leaf(third).recipe["config"] == read_leaf(second).recipe["config"]

    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "unknown.json").write_text('{"speed": 3}')
    for wrong, message in (
        (["--recipe", "slow"], "--recipe is paper, quick, static, a JSON file, or a leaf; got 'slow'"),
        (["--recipe", tmp_path / "list.json"], "holds no recipe"),
        (["--recipe", tmp_path / "broken.json"], "cannot read the recipe"),
        (["--recipe", tmp_path / "unknown.json"], "unknown field 'speed'"),
        (["--set", "batch_size"], "--set takes NAME=VALUE"),
        (["--set", "batch_size=many"], "batch_size in the recipe is 'many'"),
        (["--set", "learning_rate=-1"], "learning_rate must be above 0"),
        (["--student", "shallow"], "there is no shallow student"),
    ):
        code, out, err = call(capsys, *line, *wrong, "--output", tmp_path / "x")
        assert (code, out) == (1, ""), wrong
        assert message in " ".join(err.split()), wrong


def test_texts_are_excluded_before_they_are_cut(capsys, teacher_path, tmp_path):
    (tmp_path / "docs.txt").write_text("\n".join(sentences(150)))
    (tmp_path / "excluded.txt").write_text("\n".join(sentences(150)[:10]))
    cache, exclude = tmp_path / "cache", ["--exclude", tmp_path / "excluded.txt"]
    filling = ["--teacher", teacher_path, "--corpus", tmp_path / "docs.txt", "--max-tokens", 10, "--output", cache]
    assert call(capsys, "cache", *filling)[0] == 0
    student = ["--cache", cache, "--student", teacher_path, "--layers", "none", *QUICK, "--output", tmp_path / "leaf"]
    code, _, err = call(capsys, "distill", *student, *exclude)
    assert code == 1
    assert "Run leaf-embed cache with --exclude again" in " ".join(err.split())
    (cache / "corpus.npz").unlink()
    code, out, err = call(capsys, "cache", *filling, *exclude)
    assert code == 0, err
    assert "140 of these, 0 of them new, 150 in all" in out
    assert "skipped     10 texts: excluded" in out
    code, out, err = call(capsys, "distill", *student)
    assert code == 0, err
    assert re.search(r"training +138 texts", out)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--api", "is an option of leaf-embed cache"),
        ("--vectors", "is an option of leaf-embed cache"),
        ("--where=a=b", "--where is an option of leaf-embed cache"),
        ("--batch-size", "--set batch_size=VALUE"),
        ("--learning-rate", "--set learning_rate=VALUE"),
        ("--focal", "was removed: it did not help"),
        ("--token-embeddings", "is a field of the recipe: --set token_embeddings=VALUE"),
    ],
)
def test_an_option_that_is_gone_says_where(capsys, option, message):
    code, out, err = call(capsys, "distill", "--output", "x", option, "1")
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert call(capsys, "cache", "--output", "x", "--api-model", "m")[0] == 2


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
        *("--corpus", tmp_path / "queries.txt", f"hub:{tmp_path / 'set'}?text=body"),
        *("--exclude", tmp_path / "evaluation.txt", "--set", "batch_size=8", "query_share=0.5"),
    )
    assert code == 0, err
    assert "skipped     10 texts: excluded" in out
    assert re.search(r"training +49 texts", out)


def test_bad_options_are_one_clear_line(capsys, teacher_path, collection, tmp_path):
    vectors = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a"], "vector": [[1.0, 2.0]]}), vectors)
    qdrant = ["--from-qdrant", collection, "--collection", "docs"]
    both = [
        ([], "no teacher: give --teacher"),
        (["--teacher", teacher_path], "--corpus is missing"),
        (["--from-qdrant", collection], "needs --collection"),
        (["--from-qdrant", "/none", "--collection", "docs"], "takes a URL"),
        (["--from-qdrant", collection, "--collection", "none"], "no collection 'none'; collections there: 'docs'"),
        (qdrant, "no text under 'text'"),
        ([*qdrant, "--corpus", vectors], "needs the --teacher that wrote them"),
    ]
    cache = [
        ([*qdrant, "--vectors", vectors], "either --from-qdrant or --vectors"),
        ([*qdrant, "--where", "=even"], "--where takes key=value"),
        (["--vectors", vectors, "--corpus", vectors], "needs the --teacher that wrote them"),
        (["--vectors", "/none.parquet"], "there is no file"),
        (["--api", "http://localhost:9"], "--api needs --teacher"),
        (["--budget", 3, "--teacher", teacher_path, "--corpus", vectors], "are for an --api"),
        (["--where", "a=b", "--teacher", teacher_path, "--corpus", vectors], "for a --from-qdrant collection"),
        (["--query-prompt", "q: ", "--teacher", teacher_path, "--corpus", vectors], "a model has its own"),
        (["--api", "localhost:9", "--teacher", "m", "--corpus", vectors], "address must be like"),
    ]
    distill = [
        (["--cache", tmp_path / "none"], "holds no teacher cache"),
        (["--cache", tmp_path / "none", "--teacher", teacher_path], "holds no teacher cache"),
    ]
    student = ["--student", teacher_path, "--output", tmp_path / "leaf"]
    lines = [(["distill", *arguments, *student], message) for arguments, message in both + distill]
    lines += [(["cache", *arguments, "--output", tmp_path / "cache"], message) for arguments, message in both + cache]
    for arguments, message in lines:
        code, out, err = call(capsys, *arguments)
        assert (code, out) == (1, ""), arguments
        assert message in " ".join(err.split()), arguments
        assert "Traceback" not in err
    code, _, err = call(capsys, "distill", *qdrant, "--output", tmp_path / "leaf")
    assert code == 1
    assert "name a --student" in err
    assert not (tmp_path / "leaf").exists()
    assert not (tmp_path / "cache").exists()


def test_spread_of_options_with_several_values():
    assert spread(["cache", "--vectors", "a", "b", "--where", "x=1", "y=2"]) == [
        *("cache", "--vectors", "a", "--vectors", "b"),
        *("--where", "x=1", "--where", "y=2"),
    ]
