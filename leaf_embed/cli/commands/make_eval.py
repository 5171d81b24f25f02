"""``leaf-embed make-eval``: own questions and the pages that answer them, as a set for ``leaf-embed evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from leaf_embed._records import check_file, read_records
from leaf_embed.cli.console import errors, output
from leaf_embed.cli.options import output_option, texts_option
from leaf_embed.errors import CorpusError
from leaf_embed.qdrant.document_files import check_documents, read_documents

__all__ = ["command"]

FORMATS = (".csv", ".tsv", ".jsonl")
SHOWN = 5  # questions that are left out, by name
FEW = 30  # questions from which a first interval can be given


def command(
    questions: Annotated[
        Path,
        texts_option(help="Questions: .csv, .tsv, .jsonl with question and source (page, page#section, id)."),
    ],
    documents: Annotated[
        list[Path], texts_option(help="The documents as they are indexed: .jsonl, .csv; several may follow.")
    ],
    target: Annotated[Path, output_option("--output", help="Directory of the set to write; must not exist.")],
    page_key: Annotated[
        str | None,
        texts_option(help="Field of a document that names its page, as in metadata.source. Default: found."),
    ] = None,
) -> None:
    """Make a retrieval set of your questions and the pages that answer them.

    evaluate --data reads it: pages are ranked by their best document, so that it does not matter how they were cut.
    """
    check_file(questions, FORMATS, CorpusError)
    for file in documents:
        check_documents(file)
    from leaf_embed.evaluation.own_data import make_set

    records = ({} if not isinstance(one, dict) else one for _, one in read_records(questions, CorpusError) if one != "")
    made = make_set(
        records, (record for file in documents for record in read_documents(file)), target, page_key=page_key
    )
    named = ", ".join(f"{count} name a {kind}" for kind, count in made.matched.items())
    output.print(
        f"{made.questions} questions on {made.documents} documents of {made.pages} pages; of their sources {named}",
        highlight=False,
    )
    if made.unmatched:
        errors.print(f"left out: {len(made.unmatched)} sources that name no page, or several:", highlight=False)
    for question, source in made.unmatched[:SHOWN]:
        errors.print(f"  {source}  ({question[:80]})", markup=False, highlight=False)
    if made.without_source:
        errors.print(f"left out: {made.without_source} questions without a source", highlight=False)
    if made.questions < FEW:
        errors.print(f"fewer than {FEW} questions give no interval: a beginning, not a proof", highlight=False)
    output.print(f"leaf-embed evaluate --leaf LEAF --data {made.directory}", markup=False, highlight=False)
