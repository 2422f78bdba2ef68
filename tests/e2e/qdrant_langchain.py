"""LangChain's Qdrant vector store, unmodified, against Croft and against the Qdrant client's local mode: dense, sparse
and hybrid retrieval give the same documents with the same scores, before and after changes."""
import hashlib
import os
import random
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap  # noqa: E402
from langchain_core.documents import Document  # noqa: E402
from langchain_core.embeddings import Embeddings  # noqa: E402
from langchain_qdrant import QdrantVectorStore, RetrievalMode  # noqa: E402
from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector  # noqa: E402
from qdrant_client import QdrantClient, models as m  # noqa: E402

tap = Tap()
rnd = random.Random(3)
WORDS = ("pump valve pressure water steam engine boiler pipe leak gauge heat fuel tank filter motor belt gear oil seal bolt "
         "wire fuse panel switch sensor alarm door window roof floor").split()


def number(word):
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")


class Dense(Embeddings):
    """A vector for each word, by its hash, and their sum: no model is needed to compare two servers."""

    def embed_query(self, text):
        v = [0.0] * 24
        for word in text.split():
            own = random.Random(number(word))
            v = [a + own.gauss(0, 1) for a in v]
        return v

    def embed_documents(self, texts):
        return [self.embed_query(t) for t in texts]


class Sparse(SparseEmbeddings):
    def embed_query(self, text):
        words = text.split()
        at = {number(w): round(words.count(w) / (words.count(w) + 1.2) + number(w) % 1000 / 1e6, 6) for w in words}
        return SparseVector(indices=list(at), values=list(at.values()))

    def embed_documents(self, texts):
        """No two texts alike: equals may stand in any order, which fusion by ranks makes into other scores."""
        out = [self.embed_query(t) for t in texts]
        return [SparseVector(indices=s.indices, values=[v * (1 + number(t) % 9973 / 1e5) for v in s.values]) for s, t in zip(out, texts)]


def plain(found):
    return [(d.page_content, {k: v for k, v in d.metadata.items() if k != "_collection_name"}, round(s, 4)) for d, s in found]


def store(client, mode):
    name = f"docs_{mode.value}"
    vectors = {} if mode == RetrievalMode.SPARSE else {"dense": m.VectorParams(size=24, distance=m.Distance.COSINE)}
    sparse = None if mode == RetrievalMode.DENSE else {"words": m.SparseVectorParams(modifier=m.Modifier.IDF)}
    client.create_collection(name, vectors_config=vectors, sparse_vectors_config=sparse)
    return QdrantVectorStore(client=client, collection_name=name, embedding=None if mode == RetrievalMode.SPARSE else Dense(),
                             sparse_embedding=None if mode == RetrievalMode.DENSE else Sparse(), retrieval_mode=mode,
                             vector_name="" if mode == RetrievalMode.SPARSE else "dense", sparse_vector_name="words")


def run(croft, local, mode):
    both = [store(croft, mode), store(local, mode)]
    docs = [Document(page_content=" ".join(rnd.choices(WORDS, k=rnd.randint(6, 14))), metadata={"n": i, "kind": rnd.choice("ab")}) for i in range(150)]
    ids = [str(uuid.UUID(int=rnd.getrandbits(128))) for _ in docs]
    for s in both:
        s.add_documents(docs, ids=ids)
    only = m.Filter(must=[m.FieldCondition(key="metadata.kind", match=m.MatchValue(value="a"))])

    def same(what):
        for query in ("pump leak pressure", "fuse panel", "steam boiler gauge heat"):
            for f in (None, only):
                got, want = (plain(s.similarity_search_with_score(query, k=6, filter=f)) for s in both)
                # equal scores may stand in another order
                tap.ok(sorted(got) == sorted(want) or [s for *_, s in got] == [s for *_, s in want],
                       f"{mode.value}, {what}: {query}{' with a filter' if f else ''}", f"got  {got}\nwant {want}")

    same("fresh")
    for s in both:
        s.delete(ids[:40])
        s.add_documents([Document(page_content="pump " + docs[60].page_content, metadata={"n": 60, "kind": "a"})], ids=[ids[60]])
    same("changed")
    got, want = ([(d.page_content, d.metadata["n"]) for d in s.get_by_ids([ids[60], ids[1], ids[99]])] for s in both)
    tap.same(sorted(got), sorted(want), f"{mode.value}: documents by their ids")
    if mode == RetrievalMode.DENSE:
        got, want = ([d.metadata["n"] for d in s.max_marginal_relevance_search("pump leak", k=5, fetch_k=20)] for s in both)
        tap.same(got, want, "dense: documents that are less alike")
    again = QdrantVectorStore.from_existing_collection(
        url=croft_url, collection_name=f"docs_{mode.value}", embedding=None if mode == RetrievalMode.SPARSE else Dense(),
        sparse_embedding=None if mode == RetrievalMode.DENSE else Sparse(), retrieval_mode=mode,
        vector_name="" if mode == RetrievalMode.SPARSE else "dense", sparse_vector_name="words")
    tap.same(plain(again.similarity_search_with_score("pump", k=4)), plain(both[0].similarity_search_with_score("pump", k=4)),
             f"{mode.value}: a collection that is there is opened, and its configuration found to fit")


with Croft() as c:
    croft_url = c.base
    for mode in (RetrievalMode.DENSE, RetrievalMode.SPARSE, RetrievalMode.HYBRID):
        run(QdrantClient(url=c.base, timeout=60), QdrantClient(":memory:"), mode)
tap.done()
