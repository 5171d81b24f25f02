"""The small files by which other libraries read a leaf's tokenizer, made to say one thing."""

from __future__ import annotations

import json
from pathlib import Path

from leaf_embed._files import replacing_file, write_json

__all__ = ["write_tokenizer_files"]

SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def write_tokenizer_files(directory: Path, max_tokens: int) -> None:
    """Make every runtime cut texts where the leaf does, and write the map of special tokens.

    A backbone's files often disagree: all-MiniLM-L6-v2's say 512 and 128 in ``tokenizer_config.json`` and 128 in
    ``tokenizer.json``. fastembed takes the smaller number, tokenizers the last, transformers the first; their vectors
    of long texts then differ without a word. fastembed and older readers of ``special_tokens_map.json`` get that too,
    which transformers 5 no longer writes.

    Args:
        directory: A leaf directory with ``tokenizer.json``; changed in place. Without ``tokenizer_config.json`` only
            the first is changed.
        max_tokens: Number of tokens after which the leaf stops reading, special tokens included.
    """
    _cut_at(directory / "tokenizer.json", max_tokens)
    file = directory / "tokenizer_config.json"
    if not file.is_file():
        return
    config = json.loads(file.read_text(encoding="utf-8"))
    kept = {name: value for name, value in config.items() if name not in ("max_length", "is_local", "local_files_only")}
    write_json(file, kept | {"model_max_length": max_tokens})
    write_json(directory / "special_tokens_map.json", {name: config[name] for name in SPECIAL if config.get(name)})


def _cut_at(file: Path, max_tokens: int) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_truncation(max_tokens)
    with replacing_file(file) as temporary:
        tokenizer.save(str(temporary))
