"""QdrantVectorStore: ``langchain_qdrant``'s own store, which asks a leaf; needs ``pip install langchain-qdrant``.

Change the import and pass a leaf; collection, payloads, filters and code stay::

    from leaf_embed_langchain import LeafEmbeddings, QdrantVectorStore

    store = QdrantVectorStore(client, "docs", LeafEmbeddings("my-leaf"))
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStoreRetriever
from langchain_qdrant import QdrantVectorStore as StockStore
from langchain_qdrant import RetrievalMode
from qdrant_client import QdrantClient, models

from leaf_embed import Encoder
from leaf_embed.errors import InputError
from leaf_embed.qdrant import AttachedCollection, PayloadLayout, StagedClient, attach, check_first_stage
from leaf_embed_langchain.convert import required
from leaf_embed_langchain.embeddings import LeafEmbeddings
from leaf_embed_langchain.searches import relevance_of_cosine, require_retriever_options

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["QdrantVectorStore"]

ID_KEY = "leaf_id"  # of a payload: the caller's id, where Qdrant takes none of its kind
COMPARABLE = (models.Distance.COSINE, models.Distance.DOT)


class QdrantVectorStore(StockStore):
    """The stock store; with :class:`LeafEmbeddings` documents are embedded by the teacher and queries by the leaf.

    Everything of ``langchain_qdrant.QdrantVectorStore`` stays: constructors, payloads, filters, retrieval modes,
    errors. Both may work on one collection at the same time. With a leaf

    - the teacher is called when documents are added, and once when a collection is opened that does not say yet which
      model wrote it; never for a search, MMR included;
    - the collection records the leaf's space, and another model is refused;
    - ``mrl=128`` adds a truncated vector, from which searches take their candidates;
    - any text can be an id. One that Qdrant would not take is kept in the payload under ``leaf_id``.

    With any other embeddings it does what the stock store does.
    """

    def __init__(
        self,
        client: QdrantClient,
        collection_name: str,
        embedding: Embeddings | Encoder | None = None,
        retrieval_mode: RetrievalMode = RetrievalMode.DENSE,
        *args: Any,
        mrl: int | None = None,
        **options: Any,
    ) -> None:
        """Opens a collection that exists; arguments but for ``mrl`` are those of the stock store.

        Args:
            client: A ``QdrantClient``, which the caller closes.
            collection_name: Name of the collection.
            embedding: :class:`LeafEmbeddings`, an encoder such as ``leaf_embed.load`` returns, or any embeddings.
            retrieval_mode: Dense, sparse or hybrid.
            args: Further arguments of the stock store, by their places.
            mrl: Dimensions of a truncated vector to take candidates from; filled from the stored vectors if it is new.
                The collection's vector needs a name, and a server version 1.18 or later.
            options: Further arguments of the stock store, by their names.

        Raises:
            SpaceMismatchError: The collection belongs to another model.
            CollectionError: Its vector is not compared by cosine or dot product.
            InputError: ``mrl`` does not fit, or comes without a leaf.
        """
        embedding = as_embeddings(embedding)
        super().__init__(client, collection_name, embedding, retrieval_mode, *args, **options)
        self._leaf: AttachedCollection | None = None
        if isinstance(embedding, LeafEmbeddings) and retrieval_mode != RetrievalMode.SPARSE:
            layout = PayloadLayout(self.content_payload_key, self.metadata_payload_key)
            encoder, name = embedding.encoder, self.vector_name
            self._leaf = attach(collection_name, encoder, client=client, vector=name, layout=layout)
            self._client = cast("Any", StagedClient(client, self._leaf))
        if mrl is not None:
            self._take_candidates_from(mrl)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | Encoder | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        ids: Sequence[str | int] | None = None,
        *args: Any,
        mrl: int | None = None,
        batch_size: int = 64,
        **options: Any,
    ) -> Self:
        """Adds texts to a collection, which is created if it does not exist; options as in the stock store."""
        embedding = as_embeddings(embedding)
        check_mrl(mrl, embedding, options.get("vector_name", cls.VECTOR_NAME))
        store = cast("Self", super().from_texts([], embedding, None, None, *args, **options))
        try:
            if mrl is not None:
                store._take_candidates_from(mrl)
            store.add_texts(texts, metadatas, ids, batch_size)
        except BaseException:
            store.client.close()  # whoever keeps the error keeps this frame: a directory must not stay in use
            raise
        return store

    @classmethod
    def from_existing_collection(
        cls, collection_name: str, embedding: Embeddings | Encoder | None = None, *args: Any, **options: Any
    ) -> Self:
        """Opens a collection that exists; options as in the stock store, and ``mrl``."""
        mrl = options.pop("mrl", None)
        store = cast(
            "Self", super().from_existing_collection(collection_name, as_embeddings(embedding), *args, **options)
        )
        if mrl is not None:
            store._take_candidates_from(mrl)
        return store

    @classmethod
    def construct_instance(
        cls,
        embedding: Embeddings | None = None,
        retrieval_mode: RetrievalMode = RetrievalMode.DENSE,
        *args: Any,
        **options: Any,
    ) -> Self:
        """As in the stock store, but the teacher is not asked for the size of its vectors."""
        if not isinstance(embedding, LeafEmbeddings) or retrieval_mode == RetrievalMode.SPARSE:
            return cast("Self", super().construct_instance(embedding, retrieval_mode, *args, **options))
        distance = options.get("distance", args[3] if len(args) > 3 else models.Distance.COSINE)
        if distance not in COMPARABLE:
            raise InputError(
                f"a leaf is aligned to its teacher's cosines and dot products; distance {distance!s} ranks otherwise. "
                "Use Distance.COSINE or Distance.DOT."
            )
        return cast("Self", super().construct_instance(Sized(embedding), retrieval_mode, *args, **options))

    @classmethod
    def _validate_collection_for_dense(
        cls, client: QdrantClient, collection_name: str, vector_name: str, distance: Any, dense_embeddings: Any
    ) -> None:
        if isinstance(dense_embeddings, LeafEmbeddings):
            dense_embeddings = [0.0] * dense_embeddings.encoder.space.dim
        super()._validate_collection_for_dense(client, collection_name, vector_name, distance, dense_embeddings)

    def close(self) -> None:
        """Closes the client."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def as_retriever(self, **kwargs: Any) -> VectorStoreRetriever:
        """Returns a retriever; a search's options, ``filter`` included, go into ``search_kwargs``.

        Raises:
            InputError: An option that no retriever has, which LangChain itself would leave out in silence.
        """
        require_retriever_options(kwargs)
        return super().as_retriever(**kwargs)

    def delete(self, ids: list[str | int] | None = None, **kwargs: Any) -> bool | None:  # type: ignore[override]
        """Deletes documents by their ids; one that does not exist is no error.

        Raises:
            InputError: No ids: leaving them out never empties a store.
        """
        names = required(ids)  # type: ignore[arg-type]
        return super().delete([self._point(name) for name in names], **kwargs) if names else True

    def get_by_ids(self, ids: Sequence[str | int], /) -> list[Document]:
        """Returns documents by their ids; missing ones are left out."""
        return super().get_by_ids([self._point(name) for name in ids])

    def _take_candidates_from(self, mrl: int) -> None:
        check_mrl(mrl, self.embeddings, self.vector_name)
        if self._leaf is None:
            raise InputError("mrl needs dense vectors; the retrieval mode is sparse")
        self._leaf.take_candidates_from(mrl)

    def _generate_batches(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        ids: Sequence[str | int] | None = None,
        batch_size: int = 64,
    ) -> Generator[tuple[list[str | int], list[models.PointStruct]], Any, None]:
        """The stock points, with ids that Qdrant takes."""
        texts = list(texts)
        if self._leaf is None:
            yield from super()._generate_batches(texts, metadatas, ids, batch_size)
            return
        for name, given in (("metadatas", metadatas), ("ids", ids)):
            if given and len(given) != len(texts):
                raise InputError(f"{len(given)} {name} came with {len(texts)} texts; expected one per text")
        for names, points in super()._generate_batches(texts, metadatas, ids, batch_size):
            for point in points:
                self._keep_id(point)
            yield names, points

    def _keep_id(self, point: models.PointStruct) -> None:
        name, point.id = point.id, self._point(point.id)  # type: ignore[arg-type]
        if str(name).replace("-", "") != str(point.id).replace("-", ""):  # a UUID may come without its dashes
            point.payload = {**(point.payload or {}), ID_KEY: name}

    def _point(self, name: str | int) -> str | int:
        """The id of a document's point: its own where Qdrant takes it."""
        return name if self._leaf is None else self._leaf.point_id(name)

    @staticmethod
    def _cosine_relevance_score_fn(distance: float) -> float:
        return relevance_of_cosine(distance)

    @classmethod
    def _document_from_point(
        cls, scored_point: Any, collection_name: str, content_payload_key: str, metadata_payload_key: str
    ) -> Document:
        keys = content_payload_key, metadata_payload_key
        document = super()._document_from_point(scored_point, collection_name, *keys)
        document.metadata["_id"] = (scored_point.payload or {}).get(ID_KEY, scored_point.id)
        document.id = str(document.metadata["_id"])
        return document


class Sized(Embeddings):
    """Tells the stock store the size of the vectors of a leaf whose teacher is not to be called for that."""

    def __init__(self, leaf: LeafEmbeddings) -> None:
        self.leaf = leaf

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Returns a vector of zeros per text."""
        return [[0.0] * self.leaf.encoder.space.dim for _ in texts]

    def embed_query(self, text: str) -> list[float]:
        """Returns a vector of zeros."""
        return self.embed_documents([text])[0]


def as_embeddings(embedding: Any) -> Embeddings | None:
    """Returns LangChain's embeddings for them, for an encoder, or for what stands for their size."""
    if isinstance(embedding, Sized):
        return embedding.leaf
    return LeafEmbeddings(embedding) if isinstance(embedding, Encoder) else embedding


def check_mrl(mrl: int | None, embedding: Embeddings | None, vector_name: str) -> None:
    """Checks the dimensions of a first stage before anything is made.

    Raises:
        InputError: There is no leaf, its vectors are too small, or the collection's vector has no name.
    """
    leaf = embedding.encoder if isinstance(embedding, LeafEmbeddings) else None
    if mrl is not None and leaf is None:
        raise InputError("mrl needs LeafEmbeddings: other models' vectors are not known to be truncatable")
    advice = "Make the collection with vector_name='full'"
    check_first_stage(mrl, leaf, named=bool(vector_name), advice=advice)
