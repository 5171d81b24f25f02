"""Loading code for each library: the snippets of the model card, which the tests run."""

from __future__ import annotations

from collections.abc import Mapping

from leaf_embed.format import LeafInfo

__all__ = ["snippets", "usage"]

LEAF_EMBED = """
import leaf_embed

leaf = leaf_embed.load({name!r})  # queries only: no torch, no teacher
vector = leaf.encode_query("where is the river")  # the prompt is put before it
both = leaf_embed.load({name!r}, document="teacher")  # both.encode_document([...]) by the teacher
"""

SENTENCE_TRANSFORMERS = """
from sentence_transformers import SentenceTransformer

model = SentenceTransformer({name!r}, device="cpu")
vector = model.encode_query("where is the river")
"""

LANGCHAIN = """
from leaf_embed_langchain import LeafEmbeddings

embeddings = LeafEmbeddings({name!r})  # embed_documents by the teacher, embed_query by the leaf
vector = embeddings.embed_query("where is the river")
"""

FASTEMBED = """
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType

TextEmbedding.add_custom_model(
    model="leaf",
    dim={dim},
    pooling=PoolingType.DISABLED,  # pooling, Dense and norm are in the graph
    normalization=False,
    sources=ModelSource(url="file:///none"),
    output_name="sentence_embedding",
    model_file="onnx/model_quantized.onnx",
)
model = TextEmbedding("leaf", specific_model_path={name!r})  # a downloaded directory
vector = next(iter(model.embed([{prompt!r} + "where is the river"])))
"""

QDRANT_CLIENT = """
from qdrant_client import models  # after add_custom_model, as with fastembed

options = {{"specific_model_path": {name!r}}}
query = models.Document(text={prompt!r} + "where is the river", model="leaf", options=options)
# client.query_points("docs", query=query)
"""

TRANSFORMERS_JS = """
import {{ AutoModel, AutoTokenizer }} from "@huggingface/transformers";

const tokenizer = await AutoTokenizer.from_pretrained({name!r});
const model = await AutoModel.from_pretrained({name!r}, {{ dtype: "q8" }});
const inputs = await tokenizer([{prompt!r} + "where is the river"], {{ padding: true, truncation: true }});
const {{ sentence_embedding }} = await model(inputs); // {dim} dimensions each
"""


def snippets(info: LeafInfo, name: str) -> Mapping[str, str]:
    """Returns code that makes one query vector, by library; a static leaf has no graph to load elsewhere.

    Args:
        info: Of the leaf.
        name: Path or hub id that the code loads.
    """
    graphs = {"fastembed": FASTEMBED, "qdrant-client": QDRANT_CLIENT, "transformers.js": TRANSFORMERS_JS}
    everywhere = {"leaf-embed": LEAF_EMBED, "sentence-transformers": SENTENCE_TRANSFORMERS, "LangChain": LANGCHAIN}
    chosen = everywhere | graphs if info.needs_graph else everywhere
    values = {"name": name, "dim": info.space.dim, "prompt": info.space.query_prompt}
    return {library: code.strip().format(**values) for library, code in chosen.items()}


def usage(info: LeafInfo, name: str) -> str:
    """Returns the section of the model card."""
    parts = ["## Usage"]
    for library, code in snippets(info, name).items():
        language = "js" if library.endswith("js") else "python"
        parts.append(f"### {library}\n\n```{language}\n{code}\n```")
    return "\n\n".join(parts)
