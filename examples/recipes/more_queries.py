"""Further queries beside :mod:`sample_corpus`'s, for the recipes 05 and 06: what students of few layers lack.

    python examples/recipes/sample_corpus.py data/train corpus
    python examples/recipes/more_queries.py data/train corpus

More sentences of encyclopaedic text and more questions; titles; keyword queries, cut from sentences; sentences with
words of medicine and biology, which general text has too few of. All are queries, no text is taken twice.
"""

import gzip
import json
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

SENTENCES, TITLES, KEYWORDS, QUESTIONS = 130_000, 65_000, 80_000, 12_000
CUT_FROM = (60_000, 15_000, 15_000)  # sentences to cut keywords from: encyclopaedia, life sciences, abstracts
SENTENCE_CHARACTERS = range(40, 301)
TITLE_CHARACTERS = 80
KEYWORD_COUNT = (2, 6)
LATER = {"wikipedia_titles_more", "keywords_more", "wikipedia_bio_more", "arxiv_bio_more", "medquad_more"}
LIFE = re.compile(
    r"\b(protein|gene|genes|genetic|cell|cells|cellular|cancer|tumou?r|patient|patients|clinical|disease|diseases|drug|"
    r"drugs|virus|viral|infection|immune|bacteria|bacterial|dna|rna|mutation|receptor|blood|brain|medical|therapy|"
    r"vaccine|diabetes|insulin|tissue|enzyme|molecul\w+|biolog\w+|species|mice|medicine|symptoms?|syndrome|cholesterol|"
    r"cardiac|heart|liver|kidney|lung|neurons?|hormone|antibod\w+|embryo\w*|stem|metaboli\w+|chromosom\w+|mortality|"
    r"physician|hospital|dose)\b",
    re.IGNORECASE,
)
FUNCTION_WORDS = frozenset(
    "a an the of in on at to and or for with by from as is was were are be been it its his her their this that which "
    "who whom he she they we our not also has have had into than but".split()
)


def main(
    source: Annotated[Path, typer.Argument(help="Directory of *.jsonl.gz with text and kind.")],
    target: Annotated[Path, typer.Argument(help="Directory of the sample, which this adds to.")],
) -> None:
    """Write seven further files of queries."""
    sentences = Known(target, ("wikipedia_passages_sentences", "simplequestions"))
    articles = [_split(text) for text in _texts(source, "wikipedia_passages")]
    more = [one for article in articles for one in article if _fits(one) and sentences.adds(one)]
    _write(target, "wikipedia_passages_more_sentences", more, SENTENCES, random.Random(4))
    questions = [one for one in _texts(source, "simplequestions") if sentences.adds(one)]
    _write(target, "simplequestions_more", questions)

    before = {file.stem for file in target.glob("*.jsonl")}
    known, chance = Known(target, before - LATER), random.Random(5)
    titles, life, plain = _encyclopaedia(articles, known)
    abstracts = [one for text in _texts(source, "arxiv_abstracts") for one in _split(text) if _fits(one)]
    science = [one for one in abstracts if len(LIFE.findall(one)) > 1 and known.adds(one)]
    pools = zip((plain, life, abstracts), CUT_FROM, strict=True)
    drawn = [one for pool, count in pools for one in chance.sample(pool, min(len(pool), count))]
    cut = [_keywords(one, chance) for one in drawn]
    _write(target, "wikipedia_titles_more", titles, TITLES, chance)
    _write(target, "keywords_more", [one for one in cut if one and known.adds(one)], KEYWORDS, chance)
    _write(target, "wikipedia_bio_more", life, chance=chance)
    _write(target, "arxiv_bio_more", science, chance=chance)
    rest = [one for one in _texts(source, "medquad_questions") if known.adds(one)]
    _write(target, "medquad_more", rest, QUESTIONS, chance)


class Known:
    """The texts of a sample, to take none twice."""

    def __init__(self, sample: Path, names: Iterable[str]) -> None:
        """Read some files of a sample."""
        files = [sample / f"{name}.jsonl" for name in names]
        self._texts = {json.loads(line)["text"] for file in files for line in file.open(encoding="utf-8")}

    def adds(self, text: str) -> bool:
        """Whether a text is new; from then on it is not."""
        fresh = text not in self._texts
        self._texts.add(text)
        return fresh


def _encyclopaedia(articles: Iterable[list[str]], known: Known) -> tuple[list[str], list[str], list[str]]:
    """Titles, sentences with words of the life sciences, and all sentences but each article's first."""
    titles, life, plain = [], [], []
    for title, *sentences in articles:
        title = title.rstrip(".")
        if len(title) <= TITLE_CHARACTERS and known.adds(title):
            titles.append(title)
        fitting = [one for one in sentences if _fits(one)]
        plain += fitting
        life += [one for one in fitting if LIFE.search(one) and known.adds(one)]
    return titles, life, plain


def _keywords(sentence: str, chance: random.Random) -> str | None:
    """Two to six words of a sentence as somebody types them: in a row, or the telling ones; half of them lowered."""
    words, count = re.findall(r"[A-Za-z0-9'\-]+", sentence), chance.randint(*KEYWORD_COUNT)
    if len(words) <= count:
        return None
    if chance.random() < 0.5:
        start = chance.randrange(len(words) - count)
        words = _trimmed(words[start : start + count])
    else:
        telling = [one for one in words if one.lower() not in FUNCTION_WORDS]
        if len(telling) < count:
            return None
        words = [telling[place] for place in sorted(chance.sample(range(len(telling)), count))]
    if len(words) < KEYWORD_COUNT[0]:
        return None
    text = " ".join(words)
    return text.lower() if chance.random() < 0.5 else text


def _trimmed(words: list[str]) -> list[str]:
    """Without function words at either end."""
    kept = [place for place, one in enumerate(words) if one.lower() not in FUNCTION_WORDS]
    return words[kept[0] : kept[-1] + 1] if kept else []


def _texts(source: Path, name: str) -> Iterator[str]:
    with gzip.open(source / f"{name}.jsonl.gz", "rt", encoding="utf-8") as stream:
        for line in stream:
            record: dict[str, Any] = json.loads(line)
            yield str(record["text"])


def _split(text: str) -> list[str]:
    return [one.strip() for one in re.split(r'(?<=[.!?]) +(?=[A-Z"(])', text)]


def _fits(sentence: str) -> bool:
    return len(sentence) in SENTENCE_CHARACTERS


def _write(
    target: Path, name: str, texts: list[str], limit: int | None = None, chance: random.Random | None = None
) -> None:
    if chance is not None:
        chance.shuffle(texts)
    lines = [json.dumps({"text": one, "kind": "query"}, ensure_ascii=False) + "\n" for one in texts[:limit]]
    (target / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    print(f"{name}: {len(lines):,} texts")


if __name__ == "__main__":
    typer.run(main)
