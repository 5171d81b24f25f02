"""Every recipe from end to end, with tiny stand-ins for its models and texts, and few steps."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from leaf_embed.format import read_leaf
from tests.conftest import make_model, texts

RECIPES = Path(__file__).parents[1] / "examples" / "recipes"
LAYERS = {  # in the order in which one begins from the other
    "01_leaf_minilm_static": None,
    "05_leaf_minilm_0l": 0,
    "04_leaf_minilm_3l": 3,
    "03_leaf_minilm_2l": 2,
    "02_leaf_minilm_1l": 1,
    "06_leaf_minilm_1l_head": 1,
}


def write_corpus(folder):
    folder.mkdir()
    lines = [f'{{"text": "{text.text}", "kind": "{text.kind}"}}\n' for text in texts(200)]
    (folder / "some.jsonl").write_text("".join(lines))
    return folder


def run(name, folder, *options, **variables):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", str(RECIPES / f"{name}.sh"), *options],
        env=os.environ | variables | {"PATH": path, "OUT": str(folder / "leaf"), "CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return read_leaf(folder / "leaf")


@pytest.mark.slow
def test_our_recipes_each_from_the_leaf_before(tmp_path):
    variables = {
        "TEACHER": str(make_model(tmp_path / "teacher", layers=6)),
        "CORPUS": str(write_corpus(tmp_path / "corpus")),
        "SOURCE": "",
        "SPACE_OF": "",
    }
    spaces = set()
    for name, kept in LAYERS.items():
        steps = [] if "static" in name else ["--max-steps", "5"]
        info = run(name, tmp_path / name, "--no-export", *steps, **variables)
        assert info.space.rotation is not None
        spaces.add(info.space.fingerprint)
        assert info.recipe["config"]["max_tokens"] == 128
        layers = info.recipe["layers"]
        assert (None if layers is None else len(layers)) == kept
        variables["SOURCE"] = str(tmp_path / name / "leaf")
        variables["SPACE_OF"] = variables["SPACE_OF"] or variables["SOURCE"]
    assert len(spaces) == 1, "one collection serves them all"
    first, on = info, run(name, tmp_path / "on", "--no-export", "--max-steps", "0", **variables)
    assert on.recipe["head"] == [1536, 1536]
    assert on.metrics["final"]["loss"] == pytest.approx(first.metrics["final"]["loss"], rel=1e-3), "trained on"


def test_a_recipe_says_which_leaf_it_begins_from(tmp_path):
    with pytest.raises(AssertionError, match="SOURCE: the leaf of recipe 04"):
        run("03_leaf_minilm_2l", tmp_path, TEACHER="unread", SOURCE="")


@pytest.mark.parametrize(("name", "unit_norm"), [("10_paper_leaf_ir", True), ("11_paper_leaf_mt", False)])
def test_the_papers_recipes(name, unit_norm, tmp_path):
    teacher = make_model(tmp_path / "teacher", width=48, normalize=unit_norm)
    student = make_model(tmp_path / "student", layers=6, seed=1)
    corpus = write_corpus(tmp_path / "corpus") / "some.jsonl"
    variables = {"TEACHER": str(teacher), "STUDENT": str(student), "CORPUS": f"{corpus}\n{corpus}"}
    info = run(name, tmp_path, "--max-steps", "6", "--no-export", **variables)
    config = info.recipe["config"]
    assert (info.space.dim, info.space.unit_norm) == (48, unit_norm)
    paper = {"batch_size": 32, "cycles": 3, "epochs": 10, "learning_rate": 1e-4, "final_learning_rate": 1e-5}
    assert {key: config[key] for key in paper} == paper
    assert info.recipe["layers"] is None, "all six layers"
    assert ("3_Normalize" in (tmp_path / "leaf" / "modules.json").read_text()) == unit_norm


def test_the_sample_is_the_same_every_time(tmp_path):
    source = tmp_path / "train"
    source.mkdir()
    with gzip.open(source / "clinc150_train.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.writelines(f'{{"text": "text {place}", "kind": "query"}}\n' for place in range(9000))
    for name in ("a", "b"):
        command = [sys.executable, str(RECIPES / "sample_corpus.py"), str(source), str(tmp_path / name)]
        subprocess.run(command, check=True)
    first, second = ((tmp_path / name / "clinc150_train.jsonl").read_text() for name in ("a", "b"))
    assert first == second
    assert len(first.splitlines()) == 8000


def test_further_queries_are_new_and_the_same_every_time(tmp_path):
    source, target = tmp_path / "train", tmp_path / "corpus"
    source.mkdir()
    target.mkdir()
    article = (
        "The river {n}. It feeds {n} old mills near the northern town in winter. "
        "The {n} cells of its fish are studied in the old laboratory."
    )
    for name, pattern in {
        "wikipedia_passages": article,
        "arxiv_abstracts": "We measure {n} patients and the genes of {n} mice in one large study of the liver.",
        "simplequestions": "who built bridge {n}",
        "medquad_questions": "what is syndrome {n}",
    }.items():
        with gzip.open(source / f"{name}.jsonl.gz", "wt", encoding="utf-8") as stream:
            stream.writelines(json.dumps({"text": pattern.format(n=n)}) + "\n" for n in range(60))
    known = ["The 7 cells of its fish are studied in the old laboratory.", "who built bridge 3"]
    for name, text in zip(("wikipedia_passages_sentences", "simplequestions"), known, strict=True):
        (target / f"{name}.jsonl").write_text(json.dumps({"text": text}) + "\n")
    runs = []
    for _ in range(2):
        subprocess.run([sys.executable, str(RECIPES / "more_queries.py"), str(source), str(target)], check=True)
        runs.append({file.stem: file.read_text() for file in target.glob("*.jsonl")})
    assert runs[0] == runs[1]
    found = {name: [json.loads(line)["text"] for line in lines.splitlines()] for name, lines in runs[0].items()}
    everything = [text for some in found.values() for text in some]
    assert len(everything) == len(set(everything))
    assert len(found["simplequestions_more"]) == 59
    assert sorted(found["wikipedia_titles_more"])[:2] == ["The river 0", "The river 1"]
    assert "who built bridge 3" in everything
    words = set(article.lower().replace(".", "").split()) | {str(n) for n in range(60)}
    words |= set("we measure patients and the genes of mice in one large study of the liver".split())
    for text in found["keywords_more"]:
        assert 2 <= len(text.split()) <= 6
        assert set(text.lower().split()) <= words
