"""Memory of a process that encodes for a long time: ONNX Runtime never gives any back, so batches are bounded."""

import subprocess
import sys

import pytest

CODE = """
import random, sys
from leaf_embed.encoders.onnx import OnnxEncoder
path, tokens, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
encoder, generator = OnnxEncoder(path, batch_tokens=tokens), random.Random(0)
words = "red green blue round square tall small quick slow warm cold river stone".split()
for number in range(rounds):
    encoder.encode_query([" ".join(generator.choices(words, k=generator.randint(1, 60))) for _ in range(2000)])
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")))
"""


def resident(leaf, tokens, rounds):
    """MiB after each 2,000 mixed texts."""
    command = [sys.executable, "-c", CODE, str(leaf), str(tokens), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(line) / 1024 for line in done.stdout.split()]


@pytest.mark.slow
def test_memory_is_flat_over_a_hundred_thousand_texts(leaf_path):
    sizes = resident(leaf_path, 512, 50)
    assert max(sizes[5:]) - sizes[5] < 4, sizes


def test_the_bound_on_a_batch_bounds_the_process(leaf_path):
    bounded, free = resident(leaf_path, 512, 2), resident(leaf_path, 1 << 20, 2)
    assert free[-1] - bounded[-1] > 20
