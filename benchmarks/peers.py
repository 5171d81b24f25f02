"""Our static leaf beside NIFE's: pynife's start and loss, trained as its documentation advises, on the same texts.

Documents first and then queries, three passes each, batches of 128, cosine loss, by sentence-transformers' trainer;
pynife's own vocabulary step, which needs a corpus of word counts, is left out, so both students have the same tokens.
Quality is nDCG@10 of the student's queries on the teacher's documents as a share of the teacher's; latency in turns,
and whether other work disturbed it.

pynife 0.1.0 needs libraries older than ours; put them before the others on the path:

    pip install pynife 'skeletoken<0.4'
    pip install --no-deps --target old 'transformers==4.57.1' 'sentence-transformers==5.4.0' \\
        'huggingface_hub==0.36.0' 'tokenizers==0.22.1' 'datasets==4.0.0' 'fsspec==2025.3.0' && export PYTHONPATH=old
    python benchmarks/peers.py --leaf STATIC_LEAF --cache CACHE --data EVAL --eval-cache EVAL_CACHE \\
        --output benchmarks/results/peers.json
"""

from __future__ import annotations

import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from ablation import Bench
from minutes import finished
from query_path import turns
from training import their_trainer

import leaf_embed
from leaf_embed._files import write_json
from leaf_embed.evaluation.machine import Watch

BATCH, EPOCHS, RATES = 128, 3, {"document": 1e-2, "query": 1e-3}


def main(
    leaf: Annotated[Path, typer.Option(help="Our static leaf.")],
    cache: Annotated[Path, typer.Option(help="Teacher cache with the training texts.")],
    data: Annotated[Path, typer.Option(help="Directory of BEIR sets.")],
    eval_cache: Annotated[Path, typer.Option(help="Teacher cache for the sets' documents.")],
    output: Annotated[Path, typer.Option(help="Result file to write.")],
    epochs: Annotated[int, typer.Option(help="Passes of the peer over the texts.")] = EPOCHS,
) -> None:
    """Train the peer, measure both, and print the result."""
    bench = Bench(None, cache, data, eval_cache)
    peer = start(bench)
    began = time.monotonic()
    for kind, rate in RATES.items():
        is_query = bench.cache.are_queries(bench.learned)
        rows = bench.learned[is_query if kind == "query" else ~is_query]
        with tempfile.TemporaryDirectory() as folder:
            train(peer, bench, rows, rate, epochs, Path(folder))
    minutes = (time.monotonic() - began) / 60
    ours = leaf_embed.load(leaf)
    watch = Watch()
    times = turns({"ours": ours.encode_query, "pynife": peer.encode}, bench.sets[-1].queries[:600])
    seen = watch.seen()
    result: dict[str, Any] = {
        "ours": finished(bench, leaf) | percentiles(times["ours"]),
        "pynife": {"version": version("pynife"), "minutes": round(minutes, 2)}
        | {"kept": bench.retention(bench.scores(lambda queries: peer.encode(list(queries))))}
        | percentiles(times["pynife"]),
        "machine": seen,
        "refused": watch.refusal(seen, 1),  # why the two times cannot be compared
    }
    write_json(output, result)
    print(result)


def start(bench: Bench) -> Any:
    """A static model with the teacher's tokens and its vector of each."""
    from pynife.initialization.model import initialize_from_model
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, StaticEmbedding

    tokenizer = bench.teacher.model.tokenizer
    vectors = initialize_from_model(bench.teacher.model, tokenizer)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=vectors), Normalize()])


def train(model: Any, bench: Bench, rows: Any, rate: float, epochs: int, folder: Path) -> None:
    """Some passes over some cached texts."""
    from pynife.losses import CosineLoss

    options = {
        "num_train_epochs": epochs,
        "per_device_train_batch_size": BATCH,
        "learning_rate": rate,
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr": rate / 10},
        "warmup_ratio": 0.1,
        "weight_decay": 0.01,
    }
    their_trainer(model, bench.cache, rows, folder, CosineLoss(model), **options).train()
    model.eval()


def percentiles(milliseconds: Any) -> dict[str, float]:
    """Microseconds of one query, p50 and p95."""
    return {f"p{q}_us": round(1000 * float(np.percentile(milliseconds, q)), 1) for q in (50, 95)}


if __name__ == "__main__":
    typer.run(main)
