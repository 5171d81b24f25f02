"""OpenMP's waiting threads leave their core to others, in the command line and in make, unless the user set it."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
POLICY = "OMP_WAIT_POLICY"
COMMAND = """
import ctypes, sys
from leaf_embed.cli import run
assert run(["--version"]) == 0
assert "torch" not in sys.modules
ctypes.CDLL(sys.argv[1])
"""


def openmp():
    """The OpenMP library that torch loads, without torch."""
    torch = importlib.util.find_spec("torch")
    found = sorted(Path(torch.origin).parent.glob("lib/libgomp*")) if torch and torch.origin else []
    return found[0] if found else pytest.skip("torch brings no libgomp here")


def environment(given):
    return {name: value for name, value in os.environ.items() if name != POLICY} | given


@pytest.mark.parametrize(("given", "seen"), [({}, "PASSIVE"), ({POLICY: "ACTIVE"}, "ACTIVE")])
def test_the_command_line_sets_it_before_torch_is_loaded(given, seen):
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(openmp())],
        env=environment(given | {"OMP_DISPLAY_ENV": "TRUE"}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert f"{POLICY} = '{seen}'" in done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(("given", "seen"), [({}, "PASSIVE"), ({POLICY: "ACTIVE"}, "ACTIVE")])
def test_make_sets_it(given, seen):
    command = ["make", "--silent", f"--eval=show: ; @echo $${POLICY}", "show"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(given), capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == seen
