"""Questions as a Python user would type them; the demo answers each by the teacher and by the leaf.

They were written before anybody looked at an answer. all-MiniLM-L6-v2 has something helpful among its first three
for nine of the twelve. It misses ``unittest.mock.patch`` and ``asyncio.gather``, and finds ``except`` but not
``finally``; those three questions stay.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["QUESTIONS", "Question"]


@dataclass(frozen=True)
class Question:
    """A hand-written question.

    Attributes:
        text: The question; nothing in the corpus was made from it.
    """

    text: str


QUESTIONS: tuple[Question, ...] = tuple(
    Question(text)
    for text in (
        "how do I compress a file with gzip",
        "run another program and read its output",
        "create a directory and all missing parents",
        "parse command line options",
        "how can I pick a random element from a list",
        "send an email over an encrypted connection",
        "cache the results of a function so it is not computed twice",
        "what is the difference between is and == for objects",
        "wait for several coroutines at the same time",
        "replace a function with a fake one while testing",
        "how do I catch an exception and still clean up afterwards",
        "convert a date string into a datetime",
    )
)
