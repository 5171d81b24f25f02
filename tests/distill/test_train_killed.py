"""kill -9 at random steps of a training: the resumed run ends with the same leaf as one that was never stopped."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from leaf_embed.distill import DistillConfig, distill
from tests.conftest import texts

RUN = """
import sys
import leaf_embed.distill.train as training
from leaf_embed.distill import DistillConfig, distill
from tests.conftest import texts
training.CHECKPOINT_SECONDS = 0.0
def step(stage, done, total, note):
    if stage == "train":
        print(done, flush=True)
distill(sys.argv[1], texts(150), sys.argv[1], sys.argv[2], DistillConfig(**eval(sys.argv[3])), layers=2,
        export_graphs=False, progress=step)
"""
CONFIG = {"max_steps": 40, "learning_rate": 2e-3, "cycles": 1, "precision": "float32", "holdout": 0.1}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_killed_twice(teacher_path, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes below: the order of additions decides the last bit
    try:
        distill(teacher_path, texts(150), teacher_path, tmp_path / "whole", DistillConfig(**CONFIG), layers=2,
                export_graphs=False)  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    script = tmp_path / "run.py"
    script.write_text(RUN)
    steps = sorted(random.Random(0).sample(range(3, 38), 2))
    reached = [run(script, teacher_path, tmp_path / "killed", step) for step in [*steps, None]]
    assert reached[:2] == steps
    assert not list((tmp_path / "killed.work").glob("checkpoint.pt"))
    one, other = (load_file(next((tmp_path / name).glob("model.safetensors"))) for name in ("whole", "killed"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def run(script, teacher, output, kill_at):
    """Run until a step, then kill; or to the end. Returns the last step heard of."""
    path = os.pathsep.join([str(Path.cwd()), *sys.path])
    process = subprocess.Popen(
        [sys.executable, str(script), str(teacher), str(output), repr(CONFIG)],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    step, deadline = 0, time.monotonic() + 120
    for line in process.stdout:
        step = int(line)
        if step == kill_at or time.monotonic() > deadline:
            process.kill()
            break
    process.wait(timeout=120)
    process.stdout.close()
    assert process.returncode == (0 if kill_at is None else -signal.SIGKILL)
    return step
