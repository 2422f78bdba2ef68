#!/usr/bin/env python3
"""Lists of vectors beyond 20,000 vectors, where the graph finds the candidates: scores are MaxSim to the
last bit of single precision, and what a search finds is compared with all items' scores (recall@10),
also with filters, after a third of the items was replaced or deleted, and after a restart."""
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap

tap = Tap()
SEED = int(os.environ.get("CROFT_TEST_SEED", 20261128))
rnd = random.Random(SEED)
tap.note(f"CROFT_TEST_SEED={SEED}")
AT, N, DIM, TOPICS, QUERIES, K = "/api/v1/collections/lists", 3400, 24, 150, 25, 10
topics = [[rnd.gauss(0, 1) for _ in range(DIM)] for _ in range(TOPICS)]


def near(v, by):
    return [round(x + rnd.gauss(0, by), 4) for x in v]


def document():
    """Words of a few topics, as the vectors of a text's words are; some texts are longer."""
    of = rnd.sample(topics, rnd.randrange(1, 4))
    return [near(rnd.choice(of), 0.6) for _ in range(rnd.randrange(2, 13))]


def question():
    if rnd.random() < 0.5:  # of words that an item has, more or less
        some = rnd.choice(list(items.values()))[0]
        return [near(v, 0.3) for v in rnd.sample(some, min(len(some), 4))]
    return [near(rnd.choice(topics), 0.6) for _ in range(rnd.randrange(1, 6))]


def unit(v):
    n = sum(x * x for x in v) ** 0.5
    return [x / n for x in v]


def max_sim(q, d):
    d = [unit(v) for v in d]
    return sum(max(sum(a * b for a, b in zip(w, v)) for v in d) for w in map(unit, q))


def call(c, method, tail="", body=None):
    status, reply = c.json(method, AT + tail, body, timeout=300)
    if status != 200:
        raise RuntimeError(f"{method} {tail}: {status} {str(reply)[:300]}")
    return reply


def put(c, ids):
    ids = list(ids)
    for n in ids:
        items[n] = (document(), n % 20)
    for at in range(0, len(ids), 400):
        call(c, "PUT", "/items", {"items": [{"id": n, "vector": {"words": items[n][0]}, "payload": {"lot": items[n][1]}} for n in ids[at:at + 400]]})


def search(c, q, **more):
    return call(c, "POST", "/search", {"space": "words", "vector": q, "k": K, **more})


def recall(c, queries, **more):
    """Mean over queries; an item as good as the last of the exact ones counts."""
    total, walked = 0, 0
    for q in queries:
        want, got = search(c, q, exact=True, **more)["hits"], search(c, q, **more)
        least = min(h["score"] for h in want)
        total += sum(h["score"] >= least - 1e-5 for h in got["hits"]) / len(want)
        walked += not got["exact"]
    return total / len(queries), walked


items = {}
with Croft() as c:
    call(c, "PUT", "", {"vectors": {"words": {"size": DIM, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}}}})
    put(c, range(N))
    rows = sum(len(d) for d, _ in items.values())
    tap.ok(rows > 20000, f"{rows} vectors in {N} lists")
    queries = [question() for _ in range(QUERIES)]
    wrong = []
    for q in queries[:2]:
        scores = sorted(((max_sim(q, d), n) for n, (d, _) in items.items()), reverse=True)
        got = search(c, q, exact=True)["hits"]
        if any(abs(h["score"] - s) > 1e-4 for h, (s, _) in zip(got, scores)) or len(got) != K:
            wrong.append((scores[:K], got))
        for h in search(c, q)["hits"]:
            if abs(h["score"] - max_sim(q, items[h["id"]][0])) > 1e-4:
                wrong.append(h)
    tap.same(wrong, [], "exact searches score as MaxSim by its definition, and so does the graph's way")
    r, walked = recall(c, queries)
    tap.ok(r >= 0.95 and walked == QUERIES, f"recall@10 is {r:.4f}, {walked} of {QUERIES} by the graph")
    for share, lots in (("half", range(10)), ("a tenth", (3, 4)), ("a twentieth", (7,))):
        f = {"must": [{"key": "lot", "match": {"any": list(lots)}}]}
        r, walked = recall(c, queries[:12], filter=f)
        tap.ok(r >= 0.95, f"recall@10 of {share} of the items is {r:.4f}, {walked} of 12 by the graph")
    gone = list(range(0, N, 7))
    call(c, "POST", "/items/delete", {"ids": gone})
    for n in gone:
        del items[n]
    put(c, range(1, N, 7))
    queries = [question() for _ in range(QUERIES)]
    r, walked = recall(c, queries)
    tap.ok(r >= 0.95, f"recall@10 after deletions and replacements is {r:.4f}, {walked} by the graph")
    found = {h["id"] for q in queries for h in search(c, q)["hits"]}
    tap.ok(not found & set(gone), "and nothing that was deleted is found")
    c.stop()
    c.start()
    r, walked = recall(c, queries)
    tap.ok(r >= 0.95 and "read from its items" not in c.logged(), f"recall@10 is {r:.4f} when its files are opened", c.logged())
    plan = call(c, "GET", "/memory")
    tap.ok(plan["total"] > 20000 * DIM * 4, "their memory is counted", plan)
tap.done()
