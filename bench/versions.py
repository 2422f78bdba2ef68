"""bench/versions.py URL NAME ITEMS DIM: searches as of version 1 of a collection beside live ones, over HTTP by one
client, in rows of milliseconds (the median of QUERIES, 200), with the recall of what walks a graph. The live items
differ from version 1 in one item of a hundred."""
import http.client
import json
import os
import random
import statistics
import sys
import time
from urllib.parse import urlsplit

url, name, items, dim = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
queries = int(os.environ.get("QUERIES", "200"))
at = urlsplit(url)
c = http.client.HTTPConnection(at.hostname, at.port, timeout=600)
random.seed(3)


def call(method, tail, body=None):
    c.request(method, f"/api/v1/collections/{name}{tail}", json.dumps(body) if body is not None else None, {"content-type": "application/json"})
    r = c.getresponse()
    reply = json.loads(r.read())
    if r.status != 200:
        raise SystemExit(f"{method} {tail}: {r.status} {reply}")
    return reply


def vectors(n):
    ids = random.sample(range(items), n)
    return [call("GET", f"/items?limit=1&from={i}&vectors=true&as_of=1")["items"][0]["vector"] for i in ids]


def moved(v):
    return [x + random.gauss(0, 0.02) for x in v]


def row(what, value):
    print(f"{what:<52} {value:>10}", flush=True)


def ask(q, **more):
    t = time.perf_counter()
    reply = call("POST", "/search", {**q, "k": 10, **more})
    return time.perf_counter() - t, reply


def median(what, asked, **more):
    got = [ask(q, **more) for q in asked]
    row(what, f"{statistics.median(t for t, _ in got) * 1000:.2f} ms")
    return [r for _, r in got]


def memory():
    return call("GET", "/memory")["versions"]


def recall(asked, replies):
    exact = [ask(q, as_of=1, exact=True)[1] for q in asked]
    same = sum(len({h["id"] for h in a["hits"]} & {h["id"] for h in b["hits"]}) for a, b in zip(replies, exact))
    return same / (10 * len(asked))


asked = [{"vector": moved(v)} for v in vectors(min(queries, 60))] * -(-queries // 60)
asked = asked[:queries]
median("live search, vectors", asked)
t, reply = ask(asked[0], as_of=1)
row("as of version 1, the first (" + ("all compared" if reply["exact"] else "graph") + ")", f"{t * 1000:.0f} ms")
t, reply = ask(asked[0], as_of=1)
row("as of version 1, the second (" + ("all compared" if reply["exact"] else "graph") + ")", f"{t * 1000:.0f} ms")
replies = median("as of version 1, those that follow", asked, as_of=1)
row("  recall@10 against all compared", f"{recall(asked[:50], replies[:50]):.3f}")
row("  memory of the version", f"{memory() / 1e6:.1f} MB")
median("as of version 1, all compared by its index", asked[:50], as_of=1, exact=True)
if "--words" in sys.argv:
    text = [{"text": w, "mode": "keyword"} for w in ("seven", "three eight", "one two", "nine four five")]
    median("live search, words", text * 25)
    t, _ = ask(text[0], as_of=1)
    row("as of version 1, words, the first", f"{t * 1000:.0f} ms")
    median("as of version 1, words, those that follow", text * 25, as_of=1)
    f = [{**q, "filter": {"must": [{"key": "n", "range": {"lt": items // 10}}]}} for q in asked[:100]]
    median("live search, vectors, a filter of 10 %", f)
    median("as of version 1, the same filter", f, as_of=1)
