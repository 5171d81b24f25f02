"""The import arrows, and the front door's few names."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import leaf_embed
import leaf_embed.distill
import leaf_embed.encoders
import leaf_embed.evaluation
import leaf_embed.qdrant

ROOT = Path(leaf_embed.__file__).parent

ALLOWED = {  # who may import whom, besides itself
    "errors": set(),
    "_files": set(),
    "_extras": {"errors"},
    "_parquet": {"_extras", "errors"},
    "vectors": {"errors"},
    "canaries": {"errors", "vectors"},
    "space": {"_files", "errors", "canaries"},
    "format": {"_files", "errors", "space"},
    "encoders": {"_extras", "_files", "canaries", "errors", "format", "space", "vectors"},
    "distill": {"_extras", "_files", "_parquet", "canaries", "encoders", "errors", "format", "space", "vectors"},
    "evaluation": {"_extras", "_files", "canaries", "encoders", "errors", "space", "vectors"},
    "serve": {"_extras", "encoders", "errors", "space", "vectors"},
    "qdrant": {"_extras", "_files", "_parquet", "canaries", "encoders", "errors", "space", "vectors"},
}
AT_THE_TOP = {"cli", "demo"}  # these may import everything
HEAVY = (
    "{'torch', 'transformers', 'sentence_transformers', 'onnxruntime', 'qdrant_client', 'pyarrow', 'huggingface_hub'}"
)


def imports(file: Path) -> set[str]:
    """Parts of the package that a file imports when it runs, not only for its types."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    hidden = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in hidden and (node.module or "").startswith("leaf_embed"):
            part = (node.module or "").split(".")[1:2]
            found.update(part or [alias.name for alias in node.names])
    return found


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_arrows(part):
    files = [ROOT / f"{part}.py"] if (ROOT / f"{part}.py").is_file() else sorted((ROOT / part).rglob("*.py"))
    for file in files:
        extra = imports(file) - ALLOWED[part] - {part, "__version__"}
        assert not extra, f"{file.relative_to(ROOT)} imports {extra}"


def test_every_part_has_its_arrows():
    parts = {p.stem for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    assert parts - {"__init__"} == set(ALLOWED) | AT_THE_TOP


@pytest.mark.parametrize(
    "package", [leaf_embed, leaf_embed.distill, leaf_embed.encoders, leaf_embed.evaluation, leaf_embed.qdrant]
)
def test_exported_names_exist_and_are_documented(package):
    for name in package.__all__:
        assert getattr(package, name).__doc__, name


def test_front_door():
    expected = ["EmbeddingSpace", "Encoder", "LeafEmbedError", "LeafEncoder", "__version__", "load"]
    assert sorted(leaf_embed.__all__) == sorted(expected)


@pytest.mark.parametrize(
    "module", ["leaf_embed", "leaf_embed.cli", "leaf_embed.distill", "leaf_embed.evaluation", "leaf_embed.qdrant"]
)
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_extra_says_what_to_install():
    code = (
        "import sys; sys.modules['sentence_transformers'] = None\n"
        "from leaf_embed.errors import MissingExtraError\n"
        "from leaf_embed.encoders.transformer import SentenceTransformerEncoder\n"
        "try: SentenceTransformerEncoder('x')\n"
        "except MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'leaf-embed[train]'" in done.stdout
