"""A retrieval set out of one's own questions and the pages that answer them."""

from leaf_embed.evaluation.own_data.make_set import MadeSet, make_set
from leaf_embed.evaluation.own_data.pages import Pages

__all__ = ["MadeSet", "Pages", "make_set"]
