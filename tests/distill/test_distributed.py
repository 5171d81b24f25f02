"""Two processes that share each batch end where one process does, with every kind of student."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from leaf_embed.distill import DistillConfig, distill
from leaf_embed.format import read_leaf
from tests.conftest import texts

RUN = """
import sys
from leaf_embed.distill import DistillConfig, distill
from tests.conftest import texts
config = DistillConfig(**eval(sys.argv[3]))
report = distill(sys.argv[1], texts(150), sys.argv[4], sys.argv[2], config, layers=2, export_graphs=False)
print(f"steps {report.steps}\\n", end="", flush=True)  # one write: the processes share the stream
"""
CONFIG = {
    "max_steps": 30, "learning_rate": 2e-3, "cycles": 1, "precision": "float32", "holdout": 0.1, "batch_size": 15,
    "warmup_steps": 0,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["transformer", "static"])
def test_two_gloo_processes_equal_one(teacher_path, tmp_path, kind):
    student = "static" if kind == "static" else str(teacher_path)
    distill(teacher_path, texts(150), student, tmp_path / "one", DistillConfig(**CONFIG), layers=2, export_graphs=False)
    script = tmp_path / "run.py"
    script.write_text(RUN)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(
        [*command, str(teacher_path), str(tmp_path / "two"), repr(CONFIG), student],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("steps 30") == 2
    one, two = (
        {str(f.relative_to(tmp_path / name)): load_file(f) for f in sorted((tmp_path / name).rglob("*.safetensors"))}
        for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    for file, weights in one.items():
        for name, tensor in weights.items():
            assert torch.allclose(tensor, two[file][name], atol=2e-3), f"{file}: {name}"
    losses = [read_leaf(tmp_path / name).metrics["final"]["loss"] for name in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
