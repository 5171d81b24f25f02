"""Runs the stock projects' published tests: on their own store, then on ours.

python -m tests.stock [DIRECTORY]    downloads the source distributions into DIRECTORY (.stock by default)

Each suite runs as it is, with the import changed, and with a leaf in the place of its embeddings. A test that the stock
store passes and ours does not has to be in ``EXPECTED``, with the reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Suite:
    """Published tests of one distribution.

    Attributes:
        distribution: Name on PyPI; the installed version's tests are run.
        tests: Files or folders in its source distribution.
        plugins: Pytest plugins of ``plugins/``, each a way in which our store takes the place of theirs.
        expected: Tests that ours is known to fail, by the beginning of their names, with the reason.
    """

    distribution: str
    tests: tuple[str, ...]
    plugins: tuple[str, ...]
    expected: dict[str, str] = field(default_factory=dict)


SUITES = (
    Suite(
        "langchain-qdrant",
        ("tests/integration_tests/qdrant_vector_store",),
        ("langchain_import", "langchain_leaf"),
        {"langchain_leaf: test_qdrant_mmr_search": "makes its collection with Distance.EUCLID, which a leaf refuses"},
    ),
    Suite(
        "qdrant-haystack",
        ("tests",),
        ("haystack_import", "haystack_leaf"),
        {
            "haystack_import: test_to_dict": "expects the stock class's name in a pipeline file",
            "haystack_leaf: test_to_dict": "expects the stock class's name in a pipeline file, and no leaf",
            "haystack_leaf: test_run_with_score_threshold": "writes a vector that points away from its leaf's: refused",
            "haystack_leaf: test_prepare_client_params_does_not_mutate": "writes a pipeline file; the leaf is no path",
        },
    ),
)


def main(folder: Path) -> int:
    """Runs all suites; returns 1 if ours fails a test that it should pass."""
    surprises: list[str] = []
    for suite in SUITES:
        source = downloaded(suite.distribution, folder)
        stock = passed(source, suite, None)
        print(f"{source.name}: the stock store passes {len(stock)}", flush=True)
        for plugin in suite.plugins:
            ours = passed(source, suite, plugin)
            lost = sorted(stock - ours)
            unknown = [name for name in lost if not known(suite, plugin, name)]
            surprises += [f"{plugin}: {name}" for name in unknown]
            print(f"  {plugin}: {len(stock & ours)} of them, {len(lost) - len(unknown)} known not to", flush=True)
    for line in surprises:
        print("not expected to fail:", line)
    return int(bool(surprises))


def known(suite: Suite, plugin: str, name: str) -> bool:
    """Whether a test is among those that ours is known to fail."""
    return any(f"{plugin}: {name.split('::')[1]}".startswith(start) for start in suite.expected)


def downloaded(distribution: str, folder: Path) -> Path:
    """Returns the folder of the installed version's source distribution, downloaded if it is not there."""
    release = f"{distribution.replace('-', '_')}-{version(distribution)}"
    if not (folder / release).is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        asked = f"{distribution}=={version(distribution)}"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, "--dest", str(folder), asked], check=True)
        with tarfile.open(folder / f"{release}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return folder / release


def passed(source: Path, suite: Suite, plugin: str | None) -> set[str]:
    """Returns the names of the tests that pass."""
    report = source / f"{plugin or 'stock'}.xml"
    paths = [str(source), str(HERE / "plugins"), str(ROOT), str(ROOT / "integrations")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *suite.tests]
    chosen = [] if plugin is None else ["-p", plugin]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with (source / f"{plugin or 'stock'}.log").open("w") as log:
        subprocess.run([*command, *chosen], cwd=source, env=environment, stdout=log, stderr=log, check=False)
    cases = ElementTree.parse(report).iter("testcase")
    return {
        f"{case.attrib['classname']}::{case.attrib['name']}"
        for case in cases
        if all(child.tag in QUIET for child in case)
    }


QUIET = ("properties", "system-out", "system-err")

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".stock").absolute()))
