"""Publication of a leaf on the Hugging Face hub, with its card."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from leaf_embed.errors import InputError, LeafEmbedError
from leaf_embed.export.card import write_card
from leaf_embed.format import read_leaf

__all__ = ["Upload", "push_to_hub"]

TOKEN = "HF_TOKEN"
IGNORED = (".*", "*.tmp", "*.old")


@dataclass(frozen=True)
class Upload:
    """The files that were, or would be, published.

    Attributes:
        repository: Hub id.
        files: Paths inside the leaf directory, sorted, with their sizes in bytes.
        url: Of the commit; ``None`` for a dry run.
    """

    repository: str
    files: tuple[tuple[str, int], ...]
    url: str | None = None


def push_to_hub(
    directory: str | os.PathLike[str], repository: str, *, private: bool = False, dry_run: bool = False
) -> Upload:
    """Uploads a leaf directory; the card's examples then load it by its hub id.

    The token is read from the environment variable ``HF_TOKEN`` and from nowhere else, and is written nowhere.

    Args:
        directory: A leaf directory.
        repository: Hub id, ``"org/name"``; made if it does not exist.
        private: Whether a repository made now is private.
        dry_run: Only list the files; nothing is sent and no file is changed.

    Raises:
        NotALeafError: No leaf there.
        InputError: No hub id, no token, or a leaf without graphs.
        LeafEmbedError: The hub refused.
    """
    path = Path(directory)
    info = read_leaf(path)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise InputError(f"expected a hub id such as 'org/my-leaf'; got {repository!r}")
    if info.needs_graph and not (path / "onnx").is_dir():
        raise InputError(
            f"{path} has no onnx folder, so it could not be loaded without torch; run: leaf-embed export {path}"
        )
    if dry_run:
        return Upload(repository, _files(path))
    token = os.environ.get(TOKEN)
    if not token:
        raise InputError(
            f"set {TOKEN} to a token of the hub that may write to {repository}; it is read from there only"
        )
    write_card(path, name=repository)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(token=token)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository, folder_path=path, ignore_patterns=list(IGNORED), commit_message="Upload leaf"
        )
    except HfHubHTTPError as error:
        raise LeafEmbedError(f"the hub refused {repository} ({error}); may this token write there?") from error
    return Upload(repository, _files(path), str(commit.commit_url))


def _files(path: Path) -> tuple[tuple[str, int], ...]:
    """The files that :data:`IGNORED` does not match, by huggingface_hub's own rule."""
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]  # public, not listed

    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    return tuple(
        (name, (path / name).stat().st_size) for name in filter_repo_objects(names, ignore_patterns=list(IGNORED))
    )
