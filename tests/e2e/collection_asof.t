#!/usr/bin/env python3
"""Searches as of a version against a collection that holds just what the version held: the same answers
by vectors (exact), by words, by both, by sparse vectors and by lists, with filters, while the live items
change; and by the graph nearly all of them."""
import json
import math
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap

SEED = int(os.environ.get("CROFT_TEST_SEED", time.time()))
tap = Tap()
random.seed(SEED)
tap.note(f"CROFT_TEST_SEED={SEED}")
ROOT, DIM = "/api/v1/collections", 16
WORDS = "pump valve seal rotor shaft bearing motor fan belt gear screw bolt plate spring filter hose".split()
LANGS = ["en", "de", "fr"]


def call(c, method, tail, body=None):
    status, reply = c.json(method, ROOT + tail, body)
    if status != 200:
        raise RuntimeError(f"{method} {tail}: {status} {reply}")
    return reply


def vector(dim=DIM):
    return [round(random.gauss(0, 1), 3) for _ in range(dim)]


def item(n):
    at = sorted(random.sample(range(60), random.randint(1, 6)))
    return {"id": n if n % 5 else f"doc-{n}",
            "vector": {"main": vector(),
                       "words": {"indices": at, "values": [round(random.uniform(0.1, 2), 3) for _ in at]},
                       "tokens": [vector(4) for _ in range(random.randint(1, 4))]},
            "payload": {"title": " ".join(random.choices(WORDS, k=2)), "text": " ".join(random.choices(WORDS, k=12)),
                        "lang": random.choice(LANGS), "n": n}}


def put(c, name, items):
    for at in range(0, len(items), 1000):
        call(c, "PUT", f"/{name}/items", {"items": items[at:at + 1000]})


def create(c, name):
    call(c, "PUT", f"/{name}", {
        "vectors": {"main": {"size": DIM, "distance": "Cosine"},
                    "tokens": {"size": 4, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}},
        "sparse_vectors": {"words": {"modifier": "idf"}},
        "keyword": {"fields": {"title": 2, "text": 1}, "language": "en"}})


def questions():
    at = sorted(random.sample(range(60), 8))
    flt = {"must": [{"key": "lang", "match": {"value": "de"}}]}
    out = [
        {"vector": vector(), "space": "main", "exact": True},
        {"vector": vector(), "space": "main", "exact": True, "filter": flt},
        {"vector": vector(), "space": "main", "exact": True, "filter": {"must": [{"key": "n", "range": {"lt": 40}}]}},
        {"vector": vector(), "space": "main", "exact": True, "filter": {"must": [{"has_id": [1, "doc-5", 7, 9000]}]}},
        {"vector": vector(), "space": "main", "exact": True, "worst": 0.3, "k": 100},
        {"vector": {"indices": at, "values": [1.0] * 8}, "space": "words"},
        {"vector": {"indices": at, "values": [1.0] * 8}, "space": "words", "filter": flt},
        {"vector": [vector(4), vector(4)], "space": "tokens", "exact": True},
        {"id": 1, "space": "main", "exact": True},
    ]
    for text in ("pump valve", '"pump valve"', "+pump -seal", "bea*", "mottor~"):
        out.append({"text": text, "mode": "keyword"})
        out.append({"text": text, "mode": "keyword", "filter": flt})
    for method in ("rrf", "score"):
        out.append({"text": "shaft bearing", "mode": "hybrid", "vector": vector(), "space": "main", "exact": True,
                    "fusion": {"method": method, "vector": 1, "keyword": 2}})
    return out


def qdrant(c, name, what, body):
    status, reply = c.json("POST", f"/collections/{name}/{what}", body)
    if status != 200:
        raise RuntimeError(f"{name} {what}: {status} {reply}")
    return reply["result"]


def qdrant_questions():
    v, flt = vector(), {"must": [{"key": "lang", "match": {"value": "de"}}]}
    exact = {"exact": True}
    return [
        ("points/query/groups", {"query": v, "using": "main", "group_by": "lang", "group_size": 3, "limit": 3, "params": exact, "with_payload": True}),
        ("points/query", {"query": {"recommend": {"positive": [1, 2], "negative": [3], "strategy": "best_score"}}, "using": "main", "limit": 7}),
        ("points/query", {"query": {"recommend": {"positive": [1, "doc-10"], "negative": [3]}}, "using": "main", "limit": 7, "params": exact, "filter": flt}),
        ("points/query", {"query": {"discover": {"target": v, "context": [{"positive": 1, "negative": 2}]}}, "using": "main", "limit": 7}),
        ("points/query", {"prefetch": [{"query": v, "using": "main", "limit": 30, "params": exact}, {"query": {"indices": [1, 5, 9], "values": [1, 1, 1]}, "using": "words", "limit": 30}], "query": {"fusion": "rrf"}, "limit": 5}),
        ("points/query", {"prefetch": {"query": {"indices": [1, 5, 9], "values": [1, 1, 1]}, "using": "words", "limit": 50}, "query": v, "using": "main", "limit": 5}),
        ("points/query", {"query": {"order_by": "n"}, "limit": 9}),
        ("facet", {"key": "lang", "filter": flt}),
        ("facet", {"key": "title", "limit": 5}),
        ("points/count", {"filter": flt}),
        ("points/scroll", {"filter": flt, "limit": 20, "with_payload": True}),
        ("points", {"ids": [1, 2, 3, "doc-10"], "with_vector": True}),
    ]


def rounded(x):
    """Without versions of points, and numbers as they are meant."""
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items() if k not in ("version", "order_value")}
    if isinstance(x, list):
        return [rounded(v) for v in x]
    return round(x, 4) if isinstance(x, float) else x


def compare_qdrant(c, pairs):
    bad = []
    for version, oracle in pairs:
        for what, body in qdrant_questions():
            got, want = (rounded(qdrant(c, name, what, body)) for name in (f"k:{version}", oracle))
            if got != want:
                bad.append((version, what, body, got, want))
    return bad


def hits(reply):
    return [(h["id"], round(h["score"], 4), h["payload"]) for h in reply["hits"]]


def same(a, b):
    """Equal scores may stand in either order: they are those of other numbers."""
    a, b = hits(a), hits(b)
    if [x[1] for x in a] != [x[1] for x in b]:
        close = len(a) == len(b) and all(abs(x[1] - y[1]) < 2e-4 for x, y in zip(a, b))
        if not close:
            return False
    last = a[-1][1] if a else None
    key = lambda x: json.dumps([x[0], x[2]], sort_keys=True)  # noqa: E731
    return sorted(map(key, (x for x in a if abs(x[1] - last) > 1e-3))) == sorted(map(key, (x for x in b if abs(x[1] - last) > 1e-3)))


def compare(c, pairs, times):
    bad = []
    for _ in range(times):
        for version, oracle in pairs:
            for q in questions():
                got = call(c, "POST", "/k/search", {**q, "as_of": version})
                want = call(c, "POST", f"/{oracle}/search", q)
                if not same(got, want) or got["version"] != version or got["mode"] != want["mode"]:
                    bad.append((version, q, hits(got)[:4], hits(want)[:4]))
    return bad


def small(c):
    create(c, "k")
    now, held = {}, {}
    for version in range(1, 5):
        numbers = range(1500) if version == 1 else random.sample(range(1600), 150)
        items = [item(n) for n in numbers]
        put(c, "k", items)
        now.update({i["id"]: i for i in items})
        gone = [i for i in random.sample(sorted(now, key=str), 40) if i not in (1, 2, 3, "doc-10")]  # those are asked for
        call(c, "POST", "/k/items/delete", {"ids": gone})
        for i in gone:
            now.pop(i)
        call(c, "POST", "/k/versions", {})
        held[version] = list(now.values())
    for version, items in held.items():
        create(c, f"was-{version}")
        # in the order of ids, which is what a version numbers by: ties of words stand in the same order
        put(c, f"was-{version}", sorted(items, key=lambda i: (isinstance(i["id"], str), i["id"])))
    pairs = [(v, f"was-{v}") for v in held]
    tap.same(compare(c, pairs, 3), [], "as of a version there are the answers of a collection that holds what it held")
    tap.same(compare_qdrant(c, pairs), [], "groups, recommendations, discovery, fusion, facets, orders, counts too, by Qdrant's API")
    for method, tail, body in (("PUT", "points", {"points": [{"id": 1, "vector": {}}]}), ("POST", "points/delete", {"points": [1]}), ("POST", "points/payload", {"payload": {"a": 1}, "points": [1]})):
        status, reply = c.json(method, f"/collections/k:1/{tail}", body)
        tap.ok(status == 409 and "branch" in str(reply), f"where {tail} of a version is refused", (status, reply))
    call(c, "POST", "/k/items/delete", {"filter": {"must": [{"key": "lang", "match": {"value": "fr"}}]}})
    put(c, "k", [item(n) for n in random.sample(range(1600), 300)])
    call(c, "POST", "/k/restore", {"version": 2})
    put(c, "k", [item(n) for n in random.sample(range(1600), 100)])
    tap.same(compare(c, pairs, 1), [], "and when the live items have become others")
    stop, failed = threading.Event(), []

    def write():
        while not stop.is_set():
            try:
                put(c, "k", [item(n) for n in random.sample(range(1600), 20)])
                call(c, "POST", "/k/items/delete", {"ids": [n for n in random.sample(range(1, 1600), 5) if n % 5]})
            except RuntimeError as e:
                failed.append(e)
                return

    writers = [threading.Thread(target=write) for _ in range(2)]
    for t in writers:
        t.start()
    bad = compare(c, pairs, 2)
    stop.set()
    for t in writers:
        t.join()
    tap.same((bad, failed), ([], []), "and while others write all the time")
    c.kill()
    c.start()
    tap.same(compare(c, pairs[:2], 3), [], "and after kill -9")
    for method, tail, body in (("PUT", "/items", {"items": [item(1)]}), ("POST", "/items/delete", {"ids": [1]})):
        status, reply = c.json(method, f"{ROOT}/k:1{tail}", body)
        tap.ok(status in (404, 409), "a version is no collection to write to", (status, reply))


def large(c):
    """Enough for a graph: recall, and the way that the reply says."""
    n, dim = 12000, 16
    call(c, "PUT", "/g", {"vectors": {"size": dim, "distance": "Cosine"}})
    centres = [vector(dim) for _ in range(60)]

    def near():
        return [round(x + random.gauss(0, 0.6), 3) for x in random.choice(centres)]

    def some(numbers):
        return [{"id": i, "vector": near(), "payload": {"even": i % 2 == 0}} for i in numbers]

    items = some(range(n))
    put(c, "g", items)
    call(c, "POST", "/g/versions", {})
    put(c, "g", some(random.sample(range(n), 600)))
    call(c, "POST", "/g/items/delete", {"ids": random.sample(range(n), 300)})
    first = call(c, "POST", "/g/search", {"vector": near(), "as_of": 1})
    tap.ok(first["exact"] and first["compared"] == n, "the first search of a version compares all", first["compared"])

    def recall(queries, **more):
        found = walked = compared = 0
        for _ in range(queries):
            q = near()
            got = call(c, "POST", "/g/search", {"vector": q, "as_of": 1, **more})
            keep = [i for i in items if not more or i["payload"]["even"]]
            length = math.sqrt(sum(x * x for x in q))
            truth = sorted(keep, key=lambda i: -sum(x * y for x, y in zip(i["vector"], q)) / math.sqrt(sum(x * x for x in i["vector"])) / length)[:10]
            found += len({h["id"] for h in got["hits"]} & {t["id"] for t in truth})
            walked += not got["exact"]
            compared += got["compared"]
        return found / (10 * queries), walked / queries, compared / queries

    r = recall(30)
    tap.ok(r[0] >= 0.95 and r[1] == 1 and r[2] < n / 2, "those that follow walk the live graph, and find at least 95 %", r)
    r = recall(20, filter={"must": [{"key": "even", "match": {"value": True}}]})
    tap.ok(r[0] >= 0.95, "with a filter too", r)
    put(c, "g", some(range(n)))  # now nothing live is the version's
    deadline = time.time() + 60
    call(c, "POST", "/g/search", {"vector": near(), "as_of": 1})
    while time.time() < deadline and call(c, "POST", "/g/search", {"vector": near(), "as_of": 1})["exact"]:
        time.sleep(0.1)
    r = recall(20)
    tap.ok(r[0] >= 0.95 and r[1] == 1, "nor less by a graph of its own when all live items are others", r)
    folder = os.path.join(c.home, "collections", "versions")
    tap.ok(len(os.listdir(folder)) == 1, "which is saved", os.listdir(folder))
    c.stop()
    c.start()
    call(c, "POST", "/g/search", {"vector": near(), "as_of": 1})
    t = time.time()
    call(c, "POST", "/g/search", {"vector": near(), "as_of": 1})
    r = recall(10)
    tap.ok(r[0] >= 0.95 and r[1] == 1, f"and read from there when the server starts again ({time.time() - t:.2f} s)", r)
    call(c, "DELETE", "/g/versions/1")
    tap.same(os.listdir(folder), [], "a version that is deleted takes its file along")


with Croft() as c:
    small(c)
    large(c)
tap.done()
