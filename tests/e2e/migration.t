#!/usr/bin/env python3
"""A collection moves to another embedding model while it is in use: killed in the middle, written to at
the same time, cut over and back under load, with items that cannot be embedded, a provider that is
away; on PostgreSQL by two servers. The vectors are a stub's, which the test computes itself."""
import os
import random
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pg as postgres
from croft_server import Croft, Tap, on_postgres
from embed_stub import EmbedStub, cosine, vector

tap = Tap()
A, B = "64-a", "96-b"
ITEMS, PAGE = 700, 64
QUICK = {"remote.retry_pause": "20ms", "remote.breaker_pause": "300ms", "remote.breaker_failures": 3}
WORDS = [f"w{i}" for i in range(400)]
rnd = random.Random(7)


def text():
    return " ".join(rnd.sample(WORDS, 8))


def until(seconds, condition):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


class Faq:
    """A collection, and what the test knows to be in it."""

    def __init__(self, c, stub, name="faq"):
        self.c, self.path, self.texts, self.name = c, "/api/v1/collections/" + name, {}, name
        self.vectors = {}

    def call(self, method, tail, body=None):
        return self.c.json(method, self.path + tail, body)

    def put(self, ids):
        new = {i: text() for i in ids}
        status, reply = self.call("PUT", "/items", {"items": [{"id": i, "text": t} for i, t in new.items()]})
        if status == 200:
            self.texts.update(new)
        return status, reply

    def state(self):
        return self.call("GET", "/migrations")[1]["migrations"][0]

    def step(self, what, **body):
        return self.call("POST", "/migrations/" + what, body)

    def of_model(self, model, i):
        key = model, self.texts.get(i, "own")
        if key not in self.vectors:
            self.vectors[key] = vector(*key)
        return self.vectors[key]

    def search(self, **body):
        return self.call("POST", "/search", body)

    def is_from(self, query, hits):
        """The models whose cosines the scores are, of all hits."""
        out = set()
        for model in (A, B):
            q = vector(model, query)
            if all(abs(cosine(q, self.of_model(model, h["id"])) - h["score"]) < 1e-3 for h in hits):
                out.add(model)
        return out

    def wrong_vectors(self, space, model):
        """Items whose vector in the space is not that of their text."""
        wrong = []
        for i in self.texts:
            status, reply = self.search(vector=self.of_model(model, i), space=space, k=3)
            if status != 200 or i not in [h["id"] for h in reply["hits"] if h["score"] > 0.9999]:
                wrong.append((i, status, reply["hits"][:1] if status == 200 else reply))
        return wrong


def models(c, stub):
    for m in (A, B):
        status, _ = c.json("POST", "/api/v1/endpoints", {"name": m, "url": stub.url, "model": m})
        assert status < 300, status


def moving(c, stub):
    f = Faq(c, stub)
    f.call("PUT", "", {"vectors": {"model": A}})
    for start in range(0, ITEMS, 350):
        f.put(range(start, start + 350))
    # vectors that were brought along have no text
    f.call("PUT", "/items", {"items": [{"id": f"own{i}", "vector": vector(A, "own")} for i in range(2)]})
    status, reply = f.call("POST", "/migrations", {"to": B, "plan": True})
    plan = reply.get("plan", {})
    tap.same([status, plan.get("items"), plan.get("without_text"), plan.get("examples"), plan.get("from_size"), plan.get("to_size")],
             [200, ITEMS + 2, 2, "own0, own1", 64, 96], "a plan says what it takes and which items have no text")
    tap.same(f.call("GET", "/migrations")[1]["migrations"], [], "and begins nothing")
    status, reply = f.call("POST", "/migrations", {"to": B})
    tap.ok(status == 409 and "own0" in reply["error"]["message"], "items without a text are the user's decision, named", reply)
    status, reply = f.call("POST", "/migrations", {"to": A})
    tap.same(status, 409, "to the present model is no migration")
    stub.delay[B] = 0.15
    status, reply = f.call("POST", "/migrations", {"to": B, "skip_without_text": True, "shadow": 0})
    tap.same(status, 200, "a migration begins")
    tap.same(f.call("POST", "/migrations", {"to": B, "skip_without_text": True})[0], 409, "a second one does not")
    # a vector of the other model is refused, and what is happening is said
    status, reply = f.search(vector=vector(B, "x"))
    tap.ok(status == 400 and "moving from " + A in reply["error"]["message"] and ":next" in reply["error"]["message"],
           "a query of the other model's dimension is told what is happening", reply)
    status, reply = f.call("PUT", "/items", {"items": [{"id": "n", "vector": vector(B, "x")}]})
    tap.ok(status == 400 and "moving from " + A in reply["error"]["message"], "an item too", reply)
    status, reply = f.step("cutover")
    tap.ok(status == 409 and "preparing" in reply["error"]["message"], "no cut-over before it is ready", reply)

    # changed while it is being embedded, then killed
    stop = threading.Event()

    def write():
        while not stop.is_set():
            f.put(rnd.sample(range(ITEMS), 5))
            time.sleep(0.02)

    writer = threading.Thread(target=write)
    until(20, lambda: f.state()["done"] > 0)
    writer.start()
    seen = f.state()
    until(20, lambda: f.state()["done"] >= 2 * PAGE)
    stop.set()
    writer.join()
    seen = f.state()
    tap.ok(0 < seen["done"] < seen["total"] and seen["rate"] > 0 and seen["left_s"] is not None, "progress, rate and time left are shown", seen)
    c.kill()
    c.start()
    after = f.state()
    tap.ok(after["state"] == "preparing" and after["done"] >= seen["done"], "after kill -9 it goes on where it was", after)
    # one that changes again and again behind the worker
    for i in range(0, 60, 3):
        f.put([i])
    stub.delay[B] = 0
    tap.ok(until(30, lambda: f.state()["state"] == "ready"), "it becomes ready", f.state())
    now = f.state()
    tap.same([now["done"], now["without_text"], now["failed"], now["pending"]], [ITEMS + 2, 2, 0, 0], "all is done but what has no text")
    tap.same([x["id"] for x in now["failures"]], ["own0", "own1"], "which is named")
    sent = stub.sent(B)
    again = len(sent) - len(set(sent)) - sent.count("dimension")
    tap.ok(again <= PAGE, f"no text was embedded twice but those of the page that the kill cut short ({again})")
    tap.same(f.wrong_vectors("", A), [], "every item has the old model's vector of its text")
    tap.same(f.wrong_vectors(":next", B), [], "and the new model's, in :next")

    # cut over and back while others ask
    answers, odd = {A: 0, B: 0}, []
    stop.clear()

    def ask():
        mine = random.Random()
        while not stop.is_set():
            q = " ".join(mine.sample(WORDS, 6))
            status, reply = f.search(text=q, k=10)
            said = f.is_from(q, reply["hits"]) if status == 200 else set()
            if len(said) != 1:
                odd.append((status, reply if status != 200 else said))
            for m in said:
                answers[m] += 1

    def ask_item():
        mine = random.Random()
        while not stop.is_set():
            i = mine.randrange(ITEMS)
            status, reply = f.search(id=i, k=10)
            said = f.is_from(f.texts[i], reply["hits"]) if status == 200 else set()
            if len(said) != 1:
                odd.append((status, reply if status != 200 else said))

    asking = [threading.Thread(target=ask) for _ in range(3)] + [threading.Thread(target=ask_item)]
    for t in asking:
        t.start()
    steps = []
    for turn in range(6):
        time.sleep(0.25)
        steps.append(f.step("back" if turn % 2 else "cutover")[0])
        want = A if turn % 2 else B
        q = text()
        if f.is_from(q, f.search(text=q, k=10)[1]["hits"]) != {want}:
            odd.append(("not at once", turn))
    f.step("cutover")
    stop.set()
    for t in asking:
        t.join()
    tap.same(steps, [200] * 6, "cut over, back, and again, under load")
    tap.same(odd[:2], [], f"every answer is wholly of one space, and the next one of the other ({answers})")
    tap.ok(min(answers.values()) > 10, "both were asked", answers)
    status, reply = f.search(vector=vector(A, "x"))
    tap.ok(status == 400 and "has moved from " + A in reply["error"]["message"] and ":former" in reply["error"]["message"],
           "a vector of the former model is told that it has moved", reply)
    tap.same(c.json("GET", f.path)[1]["spaces"][0]["model"], B, "the collection says the new model")

    # both are written to, so the way back loses nothing
    f.put(range(ITEMS, ITEMS + 40))
    f.put(range(0, 40))
    f.call("POST", "/items/delete", {"ids": [50]})
    del f.texts[50]
    tap.same(f.step("back")[0], 200, "back")
    tap.same(f.state()["state"], "rolled_back", "is a state of its own")
    tap.same(f.wrong_vectors("", A), [], "what was written after the cut-over has the former model's vectors")
    tap.same(f.search(vector=f.of_model(A, 51), k=1)[1]["hits"][0]["id"], 51, "and is found")
    # the other model is away: writes go on, and it is made up for
    stub.away.add(B)
    tap.same(f.put(range(800, 810))[0], 200, "a write does not wait for the model that does not answer")
    tap.ok(f.state()["pending"] == 10, "what it lacks is known", f.state())
    status, reply = f.step("cutover")
    tap.ok(status == 409 and "10 items" in reply["error"]["message"], "a cut-over would lose it, and is refused", reply)
    tap.ok(until(20, lambda: f.state()["stalled"]), "that the model is away is said", f.state())
    stub.away.clear()
    tap.ok(until(30, lambda: f.state()["pending"] == 0), "it is made up for when the model is back", f.state())
    # a text that the new model cannot read
    f.call("PUT", "/items", {"items": [{"id": "odd", "text": "unreadable w1"}]})
    tap.ok(until(20, lambda: f.state()["failed"] == 1), "a text that cannot be embedded is counted", f.state())
    tap.ok(any(x["id"] == "odd" and "cannot be read" in x["reason"] for x in f.state()["failures"]), "with its reason", f.state()["failures"])
    status, reply = f.step("cutover")
    tap.ok(status == 409 and "odd" in reply["error"]["message"], "a cut-over without it has to be said", reply)
    rc, out, err = c.cli("migration", "cutover", "faq", "--skip-failed")
    tap.ok(rc == 0 and "cut_over" in out, "by the command", out + err)
    f.call("POST", "/items/delete", {"ids": ["odd"]})
    tap.same(f.wrong_vectors("", B), [], "what came meanwhile has the new model's vectors")
    tap.same(f.step("drop")[0], 200, "the former space is dropped")
    tap.same(f.state()["state"], "dropped", "which ends it")
    tap.same(f.search(vector=vector(A, "x"), space=":former")[0], 400, "it cannot be asked any more")
    status, reply = f.step("back")
    tap.same(status, 409, "and there is no way back")
    f.put(range(20, 30))
    c.kill()
    c.start()
    tap.same(f.wrong_vectors("", B), [], "after kill -9 all is there")
    # and to the former model again: nothing is embedded anew but what came since
    before = len(stub.sent(A))
    tap.ok(until(20, lambda: f.call("POST", "/migrations", {"to": A, "skip_without_text": True})[0] == 200), "it can move again")
    tap.ok(until(30, lambda: f.state()["state"] == "ready"), "which is ready", f.state())
    tap.ok(f.state()["embedded"] <= 20 and len(stub.sent(A)) - before <= 21, "texts that were embedded before are not embedded again", f.state())
    tap.same(f.wrong_vectors(":next", A), [], "with the right vectors")
    tap.same(f.step("cancel")[0], 200, "cancelled")
    tap.same(f.search(text="w1 w2", k=1)[0], 200, "and answered as before")


def nearest(model, query, items, k, without=None):
    q = vector(model, query)
    ranked = sorted((-cosine(q, vector(model, t)), i) for i, t in items.items() if i != without)
    return [i for _, i in ranked[:k]]


def rbo(a, b, p=0.9):
    n, total = min(len(a), len(b)), 0
    for d in range(1, n + 1):
        agreement = len(set(a[:d]) & set(b[:d])) / d
        total += agreement * p ** d
    return agreement * p ** n + (1 - p) / p * total


def agreeing(c, stub):
    """A sample of the queries is answered in both spaces; judged queries are measured in both."""
    f = Faq(c, stub, "agree")
    f.call("PUT", "", {"vectors": {"model": A}})
    f.put(range(200))
    for i in range(0, 200, 2):
        f.call("PUT", "/items", {"items": [{"id": i, "text": f.texts[i], "payload": {"even": True}}]})
    f.call("POST", "/migrations", {"to": B, "shadow": 1})
    tap.ok(until(20, lambda: f.state()["state"] == "ready"), "another collection is ready", f.state())
    before, overlaps, rbos = len(f.state().get("agreement") or []), [], []
    for n in range(40):
        k, without, items = 10, None, f.texts
        if n % 4 == 1:
            without = n
            body = {"id": n}
        else:
            body = {"text": text()}
        query = f.texts[n] if without is not None else body["text"]
        if n % 4 == 2:
            body["filter"] = {"must": [{"key": "even", "match": {"value": True}}]}
            items = {i: t for i, t in f.texts.items() if i % 2 == 0}
        f.search(k=k, **body)
        a, b = nearest(A, query, items, k, without), nearest(B, query, items, k, without)
        overlaps.append(len(set(a) & set(b)) / k)
        rbos.append(rbo(a, b))
        f.search(vector=vector(A, "w1"), k=k)  # of which nobody knows the text
    tap.same(before, 0, "nothing was compared yet")
    tap.ok(until(20, lambda: (f.state()["agreement"] or {}).get("queries") == 40), "all queries whose text or item is known are answered twice",
           f.state()["agreement"])
    said = f.state()["agreement"]
    tap.ok(abs(said["overlap"]["mean"] - sum(overlaps) / 40) < 0.006, "overlap@10 is what the test computes", f"{said} {sum(overlaps) / 40}")
    tap.ok(abs(said["rbo"]["mean"] - sum(rbos) / 40) < 0.006, "so is the rank-biased overlap", f"{said} {sum(rbos) / 40}")
    tap.ok(said["overlap"]["low"] < said["overlap"]["mean"] < said["overlap"]["high"] and said["overlap"]["high"] - said["overlap"]["low"] < 0.25,
           "with an interval", said)
    # judged queries: half of an item's words find it, at some rank
    folder = tempfile.mkdtemp(prefix="croft-judged-")
    os.mkdir(folder + "/qrels")
    ranks = {A: [], B: []}
    with open(folder + "/queries.jsonl", "w") as queries, open(folder + "/qrels/test.tsv", "w") as qrels:
        qrels.write("query-id\tcorpus-id\tscore\n")
        for i in range(60):
            query = " ".join(f.texts[i].split()[:3])
            queries.write('{"_id": "q%d", "text": "%s"}\n' % (i, query))
            qrels.write(f"q{i}\t{i}\t1\n")
            for m in (A, B):
                top = nearest(m, query, f.texts, 10)
                ranks[m].append(1 / (1 + top.index(i)) if i in top else 0)
    rc, out, err = c.cli("eval", "migration", "agree", folder)
    tap.ok(rc == 0 and "nDCG@10" in out and "60 queries" in out, "croft eval migration compares the models on judged queries", out + err)
    mrr = {m["metric"]: m for m in f.state()["judged"]["metrics"]}["MRR@10"]
    want = [sum(ranks[m]) / 60 for m in (A, B)]
    tap.ok(abs(mrr["from"]["mean"] - want[0]) < 0.01 and abs(mrr["to"]["mean"] - want[1]) < 0.01, "the measures are what the test computes", f"{mrr} {want}")
    d = mrr["difference"]
    tap.ok(abs(d["mean"] - (mrr["to"]["mean"] - mrr["from"]["mean"])) < 1e-9 and d["low"] <= d["mean"] <= d["high"], "with an interval of the difference", d)
    f.step("cutover")
    f.search(text=text(), k=10)
    tap.ok(until(10, lambda: f.state()["agreement"]["queries"] == 41), "after the cut-over the former space is asked too")
    rc, out, err = c.cli("migration", "status", "agree")
    tap.ok(rc == 0 and "41 queries were answered in both spaces" in out and "MRR@10" in out and max(map(len, out.splitlines())) <= 80, "the command shows it", out + err)


def two_servers(stub):
    blobs = tempfile.mkdtemp(prefix="croft-blobs-")
    with postgres.Pg() as pg:
        both = [Croft(settings={"db.url": pg.url("shared"), "blobs.url": "file:" + blobs, **QUICK}) for _ in range(2)]
        try:
            for c in both:
                c.start()
            a, b = both
            models(a, stub)
            f = Faq(a, stub, "shared")
            f.call("PUT", "", {"vectors": {"model": A}})
            f.put(range(300))
            g = Faq(b, stub, "shared")
            g.texts = f.texts
            tap.ok(until(10, lambda: g.search(text="w1", k=1)[0] == 200), "B has the collection")
            stub.delay[B] = 0.2
            tap.same(f.call("POST", "/migrations", {"to": B, "shadow": 0})[0], 200, "A begins a migration")
            tap.same([g.put(range(i, i + 5))[0] for i in range(0, 100, 5)], [200] * 20, "B writes meanwhile")
            stub.delay[B] = 0
            a.kill()
            tap.ok(until(60, lambda: g.state()["state"] == "ready"), "A is killed; B goes on with it to the end", g.state())
            a.start()
            tap.same(g.wrong_vectors(":next", B), [], "no item has a vector of an old text, through B")
            tap.same(f.wrong_vectors(":next", B), [], "nor through A")
            odd, answers, stop = [], {A: 0, B: 0}, threading.Event()

            def ask(one):
                mine = random.Random()
                while not stop.is_set():
                    q = " ".join(mine.sample(WORDS, 6))
                    status, reply = one.search(text=q, k=10)
                    said = one.is_from(q, reply["hits"]) if status == 200 else set()
                    if len(said) != 1:
                        odd.append((status, reply if status != 200 else said))
                    for m in said:
                        answers[m] += 1

            asking = [threading.Thread(target=ask, args=(x,)) for x in (f, g)]
            for t in asking:
                t.start()
            for turn in range(4):
                time.sleep(0.5)
                (f if turn % 2 else g).step("back" if turn % 2 else "cutover")
            f.step("cutover")
            q = text()
            tap.ok(until(5, lambda: g.is_from(q, g.search(text=q, k=10)[1]["hits"]) == {B}), "a cut-over through A is B's too")
            stop.set()
            for t in asking:
                t.join()
            tap.same(odd[:2], [], f"every answer of both is wholly of one space ({answers})")
            tap.same([g.put(range(290, 300))[0], g.step("back")[0]], [200, 200], "back, through B")
            tap.same(g.wrong_vectors("", A), [], "with what B wrote after the cut-over")
            f.step("cutover")
            tap.same(g.step("drop")[0], 200, "B drops the former space")
            tap.ok(until(10, lambda: f.search(vector=vector(A, "w1"), space=":former")[0] == 400), "it is gone for A")
            tap.same(f.put(range(10))[0], 200, "A writes on")
            tap.same(f.wrong_vectors("", B), [], "and finds it")
            # the index of the present space is left alone, on the server that embeds and on the one that follows
            def index_bytes(one):
                return [s["total"] for s in one.call("GET", "/memory")[1]["spaces"] if s["name"] == ""]

            until(10, lambda: g.search(vector=f.of_model(B, 9), k=1)[1]["hits"][0]["id"] == 9)
            before = [index_bytes(f), index_bytes(g)]
            tap.ok(until(10, lambda: g.call("POST", "/migrations", {"to": A, "shadow": 0})[0] == 200), "it moves again, through B")
            tap.ok(until(30, lambda: f.state()["state"] == "ready"), "and is ready", f.state())
            tap.same([f.wrong_vectors(":next", A), g.wrong_vectors(":next", A)], [[], []], "both servers have the new vectors")
            tap.same([index_bytes(f), index_bytes(g)], before, "and neither has put the others anew")
        finally:
            for c in both:
                c.remove()


stub = EmbedStub()
if os.environ.get("MIGRATION_PART") != "servers":
    with Croft(settings=QUICK) as c:
        models(c, stub)
        moving(c, stub)
        agreeing(c, stub)
if not postgres.missing() and not on_postgres() and os.environ.get("MIGRATION_PART") != "one":
    two_servers(stub)
tap.done()
