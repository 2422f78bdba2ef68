"""bench/collections_kinds.py BASE PID BACKEND: what a collection has beside its plain vectors, through HTTP on one
connection: words, words with vectors, sparse vectors, lists of vectors, filters, examples. KIND_ITEMS (20,000) items of
generated text (Zipf's law over 60,000 words). Prints rows with queries a second and the CPU time of one, the server's and
PostgreSQL's (CROFT_TEST_PG_DIR). The queries are the same for each backend, and so is a number at the end of each row that
is made of the hits."""
import http.client
import json
import os
import random
import sys
import time

base, pid, backend = sys.argv[1], int(sys.argv[2]), sys.argv[3]
ITEMS, SECONDS = int(os.environ.get("KIND_ITEMS", 20000)), float(os.environ.get("KIND_SECONDS", 3))
TICK = os.sysconf("SC_CLK_TCK")
rnd = random.Random(3)
connection = http.client.HTTPConnection(base.split("//")[1], timeout=600)


def call(method, path, body=None):
    connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{method} {path}: {answer.status} {text[:500]}")
    return json.loads(text)


def stat(p):
    with open(f"/proc/{p}/stat", encoding="ascii", errors="replace") as f:
        parts = f.read().rsplit(")", 1)[1].split()
    return int(parts[1]), (int(parts[11]) + int(parts[12])) / TICK, (int(parts[13]) + int(parts[14])) / TICK


def cpu():
    """Of the server, and of PostgreSQL's processes (those that ended count for their parent)."""
    there = os.path.join(os.environ.get("CROFT_TEST_PG_DIR", "/nowhere"), "data", "postmaster.pid")
    postmaster, database = 0, 0.0
    if os.path.exists(there):
        with open(there, encoding="ascii") as f:
            postmaster = int(f.readline())
        database = stat(postmaster)[2]
        for p in filter(str.isdigit, os.listdir("/proc")):
            try:
                parent, took, _ = stat(p)
            except OSError:
                continue
            if parent == postmaster:
                database += took
    return stat(pid)[1], database


words = ["".join(rnd.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rnd.randrange(3, 10))) for _ in range(60000)]
weights = [1 / (i + 3) for i in range(len(words))]
sums = []
for w in weights:
    sums.append((sums[-1] if sums else 0) + w)


def text(n):
    return " ".join(rnd.choices(words, cum_weights=sums, k=n))


def vector(n):
    return [round(rnd.gauss(0, 1), 4) for _ in range(n)]


def sparse(n):
    at = sorted({int(30000 * rnd.random() ** 3) for _ in range(n)})
    return {"indices": at, "values": [round(abs(rnd.gauss(0, 1)), 3) for _ in at]}


def row(name, qps, ours, theirs, note=""):
    print(f"{name:<44} {qps:>12} {ours:>10} {theirs:>10}  {note}", flush=True)


def put():
    call("PUT", "/api/v1/collections/kinds", {
        "backend": backend, "vectors": {"v": {"size": 64, "distance": "Cosine"},
                                        "rows": {"size": 32, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}}},
        "sparse_vectors": {"s": {"modifier": "idf"}}, "keyword": {"fields": {"title": 2, "text": 1}}})
    for at in range(0, ITEMS, 1000):
        call("PUT", "/api/v1/collections/kinds/items", {"items": [
            {"id": i, "vector": {"v": vector(64), "rows": [vector(32) for _ in range(4)], "s": sparse(60)},
             "payload": {"title": text(6), "text": text(80), "lot": i % 10}} for i in range(at, min(at + 1000, ITEMS))]})


def measure(name, make, path="/api/v1/collections/kinds/search"):
    bodies = [make() for _ in range(100)]
    hits = 0
    for body in bodies[:20]:
        got = call("POST", path, body)
        hits += sum(h["id"] for h in got["hits"][:3]) if "hits" in got else sum(p["id"] for p in got["result"]["points"][:3])
    before, began, n = cpu(), time.time(), 0
    while time.time() - began < SECONDS:
        call("POST", path, bodies[n % 100])
        n += 1
    took, after = time.time() - began, cpu()
    row(f"  {name}", f"{n / took:.0f}", f"{1e6 * (after[0] - before[0]) / n:.0f}", f"{1e6 * (after[1] - before[1]) / n:.0f}", f"{hits % 100000:05d}")


row(f"what ({ITEMS} items of all kinds, {backend})", "a second", "us of CPU", "PostgreSQL", "hits")
before, began = cpu(), time.time()
put()
took, after = time.time() - began, cpu()
row("  items put, durable", f"{ITEMS / took:.0f}", f"{1e6 * (after[0] - before[0]) / ITEMS:.0f}", f"{1e6 * (after[1] - before[1]) / ITEMS:.0f}")
end = time.time() + 300
while backend == "pgvector" and ITEMS >= 10000 and time.time() < end and any(s["graph"] != "ready" for s in call("GET", "/api/v1/collections/kinds/recall")["spaces"]):
    time.sleep(0.5)
lot = {"must": [{"key": "lot", "match": {"value": 3}}]}
measure("plain vectors, by graph", lambda: {"space": "v", "vector": vector(64), "k": 10})
measure("  with a filter that a tenth matches", lambda: {"space": "v", "vector": vector(64), "k": 10, "filter": lot})
measure("words, three", lambda: {"mode": "keyword", "text": text(3), "k": 10})
measure("words, eight", lambda: {"mode": "keyword", "text": text(8), "k": 10})
measure("  with a filter that a tenth matches", lambda: {"mode": "keyword", "text": text(3), "k": 10, "filter": lot})
measure("a phrase of two words", lambda: {"mode": "keyword", "text": '"' + " ".join(rnd.choices(words[:40], k=2)) + '"', "k": 10})
measure("a beginning", lambda: {"mode": "keyword", "text": rnd.choice(words[:500])[:3] + "*", "k": 10})
measure("a misspelt word", lambda: {"mode": "keyword", "text": rnd.choice(words[:500])[:-1] + "q~", "k": 10})
measure("words and vectors", lambda: {"mode": "hybrid", "text": text(3), "space": "v", "vector": vector(64), "k": 10})
measure("sparse vectors, 25 numbers", lambda: {"space": "s", "vector": sparse(25), "k": 10})
measure("lists of 4 vectors", lambda: {"space": "rows", "vector": [vector(32) for _ in range(4)], "k": 10})
measure("examples by best score", lambda: {"using": "v", "limit": 10, "query": {"recommend": {"positive": [vector(64)], "negative": [vector(64)], "strategy": "best_score"}}},
        "/collections/kinds/points/query")
