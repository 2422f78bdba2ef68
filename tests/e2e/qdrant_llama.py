"""LlamaIndex's Qdrant vector store, unmodified, against Croft and against the Qdrant client's local mode: by vectors, by
sparse vectors and by both, with filters, before and after documents were deleted."""
import os
import random
import sys
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap  # noqa: E402
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode  # noqa: E402
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQuery, VectorStoreQueryMode  # noqa: E402
from llama_index.vector_stores.qdrant import QdrantVectorStore  # noqa: E402
from qdrant_client import QdrantClient  # noqa: E402

tap = Tap()
rnd = random.Random(5)
WORDS = "pump valve pressure water steam engine boiler pipe leak gauge heat fuel tank filter motor belt gear oil seal bolt".split()
texts = [" ".join(rnd.choices(WORDS, k=rnd.randint(5, 12))) for _ in range(120)]


def dense(text):
    v = [0.0] * 16
    for word in text.split():
        own = random.Random(word)
        v = [a + own.gauss(0, 1) for a in v]
    return v


def sparse(batch):
    """No two texts have the same weights: equals may stand in any order."""
    rows = [{zlib.crc32(w.encode()): t.split().count(w) * (1 + random.Random(t + w).random() / 9) for w in set(t.split())} for t in batch]
    return [list(r) for r in rows], [list(r.values()) for r in rows]


def nodes():
    out = []
    for i, t in enumerate(texts):
        n = TextNode(id_=f"00000000-0000-0000-0000-{i:012}", text=t, embedding=dense(t), metadata={"n": i, "kind": "ab"[i % 2]})
        n.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=f"doc{i // 10}")
        out.append(n)
    return out


def plain(r):
    return [(n.metadata["n"], round(s, 3)) for n, s in zip(r.nodes, r.similarities)]


with Croft() as c:
    stores = [QdrantVectorStore(collection_name="llama", client=client, enable_hybrid=True, sparse_doc_fn=sparse, sparse_query_fn=sparse)
              for client in (QdrantClient(url=c.base, timeout=60), QdrantClient(":memory:"))]
    for s in stores:
        s.add(nodes())
    only = MetadataFilters(filters=[MetadataFilter(key="kind", value="a")])

    def same(what):
        for text in ("pump leak pressure", "steam boiler", "oil filter belt gear"):
            for mode in (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.SPARSE, VectorStoreQueryMode.HYBRID):
                for f in (None, only):
                    q = VectorStoreQuery(query_embedding=dense(text), query_str=text, similarity_top_k=5, sparse_top_k=9, hybrid_top_k=6, mode=mode, filters=f)
                    got, want = (plain(s.query(q)) for s in stores)
                    tap.ok(sorted(got) == sorted(want), f"{what}, {mode.value}: {text}{' with a filter' if f else ''}", f"got  {got}\nwant {want}")

    same("fresh")
    for s in stores:
        s.delete("doc3")
        s.delete_nodes([f"00000000-0000-0000-0000-{i:012}" for i in range(5)])
    same("changed")
    got, want = (sorted(n.metadata["n"] for n in s.get_nodes(filters=only)) for s in stores)
    tap.same(got, want, "nodes by a filter")
tap.done()
