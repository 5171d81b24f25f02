"""A fixed sample of a directory of ``*.jsonl.gz``: the training texts of the recipes 01 to 04.

    python examples/recipes/sample_corpus.py data/train corpus

The sample holds the first lines of each file after a shuffle with seed 0: as many as LINES says, else 10,000. Weak
sources (templates, dialogue turns) are taken in part; documents are few, because a query learns most from queries. From
so many more documents as SENTENCES says, up to three sentences each are taken as queries: cheap for the teacher, and of
the documents' vocabulary.
"""

import gzip
import json
import random
import re
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
    "arxiv_titles_pseudo": EVERYTHING,
    "opentriviaqa": EVERYTHING,
    "clinc150_train": 8_000,
    "banking77_restaurant8k": 8_000,
    "medquad_questions": 8_000,
    "hwu64_utterances": 5_000,
    "wikipedia_passages": 25_000,
    "arxiv_abstracts": 20_000,
    "aws_docs_passages": 4_000,
    "python_peps": 500,
}
SENTENCES = {"arxiv_abstracts": 80_000, "wikipedia_passages": 40_000, "aws_docs_passages": 10_000}
SENTENCE_WORDS = range(6, 41)
MORE = 2  # sentences of a document, besides one at random


def main(
    source: Annotated[Path, typer.Argument(help="Directory of *.jsonl.gz with text and kind.")],
    target: Annotated[Path, typer.Argument(help="Directory for the sample.")],
) -> None:
    """Write the sample: one .jsonl per source file, and one more per file whose sentences are taken."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.glob("*.jsonl.gz")):
        name = file.name.removesuffix(".jsonl.gz")
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            lines = stream.readlines()
        random.Random(0).shuffle(lines)
        count = LINES.get(name, DEFAULT)
        _write(target / f"{name}.jsonl", lines[:count])
        if name in SENTENCES:
            _write(target / f"{name}_sentences.jsonl", _sentences(lines[count:], SENTENCES[name]))


def _write(file: Path, lines: list[str]) -> None:
    file.write_text("".join(lines), encoding="utf-8")
    print(f"{file.stem}: {len(lines):,} texts")


def _sentences(documents: list[str], count: int) -> list[str]:
    """Lines of queries: sentences of a question's or a claim's length, of so many documents that have one."""
    chance = random.Random(0)
    found: list[list[str]] = []
    for line in documents:
        if len(found) == count:
            break
        record = json.loads(line)
        sentences = re.split(r"(?<=[.?!])\s+(?=[A-Z])", record["text"])
        fitting = [one for one in sentences if len(one.split()) in SENTENCE_WORDS]
        if fitting:
            chosen = chance.choice(fitting)
            several = [chosen, *[one for one in fitting if one != chosen][:MORE]]
            found.append([json.dumps(record | {"text": one, "kind": "query"}) + "\n" for one in several])
    return [line for lines in found for line in lines]


if __name__ == "__main__":
    typer.run(main)
