"""The README's blocks run, and the documentation names what there is."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer

from leaf_embed.cli import run
from leaf_embed.cli.app import app
from tests.conftest import sentences

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ["README.md", "CONTRIBUTING.md", "examples/LOG.md", *(f"docs/{file.name}" for file in ROOT.glob("docs/*.md"))]
BLOCKS = re.findall(r"<!-- run -->\n```(bash|python)\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def workplace(tmp_path, monkeypatch, teacher_path):
    """A directory with what the README's reader is said to have: a teacher, texts, a retrieval set."""
    shutil.copytree(teacher_path, tmp_path / "teacher")
    words = sentences(120, seed=11)
    documents = [{"_id": f"d{i}", "title": "", "text": text} for i, text in enumerate(words)]
    queries = [{"_id": f"q{i}", "text": " ".join(text.split()[:3])} for i, text in enumerate(words[:10])]
    beir = tmp_path / "my-beir-set"
    (beir / "qrels").mkdir(parents=True)
    for file, records in (
        (tmp_path / "docs.jsonl", documents),
        (beir / "corpus.jsonl", documents),
        (beir / "queries.jsonl", queries),
    ):
        file.write_text("".join(json.dumps(record) + "\n" for record in records))
    judgements = "".join(f"q{i}\td{i}\t1\n" for i in range(10))
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judgements)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_blocks_run_from_top_to_bottom(workplace, capsys):
    assert [language for language, _ in BLOCKS] == ["bash", "python", "bash"] + ["python"] * 6 + ["bash"]
    for language, code in BLOCKS:
        if language == "python":
            exec(compile(code, "README.md", "exec"), {})
            continue
        for line in code.strip().splitlines():
            command, *arguments = shlex.split(line)
            assert command == "leaf-embed"
            assert run(arguments) == 0, capsys.readouterr().err


def test_the_commands_take_the_best_student():
    """A choice of layers that fits one teacher makes a worse leaf of another than the default."""
    distilled = [
        line for language, code in BLOCKS if language == "bash" for line in code.splitlines() if "distill" in line
    ]
    assert len(distilled) == 2
    assert not any("--layers" in line for line in distilled)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        assert ((ROOT / page).parent / target).exists(), target


def test_every_command_and_verb_is_documented():
    text = README + (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for command in app.registered_commands:
        assert re.search(rf"\b{command.name}\b", text), command.name
    verbs = re.findall(r"^([a-z-]+): ", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for verb in set(verbs) - {"clean"}:
        assert f"`make {verb}`" in contributing, verb


@pytest.mark.parametrize("page", [*PAGES, "examples/recipes/common.sh", "examples/recipes/paper.sh"])
def test_documented_options_exist(page):
    """Of each ``leaf-embed COMMAND ...``, in a block or in a sentence."""
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    commands = typer.main.get_command(app).commands
    for name, rest in re.findall(r"leaf-embed\s([a-z]+)\b([^`\n]*)", text):
        if name not in commands:
            continue
        known = {option for one in commands[name].params for option in (*one.opts, *one.secondary_opts)}
        unknown = set(re.findall(r"(?<=\s)--[a-z][a-z0-9-]*", rest)) - known
        assert not unknown, f"{page}: leaf-embed {name} has no {sorted(unknown)}"


def test_documented_fingerprint_can_be_reimplemented():
    """From docs/leaf-directory.md alone."""
    import hashlib

    from leaf_embed import EmbeddingSpace

    space = EmbeddingSpace("org/t", 8, "abc", query_prompt="q: ", max_tokens=64)
    value = ["leaf-embed/space", 1, {
        "dim": 8, "max_tokens": 64, "prompts": ["q: ", ""], "revision": "abc", "rotation": None, "teacher": "org/t",
        "unit_norm": True,
    }]  # fmt: skip
    assert space.fingerprint == hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
