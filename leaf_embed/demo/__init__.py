"""The demo's real text: the documentation of Python's own standard library, which every machine has."""

from leaf_embed.demo.texts import QUESTIONS, DemoCorpus, DemoDocument, load_demo_corpus

__all__ = ["QUESTIONS", "DemoCorpus", "DemoDocument", "load_demo_corpus"]
