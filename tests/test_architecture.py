"""The layout of the package: who may import whom, no cycles, small folders, and few names at the front door."""

import ast
import inspect
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import leaf_embed
import leaf_embed.distill
import leaf_embed.encoders
import leaf_embed.evaluation
import leaf_embed.export
import leaf_embed.qdrant
import leaf_embed.teacher

ROOT = Path(leaf_embed.__file__).parent
INTEGRATIONS = ROOT.parent / "integrations"
MODULES_PER_FOLDER = 20
LINES_PER_MODULE = 350
LINES_PER_FUNCTION = 60
PARAMETERS = 8
WIDE = {  # take their options as keywords; so do the commands, 20 at most
    "leaf_embed.distill.pipeline.distill",
    "leaf_embed_haystack.embedders.__init__",  # the framework's own parameters
}
COMMAND_PARAMETERS = 20

GROUND = {"errors", "vectors", "texts", "_extras", "_files", "_records", "_telemetry", "progress", "reports"}
SPACES = GROUND | {"canaries", "leaf_record", "space", "format"}
ALLOWED = {  # what each part may import besides itself; a part in here is a module or a folder of the package
    "errors": set(),
    "_files": {"errors"},
    "progress": set(),
    "_extras": {"errors"},
    "_telemetry": set(),
    "_records": {"_extras", "errors"},
    "reports": {"_files", "errors"},
    "vectors": {"errors"},
    "texts": {"vectors"},
    "canaries": {"errors", "vectors", "texts"},
    "leaf_record": {"errors", "texts", "canaries"},
    "space": {"_files", "errors", "texts", "canaries", "leaf_record"},
    "format": {"_files", "errors", "leaf_record", "space"},
    "encoders": SPACES,
    "teacher": SPACES | {"encoders"},
    "export": SPACES | {"encoders"},
    "evaluation": SPACES | {"encoders"},
    "qdrant": SPACES | {"encoders"},
    "serve": SPACES | {"encoders"},
    "distill": SPACES | {"encoders", "teacher", "export"},
    "demo": SPACES | {"encoders", "teacher", "export", "evaluation", "qdrant", "distill"},
    "cli": SPACES | {"encoders", "teacher", "export", "evaluation", "qdrant", "serve", "distill", "demo"},
}
INSIDE = {  # within a folder: what its own folders, and some of its modules, must not import from it
    "qdrant.schema": {"qdrant.query", "qdrant.backends", "qdrant"},
    "qdrant.query": {"qdrant.backends", "qdrant"},
    "qdrant.backends": {"qdrant"},
    "distill.students": {"distill.train", "distill.pipeline", "distill"},
    "evaluation.report": {"evaluation.pipeline", "evaluation"},
}
DOWN = {  # modules beside a folder that lie below it
    "distill.students": {
        f"leaf_embed.distill.{name}" for name in ("config", "dataset", "loss", "progress", "rotation")
    },
    "evaluation.report": {
        f"leaf_embed.evaluation.{name}"
        for name in "agreement alignment groups intervals latency retrieval size tasks verdict worst_queries".split()
    },
}
ENGINES = ("qdrant_client", "qdrant_edge")
MAY_IMPORT_AN_ENGINE = (
    "leaf_embed.qdrant.backends.",
    "leaf_embed.qdrant.query.bm25",
    "leaf_embed.cli.commands.evaluate",  # says which extra is missing before hours of encoding
)
HEAVY = (
    "{'torch', 'transformers', 'sentence_transformers', 'onnxruntime', 'qdrant_client', 'pyarrow', 'huggingface_hub', "
    "'matplotlib', 'jinja2', 'prometheus_client'}"
)
FILES = {
    ".".join(file.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(ROOT.rglob("*.py"))
}
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in FILES.items()}
BESIDE = {
    ".".join(file.relative_to(INTEGRATIONS).with_suffix("").parts): file for file in sorted(INTEGRATIONS.rglob("*.py"))
}


def imports(name: str) -> set[str]:
    """Modules of the package that a module imports, for its types and inside functions too."""
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "leaf_embed":
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(target if target in FILES else str(node.module) for target in targets)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.split(".")[0] == "leaf_embed")
    return found - {name}


def part(name: str) -> str:
    """The module or folder at the top that a module belongs to; ``""`` for the package itself."""
    return [*name.split("."), ""][1]


def within(name: str, folder: str) -> bool:
    return name == f"leaf_embed.{folder}" or name.startswith(f"leaf_embed.{folder}.")


@pytest.mark.parametrize("name", [name for name in FILES if part(name)])
def test_arrows_point_down(name):
    allowed = ALLOWED[part(name)] | {part(name)}
    extra = {other for other in imports(name) if part(other) and part(other) not in allowed}
    assert not extra, f"{name} imports {sorted(extra)}"


def test_every_part_has_its_arrows():
    assert {part(name) for name in FILES if part(name)} == set(ALLOWED)


@pytest.mark.parametrize("folder", sorted(INSIDE))
def test_arrows_point_down_inside_a_folder(folder):
    for name in FILES:
        if not within(name, folder):
            continue
        for forbidden in INSIDE[folder]:
            modules = {other for other in imports(name) if not within(other, folder)}
            if "." in forbidden:
                bad = {other for other in modules if within(other, forbidden)}
            else:  # the folder's own modules, and not those of its other folders
                bad = {other for other in modules if other.rpartition(".")[0] == f"leaf_embed.{forbidden}"}
                bad = {other for other in bad if FILES[other].name != "__init__.py"} - DOWN.get(folder, set())
            assert not bad, f"{name} imports {sorted(bad)}"


def test_there_is_no_import_cycle():
    graph = {name: imports(name) & set(FILES) for name in FILES}
    while leaves := [name for name, targets in graph.items() if not targets]:
        for name in leaves:
            del graph[name]
        for targets in graph.values():
            targets.difference_update(leaves)
    assert not graph, "import cycles among " + ", ".join(f"{name} -> {sorted(to)}" for name, to in graph.items())


def test_no_folder_holds_more_modules_than_one_can_read():
    folders = [*ROOT.rglob("*.py"), *INTEGRATIONS.rglob("*.py")]
    counts = Counter(file.parent for file in folders if file.name != "__init__.py")
    assert max(counts.values()) <= MODULES_PER_FOLDER, counts.most_common(3)


def engines_of(tree: ast.Module) -> list[str]:
    """Imports of an engine, by a statement or by ``require``, outside of TYPE_CHECKING."""
    hidden = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("require", "import_module")):
            modules = [str(value.value) for value in node.args if isinstance(value, ast.Constant)][:1]
        else:
            continue
        if node not in hidden:
            found += [module for module in modules if module.split(".")[0] in ENGINES]
    return found


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import numpy, qdrant_client.models", ["qdrant_client.models"]),
        ("from qdrant_edge import EdgeShard", ["qdrant_edge"]),
        ("def f():\n    return require('qdrant_edge', 'qdrant', 'Search')", ["qdrant_edge"]),
        ("if TYPE_CHECKING:\n    import qdrant_client", []),
        ("require('jinja2', 'eval', 'A page')", []),
    ],
)
def test_every_way_to_import_an_engine_is_found(code, found):
    assert engines_of(ast.parse(code)) == found


def test_only_the_backends_import_an_engine():
    found = {name: modules for name, tree in TREES.items() if (modules := engines_of(tree))}
    assert {name: modules for name, modules in found.items() if not name.startswith(MAY_IMPORT_AN_ENGINE)} == {}


def test_modules_and_functions_are_short():
    found = []
    for name, file in {**FILES, **BESIDE}.items():
        text = file.read_text(encoding="utf-8")
        lines, tree = len(text.splitlines()), ast.parse(text)
        if lines > LINES_PER_MODULE:
            found.append(f"{name} has {lines} lines")
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or f"{name}.{node.name}" in WIDE:
                continue
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = len([argument for argument in given if argument.arg not in ("self", "cls")])
            code = (
                (node.end_lineno or 0) - node.body[0].lineno + 1
                if ast.get_docstring(node) is None
                else ((node.end_lineno or 0) - (node.body[0].end_lineno or 0))
            )
            if code > LINES_PER_FUNCTION:
                found.append(f"{name}.{node.name} has {code} lines below its docstring")
            most = COMMAND_PARAMETERS if name.startswith("leaf_embed.cli.commands.") else PARAMETERS
            if count > most:
                found.append(f"{name}.{node.name} has {count} parameters")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "package",
    [
        leaf_embed,
        leaf_embed.distill,
        leaf_embed.encoders,
        leaf_embed.evaluation,
        leaf_embed.export,
        leaf_embed.qdrant,
        leaf_embed.teacher,
    ],
)
def test_exported_names_exist_and_are_documented(package):
    for name in package.__all__:
        value = getattr(package, name)  # type aliases carry their docstring in the source only
        assert value.__doc__ or not (inspect.isclass(value) or inspect.isroutine(value)), name


def test_every_public_name_has_a_docstring():
    missing = []
    for name, tree in TREES.items():
        if not ast.get_docstring(tree):
            missing.append(name)
        public = next(
            (
                {constant.value for constant in ast.walk(node.value) if isinstance(constant, ast.Constant)}
                for node in tree.body
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            ),
            set(),
        )
        missing += [
            f"{name}.{node.name}"
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and node.name in public
            and not ast.get_docstring(node)
        ]
    assert not missing, missing


def test_front_door():
    expected = ["EmbeddingSpace", "Encoder", "LeafEmbedError", "LeafEncoder", "__version__", "load"]
    assert sorted(leaf_embed.__all__) == sorted(expected)


@pytest.mark.parametrize(
    "module",
    [
        "leaf_embed",
        "leaf_embed.cli",
        "leaf_embed.distill",
        "leaf_embed.evaluation",
        "leaf_embed.export",
        "leaf_embed.qdrant",
        "leaf_embed.teacher",
    ],
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
