"""The model card: its numbers are those of the files, and its code runs and gives the leaf's vector."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

import leaf_embed
from leaf_embed.distill import read_report, write_card
from leaf_embed.errors import InputError, NotALeafError
from leaf_embed.export.card_snippets import snippets
from leaf_embed.format import LeafInfo, read_leaf, read_parity


@pytest.fixture
def copy(leaf_path, tmp_path):
    return shutil.copytree(leaf_path, tmp_path / "copy")


def report(space, value=0.5):
    kept = {"nDCG@10": value, "retention": {"value": 0.9, "low": 0.85, "high": 0.95}}
    modes = {"teacher": {"nDCG@10": 0.6}, "asymmetric": kept, "symmetric": {"nDCG@10": 0.4}}
    point = {"dim": space.dim, "quantization": "int8", "modes": modes}
    head = {"format": "leaf-embed/evaluation", "version": 2, "fingerprint": space.fingerprint, "teacher": space.teacher}
    return head | {"sets": [{"name": "rivers", "points": [point]}]}


def shown(leaf):
    """The card, the padding of its tables left out."""
    return re.sub(" +", " ", (leaf / "README.md").read_text())


def test_distill_writes_a_card_with_the_parity_of_its_graphs(leaf_path):
    card = shown(leaf_path)
    info, parity = read_leaf(leaf_path), read_parity(leaf_path)
    assert info.space.fingerprint in card
    for found in parity.values():
        assert f"{found['mean_cosine']:.4f} | {found['min_cosine']:.4f} | {found['top10_overlap']:.1%}" in card
        assert found["recipe"] in card
    assert str(leaf_path.parent) not in card  # nobody's directories
    assert "## Retention" not in card


def test_front_matter_is_what_the_hub_reads(copy):
    from huggingface_hub import ModelCard

    data = ModelCard.load(copy / "README.md").data
    assert data.library_name == "sentence-transformers"
    assert "transformers.js" in data.tags
    assert data.base_model is None  # a path is no hub id


def test_a_report_gives_a_retention_table_and_is_kept(copy):
    space = read_leaf(copy).space
    write_card(copy, report=report(space))
    write_card(copy, name="org/leaf")
    card = shown(copy)
    assert "| rivers | 32 | int8 | 0.6000 | 0.5000 = 90.0% (85.0 to 95.0) | 0.4000 |" in card
    assert "## Retention" in card
    assert "leaf_embed.load('org/leaf')" in card
    assert read_report(copy / "evaluation.json")["sets"][0]["name"] == "rivers"


def test_a_card_shows_a_report_of_the_version_before(copy):
    old = report(read_leaf(copy).space) | {"version": 1}
    (copy / "evaluation.json").write_text(json.dumps(old))
    assert write_card(copy) == copy / "README.md"
    assert "0.5000 = 90.0% (85.0 to 95.0)" in shown(copy)
    with pytest.raises(InputError, match="version 1; this release reads 2 and 3 here"):
        read_report(copy / "evaluation.json")
    (copy / "evaluation.json").write_text(json.dumps(old | {"version": 9}))
    with pytest.raises(InputError, match="version 9; this release reads 1 and 2 and 3 here"):
        write_card(copy)


def test_a_report_of_another_space_and_other_files_are_refused(copy, tmp_path):
    with pytest.raises(InputError, match="fingerprint 0123"):
        write_card(copy, report=report(read_leaf(copy).space) | {"fingerprint": "0123"})
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match="is no evaluation report"):
        read_report(tmp_path / "x.json")
    with pytest.raises(InputError, match="cannot read"):
        read_report(tmp_path / "none.json")


def test_a_damaged_parity_file_is_named(copy):
    (copy / "parity.json").write_text("{")
    with pytest.raises(NotALeafError, match=r"parity\.json .*is damaged: export the leaf again"):
        write_card(copy)


def test_a_readme_of_the_users_own_is_left_alone(copy):
    (copy / "README.md").write_text("# mine")
    assert write_card(copy) is None
    assert (copy / "README.md").read_text() == "# mine"


@pytest.mark.parametrize("library", ["leaf-embed", "sentence-transformers", "LangChain", "fastembed"])
def test_the_code_on_the_card_gives_the_leafs_vector(copy, library):
    if library == "fastembed":
        pytest.importorskip("fastembed")
    write_card(copy, name=str(copy))
    blocks = re.findall(r"### (\S+)\n\n```python\n(.*?)```", (copy / "README.md").read_text(), flags=re.DOTALL)
    code = dict(blocks)[library]
    scope = {}
    exec(compile(code, library, "exec"), scope)
    expected = leaf_embed.load(copy, variant="float32").encode_query("where is the river")
    assert np.asarray(scope["vector"]) @ expected > 0.97  # int8 where the library takes it


def test_a_static_leaf_offers_no_graph_to_load():
    info = LeafInfo(leaf_embed.EmbeddingSpace("org/teacher", 4, query_prompt="ask: "), 64, kind="static")
    assert set(snippets(info, "x")) == {"leaf-embed", "sentence-transformers", "LangChain"}
    assert "'ask: ' + \"where" in snippets(replace(info, kind="transformer"), "x")["transformers.js"]
