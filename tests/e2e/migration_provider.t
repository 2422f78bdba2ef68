#!/usr/bin/env python3
"""A collection moves to the model of a provider that behaves as providers do: it limits rates, says how long to wait,
fails, hangs, hangs up, takes few texts at once, answers nonsense; and the server is killed meanwhile. Nothing is lost,
nothing is wrong, and little is asked for twice."""
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap
from embed_stub import EmbedStub, cosine, vector

tap = Tap()
A, B, ITEMS, AT_ONCE = "64-a", "96-b", 420, 24
rnd = random.Random(4)
WORDS = [f"w{i}" for i in range(300)]
PATH = "/api/v1/collections/faq"


def until(seconds, condition):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


class Moody(EmbedStub):
    """For B only, while there are `moods`: one for each request."""

    def __init__(self):
        super().__init__()
        self.moods, self.met, self.early, self.not_before = [], {}, 0, 0

    def note(self, mood):
        self.met[mood] = self.met.get(mood, 0) + 1
        return mood

    def handle(self, h):
        body = json.loads(h.rfile.read(int(h.headers["content-length"])))
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        if body["model"] != B:
            return self.good(h, body["model"], texts)
        with self.lock:
            if time.time() < self.not_before:
                self.early += 1
            mood = self.note(self.moods.pop(0)) if self.moods else "good"
        if mood == "limit":
            with self.lock:
                self.not_before = time.time() + 0.25
            return self.refuse(h, 429, "slow down", {"retry-after-ms": "300"})
        if mood in ("500", "503", "408"):
            return self.refuse(h, int(mood), "not now")
        if mood == "hang":
            time.sleep(1.5)
            return self.refuse(h, 500, "too late")
        if mood == "hang up":
            h.send_response(200)
            h.send_header("content-length", "100000")
            h.end_headers()
            h.wfile.write(b'{"data": [{"embedding": [0.1')
            h.close_connection = True
            return h.connection.close()
        if mood == "nonsense":
            return self.reply(h, 200, {"data": [{"index": 0, "embedding": [0.5] * 96}] * (len(texts) + 1)})
        if mood == "short":
            return self.reply(h, 200, {"data": [{"index": i, "embedding": [0.5] * 95} for i in range(len(texts))]})
        if mood == "no key":
            return self.refuse(h, 401, "the key has run out")
        if len(texts) > AT_ONCE:
            with self.lock:
                self.note("too many")
            return self.refuse(h, 400, f"at most {AT_ONCE} texts at once")
        self.good(h, B, texts)

    def good(self, h, model, texts):
        with self.lock:
            self.texts.setdefault(model, []).extend(texts)
        self.reply(h, 200, {"object": "list", "data": [{"index": i, "embedding": vector(model, t)} for i, t in enumerate(texts)],
                            "usage": {"prompt_tokens": 1, "total_tokens": 1}})

    def refuse(self, h, status, text, headers=None):
        data = json.dumps({"error": {"message": text}}).encode()
        h.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(data)), **(headers or {})}.items():
            h.send_header(name, value)
        h.end_headers()
        h.wfile.write(data)


stub = Moody()
settings = {"remote.retry_pause": "20ms", "remote.breaker_pause": "200ms", "remote.breaker_failures": 4}
with Croft(settings=settings) as c:
    for m in (A, B):
        status, reply = c.json("POST", "/api/v1/endpoints", {"name": m, "url": stub.url, "model": m, "timeout_ms": 1000, "retries": 3})
        assert status < 300, reply
    c.json("PUT", PATH, {"vectors": {"model": A}})
    texts = {i: " ".join(rnd.sample(WORDS, 8)) for i in range(ITEMS)}
    for at in range(0, ITEMS, 140):
        c.json("PUT", PATH + "/items", {"items": [{"id": i, "text": texts[i]} for i in range(at, at + 140)]})

    def state():
        return c.json("GET", PATH + "/migrations")[1]["migrations"][0]

    kinds = ["limit", "500", "503", "408", "hang", "hang up", "nonsense", "short", "good", "good", "good"]
    stub.moods = ["good"] * 2 + kinds + [rnd.choice(["limit", "500", "408", "hang up"] + ["good"] * 4) for _ in range(8)]
    status, reply = c.json("POST", PATH + "/migrations", {"to": B, "shadow": 0})
    tap.same(status, 200, "a migration to a provider's model begins")
    tap.ok(until(60, lambda: state()["done"] >= 64), "it gets on", state())
    c.kill()
    c.start()
    tap.ok(state()["state"] == "preparing" and state()["done"] >= 64, "after kill -9 too", state())
    # a key that has run out is said, costs nothing, and is over when there is a new one
    with stub.lock:
        stub.moods = ["no key"] * 2
    tap.ok(until(30, lambda: "key" in (state()["stalled"] or "")), "that the key is refused is said", state())
    tap.ok(state()["failed"] == 0, "and is no fault of the texts", state())
    tap.ok(until(90, lambda: state()["state"] == "ready"), "it becomes ready by itself", [state(), stub.met])
    now = state()
    tap.same([now["done"], now["failed"], now["without_text"], now["pending"], now["stalled"]], [ITEMS, 0, 0, 0, None], "with every item")
    tap.ok(all(stub.met.get(k) for k in ("limit", "hang", "hang up", "nonsense", "short", "too many", "no key")), f"all moods were met: {stub.met}")
    tap.ok(stub.met["too many"] <= 16, f"how many texts it takes at once is learnt ({stub.met['too many']} refusals)")
    tap.same(stub.early, 0, "nothing was sent while the provider had asked to wait")
    sent = stub.sent(B)
    again = len(sent) - len(set(sent)) - max(sent.count("dimension") - 1, 0)
    tap.ok(set(texts.values()) <= set(sent), "every text was embedded")
    tap.ok(again <= 64 * 2, f"little was embedded twice: what a page had when a half of it failed, or the kill came ({again} texts)")
    wrong = []
    for i in texts:
        status, reply = c.json("POST", PATH + "/search", {"vector": vector(B, texts[i]), "space": ":next", "k": 2})
        if status != 200 or i not in [h["id"] for h in reply["hits"] if h["score"] > 0.9999]:
            wrong.append((i, status, reply))
    tap.same(wrong[:2], [], "every vector is that of its text")

    # what comes in the meantime and while it is away is made up for
    with stub.lock:
        stub.moods = ["503"] * 5 + ["limit"]
    fresh = {1000 + i: " ".join(rnd.sample(WORDS, 8)) for i in range(30)}
    status, reply = c.json("PUT", PATH + "/items", {"items": [{"id": i, "text": t} for i, t in fresh.items()]})
    tap.same(status, 200, "a write does not wait for the provider")
    tap.ok(until(60, lambda: state()["pending"] == 0), "and is made up for", [state(), stub.moods])
    tap.same(c.json("POST", PATH + "/migrations/cutover", {})[0], 200, "cut over")
    found = [c.json("POST", PATH + "/search", {"text": t, "k": 1})[1]["hits"][0]["id"] for t in list(fresh.values())[:10]]
    tap.same(found, list(fresh)[:10], "all of it is found")
tap.done()
