"""Forms of a leaf for other programs: ONNX graphs, truncated leaves, Routers, model cards, the hub. Extra: ``train``.

Each function takes a leaf directory.
"""

from leaf_embed.export.card import write_card
from leaf_embed.export.onnx import export
from leaf_embed.export.parity import Floor, Parity
from leaf_embed.export.push import Upload, push_to_hub
from leaf_embed.export.router import export_router
from leaf_embed.export.truncate import truncate_leaf
from leaf_embed.reports import read_report

__all__ = [
    "Floor",
    "Parity",
    "Upload",
    "export",
    "export_router",
    "push_to_hub",
    "read_report",
    "truncate_leaf",
    "write_card",
]
