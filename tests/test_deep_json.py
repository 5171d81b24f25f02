"""JSON nested more deeply than Python follows: in every file that a user or a model may bring, our error."""

import pytest

from leaf_embed import EmbeddingSpace
from leaf_embed._files import parse_json, read_json
from leaf_embed.cli.commands.distill import read_recipe
from leaf_embed.cli.options import conditions
from leaf_embed.encoders.published import Tail, open_published
from leaf_embed.encoders.st_modules import Module, Modules
from leaf_embed.errors import CacheError, InputError, LeafEmbedError, NotALeafError
from leaf_embed.format import read_leaf
from leaf_embed.reports import read_report
from leaf_embed.teacher import TeacherCache

DEEP = "[" * 100_000


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a.json").write_text(DEEP)
    return tmp_path / "a.json"


def test_the_reader(file, tmp_path):
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(file)
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(DEEP)
    (tmp_path / "b.json").write_text('{"a": [1]}')
    assert read_json(tmp_path / "b.json") == {"a": [1]}


@pytest.mark.parametrize(
    ("name", "call", "error"),
    [
        ("a.json", lambda path: read_report(path / "a.json"), InputError),
        ("a.json", read_report, InputError),
        ("a.json", lambda path: EmbeddingSpace.load(path / "a.json"), NotALeafError),
        ("a.json", lambda path: read_recipe(str(path / "a.json"), None, (), {}), InputError),
        ("a.json", lambda path: read_recipe(None, None, [f"seed={DEEP}"], {}), InputError),
        ("a.json", lambda path: conditions([f"a={DEEP}"]), InputError),
        ("leaf.json", read_leaf, NotALeafError),
        ("cache.json", TeacherCache.stored, CacheError),
        ("modules.json", lambda path: open_published(path, EmbeddingSpace("t", 2), "auto", 1), LeafEmbedError),
    ],
)
def test_every_reader(tmp_path, name, call, error):
    (tmp_path / name).write_text(DEEP)
    with pytest.raises(error):
        call(tmp_path)


@pytest.mark.parametrize("content", [DEEP, "[1]", "{", None])
@pytest.mark.parametrize("kind", ["Pooling", "Dense"])
def test_the_modules_of_a_published_model(tmp_path, kind, content):
    (tmp_path / "1").mkdir()
    if content is not None:
        (tmp_path / "1" / "config.json").write_text(content)
    modules = Modules((Module("Transformer", ""), Module(kind, "1")), routed=False)
    with pytest.raises(NotALeafError, match=r"config\.json"):
        Tail(tmp_path, modules, unit_norm=True)
