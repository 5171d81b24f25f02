"""Reading documentation from source: a small made-up library with an answer written out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from leaf_embed.demo.stdlib import Entry, passages, read_library
from leaf_embed.errors import CorpusError

SHAPES = '''"""Plane shapes."""
import sys

class Circle:
    """A round shape.

    It has no corners.
    """
    def area(self):
        """Return the area."""
        def helper():
            """Nobody sees a function inside a function."""
    def _grow(self):
        """Grow a little."""

if sys.platform == "win32":
    def draw(): "Draw on Windows."
else:
    def draw(): "Draw elsewhere."
try:
    import nothing
except ImportError:
    async def fetch():
        """Fetch."""
'''
TOPICS = """topics = {'loops': 'Loops\\n*****\\n\\nA loop repeats.\\n\\nIt may end.', 'again': '''Again
*****

Again.

A loop repeats.''', 'empty': ''}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "shapes.py": SHAPES,
        "pack/__init__.py": '"""A package."""',
        "pack/inner.py": 'def f():\n    """Inner f."""',
        "_pyio.py": '"""The twin\'s text."""\ndef open():\n    """Only here."""',
        "io.py": '"""The public text."""',
        "site-packages/other.py": '"""Not ours."""',
        "pack/tests/test_inner.py": '"""A test."""',
        "broken.py": "def (:",
        "pydoc_data/topics.py": TOPICS,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "undecodable.py").write_bytes(b'"""\xff\xfe"""')
    return tmp_path


def test_everything_documented_is_found_in_order(root: Path) -> None:
    library = read_library(root)
    assert [(entry.id, entry.group, entry.title, entry.text) for entry in library.entries] == [
        ("io", "io", "io", "The public text."),
        ("pack", "pack", "pack", "A package."),
        ("pack.inner.f", "pack", "pack.inner.f", "Inner f."),
        ("shapes", "shapes", "shapes", "Plane shapes."),
        ("shapes.Circle", "shapes", "shapes.Circle", "A round shape.\n\nIt has no corners."),
        ("shapes.Circle.area", "shapes", "shapes.Circle.area", "Return the area."),
        ("shapes.Circle._grow", "shapes", "shapes.Circle._grow", "Grow a little."),
        ("shapes.draw", "shapes", "shapes.draw", "Draw on Windows."),
        ("shapes.fetch", "shapes", "shapes.fetch", "Fetch."),
        ("io.open", "io", "io.open", "Only here."),
        ("topics/again/1", "topics/again", "Again", "Again. A loop repeats."),
        ("topics/loops/1", "topics/loops", "Loops", "It may end."),
    ]
    assert (library.files, library.unreadable) == (5, 2)


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("json.dumps", True),
        ("pathlib.Path.__init__", True),
        ("_thread", False),
        ("json._default", False),
        ("a.__hidden", False),
        ("topics/_x/1", True),
    ],
)
def test_private_names(name: str, public: bool) -> None:
    group = name.rsplit("/", 1)[0] if "/" in name else name.split(".")[0]
    assert Entry(name, group, name, "text").is_public is public


def test_passages_end_between_paragraphs() -> None:
    def block(words: int) -> str:
        return " ".join(["word"] * words)

    assert [len(p.split()) for p in passages([block(100), block(50), block(30)])] == [150, 30]
    assert [len(p.split()) for p in passages([block(100), block(100)])] == [100, 100]
    assert [len(p.split()) for p in passages([block(400)])] == [180, 180, 40]
    assert list(passages([])) == []


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="there is no directory"):
        read_library(tmp_path / "nowhere")
