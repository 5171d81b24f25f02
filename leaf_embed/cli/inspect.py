"""``leaf-embed inspect``: what is it, and does it belong together."""

from __future__ import annotations
