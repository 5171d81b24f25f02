"""Real text that every machine has: the documentation inside Python's own standard library.

Docstrings are read from the source with ``ast``; no module is imported and nothing is executed. The language
reference comes from ``pydoc_data/topics.py``. What is there depends on the Python version and on the distribution
(Debian packages tkinter apart, for example); the rest works with whatever is found.
"""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from leaf_embed.errors import CorpusError

__all__ = ["Entry", "Library", "passages", "paragraphs", "read_library"]

# Installed packages, tests, applications, generated tables, and distutils, which Python 3.12 removed.
SKIPPED_PACKAGES = {"distutils", "encodings", "idlelib", "lib2to3", "pydoc_data", "turtledemo"}
SKIPPED = SKIPPED_PACKAGES | {
    "site-packages",
    "dist-packages",
    "lib-dynload",
    "__pycache__",
    "_bundled",
    "test",
    "tests",
    "idle_test",
}
# The pure-Python twin of a module written in C holds the docstrings under another name.
PUBLIC_NAMES = {
    "_collections_abc": "collections.abc",
    "_pydatetime": "datetime",
    "_pydecimal": "decimal",
    "_pyio": "io",
}
TOPICS = Path("pydoc_data", "topics.py")
PASSAGE_WORDS = (120, 180)  # a passage ends at the first paragraph's end after 120 words and never exceeds 180

Documented: TypeAlias = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Entry:
    """One documented thing: a module, class, function or method, or a passage of the language reference.

    Attributes:
        id: Qualified name, ``"pathlib.Path.mkdir"``, or ``"topics/<name>/<number>"``.
        group: Top-level module, or ``"topics/<name>"``: what is never divided between training and evaluation.
        title: What is shown and indexed as its name.
        text: The docstring, cleaned of indentation, or the passage.
    """

    id: str
    group: str
    title: str
    text: str

    @property
    def is_topic(self) -> bool:
        """Whether it is a passage of the language reference."""
        return self.group.startswith("topics/")

    @property
    def is_public(self) -> bool:
        """Whether no part of the name is private; ``__init__`` and its like are public."""
        return self.is_topic or not re.search(r"(^|\.)_(?!_\w+__(\.|$))", self.id)


@dataclass(frozen=True)
class Library:
    """The entries read by :func:`read_library`.

    Attributes:
        entries: In the order of file names (twins last), then of the source, and then the language reference.
        files: Number of files read.
        unreadable: Number of files that could not be read, decoded or parsed.
    """

    entries: tuple[Entry, ...]
    files: int
    unreadable: int


def read_library(root: Path | None = None) -> Library:
    """Reads every docstring below ``root``, and the language reference.

    Args:
        root: Directory of the standard library; ``None`` takes that of the running Python. Takes about 5 seconds.

    Raises:
        CorpusError: ``root`` is no directory.
    """
    root = Path(sysconfig.get_paths()["stdlib"]) if root is None else Path(root)
    if not root.is_dir():
        raise CorpusError(f"there is no directory {root}; expected the source of Python's standard library")
    found: dict[str, Entry] = {}
    files = unreadable = 0
    for path in _source_files(root):
        tree = _parse(path)
        files += tree is not None
        unreadable += tree is None
        if tree is not None:
            for name, text in _docstrings(tree, _module_name(path.relative_to(root))):
                found.setdefault(name, Entry(name, name.split(".")[0], name, text))
    return Library((*found.values(), *_topics(root / TOPICS)), files, unreadable)


def _source_files(root: Path) -> Iterator[Path]:
    # Twins last: where both have a docstring, the public module's is the better one.
    for path in sorted(root.iterdir(), key=lambda path: (path.stem in PUBLIC_NAMES, path.name)):
        if path.name in SKIPPED or path.is_symlink():
            continue
        if path.is_dir():
            yield from _source_files(path)
        elif path.suffix == ".py":
            yield path


def _parse(path: Path) -> ast.Module | None:
    """The syntax tree, or ``None`` if the file cannot be read, decoded or parsed."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def _module_name(relative: Path) -> str:
    parts = relative.with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
    return PUBLIC_NAMES.get(name, name)


def _docstrings(node: Documented, name: str) -> Iterator[tuple[str, str]]:
    """(qualified name, docstring) of a module or class and of what it defines, functions inside functions left out."""
    text = ast.get_docstring(node)
    if text:
        yield name, text
    if isinstance(node, ast.Module | ast.ClassDef):
        for child in _definitions(node.body):
            yield from _docstrings(child, f"{name}.{child.name}")


def _definitions(body: list[ast.stmt]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Classes and functions of a body, also those under ``if``, ``try`` and ``with``."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _definitions(node.body)
            yield from _definitions(getattr(node, "orelse", []))
            for handler in getattr(node, "handlers", []):
                yield from _definitions(handler.body)


def _topics(path: Path) -> Iterator[Entry]:
    """Passages of the language reference; a paragraph that several topics share is kept in the first only."""
    seen: set[str] = set()
    for name, text in sorted(_topic_dict(path).items()):
        title, *rest = paragraphs(text)
        fresh = [p for p in rest if p not in seen]
        seen.update(rest)
        for number, passage in enumerate(passages(fresh), start=1):
            yield Entry(f"topics/{name}/{number}", f"topics/{name}", title.strip("* "), passage)


def _topic_dict(path: Path) -> dict[str, str]:
    tree = _parse(path) if path.is_file() else None
    for node in tree.body if tree else []:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            value = ast.literal_eval(node.value)
            return {name: text for name, text in value.items() if text.strip()}
    return {}


def paragraphs(text: str) -> list[str]:
    """Blocks between blank lines, white space collapsed."""
    return [" ".join(block.split()) for block in re.split(r"\n\s*\n", text.strip()) if block.strip()]


def passages(blocks: list[str]) -> Iterator[str]:
    """Join paragraphs into passages of about 120 to 180 words; only a longer paragraph is cut inside."""
    shortest, longest = PASSAGE_WORDS
    words: list[str] = []
    for block in blocks:
        added = block.split()
        if words and len(words) + len(added) > longest:
            yield " ".join(words)
            words = []
        words += added
        while len(words) >= shortest:
            yield " ".join(words[:longest])
            words = words[longest:]
    if words:
        yield " ".join(words)
