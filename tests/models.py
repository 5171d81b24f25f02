"""The tests' tiny teacher and leaf, for an environment that cannot make them: ``python -m tests.models DIRECTORY``."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.conftest import make_leaf, make_model


def main(directory: Path) -> None:
    """Make ``teacher`` and ``leaf`` in a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    make_leaf(make_model(directory / "teacher"), directory / "leaf")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
