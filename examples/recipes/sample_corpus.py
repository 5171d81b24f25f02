"""A fixed sample of a directory of ``*.jsonl.gz``: the training texts of the recipes 01 to 04.

    python examples/recipes/sample_corpus.py data/train corpus

Each file gives its first lines after a shuffle with seed 0: as many as LINES says of it, else 10,000. Weak sources
(templates, dialogue turns, titles) are taken in part; documents are few, because a query learns most from queries.
"""

import gzip
import random
from pathlib import Path
from typing import Annotated

import typer

DEFAULT = 10_000
EVERYTHING = 10**9
LINES = {
    "nq_questions": EVERYTHING,
    "webquestions": EVERYTHING,
    "query_wellformedness": EVERYTHING,
    "bing_covid_queries": EVERYTHING,
    "simplequestions": 20_000,
    "stackoverflow_sql_titles": 20_000,
    "arxiv_titles_pseudo": 20_000,
    "opentriviaqa": 30_000,
    "clinc150_train": 8_000,
    "banking77_restaurant8k": 8_000,
    "medquad_questions": 8_000,
    "hwu64_utterances": 5_000,
    "wikipedia_passages": 15_000,
    "arxiv_abstracts": 12_000,
    "aws_docs_passages": 3_000,
    "python_peps": 500,
}


def main(
    source: Annotated[Path, typer.Argument(help="Directory of *.jsonl.gz with text and kind.")],
    target: Annotated[Path, typer.Argument(help="Directory for the sample.")],
) -> None:
    """Write the sample, one .jsonl a source file."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.glob("*.jsonl.gz")):
        name = file.name.removesuffix(".jsonl.gz")
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            lines = stream.readlines()
        random.Random(0).shuffle(lines)
        kept = lines[: LINES.get(name, DEFAULT)]
        (target / f"{name}.jsonl").write_text("".join(kept), encoding="utf-8")
        print(f"{name}: {len(kept):,} of {len(lines):,}")


if __name__ == "__main__":
    typer.run(main)
