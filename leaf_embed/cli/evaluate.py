"""``leaf-embed evaluate``: what a leaf keeps of its teacher, measured."""

from __future__ import annotations
