"""The space: identity, the versioned JSON form, canaries, and the refusal to mix."""

import json
from dataclasses import replace

import numpy as np
import pytest

from leaf_embed import EmbeddingSpace
from leaf_embed.canaries import CANARY_TEXTS, Canaries
from leaf_embed.errors import InputError, NotALeafError, SpaceMismatchError
from leaf_embed.space import model_name

SPACE = EmbeddingSpace("org/teacher", 4, revision="abc", query_prompt="query: ", max_tokens=512)


class Words:
    """Vectors from the characters of a text: deterministic, and another ``shift`` is another model."""

    def __init__(self, space=SPACE, shift=0):
        self.space = space
        self.shift = shift

    def encode_query(self, texts):
        return self.encode_document([self.space.query_prompt + text for text in texts])

    def encode_document(self, texts):
        seeds = [[ord(c) + self.shift for c in text] for text in texts]
        return np.asarray([np.random.default_rng(s).normal(size=self.space.dim) for s in seeds], dtype=np.float32)


@pytest.mark.parametrize(
    "change",
    [
        {"teacher": "org/other"},
        {"dim": 5},
        {"revision": "abd"},
        {"query_prompt": ""},
        {"document_prompt": "passage: "},
        {"unit_norm": False},
        {"max_tokens": 256},
        {"rotation": "sha256:00"},
    ],
)
def test_every_field_changes_the_fingerprint(change):
    assert replace(SPACE, **change).fingerprint != SPACE.fingerprint


def test_fingerprint_is_stable_across_releases():
    assert SPACE.fingerprint == "000c427d40d3cfdd"


def test_swapped_prompts_are_another_space():
    assert replace(SPACE, query_prompt="", document_prompt="query: ").fingerprint != SPACE.fingerprint


def test_a_digest_stands_for_the_path():
    here, there = (replace(SPACE, teacher=path, revision="sha256:12") for path in ("/a/model", "/b/model"))
    assert here.fingerprint == there.fingerprint


def test_canaries_do_not_change_the_fingerprint():
    assert SPACE.with_canaries(Canaries.of(Words())).fingerprint == SPACE.fingerprint


@pytest.mark.parametrize("change", [{"teacher": ""}, {"dim": 0}, {"max_tokens": 0}])
def test_impossible_spaces(change):
    with pytest.raises(InputError):
        replace(SPACE, **change)


def test_json_round_trip(tmp_path):
    space = SPACE.with_canaries(Canaries.of(Words()))
    space.save(tmp_path / "space.json")
    again = EmbeddingSpace.load(tmp_path / "space.json")
    assert again == space
    assert again.fingerprint == space.fingerprint
    assert again.canaries.texts == CANARY_TEXTS
    np.testing.assert_allclose(again.canaries.vectors, space.canaries.vectors, rtol=1e-3)
    assert [f.name for f in tmp_path.iterdir()] == ["space.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "holds no embedding space"),
        ({"version": 2}, "version 2; this release reads version 1"),
        ({"dim": 5}, "changed by hand"),
        ({"dim": "many"}, "damaged"),
        ({"canaries": [{"role": "query"}]}, "damaged"),
    ],
)
def test_damaged_json(change, message):
    with pytest.raises(NotALeafError, match=message):
        EmbeddingSpace.from_dict(SPACE.to_dict() | change)


def test_missing_and_unreadable_file(tmp_path):
    with pytest.raises(NotALeafError, match="cannot read"):
        EmbeddingSpace.load(tmp_path / "none.json")
    (tmp_path / "half.json").write_text(json.dumps(SPACE.to_dict())[:50])
    with pytest.raises(NotALeafError, match="cannot read"):
        EmbeddingSpace.load(tmp_path / "half.json")


def test_different_spaces_refuse_to_meet():
    other = replace(SPACE, teacher="org/other")
    with pytest.raises(SpaceMismatchError) as caught:
        SPACE.require_same(other, mine="the collection 'docs'", theirs="the leaf", advice="Use the right leaf.")
    for part in ("the collection 'docs'", "the leaf", "org/teacher", "org/other", SPACE.fingerprint, "Use the right"):
        assert part in str(caught.value)


def test_verify_accepts_the_teacher_and_refuses_another_model():
    space = SPACE.with_canaries(Canaries.of(Words()))
    report = space.verify(Words())
    assert report.passed
    assert report.mean == pytest.approx(1)
    with pytest.raises(SpaceMismatchError, match="does not write into the space"):
        space.verify(Words(shift=1))


def test_verify_refuses_another_prompt():
    space = SPACE.with_canaries(Canaries.of(Words()))
    with pytest.raises(SpaceMismatchError):
        space.verify(Words(replace(SPACE, query_prompt="")), roles=("query",))


def test_verify_refuses_another_dim():
    space = SPACE.with_canaries(Canaries.of(Words()))
    with pytest.raises(SpaceMismatchError, match="5 dimensions; the space has 4"):
        space.verify(Words(replace(SPACE, dim=5)))


def test_verify_needs_canaries():
    with pytest.raises(InputError, match="no canaries"):
        SPACE.verify(Words())


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("org/model", "org/model"),
        ("text-embedding-3-small", "text-embedding-3-small"),
        ("/home/me/hub/models--org--name/snapshots/" + "0a" * 20, "org/name"),
        ("/data/my-encoder", "my-encoder"),
        ("/data/my-encoder/", "my-encoder"),
        ("/data/my-encoder/model", "my-encoder"),
        ("/data/my-encoder/checkpoint-500", "my-encoder"),
        ("/model", "model"),
    ],
)
def test_a_model_has_a_telling_name(source, name):
    assert model_name(source) == name


@pytest.mark.parametrize(
    ("card", "name"),
    [
        ("---\nlicense: mit\n---\n# all-MiniLM-L6-v2\nIt embeds.\n", "all-MiniLM-L6-v2"),
        ("# org/other\n", "org/other"),
        ("# A model that embeds\n", "home"),
        ("# model\n", "home"),
        ("", "home"),
        (None, "home"),
    ],
)
def test_a_plain_directory_is_named_by_its_card(tmp_path, monkeypatch, card, name):
    folder = tmp_path / "home" / "model"
    folder.mkdir(parents=True)
    if card is not None:
        (folder / "README.md").write_text(card)
    assert model_name(str(folder)) == name
    monkeypatch.chdir(folder.parent)
    assert model_name("model") == name
    assert model_name("./model") == name
