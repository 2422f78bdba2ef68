"""What pgvector has of a collection beside its plain vectors, compared with the same collection in memory: words over
Cranfield and over random changes, with everything that a query may say and with filters; moved there and back."""
import json
import lzma
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap  # noqa: E402

tap = Tap()
rnd = random.Random(17)
DATA = os.environ.get("CROFT_SHARED_DATA", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../shared/data"))
ROOT = "/api/v1/collections/"
BOTH = ("here", "there")


def call(c, method, path, body=None):
    status, reply = c.json(method, path, body)
    if status != 200:
        raise RuntimeError(f"{method} {path} {body}: {status} {reply}")
    return reply


def both(c, method, tail, body=None):
    return [call(c, method, ROOT + name + tail, body) for name in BOTH]


def make(c, **body):
    for name in BOTH:
        call(c, "PUT", ROOT + name, {**body, "backend": "embedded" if name == "here" else "pgvector"})


def drop(c):
    both(c, "DELETE", "")


def alike(a, b, tolerance=1e-5):
    """The same items, but that equal scores may stand in another order; the same scores."""
    a, b = a["hits"], b["hits"]
    if len(a) != len(b) or any(abs(x["score"] - y["score"]) > tolerance * max(1, abs(x["score"])) for x, y in zip(a, b)):
        return False
    last = a[-1]["score"] if a else 0
    sure = [{str(h["id"]) for h in r if abs(h["score"] - last) > 2 * tolerance * max(1, abs(last))} for r in (a, b)]
    return sure[0] == sure[1]


def compare(c, bodies, what, least=1, tolerance=1e-5):
    wrong, hits = [], 0
    for body in bodies:
        a, b = both(c, "POST", "/search", body)
        hits += len(a["hits"])
        if not alike(a, b, tolerance):
            wrong.append((body, [[(h["id"], h["score"]) for h in r["hits"][:5]] for r in (a, b)]))
    tap.ok(not wrong and hits >= least, what, f"{len(wrong)} of {len(bodies)} differ, {hits} hits\n" + "\n".join(str(w)[:900] for w in wrong[:3]))


def cranfield(c):
    folder = os.path.join(DATA, "rag", "cranfield")
    if not os.path.exists(os.path.join(folder, "corpus.jsonl.xz")):
        tap.ok(True, "Cranfield # SKIP it is not there")
        return
    with lzma.open(os.path.join(folder, "corpus.jsonl.xz"), "rt") as f, open(os.path.join(folder, "queries.jsonl"), encoding="utf-8") as g:
        rows = [[json.loads(line) for line in source] for source in (f, g)]
    make(c, vectors={"size": 2, "distance": "Dot"})
    items = [{"id": i, "vector": [1, i], "payload": {"title": r.get("title", ""), "text": r["text"]}} for i, r in enumerate(rows[0])]
    for at in range(0, len(items), 500):
        both(c, "PUT", "/items", {"items": items[at:at + 500]})
    queries = [r["text"] for r in rows[1]]
    for fields, language in (({"text": 1}, ""), ({"title": {"weight": 2, "b": 0.5}, "text": 1}, "en")):
        both(c, "PUT", "/keyword", {"fields": fields, "language": language})
        compare(c, [{"mode": "keyword", "text": q, "k": 20} for q in queries[::2 if language else 4]],
                f"Cranfield by {' and '.join(fields)}: the same items and scores", 900)
    said = ['"boundary layer"', '"heat transfer" +wing', 'aero*', 'supersonc~', '+flow -wing', '"flow of gas"~3', 'bound* "shock wave" -"heat transfer" turbulnt~2']
    compare(c, [{"mode": "keyword", "text": q, "k": k} for q in said for k in (10, 1000)], "phrases, beginnings, misspelt words, + and -", 500)
    compare(c, [{"mode": "hybrid", "text": q, "vector": [1, 2], "k": 10} for q in queries[::20] + said], "words and vectors in one list")
    drop(c)


WORDS = [a + b for a in ("win", "wing", "flow", "heat", "über", "天") for b in ("", "s", "ed", "ing", "x", "xy", "xyz", "q")]


def text(n):
    return " ".join(WORDS[min(int(rnd.expovariate(1 / 9)), len(WORDS) - 1)] for _ in range(n))


def item(i):
    p = {"title": text(rnd.randrange(0, 5)), "body": text(rnd.randrange(1, 40)), "n": i % 100, "lot": i % 3}
    if rnd.random() < 0.1:
        p["body"] = [text(5), text(9)]
    return {"id": i, "vector": [rnd.gauss(0, 1) for _ in range(4)], "payload": p}


def one_query():
    words = [rnd.choice(WORDS[:30]) for _ in range(rnd.choice([1, 1, 2, 3]))]
    for i, w in enumerate(words):
        words[i] = rnd.choice([w, w, w, w[:3] + "*", w + "~", "+" + w, "-" + w, f'"{w} {rnd.choice(WORDS[:6])}"', f'"{w} {rnd.choice(WORDS[:6])}"~4',
                               f'-"{w} {rnd.choice(WORDS[:6])}"'])
    return " ".join(words)


def one_filter():
    return rnd.choice([None, {"must": [{"key": "lot", "match": {"value": rnd.randrange(3)}}]}, {"must": [{"key": "n", "range": {"lt": rnd.choice([1, 5, 60])}}]},
                       {"must": [{"key": "body", "match": {"text": rnd.choice(WORDS[:12])}}]}, {"must_not": [{"key": "n", "range": {"gte": 3}}]}])


def random_words(c):
    make(c, vectors={"size": 4, "distance": "Cosine"})
    both(c, "PUT", "/keyword", {"fields": {"title": 2, "body": {"weight": 1, "b": 0.4}}, "k1": 0.9})
    there, next_id = {}, 0
    for turn in range(4):
        lot = [item(i) for i in range(next_id, next_id + rnd.choice([1, 700, 1500]))] + [item(i) for i in rnd.sample(sorted(there), min(len(there), 200))]
        next_id = max([next_id] + [it["id"] + 1 for it in lot])
        there.update((it["id"], it) for it in lot)
        both(c, "PUT", "/items", {"items": lot})
        gone = rnd.sample(sorted(there), len(there) // 5)
        both(c, "POST", "/items/delete", {"ids": gone})
        for i in gone:
            del there[i]
        if turn == 2:
            call(c, "POST", ROOT + "there/move", {"backend": "embedded"})
            call(c, "POST", ROOT + "there/move", {"backend": "pgvector"})
        bodies = [{"mode": "keyword", "text": one_query(), "k": rnd.choice([1, 10, 100]), **({"filter": f} if (f := one_filter()) else {})} for _ in range(25)]
        compare(c, bodies, f"random queries over {len(there)} items after changes" + (", moved there and back" if turn == 2 else ""))
    c.stop()
    c.start()
    compare(c, [{"mode": "keyword", "text": one_query(), "k": 10} for _ in range(20)], "and after a restart")
    patched = [{"id": i, "payload": {"title": "wing flow"}} for i in sorted(there)[:40]]
    for p in patched:
        for name in BOTH:
            status, reply = c.json("POST", f"/collections/{name}/points/payload", {"payload": p["payload"], "points": [p["id"]]})
            assert status == 200, reply
    compare(c, [{"mode": "keyword", "text": '"wing flow"', "k": 100}], "payloads that change are found by their new words", 40)
    both(c, "DELETE", "/keyword")
    status, reply = c.json("POST", ROOT + "there/search", {"mode": "keyword", "text": "wing"})
    tap.ok(status == 400 and "keyword index" in str(reply), "without the index it is said how to make one", reply)
    drop(c)


def sparse_vector(most=25):
    at = sorted({min(int(rnd.expovariate(1 / 60)), 4294967295) * rnd.choice([1, 1, 1, 70000]) for _ in range(rnd.randrange(0, most))})
    return {"indices": at, "values": [rnd.choice([rnd.gauss(0.5, 1), rnd.gauss(0.5, 1), 0.0]) for _ in at]}


def rows(most=6):
    return [[rnd.gauss(0, 1) for _ in range(8)] if rnd.random() < 0.95 else [0.0] * 8 for _ in range(rnd.randrange(1, most))]


def kinds(c):
    """Sparse vectors and lists of vectors, by every distance, with filters, thresholds, after changes."""
    multi = {n: {"size": 8, "distance": d, "multivector_config": {"comparator": "max_sim"}} for n, d in (("mc", "Cosine"), ("md", "Dot"), ("me", "Euclid"), ("mm", "Manhattan"))}
    make(c, vectors={"plain": {"size": 4, "distance": "Dot"}, **multi}, sparse_vectors={"s": {}, "i": {"modifier": "idf"}})

    def one(i):
        v = {"plain": [rnd.gauss(0, 1) for _ in range(4)], **{n: rows() for n in multi}, "s": sparse_vector(), "i": sparse_vector()}
        return {"id": i, "vector": {n: x for n, x in v.items() if rnd.random() < 0.9}, "payload": {"n": i % 100, "body": text(4), "lot": i % 3}}

    def bodies(n):
        out = []
        for _ in range(n):
            space = rnd.choice(["s", "s", "i", "i", "mc", "md", "me", "mm"])
            body = {"space": space, "vector": sparse_vector(12) if space in "si" else rows(), "k": rnd.choice([1, 10, 500]),
                    "exact": space not in "si"}
            if (f := one_filter()):
                body["filter"] = f
            if rnd.random() < 0.2:
                body["worst"] = rnd.choice([0.1, 1.0, 3.0])
            out.append(body)
        return out
    there, next_id = set(), 0
    for turn in range(3):
        lot = [one(i) for i in range(next_id, next_id + rnd.choice([300, 1100]))] + [one(i) for i in rnd.sample(sorted(there), min(len(there), 150))]
        next_id = max([next_id] + [it["id"] + 1 for it in lot])
        there |= {it["id"] for it in lot}
        both(c, "PUT", "/items", {"items": lot})
        gone = rnd.sample(sorted(there), len(there) // 6)
        both(c, "POST", "/items/delete", {"ids": gone})
        there -= set(gone)
        if turn == 1:
            call(c, "POST", ROOT + "there/move", {"backend": "embedded"})
            call(c, "POST", ROOT + "there/move", {"backend": "pgvector"})
        compare(c, bodies(30), f"sparse vectors and lists of vectors over {len(there)} items" + (", moved there and back" if turn == 1 else ""), 100)
    drop(c)


def lists_by_graph(c):
    """Many lists: the graph over their vectors finds candidates, and MaxSim over all of a list's vectors ranks them."""
    make(c, vectors={"t": {"size": 8, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}}})
    centres = [[rnd.gauss(0, 1) for _ in range(8)] for _ in range(200)]
    around = lambda: [[x + rnd.gauss(0, 0.2) for x in rnd.choice(centres)] for _ in range(rnd.randrange(2, 6))]  # noqa: E731
    for at in range(0, 1500, 500):
        both(c, "PUT", "/items", {"items": [{"id": i, "vector": {"t": around()}, "payload": {"lot": i % 3}} for i in range(at, at + 500)]})
    queries = [around() for _ in range(12)]
    end = time.time() + 60
    while time.time() < end and call(c, "POST", ROOT + "there/search", {"space": "t", "vector": queries[0]})["exact"]:
        time.sleep(0.1)
    found = {}
    for effort in (10, 400):
        hit = want = walked = 0
        for v in queries:
            for more in ({}, {"filter": {"must": [{"key": "lot", "match": {"value": 1}}]}}):
                best = call(c, "POST", ROOT + "here/search", {"space": "t", "vector": v, "k": 10, "exact": True, **more})
                got = call(c, "POST", ROOT + "there/search", {"space": "t", "vector": v, "k": 10, "ef": effort, **more})
                walked += not got["exact"]
                want += len(best["hits"])
                hit += len({h["id"] for h in best["hits"]} & {h["id"] for h in got["hits"]})
        found[effort] = hit / want
    tap.ok(found[10] > 0.8 and found[400] > 0.97 and walked > 12, "lists are found by the graph over their vectors, more of them with more effort", f"{found}, {walked} walked")
    drop(c)


with Croft() as c:
    cranfield(c)
    random_words(c)
    kinds(c)
    lists_by_graph(c)
tap.done()
