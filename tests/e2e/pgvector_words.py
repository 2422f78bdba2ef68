"""What pgvector has of a collection beside its plain vectors, compared with the same collection in memory: words over
Cranfield and over random changes, with everything that a query may say and with filters; moved there and back."""
import json
import lzma
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap  # noqa: E402

tap = Tap()
rnd = random.Random(17)
DATA = os.environ.get("CROFT_SHARED_DATA", "/work/shared/data")
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
    for turn in range(5):
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
        bodies = [{"mode": "keyword", "text": one_query(), "k": rnd.choice([1, 10, 100]), **({"filter": f} if (f := one_filter()) else {})} for _ in range(30)]
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


with Croft() as c:
    cranfield(c)
    random_words(c)
tap.done()
