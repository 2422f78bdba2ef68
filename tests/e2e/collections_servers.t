#!/usr/bin/env python3
"""Two servers on one PostgreSQL database, with a collection in their memories and one in pgvector: what is put into a collection through one is found through
the other, what is deleted is not, filters and payloads follow, and a deleted collection is gone."""
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pg as postgres
from croft_server import Croft, Tap, skip_all

if postgres.missing():
    skip_all(postgres.missing())
tap = Tap()


def until(seconds, condition):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def near(c, vector, **more):
    status, reply = c.json("POST", "/api/v1/collections/shared/search", {"vector": vector, "k": 100, **more})
    return [h["id"] for h in reply["hits"]] if status == 200 else status


def items(*pairs):
    return {"items": [{"id": i, "vector": v, "payload": {"n": i, "even": i % 2 == 0}} for i, v in pairs]}


def run(a, b, backend):
    tap.same(a.json("PUT", "/api/v1/collections/shared", {"vectors": {"size": 2, "distance": "Dot"}, "backend": backend})[0], 200,
             f"a collection is made through A ({backend})")
    tap.same(near(b, [1, 0]), [], "B has it, with nothing in it")
    a.json("PUT", "/api/v1/collections/shared/items", items(*[(i, [i, 1]) for i in range(1, 21)]))
    tap.ok(until(10, lambda: near(b, [1, 0]) == list(range(20, 0, -1))), "items put through A are found through B", near(b, [1, 0]))
    b.json("PUT", "/api/v1/collections/shared/items", items((5, [500, 0]), (21, [0.5, 0])))
    tap.same(near(b, [1, 0])[0], 5, "one replaced through B is found as it is through B at once")
    tap.ok(until(10, lambda: near(a, [1, 0])[0] == 5 and 21 in near(a, [1, 0])), "and soon through A")
    even = {"must": [{"key": "even", "match": {"value": True}}]}
    a.json("POST", "/api/v1/collections/shared/items/delete", {"filter": even})
    tap.ok(until(10, lambda: near(b, [1, 0]) == [5, 19, 17, 15, 13, 11, 9, 7, 3, 1, 21]), "what a filter deleted through A is not found through B",
           near(b, [1, 0]))
    tap.ok(until(10, lambda: near(b, [1, 0], filter=even) == []), "nor by its filter")
    # both write at once: neither loses what the other put
    for k in range(10):
        a.json("PUT", "/api/v1/collections/shared/items", items((1000 + k, [1, 1000 + k])))
        b.json("PUT", "/api/v1/collections/shared/items", items((2000 + k, [1, 2000 + k])))
    want = [2000 + k for k in range(9, -1, -1)] + [1000 + k for k in range(9, -1, -1)]
    tap.ok(until(10, lambda: near(a, [0, 1])[:20] == want and near(b, [0, 1])[:20] == want), "both find what both put",
           f"{near(a, [0, 1])[:20]} {near(b, [0, 1])[:20]}")
    b.kill()
    a.json("PUT", "/api/v1/collections/shared/items", items((3000, [1, 3000])))
    b.start()
    tap.same(near(b, [0, 1])[0], 3000, "one put while B was down is found through B when it is back")
    a.json("DELETE", "/api/v1/collections/shared")
    tap.ok(until(10, lambda: near(b, [0, 1]) == 404), "a collection that A deleted is gone for B", near(b, [0, 1]))


def words(a, b):
    """Settings of the index of words, and what it has, follow too; and so do sparse vectors."""
    def found(c, text):
        status, reply = c.json("POST", "/api/v1/collections/words/search", {"mode": "keyword", "text": text})
        return sorted(h["id"] for h in reply["hits"]) if status == 200 else status

    def few(c, at):
        status, reply = c.json("POST", "/api/v1/collections/words/search", {"space": "s", "vector": {"indices": [at], "values": [1]}})
        return sorted(h["id"] for h in reply["hits"]) if status == 200 else status

    def put(c, i, text):
        c.json("PUT", "/api/v1/collections/words/items", {"items": [{"id": i, "vector": {"s": {"indices": [i, 99], "values": [1, 2]}}, "payload": {"text": text}}]})
    a.json("PUT", "/api/v1/collections/words", {"sparse_vectors": {"s": {}}})
    put(a, 1, "alpha beta")
    tap.ok(until(10, lambda: few(b, 99) == [1]), "a sparse vector put through A is found through B", few(b, 99))
    tap.same(found(b, "alpha"), 400, "nobody has an index of words")
    a.json("PUT", "/api/v1/collections/words/keyword", {"fields": {"text": 1}})
    tap.ok(until(10, lambda: found(b, "alpha") == [1]), "an index of words made through A is B's too", found(b, "alpha"))
    put(b, 2, "alpha gamma")
    put(a, 1, "delta")
    tap.ok(until(10, lambda: found(a, "alpha") == [2] == found(b, "alpha") and found(b, "delta") == [1]), "and follows what both put")
    tap.ok(until(10, lambda: few(a, 99) == [1, 2] == few(b, 99)), "as sparse vectors do")
    b.json("POST", "/api/v1/collections/words/items/delete", {"ids": [2]})
    tap.ok(until(10, lambda: found(a, "alpha") == [] and few(a, 2) == []), "what was deleted through B is found through A neither way")
    a.json("DELETE", "/api/v1/collections/words/keyword")
    tap.ok(until(10, lambda: found(b, "delta") == 400), "and the index is gone for both when it is dropped")


def moved(a, b):
    """Moved through A while B has it open: B goes on with the new place."""
    a.json("PUT", "/api/v1/collections/shared", {"vectors": {"size": 2, "distance": "Dot"}, "backend": "embedded"})
    a.json("PUT", "/api/v1/collections/shared/items", items(*[(i, [i, 1]) for i in range(1, 21)]))
    tap.ok(until(10, lambda: near(b, [1, 0]) == list(range(20, 0, -1))), "B has a collection open")
    for to in ("pgvector", "embedded"):
        tap.same(a.json("POST", "/api/v1/collections/shared/move", {"backend": to})[0], 200, f"A moves it to {to}")
        b.json("PUT", "/api/v1/collections/shared/items", items((100, [100 + (to == "embedded"), 1])))
        tap.same(near(b, [1, 0]), [100] + list(range(20, 0, -1)), "B puts and finds")
        tap.ok(until(10, lambda: near(a, [1, 0]) == [100] + list(range(20, 0, -1))), "so does A", near(a, [1, 0]))


blobs = tempfile.mkdtemp(prefix="croft-blobs-")
with postgres.Pg() as pg:
    both = [Croft(settings={"db.url": pg.url("shared"), "blobs.url": "file:" + blobs}) for _ in range(2)]
    try:
        for c in both:
            c.start()
        run(*both, "embedded")
        words(*both)
        setup = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "setup-pgvector.sh")
        if subprocess.run([setup], capture_output=True).returncode == 0:
            run(*both, "pgvector")
            moved(*both)
        else:
            tap.note("pgvector cannot be installed: only in memory")
    finally:
        for c in both:
            c.remove()
tap.done()
