"""Searching collections by words, against BM25 and BM25F written down here; hybrid search against the two
searches that it is made of; what a query may say; changes, settings, restart, kill -9; two spaces; bad input."""
import math
import os
import random
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, MODELS, NAMES, Tap  # noqa: E402

tap = Tap()
rnd = random.Random(11)
WORDS = [f"w{i:x}q" for i in range(300)]


def text(n):
    return " ".join(WORDS[min(int(rnd.expovariate(1 / 40)), 299)] for _ in range(n))


def item(i):
    p = {"title": text(rnd.randrange(1, 6)), "body": text(rnd.randrange(5, 60)), "n": i}
    if rnd.random() < 0.1:
        del p[rnd.choice(["title", "body"])]
    if rnd.random() < 0.1:
        p["body"] = [text(5), text(9)]
    return {"id": i, "vector": [round(rnd.gauss(0, 1), 4) for _ in range(6)], "payload": p}


def words_of(p, field):
    v = p.get(field, [])
    return " ".join(v if isinstance(v, list) else [v]).split()


def bm25(items, query, fields, k1, only=lambda p: True):
    """Every item scored by the formulas of the docs: [(score, id)], best first."""
    docs = {i: [words_of(it["payload"], f) for f in fields] for i, it in items.items()}
    n = len(docs)
    avg = [sum(len(d[f]) for d in docs.values()) / n or 1 for f in range(len(fields))]
    out = []
    df = {w: sum(any(w in f for f in d) for d in docs.values()) for w in set(query.split())}
    for i, d in docs.items():
        score = 0
        for w in query.split():
            idf = math.log(1 + (n - df[w] + 0.5) / (df[w] + 0.5))
            norm = [1 - b + b * len(d[f]) / avg[f] for f, (_, b) in enumerate(fields.values())]
            if len(fields) == 1:
                tf = d[0].count(w)
                score += idf * tf / (tf + k1 * norm[0])
            else:
                x = sum(weight * d[f].count(w) / norm[f] for f, (weight, _) in enumerate(fields.values()))
                score += idf * x / (k1 + x)
        if score > 0 and only(items[i]["payload"]):
            out.append((score, i))
    return sorted(out, key=lambda x: (-x[0], x[1]))


class Client:
    def __init__(self, croft, name):
        self.croft, self.root = croft, "/api/v1/collections/" + name

    def call(self, method, tail, body=None, ok=200):
        status, reply = self.croft.json(method, self.root + tail, body)
        if ok and status != ok:
            raise RuntimeError(f"{method} {tail} {body}: {status} {reply}")
        return reply if ok else (status, reply)

    def words(self, query, k=10, **more):
        return self.call("POST", "/search", {"mode": "keyword", "text": query, "k": k, **more})["hits"]

    def ids(self, query, **more):
        return [h["id"] for h in self.words(query, **more)]


def agrees(c, items, fields, k1, what, filters=True):
    wrong = []
    for n in range(24):
        query = text(rnd.choice([1, 1, 2, 3, 5, 8]))
        cut = rnd.randrange(0, 400)
        more, only = {}, lambda p: True
        if filters and n % 2:
            more = {"filter": {"must": [{"key": "n", "range": {"lt": cut}}]}}
            only = lambda p: p["n"] < cut  # noqa: E731
        got = [(h["score"], h["id"]) for h in c.words(query, **more)]
        want = bm25(items, query, fields, k1, only)[:10]
        # equal scores may stand in either order where they differ in the last digits
        if len(got) != len(want) or any(abs(a[0] - b[0]) > 1e-4 for a, b in zip(got, want)) or any(
                abs(s - dict((i, s) for s, i in bm25(items, query, fields, k1, only)).get(i, -9)) > 1e-4 for s, i in got):
            wrong.append(f"{query} {more}\n  got  {got}\n  want {want}")
    tap.ok(not wrong, what, "\n".join(wrong[:3]))


def hybrid(c, items):
    wrong = []
    for method in ("rrf", "score"):
        for n in range(12):
            query, v = text(3), [rnd.gauss(0, 1) for _ in range(6)]
            vw, kw = rnd.choice([(1, 1), (2, 0.5), (0.3, 1), (1, 0), (0, 1)])
            more = {"filter": {"must": [{"key": "n", "range": {"gte": 50}}]}} if n % 3 == 0 else {}
            near = c.call("POST", "/search", {"vector": v, "k": 50, **more})["hits"]
            words = c.words(query, k=50, **more)
            want = {}
            for name, weight, hits in (("vector", vw, near), ("keyword", kw, words)):
                best, worst = (hits[0]["score"], hits[-1]["score"]) if hits else (0, 0)
                for rank, h in enumerate(hits, 1):
                    share = weight / (60 + rank) if method == "rrf" else weight * (
                        (h["score"] - worst) / (best - worst) if best > worst else 1)
                    if weight:
                        want.setdefault(h["id"], {})[name] = (rank, h["score"], share)
            got = c.call("POST", "/search", {"mode": "hybrid", "text": query, "vector": v, "k": 20, **more,
                                             "fusion": {"method": method, "vector": vw, "keyword": kw, "depth": 50}})["hits"]
            order = sorted((sum(s[2] for s in x.values()) for x in want.values()), reverse=True)[:20]
            good = len(got) == len(order) and all(abs(h["score"] - s) < 1e-5 for h, s in zip(got, order))
            for h in got:
                for name in ("vector", "keyword"):
                    a, b = h["sources"][name], want.get(h["id"], {}).get(name)
                    good &= (a is None) == (b is None) and (a is None or (
                        a["rank"] == b[0] and abs(a["score"] - b[1]) < 1e-4 and abs(a["share"] - b[2]) < 1e-4))
            if not good:
                wrong.append(f"{method} {vw} {kw}: {got[:3]}\n  want {order[:3]}")
    tap.ok(not wrong, "hybrid hits are those of both lists, with what each added", "\n".join(wrong[:3]))


def queries(croft):
    c = Client(croft, "said")
    c.call("PUT", "", {"vectors": {"size": 2, "distance": "Dot"}, "keyword": {"fields": {"text": 1}, "language": "en"}})
    texts = ["The cat sat on the mat with another cat", "State of the art embeddings for retrieval", "The art of the state",
             "Running shoes for runners who run", "Receive your invoices by e-mail", "A mat for yoga", "computing computers compute computation",
             "cancel cancellation of the contract", "Zürich und das Straßenbahnnetz", "東京都の天気は晴れです"]
    c.call("PUT", "/items", {"items": [{"id": i, "vector": [i, 1], "payload": {"text": t}} for i, t in enumerate(texts)]})
    same = lambda q, want, what: tap.same(sorted(c.ids(q)), want, f"{what}: {q}")  # noqa: E731
    same("runs", [3], "a word by its stem")
    same("the of", [], "stop words alone")
    same('"state of the art"', [1], "a phrase, with the stop words in it")
    same('"art of the state"', [2], "and the other way round")
    same('"state art"', [], "which is none without them")
    same('"cat mat"~9', [0], "words near each other")
    same('"cat mat"', [], "which do not stand side by side")
    same("comput*", [6], "a beginning")
    same("recieve~", [1, 4], "a misspelt word, and one as near")
    same("invoises~", [4], "a misspelt word")
    same("matt~1", [0, 5], "one edit")
    same("+mat -yoga", [0], "must and must not")
    same("mat yoga", [0, 5], "words that may be")
    same("mat -cat", [5], "and one that must not")
    same("-mat", [], "nothing but what must not be")
    same('e-mail', [4], "a word with a hyphen in it")
    same('-e-mail invoices', [], "which must not be")
    same("zürich", [8], "another script's letters")
    same("ZÜRICH", [8], "in capitals")
    same("天気", [9], "words without spaces")
    same('unclosed "mat', [0, 5], "a quote that is not closed")
    tap.same(c.call("POST", "/search", {"mode": "hybrid", "text": "mat -cat", "vector": [1, 0], "k": 10})["hits"][-1]["id"] != 0 and
             0 not in [h["id"] for h in c.call("POST", "/search", {"mode": "hybrid", "text": "mat -cat", "vector": [1, 0]})["hits"]], True,
             "what must not be is no hit of the vectors either")
    got = [h["id"] for h in c.call("POST", "/search", {"mode": "hybrid", "text": "+mat", "vector": [1, 0]})["hits"]]
    tap.same(sorted(got), [0, 5], "and what must be is in each")
    for body, said in (({"mode": "words"}, "mode must be"), ({"mode": "keyword"}, "needs a text"), ({"mode": "hybrid", "text": "-cat"}, "must not"),
                       ({"mode": "keyword", "text": "x" * 70000}, "limit"), ({"mode": "hybrid", "text": "a", "vector": [1, 0], "fusion": {"method": "x"}}, "rrf"),
                       ({"mode": "hybrid", "text": "a", "vector": [1, 0], "fusion": {"vector": 0, "keyword": 0}}, "both 0"),
                       ({"mode": "hybrid", "text": "a", "vector": [1, 0], "fusion": 3}, "fusion"), ({"mode": "hybrid", "text": "hi"}, "model"),
                       ({"mode": "keyword", "text": " ".join(f"+a{i}" for i in range(400))}, "clauses")):
        status, reply = c.call("POST", "/search", body, ok=None)
        tap.ok(status in (400, 413) and said in str(reply), f"refused: {str(body)[:60]}", f"{status} {reply}")
    for body, said in (({}, "fields"), ({"fields": {}}, "1 to 8"), ({"fields": {"a": -1}}, "above 0"), ({"fields": {"a..b": 1}}, "a..b"), ({"fields": {"a": "x"}}, "weight"),
                       ({"fields": {"a[0]": 1}}, "array"), ({"fields": {"a": {"weight": 1, "b": 2}}}, "b"), ({"fields": {"a": 1}, "language": "klingon"}, "klingon"),
                       ({"fields": {f"f{i}": 1 for i in range(9)}}, "1 to 8"), ({"fields": {"a": 1}, "k1": 0}, "k1"), ({"fields": {"a": 1}, "fusion": {"depth": -1}}, "depth")):
        status, reply = c.call("PUT", "/keyword", body, ok=None)
        tap.ok(status in (400, 415) and said in str(reply), f"settings refused: {str(body)[:60]}", f"{status} {reply}")
    tap.same(c.ids("mat"), [0, 5] if c.ids("mat")[0] == 0 else [5, 0], "and the former settings stay")


def settings(croft, c, items):
    one = {"body": (1, 0.75)}
    said = c.call("PUT", "/keyword", {"fields": {"body": 1}, "fusion": {"method": "score", "keyword": 2}})
    tap.same((said["fusion"]["method"], said["fusion"]["keyword"], said["fusion"]["k"], said["k1"]), ("score", 2.0, 60.0, 1.2), "settings and defaults are said")
    tap.same(c.call("GET", "")["keyword"], said, "and are the collection's")
    agrees(c, items, one, 1.2, "one field: BM25")
    two = {"title": (3, 0.5), "body": (1, 0.8)}
    c.call("PUT", "/keyword", {"fields": {"title": {"weight": 3, "b": 0.5}, "body": {"weight": 1, "b": 0.8}}, "k1": 0.9})
    agrees(c, items, two, 0.9, "two fields: BM25F, after the settings have changed")
    c.call("DELETE", "/keyword")
    status, reply = c.call("POST", "/search", {"mode": "keyword", "text": "x"}, ok=None)
    tap.ok(status == 400 and "croft collections words" in str(reply), "without an index the reply says how to make one", reply)
    tap.same(c.call("GET", "")["keyword"], None, "and the collection has none")
    c.call("PUT", "/keyword", {"fields": {"title": {"weight": 3, "b": 0.5}, "body": {"weight": 1, "b": 0.8}}, "k1": 0.9})
    return two


def changes(c, items, fields):
    again = {i: item(i) for i in rnd.sample(sorted(items), 60)}
    c.call("PUT", "/items", {"items": list(again.values())})
    items.update(again)
    gone = rnd.sample(sorted(items), 50)
    c.call("POST", "/items/delete", {"ids": gone})
    for i in gone:
        del items[i]
    fresh = {i: item(i) for i in range(1000, 1040)}
    c.call("PUT", "/items", {"items": list(fresh.values())})
    items.update(fresh)
    agrees(c, items, fields, 0.9, "after items were replaced, deleted and added")


def kill(croft):
    """What was acknowledged is found by its words after kill -9, what was deleted is not."""
    c = Client(croft, "killed")
    c.call("PUT", "", {"vectors": {"size": 2, "distance": "Dot"}, "keyword": {"fields": {"text": 1}}})
    known, stop = {}, threading.Event()

    def write(worker):
        own = random.Random(worker)
        while not stop.is_set():
            i, word = worker * 1000 + own.randrange(100), f"u{own.randrange(10**9)}"
            try:
                known[i] = None
                if own.random() < 0.2:
                    c.call("POST", "/items/delete", {"ids": [i]})
                    known[i] = ""
                else:
                    c.call("PUT", "/items", {"items": [{"id": i, "vector": [1, 2], "payload": {"text": f"common {word}"}}]})
                    known[i] = word
            except Exception:
                return

    threads = [threading.Thread(target=write, args=(w,)) for w in range(4)]
    for t in threads:
        t.start()
    while sum(w is not None for w in list(known.values())) < 200:
        pass
    croft.kill()
    stop.set()
    for t in threads:
        t.join()
    croft.start()
    wrong = [(i, w, c.ids(w)) for i, w in known.items() if w and c.ids(w) != [i]]
    common = set(c.ids("common", k=1000))
    wrong += [(i, "is back") for i, w in known.items() if w == "" and i in common]
    tap.ok(not wrong, f"after kill -9 all of {len(known)} items are found by their words as they were acknowledged", wrong[:5])
    status, reply = c.call("GET", "", ok=None)
    tap.ok(reply["keyword"]["fields"].keys() == {"text"}, "and the settings are there", reply)


def with_a_model():
    with Croft(models=True) as croft:
        lines = "".join(f'{{"id": {i}, "text": "{t}", "payload": {{"sku": "{s}"}}}}\n' for i, (t, s) in enumerate(
            [("How do I cancel my subscription?", "AX-100"), ("Where can I see my invoices?", "AX-200"), ("When will I get my money back?", "BX-100")], 1))
        tap.ok(croft.cli("collections", "create", "faq", "--model", NAMES["minilm"])[0] == 0, "a collection with a model")
        code, out, err = croft.cli("collections", "words", "faq", "--fields", "text=2,sku", "--language", "en", "--weights", "1,0.5")
        tap.ok(code == 0 and "words of text (2), sku (1), stems: en" in out, "the command line makes an index of words", out + err)
        croft.cli("collections", "import", "faq", "-", input=lines)
        code, out, err = croft.cli("collections", "search", "faq", "stop", "paying", "BX-100", "--mode", "hybrid", "-k", "3")
        tap.ok(code == 0 and "keyword #1" in out and "vector #1" in out and out.count("score") == 3, "and searches by both", out + err)
        code, out, err = croft.cli("collections", "search", "faq", "BX-100", "--mode", "keyword")
        tap.ok(code == 0 and out.startswith("1. 3 "), "or by words alone", out + err)
        code, out, err = croft.cli("collections", "show", "faq")
        tap.ok("hybrid by rrf, vector 1, keyword 0.5" in out, "and says how it is set", out + err)
        code, out, err = croft.cli("collections", "words", "faq")
        tap.ok(code != 0 and "--fields" in err, "without fields it says what is missing", err)
        code, out, err = croft.cli("collections", "words", "faq", "--off")
        tap.ok(code == 0 and croft.cli("collections", "search", "faq", "x", "--mode", "hybrid")[0] != 0, "and drops it", out + err)


with Croft() as croft:
    c = Client(croft, "words")
    items = {i: item(i) for i in range(1, 401)}
    c.call("PUT", "", {"vectors": {"size": 6, "distance": "Cosine"}})
    c.call("PUT", "/items", {"items": list(items.values())})
    fields = settings(croft, c, items)
    changes(c, items, fields)
    hybrid(c, items)
    c.call("POST", "/copy", {"to": "copied"})
    tap.same(Client(croft, "copied").words("w1q"), c.words("w1q"), "a copy is searched by the same words")
    now, then = c.words("w1q"), c.words("w1q", as_of=1)
    tap.ok([h["id"] for h in now] == [h["id"] for h in then] and all(abs(a["score"] - b["score"]) < 1e-5 for a, b in zip(now, then)),
           "and so is the version that it was made of", (now, then))
    croft.stop()
    croft.start()
    agrees(c, items, fields, 0.9, "after a restart")
    queries(croft)
    kill(croft)
if all(os.path.exists(os.path.join(MODELS, m)) for m in NAMES):
    with_a_model()
else:
    tap.note("without the test models: texts are not embedded here")
tap.done()
